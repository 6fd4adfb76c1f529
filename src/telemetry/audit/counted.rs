//! Requests that were counted instead of written, and the note that counting begins.

use super::{Facts, Series, Verdict, cut};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

/// The bytes of one record that kinds may take; the others are counted together.
const KINDS_BYTES: usize = 12 << 10;
/// What a kind takes at most beside its names: numbers, times, outcomes.
const NUMBERS_BYTES: usize = 900;
/// Outcomes that are told apart; they are words of ours, and there are fewer.
const OUTCOMES: usize = 12;
/// Paths of each kind that are told apart.
const PATHS: usize = 256;
/// Where further outcomes are counted.
const OTHER: &str = "other";

/// Configs that are told apart in one record: a reload takes longer than a record counts.
const CONFIGS: usize = 8;

/// Keeps the name of a config that decided something which is counted.
pub(super) fn note_config(configs: &mut Vec<String>, facts: &Facts) {
    if configs.len() < CONFIGS && !facts.config.is_empty() && !configs.contains(&facts.config) {
        configs.push(facts.config.clone());
    }
}

/// From now on something is counted instead of written. Written before the first that is counted: if no count
/// follows, the process was killed within the 10 seconds that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counting {
    /// When it was recorded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// Always `counting`.
    #[schemars(extend("const" = "counting"))]
    pub event: String,
    /// Who counts: `egress-proxy` or `pipelock`.
    pub decided_by: String,
    /// What is counted: `sent` (then a [`Counted`] follows) or `denied` (then a [`Suppressed`](super::Suppressed)).
    pub series: String,
}

impl Counting {
    pub(super) fn new(series: Series, by: &str, time: Timestamp) -> Self {
        let (event, decided_by) = ("counting".to_owned(), by.to_owned());
        Self { time, event, decided_by, series: series.as_str().to_owned() }
    }
}

/// Requests that were sent on, and counted instead of written, in 10 seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    /// When the last of them was sent on or had arrived.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// Always `counted`.
    #[schemars(extend("const" = "counted"))]
    pub event: String,
    /// Who sent them on: `egress-proxy` or `pipelock`.
    pub decided_by: String,
    /// SHA-256 of each config that decided any of them, in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<String>,
    /// How many were sent on.
    pub requests: u64,
    /// The same by host, method and rule.
    pub kinds: Vec<CountedKind>,
    /// Of what kinds there were more than are told apart, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<CountedKind>,
    /// When the first of them was sent on or had arrived.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first: Timestamp,
    /// When the last of them was sent on or had arrived.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
}

/// Counted requests with the same host, method and rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountedKind {
    /// The host as in the records; absent where none was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The method; `other` for one that is not common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The route's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How many were sent on.
    pub requests: u64,
    /// How many ended how: verdict and class of the status, such as `allow 2xx`. Those that were sent on in an
    /// earlier window are among them, those that have not ended are not.
    pub outcomes: BTreeMap<String, u64>,
    /// Bytes of the bodies that were read from the agent, of those that ended.
    pub request_bytes: u64,
    /// Bytes of the bodies that were passed to the agent, of those that ended.
    pub response_bytes: u64,
    /// How many different paths were sent on.
    pub paths: u64,
    /// Whether there were more paths than are told apart (256).
    pub more_paths: bool,
    /// When the first was sent on or had arrived.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first: Timestamp,
    /// When the last was sent on or had arrived.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
}

impl Counted {
    /// How many of those that ended were refused by a proxy further on.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let outcomes = self.kinds.iter().chain(&self.other).flat_map(|kind| &kind.outcomes);
        let refused = outcomes.filter(|(outcome, _)| {
            let word = outcome.split(' ').next();
            word == Some(Verdict::Deny.as_str()) || word == Some("blocked")
        });
        refused.map(|(_, count)| count).sum()
    }
}

