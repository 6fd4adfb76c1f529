//! The stack around the agent, for those who print it; the compose template writes the same, and a test compares.

use super::{Plan, Shape};

/// One service of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// Its name in the compose file.
    pub name: &'static str,
    /// What it is there for.
    pub role: &'static str,
    /// What it can reach.
    pub network: Reach,
}

/// What a service can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Loopback, in a namespace of its own.
    None,
    /// Loopback, in the namespace of `netns`.
    Agent,
    /// These networks.
    Networks(&'static [&'static str]),
}

/// One network of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Its name in the compose file.
    pub name: &'static str,
    /// The existing network that it is, if it is not the stack's own.
    pub existing: Option<String>,
    /// What it is.
    pub what: &'static str,
}

impl Plan {
    /// The services, in the compose file's order.
    #[must_use]
    pub fn services(&self) -> Vec<ServicePlan> {
        let service = |name, role, network| ServicePlan { name, role, network };
        let mut services = vec![
            service("netns", "holds the agent's network namespace, which has loopback only", Reach::None),
            service("gate", "carries bytes from 127.0.0.1:9099 to the proxy's socket", Reach::Agent),
        ];
        let pipelock = "allows hosts, refuses private addresses, scans requests for secrets";
        match self.shape {
            Shape::Chain => {
                let role = "decides by route, path and method, refuses git push, puts credentials on";
                services.push(service("egress-proxy", role, Reach::Networks(&["chain"])));
                services.push(service("pipelock", pipelock, Reach::Networks(&["chain", "egress"])));
            }
            Shape::Direct => services.push(service("pipelock", pipelock, Reach::Networks(&["egress"]))),
        }
        services.push(service("agent", "works", Reach::Agent));
        services.push(service(
            "attack",
            "the attack suite, when it is asked for (profile `attack`)",
            Reach::Agent,
        ));
        services
    }

    /// The networks, in the compose file's order.
    #[must_use]
    pub fn networks(&self) -> Vec<NetworkPlan> {
        let chain = NetworkPlan {
            name: "chain",
            existing: None,
            what: "internal, without an address of the host: egress-proxy and pipelock, nothing else",
        };
        let what = match self.egress_network {
            Some(_) => "a network that exists already: pipelock's way out",
            None => "a bridge of the stack's own: pipelock's way out",
        };
        let egress = NetworkPlan { name: "egress", existing: self.egress_network.clone(), what };
        match self.shape {
            Shape::Chain => vec![chain, egress],
            Shape::Direct => vec![egress],
        }
    }
}
