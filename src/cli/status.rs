//! `bottle status`: whether a stack runs as it was agreed to, what it was asked, and what to do next.

use super::agreed_stack::{Stack, StackArgs};
use super::docker::{docker, output_of};
use super::published_ports::{Shown, shown};
use super::{Format, Globals, Outcome, audit_files, container_checks, print_as, source, tree_against_agreed};
use crate::consent::Running;
use crate::json_schema;
use crate::printable::printable_name;
use crate::report::{Collector, Listing, Report, Rules};
use crate::stack::service;
use crate::telemetry::audit::{AuditReader, Series};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;

/// Show whether a stack runs as you agreed to, what it was asked, and what to do next
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle status")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
}

/// Of the JSON document.
const VERSION: u32 = 1;
/// Hosts that are listed.
const HOSTS: usize = 5;

/// A stack, as it is now.
#[derive(Debug, Serialize, JsonSchema)]
struct StackStatus {
    /// Of this format.
    bottle_status: u32,
    /// The bottle's name.
    name: String,
    /// The Compose project.
    project: String,
    /// The manifest that it was rendered from.
    manifest: String,
    /// The digest of what was agreed to last.
    digest: String,
    /// Whether every service between the agent and the Internet is well.
    running: bool,
    /// Since when; absent where nothing runs.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    since: Option<Timestamp>,
    /// The services that have a container, in Docker's words: `running healthy`.
    services: Vec<Service>,
    /// The containers of the agents that run.
    agents: Vec<String>,
    /// Ports of the agent that this machine shows on its loopback.
    published: Vec<Shown>,
    /// The names of the tokens that it takes, never their values.
    tokens: Vec<String>,
    /// Whether a proxy of bottle's own records requests.
    recorded: bool,
    /// What was asked for since then, or as far as the records reach; absent where nothing was.
    requests: Option<Requests>,
    /// What is not as it was agreed to, or does not run; a sentence each.
    stale: Vec<String>,
    /// What to do next: a command.
    next: String,
}

/// A service of the stack.
#[derive(Debug, Serialize, JsonSchema)]
struct Service {
    /// Its name.
    name: String,
    /// Its state, and its health if Docker is told any.
    state: String,
}

/// What became of requests.
#[derive(Debug, Serialize, JsonSchema)]
struct Requests {
    /// Sent on, and an answer came.
    allowed: u64,
    /// Refused by a rule.
    denied: u64,
    /// Not refused, and failed.
    failed: u64,
    /// The last of them.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    last: Option<Timestamp>,
    /// Who was asked most, the most asked first.
    hosts: Vec<Host>,
}

/// Who was asked.
#[derive(Debug, Serialize, JsonSchema)]
struct Host {
    /// Scheme, host and port.
    origin: String,
    /// Requests that were allowed.
    allowed: u64,
    /// Requests that were denied.
    denied: u64,
    /// Requests that failed.
    failed: u64,
}

/// The schema of the JSON document.
pub(super) fn schema() -> serde_json::Value {
    json_schema::of::<StackStatus>("status", VERSION)
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(&args.stack, globals)?;
    let status = look(&stack)?;
    print_as(
        globals.format,
        &match globals.format {
            Format::Text => as_text(&status, Timestamp::now())?,
            Format::Json => format!("{}\n", serde_json::to_string_pretty(&status)?),
        },
    )?;
    Ok(if status.running && status.stale.is_empty() { Outcome::Done } else { Outcome::Differs })
}

fn look(stack: &Stack) -> anyhow::Result<StackStatus> {
    let containers = container_checks::of_project(&stack.bottle.project)?;
    let states = if containers.is_empty() { Vec::new() } else { stack.states()? };
    let state = |name: &str| states.iter().find(|(service, _)| service == name).map(|(_, state)| state);
    let unwell: Vec<String> = stack
        .infrastructure()
        .into_iter()
        .filter(|name| !state(name).is_some_and(|state| stack.is_well(name, state)))
        .collect();
    let holder = containers.iter().find(|it| it.service == service::NETNS && it.is_running());
    let since = holder.map(|it| started(&it.id)).transpose()?.flatten();
    let command = |verb: &str| source::command(verb, &stack.file);
    let agents: Vec<String> = containers
        .iter()
        .filter(|it| it.service == service::AGENT && it.is_running())
        .map(|it| it.name.clone())
        .collect();
    let (mut problems, mut next) = (Vec::new(), command(if agents.is_empty() { "run" } else { "attach" }));
    // The last that is found is what comes first to be done.
    if Running::load(&stack.bottle.state)
        .is_some_and(|ran| holder.is_some() && ran.digest != stack.agreed.record.digest)
    {
        problems.push("what runs has older rules than those that you agreed to".to_owned());
        next = command("reload");
    }
    if holder.is_none() {
        problems.push("it does not run".to_owned());
        next = command("up");
    } else if !unwell.is_empty() {
        let said = |name: &String| format!("{name} is {}", state(name).map_or("not there", String::as_str));
        problems.push(unwell.iter().map(said).collect::<Vec<_>>().join(", "));
        // Docker starts it already; what is wrong is in what it says.
        let restarts = |name: &&String| state(name).is_some_and(|state| state.starts_with("restarting"));
        next = match unwell.iter().find(restarts) {
            Some(name) => format!("{} --services {name}", command("logs")),
            None => command("up"),
        };
    }
    let mut changed = Vec::new();
    if let Some(difference) = tree_against_agreed::describe(stack.folder(), &stack.bottle.out, &stack.agreed)?
    {
        changed.push(format!("{} is not what you agreed to: {}", stack.shown(), difference.trim_end()));
    }
    if !stack.follows_the_manifest() {
        changed.push(format!("{} changed since you rendered it", stack.file));
    }
    if !stack.context_is_current() {
        changed
            .push("files that the agent's image is built from changed since you agreed to them".to_owned());
    }
    if !changed.is_empty() {
        next = command("render");
    }
    problems.extend(changed);
    Ok(StackStatus {
        bottle_status: VERSION,
        name: stack.bottle.name.clone(),
        project: stack.bottle.project.clone(),
        manifest: stack.bottle.manifest.to_string(),
        digest: stack.agreed.record.digest.clone(),
        running: unwell.is_empty(),
        since,
        agents,
        published: shown(&containers),
        tokens: stack.plan.tokens().into_keys().map(str::to_owned).collect(),
        recorded: stack.plan.keeps_records(),
        requests: requests(stack, since)?,
        services: states.into_iter().map(|(name, state)| Service { name, state }).collect(),
        stale: problems,
        next,
    })
}

