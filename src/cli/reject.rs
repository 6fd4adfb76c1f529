//! `bottle reject`: no, and why.

use super::agreed_stack::{Stack, StackArgs};
use super::proposals::{Deciding, Decision};
use super::{Globals, Outcome, proposals, say};
use crate::supervise::{Proposal, ProposalId, Verdict};
use anyhow::ensure;

/// Reject what an agent proposed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle reject 3fa9c21b7d04 --reason 'use the mirror that is allowed'")]
pub(crate) struct Args {
    /// The proposal, as `bottle dashboard --once` lists it
    #[arg(value_name = "ID")]
    id: ProposalId,
    #[command(flatten)]
    stack: StackArgs,
    /// What the agent reads
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Args {
    /// As a person gives them for one proposal of a bottle.
    pub(crate) fn of(project: &str, id: ProposalId, reason: String) -> Self {
        Self { id, stack: StackArgs { manifest: Some(project.into()), out: None }, reason }
    }
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let reason = proposals::notes(&args.reason)?;
    ensure!(!reason.is_empty(), "--reason is empty: say to the agent what to do instead");
    let stack = Stack::open(&args.stack, globals)?;
    let deciding = Deciding::begin(&stack)?;
    let proposal = proposals::read(&stack, &args.id)?;
    reject(&stack, &deciding, &proposal, reason)?;
    if !globals.quiet {
        say(&proposals::summary(&proposal));
        say(&format!("{} is rejected\n", args.id));
    }
    Ok(Outcome::Done)
}

/// Keeps it, and tells the agent.
pub(super) fn reject(
    stack: &Stack,
    deciding: &Deciding,
    proposal: &Proposal,
    notes: String,
) -> anyhow::Result<()> {
    let digest = stack.agreed.record.digest.clone();
    deciding.end(Decision { proposal, verdict: Verdict::Rejected, notes, changes: Vec::new(), digest })
}
