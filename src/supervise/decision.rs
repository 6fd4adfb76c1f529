//! What a person decided, as the host leaves it for the agent.

use super::ProposalId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A decision, one file each, in a folder that only the host writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The format: 1.
    pub version: u32,
    /// Of which proposal.
    pub id: ProposalId,
    /// What became of it.
    pub verdict: Verdict,
    /// What the person says about it; may be empty.
    pub notes: String,
    /// When.
    pub time: Timestamp,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rules allow it now.
    Approved,
    /// The rules allow something else instead, as the notes say.
    Modified,
    /// They allow nothing more than before.
    Rejected,
    /// A person approved it, and it could not be applied: they allow nothing more than before, and it waits.
    Failed,
}

impl Verdict {
    /// One word, the same for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Modified => "modified",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    /// Whether the proposal waits no more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Failed
    }
}
