//! Reading a file that an agent could have put there: plain files only, no link at the end of the path, no wait for
//! somebody who writes into a pipe, and no more bytes than the caller has use for.

use super::TreeError;
use camino::Utf8Path;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

/// As large as a rendered file can be, in bytes.
pub const LARGEST: u64 = 16 * 1024 * 1024;

pub(super) const LINK: &str = "a symbolic link";
pub(super) const FOLDER: &str = "a folder";

/// What a folder holds under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A link, socket, pipe or device: what it is, with its article.
    Other(&'static str),
}

/// Opens what is no link, waits for nobody, and makes no terminal this process's own.
pub(super) const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Why a file was not read.
pub(super) enum Refusal {
    /// It is this.
    Is(&'static str),
    TooLarge,
    Io(std::io::Error),
}

/// The bytes of the plain file at `path`, which a person or a manifest named. Links in the path to its folder are
/// followed, since they are the person's own; the file itself may be none. Use a [`Folder`](super::Folder) for what
/// lies deeper below a folder that an agent can write.
pub fn read_plain(path: &Utf8Path, limit: u64) -> Result<Vec<u8>, TreeError> {
    read(open(path)?, limit).map_err(|refusal| named(path, refusal, limit))
}

/// The same file, open: for what is too long to be held at once.
pub fn open_plain(path: &Utf8Path) -> Result<File, TreeError> {
    let handle = open(path)?;
    let stat = rustix::fs::fstat(&handle).map_err(|error| Refusal::Io(error.into()));
    let plain = stat.and_then(|stat| require_plain(stat.st_mode).map_err(Refusal::Is));
    plain.map(|()| File::from(handle)).map_err(|refusal| named(path, refusal, u64::MAX))
}

fn named(path: &Utf8Path, refusal: Refusal, limit: u64) -> TreeError {
    let path = path.to_owned();
    match refusal {
        Refusal::Is(what) => TreeError::NotAFile { path, what },
        Refusal::TooLarge => TreeError::TooLarge { path, limit },
        Refusal::Io(source) => TreeError::Io { doing: "read", path, source },
    }
}

fn open(path: &Utf8Path) -> Result<OwnedFd, TreeError> {
    let failed = |source: Errno| named(path, Refusal::Io(source.into()), 0);
    let refused = |what| named(path, Refusal::Is(what), 0);
    // Looked at before it is opened, since opening a device can do something.
    let stat = rustix::fs::lstat(path.as_std_path()).map_err(failed)?;
    require_plain(stat.st_mode).map_err(refused)?;
    match rustix::fs::open(path.as_std_path(), FLAGS, Mode::empty()) {
        Ok(handle) => Ok(handle),
        Err(Errno::LOOP) => Err(refused(LINK)), // it became one just now
        Err(error) => Err(failed(error)),
    }
}

/// The bytes of an open file, if it is a plain one of at most `limit` bytes.
pub(super) fn read(handle: OwnedFd, limit: u64) -> Result<Vec<u8>, Refusal> {
    let stat = rustix::fs::fstat(&handle).map_err(|error| Refusal::Io(error.into()))?;
    require_plain(stat.st_mode).map_err(Refusal::Is)?;
    if u64::try_from(stat.st_size).is_ok_and(|size| size > limit) {
        return Err(Refusal::TooLarge);
    }
    let mut bytes = Vec::new();
    // It can grow while it is read.
    let read = File::from(handle).take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(Refusal::Io)?;
    if bytes.len() as u64 > limit { Err(Refusal::TooLarge) } else { Ok(bytes) }
}

fn require_plain(mode: rustix::fs::RawMode) -> Result<(), &'static str> {
    match kind(FileType::from_raw_mode(mode)) {
        Entry::File => Ok(()),
        Entry::Folder => Err(FOLDER),
        Entry::Other(what) => Err(what),
    }
}

pub(super) fn kind(found: FileType) -> Entry {
    match found {
        FileType::RegularFile => Entry::File,
        FileType::Directory => Entry::Folder,
        FileType::Symlink => Entry::Other(LINK),
        FileType::Fifo => Entry::Other("a pipe"),
        FileType::Socket => Entry::Other("a socket"),
        _ => Entry::Other("a device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    fn refused(path: &Utf8Path) -> String {
        read_plain(path, 8).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_file_is_read_up_to_its_limit() {
        let (_dir, folder) = folder();
        let file = folder.join("f");
        fs_err::write(&file, "12345678").unwrap();
        assert_eq!(read_plain(&file, 8).unwrap(), b"12345678");
        fs_err::os::unix::fs::symlink(&folder, folder.join("way")).unwrap();
        assert_eq!(read_plain(&folder.join("way/f"), 8).unwrap(), b"12345678", "the way may have links");
        fs_err::write(&file, "123456789").unwrap();
        assert_eq!(refused(&file), format!("{file} is larger than 8 bytes"));
        let sparse = fs_err::File::create(&file).unwrap();
        sparse.set_len(2 << 30).unwrap();
        let error = read_plain(&file, 1024 * 1024).unwrap_err();
        assert_eq!(error.to_string(), format!("{file} is larger than 1 MiB"));
    }

    #[test]
    fn what_is_no_plain_file_is_named_and_nothing_waits_for_it() {
        let (_dir, folder) = folder();
        let at = |name: &str| folder.join(name);
        fs_err::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe").as_std_path(), FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let planted = "and no file: an agent could have put it there; remove it, or name a file";
        assert_eq!(
            refused(&at("link")),
            format!(
                "{} is a symbolic link, which bottle does not follow: an agent could have put it there; remove it, \
                 or name the file that it leads to",
                at("link")
            )
        );
        assert_eq!(refused(&at("pipe")), format!("{} is a pipe {planted}", at("pipe")));
        assert_eq!(refused(&at("socket")), format!("{} is a socket {planted}", at("socket")));
        assert_eq!(refused("/dev/null".into()), format!("/dev/null is a device {planted}"));
        assert_eq!(refused(&folder), format!("{folder} is a folder and no file; name a file"));
        assert!(refused(&at("none")).starts_with(&format!("can't read {}: No such file", at("none"))));
    }

    #[test]
    fn a_pipe_that_takes_the_place_of_a_file_is_still_not_waited_for() {
        let (_dir, folder) = folder();
        let pipe = folder.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, pipe.as_std_path(), FileType::Fifo, 0o600.into(), 0).unwrap();
        let handle = rustix::fs::open(pipe.as_std_path(), FLAGS, Mode::empty()).unwrap();
        assert!(matches!(read(handle, 8), Err(Refusal::Is("a pipe"))));
    }
}
