//! A text that comes in pieces: what may go on, and what is held back because it may still become a finding.

use super::{
    Finding, Scanner,
    decoder::{Best, Context, Decoder},
    decoders::{decoders, uncompressed},
    view::View,
};
use std::cell::Cell;

/// Scans a stream.
pub struct StreamScanner {
    scanner: Scanner,
    view: View,
    cleared: u64,
    read: u64,
    decoders: fn(u8) -> Box<dyn Decoder>,
}

impl StreamScanner {
    pub(super) fn new(scanner: Scanner) -> Self {
        Self { scanner, view: View::new(0), cleared: 0, read: 0, decoders }
    }

    /// The same, and nothing that is compressed is looked into.
    pub(super) fn as_it_stands(scanner: Scanner) -> Self {
        Self { decoders: uncompressed, ..Self::new(scanner) }
    }

    /// Reads the next piece. Says how many more bytes of the stream may go on now: what is held back is no
    /// longer than the longest pattern under its encoding.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, Finding> {
        let (mut best, read) = (Best::default(), Cell::new(self.read));
        self.view.feed(context(&self.scanner, self.decoders, &read), bytes, &mut best);
        self.read = read.get();
        self.reported(best)?;
        Ok(self.clear(self.view.hold()))
    }

    /// The stream is over: everything may go on.
    pub fn finish(&mut self) -> Result<usize, Finding> {
        let (mut best, read) = (Best::default(), Cell::new(self.read));
        self.view.finish(context(&self.scanner, self.decoders, &read), &mut best);
        self.read = read.get();
        self.reported(best)?;
        Ok(self.clear(self.view.total()))
    }

    /// What may go on although more may follow, when nothing came for a while: everything but a credential that
    /// has begun. Without this a peer that waits for an answer before it sends more would wait forever.
    pub fn idle(&mut self) -> usize {
        self.clear(self.view.hold_when_idle())
    }

    /// How many bytes were read in all views together: what a text costs, as no clock can say it.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.read
    }

    /// What it takes now, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.view.memory()
    }

    fn clear(&mut self, upto: u64) -> usize {
        let more = upto.saturating_sub(self.cleared);
        self.cleared += more;
        usize::try_from(more).unwrap_or(usize::MAX)
    }

    fn reported(&self, best: Best) -> Result<(), Finding> {
        best.0.map_or(Ok(()), |found| {
            let (pattern, severity) = self.scanner.set.describe(found.pattern);
            let (offset, end) = (found.start, found.certain);
            Err(Finding { pattern, severity, encodings: found.chain, offset, end })
        })
    }
}

fn context<'a>(
    scanner: &'a Scanner,
    decoders: fn(u8) -> Box<dyn Decoder>,
    read: &'a Cell<u64>,
) -> Context<'a> {
    Context { set: &scanner.set, muted: &scanner.muted, decoders, read }
}

impl std::fmt::Debug for StreamScanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamScanner").field("cleared", &self.cleared).finish_non_exhaustive()
    }
}
