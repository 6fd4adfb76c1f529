//! Stage 11: what of the upstream's answer reaches the agent. The body is passed on as it comes.

use crate::intercept::Body;
use crate::verdict::egress_proxy::strip_internal;
use http::Response;

/// `Alt-Svc` would lead around this proxy; a proxy's challenge is none of the agent's.
const DROPPED: &[&str] = &["alt-svc", "proxy-authenticate", "proxy-authentication-info"];

/// Takes off what is not the agent's. `X-Bottle-*` goes too: only this proxy speaks by those names.
pub(super) fn strip(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for name in DROPPED {
        headers.remove(*name);
    }
    strip_internal(headers);
    response
}
