//! `bottle supervise`: the service that takes an agent's proposals.

use super::{Globals, Outcome, process};
use crate::clock::Clock;
use crate::config::Listen;
use crate::supervise::{Limits, Service};
use crate::telemetry::status::LiveStatus;
use anyhow::bail;
use camino::Utf8PathBuf;
use std::path::PathBuf;
use std::time::Duration;

/// Inside a stack: take what the agent proposes, for a person to decide
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: bottle supervise --listen unix:/run/bottle-supervise/mcp.sock --rules routes.yaml --state /var/lib/bottle"
)]
pub(crate) struct Args {
    /// The socket that egress-proxy carries messages to: `unix:PATH`
    #[arg(long, value_name = "ADDR")]
    listen: Listen,
    /// The routes file that `bottle render` wrote
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// The folder of `proposals` and `decisions`
    #[arg(long, value_name = "DIR")]
    state: Utf8PathBuf,
    /// Where health is asked for
    #[arg(long, value_name = "HOST:PORT", default_value_t = crate::stack::ADMIN.to_string())]
    admin: String,
    /// How many seconds a call waits for a decision
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=50))]
    wait: u64,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let Listen::Unix(socket) = args.listen else {
        bail!("--listen {}: supervise listens on a unix socket and nowhere else: unix:PATH", args.listen);
    };
    process::serve_service(globals, &socket, &args.admin, || {
        let patience = Duration::from_secs(args.wait);
        let service = Service::open(&args.state, args.rules, Limits::default(), patience, &Clock::system())?;
        let status = LiveStatus::new(service.bottle().to_owned(), service.config().to_owned());
        Ok((status, Box::new(move |listener| service.serve(listener)) as Box<dyn FnOnce(_) -> _>))
    })
}
