//! What pipelock decides from a CONNECT and from the head of a request: host, port, authority, URL, fields.

mod block;
mod fields;
mod hosts;
mod request;
mod rewrite;
mod url;

pub use block::{Block, PRIVATE_ADDRESS, Part};
pub(crate) use block::{printable, visible};
pub use fields::{REMOVED, strip_request, strip_response};
pub use request::{Destination, RequestSoFar};
pub use rewrite::{form_of_body, is_signed};

use crate::config::embedded::{EmbeddedFile, HostEntry};
use crate::config::pipelock::{Action, PipelockFile};
use crate::dlp::{Scanner, Scanners, SeedPhrases, Settings, SettingsError};
use crate::policy::OnSecret;
use hosts::HostList;
use http::HeaderName;
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};

/// Why two files are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesetError {
    /// A value that can't be used, or two values that contradict each other.
    #[error("{key}: {problem}")]
    Value {
        /// In `pipelock.yaml` or `embedded.yaml`.
        key: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The DLP scanner can't be built.
    #[error(transparent)]
    Scanner(#[from] SettingsError),
}

fn value(key: &str, problem: impl Into<String>) -> RulesetError {
    RulesetError::Value { key: key.to_owned(), problem: problem.into() }
}

/// What pipelock decides by.
pub struct Ruleset {
    /// There is an `embedded.yaml`: `*.host` is one label, as in the manifest.
    strict: bool,
    allowed: HostList,
    passed_through: HostList,
    hosts: HashMap<String, HostEntry>,
    /// Private ranges that every host may resolve to, without `embedded.yaml`.
    exempt: Vec<IpNet>,
    scanners: Scanners,
    patterns: usize,
    only_warn: bool,
    ignored_fields: HashSet<HeaderName>,
    /// Bytes.
    max_url_length: u32,
    /// Bits per byte, of a path segment or query value.
    entropy: f64,
    /// Bits per byte, of a label of the host.
    label_entropy: f64,
    label_entropy_exclusions: HostList,
}

impl Ruleset {
    /// From the config of the program, and what the embedded engine reads besides.
    pub fn from_file(file: &PipelockFile, embedded: Option<&EmbeddedFile>) -> Result<Self, RulesetError> {
        let monitoring = &file.fetch_proxy.monitoring;
        let allowed = HostList::parse("api_allowlist", &file.api_allowlist)?;
        let seed = SeedPhrases { min_words: 12, verify_checksum: true };
        Ok(Self {
            strict: embedded.is_some(),
            hosts: hosts(file, embedded, &allowed)?,
            allowed,
            passed_through: HostList::parse(
                "tls_interception.passthrough_domains",
                &file.tls_interception.passthrough_domains,
            )?,
            exempt: if embedded.is_some() { Vec::new() } else { file.ssrf.ip_allowlist.clone() },
            scanners: Scanners::new(
                Settings {
                    custom: file.dlp.patterns.clone(),
                    placeholders: embedded.map(|e| e.placeholders.clone()).unwrap_or_default(),
                    seed_phrases: file.seed_phrase_detection.enabled.then_some(seed),
                },
                embedded.map(|e| e.exceptions.as_slice()).unwrap_or_default(),
            )?,
            patterns: Scanner::builtin().count() + file.dlp.patterns.len(),
            only_warn: file.request_body_scanning.action == Action::Warn,
            ignored_fields: ignored_fields(file)?,
            max_url_length: monitoring.max_url_length,
            entropy: monitoring.entropy_threshold,
            label_entropy: monitoring.subdomain_entropy_threshold,
            label_entropy_exclusions: HostList::parse(
                "fetch_proxy.monitoring.subdomain_entropy_exclusions",
                &monitoring.subdomain_entropy_exclusions,
            )?,
        })
    }

    /// The hosts that are allowed: how many entries.
    #[must_use]
    pub fn count(&self) -> usize {
        self.allowed.len()
    }

    /// What is searched for in URL, fields and body of a request to a host.
    #[must_use]
    pub fn scanner(&self, host: &str) -> &Scanner {
        self.scanners.of(host)
    }

    /// What is masked in what is logged: also what passes to some hosts.
    #[must_use]
    pub fn logged(&self) -> &Scanner {
        self.scanners.all()
    }

    /// How many patterns are searched for.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// Whether a finding in a request to a host is only logged.
    #[must_use]
    pub fn only_warns(&self, host: &str) -> bool {
        self.only_warn && self.on_secret(host).is_none()
    }

    /// Whether what is found in a body to a host is removed.
    #[must_use]
    pub fn removes(&self, host: &str) -> bool {
        self.on_secret(host) == Some(OnSecret::Redact)
    }

    fn on_secret(&self, host: &str) -> Option<OnSecret> {
        self.hosts.get(host)?.dlp_action
    }

    /// Whether a tunnel to this host is passed through without a look.
    #[must_use]
    pub fn passes_through(&self, host: &str) -> bool {
        match (self.strict, self.allowed.names(host)) {
            (false, _) => self.passed_through.contains(host),
            // The entry that allows the host says it.
            (true, true) => self.passed_through.names(host),
            (true, false) => self.passed_through.one_below(host),
        }
    }

    /// Whether a rule allows this host.
    fn allows(&self, host: &str) -> bool {
        if self.strict { self.allowed.contains_strictly(host) } else { self.allowed.contains(host) }
    }

    /// What `embedded.yaml` says of a host: by its name, or else by the wildcard above it.
    fn entry(&self, host: &str) -> Option<&HostEntry> {
        if self.allowed.names(host) {
            return self.hosts.get(host);
        }
        self.hosts.get(&format!("*.{}", host.split_once('.')?.1))
    }

    /// The private ranges that a host may resolve to.
    #[must_use]
    pub fn addresses(&self, host: &str) -> &[IpNet] {
        self.entry(host).map_or(&self.exempt, |entry| &entry.addresses)
    }

    fn ports(&self, host: &str) -> &[u16] {
        self.entry(host).map_or(&[443], |entry| &entry.ports)
    }

    /// Whether connections to a host may go on as WebSocket. Their messages are read in egress-proxy.
    fn websocket(&self, host: &str) -> bool {
        self.entry(host).is_some_and(|entry| entry.websocket)
    }

    fn plain_http(&self, host: &str) -> bool {
        self.entry(host).is_some_and(|entry| entry.plain_http)
    }
}

/// What `embedded.yaml` says of each host, and that both files speak of the same ones.
fn hosts(
    file: &PipelockFile,
    embedded: Option<&EmbeddedFile>,
    allowed: &HostList,
) -> Result<HashMap<String, HostEntry>, RulesetError> {
    let Some(embedded) = embedded else { return Ok(HashMap::new()) };
    let mut hosts = HashMap::new();
    for (index, entry) in embedded.hosts.iter().enumerate() {
        if !file.api_allowlist.contains(&entry.host) && !allowed.contains(&entry.host) {
            let problem = format!("`{}` is not in api_allowlist; render both files again", entry.host);
            return Err(value(&format!("hosts[{index}].host"), problem));
        }
        hosts.insert(entry.host.clone(), entry.clone());
    }
    for (index, range) in file.ssrf.ip_allowlist.iter().enumerate() {
        if !embedded.hosts.iter().any(|entry| entry.addresses.contains(range)) {
            let problem = format!("{range} belongs to no host of embedded.yaml; render both files again");
            return Err(value(&format!("ssrf.ip_allowlist[{index}]"), problem));
        }
    }
    Ok(hosts)
}

fn ignored_fields(file: &PipelockFile) -> Result<HashSet<HeaderName>, RulesetError> {
    let names = &file.request_body_scanning.ignore_headers;
    let parse = |(index, name): (usize, &String)| {
        let key = format!("request_body_scanning.ignore_headers[{index}]");
        name.parse().map_err(|_| value(&key, format!("`{name}` is not a field name")))
    };
    names.iter().enumerate().map(parse).collect()
}
