//! `bottle pipelock`: the second proxy, and the check of its config.

use super::{Globals, Outcome, now, print, process};
use crate::clock::Clock;
use crate::config::Listen;
use crate::intercept::Drain;
use crate::pipelock::{Events, Network, Paths, Pipelock, Rules};
use crate::telemetry::{admin::Admin, audit, log};
use anyhow::{Context as _, bail};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How long the last audit records may take to be written when the process ends.
const AUDIT_GRACE: Duration = Duration::from_secs(3);

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
    after_help = "Example: bottle pipelock run --config pipelock.yaml --embedded embedded.yaml --listen 0.0.0.0:8888"
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
        Verb::Run(args) => {
            log::start(log::Verbosity::from_flags(globals.quiet, globals.verbose));
            process::guard_memory();
            process::raise_descriptor_limit();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let outcome = runtime.block_on(serve(args));
            runtime.shutdown_background();
            outcome
        }
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let clock = args.files.clock();
    let rules = Rules::load(&args.files.paths(), 1, &clock)?.rules;
    let Some(url) = &args.url else {
        print(&rules.summary())?;
        return Ok(Outcome::Done);
    };
    match rules.check_url(url) {
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

async fn serve(args: RunArgs) -> anyhow::Result<Outcome> {
    let mut signals = process::Signals::install()?;
    let clock = args.files.clock();
    let mut events = Events::new(std::io::stdout(), clock.clone());
    let mut audit = None;
    if let Some(dir) = &args.audit_dir {
        let sink = audit::Sink::folder(dir, "pipelock")?;
        let log = audit::Log::start(sink).context("can't start the audit log")?;
        events = events.recorded_in(log.clone());
        audit = Some(log);
    }
    let pipelock = Arc::new(Pipelock::build(&args.files.paths(), &clock, Network::system(), events)?);
    let listen = args.listen.unwrap_or_else(|| pipelock.listen());
    let listener = process::bind(&listen).await?;
    let address = listener.local_addr().map_or_else(|| listen.to_string(), |address| address.to_string());
    if let Some(admin) = pipelock.admin_address() {
        let admin = Admin::bind(&admin).await?;
        tokio::spawn(pipelock.admin().serve(admin));
    }
    let status = pipelock.live().get();
    let drain = Drain::new();
    let serving = {
        let (pipelock, drain) = (Arc::clone(&pipelock), drain.clone());
        tokio::spawn(async move { pipelock.serve(listener, drain).await })
    };
    tracing::info!(listen = %address, bottle = %status.bottle, config = %status.config, "ready");
    // A reload says in the log, the metrics and the status how it went.
    signals.follow(async || drop(pipelock.reload().await)).await;
    drain.start();
    let drained = serving.await?;
    tracing::info!(?drained, "stopped");
    if let Some(audit) = audit
        && !audit.finish(AUDIT_GRACE).await
    {
        bail!("the last audit records could not be written");
    }
    Ok(Outcome::Done)
}
