//! Where records go.

use super::{Folder, Series};
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Where records go.
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and opened again when [`Log::reopen`](super::Log::reopen) asks (log rotation).
    File(PathBuf, File),
    /// A folder: rotated, bounded, in two series.
    Folder(Box<Folder>),
    /// Anything else.
    Writer(Box<dyn Write + Send>),
}

impl Sink {
    /// Opens a file to append to; only its owner may read it.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = open(path).map_err(|e| {
            io::Error::new(e.kind(), format!("can't open the audit log {}: {e}", path.display()))
        })?;
        Ok(Self::File(path.to_owned(), file))
    }

    /// Opens a folder, as [`Folder::open`] does.
    pub fn folder(path: &Path, by: &'static str) -> io::Result<Self> {
        Folder::open(path, by).map(Box::new).map(Self::Folder)
    }

    /// Where lines of a series are gathered: in a sink that is one stream, all in one place.
    pub(super) fn lane(&self, series: Series) -> Series {
        if matches!(self, Self::Folder(_)) { series } else { Series::Sent }
    }

    /// Makes room for that many bytes, which follow in one or more writes.
    pub(super) fn prepare(&mut self, series: Series, bytes: usize) -> io::Result<()> {
        match self {
            Self::Folder(folder) => folder.prepare(series, bytes),
            _ => Ok(()),
        }
    }

    pub(super) fn write(&mut self, series: Series, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let written = out.write(bytes)?;
                out.flush()?;
                Ok(written)
            }
            Self::File(_, file) => file.write(bytes),
            Self::Folder(folder) => folder.write(series, bytes),
            Self::Writer(writer) => writer.write(bytes),
        }
    }

    pub(super) fn reopen(&mut self) {
        if let Self::File(path, file) = self {
            match open(path) {
                Ok(new) => *file = new,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "can't open the audit log again; the old file is kept");
                }
            }
        }
    }

    /// What was written outlasts the machine, too.
    pub(super) fn sync(&self) {
        let outcome = match self {
            Self::Folder(folder) => folder.sync(),
            Self::File(_, file) => file.sync_data(),
            Self::Stdout | Self::Writer(_) => Ok(()),
        };
        if let Err(error) = outcome {
            // Also said of what is no disk, such as a pipe with a name.
            tracing::debug!(%error, "the audit log could not be synced to disk");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the caller's error names the file")]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().append(true).create(true).mode(0o600).open(path)
}
