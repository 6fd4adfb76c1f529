//! The entries that would allow what was refused: the narrowest ones, host by host.
//!
//! An entry is made for a host, a method and the very path that was asked for, and never for what a person has to
//! decide: a denied path, a rule that is over, a tunnel whose requests nobody saw, every path of a host.

use super::candidate::{self, Candidate, Group, Judge};
use super::{Asked, Change, Request, Usage, changes, no_rule_refused, path_shape};
use crate::policy::{Host, HostRule, INTERNAL_HOST, Method, PathPattern, Route};
use crate::yaml::Edit;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// So many paths of one shape are offered as one pattern.
const ALIKE: usize = 3;

/// More changes for one host nobody can review.
const MOST: usize = 500;

/// What would be added for one host.
#[derive(Clone, Debug, Serialize)]
pub struct Addition {
    /// The host.
    pub host: String,
    /// Where its rule stands; nothing for a new one.
    pub source: Option<String>,
    /// The paths, methods and ports that are added.
    pub paths: Vec<String>,
    /// See `paths`.
    pub methods: Vec<String>,
    /// See `paths`.
    pub ports: Vec<u16>,
    /// How many refusals it would have prevented.
    pub refusals: u64,
    /// Those requests with their number, the most frequent first.
    pub requests: Vec<(Request, u64)>,
}

/// One pattern in the place of several paths that an addition lists.
#[derive(Clone, Debug, Serialize)]
pub struct PatternOffer {
    /// The host.
    pub host: String,
    /// The pattern.
    pub pattern: String,
    /// What it would stand for.
    pub paths: Vec<String>,
}

/// Refusals for which no entry is suggested.
#[derive(Clone, Debug, Serialize)]
pub struct NotSuggested {
    /// The stable code of the refusals.
    pub reason: String,
    /// Why there is no entry, and what can be done.
    pub why: String,
    /// How many there were.
    pub refusals: u64,
    /// One of the requests, where the record says what was asked for.
    pub example: Option<Request>,
}

/// What was learnt.
#[derive(Debug, Default)]
pub struct Learned {
    /// The manifest with the entries; as it was, where there are none.
    pub text: String,
    /// What is added, the most frequently refused first.
    pub additions: Vec<Addition>,
    /// Patterns that could stand for several of the paths, or that do, where they were asked for.
    pub patterns: Vec<PatternOffer>,
    /// Refusals that the manifest would not give any more.
    pub allowed_now: u64,
    /// What no entry is suggested for, the most frequent first.
    pub not_suggested: Vec<NotSuggested>,
}

/// One refused request, as a rule sees it.
struct Refused<'u> {
    reason: &'u str,
    request: &'u Request,
    asked: Asked,
    count: u64,
}

/// What is collected for one host.
struct ForHost<'u> {
    /// Its rule, changed so far; none, or one.
    rules: Vec<HostRule>,
    added: Vec<Change>,
    served: Vec<Refused<'u>>,
}

#[derive(Default)]
struct Left(BTreeMap<(String, String), (u64, Option<Request>)>);

impl Left {
    fn add(&mut self, reason: &str, why: impl Into<String>, count: u64, example: Option<&Request>) {
        let (known, first) = self.0.entry((reason.to_owned(), why.into())).or_default();
        *known += count;
        *first = first.take().or_else(|| example.cloned());
    }
}

/// What entries a person asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// One pattern stands for many paths of one shape.
    pub patterns: bool,
    /// Entries for these hosts only; for every host, where none is named.
    pub hosts: BTreeSet<Host>,
    /// The day to decide on.
    pub today: Date,
}

