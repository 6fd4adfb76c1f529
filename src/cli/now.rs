//! Times on the command line: `--now DATE` (the day's first moment, UTC) or a time, and how long something is.

use crate::clock::Clock;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil::Date, tz::TimeZone};

/// Reads `2026-11-24` or `2026-11-24T12:00:00Z`.
pub(crate) fn parse(text: &str) -> Result<Clock, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Clock::fixed(time));
    }
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let start = day.and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok());
    start
        .map(Clock::fixed)
        .ok_or_else(|| "a date like 2026-11-24, or a time like 2026-11-24T12:00:00Z".to_owned())
}

/// Reads `90s`, `10m`, `2h` or `7d`; a day has 24 hours.
pub(crate) fn age(text: &str) -> Result<SignedDuration, String> {
    let age = text.parse::<Span>().ok();
    let age = age.and_then(|age| age.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    age.filter(|age| !age.is_negative()).ok_or_else(|| "a time such as 90s, 10m, 2h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_first_moment_and_a_time_is_itself() {
        assert_eq!(parse("2026-11-24").unwrap().now().to_string(), "2026-11-24T00:00:00Z");
        assert_eq!(parse("2026-11-24T12:30:00Z").unwrap().now().to_string(), "2026-11-24T12:30:00Z");
        for wrong in ["", "tomorrow", "2026-13-01", "24.11.2026"] {
            assert_eq!(
                parse(wrong).unwrap_err(),
                "a date like 2026-11-24, or a time like 2026-11-24T12:00:00Z"
            );
        }
    }
}
