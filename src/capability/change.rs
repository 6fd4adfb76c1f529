//! How two sets of capabilities differ, as data: what is printed, and what a program reads, is made from this alone.

use super::{Account, Engine, Image, Mount, ServicePart};
use crate::dlp::EVERY;
use crate::policy::{Auth, Below, GraphqlRule, Method, PathPattern, PushRules, RpcRule, USUAL_METHODS};
use camino::Utf8PathBuf;
use ipnet::IpNet;
use jiff::civil::Date;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// One way in which a new set of capabilities differs from an old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Only the new side has it.
    Added {
        /// What is there now.
        new: Capability,
    },
    /// Only the old side has it.
    Removed {
        /// What was there.
        old: Capability,
    },
    /// One takes the place of the other.
    Changed {
        /// What was there.
        old: Capability,
        /// What is there now.
        new: Capability,
    },
}

/// One thing that an agent can reach, do or see, or a property of its cage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "capability", rename_all = "snake_case")]
pub enum Capability {
    /// Requests pass.
    Requests(Requests),
    /// A host is sent a credential of this machine.
    Credential {
        /// As the rule names it: a host, or a wildcard.
        host: String,
        /// The credential, and the field that it is put in.
        auth: Auth,
        /// The other hosts that the other side sends the same token to.
        elsewhere: Vec<String>,
    },
    /// A host is sent what credential the agent itself sends.
    OwnCredential {
        /// As the rule names it: a host, or a wildcard.
        host: String,
    },
    /// A field or parameter of the agent's own passes to a host where its class goes off.
    ClientField {
        /// As the rule names it: a host, or a wildcard.
        host: String,
        /// In lower case.
        name: String,
        /// A parameter of the query.
        query: bool,
    },
    /// No egress-proxy refuses a git push to a host.
    GitPush {
        /// As the rule names it: a host, or a wildcard.
        host: String,
    },
    /// Some pushes to a host pass.
    Push {
        /// As the rule names it.
        host: String,
        /// What they may change.
        rules: Box<PushRules>,
    },
    /// Paths with an encoded slash pass.
    EncodedSlash {
        /// As the rule names it: a host, or a wildcard.
        host: String,
    },
    /// pipelock does not look into the tunnels to a host.
    Uninspected {
        /// As the rule names it: a host, or a wildcard.
        host: String,
    },
    /// A request to a host that carries a secret goes on without it.
    SecretsRemoved {
        /// As the rule names it: a host, or a wildcard.
        host: String,
    },
    /// A host may be at private addresses.
    PrivateAddresses {
        /// As the rule names it: a host, or a wildcard.
        host: String,
        /// The addresses.
        range: IpNet,
    },
    /// Connections to a host may go on as WebSocket.
    WebSocket {
        /// As the rule names it: a host, or a wildcard.
        host: String,
    },
    /// What a parameter of the query must say to a host.
    Query {
        /// As the rule names it: a host, or a wildcard.
        host: String,
        /// Of the parameter.
        name: String,
        /// Nothing where it may say anything, or be absent.
        values: Option<Vec<String>>,
    },
    /// What the GraphQL that is sent to a host may ask for.
    Graphql {
        /// As the rule names it: a host, or a wildcard.
        host: String,
        /// Nothing where it may be anything.
        rule: Option<Box<Below<GraphqlRule>>>,
    },
    /// The methods of the JSON-RPC that is sent to a host.
    Rpc {
        /// As the rule names it: a host, or a wildcard.
        host: String,
        /// Nothing where it may be anything.
        rule: Option<Box<Below<RpcRule>>>,
    },
    /// The day after which a host is denied.
    Until {
        /// As the rule names it: a host, or a wildcard.
        host: String,
        /// The last day; nothing for no end.
        date: Option<Date>,
    },
    /// A folder or file of the machine is seen by the agent.
    Mount {
        /// Where the agent sees it.
        target: Utf8PathBuf,
        /// What it is.
        #[serde(flatten)]
        mount: Mount,
    },
    /// A place that another mount shows, which the other side covers by a mount of its own.
    Uncovered {
        /// Where the agent sees it.
        target: Utf8PathBuf,
        /// Where it is on the machine.
        real: Utf8PathBuf,
        /// The agent can write there.
        writable: bool,
    },
    /// What the agent's container runs on.
    Image {
        /// By name, or how it is built.
        image: Image,
    },
    /// Who the agent runs as.
    User {
        /// By name, by owner, or the image's.
        user: Account,
    },
    /// What runs the agent's container.
    Runtime {
        /// The engine's runtime; nothing for its default.
        runtime: Option<String>,
    },
    /// Where that starts: the engine makes the folder if it is missing, as root, also inside a mount.
    Workdir {
        /// A folder of the agent; nothing for the image's own.
        workdir: Option<String>,
    },
    /// What the agent's container runs at first.
    Command {
        /// Words; none for the image's own command.
        command: Vec<String>,
    },
    /// How much memory the agent may use.
    Memory {
        /// Bytes; nothing for the default, three quarters of what the machine has.
        bytes: Option<u64>,
    },
    /// How much of the processors the agent may use.
    Processors {
        /// Thousandths of one; nothing for all of them.
        millicpus: Option<u32>,
    },
    /// How many processes the agent may have.
    Processes {
        /// Processes and threads.
        pids: u32,
    },
    /// The image's own files can be written to.
    WritableRoot,
    /// What the agent keeps in its home is there for the next one.
    Home {
        /// In the agent.
        path: Utf8PathBuf,
    },
    /// A variable that the manifest sets.
    Variable {
        /// As in the environment.
        name: String,
        /// As the manifest writes it.
        value: String,
    },
    /// This machine shows a port of the agent on its loopback.
    Published {
        /// Of this machine.
        port: u16,
        /// In the agent's namespace.
        agent_port: u16,
    },
    /// A DLP finding in a request is only logged.
    FindingsPass,
    /// Seed phrases of wallets are not looked for.
    SeedPhrasesPass,
    /// What a pattern of the manifest finds is not looked for.
    PatternPasses {
        /// What findings call it.
        name: String,
        /// The expression.
        regex: String,
    },
    /// What a pattern finds may be sent to a host.
    SecretPasses {
        /// As a rule names it; `*` for every one.
        host: String,
        /// The pattern's name; `*` for every one that is not of the core.
        pattern: String,
    },
    /// Something runs beside the agent, in its network namespace.
    Service {
        /// Its name.
        service: String,
        /// What about it.
        part: ServicePart,
    },
    /// Which program is pipelock.
    Engine {
        /// This binary, or the upstream project's.
        #[serde(flatten)]
        engine: Engine,
    },
    /// How pipelock gets to the Internet.
    Network {
        /// A Docker network; nothing for one of the stack's own.
        network: Option<String>,
    },
    /// Certificates that pipelock trusts besides the public ones.
    ExtraCa {
        /// Their SHA-256.
        sha256: String,
    },
    /// The agent can ask a person for what it was refused.
    Supervise,
}

