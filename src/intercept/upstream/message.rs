//! A request on its way out, which can be taken back as long as nothing of its body was sent.

use super::SendError;
use crate::fields::{keep_only_trailers_of_te, remove_hop_by_hop};
use crate::intercept::{Body, BodyError, BoxError, body, head::decimal};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version,
    header::{CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING},
    uri::PathAndQuery,
};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

/// A request that can be written once or twice.
pub(super) struct Message {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Outgoing,
}

impl Message {
    pub(super) fn new<E>(request: Request<Body>) -> Result<Self, SendError<E>> {
        let (parts, body) = request.into_parts();
        if parts.uri.scheme().is_none() || parts.uri.authority().is_none() {
            return Err(SendError::NotAbsolute);
        }
        let mut headers = parts.headers;
        remove_hop_by_hop(&mut headers);
        keep_only_trailers_of_te(&mut headers);
        // The client was told to go on when its body was first asked for; nothing waits for the upstream's word.
        headers.remove(EXPECT);
        // The length that is announced is the length that is sent, whatever was done to the body.
        let known = http_body::Body::size_hint(&body).exact();
        if let Some(length) = known
            && headers.contains_key(CONTENT_LENGTH)
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(Self { method: parts.method, uri: parts.uri, headers, body: Outgoing::new(body) })
    }

    /// For HTTP/1: origin-form and `Host`, or absolute-form for a proxy (RFC 9112 §3.2).
    pub(super) fn http1(&self, absolute_form: bool) -> Request<Outgoing> {
        let mut headers = self.headers.clone();
        if let Some(host) = self.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            headers.insert(HOST, host);
        }
        let uri = if absolute_form {
            self.uri.clone()
        } else {
            let target = self.uri.path_and_query().cloned();
            Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")))
        };
        self.request(uri, headers, Version::HTTP_11)
    }

    /// For HTTP/2: `:authority` instead of `Host` (RFC 9113 §8.3.1).
    pub(super) fn http2(&self) -> Request<Outgoing> {
        let mut headers = self.headers.clone();
        headers.remove(HOST);
        self.request(self.uri.clone(), headers, Version::HTTP_2)
    }

    fn request(&self, uri: Uri, headers: HeaderMap, version: Version) -> Request<Outgoing> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        *request.version_mut() = version;
        request
    }

    /// Whether nothing of the body was taken to be sent.
    pub(super) fn is_whole(&self) -> bool {
        !self.body.state().touched
    }

    /// Why it was not sent or not answered: its own body, or else what the connection says.
    pub(super) fn failure<E>(&self, error: BoxError) -> SendError<E> {
        match self.body.state().error.take() {
            Some(body) => SendError::RequestBody(body),
            None => SendError::Send(error),
        }
    }
}

/// Takes off a response what belongs to the connection that it came on.
pub(super) fn end_to_end<B>(response: &mut Response<B>) {
    remove_hop_by_hop(response.headers_mut());
    response.headers_mut().remove(TE);
}

/// What is wrong with a response whose length has several readings.
pub(super) const CONTRADICTION: &str =
    "its Content-Length fields contradict each other or are no number, so that nothing says where it ends";

/// Leaves one length of a response of HTTP/1: equal ones, in a list or in several fields, are one (RFC 9110 §8.6), and beside
/// chunks none counts (RFC 9112 §6.3). Says whether they agree.
pub(super) fn one_length(headers: &mut HeaderMap) -> bool {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        return true;
    }
    let mut length: Option<u64> = None;
    for field in headers.get_all(CONTENT_LENGTH) {
        for item in field.as_bytes().split(|byte| *byte == b',') {
            let Some(number) = decimal(item.trim_ascii()) else { return false };
            if length.is_some_and(|length| length != number) {
                return false;
            }
            length = Some(number);
        }
    }
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    true
}

/// The body of a message. Clones are the same body: whoever reads it takes it.
#[derive(Clone)]
pub(super) struct Outgoing(Arc<Mutex<State>>);

