//! What is read of a WebSocket is what its grammar says (RFC 6455 §5.2), however the bytes are split, and what is written of it
//! reads the same. The first byte chooses the side and the split.
#![no_main]

use bottle::intercept::websocket::{FrameFault, Head, Kind, Piece, Pieces, Sender};
use libfuzzer_sys::fuzz_target;

/// Messages and control frames, each with the kind that it began with and whether it came to its end.
type Said = Vec<(Kind, Vec<u8>, bool)>;

fn read(bytes: &[u8], sender: Sender, step: usize) -> (Said, Option<FrameFault>) {
    let mut pieces = Pieces::new(sender);
    let (mut said, mut open): (Said, Option<usize>) = (Vec::new(), None);
    for chunk in bytes.chunks(step) {
        pieces.push(chunk);
        loop {
            match pieces.take() {
                Ok(None) => break,
                Err(fault) => return (said, Some(fault)),
                Ok(Some(Piece::Control { kind, payload })) => said.push((kind, payload.to_vec(), true)),
                Ok(Some(Piece::Data { begins, payload, ends })) => {
                    if let Some(kind) = begins {
                        open = Some(said.len());
                        said.push((kind, Vec::new(), false));
                    }
                    let message = &mut said[open.expect("a message goes on that began")];
                    message.1.extend_from_slice(&payload);
                    message.2 = ends;
                }
            }
        }
    }
    (said, None)
}

/// The same by the grammar and nothing else; `None` where it is broken.
fn by_grammar(mut bytes: &[u8], masked: bool) -> Option<Said> {
    let (mut said, mut open): (Said, Option<usize>) = (Vec::new(), None);
    loop {
        let [first, second, rest @ ..] = bytes else { return Some(said) };
        let (last, opcode, short) = (first >> 7 == 1, first & 15, usize::from(second & 127));
        if first >> 4 & 7 != 0 || (second >> 7 == 1) != masked || (3..8).contains(&opcode) || opcode > 10 {
            return None;
        }
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < wide {
            return Some(said);
        }
        let (number, rest) = rest.split_at(wide);
        let length = number.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        let length = if wide == 0 { short as u64 } else { length };
        if (wide == 2 && length < 126) || (wide == 8 && (length <= 0xffff || length >> 63 == 1)) {
            return None;
        }
        if opcode >= 8 && (!last || length > 125) {
            return None;
        }
        if rest.len() < if masked { 4 } else { 0 } {
            return Some(said);
        }
        let (key, rest) = rest.split_at(if masked { 4 } else { 0 });
        if opcode < 8 && (opcode == 0) != open.is_some() {
            return None;
        }
        let here = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let whole = here as u64 == length;
        let payload = rest[..here].iter().enumerate();
        let payload: Vec<u8> =
            payload.map(|(at, byte)| byte ^ if masked { key[at % 4] } else { 0 }).collect();
        let kind = [Kind::Continuation, Kind::Text, Kind::Binary, Kind::Close, Kind::Ping, Kind::Pong];
        let kind = kind[usize::from(if opcode < 8 { opcode } else { opcode - 5 })];
        if opcode >= 8 {
            if !whole {
                return Some(said);
            }
            said.push((kind, payload, true));
        } else {
            if opcode != 0 {
                open = Some(said.len());
                said.push((kind, Vec::new(), false));
            }
            let message = &mut said[open?];
            message.1.extend_from_slice(&payload);
            message.2 = whole && last;
            if message.2 {
                open = None;
            }
        }
        if !whole {
            return Some(said);
        }
        bytes = &rest[here..];
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let (sender, masked) = if choice & 1 == 0 { (Sender::Client, true) } else { (Sender::Server, false) };
    let (said, fault) = read(bytes, sender, usize::MAX);
    let (again, fault_again) = read(bytes, sender, usize::from(choice >> 1) + 1);
    assert_eq!(fault, fault_again);
    assert_eq!(said, again);
    match by_grammar(bytes, masked) {
        None => assert!(fault.is_some(), "the grammar has no such frames: {said:?}"),
        // A message of which nothing but the head of its first frame came has no piece yet.
        Some(all) => {
            assert_eq!(fault, None);
            let begun = |said: &Said| {
                let mut said = said.clone();
                said.retain(|(_, payload, ended)| *ended || !payload.is_empty());
                said
            };
            assert_eq!(begun(&said), begun(&all));
        }
    }
    let mut written = Vec::new();
    for (kind, payload, _) in said.iter().filter(|(_, _, ended)| *ended) {
        Head { last: true, kind: *kind, mask: None, length: payload.len() as u64 }.write(&mut written);
        written.extend_from_slice(payload);
    }
    let ended: Said = said.into_iter().filter(|(_, _, ended)| *ended).collect();
    assert_eq!(read(&written, Sender::Server, usize::MAX), (ended, None));
});
