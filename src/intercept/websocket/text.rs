//! What is text in a WebSocket: messages of that kind, and the reason of a close (RFC 6455 §8.1, §5.5.1).

use super::frame::FrameFault;
use std::str::from_utf8;

/// Reads a message of text in pieces.
#[derive(Debug, Default)]
pub struct Text {
    /// The beginning of a character; at most three bytes.
    begun: Vec<u8>,
}

impl Text {
    /// More of the message.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), FrameFault> {
        let text = [&self.begun, piece].concat();
        self.begun = match from_utf8(&text) {
            Ok(_) => Vec::new(),
            Err(error) if error.error_len().is_none() => text[error.valid_up_to()..].to_vec(),
            Err(_) => return Err(FrameFault::Text),
        };
        Ok(())
    }

    /// The message ends here.
    pub fn finish(&self) -> Result<(), FrameFault> {
        if self.begun.is_empty() { Ok(()) } else { Err(FrameFault::Text) }
    }
}

/// Whether the payload of a close is none, or a code that may be sent (RFC 6455 §7.4, and IANA's registry of close codes) and a
/// reason in UTF-8.
pub fn check_close(payload: &[u8]) -> Result<(), FrameFault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(()) } else { Err(FrameFault::Close) };
    };
    let sendable = matches!(u16::from_be_bytes(*code), 1000..=1003 | 1007..=1014 | 3000..=4999);
    if sendable && from_utf8(reason).is_ok() { Ok(()) } else { Err(FrameFault::Close) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf_8_however_it_is_cut() {
        let good = "a é € 🦀".as_bytes();
        for step in 1..=good.len() {
            let mut text = Text::default();
            good.chunks(step).for_each(|piece| text.push(piece).unwrap());
            assert_eq!(text.finish(), Ok(()));
        }
        for bad in [&b"\xff"[..], b"a\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc3a", b"\xe2\x82"] {
            for step in 1..=bad.len() {
                let mut text = Text::default();
                let read = bad.chunks(step).try_for_each(|piece| text.push(piece));
                assert_eq!(read.and_then(|()| text.finish()), Err(FrameFault::Text), "{bad:?}");
            }
        }
    }

    #[test]
    fn a_close_has_a_code_that_may_be_sent_and_a_reason() {
        for code in [1000u16, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert_eq!(check_close(&[&code.to_be_bytes()[..], "é".as_bytes()].concat()), Ok(()));
        }
        assert_eq!(check_close(b""), Ok(()));
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000, 65535] {
            assert_eq!(check_close(&code.to_be_bytes()), Err(FrameFault::Close), "{code}");
        }
        for bad in [&b"\x03"[..], b"\x03\xe8\xff"] {
            assert_eq!(check_close(bad), Err(FrameFault::Close));
        }
    }
}
