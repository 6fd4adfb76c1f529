//! Frames as they come off a connection, read into pieces of messages. No more is held than the head of a frame and a
//! control frame.

use super::frame::{FrameFault, Head, Kind, Sender, mask};
use bytes::{Bytes, BytesMut};

/// A part of what came.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// More of a message.
    Data {
        /// A message begins with it.
        begins: Option<Kind>,
        /// Unmasked.
        payload: Bytes,
        /// The message ends with it.
        ends: bool,
    },
    /// A whole control frame.
    Control {
        /// What it is.
        kind: Kind,
        /// Unmasked.
        payload: Bytes,
    },
}

/// Reads what one side sends.
#[derive(Debug)]
pub struct Pieces {
    sender: Sender,
    buffer: BytesMut,
    /// A frame of data of which so many bytes have come.
    open: Option<(Head, u64)>,
    /// What the next piece begins.
    begins: Option<Kind>,
    in_message: bool,
}

impl Pieces {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(sender: Sender) -> Self {
        Self { sender, buffer: BytesMut::new(), open: None, begins: None, in_message: false }
    }

    /// Takes what has come. Ask for the pieces before the next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece of what has come. `None`: more must come.
    pub fn take(&mut self) -> Result<Option<Piece>, FrameFault> {
        if self.open.is_none() {
            let Some((head, taken)) = Head::read(&self.buffer, self.sender)? else { return Ok(None) };
            if head.kind.is_control() {
                return Ok(self.control(head, taken));
            }
            if (head.kind == Kind::Continuation) != self.in_message {
                return Err(FrameFault::Message);
            }
            let _ = self.buffer.split_to(taken);
            if !self.in_message {
                self.begins = Some(head.kind);
            }
            self.in_message = true;
            self.open = Some((head, 0));
        }
        Ok(self.data())
    }

    fn control(&mut self, head: Head, taken: usize) -> Option<Piece> {
        let whole = taken + usize::try_from(head.length).ok()?;
        if self.buffer.len() < whole {
            return None;
        }
        let mut payload = self.buffer.split_to(whole).split_off(taken);
        if let Some(key) = head.mask {
            mask(&mut payload, key, 0);
        }
        Some(Piece::Control { kind: head.kind, payload: payload.freeze() })
    }

    fn data(&mut self) -> Option<Piece> {
        let (head, at) = self.open?;
        let left = head.length - at;
        let here = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if here == 0 && left > 0 {
            return None;
        }
        let mut payload = self.buffer.split_to(here);
        if let Some(key) = head.mask {
            mask(&mut payload, key, at);
        }
        let at = at + here as u64;
        let complete = at == head.length;
        self.open = (!complete).then_some((head, at));
        let ends = complete && head.last;
        self.in_message = !ends;
        Some(Piece::Data { begins: self.begins.take(), payload: payload.freeze(), ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
        let key = [1, 2, 3, 4];
        let mut masked = payload.to_vec();
        mask(&mut masked, key, 0);
        [&[head, 0x80 | u8::try_from(payload.len()).unwrap()], &key[..], &masked].concat()
    }

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Piece>, FrameFault> {
        let mut pieces = Pieces::new(Sender::Client);
        let mut out = Vec::new();
        for chunk in bytes.chunks(step) {
            pieces.push(chunk);
            while let Some(piece) = pieces.take()? {
                out.push(piece);
            }
        }
        Ok(out)
    }

    #[test]
    fn a_message_in_frames_and_a_ping_between_them() {
        let sent =
            [frame(0x01, b"Hel"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"lo"), frame(0x82, b"")]
                .concat();
        for step in [1, 2, 3, 7, 1000] {
            let (mut texts, mut controls, mut ends) = (Vec::new(), 0, 0);
            for piece in all(&sent, step).unwrap() {
                match piece {
                    Piece::Data { begins, payload, ends: end } => {
                        texts.extend(
                            begins.map(|kind| format!("{kind:?} ").into_bytes()).into_iter().flatten(),
                        );
                        texts.extend(payload);
                        ends += usize::from(end);
                    }
                    Piece::Control { kind, payload } => {
                        assert_eq!((kind, &payload[..]), (Kind::Ping, &b"?"[..]));
                        controls += 1;
                    }
                }
            }
            assert_eq!(
                (std::str::from_utf8(&texts).unwrap(), controls, ends),
                ("Text HelloBinary ", 1, 2),
                "{step}"
            );
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_into_its_message_is_refused() {
        for sent in [
            [frame(0x80, b"a"), Vec::new()],
            [frame(0x01, b"a"), frame(0x01, b"b")],
            [frame(0x81, b"a"), frame(0x80, b"b")],
            [frame(0x01, b"a"), frame(0x82, b"b")],
        ] {
            assert_eq!(all(&sent.concat(), 1000), Err(FrameFault::Message));
        }
    }
}
