//! `bottle run`: a terminal in the agent's container, with the agent's own exit code.
//!
//! The container belongs to this command: whatever ends the command, also a signal, removes it.

use super::agreed_stack::{Stack, StackArgs};
use super::docker::{NO_DOCKER, docker};
use super::movers::{Held, Still};
use super::places::Places;
use super::start::{Purpose, prepare_agent, require_ready, start, take_turn};
use super::token_sources::TokenArgs;
use super::{Globals, Outcome, agents, container_checks, movers, say, source, terminal};
use crate::state::Lock;
use anyhow::{Context as _, bail};
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

/// Work in a bottle, on this terminal
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle run
  bottle run -- claude --resume

Ctrl-P Ctrl-Q leaves it running, and `bottle attach` goes back to it.
Exits with the agent's own exit code.")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    /// Start also where the kernel can't be asked what the containers see: Docker Desktop, a remote engine
    #[arg(long)]
    unchecked: bool,
    /// What to run in place of the agent's command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Between two looks at whether the container runs.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    agents::require_no_command(args.stack.manifest.as_deref(), "run")?;
    let mut stack = Stack::open_current(&args.stack, globals)?;
    stack.unchecked = args.unchecked;
    stack.token_args = args.tokens.clone();
    let turn = take_turn(&stack)?;
    require_ready(&stack)?;
    let built = start(&mut stack, Purpose::Session)?;
    let name = container_name(&stack);
    let variables = terminal::variables(&stack);
    let mut arguments = vec!["--progress", "quiet", "run", "--rm", "--no-deps", "--name", &name];
    arguments.extend(variables.iter().flat_map(|variable| ["--env", variable.as_str()]));
    // Compose would build within `run`, and a build prints to the agent's own stdout.
    if built {
        arguments.extend(stack.run_can_pull()?.then_some(["--pull", "never"]).into_iter().flatten());
    }
    arguments.extend((!terminal::is_one()).then_some("-T"));
    prepare_agent(&stack)?;
    let Still { places, held, .. } = movers::require_none(&mut stack, false)?;
    arguments.push("agent");
    arguments.extend(args.command.iter().map(String::as_str));
    let command = stack.command(&arguments);
    stack.announce(&command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let session = Session { stack: &stack, places: &places, name: &name };
    // Until it runs, and was looked at.
    let mut turn = Some((turn, held));
    let outcome = runtime.block_on(session.attend(command.into(), &mut turn));
    runtime.shutdown_background();
    if turn.is_some() {
        places.require_same()?;
    }
    outcome
}

/// One agent on this terminal.
struct Session<'a> {
    stack: &'a Stack,
    /// What was looked at before it started.
    places: &'a Places,
    /// Of its container.
    name: &'a str,
}

impl Session<'_> {
    /// Waits for the agent's end, looks at its container once it runs, and removes it when this command is told to end.
    /// `turn` is taken once the agent was looked at, and is left where it was not there to be looked at.
    async fn attend(
        &self,
        mut command: tokio::process::Command,
        turn: &mut Option<(Lock, Held)>,
    ) -> anyhow::Result<Outcome> {
        let name = self.name;
        let on = |kind| signal(kind).context("can't wait for signals");
        let (mut terminate, mut hangup) = (on(SignalKind::terminate())?, on(SignalKind::hangup())?);
        // The terminal sends it to the whole group: it is for the agent.
        let mut interrupt = on(SignalKind::interrupt())?;
        let mut child = command.spawn().context(NO_DOCKER)?;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                status = child.wait() => {
                    let code = status?.code().unwrap_or(1);
                    if code == 0 && self.runs_on()? {
                        let attach = source::command("attach", &self.stack.file);
                        terminal::leave();
                        say(&format!("{} runs on; {attach} goes back to it\n", self.name));
                        return Ok(Outcome::Done);
                    }
                    if let Some(why) = why_not_started(code) {
                        say(&format!("note: exit code {code}: {why}\n"));
                    }
                    return Ok(Outcome::Agent(u8::try_from(code).unwrap_or(1)));
                }
                _ = terminate.recv() => return end(&mut child, name, 15).await,
                _ = hangup.recv() => return end(&mut child, name, 1).await,
                _ = interrupt.recv() => {}
                _ = look.tick(), if turn.is_some() => {
                    match self.look() {
                        Ok(None) => {}
                        Ok(Some(problems)) if problems.is_empty() => *turn = None,
                        Ok(Some(problems)) => {
                            end(&mut child, name, 15).await?;
                            bail!("{}", problems.join("\n"));
                        }
                        Err(error) => {
                            end(&mut child, name, 15).await?;
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    /// Whether the person has left its terminal, and it has not ended.
    fn runs_on(&self) -> anyhow::Result<bool> {
        let all = container_checks::of_project(&self.stack.bottle.project)?;
        Ok(all.iter().any(|it| it.name == self.name && it.is_running()))
    }

    /// What is wrong with the container; nothing as long as it does not run.
    fn look(&self) -> anyhow::Result<Option<Vec<String>>> {
        let stack = self.stack;
        let all = container_checks::of_project(&stack.bottle.project)?;
        let Some(own) = all.iter().find(|it| it.name == self.name && it.is_running()) else {
            return Ok(None);
        };
        let mut problems = container_checks::holds(stack, &all);
        problems.extend(container_checks::other_mounts(stack, own)?);
        problems.extend(self.places.require_same().err().map(|error| error.to_string()));
        Ok(Some(problems))
    }
}

/// What a shell and Docker mean by these codes; the agent's own program may mean something else.
fn why_not_started(code: i32) -> Option<&'static str> {
    match code {
        125 => Some("Docker did not start the container; what it says is above"),
        126 => Some("the command is in the agent's image and can't be run"),
        127 => Some("the command is not in the agent's image"),
        _ => None,
    }
}

/// Removes the container; the client then ends by itself.
async fn end(child: &mut Child, name: &str, signal: u8) -> anyhow::Result<Outcome> {
    const GRACE: Duration = Duration::from_secs(5);
    let removed = docker().args(["rm", "--force", name]).output().context(NO_DOCKER)?;
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    if !removed.status.success() {
        // It had not been made yet when it was asked for; the client is gone, so now it is there or never will be.
        let _ = docker().args(["rm", "--force", name]).output();
    }
    Ok(Outcome::Agent(128 + signal))
}

/// A name that no other session has.
fn container_name(stack: &Stack) -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{}-run-{:08x}", stack.bottle.project, random & 0xffff_ffff)
}
