//! `bottle up`: the infrastructure first, then the agent, then a look at what the agent really has.

use super::agreed_stack::{Stack, StackArgs};
use super::docker::{docker, output_of};
use super::places::Places;
use super::{Globals, Outcome, container_checks, movers, say, source, tokens};
use crate::consent::Context;
use crate::plan::AgentImage;
use crate::stack::service;
use crate::tree::Folder;
use anyhow::{Context as _, bail};

/// Start a stack that you agreed to
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: GITHUB_TOKEN=… bottle up")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
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
    require_ready(&stack)?;
    let infrastructure = stack.infrastructure();
    if args.rotate {
        if !infrastructure.contains(&service::EGRESS_PROXY) {
            bail!("a bottle without routes has no egress-proxy and no tokens; there is nothing to rotate");
        }
        tokens::require(&stack)?;
        stack.note_start()?;
        // `--no-deps` leaves out the service that builds the image, and the stack may never have been up.
        stack.compose(&["build", "--quiet", service::NETNS])?;
        stack.compose(&["up", "-d", "--wait", "--force-recreate", "--no-deps", service::EGRESS_PROXY])?;
    }
    start(&stack)?;
    build_agent(&stack)?;
    let places = movers::require_none(&mut stack, true)?;
    // A start that failed may have been one.
    let started = stack.compose(&["up", "-d", service::AGENT]);
    container_checks::require_or_stop(&stack, &places, |container| {
        container.service == service::AGENT && !container.one_off
    })?;
    started?;
    let ended = say_if_ended(&stack)?;
    if !globals.quiet && !ended {
        let agent = format!("docker attach {}-agent-1", stack.bottle.project);
        let new = source::command("run", &stack.file);
        say(&format!("the stack is up\n  its agent's terminal:  {agent}\n  a new one:             {new}\n"));
    }
    Ok(Outcome::Done)
}

/// What must hold before anything starts, and of everything that runs already.
pub(crate) fn require_ready(stack: &Stack) -> anyhow::Result<()> {
    stack.require_valid_authorities()?;
    Places::open(stack)?;
    stack.require_runtime()?;
    movers::require_unseen_state(stack)?;
    container_checks::require(stack)
}

/// Everything but the agent, healthy. An agent may end at any time, so waiting for it would fail.
pub(crate) fn start(stack: &Stack) -> anyhow::Result<()> {
    tokens::require_for_start(stack)?;
    stack.note_start()?;
    let mut arguments = vec!["up", "-d", "--wait"];
    arguments.extend(stack.infrastructure());
    stack.compose(&arguments).inspect_err(|_| show_last_words(stack))
}

/// Builds the agent's image from the agreed copy of its files; says whether there is anything to build.
pub(crate) fn build_agent(stack: &Stack) -> anyhow::Result<bool> {
    let AgentImage::Built(build) = &stack.plan.agent.image else { return Ok(false) };
    let Some(context) = &stack.agreed.record.context else {
        bail!(
            "{} was not on this machine when you rendered {}; run `bottle render`, which asks about what is in it",
            build.context,
            stack.file
        );
    };
    let folder = stack.agreed.context_folder(&stack.bottle.state).context("there is no build context")?;
    let folder = Folder::open(&folder)?;
    Context::verify(&folder, &context.digest())?;
    stack.compose(&["build", service::AGENT])?;
    Ok(true)
}

/// Makes the agent's home its user's, for an agent that is started without what it depends on.
pub(crate) fn prepare_home(stack: &Stack) -> anyhow::Result<()> {
    if stack.plan.agent.home.is_none() {
        return Ok(());
    }
    stack.compose(&["up", "-d", "--no-deps", service::HOME])?;
    let all = container_checks::of_project(&stack.bottle.project)?;
    let home = all.iter().find(|it| it.service == service::HOME && !it.one_off);
    let home = home.context("the container that prepares the agent's home is gone")?;
    let code = output_of(docker().args(["wait", &home.id]))?;
    if code.trim() != "0" {
        bail!("the agent's home can't be prepared:\n{}", last_words(stack, service::HOME));
    }
    Ok(())
}

/// What the services that did not come up logged last: Compose says of each only that it is unhealthy.
fn show_last_words(stack: &Stack) {
    let states = stack.states().unwrap_or_default();
    let infrastructure = stack.infrastructure();
    let unwell = |(service, state): &&(String, String)| {
        infrastructure.contains(&service.as_str()) && state != "running healthy"
    };
    for (service, state) in states.iter().filter(unwell) {
        let words = last_words(stack, service);
        if !words.is_empty() {
            say(&format!("{service} is {state}; the last that it said:\n{words}"));
        }
    }
}

fn last_words(stack: &Stack, service: &str) -> String {
    let mut logs = stack.command(&["logs", "--no-log-prefix", "--no-color", "--tail", "5", service]);
    let words = output_of(&mut logs).unwrap_or_default();
    // Set in, so that no line of it looks like one of ours.
    words.lines().filter(|line| !line.trim().is_empty()).flat_map(|line| ["    ", line, "\n"]).collect()
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
