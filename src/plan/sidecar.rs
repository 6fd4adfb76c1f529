//! The containers beside the agent, in its network namespace.

use super::Resources;
use crate::manifest::Service;
use crate::stack::volume_of;
use camino::Utf8PathBuf;
use std::collections::BTreeMap;

/// Enough for a database of a developer, who can say more: several bottles may run on a machine.
const MEMORY: u64 = 1 << 30;
const PIDS: u32 = 1024;

/// A container beside the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Of its service in the compose file.
    pub name: String,
    /// What it runs on, by name.
    pub image: String,
    /// The command; empty: the image's.
    pub command: Vec<String>,
    /// Who it runs as, without any capability; `None`: the image's user, with those of [`Self::CAPABILITIES`].
    pub user: Option<String>,
    /// Every variable that the manifest sets.
    pub environment: BTreeMap<String, String>,
    /// Where its volumes are.
    pub volumes: Vec<Utf8PathBuf>,
    /// What it may use of the machine; the memory is always a number.
    pub resources: Resources,
}

impl Sidecar {
    /// What an image needs that begins as root, gives its folders to a user and becomes that user.
    pub const CAPABILITIES: [&'static str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

    /// The names of its volumes in the compose file, and their places.
    pub fn volumes(&self) -> impl Iterator<Item = (String, &Utf8PathBuf)> {
        self.volumes.iter().map(|place| (volume_of(&self.name, place), place))
    }
}

impl From<&Service> for Sidecar {
    fn from(service: &Service) -> Self {
        let Service { name, image, command, user, env, volumes, resources } = service;
        Self {
            name: name.clone(),
            image: image.clone(),
            command: command.clone().unwrap_or_default(),
            user: user.clone(),
            environment: env.iter().cloned().collect(),
            volumes: volumes.clone(),
            resources: Resources {
                memory: resources.memory.or(Some(MEMORY)),
                millicpus: resources.millicpus,
                pids: resources.pids.unwrap_or(PIDS),
            },
        }
    }
}
