//! `bottle gate`: the byte relay.

use super::{Globals, Outcome, process};
use crate::gate::{self, Lend, Relay};
use crate::telemetry::log;
use anyhow::Context as _;
use std::net::IpAddr;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Inside a stack: relay bytes between two sockets
///
/// Without --relay it only holds its network namespace, and the ports that it lends, until it is told to stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle gate --relay 127.0.0.1:9099=unix:/run/bottle/egress.sock")]
pub(crate) struct Args {
    /// Where to listen and where to connect: unix:PATH or HOST:PORT, and lent:PATH to listen; repeatable
    #[arg(long = "relay", value_name = "LISTEN=CONNECT")]
    relays: Vec<Relay>,
    /// Hold a port, and lend its socket to `--relay lent:PATH=…` on the unix socket PATH; repeatable
    #[arg(long = "lend", value_name = "HOST:PORT=unix:PATH")]
    loans: Vec<Lend>,
    /// Serve the default gateway of this network and nobody else on it: what a container engine publishes comes from there
    #[arg(long)]
    from_gateway: bool,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<Outcome> {
    log::start(log::Verbosity::from_flags(globals.quiet, globals.verbose));
    process::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(args));
    // Relays in flight end with the process: whoever stops the gate stops the agent's way out.
    runtime.shutdown_background();
    outcome
}

async fn serve(args: Args) -> anyhow::Result<Outcome> {
    // Installed before anything else: process 1 without a handler can't be told to stop.
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't wait for signals")?;
    let mut serving = JoinSet::new();
    tokio::select! {
        // A lent listener may be waited for.
        started = start(args, &mut serving) => started?,
        _ = terminate.recv() => return Ok(Outcome::Done),
        _ = interrupt.recv() => return Ok(Outcome::Done),
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(Outcome::Done)
}

async fn start(args: Args, serving: &mut JoinSet<()>) -> anyhow::Result<()> {
    for loan in args.loans {
        let held = loan.bind().await?;
        let socket = loan.socket.display().to_string();
        tracing::info!(listen = %held.local_address()?, socket, "holding a port");
        serving.spawn(held.serve());
    }
    if args.relays.is_empty() {
        tracing::info!("holding the network namespace; nothing is relayed");
    }
    let only_from = if args.from_gateway { Some(gate::gateway()?) } else { None };
    relay(args.relays, only_from, serving).await
}

/// Binds every relay, and serves it until `serving` is dropped.
pub(super) async fn relay(
    relays: Vec<Relay>,
    only_from: Option<IpAddr>,
    serving: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    // One process carries no more than fits its memory, however many relays share it.
    let share = gate::MAX_CONNECTIONS / relays.len().max(1);
    for relay in relays {
        let connect = relay.connect.clone();
        let mut bound = relay.bind().await?.with_max_connections(share);
        if let Some(address) = only_from {
            bound = bound.only_from(address);
        }
        tracing::info!(listen = %bound.local_address()?, %connect, "ready");
        serving.spawn(bound.serve());
    }
    Ok(())
}
