//! A flood of refusals is counted instead of written, so that nobody erases older ones by asking often.

use super::{
    Facts, Series,
    budget::WINDOW,
    counted::{Counting, note_config},
    cut::{self, cut},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

/// Refusals of one window that are written.
const PER_WINDOW: u32 = 200;
/// How long a client that never stops has to be outlasted.
pub(super) const LONG_WINDOW: Duration = Duration::from_hours(1);
/// Refusals of one long window after which a window has only [`PER_WINDOW_WHEN_LONG`]. At 4 KiB a record, the files
/// that are kept then last for more than a day of the worst client.
const PER_LONG_WINDOW: u32 = 2000;
/// Refusals of a window in a flood that does not stop.
const PER_WINDOW_WHEN_LONG: u32 = 5;
/// Reasons that are told apart; they are codes of ours, and there are fewer.
const REASONS: usize = 64;
/// Hosts that are told apart.
const HOSTS: usize = 1024;
/// Where further reasons are counted.
const OTHER: &str = "other";

/// Refusals that were counted instead of written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suppressed {
    /// When the last of them was refused.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Timestamp,
    /// Always `suppressed`.
    #[schemars(extend("const" = "suppressed"))]
    pub event: String,
    /// Who refused: `egress-proxy` or `pipelock`.
    pub decided_by: String,
    /// SHA-256 of each config that refused any of them, in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<String>,
    /// How many.
    pub count: u64,
    /// How many for each reason.
    pub reasons: BTreeMap<String, u64>,
    /// How many different hosts they were for.
    pub hosts: u64,
    /// The host, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "cut::option")]
    pub host: Option<String>,
    /// Whether there were more hosts than are told apart.
    pub more_hosts: bool,
    /// When the first of them was refused.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first: Timestamp,
    /// When the last of them was refused.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last: Timestamp,
}

/// What becomes of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Written,
    /// It is counted; before the first of a window this is written.
    Counted(Option<Counting>),
}

/// Decides which refusals are written.
pub(super) struct Flood {
    by: &'static str,
    window: Option<Instant>,
    written: u32,
    long_window: Option<Instant>,
    long_written: u32,
    counted: Option<Suppressed>,
    hosts: HashSet<u64>,
    hasher: RandomState,
}

impl Flood {
    /// `ages` are those of the refusals that were written before: a client that makes the process restart gets no more
    /// of them than one that does not.
    pub(super) fn new(by: &'static str, ages: &[Duration], now: Instant) -> Self {
        let (window, written) = begun(ages, WINDOW, now);
        let (long_window, long_written) = begun(ages, LONG_WINDOW, now);
        let (hosts, hasher) = (HashSet::new(), RandomState::new());
        Self { by, window, written, long_window, long_written, counted: None, hosts, hasher }
    }

    /// Decides on a refusal, and counts it if it is not written. What [`take`](Self::take) has comes first.
    pub(super) fn admit(&mut self, refused: &Facts, now: Instant) -> Admission {
        if over(self.window, WINDOW, now) {
            (self.window, self.written) = (Some(now), 0);
        }
        if over(self.long_window, LONG_WINDOW, now) {
            (self.long_window, self.long_written) = (Some(now), 0);
        }
        let most = if self.long_written < PER_LONG_WINDOW { PER_WINDOW } else { PER_WINDOW_WHEN_LONG };
        if self.written < most {
            self.written += 1;
            self.long_written = self.long_written.saturating_add(1);
            return Admission::Written;
        }
        let begins = self.counted.is_none().then(|| Counting::new(Series::Denied, self.by, refused.time));
        self.count(refused);
        Admission::Counted(begins)
    }

    fn count(&mut self, refused: &Facts) {
        let counted = self.counted.get_or_insert_with(|| Suppressed {
            time: refused.time,
            event: "suppressed".to_owned(),
            decided_by: self.by.to_owned(),
            configs: Vec::new(),
            count: 0,
            reasons: BTreeMap::new(),
            hosts: 0,
            host: None,
            more_hosts: false,
            first: refused.time,
            last: refused.time,
        });
        counted.count += 1;
        note_config(&mut counted.configs, refused);
        (counted.time, counted.last) = (refused.time, refused.time);
        let reason = cut(&refused.outcome);
        let known = counted.reasons.len() < REASONS || counted.reasons.contains_key(&*reason);
        *counted.reasons.entry(if known { reason.into_owned() } else { OTHER.to_owned() }).or_default() += 1;
        let Some(host) = &refused.host else { return };
        let hash = self.hasher.hash_one(host);
        if self.hosts.len() < HOSTS {
            self.hosts.insert(hash);
            counted.host = (self.hosts.len() == 1).then(|| host.clone());
        } else if !self.hosts.contains(&hash) {
            counted.more_hosts = true;
        }
        counted.hosts = self.hosts.len() as u64;
    }

    /// When what was counted is due to be written, if anything was.
    pub(super) fn due(&self) -> Option<Instant> {
        self.counted.as_ref().and(self.window).map(|start| start + WINDOW)
    }

    /// What was counted, once its window is over.
    pub(super) fn take(&mut self, now: Instant) -> Option<Suppressed> {
        self.due().filter(|due| now >= *due)?;
        self.take_all()
    }

    /// What was counted, at the end of the process.
    pub(super) fn take_all(&mut self) -> Option<Suppressed> {
        self.hosts.clear();
        self.counted.take()
    }
}

