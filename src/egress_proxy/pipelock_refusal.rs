//! pipelock's own refusals, passed on in our shape: with what it found, what to do about it, and its name as the
//! source, so that nobody takes them for the upstream's answer or for a rule of the manifest.

use super::{connect::ConnectError, failure::Failure};
use crate::intercept::{
    Body,
    body::{self, Peeked},
};
use crate::policy::{Reason, Refusal, Route};
use crate::verdict::egress_proxy::{PipelockAnswer, PipelockRefusal};
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
    Refusal::new(reason, format!("{message}; try again later")).retryable().under(route).into()
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
    let field = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let answer = PipelockAnswer { status, code: field(&BLOCK_REASON), retry: field(&RETRY), text };
    let PipelockRefusal { refusal, finding, status } = answer.refusal(route);
    Failure::by_pipelock(refusal, finding, status)
}
