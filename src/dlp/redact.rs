//! Takes credentials out of a text that comes in pieces, and puts a mark in their place.
//!
//! Only what stands there in clear is taken out. What goes on must be scanned again, by a [`StreamScanner`] that refuses:
//! this one serves the reader of the text, that one the secret.
//!
//! [`StreamScanner`]: super::StreamScanner

use super::{
    Finding, Scanner,
    decoder::{Best, Context, ViewFinding, index},
    decoders::none,
    json::Strings,
    judge::is_base64_url,
    kinds::TABLE,
    set::{LEFT, PatternId, Set},
    view::View,
};
use serde::Serialize;
use std::{cell::Cell, collections::BTreeMap};

/// So much is read at once. After each credential the rest of it is read again.
const STEP: usize = 512;
/// More credentials in one text are a dump of them, and no slip.
const MOST: u32 = 1000;
/// A key of lines that is not over after so many bytes is none.
const LONGEST_BLOCK: usize = 64 << 10;
/// How much of a word stays when the text pauses: it may be the beginning of a credential.
const LONGEST_WORD: usize = 256;
/// The longest mark is no longer than the name of a kind and this.
const MARK: (&str, &str) = ("[secret removed by bottle: ", "]");
/// Of a name that a manifest gives to a pattern of its own, so much is shown.
const LONGEST_NAME: usize = 64;

/// What was taken out: kinds, and how many of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Removed(BTreeMap<String, u32>);

impl Removed {
    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind, and how many of it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    /// As a list of a field (RFC 9651 §3.1); nothing where nothing was removed.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        const MOST: usize = 16;
        let kinds = self.iter().take(MOST).map(|(kind, count)| format!("\"{}\";count={count}", shown(kind)));
        let more = (self.0.len() > MOST)
            .then(|| format!("\"and others\";count={}", self.iter().skip(MOST).map(|it| it.1).sum::<u32>()));
        let all: Vec<String> = kinds.chain(more).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    fn count(&mut self, kind: &str) {
        *self.0.entry(kind.to_owned()).or_default() += 1;
    }

    fn total(&self) -> u32 {
        self.0.values().sum()
    }
}

/// What stands where a credential of a kind was. Nothing in it needs an escape in a string of JSON.
#[must_use]
pub fn mark(kind: &str) -> String {
    format!("{}{}{}", MARK.0, shown(kind), MARK.1)
}

/// The name of a kind, as it may stand between quotes or brackets.
fn shown(kind: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ']') || c == ' ';
    kind.chars().take(LONGEST_NAME).map(|c| if is_plain(c) { c } else { '?' }).collect()
}

/// What a text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing in it needs an escape.
    Text,
    /// JSON, in one document or several (RFC 8259).
    Json,
}

/// What of the text is being taken out although it is not known where it ends.
enum Eating {
    Nothing,
    /// A word; an escape in it that has begun.
    Word(Vec<u8>),
    /// A key of several lines.
    Block(Block),
}

/// A key of several lines, up to the line that ends it.
struct Block {
    /// The last bytes of it.
    tail: Vec<u8>,
    eaten: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Not seen yet.
    Ahead,
    /// In the label of the last line, so far in.
    Label(usize),
    /// In the dashes after it.
    Dashes,
}

/// Takes credentials out of a stream.
pub struct Redactor {
    scanner: Scanner,
    view: View,
    /// In JSON: where in it the text stands that goes on next.
    strings: Option<Strings>,
    /// What was read and did not go on.
    held: Vec<u8>,
    /// The view's offset of `held[0]`.
    base: u64,
    /// The text's offset of `held[0]`.
    at: u64,
    eating: Eating,
    out: Vec<u8>,
    /// The end of what went on, for what is judged by what stands before it.
    before: Vec<u8>,
    removed: Removed,
}

impl Redactor {
    pub(super) fn new(scanner: Scanner, form: Form) -> Self {
        Self {
            scanner,
            view: View::new(0),
            strings: (form == Form::Json).then(Strings::default),
            held: Vec::new(),
            base: 0,
            at: 0,
            eating: Eating::Nothing,
            out: Vec::new(),
            before: Vec::new(),
            removed: Removed::default(),
        }
    }

