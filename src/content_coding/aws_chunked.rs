//! `aws-chunked`: what SDKs of AWS put around an upload to S3, so that each chunk can be signed and a checksum can follow.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and `…-streaming-trailers.html`:
//!
//! ```text
//! 10000;chunk-signature=…\r\n   (hexadecimal; the signature is absent where only the trailer is checked)
//! …\r\n
//! 0;chunk-signature=…\r\n
//! x-amz-checksum-crc32:…\r\n    (a trailer, or none)
//! \r\n
//! ```

use std::io::{self, Write};

/// Bytes of a line: a size with its signature, or a trailer. Those of S3 are below 200.
const LINE: usize = 1024;
/// Bytes of all trailers.
const TRAILERS: usize = 8 * 1024;
/// Digits of a size: S3 takes chunks of up to 5 GiB.
const DIGITS: usize = 10;

/// What it takes at most, in bytes.
pub(super) const MEMORY: usize = LINE + 1024;

/// Passes on what is in the chunks.
pub(super) struct AwsChunked<W> {
    out: W,
    at: At,
    line: Vec<u8>,
    trailers: usize,
}

enum At {
    Size,
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// The line end behind a chunk.
    End,
    Trailers,
    Done,
}

impl<W: Write> AwsChunked<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, at: At::Size, line: Vec::new(), trailers: 0 }
    }

    pub(super) fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Nothing may be missing of a chunk, nor the last one. The end of the trailers may be: not every client writes it.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self.at {
            At::Trailers | At::Done => Ok(()),
            At::Size | At::Data(_) | At::End => Err(malformed()),
        }
    }

    /// One line, without its end, when it is there.
    fn line(&mut self, byte: u8) -> io::Result<Option<Vec<u8>>> {
        self.line.push(byte);
        if self.line.ends_with(b"\r\n") {
            let mut line = std::mem::take(&mut self.line);
            line.truncate(line.len() - 2);
            return Ok(Some(line));
        }
        // A line end is both: a reader that takes one of them for it would read other chunks.
        let bare = byte == b'\n' || self.line.iter().rev().nth(1) == Some(&b'\r');
        if bare || self.line.len() > LINE { Err(malformed()) } else { Ok(None) }
    }

    fn step(&mut self, byte: u8) -> io::Result<()> {
        let Some(line) = self.line(byte)? else { return Ok(()) };
        self.at = match self.at {
            At::Size => match size(&line).ok_or_else(malformed)? {
                0 => At::Trailers,
                bytes => At::Data(bytes),
            },
            At::End if line.is_empty() => At::Size,
            At::Trailers if line.is_empty() => At::Done,
            At::Trailers => {
                self.trailers += line.len();
                if self.trailers > TRAILERS {
                    return Err(malformed());
                }
                At::Trailers
            }
            At::End | At::Data(_) | At::Done => return Err(malformed()),
        };
        Ok(())
    }
}

impl<W: Write> Write for AwsChunked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let At::Data(left) = self.at {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let taken = self.out.write(&bytes[..bytes.len().min(most)])?;
            let left = left - taken as u64;
            self.at = if left == 0 { At::End } else { At::Data(left) };
            return Ok(taken);
        }
        let Some(byte) = bytes.first() else { return Ok(0) };
        if matches!(self.at, At::Done) {
            return Err(malformed());
        }
        self.step(*byte).map(|()| 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The size of a chunk, from its line: hexadecimal, and a signature or nothing behind it.
fn size(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let (digits, signed) = line.split_once(';').map_or((line, None), |(digits, rest)| (digits, Some(rest)));
    let is_signature = |text: &str| {
        text.strip_prefix("chunk-signature=")
            .is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if !signed.is_none_or(is_signature) || !(1..=DIGITS).contains(&digits.len()) {
        return None;
    }
    // The library takes a sign.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut decoder = AwsChunked::new(Vec::new());
        for piece in body.chunks(step) {
            decoder.write_all(piece)?;
        }
        decoder.finish()?;
        Ok(std::mem::take(decoder.get_mut()))
    }

    #[test]
    fn chunks_are_read_however_they_come() {
        let signature = "0".repeat(64);
        let signed = format!(
            "6;chunk-signature={signature}\r\nhello \r\n5;chunk-signature={signature}\r\nthere\r\n0;chunk-signature={signature}\r\n\r\n"
        );
        let plain = "6\r\nhello \r\n5\r\nthere\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        let unended = "b\r\nhello there\r\n0\r\n";
        for body in [&signed, plain, unended] {
            for step in [1, 2, 7, 1000] {
                assert_eq!(read(body.as_bytes(), step).unwrap(), b"hello there", "{body}");
            }
        }
        assert_eq!(read(b"0\r\n\r\n", 9).unwrap(), b"");
    }

    #[test]
    fn what_could_be_read_in_another_way_is_refused() {
        let long = format!("1;chunk-signature={}\r\n", "0".repeat(2000));
        for body in [
            "",
            "5\r\nhel",
            "5\r\nhello",
            "5\r\nhello\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5;x=y\r\nhello\r\n0\r\n\r\n",
            "5;chunk-signature=\r\nhello\r\n0\r\n\r\n",
            "fffffffffff\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "0\r\n\r\nhidden",
            "hello there",
            &long,
        ] {
            for step in [1, 1000] {
                assert!(read(body.as_bytes(), step).is_err(), "{body}");
            }
        }
    }
}
