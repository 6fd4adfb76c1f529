//! What can be put around a body.

use super::{Body, BodyError, Party, boxed};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

/// Counts the bytes of a body while it passes. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Bytes of data so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, data: &Bytes) {
        self.0.fetch_add(data.len() as u64, Ordering::Relaxed);
    }
}

/// How a body ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyEnd {
    /// Bytes of data that passed.
    pub bytes: u64,
    /// Whether that was all.
    pub outcome: BodyOutcome,
}

/// Whether a body came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyOutcome {
    /// It did.
    Complete,
    /// It failed.
    Failed {
        /// Who is at fault.
        party: Party,
        /// The error's text.
        text: String,
    },
    /// Whoever read it stopped before its end.
    Dropped,
}

/// Counts a body's bytes on `meter`.
#[must_use]
pub fn metered(body: Body, meter: &Meter) -> Body {
    boxed(Metered { inner: body, meter: meter.clone() })
}

struct Metered {
    inner: Body,
    meter: Meter,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref) {
            self.meter.add(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Lets `edit` change the trailers of a body.
#[must_use]
pub fn on_trailers(body: Body, edit: impl Fn(&mut HeaderMap) + Send + Unpin + 'static) -> Body {
    boxed(OnTrailers { inner: body, edit })
}

struct OnTrailers<F> {
    inner: Body,
    edit: F,
}

impl<F: Fn(&mut HeaderMap) + Unpin> http_body::Body for OnTrailers<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(trailers) = frame.as_mut().and_then(|f| f.as_mut().ok()).and_then(Frame::trailers_mut) {
            (self.edit)(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Calls `then` exactly once: at the body's end, at its error, or when it is dropped before either.
#[must_use]
pub fn on_end(body: Body, then: impl FnOnce(BodyEnd) + Send + 'static) -> Body {
    let expected = http_body::Body::size_hint(&body).exact();
    boxed(OnEnd { inner: body, bytes: 0, expected, then: Some(Box::new(then)) })
}

struct OnEnd {
    inner: Body,
    bytes: u64,
    /// The announced length: a reader may stop once it has all of that, without asking for more.
    expected: Option<u64>,
    then: Option<Box<dyn FnOnce(BodyEnd) + Send>>,
}

impl OnEnd {
    fn end(&mut self, outcome: BodyOutcome) {
        if let Some(then) = self.then.take() {
            then(BodyEnd { bytes: self.bytes, outcome });
        }
    }
}

impl http_body::Body for OnEnd {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if frame.is_trailers() {
                    self.end(BodyOutcome::Complete);
                }
            }
            Some(Err(error)) => {
                let outcome = BodyOutcome::Failed { party: error.party(), text: error.to_string() };
                self.end(outcome);
            }
            None => self.end(BodyOutcome::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        let whole = http_body::Body::is_end_stream(&self.inner) || self.expected == Some(self.bytes);
        self.end(if whole { BodyOutcome::Complete } else { BodyOutcome::Dropped });
    }
}

/// Fails with [`BodyError::TooLarge`] instead of passing byte `limit` + 1.
#[must_use]
pub fn limited(body: Body, limit: u64) -> Body {
    boxed(Limited { inner: body, limit, left: limit })
}

struct Limited {
    inner: Body,
    limit: u64,
    left: u64,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let size =
            frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref).map_or(0, Bytes::len)
                as u64;
        match self.left.checked_sub(size) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(BodyError::TooLarge { limit: self.limit }))),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::full, *};
    use http_body_util::{BodyExt, StreamBody};
    use std::sync::Mutex;

    fn recorded(body: Body) -> (Body, Arc<Mutex<Vec<BodyEnd>>>) {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&ends);
        (on_end(body, move |end| into.lock().unwrap().push(end)), ends)
    }

    fn chunks(parts: Vec<Result<&'static str, BodyError>>) -> Body {
        let frames = parts.into_iter().map(|part| part.map(|text| Frame::data(Bytes::from(text))));
        boxed(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn the_end_is_reported_once_with_its_outcome() {
        let (body, ends) = recorded(chunks(vec![Ok("ab"), Ok("c")]));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(*ends.lock().unwrap(), [BodyEnd { bytes: 3, outcome: BodyOutcome::Complete }]);

        let (body, ends) = recorded(chunks(vec![Ok("ab"), Err(BodyError::Upstream("reset".into()))]));
        assert!(body.collect().await.is_err());
        let text = "the upstream's response body broke off: reset".to_owned();
        let outcome = BodyOutcome::Failed { party: Party::Upstream, text };
        assert_eq!(*ends.lock().unwrap(), [BodyEnd { bytes: 2, outcome }]);
    }

    #[tokio::test]
    async fn dropping_before_the_end_is_told_from_not_asking_past_it() {
        let (mut body, ends) = recorded(chunks(vec![Ok("ab"), Ok("c")]));
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(ends.lock().unwrap()[0], BodyEnd { bytes: 2, outcome: BodyOutcome::Dropped });

        let (mut body, ends) = recorded(full("abc"));
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(ends.lock().unwrap()[0].outcome, BodyOutcome::Complete);
    }

    #[tokio::test]
    async fn a_limit_passes_what_fits_and_counts_it() {
        let meter = Meter::default();
        let body = limited(metered(chunks(vec![Ok("ab"), Ok("c")]), &meter), 3);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(meter.bytes(), 3);
        let error = limited(chunks(vec![Ok("ab"), Ok("cd")]), 3).collect().await.unwrap_err();
        assert_eq!(error.to_string(), "the body is longer than 3 bytes");
        assert_eq!(error.party(), Party::Downstream);
    }
}
