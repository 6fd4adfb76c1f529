//! `bottles.json`: every bottle that this person has rendered on this machine.
//!
//! It is the only way by which a state is found. A `.env` or a tree in a project can name any folder; neither is
//! asked. Keyed by the output folder; the manifest's folder is remembered with its device and inode as well, so that
//! a stack is found after its folder was renamed.

use super::ConsentError;
use super::path_index::PathIndex;
use super::{Record, Seal};
use crate::programs::FolderNumbers;
use crate::state::resolved;
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
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
    /// The folders among them, whatever they are called by now.
    #[serde(default)]
    pub writable_folders: Vec<FolderNumbers>,
    /// The real places that its agent sees, by what was agreed to; nothing where that was withdrawn, or an older bottle
    /// rendered it.
    #[serde(default)]
    pub mounted: Option<Vec<Utf8PathBuf>>,
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

/// The registry as it was read, and what is looked up in it for each bottle of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    bottles: BTreeMap<Utf8PathBuf, Bottle>,
    manifests: PathIndex,
    writable: PathIndex,
    projects: BTreeMap<String, BTreeSet<Utf8PathBuf>>,
    /// Made when it is first asked for: each path is looked up on the disk.
    places: OnceCell<Places>,
}

/// Where bottles have to do with this machine, links resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Places {
    states: PathIndex,
    mounted: PathIndex,
    /// The state and the mounts of each bottle, as they were put in.
    of: BTreeMap<Utf8PathBuf, (Utf8PathBuf, Vec<Utf8PathBuf>)>,
}

/// Which file `bottles.json` is: each write makes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: i64,
    modified: (i64, i64),
}

impl Bottle {
    /// What its agent sees of this machine, as it was agreed to and not withdrawn; of an older bottle the record says so.
    #[must_use]
    pub fn agreed_mounts(&self) -> Option<Vec<Utf8PathBuf>> {
        self.mounted.clone().or_else(|| {
            let record = Record::load(&self.state).ok().flatten()?;
            Some(record.capabilities.places().into_iter().collect())
        })
    }

    /// The same; of what was withdrawn, or can't be read, what it could write.
    fn sources(&self) -> Vec<Utf8PathBuf> {
        self.agreed_mounts().unwrap_or_else(|| self.writable.clone())
    }
}

impl Places {
    fn insert(&mut self, bottle: &Bottle) {
        let state = resolved(&bottle.state);
        let mounted: Vec<Utf8PathBuf> = bottle.sources().iter().map(|place| resolved(place)).collect();
        self.states.insert(&state, &bottle.out);
        for place in &mounted {
            self.mounted.insert(place, &bottle.out);
        }
        self.of.insert(bottle.out.clone(), (state, mounted));
    }

    fn remove(&mut self, out: &Utf8Path) {
        let Some((state, mounted)) = self.of.remove(out) else { return };
        self.states.remove(&state, out);
        for place in &mounted {
            self.mounted.remove(place, out);
        }
    }
}

impl Registry {
    /// Reads the registry below `home`; empty where there is none yet.
    pub fn load(home: &Utf8Path) -> Result<Self, ConsentError> {
        if !home.is_dir() {
            return Ok(Self::default());
        }
        Self::read(&open(home)?)
    }

    /// Puts bottles in, each in place of the one with the same output folder; gives back the registry as it then is, and
    /// its stamp.
    pub(super) fn remember(
        home: &Utf8Path,
        bottles: &[Bottle],
    ) -> Result<(Self, Option<Stamp>), ConsentError> {
        crate::state::make_private(home)?;
        let folder = open(home)?;
        let _held = lock(&folder)?;
        let mut registry = Self::read(&folder)?;
        let known = |bottle: &Bottle| registry.of_out(&bottle.out) == Some(bottle);
        if !bottles.iter().all(known) {
            for bottle in bottles {
                registry.insert(bottle.clone());
            }
            registry.write(&folder)?;
        }
        let stamp = stamp(&folder)?;
        Ok((registry, stamp))
    }

    /// Takes the bottle of an output folder out.
    pub fn forget(home: &Utf8Path, out: &Utf8Path) -> Result<(), ConsentError> {
        let folder = open(home)?;
        let _held = lock(&folder)?;
        let mut registry = Self::read(&folder)?;
        registry.remove(out);
        registry.write(&folder)
    }

