//! Why a request is not let through, in words for a person and in a code for a machine.

use super::{deny_path::DenyPath, listed::shorten, method::Method, query::QueryRule, route::Route};
use serde::Serialize;
use std::fmt;

/// What a rule without a list of methods allows, in words.
pub const USUAL_METHODS: &str = "usual methods";

/// The end of every denial's sentence.
pub(super) const NO_RETRY: &str = "retrying does not help";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// A stable reason code: part of the contract with logs, clients and tests.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The code, in `snake_case`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Reason::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// The request writes to a git repository.
    GitPush = "git_push",
    /// The host's rule allows some pushes, and not this one.
    PushNotAllowed = "push_not_allowed",
    /// No rule names the host.
    HostNotAllowed = "host_not_allowed",
    /// The host's rule does not list the port, or not for this scheme.
    PortNotAllowed = "port_not_allowed",
    /// The rule's `until` has passed.
    RuleExpired = "rule_expired",
    /// The rule does not list the method.
    MethodNotAllowed = "method_not_allowed",
    /// No entry of the rule's `path_allowlist` matches.
    PathNotAllowed = "path_not_allowed",
    /// An entry of the rule's `deny_paths` matches.
    PathDenied = "path_denied",
    /// The query lacks a parameter that the rule asks for, or has it with another value or twice.
    QueryNotAllowed = "query_not_allowed",
    /// The GraphQL of the request is not what the rule allows, or can't be read.
    GraphqlNotAllowed = "graphql_not_allowed",
    /// The JSON-RPC of the request is not what the rule allows, or can't be read.
    RpcNotAllowed = "rpc_not_allowed",
    /// CONNECT, SNI, `Host` and `:authority` do not all name the same place.
    AuthorityMismatch = "authority_mismatch",
    /// The host has no canonical form: an IP address, user information, characters that no name has.
    MalformedAuthority = "malformed_authority",
    /// The target has no canonical form.
    MalformedTarget = "malformed_target",
    /// The request is not HTTP as RFC 9112 and RFC 9113 want it.
    MalformedRequest = "malformed_request",
    /// The request did not come whole: it broke off, or took too long.
    RequestIncomplete = "request_incomplete",
    /// The tunnel does not carry TLS.
    TlsRequired = "tls_required",
    /// TLS in the tunnel could not be agreed on.
    TlsFailed = "tls_failed",
    /// An upgrade that the rule does not allow.
    UpgradeNotSupported = "upgrade_not_supported",
    /// The rule's credential is unavailable.
    CredentialUnavailable = "credential_unavailable",
    /// The request carries a secret.
    CredentialInRequest = "credential_in_request",
    /// The request carries a credential that bottle holds.
    OwnSecret = "own_secret",
    /// pipelock found something in the request, and refused it.
    BlockedByPipelock = "blocked_by_pipelock",
    /// The next hop does not answer.
    UpstreamUnreachable = "upstream_unreachable",
    /// The next hop answers with something that is not HTTP, or that can't be trusted.
    UpstreamInvalid = "upstream_invalid",
    /// The next hop took too long.
    UpstreamTimeout = "upstream_timeout",
    /// The body is larger than the limit.
    BodyTooLarge = "body_too_large",
    /// A limit on connections, requests or bytes is reached.
    LimitReached = "limit_reached",
    /// The address that the name resolves to is not allowed.
    AddressNotAllowed = "address_not_allowed",
    /// The proxy is stopping.
    ShuttingDown = "shutting_down",
}

/// What a refusal depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Rules, and what a record keeps of a request: authority, method, path, what it means to git, the day.
    Rules,
    /// The whole request: its syntax, its fields, its query, its body.
    Content,
    /// What was there at the time: names, addresses, origins, credentials, limits.
    Moment,
}