/// The entries that would allow what was refused. `value` is what `text` says.
pub fn learn(
    text: &str,
    value: &Value,
    usage: &Usage,
    wanted: &Wanted,
    judge: Judge<'_>,
) -> Result<Learned, String> {
    let today = wanted.today;
    let before = judge(text)?;
    let mut learned = Learned::default();
    let mut left = Left::default();
    let by_host = sort_out(usage, &before, today, &mut learned, &mut left);
    let mut hosts = Vec::new();
    for (host, refused) in by_host {
        if !wanted.hosts.is_empty() && !wanted.hosts.contains(&host) {
            for it in refused {
                left.add(it.reason, "--host does not name it", it.count, Some(it.request));
            }
            continue;
        }
        let mut one = for_host(&host, refused, &before, usage, today, &mut left);
        if !one.added.is_empty() {
            learned.patterns.extend(in_patterns(&host, &mut one, wanted.patterns));
            hosts.push((host, one));
        }
    }
    let groups: Vec<Group> = hosts
        .iter()
        .map(|(host, one)| Group { name: host.to_string(), edits: edits(host, one, value, usage.is_direct) })
        .collect();
    let served: BTreeMap<String, &ForHost<'_>> =
        hosts.iter().map(|(host, one)| (host.to_string(), one)).collect();
    let check = |candidate: &Candidate, groups: &[&Group]| {
        let all = groups.iter().filter_map(|group| served.get(&group.name)).flat_map(|one| &one.served);
        match all.into_iter().find(|refused| !candidate.allows(&refused.asked, today)) {
            None => Ok(()),
            Some(refused) => Err(format!("{} would still be refused", refused.request.url())),
        }
    };
    let (edited, left_out) = candidate::apply(text, &groups, judge, &check, 0);
    let left_out: BTreeMap<&str, String> =
        left_out.into_iter().map(|(group, why)| (group.name.as_str(), why)).collect();
    learned.patterns.retain(|offer| !left_out.contains_key(offer.host.as_str()));
    for (host, one) in &hosts {
        match left_out.get(host.as_str()) {
            Some(why) => one.served.iter().for_each(|refused| {
                left.add(
                    refused.reason,
                    format!("the entry for {host} was tried and is refused: {why}"),
                    refused.count,
                    Some(refused.request),
                );
            }),
            None => learned.additions.push(addition(host, one, &before)),
        }
    }
    learned.additions.sort_by_key(|addition| std::cmp::Reverse(addition.refusals));
    learned.not_suggested = left
        .0
        .into_iter()
        .map(|((reason, why), (refusals, example))| NotSuggested { reason, why, refusals, example })
        .collect();
    learned.not_suggested.sort_by_key(|not| std::cmp::Reverse(not.refusals));
    learned.text = edited;
    Ok(learned)
}

/// Those that a rule could allow, by host; the others are counted.
fn sort_out<'u>(
    usage: &'u Usage,
    before: &Candidate,
    today: Date,
    learned: &mut Learned,
    left: &mut Left,
) -> BTreeMap<Host, Vec<Refused<'u>>> {
    let mut by_host: BTreeMap<Host, Vec<Refused<'u>>> = BTreeMap::new();
    for ((reason, request), count) in &usage.refused {
        let mut leave = |why: &str| left.add(reason, why, *count, Some(request));
        if request.host == INTERNAL_HOST {
            leave("it is the proxy's own name");
        } else if !BY_RULE.contains(&reason.as_str()) {
            leave(why_nothing_allows(reason));
        } else if !request.is_whole() {
            leave("a part of the request was masked or cut in the record");
        } else if let Some(asked) = Asked::from_request(request) {
            if before.allows(&asked, today) {
                learned.allowed_now += count;
                continue;
            }
            let refused = Refused { reason, request, asked, count: *count };
            by_host.entry(refused.asked.authority.host.clone()).or_default().push(refused);
        } else {
            leave("no manifest can name such a host or method");
        }
    }
    for (reason, count) in &usage.refused_without_request {
        left.add(reason, "the records do not say what was asked for", *count, None);
    }
    if usage.suppressed > 0 {
        left.add("suppressed", "a flood of refusals was counted instead of recorded", usage.suppressed, None);
    }
    by_host
}

