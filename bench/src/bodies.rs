//! Bodies that are made while they are sent.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, combinators::BoxBody};
use rustix::time::{ClockId, clock_gettime};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

pub(crate) type Boxed = BoxBody<Bytes, Infallible>;

pub(crate) fn empty() -> Boxed {
    Empty::new().boxed()
}

/// How much of a long body comes at once.
const CHUNK: usize = 64 * 1024;

/// Words, as what agents send and read mostly is; no two lines are alike.
fn words() -> Bytes {
    static WORDS: OnceLock<Bytes> = OnceLock::new();
    const SOME: [&str; 16] = [
        "the", "agent", "reads", "a", "file", "and", "writes", "one", "test", "for", "each", "case", "that",
        "failed", "before", "again",
    ];
    let make = || {
        let mut text = String::with_capacity(CHUNK + 16);
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        while text.len() < CHUNK {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = usize::try_from(state >> 60).unwrap_or(0);
            text.push_str(SOME[index]);
            text.push(if (state >> 32).is_multiple_of(16) { '\n' } else { ' ' });
        }
        text.truncate(CHUNK);
        Bytes::from(text)
    };
    WORDS.get_or_init(make).clone()
}

/// So many bytes of words.
pub(crate) struct Long {
    left: u64,
}

impl Long {
    pub(crate) fn boxed_of(bytes: u64) -> Boxed {
        Self { left: bytes }.boxed()
    }
}

impl Body for Long {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
        self.left -= size as u64;
        Poll::Ready(Some(Ok(Frame::data(words().slice(..size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Nanoseconds on the clock that all processes of this machine share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Server-sent events with the time at which each was sent.
pub(crate) struct Events {
    left: u32,
    ticks: Interval,
}

impl Events {
    pub(crate) fn boxed_of(count: u32, every: Duration) -> Boxed {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { left: count, ticks }.boxed()
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.ticks.poll_tick(context));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(format!("data: {}\n\n", now()).into()))))
    }
}
