//! What a log line holds, and how text from outside gets into one: without a secret, printable, and short.

use super::rules::Rules;
use crate::dlp::Removed;
use crate::telemetry::audit::cut;
use crate::verdict::pipelock::{Block, visible};
use serde::Serialize;

/// One event. What is unknown is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Line {
    /// SHA-256 of the config that decided, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<String>,
    pub(super) event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scanner: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
    /// What was removed from the body: kinds, and how many of each.
    #[serde(skip_serializing_if = "Removed::is_empty")]
    pub(super) removed: Removed,
    /// Something of the request may have reached the origin.
    #[serde(skip)]
    pub(super) sent_on: bool,
    /// Bytes that a tunnel carried from the client, and to it.
    #[serde(skip)]
    pub(super) carried: (u64, u64),
}

impl Line {
    /// Whether it tells of a request or a tunnel that came to nothing, and of which nothing was sent on.
    pub(super) fn is_refusal(&self) -> bool {
        !self.sent_on && matches!(self.event, "blocked" | "error" | "sni_mismatch")
    }

    /// The host, with the port of a CONNECT, and the path.
    pub(super) fn place(&self) -> (Option<&str>, Option<&str>) {
        let Some(url) = &self.url else { return (self.target.as_deref(), None) };
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (Some(host), Some(path))
    }

    /// The line with why a request is refused, or would be.
    pub(super) fn found(self, block: &Block, rules: &Rules) -> Self {
        let (pattern, encoding) = match block {
            Block::Dlp { finding, .. } => {
                let chain: Vec<_> = finding.encodings.iter().map(|e| e.as_str()).collect();
                (Some(finding.pattern.to_string()), (!chain.is_empty()).then(|| chain.join("+")))
            }
            _ => (None, None),
        };
        let reason = Some(shown(&block.to_string(), rules));
        Self { scanner: Some(block.code()), reason, pattern, encoding, ..self }
    }
}

/// A text that a client chose, as it may stand in a log.
pub(super) fn shown(text: &str, rules: &Rules) -> String {
    let text: String = rules.ruleset.logged().mask(text).chars().map(visible).collect();
    cut(&text).into_owned()
}
