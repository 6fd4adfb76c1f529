//! Records become facts.

use super::facts::{
    Bottle, Config, CredentialUse, Finding, Group, Listed, Reason, Report, Suggestion, VERSION,
};
use super::seen::{self, Told};
use super::side::{Grouped, Key, ReasonCount, Side};
use super::tally::{Count, Tally};
use super::words::number;
use super::{Kind, Rules};
use crate::explain::{Advice, why_nothing_allows};
use crate::replay::advice_on;
use crate::telemetry::audit::{Announced, Entry, Event};
use jiff::Timestamp;

/// Bottles and configurations that are told apart.
const NAMES: usize = 100;

impl Count for Config {
    fn count(&self) -> u64 {
        self.requests
    }
}

/// How many rows a report lists at most.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Hosts, credentials, findings.
    pub rows: usize,
    /// Groups of one reason.
    pub groups: usize,
}

impl Listing {
    /// As much as a person reads.
    pub const SHORT: Self = Self { rows: 50, groups: 25 };
    /// All that is told apart.
    pub const ALL: Self = Self { rows: usize::MAX, groups: usize::MAX };
}

/// A report that grows, record by record.
pub struct Collector {
    since: Option<Timestamp>,
    egress_proxy: Side,
    pipelock: Side,
    bottles: Tally<String, u64>,
    configs: Tally<String, Config>,
    announced: Announced,
    missing: u64,
}

impl Collector {
    /// Nothing was seen yet; what happened before `since` will be passed over.
    #[must_use]
    pub fn new(since: Option<Timestamp>) -> Self {
        Self {
            since,
            egress_proxy: Side::new(),
            pipelock: Side::new(),
            bottles: Tally::new(NAMES),
            configs: Tally::new(NAMES),
            announced: Announced::default(),
            missing: 0,
        }
    }

    /// Takes the next record.
    pub fn see(&mut self, entry: &Entry) {
        if self.since.is_some_and(|since| entry.time() < since) {
            return;
        }
        self.missing += u64::from(self.announced.see(entry).is_some());
        let side = match entry {
            Entry::EgressProxy(_) => &mut self.egress_proxy,
            Entry::Pipelock(_) => &mut self.pipelock,
            Entry::Suppressed(counted) => self.side(&counted.decided_by),
            Entry::Counted(counted) => self.side(&counted.decided_by),
            Entry::Counting(_) => return,
        };
        side.under_way.see_end(entry);
        let told = match entry {
            Entry::EgressProxy(record) => {
                if let Some(found) = seen::found_of_record(record) {
                    side.found(found);
                }
                seen::of_record(record)
            }
            Entry::Pipelock(record) => {
                if let Some(found) = seen::found_of_pipelock(record) {
                    side.found(found);
                }
                seen::of_pipelock(record)
            }
            Entry::Suppressed(counted) => return side.suppressed(counted),
            Entry::Counted(counted) => return side.counted(counted),
            Entry::Counting(_) => return,
        };
        match told {
            Told::Dispatch(id) => side.under_way.begin(id),
            Told::Request(request) => side.request(&request, entry),
            Told::Tunnel(origin, bytes) => side.tunnel(&origin, bytes, entry.time()),
            Told::Nothing => {}
        }
        if let Entry::EgressProxy(record) = entry
            && record.event != Event::Dispatch
        {
            *self.bottles.entry(record.bottle.clone(), || 0) += 1;
            let time = record.time;
            let new = || Config { sha256: record.config.clone(), requests: 0, first: time, last: time };
            let config = self.configs.entry(record.config.clone(), new);
            config.requests += 1;
            config.first = config.first.min(time);
            config.last = config.last.max(time);
        }
    }

    fn side(&mut self, decided_by: &str) -> &mut Side {
        if decided_by == "pipelock" { &mut self.pipelock } else { &mut self.egress_proxy }
    }

    /// Whether anything was there to report on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.egress_proxy, &self.pipelock].into_iter().all(|side| side.totals().requests == 0)
    }

    /// Whether records are of this bottle, or name none.
    #[must_use]
    pub fn knows_bottle(&self, name: &str) -> bool {
        self.bottles.is_empty() || self.bottles.contains(name)
    }

    /// What came of it. `notes` are those of who read the records.
    #[must_use]
    pub fn finish(
        mut self,
        files: Vec<String>,
        rules: &Rules<'_>,
        listing: Listing,
        notes: Vec<String>,
    ) -> Report {
        let (mut main, mut other) = (self.egress_proxy, self.pipelock);
        let behind = other.totals().requests;
        let is_chain = main.totals().requests > 0;
        if !is_chain {
            std::mem::swap(&mut main, &mut other);
        }
        let mut notes = notes;
        if is_chain && behind > 0 {
            notes.push(format!(
                "{} in the records of pipelock: what egress-proxy had sent on, which is not counted twice.",
                requests(behind)
            ));
        }
        let last = main.span.into_iter().chain(other.span).map(|(_, last)| last).max();
        self.missing += last.map_or(0, |last| self.announced.late(last).len() as u64);
        let totals = main.totals();
        notes.extend(said_of(&main, self.missing));
        // pipelock knows more of what it found than egress-proxy was told.
        let findings = if is_chain && !other.findings.is_empty() { other.findings } else { main.findings };
        let (denied, failed) = reasons(main.groups, main.reasons, rules, listing);
        let rules_of = match rules {
            Rules::Of(rules, _) => Some(rules.file()),
            Rules::Unknown(why) => {
                if !denied.is_empty() {
                    notes.push(why.clone());
                }
                None
            }
        };
        let bottles = listed(self.bottles, listing.rows, |name, requests| Bottle { name, requests });
        Report {
            bottle_report: VERSION,
            bottles,
            files,
            first: main.span.map(|(first, _)| first),
            last: main.span.map(|(_, last)| last),
            recorded_by: if is_chain { "egress-proxy" } else { "pipelock" },
            totals,
            configs: listed(self.configs, listing.rows, |_, config| config),
            timeline: main.timeline.finish(),
            hosts: listed(main.hosts, listing.rows, |_, host| host),
            denied,
            failed,
            credentials: listed(main.credentials, listing.rows, |_, used: CredentialUse| used),
            findings: listed(findings, listing.rows, |_, found: Finding| found),
            rules: rules_of,
            notes,
        }
    }
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{} requests", number(count)) }
}

