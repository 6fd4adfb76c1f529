//! What one proxy's records add up to.

use super::Kind;
use super::facts::{CredentialUse, Finding, Host, Totals};
use super::seen::{Found, Request};
use super::tally::{Count, Tally};
use super::timeline::Growing;
use crate::replay::{UnderWay, path_shape};
use crate::telemetry::audit::{Counted, CountedKind, Entry, Suppressed};
use jiff::Timestamp;

/// Origins, groups and so on that are told apart. A group takes some 10 KiB at most.
const TOLD_APART: usize = 1000;
/// Reasons that are told apart; they are codes of ours, and there are fewer.
const REASONS: usize = 64;
/// The reason of what a count says the outcome of, and not why.
const NOT_RECORDED: &str = "not recorded";

/// What the requests of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) reason: String,
    pub(super) decided_by: String,
    pub(super) origin: String,
    pub(super) method: String,
    pub(super) path: String,
}

/// Requests of a group; the last of them stands for all.
pub(super) struct Grouped {
    pub(super) requests: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) example: String,
    pub(super) message: Option<String>,
    pub(super) entry: Entry,
}

/// Requests with one reason.
#[derive(Default)]
pub(super) struct ReasonCount {
    pub(super) recorded: u64,
    pub(super) counted: u64,
}

impl Count for Host {
    fn count(&self) -> u64 {
        self.requests
    }
}

impl Count for Grouped {
    fn count(&self) -> u64 {
        self.requests
    }
}

impl Count for ReasonCount {
    fn count(&self) -> u64 {
        self.recorded.saturating_add(self.counted)
    }
}

impl Count for CredentialUse {
    fn count(&self) -> u64 {
        self.requests
    }
}

impl Count for Finding {
    fn count(&self) -> u64 {
        self.requests
    }
}

/// The records of one proxy.
pub(super) struct Side {
    pub(super) totals: Totals,
    pub(super) span: Option<(Timestamp, Timestamp)>,
    pub(super) hosts: Tally<String, Host>,
    pub(super) groups: Tally<Key, Grouped>,
    pub(super) reasons: Tally<(Kind, String), ReasonCount>,
    pub(super) credentials: Tally<(String, String), CredentialUse>,
    pub(super) findings: Tally<(String, String, String, String), Finding>,
    pub(super) timeline: Growing,
    pub(super) under_way: UnderWay,
    /// Refusals of a flood whose hosts are not known.
    pub(super) without_host: u64,
    counted_sent: u64,
    counted_ended: u64,
}

fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

impl Side {
    pub(super) fn new() -> Self {
        Self {
            totals: Totals::default(),
            span: None,
            hosts: Tally::new(TOLD_APART),
            groups: Tally::new(TOLD_APART),
            reasons: Tally::new(REASONS),
            credentials: Tally::new(TOLD_APART),
            findings: Tally::new(TOLD_APART),
            timeline: Growing::new(),
            under_way: UnderWay::default(),
            without_host: 0,
            counted_sent: 0,
            counted_ended: 0,
        }
    }

    pub(super) fn request(&mut self, request: &Request<'_>, entry: &Entry) {
        self.at(request.time, request.kind, 1);
        // A body that was refused was read from the agent, and has not left.
        let bytes = |bytes: u64| if request.is_sent { bytes } else { 0 };
        let (query, received) = (bytes(request.query_bytes), bytes(request.response_bytes));
        let sent = bytes(request.body_bytes).saturating_add(query);
        add(&mut self.totals.bytes_sent, sent);
        add(&mut self.totals.query_bytes, query);
        add(&mut self.totals.bytes_received, received);
        let host = self.host(&request.origin, request.time);
        host.add(request.kind, 1);
        add(&mut host.bytes_sent, sent);
        add(&mut host.bytes_received, received);
        if let Some(name) = request.credential {
            let key = (name.to_owned(), request.origin.clone());
            let used = self.credentials.entry(key, || CredentialUse {
                name: name.to_owned(),
                origin: request.origin.clone(),
                requests: 0,
                last: request.time,
            });
            used.requests += 1;
            used.last = used.last.max(request.time);
        }
        if matches!(request.kind, Kind::Denied | Kind::Failed) {
            self.group(request, entry);
        }
    }

    fn group(&mut self, request: &Request<'_>, entry: &Entry) {
        let reason = (request.kind, request.reason.to_owned());
        self.reasons.entry(reason, ReasonCount::default).recorded += 1;
        let key = Key {
            kind: request.kind,
            reason: request.reason.to_owned(),
            decided_by: request.decided_by.to_owned(),
            origin: request.origin.clone(),
            method: request.method.to_owned(),
            path: if request.path.starts_with('/') {
                path_shape(request.path)
            } else {
                request.path.to_owned()
            },
        };
        let group = self.groups.entry(key, || Grouped {
            requests: 0,
            first: request.time,
            last: request.time,
            example: request.path.to_owned(),
            message: request.sentence.map(str::to_owned),
            entry: entry.clone(),
        });
        group.requests += 1;
        group.first = group.first.min(request.time);
        group.last = group.last.max(request.time);
    }

