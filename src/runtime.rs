//! A proxy for the life of its process: built from a configuration, reloaded on demand, drained at the end.
//!
//! Here is what every proxy does alike: readiness, when a new configuration replaces the last good one, the CA, the admin
//! listener, limits. An [`Instance`] says what it loads, holds what is live, and tells of it in its own metrics and logs.

use crate::clock::Clock;
use crate::config::{self, Listen};
use crate::intercept::{Drain, Drained, Handler, Interception, Listener, Protocol, Server, ServerLimits};
use crate::pki::{CertificateAuthority, LeafIssuer, PkiError};
use crate::telemetry::{
    admin::Admin,
    audit,
    status::{LiveStatus, Status},
};
use prometheus_client::registry::Registry;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::Mutex;

/// A handler whose configuration can be replaced while it serves.
pub trait Instance: Handler {
    /// Where the configuration is read from.
    type Source: Clone + Send + Sync + 'static;
    /// What requests are decided by: one generation of the configuration.
    type Rules: Send + 'static;
    /// Why a configuration can't be used.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What an operator restarts.
    const NAME: &'static str;
    /// What the names of its metrics begin with.
    const METRICS: &'static str;
    /// What is spoken with clients inside TLS, the preferred one first.
    const PROTOCOLS: &'static [Protocol];
    /// The key that sets [`Fixed::bounds`] beside `limits`.
    const BOUNDS: &'static str = "limits";

    /// Reads and checks the configuration and every file that it names. Generations are counted from 1.
    fn load(
        source: &Self::Source,
        generation: u64,
        clock: &Clock,
    ) -> Result<Loaded<Self::Rules>, Self::Error>;

    /// Makes rules live. Requests in flight, and tunnels that are passed through, end under those they began with.
    fn install(&self, rules: Self::Rules);

    /// The log without which it is not ready.
    fn audit(&self) -> Option<&audit::Log>;

    /// Requests are served from now on, under the config with this hash.
    fn started(&self, _config: &str) {}

    /// A reload was asked for, and this came of it.
    fn reloaded(&self, status: &Status);

    /// Requests are served no longer.
    fn stopped(&self, _drained: Drained) {}
}

/// A configuration that was read and found good.
pub struct Loaded<R> {
    /// What requests are decided by.
    pub rules: R,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// What no reload changes.
    pub fixed: Fixed,
    /// The CA that ends TLS, within its validity.
    pub authority: CertificateAuthority,
}

/// What is fixed when the process starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The bottle's name; empty if the configuration has none.
    pub bottle: String,
    /// Where requests arrive.
    pub listen: Listen,
    /// Where an operator asks, if anywhere.
    pub admin: Option<SocketAddr>,
    /// What the configuration says under `limits`.
    pub limits: config::Limits,
    /// What the server enforces.
    pub bounds: ServerLimits,
}

/// Why a proxy can't start, or a configuration can't replace the live one.
#[derive(Debug, thiserror::Error)]
pub enum StartError<E> {
    /// The configuration, or a file that it names.
    #[error(transparent)]
    Load(E),
    /// Leaves can't be issued.
    #[error("the CA can't be used: {0}")]
    Authority(PkiError),
    /// TLS can't be set up.
    #[error("TLS towards clients can't be set up: {0}")]
    Tls(String),
    /// Something that is fixed when the process starts.
    #[error("{key} changed, which a reload can't apply: restart {name}")]
    NeedsRestart {
        /// The key at the top level of the configuration, such as `listen`.
        key: &'static str,
        /// What to restart.
        name: &'static str,
    },
}

/// A proxy while its process lives: the configuration that holds, the server, and what its admin listener shows.
pub struct Runtime<S: Instance> {
    source: S::Source,
    clock: Clock,
    /// What decides.
    pub(crate) instance: Arc<S>,
    server: Arc<Server<S>>,
    fixed: Fixed,
    /// The fingerprint of the CA in use; held by the one reload that runs.
    authority: Mutex<String>,
    live: LiveStatus,
    registry: Arc<Registry>,
}

impl<S: Instance> Runtime<S> {
    /// Loads the first generation, and makes the instance of it; its metrics go into the registry.
    pub(crate) fn load(
        source: S::Source,
        clock: &Clock,
        make: impl FnOnce(S::Rules, &mut Registry) -> S,
    ) -> Result<Self, StartError<S::Error>> {
        let Loaded { rules, hash, fixed, authority } =
            S::load(&source, 1, clock).map_err(StartError::Load)?;
        let fingerprint = authority.fingerprint();
        let interception = interception::<S>(authority, &fixed, clock)?;
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix(S::METRICS);
        let instance = Arc::new(make(rules, own));
        if let Some(audit) = instance.audit() {
            own.register_collector(audit.collector());
        }
        Ok(Self {
            source,
            clock: clock.clone(),
            server: Server::new(Arc::clone(&instance), interception, fixed.bounds.clone()),
            instance,
            authority: Mutex::new(fingerprint),
            live: LiveStatus::new(fixed.bottle.clone(), hash),
            fixed,
            registry: Arc::new(registry),
        })
    }

