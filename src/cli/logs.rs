//! `bottle logs`: what the services print; `--denied`: what the proxies refused, where the rule stands, and the
//! manifest entry that would allow it.

use super::stack::{NO_DOCKER, Stack};
use super::{Format, Globals, Outcome, passing, print_as};
use crate::plan::Shape;
use crate::telemetry::audit::{Record, Verdict};
use anyhow::Context as _;
use blocked::Blocked;
use camino::Utf8PathBuf;
use std::io::BufReader;
use std::process::ExitStatus;

mod blocked;
mod suggestion;

/// Show what a stack logs
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle logs --denied")]
pub(crate) struct Args {
    /// The manifest; without one, the nearest bottle.yaml
    #[arg(value_name = "MANIFEST")]
    manifest: Option<Utf8PathBuf>,
    /// Where the tree is [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Only requests that were refused, with the entry that would allow each
    #[arg(long)]
    denied: bool,
    /// Stop at the end of what was logged so far
    #[arg(long)]
    no_follow: bool,
    /// Only what was logged since: a time, or an age such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only these services
    #[arg(long = "service", value_name = "SERVICE", conflicts_with = "denied")]
    services: Vec<String>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(args.manifest.as_deref(), args.out.as_deref(), globals)?;
    let mut arguments = vec!["logs"];
    arguments.extend((!args.no_follow).then_some("--follow"));
    if let Some(since) = &args.since {
        arguments.extend(["--since", since]);
    }
    if !args.denied {
        arguments.extend(args.services.iter().map(String::as_str));
        let mut command = stack.command(&arguments);
        stack.announce(&command);
        return ended(passing::run(&mut command).context(NO_DOCKER)?);
    }
    // Whoever is first sees every request; what pipelock refuses behind it is in its records, too.
    let first = if stack.plan.shape == Shape::Chain { "egress-proxy" } else { "pipelock" };
    arguments.extend(["--no-log-prefix", "--no-color", first]);
    follow(&stack, &arguments, globals)
}

fn follow(stack: &Stack, arguments: &[&str], globals: &Globals) -> anyhow::Result<Outcome> {
    let mut command = stack.command(arguments);
    stack.announce(&command);
    ended(passing::run_reading(&mut command, |output| show(stack, BufReader::new(output), globals))?)
}

fn ended(status: ExitStatus) -> anyhow::Result<Outcome> {
    anyhow::ensure!(status.success(), "docker compose logs failed ({status})");
    Ok(Outcome::Done)
}

fn show(stack: &Stack, lines: impl std::io::BufRead, globals: &Globals) -> anyhow::Result<()> {
    for line in lines.lines() {
        let line = line?;
        if let Some(blocked) = Blocked::of(&line) {
            print_as(
                globals.format,
                &match globals.format {
                    Format::Text => blocked.as_text(),
                    Format::Json => format!("{}\n", blocked.as_json()),
                },
            )?;
        }
        // Services also log lines that are no audit records.
        let Ok(record) = serde_json::from_str::<Record>(&line) else { continue };
        if record.verdict == Verdict::Deny {
            print_as(globals.format, &match globals.format {
                Format::Text => suggestion::as_text(&record, stack.loaded.as_ref()),
                Format::Json => format!("{}\n", suggestion::as_json(&record, stack.loaded.as_ref())?),
            })?;
        }
    }
    Ok(())
}
