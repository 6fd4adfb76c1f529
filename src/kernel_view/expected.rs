//! What must be mounted in a container, and how that differs from what is.

use super::docker::{Around, is_whole};
use super::{Mount, MountTable, Source, shown};
use camino::{Utf8Path, Utf8PathBuf};
use std::fmt;
use std::path::Path;

/// Everything that a container may have mounted besides what Docker itself adds. Targets are absolute, normal and
/// without links, as the kernel shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Files and folders of this machine.
    pub binds: Vec<Bind>,
    /// Read-only binds at places that may be links in the image: the engine mounts at a link's end, so each of them may
    /// be anywhere.
    pub anywhere: Vec<Bind>,
    /// Volumes that the engine keeps.
    pub volumes: Vec<Volume>,
    /// Targets of file systems in memory that are the container's alone.
    pub tmpfs: Vec<Utf8PathBuf>,
}

/// A bind mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where, in the container.
    pub target: Utf8PathBuf,
    /// What is mounted there.
    pub source: Source,
    /// Whether nothing can be written by it.
    pub read_only: bool,
}

/// A mount of a named volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where, in the container.
    pub target: Utf8PathBuf,
    /// The engine's name for it, with Compose the project's in front: `bottle-dev-1a2b3c_egress`.
    pub name: String,
    /// Whether nothing can be written by it.
    pub read_only: bool,
}

/// One thing that is mounted otherwise than it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Nothing is mounted there.
    Missing {
        /// Where, in the container.
        target: Utf8PathBuf,
        /// What must be there, for a person.
        wanted: String,
    },
    /// Something else is mounted there.
    Other {
        /// Where, in the container.
        target: Utf8PathBuf,
        /// What must be there, for a person.
        wanted: String,
        /// What is, for a person.
        found: String,
    },
    /// What is mounted there was removed on the host.
    Deleted {
        /// Where, in the container.
        target: Utf8PathBuf,
        /// What must be there, for a person.
        wanted: String,
    },
    /// It is writable and must not be, or the other way round.
    Access {
        /// Where, in the container, for a person.
        target: String,
        /// Whether it must be read-only.
        read_only: bool,
    },
    /// The path is right, and the file or folder there is not the one that was opened.
    Object {
        /// Where, in the container.
        target: Utf8PathBuf,
        /// What must be there, for a person.
        wanted: String,
    },
    /// Nobody asked for it, and Docker does not add it by itself.
    Unexpected {
        /// Where, in the container, for a person.
        target: String,
        /// What it is, for a person.
        found: String,
    },
}

const REPLACED: &str =
    "it was replaced or moved on this machine; remove the container, look at the folder, start again";

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { target, wanted } => write!(
                f,
                "nothing is mounted at {target}, where {wanted} must be: the kernel dropped the mount since its \
                 folder was moved or removed, or the image has a link on the way; remove the container, look at both"
            ),
            Self::Other { target, wanted, found } => {
                write!(f, "{target} is {found}, where {wanted} must be: {REPLACED}")
            }
            Self::Deleted { target, wanted } => {
                write!(
                    f,
                    "{wanted}, mounted at {target}, was removed on this machine; remove the container, start again"
                )
            }
            Self::Access { target, read_only: true } => {
                write!(f, "{target} is writable, and must be read-only; remove the container, start again")
            }
            Self::Access { target, read_only: false } => {
                write!(f, "{target} is read-only, and must be writable; remove the container, start again")
            }
            Self::Object { target, wanted } => {
                write!(f, "{target} is another file or folder than {wanted} was: {REPLACED}")
            }
            Self::Unexpected { target, found } => write!(
                f,
                "{found} is mounted at {target}, which neither the manifest nor Docker asks for; remove the container, \
                 and find out who made it"
            ),
        }
    }
}

impl Mismatch {
    pub(super) fn other_object(bind: &Bind) -> Self {
        Self::Object { target: bind.target.clone(), wanted: bind.source.path.to_string() }
    }
}

/// How what a container has mounted differs from what it must have. `host` is this process's own table, `id` the
/// container's. Hidden mounts count too: what lies under another mount must be as harmless as the rest.
pub(super) fn mismatches(
    container: &MountTable,
    host: &MountTable,
    expected: &Expected,
    id: &str,
) -> Vec<Mismatch> {
    let around = Around { container, host, id };
    let mut found = Vec::new();
    let mut known = Vec::new();
    for want in expected.all() {
        let Some(mount) = container.at(want.target().as_std_path()) else {
            found.push(Mismatch::Missing { target: want.target().to_owned(), wanted: want.name() });
            continue;
        };
        known.push(mount.id);
        found.extend(want.differs(mount, &around));
    }
    expected.find_anywhere(container, &mut known, &mut found);
    for mount in container.iter().filter(|mount| !known.contains(&mount.id)) {
        if around.is_dockers(mount) {
            continue;
        }
        match expected.carried(mount, host) {
            Some(bind) if bind.read_only && !mount.read_only => {
                found.push(Mismatch::Access { target: shown(&mount.target), read_only: true });
            }
            Some(_) => {}
            None => found.push(Mismatch::Unexpected { target: shown(&mount.target), found: what(mount) }),
        }
    }
    found
}

