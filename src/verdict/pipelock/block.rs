//! Why pipelock refuses a request: the codes of the program whose place the embedded engine can take.

use crate::content_coding::{DecodeError, Unsupported};
use crate::dlp::{Finding, Severity};
use http::StatusCode;

/// The code of an address that must not be dialled.
pub const PRIVATE_ADDRESS: &str = "ssrf_private_ip";

/// Where in a request something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The method.
    Method,
    /// Path or query.
    Url,
    /// A field's name or value.
    Header,
    /// The body, decoded where it has a content coding.
    Body,
}

impl Part {
    /// The name in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Method => "method",
            Part::Url => "url",
            Part::Header => "header",
            Part::Body => "body",
        }
    }
}

/// Why a request is refused: text for people, and a stable code.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Block {
    /// The allowlist does not have the host.
    #[error("{host} is not in the allowlist")]
    Host {
        /// In canonical form.
        host: String,
    },
    /// The host is allowed, but on other ports.
    #[error("port {port} of {host} is not allowed; allowed: {}", list(allowed))]
    Port {
        /// In canonical form.
        host: String,
        /// The port that was asked for.
        port: u16,
        /// The ports that are allowed.
        allowed: Vec<u16>,
    },
    /// The target of a CONNECT, or an absolute-form target, is none.
    #[error("the target is not a host and port: {0}")]
    Target(String),
    /// The request names another host than its tunnel.
    #[error("authority mismatch: blocked; the request is for {asked}, its tunnel for {tunnel}")]
    Authority {
        /// What the request names.
        asked: String,
        /// What the tunnel is for.
        tunnel: String,
    },
    /// https outside of a tunnel, or plain http where it is not served.
    #[error("plain http to {host} is not allowed; use https through CONNECT")]
    PlainHttp {
        /// In canonical form.
        host: String,
    },
    /// An address that must not be dialled.
    #[error("{host} resolves to {address}, which is a private or reserved address")]
    Address {
        /// In canonical form.
        host: String,
        /// The one that its name resolves to, as text.
        address: String,
    },
    /// A credential was found.
    #[error("request {} contains secret: {}{}", part.as_str(), finding.pattern, place(location.as_deref()))]
    Dlp {
        /// Where.
        part: Part,
        /// What.
        finding: Finding,
        /// A field's name, or a JSON pointer into the body.
        location: Option<String>,
    },
    /// Something was removed from a body whose trailers sign it.
    #[error("a secret was removed from the request body, and its trailers sign what it was")]
    Signed,
    /// A URL that is longer than it may be.
    #[error("URL is {length} bytes long, more than max_url_length {limit}")]
    UrlLength {
        /// In bytes.
        length: usize,
        /// `max_url_length`, in bytes.
        limit: u32,
    },
    /// A part of the URL that looks like encrypted or encoded data.
    #[error("{what} has high entropy ({bits:.2} bits per character, the threshold is {threshold:.2})")]
    Entropy {
        /// Which part.
        what: &'static str,
        /// Bits per character, as measured.
        bits: f64,
        /// Bits per character that are allowed.
        threshold: f64,
        /// `path_entropy` and its like; the check that measured it.
        code: &'static str,
    },
    /// Too many requests.
    #[error("rate limit exceeded: more than {limit} requests to {host} in a minute")]
    Rate {
        /// In canonical form.
        host: String,
        /// `max_requests_per_minute`.
        limit: u32,
    },
    /// A body whose encoding this engine can't look through.
    #[error(
        "request body has the content encoding \"{0}\", which cannot be scanned; send gzip, deflate, br, zstd or none"
    )]
    Encoding(String),
    /// A body that is not what its encoding says.
    #[error("request body is not valid {0}, so it cannot be scanned")]
    Malformed(&'static str),
    /// A body that grows out of proportion.
    #[error("request body expands more than {0} times, so it cannot be scanned")]
    Expansion(u64),
    /// As many requests are in flight as there may be.
    #[error("there are {0} requests in flight, which is the limit; try again later")]
    TooManyRequests(usize),
    /// Bodies of other requests take all the memory that there is for them.
    #[error("other requests take all memory for bodies in flight; try again later")]
    NoMemory,
    /// The body held memory that others needed, and came no further.
    #[error("request body made no progress while other requests needed its memory; send it again")]
    Stalled,
    /// The request asks for another protocol (RFC 9110 §7.8).
    #[error(
        "this upgrade is not allowed: `websocket: true` on the host lets a WebSocket through, and nothing lets another protocol"
    )]
    Upgrade,
    /// A request that is malformed.
    #[error("malformed request: {0}")]
    Request(String),
    /// There is no connection to the origin.
    #[error("{0}")]
    Upstream(String),
    /// The origin took too long to begin its answer.
    #[error("{host} did not begin to answer within {seconds} s")]
    Timeout {
        /// In canonical form.
        host: String,
        /// How long its answer was waited for.
        seconds: u32,
    },
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

