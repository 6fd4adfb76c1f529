//! The manifest as it is now: where a rule stands in it, and what would have to change for it to allow a request.
//!
//! A record names its rule by the host. The pointer in the record is where the rule stood when the request
//! was refused; by now another rule can stand there, so it is never followed. What is suggested was tried: the policy
//! of the manifest with the change allows the request.

use crate::clock::Clock;
use crate::manifest::{Loaded, Manifest};
use crate::plan::{Plan, Surroundings};
use crate::policy::{
    Authority, CanonicalPath, Host, Intent, Method, PathPattern, PathRules, Policy, Reason, Refusal, Route,
    Scheme,
};
use crate::render;
use crate::telemetry::audit::Record;
use camino::Utf8Path;
use jiff::civil::Date;
use std::fmt::Write as _;

/// Of a path on a host that is unknown so many segments are suggested.
const SEGMENTS: usize = 3;

/// The manifest, if it can be read.
pub(super) struct Current<'a> {
    file: &'a Utf8Path,
    manifest: Option<(&'a Loaded, Policy)>,
    pub(super) clock: Clock,
}

/// Where the rule that a record names stands now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// File and line, and the pointer.
    At(String),
    /// It stands nowhere, or nobody can tell; in words.
    Nowhere(String),
}

/// What would allow a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// This entry.
    Entry(String),
    /// Nothing has to change.
    Allowed,
    /// No entry allows it.
    Nothing,
    /// Nobody can tell: the record holds less than the request did, or the manifest can't be read.
    Unknown(String),
}

impl<'a> Current<'a> {
    pub(super) fn new(file: &'a Utf8Path, loaded: Option<&'a Loaded>, clock: Clock) -> Self {
        let manifest = loaded.and_then(|loaded| Some((loaded, policy(&loaded.manifest)?)));
        Self { file, manifest, clock }
    }

    /// Where the rule stands, at the key that refused if it has it; nothing where no rule refused.
    pub(super) fn standing(&self, record: &Record) -> Option<Standing> {
        record.source.as_ref()?;
        let id = record.rule.as_deref().or(record.host.as_deref())?;
        let Some((loaded, policy)) = &self.manifest else {
            return Some(Standing::Nowhere(format!("{id}; {} can't be read now", self.file)));
        };
        let route = Host::parse(id).ok().and_then(|host| policy.route(&host));
        let Some(route) = route else {
            return Some(Standing::Nowhere(format!("the rule for {id} is no longer in {}", self.file)));
        };
        let key = match record.reason.as_deref() {
            Some("path_not_allowed") => ".path_allowlist",
            Some("path_denied") => ".deny_paths",
            Some("method_not_allowed") => ".methods",
            Some("port_not_allowed") => ".ports",
            Some("rule_expired") => ".until",
            _ => "",
        };
        let source = &route.source;
        Some(Standing::At(format!("{} ({source})", loaded.place_of(&format!("{source}{key}")))))
    }

    /// What would allow the request.
    pub(super) fn advice(&self, record: &Record) -> Advice {
        let by_rule = [
            "host_not_allowed",
            "path_not_allowed",
            "path_denied",
            "method_not_allowed",
            "port_not_allowed",
            "rule_expired",
        ];
        if !record.reason.as_deref().is_some_and(|reason| by_rule.contains(&reason)) {
            return Advice::Nothing;
        }
        let whole = |text: &Option<String>| {
            !text.as_ref().is_some_and(|it| it.contains("…[+") || it.contains("***["))
        };
        if ![&record.host, &record.path, &record.method].into_iter().all(whole) {
            return Advice::Unknown("a part of the request was masked or cut in the record".to_owned());
        }
        let Some((_, policy)) = &self.manifest else {
            return Advice::Unknown(format!("{} can't be read now", self.file));
        };
        let asked = RecordedRequest::from_record(record);
        asked.and_then(|asked| advice(&asked, policy, self.clock.today())).unwrap_or(Advice::Nothing)
    }
}

/// The policy that egress-proxy would have, by the way that it gets it.
fn policy(manifest: &Manifest) -> Option<Policy> {
    let mut manifest = manifest.clone();
    manifest.pipelock.extra_ca = None; // a file that decides nothing here
    let plan = Plan::resolve(&manifest, &Surroundings::beside(&manifest.name)).ok()?;
    render::routes_file(&plan).to_policy().ok()
}

/// The request, as far as a record tells it.
struct RecordedRequest<'r> {
    scheme: Scheme,
    authority: Authority,
    /// None of a CONNECT.
    method: Option<Method>,
    path: Option<&'r str>,
}

impl<'r> RecordedRequest<'r> {
    fn from_record(record: &'r Record) -> Option<Self> {
        let scheme = if record.scheme.as_deref() == Some("http") { Scheme::Http } else { Scheme::Https };
        let host = Host::parse(record.host.as_deref()?).ok()?;
        let authority = Authority { host, port: record.port.unwrap_or(scheme.default_port()) };
        let method = record.method.as_deref().filter(|method| *method != "CONNECT");
        // A fetch asks for several paths below its repository.
        let path = record.path.as_deref().map(|path| {
            let fetch = record.git.as_deref() == Some("fetch");
            let repository = ["/info/refs", "/git-upload-pack"].iter().find_map(|end| path.strip_suffix(end));
            repository.filter(|it| fetch && !it.is_empty()).unwrap_or(path)
        });
        Some(Self { scheme, authority, method: method.map(Method::parse).transpose().ok()?, path })
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
fn advice(asked: &RecordedRequest<'_>, policy: &Policy, today: Date) -> Option<Advice> {
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

fn change(route: &mut Route, reason: Reason, asked: &RecordedRequest<'_>) -> Option<String> {
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
fn new_route(asked: &RecordedRequest<'_>) -> Option<(Route, String)> {
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

/// Text from a request, as YAML: it comes from the agent.
pub(super) fn scalar(text: &str) -> String {
    let quoted = text.contains([',', '[', ']', '{', '}']);
    if quoted { format!("{text:?}") } else { crate::yaml::emit_value(&text.into()).trim_end().to_owned() }
}