struct State {
    body: Body,
    touched: bool,
    error: Option<BodyError>,
}

impl Outgoing {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State { body, touched: false, error: None })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        let mut state = self.state();
        state.touched = true;
        let frame = ready!(Pin::new(&mut state.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                state.error = Some(error);
                // What is left of it is let go at once: whoever feeds it shall notice.
                state.body = body::empty();
                Stopped
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.state().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}

/// Stands for the error that is kept in the message.
#[derive(Debug, thiserror::Error)]
#[error("the request body failed")]
pub(super) struct Stopped;

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use std::convert::Infallible;

    fn message(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Message {
        let request = build(Request::builder()).body(body::full("abc")).unwrap();
        Message::new::<Infallible>(request).unwrap()
    }

    #[test]
    fn each_leg_gets_its_own_form() {
        let message = message(|builder| {
            builder.uri("https://a.test:8443/p%2f?q").header("Host", "other.test").header("X", "1")
        });
        let one = message.http1(false);
        assert_eq!(
            (one.uri().to_string(), &one.headers()["host"]),
            ("/p%2f?q".into(), &"a.test:8443".parse().unwrap())
        );
        let two = message.http2();
        assert_eq!(
            (two.uri().to_string(), two.headers().get("host")),
            ("https://a.test:8443/p%2f?q".into(), None)
        );
        assert_eq!(message.http1(true).uri(), "https://a.test:8443/p%2f?q");
    }

    #[test]
    fn what_belongs_to_a_connection_stays_on_it() {
        let message = message(|builder| {
            builder
                .uri("https://a.test/")
                .header("Connection", "close, x-hop, TE")
                .header("X-Hop", "1")
                .header("Keep-Alive", "5")
                .header("Proxy-Connection", "close")
                .header("Transfer-Encoding", "chunked")
                .header("Upgrade", "h2c")
                .header("TE", "trailers")
                .header("Trailer", "x-t")
                .header("Content-Length", "99")
        });
        let headers = message.http1(false).headers().clone();
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "host", "te", "trailer"]);
        assert_eq!(headers["content-length"], "3");
    }

    #[test]
    fn of_te_only_trailers_goes_on() {
        for (fields, left) in [
            (&["trailers", "gzip"][..], Some("trailers")),
            (&["gzip;q=0.5, Trailers"], Some("trailers")),
            (&["gzip", "deflate"], None),
            (&[], None),
        ] {
            let message = message(|builder| {
                let builder = builder.uri("https://a.test/");
                fields.iter().fold(builder, |builder, value| builder.header("TE", *value))
            });
            let headers = message.http2().headers().clone();
            let sent: Vec<_> = headers.get_all(TE).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(sent, left.into_iter().collect::<Vec<_>>(), "{fields:?}");
        }
    }

    #[test]
    fn of_equal_lengths_one_is_left() {
        let settled = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let agree = one_length(&mut headers);
            let left: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().cloned().collect();
            agree.then_some(left)
        };
        let length = "content-length";
        for same in
            [&[(length, "3")][..], &[(length, "3, 3")], &[(length, "3"), (length, "3")], &[(length, "03 ,3")]]
        {
            assert_eq!(settled(same).unwrap(), ["3"], "{same:?}");
        }
        assert!(settled(&[]).unwrap().is_empty());
        assert!(settled(&[("transfer-encoding", "chunked"), (length, "3, 4")]).unwrap().is_empty());
        for other in ["3, 4", "3,", ",3", "", "+3", "0x3", "3;3", "-1", "99999999999999999999"] {
            assert_eq!(settled(&[(length, other)]), None, "{other}");
            assert_eq!(settled(&[(length, "3"), (length, other)]), None, "{other}");
        }
    }

    #[test]
    fn only_an_absolute_uri_says_where_to() {
        let request = Request::builder().uri("/a").body(body::empty()).unwrap();
        assert!(matches!(Message::new::<Infallible>(request), Err(SendError::NotAbsolute)));
    }
}
