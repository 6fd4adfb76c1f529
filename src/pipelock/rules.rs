//! Two config files, read, checked against each other and made ready to decide with.
//!
//! Nothing in the files is silently ignored. A key is enforced, or it must have the one value that means what this
//! engine does. Keys that bound what the upstream program holds in memory (`max_response_mb`,
//! `max_response_bytes`, `max_event_bytes`) bound nothing here, since nothing is held: responses stream.

use super::rate::RateLimit;
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::config::Limits;
use crate::config::embedded::EmbeddedFile;
use crate::config::pipelock::{Action, PipelockFile};
use crate::intercept::{self, Roots, TrustError};
use crate::pki::{CertificateAuthority, PkiError};
use crate::runtime::{Fixed, Loaded};
use crate::verdict::pipelock::{Block, Ruleset, RulesetError};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How much of a body is held before any of it goes on.
const HOLD: u64 = 1 << 20;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `pipelock.yaml`.
    pub config: PathBuf,
    /// `embedded.yaml`.
    pub embedded: Option<PathBuf>,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file can't be read; the error names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file is not what it must be.
    #[error("{path}: {error}")]
    Config {
        /// `pipelock.yaml` or `embedded.yaml`, with its path.
        path: String,
        /// What is wrong in it.
        error: ConfigError,
    },
    /// A value that this engine does not implement, or two values that contradict each other.
    #[error("{key}: {problem}")]
    Value {
        /// The key in `pipelock.yaml`.
        key: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// What is decided by.
    #[error(transparent)]
    Ruleset(#[from] RulesetError),
    /// The certificate or the key of pipelock's CA.
    #[error("the pipelock CA can't be used: {0}")]
    Authority(PkiError),
    /// The certificates that are trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

fn value(key: &str, problem: impl Into<String>) -> RulesError {
    RulesError::Value { key: key.to_owned(), problem: problem.into() }
}

/// One configuration, ready to decide with.
#[expect(clippy::struct_excessive_bools, reason = "switches of the file, each of its own")]
pub struct Rules {
    /// Counts configurations from 1.
    pub(super) generation: u64,
    /// SHA-256 of the files that it was read from, in hex.
    pub(super) hash: String,
    /// What is decided by.
    pub(super) ruleset: Arc<Ruleset>,
    pub(super) internal: Vec<IpNet>,
    /// How long a body may be; 0 is any length.
    pub(super) body_bytes: u64,
    pub(super) hold: usize,
    pub(super) rate: RateLimit,
    pub(super) plain_http_timeout: u32,
    pub(super) connect_timeout: Duration,
    pub(super) scan_responses: bool,
    pub(super) scan_events: bool,
    pub(super) log_allowed: bool,
    pub(super) log_blocked: bool,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

impl Rules {
    /// Reads both files and everything that they name.
    pub fn load(paths: &Paths, generation: u64, clock: &Clock) -> Result<Loaded<Self>, RulesError> {
        let text = fs_err::read(&paths.config)?;
        let file = PipelockFile::read(&text).map_err(|e| config(&paths.config, e))?;
        let mut hash = Sha256::new_with_prefix(&text);
        let embedded = match &paths.embedded {
            None => None,
            Some(path) => {
                let text = fs_err::read(path)?;
                hash.update(&text);
                Some(EmbeddedFile::read(&text).map_err(|e| config(path, e))?)
            }
        };
        let folder = paths.config.parent().unwrap_or(Path::new(""));
        let authority = authority(&file, folder, clock)?;
        let hash = data_encoding::HEXLOWER.encode(&hash.finalize());
        let (mut rules, fixed) = Self::resolve(&file, embedded.as_ref(), generation, clock)?;
        rules.hash.clone_from(&hash);
        Ok(Loaded { rules, hash, fixed, authority })
    }

    fn resolve(
        file: &PipelockFile,
        embedded: Option<&EmbeddedFile>,
        generation: u64,
        clock: &Clock,
    ) -> Result<(Self, Fixed), RulesError> {
        refuse_what_is_not_implemented(file)?;
        if file.metrics_listen.is_some() {
            let problem = "this engine has its metrics where embedded.yaml says; remove the key";
            return Err(value("metrics_listen", problem));
        }
        let ruleset = Arc::new(Ruleset::from_file(file, embedded)?);
        let listen = match embedded {
            Some(embedded) => embedded.listen.clone(),
            None => file.fetch_proxy.listen.parse().map_err(|e: crate::config::listen::ListenError| {
                value("fetch_proxy.listen", e.to_string())
            })?,
        };
        let roots = match embedded.and_then(|e| e.extra_ca_file.as_deref()) {
            Some(path) => Roots::public().and_file(path)?,
            None => Roots::public(),
        };
        let limits = embedded.map(|e| e.limits.clone()).unwrap_or_default();
        let idle_seconds = file.forward_proxy.idle_timeout_seconds.min(limits.idle_seconds);
        let total_seconds = match (file.forward_proxy.max_tunnel_seconds, limits.total_seconds) {
            (tunnel, 0) => tunnel,
            (tunnel, total) => tunnel.min(total),
        };
        let bounds = intercept::ServerLimits::from(&Limits { idle_seconds, total_seconds, ..limits.clone() });
        let responses = &file.response_scanning;
        let rules = Self {
            generation,
            hash: String::new(), // whoever read the files knows it
            ruleset,
            internal: file.internal.clone(),
            body_bytes: limits.body_bytes,
            hold: usize::try_from(HOLD.min(file.request_body_scanning.max_body_bytes)).unwrap_or(usize::MAX),
            rate: RateLimit::new(file.fetch_proxy.monitoring.max_requests_per_minute),
            plain_http_timeout: file.fetch_proxy.timeout_seconds,
            connect_timeout: Duration::from_secs(limits.connect_seconds.into()),
            scan_responses: responses.enabled,
            scan_events: responses.enabled && responses.sse_streaming.enabled,
            log_allowed: file.logging.include_allowed,
            log_blocked: file.logging.include_blocked,
            tls: roots.client(clock)?,
        };
        let fixed = Fixed {
            bottle: embedded.map(|e| e.bottle.clone()).unwrap_or_default(),
            listen,
            admin: embedded.map(|e| e.admin),
            limits,
            bounds,
        };
        Ok((rules, fixed))
    }

    /// What would become of a GET of this URL, as far as that can be said without a network.
    pub fn check_url(&self, url: &str) -> Result<(), Block> {
        self.ruleset.url(url)
    }
}

impl Loaded<Rules> {
    /// What a check prints.
    #[must_use]
    pub fn summary(&self) -> String {
        let patterns = self.rules.ruleset.patterns();
        format!("OK mode=strict hosts={} dlp={patterns} config={}\n", self.rules.ruleset.count(), self.hash)
    }
}

fn config(path: &Path, error: ConfigError) -> RulesError {
    RulesError::Config { path: path.display().to_string(), error }
}

fn refuse_what_is_not_implemented(file: &PipelockFile) -> Result<(), RulesError> {
    let monitoring = &file.fetch_proxy.monitoring;
    let zero = |key: &str, is: u64| {
        if is == 0 { Err(value(key, "0 would refuse everything")) } else { Ok(()) }
    };
    if !file.dlp.include_defaults {
        return Err(value(
            "dlp.include_defaults",
            "only `true` is implemented: the built-in patterns are always used",
        ));
    }
    if !file.request_body_scanning.scan_headers {
        return Err(value("request_body_scanning.scan_headers", "only `true` is implemented"));
    }
    if monitoring.max_data_per_minute != 0 {
        return Err(value(
            "fetch_proxy.monitoring.max_data_per_minute",
            "only `0` (no bound) is implemented",
        ));
    }
    if file.tls_interception.cert_ttl != "24h" {
        return Err(value("tls_interception.cert_ttl", "only `24h` is implemented"));
    }
    let responses = &file.response_scanning;
    if responses.action != Action::Warn || responses.sse_streaming.action != Action::Warn {
        let problem = "only `warn` is implemented: a response streams, so it can't be taken back";
        return Err(value("response_scanning.action", problem));
    }
    if !(monitoring.entropy_threshold > 0.0 && monitoring.subdomain_entropy_threshold > 0.0) {
        return Err(value("fetch_proxy.monitoring", "an entropy threshold must be above 0"));
    }
    zero("fetch_proxy.timeout_seconds", file.fetch_proxy.timeout_seconds.into())?;
    zero("fetch_proxy.monitoring.max_url_length", monitoring.max_url_length.into())?;
    zero("fetch_proxy.monitoring.max_requests_per_minute", monitoring.max_requests_per_minute.into())?;
    zero("forward_proxy.max_tunnel_seconds", file.forward_proxy.max_tunnel_seconds.into())?;
    zero("forward_proxy.idle_timeout_seconds", file.forward_proxy.idle_timeout_seconds.into())?;
    zero("request_body_scanning.max_body_bytes", file.request_body_scanning.max_body_bytes)
}

fn authority(file: &PipelockFile, folder: &Path, clock: &Clock) -> Result<CertificateAuthority, RulesError> {
    let tls = &file.tls_interception;
    let certificate = fs_err::read_to_string(folder.join(&tls.ca_cert))?;
    let key = zeroize::Zeroizing::new(fs_err::read_to_string(folder.join(&tls.ca_key))?);
    let authority = CertificateAuthority::load(&certificate, &key).map_err(RulesError::Authority)?;
    authority.require_valid(clock.now()).map_err(RulesError::Authority)?;
    Ok(authority)
}
