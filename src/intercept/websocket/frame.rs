//! The head of a frame (RFC 6455 §5.2), read strictly: what one end could read otherwise than the other is refused.

/// Bytes of the longest head.
const LONGEST: usize = 14;
/// Bytes of the payload of a control frame (RFC 6455 §5.5).
pub(super) const CONTROL: u64 = 125;

/// The length is in the next two bytes, or in the next eight.
const LENGTH_IN_2: u8 = 0x7e;
const LENGTH_IN_8: u8 = 0x7f;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// More of a message.
    Continuation,
    /// A message of text begins.
    Text,
    /// A message of bytes begins.
    Binary,
    /// The end of the connection.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Kind {
    /// Whether it stands outside of messages.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn read(opcode: u8) -> Option<Kind> {
        Some(match opcode {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn opcode(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// Who sends: a client masks what it sends, and a server does not (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Masks.
    Client,
    /// Does not.
    Server,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether its message ends with it.
    pub last: bool,
    /// What it is.
    pub kind: Kind,
    /// What its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of its payload.
    pub length: u64,
}

/// Why a frame is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// A bit that an extension would give a meaning, and none was agreed on.
    #[error("a frame has a reserved bit, and no extension was agreed on")]
    Reserved,
    /// An opcode that nobody has given a meaning.
    #[error("a frame has an unknown opcode")]
    Opcode,
    /// Masked by a server, or not by a client.
    #[error("a frame is masked by a server or not masked by a client")]
    Mask,
    /// A length that is written longer than it need be, or has its first bit.
    #[error("the length of a frame is not in its shortest form")]
    Length,
    /// In pieces, or more than 125 bytes.
    #[error("a control frame is in pieces or larger than {CONTROL} bytes")]
    Control,
    /// More of a message that has not begun, or a message within another.
    #[error("a frame does not fit into its message")]
    Message,
    /// A message of text that is not UTF-8.
    #[error("a message of text is not UTF-8")]
    Text,
    /// A code that no one may send, or a reason that is not UTF-8.
    #[error("a close has no code that may be sent, or a reason that is not UTF-8")]
    Close,
}

impl Head {
    /// Reads a head from the start of what has come. `None`: more must come.
    pub fn read(bytes: &[u8], sender: Sender) -> Result<Option<(Head, usize)>, FrameFault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(FrameFault::Reserved);
        }
        let kind = Kind::read(first & 0x0f).ok_or(FrameFault::Opcode)?;
        let (last, masked) = (first & 0x80 != 0, second & 0x80 != 0);
        if masked != (sender == Sender::Client) {
            return Err(FrameFault::Mask);
        }
        let (length, taken) = match second & 0x7f {
            LENGTH_IN_2 => match rest.first_chunk() {
                Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2),
                None => return Ok(None),
            },
            LENGTH_IN_8 => match rest.first_chunk() {
                Some(bytes) => (u64::from_be_bytes(*bytes), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        let shortest = match taken {
            0 => true,
            2 => length > 125,
            _ => length > 0xffff && length >> 63 == 0,
        };
        if !shortest {
            return Err(FrameFault::Length);
        }
        if kind.is_control() && (!last || length > CONTROL) {
            return Err(FrameFault::Control);
        }
        let mask = match (masked, rest.get(taken..)) {
            (false, _) => None,
            (true, Some([a, b, c, d, ..])) => Some([*a, *b, *c, *d]),
            (true, _) => return Ok(None),
        };
        let whole = 2 + taken + if masked { 4 } else { 0 };
        Ok(Some((Head { last, kind, mask, length }, whole)))
    }

    /// Writes the head.
    pub fn write(self, out: &mut Vec<u8>) {
        out.reserve(LONGEST);
        out.push(u8::from(self.last) << 7 | self.kind.opcode());
        let masked = u8::from(self.mask.is_some()) << 7;
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short @ ..=125), _) => out.push(masked | short),
            (_, Ok(length)) => {
                out.push(masked | LENGTH_IN_2);
                out.extend(length.to_be_bytes());
            }
            _ => {
                out.push(masked | LENGTH_IN_8);
                out.extend(self.length.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
    }
}

/// Masks, or unmasks, what stands `at` bytes behind the start of a payload.
pub fn mask(payload: &mut [u8], mask: [u8; 4], at: u64) {
    for (byte, index) in payload.iter_mut().zip(at..) {
        *byte ^= mask[usize::try_from(index % 4).unwrap_or_default()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], sender: Sender) -> Result<Option<(Head, usize)>, FrameFault> {
        Head::read(bytes, sender)
    }

    #[test]
    fn frames_of_the_rfc_are_read() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let (head, taken) = read(&hello, Sender::Client).unwrap().unwrap();
        let mut payload = hello[taken..].to_vec();
        mask(&mut payload, head.mask.unwrap(), 0);
        assert_eq!((head.kind, head.last, &payload[..]), (Kind::Text, true, &b"Hello"[..]));
        let (head, taken) = read(&[0x01, 0x03, 0x48], Sender::Server).unwrap().unwrap();
        assert_eq!((head.kind, head.last, head.length, taken), (Kind::Text, false, 3, 2));
        let (head, _) = read(&[0x82, 0x7e, 0x01, 0x00], Sender::Server).unwrap().unwrap();
        assert_eq!(head.length, 256);
        let (head, _) = read(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], Sender::Server).unwrap().unwrap();
        assert_eq!(head.length, 65536);
    }

    #[test]
    fn what_two_ends_could_read_differently_is_refused() {
        for (bytes, fault) in [
            (&[0xc1, 0x80][..], FrameFault::Reserved),
            (&[0xa1, 0x80], FrameFault::Reserved),
            (&[0x91, 0x80], FrameFault::Reserved),
            (&[0x83, 0x80], FrameFault::Opcode),
            (&[0x8b, 0x80], FrameFault::Opcode),
            (&[0x81, 0x05], FrameFault::Mask),
            (&[0x81, 0xfe, 0, 125], FrameFault::Length),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], FrameFault::Length),
            (&[0x81, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0], FrameFault::Length),
            (&[0x09, 0x80], FrameFault::Control),
            (&[0x88, 0xfe, 0, 126], FrameFault::Control),
        ] {
            assert_eq!(read(bytes, Sender::Client), Err(fault), "{}", bytes.escape_ascii());
        }
        assert_eq!(read(&[0x81, 0x85, 0, 0, 0, 0], Sender::Server), Err(FrameFault::Mask));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(last: bool, opcode in 0u8..3, masked: Option<[u8; 4]>, length in 0u64..1 << 20) {
            let head = Head { last, kind: Kind::read(opcode).unwrap(), mask: masked, length };
            let mut bytes = Vec::new();
            head.write(&mut bytes);
            let sender = if masked.is_some() { Sender::Client } else { Sender::Server };
            prop_assert_eq!(read(&bytes, sender), Ok(Some((head, bytes.len()))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..cut], sender), Ok(None));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            for sender in [Sender::Client, Sender::Server] {
                if let Ok(Some((head, taken))) = read(&bytes, sender) {
                    let mut written = Vec::new();
                    head.write(&mut written);
                    prop_assert_eq!(&written[..], &bytes[..taken], "one form only");
                }
            }
        }
    }
}
