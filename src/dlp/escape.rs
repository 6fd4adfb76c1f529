//! Looks through percent-encoding and JSON's `\u` escapes: where one stands, the text around it is decoded.

use super::{
    Encoding,
    decoder::{Best, Context, Decoder, Text, index},
    view::View,
};

/// How much of the text before the first escape is decoded with it.
const CONTEXT: usize = 64;

pub(super) struct Escapes {
    kind: Encoding,
    depth: u8,
    position: u64,
    hold: u64,
    hold_when_idle: u64,
    active: bool,
    view: Option<Box<View>>,
    decoded: Vec<u8>,
}

/// What stands at a place.
enum Unit {
    /// A byte, and how many bytes it took.
    Byte(u8, usize),
    /// What ends the stretch of text.
    End,
    /// It depends on bytes that are not there yet.
    Unsure,
}

impl Escapes {
    pub(super) fn new(kind: Encoding, depth: u8) -> Self {
        Self {
            kind,
            depth,
            position: 0,
            hold: 0,
            hold_when_idle: 0,
            active: false,
            view: None,
            decoded: Vec::new(),
        }
    }

    fn settle(&mut self, text: Text<'_>) {
        let end = text.base + text.bytes.len() as u64;
        let (mut hold, mut idle) = (self.position, u64::MAX);
        if let Some(view) = self.view.as_ref().filter(|_| self.active) {
            let widest = if self.kind == Encoding::Percent { 3 } else { 6 };
            let raw = |held: u64| {
                if held == 0 { u64::MAX } else { self.position.saturating_sub(held * widest) }
            };
            hold = hold.min(raw(view.total() - view.hold()));
            idle = raw(view.total() - view.hold_when_idle());
        } else if self.position < end {
            // An escape may have begun, and then the text before it is a part of the stretch.
            hold = text.base + Self::stretch_before(text.bytes, index(self.position - text.base)) as u64;
        }
        self.hold = hold.min(end);
        self.hold_when_idle = idle;
    }

    /// Decodes from `at` on; says where it stopped, and whether the stretch is over.
    fn feed(&mut self, context: Context<'_>, text: Text<'_>, at: usize, best: &mut Best) -> (usize, bool) {
        self.decoded.clear();
        let mut next = at;
        let mut over = text.complete;
        while next < text.bytes.len() {
            match self.unit(text, next) {
                Unit::Byte(byte, length) => {
                    self.decoded.push(byte);
                    next += length;
                }
                Unit::End => {
                    over = true;
                    break;
                }
                Unit::Unsure => break,
            }
        }
        let Some(view) = &mut self.view else { return (next, over) };
        let before = view.total();
        let mut inner = Best::default();
        view.feed(context, &self.decoded, &mut inner);
        let in_stretch = inner.0.is_some();
        if over {
            view.finish(context, &mut inner);
        }
        if let Some(mut found) = inner.0 {
            let end = usize::min(next + usize::from(over), text.bytes.len());
            let certain = if in_stretch { self.raw(text, at, found.certain - before) } else { end };
            let certain = text.base + certain as u64;
            found.start = certain.saturating_sub(found.certain - found.start);
            found.certain = certain;
            found.chain.insert(0, self.kind);
            best.offer(found);
        }
        (next, over)
    }

    /// The index in the text after `count` decoded bytes from `at`.
    fn raw(&self, text: Text<'_>, mut at: usize, count: u64) -> usize {
        for _ in 0..count {
            match self.unit(text, at) {
                Unit::Byte(_, length) => at += length,
                Unit::End | Unit::Unsure => break,
            }
        }
        at
    }

    /// Finds the next escape from `at` on; else where to look again once there is more.
    fn find(&self, text: Text<'_>, mut at: usize) -> Result<usize, usize> {
        let mark = if self.kind == Encoding::Percent { b'%' } else { b'\\' };
        while let Some(offset) = memchr::memchr(mark, text.bytes.get(at..).unwrap_or_default()) {
            at += offset;
            match self.unit(text, at) {
                Unit::Byte(_, length) if length >= 3 => return Ok(at),
                Unit::Unsure => return Err(at),
                Unit::Byte(..) | Unit::End => at += 1,
            }
        }
        Err(text.bytes.len())
    }

    /// Where the stretch of text that an escape belongs to begins, at most `CONTEXT` before it.
    fn stretch_before(bytes: &[u8], escape: usize) -> usize {
        let from = escape.saturating_sub(CONTEXT);
        bytes[from..escape].iter().rposition(|b| ends(*b)).map_or(from, |at| from + at + 1)
    }

    fn unit(&self, text: Text<'_>, at: usize) -> Unit {
        let rest = &text.bytes[at..];
        let escape = match self.kind {
            Encoding::Percent => rest.first() == Some(&b'%'),
            _ => rest.first() == Some(&b'\\'),
        };
        match rest {
            [byte, ..] if !escape => {
                if ends(*byte) {
                    Unit::End
                } else {
                    Unit::Byte(*byte, 1)
                }
            }
            [b'%', high, low, ..] => hex(&[*high, *low]).map_or(Unit::Byte(b'%', 1), |b| Unit::Byte(b, 3)),
            [b'\\', b'u', digits @ ..] if digits.len() >= 4 => match hex(&digits[..4]) {
                Some(byte @ (b'\t' | b'\n' | b'\r' | b' '..=b'~')) => Unit::Byte(byte, 6),
                _ => Unit::End,
            },
            [b'\\', b'/', ..] => Unit::Byte(b'/', 2),
            [b'\\', b'u', ..] | [b'\\'] | [b'%', ..] if !text.complete => Unit::Unsure,
            [b'%', ..] => Unit::Byte(b'%', 1),
            _ => Unit::End,
        }
    }
}

impl Decoder for Escapes {
    fn reset(&mut self) {
        let (view, decoded) = (self.view.take(), std::mem::take(&mut self.decoded));
        *self = Self { view, decoded, ..Self::new(self.kind, self.depth) };
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn hold(&self) -> u64 {
        self.hold
    }

    fn hold_when_idle(&self) -> u64 {
        self.hold_when_idle
    }

    fn advance(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best) {
        let mut at = index(self.position - text.base);
        loop {
            if !self.active {
                match self.find(text, at) {
                    Ok(escape) => {
                        at = Self::stretch_before(text.bytes, escape);
                        self.active = true;
                        let depth = self.depth;
                        self.view.get_or_insert_with(|| Box::new(View::new(depth))).reset();
                    }
                    Err(resume) => {
                        at = resume;
                        break;
                    }
                }
            }
            let (next, over) = self.feed(context, text, at, best);
            at = next;
            if !over {
                break;
            }
            self.active = false;
        }
        self.position = text.base + at as u64;
        self.settle(text);
    }
}

/// What an address or an encoded string cannot go on with.
fn ends(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\') || byte >= 0x7f
}

/// A byte in hexadecimal, with leading zeros.
fn hex(digits: &[u8]) -> Option<u8> {
    let value = digits
        .iter()
        .try_fold(0_u32, |value, digit| char::from(*digit).to_digit(16).map(|digit| value << 4 | digit))?;
    u8::try_from(value).ok()
}
