//! What was never used goes, and what was used narrowly becomes narrow.
//!
//! Only what the audit trail surely tells is acted on: where requests were counted instead of recorded, or a path was
//! cut or masked, what they may have used stays. The result allows every request of the trail that the manifest allowed
//! before, and lets the agent do nothing new; both are tried.

use super::candidate::{self, Candidate, Group, Judge, pointer_of};
use super::{Asked, Unknown, Usage, path_shape};
use crate::policy::{CanonicalPath, DenyPath, Host, HostRule, PathPattern, Route};
use crate::yaml::Edit;
use jiff::{SignedDuration, civil::Date};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A rule for every path is split into at most so many by their first segment.
const BRANCHES: usize = 8;

/// What is taken away from one host's rule.
#[derive(Clone, Debug, Serialize)]
pub struct Reduction {
    /// The host.
    pub host: String,
    /// Where its rule stands.
    pub source: String,
    /// In words, a line each.
    pub what: Vec<String>,
    /// The whole rule goes.
    pub removed: bool,
}

/// A rule that stays as it is, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// The host.
    pub host: String,
    /// Where its rule stands.
    pub source: String,
    /// Why.
    pub why: String,
}

/// What tightening comes to.
#[derive(Debug)]
pub struct Tightened {
    /// The manifest without what was not used; as it was, where all was.
    pub text: String,
    /// What is taken away, in the order of the manifest.
    pub reductions: Vec<Reduction>,
    /// What stays though it was not used, or though its use is not fully known.
    pub kept: Vec<Kept>,
    /// Different requests that were tried on the result.
    pub tried: usize,
}

/// Why nothing can be tightened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TightenError {
    /// The trail holds only refusals.
    #[error(
        "the log has no request of {0} that was sent on, so it can't tell what is used; name the files `sent*.jsonl`, too"
    )]
    NothingSent(String),
    /// A short trail says nothing of what is needed once a week.
    #[error(
        "the log covers {}, which is less than {}: what was not used in it may still be needed; \
         use a longer log, or a smaller `--at-least`", shown(*.covers), shown(*.at_least)
    )]
    TooShort {
        /// The time that it covers.
        covers: SignedDuration,
        /// The time that it has to cover.
        at_least: SignedDuration,
    },
    /// A count is missing.
    #[error("what was used is not fully known, so nothing can be taken away: {0}")]
    NotKnown(&'static str),
    /// The manifest.
    #[error("{0}")]
    Manifest(String),
}

/// `7 days 3 hours`, `25 minutes`.
#[must_use]
pub fn shown(time: SignedDuration) -> String {
    let minutes = time.as_mins();
    let unit = |count: i64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => unit(time.as_secs(), "second"),
        (0, 0, minutes) => unit(minutes, "minute"),
        (0, hours, _) => unit(hours, "hour"),
        (days, 0, _) => unit(days, "day"),
        (days, hours, _) => format!("{} {}", unit(days, "day"), unit(hours, "hour")),
    }
}

/// What is asked of [`tighten`] besides the log.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// The time that the log has to cover.
    pub at_least: SignedDuration,
    /// Hosts whose rules stay as they are.
    pub keep: BTreeSet<String>,
    /// The day to decide on.
    pub today: Date,
}

