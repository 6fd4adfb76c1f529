//! The body of a request, scanned on its way.
//!
//! The first part is held, so that of a small body that is refused the origin sees nothing. What is longer streams
//! with a short hold-back and is cut off at a finding: the origin never sees such a request complete. Memory is
//! flat whatever the length.

use super::{
    block::{Block, Part},
    decode::Decoder,
    fields,
    pointer::pointer,
    rules::Rules,
};
use crate::dlp::{Finding, StreamScanner};
use crate::intercept::{Body, BodyError, body};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, timeout};

/// The beginning of a body is held no longer than this after its last byte.
const HOLD_PAUSE: Duration = Duration::from_millis(250);
/// A body that pauses this long may be waiting for an answer: what is clean of it goes on.
const PAUSE: Duration = Duration::from_millis(50);
/// Parts of a body larger than this are split before they are scanned, so that others have their turn.
const PIECE: usize = 64 << 10;

/// Told of each finding that is only logged.
pub(super) type OnFinding = Arc<dyn Fn(&Block) + Send + Sync>;

/// Why a body does not go on.
pub(super) enum Stop {
    /// A rule.
    Block(Block),
    /// It broke off, or is malformed.
    Client(BodyError),
}

/// Holds and scans the beginning of a body; the answer is the body to forward.
pub(super) async fn inspect(
    rules: &Arc<Rules>,
    request: &HeaderMap,
    mut inner: Body,
    on_finding: OnFinding,
) -> Result<Body, Stop> {
    let decoder = Decoder::of(request).map_err(Stop::Block)?;
    if inner.is_end_stream() {
        return Ok(inner);
    }
    let hint = inner.size_hint();
    let mut scan = Scan::new(Arc::clone(rules), decoder, is_json(request), on_finding);
    let (mut held, mut finished, mut trailers) = (0, false, None);
    let patience = if is_grpc(request) { PAUSE } else { HOLD_PAUSE };
    while held < rules.hold {
        let Ok(frame) = timeout(patience, inner.frame()).await else { break };
        match frame.transpose().map_err(Stop::Client)?.map(Frame::into_data) {
            Some(Ok(data)) => {
                held += data.len();
                scan.push(data).map_err(Stop::Block)?;
            }
            Some(Err(frame)) => trailers = frame.into_trailers().ok(),
            None => {
                finished = true;
                scan.finish(trailers.as_ref()).map_err(Stop::Block)?;
                break;
            }
        }
    }
    scan.beginning = false;
    let pause = Box::pin(tokio::time::sleep(PAUSE));
    Ok(body::boxed(Scanned { inner, scan, left: hint.exact(), finished, trailers, pause, paused: false }))
}

fn is_json(request: &HeaderMap) -> bool {
    request.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        kind.eq_ignore_ascii_case(b"application/json") || kind.to_ascii_lowercase().ends_with(b"+json")
    })
}

