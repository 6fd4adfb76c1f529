//! pipelock's own refusals, passed on in our shape: with what it found, what to do about it, and its name as the
//! source, so that nobody takes them for the upstream's answer or for a rule of the manifest.

use super::{connect::ConnectError, failure::Failure};
use crate::intercept::{
    Body,
    body::{self, Peeked},
};
use crate::policy::{Reason, Refusal, Route};
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use std::time::Duration;

/// The field that marks a refusal, since pipelock 2.4.
const BLOCK_REASON: HeaderName = HeaderName::from_static("x-pipelock-block-reason");
/// Whether it may pass later: `none`, `transient`, `policy`.
const RETRY: HeaderName = HeaderName::from_static("x-pipelock-retry");
/// How the body of a refusal begins; all that marks one before 2.4.
const PREFIX: &[u8] = b"blocked: ";
/// So much of a refusal's body is read; none is larger.
const MAX_BODY: usize = 4 * 1024;
/// How long that body is waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// So much of a finding is passed on.
const MAX_FINDING: usize = 400;

/// No tunnel, hence no answer.
pub(super) fn of_connect(error: &ConnectError, route: &Route) -> Failure {
    let (reason, message) = match error {
        ConnectError::Refused { status, answer } => {
            return refused(*status, &answer.headers, &answer.text, route);
        }
        ConnectError::Unreachable { .. } => (Reason::UpstreamUnreachable, error.to_string()),
        ConnectError::Timeout { .. } => (Reason::UpstreamTimeout, error.to_string()),
        ConnectError::NotHttp(_) => (Reason::UpstreamInvalid, error.to_string()),
        ConnectError::Tls(_) => {
            (Reason::UpstreamInvalid, format!("{} can't be verified: {error}", route.host))
        }
    };
    of_route(Refusal::new(reason, format!("{message}; try again later")).retryable(), route).into()
}

/// The response as it is, unless it is pipelock's refusal.
pub(super) async fn of_response(
    response: Response<Body>,
    route: &Route,
    inspected: bool,
) -> Result<Response<Body>, Failure> {
    let marked = response.headers().contains_key(&BLOCK_REASON);
    let suspect = inspected && may_be_unmarked(&response);
    if !marked && !suspect {
        return Ok(response);
    }
    let (parts, inner) = response.into_parts();
    let mut peeked = Peeked::new(inner);
    let read = async {
        peeked.read(PREFIX.len()).await;
        if marked || peeked.bytes().starts_with(PREFIX) {
            peeked.read(MAX_BODY).await;
        }
    };
    // What has come until then is what is looked at.
    let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
    let bytes = peeked.bytes();
    if !marked && !bytes.starts_with(PREFIX) {
        return Ok(Response::from_parts(parts, body::boxed(peeked)));
    }
    Err(refused(parts.status, &parts.headers, &String::from_utf8_lossy(&bytes), route))
}

/// A short text with the status of a refusal: worth a look at how it begins.
fn may_be_unmarked(response: &Response<Body>) -> bool {
    let text =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/plain"));
    let length = http_body::Body::size_hint(response.body()).exact();
    matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
        && text
        && length.is_some_and(|length| length <= MAX_BODY as u64)
}

fn refused(status: StatusCode, headers: &HeaderMap, text: &str, route: &Route) -> Failure {
    let code = headers.get(&BLOCK_REASON).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let finding = finding(text, code, status);
    let transient = headers.get(&RETRY).is_some_and(|v| v.as_bytes() == b"transient")
        || matches!(status.as_u16(), 429 | 502 | 503 | 504);
    let (reason, message) = match status.as_u16() {
        502 => (
            Reason::UpstreamUnreachable,
            format!("pipelock can't reach {}: {finding}; try again later", route.host),
        ),
        504 => (
            Reason::UpstreamTimeout,
            format!("pipelock got no answer from {} in time: {finding}; try again later", route.host),
        ),
        429 | 503 => (
            Reason::LimitReached,
            format!("pipelock does not take this request now: {finding}; try again later"),
        ),
        _ => (
            Reason::BlockedByPipelock,
            format!("pipelock refused this request: {finding}; {}", advice(code, &finding)),
        ),
    };
    let refusal = Refusal { retry: transient, ..of_route(Refusal::new(reason, message), route) };
    // Only a refusal's status is passed on: what else a proxy may answer (401, 407) would mean something else here.
    let status = match status.as_u16() {
        429 | 502 | 503 | 504 => status,
        _ => StatusCode::FORBIDDEN,
    };
    Failure::by_pipelock(refusal, finding, status)
}

/// What to do about it.
fn advice(code: &str, finding: &str) -> &'static str {
    let secret = code.contains("dlp") || finding.contains("secret") || finding.contains("DLP");
    if secret {
        "take the secret out; in a chat /clear or rewind first, since a conversation repeats its history; retrying \
         does not help"
    } else {
        "retrying does not help"
    }
}

/// pipelock's words on one line, bounded.
fn finding(text: &str, code: &str, status: StatusCode) -> String {
    let text = text.trim();
    let text = text.strip_prefix("CONNECT ").unwrap_or(text);
    let text = text.strip_prefix("blocked: ").unwrap_or(text);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_FINDING).collect();
    match (line.trim(), code) {
        ("", "") => format!("status {}", status.as_u16()),
        ("", code) => code.to_owned(),
        (line, _) => line.to_owned(),
    }
}

fn of_route(refusal: Refusal, route: &Route) -> Refusal {
    Refusal { rule: Some(route.id.clone()), source: Some(route.source.clone()), ..refusal }
}