/// The requests of a host on one port and below one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// As the rule names it: a host, or a wildcard.
    pub host: String,
    /// Of the authority.
    pub port: u16,
    /// Nothing for the usual methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS.
    pub methods: Option<Vec<Method>>,
    /// Nothing for every path.
    pub path: Option<PathPattern>,
    /// What of the path stays refused.
    pub except: Vec<PathPattern>,
    /// What of the path the other side allows as well.
    pub part: Vec<PathPattern>,
    /// Which of the usual methods the other side allows as well, on all of the path.
    pub part_methods: Vec<Method>,
    /// The name of the token that goes with them.
    pub credential: Option<String>,
    /// What the query must say.
    pub query: Box<BTreeMap<String, Vec<String>>>,
    /// What they must be beside HTTP, in words.
    pub content: Box<Vec<String>>,
    /// The last day.
    pub until: Option<Date>,
}

/// What could go wrong, the worst first. Changes are shown in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A credential goes where it did not.
    Credential,
    /// The machine beyond the project.
    Machine,
    /// A guard of the cage is weaker.
    Guard,
    /// Files of the project change.
    Project,
    /// A host, method or path more.
    Reach,
    /// Other code runs.
    Code,
    /// More of the machine's resources, or one more variable.
    Minor,
}

impl Risk {
    /// Every class, the worst first.
    pub const ALL: [Self; 7] =
        [Self::Credential, Self::Machine, Self::Guard, Self::Project, Self::Reach, Self::Code, Self::Minor];

