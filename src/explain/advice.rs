//! What would have to change in the rules for a request to be allowed. What is suggested was tried: the policy with
//! the change allows the request.

use crate::policy::{
    Authority, CanonicalPath, Intent, Method, PathPattern, PathRules, Policy, Reason, Refusal, Route, Scheme,
    WrittenRequest,
};
use jiff::civil::Date;
use std::fmt::Write as _;

/// Of a path on a host that is unknown so many segments are suggested.
const SEGMENTS: usize = 3;

/// What would allow a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Advice {
    /// This entry.
    Entry(String),
    /// Nothing has to change.
    Allowed,
    /// No entry allows it.
    Nothing,
    /// Nobody can tell: the record holds less than the request did, or the manifest can't be read.
    Unknown(String),
}

/// What somebody wanted to ask for.
#[derive(Debug)]
pub struct Wanted<'r> {
    scheme: Scheme,
    authority: Authority,
    /// None of a CONNECT.
    method: Option<Method>,
    path: Option<&'r str>,
}

impl<'r> Wanted<'r> {
    /// A request; `None` for the method is a CONNECT. A fetch asks for several paths below its repository.
    #[must_use]
    pub fn new(
        scheme: Scheme,
        authority: Authority,
        method: Option<Method>,
        path: Option<&'r str>,
        is_fetch: bool,
    ) -> Self {
        let path = path.map(|path| {
            let repository = ["/info/refs", "/git-upload-pack"].iter().find_map(|end| path.strip_suffix(end));
            repository.filter(|it| is_fetch && !it.is_empty()).unwrap_or(path)
        });
        Self { scheme, authority, method, path }
    }

    /// The same of a request that was written down, if its host has a canonical form.
    #[must_use]
    pub fn from_request(request: &'r WrittenRequest, is_fetch: bool) -> Option<Self> {
        let authority = Authority::parse(&request.authority, Some(request.scheme.default_port())).ok()?;
        let path = request.target.split(['?', '#']).next();
        Some(Self::new(request.scheme, authority, Some(request.method.clone()), path, is_fetch))
    }

    /// Where it would go.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What would allow it; what is suggested was tried.
    #[must_use]
    pub fn advice(&self, policy: &Policy, today: Date) -> Advice {
        advice(self, policy, today).unwrap_or(Advice::Nothing)
    }

    fn decide(&self, policy: &Policy, today: Date) -> Result<(), Refusal> {
        let (Some(method), Some(path)) = (&self.method, self.path) else {
            let route = policy.decide_connect(&self.authority)?;
            let expired = route.filter(|route| !route.holds_on(today));
            return match (route, expired) {
                (Some(_), None) => Ok(()),
                (Some(_), Some(_)) => Err(Refusal::new(Reason::RuleExpired, "")),
                (None, _) => Err(Refusal::new(Reason::HostNotAllowed, "")),
            };
        };
        let route = policy.route(&self.authority.host);
        let intent = Intent::read(self.scheme, &self.authority, method, path.as_bytes(), None, route)?;
        policy.decide(&intent, today).map(drop)
    }

    fn canonical(&self, encoded_slash: bool) -> Option<CanonicalPath> {
        let rules = PathRules { allowlisted: true, encoded_slash };
        CanonicalPath::parse(self.path.unwrap_or("/").as_bytes(), rules).ok()
    }

    /// The path, or its first segments, as an entry.
    fn pattern(&self, encoded_slash: bool, segments: usize) -> Option<PathPattern> {
        let path = self.canonical(encoded_slash)?;
        let first: Vec<&str> = path.segments().filter(|segment| !segment.is_empty()).take(segments).collect();
        PathPattern::parse(&format!("/{}", first.join("/")), encoded_slash).ok()
    }
}

/// Changes the rule until the policy allows the request.
fn advice(asked: &Wanted<'_>, policy: &Policy, today: Date) -> Option<Advice> {
    if asked.authority.host.is_loopback() {
        return Some(Advice::Nothing); // no manifest can name it
    }
    let mut rules = policy.rules().to_vec();
    let mut entry = String::new();
    loop {
        let changed = Policy::new(rules.clone()).ok()?;
        let refusal = match asked.decide(&changed, today) {
            Ok(()) if entry.is_empty() => return Some(Advice::Allowed),
            Ok(()) => return Some(Advice::Entry(entry)),
            Err(refusal) => refusal,
        };
        let mut routes = rules.iter_mut().map(|rule| &mut rule.route);
        let Some(route) = routes.find(|route| route.host == asked.authority.host) else {
            let (route, text) = new_route(asked)?;
            rules.push(route.into());
            entry = text;
            continue;
        };
        let line = change(route, refusal.reason, asked)?;
        if entry.is_empty() {
            entry = format!("{}:\n", route.source);
        }
        // The same change again would change nothing.
        if entry.contains(&line) {
            return None;
        }
        entry += &line;
    }
}

