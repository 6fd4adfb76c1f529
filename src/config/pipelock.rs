//! `pipelock/pipelock.yaml`: the one file that both engines read.
//!
//! It holds exactly the keys that the upstream program knows in its old and in its new releases, each written
//! out, because omitted booleans mean `true` there and a missing list means an empty one. [`PipelockFile::stack`]
//! is the file for a bottle, every value with its reason.

use crate::config::ConfigError;
use crate::config::parse::Parsed;
use crate::dlp::CustomPattern;
use crate::stack::{LARGEST_BODY, LARGEST_RESPONSE, PIPELOCK_CA, PIPELOCK_LOOPBACK};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `pipelock.yaml`: the keys that bottle sets. One that is not here is refused by the embedded engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelockFile {
    /// The format: 1.
    pub version: u32,
    /// Only `strict` enforces the allowlist.
    pub mode: Mode,
    /// `false` would only log.
    pub enforce: bool,
    /// Hints in refusals.
    pub explain_blocks: bool,
    /// The hosts, exact, sorted.
    pub api_allowlist: Vec<String>,
    /// The listener and the bounds of the URL scan.
    pub fetch_proxy: FetchProxy,
    /// CONNECT tunnels.
    pub forward_proxy: ForwardProxy,
    /// The explicit WebSocket endpoint, not WebSocket in tunnels.
    pub websocket_proxy: Switch,
    /// TLS interception.
    pub tls_interception: TlsInterception,
    /// DLP of request bodies and fields.
    pub request_body_scanning: RequestBodyScanning,
    /// Which DLP patterns are searched for.
    pub dlp: Dlp,
    /// BIP-39 phrases in requests.
    pub seed_phrase_detection: Switch,
    /// Prompt-injection scan of responses.
    pub response_scanning: ResponseScanning,
    /// Refusal of media types.
    pub media_policy: Switch,
    /// Taint tracking.
    pub taint: Switch,
    /// Scores for each client address.
    pub session_profiling: Switch,
    /// Lockout by those scores.
    pub adaptive_enforcement: Switch,
    /// The maintainer's crash reports.
    pub sentry: Switch,
    /// Ranges that allowed hosts may resolve to although they are in `internal`.
    pub ssrf: Ssrf,
    /// Ranges that no allowed host may resolve to. Empty would turn the guard off.
    pub internal: Vec<IpNet>,
    /// Log lines.
    pub logging: Logging,
    /// Where the upstream program has `/metrics` and `/stats`, which would else stand beside the proxy. The embedded
    /// engine has its own where `embedded.yaml` says, and does not start with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
}

/// A part that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// Whether it is on.
    pub enabled: bool,
}

/// What the upstream program's `mode` may be here: its other modes do not enforce `api_allowlist`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The allowlist is enforced.
    Strict,
}

/// What happens upon a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Refuse.
    Block,
    /// Log and pass.
    Warn,
}

/// The listener for every kind of request, in spite of its name, and the scan of URLs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchProxy {
    /// Address and port.
    pub listen: String,
    /// Bound of one absolute-form exchange.
    pub timeout_seconds: u32,
    /// Bound of an absolute-form response.
    pub max_response_mb: u32,
    /// Bounds of the URL scan.
    pub monitoring: Monitoring,
}

/// Bounds of the URL scan: a secret in a URL is long or looks random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// Bytes of a URL.
    pub max_url_length: u32,
    /// Bits per character of a path segment or query value.
    pub entropy_threshold: f64,
    /// Bits per character of a host's label.
    pub subdomain_entropy_threshold: f64,
    /// Requests for each registrable domain in a minute.
    pub max_requests_per_minute: u32,
    /// Bytes in a minute; 0 for no bound.
    pub max_data_per_minute: u64,
    /// Hosts whose labels are not measured.
    pub subdomain_entropy_exclusions: Vec<String>,
}

/// Whether CONNECT is served, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardProxy {
    /// Whether CONNECT is served.
    pub enabled: bool,
    /// Age at which a tunnel ends, busy or not.
    pub max_tunnel_seconds: u32,
    /// Silence after which a tunnel ends.
    pub idle_timeout_seconds: u32,
    /// Whether the SNI must be the CONNECT host.
    pub sni_verification: bool,
}