/// A count that is going on.
pub(super) struct Tally {
    by: &'static str,
    configs: Vec<String>,
    requests: u64,
    kinds: Vec<Kind>,
    other: Option<Kind>,
    left: usize,
}

struct Kind {
    counted: CountedKind,
    paths: HashSet<u64>,
}

impl Tally {
    pub(super) fn new(by: &'static str) -> Self {
        Self { by, configs: Vec::new(), requests: 0, kinds: Vec::new(), other: None, left: KINDS_BYTES }
    }

    /// One more was sent on.
    pub(super) fn request(&mut self, facts: &Facts, hasher: &RandomState) {
        self.requests += 1;
        note_config(&mut self.configs, facts);
        let Kind { counted, paths } = self.kind(facts);
        counted.requests += 1;
        let Some(path) = &facts.path else { return };
        let path = hasher.hash_one(path);
        if paths.len() < PATHS {
            paths.insert(path);
        } else if !paths.contains(&path) {
            counted.more_paths = true;
        }
        counted.paths = paths.len() as u64;
    }

    /// A request has ended: its outcome and its bytes are added to those of its kind.
    pub(super) fn outcome(&mut self, facts: &Facts) {
        let Kind { counted, .. } = self.kind(facts);
        let known = counted.outcomes.len() < OUTCOMES || counted.outcomes.contains_key(&facts.outcome);
        let outcome = if known { facts.outcome.clone() } else { OTHER.to_owned() };
        *counted.outcomes.entry(outcome).or_default() += 1;
        counted.request_bytes = counted.request_bytes.saturating_add(facts.request_bytes);
        counted.response_bytes = counted.response_bytes.saturating_add(facts.response_bytes);
    }

    fn kind(&mut self, facts: &Facts) -> &mut Kind {
        let same = |kind: &Kind| {
            let it = &kind.counted;
            it.method.as_deref() == facts.method && it.host == facts.host && it.rule == facts.rule
        };
        let at = self.kinds.iter().position(same).or_else(|| {
            let shown = |text: &Option<String>| text.as_deref().map(|text| cut(text).into_owned());
            let kind = Kind::new(facts, shown(&facts.host), shown(&facts.rule));
            self.left = self.left.checked_sub(kind.longest())?;
            self.kinds.push(kind);
            Some(self.kinds.len() - 1)
        });
        let kind = match at {
            Some(at) => &mut self.kinds[at],
            None => self.other.get_or_insert_with(|| Kind::new(facts, None, None)),
        };
        kind.counted.first = kind.counted.first.min(facts.time);
        kind.counted.last = kind.counted.last.max(facts.time);
        kind
    }

    /// The record; `None` when nothing was counted.
    pub(super) fn record(self) -> Option<Counted> {
        let all = || self.kinds.iter().chain(&self.other).map(|kind| &kind.counted);
        let (first, last) = (all().map(|it| it.first).min()?, all().map(|it| it.last).max()?);
        let other = self.other.map(|kind| CountedKind { method: None, ..kind.counted });
        let kinds = self.kinds.into_iter().map(|kind| kind.counted).collect();
        let (event, decided_by) = ("counted".to_owned(), self.by.to_owned());
        let (configs, requests) = (self.configs, self.requests);
        Some(Counted { time: last, event, decided_by, configs, requests, kinds, other, first, last })
    }
}

impl Kind {
    fn new(facts: &Facts, host: Option<String>, rule: Option<String>) -> Self {
        let counted = CountedKind {
            host,
            method: facts.method.map(str::to_owned),
            rule,
            requests: 0,
            outcomes: BTreeMap::new(),
            request_bytes: 0,
            response_bytes: 0,
            paths: 0,
            more_paths: false,
            first: facts.time,
            last: facts.time,
        };
        Self { counted, paths: HashSet::new() }
    }

