//! What a plan is rendered for: the seam between the files that every stack has and those that one tool starts it from.

use super::{RenderError, Tree, compose, configs::ConfigHashes, devcontainer, paths};
use crate::plan::Plan;
use camino::Utf8Path;

/// What starts a rendered stack. The configs of the proxies are the same for every target; a target adds the files that
/// it alone reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenderTarget {
    /// Docker Compose, on one machine.
    Compose,
    /// The same, and an editor or a tool that works in the agent's container by a `devcontainer.json`.
    Devcontainer,
}

impl RenderTarget {
    /// What a tree was rendered for.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        if tree.contains_key(Utf8Path::new(paths::DEVCONTAINER)) { Self::Devcontainer } else { Self::Compose }
    }

    /// The path and the whole text of every file that the target adds.
    pub(super) fn files(
        self,
        plan: &Plan,
        configs: &ConfigHashes,
    ) -> Result<Vec<(&'static str, String)>, RenderError> {
        let mut files = compose::files(plan, configs)?;
        if self == Self::Devcontainer {
            files.extend(devcontainer::files(plan)?);
        }
        Ok(files)
    }
}
