//! The rule that would have allowed a request, had the request been a little different: "did you mean".

use super::{
    deny_path::DenyPath,
    host::Host,
    host_pattern::HostPattern,
    intent::{Intent, Scheme},
    method::Method,
    near_names::slips,
    pattern::{PathPattern, segment_matches},
    route::{PLAIN_HTTP, Route},
    rule::HostRule,
    rules::Policy,
};
use jiff::civil::Date;
use std::fmt;

/// A rule that nearly allows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest<'p> {
    /// What the rule says of requests to its host.
    pub route: &'p Route,
    /// What would have to differ, in the order in which a decision asks.
    pub differs: Difference<'p>,
}

/// What keeps a rule from allowing a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference<'p> {
    /// Another host.
    Host(&'p HostPattern),
    /// One of these ports.
    Port(&'p [u16]),
    /// A day up to this one, if nothing else is in the way.
    Date(Date),
    /// One of these methods.
    Method(&'p [Method]),
    /// This path or one below it.
    Path(&'p PathPattern),
    /// A path that is not below this one.
    Denied(&'p DenyPath),
}

impl<R: AsRef<HostRule>> Policy<R> {
    /// The rule that comes nearest to allowing the request, with the first thing that is in its way.
    ///
    /// `None` for a push, which no rule can allow, when no rule is near, and when nothing but the day can differ
    /// and the rule has no last day. The day itself is not asked for: where all else fits, it is the difference.
    #[must_use]
    pub fn nearest(&self, intent: &Intent) -> Option<Nearest<'_>> {
        if intent.git.is_push() {
            return None;
        }
        match self.route(&intent.authority.host) {
            Some(route) => Some(Nearest { route, differs: difference(route, intent)? }),
            None => self.nearest_host(&intent.authority.host),
        }
    }

    fn nearest_host(&self, host: &Host) -> Option<Nearest<'_>> {
        let routes = self.near.of(host).map(|index| (index, &self.rules()[index].as_ref().route));
        let near = routes.filter_map(|(index, route)| Some((distance(host, &route.host)?, index, route)));
        let (_, _, route) = near.min_by_key(|(distance, index, _)| (*distance, *index))?;
        Some(Nearest { route, differs: Difference::Host(&route.host) })
    }
}

fn difference<'p>(route: &'p Route, intent: &Intent) -> Option<Difference<'p>> {
    let port = intent.authority.port;
    let clear = intent.scheme == Scheme::Http;
    if !route.ports.contains(&port) || clear != (port == PLAIN_HTTP) {
        return some_of(&route.ports).map(Difference::Port);
    }
    if !route.allows_method(&intent.method) {
        return some_of(route.methods()).map(Difference::Method);
    }
    match &route.path_allowlist {
        Some(entries) if !entries.iter().any(|entry| entry.matches(&intent.target.path)) => {
            closest(entries, intent.target.path.as_str()).map(Difference::Path)
        }
        _ => match route.denied(&intent.target.path) {
            Some(entry) => Some(Difference::Denied(entry)),
            None if route.query.iter().any(|rule| rule.check(intent.target.query.as_deref()).is_err()) => {
                None
            }
            None => route.until.map(Difference::Date),
        },
    }
}

/// An empty list allows nothing, so nothing in it is near.
fn some_of<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

/// The entry that is most like the path; the first of equals.
fn closest<'p>(entries: &'p [PathPattern], path: &str) -> Option<&'p PathPattern> {
    entries.iter().rev().max_by_key(|entry| closeness(entry, path))
}

/// Leading segments in common count most, then the likeness of the whole in thousandths.
fn closeness(pattern: &PathPattern, path: &str) -> (usize, u32) {
    let segments = path.split('/').skip(1);
    let common =
        pattern.segments().zip(segments).take_while(|(own, asked)| segment_matches(own, asked)).count();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the likeness is between 0 and 1"
    )]
    let likeness =
        (strsim::normalized_levenshtein(pattern.as_str(), &path[..path.len().min(256)]) * 1000.0) as u32;
    (common, likeness)
}

/// How far apart two hosts are, when they are near enough that a slip explains the difference: a few letters, or
/// `www.` and its like before the same name.
fn distance(asked: &Host, known: &HostPattern) -> Option<usize> {
    let (asked, known) = (asked.as_str(), known.as_str());
    let below = |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|head| head.ends_with('.'));
    let related = |a: &str, b: &str| below(a, b) && b.contains('.');
    let slips = slips(known.len());
    if related(asked, known) || related(known, asked) {
        return Some(asked.len().abs_diff(known.len()));
    }
    // Comparing letters is slow, and the agent chooses the name.
    if asked.len().abs_diff(known.len()) > slips {
        return None;
    }
    Some(strsim::damerau_levenshtein(asked, known)).filter(|letters| *letters <= slips)
}

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nearest { route, differs } = self;
        match differs {
            Difference::Host(host) => write!(f, "the rule for {host}, a similar name"),
            Difference::Port(ports) => write!(f, "the rule for {} on port {}", route.host, listed(ports)),
            Difference::Date(until) => write!(f, "the rule for {}, which held until {until}", route.host),
            Difference::Method(methods) => write!(f, "the rule for {} with {}", route.host, listed(methods)),
            Difference::Path(pattern) => write!(f, "the rule for {} below {pattern}", route.host),
            Difference::Denied(entry) => write!(f, "the rule for {} outside of {entry}", route.host),
        }
    }
}

fn listed(items: &[impl fmt::Display]) -> String {
    match items {
        [] => "none".to_owned(),
        _ => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
