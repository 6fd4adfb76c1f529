//! What a mount table must show for a bind of a path.

use super::{Device, Malformed, MountTable, nofollow, shown};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// A file or folder of this machine, as the kernel names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path by which it was opened.
    pub path: Utf8PathBuf,
    /// The file system that it is on.
    pub device: Device,
    /// Its path from the file system's own root, which is not always that of the machine: the file system may be
    /// mounted in part (a bind mount, a subvolume of btrfs).
    pub root: PathBuf,
    /// `st_dev` and `st_ino`. The number may be used again after the file is gone.
    pub object: (u64, u64),
}

/// Why nothing can be said of a path.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Relative, or with `.` or `..`.
    #[error("{path} is not an absolute path without `.` and `..`")]
    NotAbsolute {
        /// The path, as it was asked about.
        path: Utf8PathBuf,
    },
    /// A link on the way.
    #[error("{path} is a link, or goes through one; name the place that it leads to, if that is meant")]
    Link {
        /// The path, as it was asked about.
        path: Utf8PathBuf,
    },
    /// The operating system said no.
    #[error("can't open {path}: {source}")]
    Open {
        /// The path, as it was asked about.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// This process's own mount table.
    #[error("can't read the mounts of this machine in {path}: {source}")]
    Table {
        /// `/proc/self/mountinfo`, or where the kernel says which mount a handle is on.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel names the place otherwise: the path is of a `chroot`, or the place was moved while it was looked at.
    #[error(
        "the kernel does not show {path} below {target}, where its file system is mounted; it may be in a chroot"
    )]
    Elsewhere {
        /// The path, as it was asked about.
        path: Utf8PathBuf,
        /// Where its mount is.
        target: String,
    },
}

impl SourceError {
    /// Nothing is at the path.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Self::Open { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }
}

impl Source {
    /// Opens an absolute path without following a link, and says what is there. Another process that has it bound
    /// shows its `device` and `root`.
    pub fn at(path: &Utf8Path) -> Result<Self, SourceError> {
        Self::in_table(path, &own_table()?)
    }

    /// A path that nobody opened, for a [`MountTable::of_binds`].
    #[must_use]
    pub fn by_name(path: &Utf8Path) -> Self {
        let root = path.as_std_path().to_owned();
        Self { path: path.to_owned(), device: Device::UNKNOWN, root, object: (0, 0) }
    }

    /// The same where this process's mounts have been read.
    pub(super) fn in_table(path: &Utf8Path, table: &MountTable) -> Result<Self, SourceError> {
        let plain = |part| matches!(part, Utf8Component::RootDir | Utf8Component::Normal(_));
        if !path.is_absolute() || !path.components().all(plain) {
            return Err(SourceError::NotAbsolute { path: path.to_owned() });
        }
        let failed = |error: Errno| match error {
            Errno::LOOP => SourceError::Link { path: path.to_owned() },
            error => SourceError::Open { path: path.to_owned(), source: error.into() },
        };
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", folder, Mode::empty()).map_err(failed)?;
        let opened = nofollow::open_below(root.as_fd(), path.as_std_path()).map_err(failed)?;
        let stat = rustix::fs::fstat(&opened).map_err(failed)?;
        let id = mount_id(&opened)?;
        let (device, root) = place(path, id, table)?;
        Ok(Self { path: path.to_owned(), device, root, object: (stat.st_dev, stat.st_ino) })
    }
}

/// The file system and the path on it of a path that lies on the mount `id`.
fn place(path: &Utf8Path, id: u64, table: &MountTable) -> Result<(Device, PathBuf), SourceError> {
    let mount = table.by_id(id);
    let below = mount.and_then(|mount| Some((mount, path.as_std_path().strip_prefix(&mount.target).ok()?)));
    let Some((mount, rest)) = below.filter(|(mount, _)| !mount.deleted) else {
        let target = mount.map_or_else(|| format!("mount {id}"), |mount| shown(&mount.target));
        return Err(SourceError::Elsewhere { path: path.to_owned(), target });
    };
    let root = if rest.as_os_str().is_empty() { mount.root.clone() } else { mount.root.join(rest) };
    Ok((mount.device, root))
}

