//! What a report says. Serialised, it is the JSON document, whose schema these types are.

use super::timeline::Timeline;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// Of the JSON document.
pub const VERSION: u32 = 1;

/// A report on an audit trail. Its texts come from an agent: they may hold anything that a terminal or a browser obeys.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Of this format.
    pub bottle_report: u32,
    /// The bottles that the records name.
    pub bottles: Listed<Bottle>,
    /// What was read.
    pub files: Vec<String>,
    /// The time of the first request.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub first: Option<Timestamp>,
    /// The time of the last request.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last: Option<Timestamp>,
    /// Whose records the numbers are from: `egress-proxy`, or `pipelock` where it is the only proxy.
    pub recorded_by: &'static str,
    /// How many requests there were, and what became of them.
    pub totals: Totals,
    /// The configurations that decided, by their SHA-256.
    pub configs: Listed<Config>,
    /// Requests over time.
    pub timeline: Timeline,
    /// Who was asked, the most asked first.
    pub hosts: Listed<Host>,
    /// What was denied, by the reason.
    pub denied: Vec<Reason>,
    /// What failed and was not denied, by the reason.
    pub failed: Vec<Reason>,
    /// Which credential was sent where.
    pub credentials: Listed<CredentialUse>,
    /// What pipelock found.
    pub findings: Listed<Finding>,
    /// What the suggested entries were tried with, as a person named it.
    pub rules: Option<String>,
    /// What the numbers leave out, and what could not be read; a sentence each.
    pub notes: Vec<String>,
}

/// The largest of many, and what is not among them.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Listed<T> {
    /// The largest.
    pub rows: Vec<T>,
    /// How many requests are in smaller ones that are not listed.
    pub more_requests: u64,
}

/// How many requests there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// All of them: the sum of those below.
    pub requests: u64,
    /// Sent on, and an answer came.
    pub allowed: u64,
    /// Refused by a rule, of either proxy.
    pub denied: u64,
    /// Not refused, and failed.
    pub failed: u64,
    /// Given up by the client before the decision.
    pub aborted: u64,
    /// Answered by the proxy itself.
    pub answered: u64,
    /// Sent on, and no end is known.
    pub unfinished: u64,
    /// Bytes that were sent: bodies and queries of requests.
    pub bytes_sent: u64,
    /// Of these, bytes of queries.
    pub query_bytes: u64,
    /// Bytes of the bodies of responses.
    pub bytes_received: u64,
    /// Bytes of tunnels that were not looked into, in both directions together.
    pub tunnel_bytes: u64,
    /// Requests among all of these that were counted in a flood, not recorded one by one.
    pub counted: u64,
}

/// A bottle.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Bottle {
    /// Its name.
    pub name: String,
    /// Its recorded requests.
    pub requests: u64,
}

/// A configuration of egress-proxy.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Config {
    /// The SHA-256 of its `routes.yaml`.
    pub sha256: String,
    /// Requests that it decided on.
    pub requests: u64,
    /// When it first decided.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first: Timestamp,
    /// When it last decided.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
}

/// An origin that was asked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Host {
    /// Scheme, host and port: `https://api.github.com`.
    pub origin: String,
    /// Requests.
    pub requests: u64,
    /// Requests that were allowed.
    pub allowed: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Bytes of request bodies and queries.
    pub bytes_sent: u64,
    /// Bytes of response bodies.
    pub bytes_received: u64,
    /// Bytes of tunnels that were not looked into.
    pub tunnel_bytes: u64,
    /// When it was last asked.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
}

/// What was refused, or failed, for one reason.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Reason {
    /// Its code.
    pub reason: String,
    /// All requests.
    pub requests: u64,
    /// Of these, counted in a flood: they are in no group.
    pub counted: u64,
    /// What was asked for, the most asked first.
    pub groups: Vec<Group>,
    /// Requests that were recorded and are in no group that is listed.
    pub more_requests: u64,
}

/// Requests with the same reason, origin, method and shape of the path.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Group {
    /// Who decided: `egress-proxy` or `pipelock`.
    pub decided_by: String,
    /// Scheme, host and port.
    pub origin: String,
    /// The method.
    pub method: String,
    /// The path, with `*` for segments that a machine named.
    pub path: String,
    /// How many requests.
    pub requests: u64,
    /// When the first was recorded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first: Timestamp,
    /// When the last was recorded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
    /// The path of one of them, where `path` is not all of it.
    pub example: Option<String>,
    /// What the agent was told, of one of them.
    pub message: Option<String>,
    /// What would allow that one.
    pub suggestion: Option<Suggestion>,
}

/// What would allow a request, by today's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suggestion {
    /// This entry of the manifest, which was tried.
    Entry(String),
    /// No entry; why, in words.
    None(String),
}

/// A credential, and where it was sent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CredentialUse {
    /// Its name, never its value.
    pub name: String,
    /// Where it was sent.
    pub origin: String,
    /// With how many requests.
    pub requests: u64,
    /// When last.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
}

/// Something that pipelock found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// The name of the pattern, or of the check.
    pub what: String,
    /// What it was found in.
    pub place: String,
    /// What pipelock did about it.
    pub action: String,
    /// Scheme, host and port.
    pub origin: String,
    /// How often.
    pub requests: u64,
    /// When first.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first: Timestamp,
    /// When last.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
    /// In pipelock's words, of one of them.
    pub message: Option<String>,
}
