//! What Docker said last, kept in the state: little of it is shown, and a person may want the rest.

use camino::{Utf8Path, Utf8PathBuf};
use std::fs::File;
use std::io::{self, Write};

/// The file in a state, and the one before it.
const FILE: &str = "docker.log";
const EARLIER: &str = "docker.log.1";
/// Bytes of a file.
const LARGEST: u64 = 1 << 20;

/// The log of one state, open to be written on.
pub(super) struct DockerLog {
    state: Utf8PathBuf,
    file: File,
    length: u64,
    largest: u64,
}

impl DockerLog {
    /// Where it is.
    pub(super) fn path(state: &Utf8Path) -> Utf8PathBuf {
        state.join(FILE)
    }

    /// Begins with the command.
    pub(super) fn open(state: &Utf8Path, command: &str) -> io::Result<Self> {
        let mut log = Self::with_limit(state, LARGEST)?;
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        log.write_all(format!("{now} $ {command}\n").as_bytes())?;
        Ok(log)
    }

    fn with_limit(state: &Utf8Path, largest: u64) -> io::Result<Self> {
        let file = open(state)?;
        let length = file.metadata()?.len();
        Ok(Self { state: state.to_owned(), file, length, largest })
    }
}

fn open(state: &Utf8Path) -> io::Result<File> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs_err::OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(DockerLog::path(state))?;
    Ok(file.into_parts().0)
}

impl Write for DockerLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length > 0 && self.length + bytes.len() as u64 > self.largest {
            fs_err::rename(Self::path(&self.state), self.state.join(EARLIER))?;
            (self.file, self.length) = (open(&self.state)?, 0);
        }
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn two_files_are_kept_and_nobody_else_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        for n in 0..10 {
            let mut log = DockerLog::with_limit(&state, 100).unwrap();
            log.write_all(format!("{n} {}\n", "x".repeat(40)).as_bytes()).unwrap();
        }
        let read = |name: &str| fs_err::read_to_string(state.join(name)).unwrap();
        assert!(read(FILE).starts_with("8 ") && read(FILE).contains("\n9 "), "{}", read(FILE));
        assert!(read(EARLIER).starts_with("6 "), "{}", read(EARLIER));
        assert_eq!(fs_err::read_dir(&state).unwrap().count(), 2);
        let mode = fs_err::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
