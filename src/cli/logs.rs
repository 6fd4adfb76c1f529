//! `bottle logs`: what the services print; `--denied`: what the proxies refused, where the rule stands
//! now, and the manifest entry that would allow it.
//!
//! What was refused is read from the audit records on this machine, so it is there whether or not anything runs, and
//! whatever became of the manifest.

use super::agreed_stack::{Stack, StackArgs};
use super::docker::NO_DOCKER;
use super::failure::fail;
use super::{Format, Globals, Outcome, now, passed_on_output, print_as, say};
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
mod suggestion;

/// Show what a stack logs
#[derive(Debug, clap::Args)]
#[command(after_help = "Times are in UTC; a time without a date is one of today.

Examples:
  bottle logs --denied
  bottle logs --denied --no-follow --since 2d")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    /// Only requests that were refused, with the entry that would allow each
    #[arg(long)]
    denied: bool,
    /// Stop at the end of what was logged so far
    #[arg(long)]
    no_follow: bool,
    /// Only what was logged since: a time such as 2026-11-26T10:00:00Z, or an age such as 10m or 2d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Only these services
    #[arg(long = "service", value_name = "SERVICE", conflicts_with = "denied")]
    services: Vec<String>,
}

/// Between two looks for new records.
const LOOK: Duration = Duration::from_millis(300);

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(&args.stack, globals)?;
    if args.denied {
        return denied(&stack, args, globals);
    }
    let known: Vec<&str> = stack.plan.services().iter().map(|service| service.name).collect();
    for service in &args.services {
        ensure!(
            known.contains(&service.as_str()),
            "there is no service {service}; there are {}",
            known.join(", ")
        );
    }
    let since = args.since.map(|since| since.to_string());
    let mut arguments = vec!["logs"];
    arguments.extend((!args.no_follow).then_some("--follow"));
    if let Some(since) = &since {
        arguments.extend(["--since", since]);
    }
    arguments.extend(args.services.iter().map(String::as_str));
    let mut command = stack.command(&arguments);
    stack.announce(&command);
    let status = passed_on_output::run(&mut command).context(NO_DOCKER)?;
    if !status.success() {
        fail!("docker-failed", "docker compose logs failed ({status})");
    }
    Ok(Outcome::Done)
}

/// Whoever is first sees every request; what pipelock refuses behind it is in its records, too.
fn denied(stack: &Stack, args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let first = if stack.plan.topology == Topology::Chain { "egress-proxy" } else { "pipelock" };
    let folder = stack.bottle.state.join("audit").join(first);
    let mut reader = AuditReader::open(&[&folder], &Series::ALL, args.since)?;
    let (mut failed, mut any) = (None, false);
    let mut announced = Announced::default();
    let current = Current::new(&stack.file, stack.loaded.as_ref(), Clock::system());
    reader.follow(LOOK, |entry| {
        let missing = match &entry {
            Some(entry) => announced.see(entry).into_iter().collect(),
            None => announced.late(current.clock.now()),
        };
        let shown =
            missing.iter().try_for_each(|counting| show_missing(counting, current.clock.now(), globals));
        let shown =
            shown.and_then(|()| entry.as_ref().map_or(Ok(()), |entry| show(&current, entry, globals)));
        any |= !missing.is_empty() || entry.as_ref().is_some_and(Entry::is_refusal);
        match shown {
            Ok(()) if entry.is_none() && args.no_follow => ControlFlow::Break(()),
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if !any && !globals.quiet {
        say("nothing was denied\n");
    }
    if reader.skipped().lines > 0 {
        say(&format!(
            "note: {} lines in {folder} are incomplete: a proxy was killed while it wrote them\n",
            reader.skipped().lines
        ));
    }
    Ok(Outcome::Done)
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
