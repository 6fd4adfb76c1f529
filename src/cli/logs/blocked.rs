//! What pipelock refused in a bottle where nobody stands before it: its own log lines, in pipelock's format.

use super::suggestion::scalar;
use crate::printable::printable_name;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A line of the event `blocked`.
#[derive(Debug, Deserialize)]
pub(super) struct Blocked {
    time: Timestamp,
    event: String,
    method: Option<String>,
    target: Option<String>,
    scanner: Option<String>,
    reason: Option<String>,
}

impl Blocked {
    /// The line as a refusal, if it is one.
    pub(super) fn of(line: &str) -> Option<Self> {
        serde_json::from_str::<Self>(line).ok().filter(|line| line.event == "blocked")
    }

    /// A few lines.
    pub(super) fn as_text(&self) -> String {
        let or_unknown = |text: &Option<String>| printable_name(text.as_deref().unwrap_or("?")).into_owned();
        let mut text = format!(
            "{}  {} {}  {}, by pipelock\n",
            self.time.strftime("%H:%M:%S"),
            or_unknown(&self.method),
            or_unknown(&self.target),
            or_unknown(&self.scanner)
        );
        if let Some(reason) = &self.reason {
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
            "time": self.time.to_string(), "decided_by": "pipelock", "verdict": "deny", "method": self.method,
            "target": self.target, "reason": self.scanner, "message": self.reason, "entry": entry,
        })
    }

    /// The host that no entry names; an entry without a route opens port 443 and no other.
    fn missing_host(&self) -> Option<&str> {
        let (host, port) = self.target.as_deref()?.rsplit_once(':')?;
        (self.scanner.as_deref() == Some("domain_not_allowed") && port == "443").then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"level":"warn","time":"2026-11-25T00:30:48Z","component":"pipelock","event":"blocked","method":"CONNECT","target":"new.example:443","scanner":"domain_not_allowed","reason":"new.example is not in the allowlist","status_code":403}"#;

    #[test]
    fn a_host_that_is_missing_comes_with_its_entry() {
        let blocked = Blocked::of(LINE).unwrap();
        assert_eq!(
            blocked.as_text(),
            "00:30:48  CONNECT new.example:443  domain_not_allowed, by pipelock\n    \
             why:   new.example is not in the allowlist\n    \
             to allow it:\n      egress:\n        allowlist: [..., new.example]\n"
        );
        assert_eq!(blocked.as_json()["entry"], "egress:\n  allowlist: [..., new.example]\n");
    }

    #[test]
    fn what_no_entry_allows_has_none_and_what_the_agent_wrote_moves_no_cursor() {
        let line = LINE.replace("domain_not_allowed", "dlp").replace("new.example is", "\\u001b[2J\\nheld");
        let text = Blocked::of(&line).unwrap().as_text();
        assert!(!text.contains("allowlist: [") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        let port = Blocked::of(&LINE.replace(":443", ":22")).unwrap().as_text();
        assert!(!port.contains("to allow it"), "{port}");
    }

    #[test]
    fn another_event_is_no_refusal() {
        assert!(Blocked::of(&LINE.replace("\"blocked\"", "\"allowed\"")).is_none());
        assert!(Blocked::of("not JSON").is_none());
    }
}
