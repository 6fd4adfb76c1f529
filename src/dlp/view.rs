//! One view of a text: as it stands, or as one decoder shows it. Looks for the patterns, and opens further views.

use super::{
    SeedPhrases,
    decoder::{Best, Context, Decoder, Text, ViewFinding, find_text, index, is_printable},
    judge,
    patterns::{BUILTIN, Builtin},
    seed_phrase::Seed,
    set::{LEFT, Set},
    sight::{self, Candidate, Sight},
    site::Site,
};
use regex_automata::util::primitives::StateID;

/// How many decoders may lie upon one another.
const MAX_DEPTH: u8 = 3;
/// How much is taken in at once.
const BLOCK: usize = 16 << 10;
/// The same of what was decoded.
const INNER_BLOCK: usize = 4 << 10;
/// How far back a pattern of the user's own may reach into what was not yet forwarded.
const CUSTOM_HOLD: u64 = 256;

#[derive(Clone, Copy)]
struct Pending {
    candidate: Candidate,
    start: u64,
}

/// One view of a text that comes in pieces.
pub(super) struct View {
    depth: u8,
    buf: Vec<u8>,
    /// The view's offset of `buf[0]`.
    base: u64,
    /// Up to where starts were judged.
    scan: u64,
    /// A start that an escape sequence before it makes one.
    forced: u64,
    /// Inside a run of printable text; always so at depth 0.
    in_text: bool,
    pending: Vec<Pending>,
    custom: Option<StateID>,
    seed: Seed,
    /// Made when the first text is read, where there may be any.
    decoders: Option<Box<dyn Decoder>>,
}

const ALNUM: u8 = 1;
const ESCAPE: u8 = 2;
const PRINTABLE: u8 = 4;
const NAMES: u8 = 8;
const DOT: u8 = 16;
/// The last letter of an escape sequence of a terminal, and what may stand before it.
const ANSI: u8 = 32;
const ANSI_BEFORE: u8 = 64;

static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0_u8;
    loop {
        let mut flags = 0;
        if byte.is_ascii_alphanumeric() {
            flags |= ALNUM;
        }
        if matches!(byte, b'\\' | b'%') {
            flags |= ESCAPE;
        }
        if byte == b'm' {
            flags |= ANSI;
        }
        if byte.is_ascii_digit() || byte == b'[' {
            flags |= ANSI_BEFORE;
        }
        if matches!(byte, b'=' | b':') {
            flags |= NAMES;
        }
        if byte == b'.' {
            flags |= DOT;
        }
        if is_printable(byte) {
            flags |= PRINTABLE;
        }
        class[byte as usize] = flags;
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    class
};

fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

impl View {
    pub(super) fn new(depth: u8) -> Self {
        Self {
            depth,
            buf: Vec::new(),
            base: 0,
            scan: 0,
            forced: 0,
            in_text: depth == 0,
            pending: Vec::new(),
            custom: None,
            seed: Seed::default(),
            decoders: None,
        }
    }

    /// Back to the beginning of a text, with the memory kept.
    pub(super) fn reset(&mut self) {
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        let mut decoders = self.decoders.take();
        if let Some(decoders) = &mut decoders {
            decoders.reset();
        }
        *self = Self { buf, decoders, ..Self::new(self.depth) };
    }

    /// Lets go of what a longer text needed.
    pub(super) fn release(&mut self) {
        if let Some(decoders) = &mut self.decoders {
            decoders.release();
        }
        self.buf.clear();
        self.buf.shrink_to(INNER_BLOCK);
    }

    /// What it takes with all that is upon it, in bytes.
    pub(super) fn memory(&self) -> usize {
        let decoders = self.decoders.as_ref().map_or(0, |decoders| decoders.memory());
        size_of::<Self>() + self.buf.capacity() + self.pending.capacity() * size_of::<Pending>() + decoders
    }

