//! Every code that bottle says something under, and what there is to know about it.
//!
//! One source: the page of a code is `docs/codes/CODE.md`, which is what `bottle explain-code CODE` prints. A test
//! holds this list against the codes that the program uses.

/// What a code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// A manifest that is refused.
    Error,
    /// A manifest that is rendered, with something to look at; `lints.allow` takes its name.
    Lint,
    /// What a command could not do, for another reason than what a manifest says.
    Failure,
    /// A request that a proxy did not let through: the `reason` of a denial and of egress-proxy's records, or pipelock's
    /// `X-Pipelock-Block-Reason` and the `scanner` of its records.
    Refusal,
}

impl CodeKind {
    /// One word for people and machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Lint => "lint",
            Self::Failure => "failure",
            Self::Refusal => "refusal",
        }
    }
}

/// A code and its page.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// In kebab case; that of a refusal in snake case.
    pub name: &'static str,
    /// What it stands for.
    pub kind: CodeKind,
    /// Markdown; the first line is `# NAME: what it is`.
    pub page: &'static str,
}

macro_rules! codes {
    ($($kind:ident $name:literal)*) => {
        &[$(Code {
            name: $name,
            kind: CodeKind::$kind,
            page: include_str!(concat!("../docs/codes/", $name, ".md")),
        }),*]
    };
}

/// All of them: errors, lints, failures of commands, refusals by egress-proxy and by pipelock, each by name.
pub const CODES: &[Code] = codes! {
    // What is wrong with a manifest.
    Error "addresses"
    Error "auth"
    Error "baseline"
    Error "beyond-baseline"
    Error "choice"
    Error "client-fields"
    Error "command"
    Error "credential-hosts"
    Error "date"
    Error "deny-paths"
    Error "dlp-action"
    Error "dlp-exception"
    Error "dlp-pattern"
    Error "duplicate"
    Error "duplicate-host"
    Error "empty-list"
    Error "encoded-slash"
    Error "env"
    Error "expectation"
    Error "extra-ca-holds-a-key"
    Error "extra-ca-unreadable"
    Error "git-push"
    Error "graphql-rpc"
    Error "home"
    Error "host"
    Error "image"
    Error "lint"
    Error "method"
    Error "missing-key"
    Error "mount"
    Error "mount-can-be-replaced"
    Error "mount-of-the-engine"
    Error "mount-rewrites-the-cage"
    Error "mount-through-a-link"
    Error "name"
    Error "network"
    Error "no-tests"
    Error "not-locked"
    Error "not-migrated"
    Error "path"
    Error "pipelock-engine"
    Error "plain-http"
    Error "port"
    Error "publish"
    Error "query"
    Error "reason"
    Error "resources"
    Error "retired-key"
    Error "runtime"
    Error "schema"
    Error "secret"
    Error "seed-phrases"
    Error "service"
    Error "supervise"
    Error "test"
    Error "test-manifest"
    Error "token-ref"
    Error "too-many"
    Error "too-many-problems"
    Error "type"
    Error "unknown-key"
    Error "user"
    Error "value"
    Error "version"
    Error "websocket"
    Error "without-routes"
    Error "yaml"
    // What a manifest may say, and is worth a look.
    Lint "broad-dlp-exception"
    Lint "build-context-in-mount"
    Lint "client-credentials"
    Lint "credential-not-inspected"
    Lint "credential-on-shared-host"
    Lint "credential-without-paths"
    Lint "dlp-warns"
    Lint "floating-image"
    Lint "forge-api-writes"
    Lint "graphql-unread"
    Lint "mount-holds-secrets"
    Lint "no-hosts"
    Lint "no-routes"
    Lint "not-inspected"
    Lint "privileged-port"
    Lint "push-anywhere"
    Lint "push-to-default-branch"
    Lint "query-and-body"
    Lint "redact-alters-uploads"
    Lint "rule-expired"
    Lint "rule-expires-soon"
    Lint "shadowed-path"
    Lint "unregistered-method"
    Lint "unused-allow"
    Lint "wider-addresses"
    Lint "wildcard-host"
    Lint "writable-git"
    // What a command could not do.
    Failure "bad-revision"
    Failure "broken-repository"
    Failure "damaged-state"
    Failure "docker-failed"
    Failure "edited-by-hand"
    Failure "missing-token"
    Failure "no-docker"
    Failure "no-manifest"
    Failure "no-merge-base"
    Failure "no-repository"
    Failure "not-an-audit-log"
    Failure "not-as-agreed"
    Failure "not-rendered"
    Failure "port-in-use"
    Failure "several-manifests"
    Failure "unknown-bottle"
    // Why a request was refused.
    Refusal "address_not_allowed"
    Refusal "authority_mismatch"
    Refusal "blocked_by_pipelock"
    Refusal "body_too_large"
    Refusal "credential_in_request"
    Refusal "credential_unavailable"
    Refusal "git_push"
    Refusal "graphql_not_allowed"
    Refusal "host_not_allowed"
    Refusal "limit_reached"
    Refusal "malformed_authority"
    Refusal "malformed_request"
    Refusal "malformed_target"
    Refusal "method_not_allowed"
    Refusal "own_secret"
    Refusal "path_denied"
    Refusal "path_not_allowed"
    Refusal "port_not_allowed"
    Refusal "push_not_allowed"
    Refusal "query_not_allowed"
    Refusal "request_incomplete"
    Refusal "rpc_not_allowed"
    Refusal "rule_expired"
    Refusal "shutting_down"
    Refusal "tls_failed"
    Refusal "tls_required"
    Refusal "upgrade_not_supported"
    Refusal "upstream_invalid"
    Refusal "upstream_timeout"
    Refusal "upstream_unreachable"
    // The same in pipelock's words.
    Refusal "body_memory"
    Refusal "body_stalled"
    Refusal "dlp_match"
    Refusal "domain_not_allowed"
    Refusal "expansion_limit"
    Refusal "malformed_encoding"
    Refusal "path_entropy"
    Refusal "plain_http"
    Refusal "query_entropy"
    Refusal "rate_limit"
    Refusal "request_limit"
    Refusal "ssrf_private_ip"
    Refusal "subdomain_entropy"
    Refusal "unsupported_encoding"
    Refusal "url_length"
};

/// The code of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

/// The names of all lints.
pub fn lints() -> impl Iterator<Item = &'static str> + Clone {
    CODES.iter().filter(|code| code.kind == CodeKind::Lint).map(|code| code.name)
}

impl Code {
    /// What it is, in one line.
    #[must_use]
    pub fn title(&self) -> &'static str {
        let line = self.page.lines().next().unwrap_or_default();
        line.split_once(": ").map_or(line, |(_, title)| title)
    }
}
