//! What pipelock refused in a bottle where nobody stands before it: its own log lines, in pipelock's format.

use super::when;
use crate::explain::scalar;
use crate::printable::printable_name;
use crate::telemetry::audit::PipelockRecord;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// An event `blocked`.
pub(super) struct Blocked<'a>(&'a PipelockRecord);

impl<'a> Blocked<'a> {
    pub(super) fn from_record(record: &'a PipelockRecord) -> Self {
        Self(record)
    }

    /// When, what was asked, and why pipelock refused it.
    pub(super) fn as_text(&self, now: Timestamp) -> String {
        let or_unknown = |text: &Option<String>| printable_name(text.as_deref().unwrap_or("?")).into_owned();
        let mut text = format!(
            "{}  {} {}  {}, by pipelock\n",
            when(self.0.time, now),
            or_unknown(&self.0.method),
            or_unknown(&self.0.target),
            or_unknown(&self.0.scanner)
        );
        if let Some(reason) = &self.0.reason {
            let _ = writeln!(text, "    why:   {}", printable_name(reason)); // writing to a String can't fail
        }
        if let Some(host) = self.missing_host() {
            let _ = writeln!(
                text,
                "    to allow it:\n      egress:\n        allowlist: [..., {}]",
                printable_name(&scalar(host))
            );
        }
        text
    }

    /// The same for machines.
    pub(super) fn as_json(&self) -> Value {
        let entry =
            self.missing_host().map(|host| format!("egress:\n  allowlist: [..., {}]\n", scalar(host)));
        json!({
            "time": self.0.time.to_string(), "decided_by": "pipelock", "verdict": "deny", "method": self.0.method,
            "target": self.0.target, "reason": self.0.scanner, "message": self.0.reason, "entry": entry,
        })
    }

    /// The host that no entry names; an entry without a route opens port 443 and no other.
    fn missing_host(&self) -> Option<&str> {
        let (host, port) = self.0.target.as_deref()?.rsplit_once(':')?;
        (self.0.scanner.as_deref() == Some("domain_not_allowed") && port == "443").then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"level":"warn","time":"2026-11-25T00:30:48Z","component":"pipelock","event":"blocked","method":"CONNECT","target":"new.example:443","scanner":"domain_not_allowed","reason":"new.example is not in the allowlist","status_code":403}"#;

    #[test]
    fn a_host_that_is_missing_comes_with_its_entry() {
        let record: PipelockRecord = serde_json::from_str(LINE).unwrap();
        let blocked = Blocked::from_record(&record);
        assert_eq!(
            blocked.as_text("2026-11-25T10:00:00Z".parse().unwrap()),
            "00:30:48  CONNECT new.example:443  domain_not_allowed, by pipelock\n    \
             why:   new.example is not in the allowlist\n    \
             to allow it:\n      egress:\n        allowlist: [..., new.example]\n"
        );
        assert_eq!(blocked.as_json()["entry"], "egress:\n  allowlist: [..., new.example]\n");
    }

    #[test]
    fn what_no_entry_allows_has_none_and_what_the_agent_wrote_moves_no_cursor() {
        let text = |line: &str| {
            Blocked::from_record(&serde_json::from_str(line).unwrap()).as_text(Timestamp::UNIX_EPOCH)
        };
        let line = LINE.replace("domain_not_allowed", "dlp").replace("new.example is", "\\u001b[2J\\nheld");
        let shown = text(&line);
        assert!(!shown.contains("allowlist: [") && !shown.contains('\u{1b}'), "{shown}");
        assert_eq!(shown.lines().count(), 2, "{shown}");
        let port = text(&LINE.replace(":443", ":22"));
        assert!(!port.contains("to allow it"), "{port}");
    }
}
