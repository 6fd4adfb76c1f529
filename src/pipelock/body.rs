//! The body of a request, scanned on its way.
//!
//! The first part is held, so that of a small body that is refused the origin sees nothing. What is longer streams
//! with a short hold-back and is cut off at a finding: the origin never sees such a request complete. Memory is
//! flat whatever the length.

use super::{
    rules::Rules,
    scan::{RemovedSoFar, Scan, Told},
};
use crate::content_coding::Coding;
use crate::dlp::Removed;
use crate::intercept::{
    Body, BodyError, body,
    budget::{Budget, NoRoom, Revocable, Share},
};
use crate::verdict::pipelock::{Block, Ruleset};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, timeout};

/// The beginning of a body is held no longer than this after its last byte.
const HOLD_PAUSE: Duration = Duration::from_millis(250);
/// A body that pauses this long may be waiting for an answer: what is clean of it goes on.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a body does not go on.
pub(super) enum Stop {
    /// Something was found in it, or there is no memory for it.
    Block(Block),
    /// It broke off, or is malformed.
    Client(BodyError),
}

impl From<NoRoom> for Block {
    fn from(why: NoRoom) -> Self {
        match why {
            NoRoom::Short => Block::NoMemory,
            NoRoom::Taken => Block::Stalled,
        }
    }
}

/// Holds and scans the beginning of a body; the answer is the body to forward.
pub(super) async fn inspect(
    rules: &Arc<Rules>,
    budget: &Arc<Budget>,
    host: &str,
    request: &HeaderMap,
    mut inner: Body,
    told: Told,
) -> Result<Body, Stop> {
    let coding = Coding::from_fields(request).map_err(|why| Stop::Block(why.into()))?;
    if inner.is_end_stream() {
        return Ok(inner);
    }
    let no_room = |why: NoRoom| Stop::Block(why.into());
    let hint = inner.size_hint();
    let share = Arc::new(budget.share());
    share.obtain(Scan::least()).await.map_err(no_room)?;
    let scan = Scan::new(Arc::clone(&rules.ruleset), host, coding, request, told).map_err(Stop::Block)?;
    let rewrites = scan.rewrites();
    let held = Revocable::new(scan, &share);
    let (mut finished, mut trailers) = (false, None);
    let patience = if is_grpc(request) { PAUSE } else { HOLD_PAUSE };
    while held.with(|scan| Ok(scan.waiting())).map_err(Stop::Block)? < rules.hold {
        let frame = tokio::select! {
            frame = timeout(patience, inner.frame()) => frame,
            () = held.taken() => return Err(Stop::Block(Block::Stalled)),
        };
        let Ok(frame) = frame else { break };
        match frame.transpose().map_err(Stop::Client)?.map(Frame::into_data) {
            Some(Ok(data)) => {
                let most = held.with(|scan| scan.foresee(&data)).map_err(Stop::Block)?;
                share.obtain(most).await.map_err(no_room)?;
                share.moved(data.len());
                held.with(|scan| scan.push(data)).map_err(Stop::Block)?;
            }
            Some(Err(frame)) => trailers = frame.into_trailers().ok(),
            None => {
                finished = true;
                held.with(|scan| scan.finish(trailers.as_ref())).map_err(Stop::Block)?;
                break;
            }
        }
    }
    let memory = held.with(|scan| {
        scan.go_on();
        Ok(scan.memory())
    });
    share.set(memory.map_err(Stop::Block)?).map_err(no_room)?;
    let pause = Box::pin(tokio::time::sleep(PAUSE));
    // A body that is here as a whole has a length whatever was taken out of it; of any other that is not known.
    let left = match (rewrites, finished) {
        (false, _) => hint.exact(),
        (true, true) => Some(held.with(|scan| Ok(scan.length())).map_err(Stop::Block)?),
        (true, false) => None,
    };
    Ok(body::boxed(Scanned { inner, held, share, left, finished, trailers, pause, paused: false }))
}

/// What was found in a body that goes on.
#[derive(Debug)]
pub struct ScannedBody {
    /// What is only logged.
    pub logged: Vec<Block>,
    /// What is removed.
    pub removed: Removed,
}

/// What the engine would find in a whole body to this host with these fields: what it only logs, or why it refuses the request.
pub fn scan_body(
    ruleset: &Arc<Ruleset>,
    host: &str,
    request: &HeaderMap,
    body: Bytes,
) -> Result<ScannedBody, Block> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&found);
    let removed = RemovedSoFar::default();
    let told = Told {
        on_finding: Arc::new(move |block: &Block| {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(block.clone());
        }),
        on_removed: Arc::new(|_| {}),
        removed: removed.clone(),
    };
    let mut scan = Scan::new(Arc::clone(ruleset), host, Coding::from_fields(request)?, request, told)?;
    scan.foresee(&body)?;
    scan.push(body)?;
    scan.finish(None)?;
    let logged = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(ScannedBody { logged, removed: removed.get() })
}

/// Such a request goes back and forth, and its peer waits for each message.
fn is_grpc(request: &HeaderMap) -> bool {
    request.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

struct Scanned {
    inner: Body,
    held: Arc<Revocable<Scan>>,
    share: Arc<Share>,
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
            Some(Ok(data)) => {
                let most = self.held.with(|scan| scan.foresee(&data))?;
                self.share.set(most)?;
                self.share.moved(data.len());
                let memory = self.held.with(|scan| scan.push(data).map(|()| scan.memory()))?;
                Ok(self.share.set(memory)?)
            }
            Some(Err(frame)) => {
                self.trailers = frame.into_trailers().ok();
                Ok(())
            }
            None => {
                self.finished = true;
                let trailers = self.trailers.as_ref();
                let memory = self.held.with(|scan| scan.finish(trailers).map(|()| scan.memory()))?;
                Ok(self.share.set(memory)?)
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
        let refused = |block| Poll::Ready(Some(Err(BodyError::Refused(Box::new(block)))));
        this.held.wakes(cx);
        loop {
            let part = match this.held.with(|scan| Ok(scan.pop(this.finished))) {
                Ok(part) => part,
                Err(block) => return refused(block),
            };
            if let Some(part) = part {
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
                        return refused(block);
                    }
                }
                Poll::Pending if !this.paused && this.pause.as_mut().poll(cx).is_ready() => {
                    this.paused = true;
                    if let Err(block) = this.held.with(Scan::pause) {
                        return refused(block);
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.finished && self.trailers.is_none() && self.held.look(|scan| scan.waiting() == 0) == Some(true)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