fn for_host<'u>(
    host: &Host,
    mut refused: Vec<Refused<'u>>,
    before: &Candidate,
    usage: &Usage,
    today: Date,
    left: &mut Left,
) -> ForHost<'u> {
    // What lies above others comes first, and its entry serves them.
    refused.sort_by_key(|one| one.request.path.as_ref().map_or(0, String::len));
    let mut one = ForHost {
        rules: before.policy.rule(host).cloned().into_iter().collect(),
        added: Vec::new(),
        served: Vec::new(),
    };
    for refused in refused {
        let mut leave = |why: String| left.add(refused.reason, why, refused.count, Some(refused.request));
        if usage.is_direct {
            let port = refused.asked.authority.port;
            if port != 443 {
                leave("an entry of a bottle without routes opens port 443 and no other".to_owned());
                continue;
            }
            if one.added.is_empty() {
                one.added.push(Change::Route(Box::new(Route::open(host.clone(), ""))));
            }
            one.served.push(refused);
            continue;
        }
        if one.added.len() >= MOST {
            leave(format!(
                "{host} was asked for more than {MOST} different paths; name what lies above them"
            ));
            continue;
        }
        let mut rules = one.rules.clone();
        let Some(changes) = changes(&refused.asked, &mut rules, today, usize::MAX) else {
            leave("no entry allows it".to_owned());
            continue;
        };
        if let Some(why) = changes.iter().find_map(|change| for_a_person(change, &refused.asked)) {
            leave(why);
            continue;
        }
        one.rules = rules;
        one.added.extend(changes);
        one.served.push(refused);
    }
    one
}

/// Why a change is not suggested though it would do.
fn for_a_person(change: &Change, asked: &Asked) -> Option<String> {
    let every_path = |pattern: &PathPattern| pattern.as_str() == "/";
    match change {
        Change::Undeny(entries) => {
            let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
            Some(format!("`deny_paths` refuses it on purpose: {}", entries.join(", ")))
        }
        Change::Later => {
            Some("the rule's last day, `until`, is over; set a later one if it is still needed".to_owned())
        }
        Change::Route(_) if asked.path.is_none() => Some(format!(
            "the tunnel was refused before its requests were seen; a route for {} with `ports: [{}]` shows them",
            asked.authority.host, asked.authority.port
        )),
        Change::Route(route) if route.path_allowlist.iter().flatten().any(every_path) => {
            Some(ROOT.to_owned())
        }
        Change::Path(pattern) if every_path(pattern) => Some(ROOT.to_owned()),
        _ => None,
    }
}

const ROOT: &str =
    "only an entry that allows every path of the host allows `/`; write it by hand if that is meant";

/// Patterns for paths of one shape; with `take` they take their place.
fn in_patterns(host: &Host, one: &mut ForHost<'_>, take: bool) -> Vec<PatternOffer> {
    let mut by_shape: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pattern in one.added.iter().flat_map(paths_of) {
        if let Some(shape) = path_shape::shape(pattern) {
            by_shape.entry(shape).or_default().insert(pattern.as_str().to_owned());
        }
    }
    by_shape.retain(|_, paths| paths.len() >= ALIKE);
    let offers: Vec<PatternOffer> = by_shape
        .into_iter()
        .map(|(pattern, paths)| PatternOffer {
            host: host.to_string(),
            pattern,
            paths: paths.into_iter().collect(),
        })
        .collect();
    if take {
        for offer in &offers {
            let replaced = |path: &PathPattern| offer.paths.iter().any(|own| own == path.as_str());
            one.added.retain(|change| !matches!(change, Change::Path(path) if replaced(path)));
            for change in &mut one.added {
                if let Change::Route(route) = change {
                    route.path_allowlist.iter_mut().for_each(|list| list.retain(|path| !replaced(path)));
                }
            }
            let encoded_slash = one.rules.first().is_some_and(|rule| rule.route.encoded_slash);
            one.added.extend(PathPattern::parse(&offer.pattern, encoded_slash).ok().map(Change::Path));
        }
    }
    offers
}

fn paths_of(change: &Change) -> &[PathPattern] {
    match change {
        Change::Path(pattern) => std::slice::from_ref(pattern),
        Change::Route(route) => route.path_allowlist.as_deref().unwrap_or_default(),
        _ => &[],
    }
}

/// What all changes of a host add.
struct Parts {
    paths: Vec<String>,
    methods: Vec<String>,
    ports: Vec<u16>,
    is_new: bool,
}

