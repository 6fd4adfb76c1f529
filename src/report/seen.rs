//! What one record tells a report.

use super::Kind;
use crate::telemetry::audit::{Event, PipelockRecord, Record, Verdict};
use jiff::Timestamp;

/// What is said where a record has no host.
const NO_HOST: &str = "(no host)";

/// A request that has ended.
pub(super) struct Request<'e> {
    pub(super) time: Timestamp,
    pub(super) origin: String,
    pub(super) method: &'e str,
    pub(super) path: &'e str,
    pub(super) kind: Kind,
    pub(super) reason: &'e str,
    pub(super) decided_by: &'e str,
    pub(super) sentence: Option<&'e str>,
    pub(super) credential: Option<&'e str>,
    /// It was sent on.
    pub(super) is_sent: bool,
    pub(super) body_bytes: u64,
    pub(super) query_bytes: u64,
    pub(super) response_bytes: u64,
}

/// Something that pipelock found.
pub(super) struct Found<'e> {
    pub(super) time: Timestamp,
    pub(super) what: &'e str,
    pub(super) place: &'e str,
    pub(super) action: &'e str,
    pub(super) origin: String,
    pub(super) sentence: Option<&'e str>,
}

/// What a record tells.
pub(super) enum Told<'e> {
    /// It was sent on; its end follows.
    Dispatch(&'e str),
    /// It ended.
    Request(Request<'e>),
    /// So many bytes went through a tunnel, in both directions together.
    Tunnel(String, u64),
    /// Nothing of a request.
    Nothing,
}

/// Scheme, host and port, the port where it is not the scheme's own.
pub(super) fn origin(scheme: Option<&str>, host: Option<&str>, port: Option<u16>) -> String {
    let Some(host) = host else { return NO_HOST.to_owned() };
    let scheme = scheme.unwrap_or("https");
    match (scheme, port) {
        (_, None) | ("https", Some(443)) | ("http", Some(80)) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    }
}

pub(super) fn of_record(record: &Record) -> Told<'_> {
    let kind = match (record.event, record.verdict) {
        (Event::Dispatch, _) => return Told::Dispatch(&record.request),
        (Event::Answer, _) => Kind::Answered,
        (Event::Aborted, _) => Kind::Aborted,
        (Event::Error, _) | (_, Verdict::Error) => Kind::Failed,
        (_, Verdict::Deny) => Kind::Denied,
        (_, Verdict::Allow) => Kind::Allowed,
    };
    Told::Request(Request {
        time: record.time,
        origin: origin(record.scheme.as_deref(), record.host.as_deref(), record.port),
        method: record.method.as_deref().unwrap_or("?"),
        path: record.path.as_deref().or(record.target.as_deref()).unwrap_or_default(),
        kind,
        reason: record.reason.as_deref().unwrap_or("unknown"),
        decided_by: &record.decided_by,
        sentence: record.message.as_deref().or(record.finding.as_deref()),
        credential: record.credential.as_deref(),
        is_sent: record.event == Event::End,
        body_bytes: record.request_bytes,
        query_bytes: record.query_bytes.unwrap_or_default(),
        response_bytes: record.response_bytes,
    })
}

/// What pipelock had found, as egress-proxy was told.
pub(super) fn found_of_record(record: &Record) -> Option<Found<'_>> {
    Some(Found {
        time: record.time,
        what: record.finding.as_deref()?,
        place: "request",
        action: "block",
        origin: origin(record.scheme.as_deref(), record.host.as_deref(), record.port),
        sentence: None,
    })
}

/// Of a request that pipelock decided on.
pub(super) fn of_pipelock(record: &PipelockRecord) -> Told<'_> {
    let (origin, path) = asked(record);
    let kind = match record.event.as_str() {
        "dispatch" => return record.request_id.as_deref().map_or(Told::Nothing, Told::Dispatch),
        "allowed" | "tunnel_open" => Kind::Allowed,
        "blocked" => Kind::Denied,
        "error" => Kind::Failed,
        "tunnel_close" => return Told::Tunnel(origin, record.size_bytes.unwrap_or_default()),
        _ => return Told::Nothing,
    };
    Told::Request(Request {
        time: record.time,
        origin,
        method: record.method.as_deref().unwrap_or("?"),
        path,
        kind,
        reason: record.scanner.as_deref().unwrap_or("unknown"),
        decided_by: "pipelock",
        sentence: record.reason.as_deref(),
        credential: None,
        is_sent: kind != Kind::Denied,
        body_bytes: 0,
        query_bytes: record.query_bytes.unwrap_or_default(),
        response_bytes: 0,
    })
}

/// What its scanners found; not what its lists of hosts and ports refused.
pub(super) fn found_of_pipelock(record: &PipelockRecord) -> Option<Found<'_>> {
    let place = match record.event.as_str() {
        "blocked" | "dlp_warn" => "request",
        "header_dlp" => "field",
        "body_dlp" => "body",
        "response_scan" | "response_stalled" => "response",
        "sni_mismatch" => "TLS server name",
        _ => return None,
    };
    let scanner = record.scanner.as_deref().unwrap_or(&record.event);
    if record.pattern.is_none() && ["domain_not_allowed", "port_not_allowed", "plain_http"].contains(&scanner)
    {
        return None;
    }
    Some(Found {
        time: record.time,
        what: record.pattern.as_deref().unwrap_or(scanner),
        place,
        action: record.action.as_deref().unwrap_or(if record.event == "blocked" { "block" } else { "note" }),
        origin: asked(record).0,
        sentence: record.reason.as_deref(),
    })
}

/// Origin and path.
fn asked(record: &PipelockRecord) -> (String, &str) {
    if let Some(url) = record.url.as_deref() {
        let start = url.find("://").map_or(0, |at| at + 3);
        let end = url[start..].find('/').map_or(url.len(), |at| start + at);
        return (url[..end].to_owned(), &url[end..]);
    }
    let Some(target) = record.target.as_deref() else { return (NO_HOST.to_owned(), "") };
    (format!("https://{}", target.strip_suffix(":443").unwrap_or(target)), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_the_port_that_its_scheme_has_not() {
        assert_eq!(origin(None, Some("a.test"), Some(443)), "https://a.test");
        assert_eq!(origin(Some("http"), Some("a.test"), Some(443)), "http://a.test:443");
        assert_eq!(origin(Some("http"), Some("a.test"), Some(80)), "http://a.test");
        assert_eq!(origin(Some("http"), None, Some(80)), "(no host)");
    }
}