/// What the numbers leave out.
fn said_of(side: &Side, missing: u64) -> Vec<String> {
    let totals = side.totals();
    let mut said = Vec::new();
    if totals.counted > 0 {
        said.push(format!(
            "{} of floods: counted, not recorded one by one. They are in the numbers and the timeline; of those that were \
             denied, paths and methods are not known.",
            requests(totals.counted)
        ));
    }
    if side.without_host > 0 {
        said.push(format!(
            "{} of these floods: denied for several hosts, which the count does not name.",
            requests(side.without_host)
        ));
    }
    if missing > 0 {
        said.push(format!(
            "Counts of up to 10 seconds that are missing, because a proxy was killed: {missing}. There were more requests \
             than these."
        ));
    }
    if totals.unfinished > 0 {
        said.push(format!(
            "{} without an end in these records: sent on, and still under way, or a proxy was killed.",
            requests(totals.unfinished)
        ));
    }
    if side.under_way.more() {
        said.push(
            "More requests were under way at once than can be told apart, so that more of them may have no end."
                .to_owned(),
        );
    }
    said
}

fn listed<K: Ord + std::hash::Hash + Eq, V: Count, T>(
    tally: Tally<K, V>,
    rows: usize,
    row: impl Fn(K, V) -> T,
) -> Listed<T> {
    let (mut kept, folded) = tally.into_sorted();
    let rest = kept.split_off(rows.min(kept.len()));
    let more = rest.iter().map(|(_, value)| value.count()).fold(folded, u64::saturating_add);
    Listed { rows: kept.into_iter().map(|(key, value)| row(key, value)).collect(), more_requests: more }
}

/// What was denied, and what failed.
fn reasons(
    groups: Tally<Key, Grouped>,
    counts: Tally<(Kind, String), ReasonCount>,
    rules: &Rules<'_>,
    listing: Listing,
) -> (Vec<Reason>, Vec<Reason>) {
    let (groups, _) = groups.into_sorted();
    let (mut denied, mut failed) = (Vec::new(), Vec::new());
    for ((kind, reason), count) in counts.into_sorted().0 {
        let of_it = |(key, _): &&(Key, Grouped)| key.kind == kind && key.reason == reason;
        let shown: Vec<Group> = groups
            .iter()
            .filter(of_it)
            .take(listing.groups)
            .map(|(key, group)| shown(key, group, rules))
            .collect();
        let listed = shown.iter().map(|group| group.requests).fold(0, u64::saturating_add);
        let more_requests = count.recorded.saturating_sub(listed);
        let one =
            Reason { reason, requests: count.count(), counted: count.counted, groups: shown, more_requests };
        if kind == Kind::Denied { denied.push(one) } else { failed.push(one) }
    }
    (denied, failed)
}

/// A code that egress-proxy knows; the checks of pipelock that are not lists all scan what it can read.
fn reason_code(key: &Key) -> &str {
    let by_list = ["domain_not_allowed", "port_not_allowed", "plain_http", "blocked_by_pipelock"];
    if key.decided_by == "pipelock" && !by_list.contains(&key.reason.as_str()) {
        "blocked_by_pipelock"
    } else {
        &key.reason
    }
}

fn shown(key: &Key, group: &Grouped, rules: &Rules<'_>) -> Group {
    let suggestion = match rules {
        Rules::Of(rules, day) if key.kind == Kind::Denied => {
            Some(match advice_on(&group.entry, rules, *day) {
                Advice::Entry(entry) => Suggestion::Entry(entry),
                Advice::Allowed => Suggestion::None("today's rules allow it".to_owned()),
                Advice::Nothing => Suggestion::None(why_nothing_allows(reason_code(key)).to_owned()),
                Advice::Unknown(why) => Suggestion::None(format!("no entry is suggested: {why}")),
            })
        }
        _ => None,
    };
    Group {
        decided_by: key.decided_by.clone(),
        origin: key.origin.clone(),
        method: key.method.clone(),
        path: key.path.clone(),
        requests: group.requests,
        first: group.first,
        last: group.last,
        example: Some(group.example.clone()).filter(|example| *example != key.path),
        message: group.message.clone(),
        suggestion,
    }
}
