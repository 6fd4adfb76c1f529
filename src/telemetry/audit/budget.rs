//! How many bytes may be written of what is sent on, so that no rotation removes a record of the last 24 hours.
//!
//! The arithmetic. When the oldest file is removed, [`FILES_KEPT`] - 1 renamed ones are left, all
//! of them written after its last line. A file is renamed when the next batch does not fit, so each holds at least
//! [`FILE_BYTES`] - [`BATCH_BYTES`]: 63 × (8 MiB - 64 KiB) = 500 MiB. If never more than that is
//! written in 24 hours, whatever is removed is older. The bucket holds half of it, and half of it flows in over 24
//! hours, so a client that finds the bucket full writes at most both halves within 24 hours. Less are one batch that a
//! slow disk delays, and the records of one window of counting: those are written also when the bucket is empty.
//! Over more than one window what flows in (29 KiB in 10 seconds) is more than they take (at most 16 KiB).
//!
//! Half of the bucket is a reserve that only rare kinds of requests may use: each of 256 kinds, and all others
//! together, may write its share of it in full whatever the others do. A share starts anew 24 hours after its first
//! use, so two of them can fall into 24 hours, and there are twice as many shares as kinds: 249 KiB, some 250 requests.

use super::rotation::{FILE_BYTES, FILES_KEPT, RETENTION};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The most bytes that are written together: files are renamed between such batches.
pub(super) const BATCH_BYTES: usize = 64 << 10;
/// The most bytes that a window of counting takes: its beginning and its count.
pub(super) const COUNT_BYTES: u64 = 16 << 10;
/// How long requests are counted together.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Kinds of requests that have a share of the reserve of their own.
const KINDS: usize = 256;

const _: () = {
    let each_window = total(FILE_BYTES, FILES_KEPT) / 2 * WINDOW.as_secs() / RETENTION.as_secs();
    assert!(each_window >= COUNT_BYTES, "counting alone would empty the bucket");
};

/// The bytes that may be written in [`RETENTION`], overdraft not included.
const fn total(file_bytes: u64, files_kept: usize) -> u64 {
    let (renamed, batch) = ((files_kept as u64).saturating_sub(1), BATCH_BYTES as u64);
    (renamed * file_bytes.saturating_sub(batch)).saturating_sub(batch + COUNT_BYTES)
}

/// A bucket of bytes. All amounts are bytes.
pub(super) struct WriteBudget {
    /// What it can hold, and what flows in during one `period`.
    capacity: i64,
    period: Duration,
    /// What it holds; below zero only by what counting takes.
    level: i64,
    /// Reservation out for records that are not written yet.
    held: i64,
    filled: Instant,
    kinds: HashMap<u64, KindShare>,
    others: KindShare,
}

/// What a kind of requests has used of its share.
#[derive(Clone, Copy)]
struct KindShare {
    since: Instant,
    used: i64,
}

/// Bytes that were taken for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reservation {
    kind: u64,
    at: Instant,
    bytes: i64,
}

impl WriteBudget {
    /// For a folder with these limits, into which `written` bytes were written in the last `period`.
    pub(super) fn new(
        file_bytes: u64,
        files_kept: usize,
        period: Duration,
        written: u64,
        now: Instant,
    ) -> Self {
        let capacity = signed(total(file_bytes, files_kept) / 2);
        let level = (capacity - signed(written)).max(0);
        let others = KindShare { since: now, used: 0 };
        Self { capacity, period, level, held: 0, filled: now, kinds: HashMap::new(), others }
    }

    /// Takes bytes for a request of this kind (a hash), if there are as many.
    pub(super) fn take(&mut self, kind: u64, bytes: u64, now: Instant) -> Option<Reservation> {
        self.fill(now);
        let bytes = signed(bytes);
        let reserve = self.capacity / 2;
        let share_size = reserve / (2 * (signed(KINDS as u64) + 1));
        let share = share(&mut self.kinds, &mut self.others, self.period, kind, now);
        let rare = share.used + bytes <= share_size;
        let untouched = if rare { 0 } else { reserve };
        if self.level - bytes < untouched {
            return None;
        }
        self.level -= bytes;
        self.held += bytes;
        share.used += bytes;
        Some(Reservation { kind, at: now, bytes })
    }

    /// The request is over, and this is what was written of it: the rest goes back.
    pub(super) fn settle(&mut self, taken: Reservation, written: u64) {
        let back = taken.bytes - signed(written);
        self.held -= taken.bytes;
        self.level += back;
        let share = self.kinds.get_mut(&taken.kind).unwrap_or(&mut self.others);
        if share.since <= taken.at {
            share.used -= back;
        }
    }

