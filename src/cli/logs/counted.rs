//! What a proxy counted instead of writing it, for a person.

use super::when;
use crate::printable::printable_name;
use crate::telemetry::audit::{Counted, CountedKind, Counting, Series};
use jiff::Timestamp;
use std::fmt::Write as _;

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

    const COUNTED: &str = r#"{"time":"2026-11-24T12:30:09Z","event":"counted","decided_by":"egress-proxy","requests":7,"kinds":[{"host":"a\u001b[2J.test","method":"GET","rule":"a","requests":6,"outcomes":{"allow 2xx":4,"deny 4xx":1},"request_bytes":10,"response_bytes":20,"paths":2,"more_paths":true,"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"}],"other":{"requests":1,"outcomes":{},"request_bytes":0,"response_bytes":0,"paths":1,"more_paths":false,"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"},"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"}"#;

    #[test]
    fn counted_requests_are_shown_by_kind_and_move_no_cursor() {
        let counted: Counted = serde_json::from_str(COUNTED).unwrap();
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
    fn a_count_that_is_missing_is_said() {
        let missing_one =
            r#"{"time":"2026-11-24T12:30:02Z","event":"counting","decided_by":"pipelock","series":"denied"}"#;
        let missing_one: Counting = serde_json::from_str(missing_one).unwrap();
        assert_eq!(
            missing(&missing_one, missing_one.time),
            "12:30:02  the count of refusals in the 10 seconds from here on is missing: pipelock was killed\n"
        );
    }
}
