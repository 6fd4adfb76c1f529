//! `Plan` to the three typed config files of the runtimes.

use crate::config::embedded::{EmbeddedFile, HostEntry};
use crate::config::pipelock::{PipelockFile, StackOptions};
use crate::config::routes::{CaFiles, RouteEntry, RoutesFile, Upstream};
use crate::config::{Limits, Listen};
use crate::plan::{Plan, Shape};
use crate::policy::HostRule;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The socket between the gate and whichever proxy comes first.
const SOCKET: &str = "/run/bottle/egress.sock";
/// Where pipelock listens for egress-proxy, on a network that nothing else is on.
const PIPELOCK_PORT: u16 = 8888;
/// Health, readiness and metrics, in each proxy's own namespace.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9100);

/// The config of egress-proxy.
#[must_use]
pub fn routes_file(plan: &Plan) -> RoutesFile {
    let extra = plan.extra_ca.as_ref().map(|_| "/etc/bottle/egress-proxy/extra-ca.pem".to_owned());
    RoutesFile {
        version: 1,
        bottle: plan.name.clone(),
        listen: Listen::Unix(SOCKET.into()),
        admin: ADMIN,
        upstream: Upstream {
            proxy: format!("pipelock:{PIPELOCK_PORT}"),
            ca_file: Some("/etc/bottle/ca/pipelock-ca.pem".to_owned()),
            extra_ca_file: extra,
        },
        ca: CaFiles {
            cert_file: "/etc/bottle/ca/agent-ca.pem".to_owned(),
            key_file: "/etc/bottle/ca/agent-ca-key.pem".to_owned(),
        },
        limits: Limits::default(),
        routes: plan.hosts.iter().map(RouteEntry::from).collect(),
    }
}

/// The config that both engines of pipelock read.
#[must_use]
pub fn pipelock_file(plan: &Plan) -> PipelockFile {
    let rules = || plan.hosts.iter();
    let host = |rule: &HostRule| rule.route.host.to_string();
    PipelockFile::stack(&StackOptions {
        hosts: rules().map(host).collect(),
        uninspected: rules().filter(|rule| !rule.inspect).map(host).collect(),
        injected_headers: rules().filter_map(|rule| Some(rule.auth.as_ref()?.header.clone())).collect(),
        addresses: rules().flat_map(|rule| rule.addresses.iter().copied()).collect(),
        dlp_warn: plan.dlp_warns(),
        seed_phrases: plan.seed_phrases.enabled,
    })
}

/// What the embedded engine needs beside it.
#[must_use]
pub fn embedded_file(plan: &Plan) -> EmbeddedFile {
    EmbeddedFile {
        version: 1,
        bottle: plan.name.clone(),
        listen: match plan.shape {
            Shape::Chain => Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PIPELOCK_PORT)),
            Shape::Direct => Listen::Unix(SOCKET.into()),
        },
        admin: ADMIN,
        extra_ca_file: plan.extra_ca.as_ref().map(|_| "/etc/bottle/pipelock/extra-ca.pem".to_owned()),
        limits: Limits::default(),
        hosts: plan.hosts.iter().map(HostEntry::from).collect(),
        placeholders: plan.placeholders().into_iter().map(str::to_owned).collect(),
    }
}