    /// Every bottle, by output folder.
    pub fn bottles(&self) -> impl Iterator<Item = &Bottle> {
        self.bottles.values()
    }

    /// The bottle of an output folder.
    #[must_use]
    pub fn of_out(&self, out: &Utf8Path) -> Option<&Bottle> {
        self.bottles.get(out)
    }

    /// The bottles that were rendered from a manifest, whatever it says by now.
    pub fn of_manifest(&self, manifest: &Utf8Path) -> impl Iterator<Item = &Bottle> {
        self.manifests.at(manifest).filter_map(|out| self.of_out(out))
    }

    /// The bottles of a Compose project: one, but for a collision of its digits.
    pub fn of_project(&self, project: &str) -> impl Iterator<Item = &Bottle> {
        self.projects.get(project).into_iter().flatten().filter_map(|out| self.of_out(out))
    }

    /// The bottles whose manifest lies, or lay when it was rendered, in this folder.
    pub fn of_folder(&self, folder: &Utf8Path) -> impl Iterator<Item = &Bottle> {
        let id = FolderId::at(folder);
        self.bottles().filter(move |bottle| {
            bottle.manifest.parent() == Some(folder) || id.is_some_and(|id| bottle.folder == id)
        })
    }

    /// A bottle whose agent can write to this path, which has no links.
    #[must_use]
    pub fn writer_of(&self, path: &Utf8Path) -> Option<&Bottle> {
        self.writable.above(path).into_iter().find_map(|(_, out)| self.of_out(out))
    }

    /// Bottles whose state holds this path or lies in it.
    pub fn states_at(&self, path: &Utf8Path) -> impl Iterator<Item = &Bottle> {
        let found = self.places().states.around(&resolved(path));
        found.into_iter().filter_map(|(_, out)| self.of_out(out))
    }

    /// What agents see that holds this path or lies in it, each with its bottle.
    pub fn mounted_at(&self, path: &Utf8Path) -> impl Iterator<Item = (&Utf8Path, &Bottle)> {
        let found = self.places().mounted.around(&resolved(path));
        found.into_iter().filter_map(|(place, out)| Some((place, self.of_out(out)?)))
    }

    /// How many bottles there are.
    pub(super) fn count(&self) -> usize {
        self.bottles.len()
    }

    /// Puts one in, in place of the one with the same output folder.
    pub(super) fn insert(&mut self, bottle: Bottle) {
        self.remove(&bottle.out);
        self.manifests.insert(&bottle.manifest, &bottle.out);
        bottle.writable.iter().for_each(|place| self.writable.insert(place, &bottle.out));
        self.projects.entry(bottle.project.clone()).or_default().insert(bottle.out.clone());
        if let Some(places) = self.places.get_mut() {
            places.insert(&bottle);
        }
        self.bottles.insert(bottle.out.clone(), bottle);
    }

    fn remove(&mut self, out: &Utf8Path) {
        let Some(old) = self.bottles.remove(out) else { return };
        self.manifests.remove(&old.manifest, out);
        old.writable.iter().for_each(|place| self.writable.remove(place, out));
        if let Some(outs) = self.projects.get_mut(&old.project) {
            outs.remove(out);
        }
        if let Some(places) = self.places.get_mut() {
            places.remove(out);
        }
    }

    fn places(&self) -> &Places {
        self.places.get_or_init(|| {
            let mut places = Places::default();
            self.bottles().for_each(|bottle| places.insert(bottle));
            places
        })
    }

    pub(super) fn read(folder: &Folder) -> Result<Self, ConsentError> {
        let Some(text) = folder.read_at_most(FILE, LARGEST)? else { return Ok(Self::default()) };
        let damaged = |why: String| ConsentError::Damaged { path: folder.path().join(FILE), why };
        let file: File = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if file.version != 1 {
            return Err(damaged(format!("this bottle reads version 1, not {}", file.version)));
        }
        let mut registry = Self::default();
        file.bottles.into_iter().for_each(|bottle| registry.insert(bottle));
        Ok(registry)
    }

    fn write(&self, folder: &Folder) -> Result<(), ConsentError> {
        let file = File { version: 1, bottles: self.bottles().cloned().collect() };
        folder.stage(FILE, &super::json(&file)?, 0o600)?.commit()?;
        Ok(folder.sync()?)
    }
}

