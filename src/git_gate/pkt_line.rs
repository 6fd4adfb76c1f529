//! pkt-lines (gitprotocol-common(5)): four hexadecimal digits say how long a line is, themselves included.

/// The longest line, its length included.
const LONGEST: usize = 65520;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pkt<'b> {
    /// `0000`.
    Flush,
    /// What stands in it; it may end in a line feed.
    Data(&'b [u8]),
}

/// What is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PktError {
    /// Four bytes that are no length of protocol version 0 or 1.
    #[error("a line does not begin with its length")]
    Length,
    /// More than a line may hold.
    #[error("a line is longer than 65520 bytes")]
    Long,
}

/// The first line of `bytes` and how many of them it takes; nothing where it is not whole yet.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Pkt<'_>, usize)>, PktError> {
    let Some(digits) = bytes.get(..4) else { return Ok(None) };
    let length =
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)? as usize));
    match length {
        Some(0) => Ok(Some((Pkt::Flush, 4))),
        Some(length) if length > LONGEST => Err(PktError::Long),
        Some(length @ 4..) => Ok(bytes.get(4..length).map(|data| (Pkt::Data(data), length))),
        _ => Err(PktError::Length),
    }
}

/// Adds a line. What does not fit in one is cut.
pub(super) fn write(data: &[u8], out: &mut Vec<u8>) {
    let data = data.get(..LONGEST - 4).unwrap_or(data);
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data);
}

/// The end of a list of lines.
pub(super) const FLUSH: &[u8; 4] = b"0000";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_git_writes_them() {
        assert_eq!(read(b"0006a\n0000"), Ok(Some((Pkt::Data(b"a\n"), 6))));
        assert_eq!(read(b"0000"), Ok(Some((Pkt::Flush, 4))));
        assert_eq!(read(b"0004"), Ok(Some((Pkt::Data(b""), 4))));
        assert_eq!(read(b"000Ba234567"), Ok(Some((Pkt::Data(b"a234567"), 11))));
        for part in [&b""[..], b"000", b"0006", b"0006a"] {
            assert_eq!(read(part), Ok(None), "{part:?}");
        }
        for bad in [&b"0001"[..], b"0002", b"0003", b"+006aa", b" 006aa", b"00g6aa", b"PACK"] {
            assert_eq!(read(bad), Err(PktError::Length), "{bad:?}");
        }
        for long in [&b"fff1"[..], b"ffff"] {
            assert_eq!(read(long), Err(PktError::Long), "{long:?}");
        }
        assert_eq!(read(b"fff0"), Ok(None));
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let mut out = Vec::new();
        write(&vec![b'x'; 70_000], &mut out);
        assert_eq!(out.len(), LONGEST);
        assert!(matches!(read(&out), Ok(Some((Pkt::Data(data), LONGEST))) if data.len() == LONGEST - 4));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(data in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut out = Vec::new();
            write(&data, &mut out);
            let length = out.len();
            for cut in 0..length {
                prop_assert_eq!(read(&out[..cut]), Ok(None));
            }
            out.extend_from_slice(&rest);
            prop_assert_eq!(read(&out), Ok(Some((Pkt::Data(&data), length))));
        }

        #[test]
        fn nothing_is_read_that_is_not_there(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some((_, length))) = read(&bytes) {
                prop_assert!(length <= bytes.len() && length >= 4);
            }
        }
    }
}
