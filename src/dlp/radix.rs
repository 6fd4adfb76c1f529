//! Looks through codings that write some bits as a character: base64, base32 and hexadecimal. Finds runs of an alphabet
//! and decodes them at every alignment, on and on.

use super::{
    Encoding,
    decoder::{Best, Context, Decoder, Text, index},
    view::View,
};

/// No character of an alphabet has this value.
const NONE: u8 = 0xff;

/// A coding: how many bits a character is, and how its runs look.
pub(super) struct Coding {
    encoding: Encoding,
    /// So many characters are so many bytes.
    group: (u8, u8),
    values: [u8; 256],
    /// The shortest run that is decoded, in characters.
    shortest: usize,
    /// A line of a run must have this many characters for the run to go on after a break.
    shortest_line: u64,
    /// A line has a multiple of this many.
    line_of: u64,
    longest_break: usize,
    /// How many bytes stand between two lines; `None` when what stands there is no break or too little of one.
    line_break: fn(&[u8]) -> Break,
}

const fn values(alphabet: &[u8], also: &[(u8, u8)]) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut at = 0;
    let mut value = 0_u8;
    while at < alphabet.len() {
        values[alphabet[at] as usize] = value;
        at += 1;
        value += 1;
    }
    let mut at = 0;
    while at < also.len() {
        values[also[at].0 as usize] = also[at].1;
        at += 1;
    }
    values
}

/// RFC 4648 §4 and §5, with or without padding, in lines or in one run.
pub(super) static BASE64: Coding = Coding {
    encoding: Encoding::Base64,
    group: (4, 3),
    values: values(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        &[(b'-', 62), (b'_', 63)],
    ),
    shortest: 16,
    shortest_line: 16,
    line_of: 1,
    longest_break: 8,
    line_break,
};

