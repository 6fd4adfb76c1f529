//! What runs beside the agent, in its network namespace: a database, for example.

use super::Limits;
use crate::plan::{Resources, Sidecar};
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A container beside the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) image: String,
    /// Empty for the image's own.
    command: Vec<String>,
    /// Nothing for the image's own, with capabilities.
    user: Option<String>,
    environment: BTreeMap<String, String>,
    volumes: BTreeSet<Utf8PathBuf>,
    limits: Limits,
}

/// One thing about a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServicePart {
    /// It runs, in this image.
    Image(String),
    /// What it runs; empty for the image's own command.
    Command(Vec<String>),
    /// Who runs it; nothing for the image's own user, with capabilities.
    User(Option<String>),
    /// A variable of its environment: name and value.
    Variable(String, String),
    /// A folder that outlives it.
    Volume(Utf8PathBuf),
    /// Bytes of memory.
    Memory(u64),
    /// Thousandths of a processor; nothing for all of them.
    Processors(Option<u32>),
    /// Processes and threads.
    Processes(u32),
}

impl From<&Sidecar> for Service {
    fn from(sidecar: &Sidecar) -> Self {
        let Sidecar { name: _, image, command, user, environment, volumes, resources } = sidecar;
        let Resources { memory, millicpus, pids } = resources;
        Self {
            image: image.clone(),
            command: command.clone(),
            user: user.clone(),
            environment: environment.clone(),
            volumes: volumes.iter().cloned().collect(),
            limits: Limits { memory: *memory, millicpus: *millicpus, pids: *pids },
        }
    }
}

/// A service, what one side has, and what the other has in its place.
type Difference = (String, Option<ServicePart>, Option<ServicePart>);

/// In what two sets of services differ. A service that only one side has is said with all that it has.
pub(super) fn differences(
    old: &BTreeMap<String, Service>,
    new: &BTreeMap<String, Service>,
) -> Vec<Difference> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let of = |name: &String| {
        let parts =
            |services: &BTreeMap<String, Service>| services.get(name).map(Service::parts).unwrap_or_default();
        let (old, new) = (parts(old), parts(new));
        let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
        let differing = keys.into_iter().map(|key| (old.get(key).cloned(), new.get(key).cloned()));
        let differing = differing.filter(|(old, new)| old != new);
        differing.map(|(old, new)| (name.clone(), old, new)).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(of).collect()
}

/// What takes the place of what: a kind of part, and which one of it.
type Key = (u8, String);

impl Service {
    fn parts(&self) -> BTreeMap<Key, ServicePart> {
        let Self { image, command, user, environment, volumes, limits } = self;
        let Limits { memory, millicpus, pids } = limits;
        let alone = [
            ServicePart::Image(image.clone()),
            ServicePart::Command(command.clone()),
            ServicePart::User(user.clone()),
            ServicePart::Memory(memory.unwrap_or_default()),
            ServicePart::Processors(*millicpus),
            ServicePart::Processes(*pids),
        ];
        let variables = environment.iter().map(|(name, it)| ServicePart::Variable(name.clone(), it.clone()));
        let volumes = volumes.iter().cloned().map(ServicePart::Volume);
        alone.into_iter().chain(variables).chain(volumes).map(|part| (part.key(), part)).collect()
    }
}

impl ServicePart {
    fn key(&self) -> Key {
        match self {
            Self::Image(_) => (0, String::new()),
            Self::Command(_) => (1, String::new()),
            Self::User(_) => (2, String::new()),
            Self::Variable(name, _) => (3, name.clone()),
            Self::Volume(place) => (4, place.to_string()),
            Self::Memory(_) => (5, String::new()),
            Self::Processors(_) => (6, String::new()),
            Self::Processes(_) => (7, String::new()),
        }
    }

    /// Whether other code may run by it.
    pub(super) fn is_code(&self) -> bool {
        matches!(self, Self::Image(_) | Self::Command(_) | Self::User(_))
    }

    /// Whether it lets a service do what `old`, in whose place it comes, does not.
    pub(super) fn exceeds(&self, old: &Self) -> bool {
        match (self, old) {
            (Self::Memory(new), Self::Memory(old)) => new > old,
            (Self::Processors(new), Self::Processors(old)) => {
                new.unwrap_or(u32::MAX) > old.unwrap_or(u32::MAX)
            }
            (Self::Processes(new), Self::Processes(old)) => new > old,
            _ => true,
        }
    }

    /// What follows "so far" or "now" where another of its kind is in its place.
    pub(super) fn value(&self) -> String {
        match self {
            Self::Image(name) => format!("in the image {name}"),
            Self::Command(words) if words.is_empty() => "the image's own".to_owned(),
            Self::Command(words) => format!("`{}`", words.join(" ")),
            Self::User(None) => "as the image's user, which may be root".to_owned(),
            Self::User(Some(name)) => format!("as user {name}"),
            Self::Variable(name, value) => format!("{name}={value}"),
            Self::Volume(place) => place.to_string(),
            Self::Memory(bytes) => format!("{} MiB", bytes >> 20),
            Self::Processors(None) => "all".to_owned(),
            Self::Processors(Some(n)) => format!("{}.{:03}", n / 1000, n % 1000),
            Self::Processes(pids) => pids.to_string(),
        }
    }

    /// A line for a person.
    pub(super) fn describe(&self, service: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value();
        match self {
            Self::Image(name) => {
                write!(
                    f,
                    "the service {service} runs beside the agent in the image {name}, pulled where it is missing"
                )
            }
            Self::Command(_) => write!(f, "the command of the service {service} is {value}"),
            Self::User(None) => {
                let capabilities = Sidecar::CAPABILITIES.join(", ");
                write!(f, "the service {service} runs {value}, with the capabilities {capabilities}")
            }
            Self::User(Some(_)) => write!(f, "the service {service} runs {value}, with no capability"),
            Self::Variable(..) => write!(f, "the environment of the service {service} has {value}"),
            Self::Volume(_) => {
                write!(f, "what the service {service} keeps in {value} is there for the next one")
            }
            Self::Memory(_) => write!(f, "the service {service} uses up to {value} of memory"),
            Self::Processors(_) => write!(f, "the service {service} uses up to {value} processors"),
            Self::Processes(_) => write!(f, "the service {service} has up to {value} processes"),
        }
    }
}
