//! `bottle up`: the infrastructure first, then the agent, then a look at what the agent really has.

use super::agreed_stack::{Stack, StackArgs};
use super::start::{Purpose, last_words, require_ready, start, take_turn};
use super::token_sources::TokenArgs;
use super::{Globals, Outcome, container_checks, movers, own_image, say, source, tokens};
use crate::stack::service;
use anyhow::bail;

/// Start a stack that you agreed to
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: GITHUB_TOKEN=… bottle up")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    /// Take the tokens of this shell's environment: recreates egress-proxy, which Compose would not do
    #[arg(long)]
    rotate: bool,
    /// Start also where the kernel can't be asked what the containers see: Docker Desktop, a remote engine
    #[arg(long)]
    unchecked: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let mut stack = Stack::open_current(&args.stack, globals)?;
    stack.unchecked = args.unchecked;
    stack.token_args = args.tokens.clone();
    let _turn = take_turn(&stack)?;
    require_ready(&stack)?;
    let infrastructure = stack.infrastructure();
    if args.rotate {
        if !infrastructure.iter().any(|it| it == service::EGRESS_PROXY) {
            bail!("a bottle without routes has no egress-proxy and no tokens; there is nothing to rotate");
        }
        rotate(&mut stack)?;
    }
    start(&mut stack, Purpose::Stack)?;
    if args.rotate && serves_sessions_alone(&stack)? {
        if !globals.quiet {
            say("egress-proxy has the tokens of now; the agents of `bottle run` go on\n");
        }
        return Ok(Outcome::Done);
    }
    let still = movers::require_none(&mut stack, true)?;
    // A start that failed may have been one.
    let started =
        if still.own_goes_on { Ok(()) } else { stack.compose(&["up", "-d", "--no-build", service::AGENT]) };
    container_checks::require_or_stop(&stack, &still.places, |container| {
        container.service == service::AGENT && !container.one_off
    })?;
    drop(still);
    started?;
    let ended = say_if_ended(&stack)?;
    let unwell = say_if_unwell(&stack)?;
    if !globals.quiet && !ended {
        let [agent, new] = ["attach", "run"].map(|verb| source::command(verb, &stack.file));
        let what = if unwell { "the agent runs" } else { "the stack is up" };
        say(&format!("{what}\n  its agent's terminal:  {agent}\n  a new one:             {new}\n"));
    }
    Ok(Outcome::Done)
}

/// Whether agents run, and none that `bottle up` started: then nobody asks for that one.
fn serves_sessions_alone(stack: &Stack) -> anyhow::Result<bool> {
    let all = container_checks::of_project(&stack.bottle.project)?;
    let mut agents = all.iter().filter(|it| it.service == service::AGENT && it.goes_on()).peekable();
    Ok(agents.peek().is_some() && agents.all(|it| it.one_off))
}

/// Makes egress-proxy again with the tokens of now.
pub(super) fn rotate(stack: &mut Stack) -> anyhow::Result<()> {
    tokens::require(stack)?;
    stack.note_start()?;
    own_image::provide(stack)?;
    let again = ["up", "-d", "--wait", "--no-build", "--force-recreate", "--no-deps", service::EGRESS_PROXY];
    stack.compose(&again)
}

/// A service that Docker starts again and again was up for a moment, which is all that Compose waits for.
fn say_if_unwell(stack: &Stack) -> anyhow::Result<bool> {
    let unwell = stack.unwell()?;
    for (service, state) in &unwell {
        let logs = source::command("logs", &stack.file);
        say(&format!(
            "note: {service} is {state}; `{logs} --services {service}` shows all that it says, of which the last:\n{}",
            last_words(stack, service)
        ));
    }
    Ok(!unwell.is_empty())
}

/// An agent whose command has ended is said as that, with what it said last.
fn say_if_ended(stack: &Stack) -> anyhow::Result<bool> {
    let all = container_checks::of_project(&stack.bottle.project)?;
    let Some(agent) = all.iter().find(|it| it.service == service::AGENT && !it.one_off) else {
        return Ok(false);
    };
    if agent.is_running() {
        return Ok(false);
    }
    let command = if stack.plan.agent.command.is_empty() {
        "the image's command".to_owned()
    } else {
        format!("`{}`", stack.plan.agent.command.join(" "))
    };
    say(&format!(
        "note: the agent's command has ended: {command}, with exit code {}; `bottle run` starts it on this terminal\n",
        agent.exit_code
    ));
    let words = last_words(stack, service::AGENT);
    if !words.is_empty() {
        say(&format!("the last that it said:\n{words}"));
    }
    Ok(true)
}
