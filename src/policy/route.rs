//! Rules, one for each host, and the set of them.

use super::{
    host::{Authority, Host, INTERNAL_HOST},
    method::Method,
    path::PathRules,
    pattern::PathPattern,
};
use jiff::civil::Date;
use std::collections::HashMap;

/// The port of plain http; every other port is TLS.
pub(super) const PLAIN_HTTP: u16 = 80;

/// A rule for one host.
///
/// Every list is closed: `Some` of an empty list allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name in logs and denials.
    pub id: String,
    /// Where the rule stands in the manifest, as a pointer: `egress_proxy.routes[1]`.
    pub source: String,
    /// The host.
    pub host: Host,
    /// The ports; 80 is plain http, every other one TLS.
    pub ports: Vec<u16>,
    /// The methods; `None` is every method but CONNECT and TRACE.
    pub methods: Option<Vec<Method>>,
    /// The `path_allowlist`; `None` is every path.
    pub paths: Option<Vec<PathPattern>>,
    /// The name (`token_ref`) of the credential that is injected.
    pub credential: Option<String>,
    /// `%2F` may stand inside a segment of an allowed path.
    pub encoded_slash: bool,
    /// The last day (UTC) on which the rule holds.
    pub until: Option<Date>,
    /// Why the rule is there, in the words of who wrote it.
    pub reason: Option<String>,
}

impl Route {
    /// What the rule says about the form of its paths.
    #[must_use]
    pub fn path_rules(&self) -> PathRules {
        PathRules { allowlisted: self.paths.is_some(), encoded_slash: self.encoded_slash }
    }

    /// Whether the rule lists the method.
    #[must_use]
    pub fn allows_method(&self, method: &Method) -> bool {
        !method.is_never_allowed() && self.methods.as_ref().is_none_or(|listed| listed.contains(method))
    }

    /// Whether the rule still holds on the day.
    #[must_use]
    pub fn holds_on(&self, today: Date) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}

/// Why a set of rules is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Two rules for one host.
    #[error("{host} has two rules, {first} and {second}: merge them into one")]
    DuplicateHost {
        /// The host.
        host: Host,
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
        /// The host.
        host: Host,
        /// Where the rule stands.
        source_pointer: String,
        /// The name of the credential.
        token_ref: String,
    },
    /// CONNECT or TRACE in a list of methods.
    #[error("{source_pointer}: {method} can't be allowed on any host; take it out of the methods")]
    MethodNeverAllowed {
        /// The method.
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
    /// Port 0.
    #[error("{source_pointer}: 0 is not a port")]
    PortZero {
        /// Where the rule stands.
        source_pointer: String,
    },
}

/// The rules of a bottle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    routes: Vec<Route>,
    by_host: HashMap<Host, usize>,
}

impl Policy {
    /// Takes rules that agree with each other. No rules at all allow nothing at all.
    pub fn new(routes: Vec<Route>) -> Result<Policy, PolicyError> {
        let mut by_host = HashMap::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            check(route)?;
            if let Some(first) = by_host.insert(route.host.clone(), index) {
                return Err(PolicyError::DuplicateHost {
                    host: route.host.clone(),
                    first: routes[first].source.clone(),
                    second: route.source.clone(),
                });
            }
        }
        Ok(Policy { routes, by_host })
    }

    /// The rule for exactly this host.
    #[must_use]
    pub fn route(&self, host: &Host) -> Option<&Route> {
        self.by_host.get(host).map(|index| &self.routes[*index])
    }

    /// Every rule, in the order in which they were given.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The rule that lists the host and the port of the authority, if there is one.
    #[must_use]
    pub fn route_at(&self, authority: &Authority) -> Option<&Route> {
        self.route(&authority.host).filter(|route| route.ports.contains(&authority.port))
    }
}

fn check(route: &Route) -> Result<(), PolicyError> {
    let source_pointer = route.source.clone();
    if route.host.is_internal() {
        return Err(PolicyError::InternalHost { source_pointer });
    }
    if route.ports.contains(&0) {
        return Err(PolicyError::PortZero { source_pointer });
    }
    if let Some(method) = route.methods.iter().flatten().find(|m| m.is_never_allowed()) {
        return Err(PolicyError::MethodNeverAllowed { method: method.clone(), source_pointer });
    }
    match &route.credential {
        Some(token_ref) if route.ports.contains(&PLAIN_HTTP) => Err(PolicyError::CredentialInClear {
            host: route.host.clone(),
            source_pointer,
            token_ref: token_ref.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::route;
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
        plain.credential = Some("TOKEN".into());
        assert_eq!(
            Policy::new(vec![plain]).unwrap_err().to_string(),
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
    fn a_port_is_not_zero() {
        let mut bad = route("example.test");
        bad.ports = vec![0];
        assert_eq!(Policy::new(vec![bad]).unwrap_err().to_string(), "routes[example.test]: 0 is not a port");
    }
}