    /// How many bytes were read.
    pub(super) fn total(&self) -> u64 {
        self.base + self.buf.len() as u64
    }

    /// Reads on.
    pub(super) fn feed(&mut self, context: Context<'_>, bytes: &[u8], best: &mut Best) {
        context.read.set(context.read.get() + bytes.len() as u64);
        for block in bytes.chunks(self.block()) {
            self.compact();
            let at = self.total();
            self.buf.extend_from_slice(block);
            self.look(context, at, false, best);
        }
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, context: Context<'_>, best: &mut Best) {
        let at = self.total();
        self.look(context, at, true, best);
    }

    /// From where on what was read may still turn out to be part of a finding.
    pub(super) fn hold(&self) -> u64 {
        let own = self.pending.iter().map(|p| p.start).min().unwrap_or(u64::MAX).min(self.scan);
        let decoders = self.decoders.as_ref().map_or(u64::MAX, |decoders| decoders.hold());
        own.min(self.hold_of_phrases()).min(decoders).min(self.total())
    }

    /// As `hold`, without what is only the end of the text and no match under way.
    pub(super) fn hold_when_idle(&self) -> u64 {
        let own = self.pending.iter().map(|p| p.start).min().unwrap_or(u64::MAX);
        let decoders = self.decoders.as_ref().map_or(u64::MAX, |decoders| decoders.hold_when_idle());
        own.min(decoders).min(self.total())
    }

    /// From where on what was read may be part of a finding that only its end makes one: a phrase, a pattern of the user's own.
    pub(super) fn hold_of_phrases(&self) -> u64 {
        let custom = if self.custom.is_some() { self.total().saturating_sub(CUSTOM_HOLD) } else { u64::MAX };
        self.seed.hold().unwrap_or(u64::MAX).min(custom)
    }

    fn block(&self) -> usize {
        if self.depth == 0 { BLOCK } else { INNER_BLOCK }
    }

    fn compact(&mut self) {
        let decoders = self.decoders.as_ref().map_or(u64::MAX, |decoders| decoders.position());
        let pending = self.pending.iter().map(|p| p.start).min().unwrap_or(u64::MAX);
        let keep = self.scan.min(decoders).min(pending).saturating_sub(LEFT as u64);
        let gone = index(keep.saturating_sub(self.base));
        if gone > self.block() / 2 {
            self.buf.drain(..gone);
            self.base = keep;
        }
    }

    fn look(&mut self, context: Context<'_>, at: u64, complete: bool, best: &mut Best) {
        self.check_pending(context, complete, best);
        self.check_starts(context, complete, best);
        self.step_custom(context, at, complete, best);
        if let Some(rule) = context.set.seed {
            self.step_seed(context, rule, at, complete, best);
        }
        if self.depth < MAX_DEPTH {
            let decoders = self.decoders.get_or_insert_with(|| (context.decoders)(self.depth + 1));
            decoders.advance(context, Text { bytes: &self.buf, base: self.base, complete }, best);
        }
    }

    fn check_pending(&mut self, context: Context<'_>, complete: bool, best: &mut Best) {
        if self.pending.is_empty() {
            return;
        }
        for pending in std::mem::take(&mut self.pending) {
            self.check(context, pending, complete, best);
        }
    }

    /// Looks at every start that was not looked at. The last two bytes wait for what follows them.
    fn check_starts(&mut self, context: Context<'_>, complete: bool, best: &mut Best) {
        let end = self.buf.len().saturating_sub(2);
        let mut at = index(self.scan - self.base);
        while at < end {
            if !self.in_text {
                match find_text(&self.buf, at) {
                    Ok(start) => at = start,
                    Err(resume) => {
                        at = if complete { self.buf.len() } else { resume };
                        break;
                    }
                }
                self.in_text = true;
            }
            at = self.check_text(context, at, end, complete, best);
        }
        if complete {
            at = self.buf.len();
        }
        self.scan = self.base + at as u64;
    }