/// The manifest without what was not used. `value` is what `text` says.
pub fn tighten(
    text: &str,
    value: &Value,
    usage: &Usage,
    conditions: &Conditions,
    judge: Judge<'_>,
) -> Result<Tightened, TightenError> {
    let before = judge(text).map_err(TightenError::Manifest)?;
    let Some(span) = usage.sent_span else {
        return Err(TightenError::NothingSent(usage.bottle().to_owned()));
    };
    if span.duration() < conditions.at_least {
        return Err(TightenError::TooShort { covers: span.duration(), at_least: conditions.at_least });
    }
    if let Some(why) = usage.unknown_hosts {
        return Err(TightenError::NotKnown(why));
    }
    let used: Vec<Asked> = usage.sent.keys().filter_map(Asked::from_request).collect();
    let allowed: Vec<&Asked> = used.iter().filter(|asked| before.allows(asked, conditions.today)).collect();
    let mut by_host: BTreeMap<&str, Vec<&Asked>> = BTreeMap::new();
    for asked in &used {
        // What a wildcard decided on counts for it.
        let rule = before.policy.route(&asked.authority.host).map(|route| route.host.as_str());
        by_host.entry(rule.unwrap_or(asked.authority.host.as_str())).or_default().push(asked);
    }
    let mut kept = Vec::new();
    let mut plans: Vec<(Group, Reduction)> = Vec::new();
    let is_route = |source: &str| source.starts_with("egress_proxy");
    let mut routes = before.policy.rules().iter().filter(|rule| is_route(&rule.route.source)).count();
    // From the last to the first, so that no index moves before it is used.
    for rule in before.policy.rules().iter().rev() {
        let host = rule.route.host.as_str();
        let stays = |why: &str| Kept {
            host: host.to_owned(),
            source: rule.route.source.clone(),
            why: why.to_owned(),
        };
        if conditions.keep.contains(host) {
            kept.push(stays("`--keep` names it"));
            continue;
        }
        if before.policy.rules().iter().filter(|other| other.route.source == rule.route.source).count() > 1 {
            kept.push(stays("its `credential_hosts` and its wildcard are one rule"));
            continue;
        }
        let matched = |name: &str| Host::parse(name).is_ok_and(|name| rule.route.host.matches(&name));
        if rule.route.host.is_wildcard() && usage.unknown.keys().any(|name| matched(name)) {
            kept.push(stays("its use is not fully known"));
            continue;
        }
        let unknown = usage.unknown.get(host).copied();
        let known = unknown.unwrap_or_default();
        if known.paths || known.methods || known.ports {
            kept.push(stays(
                "its use is not fully known: requests were counted, or a path was cut or masked",
            ));
        }
        let reduced = match by_host.get(host) {
            None if unknown.is_none() => Some(removed(rule)),
            None => None,
            Some(_) if usage.is_direct => None,
            Some(used) => narrowed(rule, value, used, known),
        };
        if let Some((edits, what, removed)) = reduced {
            if removed && is_route(&rule.route.source) {
                if routes == 1 {
                    kept.push(stays(
                        "never used, and the last route: a bottle without one does not refuse git push",
                    ));
                    continue;
                }
                routes -= 1;
            }
            let (host, source) = (host.to_owned(), rule.route.source.clone());
            plans.push((Group { name: source.clone(), edits }, Reduction { host, source, what, removed }));
        }
    }
    let (groups, mut reductions): (Vec<Group>, Vec<Reduction>) = plans.into_iter().unzip();
    let check = |candidate: &Candidate, _: &[&Group]| {
        if let Some(refused) = allowed.iter().find(|asked| !candidate.allows(asked, conditions.today)) {
            let path = refused.path.as_deref().unwrap_or_default();
            return Err(format!("{}{path} was used and would be refused", refused.authority));
        }
        candidate
            .widens(&before)
            .map_or(Ok(()), |more| Err(format!("without it the agent could do more: {more}")))
    };
    let (text, left_out) = candidate::apply(text, &groups, judge, &check, allowed.len());
    for (group, why) in left_out {
        if let Some(at) = reductions.iter().position(|reduction| reduction.source == group.name) {
            let Reduction { host, source, .. } = reductions.remove(at);
            kept.push(Kept { host, source, why });
        }
    }
    reductions.reverse();
    kept.reverse();
    Ok(Tightened { text, reductions, kept, tried: allowed.len() })
}

type Reduced = (Vec<Edit>, Vec<String>, bool);

fn removed(rule: &HostRule) -> Reduced {
    let at = pointer_of(&rule.route.source);
    (vec![Edit::remove(at)], vec!["never used".to_owned()], true)
}

