//! An open folder: everything in it is reached by one name, relative to the handle, and never through a link.

use super::TreeError;
use super::plain::{self, Entry, FOLDER, LARGEST, LINK, kind};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};

/// How the name of a file that was not yet renamed begins. A crash leaves it behind; the next write removes it.
const STAGED: &str = ".bottle-staged-";

/// A folder, held open.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: Utf8PathBuf,
}

/// A new file, complete and synced, that does not yet have its name. Dropping it removes it.
#[derive(Debug)]
pub struct Staged<'a> {
    folder: &'a Folder,
    temporary: String,
    name: String,
    done: bool,
}

impl Folder {
    /// Opens a folder that the user named, links included.
    pub fn open(path: &Utf8Path) -> Result<Self, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let shown = if path.as_str().is_empty() { Utf8Path::new(".") } else { path };
        let handle =
            rustix::fs::open(shown.as_std_path(), flags, Mode::empty()).map_err(failed("open", shown))?;
        Ok(Self { handle, path: shown.to_owned() })
    }

    /// Opens a folder, absolute, that something is written into. Links right below `/` are the system's (`/tmp`, `/home`);
    /// any other one may be an agent's, and is not followed.
    pub fn open_for_output(path: &Utf8Path) -> Result<Self, TreeError> {
        let mut names: Vec<&str> = names(path).collect();
        let first = Utf8Path::new("/").join(if names.is_empty() { "" } else { names.remove(0) });
        let Some(last) = names.pop() else { return Self::open(&first) };
        let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle =
            rustix::fs::open(first.as_std_path(), way, Mode::empty()).map_err(failed("open", &first))?;
        let mut folder = Self { handle, path: first };
        for name in names {
            folder = folder.child_with(name, way)?; // a folder on the way need not be readable
        }
        folder.child(last)
    }

    /// Opens the folder at `relative` below this one, component by component, and makes what is missing.
    pub fn make(&self, relative: &Utf8Path) -> Result<Self, TreeError> {
        let mut folder = self.again()?;
        for name in names(relative) {
            match rustix::fs::mkdirat(&folder.handle, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let made = folder.child(name)?;
                    made.set_mode(0o755)?; // whatever the umask
                    folder = made;
                }
                Err(Errno::EXIST) => folder = folder.child(name)?,
                Err(error) => return Err(failed("make", &folder.path.join(name))(error)),
            }
        }
        Ok(folder)
    }

    /// The same, where each that is made belongs to the owner of the folder that it is in.
    pub fn make_alike(&self, relative: &Utf8Path) -> Result<Self, TreeError> {
        let mut folder = self.again()?;
        for name in names(relative) {
            if folder.entry(name)?.is_some() {
                folder = folder.child(name)?;
                continue;
            }
            let made = folder.make(Utf8Path::new(name))?;
            // Whoever may write here can have put another folder in its place.
            if made.entries()?.is_empty() {
                folder.give_owner_to(&made.handle, &made.path)?;
            }
            folder = made;
        }
        Ok(folder)
    }

    /// Makes the file `name` where there is nothing, empty; it belongs to the folder's owner.
    pub fn make_file_alike(&self, name: &str) -> Result<(), TreeError> {
        if self.entry(name)?.is_none() {
            let file = self.make_file(name, false)?;
            self.give_owner_to(&file, &self.path.join(name))?;
        }
        Ok(())
    }

    fn give_owner_to(&self, made: impl AsFd, path: &Utf8Path) -> Result<(), TreeError> {
        let give = || {
            let (own, its) = (rustix::fs::fstat(&self.handle)?, rustix::fs::fstat(&made)?);
            if (own.st_uid, own.st_gid) == (its.st_uid, its.st_gid) {
                return Ok(());
            }
            let (user, group) =
                (rustix::fs::Uid::from_raw(own.st_uid), rustix::fs::Gid::from_raw(own.st_gid));
            rustix::fs::fchown(&made, Some(user), Some(group))
        };
        give().map_err(failed("set the owner of", path))
    }

    /// Opens the folder at `relative` below this one, or nothing where there is none.
    pub fn find(&self, relative: &Utf8Path) -> Result<Option<Self>, TreeError> {
        let mut folder = self.again()?;
        for name in names(relative) {
            if folder.entry(name)?.is_none() {
                return Ok(None);
            }
            folder = folder.child(name)?;
        }
        Ok(Some(folder))
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The open folder, for system calls that take names relative to it.
    #[must_use]
    pub fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Sets the permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<(), TreeError> {
        rustix::fs::fchmod(&self.handle, Mode::from_raw_mode(mode))
            .map_err(failed("set the mode of", &self.path))
    }

    /// Gives the folder to another user.
    pub fn set_owner(&self, uid: u32) -> Result<(), TreeError> {
        let (user, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(uid));
        rustix::fs::fchown(&self.handle, Some(user), Some(group))
            .map_err(failed("set the owner of", &self.path))
    }

    /// What stands under `name`, without following a link.
    pub fn entry(&self, name: &str) -> Result<Option<Entry>, TreeError> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(kind(FileType::from_raw_mode(stat.st_mode)))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("look at", &self.path.join(name))(error)),
        }
    }

    /// Every name in this folder with what it is, sorted.
    pub fn entries(&self) -> Result<Vec<(String, Entry)>, TreeError> {
        let reading = |error| failed("list", &self.path)(error);
        let mut found = Vec::new();
        for item in rustix::fs::Dir::read_from(&self.handle).map_err(reading)? {
            let item = item.map_err(reading)?;
            let Ok(name) = item.file_name().to_str() else {
                return Err(TreeError::Name { folder: self.path.clone() });
            };
            if !matches!(name, "." | "..")
                && let Some(entry) = self.entry(name)?
            {
                found.push((name.to_owned(), entry));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// The bytes of the plain file `name`, or nothing where there is none. It has at most [`LARGEST`] bytes.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TreeError> {
        self.read_at_most(name, LARGEST)
    }

    /// The same for a file that has at most `limit` bytes.
    pub fn read_at_most(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let path = self.path.join(name);
        match self.entry(name)? {
            None => return Ok(None),
            Some(Entry::File) => {}
            Some(Entry::Folder) => return Err(TreeError::NotPlain { path, what: FOLDER }),
            Some(Entry::Other(what)) => return Err(TreeError::NotPlain { path, what }),
        }
        let handle = match rustix::fs::openat(&self.handle, name, plain::FLAGS, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(TreeError::NotPlain { path, what: LINK }),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        match plain::read(handle, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(plain::Refusal::Is(what)) => Err(TreeError::NotPlain { path, what }),
            Err(plain::Refusal::TooLarge) => Err(TreeError::TooLarge { path, limit }),
            Err(plain::Refusal::Io(source)) => Err(TreeError::Io { doing: "read", path, source }),
        }
    }

    /// Whether the plain file `name` has these bytes, this mode and, where one is given, this owner.
    pub fn is_as_wanted(
        &self,
        name: &str,
        bytes: &[u8],
        mode: u32,
        uid: Option<u32>,
    ) -> Result<bool, TreeError> {
        let stat = match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(failed("look at", &self.path.join(name))(error)),
        };
        let size_differs = u64::try_from(stat.st_size) != Ok(bytes.len() as u64);
        let owner_differs = uid.is_some_and(|uid| stat.st_uid != uid);
        if size_differs || owner_differs || stat.st_mode & 0o7777 != mode {
            return Ok(false);
        }
        Ok(self.read_at_most(name, bytes.len() as u64)?.as_deref() == Some(bytes))
    }

    /// Writes and syncs a new file for `name`, under a temporary name beside it.
    pub fn stage(&self, name: &str, bytes: &[u8], mode: u32) -> Result<Staged<'_>, TreeError> {
        self.stage_for(name, bytes, mode, None)
    }

    /// The same, for a file that belongs to another user. The owner is set before a byte is written.
    pub fn stage_for(
        &self,
        name: &str,
        bytes: &[u8],
        mode: u32,
        uid: Option<u32>,
    ) -> Result<Staged<'_>, TreeError> {
        let path = self.path.join(name);
        if matches!(self.entry(name)?, Some(Entry::Folder)) {
            return Err(TreeError::NotPlain { path, what: FOLDER });
        }
        let temporary = format!("{}{name}", own_prefix());
        self.remove(&temporary)?; // a killed process may have had this process's number
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let owner_only = Mode::from_raw_mode(0o600);
        let handle = rustix::fs::openat(&self.handle, temporary.as_str(), flags, owner_only)
            .map_err(failed("write", &path))?;
        let staged = Staged { folder: self, temporary, name: name.to_owned(), done: false };
        if let Some(uid) = uid {
            let (user, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(uid));
            rustix::fs::fchown(&handle, Some(user), Some(group))
                .map_err(failed("set the owner of", &path))?;
        }
        let mut file = File::from(handle);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|source| TreeError::Io { doing: "write", path: path.clone(), source })?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed("set the mode of", &path))?;
        Ok(staged)
    }

    /// Removes the file `name`.
    pub fn remove(&self, name: &str) -> Result<(), TreeError> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove", &self.path.join(name))(error)),
        }
    }

    /// Gives the entry `name` another name in this folder.
    pub fn rename(&self, name: &str, to: &str) -> Result<(), TreeError> {
        rustix::fs::renameat(&self.handle, name, &self.handle, to)
            .map_err(failed("rename", &self.path.join(name)))
    }

    /// Removes what a killed write left behind in this folder, and keeps what this process has staged. Call it under
    /// the lock only.
    pub fn sweep(&self) -> Result<(), TreeError> {
        for (name, entry) in self.entries()? {
            if is_staged(&name) && !name.starts_with(&own_prefix()) && entry == Entry::File {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Makes renames and removals durable.
    pub fn sync(&self) -> Result<(), TreeError> {
        rustix::fs::fsync(&self.handle).map_err(failed("sync", &self.path))
    }

    /// The folder `name` in this one, which is no link.
    pub fn child(&self, name: &str) -> Result<Self, TreeError> {
        self.child_with(name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)
    }

    fn child_with(&self, name: &str, flags: OFlags) -> Result<Self, TreeError> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.handle, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(handle) => Ok(Self { handle, path }),
            // With DIRECTORY a link reads as "not a directory" on Linux and as a loop elsewhere.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let what = match self.entry(name)? {
                    Some(Entry::Other(what)) => what,
                    _ => "a file where a folder is expected",
                };
                Err(TreeError::NotPlain { path, what })
            }
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    fn again(&self) -> Result<Self, TreeError> {
        let handle = self.handle.try_clone();
        let handle =
            handle.map_err(|source| TreeError::Io { doing: "open", path: self.path.clone(), source })?;
        Ok(Self { handle, path: self.path.clone() })
    }
}

impl Staged<'_> {
    /// Gives the file its name; what had the name before is gone.
    pub fn commit(mut self) -> Result<(), TreeError> {
        let handle = &self.folder.handle;
        rustix::fs::renameat(handle, self.temporary.as_str(), handle, self.name.as_str())
            .map_err(failed("replace", &self.folder.path.join(&self.name)))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.folder.remove(&self.temporary); // `sweep` gets what stays
        }
    }
}

/// Whether a killed write left this file.
pub(crate) fn is_staged(name: &str) -> bool {
    name.starts_with(STAGED)
}

fn own_prefix() -> String {
    format!("{STAGED}{}-", std::process::id())
}

fn names(relative: &Utf8Path) -> impl Iterator<Item = &str> {
    relative.components().filter_map(|component| match component {
        Utf8Component::Normal(name) => Some(name),
        Utf8Component::ParentDir => Some(".."),
        _ => None,
    })
}

pub(super) fn failed(doing: &'static str, path: &Utf8Path) -> impl FnOnce(Errno) -> TreeError {
    let path = path.to_owned();
    move |error| TreeError::Io { doing, path, source: error.into() }
}
