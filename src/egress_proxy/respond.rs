//! Stage 11: what of the upstream's answer reaches the agent. The body is passed on as it comes.

use crate::intercept::Body;
use crate::verdict::egress_proxy::strip_internal;
use crate::verdict::pipelock::REMOVED;
use http::{HeaderValue, Response};

/// `Alt-Svc` would lead around this proxy; a proxy's challenge is none of the agent's.
const DROPPED: &[&str] = &["alt-svc", "proxy-authenticate", "proxy-authentication-info"];

/// What pipelock removed from the request.
#[derive(Clone)]
struct Removed(HeaderValue);

/// Takes note of what pipelock says it removed. Of a host that it passes through the origin says so itself.
pub(super) fn note_removed(mut response: Response<Body>, inspected: bool) -> Response<Body> {
    if let Some(kinds) = response.headers().get(REMOVED).filter(|_| inspected).cloned() {
        response.extensions_mut().insert(Removed(kinds));
    }
    response
}

/// Takes off what is not the agent's. `X-Bottle-*` goes too: only this proxy speaks by those names.
pub(super) fn strip(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for name in DROPPED {
        headers.remove(*name);
    }
    strip_internal(headers);
    if let Some(Removed(kinds)) = response.extensions_mut().remove() {
        response.headers_mut().insert("x-bottle-removed", kinds);
    }
    response
}