/// Which file the registry is in now; nothing where there is none.
pub(super) fn stamp(folder: &Folder) -> Result<Option<Stamp>, ConsentError> {
    match rustix::fs::statat(folder.handle(), FILE, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Stamp {
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
        })),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(crate::tree::TreeError::Io {
            doing: "look at",
            path: folder.path().join(FILE),
            source: error.into(),
        }
        .into()),
    }
}

/// The home of all states, if nobody else can write there.
pub(super) fn open(home: &Utf8Path) -> Result<Folder, ConsentError> {
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
            writable_folders: Vec::new(),
            mounted: Some(vec!["/p".into()]),
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
            Registry::remember(&home, &[bottle(out)]).unwrap();
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
        assert_eq!(registry.of_project("bottle-dev-abc123").count(), 2);
        assert_eq!(registry.of_project("bottle-dev").count(), 0);
        Registry::forget(&home, "/p/.bottle/a".into()).unwrap();
        let registry = Registry::load(&home).unwrap();
        assert_eq!(registry.of_manifest("/p/bottle.yaml".into()).count(), 1);
        assert_eq!(registry.of_project("bottle-dev-abc123").count(), 1);
        assert_eq!(registry.writer_of("/p".into()).map(|bottle| bottle.out.as_str()), Some("/p/.bottle/b"));
    }

    #[test]
    fn a_place_is_found_by_where_its_links_lead() {
        use fs_err::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        fs_err::create_dir_all(root.join("real/state")).unwrap();
        fs_err::create_dir_all(root.join("src/lib")).unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        let mut registry = Registry::default();
        let mut one = bottle("/x");
        one.state = root.join("link/state");
        one.mounted = Some(vec![root.join("src")]);
        registry.insert(one.clone());
        let states = |registry: &Registry, path: &str| registry.states_at(&root.join(path)).count();
        let mounted = |registry: &Registry, path: &str| registry.mounted_at(&root.join(path)).count();
        for path in ["real", "real/state", "real/state/agreed", "link"] {
            assert_eq!(states(&registry, path), 1, "{path}");
        }
        assert_eq!(states(&registry, "real/stat"), 0);
        for path in ["", "src", "src/lib"] {
            assert_eq!(mounted(&registry, path), 1, "{path}");
        }
        assert_eq!(mounted(&registry, "real"), 0);
        // In place of the one before, whatever its paths lead to by now.
        fs_err::remove_file(root.join("link")).unwrap();
        one.mounted = Some(vec![root.join("real")]);
        registry.insert(one.clone());
        assert_eq!((mounted(&registry, "src"), mounted(&registry, "real")), (0, 1));
        assert_eq!((states(&registry, "real/state"), states(&registry, "link/state")), (0, 1));
        // Of an older bottle without a record: what it could write.
        one.mounted = None;
        assert_eq!(one.sources(), one.writable);
    }

    #[test]
    fn a_folder_is_found_under_its_new_name() {
        let (dir, home) = home();
        let old = Utf8PathBuf::from_path_buf(dir.path().join("old")).unwrap();
        fs_err::create_dir(&old).unwrap();
        let mut one = bottle("/x");
        one.manifest = old.join("bottle.yaml");
        one.folder = FolderId::at(&old).unwrap();
        Registry::remember(&home, &[one.clone()]).unwrap();
        let new = old.with_file_name("new");
        fs_err::rename(&old, &new).unwrap();
        let registry = Registry::load(&home).unwrap();
        assert_eq!(registry.of_folder(&new).collect::<Vec<_>>(), [&one]);
    }

    #[test]
    fn a_registry_that_others_can_write_or_that_is_damaged_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, home) = home();
        Registry::remember(&home, &[bottle("/x")]).unwrap();
        fs_err::set_permissions(&home, std::fs::Permissions::from_mode(0o770)).unwrap();
        let error = Registry::load(&home).unwrap_err().to_string();
        assert!(error.ends_with("can be written to by other users; `chmod 700` it"), "{error}");
        fs_err::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        fs_err::write(home.join(FILE), "{}").unwrap();
        let error = Registry::load(&home).unwrap_err().to_string();
        assert!(error.contains("bottles.json is damaged: missing field"), "{error}");
    }
}
