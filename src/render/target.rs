//! What a plan is rendered for: the seam between the files that every stack has and those that one tool starts it from.

use super::{RenderError, compose, configs::ConfigHashes};
use crate::plan::Plan;

/// What starts a rendered stack. The configs of the proxies are the same for every target; a target adds the files that
/// it alone reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenderTarget {
    /// Docker Compose, on one machine.
    Compose,
}

impl RenderTarget {
    /// The path and the whole text of every file that the target adds.
    pub(super) fn files(
        self,
        plan: &Plan,
        configs: &ConfigHashes,
    ) -> Result<Vec<(&'static str, String)>, RenderError> {
        match self {
            Self::Compose => compose::files(plan, configs),
        }
    }
}
