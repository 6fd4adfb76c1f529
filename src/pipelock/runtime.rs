//! The running engine: built from its files, reloaded on demand, drained at the end.

use super::{
    budget::{Budget, Terms},
    connect::WayOut,
    engine::Engine,
    events::Events,
    lines::Line,
    metrics::Metrics,
    network::Network,
    response::WINDOW,
    rules::{Loaded, Paths, Rules, RulesError},
};
use crate::clock::Clock;
use crate::config::Listen;
use crate::intercept::{
    Drain, Drained, Interception, IssueLeaf, Limits, Listener, Pool, PoolLimits, Protocol, Server,
};
use crate::pki::{CertificateAuthority, LeafIssuer, PkiError};
use crate::telemetry::{admin::Admin, status::Live};
use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};

/// Why the engine can't start, or a configuration can't replace the live one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Leaves can't be issued.
    #[error("the pipelock CA can't be used: {0}")]
    Authority(#[from] PkiError),
    /// TLS can't be set up.
    #[error("TLS towards clients can't be set up: {0}")]
    Tls(String),
    /// Something that is fixed when the process starts.
    #[error("{0} changed, which a reload can't apply: restart pipelock")]
    NeedsRestart(&'static str),
}

/// One embedded pipelock.
pub struct Pipelock {
    paths: Paths,
    clock: Clock,
    rules: Arc<ArcSwap<Rules>>,
    engine: Arc<Engine>,
    server: Arc<Server<Engine>>,
    fingerprint: Mutex<String>,
    live: Live,
    registry: Arc<Registry>,
}

impl Pipelock {
    /// Reads and checks the files and everything that they name.
    pub fn build(paths: &Paths, clock: &Clock, network: Network, events: Events) -> Result<Self, StartError> {
        let Loaded { rules, authority } = Rules::load(paths, 1, clock)?;
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        if let Some(audit) = events.audit() {
            registry.register_collector(audit.collector("pipelock"));
        }
        let live = Live::new(rules.bottle.clone(), rules.hash.clone());
        let bounds = rules.bounds.clone();
        let fingerprint = Mutex::new(authority.fingerprint());
        let interception = interception(authority, &bounds, clock)?;
        let rules = Arc::new(ArcSwap::from_pointee(rules));
        let pool = Pool::new(
            WayOut { rules: Arc::clone(&rules), network },
            PoolLimits { stream_window: WINDOW, ..PoolLimits::default() },
        );
        let budget = Budget::new(Terms::default());
        let engine = Arc::new(Engine { rules: Arc::clone(&rules), pool, events, metrics, budget });
        let server = Server::new(Arc::clone(&engine), interception, bounds);
        Ok(Self {
            paths: paths.clone(),
            clock: clock.clone(),
            rules,
            engine,
            server,
            fingerprint,
            live,
            registry: Arc::new(registry),
        })
    }

    /// Where the files say to listen.
    #[must_use]
    pub fn listen(&self) -> Listen {
        self.rules.load().listen.clone()
    }

    /// Where the files say that an operator asks; `None` without `embedded.yaml`.
    #[must_use]
    pub fn admin_address(&self) -> Option<String> {
        self.rules.load().admin.map(|address| address.to_string())
    }

    /// Which configuration is live.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Memory for request bodies in flight: bytes that they hold now, and bytes that there are.
    #[must_use]
    pub fn body_memory(&self) -> (usize, usize) {
        (self.engine.budget.used(), self.engine.budget.total())
    }

    /// What the admin listener shows.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let metrics = Arc::clone(&self.registry);
        let audit = self.engine.events.audit().cloned();
        let obstacle = move || {
            let stuck = audit.as_ref().is_some_and(|audit| !audit.is_writable());
            stuck.then_some("audit records can't be written\n")
        };
        Admin { status: self.live.clone(), metrics, obstacle: Arc::new(obstacle) }
    }

    /// Serves until `drain` is started and what was in flight has ended, or its time is over.
    pub async fn serve(&self, listener: Listener, drain: Drain) -> Drained {
        let reason = |text: String| Some(text);
        let start = reason(format!("mode=strict config={}", self.rules.load().hash));
        self.engine.events.write("info", &Line { event: "startup", reason: start, ..Line::default() });
        self.live.set_ready(true);
        let unready = {
            let (live, drain) = (self.live.clone(), drain.clone());
            async move {
                drain.started().await;
                live.set_ready(false);
            }
        };
        let (drained, ()) = tokio::join!(Arc::clone(&self.server).serve(listener, drain), unready);
        let end = reason(format!("{} connections were cut", drained.aborted));
        self.engine.events.write("info", &Line { event: "shutdown", reason: end, ..Line::default() });
        drained
    }

    /// Reads the files again. All of it is good and becomes live at once, or none of it does and the old one
    /// stays. Requests in flight, and tunnels that are passed through, end under the rules they began with.
    pub async fn reload(&self) -> Result<(), StartError> {
        let outcome = self.try_reload().await;
        let (level, reason) = match &outcome {
            Ok(hash) => ("info", format!("config={hash}")),
            Err(error) => ("error", format!("the new configuration is refused, the old one stays: {error}")),
        };
        self.live.reloaded(outcome.as_ref().map(Clone::clone).map_err(ToString::to_string));
        let metrics = &self.engine.metrics;
        metrics.generation.set(i64::try_from(self.live.get().generation).unwrap_or(i64::MAX));
        if outcome.is_err() {
            metrics.reload_failures.inc();
            tracing::error!("{reason}");
        }
        let line = Line { event: "config_reload", reason: Some(reason), ..Line::default() };
        self.engine.events.write(level, &line);
        outcome.map(drop)
    }

    async fn try_reload(&self) -> Result<String, StartError> {
        let old = self.rules.load_full();
        let (paths, clock, generation) = (self.paths.clone(), self.clock.clone(), old.generation + 1);
        let loaded = tokio::task::spawn_blocking(move || Rules::load(&paths, generation, &clock)).await;
        let Loaded { rules, authority } = match loaded {
            Ok(loaded) => loaded?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        require_same(&old, &rules)?;
        let new_fingerprint = authority.fingerprint();
        let interception = interception(authority, &rules.bounds, &self.clock)?;
        // Nothing below can fail: from here on the new configuration is live.
        let mut fingerprint = self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner);
        if *fingerprint != new_fingerprint {
            self.server.swap(interception);
            *fingerprint = new_fingerprint;
        }
        let hash = rules.hash.clone();
        self.rules.store(Arc::new(rules));
        self.engine.pool.clear();
        Ok(hash)
    }
}

/// A key that would be ignored until the next start must not look as if it were live.
fn require_same(old: &Rules, new: &Rules) -> Result<(), StartError> {
    let changed = if old.bottle != new.bottle {
        Some("bottle")
    } else if old.listen != new.listen {
        Some("listen")
    } else if old.admin != new.admin {
        Some("admin")
    } else if old.limits != new.limits {
        Some("limits")
    } else if old.bounds != new.bounds {
        Some("forward_proxy")
    } else {
        None
    };
    changed.map_or(Ok(()), |key| Err(StartError::NeedsRestart(key)))
}

/// HTTP/2 is preferred, as egress-proxy expects.
fn interception(
    authority: CertificateAuthority,
    bounds: &Limits,
    clock: &Clock,
) -> Result<Interception, StartError> {
    let issuer: Arc<dyn IssueLeaf> = Arc::new(LeafIssuer::new(authority, clock.clone())?);
    let protocols = [Protocol::Http2, Protocol::Http1];
    Interception::new(issuer, &protocols, bounds.leaves).map_err(|error| StartError::Tls(error.to_string()))
}
