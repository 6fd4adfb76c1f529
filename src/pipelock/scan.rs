//! What was read of a body and is not yet passed on: its parts, its decoder, its scanner.

use super::pointer::pointer;
use crate::content_coding::{Coding, DecodedReader, Decoder};
use crate::dlp::{Finding, StreamScanner};
use crate::intercept::budget::BodyMemory;
use crate::verdict::pipelock::{Block, Part, Ruleset};
use bytes::Bytes;
use http::HeaderMap;
use std::{collections::VecDeque, sync::Arc};

/// Parts of a body larger than this are split before they are scanned, so that others have their turn.
const PIECE: usize = 64 << 10;
/// A part smaller than this is copied: it would keep the whole buffer that it was read into.
const COPIED: usize = 16 << 10;
/// What a part takes beside its bytes, in the queue and in the allocator.
const PART: usize = 128;
/// What the scanner of a long text takes at most: 13 views, each of a block of 16 KiB.
const SCANNER: usize = 208 << 10;

/// Told of each finding that is only logged.
pub(super) type OnFinding = Arc<dyn Fn(&Block) + Send + Sync>;

/// What was read and not yet passed on.
pub(super) struct Scan {
    ruleset: Arc<Ruleset>,
    /// Where the body goes.
    host: String,
    text: Source,
    /// An encoded body as it is sent: a coding has room for text that decoding passes over, such as the file name of
    /// gzip (RFC 1952 §2.3.1), the skippable frames of zstd (RFC 8878 §3.1.2) and the metadata of brotli (RFC 7932 §9.2).
    wire: Option<Text>,
    /// Parts in the order of the body.
    queue: VecDeque<QueuedPart>,
    /// What the queue takes, in bytes.
    queued: usize,
    /// Everything is still in the queue.
    beginning: bool,
    json: bool,
    on_finding: OnFinding,
}

/// A part of the body as it is sent.
struct QueuedPart {
    bytes: Bytes,
    /// Where it ends as the scanner of the text counts.
    end: u64,
    /// Where it ends as the scanner of the wire counts.
    wire_end: u64,
}

/// The text, as it stands or decoded.
#[expect(clippy::large_enum_variant, reason = "there is one for each body, and most are plain")]
enum Source {
    Plain(Text),
    Encoded(Box<Decoder<Text>>),
}

/// What is known of the text.
#[derive(Default)]
struct Text {
    /// `None` once something was found that is only logged, and at the end.
    stream: Option<StreamScanner>,
    scanned: u64,
    cleared: u64,
    only_warn: bool,
    /// Was found, and is only logged.
    warned: Option<Finding>,
}

impl DecodedReader for Text {
    type Stop = Block;

    fn read(&mut self, text: &[u8]) -> Result<(), Block> {
        self.scanned += text.len() as u64;
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match stream.push(text) {
            Ok(more) => {
                self.cleared += more as u64;
                Ok(())
            }
            Err(finding) => self.found(finding),
        }
    }
}

impl Text {
    fn finish(&mut self) -> Result<(), Block> {
        let found = self.stream.take().map_or(Ok(0), |mut stream| stream.finish());
        self.cleared = u64::MAX;
        found.map_or_else(|finding| self.found(finding), |_| Ok(()))
    }

    fn pause(&mut self) {
        if let Some(stream) = &mut self.stream {
            self.cleared += stream.idle() as u64;
        }
    }

    fn found(&mut self, finding: Finding) -> Result<(), Block> {
        if !self.only_warn {
            return Err(Block::Dlp { part: Part::Body, finding, location: None });
        }
        (self.stream, self.cleared, self.warned) = (None, u64::MAX, Some(finding));
        Ok(())
    }
}

impl Scan {
    /// What a scan takes before it has read anything. A decoder's window is allocated when its header is read.
    pub(super) fn least() -> BodyMemory {
        BodyMemory { text: SCANNER, decoder: 0 }
    }

    pub(super) fn new(
        ruleset: Arc<Ruleset>,
        host: &str,
        coding: Option<Coding>,
        json: bool,
        on_finding: OnFinding,
    ) -> Result<Self, Block> {
        let scanner = ruleset.scanner(host);
        let of = |stream| Text { stream: Some(stream), only_warn: ruleset.only_warns(), ..Text::default() };
        let text = of(scanner.stream());
        let (text, wire) = match coding {
            None => (Source::Plain(text), None),
            Some(coding) => {
                (Source::Encoded(Box::new(Decoder::new(coding, text)?)), Some(of(scanner.stream_of_coded())))
            }
        };
        let (host, queue) = (host.to_owned(), VecDeque::new());
        Ok(Self { ruleset, host, text, wire, queue, queued: 0, beginning: true, json, on_finding })
    }

    /// Bytes that the parts take which wait.
    pub(super) fn waiting(&self) -> usize {
        self.queued
    }

