//! Upgrades (RFC 9110 §7.8): to WebSocket where a rule allows it, and to nothing else. What is not allowed is refused, not
//! ignored: a client that wants a WebSocket has no use for another answer.

use super::method::Method;
use super::path::CanonicalPath;
use super::refusal::{Reason, Refusal};
use super::route::Route;

/// What a request asks to go on in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// HTTP, or h2c alone: a client that offers that goes on in HTTP/1.1 where it is not taken.
    Http,
    /// A GET that asks for WebSocket and nothing else (RFC 6455 §4.1).
    WebSocket,
    /// Another protocol, or several.
    Other,
}

impl Asked {
    /// From the values of the request's `Upgrade` fields.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v [u8]>, is_get: bool) -> Self {
        let asked: Vec<&[u8]> = values.into_iter().map(<[u8]>::trim_ascii).collect();
        match asked[..] {
            _ if asked.iter().all(|value| value.eq_ignore_ascii_case(b"h2c")) => Self::Http,
            [one] if is_get && one.eq_ignore_ascii_case(b"websocket") => Self::WebSocket,
            _ => Self::Other,
        }
    }
}

/// Whether a request for `path` on `route` whose `Upgrade` fields have these values goes on as WebSocket.
pub fn upgrade<'v>(
    values: impl IntoIterator<Item = &'v [u8]>,
    method: &Method,
    path: &CanonicalPath,
    route: &Route,
) -> Result<bool, Refusal> {
    let host = &route.host;
    let why = match Asked::of(values, *method == Method::GET) {
        Asked::Http => return Ok(false),
        _ if !route.websocket => {
            format!("an upgrade of {host} needs `websocket: true` in its rule; use plain requests there")
        }
        Asked::Other => format!("an upgrade to {host} is a GET for `websocket` and nothing else"),
        Asked::WebSocket if route.content.hold(path) => format!(
            "no WebSocket to {host} begins on this path: requests here are read as GraphQL or JSON-RPC, which its messages \
             are not; use plain requests"
        ),
        Asked::WebSocket => return Ok(true),
    };
    Err(Refusal::new(Reason::UpgradeNotSupported, format!("{why}; retrying does not help")).under(route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Below, ContentRules, DenyPath, PathRules, RpcRule, testing::route};

    #[test]
    fn only_h2c_is_ignored_and_only_websocket_is_allowed() {
        let closed = route("open.test");
        let open = Route { websocket: true, ..closed.clone() };
        let asked = |values: &[&'static [u8]], method: &str, route: &Route| {
            let (method, path) = (
                Method::parse(method).unwrap(),
                CanonicalPath::parse(b"/graphql", PathRules { allowlisted: true, encoded_slash: false })
                    .unwrap(),
            );
            upgrade(values.iter().copied(), &method, &path, route).map_err(|it| it.reason)
        };
        let refused = Err(Reason::UpgradeNotSupported);
        for route in [&closed, &open] {
            assert_eq!(asked(&[], "GET", route), Ok(false));
            assert_eq!(asked(&[b" H2C "], "GET", route), Ok(false));
            for values in [
                &[b"h2c".as_slice(), b"websocket"][..],
                &[b"h2c, websocket"],
                &[b"tls/1.0"],
                &[b"websocket/13"],
            ] {
                assert_eq!(asked(values, "GET", route), refused);
            }
        }
        assert_eq!(asked(&[b"websocket"], "GET", &closed), refused);
        assert_eq!(asked(&[b"WebSocket"], "GET", &open), Ok(true));
        assert_eq!(asked(&[b"websocket"], "POST", &open), refused);
        assert_eq!(asked(&[b"websocket", b"websocket"], "GET", &open), refused);
        let rule = RpcRule { methods: Vec::new() };
        for (path, asks) in [("/graphql", refused), ("/other", Ok(true))] {
            let paths = Some(vec![DenyPath::parse(path).unwrap()]);
            let content = ContentRules { rpc: Some(Below { paths, rule: rule.clone() }), graphql: None };
            assert_eq!(asked(&[b"websocket"], "GET", &Route { content, ..open.clone() }), asks, "{path}");
        }
    }
}
