//! A request, as far as an audit record tells it.

use super::Request;
use crate::policy::{
    Authority, CanonicalPath, Host, Intent, Method, PathPattern, PathRules, Policy, Reason, Refusal, Scheme,
};
use crate::verdict::WireRequest;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use jiff::civil::Date;

/// A request that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How.
    pub scheme: Scheme,
    /// Where.
    pub authority: Authority,
    /// None of a CONNECT.
    pub method: Option<Method>,
    /// None of a CONNECT. Of a git fetch, the repository: it asks for several paths below.
    pub path: Option<String>,
    /// A git fetch, which is a GET and then a POST.
    pub is_fetch: bool,
}

impl Asked {
    /// The request; nothing where the record does not hold what a rule decides by.
    #[must_use]
    pub fn from_request(request: &Request) -> Option<Self> {
        let scheme = if request.is_plain { Scheme::Http } else { Scheme::Https };
        let host = Host::parse(&request.host).ok()?;
        let authority = Authority { host, port: request.port.unwrap_or(scheme.default_port()) };
        let method = request.method.as_deref().filter(|method| *method != "CONNECT");
        let method = method.map(Method::parse).transpose().ok()?;
        Some(Self::new(scheme, authority, method, request.path.as_deref(), request.is_fetch))
    }

    /// A request; `None` for the method is a CONNECT. A fetch asks for several paths below its repository.
    #[must_use]
    pub fn new(
        scheme: Scheme,
        authority: Authority,
        method: Option<Method>,
        path: Option<&str>,
        is_fetch: bool,
    ) -> Self {
        let repository = path.filter(|_| is_fetch).and_then(|path| {
            let ends = ["/info/refs", "/git-upload-pack"];
            ends.iter().find_map(|end| path.strip_suffix(end)).filter(|it| !it.is_empty())
        });
        let path = repository.or(path).map(str::to_owned);
        Self { scheme, authority, method, path, is_fetch: repository.is_some() }
    }

    /// Every method that it takes; none of a CONNECT.
    #[must_use]
    pub fn methods(&self) -> Vec<Method> {
        if self.is_fetch {
            return vec![Method::GET, Method::POST];
        }
        self.method.iter().cloned().collect()
    }

    /// What the rules say of it.
    pub fn decide(&self, policy: &Policy, today: Date) -> Result<(), Refusal> {
        let (false, Some(path)) = (self.methods().is_empty(), &self.path) else {
            let route = policy.decide_connect(&self.authority)?;
            let expired = route.filter(|route| !route.holds_on(today));
            return match (route, expired) {
                (Some(_), None) => Ok(()),
                (Some(_), Some(_)) => Err(Refusal::new(Reason::RuleExpired, "")),
                (None, _) => Err(Refusal::new(Reason::HostNotAllowed, "")),
            };
        };
        let route = policy.route(&self.authority.host);
        self.methods().iter().try_for_each(|method| {
            let intent = Intent::read(self.scheme, &self.authority, method, path.as_bytes(), None, route)?;
            match policy.decide(&intent, today) {
                // No record holds a query, so that this is decided last and not known here.
                Err(refusal) if refusal.reason != Reason::QueryNotAllowed => Err(refusal),
                _ => Ok(()),
            }
        })
    }

    /// The request as a client would send it to the first proxy; nothing for a CONNECT alone.
    #[must_use]
    pub fn on_the_wire(&self) -> Option<WireRequest> {
        let (method, path) = (self.method.as_ref()?, self.path.as_ref()?);
        let authority = self.authority.to_string();
        let named = format!("{}:{}", self.authority.host, self.authority.port);
        let is_plain = self.scheme == Scheme::Http;
        let target = if is_plain { format!("http://{authority}{path}") } else { path.clone() };
        let request = http::Request::builder().method(method.as_str()).uri(&target);
        let request = request.header(header::HOST, &authority).body(()).ok()?;
        let connect = (!is_plain).then(|| {
            let mut fields = HeaderMap::new();
            fields.extend(HeaderValue::from_str(&named).ok().map(|host| (header::HOST, host)));
            (named, fields)
        });
        Some(WireRequest { connect, request, target: Bytes::from(target), body: None })
    }

    /// The path in the form in which a `path_allowlist` is asked.
    #[must_use]
    pub fn canonical(&self, encoded_slash: bool) -> Option<CanonicalPath> {
        let rules = PathRules { allowlisted: true, encoded_slash };
        CanonicalPath::parse(self.path.as_deref().unwrap_or("/").as_bytes(), rules).ok()
    }

    /// The path, or its first segments, as an entry; nothing where one of them is `*`, which an entry would take for any.
    pub(super) fn pattern(&self, encoded_slash: bool, segments: usize) -> Option<PathPattern> {
        let path = self.canonical(encoded_slash)?;
        let first: Vec<&str> = path.segments().filter(|segment| !segment.is_empty()).take(segments).collect();
        if first.contains(&"*") {
            return None;
        }
        PathPattern::parse(&format!("/{}", first.join("/")), encoded_slash).ok()
    }
}
