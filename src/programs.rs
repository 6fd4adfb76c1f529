//! Where the programs that bottle runs on this machine are looked for: docker, git, the person's editor and their source of
//! tokens.
//!
//! `PATH` often names folders of a project (`node_modules/.bin`, a relative one), where an agent can put a program of
//! any name. Those are left out, for the programs that these run in turn as well. What is looked at is what is handed
//! on: the real path of a folder, in which no link is left that an agent could turn between the two.

use std::collections::{BTreeSet, VecDeque};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

/// What is not asked for programs.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// Folders, absolute and without links.
    pub folders: Vec<PathBuf>,
    /// Folders, whatever they are called by now.
    pub ids: BTreeSet<FolderNumbers>,
    /// Whether where agents can write is not known: then only what no one but root can write counts.
    pub all_but_roots: bool,
}

static LEFT_OUT: OnceLock<LeftOut> = OnceLock::new();
static NONE: LeftOut = LeftOut { folders: Vec::new(), ids: BTreeSet::new(), all_but_roots: false };
static KEPT: OnceLock<OsString> = OnceLock::new();

/// Leaves these out, and what lies in them. The first call counts.
pub fn leave_out(left_out: LeftOut) {
    let _ = LEFT_OUT.set(left_out);
}

/// Whether an agent could write at a path: what lies there, what it leads to, or what could be made there.
#[must_use]
pub fn is_left_out(path: &Path) -> bool {
    matches!(LEFT_OUT.get().unwrap_or(&NONE).way(path), Way::LeftOut)
}

/// Where programs are when `PATH` names no folder that counts.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An empty `PATH` means the current folder (exec(3)), which is often a project: this one has no programs.
const NOWHERE: &str = "/dev/null";

/// This process's `PATH` without folders that an agent can write, and without relative ones. Never empty.
#[must_use]
pub fn path() -> OsString {
    let left_out = LEFT_OUT.get().unwrap_or(&NONE);
    KEPT.get_or_init(|| trusted(&env::var_os("PATH").unwrap_or_default(), left_out)).clone()
}

/// A program of this machine, looked for in [`path`], which is also what it finds others by.
#[must_use]
pub fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", path());
    command
}

/// The folder of `PATH` that alone has a program, where that folder is left out.
#[must_use]
pub fn only_left_out(name: &str) -> Option<PathBuf> {
    let has = |folder: &PathBuf| folder.join(name).is_file();
    let kept = path();
    if env::split_paths(&kept).any(|folder| has(&folder)) {
        return None;
    }
    env::split_paths(&env::var_os("PATH")?).find(|folder| folder.is_absolute() && has(folder))
}

fn trusted(path: &OsStr, left_out: &LeftOut) -> OsString {
    let found = [path, OsStr::new(USUAL)].map(|path| without(path, left_out));
    found.into_iter().find(|path| !path.is_empty()).unwrap_or_else(|| NOWHERE.into())
}

fn without(path: &OsStr, left_out: &LeftOut) -> OsString {
    let folders = env::split_paths(path).filter(|folder| folder.is_absolute());
    let mut kept: Vec<PathBuf> = Vec::new();
    for real in folders.filter_map(|folder| left_out.real(&folder)) {
        // /bin often leads to /usr/bin. A real path may hold the separator.
        if !kept.contains(&real) && env::join_paths([&real]).is_ok() && !left_out.leads_on(&real) {
            kept.push(real);
        }
    }
    env::join_paths(kept).unwrap_or_default()
}

/// Where a path leads.
enum Way {
    /// The real path of what is there.
    Real(PathBuf),
    /// Nowhere: what is missing could be made only by who may write outside what is left out.
    Missing,
    /// A step of the way is left out, a link included: whoever can turn a link chooses where it leads. Or it can't be
    /// told.
    LeftOut,
}

impl LeftOut {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        match self.way(path) {
            Way::Real(real) => Some(real),
            Way::Missing | Way::LeftOut => None,
        }
    }

    fn way(&self, path: &Path) -> Way {
        /// As many as Linux follows (`path_resolution(7)`).
        const MOST_LINKS: usize = 40;
        let mut steps: VecDeque<OsString> = path.iter().map(OsStr::to_owned).collect();
        let (mut real, mut links) = (PathBuf::from("/"), 0);
        while let Some(step) = steps.pop_front() {
            let next = match step.to_str() {
                Some("/") => PathBuf::from("/"),
                Some("..") => real.parent().unwrap_or(Path::new("/")).to_path_buf(),
                _ => real.join(&step),
            };
            if self.folders.iter().any(|folder| next.starts_with(folder)) {
                return Way::LeftOut;
            }
            let found = match fs_err::symlink_metadata(&next) {
                Ok(found) => found,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Way::Missing;
                }
                Err(_) => return Way::LeftOut,
            };
            if !self.has_not(&found) {
                return Way::LeftOut;
            }
            if !found.is_symlink() {
                real = next;
                continue;
            }
            links += 1;
            let Some(target) = fs_err::read_link(&next).ok().filter(|_| links <= MOST_LINKS) else {
                return Way::LeftOut;
            };
            for step in target.iter().rev() {
                steps.push_front(step.to_owned());
            }
        }
        Way::Real(real)
    }

    fn has_not(&self, found: &Metadata) -> bool {
        const OTHERS_WRITE: u32 = 0o022;
        let is_roots = found.uid() == 0 && (found.is_symlink() || found.mode() & OTHERS_WRITE == 0);
        !self.ids.contains(&id(found)) && (is_roots || !self.all_but_roots)
    }

    /// Whether what we run from a folder would be something else than lies there.
    fn leads_on(&self, folder: &Path) -> bool {
        let is_there = |program: &PathBuf| program.symlink_metadata().is_ok();
        ["docker", "git"]
            .map(|name| folder.join(name))
            .iter()
            .filter(|it| is_there(it))
            .any(|it| matches!(self.way(it), Way::LeftOut))
    }
}

