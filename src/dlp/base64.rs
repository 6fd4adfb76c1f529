//! Looks through base64: finds runs of either alphabet, decodes them at all four alignments, on and on.

use super::{
    Encoding,
    decoder::{Best, Context, Decoder, Text, index},
    view::View,
};

/// The shortest run that is decoded: 18 bytes.
const SHORTEST_RUN: usize = 24;
/// A line of a run must be this long for the run to go on in the next one.
const SHORTEST_LINE: u64 = 60;
/// The longest line break: `\\r\\n` in a JSON string that is itself in a JSON string, and an indent's worth more.
const LONGEST_BREAK: usize = 8;

/// The value of a character of either alphabet; 64 for every other byte.
static VALUE: [u8; 256] = {
    let mut value = [64; 256];
    let mut i = 0_u8;
    while i < 26 {
        value[(b'A' + i) as usize] = i;
        value[(b'a' + i) as usize] = 26 + i;
        if i < 10 {
            value[(b'0' + i) as usize] = 52 + i;
        }
        i += 1;
    }
    value[b'+' as usize] = 62;
    value[b'-' as usize] = 62;
    value[b'/' as usize] = 63;
    value[b'_' as usize] = 63;
    value
};

fn is_base64(byte: u8) -> bool {
    VALUE[usize::from(byte)] < 64
}

pub(super) struct Base64 {
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
    /// One view for each alignment.
    views: [View; 4],
    /// Characters so far, line breaks not counted.
    count: u64,
    /// The values of the last three characters.
    carry: Vec<u8>,
    /// Where the current line begins: its offset in the text, and its first character's number.
    line: (u64, u64),
    values: Vec<u8>,
    decoded: Vec<u8>,
}

impl Base64 {
    pub(super) fn new(depth: u8) -> Self {
        Self { depth, position: 0, hold: 0, hold_when_idle: 0, active: false, run: None }
    }
}

impl Decoder for Base64 {
    fn reset(&mut self) {
        *self = Self { run: self.run.take(), ..Self::new(self.depth) };
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
                match find_run(text.bytes, at) {
                    Ok(start) => {
                        at = start;
                        self.active = true;
                        let run = self.run.get_or_insert_with(|| Box::new(Run::new(self.depth)));
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
            let length = rest.iter().position(|b| !is_base64(*b)).unwrap_or(rest.len());
            run.feed(context, &rest[..length], best);
            at += length;
            match line_break(&text.bytes[at..], run.line_length()) {
                Break::Unsure if !text.complete => break,
                Break::Continues(length) => {
                    at += length;
                    run.line = (text.base + at as u64, run.count);
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

/// Finds a run that is long enough, from `at` on; else where to look again once there is more.
fn find_run(text: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        let probe = at + SHORTEST_RUN - 1;
        let window = text.get(at..=probe).unwrap_or(&text[at.min(text.len())..]);
        let gap = window.iter().rposition(|b| !is_base64(*b));
        match gap {
            Some(gap) => at += gap + 1,
            None if probe < text.len() => return Ok(at),
            None => return Err(at),
        }
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

/// Reads the break between two lines of wrapped base64: `\n`, `\r\n`, or these as JSON escapes them.
fn line_break(text: &[u8], line: u64) -> Break {
    if text.is_empty() {
        return Break::Unsure;
    }
    if line < SHORTEST_LINE || !line.is_multiple_of(4) {
        return Break::Over;
    }
    let (mut at, mut escape, mut broken) = (0, false, false);
    while at < LONGEST_BREAK {
        match text.get(at) {
            None => return Break::Unsure,
            Some(b'\\') => escape = true,
            Some(b'n' | b'r') if escape => (escape, broken) = (false, true),
            Some(b'\n' | b'\r') if !escape => broken = true,
            Some(byte) if broken && !escape && is_base64(*byte) => return Break::Continues(at),
            Some(_) => return Break::Over,
        }
        at += 1;
    }
    Break::Over
}

impl Run {
    fn new(depth: u8) -> Self {
        Self {
            views: [depth; 4].map(View::new),
            count: 0,
            carry: Vec::new(),
            line: (0, 0),
            values: Vec::new(),
            decoded: Vec::new(),
        }
    }

    fn begin(&mut self, at: u64) {
        self.views.iter_mut().for_each(View::reset);
        self.carry.clear();
        (self.count, self.line) = (0, (at, 0));
    }

    fn line_length(&self) -> u64 {
        self.count - self.line.1
    }

    /// Decodes the next characters of the current line.
    fn feed(&mut self, context: Context<'_>, characters: &[u8], best: &mut Best) {
        for piece in characters.chunks(4096) {
            let first = self.count - self.carry.len() as u64;
            self.values.clear();
            self.values.extend_from_slice(&self.carry);
            self.values.extend(piece.iter().map(|b| VALUE[usize::from(*b)]));
            self.count += piece.len() as u64;
            for alignment in 0..4_u8 {
                self.decode(context, alignment, first, best);
            }
            self.carry.clear();
            let tail = self.values.len().saturating_sub(3);
            self.carry.extend_from_slice(&self.values[tail..]);
        }
    }

    /// Decodes the whole groups of `values` at one alignment; `first` is the number of the first value.
    fn decode(&mut self, context: Context<'_>, alignment: u8, first: u64, best: &mut Best) {
        let skip = (u64::from(alignment) + 4 - first % 4) % 4;
        // Groups that begin before the alignment's first character do not exist.
        let skip = if first + skip < u64::from(alignment) { skip + 4 } else { skip };
        let Some(values) = self.values.get(index(skip)..) else { return };
        let (groups, _) = values.as_chunks::<4>();
        self.decoded.resize(groups.len() * 3, 0);
        let (bytes, _) = self.decoded.as_chunks_mut::<3>();
        for (bytes, [a, b, c, d]) in bytes.iter_mut().zip(groups) {
            *bytes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
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
        for alignment in 0..4_u8 {
            let left = index(self.count.saturating_sub(u64::from(alignment)) % 4);
            let values = &self.carry[self.carry.len() - left.min(self.carry.len())..];
            let rest: Vec<u8> = match *values {
                [a, b] => vec![a << 2 | b >> 4],
                [a, b, c] => vec![a << 2 | b >> 4, b << 4 | c >> 2],
                _ => Vec::new(),
            };
            self.offer(alignment, Some(at), best, |view, inner| {
                view.feed(context, &rest, inner);
                view.finish(context, inner);
            });
        }
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
        let number = u64::from(alignment) + found.certain.div_ceil(3) * 4;
        let certain = certain.unwrap_or(self.line.0 + number.saturating_sub(self.line.1));
        found.start = certain.saturating_sub((found.certain - found.start).div_ceil(3) * 4);
        found.certain = certain;
        found.chain.insert(0, Encoding::Base64);
        best.offer(found);
    }

    /// A bound from below, in the text's own offsets, of what the views hold at `now`.
    fn raw(&self, now: u64, from: impl Fn(&View) -> u64) -> Option<u64> {
        let held = self.views.iter().map(|view| view.total() - from(view)).max().unwrap_or(0);
        if held == 0 {
            return None;
        }
        let characters = held.div_ceil(3) * 4 + 4;
        let breaks = (characters / SHORTEST_LINE + 1) * LONGEST_BREAK as u64;
        Some(now.saturating_sub(characters + breaks))
    }
}
