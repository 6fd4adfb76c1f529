//! `bottle jail`: process 1 of an agent in a pod.

use super::{Globals, Outcome, gate, process};
use crate::gate::Relay;
use crate::jail::{Agent, enter};
use crate::telemetry::log;
use std::ffi::OsString;
use tokio::task::JoinSet;

/// Inside a pod: give the agent a network of its own, with loopback alone, and run it there
///
/// It is process 1 of the agent's container. The agent's only ways out are the relays. Without a network namespace of its
/// own, a filter of system calls and the loss of all capabilities, no agent is started.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: bottle jail --relay 127.0.0.1:9099=unix:/run/bottle/egress.sock -- node agent.js"
)]
pub(crate) struct Args {
    /// Where to listen in the agent's network, and where to connect: unix:PATH or HOST:PORT; repeatable
    #[arg(long = "relay", value_name = "LISTEN=CONNECT")]
    relays: Vec<Relay>,
    /// The agent's program, and its arguments
    #[arg(value_name = "COMMAND", required = true, num_args = 1.., last = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<Outcome> {
    // What it says goes to the agent's terminal.
    log::start(log::Verbosity::from_flags(globals.quiet || globals.verbose == 0, globals.verbose));
    enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut serving = JoinSet::new();
        // The relays listen before the agent is there, which can't take their ports.
        gate::relay(args.relays, None, &mut serving).await?;
        let [program, arguments @ ..] = args.command.as_slice() else {
            anyhow::bail!("say what to run: bottle jail -- COMMAND");
        };
        let agent = Agent::start(program, arguments)?;
        // Not before: the agent's own limit is what the container has.
        process::raise_descriptor_limit();
        Ok(Outcome::Agent(agent.wait().await?))
    });
    // What is left of the agent ends with process 1.
    runtime.shutdown_background();
    outcome
}
