//! What every runtime verb does to its process, and hears from outside of it.

use crate::config::Listen;
use crate::intercept::{ListenError, Listener};
use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Keeps what this process holds in memory (tokens, a CA key) out of core dumps and away from other processes of
/// the same user.
pub(crate) fn guard_memory() {
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
pub(crate) async fn bind(listen: &Listen) -> Result<Listener, ListenError> {
    match listen {
        // The gate that connects runs as the same user.
        Listen::Unix(path) => Listener::unix(path.as_std_path(), 0o600),
        Listen::Tcp(address) => Listener::tcp(&address.to_string()).await,
    }
}

/// What a runtime is told from outside. To be installed before anything else: process 1 without a handler can't be
/// told to stop, and a SIGHUP that comes during the start must not end it.
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn install() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("can't wait for signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    /// Calls `reload` at each SIGHUP; returns at the first signal to stop.
    pub(crate) async fn follow(&mut self, reload: impl AsyncFn()) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => reload().await,
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}
