//! `bottle egress-proxy`: the first proxy, and the check of its config.

use super::{Globals, Outcome, now, print, process};
use crate::clock::Clock;
use crate::config::Listen;
use crate::egress_proxy::{EgressProxy, Rules};
use crate::telemetry::audit;
use std::path::PathBuf;

/// Inside a stack: the proxy between the agent and pipelock
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Run(RunArgs),
    Check(CheckArgs),
}

/// Serve until told to stop; SIGHUP reads the config again
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle egress-proxy run --config /etc/bottle/egress-proxy/routes.yaml")]
struct RunArgs {
    /// The routes file that `bottle render` wrote
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Listen here instead: `unix:PATH` or `ADDRESS:PORT`
    #[arg(long, value_name = "ADDR")]
    listen: Option<Listen>,
    /// Append audit records to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Append audit records to files in this folder instead of stdout: rotated, bounded, never emptied
    #[arg(long, value_name = "DIR", conflicts_with = "audit_log")]
    audit_dir: Option<PathBuf>,
    /// Decide as of this date or time (UTC) instead of now
    #[arg(long, value_name = "DATE", value_parser = now::parse)]
    now: Option<Clock>,
}

/// Check the config, the CA and the token files, and serve nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle egress-proxy check --config .bottle/dev/egress-proxy/routes.yaml")]
struct CheckArgs {
    /// The routes file that `bottle render` wrote
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check as of this date or time (UTC) instead of now
    #[arg(long, value_name = "DATE", value_parser = now::parse)]
    now: Option<Clock>,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<Outcome> {
    match args.verb {
        Verb::Check(args) => check(args),
        Verb::Run(args) => process::serve(globals, args.listen.as_ref(), || build(&args)),
    }
}

fn check(args: CheckArgs) -> anyhow::Result<Outcome> {
    let clock = args.now.unwrap_or_else(Clock::system);
    let loaded = Rules::load(&args.config, 1, &clock)?;
    print(&loaded.summary())?;
    Ok(Outcome::Done)
}

fn build(args: &RunArgs) -> anyhow::Result<EgressProxy> {
    let clock = args.now.clone().unwrap_or_else(Clock::system);
    let sink = match (&args.audit_dir, &args.audit_log) {
        (Some(dir), _) => audit::Sink::folder(dir, "egress-proxy")?,
        (None, Some(path)) => audit::Sink::file(path)?,
        (None, None) => audit::Sink::Stdout,
    };
    let audit = process::start_audit(sink)?;
    Ok(EgressProxy::build(&args.config, &clock, audit)?)
}
