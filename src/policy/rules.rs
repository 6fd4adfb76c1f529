//! The rules of a bottle, one for each host.

use super::near_names::NearNames;
use super::{
    host::{Host, INTERNAL_HOST},
    host_pattern::HostPattern,
    method::Method,
    route::{PLAIN_HTTP, Route},
    rule::HostRule,
};
use std::collections::HashMap;

/// Why a set of rules is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Two rules for one host.
    #[error("{host} has two rules, {first} and {second}: merge them into one")]
    DuplicateHost {
        /// The host that both name.
        host: HostPattern,
        /// Where the first rule stands.
        first: String,
        /// Where the second rule stands.
        second: String,
    },
    /// A credential beside plain http.
    #[error(
        "{source_pointer}: {token_ref} would be sent to {host} over plain http; take port 80 or the credential away"
    )]
    CredentialInClear {
        /// The host that is served on port 80.
        host: HostPattern,
        /// Where the rule stands.
        source_pointer: String,
        /// The name of the credential.
        token_ref: String,
    },
    /// CONNECT or TRACE in a list of methods.
    #[error("{source_pointer}: {method} can't be allowed on any host; take it out of the methods")]
    MethodNeverAllowed {
        /// `CONNECT` or `TRACE`.
        method: Method,
        /// Where the rule stands.
        source_pointer: String,
    },
    /// A rule for the name that egress-proxy answers itself.
    #[error("{source_pointer}: {INTERNAL_HOST} is answered by the proxy itself and can't have a rule")]
    InternalHost {
        /// Where the rule stands.
        source_pointer: String,
    },
    /// `deny_paths`, or the paths of `graphql` or `rpc`, of paths that have no canonical form.
    #[error(
        "{source_pointer}: {key} can't hold without a path_allowlist or with encoded_slash, where a path has \
         several spellings"
    )]
    DenyWithoutForm {
        /// The key.
        key: &'static str,
        /// Where the rule stands.
        source_pointer: String,
    },
    /// A credential for hosts that nobody has named.
    #[error(
        "{source_pointer}: {token_ref} would be sent to every host that {host} matches; name each host that gets it"
    )]
    CredentialForWildcard {
        /// The wildcard.
        host: HostPattern,
        /// Where the rule stands.
        source_pointer: String,
        /// The name of the credential.
        token_ref: String,
    },
    /// Port 0.
    #[error("{source_pointer}: 0 is not a port")]
    PortZero {
        /// Where the rule stands.
        source_pointer: String,
    },
}

/// The rules of a bottle, each as `R` has it: as it was written, or with its credential loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy<R = HostRule> {
    rules: Vec<R>,
    by_host: HashMap<Host, usize>,
    /// Wildcards, by what stands behind `*.`.
    below: HashMap<Host, usize>,
    pub(super) near: NearNames,
}

impl<R> Default for Policy<R> {
    fn default() -> Self {
        Self { rules: Vec::new(), by_host: HashMap::new(), below: HashMap::new(), near: NearNames::default() }
    }
}

impl Policy {
    /// Takes rules that agree with each other. No rules at all allow nothing at all.
    pub fn new(rules: impl IntoIterator<Item = impl Into<HostRule>>) -> Result<Policy, PolicyError> {
        Policy::from_rules(rules.into_iter().map(Into::into))
    }
}

impl<R: AsRef<HostRule>> Policy<R> {
    /// The same of rules in any form.
    pub fn from_rules(rules: impl IntoIterator<Item = R>) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        for rule in rules {
            check(rule.as_ref())?;
            let route = &rule.as_ref().route;
            let index = policy.rules.len();
            let earlier = match (route.host.exact(), route.host.base()) {
                (Some(host), _) => policy.by_host.insert(host.clone(), index),
                (None, Some(base)) => policy.below.insert(base.clone(), index),
                (None, None) => None,
            };
            if let Some(first) = earlier.map(|index| &policy.rules[index].as_ref().route) {
                return Err(PolicyError::DuplicateHost {
                    host: route.host.clone(),
                    first: first.source.clone(),
                    second: route.source.clone(),
                });
            }
            policy.near.add(&route.host, index);
            policy.rules.push(rule);
        }
        Ok(policy)
    }

    /// The rule for this host: the one that names it, or else the wildcard one label above it.
    #[must_use]
    pub fn rule(&self, host: &Host) -> Option<&R> {
        let wildcard = || self.below.get(host.parent()?);
        self.by_host.get(host).or_else(wildcard).map(|index| &self.rules[*index])
    }

    /// The rule that names this host or wildcard, and not one above it.
    #[must_use]
    pub fn named(&self, name: &HostPattern) -> Option<&R> {
        let index = match (name.exact(), name.base()) {
            (Some(host), _) => self.by_host.get(host),
            (None, base) => self.below.get(base?),
        };
        index.map(|index| &self.rules[*index])
    }

    /// The route of this host.
    #[must_use]
    pub fn route(&self, host: &Host) -> Option<&Route> {
        self.rule(host).map(|rule| &rule.as_ref().route)
    }

    /// Every rule, in the order in which they were given.
    #[must_use]
    pub fn rules(&self) -> &[R] {
        &self.rules
    }
}

