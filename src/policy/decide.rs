//! The decision. One function for the proxy, `explain`, `test` and `diff`.

use super::{
    deny::DenyPath,
    git::GitOperation,
    host::Authority,
    method::Method,
    nearest::Difference,
    path::{CanonicalPath, PathError},
    pattern::PathPattern,
    refusal::{Reason, Refusal, shorten},
    route::{PLAIN_HTTP, Policy, Route},
    rule::HostRule,
    target::{Target, split},
};
use jiff::civil::Date;
use std::fmt;

/// How a request reaches its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain http, on port 80 only.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port where a URL names none (RFC 9110 §4.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => PLAIN_HTTP,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything about a request that a decision depends on, in canonical form. What is decided on is what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// How.
    pub scheme: Scheme,
    /// Where.
    pub authority: Authority,
    /// What.
    pub method: Method,
    /// On what.
    pub target: Target,
    /// What it means to git. For an LFS batch the proxy sets it from the body.
    pub git: GitOperation,
}

impl Intent {
    /// Reads a request under the rules of its host's route.
    pub fn read(
        scheme: Scheme,
        authority: &Authority,
        method: &Method,
        raw_target: &[u8],
        content_type: Option<&[u8]>,
        route: Option<&Route>,
    ) -> Result<Intent, Refusal> {
        let rules = route.map(Route::path_rules).unwrap_or_default();
        let target = Target::parse(raw_target, rules).map_err(|e| malformed_target(e, authority, route))?;
        let (path, query) = split(raw_target);
        let git = GitOperation::read(method, path, query, content_type);
        Ok(Intent { scheme, authority: authority.clone(), method: method.clone(), target, git })
    }
}

/// Permission for one request.
#[derive(Debug)]
pub struct Grant<'p, R = HostRule> {
    /// The rule that allows it.
    pub rule: &'p R,
    /// The entry of the `path_allowlist` that matched; `None` where every path is allowed.
    pub pattern: Option<&'p PathPattern>,
}

impl<R: AsRef<HostRule>> Policy<R> {
    /// Decides, in this order: git push on every host, host, port, date, method, path, denied path.
    pub fn decide(&self, intent: &Intent, today: Date) -> Result<Grant<'_, R>, Refusal> {
        let rule = self.rule(&intent.authority.host);
        if intent.git.is_push() {
            return Err(git_push(intent, self.route(&intent.authority.host)));
        }
        let rule = rule.ok_or_else(|| self.host_not_allowed(intent))?;
        let route = &rule.as_ref().route;
        if !allows_port(route, intent.scheme, intent.authority.port) {
            return Err(port_not_allowed(intent.scheme, &intent.authority, route));
        }
        if !route.holds_on(today) {
            return Err(rule_expired(route));
        }
        if !route.allows_method(&intent.method) {
            return Err(method_not_allowed(&intent.method, route));
        }
        if intent.target.path.rules() != route.path_rules() {
            return Err(read_under_other_rules(route));
        }
        let Some(patterns) = &route.path_allowlist else { return Ok(Grant { rule, pattern: None }) };
        let path = &intent.target.path;
        match (patterns.iter().find(|pattern| pattern.matches(path)), route.denied(path)) {
            (None, _) => Err(self.path_not_allowed(intent, route)),
            (Some(_), Some(entry)) => Err(path_denied(path, entry, route)),
            (Some(pattern), None) => Ok(Grant { rule, pattern: Some(pattern) }),
        }
    }

    /// Decides whether a tunnel may be opened. An unknown host on port 443 may, because clients show nothing of a
    /// refused CONNECT: its requests are denied inside, by [`Policy::decide`].
    pub fn decide_connect(&self, authority: &Authority) -> Result<Option<&Route>, Refusal> {
        match self.route(&authority.host) {
            Some(route) if allows_port(route, Scheme::Https, authority.port) => Ok(Some(route)),
            Some(route) => Err(port_not_allowed(Scheme::Https, authority, route)),
            None if authority.port == Scheme::Https.default_port() => Ok(None),
            None => Err(self.unknown_host(authority, None)),
        }
    }

    fn host_not_allowed(&self, intent: &Intent) -> Refusal {
        let near = self.nearest(intent).map(|nearest| nearest.route.host.as_str().to_owned());
        self.unknown_host(&intent.authority, near.as_deref())
    }

    fn unknown_host(&self, authority: &Authority, near: Option<&str>) -> Refusal {
        let allowed = shorten(self.rules().iter().map(|rule| rule.as_ref().route.host.to_string()));
        let near = near.map(|host| format!(" (did you mean {host}?)")).unwrap_or_default();
        let instead = if allowed.is_empty() {
            "no host is allowed".to_owned()
        } else {
            format!("the allowed hosts are {}", allowed.join(", "))
        };
        let message = format!("{} is not an allowed host{near}; {instead}; {NO_RETRY}", authority.host);
        Refusal { allowed, ..Refusal::new(Reason::HostNotAllowed, message) }
    }

    fn path_not_allowed(&self, intent: &Intent, route: &Route) -> Refusal {
        let near = self.nearest(intent).and_then(|nearest| match nearest.differs {
            Difference::Path(pattern) => Some(format!(" (did you mean {pattern}?)")),
            _ => None,
        });
        let what = format!(
            "{} is not an allowed path on {}{}",
            intent.target.path,
            route.host,
            near.unwrap_or_default()
        );
        by_rule(Reason::PathNotAllowed, &what, route)
    }
}

