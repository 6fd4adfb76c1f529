//! What an audit trail says of a bottle: what was sent on, what was refused, over which time, and what is not known.
//!
//! Memory is bounded whatever the trail holds: beyond a number of different requests the rest is counted, and what it
//! would have said counts as unknown.

use crate::telemetry::audit::{
    Counted, CountedKind, Entry, Event, PipelockRecord, Record, Series, Suppressed, Verdict,
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Different requests that are kept, of those that were sent on and of those that were refused.
const MOST: usize = 50_000;
/// Names of other bottles, and configs, that are told apart.
const NAMES: usize = 1000;

/// A request, as it stands in a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Request {
    /// The host.
    pub host: String,
    /// Plain http.
    pub is_plain: bool,
    /// The port, if the record has one.
    pub port: Option<u16>,
    /// The method, or `CONNECT` for a tunnel.
    pub method: Option<String>,
    /// The path, without the query.
    pub path: Option<String>,
    /// It is a git fetch.
    pub is_fetch: bool,
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first record's time.
    pub first: Timestamp,
    /// The last record's time.
    pub last: Timestamp,
}

/// What of a host's use is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Some paths are not recorded, or not whole.
    pub paths: bool,
    /// Some methods are not recorded.
    pub methods: bool,
    /// Some ports are not recorded.
    pub ports: bool,
}

/// What one bottle did, as its audit trail tells it.
#[derive(Debug, Default)]
pub struct Usage {
    /// The bottle's name; records of others are counted and not used.
    bottle: String,
    /// It has no routes, so that pipelock decides and its own records tell.
    pub(super) is_direct: bool,
    /// The time that all records cover.
    pub span: Option<Span>,
    /// The time that the records of what was sent on cover.
    pub sent_span: Option<Span>,
    /// What was sent on, and how often.
    pub sent: BTreeMap<Request, u64>,
    /// What was refused or failed, by its reason, and how often.
    pub refused: BTreeMap<(String, Request), u64>,
    /// The same where the record does not say what was asked for.
    pub refused_without_request: BTreeMap<String, u64>,
    /// Requests that were sent on, those that were counted instead of recorded among them.
    pub requests: u64,
    /// Refusals, those that were counted instead of recorded among them.
    pub refusals: u64,
    /// Refusals that were counted instead of recorded.
    pub suppressed: u64,
    /// Requests that were sent on and counted instead of recorded.
    pub counted: u64,
    /// What is not known, by host.
    pub unknown: BTreeMap<String, Unknown>,
    /// Anything can have been sent anywhere: why.
    pub unknown_hosts: Option<&'static str>,
    /// Records of other bottles, and some of their names.
    pub others: (u64, BTreeSet<String>),
    /// The configs that decided.
    pub configs: BTreeSet<String>,
    /// Records of pipelock in a bottle whose egress-proxy recorded the same request.
    pub of_pipelock: u64,
    /// Counts that were announced: by whom, and of what.
    announced: BTreeSet<(String, String)>,
}

impl Request {
    /// The request of a record that names a host.
    #[must_use]
    pub fn from_record(record: &Record) -> Option<Self> {
        Some(Self {
            host: record.host.clone()?,
            is_plain: record.scheme.as_deref() == Some("http"),
            port: record.port,
            method: record.method.clone(),
            path: record.path.clone(),
            is_fetch: record.git.as_deref() == Some("fetch"),
        })
    }

    /// Whether the record holds it as it was: nothing was cut or masked.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let parts = [Some(&self.host), self.method.as_ref(), self.path.as_ref()];
        !parts.into_iter().flatten().any(|text| is_cut(text))
    }

    /// `https://api.example/v1`; what is not recorded is left out.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_plain { "http" } else { "https" };
        let port = match (scheme, self.port) {
            (_, None) | ("https", Some(443)) | ("http", Some(80)) => String::new(),
            (_, Some(port)) => format!(":{port}"),
        };
        format!("{scheme}://{}{port}{}", self.host, self.path.as_deref().unwrap_or_default())
    }

    /// Host and port of a tunnel.
    fn tunnel(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            is_plain: false,
            port: Some(port),
            method: Some("CONNECT".to_owned()),
            path: None,
            is_fetch: false,
        }
    }
}

