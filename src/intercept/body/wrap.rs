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
    /// Counts more, that came another way than in a body.
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of data so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
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
    let meter = meter.clone();
    on_frame(body, move |frame| {
        meter.0.fetch_add(length(&frame), Ordering::Relaxed);
        Ok(frame)
    })
}

/// Lets `edit` change the trailers of a body.
#[must_use]
pub fn on_trailers(body: Body, edit: impl Fn(&mut HeaderMap) + Send + Unpin + 'static) -> Body {
    on_frame(body, move |mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            edit(trailers);
        }
        Ok(frame)
    })
}

/// Fails with [`BodyError::TooLarge`] instead of passing byte `limit` + 1.
#[must_use]
pub fn limited(body: Body, limit: u64) -> Body {
    let mut left = limit;
    on_frame(body, move |frame| {
        left = left.checked_sub(length(&frame)).ok_or(BodyError::TooLarge { limit })?;
        Ok(frame)
    })
}

/// Bytes of data.
fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

/// Passes every frame through `each`, which keeps its length.
pub(crate) fn on_frame(
    body: Body,
    each: impl FnMut(Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> + Send + Unpin + 'static,
) -> Body {
    boxed(OnFrame { inner: body, each })
}

struct OnFrame<F> {
    inner: Body,
    each: F,
}

impl<F: FnMut(Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> + Unpin> http_body::Body for OnFrame<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.and_then(&mut self.each)))
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
                self.bytes += length(frame);
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