    /// The bytes that it takes in a record, whatever its numbers will be.
    fn longest(&self) -> usize {
        let in_json = |text: &Option<String>| serde_json::to_string(text).map_or(0, |json| json.len());
        in_json(&self.counted.host) + in_json(&self.counted.rule) + NUMBERS_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Recorded as _, budget::COUNT_BYTES, record::tests::record};
    use super::*;

    fn facts(second: i64, host: &str, path: &str) -> Facts {
        Facts {
            time: Timestamp::from_second(1_800_000_000 + second).unwrap(),
            host: Some(host.to_owned()),
            rule: Some("api".to_owned()),
            path: Some(path.to_owned()),
            outcome: "allow 2xx".to_owned(),
            request_bytes: 10,
            response_bytes: 20,
            ..record(1).facts()
        }
    }

    #[test]
    fn requests_are_counted_by_host_method_and_rule() {
        let (mut tally, hasher) = (Tally::new("egress-proxy"), RandomState::new());
        for n in 0..10 {
            let facts = facts(n, if n < 6 { "a.test" } else { "b.test" }, &format!("/{}", n % 4));
            tally.request(&facts, &hasher);
            if n != 0 {
                tally.outcome(&facts);
            }
        }
        tally.outcome(&Facts { outcome: "deny 4xx".to_owned(), ..facts(20, "b.test", "/") });
        let counted = tally.record().unwrap();
        let [a, b] = &counted.kinds[..] else { panic!("{counted:#?}") };
        assert_eq!((counted.requests, a.requests, b.requests, &counted.other), (10, 6, 4, &None));
        assert_eq!(
            (a.host.as_deref(), a.method.as_deref(), a.rule.as_deref()),
            (Some("a.test"), Some("GET"), Some("api"))
        );
        assert_eq!((a.paths, b.paths, a.more_paths), (4, 4, false));
        assert_eq!(a.outcomes, [("allow 2xx".to_owned(), 5)].into());
        assert_eq!((a.request_bytes, a.response_bytes), (50, 100));
        assert_eq!((b.outcomes["deny 4xx"], counted.refused()), (1, 1));
        let second = |time: Timestamp| time.as_second() - 1_800_000_000;
        assert_eq!([a.first, a.last, b.first, b.last].map(second), [0, 5, 6, 20]);
        assert_eq!([counted.first, counted.last, counted.time].map(second), [0, 20, 20]);
    }

    #[test]
    fn memory_and_the_record_are_bounded_whatever_is_asked_for() {
        for hostile in ["a", "\u{1}", "\u{10ffff}", ""] {
            let (mut tally, hasher) = (Tally::new("egress-proxy"), RandomState::new());
            for n in 0..20_000 {
                let host = format!("{}{n}", hostile.repeat(600));
                let path = format!("/{n}");
                let mut facts = facts(n, if n < 10_000 { &host } else { "a.test" }, &path);
                facts.time = "2026-11-24T12:30:09.123456789Z".parse().unwrap();
                (facts.request_bytes, facts.response_bytes) = (u64::MAX, u64::MAX);
                tally.request(&facts, &hasher);
                facts.outcome = format!("response_scan {n}xx");
                tally.outcome(&facts);
            }
            let counting = Counting::new(Series::Sent, "egress-proxy", facts(0, "", "").time);
            let counted = tally.record().unwrap();
            let other = counted.other.as_ref().unwrap();
            assert!(other.more_paths && other.paths == PATHS as u64 && other.outcomes.len() == OUTCOMES + 1);
            let all = counted.kinds.iter().chain(&counted.other);
            assert_eq!(all.map(|kind| kind.requests).sum::<u64>(), counted.requests);
            let bytes = |json: serde_json::Result<Vec<u8>>| json.unwrap().len() as u64 + 1;
            let written = bytes(serde_json::to_vec(&counted)) + bytes(serde_json::to_vec(&counting));
            assert!(written <= COUNT_BYTES && counted.kinds.len() >= 4, "{written} bytes");
        }
    }
}
