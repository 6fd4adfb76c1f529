//! What requests to a host must be beside HTTP: GraphQL, or JSON-RPC.
//!
//! A route says it of all its requests or of those below some of its paths. There everything is one of the few forms in
//! which such a request comes, or refused: what is not read can't be decided on.

use super::{deny_path::DenyPath, graphql::GraphqlRule, listed::shorten, path::CanonicalPath, rpc::RpcRule};
use serde::Serialize;

/// What requests must be, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentRules {
    /// GraphQL with these operations and fields.
    pub graphql: Option<Below<GraphqlRule>>,
    /// JSON-RPC with these methods.
    pub rpc: Option<Below<RpcRule>>,
}

/// A rule for the requests below some paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Below<R> {
    /// In every spelling, as `deny_paths` are; `None` is every path.
    pub paths: Option<Vec<DenyPath>>,
    /// What holds there.
    #[serde(flatten)]
    pub rule: R,
}

impl<R> Below<R> {
    pub(super) fn holds(&self, path: &CanonicalPath) -> bool {
        self.paths.as_ref().is_none_or(|paths| paths.iter().any(|entry| entry.matches(path)))
    }

    /// Whether this allows anything that `old` does not, by what is within a rule.
    #[must_use]
    pub fn exceeds(&self, old: &Self, is_within: impl Fn(&R, &R) -> bool) -> bool {
        let covers =
            |entries: &Vec<DenyPath>, other: &DenyPath| entries.iter().any(|own| own.includes(other));
        let holds_wherever_old_does = match (&self.paths, &old.paths) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(old)) => old.iter().all(|entry| covers(own, entry)),
        };
        !holds_wherever_old_does || !is_within(&self.rule, &old.rule)
    }

    /// `on /graphql and below`.
    #[must_use]
    pub fn place(&self) -> String {
        let below = |paths: &Vec<DenyPath>| {
            format!(" on {} and below", shorten(paths.iter().map(ToString::to_string)).join(", "))
        };
        self.paths.as_ref().map(below).unwrap_or_default()
    }
}

impl ContentRules {
    /// Whether requests for the path are read.
    #[must_use]
    pub fn hold(&self, path: &CanonicalPath) -> bool {
        self.graphql.as_ref().is_some_and(|it| it.holds(path))
            || self.rpc.as_ref().is_some_and(|it| it.holds(path))
    }

    /// Whether some rule has paths of its own.
    #[must_use]
    pub fn have_paths(&self) -> bool {
        let graphql = self.graphql.as_ref().is_some_and(|it| it.paths.is_some());
        graphql || self.rpc.as_ref().is_some_and(|it| it.paths.is_some())
    }

    /// What is allowed, in words: `GraphQL on /graphql and below: query of viewer`.
    #[must_use]
    pub fn allowed(&self) -> Vec<String> {
        let graphql = self.graphql.as_ref().map(|it| format!("GraphQL only{}: {}", it.place(), it.rule));
        let rpc = self.rpc.as_ref().map(|it| format!("JSON-RPC only{}: {}", it.place(), it.rule));
        graphql.into_iter().chain(rpc).collect()
    }
}
