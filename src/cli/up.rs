//! `bottle up`: the infrastructure first, then the agent, then a look at what the agent really has.

use super::stack::{NO_DOCKER, Stack, docker};
use super::{Globals, Outcome, say, source, tokens};
use anyhow::{Context as _, bail};
use camino::Utf8PathBuf;

/// Start a rendered stack
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: GITHUB_TOKEN=… bottle up")]
pub(crate) struct Args {
    /// The manifest; without one, the nearest bottle.yaml
    #[arg(value_name = "MANIFEST")]
    manifest: Option<Utf8PathBuf>,
    /// Where the tree is [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Take the tokens of this shell's environment: recreates egress-proxy, which Compose would not do
    #[arg(long)]
    rotate: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(args.manifest.as_deref(), args.out.as_deref(), globals)?;
    stack.require_valid_authorities()?;
    stack.require_safe_places()?;
    require_guarded(&stack)?;
    let infrastructure = stack.infrastructure();
    if args.rotate {
        if !infrastructure.contains(&"egress-proxy") {
            bail!("a bottle without routes has no egress-proxy and no tokens; there is nothing to rotate");
        }
        tokens::require(&stack)?;
        // `--no-deps` leaves out the service that builds the image, and the stack may never have been up.
        stack.compose(&["build", "--quiet", "netns"])?;
        stack.compose(&["up", "-d", "--wait", "--force-recreate", "--no-deps", "egress-proxy"])?;
    }
    start(&stack)?;
    stack.compose(&["up", "-d", "agent"])?;
    look_at_the_agent(&stack)?;
    if !globals.quiet {
        let agent = format!("docker compose -f {}/docker-compose.yml attach agent", stack.shown());
        let new = source::command("run", &stack.project.file);
        say(&format!("the stack is up\n  its agent's terminal:  {agent}\n  a new one:             {new}\n"));
    }
    Ok(Outcome::Done)
}

/// Everything but the agent, healthy. An agent may end at any time, so waiting for it would fail.
pub(crate) fn start(stack: &Stack) -> anyhow::Result<()> {
    tokens::require_for_start(stack)?;
    let mut arguments = vec!["up", "-d", "--wait"];
    arguments.extend(stack.infrastructure());
    stack.compose(&arguments).inspect_err(|_| show_last_words(stack))
}

/// What the services that did not come up logged last: Compose says of each only that it is unhealthy.
fn show_last_words(stack: &Stack) {
    let states = stack.states().unwrap_or_default();
    let infrastructure = stack.infrastructure();
    let unwell = |(service, state): &&(String, String)| {
        infrastructure.contains(&service.as_str()) && state != "running healthy"
    };
    for (service, state) in states.iter().filter(unwell) {
        let logs = stack.command(&["logs", "--no-log-prefix", "--no-color", "--tail", "5", service]).output();
        let words = logs.map(|logs| String::from_utf8_lossy(&logs.stdout).into_owned()).unwrap_or_default();
        if !words.trim().is_empty() {
            say(&format!("{service} is {state}; the last that it said:\n{words}"));
        }
    }
}

/// What lies on disk decides what is started, so it must not have been open to an agent that still runs. Asks for the
/// read-only mounts that its container was made with; one that can't be asked (its binary was replaced by an upgrade)
/// is looked at when it runs again.
pub(crate) fn require_guarded(stack: &Stack) -> anyhow::Result<()> {
    const READ_ONLY: &str = "{{range .Mounts}}{{if not .RW}}{{println .Destination}}{{end}}{{end}}";
    let running = stack.command(&["ps", "-q", "--status", "running", "agent"]).output().context(NO_DOCKER)?;
    let agent = String::from_utf8_lossy(&running.stdout).trim().to_owned();
    if agent.is_empty() {
        return Ok(());
    }
    let mounts = docker().args(["inspect", "--format", READ_ONLY, &agent]).output().context(NO_DOCKER)?;
    let mounts = String::from_utf8_lossy(&mounts.stdout).into_owned();
    let looked = stack
        .command(&["exec", "-T", "agent", "/run/bottle/bottle", "mounts"])
        .args(mounts.lines().filter(|place| !place.is_empty()))
        .output()
        .context(NO_DOCKER)?;
    if looked.status.code() == Some(LOST) {
        say(&String::from_utf8_lossy(&looked.stdout));
        bail!("{}", unprotected(stack));
    }
    Ok(())
}

/// The exit code of `bottle mounts` that says that one is gone.
const LOST: i32 = 1;

fn unprotected(stack: &Stack) -> String {
    format!(
        "a folder that the agent must not write is no longer protected, since something on this machine replaced it; \
         stop what the agent does, look at the folder, then: {}",
        heal(stack)
    )
}

fn heal(stack: &Stack) -> String {
    format!("docker compose -f {}/docker-compose.yml up -d --force-recreate agent", stack.shown())
}

/// Asks the kernel, from inside: are the mounts that guard the rendered files still there, and is the namespace
/// that it is in the one that the gate is in?
fn look_at_the_agent(stack: &Stack) -> anyhow::Result<()> {
    let running = stack.command(&["ps", "--status", "running", "-q", "agent"]).output()?;
    if running.stdout.is_empty() {
        say("note: the agent's command has ended; `bottle run` starts it on this terminal\n");
        return Ok(());
    }
    let mut arguments =
        vec!["exec".to_owned(), "-T".into(), "agent".into(), "/run/bottle/bottle".into(), "mounts".into()];
    for mount in stack.project.plan.agent.mounts.iter().filter(|mount| mount.read_only) {
        arguments.push(mount.target.to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !stack.try_compose(&arguments)?.success() {
        bail!("{}", unprotected(stack));
    }
    let gate = ["exec", "-T", "agent", "/run/bottle/bottle", "healthcheck", "--url", "tcp://127.0.0.1:9099"];
    if !stack.try_compose(&gate)?.success() {
        bail!(
            "the agent lost its network namespace (the Docker daemon restarted?) and reaches nothing; heal it with: {}",
            heal(stack)
        );
    }
    Ok(())
}