    pub(super) fn found(&mut self, found: Found<'_>) {
        let Found { time, what, place, action, origin, sentence } = found;
        let key = (what.to_owned(), place.to_owned(), action.to_owned(), origin.clone());
        let finding = self.findings.entry(key, || Finding {
            what: what.to_owned(),
            place: place.to_owned(),
            action: action.to_owned(),
            origin,
            requests: 0,
            first: time,
            last: time,
            message: sentence.map(str::to_owned),
        });
        finding.requests += 1;
        finding.first = finding.first.min(time);
        finding.last = finding.last.max(time);
    }

    pub(super) fn tunnel(&mut self, origin: &str, bytes: u64, time: Timestamp) {
        add(&mut self.totals.tunnel_bytes, bytes);
        add(&mut self.host(origin, time).tunnel_bytes, bytes);
    }

    /// Refusals that were counted.
    pub(super) fn suppressed(&mut self, counted: &Suppressed) {
        self.at(counted.first, Kind::Denied, counted.count);
        add(&mut self.totals.counted, counted.count);
        for (reason, count) in &counted.reasons {
            let reason = (Kind::Denied, reason.clone());
            add(&mut self.reasons.entry(reason, ReasonCount::default).counted, *count);
        }
        match &counted.host {
            // Its scheme and port are not known; nearly every request is one of this.
            Some(host) => {
                self.host(&format!("https://{host}"), counted.last).add(Kind::Denied, counted.count);
            }
            None => add(&mut self.without_host, counted.count),
        }
    }

    /// Requests that were sent on and counted. What was sent on in an earlier window can have ended in this one.
    pub(super) fn counted(&mut self, counted: &Counted) {
        for kind in counted.kinds.iter().chain(&counted.other) {
            self.counted_kind(kind);
        }
    }

    fn counted_kind(&mut self, kind: &CountedKind) {
        add(&mut self.totals.counted, kind.requests);
        add(&mut self.counted_sent, kind.requests);
        let origin = kind.host.as_ref().map(|host| format!("https://{host}"));
        for (outcome, count) in &kind.outcomes {
            let what = match outcome.split(' ').next() {
                Some("allow" | "allowed" | "tunnel_open") => Kind::Allowed,
                Some("deny" | "blocked") => Kind::Denied,
                _ => Kind::Failed,
            };
            add(&mut self.counted_ended, *count);
            self.at(kind.first, what, *count);
            if what != Kind::Allowed {
                let reason = (what, NOT_RECORDED.to_owned());
                add(&mut self.reasons.entry(reason, ReasonCount::default).counted, *count);
            }
            if let Some(origin) = &origin {
                self.host(origin, kind.last).add(what, *count);
            }
        }
        add(&mut self.totals.bytes_sent, kind.request_bytes);
        add(&mut self.totals.bytes_received, kind.response_bytes);
        if let Some(origin) = &origin {
            let host = self.host(origin, kind.last);
            add(&mut host.bytes_sent, kind.request_bytes);
            add(&mut host.bytes_received, kind.response_bytes);
        }
    }

    /// The totals, with what has no end.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.totals;
        // What was sent on in one interval of counting can have ended in a later one.
        totals.unfinished =
            self.under_way.count().saturating_add(self.counted_sent.saturating_sub(self.counted_ended));
        let Totals { allowed, denied, failed, aborted, answered, unfinished, .. } = totals;
        totals.requests =
            [allowed, denied, failed, aborted, answered, unfinished].into_iter().fold(0, u64::saturating_add);
        totals
    }

    fn host(&mut self, origin: &str, time: Timestamp) -> &mut Host {
        let host = self.hosts.entry(origin.to_owned(), || Host {
            origin: origin.to_owned(),
            requests: 0,
            allowed: 0,
            denied: 0,
            failed: 0,
            bytes_sent: 0,
            bytes_received: 0,
            tunnel_bytes: 0,
            last: time,
        });
        host.last = host.last.max(time);
        host
    }

    /// So many requests of that time ended so.
    fn at(&mut self, time: Timestamp, kind: Kind, count: u64) {
        if count == 0 {
            return;
        }
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
        let point = self.timeline.at(time);
        let totals = &mut self.totals;
        match kind {
            Kind::Allowed => {
                add(&mut totals.allowed, count);
                add(&mut point.allowed, count);
            }
            Kind::Denied => {
                add(&mut totals.denied, count);
                add(&mut point.denied, count);
            }
            Kind::Failed => {
                add(&mut totals.failed, count);
                add(&mut point.failed, count);
            }
            Kind::Answered => add(&mut totals.answered, count),
            Kind::Aborted => add(&mut totals.aborted, count),
        }
    }
}

impl Host {
    fn add(&mut self, kind: Kind, count: u64) {
        add(&mut self.requests, count);
        match kind {
            Kind::Allowed => add(&mut self.allowed, count),
            Kind::Denied => add(&mut self.denied, count),
            Kind::Failed => add(&mut self.failed, count),
            Kind::Answered | Kind::Aborted => {}
        }
    }
}
