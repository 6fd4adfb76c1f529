//! `bottle pipelock`: the second proxy, and the check of its config.

use super::{Globals, Outcome, now, print, process};
use crate::clock::Clock;
use crate::config::Listen;
use crate::pipelock::{Events, Network, Paths, Pipelock, Rules};
use crate::telemetry::audit;
use std::path::PathBuf;

/// Inside a stack: the proxy between egress-proxy and the Internet
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

/// The files that `bottle render` wrote.
#[derive(Debug, clap::Args)]
struct Files {
    /// pipelock.yaml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// embedded.yaml: ports, private addresses, placeholders, limits
    #[arg(long, value_name = "FILE")]
    embedded: Option<PathBuf>,
    /// Judge certificates as of this date or time (UTC) instead of now
    #[arg(long, value_name = "DATE", value_parser = now::parse)]
    now: Option<Clock>,
}

/// Serve until told to stop; SIGHUP reads the files again
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: bottle pipelock run --config pipelock.yaml --embedded embedded.yaml --listen 127.0.0.1:8888"
)]
struct RunArgs {
    #[command(flatten)]
    files: Files,
    /// Listen here instead: `unix:PATH` or `ADDRESS:PORT`
    #[arg(long, value_name = "ADDR")]
    listen: Option<Listen>,
    /// Append every decision to files in this folder, too: rotated, bounded, never emptied
    #[arg(long, value_name = "DIR")]
    audit_dir: Option<PathBuf>,
}

/// Check the files and the CA, and serve nothing; exit 1 when --url would be refused
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle pipelock check --config pipelock.yaml --url https://api.example/v1")]
struct CheckArgs {
    #[command(flatten)]
    files: Files,
    /// Say what would become of a GET of this URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

impl Files {
    fn paths(&self) -> Paths {
        Paths { config: self.config.clone(), embedded: self.embedded.clone() }
    }

    fn clock(&self) -> Clock {
        self.now.clone().unwrap_or_else(Clock::system)
    }
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<Outcome> {
    match args.verb {
        Verb::Check(args) => check(&args),
        Verb::Run(args) => process::serve(globals, args.listen.as_ref(), || build(&args)),
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let clock = args.files.clock();
    let loaded = Rules::load(&args.files.paths(), 1, &clock)?;
    let Some(url) = &args.url else {
        print(&loaded.summary())?;
        return Ok(Outcome::Done);
    };
    match loaded.rules.check_url(url) {
        Ok(()) => {
            print("allowed\n")?;
            Ok(Outcome::Done)
        }
        Err(block) => {
            print(&format!("blocked: {block}\n"))?;
            Ok(Outcome::Differs)
        }
    }
}

fn build(args: &RunArgs) -> anyhow::Result<Pipelock> {
    let clock = args.files.clock();
    let mut events = Events::new(std::io::stdout(), clock.clone());
    if let Some(dir) = &args.audit_dir {
        events = events.recorded_in(process::start_audit(audit::Sink::folder(dir, "pipelock")?)?);
    }
    Ok(Pipelock::build(&args.files.paths(), &clock, Network::system(), events)?)
}