    /// Judges the starts from `at` on, up to `end` or to the end of the printable text; says where it stopped.
    fn check_text(
        &mut self,
        context: Context<'_>,
        mut at: usize,
        end: usize,
        complete: bool,
        best: &mut Best,
    ) -> usize {
        let builtin = &*BUILTIN;
        let decoded = self.depth > 0;
        let mut forced = index(self.forced.saturating_sub(self.base));
        loop {
            at = self.next_of_interest(builtin, at, end, forced);
            if at >= end {
                break;
            }
            let before = at.checked_sub(1).map_or(0, |i| class(self.buf[i]));
            let byte = self.buf[at];
            let flags = class(byte);
            if flags & (ESCAPE | ANSI) != 0 {
                forced = self.escape(at).unwrap_or(forced);
            }
            if flags & NAMES != 0 {
                self.check(
                    context,
                    Pending { candidate: Candidate::Named, start: self.base + at as u64 },
                    complete,
                    best,
                );
            }
            let [second, third] = [self.buf[at + 1], self.buf[at + 2]];
            let after_dot = if flags & DOT != 0 { builtin.after_dot([second, third]) } else { &[] };
            for &id in builtin.beginning_with([byte, second, third]).iter().chain(after_dot) {
                let candidate = Candidate::Row { id, is_word: self.is_word(at, forced) };
                self.check(context, Pending { candidate, start: self.base + at as u64 }, complete, best);
            }
            if flags & ALNUM != 0 && (before & ALNUM == 0 || at == forced) {
                for &id in builtin.words_beginning_with([byte, second]) {
                    if self.is_word(at, forced) {
                        let candidate = Candidate::Row { id, is_word: true };
                        self.check(
                            context,
                            Pending { candidate, start: self.base + at as u64 },
                            complete,
                            best,
                        );
                    }
                }
            } else if decoded && flags & PRINTABLE == 0 {
                self.in_text = false;
                break;
            }
            at += 1;
        }
        self.forced = self.base + forced as u64;
        at
    }

    /// The next place from `at` on, before `end`, at which anything may begin; most bytes are none.
    #[inline]
    fn next_of_interest(&self, builtin: &Builtin, mut at: usize, end: usize, forced: usize) -> usize {
        let text = &self.buf[..end + 2];
        let (begins, pairs) = builtin.maps();
        let rest = if self.depth > 0 { PRINTABLE } else { 0 };
        let mut before = at.checked_sub(1).map_or(0, |i| class(text[i]));
        while let Some([first, second, third]) =
            text.get(at..at + 3).and_then(|it| it.first_chunk::<3>().copied())
        {
            let flags = class(first);
            let is_start = flags & ALNUM & !before != 0;
            if flags & (ESCAPE | NAMES | DOT) != 0
                || flags & ANSI != 0 && before & ANSI_BEFORE != 0
                || flags & rest != rest
                || at == forced
                || begins.may_be([first, second, third])
                || is_start && pairs.may_be([first, second])
            {
                return at;
            }
            before = flags;
            at += 1;
        }
        end
    }

    /// Whether a word begins at `at`: after something that goes on with no word, or after an escape sequence.
    fn is_word(&self, at: usize, forced: usize) -> bool {
        at == forced || judge::begins_word(&self.buf, at)
    }

    /// The position that the escape sequence at `at` makes a start: what follows `\n`, `\u0022`, `%3D`, `ESC[0m`.
    fn escape(&self, at: usize) -> Option<usize> {
        match (self.buf[at], self.buf[at + 1]) {
            (b'\\', b'u') => Some(at + 6),
            (b'\\', _) => Some(at + 2),
            (b'%', _) => Some(at + 3),
            _ => match self.buf[..at].last() {
                Some(b'0'..=b'9' | b'[') if self.ends_an_ansi_sequence(at) => Some(at + 1),
                _ => None,
            },
        }
    }