fn place(location: Option<&str>) -> String {
    location.map_or_else(String::new, |location| format!(" at {location}"))
}

impl From<Unsupported> for Block {
    fn from(Unsupported(coding): Unsupported) -> Self {
        Self::Encoding(printable(&coding))
    }
}

impl From<DecodeError<Block>> for Block {
    fn from(error: DecodeError<Block>) -> Self {
        match error {
            DecodeError::Malformed(coding) => Self::Malformed(coding.name()),
            DecodeError::Expansion(times) => Self::Expansion(times),
            DecodeError::Reader(block) => block,
        }
    }
}

impl Block {
    /// The stable code, in `X-Pipelock-Block-Reason` and in logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Block::Host { .. } => "domain_not_allowed",
            Block::Port { .. } => "port_not_allowed",
            Block::Target(_) => "malformed_target",
            Block::Authority { .. } => "authority_mismatch",
            Block::PlainHttp { .. } => "plain_http",
            Block::Address { .. } => PRIVATE_ADDRESS,
            Block::Dlp { .. } | Block::Signed => "dlp_match",
            Block::UrlLength { .. } => "url_length",
            Block::Entropy { code, .. } => code,
            Block::Rate { .. } => "rate_limit",
            Block::Encoding(_) => "unsupported_encoding",
            Block::Malformed(_) => "malformed_encoding",
            Block::Expansion(_) => "expansion_limit",
            Block::TooManyRequests(_) => "request_limit",
            Block::NoMemory => "body_memory",
            Block::Stalled => "body_stalled",
            Block::Upgrade => "upgrade_not_supported",
            Block::Request(_) => "malformed_request",
            Block::Upstream(_) => "upstream_unreachable",
            Block::Timeout { .. } => "upstream_timeout",
        }
    }

    /// Which part of this engine refuses.
    #[must_use]
    pub fn layer(&self) -> &'static str {
        match self {
            Block::Host { .. } | Block::Port { .. } | Block::PlainHttp { .. } => "allowlist",
            Block::Target(_) | Block::Authority { .. } | Block::Request(_) | Block::Upgrade => "protocol",
            Block::Address { .. } => "ssrf",
            Block::Dlp { part: Part::Method, .. } => "method_dlp",
            Block::Dlp { part: Part::Url, .. } => "url_dlp",
            Block::Dlp { part: Part::Header, .. } => "header_dlp",
            Block::UrlLength { .. } => "url_length",
            Block::Entropy { .. } => "entropy",
            Block::Rate { .. } => "rate_limit",
            Block::TooManyRequests(_) => "request_limit",
            Block::Dlp { part: Part::Body, .. }
            | Block::Signed
            | Block::Encoding(_)
            | Block::Malformed(_)
            | Block::Expansion(_)
            | Block::NoMemory
            | Block::Stalled => "body_dlp",
            Block::Upstream(_) | Block::Timeout { .. } => "upstream",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Block::Dlp { finding, .. } => finding.severity,
            Block::Address { .. } | Block::Authority { .. } => Severity::Critical,
            Block::Upstream(_)
            | Block::Timeout { .. }
            | Block::Rate { .. }
            | Block::TooManyRequests(_)
            | Block::NoMemory
            | Block::Stalled => Severity::Low,
            Block::Host { .. } | Block::Port { .. } | Block::PlainHttp { .. } => Severity::Medium,
            _ => Severity::High,
        }
    }

    /// `none`: never; `transient`: later; `policy`: after the configuration changed.
    #[must_use]
    pub fn retry(&self) -> &'static str {
        match self {
            Block::Rate { .. }
            | Block::Upstream(_)
            | Block::Timeout { .. }
            | Block::TooManyRequests(_)
            | Block::NoMemory
            | Block::Stalled => "transient",
            Block::Host { .. } | Block::Port { .. } | Block::PlainHttp { .. } | Block::Address { .. } => {
                "policy"
            }
            _ => "none",
        }
    }

    /// The answer's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Block::Rate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Block::Upstream(_) => StatusCode::BAD_GATEWAY,
            Block::TooManyRequests(_) | Block::NoMemory | Block::Stalled => StatusCode::SERVICE_UNAVAILABLE,
            Block::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Block::Target(_) | Block::Request(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        }
    }
}

/// A name that a client chose, as it may stand in an answer to it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(visible).take(1000).collect()
}

/// A character of a text from outside, or a stand-in for it.
pub(crate) fn visible(c: char) -> char {
    if c.is_ascii_graphic() || c == ' ' { c } else { '?' }
}