/// With which CA TLS inside a tunnel is ended, and on which hosts it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsInterception {
    /// Whether TLS is ended here.
    pub enabled: bool,
    /// The CA certificate's file.
    pub ca_cert: String,
    /// The CA key's file.
    pub ca_key: String,
    /// Hosts that are tunnelled without a look; apex and wildcard, because old releases match either alone.
    pub passthrough_domains: Vec<String>,
    /// Life of a leaf, with its unit.
    pub cert_ttl: String,
    /// Bytes of a response that is scanned.
    pub max_response_bytes: u64,
}

/// What of a request is searched for secrets, and what a finding does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBodyScanning {
    /// Whether bodies and fields are scanned.
    pub enabled: bool,
    /// What a finding does; `egress.dlp_action` of the manifest.
    pub action: Action,
    /// Bytes of a body. The upstream program refuses a bigger one; the embedded engine scans it as a stream.
    pub max_body_bytes: u64,
    /// Whether fields are scanned.
    pub scan_headers: bool,
    /// Which fields.
    pub header_mode: HeaderMode,
    /// The fields that are not scanned: framing, and those that egress-proxy itself injects.
    pub ignore_headers: Vec<String>,
}

/// Which fields are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderMode {
    /// Every field but the ignored ones.
    All,
}

/// Where the searched patterns come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dlp {
    /// Whether values of pipelock's own environment are searched for.
    pub scan_env: bool,
    /// Whether the built-in patterns are used.
    pub include_defaults: bool,
    /// The bottle's own patterns, which the upstream program searches for in any case of letters, too.
    pub patterns: Vec<CustomPattern>,
}

/// Whether responses are searched for prompt injection, and what a finding does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseScanning {
    /// Whether responses are scanned.
    pub enabled: bool,
    /// What a finding does.
    pub action: Action,
    /// Event streams.
    pub sse_streaming: SseStreaming,
}

/// The same of event streams, which are passed on event by event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SseStreaming {
    /// Whether events are scanned one by one.
    pub enabled: bool,
    /// What a finding does.
    pub action: Action,
    /// Bytes of one event.
    pub max_event_bytes: u64,
}

/// Exemptions from `internal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssrf {
    /// Exempt ranges, canonical. The upstream program exempts them for every host, the embedded engine only for
    /// the host that `embedded.yaml` names.
    pub ip_allowlist: Vec<IpNet>,
}

/// Which events become log lines, and where these go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// One object a line is the only format here.
    pub format: LogFormat,
    /// The container's log is the only place here.
    pub output: LogOutput,
    /// Whether allowed requests are logged.
    pub include_allowed: bool,
    /// Whether refused requests are logged.
    pub include_blocked: bool,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogOutput {
    /// The container's log.
    Stdout,
}

/// What depends on the manifest; everything else in the file is fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackOptions {
    /// The allowed hosts, in any order.
    pub hosts: Vec<String>,
    /// The hosts that are tunnelled without a look.
    pub uninspected: Vec<String>,
    /// The fields that egress-proxy injects, in lower case.
    pub injected_headers: Vec<String>,
    /// Private ranges that a manifest allows.
    pub addresses: Vec<IpNet>,
    /// Whether a DLP finding in a request is only logged.
    pub dlp_warn: bool,
    /// Whether seed phrases are searched for.
    pub seed_phrases: bool,
    /// The bottle's own patterns.
    pub patterns: Vec<CustomPattern>,
    /// Where the upstream program has its metrics; nothing for the embedded engine.
    pub metrics_listen: Option<SocketAddr>,
}

/// Fields that are never scanned: hop-by-hop and framing, where a credential can't stand.
const IGNORED_HEADERS: [&str; 13] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Te",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Host",
    "Content-Length",
    "Content-Type",
    "Accept",
    "Accept-Encoding",
    "User-Agent",
];

/// Ranges that are nobody's public address: the union of the upstream program's old and new lists.
const INTERNAL: [&str; 14] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

