//! Looks through codings that write a byte as several: percent-encoding, escapes of strings, entities of HTML,
//! quoted-printable, UTF-16, and characters that only look like ASCII. Where one stands, the text around it is decoded.

use super::{
    Encoding,
    decoder::{Best, Context, Decoder, Text, index},
    lookalike::{self, Seen},
    view::View,
};

/// How much of the text before the first escape is decoded with it.
const CONTEXT: usize = 64;
/// How often a percent sign may be encoded again: `%2525…67`.
const AGAIN: usize = 8;
/// How many backslashes may stand where one would: an escape in a string in a string.
const BACKSLASHES: usize = 8;

pub(super) struct Escapes {
    kind: Encoding,
    depth: u8,
    position: u64,
    hold: u64,
    hold_when_idle: u64,
    active: bool,
    view: Option<Box<View>>,
    decoded: Vec<u8>,
    /// Bytes of the stretch that are nothing.
    skipped: u64,
}

/// What stands at a place.
enum Unit {
    /// A byte, and how many bytes it took.
    Byte(u8, usize),
    /// Nothing, in so many bytes.
    Nothing(usize),
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
            skipped: 0,
        }
    }

    fn settle(&mut self, text: Text<'_>) {
        let end = text.base + text.bytes.len() as u64;
        let (mut hold, mut idle) = (self.position, u64::MAX);
        if let Some(view) = self.view.as_ref().filter(|_| self.active) {
            let widest = widest(self.kind);
            let raw = |held: u64| {
                if held == 0 { u64::MAX } else { self.position.saturating_sub(held * widest + self.skipped) }
            };
            hold = hold.min(raw(view.total() - view.hold()));
            idle = raw(view.total() - view.hold_when_idle());
        } else if self.position < end {
            // An escape may have begun, and then the text before it is a part of the stretch.
            hold = text.base + self.stretch_before(text.bytes, index(self.position - text.base)) as u64;
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
                Unit::Nothing(length) => {
                    next += length;
                    self.skipped += length as u64;
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
        let mut read = 0;
        while read < count {
            match self.unit(text, at) {
                Unit::Byte(_, length) => (at, read) = (at + length, read + 1),
                Unit::Nothing(length) => at += length,
                Unit::End | Unit::Unsure => break,
            }
        }
        at
    }

    /// Finds the next escape from `at` on; else where to look again once there is more.
    fn find(&self, text: Text<'_>, mut at: usize) -> Result<usize, usize> {
        while let Some(offset) = self.find_mark(text.bytes.get(at..).unwrap_or_default()) {
            at += offset;
            if matches!(self.kind, Encoding::Utf16 | Encoding::Unicode | Encoding::QuotedPrintable)
                && !text.complete
                && text.bytes.len() < at + 8
            {
                return Err(at);
            }
            match self.unit(text, at) {
                Unit::Unsure => return Err(at),
                unit if self.is_escape(text.bytes, at, &unit) => return Ok(at),
                // In UTF-16 the mark is the second byte of a character.
                _ => at += 1,
            }
        }
        // A zero that follows may belong to the last byte.
        Err(if self.kind == Encoding::Utf16 {
            at.max(text.bytes.len().saturating_sub(1))
        } else {
            text.bytes.len()
        })
    }

    /// The next byte that may be one of an escape.
    fn find_mark(&self, bytes: &[u8]) -> Option<usize> {
        match self.kind {
            Encoding::Percent => memchr::memchr(b'%', bytes),
            Encoding::JsonEscape => memchr::memchr(b'\\', bytes),
            Encoding::Html => memchr::memchr(b'&', bytes),
            Encoding::QuotedPrintable => memchr::memchr(b'=', bytes),
            Encoding::Utf16 => {
                let nul = memchr::memchr(0, bytes)?;
                Some(nul.saturating_sub(1))
            }
            // What begins a character goes on with another byte of one.
            _ => find_lead(bytes),
        }
    }

    fn is_escape(&self, bytes: &[u8], at: usize, unit: &Unit) -> bool {
        match (self.kind, unit) {
            // Two of them, or it is the end of a string of C.
            (Encoding::Utf16, Unit::Byte(_, length @ 2..)) => bytes.get(at + 2 * length - 1) == Some(&0),
            (Encoding::Unicode, Unit::Byte(..) | Unit::Nothing(_)) => !is_prose(bytes, at),
            // One alone is a query's `a=20` more often than not.
            (Encoding::QuotedPrintable, Unit::Byte(_, 3)) => bytes.get(at + 3) == Some(&b'='),
            (Encoding::Utf16, _)
            | (Encoding::QuotedPrintable, Unit::Byte(..))
            | (_, Unit::End | Unit::Unsure) => false,
            (_, Unit::Byte(_, length)) => *length >= 3,
            (_, Unit::Nothing(_)) => true,
        }
    }

    /// Where the stretch of text that an escape belongs to begins, at most `CONTEXT` before it.
    fn stretch_before(&self, bytes: &[u8], escape: usize) -> usize {
        if self.kind == Encoding::Utf16 {
            return escape;
        }
        let from = escape.saturating_sub(CONTEXT);
        bytes[from..escape].iter().rposition(|b| ends(self.kind, *b)).map_or(from, |at| from + at + 1)
    }

    fn unit(&self, text: Text<'_>, at: usize) -> Unit {
        let rest = &text.bytes[at..];
        let unit = match (self.kind, rest) {
            (_, []) => Unit::Unsure,
            (Encoding::Percent, [b'%', ..]) => percent(rest),
            (Encoding::JsonEscape, [b'\\', ..]) => backslash(rest),
            (Encoding::Html, [b'&', ..]) => entity(rest),
            (Encoding::QuotedPrintable, [b'=', ..]) => quoted(rest),
            (Encoding::Utf16, _) => wide(rest, text.complete),
            (Encoding::Unicode, [0x80..=0xff, ..]) => lookalike(rest),
            (kind, [byte, ..]) if ends(kind, *byte) => Unit::End,
            (_, [byte, ..]) => Unit::Byte(*byte, 1),
        };
        match (unit, rest.first()) {
            (Unit::Unsure, Some(byte)) if text.complete => {
                if ends(self.kind, *byte) {
                    Unit::End
                } else {
                    Unit::Byte(*byte, 1)
                }
            }
            (unit, _) => unit,
        }
    }
}

/// How many bytes one of a kind can be at most.
fn widest(kind: Encoding) -> u64 {
    match kind {
        Encoding::Percent => 3 + 2 * AGAIN as u64,
        Encoding::JsonEscape => 10 + BACKSLASHES as u64,
        Encoding::Html => ENTITY as u64,
        _ => 4,
    }
}

/// `%67`, also where its sign was encoded again: `%2567`.
fn percent(text: &[u8]) -> Unit {
    let mut at = 1;
    while at <= 2 * AGAIN && text[at..].starts_with(b"25") {
        at += 2;
    }
    match &text[at..] {
        [high, low, ..] => match hex(&[*high, *low]) {
            Some(byte) => Unit::Byte(byte, at + 2),
            // What was taken for a sign that was encoded again is the sign itself.
            None if at > 1 => Unit::Byte(b'%', at),
            None => Unit::Byte(b'%', 1),
        },
        _ => Unit::Unsure,
    }
}

/// `\\u0067`, `\\u{67}`, `\\U00000067`, `\\x67`, `\\147`, `\\/`, with any number of backslashes.
fn backslash(text: &[u8]) -> Unit {
    let signs = text.iter().take(BACKSLASHES).take_while(|b| **b == b'\\').count();
    let digits = |from: usize, count: usize| {
        text.get(signs + from..signs + from + count).map(|it| (it, signs + from + count))
    };
    let (code, length) = match &text[signs..] {
        [] | [b'u' | b'x' | b'U'] => return Unit::Unsure,
        [b'/', ..] => return Unit::Byte(b'/', signs + 1),
        [b'u', b'{', ..] => {
            let inner = &text[signs + 2..];
            let Some(end) = inner.iter().take(9).position(|b| *b == b'}') else {
                return if inner.len() < 9 { Unit::Unsure } else { Unit::End };
            };
            (code(&inner[..end], 16), signs + 3 + end)
        }
        [kind @ (b'u' | b'x' | b'U'), ..] => {
            let count = match kind {
                b'u' => 4,
                b'x' => 2,
                _ => 8,
            };
            let Some((digits, end)) = digits(1, count) else { return Unit::Unsure };
            (code(digits, 16), end)
        }
        [b'0'..=b'3', ..] => {
            let Some((digits, end)) = digits(0, 3) else { return Unit::Unsure };
            (code(digits, 8), end)
        }
        _ => return Unit::End,
    };
    shown(code, length)
}

/// The longest entity that is read: `&#x` and eight digits.
const ENTITY: usize = 12;

/// `&#103;`, `&#x67;`, and the names of what a credential can hold.
fn entity(text: &[u8]) -> Unit {
    let Some(end) = text.iter().take(ENTITY).position(|b| *b == b';') else {
        return if text.len() < ENTITY { Unit::Unsure } else { Unit::Byte(b'&', 1) };
    };
    let code = match &text[1..end] {
        [b'#', b'x' | b'X', digits @ ..] => code(digits, 16),
        [b'#', digits @ ..] => code(digits, 10),
        b"lowbar" | b"UnderBar" => Some(u32::from(b'_')),
        b"hyphen" | b"dash" => Some(u32::from(b'-')),
        b"period" => Some(u32::from(b'.')),
        b"sol" => Some(u32::from(b'/')),
        b"plus" => Some(u32::from(b'+')),
        b"equals" => Some(u32::from(b'=')),
        b"colon" => Some(u32::from(b':')),
        b"amp" => Some(u32::from(b'&')),
        b"shy" | b"zwj" | b"zwnj" | b"ZeroWidthSpace" => return Unit::Nothing(end + 1),
        _ => None,
    };
    match code {
        Some(_) => shown(code, end + 1),
        None => Unit::Byte(b'&', 1),
    }
}

/// `=67`, and `=` at the end of a line, which goes on in the next (RFC 2045 §6.7).
fn quoted(text: &[u8]) -> Unit {
    match text {
        [_, b'\n', ..] => Unit::Nothing(2),
        [_, b'\r', b'\n', ..] => Unit::Nothing(3),
        [] | [_] | [_, _] => Unit::Unsure,
        [_, high, low, ..] => hex(&[*high, *low]).map_or(Unit::Byte(b'=', 1), |byte| Unit::Byte(byte, 3)),
    }
}

/// A character of UTF-16 or UTF-32, of which only one byte is not zero; the order of bytes tells nothing here.
fn wide(text: &[u8], complete: bool) -> Unit {
    match text {
        [byte, 0, 0, 0, ..] if is_text(*byte) => Unit::Byte(*byte, 4),
        [byte, 0, 0, next, ..] if is_text(*byte) && *next != 0 => Unit::End,
        [byte, 0, ..] if is_text(*byte) && (text.len() >= 4 || complete) => Unit::Byte(*byte, 2),
        [byte, 0, ..] | [byte] if is_text(*byte) && !complete => Unit::Unsure,
        _ => Unit::End,
    }
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

/// The first bytes of characters that look like ASCII, or like nothing.
static LEADS: [bool; 256] = {
    let mut leads = [false; 256];
    let firsts = [
        0xc2, 0xc4, 0xc5, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd8, 0xe1, 0xe2, 0xe3, 0xea,
        0xef, 0xf0, 0xf3,
    ];
    let mut at = 0;
    while at < firsts.len() {
        leads[firsts[at]] = true;
        at += 1;
    }
    leads
};

/// The next byte that may begin a character that looks like ASCII: after it another one of a character follows, if any.
fn find_lead(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 64;
    let mut at = 0;
    loop {
        while bytes.get(at..at + CHUNK).is_some_and(<[u8]>::is_ascii) {
            at += CHUNK;
        }
        at += bytes.get(at..)?.iter().position(|b| LEADS[usize::from(*b)])?;
        if bytes.get(at + 1).is_none_or(|next| next & 0xc0 == 0x80) {
            return Some(at);
        }
        at += 1;
    }
}

/// A character of UTF-8 as a reader sees it.
fn lookalike(text: &[u8]) -> Unit {
    let length = match text[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Unit::End,
    };
    let Some(bytes) = text.get(..length) else { return Unit::Unsure };
    let Some(c) = std::str::from_utf8(bytes).ok().and_then(|text| text.chars().next()) else {
        return Unit::End;
    };
    match lookalike::seen(c) {
        Seen::As(byte) => Unit::Byte(byte, length),
        Seen::Nothing => Unit::Nothing(length),
        Seen::Itself => Unit::End,
    }
}

/// Whether a letter of another script stands among others of that script, and not beside ASCII.
fn is_prose(bytes: &[u8], at: usize) -> bool {
    let length = if bytes[at] < 0xe0 { 2 } else { 3 };
    let c = bytes
        .get(at..at + length)
        .and_then(|it| std::str::from_utf8(it).ok())
        .and_then(|it| it.chars().next());
    let beside =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    c.is_some_and(lookalike::is_letter) && !beside(bytes[..at].last()) && !beside(bytes.get(at + length))
}

/// A number in digits, of which the first may be zeros.
fn code(digits: &[u8], radix: u32) -> Option<u32> {
    let add = |value: u32, digit: &u8| {
        char::from(*digit).to_digit(radix).and_then(|digit| value.checked_mul(radix)?.checked_add(digit))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// What a character is whose number was written out in so many bytes.
fn shown(code: Option<u32>, length: usize) -> Unit {
    match code {
        Some(0) => Unit::Byte(0, length),
        Some(code) => match u8::try_from(code) {
            Ok(byte @ (b'\t' | b'\n' | b'\r' | b' '..=b'~')) => Unit::Byte(byte, length),
            _ => match char::from_u32(code).map(lookalike::seen) {
                Some(Seen::As(byte)) => Unit::Byte(byte, length),
                Some(Seen::Nothing) => Unit::Nothing(length),
                _ => Unit::End,
            },
        },
        None => Unit::End,
    }
}

impl Decoder for Escapes {
    fn reset(&mut self) {
        let (view, decoded) = (self.view.take(), std::mem::take(&mut self.decoded));
        *self = Self { view, decoded, ..Self::new(self.kind, self.depth) };
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.decoded.capacity() + self.view.as_ref().map_or(0, |view| view.memory())
    }

    fn release(&mut self) {
        self.view = None;
        self.active = false;
        self.decoded = Vec::new();
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

    fn wants_text(&self) -> bool {
        !self.active && !matches!(self.kind, Encoding::Utf16 | Encoding::Unicode)
    }

    fn pass_over(&mut self, upto: u64) {
        self.position = self.position.max(upto);
    }

    fn advance(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best) {
        let mut at = index(self.position - text.base);
        // No stretch begins before what ended the last one: an escape of something else than text would end it again.
        let mut free = 0;
        loop {
            if !self.active {
                match self.find(text, at) {
                    Ok(escape) => {
                        at = self.stretch_before(text.bytes, escape).max(free);
                        self.active = true;
                        self.skipped = 0;
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
            free = next + 1;
            self.active = false;
        }
        self.position = text.base + at as u64;
        self.settle(text);
    }
}

/// What an address or an encoded string cannot go on with.
fn ends(kind: Encoding, byte: u8) -> bool {
    if kind == Encoding::Unicode {
        return !is_text(byte);
    }
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\') || byte >= 0x7f
}

/// A byte in hexadecimal, with leading zeros.
fn hex(digits: &[u8]) -> Option<u8> {
    let value = digits
        .iter()
        .try_fold(0_u32, |value, digit| char::from(*digit).to_digit(16).map(|digit| value << 4 | digit))?;
    u8::try_from(value).ok()
}
