//! Requests that were sent on and whose end was not seen yet.

use crate::telemetry::audit::{Entry, Event};
use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

/// Requests that can be under way at once in a trail; an id takes 8 bytes.
const UNDER_WAY: usize = 1 << 20;

/// The requests of a trail that were sent on and have not ended, by their ids.
#[derive(Debug, Default)]
pub struct UnderWay {
    ids: HashSet<u64>,
    more: bool,
    hasher: RandomState,
}

impl UnderWay {
    /// A request was sent on; older records have no id.
    pub fn begin(&mut self, id: &str) {
        if id.is_empty() {
            return;
        }
        if self.ids.len() < UNDER_WAY {
            self.ids.insert(self.hasher.hash_one(id));
        } else {
            self.more = true;
        }
    }

    /// Takes note of an end, if this is one.
    pub fn see_end(&mut self, entry: &Entry) {
        if let Some(id) = end_of(entry) {
            self.ids.remove(&self.hasher.hash_one(id));
        }
    }

    /// How many have not ended.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Whether there were more of them than are told apart.
    #[must_use]
    pub fn more(&self) -> bool {
        self.more
    }
}

/// The id of a request of which this is the end.
fn end_of(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::EgressProxy(record) if record.event == Event::End => Some(&record.request),
        Entry::Pipelock(record) if record.event != "dispatch" => record.request_id.as_deref(),
        _ => None,
    }
}
