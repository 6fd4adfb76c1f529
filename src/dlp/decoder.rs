//! What a view and the decoders upon it know of each other: a view shows its text to decoders, and a decoder shows what
//! it decoded to views of its own.

use super::{
    Encoding,
    set::{PatternId, Set},
};
use std::cell::Cell;

/// A decoder upon a view. All offsets are the view's.
pub(super) trait Decoder: Send + Sync {
    /// Up to where the text was read; nothing before it is needed again.
    fn position(&self) -> u64;

    /// From where on what was read may still turn out to be part of a finding.
    fn hold(&self) -> u64;

    /// The same, without what is only the end of the text and no match under way.
    fn hold_when_idle(&self) -> u64;

    /// Whether it looks for printable text only, and is in the middle of none: then [`Decoder::pass_over`] is allowed.
    fn wants_text(&self) -> bool {
        false
    }

    /// Up to there nothing is for a decoder that wants text.
    fn pass_over(&mut self, _upto: u64) {}

    /// Reads on in `text`.
    fn advance(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best);

    /// Back to the beginning of a text, with the memory kept.
    fn reset(&mut self);

    /// What it takes with the views upon it, in bytes.
    fn memory(&self) -> usize;

    /// Lets go of the views upon it.
    fn release(&mut self);
}

/// What every view needs to know.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) set: &'a Set,
    pub(super) muted: &'a [bool],
    /// Makes the decoders of a view that has none yet, for views of this depth.
    pub(super) decoders: fn(u8) -> Box<dyn Decoder>,
    /// Counts the bytes that views read.
    pub(super) read: &'a Cell<u64>,
}

/// A finding, in offsets of the view that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ViewFinding {
    pub(super) pattern: PatternId,
    pub(super) start: u64,
    pub(super) certain: u64,
    /// What is secret, where nothing was decoded: where it begins and, as far as was read, ends.
    pub(super) secret: (u64, u64),
    /// Outermost first.
    pub(super) chain: Vec<Encoding>,
}

/// The finding that was certain first, whichever was seen first.
#[derive(Default)]
pub(super) struct Best(pub(super) Option<ViewFinding>);

impl Best {
    pub(super) fn offer(&mut self, found: ViewFinding) {
        let key = |f: &ViewFinding| (f.certain, f.chain.len(), f.pattern, f.start);
        if self.0.as_ref().is_none_or(|best| key(&found) < key(best)) {
            self.0 = Some(found);
        }
    }
}

/// What a decoder sees of a view.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    /// The view's offset of `bytes[0]`.
    pub(super) base: u64,
    /// Nothing follows.
    pub(super) complete: bool,
}

/// The shortest run of printable text in decoded data that can hold a finding.
pub(super) const SHORTEST_TEXT: usize = 11;

/// Whether a byte is of printable text; every space counts, since bytes in hexadecimal may have any between them.
pub(super) const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t'..=b'\r')
}

/// Finds the next run of printable text that is long enough, from `at` on; else where one may have begun.
pub(super) fn find_text(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        let Some(window) = bytes.get(at..at + SHORTEST_TEXT) else { return Err(at) };
        match window.iter().rposition(|b| !is_printable(*b)) {
            Some(gap) => at += gap + 1,
            None => return Ok(at),
        }
    }
}

/// An offset within what is in memory.
pub(super) fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