/// A window that began with the oldest of the refusals that it can hold, and how many these are.
fn begun(ages: &[Duration], length: Duration, now: Instant) -> (Option<Instant>, u32) {
    let within = || ages.iter().filter(|age| **age < length);
    // No time before the machine started can be told: then the window ends later.
    let start = within().max().map(|oldest| now.checked_sub(*oldest).unwrap_or(now));
    (start, u32::try_from(within().count()).unwrap_or(u32::MAX))
}

fn over(window: Option<Instant>, length: Duration, now: Instant) -> bool {
    window.is_none_or(|start| now.saturating_duration_since(start) >= length)
}

#[cfg(test)]
mod tests {
    use super::super::Recorded as _;
    use super::*;

    fn refused(second: i64, reason: &str, host: &str) -> Facts {
        Facts {
            time: Timestamp::from_second(1_800_000_000 + second).unwrap(),
            outcome: reason.to_owned(),
            host: Some(host.to_owned()),
            ..super::super::record::tests::record(1).facts()
        }
    }

    /// Refuses `count` times; says how many of them are written.
    fn ask(flood: &mut Flood, now: Instant, count: u32) -> u32 {
        (0..count)
            .map(|_| flood.admit(&refused(0, "host_not_allowed", "a.test"), now))
            .map(|admission| u32::from(admission == Admission::Written))
            .sum()
    }

    #[test]
    fn what_is_beyond_the_rate_is_counted_by_reason_and_host() {
        let (mut flood, start) = (Flood::new("egress-proxy", &[], Instant::now()), Instant::now());
        assert_eq!(ask(&mut flood, start, PER_WINDOW), PER_WINDOW);
        assert_eq!(flood.due(), None, "nothing was counted yet");
        for n in 0..30 {
            let reason = if n % 3 == 0 { "git_push" } else { "host_not_allowed" };
            let admission = flood.admit(&refused(n, reason, &format!("{}.test", n % 7)), start);
            let begins = Counting::new(Series::Denied, "egress-proxy", refused(0, "", "").time);
            assert_eq!(admission, Admission::Counted((n == 0).then_some(begins)), "refusal {n}");
        }
        assert_eq!(flood.take(start), None, "the window is not over");
        let counted = flood.take(start + WINDOW).unwrap();
        assert_eq!((counted.count, counted.hosts, counted.more_hosts), (30, 7, false));
        assert_eq!(counted.host, None);
        assert_eq!(counted.reasons, [("git_push".into(), 10), ("host_not_allowed".into(), 20)].into());
        assert_eq!((counted.first, counted.last), (refused(0, "", "").time, refused(29, "", "").time));
        assert_eq!(flood.due(), None);
        assert_eq!(ask(&mut flood, start + WINDOW, 10), 10, "a new window");
        assert_eq!(ask(&mut flood, start + WINDOW, PER_WINDOW), PER_WINDOW - 10);
        assert_eq!(flood.take_all().unwrap().host.as_deref(), Some("a.test"), "there was one");
    }

    #[test]
    fn memory_is_bounded_whatever_is_asked_for() {
        let (mut flood, start) = (Flood::new("egress-proxy", &[], Instant::now()), Instant::now());
        ask(&mut flood, start, PER_WINDOW);
        for n in 0..100_000 {
            flood.admit(&refused(n, &format!("reason {n}"), &format!("{n}.test")), start);
        }
        let counted = flood.take_all().unwrap();
        assert_eq!((counted.count, counted.hosts, counted.more_hosts), (100_000, HOSTS as u64, true));
        assert_eq!(counted.reasons.len(), REASONS + 1);
        assert_eq!(counted.reasons.values().sum::<u64>(), 100_000);
    }

    #[test]
    fn a_restart_gives_a_flood_no_more_than_there_was() {
        let start = Instant::now() + LONG_WINDOW;
        let (seconds, minutes) = (Duration::from_secs, Duration::from_mins);
        let resumed = |ages: &[Duration]| Flood::new("egress-proxy", ages, start);
        assert_eq!(ask(&mut resumed(&[seconds(3); 150]), start, 1000), PER_WINDOW - 150);
        assert_eq!(ask(&mut resumed(&[minutes(2); 150]), start, 1000), PER_WINDOW);
        let long = vec![minutes(30); PER_LONG_WINDOW as usize];
        assert_eq!(ask(&mut resumed(&long), start, 1000), PER_WINDOW_WHEN_LONG);
        let mut later = resumed(&long);
        assert_eq!(ask(&mut later, start + minutes(29), 1000), PER_WINDOW_WHEN_LONG);
        assert_eq!(ask(&mut later, start + minutes(31), 1000), PER_WINDOW, "its hour is over");
    }

    #[test]
    fn a_flood_that_does_not_stop_gets_less_and_is_forgiven_later() {
        let (mut flood, start) = (Flood::new("egress-proxy", &[], Instant::now()), Instant::now());
        let mut written = 0;
        for window in 0..360 {
            let now = start + WINDOW * window;
            flood.take(now);
            written += ask(&mut flood, now, 1000);
        }
        assert_eq!(written, PER_LONG_WINDOW + (360 - PER_LONG_WINDOW / PER_WINDOW) * PER_WINDOW_WHEN_LONG);
        flood.take(start + LONG_WINDOW);
        assert_eq!(ask(&mut flood, start + LONG_WINDOW, 1000), PER_WINDOW);
    }
}