    /// What it is called in reports: the same word for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Machine => "machine",
            Self::Guard => "guard",
            Self::Project => "project",
            Self::Reach => "reach",
            Self::Code => "code",
            Self::Minor => "minor",
        }
    }

    /// What could go wrong, as a sentence without its full stop.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Credential => "a credential goes where it did not",
            Self::Machine => "the agent reaches the machine beyond the project",
            Self::Guard => "a guard of the cage is weaker",
            Self::Project => "the agent changes files of the project",
            Self::Reach => "the agent reaches a host, method or path more",
            Self::Code => "other code runs as the agent, or beside it",
            Self::Minor => "the agent has more resources or other variables",
        }
    }

    /// Whether a person should look twice.
    #[must_use]
    pub fn is_grave(self) -> bool {
        self <= Self::Guard
    }
}

impl Change {
    /// What was there and what is there now.
    #[must_use]
    pub fn sides(&self) -> (Option<&Capability>, Option<&Capability>) {
        match self {
            Self::Added { new } => (None, Some(new)),
            Self::Removed { old } => (Some(old), None),
            Self::Changed { old, new } => (Some(old), Some(new)),
        }
    }

    /// How bad what the agent can newly do can be; nothing where it can only do less.
    #[must_use]
    pub fn risk(&self) -> Option<Risk> {
        match self {
            Self::Added { new } => Some(new.risk()),
            Self::Removed { .. } => None,
            Self::Changed { old, new } => new.exceeds(old).then(|| new.risk()),
        }
    }
}

impl Capability {
    fn risk(&self) -> Risk {
        match self {
            Self::Credential { .. } => Risk::Credential,
            Self::OwnCredential { .. }
            | Self::ClientField { .. }
            | Self::GitPush { .. }
            | Self::Push { .. }
            | Self::Uninspected { .. }
            | Self::SecretsRemoved { .. }
            | Self::PrivateAddresses { .. }
            | Self::Uncovered { .. }
            | Self::Runtime { .. }
            | Self::Published { .. }
            | Self::FindingsPass
            | Self::SeedPhrasesPass
            | Self::PatternPasses { .. }
            | Self::SecretPasses { .. }
            | Self::Engine { .. }
            | Self::Network { .. }
            | Self::ExtraCa { .. } => Risk::Guard,
            Self::Requests(_)
            | Self::EncodedSlash { .. }
            | Self::WebSocket { .. }
            | Self::Query { .. }
            | Self::Graphql { .. }
            | Self::Rpc { .. }
            | Self::Until { .. } => Risk::Reach,
            Self::Mount { mount, .. } if mount.outside || mount.git => Risk::Machine,
            Self::Mount { mount, .. } if mount.writable => Risk::Project,
            Self::Image { image } if image.is_outside() => Risk::Machine,
            Self::Image { .. } | Self::Command { .. } => Risk::Code,
            Self::Service { part, .. } if part.is_code() => Risk::Code,
            Self::User { user: Account::Named(name) } if is_root(name) => Risk::Machine,
            Self::Mount { .. }
            | Self::User { .. }
            | Self::Memory { .. }
            | Self::Processors { .. }
            | Self::Processes { .. }
            | Self::WritableRoot
            | Self::Home { .. }
            | Self::Workdir { .. }
            | Self::Service { .. }
            | Self::Supervise
            | Self::Variable { .. } => Risk::Minor,
        }
    }

