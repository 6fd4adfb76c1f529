//! The manifest after every check: types that can't hold a bad value.

use super::expectation::Expectation;
use super::published::Published;
use crate::dlp::{CustomPattern, Exception};
use crate::policy::{Host, HostRule};
use camino::Utf8PathBuf;

/// One bottle, as its manifest asks for it. Nothing is resolved yet: paths are those of the manifest, relative
/// to its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// A DNS label; names of containers, networks and volumes derive from it.
    pub name: String,
    /// The container that the agent works in.
    pub agent: Agent,
    /// What the agent needs beside it, by name.
    pub services: Vec<Service>,
    /// Hosts with rules; empty in a bottle without egress-proxy.
    pub egress_proxy: EgressProxy,
    /// Hosts without rules, and the way out.
    pub egress: Egress,
    /// The last proxy before the Internet.
    pub pipelock: Pipelock,
    /// Whether the agent can ask a person for what it was refused.
    pub supervise: bool,
    /// What `render` says about it.
    pub lints: Lints,
    /// The baseline that it must lie within, relative to the manifest's folder.
    pub within: Option<Utf8PathBuf>,
    /// Requests and what must become of them; nothing of the bottle depends on them.
    pub tests: Vec<Expectation>,
}

impl Manifest {
    /// Whether egress-proxy stands between the agent and pipelock.
    #[must_use]
    pub fn has_routes(&self) -> bool {
        !self.egress_proxy.routes.is_empty()
    }

    /// The rules of every host that the agent may reach: routes first, then the allowlist, in the manifest's order.
    pub fn hosts(&self) -> impl Iterator<Item = &HostRule> {
        self.egress_proxy.routes.iter().chain(&self.egress.allowlist)
    }

    /// The rule that decides on a host, or on a wildcard as it is written.
    #[must_use]
    pub fn rule_for(&self, name: &str) -> Option<&HostRule> {
        let host = Host::parse(name).ok();
        let above =
            || self.hosts().find(|rule| host.as_ref().is_some_and(|host| rule.route.host.matches(host)));
        self.hosts().find(|rule| rule.route.host.as_str() == name).or_else(above)
    }
}

/// The container that the agent works in.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// What it runs on.
    pub image: Image,
    /// What it runs; the image's own command when absent.
    pub command: Option<Vec<String>>,
    /// `NAME`, `UID` or `UID:GID`; the image's own user when absent.
    pub user: Option<String>,
    /// An absolute path; the image's own folder when absent.
    pub workdir: Option<String>,
    /// Where its home is ([`DEFAULT_HOME`](crate::stack::DEFAULT_HOME) where nothing is said), which outlives the container; nothing for the image's own, which does not.
    pub home: Option<Utf8PathBuf>,
    /// What it sees of the host.
    pub mounts: Vec<Mount>,
    /// Literal environment variables, in the manifest's order; none that bottle sets itself.
    pub env: Vec<(String, String)>,
    /// Ports of it that the host shows on its loopback, in the manifest's order; each port of the host once.
    pub publish: Vec<Published>,
    /// The image's own files can't be written to.
    pub read_only: bool,
    /// The engine's runtime by its name there; the engine's default when absent.
    pub runtime: Option<String>,
    /// What it may use of the machine.
    pub resources: Resources,
}

/// A container beside the agent, in its network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// A DNS label; no name of the stack's own.
    pub name: String,
    /// An image by its name.
    pub image: String,
    /// What it runs; the image's own command when absent.
    pub command: Option<Vec<String>>,
    /// `NAME`, `UID` or `UID:GID`; the image's own user when absent.
    pub user: Option<String>,
    /// Literal environment variables, in the manifest's order; no proxy's.
    pub env: Vec<(String, String)>,
    /// Folders that stay: absolute and normalised; the names of their volumes differ.
    pub volumes: Vec<Utf8PathBuf>,
    /// What it may use of the machine.
    pub resources: Resources,
}

/// What a container may use of the machine; what is absent has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub millicpus: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// What the agent's container runs on.
#[derive(Clone, Debug, PartialEq)]
pub enum Image {
    /// An image by its name.
    Named(String),
    /// An image built from a Dockerfile.
    Build(Build),
}

/// How an image is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// The folder that is sent to the builder, relative to the manifest's.
    pub context: Utf8PathBuf,
    /// The Dockerfile, relative to the context; `Dockerfile` when absent.
    pub dockerfile: Option<Utf8PathBuf>,
    /// Build arguments, in the manifest's order.
    pub args: Vec<(String, String)>,
    /// The stage to build.
    pub target: Option<String>,
}

/// A folder or file of the host that the agent sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it stands in the manifest: `agent.mounts[0]`.
    pub source_pointer: String,
    /// On the host, relative to the manifest's folder or absolute.
    pub source: Utf8PathBuf,
    /// In the agent, absolute and normalised.
    pub target: Utf8PathBuf,
    /// The agent can't write to it.
    pub read_only: bool,
}

/// The section `egress_proxy`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EgressProxy {
    /// One rule for each host, in the manifest's order.
    pub routes: Vec<HostRule>,
}

/// Hosts without rules, and the way out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Egress {
    /// Hosts with no path rule and no credential, in the manifest's order.
    pub allowlist: Vec<HostRule>,
    /// What pipelock does with a finding in a request; where nothing is said, `Redact` at APIs of models and `Block` elsewhere.
    pub dlp_action: Option<DlpAction>,
    /// An existing Docker network that pipelock leaves by; one of the stack's own when absent.
    pub network: Option<String>,
}

/// What pipelock does with a finding in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DlpAction {
    /// The request is refused.
    #[default]
    Block,
    /// The request passes and the finding is logged.
    Warn,
    /// The request goes on without what was found.
    Redact,
}

impl DlpAction {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Warn => "warn",
            Self::Redact => "redact",
        }
    }
}

/// The last proxy before the Internet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipelock {
    /// Which program it is.
    pub engine: Engine,
    /// A file of certificates that it trusts besides the public roots, relative to the manifest's folder.
    pub extra_ca: Option<Utf8PathBuf>,
    /// Whether it looks for seed phrases of wallets.
    pub seed_phrases: bool,
    /// What else it looks for, and what it lets pass.
    pub dlp: Dlp,
}

/// What pipelock looks for beside the built-in patterns, and what it lets pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dlp {
    /// Patterns of the bottle's own, in the manifest's order.
    pub patterns: Vec<CustomPattern>,
    /// Exceptions for hosts of the manifest, in its order.
    pub exceptions: Vec<Exception>,
}

/// The program that does pipelock's work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// This binary.
    #[default]
    Embedded,
    /// The upstream project's program, in the image of this name.
    Image(String),
}

impl Engine {
    /// The image of the upstream project's program, if it is that.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Embedded => None,
            Self::Image(name) => Some(name),
        }
    }
}

/// What `render` says about the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lints {
    /// Lints that are not said, in the manifest's order.
    pub allow: Vec<AllowedLint>,
}

/// A lint that is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedLint {
    /// Where it stands in the manifest: `lints.allow[0]`.
    pub pointer: String,
    /// The lint's code.
    pub code: String,
    /// Why, in the author's words.
    pub reason: String,
}
