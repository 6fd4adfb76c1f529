//! What a proxy counted instead of writing it, for a person, and the counts that are missing.

use super::when;
use crate::printable::printable_name;
use crate::telemetry::audit::{Counted, CountedKind, Counting, Entry, Series};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;

/// After so long a count that was announced is missing: it is due after 10 seconds.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// Counts that were announced and are not there yet.
#[derive(Default)]
pub(super) struct Announced(Vec<Counting>);

impl Announced {
    /// Takes note of an entry; gives the count that is missing since another one begins.
    pub(super) fn see(&mut self, entry: &Entry) -> Option<Counting> {
        let (series, begins) = match entry {
            Entry::Counting(counting) => (counting.series.as_str(), Some(counting)),
            Entry::Counted(_) => (Series::Sent.as_str(), None),
            Entry::Suppressed(_) => (Series::Denied.as_str(), None),
            Entry::EgressProxy(_) | Entry::Pipelock(_) => return None,
        };
        let at = self.0.iter().position(|announced| announced.series == series);
        let announced = at.map(|at| self.0.swap_remove(at));
        let begins = begins?;
        self.0.push(begins.clone());
        announced
    }

    /// Those that should be there by now.
    pub(super) fn late(&mut self, now: Timestamp) -> Vec<Counting> {
        self.0.extract_if(.., |announced| now.duration_since(announced.time) > LATE).collect()
    }
}

/// A count that is not there.
pub(super) fn missing(counting: &Counting, now: Timestamp) -> String {
    let what = if counting.series == Series::Denied.as_str() { "refusals" } else { "requests" };
    format!(
        "{}  the count of {what} in the 10 seconds from here on is missing: {} was killed\n",
        when(counting.time, now),
        printable_name(&counting.decided_by)
    )
}

/// Requests that were sent on, of which some were refused further on.
pub(super) fn as_text(counted: &Counted, now: Timestamp) -> String {
    let mut text = format!(
        "{}  {} requests until {} were counted instead of written\n",
        when(counted.first, now),
        counted.requests,
        when(counted.last, now),
    );
    for kind in &counted.kinds {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let rule = kind.rule.as_ref().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
        let name = format!("{} {}{rule}", or_unknown(&kind.method), or_unknown(&kind.host));
        line(&mut text, &name, kind);
    }
    if let Some(other) = &counted.other {
        line(&mut text, "others", other);
    }
    text
}

fn line(text: &mut String, name: &str, kind: &CountedKind) {
    let outcomes: Vec<String> = kind.outcomes.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
    let ended = if outcomes.is_empty() { "none has ended".to_owned() } else { outcomes.join(", ") };
    let more = if kind.more_paths { "more than " } else { "" };
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "    {}: {} requests for {more}{} paths; {}; {} bytes sent, {} received",
        printable_name(name),
        kind.requests,
        kind.paths,
        printable_name(&ended),
        kind.request_bytes,
        kind.response_bytes,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> Entry {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        match value["event"].as_str().unwrap() {
            "counting" => Entry::Counting(serde_json::from_value(value).unwrap()),
            "counted" => Entry::Counted(serde_json::from_value(value).unwrap()),
            _ => Entry::Suppressed(serde_json::from_value(value).unwrap()),
        }
    }

    fn counting(series: &str, second: u8) -> Entry {
        entry(&format!(
            r#"{{"time":"2026-11-24T12:30:{second:02}Z","event":"counting","decided_by":"pipelock","series":"{series}"}}"#
        ))
    }

    const COUNTED: &str = r#"{"time":"2026-11-24T12:30:09Z","event":"counted","decided_by":"egress-proxy","requests":7,"kinds":[{"host":"a\u001b[2J.test","method":"GET","rule":"a","requests":6,"outcomes":{"allow 2xx":4,"deny 4xx":1},"request_bytes":10,"response_bytes":20,"paths":2,"more_paths":true,"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"}],"other":{"requests":1,"outcomes":{},"request_bytes":0,"response_bytes":0,"paths":1,"more_paths":false,"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"},"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"}"#;

    #[test]
    fn counted_requests_are_shown_by_kind_and_move_no_cursor() {
        let Entry::Counted(counted) = entry(COUNTED) else { panic!("no count") };
        assert_eq!(counted.refused(), 1);
        let text = as_text(&counted, counted.time);
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "12:30:00  7 requests until 12:30:09 were counted instead of written");
        assert!(
            lines[1].ends_with(
                ".test (rule a): 6 requests for more than 2 paths; 4 allow 2xx, 1 deny 4xx; 10 bytes sent, 20 received"
            ),
            "{text}"
        );
        assert_eq!(lines[2], "    others: 1 requests for 1 paths; none has ended; 0 bytes sent, 0 received");
    }

    #[test]
    fn a_count_that_does_not_follow_is_missing() {
        let mut announced = Announced::default();
        assert_eq!(announced.see(&counting("sent", 1)), None);
        assert_eq!(announced.see(&counting("denied", 2)), None);
        assert_eq!(announced.see(&entry(COUNTED)), None, "the count of the first");
        let missing_one = announced.see(&counting("denied", 30)).unwrap();
        assert_eq!(
            missing(&missing_one, missing_one.time),
            "12:30:02  the count of refusals in the 10 seconds from here on is missing: pipelock was killed\n"
        );
        let at = |second: i64| entry(COUNTED).time() + SignedDuration::from_secs(second);
        assert_eq!(announced.late(at(21 + 60)), [], "just in time");
        let late = announced.late(at(22 + 60));
        assert_eq!(late.len(), 1);
        assert_eq!(announced.late(at(1000)), []);
    }
}
