//! What every runtime verb does to its process, and hears from outside of it.

use super::{Globals, Outcome};
use crate::config::Listen;
use crate::intercept::{Drain, ListenError, Listener};
use crate::runtime::{Instance, Runtime};
use crate::telemetry::{
    admin::Admin,
    audit, log,
    status::{LiveStatus, Status},
};
use anyhow::{Context as _, bail};
use camino::Utf8Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the last audit records may take to be written when the process ends.
const AUDIT_GRACE: Duration = Duration::from_secs(3);

/// Builds a proxy and serves, there or where its configuration says, until told to stop.
pub(crate) fn serve<S: Instance>(
    globals: &Globals,
    listen: Option<&Listen>,
    build: impl FnOnce() -> anyhow::Result<Runtime<S>>,
) -> anyhow::Result<Outcome> {
    log::start(log::Verbosity::from_flags(globals.quiet, globals.verbose));
    guard_memory();
    raise_descriptor_limit();
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = threads.block_on(async {
        let mut signals = Signals::install()?;
        let proxy = build()?;
        let listen = listen.unwrap_or(&proxy.fixed().listen);
        let listener = bind(listen).await?;
        let address = listener.local_addr().map_or_else(|| listen.to_string(), |address| address.to_string());
        let mut admin_address = None;
        if let Some(admin) = proxy.fixed().admin {
            let admin = Admin::bind(&admin.to_string()).await?;
            admin_address = Some(tracing::field::display(admin.local_addr()?));
            tokio::spawn(proxy.admin().serve(admin));
        }
        let status = proxy.live().get();
        let drain = Drain::new();
        let serving = tokio::spawn(proxy.serve(listener, drain.clone()));
        tracing::info!(
            listen = %address, admin = admin_address, bottle = %status.bottle, config = %status.config,
            "ready"
        );
        // A reload says in the log, the metrics and the status how it went.
        signals.follow(async || drop(proxy.reload().await)).await;
        drain.start();
        let drained = serving.await?;
        tracing::info!(?drained, "stopped");
        if let Some(audit) = proxy.instance.audit()
            && !audit.clone().finish(AUDIT_GRACE).await
        {
            bail!("the last audit records could not be written");
        }
        Ok(Outcome::Done)
    });
    threads.shutdown_background();
    outcome
}

/// Serves something that is no proxy on a unix socket, until told to stop. What is in flight ends with the process.
pub(crate) fn serve_service<F: Future<Output = ()> + Send + 'static>(
    globals: &Globals,
    socket: &Utf8Path,
    admin: &str,
    build: impl FnOnce() -> anyhow::Result<(LiveStatus, Box<dyn FnOnce(UnixListener) -> F>)>,
) -> anyhow::Result<Outcome> {
    log::start(log::Verbosity::from_flags(globals.quiet, globals.verbose));
    guard_memory();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::install()?;
        let (status, serve) = build()?;
        // egress-proxy, which connects, runs as the same user.
        let Listener::Unix(listener) = Listener::unix(socket.as_std_path(), 0o600)? else {
            bail!("{socket} is no unix socket");
        };
        let admin = Admin::bind(admin).await?;
        let address = admin.local_addr()?;
        let shown = Admin { status: status.clone(), metrics: Arc::default(), obstacle: Arc::new(|| None) };
        tokio::spawn(shown.serve(admin));
        let serving = tokio::spawn(serve(listener));
        status.set_ready(true);
        let Status { bottle, config, .. } = status.get();
        tracing::info!(listen = %format!("unix:{socket}"), admin = %address, %bottle, %config, "ready");
        // It reads its rules at each question.
        signals.follow(async || ()).await;
        serving.abort();
        tracing::info!("stopped");
        Ok(Outcome::Done)
    });
    runtime.shutdown_background();
    outcome
}

/// The log of a proxy's records.
pub(crate) fn start_audit(sink: audit::Sink) -> anyhow::Result<audit::Log> {
    audit::Log::start(sink).context("can't start the audit log")
}

/// Keeps what this process holds in memory (tokens, a CA key) out of core dumps and away from other processes of
/// the same user.
fn guard_memory() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a core dump of this process would hold its secrets");
    }
}

/// Each connection takes two descriptors; some engines start containers with a soft limit of 1024.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is forbidden, the smaller number holds and clients wait.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// A listener where a config says.
async fn bind(listen: &Listen) -> Result<Listener, ListenError> {
    match listen {
        // The gate that connects runs as the same user.
        Listen::Unix(path) => Listener::unix(path.as_std_path(), 0o600),
        Listen::Tcp(address) => Listener::tcp(&address.to_string()).await,
    }
}

/// What a runtime is told from outside. To be installed before anything else: process 1 without a handler can't be
/// told to stop, and a SIGHUP that comes during the start must not end it.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("can't wait for signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    /// Calls `reload` at each SIGHUP; returns at the first signal to stop.
    async fn follow(&mut self, reload: impl AsyncFn()) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => reload().await,
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}
