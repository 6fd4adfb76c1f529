//! Audit records from a file, wherever it was copied to: plain or gzip, of any length, in bounded memory.

use super::{Entry, Skipped, tail::LONGEST_LINE};
use flate2::read::MultiGzDecoder;
use std::io::{self, BufRead as _, BufReader, Read};

/// The first bytes of a gzip member (RFC 1952 §2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The records of one file, in its order.
pub struct AuditFile {
    lines: BufReader<Box<dyn Read>>,
    skipped: Skipped,
}

impl AuditFile {
    /// Reads what `from` gives; whether it is gzip, its first bytes say.
    pub fn new(from: impl Read + 'static) -> io::Result<Self> {
        let mut start = Vec::new();
        let mut from = from;
        from.by_ref().take(2).read_to_end(&mut start)?;
        let is_gzip = start == GZIP;
        let whole = io::Cursor::new(start).chain(from);
        let bytes: Box<dyn Read> =
            if is_gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        Ok(Self { lines: BufReader::with_capacity(64 << 10, bytes), skipped: Skipped::default() })
    }

    /// The next record; `None` at the end. Lines that are none are passed over and counted.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and what it skipped is asked for afterwards"
    )]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut line = Vec::new();
        while let Some(is_whole) = self.line(&mut line)? {
            match Entry::parse(&line).filter(|_| is_whole) {
                Some(entry) => return Ok(Some(entry)),
                None if line.trim_ascii().is_empty() && is_whole => {}
                None => self.skipped.lines += 1,
            }
        }
        Ok(None)
    }

    /// What was passed over so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Reads a line without its end; false when it is too long, and then nothing of it is kept. `None` at the end.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
        line.clear();
        let (mut any, mut is_whole) = (false, true);
        loop {
            let buffer = self.lines.fill_buf()?;
            if buffer.is_empty() {
                return Ok(any.then_some(is_whole));
            }
            any = true;
            let end = memchr::memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            is_whole &= line.len() + part.len() <= LONGEST_LINE;
            if is_whole {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.lines.consume(used);
            if end.is_some() {
                return Ok(Some(is_whole));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use std::io::Write as _;

    fn line(connection: u64) -> String {
        serde_json::to_string(&record(connection)).unwrap() + "\n"
    }

    fn read(bytes: Vec<u8>) -> (Vec<u64>, u64) {
        let mut file = AuditFile::new(io::Cursor::new(bytes)).unwrap();
        let mut all = Vec::new();
        while let Some(entry) = file.next().unwrap() {
            let Entry::EgressProxy(record) = entry else { panic!("{entry:?}") };
            all.push(record.connection);
        }
        (all, file.skipped().lines)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_gzip_say_the_same() {
        let text = line(1) + "\n" + &line(2);
        assert_eq!(read(text.clone().into_bytes()), (vec![1, 2], 0));
        assert_eq!(read(gzip(&text)), (vec![1, 2], 0));
        assert_eq!(read([gzip(&line(1)), gzip(&line(2))].concat()), (vec![1, 2], 0), "rotated and joined");
        assert_eq!(read(Vec::new()), (vec![], 0));
    }

    #[test]
    fn torn_long_and_foreign_lines_are_counted() {
        let long = "x".repeat(LONGEST_LINE * 9);
        let text = format!("{}{long}\n{{}}\n{}{}", line(1), line(2), &line(3)[..20]);
        assert_eq!(read(text.into_bytes()), (vec![1, 2], 3));
        let whole = line(1) + line(2).trim_end();
        assert_eq!(read(whole.into_bytes()), (vec![1, 2], 0), "a last line without its end can be whole");
    }

    #[test]
    fn an_unknown_field_is_no_fault() {
        let text = line(1).replacen('{', "{\"new\":{\"a\":[1]},", 1);
        assert_eq!(read(text.into_bytes()), (vec![1], 0));
    }

    #[test]
    fn a_cut_gzip_is_an_error() {
        let mut bytes = gzip(&(line(1) + &line(2)));
        bytes.truncate(bytes.len() - 12);
        let mut file = AuditFile::new(io::Cursor::new(bytes)).unwrap();
        let error = std::iter::repeat_with(|| file.next()).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
