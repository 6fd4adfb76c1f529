//! `bottle logs`: one line a request; `--denied`: what the proxies refused, where the rule stands now, and the manifest
//! entry that would allow it; `--services`: what the containers print.
//!
//! Requests are read from the audit records on this machine, so they are there whether or not anything runs, and
//! whatever became of the manifest.

use super::agreed_stack::{Stack, StackArgs};
use super::docker::NO_DOCKER;
use super::failure::fail;
use super::{Format, Globals, Outcome, now, passed_on_output, print_as, say, sinks};
use crate::clock::Clock;
use crate::plan::Topology;
use crate::telemetry::audit::{Announced, AuditReader, Counting, Entry, Series};
use anyhow::{Context as _, ensure};
use blocked::Blocked;
use current::Current;
use jiff::{Timestamp, tz::TimeZone};
use std::ops::ControlFlow;
use std::time::Duration;

mod blocked;
mod counted;
mod current;
mod request_line;
mod requests;
mod suggestion;

/// Show what the agent asked for, one line a request
///
/// On a terminal it goes on with what comes, until Ctrl-C. A line is time, verdict, status, method, bytes sent and received,
/// duration, and URL without its query; of a refusal also the reason.
#[derive(Debug, clap::Args)]
#[command(after_help = "Times are in UTC; a time without a date is one of today.

Examples:
  bottle logs
  bottle logs --denied --no-follow --since 2d
  bottle logs --services egress-proxy")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    /// Only requests that were refused, with the entry that would allow each
    #[arg(long)]
    denied: bool,
    /// Go on with what comes, also where stdout is no terminal
    #[arg(long, conflicts_with = "no_follow")]
    follow: bool,
    /// Stop at the end of what was logged so far
    #[arg(long)]
    no_follow: bool,
    /// Only what was logged since: a time such as 2026-11-26T10:00:00Z, or an age such as 10m or 2d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// What the containers print instead, all of them or these
    #[arg(long, alias = "service", value_name = "NAME", num_args = 0.., conflicts_with = "denied")]
    services: Option<Vec<String>>,
}

impl Args {
    fn follows(&self) -> bool {
        self.follow || (!self.no_follow && sinks::stdout_is_terminal())
    }
}

/// Between two looks for new records.
const LOOK: Duration = Duration::from_millis(300);

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(&args.stack, globals)?;
    if args.services.is_none() && !stack.plan.keeps_records() && !globals.quiet {
        say(
            "note: this bottle keeps no record of requests: pipelock is the upstream project's program, and there are no \
             routes; `bottle logs --services pipelock` shows what that program says\n",
        );
    }
    match &args.services {
        Some(services) => containers(&stack, services, args),
        None if args.denied => denied(&stack, args, globals),
        None => requests::show(&stack, args, globals),
    }
}

/// What the containers print, as Docker keeps it.
fn containers(stack: &Stack, services: &[String], args: &Args) -> anyhow::Result<Outcome> {
    let known: Vec<&str> = stack.plan.services().iter().map(|service| service.name).collect();
    for service in services {
        ensure!(
            known.contains(&service.as_str()),
            "there is no service {service}; there are {}",
            known.join(", ")
        );
    }
    let since = args.since.map(|since| since.to_string());
    let mut arguments = vec!["logs"];
    arguments.extend(args.follows().then_some("--follow"));
    if let Some(since) = &since {
        arguments.extend(["--since", since]);
    }
    arguments.extend(services.iter().map(String::as_str));
    let mut command = stack.command(&arguments);
    stack.announce(&command);
    let status = passed_on_output::run(&mut command).context(NO_DOCKER)?;
    if !status.success() {
        fail!("docker-failed", "docker compose logs failed ({status})");
    }
    Ok(Outcome::Done)
}

/// Refusals, each with what would allow it.
fn denied(stack: &Stack, args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let mut any = false;
    let mut announced = Announced::default();
    let current = Current::new(&stack.file, stack.loaded.as_ref(), Clock::system());
    read(stack, args, |entry| {
        let missing = match &entry {
            Some(entry) => announced.see(entry).into_iter().collect(),
            None => announced.late(current.clock.now()),
        };
        any |= !missing.is_empty() || entry.as_ref().is_some_and(Entry::is_refusal);
        missing.iter().try_for_each(|counting| show_missing(counting, current.clock.now(), globals))?;
        entry.as_ref().map_or(Ok(()), |entry| show(&current, entry, globals))
    })?;
    if !any && !globals.quiet {
        say("nothing was denied\n");
    }
    Ok(Outcome::Done)
}

