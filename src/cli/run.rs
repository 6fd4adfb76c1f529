//! `bottle run`: a terminal in the agent's container, with the agent's own exit code.

use super::stack::Stack;
use super::up::{require_guarded, start};
use super::{Globals, Outcome};
use crate::plan::AgentImage;
use camino::Utf8PathBuf;
use std::io::IsTerminal as _;

/// Work in a bottle, on this terminal
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle run -- claude --resume\n\nExits with the agent's own exit code.")]
pub(crate) struct Args {
    /// The manifest; without one, the nearest bottle.yaml
    #[arg(value_name = "MANIFEST")]
    manifest: Option<Utf8PathBuf>,
    /// Where the tree is [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// What to run in place of the agent's command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(args.manifest.as_deref(), args.out.as_deref(), globals)?;
    stack.require_valid_authorities()?;
    stack.require_safe_places()?;
    require_guarded(&stack)?;
    start(&stack)?;
    let mut arguments = vec!["run", "--rm", "--no-deps"];
    if matches!(stack.project.plan.agent.image, AgentImage::Built(_)) {
        // Compose would build within `run`, and a build prints to the agent's own stdout.
        stack.compose(&["build", "agent"])?;
        arguments.extend(stack.run_can_pull()?.then_some(["--pull", "never"]).into_iter().flatten());
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        arguments.push("-T");
    }
    arguments.push("agent");
    arguments.extend(args.command.iter().map(String::as_str));
    Err(stack.become_compose(&arguments))
}