    fn ends_an_ansi_sequence(&self, at: usize) -> bool {
        let parameters = self.buf[..at].iter().rev().take(16);
        let mut rest = parameters.skip_while(|b| matches!(b, b'0'..=b'9' | b';'));
        rest.next() == Some(&b'[')
    }

    fn check(&mut self, context: Context<'_>, pending: Pending, complete: bool, best: &mut Best) {
        if let Candidate::Row { id, .. } = pending.candidate
            && context.muted[usize::from(id)]
        {
            return;
        }
        let at = index(pending.start - self.base);
        match sight::look(pending.candidate, &Site { text: &self.buf, at, complete }) {
            Sight::More => self.pending.push(pending),
            Sight::Match { pattern, from, end, certain } if !context.muted[usize::from(pattern)] => {
                match self.cover(context, at, end, complete) {
                    Cover::Yes => {}
                    Cover::Unsure => self.pending.push(pending),
                    Cover::No { decided } => best.offer(ViewFinding {
                        pattern,
                        start: pending.start,
                        certain: self.base + usize::max(certain, decided) as u64,
                        secret: (self.base + from as u64, self.base + end as u64),
                        chain: Vec::new(),
                    }),
                }
            }
            Sight::No | Sight::Match { .. } => {}
        }
    }

    fn step_custom(&mut self, context: Context<'_>, at: u64, complete: bool, best: &mut Best) {
        let Some(custom) = &context.set.custom else { return };
        let mut offer = |pattern: usize, certain: u64| {
            let pattern = Set::custom_id(pattern);
            if !context.muted[usize::from(pattern)] {
                best.offer(ViewFinding {
                    pattern,
                    start: certain.saturating_sub(1),
                    certain,
                    secret: (certain.saturating_sub(1), certain),
                    chain: Vec::new(),
                });
            }
        };
        let state = self.custom.unwrap_or_else(|| custom.start());
        let fresh = &self.buf[index(at - self.base)..];
        let state = custom.step(state, fresh, |pattern, n| offer(pattern, at + n as u64));
        self.custom = Some(state);
        if complete {
            let total = self.total();
            custom.end(state, |pattern, _| offer(pattern, total));
        }
    }

    fn step_seed(
        &mut self,
        context: Context<'_>,
        rule: SeedPhrases,
        at: u64,
        complete: bool,
        best: &mut Best,
    ) {
        let pattern = context.set.seed_id();
        if context.muted[usize::from(pattern)] {
            return;
        }
        let total = self.total();
        let mut offer = |start, certain| {
            let certain = u64::min(certain, total);
            best.offer(ViewFinding { pattern, start, certain, secret: (start, certain), chain: Vec::new() });
        };
        self.seed.read(rule, &self.buf[index(at - self.base)..], at, &mut offer);
        if complete {
            self.seed.end(rule, total, &mut offer);
        }
    }

    /// Whether a placeholder covers part of a match.
    fn cover(&self, context: Context<'_>, start: usize, end: usize, complete: bool) -> Cover {
        let (mut unsure, mut decided) = (false, 0);
        for placeholder in &context.set.placeholders {
            for at in (start + 1).saturating_sub(placeholder.len())..end {
                let there = &self.buf[at..];
                let same = there.iter().zip(placeholder).take_while(|(a, b)| a == b).count();
                let next = there.get(same);
                match next {
                    None if !complete => unsure = true,
                    None if same < placeholder.len() => decided = self.buf.len(),
                    Some(_) if same < placeholder.len() => decided = decided.max(at + same + 1),
                    Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-') => {
                        decided = decided.max(at + same + 1);
                    }
                    _ => return Cover::Yes,
                }
            }
        }
        if unsure { Cover::Unsure } else { Cover::No { decided } }
    }
}

/// Whether a placeholder lies over a match.
enum Cover {
    Yes,
    /// It depends on bytes that are not there yet.
    Unsure,
    /// None does, and that was certain at this index.
    No {
        decided: usize,
    },
}
