//! The running proxy: built from one config file, reloaded on demand, drained at the end.

use super::{
    Proxy,
    forward::Forward,
    metrics::Metrics,
    record::Names,
    rules::{Loaded, Rules, RulesError},
};
use crate::clock::Clock;
use crate::config::Listen;
use crate::intercept::{Drain, Drained, Interception, IssueLeaf, Limits, Listener, Protocol, Server};
use crate::pki::{CertificateAuthority, LeafIssuer, PkiError};
use crate::telemetry::{admin::Admin, audit, status::Live};
use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why the proxy can't start, or a config can't replace the live one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Leaves can't be issued.
    #[error("the agent CA can't be used: {0}")]
    Authority(#[from] PkiError),
    /// TLS can't be set up.
    #[error("TLS towards the agent can't be set up: {0}")]
    Tls(String),
    /// Something that is fixed when the process starts.
    #[error("{0} changed, which a reload can't apply: restart the proxy")]
    NeedsRestart(&'static str),
}

/// One egress-proxy.
pub struct EgressProxy {
    path: PathBuf,
    clock: Clock,
    proxy: Arc<Proxy>,
    server: Arc<Server<Proxy>>,
    fingerprint: std::sync::Mutex<String>,
    live: Live,
    registry: Arc<Registry>,
}

impl EgressProxy {
    /// Reads and checks the config and every file that it names.
    pub fn build(path: &Path, clock: &Clock, audit: audit::Log) -> Result<Self, StartError> {
        let Loaded { rules, authority } = Rules::load(path, 1, clock)?;
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        let live = Live::new(rules.file.bottle.clone(), rules.hash.clone());
        let limits = Limits::from(&rules.file.limits);
        let fingerprint = authority.fingerprint();
        let interception = interception(authority, &limits, clock)?;
        let forward = Forward::new();
        registry.register_collector(forward.collector());
        registry.register_collector(audit.collector("bottle_egress_proxy"));
        let proxy = Arc::new(Proxy {
            rules: ArcSwap::from_pointee(rules),
            forward,
            audit,
            names: Names::new(clock),
            metrics,
        });
        let server = Server::new(Arc::clone(&proxy), interception, limits);
        Ok(Self {
            path: path.to_owned(),
            clock: clock.clone(),
            proxy,
            server,
            fingerprint: std::sync::Mutex::new(fingerprint),
            live,
            registry: Arc::new(registry),
        })
    }

    /// Where the config says to listen.
    #[must_use]
    pub fn listen(&self) -> Listen {
        self.proxy.rules.load().file.listen.clone()
    }

    /// Where the config says that an operator asks.
    #[must_use]
    pub fn admin_address(&self) -> String {
        self.proxy.rules.load().file.admin.to_string()
    }

    /// Which config is live.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What the admin listener shows.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let audit = self.proxy.audit.clone();
        let obstacle = move || (!audit.is_writable()).then_some("audit records can't be written\n");
        Admin { status: self.live.clone(), metrics: Arc::clone(&self.registry), obstacle: Arc::new(obstacle) }
    }

    /// Ready from now on; the future serves until `drain` is started and what was in flight has ended, or its time
    /// is over.
    pub fn serve(&self, listener: Listener, drain: Drain) -> impl Future<Output = Drained> + Send + use<> {
        self.live.set_ready(true);
        let (live, server, asked) = (self.live.clone(), Arc::clone(&self.server), drain.clone());
        async move {
            let serving = server.serve(listener, drain);
            tokio::pin!(serving);
            tokio::select! {
                drained = &mut serving => return drained,
                () = asked.started() => live.set_ready(false),
            }
            serving.await
        }
    }

    /// Reads the config again. All of it is good and becomes live at once, or none of it does and the old one
    /// stays. Requests in flight end under the rules they began with.
    pub async fn reload(&self) -> Result<(), StartError> {
        self.proxy.audit.reopen();
        let outcome = self.try_reload().await;
        match &outcome {
            Ok(hash) => {
                self.live.reloaded(Ok(hash.clone()));
                tracing::info!(generation = self.live.get().generation, config = %hash, "a new config is live");
            }
            Err(error) => {
                self.live.reloaded(Err(error.to_string()));
                tracing::error!(%error, "the new config is refused; the old one stays");
            }
        }
        self.proxy.metrics.reloaded(&self.live);
        outcome.map(drop)
    }

    async fn try_reload(&self) -> Result<String, StartError> {
        let old = self.proxy.rules.load_full();
        let (path, clock, generation) = (self.path.clone(), self.clock.clone(), old.generation + 1);
        let loaded = tokio::task::spawn_blocking(move || Rules::load(&path, generation, &clock)).await;
        let Loaded { rules, authority } = match loaded {
            Ok(loaded) => loaded?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        require_same(&old, &rules)?;
        let new_fingerprint = authority.fingerprint();
        let interception = interception(authority, &Limits::from(&rules.file.limits), &self.clock)?;
        // Nothing below can fail: from here on the new config is live.
        let mut fingerprint = self.fingerprint.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *fingerprint != new_fingerprint {
            self.server.swap(interception);
            *fingerprint = new_fingerprint;
        }
        let hash = rules.hash.clone();
        self.proxy.rules.store(Arc::new(rules));
        self.proxy.forward.forget();
        Ok(hash)
    }
}

/// A key that would be ignored until the next start must not look as if it were live.
fn require_same(old: &Rules, new: &Rules) -> Result<(), StartError> {
    let changed = if old.file.bottle != new.file.bottle {
        Some("bottle")
    } else if old.file.listen != new.file.listen {
        Some("listen")
    } else if old.file.admin != new.file.admin {
        Some("admin")
    } else if old.file.limits != new.file.limits {
        Some("limits")
    } else {
        None
    };
    changed.map_or(Ok(()), |key| Err(StartError::NeedsRestart(key)))
}

/// HTTP/1.1 towards the agent.
fn interception(
    authority: CertificateAuthority,
    limits: &Limits,
    clock: &Clock,
) -> Result<Interception, StartError> {
    let issuer: Arc<dyn IssueLeaf> = Arc::new(LeafIssuer::new(authority, clock.clone())?);
    Interception::new(issuer, &[Protocol::Http1], limits.leaves)
        .map_err(|error| StartError::Tls(error.to_string()))
}
