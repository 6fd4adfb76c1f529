//! Where a CONNECT or a request goes, and whether it may.

use super::{
    Ruleset,
    block::{Block, Part, printable},
};
use crate::content_coding::Coding;
use crate::policy::{Asked, Authority, Scheme};
use crate::verdict::Head;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Over TLS.
    pub secure: bool,
    /// Host and port.
    pub authority: Authority,
}

impl Destination {
    /// `https://host`, with the port where it is not that of the scheme.
    #[must_use]
    pub fn origin(&self) -> String {
        let (scheme, default) = if self.secure { ("https", 443) } else { ("http", 80) };
        let Authority { host, port } = &self.authority;
        if *port == default { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
    }
}

/// What is known of a request so far, also when it is refused.
#[derive(Debug, Default)]
pub struct RequestSoFar {
    /// Where it goes.
    pub destination: Option<Destination>,
    /// Its target, in which nothing was found that is not only logged.
    pub target: Option<String>,
    /// What was found and is only logged.
    pub findings: Vec<Block>,
    /// It asks for a WebSocket, and the host may be spoken to in one.
    pub websocket: bool,
}

impl Ruleset {
    /// Decides on a CONNECT to `target`, in authority-form.
    pub fn connect(&self, target: &str, fields: &HeaderMap) -> Result<Authority, Block> {
        let authority = Authority::parse(target, None).map_err(|error| Block::Target(error.to_string()))?;
        self.allow_tunnel(&authority)?;
        self.scan_host(authority.host.as_str())?;
        self.scan_fields(authority.host.as_str(), fields)?;
        Ok(authority)
    }

    /// Decides on a request. `so_far` is filled as far as it is read, whatever is decided.
    pub fn request(&self, head: Head<'_>, so_far: &mut RequestSoFar) -> Result<(), Block> {
        let destination = match head.tunnel {
            Some(tunnel) => self.in_tunnel(head, tunnel)?,
            None => self.in_the_open(head)?,
        };
        so_far.destination = Some(destination.clone());
        let target = checked_target(head)?;
        let host = destination.authority.host.as_str();
        self.unless_only_logged(host, self.scan_method(host, head.method), so_far)?;
        let warned = self.unless_only_logged(host, self.scan_target(&destination, &target), so_far);
        so_far.target = Some(target).filter(|_| warned.is_ok());
        warned?;
        let upgrades = head.headers.get_all(header::UPGRADE).iter().map(HeaderValue::as_bytes);
        so_far.websocket = match Asked::of(upgrades, *head.method == Method::GET) {
            Asked::Http => false,
            Asked::WebSocket if self.websocket(host) => true,
            Asked::WebSocket | Asked::Other => return Err(Block::Upgrade),
        };
        self.unless_only_logged(host, self.scan_fields(host, head.headers), so_far)?;
        Ok(Coding::from_fields(head.headers).map(drop)?)
    }