fn narrowed(rule: &HostRule, value: &Value, used: &[&Asked], unknown: Unknown) -> Option<Reduced> {
    let route = &rule.route;
    let at = pointer_of(&route.source);
    // A bare host of the allowlist is one whose paths nobody wants to name.
    let entry =
        value.pointer(&at).filter(|entry| entry.is_object() && route.source.starts_with("egress_proxy"))?;
    let (mut edits, mut what) = (Vec::new(), Vec::new());
    if !unknown.paths {
        paths(route, &at, used, &mut edits, &mut what);
    }
    if !unknown.methods {
        methods(route, &at, used, &mut edits, &mut what);
    }
    if !unknown.ports && entry.get("ports").is_some() {
        let used: BTreeSet<u16> = used.iter().map(|asked| asked.authority.port).collect();
        let unused = |port: &&u16| !used.contains(port);
        if route.ports.iter().any(|port| used.contains(port)) {
            let gone: Vec<String> = route.ports.iter().filter(unused).map(ToString::to_string).collect();
            for (index, _) in route.ports.iter().enumerate().rev().filter(|(_, port)| unused(port)) {
                edits.push(Edit::remove(format!("{at}/ports/{index}")));
            }
            what.extend((!gone.is_empty()).then(|| format!("ports without {}", gone.join(", "))));
        }
    }
    (!edits.is_empty()).then_some((edits, what, false))
}

fn methods(route: &Route, at: &str, used: &[&Asked], edits: &mut Vec<Edit>, what: &mut Vec<String>) {
    const ORDER: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    let used: BTreeSet<&str> =
        used.iter().filter_map(|asked| Some(asked.method.as_ref()?.as_str())).collect();
    if used.is_empty() {
        return;
    }
    match &route.methods {
        None => {
            let mut list: Vec<&str> = used.into_iter().collect();
            list.sort_by_key(|method| ORDER.iter().position(|known| known == method).unwrap_or(ORDER.len()));
            what.push(format!("only {} of the usual methods", list.join(", ")));
            edits.push(Edit::add(format!("{at}/methods"), json!(list)));
        }
        Some(listed) => {
            let unused = |method: &str| !used.contains(method);
            if listed.iter().all(|method| unused(method.as_str())) {
                return; // what was sent is no longer allowed
            }
            let gone: Vec<&str> =
                listed.iter().map(crate::policy::Method::as_str).filter(|method| unused(method)).collect();
            for (index, _) in listed.iter().enumerate().rev().filter(|(_, method)| unused(method.as_str())) {
                edits.push(Edit::remove(format!("{at}/methods/{index}")));
            }
            what.extend((!gone.is_empty()).then(|| format!("methods without {}", gone.join(", "))));
        }
    }
}

