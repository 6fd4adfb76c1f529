//! Where the programs that bottle runs on this machine, docker and git, are looked for.
//!
//! `PATH` often names folders of a project (`node_modules/.bin`, a relative one), where an agent can put a program of
//! any name. Those are left out, for the programs that these run in turn as well.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static LEFT_OUT: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Leaves out what lies in these folders (absolute, without links): agents can write there. The first call counts.
pub fn leave_out(folders: Vec<PathBuf>) {
    let _ = LEFT_OUT.set(folders);
}

/// Where programs are when `PATH` names no folder that counts.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An empty `PATH` means the current folder (exec(3)), which is often a project: this one has no programs.
const NOWHERE: &str = "/dev/null";

/// This process's `PATH` without folders that an agent can write, and without relative ones. Never empty.
#[must_use]
pub fn path() -> OsString {
    let left_out = LEFT_OUT.get().map(Vec::as_slice).unwrap_or_default();
    trusted(&env::var_os("PATH").unwrap_or_default(), left_out)
}

fn trusted(path: &OsString, left_out: &[PathBuf]) -> OsString {
    let found = [path, &OsString::from(USUAL)].map(|path| without(path, left_out));
    found.into_iter().find(|path| !path.is_empty()).unwrap_or_else(|| NOWHERE.into())
}

fn without(path: &OsString, left_out: &[PathBuf]) -> OsString {
    let is_an_agents = |folder: &Path| {
        let real = fs_err::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        left_out.iter().any(|agents| real.starts_with(agents))
    };
    let kept = env::split_paths(path).filter(|folder| folder.is_absolute() && !is_an_agents(folder));
    // What was split has no separator in it.
    env::join_paths(kept).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_agents_and_relative_ones_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let project = fs_err::canonicalize(dir.path()).unwrap();
        fs_err::create_dir_all(project.join("node_modules/.bin")).unwrap();
        let outside = tempfile::tempdir().unwrap();
        let link = outside.path().join("bin");
        fs_err::os::unix::fs::symlink(project.join("node_modules/.bin"), &link).unwrap();
        let path = env::join_paths([
            Path::new("node_modules/.bin"),
            Path::new(""),
            Path::new("/usr/bin"),
            &project.join("node_modules/.bin"),
            &link,
            Path::new("/nowhere/bin"),
        ])
        .unwrap();
        assert_eq!(trusted(&path, &[project]), "/usr/bin:/nowhere/bin");
    }

    #[test]
    fn a_path_of_which_nothing_is_left_is_not_the_current_folder() {
        let project = tempfile::tempdir().unwrap();
        let project = fs_err::canonicalize(project.path()).unwrap();
        for path in ["", ".", ":", "node_modules/.bin:", project.to_str().unwrap()] {
            assert_eq!(trusted(&path.into(), std::slice::from_ref(&project)), USUAL, "{path}");
        }
        assert_eq!(trusted(&".".into(), &["/".into()]), NOWHERE);
    }
}
