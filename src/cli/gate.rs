//! `bottle gate`: the byte relay.

use super::{Globals, Outcome, process};
use crate::gate::Relay;
use crate::telemetry::log;
use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Inside a stack: relay bytes between two sockets
///
/// Without --relay it only holds its network namespace, until it is told to stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle gate --relay 127.0.0.1:9099=unix:/run/bottle/egress.sock")]
pub(crate) struct Args {
    /// Where to listen and where to connect: unix:PATH or HOST:PORT on either side; repeatable
    #[arg(long = "relay", value_name = "LISTEN=CONNECT")]
    relays: Vec<Relay>,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<Outcome> {
    log::start(log::Verbosity::from_flags(globals.quiet, globals.verbose));
    process::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(args.relays));
    // Relays in flight end with the process: whoever stops the gate stops the agent's way out.
    runtime.shutdown_background();
    outcome
}

async fn serve(relays: Vec<Relay>) -> anyhow::Result<Outcome> {
    // Installed before anything else: process 1 without a handler can't be told to stop.
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't wait for signals")?;
    let mut serving = JoinSet::new();
    for relay in relays {
        let connect = relay.connect.clone();
        let bound = relay.bind().await?;
        tracing::info!(listen = %bound.local_address()?, %connect, "ready");
        serving.spawn(bound.serve());
    }
    if serving.is_empty() {
        tracing::info!("holding the network namespace; nothing is relayed");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(Outcome::Done)
}
