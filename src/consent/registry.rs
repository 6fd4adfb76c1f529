//! `bottles.json`: every bottle that this person has rendered on this machine.
//!
//! It is the only way by which a state is found. A `.env` or a tree in a project can name any folder; neither is
//! asked. Keyed by the output folder; the manifest's folder is remembered with its device and inode as well, so that
//! a stack is found after its folder was renamed.

use super::ConsentError;
use super::Seal;
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// The file's name in the home of all states.
const FILE: &str = "bottles.json";
const LOCK: &str = "bottles.lock";
/// Thousands of bottles.
const LARGEST: u64 = 16 << 20;

/// One rendered bottle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bottle {
    /// The output folder: canonical, absolute. No two bottles have the same.
    pub out: Utf8PathBuf,
    /// The manifest: absolute, its folder without links.
    pub manifest: Utf8PathBuf,
    /// The manifest's folder, whatever it is called by now.
    pub folder: FolderId,
    /// The bottle's name.
    pub name: String,
    /// The Compose project.
    pub project: String,
    /// The state folder.
    pub state: Utf8PathBuf,
    /// The real places of this machine that its agent can write to.
    pub writable: Vec<Utf8PathBuf>,
    /// What its state held when it was rendered; empty where an older bottle rendered it.
    #[serde(default)]
    pub seal: Seal,
}

/// A folder, by what a rename does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderId {
    device: u64,
    inode: u64,
}

impl FolderId {
    /// Of the folder at a path, links followed; nothing where there is none.
    #[must_use]
    pub fn at(path: &Utf8Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs_err::metadata(path).ok()?;
        found.is_dir().then(|| Self { device: found.dev(), inode: found.ino() })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    bottles: Vec<Bottle>,
}

/// The registry as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    bottles: Vec<Bottle>,
}

impl Registry {
    /// Reads the registry below `home`; empty where there is none yet.
    pub fn load(home: &Utf8Path) -> Result<Self, ConsentError> {
        if !home.is_dir() {
            return Ok(Self::default());
        }
        Self::read(&open(home)?)
    }

    /// Puts a bottle in, in place of the one with the same output folder.
    pub fn remember(home: &Utf8Path, bottle: Bottle) -> Result<(), ConsentError> {
        crate::state::make_private(home)?;
        let folder = open(home)?;
        let _held = lock(&folder)?;
        let mut registry = Self::read(&folder)?;
        if registry.bottles.contains(&bottle) {
            return Ok(());
        }
        registry.bottles.retain(|other| other.out != bottle.out);
        registry.bottles.push(bottle);
        registry.bottles.sort_by(|a, b| a.out.cmp(&b.out));
        registry.write(&folder)
    }

    /// Takes the bottle of an output folder out.
    pub fn forget(home: &Utf8Path, out: &Utf8Path) -> Result<(), ConsentError> {
        let folder = open(home)?;
        let _held = lock(&folder)?;
        let mut registry = Self::read(&folder)?;
        registry.bottles.retain(|bottle| bottle.out != out);
        registry.write(&folder)
    }

    /// Every bottle, by output folder.
    pub fn bottles(&self) -> impl Iterator<Item = &Bottle> {
        self.bottles.iter()
    }

    /// The bottle of an output folder.
    #[must_use]
    pub fn of_out(&self, out: &Utf8Path) -> Option<&Bottle> {
        self.bottles.iter().find(|bottle| bottle.out == out)
    }

    /// The bottles that were rendered from a manifest, whatever it says by now.
    pub fn of_manifest(&self, manifest: &Utf8Path) -> impl Iterator<Item = &Bottle> {
        self.bottles.iter().filter(move |bottle| bottle.manifest == manifest)
    }

    /// The bottles whose manifest lies, or lay when it was rendered, in this folder.
    pub fn of_folder(&self, folder: &Utf8Path) -> impl Iterator<Item = &Bottle> {
        let id = FolderId::at(folder);
        self.bottles.iter().filter(move |bottle| {
            bottle.manifest.parent() == Some(folder) || id.is_some_and(|id| bottle.folder == id)
        })
    }

    /// A bottle whose agent can write to this path, which has no links.
    #[must_use]
    pub fn writer_of(&self, path: &Utf8Path) -> Option<&Bottle> {
        self.bottles.iter().find(|bottle| bottle.writable.iter().any(|place| path.starts_with(place)))
    }

    fn read(folder: &Folder) -> Result<Self, ConsentError> {
        let Some(text) = folder.read_at_most(FILE, LARGEST)? else { return Ok(Self::default()) };
        let damaged = |why: String| ConsentError::Damaged { path: folder.path().join(FILE), why };
        let file: File = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if file.version != 1 {
            return Err(damaged(format!("this bottle reads version 1, not {}", file.version)));
        }
        Ok(Self { bottles: file.bottles })
    }