    /// What holds until the process ends.
    #[must_use]
    pub fn fixed(&self) -> &Fixed {
        &self.fixed
    }

    /// Which configuration is live.
    #[must_use]
    pub fn live(&self) -> &LiveStatus {
        &self.live
    }

    /// What the admin listener shows.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let instance = Arc::clone(&self.instance);
        let obstacle = move || {
            let stuck = instance.audit().is_some_and(|audit| !audit.is_writable());
            stuck.then_some("audit records can't be written\n")
        };
        Admin { status: self.live.clone(), metrics: Arc::clone(&self.registry), obstacle: Arc::new(obstacle) }
    }

    /// Ready from now on; the future serves until `drain` is started and what was in flight has ended, or its time
    /// is over.
    pub fn serve(&self, listener: Listener, drain: Drain) -> impl Future<Output = Drained> + Send + use<S> {
        self.instance.started(&self.live.get().config);
        self.live.set_ready(true);
        let (live, instance, asked) = (self.live.clone(), Arc::clone(&self.instance), drain.clone());
        let serving = Arc::clone(&self.server).serve(listener, drain);
        async move {
            let unready = async {
                asked.started().await;
                live.set_ready(false);
            };
            // Only a drain ends the server, so that both end.
            let (drained, ()) = tokio::join!(serving, unready);
            instance.stopped(drained);
            drained
        }
    }

    /// Reads the configuration again. All of it is good and becomes live at once, or none of it does and the old
    /// one stays. The status, the log and the metrics say how it went. An audit file that was moved is left.
    pub async fn reload(&self) -> Result<(), StartError<S::Error>> {
        if let Some(audit) = self.instance.audit() {
            audit.reopen();
        }
        let mut authority = self.authority.lock().await;
        let outcome = self.try_reload(&mut authority).await;
        self.live.reloaded(outcome.as_ref().map(Clone::clone).map_err(ToString::to_string));
        let status = self.live.get();
        match &outcome {
            Ok(config) => tracing::info!(generation = status.generation, %config, "a new config is live"),
            Err(error) => tracing::error!(%error, "the new config is refused; the old one stays"),
        }
        self.instance.reloaded(&status);
        outcome.map(drop)
    }

    async fn try_reload(&self, fingerprint: &mut String) -> Result<String, StartError<S::Error>> {
        let (source, clock) = (self.source.clone(), self.clock.clone());
        let generation = self.live.get().generation + 1;
        let loaded = tokio::task::spawn_blocking(move || S::load(&source, generation, &clock)).await;
        let Loaded { rules, hash, fixed, authority } = match loaded {
            Ok(loaded) => loaded.map_err(StartError::Load)?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        if let Some(key) = changed::<S>(&self.fixed, &fixed) {
            return Err(StartError::NeedsRestart { key, name: S::NAME });
        }
        let new_fingerprint = authority.fingerprint();
        if *fingerprint != new_fingerprint {
            self.server.swap(interception::<S>(authority, &fixed, &self.clock)?);
            *fingerprint = new_fingerprint;
        }
        // Nothing failed: from here on the new configuration is live.
        self.instance.install(rules);
        Ok(hash)
    }
}

/// A key that would be ignored until the next start: it must not look as if it were live.
fn changed<S: Instance>(old: &Fixed, new: &Fixed) -> Option<&'static str> {
    let Fixed { bottle, listen, admin, limits, bounds } = old;
    let same = [
        ("bottle", *bottle == new.bottle),
        ("listen", *listen == new.listen),
        ("admin", *admin == new.admin),
        ("limits", *limits == new.limits),
        (S::BOUNDS, *bounds == new.bounds),
    ];
    same.into_iter().find_map(|(key, same)| (!same).then_some(key))
}

fn interception<S: Instance>(
    authority: CertificateAuthority,
    fixed: &Fixed,
    clock: &Clock,
) -> Result<Interception, StartError<S::Error>> {
    let issuer = LeafIssuer::new(authority, clock.clone()).map_err(StartError::Authority)?;
    Interception::new(Arc::new(issuer), S::PROTOCOLS, fixed.bounds.leaves)
        .map_err(|error| StartError::Tls(error.to_string()))
}
