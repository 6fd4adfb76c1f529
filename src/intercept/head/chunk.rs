//! Follows a chunked body (RFC 9112 §7.1) to its end.

use super::{FaultKind, check::field, lines::Lines};

/// The longest line of size and extensions.
const MAX_SIZE_LINE: usize = 1024;

/// Where a chunked body stands.
#[derive(Debug)]
pub(super) enum Chunked {
    /// In the line of size and extensions.
    Size(SizeLine),
    /// In data, with this much of it and its CRLF to come.
    Data(u64),
    /// After data: CRLF.
    End { cr: bool },
    /// After the last chunk: trailer fields and the empty line, which are held back until they are complete.
    Trailers(Lines),
}

/// No chunk is larger: what announces as much as a number can hold is meant to overflow one, or never ends.
const LARGEST: u64 = 1 << 60;

/// The size of a chunk while it is read.
#[derive(Debug, Default)]
pub(super) struct SizeLine {
    value: u64,
    digits: usize,
    length: usize,
    extension: bool,
    cr: bool,
}

/// What to do with the bytes at hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// These many are sound.
    Pass(usize),
    /// These many are sound, and the body ends with them.
    End(usize),
    /// More is needed before anything can be said.
    Wait,
}

/// Bounds on a trailer section.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrailerLimits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Chunked::Size(SizeLine::default())
    }

    /// Looks at `bytes`, which begin where the last `Pass` ended.
    pub(super) fn step(&mut self, bytes: &[u8], limits: TrailerLimits) -> Result<Step, FaultKind> {
        if bytes.is_empty() {
            return Ok(Step::Wait);
        }
        match self {
            Chunked::Size(line) => {
                let (passed, complete) = line.read(bytes)?;
                if complete {
                    *self = match line.value {
                        0 => Chunked::Trailers(Lines::default()),
                        size => Chunked::Data(size),
                    };
                }
                Ok(Step::Pass(passed))
            }
            Chunked::Data(left) => {
                let passed = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= passed as u64;
                if *left == 0 {
                    *self = Chunked::End { cr: false };
                }
                Ok(Step::Pass(passed))
            }
            Chunked::End { cr } => {
                match (*cr, bytes[0]) {
                    (false, b'\r') => *cr = true,
                    (true, b'\n') => *self = Chunked::new(),
                    _ => return Err(FaultKind::Chunk),
                }
                Ok(Step::Pass(1))
            }
            Chunked::Trailers(lines) => trailers(lines, bytes, limits),
        }
    }
}

impl SizeLine {
    fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), FaultKind> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.length += 1;
            if self.length > MAX_SIZE_LINE {
                return Err(FaultKind::Chunk);
            }
            match byte {
                b'\n' if self.cr => return Ok((at + 1, true)),
                _ if self.cr => return Err(FaultKind::Chunk),
                b'\r' if self.digits > 0 => self.cr = true,
                b'\t' | b' '..=b'~' | 0x80.. if self.extension => {}
                b';' if self.digits > 0 => self.extension = true,
                _ => self.digit(byte)?,
            }
        }
        Ok((bytes.len(), false))
    }

    fn digit(&mut self, byte: u8) -> Result<(), FaultKind> {
        let digit = char::from(byte).to_digit(16).ok_or(FaultKind::Chunk)?;
        self.digits += 1;
        self.value = self
            .value
            .checked_mul(16)
            .and_then(|value| value.checked_add(u64::from(digit)))
            .filter(|value| self.digits <= 16 && *value <= LARGEST)
            .ok_or(FaultKind::Chunk)?;
        Ok(())
    }
}

fn trailers(lines: &mut Lines, bytes: &[u8], limits: TrailerLimits) -> Result<Step, FaultKind> {
    let end = lines.scan(bytes, limits.fields).map_err(|_| FaultKind::Trailers)?;
    let Some(end) = end else {
        return if bytes.len() > limits.bytes { Err(FaultKind::Trailers) } else { Ok(Step::Wait) };
    };
    if end > limits.bytes {
        return Err(FaultKind::Trailers);
    }
    let section = &bytes[..end - 2];
    for line in section.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        field(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| FaultKind::Trailers)?;
    }
    Ok(Step::End(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TrailerLimits = TrailerLimits { bytes: 64, fields: 2 };

    /// How many bytes the body has, when it is sound.
    fn length(body: &[u8]) -> Result<Option<usize>, FaultKind> {
        let mut chunked = Chunked::new();
        let mut at = 0;
        loop {
            match chunked.step(&body[at..], LIMITS)? {
                Step::Pass(n) => at += n,
                Step::End(n) => return Ok(Some(at + n)),
                Step::Wait => return Ok(None),
            }
        }
    }

    #[test]
    fn a_body_ends_where_its_trailers_end() {
        assert_eq!(length(b"0\r\n\r\nGET"), Ok(Some(5)));
        assert_eq!(length(b"3\r\nabc\r\n0\r\n\r\n"), Ok(Some(13)));
        assert_eq!(length(b"3;a=\"b c\"\r\nabc\r\n0\r\nA: b\r\n\r\nrest"), Ok(Some(27)));
        assert_eq!(length(b"00a\r\n0123456789\r\n0\r\n\r"), Ok(None));
    }

    #[test]
    fn what_another_reader_could_read_differently_is_a_fault() {
        for body in [
            &b"\r\n"[..],
            b"x\r\n",
            b"0x3\r\nabc",
            b"+3\r\nabc",
            b" 3\r\nabc",
            b"3 \r\nabc",
            b"3 ;a\r\nabc",
            b"3\nabc",
            b"3\rabc",
            b"3;a\nabc\r\n",
            b"3;a\rb\r\n",
            b";a\r\n",
            b"-1\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"11112222333344445\r\n",
            b"ffffffffffffffff\r\n",
            b"7fffffffffffffff\r\n",
            b"FFFFFFFFFFFFFFFE;a\r\n",
        ] {
            assert_eq!(length(body), Err(FaultKind::Chunk), "{}", body.escape_ascii());
        }
        for trailers in
            ["A : b\r\n\r\n", " A: b\r\n\r\n", "A: b\n\n", "A\r\n\r\n", "A: 1\r\nB: 2\r\nC: 3\r\n\r\n"]
        {
            assert_eq!(
                length(format!("0\r\n{trailers}").as_bytes()),
                Err(FaultKind::Trailers),
                "{trailers:?}"
            );
        }
        assert_eq!(length(format!("0\r\nA: {:65}\r\n\r\n", 'b').as_bytes()), Err(FaultKind::Trailers));
    }
}
