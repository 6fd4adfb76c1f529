//! The decision. One function for the proxy, `explain`, `test` and `diff`.

use super::{
    deny_path::DenyPath,
    git::GitOperation,
    host::Authority,
    intent::{Intent, Scheme},
    listed::shorten,
    method::Method,
    nearest::Difference,
    path::CanonicalPath,
    pattern::PathPattern,
    push::PushRules,
    query::QueryFault,
    refusal::{NO_RETRY, Reason, Refusal, allowed_on},
    route::{PLAIN_HTTP, Route},
    rule::HostRule,
    rules::Policy,
};
use jiff::civil::Date;

/// The rule that allows a request, and which of its entries does.
#[derive(Debug)]
pub struct MatchedRule<'p, R = HostRule> {
    /// The rule that allows it.
    pub rule: &'p R,
    /// The entry of the `path_allowlist` that matched; `None` where every path is allowed.
    pub pattern: Option<&'p PathPattern>,
}

impl<R: AsRef<HostRule>> Policy<R> {
    /// Decides, in this order: git push on every host, host, port, date, method, path, denied path,
    /// query.
    pub fn decide(&self, intent: &Intent, today: Date) -> Result<MatchedRule<'_, R>, Refusal> {
        let rule = self.rule(&intent.authority.host);
        if intent.git.is_push() {
            check_push(intent, self.route(&intent.authority.host))?;
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
        let pattern = match &route.path_allowlist {
            None => None,
            Some(patterns) => Some(self.matched_path(patterns, intent, route)?),
        };
        let query = intent.target.query.as_deref();
        match route.query.iter().find_map(|rule| rule.check(query).err()) {
            Some(fault) => Err(query_not_allowed(&fault, route)),
            None => Ok(MatchedRule { rule, pattern }),
        }
    }

    fn matched_path<'r>(
        &self,
        patterns: &'r [PathPattern],
        intent: &Intent,
        route: &Route,
    ) -> Result<&'r PathPattern, Refusal> {
        let path = &intent.target.path;
        match (patterns.iter().find(|pattern| pattern.matches(path)), route.denied(path)) {
            (None, _) => Err(self.path_not_allowed(intent, route)),
            (Some(_), Some(entry)) => Err(path_denied(path, entry, route)),
            (Some(pattern), None) => Ok(pattern),
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

/// A refusal by a rule: what was asked, what the rule allows, and that retrying does not help.
pub(super) fn by_rule(reason: Reason, what: &str, route: &Route) -> Refusal {
    let allowed = allowed_on(route);
    let instead = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join("; ") };
    let message = format!("{what}; allowed there: {instead}; {NO_RETRY}");
    Refusal { allowed, ..Refusal::new(reason, message).under(route) }
}

/// A push is refused on every host but for its two requests in their one form, where a rule says what they may change.
/// What it does say is checked when commands and pack are there.
fn check_push(intent: &Intent, route: Option<&Route>) -> Result<(), Refusal> {
    match route.and_then(|route| Some((route, route.push.as_ref()?))) {
        None => Err(git_push(intent, route)),
        Some((route, _)) if intent.smart_push().is_some() && !route.content.hold(&intent.target.path) => {
            Ok(())
        }
        Some((route, rules)) => {
            let message = format!("{} to {}: {}", push_name(intent), route.host, not_in_this_form(rules));
            Err(Refusal::new(Reason::GitPush, message).under(route))
        }
    }
}

/// Of a push on a host that allows some: which one is refused.
fn not_in_this_form(rules: &PushRules) -> String {
    format!(
        "a push in this form is refused also where git.push allows one: only git's smart protocol over https is read, to \
         {}; no LFS upload, no WebDAV and no other spelling; {NO_RETRY}",
        rules.shown_refs()
    )
}

fn push_name(intent: &Intent) -> &'static str {
    match intent.git {
        GitOperation::LfsUpload => "git push (its LFS upload)",
        _ => "git push",
    }
}

fn git_push(intent: &Intent, route: Option<&Route>) -> Refusal {
    let what = push_name(intent);
    let message = format!(
        "{what} to {} is refused, as on every host whose rule has no git.push: a person pushes from the host, outside the bottle; clone and fetch \
         work where a rule allows them; {NO_RETRY}",
        intent.authority.host
    );
    Refusal::new(Reason::GitPush, message).with_allowed(route)
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
    let usual = || Method::USUAL.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let unlisted = match route.methods {
        None => format!(", whose rule lists none; usual are {}", usual()),
        Some(_) => String::new(),
    };
    let what = format!("{method} is not an allowed method on {}{unlisted}", route.host);
    by_rule(Reason::MethodNotAllowed, &what, route)
}

fn query_not_allowed(fault: &QueryFault, route: &Route) -> Refusal {
    by_rule(
        Reason::QueryNotAllowed,
        &format!("the query of this request to {} is not allowed: {fault}", route.host),
        route,
    )
}

/// The rules changed between reading and deciding, so the form that was read says nothing.
fn read_under_other_rules(route: &Route) -> Refusal {
    let what = format!("the rule for {} changed while the request was read", route.host);
    by_rule(Reason::PathNotAllowed, &what, route).retryable()
}

#[cfg(test)]
mod tests;
