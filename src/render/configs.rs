//! `Plan` to the three typed config files of the runtimes.

use crate::config::embedded::{EmbeddedFile, HostEntry};
use crate::config::pipelock::{PipelockFile, StackOptions};
use crate::config::routes::{CaFiles, RouteEntry, RoutesFile, Upstream};
use crate::config::{Limits, Listen, ProxyAddress};
use crate::plan::{Plan, Topology};
use crate::policy::HostRule;
use crate::stack;
use camino::Utf8PathBuf;

/// Hashes of the configs, in hexadecimal: a target makes a container anew when the one that it was started with changes.
pub(super) struct ConfigHashes {
    pub(super) routes: String,
    pub(super) pipelock: String,
}

/// The config of egress-proxy.
#[must_use]
pub fn routes_file(plan: &Plan) -> RoutesFile {
    let extra = plan.extra_ca.as_ref().map(|_| stack::EGRESS_PROXY_EXTRA_CA.to_owned());
    RoutesFile {
        version: 1,
        bottle: plan.name.clone(),
        listen: Listen::Unix(stack::EGRESS_SOCKET.into()),
        admin: stack::ADMIN,
        upstream: Upstream {
            proxy: ProxyAddress::Unix(stack::PIPELOCK_SOCKET.into()),
            ca_file: Some(stack::PIPELOCK_CA[0].to_owned()),
            extra_ca_file: extra,
            identity_only: plan.runs_upstream(),
        },
        ca: CaFiles { cert_file: stack::AGENT_CA[0].to_owned(), key_file: stack::AGENT_CA[1].to_owned() },
        limits: Limits::default(),
        routes: plan.hosts.iter().map(RouteEntry::from).collect(),
        patterns: plan.dlp.patterns.clone(),
        exceptions: plan.dlp.exceptions.clone(),
        supervise: plan.supervise.then(|| Utf8PathBuf::from(stack::SUPERVISE_SOCKET)),
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
        patterns: plan.dlp.patterns.clone(),
        metrics_listen: plan.runs_upstream().then_some(stack::ADMIN),
    })
}

/// What the embedded engine needs beside it, and what bottle itself reads of it where the upstream program runs.
#[must_use]
pub fn embedded_file(plan: &Plan) -> EmbeddedFile {
    EmbeddedFile {
        version: 1,
        bottle: plan.name.clone(),
        // Never on the network that it leaves by: others may be on that, and would be served.
        listen: Listen::Unix(match plan.topology {
            Topology::Chain => stack::PIPELOCK_SOCKET.into(),
            Topology::Direct => stack::EGRESS_SOCKET.into(),
        }),
        admin: stack::ADMIN,
        extra_ca_file: plan.extra_ca.as_ref().map(|_| stack::PIPELOCK_EXTRA_CA.to_owned()),
        limits: Limits::default(),
        hosts: plan.hosts.iter().map(HostEntry::from).collect(),
        placeholders: plan.placeholders().into_iter().map(str::to_owned).collect(),
        exceptions: plan.dlp.exceptions.clone(),
    }
}
