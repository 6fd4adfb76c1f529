//! Requests in a minute, for each host.
//!
//! The upstream program counts by registrable domain; here every allowed host has a count of its own, so that one
//! busy host does not lock out its neighbours.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A sliding window of this many parts of a second each.
const SECONDS: usize = 60;

/// Counts requests.
#[derive(Debug)]
pub(super) struct RateLimit {
    pub(super) limit: u32,
    started: Instant,
    windows: Mutex<HashMap<String, Window>>,
}

#[derive(Debug)]
struct Window {
    counts: [u32; SECONDS],
    total: u32,
    now: u64,
}

impl RateLimit {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, started: Instant::now(), windows: Mutex::default() }
    }

    /// Counts a request to an allowed host; says whether it is within the limit.
    pub(super) fn admit(&self, host: &str) -> bool {
        let now = Instant::now().saturating_duration_since(self.started);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(host) {
            return window.admit(now, self.limit);
        }
        let mut window = Window { counts: [0; SECONDS], total: 0, now: now.as_secs() };
        let admitted = window.admit(now, self.limit);
        windows.insert(host.to_owned(), window);
        admitted
    }
}

impl Window {
    fn admit(&mut self, now: Duration, limit: u32) -> bool {
        let now = now.as_secs();
        for second in self.now..now.min(self.now + SECONDS as u64) {
            let oldest = &mut self.counts[slot(second + 1)];
            self.total -= std::mem::take(oldest);
        }
        self.now = now;
        if self.total >= limit {
            return false;
        }
        self.counts[slot(now)] += 1;
        self.total += 1;
        true
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_has_so_many_requests_in_any_minute() {
        let rate = RateLimit::new(2);
        assert!(rate.admit("a.example"));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(rate.admit("a.example"));
        assert!(!rate.admit("a.example"));
        assert!(rate.admit("b.example"));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(rate.admit("a.example"));
        assert!(!rate.admit("a.example"));
        tokio::time::advance(Duration::from_mins(10)).await;
        assert!(rate.admit("a.example") && rate.admit("a.example") && !rate.admit("a.example"));
    }
}