    /// Whether this lets the agent do anything that `old`, in whose place it comes, does not.
    fn exceeds(&self, old: &Self) -> bool {
        match (self, old) {
            (Self::Until { date: new, .. }, Self::Until { date: old, .. }) => match (new, old) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(new), Some(old)) => new > old,
            },
            (Self::Query { values: new, .. }, Self::Query { values: old, .. }) => match (new, old) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(new), Some(old)) => new.iter().any(|value| !old.contains(value)),
            },
            (Self::Push { rules: new, .. }, Self::Push { rules: old, .. }) => new.exceeds(old),
            (Self::Graphql { rule: new, .. }, Self::Graphql { rule: old, .. }) => old
                .as_ref()
                .is_some_and(|old| new.as_ref().is_none_or(|new| new.exceeds(old, GraphqlRule::is_within))),
            (Self::Rpc { rule: new, .. }, Self::Rpc { rule: old, .. }) => old
                .as_ref()
                .is_some_and(|old| new.as_ref().is_none_or(|new| new.exceeds(old, RpcRule::is_within))),
            // A limit where the default was is meant as one.
            (Self::Memory { bytes: new }, Self::Memory { bytes: old }) => {
                old.is_some() && new.is_none_or(|new| Some(new) > *old)
            }
            (Self::Processors { millicpus: new }, Self::Processors { millicpus: old }) => {
                new.unwrap_or(u32::MAX) > old.unwrap_or(u32::MAX)
            }
            (Self::Processes { pids: new }, Self::Processes { pids: old }) => new > old,
            // Any other user could be one that can write nothing, and read less. The image's own command came with the
            // image.
            (Self::User { user: Account::Owner { .. } }, Self::User { user: Account::Named(old) }) => {
                !is_root(old)
            }
            (Self::Command { command }, _) => !command.is_empty(),
            (Self::Workdir { workdir }, _) => workdir.is_some(),
            (Self::Home { .. }, Self::Home { .. }) => false,
            (Self::Service { part, .. }, Self::Service { part: old, .. }) => part.exceeds(old),
            (Self::Engine { engine: new }, Self::Engine { engine: old }) => {
                new.image != old.image || new.every_port && !old.every_port
            }
            (Self::Mount { .. } | Self::Uncovered { .. }, _) => {
                let ((new, writes), (old, wrote)) = (self.seen(), old.seen());
                new != old || writes && !wrote
            }
            _ => true,
        }
    }

    /// The host that it is about.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Requests(Requests { host, .. })
            | Self::Credential { host, .. }
            | Self::OwnCredential { host }
            | Self::ClientField { host, .. }
            | Self::GitPush { host }
            | Self::Push { host, .. }
            | Self::EncodedSlash { host }
            | Self::WebSocket { host }
            | Self::Uninspected { host }
            | Self::SecretsRemoved { host }
            | Self::PrivateAddresses { host, .. }
            | Self::Query { host, .. }
            | Self::Graphql { host, .. }
            | Self::Rpc { host, .. }
            | Self::Until { host, .. } => Some(host),
            Self::SecretPasses { host, .. } => (host != EVERY).then_some(host),
            _ => None,
        }
    }

    /// The place of the machine that a mount shows, and whether the agent can write there.
    fn seen(&self) -> (Option<&Utf8PathBuf>, bool) {
        match self {
            Self::Mount { mount, .. } => (Some(&mount.real), mount.writable),
            Self::Uncovered { real, writable, .. } => (Some(real), *writable),
            _ => (None, false),
        }
    }

    /// What follows "so far" or "now" where another of its kind is in its place.
    fn value(&self) -> String {
        let access = |writable: &bool| if *writable { "writable" } else { "read-only" };
        let or = |name: &Option<String>, default: &str| name.clone().unwrap_or_else(|| default.to_owned());
        match self {
            Self::Credential { auth, .. } => auth.token_ref.clone(),
            Self::OwnCredential { .. } => "what the agent sends".to_owned(),
            Self::Query { name, values: None, .. } => format!("takes any `{name}` in the query"),
            Self::Query { name, values: Some(values), .. } => {
                format!("asks for {name}={} in the query", values.join(" or "))
            }
            Self::Push { rules, .. } => rules.to_string(),
            Self::Graphql { rule, .. } => rule.as_ref().map_or_else(
                || "takes any GraphQL".to_owned(),
                |it| format!("takes GraphQL only{}: {}", it.place(), it.rule),
            ),
            Self::Rpc { rule, .. } => rule.as_ref().map_or_else(
                || "takes any JSON-RPC".to_owned(),
                |it| format!("takes JSON-RPC only{}: {}", it.place(), it.rule),
            ),
            Self::Until { date, .. } => {
                date.map_or_else(|| "without end".to_owned(), |date| format!("until {date}"))
            }
            Self::Mount { mount, .. } => format!("`{}`, {}", mount.source, access(&mount.writable)),
            Self::Uncovered { real, writable, .. } => format!("{real}, {}", access(writable)),
            Self::Image { image: Image::Named(name) } => format!("in the image {name}"),
            Self::Image { image: built @ Image::Built { .. } } => format!("in one built from {built}"),
            Self::User { user: Account::Named(name) } => format!("as user {name}"),
            Self::User { user: Account::Owner { of } } => format!("as the owner of {of}"),
            Self::Workdir { workdir } => or(workdir, "the image's own folder"),
            Self::User { user: Account::Image } => "as the image's user".to_owned(),
            Self::Runtime { runtime } => format!("by {}", or(runtime, "the engine's default")),
            Self::Command { command } if command.is_empty() => "the image's own".to_owned(),
            Self::Command { command } => format!("`{}`", command.join(" ")),
            Self::Memory { bytes: Some(bytes) } => format!("{} MiB", bytes >> 20),
            Self::Memory { bytes: None } => "three quarters of the machine's memory".to_owned(),
            Self::Processors { millicpus: None } => "all".to_owned(),
            Self::Processors { millicpus: Some(n) } => format!("{}.{:03}", n / 1000, n % 1000),
            Self::Processes { pids } => pids.to_string(),
            Self::Network { network: Some(name) } => format!("by the Docker network {name}"),
            Self::Network { network: None } => "by a bridge of its own".to_owned(),
            Self::Engine { engine } => engine.value(),
            Self::Home { path } => path.to_string(),
            Self::Service { part, .. } => part.value(),
            Self::Variable { name, value } => format!("{name}={value}"),
            Self::Published { agent_port, .. } => format!("port {agent_port} of the agent"),
            Self::ExtraCa { sha256 } => format!("sha256 {}", sha256.get(..16).unwrap_or(sha256)),
            // These come and go: none of them takes the place of another.
            Self::Requests(_)
            | Self::ClientField { .. }
            | Self::GitPush { .. }
            | Self::EncodedSlash { .. }
            | Self::WebSocket { .. }
            | Self::Uninspected { .. }
            | Self::SecretsRemoved { .. }
            | Self::PrivateAddresses { .. }
            | Self::WritableRoot
            | Self::FindingsPass
            | Self::SeedPhrasesPass
            | Self::PatternPasses { .. }
            | Self::SecretPasses { .. }
            | Self::Supervise => String::new(),
        }
    }
}