    /// What would become of a GET of this URL.
    pub fn url(&self, url: &str) -> Result<(), Block> {
        let uri: Uri = url.parse().map_err(|_| Block::Target(format!("`{url}` is not a URL")))?;
        let tunnel = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let named = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
                let authority = Authority::parse(named, Some(443));
                let authority = authority.map_err(|error| Block::Target(error.to_string()))?;
                Some(self.connect(&authority.to_string(), &HeaderMap::new())?)
            }
            _ => return Err(Block::Target(format!("`{url}` is neither http:// nor https://"))),
        };
        let (method, headers, target) = (Method::GET, HeaderMap::new(), url.to_owned().into());
        let version = http::Version::HTTP_11;
        let head = Head {
            method: &method,
            uri: &uri,
            version,
            headers: &headers,
            target: &target,
            tunnel: tunnel.as_ref(),
        };
        self.request(head, &mut RequestSoFar::default())
    }

    /// Whether this host is served on this port, over TLS or as plain http.
    #[must_use]
    pub fn admits(&self, authority: &Authority, scheme: Scheme) -> bool {
        let host = authority.host.as_str();
        match scheme {
            Scheme::Https => self.allow_tunnel(authority).is_ok(),
            Scheme::Http => self.allows(host) && self.plain_http(host) && authority.port == 80,
        }
    }

    /// Tunnels are for allowed hosts, on every port of theirs but that of plain http.
    fn allow_tunnel(&self, authority: &Authority) -> Result<(), Block> {
        let host = authority.host.as_str();
        if !self.allows(host) {
            return Err(Block::Host { host: host.to_owned() });
        }
        let (port, ports) = (authority.port, self.ports(host));
        if port == 80 || !ports.contains(&port) {
            let allowed = ports.iter().copied().filter(|port| *port != 80).collect();
            return Err(Block::Port { host: host.to_owned(), port, allowed });
        }
        Ok(())
    }

    /// A request in a tunnel is for the tunnel's host, whatever it says and however often.
    fn in_tunnel(&self, head: Head<'_>, tunnel: &Authority) -> Result<Destination, Block> {
        self.allow_tunnel(tunnel)?;
        if head.uri.scheme().is_some_and(|scheme| scheme.as_str() != "https") {
            return Err(Block::Authority {
                asked: "a plain http URL".to_owned(),
                tunnel: tunnel.to_string(),
            });
        }
        for name in names(head) {
            if Authority::parse(&name, Some(443)).ok().as_ref() != Some(tunnel) {
                return Err(Block::Authority { asked: printable(&name), tunnel: tunnel.to_string() });
            }
        }
        Ok(Destination { secure: true, authority: tunnel.clone() })
    }

    /// A request outside of a tunnel is plain http in absolute-form.
    fn in_the_open(&self, head: Head<'_>) -> Result<Destination, Block> {
        let Some(authority) = head.uri.authority() else {
            return Err(Block::Request(
                "this is a forward proxy: use CONNECT, or http:// in absolute-form".to_owned(),
            ));
        };
        let plain = head.uri.scheme_str() == Some("http");
        let authority = Authority::parse(authority.as_str(), Some(if plain { 80 } else { 443 }))
            .map_err(|error| Block::Target(error.to_string()))?;
        let host = authority.host.as_str();
        if !self.allows(host) {
            return Err(Block::Host { host: host.to_owned() });
        }
        if !plain || !self.plain_http(host) || authority.port != 80 {
            return Err(Block::PlainHttp { host: host.to_owned() });
        }
        for name in names(head) {
            if Authority::parse(&name, Some(80)).ok().as_ref() != Some(&authority) {
                return Err(Block::Authority { asked: printable(&name), tunnel: authority.to_string() });
            }
        }
        self.scan_host(host)?;
        Ok(Destination { secure: false, authority })
    }

    /// A method is any token (RFC 9110 §9.1), so it can carry a secret.
    fn scan_method(&self, host: &str, method: &Method) -> Result<(), Block> {
        let found = self.scanner(host).text(method.as_str());
        found.map_or(Ok(()), |finding| Err(Block::Dlp { part: Part::Method, finding, location: None }))
    }

    /// A secret that is only logged does not end the request.
    fn unless_only_logged(
        &self,
        host: &str,
        outcome: Result<(), Block>,
        so_far: &mut RequestSoFar,
    ) -> Result<(), Block> {
        match outcome {
            Err(block @ Block::Dlp { .. }) if self.only_warns(host) => {
                so_far.findings.push(block);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Every name that a request gives to its host.
fn names(head: Head<'_>) -> impl Iterator<Item = String> {
    let fields = head.headers.get_all(header::HOST).iter();
    let fields = fields.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let authority = head.uri.authority().map(|authority| authority.as_str().to_owned());
    authority.into_iter().chain(fields)
}

/// Path and query as they were received.
fn checked_target(head: Head<'_>) -> Result<String, Block> {
    if head.target.contains(&b'#') {
        return Err(Block::Request("the target holds a fragment".to_owned()));
    }
    if *head.method == Method::CONNECT || *head.method == Method::TRACE {
        return Err(Block::Request(format!("{} is not served here", head.method)));
    }
    match head.uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
        None | Some("") => Ok("/".to_owned()),
        Some(target) if target.starts_with('/') => Ok(target.to_owned()),
        Some(target) if target.starts_with('?') => Ok(format!("/{target}")),
        Some(_) => Err(Block::Request("the target is neither a path nor a URL".to_owned())),
    }
}
