//! What a plan lets an agent do on this machine, as typed sets that can be compared.
//!
//! Complete by construction: [`Capabilities`] is made by taking a whole [`Plan`] apart, and compared by taking a whole
//! `Capabilities` apart, so a part that nobody thought of does not compile. What no plan can say is no capability: a
//! rendered tree that says it is refused ([`crate::render::exactly`]).

mod baseline;
mod change;
mod compare;
mod host;
mod secrets;
mod service;

pub use baseline::excess;
pub use change::{Capability, Change, Requests, Risk};
pub use compare::{changes, introduced};
pub use host::HostCapability;
pub use service::ServicePart;

use crate::manifest::{Build, DlpAction, Published};
use crate::plan::{
    AgentImage, AgentPlan, MountPlan, Plan, Resources, SeedPhrases, Topology, User, Variable,
    is_set_by_bottle,
};
use crate::policy::HostRule;
use crate::render::checksum;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a plan does not know: the machine that it is run on.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The manifest's folder: absolute, without links.
    pub project: Utf8PathBuf,
    /// Where each mount's source really is, by the mount's target.
    pub sources: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
    /// The mounts, by target, whose source has something of a git repository.
    pub repositories: BTreeMap<Utf8PathBuf, GitPart>,
    /// The digest of the build context; nothing where there is none.
    pub context: Option<String>,
    /// Bytes of memory for an agent whose manifest sets no limit; nothing where no machine is meant.
    pub memory: Option<u64>,
}

/// What of a git repository a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitPart {
    /// The work tree, so that a read-only `.git` in it closes the repository.
    WorkTree,
    /// Hooks or settings that no read-only `.git` closes: a `.git` or a bare repository itself, a part of one, or a work
    /// tree with hooks of its own.
    Settings,
}

/// Everything that an agent can reach, do and see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
pub struct Capabilities {
    hosts: BTreeMap<String, HostCapability>,
    mounts: BTreeMap<Utf8PathBuf, Mount>,
    image: Image,
    user: Account,
    /// The engine's runtime; nothing for its default.
    runtime: Option<String>,
    /// Where the command starts, and what is made there if it is missing; nothing for the image's own folder.
    workdir: Option<String>,
    /// Empty for the image's own.
    command: Vec<String>,
    limits: Limits,
    root_writable: bool,
    /// Where the agent's home is, which outlives its container; nothing for the image's own.
    home: Option<Utf8PathBuf>,
    /// The variables that the manifest sets.
    environment: BTreeMap<String, String>,
    /// The agent's ports that the machine shows on its loopback, by the port there.
    #[serde(default)]
    published: BTreeMap<u16, u16>,
    /// A DLP finding in a request is only logged.
    dlp_warns: bool,
    seed_phrases: bool,
    /// What else is searched for in requests, and what passes.
    #[serde(default)]
    secrets: secrets::Secrets,
    /// What runs beside the agent, by name.
    #[serde(default)]
    services: BTreeMap<String, service::Service>,
    /// The program that does pipelock's work.
    #[serde(default)]
    engine: Engine,
    /// The Docker network that pipelock leaves by, where it is not one of the stack's own.
    network: Option<String>,
    /// SHA-256 of what pipelock trusts besides the public roots.
    extra_ca: Option<String>,
    /// The agent can ask a person for more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    supervise: bool,
}

/// A folder or file of the machine that the agent sees, by its place in the agent.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// As the manifest says it.
    pub source: Utf8PathBuf,
    /// Where that really is.
    pub real: Utf8PathBuf,
    /// The agent can change it.
    pub writable: bool,
    /// It is not below the manifest's folder.
    pub outside: bool,
    /// The agent can change the repository's `.git`: its hooks and settings run wherever somebody uses git there. It is
    /// said where the mount is asked about, and is not agreed to: a repository that appears later lets the agent do
    /// nothing new, and the agent may have made it.
    #[serde(skip)]
    pub git: bool,
}

/// What is agreed to.
impl PartialEq for Mount {
    fn eq(&self, other: &Self) -> bool {
        let Self { source, real, writable, outside, git: _ } = self;
        (source, real, writable, outside) == (&other.source, &other.real, &other.writable, &other.outside)
    }
}