/// Gives every record of the proxy that sees each request first, and nothing where there is none yet, until the end or as
/// long as `each` succeeds. What pipelock refuses behind egress-proxy is in the records of that, too.
fn read(
    stack: &Stack,
    args: &Args,
    mut each: impl FnMut(Option<Entry>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let first = if stack.plan.topology == Topology::Chain { "egress-proxy" } else { "pipelock" };
    let folder = stack.bottle.state.join("audit").join(first);
    let mut reader = AuditReader::open(&[&folder], &Series::ALL, args.since)?;
    let mut failed = Ok(());
    let follows = args.follows();
    reader.follow(LOOK, |entry| {
        let at_end = entry.is_none();
        failed = each(entry);
        if failed.is_err() || (at_end && !follows) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    failed?;
    if reader.skipped().lines > 0 {
        say(&format!(
            "note: {} lines in {folder} are incomplete: a proxy was killed while it wrote them\n",
            reader.skipped().lines
        ));
    }
    Ok(())
}

/// A count that the proxy announced and did not write.
fn show_missing(counting: &Counting, now: Timestamp, globals: &Globals) -> anyhow::Result<()> {
    let text = match globals.format {
        Format::Text => counted::missing(counting, now),
        Format::Json => format!("{}\n", serde_json::to_string(counting)?),
    };
    Ok(print_as(globals.format, &text)?)
}

fn show(current: &Current<'_>, entry: &Entry, globals: &Globals) -> anyhow::Result<()> {
    if !entry.is_refusal() {
        return Ok(());
    }
    let now = current.clock.now();
    let text = match (entry, globals.format) {
        (Entry::EgressProxy(record), Format::Text) => suggestion::as_text(record, current),
        (Entry::EgressProxy(record), Format::Json) => format!("{}\n", suggestion::as_json(record, current)?),
        (Entry::Pipelock(record), Format::Text) => Blocked::from_record(record).as_text(now),
        (Entry::Pipelock(record), Format::Json) => format!("{}\n", Blocked::from_record(record).as_json()),
        (Entry::Suppressed(counted), Format::Text) => suggestion::counted(counted, now),
        (Entry::Suppressed(counted), Format::Json) => format!("{}\n", serde_json::to_string(counted)?),
        (Entry::Counted(counted), Format::Text) => counted::as_text(counted, now),
        (Entry::Counted(counted), Format::Json) => format!("{}\n", serde_json::to_string(counted)?),
        // Shown when its count is missing.
        (Entry::Counting(_), _) => return Ok(()),
    };
    Ok(print_as(globals.format, &text)?)
}

/// A time for a person, in UTC: with its date unless that is today.
fn when(time: Timestamp, now: Timestamp) -> impl std::fmt::Display {
    let date = |time| TimeZone::UTC.to_datetime(time).date();
    time.strftime(if date(time) == date(now) { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" })
}

/// A time, or how long ago.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let age = now::age(text).ok();
    age.and_then(|age| Timestamp::now().checked_sub(age).ok()).ok_or_else(|| {
        "write a time such as 2026-11-26T10:00:00Z, or an age such as 90s, 10m, 2h or 2d".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_date_unless_that_is_today_in_utc() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-26T00:30:00Z");
        assert_eq!(when(at("2026-11-26T00:10:00Z"), now).to_string(), "00:10:00");
        assert_eq!(when(at("2026-11-25T23:59:59Z"), now).to_string(), "2026-11-25 23:59:59");
    }

    #[test]
    fn since_is_a_time_or_an_age() {
        assert_eq!(since("2026-11-26T10:00:00Z").unwrap().to_string(), "2026-11-26T10:00:00Z");
        let ago = Timestamp::now().duration_since(since("10m").unwrap());
        assert!((590..=610).contains(&ago.as_secs()), "{ago}");
        let days = Timestamp::now().duration_since(since("2d").unwrap());
        assert!((172_790..=172_810).contains(&days.as_secs()), "{days}");
        for bad in ["5x", "", "-10m", "yesterday"] {
            assert!(since(bad).unwrap_err().starts_with("write a time such as"), "{bad}");
        }
    }
}
