//! pipelock's refusal in egress-proxy's words: with what it found, what to do about it, and its name as the source.

use crate::policy::{Reason, Refusal, Route};
use crate::verdict::pipelock::{Block, PRIVATE_ADDRESS};
use http::StatusCode;

/// Characters of a finding that are passed on.
const LONGEST_FINDING: usize = 400;

/// What pipelock answers to a request that it refuses.
#[derive(Clone, Copy, Debug)]
pub struct PipelockAnswer<'a> {
    /// The status that pipelock answers with.
    pub status: StatusCode,
    /// `X-Pipelock-Block-Reason`; empty before pipelock 2.4.
    pub code: &'a str,
    /// `X-Pipelock-Retry`: `none`, `transient`, `policy`.
    pub retry: &'a str,
    /// The body, or a part of it.
    pub text: &'a str,
}

/// What the agent is answered then.
#[derive(Debug)]
pub struct PipelockRefusal {
    /// Why.
    pub refusal: Refusal,
    /// pipelock's words, on one line.
    pub finding: String,
    /// 429, 502, 503 or 504 where pipelock answers one of these, else 403.
    pub status: StatusCode,
}

impl PipelockAnswer<'_> {
    /// The refusal of a request under `route`.
    #[must_use]
    pub fn refusal(self, route: &Route) -> PipelockRefusal {
        let finding = self.finding();
        let status = self.status.as_u16();
        let transient = self.retry == "transient" || matches!(status, 429 | 502 | 503 | 504);
        let (reason, message) = match status {
            502 => (
                Reason::UpstreamUnreachable,
                format!("pipelock can't reach {}: {finding}; try again later", route.host),
            ),
            504 => (
                Reason::UpstreamTimeout,
                format!("pipelock got no answer from {} in time: {finding}; try again later", route.host),
            ),
            429 | 503 => (
                Reason::LimitReached,
                format!("pipelock does not take this request now: {finding}; try again later"),
            ),
            _ if self.code == PRIVATE_ADDRESS => (
                Reason::AddressNotAllowed,
                format!(
                    "{} is at an address that is not allowed ({finding}); only a person can allow it, with `addresses` on \
                     the host's entry; retrying does not help",
                    route.host
                ),
            ),
            _ => (
                Reason::BlockedByPipelock,
                format!("pipelock refused this request: {finding}; {}", advice(self.code, &finding)),
            ),
        };
        let refusal = Refusal { retry: transient, ..Refusal::new(reason, message).under(route) };
        // Only a refusal's status is passed on: what else a proxy may answer (401, 407) would mean something else here.
        let status =
            if matches!(status, 429 | 502 | 503 | 504) { self.status } else { StatusCode::FORBIDDEN };
        PipelockRefusal { refusal, finding, status }
    }

    /// pipelock's words on one line, bounded.
    fn finding(self) -> String {
        let text = self.text.trim();
        let text = text.strip_prefix("CONNECT ").unwrap_or(text);
        let text = text.strip_prefix("blocked: ").unwrap_or(text);
        let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        let line: String = line.take(LONGEST_FINDING).collect();
        match (line.trim(), self.code) {
            ("", "") => format!("status {}", self.status.as_u16()),
            ("", code) => code.to_owned(),
            (line, _) => line.to_owned(),
        }
    }
}

/// What the agent is answered when the embedded engine refuses its request.
#[must_use]
pub fn pipelock_refusal(block: &Block, route: &Route) -> PipelockRefusal {
    let text = block.to_string();
    PipelockAnswer { status: block.status(), code: block.code(), retry: block.retry(), text: &text }
        .refusal(route)
}

/// What to do about it.
fn advice(code: &str, finding: &str) -> &'static str {
    let secret = code.contains("dlp") || finding.contains("secret") || finding.contains("DLP");
    if secret {
        "take the secret out; in a chat /clear or rewind first, since a conversation repeats its history; retrying \
         does not help"
    } else {
        "retrying does not help"
    }
}
