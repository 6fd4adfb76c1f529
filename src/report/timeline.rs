//! Requests over time, in intervals that become longer with the span.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// The most intervals of a timeline.
const INTERVALS: usize = 96;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Lengths that a person can name; longer ones are doubled.
const LENGTHS: [i64; 15] = [
    1,
    5,
    10,
    30,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
];

/// What became of the requests of one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) failed: u64,
}

/// Requests over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Timeline {
    /// How long an interval is, in seconds.
    pub seconds: i64,
    /// Every interval from the first request to the last, those without requests too; none where there is no request.
    pub intervals: Vec<Interval>,
}

/// What became of the requests of one interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Interval {
    /// When it begins.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub start: Timestamp,
    /// Requests that were allowed.
    pub allowed: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Requests that failed.
    pub failed: u64,
}

impl Interval {
    /// All of its requests.
    pub(super) fn requests(&self) -> u64 {
        self.allowed.saturating_add(self.denied).saturating_add(self.failed)
    }
}

impl Timeline {
    /// The number that the longest bar stands for. A flood would make all others vanish: where an interval is far above
    /// nearly all of them, its bar is cut.
    pub(super) fn scale(&self) -> u64 {
        let mut counts: Vec<u64> =
            self.intervals.iter().map(Interval::requests).filter(|count| *count > 0).collect();
        counts.sort_unstable();
        let highest = counts.last().copied().unwrap_or_default();
        let usual = counts.get((counts.len() * 9 / 10).saturating_sub(1)).copied().unwrap_or_default();
        if counts.len() >= 10 && highest / 4 > usual { usual.saturating_mul(2) } else { highest }
    }

    /// The same with at most so many intervals: neighbours are joined.
    pub(super) fn joined(&self, most: usize) -> Self {
        let each = self.intervals.len().div_ceil(most.max(1)).max(1);
        let sum = |of: &[Interval]| {
            let count = |count: fn(&Interval) -> u64| of.iter().map(count).fold(0, u64::saturating_add);
            Interval {
                start: of[0].start,
                allowed: count(|it| it.allowed),
                denied: count(|it| it.denied),
                failed: count(|it| it.failed),
            }
        };
        let seconds = self.seconds.saturating_mul(i64::try_from(each).unwrap_or(i64::MAX));
        Self { seconds, intervals: self.intervals.chunks(each).map(sum).collect() }
    }
}

/// A timeline that grows.
pub(super) struct Growing {
    seconds: i64,
    points: BTreeMap<i64, Point>,
}

impl Growing {
    pub(super) fn new() -> Self {
        Self { seconds: LENGTHS[0], points: BTreeMap::new() }
    }

    /// The interval that a time lies in.
    pub(super) fn at(&mut self, time: Timestamp) -> &mut Point {
        let second = time.as_second();
        loop {
            let at = second.div_euclid(self.seconds);
            let first = self.points.first_key_value().map_or(at, |(first, _)| at.min(*first));
            let last = self.points.last_key_value().map_or(at, |(last, _)| at.max(*last));
            if usize::try_from(last - first).is_ok_and(|span| span < INTERVALS) {
                return self.points.entry(at).or_default();
            }
            self.lengthen();
        }
    }

    fn lengthen(&mut self) {
        let longer = LENGTHS.into_iter().find(|length| *length > self.seconds).unwrap_or(self.seconds * 2);
        for (at, point) in std::mem::take(&mut self.points) {
            let sum = self.points.entry((at * self.seconds).div_euclid(longer)).or_default();
            sum.allowed = sum.allowed.saturating_add(point.allowed);
            sum.denied = sum.denied.saturating_add(point.denied);
            sum.failed = sum.failed.saturating_add(point.failed);
        }
        self.seconds = longer;
    }

    pub(super) fn finish(self) -> Timeline {
        let Self { seconds, points } = self;
        let (Some((first, _)), Some((last, _))) = (points.first_key_value(), points.last_key_value()) else {
            return Timeline::default();
        };
        let interval = |at: i64| {
            let Point { allowed, denied, failed } = points.get(&at).copied().unwrap_or_default();
            // A first interval can begin before the first time that there is.
            let start = Timestamp::from_second(at.saturating_mul(seconds)).unwrap_or(Timestamp::MIN);
            Interval { start, allowed, denied, failed }
        };
        Timeline { seconds, intervals: (*first..=*last).map(interval).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(seconds: &[i64]) -> Timeline {
        let mut growing = Growing::new();
        for second in seconds {
            growing.at(Timestamp::from_second(*second).unwrap()).allowed += 1;
        }
        growing.finish()
    }

    #[test]
    fn intervals_are_as_short_as_the_span_allows() {
        for (span, seconds) in [(0, 1), (95, 1), (96, 5), (3600, 60), (86_399, 900), (86_400 * 300, DAY * 4)]
        {
            let line = timeline(&[1_800_000_000, 1_800_000_000 + span]);
            assert_eq!(line.seconds, seconds, "{span}");
            assert!(line.intervals.len() <= INTERVALS);
        }
    }

    #[test]
    fn no_request_is_lost_in_whatever_order_they_come() {
        let seconds: Vec<i64> = (0..5000).map(|n| (n * 7919) % 100_000 - 50_000).collect();
        let line = timeline(&seconds);
        assert_eq!(line.intervals.iter().map(|it| it.allowed).sum::<u64>(), 5000);
        let steps = line
            .intervals
            .windows(2)
            .all(|two| two[1].start.as_second() - two[0].start.as_second() == line.seconds);
        assert!(steps, "{line:?}");
        let joined = line.joined(24);
        assert!(joined.intervals.len() <= 24 && joined.intervals.len() > 12);
        assert_eq!(joined.intervals.iter().map(|it| it.allowed).sum::<u64>(), 5000);
    }

    #[test]
    fn a_flood_does_not_flatten_the_rest() {
        let flood = |count: u64| {
            let mut growing = Growing::new();
            for second in 0..40 {
                growing.at(Timestamp::from_second(second).unwrap()).allowed += 10;
            }
            growing.at(Timestamp::from_second(20).unwrap()).denied += count;
            growing.finish().scale()
        };
        assert_eq!([flood(0), flood(20), flood(5000)], [10, 30, 20]);
        assert_eq!(timeline(&[]).scale(), 0);
    }

    #[test]
    fn the_longest_span_that_there_is_has_a_timeline() {
        let line = timeline(&[Timestamp::MIN.as_second(), 0, Timestamp::MAX.as_second()]);
        assert_eq!(line.intervals.iter().map(|it| it.allowed).sum::<u64>(), 3);
        assert!(line.intervals.len() <= INTERVALS);
        assert_eq!(timeline(&[]), Timeline::default());
    }
}