impl PipelockFile {
    /// The file of a bottle.
    #[must_use]
    pub fn stack(options: &StackOptions) -> Self {
        let off = Switch { enabled: false };
        Self {
            version: 1,
            mode: Mode::Strict,
            enforce: true,
            explain_blocks: false, // a hint helps whoever probes
            api_allowlist: sorted(options.hosts.iter().cloned()),
            fetch_proxy: FetchProxy::stack(),
            forward_proxy: ForwardProxy {
                enabled: true,
                max_tunnel_seconds: 86_400, // an absolute bound, busy or not: long streams
                idle_timeout_seconds: 3600, // a one-way stream counts as idle in old releases
                sni_verification: true,
            },
            websocket_proxy: off,
            tls_interception: TlsInterception::stack(&options.uninspected, &options.hosts),
            request_body_scanning: RequestBodyScanning::stack(options),
            dlp: Dlp {
                scan_env: false, // pipelock's environment is not the agent's
                include_defaults: true,
                patterns: options.patterns.clone(),
            },
            // The search over the sorted join of a body's words refuses ordinary JSON.
            seed_phrase_detection: Switch { enabled: options.seed_phrases },
            response_scanning: ResponseScanning {
                enabled: true,        // `false` would buffer event streams, and make core findings block
                action: Action::Warn, // the patterns hit ordinary documentation: blocking ends coding sessions
                sse_streaming: SseStreaming {
                    enabled: true,
                    action: Action::Warn,
                    max_event_bytes: 8_388_608, // a bigger event ends the stream
                },
            },
            media_policy: off,         // would refuse webp and svg
            taint: off,                // no tool calls pass here
            session_profiling: off,    // one client address for everything: one finding would lock all out
            adaptive_enforcement: off, // as above
            sentry: off,               // no phoning home
            ssrf: Ssrf { ip_allowlist: sorted(options.addresses.iter().copied()) },
            internal: INTERNAL.iter().filter_map(|range| range.parse().ok()).collect(),
            logging: Logging {
                format: LogFormat::Json,
                output: LogOutput::Stdout,
                include_allowed: true,
                include_blocked: true,
            },
            metrics_listen: options.metrics_listen,
        }
    }
}

impl PipelockFile {
    /// Reads a file strictly. A value that the embedded engine does not implement is refused and never ignored:
    /// what the file says is what happens.
    pub fn read(text: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let (file, parsed) = Parsed::read::<Self>(text.as_ref())?;
        if file.version != 1 {
            return Err(parsed.error("version", format!("this bottle reads version 1, not {}", file.version)));
        }
        if file.internal.is_empty() {
            return Err(parsed.error("internal", "an empty list would turn the SSRF guard off"));
        }
        if let Some(range) = file.ssrf.ip_allowlist.iter().position(|range| range.prefix_len() == 0) {
            return Err(parsed.error(&format!("ssrf.ip_allowlist[{range}]"), "a range of every address"));
        }
        for (key, is, must) in file.fixed() {
            if is != must {
                return Err(parsed.error(key, format!("only `{must}` is implemented")));
            }
        }
        Ok(file)
    }

