//! The agent's home, a volume, as it is given to the agent's user.
//!
//! A new volume holds what the image has at its place, with the image's owners, and the agent runs as the owner of the
//! project on this machine. So a short-lived container, which sees the volume and nothing else that can be written to,
//! changes the owner before the agent starts. Constraint: another agent of the same bottle may use the volume
//! meanwhile. No link is followed, and everything else in that container is read-only.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Who a home is for, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
}

/// Why a user of an image is not known.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The image's `/etc/passwd` has no such name.
    #[error("the agent's image has no user {0}; name one that its /etc/passwd has, or a uid, in agent.user")]
    User(String),
    /// The image's `/etc/group` has no such name.
    #[error("the agent's image has no group {0}; name one that its /etc/group has, or a gid, in agent.user")]
    Group(String),
}

impl Account {
    /// `NAME`, `UID`, `NAME:GROUP` or `UID:GID`, as container engines read it: names are those of the image's
    /// `/etc/passwd` and `/etc/group`, whose texts are given, and a uid that has no entry there is of group 0.
    pub fn find(user: &str, passwd: &str, group: &str) -> Result<Self, AccountError> {
        let (user, of) = user.split_once(':').map_or((user, None), |(user, of)| (user, Some(of)));
        let number: Option<u32> = user.parse().ok();
        let entry = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, uid, gid) =
                (fields.next()?, fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            (name == user || Some(uid) == number).then_some(Self { uid, gid })
        });
        let account = entry.or(number.map(|uid| Self { uid, gid: 0 }));
        let account = account.ok_or_else(|| AccountError::User(user.to_owned()))?;
        let Some(of) = of else { return Ok(account) };
        let entry = group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == of).then_some(fields.nth(1)?.parse().ok()?)
        });
        let gid = entry.or_else(|| of.parse().ok()).ok_or_else(|| AccountError::Group(of.to_owned()))?;
        Ok(Self { gid, ..account })
    }
}

/// Makes `home` and everything in it the account's, unless it is already. The folder itself comes last, so that a run
/// that was interrupted is done again.
pub fn give(home: &Path, to: Account) -> io::Result<()> {
    let is_theirs = |path: &Path| {
        let found = fs_err::symlink_metadata(path)?;
        Ok::<_, io::Error>(found.uid() == to.uid && found.gid() == to.gid)
    };
    if is_theirs(home)? {
        return Ok(());
    }
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if fs_err::symlink_metadata(&path)?.is_dir() {
                folders.push(path.clone());
            }
            fs_err::os::unix::fs::lchown(&path, Some(to.uid), Some(to.gid))?;
        }
    }
    fs_err::os::unix::fs::lchown(home, Some(to.uid), Some(to.gid))
}

/// Makes a new `home` writable for whoever the image runs as: the engine makes a folder that the image lacks as root.
pub fn open_to_all(home: &Path) -> io::Result<()> {
    let found = fs_err::symlink_metadata(home)?;
    if found.uid() == 0 && entries(home)?.is_empty() {
        fs_err::set_permissions(home, Permissions::from_mode(0o777))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs_err::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:node\n";

    #[test]
    fn a_user_is_found_as_engines_find_it() {
        let find = |user: &str| Account::find(user, PASSWD, GROUP).map_err(|error| error.to_string());
        for (user, uid, gid) in [
            ("node", 1000, 1001),
            ("1000", 1000, 1001),
            ("1234", 1234, 0),
            ("1234:99", 1234, 99),
            ("node:staff", 1000, 50),
            ("root", 0, 0),
        ] {
            assert_eq!(find(user), Ok(Account { uid, gid }), "{user}");
        }
        assert!(find("nobody").unwrap_err().starts_with("the agent's image has no user nobody; name one"));
        assert!(
            find("node:wheel").unwrap_err().starts_with("the agent's image has no group wheel; name one")
        );
    }

    #[test]
    fn a_home_is_given_with_everything_in_it_and_no_link_is_followed() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "only root gives files away, and CI is root");
            eprintln!("skipped: only root gives files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (home, other) = (dir.path().join("home"), dir.path().join("other"));
        fs_err::create_dir_all(home.join("a/b")).unwrap();
        fs_err::write(home.join("a/b/file"), "").unwrap();
        fs_err::write(&other, "").unwrap();
        fs_err::os::unix::fs::symlink(&other, home.join("link")).unwrap();
        fs_err::os::unix::fs::symlink(dir.path(), home.join("a/folder")).unwrap();
        let to = Account { uid: 1234, gid: 5678 };
        give(&home, to).unwrap();
        let owner = |path: &Path| {
            let found = fs_err::symlink_metadata(path).unwrap();
            (found.uid(), found.gid())
        };
        for path in ["", "a", "a/b", "a/b/file", "link", "a/folder"] {
            assert_eq!(owner(&home.join(path)), (1234, 5678), "{path}");
        }
        assert_eq!((owner(&other), owner(dir.path())), ((0, 0), (0, 0)));
        // What is theirs already is not walked again.
        fs_err::write(home.join("new"), "").unwrap();
        give(&home, to).unwrap();
        assert_eq!(owner(&home.join("new")), (0, 0));
    }

    #[test]
    fn only_a_new_home_of_root_is_opened_to_all() {
        let dir = tempfile::tempdir().unwrap();
        let mode = || fs_err::metadata(dir.path()).unwrap().mode() & 0o777;
        fs_err::write(dir.path().join("file"), "").unwrap();
        let before = mode();
        open_to_all(dir.path()).unwrap();
        assert_eq!(mode(), before);
        fs_err::remove_file(dir.path().join("file")).unwrap();
        open_to_all(dir.path()).unwrap();
        let expected = if rustix::process::geteuid().is_root() { 0o777 } else { before };
        assert_eq!(mode(), expected);
    }
}
