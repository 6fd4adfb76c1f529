//! `/mcp`: carries an agent's MCP messages to the service that takes its proposals, and the answers back.
//!
//! What goes on is made anew: the method, the one path, the few fields that MCP's Streamable HTTP names, and the body, which
//! is bounded. Of the answer only status, kind and body come back. Nothing else of the agent's reaches that service, and
//! nobody but this proxy does.
//! (<https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http>)

use super::{HOST, respond, text};
use crate::intercept::{Body, BodyError, body};
use crate::socket::Socket;
use camino::Utf8Path;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A message is a call with a few short texts.
const LARGEST_MESSAGE: u64 = 64 * 1024;
/// Bytes of an answer: a list of every rule is the longest.
const LARGEST_ANSWER: u64 = 8 * 1024 * 1024;
/// Messages in flight; a proposal waits for its answer.
const IN_FLIGHT: usize = 32;
/// How long the service may take to accept a connection, and to begin its answer: longer than a proposal waits.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_mins(1);
/// A field of MCP is short.
const LONGEST_FIELD: usize = 256;

/// The fields of a message that go on.
const FIELDS: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::ACCEPT,
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
];

/// Carries messages, so many at once.
pub(in crate::egress_proxy) struct Carrier {
    slots: Arc<Semaphore>,
}

impl Default for Carrier {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(IN_FLIGHT)) }
    }
}

impl Carrier {
    /// The service's answer, or why there is none.
    pub(super) async fn carry(&self, request: Request<Body>, socket: &Utf8Path) -> Response<Body> {
        if *request.method() != Method::POST {
            let mut response = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "MCP here is POST alone: there is no session and no stream\n".into(),
            );
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let (parts, inner) = request.into_parts();
        let fields = match fields(&parts.headers) {
            Ok(fields) => fields,
            Err((status, why)) => return text(status, why),
        };
        let announced = http_body::Body::size_hint(&inner).lower();
        if announced > LARGEST_MESSAGE {
            return too_large();
        }
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{IN_FLIGHT} messages to {HOST}/mcp are in flight; wait for their answers\n"),
            );
        };
        let message = message(fields, inner);
        match timeout(ANSWER, send(message, socket)).await {
            Ok(Ok(response)) => returned(response, slot),
            Ok(Err(error)) if error.is_too_large() => too_large(),
            Ok(Err(error)) => {
                tracing::warn!(%error, %socket, "supervise did not answer");
                away()
            }
            Err(_) => {
                tracing::warn!(%socket, "supervise did not answer in time");
                away()
            }
        }
    }
}

fn too_large() -> Response<Body> {
    let why = format!("a message to {HOST}/mcp has at most {LARGEST_MESSAGE} bytes\n");
    text(StatusCode::PAYLOAD_TOO_LARGE, why)
}

fn away() -> Response<Body> {
    let why = "the service that takes proposals does not answer; what is allowed still is: tell the person, and go on\n";
    text(StatusCode::SERVICE_UNAVAILABLE, why.into())
}

/// The fields that go on; or why the message is refused. A page that some browser shows may not speak here (DNS rebinding):
/// the only origin is this host itself.
fn fields(headers: &HeaderMap) -> Result<HeaderMap, (StatusCode, String)> {
    let own = [format!("http://{HOST}"), format!("https://{HOST}")];
    if headers.get_all(header::ORIGIN).iter().any(|it| !own.iter().any(|own| it.as_bytes() == own.as_bytes()))
    {
        let why = format!("a page of another origin does not speak with {HOST}\n");
        return Err((StatusCode::FORBIDDEN, why));
    }
    let mut fields = HeaderMap::new();
    for name in FIELDS {
        let mut values = headers.get_all(&name).iter();
        match (values.next(), values.next()) {
            (None, _) => {}
            (Some(value), None) if value.len() <= LONGEST_FIELD => {
                fields.insert(name, value.clone());
            }
            _ => {
                let why = format!(
                    "the field {name} of a message stands once and has at most {LONGEST_FIELD} bytes\n"
                );
                return Err((StatusCode::BAD_REQUEST, why));
            }
        }
    }
    fields.insert(header::HOST, HeaderValue::from_static(HOST));
    Ok(fields)
}

fn message(fields: HeaderMap, inner: Body) -> Request<Body> {
    let inner = body::on_trailers(body::limited(inner, LARGEST_MESSAGE), HeaderMap::clear);
    let mut message = Request::new(inner);
    *message.method_mut() = Method::POST;
    *message.uri_mut() = http::Uri::from_static(super::MCP);
    *message.headers_mut() = fields;
    message
}

async fn send(
    message: Request<Body>,
    socket: &Utf8Path,
) -> Result<Response<hyper::body::Incoming>, SendError> {
    let connected = timeout(CONNECT, Socket::connect_unix_itself(socket.as_std_path())).await;
    let stream = connected.map_err(|_| SendError::TooSlow)??;
    stream.tune()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to supervise broke");
        }
    });
    Ok(sender.send_request(message).await?)
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("it did not accept a connection")]
    TooSlow,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl SendError {
    /// Whether the message itself was longer than it may be.
    fn is_too_large(&self) -> bool {
        let Self::Http(error) = self else { return false };
        let sources = std::iter::successors(std::error::Error::source(error), |error| error.source());
        sources.into_iter().any(|it| matches!(it.downcast_ref(), Some(BodyError::TooLarge { .. })))
    }
}

/// Status, kind and body; the slot is free when the body has ended.
fn returned(response: Response<hyper::body::Incoming>, slot: OwnedSemaphorePermit) -> Response<Body> {
    let (parts, inner) = response.into_parts();
    let mut answer = respond(parts.status, "application/json", String::new());
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        answer.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    let inner = body::boxed(inner.map_err(|error| BodyError::Upstream(Box::new(error))));
    let inner = body::on_end(body::limited(inner, LARGEST_ANSWER), move |_| drop(slot));
    answer.map(|_| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn nothing_of_the_agents_goes_on_but_what_mcp_needs() {
        let sent = headers(&[
            ("host", "evil.test"),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-06-18"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("mcp-session-id", "1"),
            ("last-event-id", "1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("connection", "x"),
            ("origin", "http://bottle.internal"),
        ]);
        let fields = fields(&sent).unwrap();
        let mut names: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-type", "host", "mcp-protocol-version"]);
        assert_eq!(fields[header::HOST], HOST);
    }

    #[test]
    fn another_origin_and_a_field_that_is_too_much_are_refused_with_why() {
        for origin in
            ["https://evil.test", "null", "http://bottle.internal:81", "http://bottle.internal.evil.test"]
        {
            let (status, why) = fields(&headers(&[("origin", origin)])).unwrap_err();
            assert_eq!((status, why.contains("another origin")), (StatusCode::FORBIDDEN, true), "{origin}");
        }
        let long = "x".repeat(LONGEST_FIELD + 1);
        let twice = headers(&[("accept", "a"), ("accept", "b")]);
        for bad in [headers(&[("mcp-name", &long)]), twice] {
            assert_eq!(fields(&bad).unwrap_err().0, StatusCode::BAD_REQUEST);
        }
    }
}
