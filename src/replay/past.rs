//! What a record tells of a request: enough to ask for it again, or why it can't be asked for.

use crate::policy::{Basis, GitOperation, Reason, Scheme};
use crate::telemetry::audit::{Entry, Event, PipelockRecord, Record, Verdict};
use jiff::Timestamp;

/// Why something that is recorded is not asked for again. In the order in which it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotReplayed {
    /// Counted in a flood, instead of recorded.
    Counted,
    /// Sent on, and no end is recorded.
    Unfinished,
    /// No rule refused it, and it failed.
    Failed,
    /// The client went away before the decision.
    Aborted,
    /// The proxy answered by itself.
    Answered,
    /// Host, method or path are masked or cut in the record.
    Cut,
    /// Refused before it had a host and a path in canonical form.
    NoPath,
    /// Refused for what is not recorded, and no rule refuses it now.
    Content,
    /// Of another bottle.
    OtherBottle,
    /// An event of pipelock that is not a request of its own.
    PipelockEvent,
}

impl NotReplayed {
    /// All of them, in the order in which they are said.
    pub const ALL: [Self; 10] = [
        Self::Counted,
        Self::Unfinished,
        Self::Failed,
        Self::Aborted,
        Self::Answered,
        Self::Cut,
        Self::NoPath,
        Self::Content,
        Self::OtherBottle,
        Self::PipelockEvent,
    ];

    /// A stable name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Unfinished => "unfinished",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Answered => "answered",
            Self::Cut => "cut",
            Self::NoPath => "no_path",
            Self::Content => "content",
            Self::OtherBottle => "other_bottle",
            Self::PipelockEvent => "pipelock_event",
        }
    }

    /// The same in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Counted => "counted in a flood instead of recorded",
            Self::Unfinished => "sent on, with no end in these files: under way, or a proxy was killed",
            Self::Failed => "failed, and no rule had refused it",
            Self::Aborted => "aborted by the client before the decision",
            Self::Answered => "answered by egress-proxy itself",
            Self::Cut => "a part of host, method or path is masked or cut in the record",
            Self::NoPath => "refused before host and path had a canonical form",
            Self::Content => "refused for what is not recorded (fields, query, body); no rule refuses it",
            Self::OtherBottle => "of another bottle",
            Self::PipelockEvent => {
                "recorded by pipelock, and not a request or one that egress-proxy records as well"
            }
        }
    }
}

/// What a record is to a replay.
pub(super) enum Past<'e> {
    /// A request that is asked for again.
    Request(PastRequest<'e>),
    /// A request that was sent on; its end follows.
    Dispatch(&'e str),
    /// So many requests that are not asked for again.
    Not(NotReplayed, u64),
    /// Says nothing of a request.
    Nothing,
}

/// A request that was decided on.
pub(super) struct PastRequest<'e> {
    pub(super) time: Timestamp,
    pub(super) scheme: Scheme,
    pub(super) host: &'e str,
    pub(super) port: u16,
    /// `None`: a CONNECT whose tunnel carried no request.
    pub(super) asked: Option<(&'e str, &'e str)>,
    pub(super) git: GitOperation,
    /// The query is not recorded; there was one.
    pub(super) had_query: bool,
    pub(super) verdict: PastVerdict<'e>,
}