/// A folder by its device, its inode and when it was made: the number of one that is gone is given to another.
pub type FolderNumbers = (u64, u64, Option<Duration>);

/// The numbers of what was found.
#[must_use]
pub fn id(found: &Metadata) -> FolderNumbers {
    let made = found.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    (found.dev(), found.ino(), made)
}

/// The real path of what agents can't write at, of what is there.
#[must_use]
pub fn real(path: &Path) -> Option<PathBuf> {
    LEFT_OUT.get().unwrap_or(&NONE).real(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(path: &Path) -> PathBuf {
        fs_err::canonicalize(path).unwrap()
    }

    /// Whoever can turn a link leads `PATH` wherever a program of theirs lies.
    #[test]
    fn a_link_of_an_agents_that_leads_outside_is_left_out_too() {
        use fs_err::os::unix::fs::symlink;
        let (project, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let left_out = LeftOut { folders: vec![canonical(project.path())], ..LeftOut::default() };
        let link = project.path().join("bin");
        symlink(outside.path(), &link).unwrap();
        assert_eq!(without(link.as_os_str(), &left_out), "");
        assert_eq!(left_out.real(&link.join("..")), None);
        // What is not there is an agent's only where an agent could make it.
        assert!(matches!(left_out.way(&project.path().join("none/bin")), Way::LeftOut));
        assert!(matches!(left_out.way(&outside.path().join("none/bin")), Way::Missing));
        fs_err::write(outside.path().join("file"), "").unwrap();
        assert!(matches!(left_out.way(&outside.path().join("file/bin")), Way::Missing));
        symlink(outside.path().join("none"), outside.path().join("dangling")).unwrap();
        assert!(matches!(left_out.way(&outside.path().join("dangling/bin")), Way::Missing));
        assert_eq!(without(outside.path().as_os_str(), &left_out), canonical(outside.path()).as_os_str());
        // A program of the person's own that leads into it.
        symlink(project.path().join("tool"), outside.path().join("docker")).unwrap();
        assert_eq!(without(outside.path().as_os_str(), &left_out), "");
    }

    /// `realpath` gives up on what `execve` goes through.
    #[test]
    fn a_link_that_leads_further_than_a_path_is_long_is_left_out() {
        let (project, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let deep: PathBuf = std::iter::repeat_n("d".repeat(200), 15).collect();
        let below = project.path().join(&deep);
        fs_err::create_dir_all(&below).unwrap();
        // From its end, as deep again, by a name that is short.
        fs_err::os::unix::fs::symlink(&below, outside.path().join("half")).unwrap();
        fs_err::create_dir_all(outside.path().join("half").join(&deep)).unwrap();
        let link = outside.path().join("bin");
        fs_err::os::unix::fs::symlink(Path::new("half").join(&deep), &link).unwrap();
        assert!(link.is_dir() && fs_err::canonicalize(&link).is_err());
        let left_out = LeftOut { folders: vec![canonical(project.path())], ..LeftOut::default() };
        assert_eq!(without(link.as_os_str(), &left_out), "");
        assert_eq!(left_out.real(&link), None);
    }

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
            outside.path(),
        ])
        .unwrap();
        let wanted = env::join_paths([Path::new("/usr/bin"), &canonical(outside.path())]).unwrap();
        let ids = fs_err::metadata(&project).map(|it| BTreeSet::from([id(&it)])).unwrap();
        assert_eq!(trusted(&path, &LeftOut { folders: vec![project], ..LeftOut::default() }), wanted);
        assert_eq!(trusted(&path, &LeftOut { ids, ..LeftOut::default() }), wanted, "whatever it is called");
        let known = LeftOut { all_but_roots: true, ..LeftOut::default() };
        assert_eq!(trusted(&path, &known), "/usr/bin", "anybody can write in the folder of these");
    }

    #[test]
    fn a_path_of_which_nothing_is_left_is_not_the_current_folder() {
        let project = tempfile::tempdir().unwrap();
        let project = fs_err::canonicalize(project.path()).unwrap();
        for path in ["", ".", ":", "node_modules/.bin:", project.to_str().unwrap()] {
            let usual = without(USUAL.as_ref(), &NONE);
            assert!(!usual.is_empty());
            let left_out = LeftOut { folders: vec![project.clone()], ..LeftOut::default() };
            assert_eq!(trusted(path.as_ref(), &left_out), usual, "{path}");
        }
        let everything = LeftOut { folders: vec!["/".into()], ..LeftOut::default() };
        assert_eq!(trusted(".".as_ref(), &everything), NOWHERE);
    }
}
