//! What a request asks for, in canonical form.

use super::{
    git::GitOperation,
    host::Authority,
    method::Method,
    path::PathError,
    refusal::{NO_RETRY, Reason, Refusal},
    route::{PLAIN_HTTP, Route},
    target::{Target, split},
};
use std::fmt;

/// How a request reaches its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain http, on port 80 only.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port where a URL names none (RFC 9110 §4.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => PLAIN_HTTP,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything about a request that a decision depends on, in canonical form. What is decided on is what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// How.
    pub scheme: Scheme,
    /// Where.
    pub authority: Authority,
    /// What.
    pub method: Method,
    /// On what.
    pub target: Target,
    /// What it means to git. For an LFS batch the proxy sets it from the body.
    pub git: GitOperation,
}

impl Intent {
    /// Reads a request under the rules of its host's route.
    pub fn read(
        scheme: Scheme,
        authority: &Authority,
        method: &Method,
        raw_target: &[u8],
        content_type: Option<&[u8]>,
        route: Option<&Route>,
    ) -> Result<Intent, Refusal> {
        let rules = route.map(Route::path_rules).unwrap_or_default();
        let target = Target::parse(raw_target, rules).map_err(|e| malformed_target(e, authority, route))?;
        let (path, query) = split(raw_target);
        let git = GitOperation::read(method, path, query, content_type);
        Ok(Intent { scheme, authority: authority.clone(), method: method.clone(), target, git })
    }
}

fn malformed_target(error: PathError, authority: &Authority, route: Option<&Route>) -> Refusal {
    let message =
        format!("the target of this request to {} is malformed: {error}; {NO_RETRY}", authority.host);
    Refusal::new(Reason::MalformedTarget, message).with_allowed(route)
}
