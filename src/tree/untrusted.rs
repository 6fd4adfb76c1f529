//! Reading a folder that an agent may be writing in: nothing waits, nothing is followed, everything has a limit.

use super::folder::failed;
use super::{Folder, TreeError};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;

/// What a name in a folder stands for, at the time of looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A plain file.
    File {
        /// In bytes.
        size: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A socket, pipe or device: what it is, with its article.
    Other(&'static str),
}

impl Folder {
    /// Names in this folder with what they are, sorted, and whether there are more than `limit` of them. The names
    /// above the limit are left out.
    pub fn list_at_most(&self, limit: usize) -> Result<(Vec<(String, Found)>, bool), TreeError> {
        let reading = |error| failed("list", self.path())(error);
        let mut found = Vec::new();
        let mut more = false;
        for item in rustix::fs::Dir::read_from(self.handle()).map_err(reading)? {
            let item = item.map_err(reading)?;
            let Ok(name) = item.file_name().to_str() else {
                return Err(TreeError::Name { folder: self.path().to_owned() });
            };
            if matches!(name, "." | "..") {
                continue;
            }
            if found.len() == limit {
                more = true;
                break;
            }
            match rustix::fs::statat(self.handle(), name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let kind = FileType::from_raw_mode(stat.st_mode);
                    let size = u64::try_from(stat.st_size).unwrap_or_default();
                    found.push((name.to_owned(), what(kind, size)));
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(failed("look at", &self.path().join(name))(error)),
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.dedup_by(|a, b| a.0 == b.0); // a file that is renamed meanwhile can be listed twice
        Ok((found, more))
    }

    /// The names that are meant, sorted and at most `limit` of them, and how many entries there are beside these. A name
    /// that is no UTF-8 is never meant, and hides none that is.
    pub fn pick_names(
        &self,
        limit: usize,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<(Vec<String>, usize), TreeError> {
        let reading = |error| failed("list", self.path())(error);
        let (mut names, mut others) = (Vec::new(), 0);
        for item in rustix::fs::Dir::read_from(self.handle()).map_err(reading)? {
            let item = item.map_err(reading)?;
            match item.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) if names.len() < limit && is_meant(name) => names.push(name.to_owned()),
                _ => others += 1,
            }
        }
        names.sort();
        names.dedup(); // a file that is renamed meanwhile can be listed twice
        Ok((names, others))
    }

    /// Opens the plain file `name`, or says nothing where there is none. What is put in its place in the meantime
    /// is refused: a link is not followed, and a pipe is not waited for.
    pub fn open_plain(&self, name: &str) -> Result<Option<File>, TreeError> {
        let path = self.path().join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let handle = match rustix::fs::openat(self.handle(), name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(TreeError::NotPlain { path, what: "a symbolic link" }),
            Err(Errno::NXIO) => return Err(TreeError::NotPlain { path, what: "a socket" }),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let stat = rustix::fs::fstat(&handle).map_err(failed("look at", &path))?;
        match what(FileType::from_raw_mode(stat.st_mode), 0) {
            Found::File { .. } => Ok(Some(File::from(handle))),
            Found::Folder => Err(TreeError::NotPlain { path, what: "a folder" }),
            Found::Link => Err(TreeError::NotPlain { path, what: "a symbolic link" }),
            Found::Other(what) => Err(TreeError::NotPlain { path, what }),
        }
    }

    /// The text of the symbolic link `name`.
    pub fn link_target(&self, name: &str) -> Result<String, TreeError> {
        let path = self.path().join(name);
        let target = rustix::fs::readlinkat(self.handle(), name, Vec::new())
            .map_err(failed("read the link", &path))?;
        target.into_string().map_err(|_| TreeError::LinkTarget { path })
    }
}

fn what(kind: FileType, size: u64) -> Found {
    match kind {
        FileType::RegularFile => Found::File { size },
        FileType::Directory => Found::Folder,
        FileType::Symlink => Found::Link,
        FileType::Fifo => Found::Other("a pipe"),
        FileType::Socket => Found::Other("a socket"),
        _ => Found::Other("a device"),
    }
}
