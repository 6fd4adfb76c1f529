//! Mount tables: `/proc/PID/mountinfo`, as `proc_pid_mountinfo(5)` describes it.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The numbers of a file system: `st_dev` of what is on it, except on btrfs and other file systems that give each of
/// their subvolumes a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// 0 for a file system that lies on no block device.
    pub major: u32,
    /// Which of those with that major number.
    pub minor: u32,
}

impl Device {
    /// Of what only paths are known of.
    pub(super) const UNKNOWN: Self = Self { major: 0, minor: 0 };
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A line of a mount table, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number, unique on the machine while the mount is there.
    pub id: u64,
    /// The mount that it lies on. That of the topmost ones is not in the table.
    pub parent: u64,
    /// The file system that it shows, or a part of it.
    pub device: Device,
    /// What of the file system is mounted, from the file system's own root: `/` for all of it. It follows renames.
    /// For file systems that have no paths it is a name: `net:[4026531840]`.
    pub root: PathBuf,
    /// What is mounted was removed from the file system.
    pub deleted: bool,
    /// Where, in the process's view.
    pub target: PathBuf,
    /// Nothing can be written by this mount, whatever the file system allows.
    pub read_only: bool,
    /// The kind of file system: `ext4`, `fuse.sshfs`.
    pub file_system: String,
}

/// A line that is not one of a mount table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not in the format of proc_pid_mountinfo(5)")]
pub struct Malformed {
    /// From 1.
    pub line: usize,
}

/// The mounts that a process sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTable(Vec<Mount>);

impl MountTable {
    /// Reads a table. A line that can't be read is an error: what it hides can't be judged.
    pub fn parse(table: &[u8]) -> Result<Self, Malformed> {
        let lines = table.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
        let mounts = lines.map(|(at, line)| mount(line).ok_or(Malformed { line: at + 1 }));
        Ok(Self(mounts.collect::<Result<_, _>>()?))
    }

    /// The table that binds come to by their paths alone, each a source, a target and whether it is writable: what
    /// an engine says of a container where the kernel can't be asked. No two have one target.
    pub fn of_binds(binds: impl IntoIterator<Item = (PathBuf, PathBuf, bool)>) -> Self {
        let mut binds: Vec<_> = binds.into_iter().collect();
        binds.sort_by_key(|(_, target, _)| target.components().count());
        let mount = |id, parent, root, target, read_only| Mount {
            id,
            parent,
            device: Device::UNKNOWN,
            root,
            deleted: false,
            target,
            read_only,
            file_system: String::new(),
        };
        let mut mounts = vec![mount(1, 0, PathBuf::new(), "/".into(), true)];
        for (id, (source, target, writable)) in (2..).zip(binds) {
            let around = mounts.iter().rfind(|around| target.starts_with(&around.target));
            let parent = around.map_or(1, |around| around.id);
            mounts.push(mount(id, parent, source, target, !writable));
        }
        Self(mounts)
    }

    /// All of them, in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// The mount of that number.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.iter().find(|mount| mount.id == id)
    }

    /// The mount that a path leads to whose last part is a mount point: of several mounts at one target the topmost,
    /// and none that lies under a mount of a folder on the way. Nothing where the path is no mount point.
    #[must_use]
    pub fn at(&self, target: &Path) -> Option<&Mount> {
        self.seen(target).filter(|mount| mount.target == target)
    }

    /// The mount that shows what is at an absolute path, links aside.
    #[must_use]
    pub fn seen(&self, path: &Path) -> Option<&Mount> {
        let mut here = self.topmost(self.root()?);
        let mut ways: Vec<&Path> = path.ancestors().filter(|way| way.parent().is_some()).collect();
        ways.reverse();
        for way in ways {
            if let Some(next) = self.on(here, way) {
                here = self.topmost(next);
            }
        }
        Some(here)
    }

    /// The lowest mount of `/`.
    pub(super) fn root(&self) -> Option<&Mount> {
        self.iter().find(|mount| mount.target == Path::new("/") && self.by_id(mount.parent).is_none())
    }

    fn on(&self, below: &Mount, target: &Path) -> Option<&Mount> {
        self.iter().filter(|mount| mount.parent == below.id && mount.target == target).last()
    }

    /// What was mounted over a mount at the same place, last. No mount lies on itself, so each step needs a new one.
    fn topmost<'a>(&'a self, lowest: &'a Mount) -> &'a Mount {
        let mut top = lowest;
        for _ in &self.0 {
            match self.on(top, &lowest.target) {
                Some(over) if over.id != top.id => top = over,
                _ => break,
            }
        }
        top
    }
}