fn paths(route: &Route, at: &str, used: &[&Asked], edits: &mut Vec<Edit>, what: &mut Vec<String>) {
    let canonical: Option<Vec<CanonicalPath>> = used
        .iter()
        .filter(|asked| asked.path.is_some())
        .map(|asked| asked.canonical(route.encoded_slash))
        .collect();
    // A path without a canonical form passes only where there is no list.
    let Some(canonical) = canonical.filter(|paths| !paths.is_empty()) else { return };
    let kept: Vec<PathPattern> = match &route.path_allowlist {
        None => {
            let all: Vec<&CanonicalPath> = canonical.iter().collect();
            let Some(list) = below("/", &all, route.encoded_slash).filter(|list| !is_root(list)) else {
                return;
            };
            what.push(format!("only {} of every path", listed(&list)));
            let texts: Vec<&str> = list.iter().map(PathPattern::as_str).collect();
            edits.push(Edit::add(format!("{at}/path_allowlist"), json!(texts)));
            return;
        }
        Some(entries) => {
            let mut after = Vec::new();
            let mut planned = Vec::new();
            for (index, entry) in entries.iter().enumerate() {
                let own: Vec<&CanonicalPath> =
                    canonical.iter().filter(|path| narrowest(entries, path) == Some(index)).collect();
                let mut list = if own.is_empty() {
                    Vec::new()
                } else {
                    below(entry.as_str(), &own, route.encoded_slash).unwrap_or_else(|| vec![entry.clone()])
                };
                // Another entry says the same.
                list.retain(|path| path == entry || !after.contains(path) && !entries.contains(path));
                after.extend(list.iter().cloned());
                planned.push((index, entry, list));
            }
            if after.is_empty() {
                return; // what was sent is no longer allowed
            }
            for (index, entry, list) in planned.into_iter().rev() {
                let place = format!("{at}/path_allowlist/{index}");
                match &list[..] {
                    [] => {
                        what.push(format!("{entry} was never used"));
                        edits.push(Edit::remove(place));
                    }
                    [one] if one == entry => {}
                    [first, rest @ ..] => {
                        what.push(format!("{entry} becomes {}", listed(&list)));
                        edits.push(Edit::replace(place, first.as_str()));
                        let more = rest.iter().enumerate();
                        edits.extend(more.map(|(more, path)| {
                            Edit::add(format!("{at}/path_allowlist/{}", index + 1 + more), path.as_str())
                        }));
                    }
                }
            }
            what.reverse();
            after
        }
    };
    undeny(&route.deny_paths, &kept, at, edits, what);
}

/// A denied path that lies below nothing that is allowed any more.
fn undeny(
    denied: &[DenyPath],
    allowed: &[PathPattern],
    at: &str,
    edits: &mut Vec<Edit>,
    what: &mut Vec<String>,
) {
    let moot = |entry: &DenyPath| !allowed.iter().any(|path| entry.within(path).is_some());
    let gone: Vec<&str> = denied.iter().filter(|entry| moot(entry)).map(DenyPath::as_str).collect();
    what.extend(
        (!gone.is_empty())
            .then(|| format!("deny_paths without {}, where nothing is allowed any more", gone.join(", "))),
    );
    if !denied.is_empty() && denied.iter().all(moot) {
        edits.push(Edit::remove(format!("{at}/deny_paths")));
        return;
    }
    for (index, _) in denied.iter().enumerate().rev().filter(|(_, entry)| moot(entry)) {
        edits.push(Edit::remove(format!("{at}/deny_paths/{index}")));
    }
}

/// The longest entry that allows a path.
fn narrowest(entries: &[PathPattern], path: &CanonicalPath) -> Option<usize> {
    let matching = entries.iter().enumerate().filter(|(_, entry)| entry.matches(path));
    matching.max_by_key(|(_, entry)| segments(entry.as_str()).len()).map(|(index, _)| index)
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

/// Entries below one that still allow these paths.
fn below(entry: &str, paths: &[&CanonicalPath], encoded_slash: bool) -> Option<Vec<PathPattern>> {
    let own = segments(entry);
    let paths: Vec<Vec<&str>> = paths.iter().map(|path| segments(path.as_str())).collect();
    let pattern =
        |segments: &[String]| PathPattern::parse(&format!("/{}", segments.join("/")), encoded_slash).ok();
    let common = path_shape::common(&own, &paths);
    if !common.is_empty() {
        return Some(vec![pattern(&common)?]);
    }
    // Of a rule for every path, one entry for each first segment, if there are few.
    let mut branches: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
    for path in paths {
        branches.entry(path.first().copied().unwrap_or_default()).or_default().push(path);
    }
    if branches.len() > BRANCHES || branches.keys().any(|first| first.is_empty() || path_shape::is_id(first))
    {
        return None;
    }
    branches.values().map(|paths| pattern(&path_shape::common(&[], paths))).collect()
}

fn is_root(list: &[PathPattern]) -> bool {
    list.iter().any(|entry| entry.as_str() == "/")
}

fn listed(list: &[PathPattern]) -> String {
    list.iter().map(PathPattern::as_str).collect::<Vec<_>>().join(", ")
}