fn check(rule: &HostRule) -> Result<(), PolicyError> {
    let HostRule { route, auth, client: _, inspect: _, on_secret: _, addresses: _ } = rule;
    let source_pointer = route.source.clone();
    if route.host.is_internal() {
        return Err(PolicyError::InternalHost { source_pointer });
    }
    if route.ports.contains(&0) {
        return Err(PolicyError::PortZero { source_pointer });
    }
    if route.path_allowlist.is_none() || route.encoded_slash {
        let denied = (!route.deny_paths.is_empty()).then_some("deny_paths");
        let read = route.content.have_paths().then_some("the paths of graphql and rpc");
        if let Some(key) = denied.or(read) {
            return Err(PolicyError::DenyWithoutForm { key, source_pointer });
        }
    }
    if let Some(method) = route.methods.iter().flatten().find(|m| m.is_never_allowed()) {
        return Err(PolicyError::MethodNeverAllowed { method: method.clone(), source_pointer });
    }
    match auth {
        Some(auth) if route.host.is_wildcard() => Err(PolicyError::CredentialForWildcard {
            host: route.host.clone(),
            source_pointer,
            token_ref: auth.token_ref.clone(),
        }),
        Some(auth) if route.ports.contains(&PLAIN_HTTP) => Err(PolicyError::CredentialInClear {
            host: route.host.clone(),
            source_pointer,
            token_ref: auth.token_ref.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        deny_path::DenyPath,
        testing::{route, route_with_paths, with_credential},
    };
    use super::*;

    #[test]
    fn two_rules_for_one_host_name_both_places() {
        let error = Policy::new(vec![route("API.example.test"), route("api.example.test.")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "api.example.test has two rules, routes[api.example.test] and routes[api.example.test]: merge them into one"
        );
    }

    #[test]
    fn a_credential_is_never_sent_over_plain_http() {
        let mut plain = route("example.test");
        plain.ports = vec![443, 80];
        assert!(Policy::new(vec![plain.clone()]).is_ok());
        assert_eq!(
            Policy::new(vec![with_credential(plain)]).unwrap_err().to_string(),
            "routes[example.test]: TOKEN would be sent to example.test over plain http; take port 80 or the credential away"
        );
    }

    #[test]
    fn trace_and_connect_can_not_be_listed() {
        for method in ["TRACE", "CONNECT", "trace"] {
            let mut bad = route("example.test");
            bad.methods = Some(vec![Method::GET, Method::parse(method).unwrap()]);
            let error = Policy::new(vec![bad]).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "routes[example.test]: {method} can't be allowed on any host; take it out of the methods"
                )
            );
        }
    }

    #[test]
    fn the_proxys_own_name_has_no_rule() {
        assert_eq!(
            Policy::new(vec![route("Bottle.Internal")]).unwrap_err().to_string(),
            "routes[bottle.internal]: bottle.internal is answered by the proxy itself and can't have a rule"
        );
    }

    #[test]
    fn paths_that_have_several_spellings_can_not_be_denied() {
        let deny_paths = vec![DenyPath::parse("/a/b").unwrap()];
        let good = Route { deny_paths, ..route_with_paths("example.test", &["/a"]) };
        assert!(Policy::new([good.clone()]).is_ok());
        for bad in [Route { path_allowlist: None, ..good.clone() }, Route { encoded_slash: true, ..good }] {
            assert_eq!(
                Policy::new([bad]).unwrap_err().to_string(),
                "routes[example.test]: deny_paths can't hold without a path_allowlist or with encoded_slash, where a \
                 path has several spellings"
            );
        }
    }

    #[test]
    fn the_rule_that_names_a_host_stands_above_a_wildcard() {
        let wide =
            Route { source: "wide".into(), ..Route::open(HostPattern::parse("*.cdn.test").unwrap(), "") };
        let policy = Policy::new([wide.clone(), route("a.cdn.test")]).unwrap();
        let source =
            |host: &str| policy.route(&Host::parse(host).unwrap()).map(|route| route.source.as_str());
        assert_eq!(source("a.cdn.test"), Some("routes[a.cdn.test]"));
        assert_eq!(source("b.cdn.test"), Some("wide"));
        for other in ["cdn.test", "a.b.cdn.test", "test", "xcdn.test", "a.cdn.test.evil.test"] {
            assert_eq!(source(other), None, "{other}");
        }
        let twice = Policy::new([wide.clone(), wide.clone()]).unwrap_err().to_string();
        assert_eq!(twice, "*.cdn.test has two rules, wide and wide: merge them into one");
        assert_eq!(
            Policy::new([with_credential(wide)]).unwrap_err().to_string(),
            "wide: TOKEN would be sent to every host that *.cdn.test matches; name each host that gets it"
        );
    }

    #[test]
    fn a_port_is_not_zero() {
        let mut bad = route("example.test");
        bad.ports = vec![0];
        assert_eq!(Policy::new(vec![bad]).unwrap_err().to_string(), "routes[example.test]: 0 is not a port");
    }
}
