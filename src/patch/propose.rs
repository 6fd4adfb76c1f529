//! The edits that give a host one rule that somebody asks for, or its rule what is missing. Always made against the
//! manifest of now, whatever it was when somebody asked.

use super::candidate::{Candidate, Judge, pointer_of};
use super::{Asked, Change, changes};
use crate::policy::{Authority, HostRule, Method, PathPattern, Route, Scheme};
use crate::yaml::{self, Edit};
use jiff::civil::Date;
use serde_json::{Value, json};

/// A rule that somebody asks for.
#[derive(Clone, Debug)]
pub struct RouteWanted {
    /// What it says.
    pub rule: HostRule,
    /// The same as an entry of the manifest.
    pub entry: Value,
    /// Its last day.
    pub until: Option<Date>,
}

/// The text with a rule that somebody asked for.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// The new text.
    pub text: String,
    /// What it allows that nobody asked for, since the rule of a host is one: a phrase each.
    pub beyond: Vec<String>,
}

/// The text with the rule. `value` is what `text` says. What can't be said by adding something is an error in a sentence.
pub fn with_route(
    text: &str,
    value: &Value,
    wanted: &RouteWanted,
    today: Date,
    judge: Judge<'_>,
) -> Result<Proposed, String> {
    let before = judge(text)?;
    let name = &wanted.rule.route.host;
    let host = name.as_str();
    let known = before.policy.named(name);
    require_own_credential(wanted, known, &before)?;
    let (edits, beyond) = match known {
        None => {
            require_no_wildcard(wanted, &before)?;
            (vec![Edit::add("/egress_proxy/routes/-", entry(wanted))], Vec::new())
        }
        Some(rule) => (widened(rule, value, wanted)?, beyond(rule, &wanted.rule)),
    };
    if edits.is_empty() {
        return Err(format!("{host} has all of this already: reject it with that reason"));
    }
    let edited = yaml::edit(text, &edits, yaml::Limits::default()).map_err(|error| error.to_string())?;
    let after = judge(&edited)?;
    match still_refused(wanted, &after, today) {
        None => Ok(Proposed { text: edited, beyond }),
        Some(request) => Err(format!(
            "with it {request} would still be refused, by something else that the rule of {host} says: change it by hand"
        )),
    }
}

/// What one host is sent, no proposal sends to another.
fn require_own_credential(
    wanted: &RouteWanted,
    known: Option<&HostRule>,
    before: &Candidate,
) -> Result<(), String> {
    let token = |rule: &HostRule| rule.auth.as_ref().map(|auth| auth.token_ref.clone());
    let Some(asked) = token(&wanted.rule) else { return Ok(()) };
    let is_sent = |rule: &&HostRule| token(rule).as_ref() == Some(&asked);
    if known.is_some_and(|rule| is_sent(&rule)) {
        return Ok(());
    }
    match before.policy.rules().iter().find(is_sent) {
        None => Ok(()),
        Some(other) => Err(format!(
            "{asked} is the credential of {}, at {}: no proposal sends it to {} as well; if that is meant, write it by hand",
            other.route.host, other.route.source, wanted.rule.route.host
        )),
    }
}

/// A rule of its own would take the place of the wildcard's, and of each limit that it has.
fn require_no_wildcard(wanted: &RouteWanted, before: &Candidate) -> Result<(), String> {
    let host = wanted.rule.route.host.exact();
    match host.and_then(|host| before.policy.rule(host)) {
        None => Ok(()),
        Some(HostRule { route: Route { host: wildcard, source, .. }, .. }) => Err(format!(
            "{} is one of {wildcard}, whose rule is at {source}: nothing of that rule would hold for a host with a rule of \
             its own; change it by hand",
            wanted.rule.route.host
        )),
    }
}

/// What the rule of a host comes to beside what is asked for: it has one list of methods for all of its paths, and what else
/// it says holds for all of them.
fn beyond(rule: &HostRule, asked: &HostRule) -> Vec<String> {
    let HostRule { route, auth, client, inspect, on_secret, addresses } = rule;
    // What has no name here only narrows.
    let Route {
        source: _,
        host: _,
        ports,
        methods: _,
        path_allowlist,
        deny_paths: _,
        query: _,
        content: _,
        websocket,
        push,
        encoded_slash,
        until: _,
        reason: _,
    } = route;
    let asked = &asked.route;
    let of = |paths: &[&PathPattern]| paths.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" ");
    let listed = |methods: &[&Method]| methods.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
    let covers = |some: &Option<Vec<PathPattern>>, path: &PathPattern| {
        some.as_ref().is_none_or(|list| list.iter().any(|own| own.covers(path)))
    };
    let mut beyond = Vec::new();

    let asked_paths = asked.path_allowlist.iter().flatten();
    let new_paths: Vec<_> = asked_paths.filter(|path| !covers(path_allowlist, path)).collect();
    let others: Vec<_> = route.methods().iter().filter(|method| !asked.allows_method(method)).collect();
    if !new_paths.is_empty() && !others.is_empty() {
        beyond.push(format!("{} on {}", listed(&others), of(&new_paths)));
    }
    let new_methods: Vec<_> = asked.methods().iter().filter(|it| !route.allows_method(it)).collect();
    if !new_methods.is_empty() {
        let old = path_allowlist
            .as_ref()
            .map(|list| list.iter().filter(|path| !covers(&asked.path_allowlist, path)).collect::<Vec<_>>());
        match old {
            None => beyond.push(format!("{} on every path of {}", listed(&new_methods), route.host)),
            Some(old) if old.is_empty() => {}
            Some(old) => beyond.push(format!("{} on {}", listed(&new_methods), of(&old))),
        }
    }
    if let Some(auth) = auth {
        beyond.push(format!("{} is sent with each request", auth.token_ref));
    }
    let widens = [
        ("ports", *ports != [443]),
        ("websocket", *websocket),
        ("git.push", push.is_some()),
        ("encoded_slash", *encoded_slash),
        ("pass_headers", !client.pass_headers.is_empty()),
        ("pass_query", !client.pass_query.is_empty()),
        ("inspect: false", !inspect),
        ("on_secret", on_secret.is_some()),
        ("addresses", !addresses.is_empty()),
    ];
    let widens: Vec<&str> = widens.iter().filter(|(_, widens)| *widens).map(|(key, _)| *key).collect();
    if !widens.is_empty() {
        beyond.push(format!("what the rule says elsewhere holds for it: {}", widens.join(", ")));
    }
    beyond
}

