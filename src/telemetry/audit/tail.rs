//! The lines of one series, from the oldest file to the live one, and on across rotations.
//!
//! The files are written by a container that is not trusted with the host: only plain files are read, through no
//! link; nothing is waited for; a line has a bound.

use super::Series;
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use std::{
    fs::File,
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
};

/// A longer line is none of ours, and is skipped.
pub(super) const LONGEST_LINE: usize = 16 << 10;
/// What is read at once.
const CHUNK: usize = 64 << 10;

/// What one look into the files gave.
pub(super) enum Step {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line that is too long, or that its writer did not end.
    Bad,
    /// No whole line is there now.
    End,
}

/// Where in the series the reader is.
pub(super) struct Tail {
    series: Series,
    since: Option<Timestamp>,
    file: Option<OpenFile>,
    /// Up to which older file all was read.
    passed: u64,
}

struct OpenFile {
    file: File,
    identity: (u64, u64),
    /// Its number when it was opened; the live file has none yet.
    number: Option<u64>,
    buffer: Vec<u8>,
    /// Up to where the buffer was searched for an end of line.
    searched: usize,
    skipping: bool,
    /// Renamed: what the next read does not give will never come.
    last_look: bool,
}

impl Tail {
    pub(super) fn new(series: Series, since: Option<Timestamp>) -> Self {
        Self { series, since, file: None, passed: 0 }
    }

    /// Reads on: the next line, that it was bad, or that no whole line is there yet.
    pub(super) fn next(&mut self, folder: &OwnedFd) -> io::Result<Step> {
        loop {
            let Some(open) = &mut self.file else {
                if self.open_next(folder)? {
                    continue;
                }
                return Ok(Step::End);
            };
            if let Some(step) = open.buffered() {
                return Ok(step);
            }
            if open.fill()? {
                continue;
            }
            if open.number.is_none() && !open.last_look {
                match self.fate_of_live(folder)? {
                    LiveFileFate::Live => return Ok(Step::End),
                    LiveFileFate::Renamed(number) => self.look_once_more(number),
                    LiveFileFate::Gone => self.look_once_more(self.passed),
                }
                continue;
            }
            let torn = !open.buffer.is_empty() && !open.skipping;
            self.passed = open.number.unwrap_or(self.passed).max(self.passed);
            self.file = None;
            if torn {
                return Ok(Step::Bad);
            }
        }
    }

    /// The writer may have written between the last read and the renaming.
    fn look_once_more(&mut self, number: u64) {
        if let Some(open) = &mut self.file {
            (open.number, open.last_look) = (Some(number), true);
        }
    }

    /// What became of the live file that is being read.
    fn fate_of_live(&self, folder: &OwnedFd) -> io::Result<LiveFileFate> {
        let Some(open) = &self.file else { return Ok(LiveFileFate::Gone) };
        let identity = |name: &str| -> io::Result<Option<(u64, u64)>> {
            match rustix::fs::statat(folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
                Err(rustix::io::Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        if identity(&self.series.live_name())? == Some(open.identity) {
            return Ok(LiveFileFate::Live);
        }
        let newer = self.series.rotated(folder)?.into_iter().filter(|number| *number > self.passed);
        for number in newer {
            if identity(&self.series.rotated_name(number))? == Some(open.identity) {
                return Ok(LiveFileFate::Renamed(number));
            }
        }
        Ok(LiveFileFate::Gone)
    }

    /// Opens the oldest file that was not read, else the live one. False when there is none.
    fn open_next(&mut self, folder: &OwnedFd) -> io::Result<bool> {
        for number in self.series.rotated(folder)? {
            if number <= self.passed {
                continue;
            }
            if let Some(open) = open(folder, &self.series.rotated_name(number), Some(number))?
                && self.may_hold_later(&open)?
            {
                self.file = Some(open);
                return Ok(true);
            }
            self.passed = number;
        }
        self.file = open(folder, &self.series.live_name(), None)?;
        Ok(self.file.is_some())
    }

    /// A file that was last written before the time that is asked for holds nothing from after it.
    fn may_hold_later(&self, open: &OpenFile) -> io::Result<bool> {
        let Some(since) = self.since else { return Ok(true) };
        Ok(open.file.metadata()?.mtime() >= since.as_second())
    }
}

/// What became of the live file since it was opened.
enum LiveFileFate {
    Live,
    Renamed(u64),
    Gone,
}

/// Opens a plain file; `None` for what is none, or gone.
fn open(folder: &OwnedFd, name: &str, number: Option<u64>) -> io::Result<Option<OpenFile>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(handle) => File::from(handle),
        // A link, a socket, or removed by a rotation just now.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.file_type().is_fifo() {
        return Ok(None);
    }
    let identity = (metadata.dev(), metadata.ino());
    let (buffer, searched, skipping, last_look) = (Vec::new(), 0, false, false);
    Ok(Some(OpenFile { file, identity, number, buffer, searched, skipping, last_look }))
}

impl OpenFile {
    /// A line from what was read, or the news that one was too long.
    fn buffered(&mut self) -> Option<Step> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        if let Some(at) = memchr::memchr(b'\n', rest) {
            let mut line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
            line.pop();
            self.searched = 0;
            let skipped = std::mem::take(&mut self.skipping);
            return Some(if skipped || line.len() > LONGEST_LINE { Step::Bad } else { Step::Line(line) });
        }
        self.searched = self.buffer.len();
        if self.skipping || self.buffer.len() > LONGEST_LINE {
            self.skipping = true;
            self.buffer.clear();
            self.searched = 0;
        }
        None
    }

    /// Reads on; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = (&self.file).take(CHUNK as u64);
        Ok(chunk.read_to_end(&mut self.buffer)? > 0)
    }
}