    /// Takes bytes of a record that is written in any case.
    pub(super) fn spend(&mut self, bytes: u64, now: Instant) {
        self.fill(now);
        self.level -= signed(bytes);
    }

    /// What flowed in since the last time. What is held may come back, and must find room.
    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).min(self.period * 2).as_nanos();
        let period = self.period.as_nanos().max(1);
        let capacity: u128 = self.capacity.unsigned_abs().into();
        let gained = elapsed * capacity / period;
        if gained == 0 {
            return;
        }
        let room = self.capacity - self.held;
        let level = self.level.saturating_add(i64::try_from(gained).unwrap_or(i64::MAX));
        if level >= room {
            (self.level, self.filled) = (room, now);
        } else {
            // Fractions of a byte are not lost, however often this is asked.
            let used = u64::try_from((gained * period).div_ceil(capacity)).unwrap_or(u64::MAX);
            self.level = level;
            self.filled += Duration::from_nanos(used);
        }
    }
}

/// The share of a kind, or the one of all that find no room.
fn share<'a>(
    kinds: &'a mut HashMap<u64, KindShare>,
    others: &'a mut KindShare,
    period: Duration,
    kind: u64,
    now: Instant,
) -> &'a mut KindShare {
    let over = |share: &KindShare| now.saturating_duration_since(share.since) >= period;
    if kinds.len() >= KINDS && !kinds.contains_key(&kind) {
        kinds.retain(|_, share| !over(share));
    }
    let unused = KindShare { since: now, used: 0 };
    let share = if kinds.len() < KINDS {
        kinds.entry(kind).or_insert(unused)
    } else {
        kinds.get_mut(&kind).unwrap_or(others)
    };
    if over(share) {
        *share = unused;
    }
    share
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn full(now: Instant) -> WriteBudget {
        WriteBudget::new(FILE_BYTES, FILES_KEPT, RETENTION, 0, now)
    }

    /// Writes as much as there is, in records of 1 KiB; says how many bytes.
    fn drain(budget: &mut WriteBudget, kind: u64, now: Instant) -> u64 {
        let mut bytes = 0;
        while let Some(taken) = budget.take(kind, 1024, now) {
            budget.settle(taken, 1024);
            bytes += 1024;
        }
        bytes
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_reserve_to_the_others() {
        let start = Instant::now();
        let mut budget = full(start);
        let capacity = budget.capacity.unsigned_abs();
        let flood = drain(&mut budget, 0, start);
        assert!(flood.abs_diff(capacity / 2) < 2048, "{flood}");
        assert!(budget.take(0, 1024, start).is_none());
        for kind in 1..=KINDS as u64 * 3 {
            drain(&mut budget, kind, start);
        }
        assert!(budget.level >= 0 && budget.kinds.len() == KINDS);
        let again = start + RETENTION;
        drain(&mut budget, 0, again);
        for kind in 1..KINDS as u64 {
            let first = drain(&mut budget, kind, again);
            assert!((230 << 10..260 << 10).contains(&first), "kind {kind} wrote {first} bytes");
        }
    }

    #[test]
    fn what_flows_in_comes_evenly_however_often_it_is_asked_for() {
        let start = Instant::now();
        let mut budget = full(start);
        let hourly = budget.capacity.unsigned_abs() / 24;
        drain(&mut budget, 0, start);
        let mut bytes = 0_u64;
        for step in 1..=360_000_u32 {
            if let Some(taken) = budget.take(0, 1024, start + Duration::from_millis(step.into()) * 10) {
                budget.settle(taken, 1024);
                bytes += 1024;
            }
        }
        assert!(bytes.abs_diff(hourly) < 4096, "{bytes} of {hourly}");
    }

    #[test]
    fn what_was_taken_and_not_written_comes_back_but_never_beyond_the_capacity() {
        let start = Instant::now();
        let mut budget = full(start);
        let taken: Vec<_> = (0..100).map(|_| budget.take(0, 4096, start).unwrap()).collect();
        let later = start + RETENTION * 3;
        budget.spend(0, later);
        assert_eq!(budget.level, budget.capacity - 100 * 4096, "it is held");
        for taken in taken {
            budget.settle(taken, 96);
        }
        assert_eq!((budget.level, budget.held), (budget.capacity - 100 * 96, 0));
        budget.spend(0, later + HOUR);
        assert_eq!(budget.level, budget.capacity);
    }

    #[test]
    fn a_start_after_a_flood_begins_with_what_is_left() {
        let start = Instant::now();
        let capacity = full(start).capacity;
        let level = |written| WriteBudget::new(FILE_BYTES, FILES_KEPT, RETENTION, written, start).level;
        assert_eq!(level(1000), capacity - 1000);
        assert_eq!(level(u64::MAX), 0);
    }
}
