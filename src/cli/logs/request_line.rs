//! One request on one line, for a person who watches: time, verdict, status, method, bytes, duration, URL and, of what was
//! not let through, the reason.

use super::suggestion;
use crate::printable::printable_name;
use crate::telemetry::audit::{Event, PipelockRecord, Record, Verdict};

/// Names the columns.
pub(super) const HEADING: &str = "TIME      VERDICT STATUS METHOD      SENT  RECEIVED     TOOK  REQUEST\n";
/// Characters of a URL or a reason that are shown.
const LONGEST: usize = 160;

/// What is shown of a request. Two that are equal but for [`Measured`] are shown together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) verdict: Verdict,
    pub(super) status: Option<u16>,
    pub(super) method: String,
    pub(super) url: String,
    /// Why it was not let through, or what went wrong.
    pub(super) reason: Option<String>,
}

/// What differs from one request to its next of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) sent: Option<u64>,
    pub(super) received: Option<u64>,
    pub(super) took: Option<u64>,
}

/// A request that has ended; nothing of one that was only sent on.
pub(super) fn of_record(record: &Record) -> Option<(Shown, Measured)> {
    if record.event == Event::Dispatch {
        return None;
    }
    let (method, url) = suggestion::request(record);
    let by = if record.decided_by == "egress-proxy" {
        String::new()
    } else {
        format!(", by {}", record.decided_by)
    };
    let reason = record.reason.as_deref().unwrap_or(match record.event {
        Event::Aborted => "the client went away",
        _ if !record.complete => "cut off",
        _ => "refused",
    });
    let whole = record.verdict == Verdict::Allow && record.complete;
    let why = record.message.as_ref().or(record.finding.as_ref());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let shown = Shown {
        verdict: record.verdict,
        status: record.status,
        method,
        url,
        reason: (!whole).then(|| format!("{reason}{by}{why}")),
    };
    let measured = Measured {
        sent: Some(record.request_bytes),
        received: Some(record.response_bytes),
        took: Some(record.duration_ms),
    };
    Some((shown, measured))
}

/// The same of what pipelock wrote, in a bottle where it alone sees requests.
pub(super) fn of_pipelock(record: &PipelockRecord) -> Option<(Shown, Measured)> {
    let verdict = match record.event.as_str() {
        "blocked" => Verdict::Deny,
        "allowed" | "tunnel_close" => Verdict::Allow,
        "error" => Verdict::Error,
        _ => return None,
    };
    let why = record.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let code = record.scanner.as_deref().unwrap_or("refused");
    let shown = Shown {
        verdict,
        status: record.status_code,
        method: record.method.clone().unwrap_or_else(|| "?".to_owned()),
        url: record.url.clone().or_else(|| record.target.clone()).unwrap_or_else(|| "?".to_owned()),
        reason: (verdict != Verdict::Allow).then(|| format!("{code}{why}")),
    };
    let measured = Measured { sent: None, received: record.size_bytes, took: record.duration_ms };
    Some((shown, measured))
}

/// The line; `times` is how often that was asked, and the numbers are then those of the last.
pub(super) fn line(
    when: &impl std::fmt::Display,
    shown: &Shown,
    measured: Measured,
    times: u64,
    colour: bool,
) -> String {
    let (word, code) = match shown.verdict {
        Verdict::Allow => ("allow", "32"),
        Verdict::Deny => ("deny", "31"),
        Verdict::Error => ("error", "33"),
    };
    let verdict = format!("{word:<7}");
    let verdict = if colour { format!("\u{1b}[{code}m{verdict}\u{1b}[0m") } else { verdict };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let repeats = if times > 1 { format!("  ×{times}") } else { String::new() };
    let reason = shown.reason.as_deref().map(|reason| format!("  {}", bounded(reason))).unwrap_or_default();
    format!(
        "{when}  {verdict} {:<6} {:<7} {:>8}  {:>8}  {:>7}  {}{repeats}{reason}\n",
        or_none(shown.status.map(|status| status.to_string())),
        bounded(&shown.method),
        or_none(measured.sent.map(bytes)),
        or_none(measured.received.map(bytes)),
        or_none(measured.took.map(duration)),
        bounded(&shown.url),
    )
}

/// Escaped, and no longer than a person reads: what it says comes from an agent.
fn bounded(text: &str) -> String {
    let shown = printable_name(text);
    match shown.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.into_owned(),
    }
}