    /// Switches that have one position here: key, its value, the value that works.
    fn fixed(&self) -> [(&'static str, bool, bool); 13] {
        [
            ("enforce", self.enforce, true),
            ("explain_blocks", self.explain_blocks, false),
            ("forward_proxy.enabled", self.forward_proxy.enabled, true),
            ("forward_proxy.sni_verification", self.forward_proxy.sni_verification, true),
            ("websocket_proxy.enabled", self.websocket_proxy.enabled, false),
            ("tls_interception.enabled", self.tls_interception.enabled, true),
            ("request_body_scanning.enabled", self.request_body_scanning.enabled, true),
            ("dlp.scan_env", self.dlp.scan_env, false),
            ("media_policy.enabled", self.media_policy.enabled, false),
            ("taint.enabled", self.taint.enabled, false),
            ("sentry.enabled", self.sentry.enabled, false),
            ("session_profiling.enabled", self.session_profiling.enabled, false),
            ("adaptive_enforcement.enabled", self.adaptive_enforcement.enabled, false),
        ]
    }
}

impl FetchProxy {
    fn stack() -> Self {
        Self {
            listen: PIPELOCK_LOOPBACK.to_string(), // never on the network that it leaves by: see decision 0037
            timeout_seconds: 600,                  // agents wait as long
            max_response_mb: 64,
            monitoring: Monitoring {
                max_url_length: 8192,             // signed asset addresses
                entropy_threshold: 5.5,           // names of archives measure 4.6, document ids 4.93
                subdomain_entropy_threshold: 4.5, // generated host names of storage services
                max_requests_per_minute: 60_000,  // 0 would mean 60, which one install exceeds at once
                max_data_per_minute: 0,
                subdomain_entropy_exclusions: Vec::new(),
            },
        }
    }
}

impl TlsInterception {
    fn stack(uninspected: &[String], hosts: &[String]) -> Self {
        let inspected = |wildcard: &String| hosts.contains(wildcard) && !uninspected.contains(wildcard);
        let below = |host: &String| {
            let wildcard = (!host.starts_with("*.")).then(|| format!("*.{host}"));
            wildcard.filter(|wildcard| !inspected(wildcard))
        };
        let both = uninspected.iter().flat_map(|host| [Some(host.clone()), below(host)]).flatten();
        Self {
            enabled: true,
            ca_cert: PIPELOCK_CA[0].to_owned(),
            ca_key: PIPELOCK_CA[1].to_owned(),
            passthrough_domains: sorted(both),
            cert_ttl: "24h".to_owned(),
            max_response_bytes: LARGEST_RESPONSE, // the default of 5 MiB refuses normal downloads
        }
    }
}

impl RequestBodyScanning {
    fn stack(options: &StackOptions) -> Self {
        let injected = sorted(options.injected_headers.iter().map(|name| canonical_field(name)));
        let fixed = IGNORED_HEADERS.iter().map(|&name| name.to_owned());
        let mut ignore_headers: Vec<String> = fixed.collect();
        ignore_headers.extend(injected.into_iter().filter(|name| !IGNORED_HEADERS.contains(&name.as_str())));
        Self {
            enabled: true,
            action: if options.dlp_warn { Action::Warn } else { Action::Block },
            max_body_bytes: LARGEST_BODY, // long conversations
            scan_headers: true,
            // `all` but the injected ones: a short list of scanned fields would leave every other one open.
            header_mode: HeaderMode::All,
            ignore_headers,
        }
    }
}

/// `x-api-key` → `X-Api-Key`, the form that Go compares with.
fn canonical_field(name: &str) -> String {
    let part = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + &letters.as_str().to_ascii_lowercase()
        })
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = items.into_iter().collect();
    list.sort();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ssrf_guard_is_never_off() {
        let file = PipelockFile::stack(&StackOptions::default());
        assert_eq!(file.internal.len(), INTERNAL.len());
    }

    #[test]
    fn reads_what_is_written_and_nothing_else() {
        let file =
            PipelockFile::stack(&StackOptions { hosts: vec!["a.example".into()], ..StackOptions::default() });
        let text = crate::yaml::emit(&file).unwrap();
        assert_eq!(PipelockFile::read(&text).unwrap(), file);
        let cases = [
            ("mode: strict", "mode: balanced", "mode: unknown variant `balanced`, expected `strict`"),
            ("enforce: true", "enforce: false", "enforce: only `true` is implemented"),
            ("  scan_env: false", "  scan_environment: false", "dlp.scan_environment: unknown field"),
            ("  - \"0.0.0.0/8\"\n", "  - 0.0.0.0/33\n", "internal[0]: invalid IP address syntax"),
            ("version: 1", "version: 9", "version: this bottle reads version 1, not 9"),
        ];
        for (from, to, expected) in cases {
            assert!(text.contains(from), "{from}\n{text}");
            let error = PipelockFile::read(text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn only_injected_fields_join_the_ignored_ones() {
        let options = StackOptions {
            injected_headers: vec!["x-api-key".into(), "authorization".into(), "authorization".into()],
            ..StackOptions::default()
        };
        let file = PipelockFile::stack(&options);
        let added = &file.request_body_scanning.ignore_headers[13..];
        assert_eq!(added, ["Authorization", "X-Api-Key"]);
    }

    #[test]
    fn an_uninspected_host_is_named_twice() {
        let options = StackOptions { uninspected: vec!["bulk.example".into()], ..StackOptions::default() };
        let file = PipelockFile::stack(&options);
        assert_eq!(file.tls_interception.passthrough_domains, ["*.bulk.example", "bulk.example"]);
    }
}
