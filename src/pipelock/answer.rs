//! A refusal, as bytes: the answers and field names of the program whose place this engine can take.

use crate::dlp::Removed;
use crate::intercept::{Body, body};
use crate::verdict::pipelock::{Block, REMOVED};
use http::{HeaderMap, HeaderValue, Response, header};

const PATTERN: header::HeaderName = header::HeaderName::from_static("x-pipelock-pattern");
const LOCATION: header::HeaderName = header::HeaderName::from_static("x-pipelock-location");

/// The answer to a request in a tunnel, or in absolute-form.
pub(super) fn to_request(block: &Block) -> Response<Body> {
    with_prefix("blocked: ", block)
}

/// Says on the answer what was removed from the request.
pub(super) fn tell_removed(fields: &mut HeaderMap, removed: &Removed) {
    if let Some(value) = removed.field().and_then(|text| HeaderValue::from_str(&text).ok()) {
        fields.insert(REMOVED, value);
    }
}

/// The answer to a CONNECT.
pub(super) fn to_connect(block: &Block) -> Response<Body> {
    with_prefix("CONNECT blocked: ", block)
}

fn with_prefix(prefix: &str, block: &Block) -> Response<Body> {
    let mut response = Response::new(body::full(format!("{prefix}{block}\n")));
    *response.status_mut() = block.status();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert("x-pipelock-block-reason", HeaderValue::from_static(block.code()));
    fields.insert("x-pipelock-block-reason-version", HeaderValue::from_static("1"));
    fields.insert("x-pipelock-severity", HeaderValue::from_static(block.severity().as_str()));
    fields.insert("x-pipelock-retry", HeaderValue::from_static(block.retry()));
    fields.insert("x-pipelock-layer", HeaderValue::from_static(block.layer()));
    if let Block::Dlp { finding, location, .. } = block {
        let place = location.as_deref().and_then(|l| HeaderValue::from_str(l).ok());
        fields.extend(HeaderValue::from_str(&finding.pattern).ok().map(|v| (PATTERN, v)));
        fields.extend(place.map(|v| (LOCATION, v)));
    }
    response
}
