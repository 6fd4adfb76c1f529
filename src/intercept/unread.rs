//! The memory of a response that comes faster than the client reads it: a part of the budget of bodies in flight.
//!
//! An origin may send [`WINDOW`] bytes ahead. So much is taken from the budget when the response begins; a request is
//! not sent on when there is no room for that. A response that the client does not read gives it back when others need
//! it: it is cut off.

use super::budget::{BodyMemory, Budget, Holder, NoRoom, Share};
use super::{Body, BodyError, body};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
};

/// Bytes of one response that an origin may send ahead of what is read: a stream from an origin that is 100 ms away
/// carries 5 MB/s.
pub(crate) const WINDOW: u32 = 512 * 1024;

/// Room for the response to a request.
pub(crate) struct ResponseRoom(Share);

impl ResponseRoom {
    /// Waits until there is room for a response. Nothing is held until it comes: an origin that is silent, or waits for
    /// the rest of the request, sends nothing.
    pub(crate) async fn find(budget: &Arc<Budget>) -> Result<Self, NoRoom> {
        let share = budget.share();
        share.obtain(bytes(WINDOW as usize)).await?;
        share.set(bytes(0))?;
        Ok(Self(share))
    }

    /// Takes the room for a response that begins. `on_cut` is called when it is cut off, since the client did not
    /// read it.
    pub(crate) fn hold(
        self,
        response: Response<Body>,
        on_cut: impl Fn() + Send + Sync + 'static,
    ) -> Result<Response<Body>, NoRoom> {
        let body = response.body();
        if body.is_end_stream() {
            return Ok(response);
        }
        let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let share = self.0;
        share.set(bytes(length.map_or(WINDOW as usize, |length| length.min(WINDOW as usize))))?;
        share.waiting(true);
        Ok(response.map(|inner| {
            let inner = Mutex::new(Some(inner));
            let held = Arc::new(SharedBody { inner, waker: AtomicWaker::new(), on_cut: Box::new(on_cut) });
            let holder: Weak<SharedBody> = Arc::downgrade(&held);
            share.held_by(holder);
            body::boxed(Unread { held, share, waiting: true })
        }))
    }
}

fn bytes(text: usize) -> BodyMemory {
    BodyMemory { text, decoder: 0 }
}

/// A response that the budget may cut off.
struct SharedBody {
    inner: Mutex<Option<Body>>,
    waker: AtomicWaker,
    on_cut: Box<dyn Fn() + Send + Sync>,
}

impl SharedBody {
    fn inner(&self) -> MutexGuard<'_, Option<Body>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder for SharedBody {
    fn release(&self) -> bool {
        let Ok(mut inner) = self.inner.try_lock() else { return false };
        *inner = None;
        drop(inner);
        (self.on_cut)();
        self.waker.wake();
        true
    }
}

struct Unread {
    held: Arc<SharedBody>,
    share: Share,
    /// Nothing came that could be read.
    waiting: bool,
}

impl Unread {
    fn is_waiting(&mut self, waiting: bool) {
        if self.waiting != waiting {
            self.waiting = waiting;
            self.share.waiting(waiting);
        }
    }
}

impl http_body::Body for Unread {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.held.waker.register(cx.waker());
        let polled = self.held.inner().as_mut().map(|inner| Pin::new(inner).poll_frame(cx));
        let Some(polled) = polled else {
            let why = "the client did not read the response while other requests needed its memory";
            return Poll::Ready(Some(Err(BodyError::Refused(why.into()))));
        };
        self.is_waiting(polled.is_pending());
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.share.moved(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.held.inner().as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.held.inner().as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::budget::BudgetLimits, *};
    use http_body_util::{BodyExt as _, StreamBody};
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    const ROOM: usize = WINDOW as usize;

    /// Gives a frame of 16 KiB whenever it is asked.
    fn endless() -> Body {
        let frame = || Ok(Frame::data(Bytes::from(vec![0; 16 << 10])));
        body::boxed(StreamBody::new(futures_util::stream::repeat_with(frame)))
    }

    fn silent() -> Body {
        body::boxed(StreamBody::new(futures_util::stream::pending()))
    }

    async fn held(budget: &Arc<Budget>, inner: Body) -> (Body, Arc<AtomicUsize>) {
        let cut = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cut);
        let on_cut = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let room = ResponseRoom::find(budget).await.unwrap();
        (room.hold(Response::new(inner), on_cut).unwrap().into_body(), cut)
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_read_gives_way_and_one_whose_origin_is_silent_does_not() {
        let total = 2 * ROOM;
        let budget = Budget::new(BudgetLimits { total, ..BudgetLimits::default() });
        let (mut quiet, quiet_cut) = held(&budget, silent()).await;
        assert!(futures_util::poll!(quiet.frame()).is_pending());
        let (mut unread, unread_cut) = held(&budget, endless()).await;
        unread.frame().await.unwrap().unwrap();

        let third = held(&budget, endless()).await;
        assert_eq!((quiet_cut.load(Ordering::Relaxed), unread_cut.load(Ordering::Relaxed)), (0, 1));
        let error = unread.frame().await.unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the client did not read the response while other requests needed its memory"
        );
        assert!(!unread.is_end_stream(), "what was cut off never ends cleanly");
        assert_eq!(budget.used(), total);
        drop((third, quiet, unread));
        assert_eq!(budget.used(), 0);
    }

    /// Its origin was silent for long, but its client reads what comes.
    #[tokio::test(start_paused = true)]
    async fn an_answer_after_a_long_silence_does_not_give_way_at_once() {
        let budget = Budget::new(BudgetLimits { total: ROOM, ..BudgetLimits::default() });
        let first = futures_util::stream::once(async {
            tokio::time::sleep(Duration::from_mins(10)).await;
            Ok(Frame::data(Bytes::from_static(b"data: x\n\n")))
        });
        let inner = body::boxed(StreamBody::new(Box::pin(first)));
        let (mut events, cut) = held(&budget, inner).await;
        events.frame().await.unwrap().unwrap();
        assert_eq!(budget.share().set(bytes(1)), Err(NoRoom::Short), "it came just now");
        assert_eq!(cut.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_response_holds_nothing_and_none_is_sent_without_room() {
        let budget = Budget::new(BudgetLimits { total: ROOM, ..BudgetLimits::default() });
        let first = ResponseRoom::find(&budget).await.unwrap();
        let second = ResponseRoom::find(&budget).await.unwrap();
        assert_eq!(budget.used(), 0);
        let _first = first.hold(Response::new(endless()), || {}).unwrap();
        assert_eq!(second.hold(Response::new(endless()), || {}).err(), Some(NoRoom::Short));
        assert_eq!(
            ResponseRoom::find(&budget).await.err(),
            Some(NoRoom::Short),
            "its client may still read it"
        );
    }

    #[tokio::test]
    async fn a_short_response_takes_its_length_and_none_takes_nothing() {
        let budget = Budget::new(BudgetLimits::default());
        let (short, _) = held(&budget, body::full("abc")).await;
        assert_eq!(budget.used(), 3);
        assert_eq!(short.collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(budget.used(), 0);
        let (_none, _) = held(&budget, body::empty()).await;
        assert_eq!(budget.used(), 0);
    }
}
