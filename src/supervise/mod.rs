//! Supervision: what an agent asks a person for, and what the person answers.
//!
//! The agent owns every byte that it sends. So a proposal is data: its fields are short, can be shown, and are those that
//! the manifest's own host entry has, checked by the manifest's own code. It is a file that this service names, in a folder
//! that a person's `bottle dashboard` reads; nothing here changes a rule, and nobody who reads it believes it. What a
//! person decided comes back as another file, in a folder that this service can't write to.
//!
//! An MCP server is all that the agent sees of it. It keeps no session: there is nothing to fill.

mod decision;
mod field;
mod id;
mod proposal;
mod rules;
mod serve;
mod store;
mod tools;

pub use decision::{Decision, Verdict};
pub use id::ProposalId;
pub use proposal::{Ask, AuthAsk, FailedAsk, Proposal, RouteAsk};
pub use serve::{Service, ServiceError};
pub use store::{DECISIONS, Limits, OPEN, PROPOSALS, Refused, Status, Store};

/// A file of a proposal or a decision has at most so many bytes.
pub const LARGEST: u64 = 64 * 1024;
