//! Audit records from a file, wherever it was copied to: plain or gzip, of any length, in bounded memory.

use super::{Entry, Skipped, tail::LONGEST_LINE};
use flate2::read::MultiGzDecoder;
use std::io::{self, BufRead as _, BufReader, Read};

/// The first bytes of a gzip member (RFC 1952 §2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The records of one file, in its order.
pub struct AuditFile {
    lines: BufReader<Box<dyn Read>>,
    number: u64,
    skipped: Skipped,
}

/// A line of a file.
#[derive(Debug)]
pub enum AuditLine {
    /// A record, and the names of fields that this version does not know.
    Entry(Box<Entry>, Vec<String>),
    /// The beginning of a record: its writer was killed, or writes on.
    Torn,
    /// Something else, in words.
    Foreign(String),
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
        let lines = BufReader::with_capacity(64 << 10, bytes);
        Ok(Self { lines, number: 0, skipped: Skipped::default() })
    }

    /// The next record; `None` at the end. Lines that are none are passed over and counted.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and what it skipped is asked for afterwards"
    )]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            match self.next_line()? {
                Some(AuditLine::Entry(entry, _)) => return Ok(Some(*entry)),
                Some(AuditLine::Torn | AuditLine::Foreign(_)) => self.skipped.lines += 1,
                None => return Ok(None),
            }
        }
    }

    /// The next line that is not empty, whatever it is; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<AuditLine>> {
        let mut line = Vec::new();
        while let Some(is_whole) = self.line(&mut line)? {
            self.number += 1;
            if !is_whole {
                return Ok(Some(AuditLine::Foreign(format!("it is longer than {LONGEST_LINE} bytes"))));
            }
            match line.trim_ascii().first() {
                None => continue,
                Some(b'{') => {}
                Some(_) => return Ok(Some(AuditLine::Foreign("it is not a JSON object".to_owned()))),
            }
            return Ok(Some(match Entry::read(&line) {
                Ok(entry) => {
                    let unknown = entry.unknown_fields(&line);
                    AuditLine::Entry(Box::new(entry), unknown)
                }
                Err(error) if error.is_eof() => AuditLine::Torn,
                Err(error) => AuditLine::Foreign(error.to_string()),
            }));
        }
        Ok(None)
    }

    /// The number of the line that was read last, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What [`next`](Self::next) passed over so far.
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
    #[test]
    fn a_line_is_a_record_with_what_is_new_in_it_or_torn_or_foreign() {
        let new = line(1).replacen('{', "{\"new\":{\"a\":[1]},", 1);
        let newer = line(1).replace("\"deny\"", "\"delay\"");
        let text = format!("{new}\n{}\n{newer}junk\n[1]\n{}", &line(2)[..20], &line(3)[..30]);
        let mut file = AuditFile::new(io::Cursor::new(text.into_bytes())).unwrap();
        let mut all = Vec::new();
        while let Some(line) = file.next_line().unwrap() {
            let shown = match line {
                AuditLine::Entry(_, unknown) => unknown.join(" "),
                AuditLine::Torn => "torn".to_owned(),
                AuditLine::Foreign(why) => why.split(',').next().unwrap().to_owned(),
            };
            all.push((file.number(), shown));
        }
        let all: Vec<(u64, &str)> = all.iter().map(|(number, shown)| (*number, shown.as_str())).collect();
        let expected = [
            (1, "new"),
            (3, "torn"),
            (4, "unknown variant `delay`"),
            (5, "it is not a JSON object"),
            (6, "it is not a JSON object"),
            (7, "torn"),
        ];
        assert_eq!(all, expected);
    }
}
