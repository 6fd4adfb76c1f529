//! A refusal as bytes: its fields and its body. Its status is decided in [`super::failure`].
//!
//! A person, an agent and an API client's error handler all read the same sentence, and none of them can take it
//! for the upstream's own answer.

use super::failure::Failure;
use crate::intercept::{Body, body};
use crate::policy::{Reason, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use serde::Serialize;

/// `allow` never appears: an allowed request's answer is the upstream's.
const VERDICT: HeaderName = HeaderName::from_static("x-bottle-verdict");
const REASON: HeaderName = HeaderName::from_static("x-bottle-reason");

/// What API clients are told the error is: with this type Claude Code shows the message whole, and asks once.
const DENIED: &str = "permission_error";
/// The same for what may pass: API clients ask again.
const FAILED: &str = "api_error";

/// Who reads the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DenialReader {
    /// An API client, curl, a person.
    Api,
    /// git, which prints `text/plain` on `remote:` lines.
    Git,
    /// git-lfs, which prints `message`.
    GitLfs,
}

impl DenialReader {
    /// Told by the user agent, else by what git asks for.
    pub(super) fn from_request(headers: &HeaderMap, target: &[u8]) -> Self {
        let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let path = target.split(|b| *b == b'?').next().unwrap_or_default();
        if agent.starts_with(b"git-lfs/") || path.ends_with(b"/info/lfs/objects/batch") {
            Self::GitLfs
        } else if agent.starts_with(b"git/")
            || path.ends_with(b"/info/refs")
            || path.ends_with(b"/git-receive-pack")
            || path.ends_with(b"/git-upload-pack")
        {
            Self::Git
        } else {
            Self::Api
        }
    }
}

#[derive(Serialize)]
struct Denial<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'r str>,
    r#type: &'static str,
    error: ApiError<'r>,
    bottle: Details<'r>,
}

#[derive(Serialize)]
struct ApiError<'r> {
    r#type: &'static str,
    message: &'r str,
}

#[derive(Serialize)]
struct Details<'r> {
    reason: Reason,
    rule: Option<&'r str>,
    source: Option<&'r str>,
    allowed: &'r [String],
    retry: bool,
}

/// The answer to a request that is not served.
pub(super) fn denial(failure: &Failure, reader: DenialReader) -> Response<Body> {
    let refusal = &failure.refusal;
    let message = format!("bottle: {}", refusal.message);
    let (kind, text) = match reader {
        DenialReader::Git => ("text/plain; charset=utf-8", message + "\n"),
        DenialReader::Api => ("application/json", json(refusal, failure.source(), &message, false)),
        DenialReader::GitLfs => {
            ("application/vnd.git-lfs+json", json(refusal, failure.source(), &message, true))
        }
    };
    let mut response = Response::new(body::full(text));
    *response.status_mut() = failure.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VERDICT, HeaderValue::from_static(failure.verdict().as_str()));
    headers.insert(REASON, HeaderValue::from_static(refusal.reason.code()));
    response
}

fn json(refusal: &Refusal, source: Option<&str>, message: &str, lfs: bool) -> String {
    let denial = Denial {
        message: lfs.then_some(message),
        r#type: "error",
        error: ApiError { r#type: if refusal.retry { FAILED } else { DENIED }, message },
        bottle: Details {
            reason: refusal.reason,
            rule: refusal.rule.as_deref(),
            source,
            allowed: &refusal.allowed,
            retry: refusal.retry,
        },
    };
    // Texts and lists of texts always have a JSON form.
    serde_json::to_string(&denial).map(|text| text + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(agent: &'static str, target: &str) -> DenialReader {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        DenialReader::from_request(&headers, target.as_bytes())
    }

    #[test]
    fn git_is_told_by_its_name_or_by_what_it_asks_for() {
        assert_eq!(reader("git/2.39.5", "/x"), DenialReader::Git);
        assert_eq!(reader("", "/a.git/info/refs?service=git-upload-pack"), DenialReader::Git);
        assert_eq!(reader("git-lfs/3.3.0", "/x"), DenialReader::GitLfs);
        assert_eq!(reader("curl/7.88.1", "/x?/git-upload-pack"), DenialReader::Api);
        assert_eq!(reader("digit/1", "/x"), DenialReader::Api);
    }
}
