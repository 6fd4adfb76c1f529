//! What a request looks like when it leaves. The order is the argument: fields that belong to one connection go first,
//! so that nothing the client nominates can remove what is set later; then everything by which a client could mean
//! another request than the one that was decided on; then its credentials. The proxy's own credential is set last, once.

use crate::policy::{HOST_OVERRIDES, METHOD_OVERRIDES, PATH_OVERRIDES, UNREAD_BY_PIPELOCK, same_variable};
use http::{HeaderMap, HeaderName, header};

/// Fields of one connection (RFC 9110 §7.6.1). `Trailer` and `TE: trailers` are end to end in effect and stay.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What `Connection` can't nominate: without these the message would be another one.
const NOT_NOMINABLE: &[&str] =
    &["content-length", "content-type", "content-encoding", "host", "te", "trailer"];

/// Takes off everything that is not the request itself.
pub(super) fn strip(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    strip_overrides(headers);
    strip_internal(headers);
    // The pool writes `Host` from the authority that was decided on.
    headers.remove(header::HOST);
    // This proxy has answered 100 itself.
    headers.remove(header::EXPECT);
}

/// Takes off every credential of the client's own.
pub(super) fn strip_credentials(headers: &mut HeaderMap, fields: &[HeaderName]) {
    remove(headers, &fields.iter().map(HeaderName::as_str));
}

/// What no trailer may say (RFC 9110 §6.5.1): all that is taken off the head, credentials on every route, and what
/// pipelock does not read. Some servers merge trailers into the head.
pub fn strip_trailers(trailers: &mut HeaderMap, credential_fields: &[HeaderName]) {
    strip(trailers);
    strip_credentials(trailers, credential_fields);
    remove(trailers, &UNREAD_BY_PIPELOCK.iter().chain(NOT_NOMINABLE).copied());
}

/// Removes fields, in either spelling: CGI, WSGI and PHP make one variable of `X-A` and `X_A`.
fn remove<'n>(headers: &mut HeaderMap, names: &(impl Iterator<Item = &'n str> + Clone)) {
    let unwelcome = |key: &&HeaderName| names.clone().any(|name| same_variable(key.as_str(), name));
    let found: Vec<HeaderName> = headers.keys().filter(unwelcome).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !NOT_NOMINABLE.contains(&name.as_str()))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    remove(headers, &HOP_BY_HOP.iter().copied());
    strip_twins_of_the_framing(headers);
}

fn strip_overrides(headers: &mut HeaderMap) {
    remove(headers, &METHOD_OVERRIDES.iter().chain(PATH_OVERRIDES).chain(HOST_OVERRIDES).copied());
}

/// `Content_Length` beside the real one.
fn strip_twins_of_the_framing(headers: &mut HeaderMap) {
    let twin = |name: &&HeaderName| {
        name.as_str().contains('_') && NOT_NOMINABLE.iter().any(|own| same_variable(name.as_str(), own))
    };
    let twins: Vec<HeaderName> = headers.keys().filter(twin).cloned().collect();
    for name in twins {
        headers.remove(name);
    }
}

/// pipelock takes `X-Pipelock-Agent` for the agent's identity; `X-Bottle-*` is this proxy's voice.
pub fn strip_internal(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-pipelock-") || name.as_str().starts_with("x-bottle-"))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_connection_nominates_goes_but_never_the_framing() {
        let mut map = headers(&[
            ("connection", "close, x-a"),
            ("connection", "Content-Length , X-B,, bad name"),
            ("x-a", "1"),
            ("x-b", "2"),
            ("x-c", "3"),
            ("content-length", "4"),
            ("te", "trailers"),
            ("keep-alive", "5"),
        ]);
        strip_hop_by_hop(&mut map);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "te", "x-c"]);
    }

    #[test]
    fn a_field_spelt_with_underscores_is_the_same_field() {
        let mut map = headers(&[
            ("x_http_method_override", "DELETE"),
            ("x_original-url", "/admin"),
            ("transfer_encoding", "chunked"),
            ("content_length", "9"),
            ("content-length", "1"),
            ("x_api_key", "mine"),
            ("x-own-key", "mine"),
            ("x_request_id", "1"),
        ]);
        strip(&mut map);
        strip_credentials(
            &mut map,
            &[HeaderName::from_static("x-api-key"), HeaderName::from_static("x_own_key")],
        );
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "x_request_id"]);
    }

    #[test]
    fn fields_by_which_a_request_could_mean_another_go() {
        let mut map = headers(&[
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/admin"),
            ("x-forwarded-host", "evil.test"),
            ("x-pipelock-agent", "other"),
            ("x-bottle-verdict", "allow"),
            ("x-request-id", "1"),
        ]);
        strip_overrides(&mut map);
        strip_internal(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-request-id"]);
    }
}
