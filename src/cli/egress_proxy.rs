//! `bottle egress-proxy`: the first proxy, and the check of its config.

use super::{Globals, Outcome, now, print, process};
use crate::clock::Clock;
use crate::config::Listen;
use crate::egress_proxy::{EgressProxy, Rules};
use crate::intercept::Drain;
use crate::telemetry::{admin::Admin, audit, log};
use anyhow::{Context as _, bail};
use std::{path::PathBuf, time::Duration};

/// How long the last audit records may take to be written when the process ends.
const AUDIT_GRACE: Duration = Duration::from_secs(3);

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

fn check(args: CheckArgs) -> anyhow::Result<Outcome> {
    let clock = args.now.unwrap_or_else(Clock::system);
    let loaded = Rules::load(&args.config, 1, &clock)?;
    print(&loaded.summary())?;
    Ok(Outcome::Done)
}

async fn serve(args: RunArgs) -> anyhow::Result<Outcome> {
    let mut signals = process::Signals::install()?;
    let clock = args.now.unwrap_or_else(Clock::system);
    let sink = match (&args.audit_dir, &args.audit_log) {
        (Some(dir), _) => audit::Sink::folder(dir, "egress-proxy")?,
        (None, Some(path)) => audit::Sink::file(path)?,
        (None, None) => audit::Sink::Stdout,
    };
    let audit = audit::Log::start(sink).context("can't start the audit log")?;
    let proxy = EgressProxy::build(&args.config, &clock, audit.clone())?;
    let listen = args.listen.unwrap_or_else(|| proxy.listen());
    let listener = process::bind(&listen).await?;
    let address = listener.local_addr().map_or_else(|| listen.to_string(), |address| address.to_string());
    let admin = Admin::bind(&proxy.admin_address()).await?;
    let status = proxy.live().get();
    let admin_address = admin.local_addr()?;
    tokio::spawn(proxy.admin().serve(admin));
    let drain = Drain::new();
    let serving = tokio::spawn(proxy.serve(listener, drain.clone()));
    tracing::info!(
        listen = %address, admin = %admin_address, bottle = %status.bottle, config = %status.config,
        "ready"
    );
    // A reload says in the log, the metrics and the status how it went.
    signals.follow(async || drop(proxy.reload().await)).await;
    drain.start();
    let drained = serving.await?;
    tracing::info!(?drained, "stopped");
    if !audit.finish(AUDIT_GRACE).await {
        bail!("the last audit records could not be written");
    }
    Ok(Outcome::Done)
}
