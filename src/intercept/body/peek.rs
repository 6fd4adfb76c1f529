//! A look at how a body begins.

use super::{Body, BodyError};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

/// A body whose first frames were read. It still gives all of them, and ends as it would have: also in an error.
pub struct Peeked {
    first: VecDeque<Result<Frame<Bytes>, BodyError>>,
    rest: Body,
    /// Nothing more is asked of `rest`.
    ended: bool,
    /// Whoever reads this had time to pass on what stands before an error.
    flushed: bool,
}

impl Peeked {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self { first: VecDeque::new(), rest: body, ended: false, flushed: false }
    }

    /// Reads until `count` bytes have come, or the body's end or error. What came until then is kept if this is
    /// dropped in the middle.
    pub async fn read(&mut self, count: usize) {
        while !self.ended && self.bytes().len() < count {
            let frame = self.rest.frame().await;
            self.ended = !matches!(frame, Some(Ok(_)));
            self.first.extend(frame);
        }
    }

    /// The bytes that have come.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let frames = self.first.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
        frames.flatten().copied().collect()
    }
}

impl http_body::Body for Peeked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // An HTTP library that is given an error drops what it has not written yet, be it the head.
        if matches!(self.first.front(), Some(Err(_))) && !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.first.pop_front() {
            None if !self.ended => Pin::new(&mut self.rest).poll_frame(cx),
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && (self.ended || http_body::Body::is_end_stream(&self.rest))
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.bytes().len() as u64;
        let rest = http_body::Body::size_hint(&self.rest);
        let mut whole = SizeHint::new();
        whole.set_lower(read + rest.lower());
        if let Some(upper) = rest.upper() {
            whole.set_upper(read + upper);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::{super::boxed, *};
    use http::HeaderMap;
    use http_body_util::StreamBody;

    fn body(frames: Vec<Result<Frame<Bytes>, BodyError>>) -> Body {
        boxed(StreamBody::new(futures_util::stream::iter(frames)))
    }

    async fn all(mut body: impl http_body::Body<Data = Bytes, Error = BodyError> + Unpin) -> String {
        let mut seen = String::new();
        while let Some(frame) = body.frame().await {
            seen += &match frame.map(Frame::into_data) {
                Ok(Ok(data)) => String::from_utf8(data.to_vec()).unwrap() + ",",
                Ok(Err(_)) => "trailers,".to_owned(),
                Err(error) => return seen + &error.to_string(),
            };
        }
        seen + "end"
    }

    #[tokio::test]
    async fn what_was_read_is_given_again_and_the_end_is_the_bodys_own() {
        let data = |text: &'static str| Ok(Frame::data(Bytes::from(text)));
        let trailers = || Ok(Frame::trailers(HeaderMap::new()));
        let broken = || Err(BodyError::Upstream("reset".into()));
        for count in 0..5 {
            let mut whole = Peeked::new(body(vec![data("ab"), data("c"), trailers()]));
            whole.read(count).await;
            assert_eq!(whole.bytes(), ["", "ab", "ab", "abc", "abc"][count].as_bytes());
            assert_eq!(all(whole).await, "ab,c,trailers,end");
            let mut breaks = Peeked::new(body(vec![data("ab"), broken()]));
            breaks.read(count).await;
            assert_eq!(all(breaks).await, "ab,the upstream's response body broke off: reset");
        }
    }

    #[tokio::test]
    async fn the_length_stays_what_was_announced() {
        let mut peeked = Peeked::new(super::super::full("abc"));
        for count in [0, 1, 9] {
            peeked.read(count).await;
            assert_eq!(http_body::Body::size_hint(&peeked).exact(), Some(3));
        }
    }
}