/// Such a request goes back and forth, and its peer waits for each message.
fn is_grpc(request: &HeaderMap) -> bool {
    request.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What was read and not yet passed on.
struct Scan {
    rules: Arc<Rules>,
    /// `None` once something was found that is only logged.
    stream: Option<StreamScanner>,
    decoder: Option<Decoder>,
    /// Parts in the order of the body, each with its end as the scanner counts.
    queue: VecDeque<(Bytes, u64)>,
    scanned: u64,
    cleared: u64,
    /// Everything is still in the queue.
    beginning: bool,
    json: bool,
    on_finding: OnFinding,
}

impl Scan {
    fn new(rules: Arc<Rules>, decoder: Option<Decoder>, json: bool, on_finding: OnFinding) -> Self {
        Self {
            stream: Some(rules.scanner.stream()),
            rules,
            decoder,
            queue: VecDeque::new(),
            scanned: 0,
            cleared: 0,
            beginning: true,
            json,
            on_finding,
        }
    }

    fn push(&mut self, mut data: Bytes) -> Result<(), Block> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE));
            // Before it is scanned, so that the place of a finding in it can be told.
            self.queue.push_back((piece.clone(), u64::MAX));
            match self.decoder.take() {
                None => self.scan(&piece)?,
                Some(mut decoder) => {
                    decoder.push(&piece, |text| self.scan(text))?;
                    self.decoder = Some(decoder);
                }
            }
            if let Some((_, end)) = self.queue.back_mut() {
                *end = self.scanned;
            }
        }
        Ok(())
    }

    fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Block> {
        if let Some(mut decoder) = self.decoder.take() {
            decoder.finish(|text| self.scan(text))?;
            self.decoder = Some(decoder);
        }
        if let Some(mut stream) = self.stream.take()
            && let Err(finding) = stream.finish()
        {
            self.found(finding)?;
        }
        self.cleared = u64::MAX;
        let Some(trailers) = trailers else { return Ok(()) };
        match fields::scan(&self.rules, trailers) {
            Err(block) if self.rules.only_warn => {
                (self.on_finding)(&block);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn scan(&mut self, text: &[u8]) -> Result<(), Block> {
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

    fn found(&mut self, finding: Finding) -> Result<(), Block> {
        let location = self.location(&finding);
        let block = Block::Dlp { part: Part::Body, finding, location };
        if !self.rules.only_warn {
            return Err(block);
        }
        (self.on_finding)(&block);
        self.stream = None;
        self.cleared = u64::MAX;
        Ok(())
    }

    fn location(&self, finding: &Finding) -> Option<String> {
        if !(self.beginning && self.json && self.decoder.is_none()) {
            return None;
        }
        let text: Vec<u8> = self.queue.iter().flat_map(|(part, _)| part.iter().copied()).collect();
        pointer(&text, usize::try_from(finding.offset).ok()?)
    }

    /// What may go on now. Of an encoded body the last part stays until the end, since what it means may still be
    /// in the decoder.
    fn pop(&mut self, finished: bool) -> Option<Bytes> {
        let last = self.queue.len() == 1;
        let (part, end) = self.queue.front_mut()?;
        if finished || self.stream.is_none() || *end <= self.cleared && !(last && self.decoder.is_some()) {
            return self.queue.pop_front().map(|(part, _)| part);
        }
        let held = usize::try_from(end.saturating_sub(self.cleared)).unwrap_or(usize::MAX);
        if self.decoder.is_none() && held < part.len() {
            return Some(part.split_to(part.len() - held));
        }
        None
    }

    fn pause(&mut self) {
        if let Some(stream) = &mut self.stream {
            self.cleared += stream.idle() as u64;
        }
    }
}

struct Scanned {
    inner: Body,
    scan: Scan,
    /// Bytes that were announced and did not go on yet.
    left: Option<u64>,
    finished: bool,
    trailers: Option<HeaderMap>,
    pause: Pin<Box<Sleep>>,
    paused: bool,
}

impl Scanned {
    fn take(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), Block> {
        self.paused = false;
        self.pause.as_mut().reset(Instant::now() + PAUSE);
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => self.scan.push(data),
            Some(Err(frame)) => {
                self.trailers = frame.into_trailers().ok();
                Ok(())
            }
            None => {
                self.finished = true;
                self.scan.finish(self.trailers.as_ref())
            }
        }
    }
}

impl http_body::Body for Scanned {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(part) = this.scan.pop(this.finished) {
                this.left = this.left.map(|left| left.saturating_sub(part.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            if this.finished {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(frame) => {
                    let taken = match frame.transpose() {
                        Ok(frame) => this.take(frame),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    if let Err(block) = taken {
                        return Poll::Ready(Some(Err(BodyError::Refused(Box::new(block)))));
                    }
                }
                Poll::Pending if !this.paused && this.pause.as_mut().poll(cx).is_ready() => {
                    this.paused = true;
                    this.scan.pause();
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.finished && self.scan.queue.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
