//! Filling a folder of bottle's own with a copy, and removing it again.

use super::folder::failed;
use super::{Folder, TreeError};
use camino::Utf8Path;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;

impl Folder {
    /// Makes the folder `name`, which must not be there, with mode 0755 whatever the umask.
    pub fn make_new(&self, name: &str) -> Result<Self, TreeError> {
        rustix::fs::mkdirat(self.handle(), name, Mode::from_raw_mode(0o700))
            .map_err(failed("make", &self.path().join(name)))?;
        let made = self.child(name)?;
        made.set_mode(0o755)?;
        Ok(made)
    }

    /// Makes the file `name`, which must not be there, open for writing. Its mode is 0755 if it is `executable`, else
    /// 0644, whatever the umask.
    pub fn make_file(&self, name: &str, executable: bool) -> Result<File, TreeError> {
        let path = self.path().join(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(self.handle(), name, flags, Mode::from_raw_mode(0o600))
            .map_err(failed("write", &path))?;
        let mode = if executable { 0o755 } else { 0o644 };
        rustix::fs::fchmod(&handle, Mode::from_raw_mode(mode)).map_err(failed("set the mode of", &path))?;
        Ok(File::from(handle))
    }

    /// Makes the symbolic link `name`, which must not be there, with the text `target`.
    pub fn make_link(&self, name: &str, target: &str) -> Result<(), TreeError> {
        rustix::fs::symlinkat(target, self.handle(), name).map_err(failed("make", &self.path().join(name)))
    }

    /// Removes `name` and, where it is a folder, all that is in it. A link is removed, never followed. It is no error
    /// where there is nothing.
    ///
    /// For folders that bottle made: the nesting is not limited here.
    pub fn remove_all(&self, name: &str) -> Result<(), TreeError> {
        match rustix::fs::unlinkat(self.handle(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Linux says ISDIR, POSIX and macOS say PERM.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(failed("remove", &self.path().join(name))(error)),
        }
        let folder = self.child(name)?;
        for (inner, _) in folder.entries()? {
            folder.remove_all(&inner)?;
        }
        let path: &Utf8Path = folder.path();
        match rustix::fs::unlinkat(self.handle(), name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove", path)(error)),
        }
    }
}