    /// What was taken out so far.
    #[must_use]
    pub fn removed(&self) -> &Removed {
        &self.removed
    }

    /// What it holds back at most of a text, and how much longer than it came a text can go on.
    #[must_use]
    pub const fn most() -> usize {
        let longest = MARK.0.len() + LONGEST_NAME + MARK.1.len() + 2;
        MOST as usize * longest
    }

    /// Reads the next piece; the answer goes on. An error is a credential that can't be taken out of the text's form.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Finding> {
        for piece in bytes.chunks(STEP) {
            self.read(piece.to_vec())?;
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// The text is over.
    pub fn finish(&mut self) -> Result<Vec<u8>, Finding> {
        if let Eating::Word(escape) = std::mem::replace(&mut self.eating, Eating::Nothing) {
            self.read(escape)?;
        }
        loop {
            let mut best = Best::default();
            self.view.finish(context(&self.scanner, &Cell::new(0)), &mut best);
            let Some(found) = best.0 else { break };
            let rest = self.remove(&found)?;
            self.read(rest)?;
            if let Eating::Word(escape) = std::mem::replace(&mut self.eating, Eating::Nothing) {
                self.read(escape)?;
            }
        }
        self.pass(self.held.len());
        Ok(std::mem::take(&mut self.out))
    }

    /// What may go on although more may follow, when nothing came for a while: everything but a credential that has begun,
    /// or a word or a phrase that may become one.
    pub fn idle(&mut self) -> Vec<u8> {
        let begun = self.view.hold_when_idle().min(self.view.hold_of_phrases());
        let begun = index(begun.saturating_sub(self.base)).min(self.held.len());
        let word =
            self.held.iter().rev().take(LONGEST_WORD).take_while(|b| is_word(**b) || **b == b'\\').count();
        self.pass(begun.min(self.held.len() - word));
        std::mem::take(&mut self.out)
    }

    fn read(&mut self, mut text: Vec<u8>) -> Result<(), Finding> {
        loop {
            text = self.eat(text)?;
            if text.is_empty() {
                return Ok(());
            }
            let mut best = Best::default();
            self.view.feed(context(&self.scanner, &Cell::new(0)), &text, &mut best);
            self.held.extend_from_slice(&text);
            let Some(found) = best.0 else { break };
            text = self.remove(&found)?;
        }
        self.pass(index(self.view.hold().saturating_sub(self.base)).min(self.held.len()));
        Ok(())
    }

    /// Lets the first bytes of what is held go on.
    fn pass(&mut self, count: usize) {
        let gone = self.held.drain(..count);
        let from = self.out.len();
        self.out.extend(gone);
        if let Some(strings) = &mut self.strings {
            strings.read(&self.out[from..]);
        }
        self.remember(from);
        self.base += count as u64;
        self.at += count as u64;
    }

    /// Keeps the end of what goes on.
    fn remember(&mut self, from: usize) {
        let gone = &self.out[from..];
        self.before.extend_from_slice(&gone[gone.len().saturating_sub(LEFT)..]);
        if self.before.len() > 4 * LEFT {
            self.before.drain(..self.before.len() - LEFT);
        }
    }

    /// Puts a mark in the place of what was found; the answer is what stands behind it.
    fn remove(&mut self, found: &ViewFinding) -> Result<Vec<u8>, Finding> {
        let (from, end, quoted) = self.place(found).ok_or_else(|| self.finding(found))?;
        let (kind, _) = self.scanner.describe(found.pattern);
        let mark = mark(&kind);
        self.removed.count(&kind);
        if self.removed.total() > MOST {
            return Err(self.finding(found));
        }
        self.pass(from);
        if let Some(strings) = &mut self.strings {
            strings.read(&self.held[..end - from]);
        }
        let marked = self.out.len();
        let quote: &[u8] = if quoted { b"\"" } else { b"" };
        self.out.extend([quote, mark.as_bytes(), quote].concat());
        let rest = self.held.split_off(end - from);
        self.at += (end - from) as u64;
        self.held.clear();
        self.remember(marked);
        self.view.reset();
        let before = &self.before[self.before.len().saturating_sub(LEFT)..];
        // What is found in it alone went on already, and is looked at by the scanner that refuses.
        self.view.feed(context(&self.scanner, &Cell::new(0)), before, &mut Best::default());
        self.base = self.view.total();
        let is_block = TABLE.get(usize::from(found.pattern)).is_some_and(|row| row.block);
        self.eating = if is_block {
            Eating::Block(Block { tail: Vec::new(), eaten: 0, end: End::Ahead })
        } else {
            Eating::Word(Vec::new())
        };
        Ok(rest)
    }

    fn finding(&self, found: &ViewFinding) -> Finding {
        let (pattern, severity) = self.scanner.describe(found.pattern);
        let offset = |at: u64| self.at + at.saturating_sub(self.base);
        let (offset, end) = (offset(found.start), offset(found.certain));
        Finding { pattern, severity, encodings: Vec::new(), offset, end }
    }

    /// What of `held` is to go, and whether the mark needs quotes of its own. Nothing where the text would be broken.
    fn place(&self, found: &ViewFinding) -> Option<(usize, usize, bool)> {
        let at = |offset: u64| index(offset.saturating_sub(self.base)).min(self.held.len());
        let (first, mut end) = (at(found.secret.0), at(found.secret.1));
        let mut from = first;
        if let Some(own) = self.place_of_own(found.pattern, first, end) {
            (from, end) = own;
        }
        while end > from && matches!(self.held[end - 1], b'"' | b'\\' | b'@') {
            end -= 1;
        }
        // A name in quotes before it says what it is, and is no part of it.
        let quote = self.held[from..end].iter().rposition(|b| *b == b'"');
        from += quote.map_or(0, |at| at + 1);
        if self.held.get(from) == Some(&b'.') {
            from -= self.held[..from].iter().rev().take_while(|b| is_base64_url(**b)).count();
        }
        let goes_on = |b: Option<&u8>| b.is_some_and(|b| b & 0xc0 == 0x80);
        while from > 0 && goes_on(self.held.get(from)) {
            from -= 1;
        }
        while goes_on(self.held.get(end)) {
            end += 1;
        }
        if TABLE.get(usize::from(found.pattern)).is_some_and(|row| row.block) {
            from -= self.held[..from].iter().rev().take_while(|b| **b == b'-').count();
        }
        let Some(mut strings) = self.strings else { return (from < end).then_some((from, end, false)) };
        strings.read(&self.held[..from]);
        while strings.is_in_escape() && from < end {
            strings.read(&self.held[from..=from]);
            from += 1;
        }
        if !strings.is_inside() {
            return self.number(from, end).map(|(from, end)| (from, end, true));
        }
        for byte in &self.held[from..end] {
            strings.read(&[*byte]);
            if !strings.is_inside() {
                return None;
            }
        }
        while strings.is_in_escape() {
            strings.read(self.held.get(end..=end)?);
            end += 1;
        }
        (from < end).then_some((from, end, false))
    }

    /// The whole number of JSON that a finding lies in.
    fn number(&self, from: usize, end: usize) -> Option<(usize, usize)> {
        let is_part = |b: &&u8| b.is_ascii_digit() || matches!(**b, b'-' | b'+' | b'.' | b'e' | b'E');
        if from == end || !self.held[from..end].iter().all(|b| is_part(&b)) {
            return None;
        }
        let before = self.held[..from].iter().rev().take_while(is_part).count();
        Some((from - before, end))
    }

    /// The shortest match of a pattern of the manifest's own that was certain there: its automaton says nothing of where
    /// it began.
    fn place_of_own(&self, pattern: PatternId, first: usize, certain: usize) -> Option<(usize, usize)> {
        let custom = self.scanner.set.custom.as_ref()?;
        let own = (0..custom.names.len()).find(|own| Set::custom_id(*own) == pattern)?;
        let end_of = |from: usize| {
            let (mut before, mut there) = (false, false);
            let text = &self.held[from..certain];
            // The automaton knows of a match with the byte after it, or with the end.
            let state = custom.step(custom.start(), text, |id, at| before |= id == own && at == text.len());
            custom.end(state, |id, _| there |= id == own);
            if before { Some(certain - 1) } else { there.then_some(certain) }
        };
        (0..=first).rev().find_map(|from| Some((from, end_of(from)?)))
    }

    /// Takes off the front of a text what is being taken out; what is left of it is not.
    fn eat(&mut self, text: Vec<u8>) -> Result<Vec<u8>, Finding> {
        match &mut self.eating {
            Eating::Nothing => Ok(text),
            Eating::Word(escape) => {
                let mut all = std::mem::take(escape);
                let before = all.len();
                all.extend(text);
                match word_end(&all) {
                    WordEnd::At(end) => {
                        self.at += (end - before.min(end)) as u64;
                        self.eating = Eating::Nothing;
                        all.drain(..end);
                        Ok(all)
                    }
                    WordEnd::After(end) => {
                        self.at += (end - before.min(end)) as u64;
                        *escape = all.split_off(end);
                        Ok(Vec::new())
                    }
                }
            }
            Eating::Block(block) => {
                for (at, byte) in text.iter().enumerate() {
                    let over = match &mut self.strings {
                        // The end of the string ends what is in it.
                        Some(strings) if strings.ends_with(*byte) => true,
                        strings => {
                            let over = block.is_over(*byte);
                            if !over && let Some(strings) = strings {
                                strings.read(&[*byte]);
                            }
                            over
                        }
                    };
                    if over {
                        self.eating = Eating::Nothing;
                        self.at += at as u64;
                        return Ok(text[at..].to_vec());
                    }
                }
                self.at += text.len() as u64;
                if block.eaten > LONGEST_BLOCK {
                    let (pattern, severity) = self.scanner.describe(private_key());
                    return Err(Finding {
                        pattern,
                        severity,
                        encodings: Vec::new(),
                        offset: self.at,
                        end: self.at,
                    });
                }
                Ok(Vec::new())
            }
        }
    }
}

impl Block {
    /// Whether it was over before this byte.
    fn is_over(&mut self, byte: u8) -> bool {
        const TAIL: usize = 12;
        if self.end == End::Dashes && byte != b'-' {
            return true;
        }
        self.eaten += 1;
        if self.tail.len() >= 4 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        self.tail.push(byte);
        self.end = match self.end {
            End::Ahead if self.tail.ends_with(b"-----END") || self.tail.ends_with(b"---- END") => {
                End::Label(0)
            }
            // The last line of PuTTY's keys: the word after it goes with it.
            End::Ahead if self.tail.ends_with(b"Private-MAC:") => End::Label(LABEL - MAC),
            End::Ahead => End::Ahead,
            End::Label(count) if count > 4 && self.tail.ends_with(b"----") => End::Dashes,
            End::Label(LABEL..) => return true,
            End::Label(count) => End::Label(count + 1),
            End::Dashes => End::Dashes,
        };
        false
    }
}

/// The longest label of a last line, in bytes.
const LABEL: usize = 80;
/// A space and the HMAC-SHA-256 in hexadecimal that end keys of `PuTTY`.
const MAC: usize = 65;

fn private_key() -> PatternId {
    let at = TABLE.iter().position(|row| row.block).unwrap_or_default();
    PatternId::try_from(at).unwrap_or(PatternId::MAX)
}

/// Where a word ends.
enum WordEnd {
    At(usize),
    /// After these bytes or later: what follows them may be an escape.
    After(usize),
}

/// A byte of what a credential goes on with: its alphabets, and what they are encoded with in a URL.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'.' | b'~' | b'%')
}

fn word_end(text: &[u8]) -> WordEnd {
    let mut at = 0;
    loop {
        at += text[at..].iter().take_while(|b| is_word(**b)).count();
        // `\/` and the like of `\u002f` are bytes of the word, too.
        let code = match &text[at..] {
            [] | [b'\\'] => return WordEnd::After(at),
            [b'\\', b'/', ..] => {
                at += 2;
                continue;
            }
            [b'\\', b'u', code @ ..] => code,
            _ => return WordEnd::At(at),
        };
        let Some(code) = code.get(..4) else { return WordEnd::After(at) };
        let byte = std::str::from_utf8(code).ok().and_then(|code| u8::from_str_radix(code, 16).ok());
        if !byte.is_some_and(is_word) {
            return WordEnd::At(at);
        }
        at += 6;
    }
}

fn context<'a>(scanner: &'a Scanner, read: &'a Cell<u64>) -> Context<'a> {
    Context { set: &scanner.set, muted: &scanner.muted, decoders: none, read }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("removed", &self.removed).finish_non_exhaustive()
    }
}
