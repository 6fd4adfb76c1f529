//! What a runtime says of itself: which config is live, how many were, and why the last one was refused.

use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A snapshot, as `/status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The process to signal.
    pub pid: u32,
    /// The bottle's name.
    pub bottle: String,
    /// SHA-256 of the live config, in hex.
    pub config: String,
    /// How many configs were live so far, this one included.
    pub generation: u64,
    /// How many reloads were asked for, good or bad.
    pub reloads: u64,
    /// Why the last reload was refused; absent when it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether requests are served.
    pub ready: bool,
}

/// The status of this process; cheap to clone, written by the runtime, read by the admin listener.
#[derive(Clone, Debug, Default)]
pub struct LiveStatus(Arc<Mutex<Status>>);

impl LiveStatus {
    /// The status of a process whose first config is live.
    #[must_use]
    pub fn new(bottle: String, config: String) -> Self {
        let pid = std::process::id();
        Self(Arc::new(Mutex::new(Status { pid, bottle, config, generation: 1, ..Status::default() })))
    }

    /// What holds now.
    #[must_use]
    pub fn get(&self) -> Status {
        self.lock().clone()
    }

    /// Requests are served from now on, or no longer.
    pub fn set_ready(&self, ready: bool) {
        self.lock().ready = ready;
    }

    /// A reload was asked for and ended: the hash of the config that is live now, or why the old one stays.
    pub fn reloaded(&self, outcome: Result<String, String>) {
        let mut status = self.lock();
        status.reloads += 1;
        match outcome {
            Ok(config) => {
                status.config = config;
                status.generation += 1;
                status.last_error = None;
            }
            Err(error) => status.last_error = Some(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_reload_counts_but_keeps_the_config() {
        let live = LiveStatus::new("dev".to_owned(), "one".to_owned());
        live.reloaded(Err("line 3".to_owned()));
        let status = live.get();
        assert_eq!((status.config.as_str(), status.generation, status.reloads), ("one", 1, 1));
        assert_eq!(status.last_error.as_deref(), Some("line 3"));
        live.reloaded(Ok("two".to_owned()));
        let status = live.get();
        assert_eq!((status.config.as_str(), status.generation, status.reloads), ("two", 2, 2));
        assert_eq!(status.last_error, None);
    }
}
