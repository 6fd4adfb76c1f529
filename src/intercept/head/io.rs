//! The filter as a stream: the library reads from it and writes through it.

use super::{
    FaultKind,
    fault::FramingFault,
    filter::{ConnectionKind, RequestFilter, Verdict, Waiting},
};
use crate::intercept::{
    ServerLimits,
    activity::{Activity, InFlight},
    alarm::Alarm,
    write_through::write_through,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Instant,
};

/// How much is asked for at a time.
const READ: usize = 32 * 1024;
/// How much is held back after the end of HTTP; a ClientHello is smaller.
const HELD: usize = 64 * 1024;
/// How long a client that is still sending is listened to after the answer, so that it reads the answer before
/// it learns that nobody reads the rest (a reset would take the answer from it).
const LINGER: Duration = Duration::from_secs(10);

/// The verdicts on the heads that have passed and that no service has asked for yet, in their order.
#[derive(Clone, Debug)]
pub(in crate::intercept) struct Verdicts {
    queue: Arc<Mutex<VecDeque<(Verdict, InFlight)>>>,
    activity: Activity,
    /// An upgrade was granted: no head follows.
    handed_over: Arc<AtomicBool>,
}

impl Verdicts {
    pub(in crate::intercept) fn new(activity: Activity) -> Self {
        Self { queue: Arc::default(), activity, handed_over: Arc::default() }
    }

    /// The verdict on the next head, and the token that counts its exchange as in flight.
    pub(in crate::intercept) fn next(&self) -> Option<(Verdict, InFlight)> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Ends HTTP on this connection. Called before the answer that says so.
    pub(in crate::intercept) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
    }

    fn push(&self, verdict: Verdict) {
        let in_flight = self.activity.begin();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back((verdict, in_flight));
    }
}

/// A client's connection as the HTTP/1 library may see it.
pub(in crate::intercept) struct CheckedIo<S> {
    inner: S,
    filter: RequestFilter,
    verdicts: Verdicts,
    head: Duration,
    idle: Duration,
    /// When the first byte of the head at hand came.
    head_since: Option<Instant>,
    alarm: Alarm,
    eof: bool,
    /// Until when the client is listened to after the sending side was closed.
    closing: Option<Instant>,
    lingering: bool,
    on_idle: Box<dyn Fn() + Send>,
}

impl<S> CheckedIo<S> {
    /// `on_idle` is called when the connection is closed for having been idle.
    pub(in crate::intercept) fn new(
        inner: S,
        connection: ConnectionKind,
        limits: &ServerLimits,
        verdicts: Verdicts,
        on_idle: impl Fn() + Send + 'static,
    ) -> Self {
        Self {
            inner,
            filter: RequestFilter::new(connection, limits),
            verdicts,
            head: limits.head,
            idle: limits.idle,
            head_since: None,
            alarm: Alarm::default(),
            eof: false,
            closing: None,
            lingering: false,
            on_idle: Box::new(on_idle),
        }
    }

    /// After a granted CONNECT or upgrade: the connection, and what the client sent ahead. `None` when that was read as
    /// HTTP.
    pub(in crate::intercept) fn into_tunnel(mut self) -> Option<(S, Bytes)> {
        self.hold_back();
        Some((self.inner, self.filter.into_rest()?.freeze()))
    }

    /// After an answer that ends HTTP nothing is read as a head any more.
    fn hold_back(&mut self) {
        if self.verdicts.handed_over.load(Ordering::Acquire) {
            self.filter.hand_over();
        }
    }

    fn publish(&mut self) {
        for verdict in self.filter.take_verdicts() {
            self.verdicts.push(verdict);
        }
        self.head_since = match self.filter.waiting() {
            Waiting::Head => self.head_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
    }

    /// Whether the client may be sending something that nobody will read.
    fn unread(&self) -> bool {
        !self.eof && self.filter.waiting() != Waiting::Idle
    }
}

impl<S: AsyncRead + Unpin> CheckedIo<S> {
    /// Reads from the client into the filter.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let raw = self.filter.raw();
        raw.reserve(READ);
        let count = ready!(std::pin::pin!(self.inner.read_buf(raw)).poll(cx))?;
        self.eof = count == 0;
        Poll::Ready(Ok(count))
    }

    /// What to do when the client sends nothing: wait, or end it.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        if let Some(since) = self.head_since {
            return self.alarm.poll(since + self.head, cx).map(|()| Timer::Head);
        }
        if self.filter.waiting() != Waiting::Idle {
            return Poll::Pending;
        }
        // While an exchange is in flight the library may not ask again at its end: look again in time.
        let since = self.verdicts.activity.idle_since();
        match self.alarm.poll(since.unwrap_or_else(Instant::now) + self.idle, cx) {
            Poll::Ready(()) => Poll::Ready(Timer::Idle),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Which time has passed.
enum Timer {
    Head,
    Idle,
}

impl<S: AsyncRead + Unpin> AsyncRead for CheckedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.hold_back();
        loop {
            let passed = this.filter.passed();
            if !passed.is_empty() {
                let part = passed.split_to(passed.len().min(buf.remaining()));
                buf.put_slice(&part);
                return Poll::Ready(Ok(()));
            }
            if let Some(kind) = this.filter.broken() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, FramingFault(kind))));
            }
            match this.filter.waiting() {
                Waiting::Nothing => return Poll::Pending,
                Waiting::HandedOver if this.filter.raw().len() >= HELD => return Poll::Pending,
                _ => {}
            }
            match this.fill(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => this.filter.advance(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => match ready!(this.wait(cx)) {
                    Timer::Head => _ = this.filter.refuse(FaultKind::HeadTimeout),
                    Timer::Idle => {
                        (this.on_idle)();
                        return Poll::Ready(Ok(()));
                    }
                },
            }
            this.publish();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for CheckedIo<S> {
    write_through!();

    /// Closes the sending side; if the client may still be sending, listens to it for a while.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.closing = Some(Instant::now() + LINGER);
            this.lingering = this.unread();
        }
        while this.lingering {
            match this.fill(cx) {
                Poll::Ready(Ok(1..)) => this.filter.raw().clear(),
                Poll::Ready(_) => this.lingering = false,
                Poll::Pending => {
                    let deadline = this.closing.unwrap_or_else(Instant::now);
                    ready!(this.alarm.poll(deadline, cx));
                    this.lingering = false;
                }
            }
            this.lingering &= this.closing.is_some_and(|deadline| Instant::now() < deadline);
        }
        Poll::Ready(Ok(()))
    }
}
