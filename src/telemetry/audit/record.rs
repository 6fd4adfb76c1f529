//! What egress-proxy writes of a request.

use super::{Series, cut};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was let through, and an answer came; in a `dispatch`, none has come yet.
    Allow,
    /// A rule refused it: of the manifest, of HTTP, or of pipelock.
    Deny,
    /// No rule refused it, and it failed: a missing credential, an upstream that does not answer, a limit that is
    /// reached, a client that went away.
    Error,
}

impl Verdict {
    /// As it stands in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

/// What a record tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The request is about to be sent on. Written before its first byte is; `end` follows with the same `request`.
    /// Without one the process was killed meanwhile.
    Dispatch,
    /// A request that was sent on has ended, well or not.
    #[default]
    End,
    /// Refused without being sent on.
    Deny,
    /// Failed without being sent on.
    Error,
    /// Answered by the proxy itself.
    Answer,
    /// The client went away before anything was decided.
    Aborted,
}

/// What the [log](super::Log) needs to know of a record.
pub trait Recorded: Serialize {
    /// Where it goes.
    fn series(&self) -> Series;
    /// What is kept of it when it is counted instead of written.
    fn facts(&self) -> Facts;
}

/// What is kept of a record when it is counted instead of written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 of the config that decided, in hex; empty where no config did.
    pub config: String,
    /// When it was recorded.
    pub time: Timestamp,
    /// The host that was asked for.
    pub host: Option<String>,
    /// The method, as [`common_method`] names it.
    pub method: Option<&'static str>,
    /// The route's id.
    pub rule: Option<String>,
    /// The path, without the query.
    pub path: Option<String>,
    /// Of a refusal the stable code of its reason, of the end of what was sent on a word such as `allow 2xx`. There
    /// are few of them, and none comes from a client.
    pub outcome: String,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

/// The method (RFC 9110 §9.3, RFC 5789), or `other`: a client can make up any number of them.
#[must_use]
pub fn common_method(method: &str) -> &'static str {
    const COMMON: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    COMMON.into_iter().find(|common| *common == method).unwrap_or("other")
}

/// How something ended: `allow` and 204 are `allow 2xx`, and without a status it is `allow`.
#[must_use]
pub fn outcome(word: &str, status: Option<u16>) -> String {
    status.map_or_else(|| word.to_owned(), |status| format!("{word} {}xx", status / 100))
}

/// One request: its dispatch or its end. At most one of `path` and `target` is there, and of `message` and `finding`, so that
/// a line stays short. Optional parts are left out of the line when they are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// When the record was made: in a `dispatch`, when the request was sent on; else when it ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// What it tells of. Lines of older versions have none: each was an end.
    #[serde(default)]
    pub event: Event,
    /// The request: `START-CONNECTION-NUMBER`, the start of the process in milliseconds since 1970 (hexadecimal),
    /// the connection, and a number that counts the requests of the process. Empty in lines of older versions.
    #[serde(default)]
    pub request: String,
    /// The bottle's name.
    #[serde(serialize_with = "cut::text")]
    pub bottle: String,
    /// SHA-256 of the config that decided, in hex.
    pub config: String,
    /// The connection, counted from the start of the process.
    pub connection: u64,
    /// The method, or `CONNECT` for a tunnel that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub method: Option<String>,
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The host, canonical.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub host: Option<String>,
    /// The port that the request names, else that of its scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path, canonical, without the query; absent when it was refused before it had a canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub path: Option<String>,
    /// In the place of `path`: the target as it was received, escaped, without query, fragment and user information.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub target: Option<String>,
    /// Bytes of the query (or of a fragment), which is recorded nowhere; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_bytes: Option<u64>,
    /// The git operation: `none`, `fetch`, `push`, `lfs_upload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// Of a push whose commands were read: what it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Box<PushRecord>>,
    /// What became of the request; in a `dispatch`, what was decided.
    pub verdict: Verdict,
    /// The stable code of the refusal, or of what went wrong upstream.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub reason: Option<String>,
    /// Who decided: `egress-proxy` or `pipelock`.
    pub decided_by: String,
    /// The refusal in words, as the agent was told, when egress-proxy decided.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub message: Option<String>,
    /// What pipelock found, in its own words, when it decided.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub finding: Option<String>,
    /// The route's id.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub rule: Option<String>,
    /// Where the route stands in the manifest, as a pointer.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub source: Option<String>,
    /// The **name** of the credential that was set.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub credential: Option<String>,
    /// The status that the agent was sent; absent when the connection was closed without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the request's body that were read from the agent.
    pub request_bytes: u64,
    /// Bytes of the response's body that were passed to the agent.
    pub response_bytes: u64,
    /// Messages of a WebSocket that were read from the agent to their end. Its bytes are counted as those of a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_sent: Option<u64>,
    /// Messages of a WebSocket that were passed to the agent to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_received: Option<u64>,
    /// Whether the response reached its end.
    pub complete: bool,
    /// From the request's head to the response's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// From the request's head to the response's end.
    pub duration_ms: u64,
}

/// What a push changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushRecord {
    /// The refs, the first 20.
    pub refs: Vec<PushedRef>,
    /// How many more there are.
    #[serde(default)]
    pub more_refs: u64,
    /// The objects of its pack, once all of them were looked at and found good; absent for a push without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u32>,
    /// Lines with a finding that a comment in them exempts.
    #[serde(default)]
    pub exempted: u64,
    /// Why it was refused, in a word; absent where egress-proxy let it pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What the server reported; absent where it was not asked, or said nothing that is a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerReport>,
}