/// A line for a person.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { new: new @ Capability::Credential { elsewhere, .. } } => match elsewhere.as_slice()
            {
                [] => write!(f, "{new} (new to this bottle)"),
                hosts => write!(f, "{new} (before: sent to {})", hosts.join(", ")),
            },
            Self::Added { new: Capability::Requests(this) } => write!(f, "{this}{}", this.part("before")),
            Self::Removed { old: Capability::Requests(this) } => write!(f, "{this}{}", this.part("now")),
            Self::Added { new: this } | Self::Removed { old: this } => this.fmt(f),
            Self::Changed { old: Capability::Image { image: old }, new: Capability::Image { image } }
                if old.clone().without_digest() == image.clone().without_digest() =>
            {
                write!(f, "the agent's image is built from other files in {image}, with an open network")
            }
            Self::Changed { old, new: new @ Capability::Credential { elsewhere, auth, .. } }
                if !elsewhere.is_empty() =>
            {
                let (before, hosts) = (old.value(), elsewhere.join(", "));
                write!(f, "{new} (before: {before}; {} was sent to {hosts})", auth.token_ref)
            }
            Self::Changed { old, new } if self.risk().is_some() => {
                write!(f, "{new} (before: {})", old.value())
            }
            Self::Changed { old, new } => write!(f, "{old} (now: {})", new.value()),
        }
    }
}

fn secrets_removed(host: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "a request to {host} that carries a secret goes on without it (dlp_action: redact)")
}