/// In three digits or so.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut whole, mut unit) = (count, 0);
    while whole >= 1024 * 1024 && unit + 1 < UNITS.len() {
        (whole, unit) = (whole / 1024, unit + 1);
    }
    let tenths = whole.saturating_mul(10) / 1024;
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &serde_json::Value) -> Record {
        let mut record = serde_json::json!({
            "time": "2026-11-24T12:30:01Z", "event": "end", "bottle": "dev", "config": "c", "connection": 1,
            "method": "GET", "scheme": "https", "host": "api.example", "port": 443, "path": "/v1/x",
            "verdict": "allow", "decided_by": "egress-proxy", "status": 200, "request_bytes": 12,
            "response_bytes": 1_234_567, "complete": true, "duration_ms": 1_234,
        });
        for (key, value) in fields.as_object().unwrap() {
            record[key] = value.clone();
        }
        serde_json::from_value(record).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn shown(fields: serde_json::Value, colour: bool) -> String {
        let (shown, measured) = of_record(&record(&fields)).unwrap();
        line(&"12:30:01", &shown, measured, 1, colour)
    }

    #[test]
    fn a_line_has_its_columns_below_their_names() {
        let (request, measured) = of_record(&record(&serde_json::json!({}))).unwrap();
        let allowed = line(&"12:30:01", &request, measured, 12, false);
        assert_eq!(
            format!("{HEADING}{allowed}"),
            "TIME      VERDICT STATUS METHOD      SENT  RECEIVED     TOOK  REQUEST\n\
             12:30:01  allow   200    GET         12 B   1.1 MiB    1.2 s  https://api.example/v1/x  ×12\n"
        );
        let denied = shown(
            serde_json::json!({
                "event": "deny", "verdict": "deny", "status": 403, "reason": "path_not_allowed", "message": "no entry",
            }),
            true,
        );
        assert!(denied.starts_with("12:30:01  \u{1b}[31mdeny   \u{1b}[0m 403 "), "{denied:?}");
        assert!(denied.ends_with("https://api.example/v1/x  path_not_allowed: no entry\n"), "{denied}");
    }

    #[test]
    fn what_did_not_end_well_says_so_and_a_dispatch_is_no_line() {
        let cut = shown(serde_json::json!({"complete": false}), false);
        assert!(cut.ends_with("/v1/x  cut off\n"), "{cut}");
        let gone = shown(
            serde_json::json!({"event": "aborted", "verdict": "error", "status": null, "complete": false}),
            false,
        );
        assert!(gone.contains("error   -  ") && gone.ends_with("  the client went away\n"), "{gone}");
        let by = serde_json::json!({"verdict": "deny", "decided_by": "pipelock", "reason": "blocked_by_pipelock", "finding": "dlp"});
        let by = shown(by, false);
        assert!(by.ends_with("  blocked_by_pipelock, by pipelock: dlp\n"), "{by}");
        assert_eq!(of_record(&record(&serde_json::json!({"event": "dispatch"}))), None);
    }

    #[test]
    fn what_the_agent_sent_is_bounded_and_moves_no_cursor() {
        let path = format!("/\u{1b}[2J\n{}", "a".repeat(4000));
        let line = shown(serde_json::json!({"path": path, "method": "\u{1b}[31mX"}), false);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.contains('\u{1b}') && line.contains('…') && line.chars().count() < 300, "{line}");
    }

    #[test]
    fn numbers_are_short() {
        let all = [0, 1023, 1024, 10_239, 10_240, 1_048_575, 1_048_576, u64::MAX].map(bytes);
        assert_eq!(
            all,
            ["0 B", "1023 B", "1.0 KiB", "9.9 KiB", "10 KiB", "1023 KiB", "1.0 MiB", "16777215 TiB"]
        );
        assert_eq!([999, 1_000, 59_999, 60_000].map(duration), ["999 ms", "1.0 s", "59.9 s", "1 min"]);
    }

    #[test]
    fn pipelock_alone_is_shown_alike() {
        let line = r#"{"level":"warn","time":"2026-11-25T00:30:48Z","component":"pipelock","event":"blocked","method":"CONNECT","target":"new.example:443","scanner":"domain_not_allowed","reason":"not in the allowlist","status_code":403}"#;
        let (shown, _) = of_pipelock(&serde_json::from_str(line).unwrap()).unwrap();
        assert_eq!((shown.verdict, shown.url.as_str()), (Verdict::Deny, "new.example:443"));
        assert_eq!(shown.reason.as_deref(), Some("domain_not_allowed: not in the allowlist"));
        let other = line.replace("blocked", "header_dlp");
        assert_eq!(of_pipelock(&serde_json::from_str(&other).unwrap()), None);
    }
}
