//! The edits that give a host one rule that somebody asks for, or its rule what is missing. Always made against the
//! manifest of now, whatever it was when somebody asked.

use super::candidate::{Candidate, Judge, pointer_of};
use super::{Asked, Change, changes};
use crate::policy::{Authority, HostRule, Method, Scheme};
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

/// The text with the rule. `value` is what `text` says. What can't be said by adding something is an error in a sentence.
pub fn with_route(
    text: &str,
    value: &Value,
    wanted: &RouteWanted,
    today: Date,
    judge: Judge<'_>,
) -> Result<String, String> {
    let before = judge(text)?;
    let host = wanted.rule.route.host.as_str();
    let known = before.policy.rules().iter().find(|rule| rule.route.host.as_str() == host);
    let edits = match known {
        None => vec![Edit::add("/egress_proxy/routes/-", entry(wanted))],
        Some(rule) => widened(rule, value, wanted)?,
    };
    if edits.is_empty() {
        return Err(format!("{host} has all of this already: reject it with that reason"));
    }
    let edited = yaml::edit(text, &edits, yaml::Limits::default()).map_err(|error| error.to_string())?;
    let after = judge(&edited)?;
    match still_refused(wanted, &after, today) {
        None => Ok(edited),
        Some(request) => Err(format!(
            "with it {request} would still be refused, by something else that the rule of {host} says: change it by hand"
        )),
    }
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
        let missing = asked.path_allowlist.iter().flatten().filter(|path| !list.contains(path));
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

/// What a rule would have to say for one GET that failed; an error says why no rule is in its way, or none could allow it.
pub fn route_for(
    scheme: Scheme,
    authority: &Authority,
    path: &str,
    today: Date,
    before: &Candidate,
) -> Result<Vec<Method>, String> {
    let asked = Asked::new(scheme, authority.clone(), Some(Method::GET), Some(path), false);
    let host = &authority.host;
    let own = before.policy.rules().iter().find(|rule| rule.route.host.exact() == Some(host));
    let mut rules: Vec<HostRule> = own.cloned().into_iter().collect();
    match changes(&asked, &mut rules, today, usize::MAX) {
        Some(changes) if changes.is_empty() || before.allows(&asked, today) => Err(format!(
            "no rule refuses GET {host}{path}: pipelock found something in the request itself, or the host did not answer; \
             `bottle logs --denied` says which pattern and where, and `pipelock.except` lets one pass if that is meant"
        )),
        Some(changes)
            if changes
                .iter()
                .all(|it| matches!(it, Change::Route(_) | Change::Path(_) | Change::Method { .. })) =>
        {
            Ok(vec![Method::GET, Method::HEAD])
        }
        _ => Err(format!(
            "what stands in the way of GET {host}{path} is for a person to change by hand: a port, a denied path or a \
             last day"
        )),
    }
}