/// When a container was started.
fn started(id: &str) -> anyhow::Result<Option<Timestamp>> {
    let at = output_of(docker().args(["inspect", "--format", "{{.State.StartedAt}}", id]))?;
    Ok(at.trim().parse().ok())
}

/// What the records on this machine tell.
fn requests(stack: &Stack, since: Option<Timestamp>) -> anyhow::Result<Option<Requests>> {
    let folders = audit_files::of_both_proxies(&stack.bottle.state.join("audit"));
    let mut reader = AuditReader::open(&folders, &Series::ALL, since)?;
    let mut collector = Collector::new(since);
    while let Some(entry) = reader.next()? {
        collector.see(&entry);
    }
    if collector.is_empty() {
        return Ok(None);
    }
    let listing = Listing { rows: HOSTS, groups: 0 };
    let rules = Rules::Unknown(String::new());
    let Report { totals, last, hosts, .. } = collector.finish(Vec::new(), &rules, listing, Vec::new());
    let host = |it: crate::report::Host| Host {
        origin: it.origin,
        allowed: it.allowed,
        denied: it.denied,
        failed: it.failed,
    };
    Ok(Some(Requests {
        allowed: totals.allowed,
        denied: totals.denied,
        failed: totals.failed,
        last,
        hosts: hosts.rows.into_iter().map(host).collect(),
    }))
}

fn as_text(status: &StackStatus, now: Timestamp) -> Result<String, std::fmt::Error> {
    let minute = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let mut text = format!("{} ({})", status.name, status.project);
    match status.since {
        Some(since) => writeln!(text, ": up since {} ({})", minute(since), age(since, now))?,
        None => writeln!(text, ": does not run")?,
    }
    writeln!(text, "  manifest  {}", printable_name(&status.manifest))?;
    writeln!(text, "  digest    {}", status.digest)?;
    let services: Vec<String> =
        status.services.iter().map(|it| format!("{} {}", it.name, it.state)).collect();
    let published: Vec<String> = status.published.iter().map(ToString::to_string).collect();
    for (name, list) in [
        ("services", &services),
        ("agents", &status.agents),
        ("ports", &published),
        ("tokens", &status.tokens),
    ] {
        if !list.is_empty() {
            writeln!(text, "  {name:<8}  {}", printable_name(&list.join(", ")))?;
        }
    }
    match &status.requests {
        None if !status.recorded => {
            writeln!(text, "  requests  not recorded, by the program of pipelock.image")?;
        }
        None => writeln!(text, "  requests  none")?,
        Some(asked) => {
            let last = asked.last.map(|last| format!("; the last {}", age(last, now) + " ago"));
            writeln!(
                text,
                "  requests  {} allowed, {} denied, {} failed{}",
                asked.allowed,
                asked.denied,
                asked.failed,
                last.unwrap_or_default()
            )?;
            for host in &asked.hosts {
                let Host { origin, allowed, denied, failed } = host;
                let origin = printable_name(origin);
                writeln!(text, "    {origin}  {allowed} allowed, {denied} denied, {failed} failed")?;
            }
        }
    }
    for problem in &status.stale {
        writeln!(text, "  stale     {}", problem.replace('\n', "\n            "))?;
    }
    writeln!(text, "  next      {}", status.next)?;
    Ok(text)
}

/// In one unit.
fn age(from: Timestamp, now: Timestamp) -> String {
    match now.duration_since(from).as_secs().max(0) {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |seconds: i64| age(Timestamp::from_second(1_000_000 - seconds).unwrap(), now);
        assert_eq!(
            [ago(-5), ago(59), ago(60), ago(7_200), ago(172_800)].join(", "),
            "0 s, 59 s, 1 min, 2 h, 2 days"
        );
    }
}
