//! A refusal as bytes: its fields and its body. Its status is decided in [`super::failure`].
//!
//! A person, an agent and an API client's error handler all read the same sentence, and none of them can take it
//! for the upstream's own answer.

use super::failure::Failure;
use crate::intercept::{Body, body};
use crate::policy::{Basis, Reason, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

/// `allow` never appears: an allowed request's answer is the upstream's.
const VERDICT: HeaderName = HeaderName::from_static("x-bottle-verdict");
const REASON: HeaderName = HeaderName::from_static("x-bottle-reason");

/// What API clients are told the error is: with this type Claude Code shows the message whole, and asks once.
const DENIED: &str = "permission_error";
/// The same for what may pass: API clients ask again.
const FAILED: &str = "api_error";

/// What an agent can ask, where it is the rules that refuse.
const ASK: &str = "https://bottle.internal/ says what is allowed, /run/bottle/bottle explain says why not";

/// Who reads the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DenialReader {
    /// An API client, curl, a person.
    Api,
    /// git, which prints `text/plain` on `remote:` lines, and the go command, which prints it as the server's response.
    Text,
    /// git-lfs, which prints `message`.
    GitLfs,
    /// npm and its kin, which print `error` as a text.
    Npm,
}

impl DenialReader {
    /// Told by the user agent, else by what git asks for.
    pub(super) fn from_request(headers: &HeaderMap, target: &[u8]) -> Self {
        let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let by = |names: &[&[u8]]| names.iter().any(|name| agent.starts_with(name));
        let mut parts = target.split(|b| *b == b'?');
        let (path, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if by(&[b"git-lfs/"]) || path.ends_with(b"/info/lfs/objects/batch") {
            Self::GitLfs
        } else if by(&[b"git/"])
            || path.ends_with(b"/info/refs")
            || path.ends_with(b"/git-receive-pack")
            || path.ends_with(b"/git-upload-pack")
            || (by(&[b"Go-http-client/"]) && is_of_the_go_command(path, query))
        {
            Self::Text
        } else if by(&[b"npm/", b"pnpm/", b"yarn/"]) {
            Self::Npm
        } else {
            Self::Api
        }
    }
}

/// What the go command asks module proxies, checksum databases and import paths for (`go help goproxy`,
/// `go help importpath`); its user agent is that of every program in Go.
fn is_of_the_go_command(path: &[u8], query: &[u8]) -> bool {
    let holds = |part: &[u8]| path.windows(part.len()).any(|window| window == part);
    path.ends_with(b"/@latest")
        || [&b"/@v/"[..], b"/lookup/", b"/tile/"].into_iter().any(holds)
        || query.starts_with(b"go-get=1")
}

#[derive(Serialize)]
struct Denial<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'r str>,
    r#type: &'static str,
    error: Error<'r>,
    bottle: Details<'r>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Error<'r> {
    Api(ApiError<'r>),
    Text(&'r str),
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
    let by_rules = refusal.reason.basis() == Basis::Rules && refusal.reason != Reason::GitPush;
    let ask = if by_rules { format!("; {ASK}") } else { String::new() };
    let message = format!("bottle: {}{ask}", refusal.message);
    let (kind, content) = match (&failure.report, reader) {
        (Some(report), _) => ("application/x-git-receive-pack-result", report.clone()),
        (None, DenialReader::Text) => ("text/plain; charset=utf-8", (message + "\n").into()),
        (None, DenialReader::GitLfs) => {
            ("application/vnd.git-lfs+json", json(refusal, failure.source(), &message, reader).into())
        }
        (None, DenialReader::Api | DenialReader::Npm) => {
            ("application/json", json(refusal, failure.source(), &message, reader).into())
        }
    };
    let mut response = Response::new(body::full(content));
    *response.status_mut() = failure.status();
    if let Some(phrase) = reason_phrase(refusal, by_rules).filter(|_| failure.report.is_none()) {
        response.extensions_mut().insert(phrase);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VERDICT, HeaderValue::from_static(failure.verdict().as_str()));
    headers.insert(REASON, HeaderValue::from_static(refusal.reason.code()));
    response
}

/// As much of a sentence as stands in a status line.
const PHRASE: usize = 300;

/// The start of the sentence as the reason phrase (RFC 9112 §4), which is all that pip, Maven, wget, apt, pnpm and many
/// libraries show of an answer. HTTP/2 has none.
fn reason_phrase(refusal: &Refusal, by_rules: bool) -> Option<ReasonPhrase> {
    let start = refusal.message.split("; ").next().unwrap_or_default();
    let plain = |letter: char| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' };
    let mut phrase: String = "bottle: ".chars().chain(start.chars().map(plain)).take(PHRASE).collect();
    if by_rules {
        phrase += "; see https://bottle.internal/";
    }
    ReasonPhrase::try_from(phrase).ok()
}

fn json(refusal: &Refusal, source: Option<&str>, message: &str, reader: DenialReader) -> String {
    let denial = Denial {
        message: (reader == DenialReader::GitLfs).then_some(message),
        r#type: "error",
        error: match reader {
            DenialReader::Npm => Error::Text(message),
            _ => Error::Api(ApiError { r#type: if refusal.retry { FAILED } else { DENIED }, message }),
        },
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
    fn a_reader_is_told_by_its_name_or_by_what_it_asks_for() {
        assert_eq!(reader("git/2.39.5", "/x"), DenialReader::Text);
        assert_eq!(reader("", "/a.git/info/refs?service=git-upload-pack"), DenialReader::Text);
        assert_eq!(reader("git-lfs/3.3.0", "/x"), DenialReader::GitLfs);
        assert_eq!(reader("npm/11.6.0 node/v24.1.0 linux x64 workspaces/false", "/x"), DenialReader::Npm);
        for target in ["/a.test/m/@v/list", "/m/@latest", "/lookup/m@v1", "/tile/8/0/000", "/m?go-get=1"] {
            assert_eq!(reader("Go-http-client/2.0", target), DenialReader::Text, "{target}");
            assert_eq!(reader("curl/7.88.1", target), DenialReader::Api, "{target}");
        }
        assert_eq!(reader("Go-http-client/1.1", "/v1/things"), DenialReader::Api);
        assert_eq!(reader("curl/7.88.1", "/x?/git-upload-pack"), DenialReader::Api);
        assert_eq!(reader("digit/1", "/x"), DenialReader::Api);
    }

    #[test]
    fn a_reason_phrase_is_the_start_of_the_sentence_and_plain() {
        let phrase = |message: &str, by_rules| {
            let refusal = Refusal::new(Reason::HostNotAllowed, message);
            String::from_utf8(reason_phrase(&refusal, by_rules).unwrap().as_bytes().to_vec()).unwrap()
        };
        assert_eq!(
            phrase("a.test is not an allowed host; the allowed hosts are b.test", true),
            "bottle: a.test is not an allowed host; see https://bottle.internal/"
        );
        assert_eq!(phrase("/\u{e9}\r\nX-Y: z", false), "bottle: /???X-Y: z");
        assert_eq!(phrase(&"x".repeat(9000), false).len(), PHRASE);
    }
}