fn change(route: &mut Route, reason: Reason, asked: &Wanted<'_>) -> Option<String> {
    let (key, value) = match reason {
        Reason::PortNotAllowed => {
            route.ports.push(asked.authority.port);
            ("ports", asked.authority.port.to_string())
        }
        Reason::RuleExpired => {
            route.until = None;
            return Some("  until: a later date\n".to_owned());
        }
        Reason::MethodNotAllowed => {
            let method = asked.method.clone()?;
            let value = scalar(method.as_str());
            route.methods.get_or_insert_default().push(method);
            ("methods", value)
        }
        Reason::PathNotAllowed => {
            let pattern = asked.pattern(route.encoded_slash, usize::MAX)?;
            let value = scalar(pattern.as_str());
            route.path_allowlist.get_or_insert_default().push(pattern);
            ("path_allowlist", value)
        }
        Reason::PathDenied => {
            let path = asked.canonical(route.encoded_slash)?;
            let (removed, kept): (Vec<_>, Vec<_>) =
                route.deny_paths.drain(..).partition(|entry| entry.matches(&path));
            route.deny_paths = kept;
            let removed: Vec<String> = removed.iter().map(|entry| scalar(entry.as_str())).collect();
            return Some(format!("  deny_paths: without {}\n", removed.join(", ")));
        }
        _ => return None,
    };
    Some(format!("  {key}: [..., {value}]\n"))
}

/// As narrow as the request, of whose path the first segments count.
fn new_route(asked: &Wanted<'_>) -> Option<(Route, String)> {
    let Authority { host, port } = &asked.authority;
    let pattern = asked.pattern(false, SEGMENTS)?;
    let mut entry = format!("egress_proxy:\n  routes:\n    - host: {}\n", scalar(host.as_str()));
    // Writing to a String can't fail.
    if *port != 443 {
        let _ = writeln!(entry, "      ports: [{port}]");
    }
    let every = if pattern.as_str() == "/" { " # every path; name those that are needed" } else { "" };
    let _ = writeln!(entry, "      path_allowlist: [{}]{every}", scalar(pattern.as_str()));
    if let Some(method) = &asked.method {
        let _ = writeln!(entry, "      methods: [{}]", scalar(method.as_str()));
    }
    let route = Route {
        ports: vec![*port],
        methods: asked.method.clone().map(|method| vec![method]),
        path_allowlist: Some(vec![pattern]),
        ..Route::open(host.clone(), "")
    };
    Some((route, entry))
}

/// Text from a request, as YAML in flow style: it comes from the agent.
#[must_use]
pub fn scalar(text: &str) -> String {
    let quoted = text.contains([',', '[', ']', '{', '}']);
    if quoted { format!("{text:?}") } else { crate::yaml::emit_value(&text.into()).trim_end().to_owned() }
}

/// Why no entry of a manifest allows what was refused with this code.
#[must_use]
pub fn why_nothing_allows(reason: &str) -> &'static str {
    match reason {
        "host_not_allowed" => {
            "no entry allows it: the host is the proxy's own, or the path is one that no entry can name"
        }
        "domain_not_allowed" | "port_not_allowed" | "plain_http" => {
            "no entry allows it: without routes, port 443 of a host is all that an entry can allow"
        }
        "git_push" => "no entry allows it: git push is refused on every host",
        "blocked_by_pipelock" => "no route allows it: pipelock looks into every request that it can read",
        "address_not_allowed" => {
            "the host is at a private address; `addresses` on its entry would allow that range"
        }
        "credential_unavailable" => {
            "no rule refused it: the token is missing; set it and run `bottle up --rotate`"
        }
        "upstream_unreachable" | "upstream_invalid" | "upstream_timeout" => {
            "no rule refused it: the host did not answer"
        }
        "limit_reached" | "body_too_large" | "shutting_down" => {
            "no rule refused it: a limit of the proxy did"
        }
        _ => "no entry allows it: the request itself is refused",
    }
}
