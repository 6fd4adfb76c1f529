//! What Docker itself mounts in every container. What is not in this list was asked for by somebody.
//!
//! Seen on 20.10 with cgroup v1; runc's default specification and its masked paths for newer engines and cgroup v2.
//! The kernel's own file systems count only where they are the container's: a file system of the host's, such as its
//! `/proc` or a tmpfs, is in the host's table too.

use super::{Mount, MountTable};
use std::path::Path;

/// What is needed to judge a mount.
pub(super) struct Around<'a> {
    /// The container's mounts.
    pub(super) container: &'a MountTable,
    /// The mounts of this machine, as this process sees them.
    pub(super) host: &'a MountTable,
    /// The container's id.
    pub(super) id: &'a str,
}

/// Device nodes that an engine binds where it can't make them: in a user namespace.
const NODES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

impl Around<'_> {
    /// Whether Docker adds this mount to a container by itself.
    pub(super) fn is_dockers(&self, mount: &Mount) -> bool {
        let Some(target) = mount.target.to_str() else { return false };
        let whole = |kind: &str| mount.file_system == kind && self.is_own(mount) && is_whole(mount);
        match target {
            "/" => self.container.root() == Some(mount),
            "/proc" => whole("proc"),
            "/sys" => whole("sysfs") && mount.read_only,
            "/dev" => whole("tmpfs"),
            "/dev/pts" => whole("devpts"),
            "/dev/mqueue" => whole("mqueue"),
            "/dev/shm" => whole("tmpfs") || self.is_shareable_shm(mount),
            // The terminal of a container with `tty: true`.
            "/dev/console" => mount.file_system == "devpts" && self.is_of(mount, "/dev/pts"),
            "/etc/hosts" | "/etc/hostname" | "/etc/resolv.conf" => is_of_engine(mount),
            "/sbin/docker-init" | "/usr/sbin/docker-init" => mount.read_only && is_init(mount),
            _ => self.is_in_kernels(mount, target),
        }
    }

    fn is_in_kernels(&self, mount: &Mount, target: &str) -> bool {
        let own_tmpfs = mount.file_system == "tmpfs" && self.is_own(mount) && is_whole(mount);
        let null = mount.root == Path::new("/null") && self.is_node(mount);
        if target.starts_with("/proc/") {
            let closed = mount.file_system == "proc" && self.is_of(mount, "/proc") && mount.read_only;
            closed || (own_tmpfs && mount.read_only) || null
        } else if target.starts_with("/sys/") {
            let cgroup = matches!(mount.file_system.as_str(), "cgroup" | "cgroup2") && mount.read_only;
            // The folder of the controllers of cgroup v1 is writable, and empty but for them.
            cgroup || (own_tmpfs && (mount.read_only || target == "/sys/fs/cgroup")) || null
        } else if let Some(name) = target.strip_prefix("/dev/") {
            NODES.contains(&name) && mount.root == Path::new("/").join(name) && self.is_node(mount)
        } else {
            false
        }
    }

    /// Whether the file system is none of those that this machine shows outside of the container.
    pub(super) fn is_own(&self, mount: &Mount) -> bool {
        self.host.iter().all(|other| other.device != mount.device)
    }

    fn is_of(&self, mount: &Mount, target: &str) -> bool {
        self.container.at(Path::new(target)).is_some_and(|other| other.device == mount.device)
    }

    /// A device node of the container's own `/dev`, or of the kernel's.
    fn is_node(&self, mount: &Mount) -> bool {
        let own = mount.file_system == "tmpfs" && self.is_own(mount) && self.is_of(mount, "/dev");
        own || mount.file_system == "devtmpfs"
    }

    /// With `ipc: shareable`, the engine mounts the memory on the host, in the container's folder.
    fn is_shareable_shm(&self, mount: &Mount) -> bool {
        let folder = Path::new("containers").join(self.id).join("mounts/shm");
        let on_host = |other: &Mount| other.device == mount.device && other.target.ends_with(&folder);
        mount.file_system == "tmpfs" && is_whole(mount) && self.host.iter().any(on_host)
    }
}

pub(super) fn is_whole(mount: &Mount) -> bool {
    mount.root == Path::new("/")
}

/// `…/containers/ID/hosts`: of this container, or of the one whose network it shares.
fn is_of_engine(mount: &Mount) -> bool {
    let mut parts = mount.root.iter().rev().map(|part| part.to_string_lossy());
    let same_name = parts.next().as_deref() == mount.target.file_name().and_then(|name| name.to_str());
    let id = parts.next().is_some_and(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    same_name && id && parts.next().as_deref() == Some("containers") && !mount.deleted
}

/// The engine's `docker-init`, which a distribution may have under its own name.
fn is_init(mount: &Mount) -> bool {
    let names = ["docker-init", "tini", "tini-static"];
    mount.root.file_name().and_then(|name| name.to_str()).is_some_and(|name| names.contains(&name))
}
