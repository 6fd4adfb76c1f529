//! What a request looks like when it leaves. The order is the argument: fields that belong to one connection go first,
//! so that nothing the client nominates can remove what is set later; then everything by which a client could mean
//! another request than the one that was decided on; then its credentials. The proxy's own credential is set last, once.

use crate::fields::{NEVER_NOMINATED, PROXY_AUTHENTICATION, remove, remove_hop_by_hop, remove_where};
use crate::policy::{
    ClientFields, HOST_OVERRIDES, HostRule, METHOD_OVERRIDES, PATH_OVERRIDES, Reason, Refusal,
    UNREAD_BY_PIPELOCK, same_variable,
};
use http::{HeaderMap, HeaderName, header};

/// Takes off everything that is not the request itself.
pub(super) fn strip(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    remove(headers, PROXY_AUTHENTICATION);
    // `Content_Length` beside the real one.
    remove_where(headers, |name| {
        name.contains('_') && NEVER_NOMINATED.iter().any(|own| same_variable(name, own))
    });
    strip_overrides(headers);
    strip_internal(headers);
    // The pool writes `Host` from the authority that was decided on.
    headers.remove(header::HOST);
    // This proxy has answered 100 itself.
    headers.remove(header::EXPECT);
}

/// Leaves the fields that pass beside a credential that is not the client's.
pub(super) fn keep(headers: &mut HeaderMap, client: &ClientFields) {
    remove_where(headers, |name| !client.passes(name));
}

/// A query is sent as it came or not at all, so that a credential in it refuses the request.
pub(super) fn parameter_refused(name: &str, rule: &HostRule) -> Refusal {
    let host = &rule.route.host;
    let instead = match &rule.auth {
        Some(auth) => format!("the proxy sets {} there", auth.token_ref),
        None => "its rule lets no credential of the agent's pass".to_owned(),
    };
    let message = format!(
        "the query parameter {} of this request to {host} is one for a credential, and {instead}; take it out; retrying \
         does not help",
        name.escape_debug()
    );
    Refusal::new(Reason::CredentialInRequest, message).under(&rule.route)
}

/// What no trailer may say (RFC 9110 §6.5.1): all that is taken off the head, credentials on every route, and what
/// pipelock does not read. Some servers merge trailers into the head.
pub fn strip_trailers(trailers: &mut HeaderMap, credential_fields: &[HeaderName], guarded: bool) {
    strip(trailers);
    if guarded {
        keep(trailers, &ClientFields::default());
    }
    remove(trailers, credential_fields);
    remove(trailers, UNREAD_BY_PIPELOCK);
    remove(trailers, NEVER_NOMINATED);
}

fn strip_overrides(headers: &mut HeaderMap) {
    for names in [METHOD_OVERRIDES, PATH_OVERRIDES, HOST_OVERRIDES] {
        remove(headers, names);
    }
}

/// pipelock takes `X-Pipelock-Agent` for the agent's identity; `X-Bottle-*` is this proxy's voice.
pub fn strip_internal(headers: &mut HeaderMap) {
    remove_where(headers, |name| name.starts_with("x-pipelock-") || name.starts_with("x-bottle-"));
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
        remove(&mut map, &["x-api-key", "x_own_key"]);
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