/// What was decided.
#[derive(Clone, Copy)]
pub(super) enum PastVerdict<'e> {
    /// Let through.
    Allowed(PastCredential<'e>),
    /// Refused, for this reason; by a rule, or for what is not recorded.
    Denied { reason: &'e str, by_rule: bool },
}

/// What was put on a request.
#[derive(Clone, Copy)]
pub(super) enum PastCredential<'e> {
    /// pipelock does not know.
    Unknown,
    /// None, or this one.
    Known(Option<&'e str>),
}

impl<'e> Past<'e> {
    /// Reads an entry of a bottle. `direct`: pipelock is the only proxy, so that its records are those of requests.
    pub(super) fn read(entry: &'e Entry, bottle: &str, direct: bool) -> Self {
        match entry {
            Entry::EgressProxy(record) if record.bottle != bottle => Self::Not(NotReplayed::OtherBottle, 1),
            Entry::EgressProxy(record) => of_record(record),
            Entry::Pipelock(record) if direct => of_pipelock(record),
            Entry::Pipelock(_) => Self::Not(NotReplayed::PipelockEvent, 1),
            // Both proxies count the same flood.
            Entry::Suppressed(counted) if direct || counted.decided_by == "egress-proxy" => {
                Self::Not(NotReplayed::Counted, counted.count)
            }
            Entry::Counted(counted) if direct || counted.decided_by == "egress-proxy" => {
                Self::Not(NotReplayed::Counted, counted.requests)
            }
            Entry::Suppressed(_) | Entry::Counted(_) | Entry::Counting(_) => Self::Nothing,
        }
    }
}

fn of_record(record: &Record) -> Past<'_> {
    match (record.event, record.verdict) {
        // Lines of older versions have no id.
        (Event::Dispatch, _) if record.request.is_empty() => return Past::Nothing,
        (Event::Dispatch, _) => return Past::Dispatch(&record.request),
        (Event::Answer, _) => return Past::Not(NotReplayed::Answered, 1),
        (Event::Aborted, _) => return Past::Not(NotReplayed::Aborted, 1),
        (Event::Error, _) | (_, Verdict::Error) => return Past::Not(NotReplayed::Failed, 1),
        (Event::End | Event::Deny, Verdict::Allow | Verdict::Deny) => {}
    }
    if !record.is_whole() {
        return Past::Not(NotReplayed::Cut, 1);
    }
    let scheme = match record.scheme.as_deref() {
        Some("http") => Scheme::Http,
        _ => Scheme::Https,
    };
    let (Some(host), Some(method)) = (record.host.as_deref(), record.method.as_deref()) else {
        return Past::Not(NotReplayed::NoPath, 1);
    };
    let asked = match record.path.as_deref() {
        Some(path) => Some((method, path)),
        // Of a tunnel nothing more is known than where it should have led.
        None if method == "CONNECT" => None,
        None => return Past::Not(NotReplayed::NoPath, 1),
    };
    let git = match record.git.as_deref() {
        Some("fetch") => GitOperation::Fetch,
        Some("push") => GitOperation::Push,
        Some("lfs_upload") => GitOperation::LfsUpload,
        _ => GitOperation::None,
    };
    let verdict = if record.verdict == Verdict::Allow {
        PastVerdict::Allowed(PastCredential::Known(record.credential.as_deref()))
    } else {
        let reason = record.reason.as_deref().unwrap_or_default();
        let known = Reason::ALL.iter().find(|known| known.code() == reason);
        PastVerdict::Denied { reason, by_rule: known.is_some_and(|reason| reason.basis() == Basis::Rules) }
    };
    Past::Request(PastRequest {
        time: record.time,
        scheme,
        host,
        port: record.port.unwrap_or(scheme.default_port()),
        asked,
        git,
        had_query: record.query_bytes.is_some(),
        verdict,
    })
}

/// A request of a bottle without routes: pipelock decides by host and port, and looks into what it can read.
fn of_pipelock(record: &PipelockRecord) -> Past<'_> {
    let verdict = match record.event.as_str() {
        "dispatch" => return record.request_id.as_deref().map_or(Past::Nothing, Past::Dispatch),
        "allowed" | "tunnel_open" => PastVerdict::Allowed(PastCredential::Unknown),
        "blocked" => {
            let reason = record.scanner.as_deref().unwrap_or_default();
            let by_rule = ["domain_not_allowed", "port_not_allowed", "plain_http"].contains(&reason);
            PastVerdict::Denied { reason, by_rule }
        }
        "error" => return Past::Not(NotReplayed::Failed, 1),
        _ => return Past::Not(NotReplayed::PipelockEvent, 1),
    };
    if !record.is_whole() {
        return Past::Not(NotReplayed::Cut, 1);
    }
    let read = match (&record.url, &record.target, record.method.as_deref()) {
        (Some(url), _, Some(method)) => {
            of_url(url).map(|(scheme, authority, path)| (scheme, authority, Some((method, path))))
        }
        (None, Some(target), _) => Some((Scheme::Https, target.as_str(), None)),
        _ => None,
    };
    let Some((scheme, authority, asked)) = read else { return Past::Not(NotReplayed::NoPath, 1) };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, Some(scheme.default_port())),
    };
    let Some(port) = port else { return Past::Not(NotReplayed::NoPath, 1) };
    Past::Request(PastRequest {
        time: record.time,
        scheme,
        host,
        port,
        asked,
        git: GitOperation::None,
        had_query: record.query_bytes.is_some(),
        verdict,
    })
}

fn of_url(url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Some((scheme, authority, if path.is_empty() { "/" } else { path }))
}
