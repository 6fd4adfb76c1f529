//! `bottle reject`: no, and why.

use super::agreed_stack::{Stack, StackArgs};
use super::{Globals, Outcome, proposals, say};
use crate::supervise::{ProposalId, Verdict};
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

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let reason = proposals::notes(&args.reason)?;
    ensure!(!reason.is_empty(), "--reason is empty: say to the agent what to do instead");
    let stack = Stack::open(&args.stack, globals)?;
    let proposal = proposals::read(&stack, &args.id)?;
    proposals::decide(&stack, &proposal, Verdict::Rejected, reason, Vec::new())?;
    if !globals.quiet {
        say(&format!("{} is rejected\n", args.id));
    }
    Ok(Outcome::Done)
}