fn parts(one: &ForHost<'_>) -> Parts {
    let mut parts = Parts { paths: Vec::new(), methods: Vec::new(), ports: Vec::new(), is_new: false };
    for change in &one.added {
        parts.paths.extend(paths_of(change).iter().map(ToString::to_string));
        match change {
            Change::Route(route) => {
                parts.is_new = true;
                parts
                    .ports
                    .extend(route.ports.iter().copied().filter(|port| *port != 443 || route.ports.len() > 1));
                parts.methods.extend(route.methods.iter().flatten().map(ToString::to_string));
            }
            Change::Method { method, listed: _ } => parts.methods.push(method.to_string()),
            Change::Port(port) => parts.ports.push(*port),
            Change::Path(_) | Change::Undeny(_) | Change::Later => {}
        }
    }
    parts
}

fn addition(host: &Host, one: &ForHost<'_>, before: &Candidate) -> Addition {
    let Parts { paths, methods, ports, .. } = parts(one);
    let mut requests: Vec<(Request, u64)> =
        one.served.iter().map(|refused| (refused.request.clone(), refused.count)).collect();
    requests.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Addition {
        host: host.to_string(),
        source: before.policy.route(host).map(|route| route.source.clone()),
        paths,
        methods,
        ports,
        refusals: one.served.iter().map(|refused| refused.count).sum(),
        requests,
    }
}

fn edits(host: &Host, one: &ForHost<'_>, value: &Value, is_direct: bool) -> Vec<Edit> {
    let Parts { paths, methods, mut ports, is_new } = parts(one);
    let source = one.rules.first().map(|rule| rule.route.source.as_str()).filter(|source| !source.is_empty());
    if is_direct {
        return vec![Edit::add("/egress/allowlist/-", host.as_str())];
    }
    let Some(at) = source.filter(|_| !is_new).map(candidate::pointer_of) else {
        // A request on another port came after one on the default.
        let first = one.added.iter().find_map(|change| match change {
            Change::Route(route) => route.ports.first(),
            _ => None,
        });
        if first == Some(&443) && !ports.is_empty() {
            ports.insert(0, 443);
        }
        let mut route = Map::from_iter([("host".to_owned(), json!(host.as_str()))]);
        if !ports.is_empty() {
            route.insert("ports".to_owned(), json!(ports));
        }
        route.insert("path_allowlist".to_owned(), json!(paths));
        if !methods.is_empty() {
            route.insert("methods".to_owned(), json!(methods));
        }
        return vec![Edit::add("/egress_proxy/routes/-", Value::Object(route))];
    };
    let entry = value.pointer(&at).unwrap_or(&Value::Null);
    let mut edits = Vec::new();
    if let Value::String(host) = entry {
        // A bare host of the allowlist has nothing but ports to widen.
        let ports: Vec<u16> = [443].into_iter().chain(ports).collect();
        return vec![Edit::replace(at, json!({"host": host, "ports": ports}))];
    }
    if !ports.is_empty() && entry.get("ports").is_none() {
        ports.insert(0, 443);
        edits.push(Edit::add(format!("{at}/ports"), json!(ports)));
    } else {
        edits.extend(ports.iter().map(|port| Edit::add(format!("{at}/ports/-"), *port)));
    }
    if !methods.is_empty() && entry.get("methods").is_none() {
        let usual = Method::USUAL.iter().map(Method::to_string);
        edits.push(Edit::add(format!("{at}/methods"), json!(usual.chain(methods).collect::<Vec<_>>())));
    } else {
        edits.extend(methods.iter().map(|method| Edit::add(format!("{at}/methods/-"), method.as_str())));
    }
    edits.extend(paths.iter().map(|path| Edit::add(format!("{at}/path_allowlist/-"), path.as_str())));
    edits
}

/// Refusals by the rules of a manifest.
const BY_RULE: [&str; 6] = [
    "host_not_allowed",
    "path_not_allowed",
    "path_denied",
    "method_not_allowed",
    "port_not_allowed",
    "rule_expired",
];

/// Why no entry allows what was refused for a reason that is not a rule's.
fn why_nothing_allows(reason: &str) -> &'static str {
    match reason {
        "git_push" => "git push is refused unless the route says what it may change, in `git.push`",
        "blocked_by_pipelock" => {
            "pipelock found something in the request, and looks into every one that it can read"
        }
        "credential_in_request" => "the request carried a secret",
        "address_not_allowed" => {
            "the host is at a private address; `addresses` on its entry would allow that range, if that is meant"
        }
        _ => no_rule_refused(reason).unwrap_or("the request itself is refused, whatever the rules are"),
    }
}
