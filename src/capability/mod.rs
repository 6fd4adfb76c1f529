//! What a rendered tree lets an agent do, as sets that can be compared.
//!
//! Read from the files and not from the plan they were made of: what is compared is what the proxies and Compose
//! will read, whoever wrote it. A file that can't be read is an error, never an empty set of capabilities.

mod grant;
mod widen;

pub use widen::widened;

use crate::config::embedded::EmbeddedFile;
use crate::config::pipelock::{Action, PipelockFile};
use crate::config::routes::{AnyOr, Auth, RoutesFile};
use crate::plan::layout::normal;
use crate::render::{Tree, checksum};
use crate::yaml;
use camino::{Utf8Path, Utf8PathBuf};
use ipnet::IpNet;
use jiff::civil::Date;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A file of a tree that does not say what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct Unreadable {
    /// Relative to the output folder.
    pub file: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// Everything that an agent can reach, do and see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    hosts: BTreeMap<String, Host>,
    mounts: BTreeMap<String, Mount>,
    /// A DLP finding in a request is only logged.
    dlp_warns: bool,
    /// The Docker network that pipelock leaves by, where it is not one of the stack's own.
    network: Option<String>,
    /// SHA-256 of what pipelock trusts besides the public roots.
    extra_ca: Option<String>,
    /// The folder that the agent's image is built from, with an open network.
    build: Option<String>,
}

/// What is allowed on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    ports: BTreeSet<u16>,
    methods: AnyOr,
    paths: AnyOr,
    credential: Option<Auth>,
    encoded_slash: bool,
    inspected: bool,
    addresses: BTreeSet<IpNet>,
    until: Option<Date>,
    /// No egress-proxy refuses it.
    git_push: bool,
}

/// A folder or file of the host machine that the agent sees, by its place in the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    source: String,
    writable: bool,
}

const ROUTES: &str = "egress-proxy/routes.yaml";
const PIPELOCK: &str = "pipelock/pipelock.yaml";
const EMBEDDED: &str = "pipelock/embedded.yaml";
const EXTRA_CA: &str = "pipelock/extra-ca.pem";
const COMPOSE: &str = "docker-compose.yml";

impl Capabilities {
    /// What the files of a tree allow. `out` is where the tree lies, seen from its manifest's folder: places of the
    /// host are then said as a manifest would.
    pub fn of_tree(tree: &Tree, out: &Utf8Path) -> Result<Self, Unreadable> {
        let text = |file: &'static str| {
            let found = tree.get(Utf8Path::new(file));
            found.ok_or_else(|| Unreadable { file, problem: "the file is missing".to_owned() })
        };
        let unreadable = |file: &'static str| {
            move |error: crate::config::ConfigError| Unreadable { file, problem: error.to_string() }
        };
        let pipelock = PipelockFile::read(text(PIPELOCK)?).map_err(unreadable(PIPELOCK))?;
        let embedded = EmbeddedFile::read(text(EMBEDDED)?).map_err(unreadable(EMBEDDED))?;
        let routes = match tree.get(Utf8Path::new(ROUTES)) {
            Some(file) => Some(RoutesFile::read(file).map_err(unreadable(ROUTES))?),
            None => None,
        };
        let mut found = Self {
            hosts: match &routes {
                Some(routes) => chained(routes, &embedded),
                None => direct(&pipelock, &embedded),
            },
            dlp_warns: pipelock.request_body_scanning.action != Action::Block,
            extra_ca: tree.get(Utf8Path::new(EXTRA_CA)).map(|pem| checksum::hex_digest(pem)),
            ..Self::default()
        };
        found.read_compose(text(COMPOSE)?, out)?;
        Ok(found)
    }

    /// The places of the host that the agent sees, and whether it can write there; then what its image is built
    /// from. This much can be said of a tree whose rules are broken.
    pub fn places(tree: &Tree, out: &Utf8Path) -> Result<Vec<(Utf8PathBuf, bool)>, Unreadable> {
        let text = tree.get(Utf8Path::new(COMPOSE));
        let text =
            text.ok_or_else(|| Unreadable { file: COMPOSE, problem: "the file is missing".to_owned() })?;
        let mut found = Self::default();
        found.read_compose(text, out)?;
        let mounts = found.mounts.into_values().map(|mount| (mount.source.into(), mount.writable));
        Ok(mounts.chain(found.build.map(|context| (context.into(), false))).collect())
    }

    fn read_compose(&mut self, text: &[u8], out: &Utf8Path) -> Result<(), Unreadable> {
        let unreadable = |problem: &str| Unreadable { file: COMPOSE, problem: problem.to_owned() };
        let document = yaml::parse(text, yaml::Limits::default())
            .map_err(|problems| unreadable(&problems.first().map(ToString::to_string).unwrap_or_default()))?;
        let compose = &document.value;
        let agent =
            compose.pointer("/services/agent").ok_or_else(|| unreadable("it has no service `agent`"))?;
        for volume in agent["volumes"].as_array().into_iter().flatten() {
            let (source, target) = (literal(&volume["source"]), literal(&volume["target"]));
            let (Some(source), Some(target)) = (source, target) else {
                return Err(unreadable("a volume of the agent has no source or no target"));
            };
            if !source.starts_with("${BOTTLE_STATE") {
                let source = normal(&out.join(source)).into_string();
                let writable = volume["read_only"] != Value::Bool(true);
                self.mounts.insert(target, Mount { source, writable });
            }
        }
        self.build =
            literal(&agent["build"]["context"]).map(|context| normal(&out.join(context)).into_string());
        self.network = literal(&compose["networks"]["egress"]["name"]);
        Ok(())
    }
}

/// A text as Compose understands it: a doubled `$` is one.
fn literal(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.replace("$$", "$"))
}

fn chained(routes: &RoutesFile, embedded: &EmbeddedFile) -> BTreeMap<String, Host> {
    let addresses = |host: &str| addresses(embedded, host);
    let entries = routes.routes.iter().map(|route| {
        let host = Host {
            ports: route.ports.iter().copied().collect(),
            methods: route.methods.clone(),
            paths: route.paths.clone(),
            credential: route.auth.clone(),
            encoded_slash: route.encoded_slash,
            inspected: route.inspect,
            addresses: addresses(&route.host),
            until: route.until,
            git_push: false,
        };
        (route.host.clone(), host)
    });
    entries.collect()
}

fn direct(pipelock: &PipelockFile, embedded: &EmbeddedFile) -> BTreeMap<String, Host> {
    let entries = pipelock.api_allowlist.iter().map(|name| {
        let ports = embedded.hosts.iter().find(|entry| entry.host == *name);
        let host = Host {
            ports: ports.map_or_else(|| BTreeSet::from([443]), |entry| entry.ports.iter().copied().collect()),
            methods: AnyOr::Any,
            paths: AnyOr::Any,
            credential: None,
            encoded_slash: true,
            inspected: !pipelock.tls_interception.passthrough_domains.contains(name),
            addresses: addresses(embedded, name),
            until: None,
            git_push: true,
        };
        (name.clone(), host)
    });
    entries.collect()
}

fn addresses(embedded: &EmbeddedFile, host: &str) -> BTreeSet<IpNet> {
    let entry = embedded.hosts.iter().find(|entry| entry.host == host);
    entry.map(|entry| entry.addresses.iter().copied().collect()).unwrap_or_default()
}