/// What a server said became of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerReport {
    /// Why it did not take the pack; absent where it did.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub unpack: Option<String>,
    /// Refs that it changed.
    pub accepted: u64,
    /// Refs that it did not change.
    pub refused: u64,
    /// Its report came to its end.
    pub complete: bool,
}

impl PushRecord {
    /// Refs that are named.
    pub const MOST_REFS: usize = 20;
}

/// What becomes of one ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushedRef {
    /// Its full name.
    #[serde(serialize_with = "cut::text")]
    pub name: String,
    /// What the client says it was; absent for a new one. The server compares it before it changes the ref.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_old: Option<String>,
    /// What it shall be; absent where it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// What it shall be is not in the pack: something that the server has already, of which nothing was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
    /// What the server said: `ok`, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub server: Option<String>,
}

impl Record {
    /// Whether host, method and path stand in it as they were: nothing of them was masked or cut.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let texts = [&self.host, &self.path, &self.method];
        texts.into_iter().flatten().all(|text| is_whole(text))
    }
}

/// Whether a text of a record stands there as it was. No host, method or canonical path holds these marks.
pub(super) fn is_whole(text: &str) -> bool {
    !text.contains("…[+") && !text.contains("***[")
}

impl Recorded for Record {
    fn series(&self) -> Series {
        match self.event {
            Event::Dispatch | Event::End => Series::Sent,
            Event::Deny | Event::Error | Event::Answer | Event::Aborted => Series::Denied,
        }
    }

    fn facts(&self) -> Facts {
        let outcome = match self.series() {
            Series::Sent => outcome(self.verdict.as_str(), self.status),
            Series::Denied => self.reason.clone().unwrap_or_else(|| self.event.as_str().to_owned()),
        };
        Facts {
            config: self.config.clone(),
            time: self.time,
            host: self.host.clone(),
            method: self.method.as_deref().map(common_method),
            rule: self.rule.clone(),
            path: self.path.clone(),
            outcome,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
        }
    }
}

impl Event {
    /// As it stands in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::End => "end",
            Self::Deny => "deny",
            Self::Error => "error",
            Self::Answer => "answer",
            Self::Aborted => "aborted",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn record(connection: u64) -> Record {
        Record {
            time: "2026-11-24T10:00:00Z".parse().unwrap(),
            event: Event::Deny,
            request: "19ab-1-1".to_owned(),
            bottle: "dev".to_owned(),
            config: "ab".to_owned(),
            connection,
            method: Some("GET".to_owned()),
            scheme: None,
            host: None,
            port: None,
            path: None,
            target: None,
            query_bytes: None,
            git: None,
            push: None,
            verdict: Verdict::Deny,
            reason: Some("host_not_allowed".to_owned()),
            decided_by: "egress-proxy".to_owned(),
            message: None,
            finding: None,
            rule: None,
            source: None,
            credential: None,
            status: Some(403),
            request_bytes: 0,
            response_bytes: 7,
            messages_sent: None,
            messages_received: None,
            complete: true,
            first_byte_ms: None,
            duration_ms: 1,
        }
    }

    #[test]
    fn unknown_parts_are_left_out_of_the_line() {
        assert_eq!(
            serde_json::to_string(&record(5)).unwrap(),
            r#"{"time":"2026-11-24T10:00:00Z","event":"deny","request":"19ab-1-1","bottle":"dev","config":"ab","connection":5,"method":"GET","verdict":"deny","reason":"host_not_allowed","decided_by":"egress-proxy","status":403,"request_bytes":0,"response_bytes":7,"complete":true,"duration_ms":1}"#
        );
    }

    #[test]
    fn a_line_of_an_older_version_is_an_end() {
        let mut line = serde_json::to_value(record(5)).unwrap();
        let fields = line.as_object_mut().unwrap();
        fields.remove("event");
        fields.remove("request");
        let read: Record = serde_json::from_value(line).unwrap();
        assert_eq!((read.event, read.request.as_str()), (Event::End, ""));
    }

    #[test]
    fn a_line_stays_short_whatever_the_agent_sends() {
        for hostile in ["\u{1}", "\"", "a", "\u{10ffff}"] {
            let long = Some(hostile.repeat(60_000));
            let record = Record {
                config: "f".repeat(64),
                method: long.clone(),
                host: long.clone(),
                query_bytes: Some(u64::MAX),
                rule: long.clone(),
                source: long.clone(),
                credential: long.clone(),
                ..record(u64::MAX)
            };
            let by_pipelock = Record { path: long.clone(), finding: long.clone(), ..record.clone() };
            for record in [by_pipelock, Record { target: long.clone(), message: long, ..record }] {
                let line = serde_json::to_string(&record).unwrap();
                assert!(line.len() <= 4096, "{}", line.len());
                assert!(line.contains(" bytes]\""), "{line}");
            }
        }
    }

    #[test]
    fn what_was_sent_on_is_counted_by_its_outcome_and_what_was_not_by_its_reason() {
        for event in [Event::Dispatch, Event::End] {
            let record = Record { event, method: Some("get".into()), ..record(1) };
            let facts = record.facts();
            assert_eq!((record.series(), facts.outcome.as_str()), (Series::Sent, "deny 4xx"));
            assert_eq!(facts.method, Some("other"), "methods are case-sensitive");
        }
        for event in [Event::Deny, Event::Error, Event::Answer, Event::Aborted] {
            let record = Record { event, reason: None, host: Some("a.test".into()), ..record(1) };
            let facts = record.facts();
            assert_eq!((facts.outcome.as_str(), facts.host.as_deref()), (event.as_str(), Some("a.test")));
            let line = serde_json::to_value(&record).unwrap();
            assert_eq!((line["event"].as_str(), record.series()), (Some(event.as_str()), Series::Denied));
        }
    }
}
