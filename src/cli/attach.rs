//! `bottle attach`: back to the terminal of an agent that runs.

use super::agreed_stack::{Stack, StackArgs};
use super::docker::{NO_DOCKER, docker};
use super::{Globals, Outcome, agents, container_checks, say, source, terminal};
use anyhow::Context as _;

/// Go back to the terminal of an agent that runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: bottle attach

Ctrl-P Ctrl-Q leaves the agent running. Exits with the agent's own exit code if it ends.")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    /// Which of several agents: the end of a name that `bottle ps` lists [default: that of `bottle up`]
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(&args.stack, globals)?;
    let agent = agents::find(&stack, args.agent.as_deref())?;
    container_checks::require(&stack)?;
    if !globals.quiet {
        say(&format!("on the terminal of {}; Ctrl-P Ctrl-Q leaves it running\n", agent.name));
    }
    let mut command = docker();
    command.args(["attach", "--detach-keys", "ctrl-p,ctrl-q", &agent.name]);
    let status = command.status().context(NO_DOCKER)?;
    let all = container_checks::of_project(&stack.bottle.project)?;
    if all.iter().any(|it| it.id == agent.id && it.is_running()) {
        terminal::leave();
        if !globals.quiet {
            say(&format!(
                "{} runs on; {} goes back to it\n",
                agent.name,
                source::command("attach", &stack.file)
            ));
        }
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Agent(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
