//! Taking fields off a message (RFC 9110 §5): by name in either spelling, by prefix, and those of one connection.

use crate::policy::{HOST_OVERRIDES, METHOD_OVERRIDES, PATH_OVERRIDES, same_variable};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Fields of one connection (RFC 9110 §7.6.1), beside `TE` and those that `Connection` nominates. `Trailer` is end to end
/// in effect.
const HOP_BY_HOP: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"];

/// What is said between a client and a proxy (RFC 9110 §11.7).
pub const PROXY_AUTHENTICATION: &[&str] = &["proxy-authenticate", "proxy-authorization"];

/// What `Connection` can't nominate: without these the message would be another one.
pub const NEVER_NOMINATED: &[&str] =
    &["content-length", "content-type", "content-encoding", "host", "te", "trailer"];

/// Whether a field is taken off every request, whatever a rule says: what belongs to a connection, frames the message, or
/// could make the request another one, in either spelling, and the proxies' own.
#[must_use]
pub fn is_never_passed(name: &str) -> bool {
    let lists = [HOP_BY_HOP, PROXY_AUTHENTICATION, &["host", "expect", "content-length"]];
    let overrides = [METHOD_OVERRIDES, PATH_OVERRIDES, HOST_OVERRIDES];
    lists.into_iter().chain(overrides).flatten().any(|own| same_variable(own, name))
        || ["x-pipelock-", "x-bottle-"].iter().any(|own| name.starts_with(own))
}

/// Removes fields, in either spelling: CGI, WSGI and PHP make one variable of `X-A` and `X_A`.
pub fn remove(fields: &mut HeaderMap, names: &[impl AsRef<str>]) {
    remove_where(fields, |field| names.iter().any(|name| same_variable(field, name.as_ref())));
}

/// Removes the fields whose lower-case name is one of those that `unwelcome` tells.
pub fn remove_where(fields: &mut HeaderMap, unwelcome: impl Fn(&str) -> bool) {
    let found: Vec<HeaderName> = fields.keys().filter(|name| unwelcome(name.as_str())).cloned().collect();
    for name in found {
        fields.remove(name);
    }
}

/// Removes what belongs to the connection that a message came on, except `TE`.
pub fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = listed(fields, &header::CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !NEVER_NOMINATED.contains(&name.as_str()))
        .collect();
    for name in nominated {
        fields.remove(name);
    }
    remove(fields, HOP_BY_HOP);
}

/// Of `TE` only `trailers` goes on, and HTTP/2 has no other value (RFC 9113 §8.2.2). A client may list it beside codings
/// that concern its own connection, in one field or in several (RFC 9110 §10.1.4).
pub fn keep_only_trailers_of_te(fields: &mut HeaderMap) {
    let trailers = listed(fields, &header::TE).any(|item| item.eq_ignore_ascii_case(b"trailers"));
    fields.remove(header::TE);
    if trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The items of a field that is a list (RFC 9110 §5.6.1).
fn listed<'f>(fields: &'f HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
    let values = fields.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_nominates_goes_but_never_the_framing() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-a"),
            ("connection", "Content-Length , X-B,, bad name"),
            ("x-a", "1"),
            ("x-b", "2"),
            ("x-c", "3"),
            ("content-length", "4"),
            ("te", "trailers"),
            ("keep-alive", "5"),
            ("transfer_encoding", "chunked"),
        ] {
            fields.append(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut fields);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "te", "x-c"]);
    }
}
