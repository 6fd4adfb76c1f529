//! Which host a request is for. CONNECT, the TLS server name, `Host` and the target's own
//! authority all name the same place, or the request is refused; what has no canonical form is refused before
//! anything is compared.

use crate::policy::{Authority, HostError, HostRule, Policy, Reason, Refusal, Scheme};
use crate::verdict::Head;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

/// Where a request goes, and what it asks for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// How.
    pub scheme: Scheme,
    /// Where.
    pub authority: Authority,
    /// The target in origin-form, as it was received.
    pub target: Bytes,
}

/// Whether a tunnel to `target` may be opened. An unknown host on port 443 may: it is refused inside, where clients
/// show why.
///
/// `Host` says nothing here: a client may send the proxy's own name in it, or an address, or none (RFC 9110 §9.3.6).
pub(super) fn at_connect<R: AsRef<HostRule>>(target: &str, policy: &Policy<R>) -> Result<Authority, Refusal> {
    let authority = Authority::parse(target, None).map_err(|e| malformed("CONNECT", &e))?;
    if !authority.host.is_internal() {
        policy.decide_connect(&authority)?;
    }
    Ok(authority)
}

impl Destination {
    /// Where a request goes.
    pub fn from_head(head: Head<'_>) -> Result<Self, Refusal> {
        match head.tunnel {
            Some(tunnel) => inside(head, tunnel),
            None => in_absolute_form(head),
        }
    }
}

/// Inside a tunnel the CONNECT decides; everything else must agree with it.
fn inside(head: Head<'_>, authority: &Authority) -> Result<Destination, Refusal> {
    let port = Scheme::Https.default_port();
    for host in head.headers.get_all(header::HOST) {
        require_same("CONNECT", authority, "Host", host, port)?;
    }
    if let Some(named) = head.uri.authority() {
        let field = if head.version == http::Version::HTTP_2 { ":authority" } else { "the target" };
        require_same_text("CONNECT", authority, field, named.as_str(), port)?;
        if head.uri.scheme().is_some_and(|scheme| *scheme != http::uri::Scheme::HTTPS) {
            return Err(Refusal::new(
                Reason::MalformedRequest,
                "a request inside a TLS tunnel can't be for another scheme than https; retrying does not help",
            ));
        }
    }
    let target = origin_form(head.target);
    Ok(Destination { scheme: Scheme::Https, authority: authority.clone(), target })
}

/// Outside a tunnel only plain http in absolute-form is understood (RFC 9112 §3.2.2).
fn in_absolute_form(head: Head<'_>) -> Result<Destination, Refusal> {
    let (Some(scheme), Some(named)) = (head.uri.scheme_str(), head.uri.authority()) else {
        return Err(Refusal::new(
            Reason::MalformedRequest,
            "this is a proxy, not a server: requests come with a whole URL; set HTTP_PROXY and HTTPS_PROXY to this \
             address; retrying does not help",
        ));
    };
    if scheme != "http" {
        return Err(Refusal::new(
            Reason::MalformedRequest,
            "https goes through CONNECT here, not through a request with a whole https URL; retrying does not help",
        ));
    }
    let port = Scheme::Http.default_port();
    let authority = Authority::parse(named.as_str(), Some(port)).map_err(|e| malformed("the target", &e))?;
    for host in head.headers.get_all(header::HOST) {
        require_same("the target", &authority, "Host", host, port)?;
    }
    Ok(Destination { scheme: Scheme::Http, authority, target: origin_form(head.target) })
}

/// The client names another server at TLS than at CONNECT, or none.
#[must_use]
pub fn server_name_differs(authority: &Authority, sni: Option<&str>) -> Refusal {
    let asked =
        sni.map_or_else(|| "no server name".to_owned(), |name| format!("`{}`", name.escape_default()));
    mismatch(&format!("CONNECT names {} but TLS asks for {asked}", authority.host))
}

fn require_same(
    first: &str,
    authority: &Authority,
    second: &str,
    value: &HeaderValue,
    default_port: u16,
) -> Result<(), Refusal> {
    let text = value.to_str().map_err(|_| {
        Refusal::new(Reason::MalformedAuthority, format!("{second} is not ASCII; retrying does not help"))
    })?;
    require_same_text(first, authority, second, text, default_port)
}

fn require_same_text(
    first: &str,
    authority: &Authority,
    second: &str,
    text: &str,
    default_port: u16,
) -> Result<(), Refusal> {
    let named = Authority::parse(text, Some(default_port)).map_err(|e| malformed(second, &e))?;
    if named == *authority {
        return Ok(());
    }
    Err(mismatch(&format!("{first} names {authority} but {second} names {named}")))
}

fn mismatch(what: &str) -> Refusal {
    Refusal::new(Reason::AuthorityMismatch, format!("{what}; they must be the same; retrying does not help"))
}

fn malformed(where_it_stood: &str, error: &HostError) -> Refusal {
    Refusal::new(
        Reason::MalformedAuthority,
        format!("the host of {where_it_stood} is malformed: {error}; retrying does not help"),
    )
}

/// `https://host/path?query` → `/path?query`, without touching a byte of either (RFC 9112 §3.2.1).
fn origin_form(target: &Bytes) -> Bytes {
    if target.starts_with(b"/") {
        return target.clone();
    }
    let Some(scheme_end) = target.windows(3).position(|w| w == b"://") else { return target.clone() };
    let after = scheme_end + 3;
    let rest = target.get(after..).unwrap_or_default();
    match rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')) {
        None => Bytes::from_static(b"/"),
        Some(at) if rest.get(at) == Some(&b'/') => target.slice(after + at..),
        Some(at) => [b"/", rest.get(at..).unwrap_or_default()].concat().into(),
    }
}

/// The content type, by which git names its operation. Several would leave open which one the upstream reads.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::new(
            Reason::MalformedRequest,
            "the request is malformed: it has several Content-Type fields; retrying does not help",
        ));
    }
    Ok(first.map(HeaderValue::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_form_keeps_every_byte() {
        for (whole, origin) in [
            ("http://a.test/b?c#d", "/b?c#d"),
            ("http://a.test", "/"),
            ("http://a.test?x=/y", "/?x=/y"),
            ("http://a.test:80//b", "//b"),
            ("/b?u=http://c/d", "/b?u=http://c/d"),
            ("*", "*"),
        ] {
            assert_eq!(origin_form(&Bytes::from(whole)), origin);
        }
    }

    #[test]
    fn the_server_name_is_shown_in_a_form_that_can_not_hurt() {
        let authority = Authority::parse("a.test:443", None).unwrap();
        assert_eq!(
            server_name_differs(&authority, Some("b.test\n")).message,
            "CONNECT names a.test but TLS asks for `b.test\\n`; they must be the same; retrying does not help"
        );
        assert!(server_name_differs(&authority, None).message.contains("asks for no server name"));
    }
}
