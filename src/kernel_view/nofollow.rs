//! Opening a path without following a link.

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

/// A handle that names a file or folder and reads nothing (`O_PATH`): no open blocks or has an effect on a device.
const NAMES: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Opens `path` below `folder`, neither following a link anywhere nor leaving the folder; `.` and `..` are refused.
/// A leading `/` is the folder itself. A link gives `ELOOP`.
pub(super) fn open_below(folder: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    open_with(folder, path, |path| {
        let opened = rustix::fs::openat2(folder, path, NAMES, Mode::empty(), resolve)?;
        require_no_link(opened)
    })
}

/// `openat2` is what says it in one step; a kernel before 5.6 does not have it (ENOSYS), and the filters of older
/// container engines refuse it (EPERM).
fn open_with(
    folder: BorrowedFd<'_>,
    path: &Path,
    in_one_step: impl Fn(&Path) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, Errno> {
    if path.components().any(|part| matches!(part, Component::CurDir | Component::ParentDir)) {
        return Err(Errno::INVAL);
    }
    match in_one_step(path) {
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(folder, path),
        opened => opened,
    }
}

fn step_by_step(folder: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let mut here = folder.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    for part in path.components() {
        if let Component::Normal(name) = part {
            here = require_no_link(rustix::fs::openat(&here, name, NAMES, Mode::empty())?)?;
        }
    }
    Ok(here)
}

/// With `O_PATH`, `O_NOFOLLOW` opens the link itself (`open(2)`).
fn require_no_link(opened: OwnedFd) -> Result<OwnedFd, Errno> {
    let mode = rustix::fs::fstat(&opened)?.st_mode;
    if rustix::fs::FileType::from_raw_mode(mode).is_symlink() { Err(Errno::LOOP) } else { Ok(opened) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err::os::unix::fs::symlink;

    /// Both ways, and that they agree.
    fn open(folder: &Path, path: &str) -> Result<u64, Errno> {
        let folder = fs_err::File::open(folder).unwrap();
        let inode = |opened: OwnedFd| rustix::fs::fstat(&opened).unwrap().st_ino;
        let first = open_below(folder.as_fd(), Path::new(path)).map(inode);
        for missing in [Errno::NOSYS, Errno::PERM] {
            let second = open_with(folder.as_fd(), Path::new(path), |_| Err(missing)).map(inode);
            assert_eq!(first, second, "{path}");
        }
        first
    }

    #[test]
    fn no_link_is_followed_on_the_way_or_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs_err::create_dir_all(at("a/b")).unwrap();
        fs_err::write(at("a/b/file"), "").unwrap();
        symlink("a", at("link")).unwrap();
        symlink("/etc", at("a/out")).unwrap();
        for path in ["a/b/file", "/a/b", "a"] {
            assert!(open(folder.path(), path).is_ok(), "{path}");
        }
        assert_eq!(open(folder.path(), "link"), Err(Errno::LOOP));
        assert_eq!(open(folder.path(), "a/out"), Err(Errno::LOOP));
        assert_eq!(open(folder.path(), "link/b"), Err(Errno::LOOP));
        assert_eq!(open(folder.path(), "a/none"), Err(Errno::NOENT));
        assert_eq!(open(folder.path(), "a/../a"), Err(Errno::INVAL));
        assert_eq!(open(folder.path(), "../x"), Err(Errno::INVAL));
    }

    #[test]
    fn a_pipe_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
        assert!(made.success());
        assert!(open(folder.path(), "pipe").is_ok());
    }
}
