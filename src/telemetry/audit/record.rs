//! What egress-proxy writes of a request.

use super::{Series, cut};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Its parts that a flood of refusals is counted by; `None` for what is always written.
    fn refused(&self) -> Option<Refused>;
}

/// A refusal, as it is counted in a flood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub time: Timestamp,
    /// The stable code of the reason.
    pub reason: String,
    /// The host that was asked for.
    pub host: Option<String>,
}

/// One request: its dispatch or its end. Optional parts are left out of the line when they are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the request's head had arrived; in a `dispatch`, when it was sent on.
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
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path, canonical, without the query; absent when the target has no canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub path: Option<String>,
    /// The git operation: `none`, `fetch`, `push`, `lfs_upload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// What became of the request; in a `dispatch`, what was decided.
    pub verdict: Verdict,
    /// The stable code of the refusal, or of what went wrong upstream.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub reason: Option<String>,
    /// Who decided: `egress-proxy` or `pipelock`.
    pub decided_by: String,
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
    /// Whether the response reached its end.
    pub complete: bool,
    /// From the request's head to the response's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// From the request's head to the response's end.
    pub duration_ms: u64,
}

impl Recorded for Record {
    fn series(&self) -> Series {
        match self.event {
            Event::Dispatch | Event::End => Series::Sent,
            Event::Deny | Event::Error | Event::Answer | Event::Aborted => Series::Denied,
        }
    }

    /// Whatever was not sent on is cheap for a client to repeat, whether it was refused or not.
    fn refused(&self) -> Option<Refused> {
        let counted = self.series() == Series::Denied;
        counted.then(|| Refused {
            time: self.time,
            reason: self.reason.clone().unwrap_or_else(|| self.event.as_str().to_owned()),
            host: self.host.clone(),
        })
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
            git: None,
            verdict: Verdict::Deny,
            reason: Some("host_not_allowed".to_owned()),
            decided_by: "egress-proxy".to_owned(),
            finding: None,
            rule: None,
            source: None,
            credential: None,
            status: Some(403),
            request_bytes: 0,
            response_bytes: 7,
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
                path: long.clone(),
                finding: long.clone(),
                rule: long.clone(),
                source: long.clone(),
                credential: long,
                ..record(u64::MAX)
            };
            let line = serde_json::to_string(&record).unwrap();
            assert!(line.len() <= 4096, "{}", line.len());
            assert!(line.contains(" bytes]\""), "{line}");
        }
    }

    #[test]
    fn what_was_sent_on_is_never_counted_instead_of_written() {
        for event in [Event::Dispatch, Event::End] {
            let record = Record { event, ..record(1) };
            assert_eq!((record.series(), record.refused()), (Series::Sent, None));
        }
        for event in [Event::Deny, Event::Error, Event::Answer, Event::Aborted] {
            let record = Record { event, reason: None, host: Some("a.test".into()), ..record(1) };
            let refused = record.refused().unwrap();
            assert_eq!((refused.reason.as_str(), refused.host.as_deref()), (event.as_str(), Some("a.test")));
            let line = serde_json::to_value(&record).unwrap();
            assert_eq!((line["event"].as_str(), record.series()), (Some(event.as_str()), Series::Denied));
        }
    }
}