/// RFC 4648 §6.
pub(super) static BASE32: Coding = Coding {
    encoding: Encoding::Base32,
    group: (8, 5),
    values: values(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", &[]),
    shortest: 24,
    shortest_line: 24,
    line_of: 1,
    longest_break: 8,
    line_break,
};

/// The same in lower case. Of both cases at once base64 has long runs by chance.
pub(super) static BASE32_LOWER: Coding =
    Coding { values: values(b"abcdefghijklmnopqrstuvwxyz234567", &[]), ..BASE32_AGAIN };

const BASE32_AGAIN: Coding = Coding {
    encoding: Encoding::Base32,
    group: (8, 5),
    values: [NONE; 256],
    shortest: 24,
    shortest_line: 24,
    line_of: 1,
    longest_break: 8,
    line_break,
};

/// RFC 4648 §8 in either case, with any delimiter after each byte or some of them: `67:68`, `0x67, 0x68`, `\\x67`.
pub(super) static HEX: Coding = Coding {
    encoding: Encoding::Hex,
    group: (2, 1),
    values: values(
        b"0123456789abcdef",
        &[(b'A', 10), (b'B', 11), (b'C', 12), (b'D', 13), (b'E', 14), (b'F', 15)],
    ),
    shortest: 2,
    shortest_line: 2,
    line_of: 2,
    longest_break: 8,
    line_break: delimiter,
};

/// How many characters are decoded at once.
const PIECE: usize = 4096;
/// How many lines a finding can go back at least.
const LINES: usize = 1024;

/// The fewest bytes in hexadecimal that are decoded.
const SHORTEST_HEX: usize = 11;

impl Coding {
    fn has(&self, byte: u8) -> bool {
        self.values[usize::from(byte)] != NONE
    }

    fn alignments(&self) -> u8 {
        self.group.0
    }

    /// How many characters so many decoded bytes are, at most.
    fn characters(&self, bytes: u64) -> u64 {
        bytes.div_ceil(u64::from(self.group.1)) * u64::from(self.group.0)
    }

    /// Finds a run that is long enough, from `at` on; else where to look again once there is more.
    fn find(&self, text: &[u8], at: usize, complete: bool) -> Result<usize, usize> {
        if self.encoding == Encoding::Hex {
            self.find_hex(text, at, complete)
        } else {
            self.find_run(text, at)
        }
    }

    fn find_run(&self, text: &[u8], mut at: usize) -> Result<usize, usize> {
        loop {
            let probe = at + self.shortest - 1;
            let window = text.get(at..=probe).unwrap_or(&text[at.min(text.len())..]);
            let gap = window.iter().rposition(|b| !self.has(*b));
            match gap {
                Some(gap) => at += gap + 1,
                None if probe < text.len() => return Ok(at),
                None => return Err(at),
            }
        }
    }

    /// A run may have a delimiter after each byte, so it is walked.
    fn find_hex(&self, text: &[u8], mut at: usize, complete: bool) -> Result<usize, usize> {
        let mut clear = at;
        while at < text.len() {
            // Most text has other letters than those of hexadecimal within so many bytes.
            while let Some(window) = text.get(clear.max(at)..at + 2 * SHORTEST_HEX) {
                let gap = window.iter().rposition(|b| !IN_HEX[usize::from(*b)]);
                let from = clear.max(at);
                clear = at + 2 * SHORTEST_HEX;
                match gap {
                    Some(gap) => at = from + gap + 1,
                    None => break,
                }
            }
            let Some(rest) = text.get(at..) else { return Err(text.len()) };
            let Some(offset) = rest.iter().position(|b| self.has(*b)) else { return Err(text.len()) };
            at += offset;
            let (mut end, mut count) = (at, 0);
            loop {
                match &text[end..] {
                    [a, b, ..] if self.has(*a) && self.has(*b) => {
                        (end, count) = (end + 2, count + 1);
                        if count == SHORTEST_HEX {
                            return Ok(at);
                        }
                        match delimiter(&text[end..]) {
                            Break::Continues(length) => end += length,
                            Break::Unsure if !complete => return Err(at),
                            Break::Unsure | Break::Over => {}
                        }
                    }
                    [a] if self.has(*a) && !complete => return Err(at),
                    [] if !complete => return Err(at),
                    _ => break,
                }
            }
            // The run is too short, whichever of its digits it is read from.
            at = end.max(at + 1);
        }
        Err(text.len())
    }
}

pub(super) struct Radix {
    coding: &'static Coding,
    depth: u8,
    /// Up to where the text was read; nothing before it is needed again.
    position: u64,
    hold: u64,
    hold_when_idle: u64,
    active: bool,
    run: Option<Box<Run>>,
}

/// A run of characters that is being decoded.
struct Run {
    coding: &'static Coding,
    /// One view for each alignment.
    views: Vec<View>,
    /// Characters so far, breaks not counted.
    count: u64,
    /// Where the last lines begin: the offset in the text, and the number of the first character.
    lines: Vec<(u64, u64)>,
    /// What was not decoded, after the last characters of what was, of one group less one.
    values: Vec<u8>,
    decoded: Vec<u8>,
}

impl Radix {
    pub(super) fn new(coding: &'static Coding, depth: u8) -> Self {
        Self { coding, depth, position: 0, hold: 0, hold_when_idle: 0, active: false, run: None }
    }
}

impl Decoder for Radix {
    fn reset(&mut self) {
        *self = Self { run: self.run.take(), ..Self::new(self.coding, self.depth) };
    }

    fn memory(&self) -> usize {
        let run = self.run.as_ref().map_or(0, |run| {
            let buffers = run.values.capacity()
                + run.decoded.capacity()
                + run.lines.capacity() * size_of::<(u64, u64)>();
            size_of::<Run>() + buffers + run.views.iter().map(View::memory).sum::<usize>()
        });
        size_of::<Self>() + run
    }

    fn release(&mut self) {
        self.run = None;
        self.active = false;
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
        !self.active
    }

    fn pass_over(&mut self, upto: u64) {
        self.position = self.position.max(upto);
    }

    fn advance(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best) {
        let mut at = index(self.position - text.base);
        loop {
            if !self.active {
                match self.coding.find(text.bytes, at, text.complete) {
                    Ok(start) => {
                        at = start;
                        self.active = true;
                        let run = self.run.get_or_insert_with(|| Box::new(Run::new(self.coding, self.depth)));
                        run.begin(text.base + start as u64);
                    }
                    Err(resume) => {
                        at = resume;
                        break;
                    }
                }
            }
            let Some(run) = &mut self.run else { break };
            let rest = &text.bytes[at..];
            let length = rest.iter().position(|b| !self.coding.has(*b)).unwrap_or(rest.len());
            run.feed(context, &rest[..length], best);
            at += length;
            match run.line_break(&text.bytes[at..]) {
                Break::Unsure if !text.complete => {
                    run.flush(context, best);
                    break;
                }
                Break::Continues(length) => {
                    at += length;
                    run.begin_line(text.base + at as u64);
                }
                Break::Unsure | Break::Over => {
                    run.end(context, text.base + usize::min(at + 1, text.bytes.len()) as u64, best);
                    self.active = false;
                }
            }
        }
        self.position = text.base + at as u64;
        let end = text.base + text.bytes.len() as u64;
        let (mut hold, mut idle) = (self.position, u64::MAX);
        if let Some(run) = self.run.as_ref().filter(|_| self.active) {
            hold = run.raw(self.position, View::hold).unwrap_or(end);
            idle = run.raw(self.position, View::hold_when_idle).unwrap_or(u64::MAX);
        }
        // What was once cleared is gone: the bounds from below must not fall behind it.
        self.hold = hold.min(end).max(self.hold);
        self.hold_when_idle = idle;
    }
}

enum Break {
    /// The run goes on after this many bytes.
    Continues(usize),
    /// It is over.
    Over,
    /// It depends on bytes that are not there yet.
    Unsure,
}

/// Reads the break between two lines: `\n`, `\r\n`, or these as JSON escapes them, once or twice.
fn line_break(text: &[u8]) -> Break {
    let (mut at, mut escape, mut broken) = (0, false, false);
    while at < BASE64.longest_break {
        match text.get(at) {
            None => return Break::Unsure,
            Some(b'\\') => escape = true,
            Some(b'n' | b'r') if escape => (escape, broken) = (false, true),
            Some(b'\n' | b'\r') if !escape => broken = true,
            Some(byte) if broken && !escape && BASE64.has(*byte) => return Break::Continues(at),
            Some(_) => return Break::Over,
        }
        at += 1;
    }
    Break::Over
}

/// Signs that may stand between two bytes in hexadecimal. Those of other codings, which are read as what they are, are none.
const fn is_sign(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_punctuation() && !matches!(byte, b'%' | b'\\' | b'=' | b'&')
}

/// What a run of bytes in hexadecimal is made of, with what stands between them.
static IN_HEX: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = byte.is_ascii_hexdigit() || matches!(byte, b'x' | b'X') || is_sign(byte);
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};

