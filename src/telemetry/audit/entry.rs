//! A line of an audit folder, read back: whoever wrote it.

use super::{Counted, Counting, Event, Record, Series, Suppressed, Verdict, fields, record::is_whole};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A line. Its texts come from an agent: they may hold anything that a terminal obeys.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Entry {
    /// A request, as egress-proxy saw it.
    EgressProxy(Box<Record>),
    /// An event of pipelock.
    Pipelock(Box<PipelockRecord>),
    /// A flood of refusals, counted.
    Suppressed(Suppressed),
    /// A flood of requests that were sent on, counted.
    Counted(Counted),
    /// From now on one of the two is counted.
    Counting(Counting),
}

/// An event of pipelock, in the format of its log; what is unknown is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelockRecord {
    /// `info`, `warn` or `error`.
    pub level: String,
    /// When it was recorded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// Always `pipelock`.
    #[schemars(extend("const" = "pipelock"))]
    pub component: String,
    /// SHA-256 of the config that decided, in hex; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What happened: `dispatch`, `allowed`, `blocked`, `tunnel_open`, `header_dlp`, …
    pub event: String,
    /// The request's method; absent where the event is not of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Scheme, host and path of a request, without the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Bytes of the query, which is recorded nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_bytes: Option<u64>,
    /// `host:port` of a CONNECT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The client's address, or `unix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// The same in every line of one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The code of what blocked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanner: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The name of the pattern that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What it was encoded in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// `block`, `redact`, `warn` or `cut`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What was removed from the body before it went on: kinds, and how many of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<String, u32>,
    /// The status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// Bytes that a tunnel carried, in both directions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// From the request's head to the answer's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

impl PipelockRecord {
    /// Whether method and URL or target stand in it as they were: nothing of them was masked or cut.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        [&self.method, &self.url, &self.target].into_iter().flatten().all(|text| is_whole(text))
    }
}

impl Entry {
    /// Reads a line; `None` when it is none of ours.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        Self::read(line).ok()
    }

    /// Reads a line; the error says what is wrong with it.
    pub(super) fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow, default)]
            component: Option<std::borrow::Cow<'a, str>>,
            #[serde(borrow, default)]
            event: Option<std::borrow::Cow<'a, str>>,
        }
        let kind: Kind<'_> = serde_json::from_slice(line)?;
        match kind.event.as_deref() {
            Some("suppressed") => return serde_json::from_slice(line).map(Self::Suppressed),
            Some("counted") => return serde_json::from_slice(line).map(Self::Counted),
            Some("counting") => return serde_json::from_slice(line).map(Self::Counting),
            _ => {}
        }
        if kind.component.as_deref() == Some("pipelock") {
            return serde_json::from_slice(line).map(Self::Pipelock);
        }
        serde_json::from_slice(line).map(Self::EgressProxy)
    }

    /// The fields of a line that this version does not know.
    pub(super) fn unknown_fields(&self, line: &[u8]) -> Vec<String> {
        let known = match self {
            Self::EgressProxy(_) => fields::of::<Record>(),
            Self::Pipelock(_) => fields::of::<PipelockRecord>(),
            Self::Suppressed(_) => fields::of::<Suppressed>(),
            Self::Counted(_) => fields::of::<Counted>(),
            Self::Counting(_) => fields::of::<Counting>(),
        };
        fields::others(line, known)
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            Self::EgressProxy(record) => record.time,
            Self::Pipelock(record) => record.time,
            Self::Suppressed(counted) => counted.time,
            Self::Counted(counted) => counted.time,
            Self::Counting(counting) => counting.time,
        }
    }

    /// Whether it tells of a refusal: what `bottle logs --denied` shows. An error is none, nor is a dispatch.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::EgressProxy(record) => record.verdict == Verdict::Deny && record.event != Event::Dispatch,
            Self::Pipelock(record) => record.event == "blocked",
            Self::Suppressed(_) => true,
            Self::Counted(counted) => counted.refused() > 0,
            Self::Counting(counting) => counting.series == Series::Denied.as_str(),
        }
    }
}