const DELETED: &[u8] = b"//deleted";

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`, with any number of optional fields before `-`.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let id = text()?.parse().ok()?;
    let parent = text()?.parse().ok()?;
    let (major, minor) = text()?.split_once(':')?;
    let device = Device { major: major.parse().ok()?, minor: minor.parse().ok()? };
    let root = unescaped(fields.next()?);
    let target = path(unescaped(fields.next()?));
    let mut options = fields.next()?.split(|byte| *byte == b',');
    let read_only = options.any(|option| option == b"ro");
    fields.find(|field| *field == b"-")?;
    let file_system = String::from_utf8_lossy(&unescaped(fields.next()?)).into_owned();
    let (root, deleted) = match root.strip_suffix(DELETED) {
        Some(root) => (root.to_vec(), true),
        None => (root, false),
    };
    target.is_absolute().then_some(Mount {
        id,
        parent,
        device,
        root: path(root),
        deleted,
        target,
        read_only,
        file_system,
    })
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// Space, tab, line break, `\` and, in newer kernels, `#` are written as `\` and three octal digits
/// (`mangle_path` in Linux's `fs/seq_file.c`).
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *byte == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn one(line: &[u8]) -> Mount {
        MountTable::parse(line).unwrap().0.remove(0)
    }

    #[test]
    fn a_line_of_the_manual() {
        let mount = one(b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n");
        let expected = Mount {
            id: 36,
            parent: 35,
            device: Device { major: 98, minor: 0 },
            root: "/mnt1".into(),
            deleted: false,
            target: "/mnt2".into(),
            read_only: false,
            file_system: "ext3".to_owned(),
        };
        assert_eq!(mount, expected);
    }

    #[test]
    fn optional_fields_may_be_absent_or_many_and_a_source_may_be_empty() {
        for line in [
            "1 2 0:3 / /x ro - tmpfs tmpfs rw",
            "1 2 0:3 / /x ro shared:1 master:2 propagate_from:3 unbindable - tmpfs tmpfs rw",
            "1 2 0:3 / /x ro,relatime -  tmpfs  rw",
            "1 2 0:3 / /x relatime,ro - tmpfs  rw",
        ] {
            let mount = one(line.as_bytes());
            assert!(mount.read_only && mount.target == Path::new("/x"), "{line}");
        }
        let mount = one(b"1 2 0:3 / /x rw,errors=remount-ro - ext4 /dev/a ro");
        assert!(!mount.read_only, "only the mount's own option counts");
    }

    #[test]
    fn escapes_and_bytes_that_are_no_text() {
        let mount = one(b"1 2 0:3 /a\\040b\\134\\043\\999 /\xff\\011\\012 rw - fuse.\xffs x rw");
        assert_eq!(mount.root, Path::new("/a b\\#\\999"));
        assert_eq!(mount.target.as_os_str().as_bytes(), b"/\xff\t\n");
        assert_eq!(mount.file_system, "fuse.\u{fffd}s");
    }

    #[test]
    fn what_was_removed_is_marked_by_the_kernel_alone() {
        assert!(one(b"1 2 0:3 /a//deleted /x rw - ext4 x rw").deleted);
        let mount = one(b"1 2 0:3 /a/deleted /x rw - ext4 x rw");
        assert!(!mount.deleted && mount.root == Path::new("/a/deleted"));
        assert_eq!(one(b"1 2 0:4 net:[40] /run/n rw - nsfs nsfs rw").root, Path::new("net:[40]"));
    }

    #[test]
    fn a_line_that_can_not_be_read_is_an_error() {
        let good = "1 2 0:3 / /x rw - tmpfs x rw\n";
        for bad in
            ["x", "1 2 0:3 / /x rw", "1 2 03 / /x rw - t x rw", "1 2 0:3 / x rw - t x rw", "1 2 0:3 / /x"]
        {
            let said = MountTable::parse(format!("{good}{bad}\n").as_bytes()).unwrap_err();
            assert_eq!(said, Malformed { line: 2 }, "{bad}");
        }
        assert_eq!(Malformed { line: 2 }.to_string(), "line 2 is not in the format of proc_pid_mountinfo(5)");
    }

    const STACKED: &str = "\
21 20 0:1 / / rw - overlay o rw
22 21 8:1 /src /work rw - ext4 d rw
23 22 8:1 /src/.bottle /work/.bottle ro - ext4 d rw
24 22 8:1 /x /work/twice ro - ext4 d rw
25 24 8:1 /y /work/twice rw - ext4 d rw
26 21 8:1 /data /data rw - ext4 d rw
27 26 8:1 /data/in /data/in ro - ext4 d rw
28 26 8:1 /over /data rw - ext4 d rw
";

    #[test]
    fn the_topmost_mount_counts() {
        let table = MountTable::parse(STACKED.as_bytes()).unwrap();
        let at = |target: &str| table.at(Path::new(target)).map(|mount| mount.id);
        assert_eq!(at("/"), Some(21));
        assert_eq!(at("/work"), Some(22));
        assert_eq!(at("/work/.bottle"), Some(23));
        assert_eq!(at("/work/twice"), Some(25));
        assert_eq!(at("/data"), Some(28));
        assert_eq!(at("/data/in"), None, "a mount over the folder around it hides it");
        assert_eq!(at("/work/none"), None);
        assert_eq!(at("relative"), None);
        let reversed: String = STACKED.lines().rev().flat_map(|line| [line, "\n"]).collect();
        let reversed = MountTable::parse(reversed.as_bytes()).unwrap();
        for target in ["/", "/work", "/work/twice", "/data", "/data/in"] {
            assert_eq!(reversed.at(Path::new(target)).map(|m| m.id), at(target), "the order says nothing");
        }
        assert_eq!(MountTable::default().at(Path::new("/")), None);
    }
}