/// Reads what stands between two bytes in hexadecimal: a few signs, and a prefix of the next.
fn delimiter(text: &[u8]) -> Break {
    const SIGNS: usize = 4;
    let mut at = text.iter().take(SIGNS).take_while(|b| is_sign(**b)).count();
    match &text[at..] {
        [b'0', b'x' | b'X', ..] if at > 0 => at += 2,
        [b'x' | b'X', ..] if at > 0 => at += 1,
        [] | [_] => return Break::Unsure,
        _ => {}
    }
    match &text[at..] {
        [] | [_] => Break::Unsure,
        [a, b, ..] if at > 0 && HEX.has(*a) && HEX.has(*b) => Break::Continues(at),
        _ => Break::Over,
    }
}

impl Run {
    fn new(coding: &'static Coding, depth: u8) -> Self {
        Self {
            coding,
            views: (0..coding.alignments()).map(|_| View::new(depth)).collect(),
            count: 0,
            lines: Vec::new(),
            values: Vec::new(),
            decoded: Vec::new(),
        }
    }

    fn begin(&mut self, at: u64) {
        self.views.iter_mut().for_each(View::reset);
        self.values.clear();
        self.count = 0;
        self.lines.clear();
        self.lines.push((at, 0));
    }

    fn line_break(&self, text: &[u8]) -> Break {
        let line = self.count - self.lines.last().map_or(0, |line| line.1);
        match (self.coding.line_break)(text) {
            _ if text.is_empty() => Break::Unsure,
            _ if line < self.coding.shortest_line || !line.is_multiple_of(self.coding.line_of) => Break::Over,
            seen => seen,
        }
    }

    fn begin_line(&mut self, at: u64) {
        if self.lines.len() >= 2 * LINES {
            self.lines.drain(..LINES);
        }
        self.lines.push((at, self.count));
    }

    /// The offset in the text after so many characters of the run.
    fn offset(&self, number: u64) -> u64 {
        let line = self.lines.iter().rev().find(|(_, first)| *first < number).or(self.lines.first());
        line.map_or(0, |(at, first)| at + number.saturating_sub(*first))
    }

    /// Reads the next characters of the current line.
    fn feed(&mut self, context: Context<'_>, characters: &[u8], best: &mut Best) {
        for piece in characters.chunks(PIECE) {
            self.values.extend(piece.iter().map(|b| self.coding.values[usize::from(*b)]));
            self.count += piece.len() as u64;
            if self.values.len() >= PIECE {
                self.flush(context, best);
            }
        }
    }