impl Span {
    /// How long it is.
    #[must_use]
    pub fn duration(&self) -> SignedDuration {
        self.last.duration_since(self.first)
    }

    fn with(span: Option<Self>, first: Timestamp, last: Timestamp) -> Self {
        let span = span.unwrap_or(Self { first, last });
        Self { first: span.first.min(first), last: span.last.max(last) }
    }
}

impl Usage {
    /// Of the bottle of that name; `is_direct` is whether it has no routes.
    #[must_use]
    pub fn new(bottle: &str, is_direct: bool) -> Self {
        Self { bottle: bottle.to_owned(), is_direct, ..Self::default() }
    }

    /// The bottle's name.
    #[must_use]
    pub fn bottle(&self) -> &str {
        &self.bottle
    }

    /// Whether no record was of this bottle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span.is_none()
    }

    /// Takes note of one record.
    pub fn see(&mut self, entry: &Entry) {
        match entry {
            Entry::EgressProxy(record) => self.record(record),
            Entry::Pipelock(record) if self.is_direct => self.pipelock(record),
            Entry::Pipelock(_) => self.of_pipelock += 1,
            Entry::Counted(counted) => {
                self.announced.remove(&(counted.decided_by.clone(), Series::Sent.as_str().to_owned()));
                if self.decides(&counted.decided_by) {
                    self.count(counted);
                }
            }
            Entry::Suppressed(counted) => self.suppress(counted),
            Entry::Counting(counting) => {
                if counting.series == Series::Sent.as_str() {
                    let announced = (counting.decided_by.clone(), counting.series.clone());
                    if !self.announced.insert(announced) {
                        self.unknown_hosts = Some(LOST);
                    }
                }
            }
        }
    }

    /// Call it when all records were seen.
    pub fn finish(&mut self) {
        if self.announced.iter().any(|(by, _)| self.decides(by)) {
            self.unknown_hosts = Some(LOST);
        }
    }

    /// Whether the records of that proxy are those that tell.
    fn decides(&self, by: &str) -> bool {
        (by == "pipelock") == self.is_direct
    }

    fn record(&mut self, record: &Record) {
        if record.bottle != self.bottle {
            self.others.0 += 1;
            if self.others.1.len() < NAMES {
                self.others.1.insert(record.bottle.clone());
            }
            return;
        }
        self.span = Some(Span::with(self.span, record.time, record.time));
        if self.configs.len() < NAMES {
            self.configs.insert(record.config.clone());
        }
        let request = Request::from_record(record);
        // An end has the same request as its dispatch, and is looked at in case that is in another file.
        if matches!(record.event, Event::Dispatch | Event::End) {
            let is_first = record.event == Event::Dispatch || record.request.is_empty();
            self.requests += u64::from(is_first);
            self.sent_at(record.time, record.time);
            self.send(request.clone(), u64::from(is_first));
        }
        let failed = matches!(record.verdict, Verdict::Deny | Verdict::Error);
        if failed && record.event != Event::Dispatch && record.event != Event::Aborted {
            self.refuse(record.reason.as_deref().unwrap_or("unknown"), request);
        }
    }

    fn sent_at(&mut self, first: Timestamp, last: Timestamp) {
        self.sent_span = Some(Span::with(self.sent_span, first, last));
        self.span = Some(Span::with(self.span, first, last));
    }

    fn send(&mut self, request: Option<Request>, count: u64) {
        let Some(request) = request else {
            self.unknown_hosts = Some(NAMELESS);
            return;
        };
        // Which rule it used is not known: any of them may be.
        if is_cut(&request.host) {
            self.unknown_hosts = Some(NAMELESS);
            return;
        }
        if !request.is_whole() {
            let unknown = self.unknown.entry(request.host.clone()).or_default();
            unknown.paths = true;
        }
        if let Some(known) = self.sent.get_mut(&request) {
            *known += count;
        } else if self.sent.len() < MOST {
            self.sent.insert(request, count);
        } else {
            self.not_known(&request.host, Unknown { paths: true, methods: true, ports: true });
        }
    }

    fn not_known(&mut self, host: &str, what: Unknown) {
        if self.unknown.len() >= MOST && !self.unknown.contains_key(host) {
            self.unknown_hosts = Some(MANY);
            return;
        }
        let known = self.unknown.entry(host.to_owned()).or_default();
        known.paths |= what.paths;
        known.methods |= what.methods;
        known.ports |= what.ports;
    }

    fn refuse(&mut self, reason: &str, request: Option<Request>) {
        self.refusals += 1;
        let Some(request) = request else { return self.refuse_without(reason) };
        let key = (reason.to_owned(), request);
        if let Some(known) = self.refused.get_mut(&key) {
            *known += 1;
        } else if self.refused.len() < MOST {
            self.refused.insert(key, 1);
        } else {
            self.refuse_without(reason);
        }
    }

    fn refuse_without(&mut self, reason: &str) {
        if self.refused_without_request.len() < NAMES || self.refused_without_request.contains_key(reason) {
            *self.refused_without_request.entry(reason.to_owned()).or_default() += 1;
        }
    }

    /// Floods: host, method and rule are known, and of the paths only how many there were.
    fn count(&mut self, counted: &Counted) {
        self.requests += counted.requests;
        self.counted += counted.requests;
        self.sent_at(counted.first, counted.last);
        for kind in &counted.kinds {
            self.count_kind(kind);
        }
        if counted.other.is_some() {
            self.unknown_hosts = Some(MANY);
        }
    }

    fn count_kind(&mut self, kind: &CountedKind) {
        let Some(host) = &kind.host else {
            self.unknown_hosts = Some(NAMELESS);
            return;
        };
        let method = kind.method.clone().filter(|method| method != "other");
        self.not_known(host, Unknown { paths: true, methods: method.is_none(), ports: true });
        if let Some(method) = method {
            let request = Request { method: Some(method), ..Request::tunnel(host, 443) };
            if self.sent.len() < MOST {
                *self.sent.entry(Request { port: None, ..request }).or_default() += kind.requests;
            }
        }
    }

    fn suppress(&mut self, counted: &Suppressed) {
        if self.decides(&counted.decided_by) {
            self.refusals += counted.count;
            self.suppressed += counted.count;
            self.span = Some(Span::with(self.span, counted.first, counted.last));
        }
    }

    /// In a bottle without routes.
    fn pipelock(&mut self, record: &PipelockRecord) {
        self.span = Some(Span::with(self.span, record.time, record.time));
        let request = of_pipelock(record);
        match record.event.as_str() {
            "blocked" => {
                let reason = match record.scanner.as_deref() {
                    Some("domain_not_allowed") => "host_not_allowed",
                    other => other.unwrap_or("blocked_by_pipelock"),
                };
                self.refuse(reason, request);
            }
            "dispatch" | "allowed" | "tunnel_open" => {
                let is_first = record.event != "allowed";
                self.requests += u64::from(is_first);
                self.sent_at(record.time, record.time);
                self.send(request, u64::from(is_first));
            }
            _ => {}
        }
    }
}

/// Whether a field of a record was cut or masked.
fn is_cut(text: &str) -> bool {
    text.contains("…[+") || text.contains("***[")
}

/// Host and port, which is all that pipelock decides by.
fn of_pipelock(record: &PipelockRecord) -> Option<Request> {
    if let Some((host, port)) = record.target.as_deref().and_then(|target| target.rsplit_once(':')) {
        return Some(Request::tunnel(host, port.parse().ok()?));
    }
    let (scheme, rest) = record.url.as_deref()?.split_once("://")?;
    let authority = rest.split('/').next()?;
    let default = if scheme == "http" { 80 } else { 443 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default),
    };
    Some(Request { is_plain: scheme == "http", ..Request::tunnel(host, port) })
}

const LOST: &str = "a count of requests that was announced is not in the log";
const NAMELESS: &str = "some records of what was sent name no host, or not the whole of it";
const MANY: &str = "more different requests were sent than are told apart";
