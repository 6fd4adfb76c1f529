//! Numbers and times, as a person reads them.

use jiff::Timestamp;

/// With a comma between thousands.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// In the largest unit that leaves a whole number, with one decimal below ten.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut unit, mut scale) = (0, 1024_u64);
    // A tenth is as exact as it is shown: 1023.95 KiB is 1.0 MiB.
    while unit + 1 < UNITS.len() && u128::from(count) * 20 >= u128::from(scale) * (1024 * 20 - 10) {
        (unit, scale) = (unit + 1, scale * 1024);
    }
    let tenths = (u128::from(count) * 20 / u128::from(scale)).div_ceil(2);
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", (tenths + 5) / 10, UNITS[unit])
    }
}

/// Of a whole, in percent; neither nothing nor all of it unless it is.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    let percent = u128::from(part) * 100 / u128::from(whole);
    match percent {
        0 => "<1 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

/// Date and time in UTC.
pub(super) fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// From one time to another, with the date once if it is the same day.
pub(super) fn span(first: Timestamp, last: Timestamp) -> String {
    let (from, to) = (when(first), when(last));
    match (from.split_once(' '), to.split_once(' ')) {
        _ if from == to => from,
        (Some((day, _)), Some((same, time))) if day == same => format!("{from} to {time}"),
        _ => format!("{from} to {to}"),
    }
}

/// How long an interval is: `15 minutes`.
pub(super) fn length(seconds: i64) -> String {
    let (count, unit) = match seconds {
        s if s % 86_400 == 0 => (s / 86_400, "day"),
        s if s % 3600 == 0 => (s / 3600, "hour"),
        s if s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_short_and_right() {
        for (count, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), shown);
        }
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024, "10 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 * 1024 * 1024, "5.0 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), shown, "{count}");
        }
        assert_eq!(number(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_share_is_nothing_or_all_only_if_it_is() {
        for (part, whole, shown) in [(0, 0, "0 %"), (1, 1000, "<1 %"), (999, 1000, "99 %"), (7, 7, "100 %")] {
            assert_eq!(percent(part, whole), shown);
        }
    }

    #[test]
    fn a_span_says_its_day_once() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (first, last) = (at("2026-11-26T08:00:00Z"), at("2026-11-26T09:30:00Z"));
        assert_eq!(span(first, last), "2026-11-26 08:00:00 to 09:30:00");
        assert_eq!(span(first, first), "2026-11-26 08:00:00");
        assert_eq!(span(first, at("2026-11-27T09:30:00Z")), "2026-11-26 08:00:00 to 2026-11-27 09:30:00");
        assert_eq!([length(1), length(900), length(86_400)], ["1 second", "15 minutes", "1 day"]);
    }
}