    /// What all of it takes at most.
    pub(super) fn memory(&self) -> BodyMemory {
        let (scanner, decoder) = match &self.text {
            Source::Plain(Text { stream: None, .. }) => (0, 0),
            Source::Plain(_) => (SCANNER, 0),
            Source::Encoded(decoder) => (2 * SCANNER, decoder.memory()),
        };
        BodyMemory { text: self.queued + scanner, decoder }
    }

    /// Takes note of what will be pushed next, once; says what all of it will take then at most.
    pub(super) fn foresee(&mut self, data: &[u8]) -> Result<BodyMemory, Block> {
        if let Source::Encoded(decoder) = &mut self.text {
            decoder.foresee(data)?;
        }
        let BodyMemory { text, decoder } = self.memory();
        Ok(BodyMemory { text: text + data.len() + PART * (1 + data.len() / PIECE), decoder })
    }

    pub(super) fn push(&mut self, mut data: Bytes) -> Result<(), Block> {
        while !data.is_empty() {
            let mut piece = data.split_to(data.len().min(PIECE));
            if piece.len() < COPIED {
                piece = Bytes::copy_from_slice(&piece);
            }
            // Before it is scanned, so that the place of a finding in it can be told.
            self.queued += piece.len() + PART;
            self.queue.push_back(QueuedPart { bytes: piece.clone(), end: u64::MAX, wire_end: u64::MAX });
            self.wire.as_mut().map_or(Ok(()), |wire| wire.read(&piece))?;
            let read = match &mut self.text {
                Source::Plain(text) => text.read(&piece),
                Source::Encoded(decoder) => decoder.push(&piece).map_err(Block::from),
            };
            read.map_err(|block| self.located(block))?;
            self.warn();
            let ends = (self.text().scanned, self.wire.as_ref().map_or(0, |wire| wire.scanned));
            if let Some(part) = self.queue.back_mut() {
                (part.end, part.wire_end) = ends;
            }
        }
        Ok(())
    }

    /// The body is over: neither decoder nor scanner is needed any more.
    pub(super) fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Block> {
        if let Source::Encoded(decoder) = &mut self.text {
            decoder.finish()?;
        }
        self.wire.take().map_or(Ok(()), |mut wire| wire.finish())?;
        let finished = self.text().finish();
        finished.map_err(|block| self.located(block))?;
        self.warn();
        self.text = Source::Plain(std::mem::take(self.text()));
        let Some(trailers) = trailers else { return Ok(()) };
        match self.ruleset.scan_fields(&self.host, trailers) {
            Err(block) if self.ruleset.only_warns() => {
                (self.on_finding)(&block);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The first of it goes on from now.
    pub(super) fn go_on(&mut self) {
        self.beginning = false;
    }

    fn text(&mut self) -> &mut Text {
        match &mut self.text {
            Source::Plain(text) => text,
            Source::Encoded(decoder) => decoder.reader(),
        }
    }

    fn warn(&mut self) {
        let in_wire = self.wire.as_mut().and_then(|wire| wire.warned.take());
        if let Some(finding) = self.text().warned.take().or(in_wire) {
            let block = self.located(Block::Dlp { part: Part::Body, finding, location: None });
            (self.on_finding)(&block);
        }
    }

    fn located(&self, block: Block) -> Block {
        match block {
            Block::Dlp { part: Part::Body, finding, .. } => {
                let location = self.location(&finding);
                Block::Dlp { part: Part::Body, finding, location }
            }
            other => other,
        }
    }

    fn location(&self, finding: &Finding) -> Option<String> {
        if !(self.beginning && self.json && matches!(self.text, Source::Plain(_))) {
            return None;
        }
        let text: Vec<u8> = self.queue.iter().flat_map(|part| part.bytes.iter().copied()).collect();
        pointer(&text, usize::try_from(finding.offset).ok()?)
    }

    /// What may go on now. Of an encoded body the last part stays until the end, since what it means may still be
    /// in the decoder.
    pub(super) fn pop(&mut self, finished: bool) -> Option<Bytes> {
        let encoded = matches!(self.text, Source::Encoded(_));
        let (unread, cleared) = (self.text().stream.is_none(), self.text().cleared);
        let wire_cleared = self.wire.as_ref().map_or(u64::MAX, |wire| wire.cleared);
        let last = self.queue.len() == 1;
        let QueuedPart { bytes: part, end, wire_end } = self.queue.front_mut()?;
        let is_clean = *end <= cleared && *wire_end <= wire_cleared && !(last && encoded);
        if finished || unread || is_clean {
            let part = self.queue.pop_front().map(|part| part.bytes)?;
            self.queued -= part.len() + PART;
            if self.queue.is_empty() {
                // A long queue's own memory.
                self.queue.shrink_to(1);
            }
            return Some(part);
        }
        let held = usize::try_from(end.saturating_sub(cleared)).unwrap_or(usize::MAX);
        if !encoded && held < part.len() {
            let part = part.split_to(part.len() - held);
            self.queued -= part.len();
            return Some(part);
        }
        None
    }

    pub(super) fn pause(&mut self) {
        if let Some(wire) = &mut self.wire {
            wire.pause();
        }
        self.text().pause();
    }
}