/// What it is, without what was there before.
impl fmt::Display for Capability {
    #[expect(clippy::too_many_lines, reason = "a sentence for each")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = |writable: &bool| if *writable { "reads and writes" } else { "reads" };
        let value = self.value();
        match self {
            Self::Requests(requests) => requests.fmt(f),
            Self::Credential { host, auth, .. } => {
                write!(f, "{host} is sent {} in `{}: {}…`", auth.token_ref, auth.header, auth.prefix)?;
                auth.username.iter().try_for_each(|name| write!(f, " for user {name}"))
            }
            Self::OwnCredential { host } => write!(f, "{host} is sent what credential the agent sends"),
            Self::ClientField { host, name, query } => {
                let what = if *query { "query parameter" } else { "field" };
                write!(f, "{host} is sent the agent's own {what} {name}")
            }
            Self::GitPush { host } => write!(f, "git push to {host}: no egress-proxy refuses it"),
            Self::WebSocket { host } => write!(f, "connections to {host} go on as WebSocket"),
            Self::Push { host, .. } => write!(f, "git push to {host}: {value}"),
            Self::EncodedSlash { host } => {
                write!(f, "paths of {host} with an encoded slash (%2F) inside a segment")
            }
            Self::Uninspected { host } => {
                write!(f, "{host} passes pipelock without inspection: no scan for secrets")
            }
            Self::SecretsRemoved { host } => secrets_removed(host, f),
            Self::PrivateAddresses { host, range } => {
                write!(f, "{host} may be at private addresses in {range}")
            }
            Self::Query { host, .. }
            | Self::Graphql { host, .. }
            | Self::Rpc { host, .. }
            | Self::Until { host, .. } => write!(f, "{host} {value}"),
            Self::Mount { target, mount } => {
                let Mount { source, real, writable, outside, git } = mount;
                match outside {
                    true => write!(
                        f,
                        "the agent {} {real} of this machine, outside of the project",
                        access(writable)
                    )?,
                    false => write!(f, "the agent {} `{source}`", access(writable))?,
                }
                write!(f, ", as {target}")?;
                f.write_str(if *git {
                    ", with its .git: hooks and settings that your own git runs"
                } else {
                    ""
                })
            }
            Self::Uncovered { target, real, writable } => {
                write!(f, "the agent {} {real}, at {target}", access(writable))
            }
            Self::Image { image: Image::Named(name) } => {
                write!(f, "the agent runs in the image {name}, pulled where it is missing")
            }
            Self::Image { image: built @ Image::Built { .. } } => {
                let outside = if built.is_outside() { ", outside of the project" } else { "" };
                write!(f, "the agent's image is built from {built}, with an open network{outside}")
            }
            Self::User { user: Account::Named(name) } if is_root(name) => {
                f.write_str("the agent runs as root: it writes as root wherever it can write")
            }
            Self::User { user: Account::Image } => {
                f.write_str("the agent runs as the image's user, which may be root")
            }
            Self::User { .. } => write!(f, "the agent runs {value}"),
            Self::Runtime { .. } => write!(f, "the agent's container is run {value}"),
            Self::Command { .. } => write!(f, "the agent's command is {value}"),
            Self::Workdir { .. } => write!(f, "the agent starts in {value}"),
            Self::Memory { bytes: None } => write!(f, "the agent uses up to {value}"),
            Self::Memory { .. } => write!(f, "the agent uses up to {value} of memory"),
            Self::Processors { .. } => write!(f, "the agent uses up to {value} processors"),
            Self::Processes { .. } => write!(f, "the agent has up to {value} processes"),
            Self::Home { path } => {
                write!(f, "what the agent keeps in its home {path} is there for the next one")
            }
            Self::WritableRoot => f.write_str("the image's own files can be written to (agent.read_only)"),
            Self::Variable { .. } => write!(f, "the agent's environment has {value}"),
            Self::Published { port, .. } => write!(
                f,
                "{value} is shown on this machine at 127.0.0.1:{port}: a page from there can send anything anywhere \
                 from your browser"
            ),
            Self::FindingsPass => {
                f.write_str("a request that carries a secret passes and is only logged (dlp_action: warn)")
            }
            Self::SeedPhrasesPass => {
                f.write_str("a request that carries a wallet's seed phrase passes (seed_phrases)")
            }
            Self::PatternPasses { name, regex } => {
                write!(f, "requests may carry what the pattern {name} finds, `{regex}` (pipelock.patterns)")
            }
            Self::SecretPasses { host, pattern } => {
                let host = if host == EVERY { "any host" } else { host };
                write!(f, "requests to {host} may carry ")?;
                match pattern.as_str() {
                    EVERY => f.write_str("every secret that no core pattern finds (pipelock.except)"),
                    pattern => write!(f, "what the pattern {pattern} finds (pipelock.except)"),
                }
            }
            Self::Service { service, part } => part.describe(service, f),
            Self::Supervise => {
                f.write_str("the agent can propose rules to you, and reads your answers (supervise)")
            }
            Self::Engine { engine } => engine.describe(f),
            Self::Network { .. } => write!(f, "pipelock leaves {value}"),
            Self::ExtraCa { .. } => {
                write!(f, "certificates signed by pipelock.extra_ca are trusted ({value})")
            }
        }
    }
}