    fn write(&self, folder: &Folder) -> Result<(), ConsentError> {
        let file = File { version: 1, bottles: self.bottles.clone() };
        folder.stage(FILE, &super::json(&file)?, 0o600)?.commit()?;
        Ok(folder.sync()?)
    }
}

/// The home of all states, if nobody else can write there.
fn open(home: &Utf8Path) -> Result<Folder, ConsentError> {
    let folder = Folder::open(home)?;
    let looked = rustix::fs::fstat(folder.handle());
    let stat = looked.map_err(|error| crate::tree::TreeError::Io {
        doing: "look at",
        path: home.to_owned(),
        source: error.into(),
    })?;
    let me = rustix::process::geteuid();
    if stat.st_uid != me.as_raw() && !me.is_root() {
        return Err(ConsentError::OfAnotherUser { path: home.to_owned(), owner: stat.st_uid });
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(ConsentError::WritableByOthers(home.to_owned()));
    }
    Ok(folder)
}

/// One writer at a time; a write takes milliseconds.
fn lock(folder: &Folder) -> Result<OwnedFd, ConsentError> {
    let failed = |error: rustix::io::Errno| crate::tree::TreeError::Io {
        doing: "lock",
        path: folder.path().join(LOCK),
        source: error.into(),
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(folder.handle(), LOCK, flags, Mode::from_raw_mode(0o600));
    let handle = handle.map_err(failed)?;
    rustix::fs::flock(&handle, FlockOperation::LockExclusive).map_err(failed)?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bottle(out: &str) -> Bottle {
        Bottle {
            out: out.into(),
            manifest: "/p/bottle.yaml".into(),
            folder: FolderId { device: 1, inode: 2 },
            name: "dev".into(),
            project: "bottle-dev-abc123".into(),
            state: "/s".into(),
            writable: vec!["/p".into()],
            seal: Seal::default(),
        }
    }

    fn home() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8PathBuf::from_path_buf(dir.path().join("bottle")).unwrap();
        (dir, home)
    }

    #[test]
    fn what_is_remembered_is_found() {
        let (_dir, home) = home();
        assert_eq!(Registry::load(&home).unwrap(), Registry::default());
        for out in ["/p/.bottle/b", "/p/.bottle/a", "/p/.bottle/a"] {
            Registry::remember(&home, bottle(out)).unwrap();
        }
        let registry = Registry::load(&home).unwrap();
        let outs: Vec<_> = registry.bottles().map(|bottle| bottle.out.as_str()).collect();
        assert_eq!(outs, ["/p/.bottle/a", "/p/.bottle/b"]);
        assert_eq!(registry.of_manifest(Utf8Path::new("/p/bottle.yaml")).count(), 2);
        assert_eq!(registry.of_folder(Utf8Path::new("/p")).count(), 2);
        assert!(registry.writer_of(Utf8Path::new("/p/src/bottle.yaml")).is_some());
        assert!(registry.writer_of(Utf8Path::new("/pp")).is_none());
        assert!(registry.of_out(Utf8Path::new("/p/.bottle/a")).is_some());
        assert!(registry.of_out(Utf8Path::new("/p/.bottle/c")).is_none());
    }

    #[test]
    fn a_folder_is_found_under_its_new_name() {
        let (dir, home) = home();
        let old = Utf8PathBuf::from_path_buf(dir.path().join("old")).unwrap();
        fs_err::create_dir(&old).unwrap();
        let mut one = bottle("/x");
        one.manifest = old.join("bottle.yaml");
        one.folder = FolderId::at(&old).unwrap();
        Registry::remember(&home, one.clone()).unwrap();
        let new = old.with_file_name("new");
        fs_err::rename(&old, &new).unwrap();
        let registry = Registry::load(&home).unwrap();
        assert_eq!(registry.of_folder(&new).collect::<Vec<_>>(), [&one]);
    }

    #[test]
    fn a_registry_that_others_can_write_or_that_is_damaged_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, home) = home();
        Registry::remember(&home, bottle("/x")).unwrap();
        fs_err::set_permissions(&home, std::fs::Permissions::from_mode(0o770)).unwrap();
        let error = Registry::load(&home).unwrap_err().to_string();
        assert!(error.ends_with("can be written to by other users; `chmod 700` it"), "{error}");
        fs_err::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        fs_err::write(home.join(FILE), "{}").unwrap();
        let error = Registry::load(&home).unwrap_err().to_string();
        assert!(error.contains("bottles.json is damaged: missing field"), "{error}");
    }
}
