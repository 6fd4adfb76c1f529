//! `bottle exec`: another command in the container of an agent that runs.

use super::agreed_stack::{Stack, StackArgs};
use super::docker::{NO_DOCKER, docker};
use super::{Globals, Outcome, agents, container_checks, terminal};
use anyhow::Context as _;

/// Run a command beside an agent that runs, in its container
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle exec
  bottle exec -- git status

Exits with the command's own exit code.")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    /// Beside which of several agents: the end of a name that `bottle ps` lists [default: that of `bottle up`]
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// What to run [default: a shell]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The better of the shells that the image has.
const SHELL: [&str; 3] = ["sh", "-c", "exec \"$(command -v bash || command -v sh)\""];

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    agents::require_no_command(args.stack.manifest.as_deref(), "exec")?;
    let stack = Stack::open(&args.stack, globals)?;
    let agent = agents::find(&stack, args.agent.as_deref())?;
    container_checks::require(&stack)?;
    let mut command = docker();
    command.args(["exec", "--interactive"]);
    command.args(terminal::is_one().then_some("--tty"));
    command.args(terminal::variables(&stack).iter().flat_map(|variable| ["--env", variable.as_str()]));
    command.arg(&agent.name);
    if args.command.is_empty() {
        command.args(SHELL);
    } else {
        command.args(&args.command);
    }
    let status = command.status().context(NO_DOCKER)?;
    Ok(Outcome::Agent(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