/// Plain http is for port 80 and TLS for every other, so that a credential can't be asked for in the clear.
fn allows_port(route: &Route, scheme: Scheme, port: u16) -> bool {
    route.ports.contains(&port) && (scheme == Scheme::Http) == (port == PLAIN_HTTP)
}

/// The end of every denial's sentence.
const NO_RETRY: &str = "retrying does not help";

/// A refusal by a rule: what was asked, what the rule allows, and that retrying does not help.
fn by_rule(reason: Reason, what: &str, route: &Route) -> Refusal {
    let allowed = allowed_on(route);
    let instead = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join("; ") };
    let message = format!("{what}; allowed there: {instead}; {NO_RETRY}");
    Refusal { allowed, ..Refusal::new(reason, message).under(route) }
}

/// `GET, HEAD /repos/acme/app and below`, one for each entry of the `path_allowlist`, then what is denied of them.
fn allowed_on(route: &Route) -> Vec<String> {
    let methods = match &route.methods {
        None => "any method".to_owned(),
        Some(methods) => methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "),
    };
    if methods.is_empty() {
        return Vec::new();
    }
    match &route.path_allowlist {
        None => vec![format!("{methods} on every path")],
        Some(paths) => {
            let mut allowed = shorten(paths.iter().map(|path| format!("{methods} {path} and below")));
            if !route.deny_paths.is_empty() {
                let denied = shorten(route.deny_paths.iter().map(DenyPath::to_string));
                allowed.push(format!("but not {} and below", denied.join(", ")));
            }
            allowed
        }
    }
}

fn git_push(intent: &Intent, route: Option<&Route>) -> Refusal {
    let what = match intent.git {
        GitOperation::LfsUpload => "git push (its LFS upload)",
        _ => "git push",
    };
    let message = format!(
        "{what} to {} is refused, as on every host: a person pushes from the host, outside the bottle; clone and fetch \
         work where a rule allows them; {NO_RETRY}",
        intent.authority.host
    );
    with_what_is_allowed(Refusal::new(Reason::GitPush, message), route)
}

fn port_not_allowed(scheme: Scheme, authority: &Authority, route: &Route) -> Refusal {
    let ports = route.ports.iter().map(|port| match *port {
        PLAIN_HTTP => format!("port {PLAIN_HTTP} (plain http)"),
        port => format!("port {port}"),
    });
    let allowed = shorten(ports);
    let instead = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    let message = format!(
        "port {} of {} is not allowed for {scheme}; allowed there: {instead}; {NO_RETRY}",
        authority.port, authority.host
    );
    Refusal { allowed, ..Refusal::new(Reason::PortNotAllowed, message).under(route) }
}

fn rule_expired(route: &Route) -> Refusal {
    let until = route.until.map(|until| format!(" on {until}")).unwrap_or_default();
    let message = format!(
        "the rule for {} expired{until}, so nothing is allowed there; {NO_RETRY} until a person renews the rule",
        route.host
    );
    Refusal::new(Reason::RuleExpired, message).under(route)
}

fn path_denied(path: &CanonicalPath, entry: &DenyPath, route: &Route) -> Refusal {
    let what = format!(
        "{path} on {} is closed on purpose: the rule denies {entry} and below, in every spelling; work without it, or \
         ask the person who wrote the rule",
        route.host
    );
    by_rule(Reason::PathDenied, &what, route)
}

fn method_not_allowed(method: &Method, route: &Route) -> Refusal {
    by_rule(Reason::MethodNotAllowed, &format!("{method} is not an allowed method on {}", route.host), route)
}

fn malformed_target(error: PathError, authority: &Authority, route: Option<&Route>) -> Refusal {
    let message =
        format!("the target of this request to {} is malformed: {error}; {NO_RETRY}", authority.host);
    with_what_is_allowed(Refusal::new(Reason::MalformedTarget, message), route)
}

/// The same with what the host's route allows, where there is one.
fn with_what_is_allowed(refusal: Refusal, route: Option<&Route>) -> Refusal {
    match route {
        Some(route) => Refusal { allowed: allowed_on(route), ..refusal.under(route) },
        None => refusal,
    }
}

/// The rules changed between reading and deciding, so the form that was read says nothing.
fn read_under_other_rules(route: &Route) -> Refusal {
    let what = format!("the rule for {} changed while the request was read", route.host);
    by_rule(Reason::PathNotAllowed, &what, route).retryable()
}

#[cfg(test)]
mod tests;