impl Reason {
    /// What it depends on.
    #[must_use]
    pub fn basis(self) -> Basis {
        match self {
            Reason::GitPush
            | Reason::HostNotAllowed
            | Reason::PortNotAllowed
            | Reason::RuleExpired
            | Reason::MethodNotAllowed
            | Reason::PathNotAllowed
            | Reason::PathDenied => Basis::Rules,
            Reason::PushNotAllowed
            | Reason::QueryNotAllowed
            | Reason::GraphqlNotAllowed
            | Reason::RpcNotAllowed
            | Reason::AuthorityMismatch
            | Reason::MalformedAuthority
            | Reason::MalformedTarget
            | Reason::MalformedRequest
            | Reason::UpgradeNotSupported
            | Reason::CredentialInRequest
            | Reason::BlockedByPipelock
            | Reason::BodyTooLarge => Basis::Content,
            Reason::RequestIncomplete
            | Reason::TlsRequired
            | Reason::TlsFailed
            | Reason::CredentialUnavailable
            | Reason::OwnSecret
            | Reason::UpstreamUnreachable
            | Reason::UpstreamInvalid
            | Reason::UpstreamTimeout
            | Reason::LimitReached
            | Reason::AddressNotAllowed
            | Reason::ShuttingDown => Basis::Moment,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// A request that is not let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Why, for machines.
    pub reason: Reason,
    /// Why, in one sentence: what was asked, what is allowed instead, and whether to ask again.
    pub message: String,
    /// The host of the rule that decided; none when no rule names the host.
    pub rule: Option<String>,
    /// Where that rule stands in the manifest, as a pointer.
    pub source: Option<String>,
    /// What is allowed: on the host if a rule names it, else the hosts that are. At most 20 entries, then
    /// `… and N more`.
    pub allowed: Vec<String>,
    /// Whether the same request can succeed later without a change of the rules.
    pub retry: bool,
}

impl Refusal {
    /// The same, decided by a rule.
    #[must_use]
    pub fn under(self, route: &Route) -> Refusal {
        Refusal { rule: Some(route.host.to_string()), source: Some(route.source.clone()), ..self }
    }

    /// The same with what the host's route allows, where there is one.
    pub(super) fn with_allowed(self, route: Option<&Route>) -> Refusal {
        match route {
            Some(route) => Refusal { allowed: allowed_on(route), ..self.under(route) },
            None => self,
        }
    }

    /// A refusal that no rule is behind and that a retry does not change.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Refusal {
        Refusal {
            reason,
            message: message.into(),
            rule: None,
            source: None,
            allowed: Vec::new(),
            retry: false,
        }
    }

    /// The body is larger than `limit` bytes: as it was sent, or as its content coding unfolds.
    #[must_use]
    pub fn body_too_large(limit: u64) -> Refusal {
        let message =
            format!("the request's body is larger than {limit} bytes, which is the limit; {NO_RETRY}");
        Refusal::new(Reason::BodyTooLarge, message)
    }

    /// The same, for something that may pass.
    #[must_use]
    pub fn retryable(self) -> Refusal {
        Refusal { retry: true, ..self }
    }

    /// What is allowed, as one text; empty when nothing is.
    #[must_use]
    pub fn allowed(&self) -> String {
        self.allowed.join(", ")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl Route {
    /// What may be requested, in words: at most 20 entries, then `… and N more`.
    #[must_use]
    pub fn allowed(&self) -> Vec<String> {
        allowed_on(self)
    }
}

/// `GET, HEAD /repos/acme/app and below`, one for each entry of the `path_allowlist`, then what is denied of them.
pub(super) fn allowed_on(route: &Route) -> Vec<String> {
    let methods = match &route.methods {
        None => USUAL_METHODS.to_owned(),
        Some(methods) => methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "),
    };
    if methods.is_empty() {
        return Vec::new();
    }
    let mut allowed = match &route.path_allowlist {
        None => vec![format!("{methods} on every path")],
        Some(paths) => {
            let mut allowed = shorten(paths.iter().map(|path| format!("{methods} {path} and below")));
            if !route.deny_paths.is_empty() {
                let denied = shorten(route.deny_paths.iter().map(DenyPath::to_string));
                allowed.push(format!("but not {} and below", denied.join(", ")));
            }
            allowed
        }
    };
    if !route.query.is_empty() {
        let said = shorten(route.query.iter().map(QueryRule::to_string));
        allowed.push(format!("with {} in the query", said.join(" and ")));
    }
    allowed.extend(route.content.allowed());
    if route.websocket {
        allowed.push("WebSocket".to_owned());
    }
    allowed.extend(route.push.as_ref().map(|rules| format!("git push to {rules}")));
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_in_snake_case() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        assert_eq!(serde_json::to_string(&Reason::GitPush).unwrap(), "\"git_push\"");
    }
}
