//! A finding.

use std::sync::Arc;

/// Something that must not leave, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which kind, or the name of a credential that bottle holds; with what was decoded to see it.
    pub kind: Arc<str>,
    /// Its line, from 1; approximate under an encoding.
    pub line: u64,
}
