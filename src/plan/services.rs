//! The stack around the agent, for those who print it; the compose template writes the same, and a test compares.

use super::{Plan, Topology};
use crate::stack::{network, service};

/// One service of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePlan<'a> {
    /// Its name in the compose file.
    pub name: &'a str,
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
    /// Loopback and the networks of `pipelock-relay`, in its namespace.
    Relay,
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
    pub fn services(&self) -> Vec<ServicePlan<'_>> {
        let make = |name, role, reach| ServicePlan { name, role, network: reach };
        let mut services = vec![
            make(service::NETNS, "holds the agent's network namespace, which has loopback only", Reach::None),
            make(service::GATE, "carries bytes from 127.0.0.1:9099 to the proxy's socket", Reach::Agent),
        ];
        if self.topology == Topology::Chain {
            let role = "decides by route, path and method, refuses git push, puts credentials on";
            services.push(make(service::EGRESS_PROXY, role, Reach::None));
        }
        if self.supervise {
            let role = "takes what the agent proposes, for a person to decide";
            services.push(make(service::SUPERVISE, role, Reach::None));
        }
        let pipelock = "allows hosts, refuses private addresses, scans requests for secrets";
        if self.runs_upstream() {
            let role = "holds pipelock's network namespace, and serves its socket";
            services.push(make(service::RELAY, role, Reach::Networks(&[network::EGRESS])));
            services.push(make(service::PIPELOCK, pipelock, Reach::Relay));
        } else {
            services.push(make(service::PIPELOCK, pipelock, Reach::Networks(&[network::EGRESS])));
        }
        if self.agent.home.is_some() {
            services.push(make(service::HOME, "gives a new home to the agent's user, and ends", Reach::None));
        }
        if !self.agent.publish.is_empty() {
            let role = "carries bytes from publish's sockets to ports on the agent's loopback";
            services.push(make(service::INBOUND, role, Reach::Agent));
            let role = "shows those ports on the host's 127.0.0.1";
            services.push(make(service::PUBLISH, role, Reach::Networks(&[network::PUBLISH])));
        }
        for sidecar in &self.sidecars {
            services.push(make(&sidecar.name, "works beside the agent, as the manifest says", Reach::Agent));
        }
        services.push(make(service::AGENT, "works", Reach::Agent));
        services.push(make(
            service::ATTACK,
            "the attack suite, when it is asked for (profile `attack`)",
            Reach::Agent,
        ));
        services
    }

    /// The networks, in the compose file's order.
    #[must_use]
    pub fn networks(&self) -> Vec<NetworkPlan> {
        let what = match self.egress_network {
            Some(_) => "a network that exists already: pipelock's way out",
            None => "a bridge of the stack's own: pipelock's way out",
        };
        let mut networks =
            vec![NetworkPlan { name: network::EGRESS, existing: self.egress_network.clone(), what }];
        if !self.agent.publish.is_empty() {
            let what = "a bridge of the stack's own: from the host to publish, with no way to the Internet";
            networks.push(NetworkPlan { name: network::PUBLISH, existing: None, what });
        }
        networks
    }
}
