//! `Manifest` to `Plan`: names, networks, token files, allowlists, all decided. Pure.
//!
//! What a plan holds is what will be: `render` writes it down and decides nothing. Whatever bottle adds to what
//! the manifest says (an environment variable, a read-only mount, a switched-off scanner) is here with its reason,
//! so that `bottle plan` can show it and no behaviour hangs on a name that nobody sees.

mod agent;
mod engine;
mod environment;
pub mod layout;
mod pins;
pub mod placeholder;
pub(crate) mod places;
mod resolve;
mod services;
mod sidecar;

pub use engine::Difference;
pub use environment::{PROXY_VARIABLES, is_ours, is_set_by_bottle};
pub use layout::Layout;
pub use resolve::Surroundings;
pub use services::{NetworkPlan, Reach, ServicePlan};
pub use sidecar::Sidecar;

use crate::diagnostic::Diagnostic;
use crate::manifest::{Build, Dlp, DlpAction, Engine, Published};
use crate::policy::HostRule;
use crate::stack::{BROWSER_POLICIES, CLAUDE_GUIDE, SYSTEM_BUNDLES};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;

/// What is to be said, each with a pointer into the manifest.
type Problems = Vec<(String, Diagnostic)>;

/// A manifest, resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The bottle's name, a DNS label.
    pub name: String,
    /// Where the rendered tree lies.
    pub layout: Layout,
    /// What stands between the agent and the Internet.
    pub topology: Topology,
    /// The allowed hosts: routes in the manifest's order, then the allowlist.
    pub hosts: Vec<HostRule>,
    /// The Docker network that pipelock leaves by; `None`: a bridge of the stack's own.
    pub egress_network: Option<String>,
    /// The program that does pipelock's work.
    pub engine: Engine,
    /// What a DLP finding in a request does.
    pub dlp_action: DlpAction,
    /// Whether pipelock searches for seed phrases.
    pub seed_phrases: SeedPhrases,
    /// What pipelock looks for beside the built-in patterns, and what it lets pass.
    pub dlp: Dlp,
    /// A certificate that pipelock trusts besides the public roots.
    pub extra_ca: Option<ExtraCa>,
    /// Whether a service takes the agent's proposals.
    pub supervise: bool,
    /// The agent's container.
    pub agent: AgentPlan,
    /// The containers beside it, by name.
    pub sidecars: Vec<Sidecar>,
}

/// What stands between the agent and the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// egress-proxy, then pipelock.
    Chain,
    /// pipelock alone: a manifest without routes.
    Direct,
}

/// Whether pipelock searches for seed phrases, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedPhrases {
    /// Whether it does.
    pub enabled: bool,
    /// Why.
    pub why: &'static str,
}

/// A certificate that pipelock trusts besides the public roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraCa {
    /// The file that the manifest names.
    pub file: Utf8PathBuf,
    /// Its content, PEM.
    pub pem: String,
}

/// The agent's container.
#[derive(Clone, Debug)]
pub struct AgentPlan {
    /// What runs.
    pub image: AgentImage,
    /// The command; empty: the image's.
    pub command: Vec<String>,
    /// Who it runs as.
    pub user: User,
    /// The working folder; `None`: the image's.
    pub workdir: Option<String>,
    /// The volume's place that is the agent's home; nothing for the image's own home.
    pub home: Option<Utf8PathBuf>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// The engine's runtime; `None`: its default.
    pub runtime: Option<String>,
    /// What it may use of the machine.
    pub resources: Resources,
    /// What is mounted, in the order of the compose file.
    pub mounts: Vec<MountPlan>,
    /// Ports of it that the host shows on its loopback, sorted by the port of the host.
    pub publish: Vec<Published>,
    /// Every variable that is set, by bottle or by the manifest.
    pub environment: BTreeMap<String, Variable>,
}

/// Who the agent runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// As the manifest says.
    Named(String),
    /// The owner of the first writable mount, which differs from machine to machine and so stands in no committed
    /// file.
    Owner,
    /// As the image says: nothing of the machine can be written to.
    Image,
}

impl User {
    /// In a few words, for people.
    #[must_use]
    pub fn describe(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Owner => "the owner of the first writable mount",
            Self::Image => "the image's",
        }
    }
}

/// What a container may use of the machine, every default decided but that of the memory, which depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Bytes; `None`: three quarters of what the machine has.
    pub memory: Option<u64>,
    /// Thousandths of a processor; `None`: all processors, at half the weight of other work.
    pub millicpus: Option<u32>,
    /// Processes and threads.
    pub pids: u32,
}

impl Resources {
    /// `1.5`, as Compose writes a number of processors.
    #[must_use]
    pub fn cpus(&self) -> Option<String> {
        let number = self.millicpus?;
        let text = format!("{}.{:03}", number / 1000, number % 1000);
        Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
    }
}

/// What runs in the agent's container.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentImage {
    /// An image by name.
    Named(String),
    /// An image that is built; paths as the manifest writes them.
    Built(Build),
}

/// One bind mount of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlan {
    /// On the host, as the manifest writes it.
    pub source: Utf8PathBuf,
    /// In the container.
    pub target: Utf8PathBuf,
    /// Whether the agent can't write there.
    pub read_only: bool,
    /// Why bottle added it; `None`: the manifest says it.
    pub why: Option<&'static str>,
}

/// One environment variable of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its value.
    pub value: String,
    /// Why bottle sets it; `None`: the manifest says it.
    pub why: Option<&'static str>,
    /// Whether the value stands in for a credential: the DLP passes it.
    pub placeholder: bool,
}

impl AgentPlan {
    /// The system's own places where the agent's image has what its programs trust, those that no mount of the
    /// manifest lies at or around: whoever mounts certificates of their own decides about them.
    #[must_use]
    pub fn system_bundles(&self) -> Vec<&'static str> {
        SYSTEM_BUNDLES.into_iter().filter(|place| self.leaves_free(place)).collect()
    }

    /// Where browsers read that they trust the CA too, likewise.
    #[must_use]
    pub fn browser_policies(&self) -> Vec<&'static str> {
        BROWSER_POLICIES.into_iter().filter(|place| self.leaves_free(place)).collect()
    }

    fn leaves_free(&self, place: &str) -> bool {
        let place = Utf8Path::new(place);
        !self.mounts.iter().any(|it| place.starts_with(&it.target) || it.target.starts_with(place))
    }
}

impl Plan {
    /// Where the agent is told about its bottle besides [`GUIDE`](crate::stack::GUIDE). Without routes nobody answers
    /// for what the text names.
    #[must_use]
    pub fn guides(&self) -> Vec<&'static str> {
        let guides = [CLAUDE_GUIDE].into_iter();
        guides.filter(|place| self.topology == Topology::Chain && self.agent.leaves_free(place)).collect()
    }

    /// The `token_ref`s and the hosts that each is sent to, sorted.
    #[must_use]
    pub fn tokens(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut tokens = BTreeMap::<&str, Vec<&str>>::new();
        for rule in &self.hosts {
            if let Some(auth) = &rule.auth {
                tokens.entry(&auth.token_ref).or_default().push(rule.route.host.as_str());
            }
        }
        tokens
    }

    /// Whether a DLP finding in a request is only logged.
    #[must_use]
    pub fn dlp_warns(&self) -> bool {
        self.dlp_action == DlpAction::Warn
    }

    /// The placeholder values that the agent holds, sorted, each once.
    #[must_use]
    pub fn placeholders(&self) -> Vec<&str> {
        let held = self.agent.environment.values().filter(|variable| variable.placeholder);
        let mut values: Vec<&str> = held.map(|variable| variable.value.as_str()).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}