/// What the agent's container runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Image {
    /// By its name.
    Named(String),
    /// From files of this machine.
    Built {
        /// The folder with the files, as the manifest says it.
        context: Utf8PathBuf,
        /// Of every file that is sent to the builder; nothing where the context is not on this machine.
        digest: Option<String>,
        /// The Dockerfile, relative to the context, where it is not `Dockerfile`.
        dockerfile: Option<Utf8PathBuf>,
        /// The stage that is built; nothing for the last one.
        target: Option<String>,
        /// Build arguments: name and value.
        args: Vec<(String, String)>,
    },
}

/// Who the agent runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// By name or number.
    Named(String),
    /// The owner of the first folder that it can write.
    Owner {
        /// Where the agent sees that folder.
        of: Utf8PathBuf,
    },
    /// The image's own user.
    Image,
}

/// The program that does pipelock's work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// The image of the upstream project's program; nothing for this binary.
    pub image: Option<String>,
    /// It opens tunnels to every port of an allowed host, and no egress-proxy stands before it.
    pub every_port: bool,
}

/// What the agent may use of the machine; no number of processors for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// In bytes; nothing for the default of a machine that is not known.
    memory: Option<u64>,
    millicpus: Option<u32>,
    pids: u32,
}

impl Capabilities {
    /// What a plan lets an agent do on a machine.
    #[must_use]
    pub fn from_plan(plan: &Plan, machine: &Machine) -> Self {
        let Plan {
            name: _,   // it names containers, and nothing is decided by it
            layout: _, // the mounts say where everything is
            topology,
            hosts,
            egress_network,
            engine,
            dlp_action,
            seed_phrases: SeedPhrases { enabled: seed_phrases, why: _ },
            dlp,
            extra_ca,
            supervise,
            agent,
            sidecars,
        } = plan;
        let AgentPlan {
            image,
            command,
            user,
            workdir,
            home,
            read_only,
            runtime,
            resources: Resources { memory, millicpus, pids },
            mounts,
            publish,
            environment,
        } = agent;
        let git_push = *topology == Topology::Direct;
        let shared = plan.shared_addresses();
        let host = |rule: &HostRule| {
            let mut rule = rule.clone();
            if !shared.is_empty() {
                rule.addresses.clone_from(&shared);
            }
            (rule.route.host.to_string(), HostCapability { rule, git_push })
        };
        Self {
            hosts: hosts.iter().map(host).collect(),
            mounts: self::mounts(mounts, machine),
            image: self::image(image, machine),
            user: match user {
                User::Named(name) => Account::Named(name.clone()),
                User::Owner => Account::Owner { of: first_writable(mounts) },
                User::Image => Account::Image,
            },
            runtime: runtime.clone(),
            workdir: workdir.clone(),
            command: command.clone(),
            limits: Limits { memory: memory.or(machine.memory), millicpus: *millicpus, pids: *pids },
            root_writable: !read_only,
            home: home.clone(),
            environment: self::environment(environment),
            published: publish.iter().map(|it: &Published| (it.host(), it.agent())).collect(),
            dlp_warns: *dlp_action == DlpAction::Warn,
            seed_phrases: *seed_phrases,
            secrets: dlp.into(),
            services: sidecars.iter().map(|it| (it.name.clone(), it.into())).collect(),
            engine: Engine {
                image: engine.image().map(str::to_owned),
                every_port: plan.reaches_every_port(),
            },
            network: egress_network.clone(),
            extra_ca: extra_ca.as_ref().map(|ca| checksum::hex_digest(ca.pem.as_bytes())),
            supervise: *supervise,
        }
    }

    /// The real places of the machine that the agent can write to.
    pub fn writable(&self) -> impl Iterator<Item = &Utf8Path> {
        self.writable_mounts().map(|(_, real)| real)
    }

    /// The same, by the mount's target.
    pub fn writable_mounts(&self) -> impl Iterator<Item = (&Utf8Path, &Utf8Path)> {
        let writable = self.mounts.iter().filter(|(_, mount)| mount.writable);
        writable.map(|(target, mount)| (target.as_path(), mount.real.as_path()))
    }

