//! What was read of a body and is not yet passed on: its parts, its decoder, its scanner.

use super::pointer::pointer;
use crate::content_coding::{Coding, DecodedReader, Decoder};
use crate::dlp::{Finding, Form, Redactor, Removed, StreamScanner};
use crate::intercept::budget::BodyMemory;
use crate::verdict::pipelock::{Block, Part, Ruleset, form_of_body, is_signed};
use bytes::Bytes;
use http::HeaderMap;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Parts of a body larger than this are split before they are scanned, so that others have their turn.
const PIECE: usize = 64 << 10;
/// A part smaller than this is copied: it would keep the whole buffer that it was read into.
const COPIED: usize = 16 << 10;
/// What a part takes beside its bytes, in the queue and in the allocator.
const PART: usize = 128;
/// What the scanner of an ordinary text takes at most; what it really takes where that is more. Codings upon codings can take
/// many times as much.
/// `dlp::work::an_ordinary_text_takes_no_more_memory_than_is_reserved` holds it.
const SCANNER: usize = 256 << 10;

/// What the one that takes secrets out takes at most, and what it makes of them.
const REDACTOR: usize = Redactor::most();

/// Told of each finding that is only logged.
pub(super) type OnFinding = Arc<dyn Fn(&Block) + Send + Sync>;

/// What was removed from a body so far, for whoever tells of it.
#[derive(Clone, Debug, Default)]
pub(super) struct RemovedSoFar(Arc<Mutex<Removed>>);

impl RemovedSoFar {
    pub(super) fn get(&self) -> Removed {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, removed: &Removed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(removed);
    }
}

/// What a scan tells while it goes on.
pub(super) struct Told {
    pub(super) on_finding: OnFinding,
    /// Called once, at the end of a body from which anything was removed.
    pub(super) on_removed: Arc<dyn Fn(&Removed) + Send + Sync>,
    pub(super) removed: RemovedSoFar,
}

/// What was read and not yet passed on.
pub(super) struct Scan {
    ruleset: Arc<Ruleset>,
    /// Where the body goes.
    host: String,
    /// Takes secrets out before the rest is scanned as if nothing had been done.
    redactor: Option<Box<Redactor>>,
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
    told: Told,
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

    fn memory(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.memory().max(SCANNER))
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
        request: &HeaderMap,
        told: Told,
    ) -> Result<Self, Block> {
        let scanner = ruleset.scanner(host);
        let form = form_of_body(request);
        let redactor = form.filter(|_| coding.is_none() && ruleset.removes(host));
        let redactor = redactor.map(|form| Box::new(scanner.redactor(form)));
        let json = form == Some(Form::Json);
        let only_warn = ruleset.only_warns(host);
        let of = |stream| Text { stream: Some(stream), only_warn, ..Text::default() };
        let text = of(scanner.stream());
        let (text, wire) = match coding {
            None => (Source::Plain(text), None),
            Some(coding) => {
                (Source::Encoded(Box::new(Decoder::new(coding, text)?)), Some(of(scanner.stream_of_coded())))
            }
        };
        let (host, queue) = (host.to_owned(), VecDeque::new());
        Ok(Self { ruleset, host, redactor, text, wire, queue, queued: 0, beginning: true, json, told })
    }

    /// Bytes that the parts take which wait.
    pub(super) fn waiting(&self) -> usize {
        self.queued
    }

    /// What all of it takes at most.
    pub(super) fn memory(&mut self) -> BodyMemory {
        let wire = self.wire.as_ref().map_or(0, Text::memory);
        let (scanner, decoder) = match &mut self.text {
            Source::Plain(Text { stream: None, .. }) => (0, 0),
            Source::Plain(text) => (text.memory(), 0),
            Source::Encoded(decoder) => (decoder.reader().memory() + wire, decoder.memory()),
        };
        let redactor = if self.redactor.is_some() { REDACTOR } else { 0 };
        BodyMemory { text: self.queued + scanner + redactor, decoder }
    }

    /// Takes note of what will be pushed next, once; says what all of it will take then at most.
    pub(super) fn foresee(&mut self, data: &[u8]) -> Result<BodyMemory, Block> {
        if let Source::Encoded(decoder) = &mut self.text {
            decoder.foresee(data)?;
        }
        let BodyMemory { text, decoder } = self.memory();
        Ok(BodyMemory { text: text + data.len() + PART * (1 + data.len() / PIECE), decoder })
    }

    pub(super) fn push(&mut self, data: Bytes) -> Result<(), Block> {
        let Some(redactor) = &mut self.redactor else { return self.read(data) };
        let data = redactor.push(&data);
        self.read_redacted(data)
    }

    fn read_redacted(&mut self, data: Result<Vec<u8>, Finding>) -> Result<(), Block> {
        if let Some(redactor) = &self.redactor {
            self.told.removed.set(redactor.removed());
        }
        let data = data.map_err(|finding| Block::Dlp { part: Part::Body, finding, location: None })?;
        self.read(data.into())
    }

    fn read(&mut self, mut data: Bytes) -> Result<(), Block> {
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
        if let Some(redactor) = &mut self.redactor {
            let rest = redactor.finish();
            self.read_redacted(rest)?;
        }
        if let Source::Encoded(decoder) = &mut self.text {
            decoder.finish()?;
        }
        self.wire.take().map_or(Ok(()), |mut wire| wire.finish())?;
        let finished = self.text().finish();
        finished.map_err(|block| self.located(block))?;
        self.warn();
        self.text = Source::Plain(std::mem::take(self.text()));
        self.redactor = None;
        let removed = self.told.removed.get();
        if !removed.is_empty() {
            if trailers.is_some_and(is_signed) {
                return Err(Block::Signed);
            }
            (self.told.on_removed)(&removed);
        }
        let Some(trailers) = trailers else { return Ok(()) };
        match self.ruleset.scan_fields(&self.host, trailers) {
            Err(block) if self.ruleset.only_warns(&self.host) => {
                (self.told.on_finding)(&block);
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
            (self.told.on_finding)(&block);
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

    /// How long what waits is, in bytes of the body.
    pub(super) fn length(&self) -> u64 {
        self.queue.iter().map(|part| part.bytes.len() as u64).sum()
    }

    /// Whether the body may go on with another length than it came with.
    pub(super) fn rewrites(&self) -> bool {
        self.redactor.is_some()
    }

    pub(super) fn pause(&mut self) -> Result<(), Block> {
        if let Some(redactor) = &mut self.redactor {
            let more = redactor.idle();
            self.read_redacted(Ok(more))?;
        }
        if let Some(wire) = &mut self.wire {
            wire.pause();
        }
        self.text().pause();
        Ok(())
    }
}