    /// Decodes what was read.
    fn flush(&mut self, context: Context<'_>, best: &mut Best) {
        let first = self.count - self.values.len() as u64;
        for alignment in 0..self.coding.alignments() {
            self.decode(context, alignment, first, best);
        }
        let gone = self.values.len().saturating_sub(usize::from(self.coding.alignments()) - 1);
        self.values.drain(..gone);
    }

    /// Decodes the whole groups of `values` at one alignment; `first` is the number of the first value.
    fn decode(&mut self, context: Context<'_>, alignment: u8, first: u64, best: &mut Best) {
        let chars = u64::from(self.coding.alignments());
        let skip = (u64::from(alignment) + chars - first % chars) % chars;
        // Groups that begin before the alignment's first character do not exist.
        let skip = if first + skip < u64::from(alignment) { skip + chars } else { skip };
        let Some(values) = self.values.get(index(skip)..) else { return };
        self.decoded.clear();
        match self.coding.group {
            (4, 3) => {
                for [a, b, c, d] in values.as_chunks::<4>().0 {
                    self.decoded.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                }
            }
            (2, 1) => self.decoded.extend(values.as_chunks::<2>().0.iter().map(|[a, b]| a << 4 | b)),
            _ => {
                for [a, b, c, d, e, f, g, h] in values.as_chunks::<8>().0 {
                    self.decoded.extend_from_slice(&[
                        a << 3 | b >> 2,
                        b << 6 | c << 1 | d >> 4,
                        d << 4 | e >> 1,
                        e << 7 | f << 2 | g >> 3,
                        g << 5 | h,
                    ]);
                }
            }
        }
        if self.decoded.is_empty() {
            return;
        }
        let decoded = std::mem::take(&mut self.decoded);
        self.offer(alignment, None, best, |view, inner| view.feed(context, &decoded, inner));
        self.decoded = decoded;
    }

    /// The run is over: the incomplete groups, then the end of each view; certain at `at`.
    fn end(&mut self, context: Context<'_>, at: u64, best: &mut Best) {
        self.flush(context, best);
        let chars = self.coding.alignments();
        for alignment in 0..chars {
            let left = index(self.count.saturating_sub(u64::from(alignment)) % u64::from(chars));
            let values = &self.values[self.values.len() - left.min(self.values.len())..];
            // As many whole bytes as the bits of an incomplete group are.
            let bits = 8 * u32::from(self.coding.group.1) / u32::from(self.coding.group.0);
            let (mut rest, mut held, mut waiting) = (Vec::new(), 0_u32, 0);
            for value in values {
                (held, waiting) = (held << bits | u32::from(*value), waiting + bits);
                if waiting >= 8 {
                    waiting -= 8;
                    rest.push(u8::try_from(held >> waiting & 0xff).unwrap_or(0));
                }
            }
            self.offer(alignment, Some(at), best, |view, inner| {
                view.feed(context, &rest, inner);
                view.finish(context, inner);
            });
        }
        self.views.iter_mut().for_each(View::release);
    }

    /// Lets a view read, and passes on what it finds in the text's own offsets.
    fn offer(
        &mut self,
        alignment: u8,
        certain: Option<u64>,
        best: &mut Best,
        read: impl FnOnce(&mut View, &mut Best),
    ) {
        let mut inner = Best::default();
        read(&mut self.views[usize::from(alignment)], &mut inner);
        let Some(mut found) = inner.0 else { return };
        let number = u64::from(alignment) + self.coding.characters(found.certain);
        let begins = number.saturating_sub(self.coding.characters(found.certain - found.start));
        // One character on, so that a break before it does not count.
        found.start = self.offset(begins + 1).saturating_sub(1);
        let certain = certain.unwrap_or_else(|| self.offset(number));
        found.certain = certain;
        found.chain.insert(0, self.coding.encoding);
        best.offer(found);
    }

    /// A bound from below, in the text's own offsets, of what the views hold at `now`.
    fn raw(&self, now: u64, from: impl Fn(&View) -> u64) -> Option<u64> {
        let held = self.views.iter().map(|view| view.total() - from(view)).max().unwrap_or(0);
        if held == 0 {
            return None;
        }
        let characters = self.coding.characters(held) + u64::from(self.coding.alignments());
        let breaks = (characters / self.coding.shortest_line + 1) * self.coding.longest_break as u64;
        Some(now.saturating_sub(characters + breaks))
    }
}