    /// The real place that the agent sees at a path of its own, and whether it can write there.
    #[must_use]
    pub fn seen_at(&self, target: &Utf8Path) -> Option<(Utf8PathBuf, bool)> {
        compare::seen(target, &self.mounts)
    }

    /// The targets of mounts whose `.git` the agent can change.
    pub fn writable_git(&self) -> impl Iterator<Item = &Utf8Path> {
        self.mounts.iter().filter(|(_, mount)| mount.git).map(|(target, _)| target.as_path())
    }

    /// Where a mount's target is in another mount: whoever could put a link there, or in place of a folder on the way, would
    /// decide where in the container that is mounted. Pins lie on themselves, and need none. By target.
    pub fn mount_points(&self) -> impl Iterator<Item = MountPoint<'_>> {
        let is_pin = |target: &Utf8Path| {
            let real = self.mounts.get(target).map(|mount| &mount.real);
            compare::under(target, &self.mounts, |_| true).map(|(place, _)| place).as_ref() == real
        };
        self.mounts.iter().filter(move |(target, _)| !is_pin(target)).filter_map(move |(target, mount)| {
            let (place, around) = compare::under(target, &self.mounts, |other| !is_pin(other))?;
            Some(MountPoint { target, place, around: &self.mounts.get(around)?.real, source: &mount.real })
        })
    }

    /// All that must stay what it is between a look at it and a start: the sources, and what their mounts lie on. Sorted.
    #[must_use]
    pub fn places(&self) -> BTreeSet<Utf8PathBuf> {
        let sources = self.sources().map(|(_, source)| source.to_owned());
        sources.chain(self.mount_points().map(|point| point.place)).collect()
    }

    /// The real place of each mount's source, by the mount's target.
    pub fn sources(&self) -> impl Iterator<Item = (&Utf8Path, &Utf8Path)> {
        self.mounts.iter().map(|(target, mount)| (target.as_path(), mount.real.as_path()))
    }
}

/// Where a mount's target is in another mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint<'a> {
    /// The target, in the container.
    pub target: &'a Utf8Path,
    /// The real place of this machine that is mounted over there.
    pub place: Utf8PathBuf,
    /// The real source of the mount that the place is in.
    pub around: &'a Utf8Path,
    /// The real source of what is mounted there.
    pub source: &'a Utf8Path,
}

/// Where the agent sees the folder whose owner it is, as `render` decides it.
fn first_writable(mounts: &[MountPlan]) -> Utf8PathBuf {
    let first = mounts.iter().find(|mount| !mount.read_only && mount.why.is_none());
    first.map(|mount| mount.target.clone()).unwrap_or_default()
}

fn mounts(mounts: &[MountPlan], machine: &Machine) -> BTreeMap<Utf8PathBuf, Mount> {
    let protected = |folder: &Utf8Path| mounts.iter().any(|mount| mount.target == folder && mount.read_only);
    let mount = |mount: &MountPlan| {
        let MountPlan { source, target, read_only, why: _ } = mount;
        let known = machine.sources.get(target).cloned();
        let real = known.unwrap_or_else(|| crate::plan::layout::normal(&machine.project.join(source)));
        let outside = !real.starts_with(&machine.project);
        let git = !read_only
            && match machine.repositories.get(target) {
                Some(GitPart::Settings) => true,
                Some(GitPart::WorkTree) => !protected(&target.join(".git")),
                None => false,
            };
        (target.clone(), Mount { source: source.clone(), real, writable: !read_only, outside, git })
    };
    mounts.iter().map(mount).collect()
}

fn image(image: &AgentImage, machine: &Machine) -> Image {
    match image {
        AgentImage::Named(name) => Image::Named(name.clone()),
        AgentImage::Built(Build { context, dockerfile, args, target }) => Image::Built {
            context: context.clone(),
            digest: machine.context.clone(),
            dockerfile: dockerfile.clone(),
            target: target.clone(),
            args: args.clone(),
        },
    }
}

fn environment(variables: &BTreeMap<String, Variable>) -> BTreeMap<String, String> {
    let own = variables.iter().filter(|(name, variable)| !is_set_by_bottle(name, &variable.value));
    own.map(|(name, variable)| (name.clone(), variable.value.clone())).collect()
}