fn entry(wanted: &RouteWanted) -> Value {
    let mut entry = wanted.entry.clone();
    if let (Some(until), Some(entry)) = (wanted.until, entry.as_object_mut()) {
        entry.insert("until".to_owned(), json!(until));
    }
    entry
}

/// What the rule of the host lacks.
fn widened(rule: &HostRule, value: &Value, wanted: &RouteWanted) -> Result<Vec<Edit>, String> {
    let (route, asked) = (&rule.route, &wanted.rule.route);
    let (host, source) = (&route.host, &route.source);
    if wanted.rule.auth.is_some() && wanted.rule.auth != rule.auth {
        let has = rule.auth.as_ref().map_or("no credential", |auth| &auth.token_ref);
        return Err(format!(
            "{host} has a rule with {has}, at {source}: what it sends there changes only by hand"
        ));
    }
    if wanted.until.is_some() {
        return Err(format!(
            "{host} has a rule already, at {source}, and a last day would end all of it: approve without --until, or \
             change it by hand"
        ));
    }
    let at = pointer_of(source);
    if value.pointer(&at).is_none_or(Value::is_string) {
        return Err(format!("{host} stands in the allowlist without rules, at {source}: change it by hand"));
    }
    let mut edits = Vec::new();
    if let Some(list) = &route.path_allowlist {
        let missing =
            asked.path_allowlist.iter().flatten().filter(|path| !list.iter().any(|own| own.covers(path)));
        edits.extend(missing.map(|path| Edit::add(format!("{at}/path_allowlist/-"), path.as_str())));
    }
    let missing: Vec<&str> =
        asked.methods().iter().filter(|method| !route.allows_method(method)).map(Method::as_str).collect();
    if route.methods.is_some() {
        edits.extend(missing.iter().map(|method| Edit::add(format!("{at}/methods/-"), *method)));
    } else if !missing.is_empty() {
        let usual = Method::USUAL.iter().map(Method::as_str);
        let all: Vec<&str> = usual.chain(missing.iter().copied()).collect();
        edits.push(Edit::add(format!("{at}/methods"), json!(all)));
    }
    Ok(edits)
}

/// The first request that was asked for and would not pass.
fn still_refused(wanted: &RouteWanted, after: &Candidate, today: Date) -> Option<String> {
    let route = &wanted.rule.route;
    // What a star stands for is any segment.
    let host = route.host.as_str().replacen('*', "any", 1);
    let authority = Authority::parse(&host, Some(Scheme::Https.default_port())).ok()?;
    let paths = route.path_allowlist.iter().flatten().map(|path| path.as_str().replace('*', "any"));
    let requests =
        paths.flat_map(|path| route.methods().iter().map(move |method| (method.clone(), path.clone())));
    let refused = |(method, path): &(Method, String)| {
        let asked = Asked::new(Scheme::Https, authority.clone(), Some(method.clone()), Some(path), false);
        !after.allows(&asked, today)
    };
    requests.into_iter().find(refused).map(|(method, path)| format!("{method} https://{host}{path}"))
}

/// What a rule would have to say for one GET that failed: its path and methods. An error says why no rule is in its way, or
/// none could allow it.
pub fn route_for(
    scheme: Scheme,
    authority: &Authority,
    path: &str,
    today: Date,
    before: &Candidate,
) -> Result<(PathPattern, Vec<Method>), String> {
    let asked = Asked::new(scheme, authority.clone(), Some(Method::GET), Some(path), false);
    let host = &authority.host;
    let own = before.policy.rule(host);
    let mut rules: Vec<HostRule> = own.cloned().into_iter().collect();
    let pattern = asked.pattern(false, usize::MAX);
    match changes(&asked, &mut rules, today, usize::MAX) {
        Some(changes) if changes.is_empty() || before.allows(&asked, today) => Err(format!(
            "no rule refuses GET {host}{path}: pipelock found something in the request itself, or the host did not answer; \
             `bottle logs --denied` says which pattern and where, and `pipelock.except` lets one pass if that is meant"
        )),
        _ if pattern.is_none() => Err(format!(
            "{host}{path} can't be allowed alone: in a path_allowlist a `*` is any name, and `%2F` and `//` have no place; the \
             agent has to ask for the paths that it needs with egress-proxy-block"
        )),
        Some(changes)
            if changes
                .iter()
                .all(|it| matches!(it, Change::Route(_) | Change::Path(_) | Change::Method { .. })) =>
        {
            match pattern {
                Some(pattern) if pattern.as_str() != "/" => Ok((pattern, vec![Method::GET, Method::HEAD])),
                _ => Err(format!(
                    "GET {host}/ can't be allowed alone: `/` in a path_allowlist is every path of the host; the agent has to \
                     ask for the paths that it needs with egress-proxy-block"
                )),
            }
        }
        _ => Err(format!(
            "what stands in the way of GET {host}{path} is for a person to change by hand: a port, a denied path or a \
             last day"
        )),
    }
}
