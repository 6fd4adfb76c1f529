//! `running.json`: what was started, so that a later command can tell what runs from what is agreed by now.

use super::ConsentError;
use crate::tree::Folder;
use camino::Utf8Path;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const FILE: &str = "running.json";
const LARGEST: u64 = 1 << 20;

/// What was started last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// The Compose project.
    pub project: String,
    /// The digest of what was agreed to at that time.
    pub digest: String,
    /// When the stack was started.
    pub started: Timestamp,
}

impl Running {
    /// What was started from a state; nothing when it was stopped since, or the file can't be read.
    #[must_use]
    pub fn load(state: &Utf8Path) -> Option<Self> {
        let text = Folder::open(state).ok()?.read_at_most(FILE, LARGEST).ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Notes a start.
    pub fn store(&self, state: &Utf8Path) -> Result<(), ConsentError> {
        Ok(Folder::open(state)?.stage(FILE, &super::json(self)?, 0o600)?.commit()?)
    }

    /// Notes that it was stopped.
    pub fn clear(state: &Utf8Path) -> Result<(), ConsentError> {
        Ok(Folder::open(state)?.remove(FILE)?)
    }
}