const OWN_TABLE: &str = "/proc/self/mountinfo";

/// The mounts that this process sees.
#[expect(clippy::disallowed_methods, reason = "the error names the file")]
pub(super) fn own_table() -> Result<MountTable, SourceError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| SourceError::Table {
        path: OWN_TABLE.into(),
        source,
    };
    let table = std::fs::read(OWN_TABLE).map_err(|error| failed(error.into()))?;
    MountTable::parse(&table).map_err(|error: Malformed| failed(error.into()))
}

/// The number of the mount that a handle is on (`proc_pid_fdinfo(5)`, since Linux 3.15). It is the kernel's word,
/// where a search for the longest target that fits could take a mount which another one hides.
#[expect(clippy::disallowed_methods, reason = "the error names the file")]
fn mount_id(handle: &OwnedFd) -> Result<u64, SourceError> {
    let path = Path::new("/proc/self/fdinfo").join(handle.as_raw_fd().to_string());
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| SourceError::Table { path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.into()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| failed("it has no `mnt_id`".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> MountTable {
        let text = "\
20 1 0:20 /@ / rw - btrfs /dev/a rw
21 20 0:20 /@home /home rw - btrfs /dev/a rw
22 21 8:1 /export/me /home/me/data rw - ext4 /dev/b rw
23 20 0:30 / /mnt rw - overlay overlay rw
24 20 0:31 /gone//deleted /old rw - ext4 /dev/c rw
";
        MountTable::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_place_is_named_from_the_root_of_its_own_file_system() {
        for (path, id, device, root) in [
            ("/etc/x", 20, (0, 20), "/@/etc/x"),
            ("/home/me/app", 21, (0, 20), "/@home/me/app"),
            ("/home", 21, (0, 20), "/@home"),
            ("/home/me/data", 22, (8, 1), "/export/me"),
            ("/home/me/data/x", 22, (8, 1), "/export/me/x"),
            ("/mnt/x", 23, (0, 30), "/x"),
        ] {
            let (is, at) = place(Utf8Path::new(path), id, &table()).unwrap();
            assert_eq!(((is.major, is.minor), at.to_str().unwrap()), (device, root), "{path}");
        }
        let said = place(Utf8Path::new("/home/x"), 23, &table()).unwrap_err().to_string();
        assert_eq!(
            said,
            "the kernel does not show /home/x below /mnt, where its file system is mounted; it may be in a chroot"
        );
        assert!(place(Utf8Path::new("/x"), 99, &table()).unwrap_err().to_string().contains("mount 99"));
        assert!(place(Utf8Path::new("/old/x"), 24, &table()).is_err());
    }

    #[test]
    fn a_real_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::create_dir(path.join("a b")).unwrap();
        let (source, around) = (Source::at(&path.join("a b")).unwrap(), Source::at(path).unwrap());
        assert_eq!(source.root, around.root.join("a b"));
        assert_eq!(source.device, around.device);
        assert_ne!(source.object, around.object);
        assert!(Source::at(Utf8Path::new("/")).is_ok());
    }

    #[test]
    fn a_link_or_a_relative_path_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::os::unix::fs::symlink("/etc", path.join("link")).unwrap();
        let said = |path: &Utf8Path| Source::at(path).unwrap_err().to_string();
        let link = path.join("link");
        assert_eq!(
            said(&link),
            format!(
                "{link} is a link, or goes through one; name the place that it leads to, if that is meant"
            )
        );
        assert!(matches!(Source::at(&link.join("passwd")), Err(SourceError::Link { .. })));
        assert_eq!(said("a/b".into()), "a/b is not an absolute path without `.` and `..`");
        assert_eq!(said("/a/../b".into()), "/a/../b is not an absolute path without `.` and `..`");
        assert!(said(&path.join("none")).starts_with(&format!("can't open {path}/none: No such file")));
    }
}
