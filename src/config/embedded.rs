//! `pipelock/embedded.yaml`: what the embedded engine needs besides the file that the upstream program reads.

use crate::config::parse::Parsed;
use crate::config::pipelock::PipelockFile;
use crate::config::routes::{RuleError, canonical, present};
use crate::config::{ConfigError, Limits, Listen};
use crate::dlp::Exception;
use crate::policy::{HostRule, OnSecret, Route};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::SocketAddr};

/// The whole file. Paths are those of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedFile {
    /// The format: 1.
    pub version: u32,
    /// The bottle's name, for logs and audit records.
    pub bottle: String,
    /// Where requests arrive; stands above `fetch_proxy.listen`, which knows no unix sockets.
    pub listen: Listen,
    /// `/healthz`, `/readyz`, `/metrics`.
    pub admin: SocketAddr,
    /// Trusted besides the public roots; `null`: none.
    #[serde(deserialize_with = "present")]
    pub extra_ca_file: Option<String>,
    /// What bounds this proxy.
    pub limits: Limits,
    /// What is special about each allowed host, in the allowlist's order. A host without an entry has port 443,
    /// public addresses, https.
    pub hosts: Vec<HostEntry>,
    /// Values that the DLP passes: the placeholders that the agent holds in place of credentials.
    pub placeholders: Vec<String>,
    /// What the DLP lets pass to some hosts. The upstream program has no such key for its built-in patterns.
    pub exceptions: Vec<Exception>,
}

impl EmbeddedFile {
    /// Reads a file strictly: every key there, none unknown, every value possible.
    pub fn read(text: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let (file, parsed) = Parsed::read::<Self>(text.as_ref())?;
        if file.version != 1 {
            return Err(parsed.error("version", format!("this bottle reads version 1, not {}", file.version)));
        }
        if let Some(key) = file.limits.zero() {
            return Err(parsed.error(&format!("limits.{key}"), "0 would refuse everything"));
        }
        for (index, entry) in file.hosts.iter().enumerate() {
            let at = |key: &str| format!("hosts[{index}].{key}");
            if file.hosts[..index].iter().any(|earlier| earlier.host == entry.host) {
                return Err(parsed.error(&at("host"), format!("`{}` is there twice", entry.host)));
            }
            if entry.ports.is_empty() || entry.ports.contains(&0) {
                return Err(parsed.error(&at("ports"), "a list of ports from 1 to 65535, not empty"));
            }
            if entry.plain_http != entry.ports.contains(&80) {
                return Err(parsed.error(&at("plain_http"), "true with port 80, and only then"));
            }
        }
        Ok(file)
    }

    /// The rules of a bottle without egress-proxy: what pipelock, which knows hosts and ports, lets through.
    pub fn rules(&self, pipelock: &PipelockFile) -> Result<Vec<HostRule>, RuleError> {
        let allowed: BTreeSet<&String> = pipelock.api_allowlist.iter().collect();
        let known: BTreeSet<&String> = self.hosts.iter().map(|entry| &entry.host).collect();
        let special = self.hosts.iter().filter(|entry| allowed.contains(&entry.host)).map(HostEntry::rule);
        let plain = pipelock.api_allowlist.iter().filter(|host| !known.contains(host));
        let plain = plain.map(|host| Ok(Route::open(canonical(host)?, "").into()));
        let rule = |rule: Result<HostRule, RuleError>| {
            let rule = rule?;
            let passed = pipelock.tls_interception.passthrough_domains.iter();
            let inspect = !passed.into_iter().any(|host| host == rule.route.host.as_str());
            Ok(HostRule { inspect, ..rule })
        };
        special.chain(plain).map(rule).collect()
    }
}

impl From<&HostRule> for HostEntry {
    fn from(rule: &HostRule) -> Self {
        let route = &rule.route;
        Self {
            host: route.host.to_string(),
            source: route.source.clone(),
            ports: route.ports.clone(),
            addresses: rule.addresses.clone(),
            plain_http: route.ports.contains(&80),
            websocket: route.websocket,
            dlp_action: rule.on_secret,
        }
    }
}

impl HostEntry {
    fn rule(&self) -> Result<HostRule, RuleError> {
        let Self { host, source, ports, addresses, plain_http: _, websocket, dlp_action } = self;
        let route =
            Route { ports: ports.clone(), websocket: *websocket, ..Route::open(canonical(host)?, source) };
        Ok(HostRule { addresses: addresses.clone(), on_secret: *dlp_action, ..route.into() })
    }
}

/// An allowed host, and what the embedded engine holds its connections to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEntry {
    /// The exact host, or a wildcard for one label, in canonical form.
    pub host: String,
    /// Where it stands in the manifest: `egress.allowlist[0]`.
    pub source: String,
    /// The ports that may be connected to.
    pub ports: Vec<u16>,
    /// Private ranges that this host, and no other one, may resolve to. Empty: public addresses only.
    pub addresses: Vec<IpNet>,
    /// Whether port 80 is served as plain http.
    pub plain_http: bool,
    /// Whether egress-proxy may go on as WebSocket with it. Its messages are read there.
    pub websocket: bool,
    /// What a secret in a request to it does; `null`: what `request_body_scanning.action` says.
    #[serde(deserialize_with = "present")]
    pub dlp_action: Option<OnSecret>,
}