/// One mount that must be there.
#[derive(Clone, Copy)]
enum Want<'a> {
    Bind(&'a Bind),
    Volume(&'a Volume),
    Tmpfs(&'a Utf8Path),
}

impl Expected {
    fn all(&self) -> impl Iterator<Item = Want<'_>> {
        let binds = self.binds.iter().map(Want::Bind);
        binds.chain(self.volumes.iter().map(Want::Volume)).chain(self.tmpfs.iter().map(|it| Want::Tmpfs(it)))
    }

    /// Each mount of such a source counts for one place, first for that where it is. One more than there are places is
    /// no known one.
    fn find_anywhere(&self, container: &MountTable, known: &mut Vec<u64>, found: &mut Vec<Mismatch>) {
        let mut places: Vec<&Bind> = self.anywhere.iter().collect();
        let at_their_place = |mount: &&Mount| self.anywhere.iter().any(|it| mount.target == it.target);
        let (direct, linked): (Vec<_>, Vec<_>) =
            container.iter().filter(|mount| !known.contains(&mount.id)).partition(at_their_place);
        for mount in direct.into_iter().chain(linked) {
            let shows = |it: &&Bind| {
                mount.device == it.source.device && mount.root == it.source.root && mount.read_only
            };
            let own = places.iter().position(|it| shows(it) && mount.target == it.target);
            let Some(at) = own.or_else(|| places.iter().position(shows)) else { continue };
            let Bind { target, source, .. } = places.remove(at);
            known.push(mount.id);
            if mount.deleted {
                found.push(Mismatch::Deleted { target: target.clone(), wanted: source.path.to_string() });
            }
        }
        found.extend(
            places.into_iter().map(|it| Mismatch::Missing {
                target: it.target.clone(),
                wanted: it.source.path.to_string(),
            }),
        );
    }

    /// The innermost bind that brought the mount along: what is mounted inside a source on the host is bound with it.
    fn carried(&self, mount: &Mount, host: &MountTable) -> Option<&Bind> {
        let around = self.binds.iter().filter(|bind| mount.target.starts_with(&bind.target));
        let bind = around.max_by_key(|bind| bind.target.components().count())?;
        let rest =
            mount.target.strip_prefix(&bind.target).ok().filter(|rest| !rest.as_os_str().is_empty())?;
        let on_host = host.at(&bind.source.path.as_std_path().join(rest))?;
        (on_host.device == mount.device && on_host.root == mount.root && !mount.deleted).then_some(bind)
    }
}

impl Want<'_> {
    fn target(&self) -> &Utf8Path {
        match self {
            Self::Bind(bind) => &bind.target,
            Self::Volume(volume) => &volume.target,
            Self::Tmpfs(target) => target,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Bind(bind) => bind.source.path.to_string(),
            Self::Volume(volume) => format!("the volume {}", volume.name),
            Self::Tmpfs(_) => "a tmpfs of the container's own".to_owned(),
        }
    }

    fn differs(&self, mount: &Mount, around: &Around<'_>) -> Option<Mismatch> {
        let (is_it, read_only) = match self {
            Self::Bind(bind) => {
                let source = &bind.source;
                (mount.device == source.device && mount.root == source.root, Some(bind.read_only))
            }
            Self::Volume(volume) => (is_volume(mount, &volume.name, around.host), Some(volume.read_only)),
            Self::Tmpfs(_) => (mount.file_system == "tmpfs" && is_whole(mount) && around.is_own(mount), None),
        };
        let target = self.target().to_owned();
        if mount.deleted {
            return Some(Mismatch::Deleted { target, wanted: self.name() });
        }
        if !is_it {
            return Some(Mismatch::Other { target, wanted: self.name(), found: what(mount) });
        }
        let read_only = read_only.filter(|read_only| *read_only != mount.read_only)?;
        Some(Mismatch::Access { target: target.into_string(), read_only })
    }
}

/// The engine keeps a volume in `…/volumes/NAME/_data`: a folder there, or a file system that it mounts there.
fn is_volume(mount: &Mount, name: &str, host: &MountTable) -> bool {
    let folder = Path::new("volumes").join(name).join("_data");
    let mounted = |other: &Mount| other.device == mount.device && other.target.ends_with(&folder);
    mount.root.ends_with(&folder) || (is_whole(mount) && host.iter().any(mounted))
}

/// `254:0 /home/me/app (ext4)`.
fn what(mount: &Mount) -> String {
    format!("{} {} ({})", mount.device, shown(&mount.root), mount.file_system.escape_debug())
}

#[cfg(test)]
mod tests;