impl fmt::Display for Requests {
    /// `GET, HEAD https://api.example/repos/**, but not /repos/secret/** with API_TOKEN until 2027-01-31`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            methods,
            path,
            except,
            part: _,
            part_methods: _,
            credential,
            query,
            content,
            until,
        } = self;
        let names = |list: &Vec<Method>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let methods = methods.as_ref().map_or_else(|| USUAL_METHODS.to_owned(), names);
        match port {
            443 => write!(f, "{methods} https://{host}")?,
            80 => write!(f, "{methods} http://{host}")?,
            port => write!(f, "{methods} https://{host}:{port}")?,
        }
        let path = path.as_ref().map(PathPattern::as_str).unwrap_or_default();
        write!(f, "{}/**", path.trim_end_matches('/'))?;
        if !except.is_empty() {
            write!(f, ", but not {}", listed(except))?;
        }
        if let Some(base) = host.strip_prefix("*.") {
            write!(f, " on every host one label below {base}")?;
        }
        query
            .iter()
            .try_for_each(|(name, values)| write!(f, " where `{name}` is {}", values.join(" or ")))?;
        content.iter().try_for_each(|words| write!(f, " ({words})"))?;
        credential.iter().try_for_each(|name| write!(f, " with {name}"))?;
        until.iter().try_for_each(|date| write!(f, " until {date}"))
    }
}

impl Requests {
    /// ` (before: only /a/**)`, ` (now: only GET)`: what the other side allows of it.
    fn part(&self, when: &str) -> String {
        let methods = || self.part_methods.iter().map(Method::to_string).collect::<Vec<_>>().join(", ");
        match (self.part.is_empty(), self.part_methods.is_empty()) {
            (false, _) => format!(" ({when}: only {})", listed(&self.part)),
            (true, false) => format!(" ({when}: only {})", methods()),
            (true, true) => String::new(),
        }
    }
}

/// Paths that are shown. To leave some of the refused ones out says too much of what is allowed, never too little.
const SHOWN: usize = 5;

/// `/a/**, /b/** and 2 more`.
fn listed(paths: &[PathPattern]) -> String {
    let shown: Vec<String> = paths.iter().take(SHOWN).map(|path| format!("{path}/**")).collect();
    let more = paths.len().saturating_sub(SHOWN);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// `root`, `0`, `0:1000`, `00`.
fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or(user);
    name == "root" || name.parse::<u64>().is_ok_and(|uid| uid == 0)
}

impl Engine {
    fn value(&self) -> String {
        match &self.image {
            None => "bottle's own program".to_owned(),
            Some(name) if self.every_port => format!("the program in {name}, on every port"),
            Some(name) => format!("the program in {name}"),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = &self.image else { return write!(f, "pipelock is {}", self.value()) };
        write!(f, "pipelock is the program in the image {name}, which sees in plain text what leaves")?;
        f.write_str(if self.every_port {
            ", and reaches every port of an allowed host, as no egress-proxy is before it"
        } else {
            ", credentials included"
        })
    }
}

impl Image {
    fn is_outside(&self) -> bool {
        matches!(self, Self::Built { context, .. } if context.starts_with("..") || context.is_absolute())
    }

    fn without_digest(mut self) -> Self {
        if let Self::Built { digest, .. } = &mut self {
            *digest = None;
        }
        self
    }
}

/// Its name, or what it is built from.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Built { context, digest: _, dockerfile, target, args } => {
                write!(f, "`{context}`")?;
                dockerfile.iter().try_for_each(|file| write!(f, " by {file}"))?;
                target.iter().try_for_each(|name| write!(f, ", target {name}"))?;
                args.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))
            }
        }
    }
}
