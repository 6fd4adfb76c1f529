//! A folder that audit records are appended to.
//!
//! `sent.jsonl` and `denied.jsonl` are live. When one is full, [`super::rotation`] renames it; nothing else removes or
//! shortens one. A file is synced to disk when it is renamed and when the process ends: what
//! a kill of the process interrupts has been handed to the kernel, and only a crash of the machine can lose the
//! last lines.
//!
//! Two processes may append at the same time, as when a container replaces another: each looks before it writes
//! whether its file is still the live one.

use super::{
    Series,
    budget::WriteBudget,
    entry::Entry,
    flood::{Flood, LONG_WINDOW},
    rotation::{FILE_BYTES, FILES_KEPT, RETENTION, rename_live},
    sent::Sent,
    tail::{Step, Tail},
};
use jiff::{SignedDuration, Timestamp};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// A folder that records go to.
pub struct Folder {
    handle: OwnedFd,
    sent_lane: Lane,
    denied_lane: Lane,
    file_bytes: u64,
    files_kept: usize,
    pub(super) sent: Sent,
    pub(super) refusals: Flood,
}

/// The live file of a series, once it is open.
struct Lane {
    live: Option<LiveFile>,
}

struct LiveFile {
    file: File,
    length: u64,
    /// The last line has no end: the process before this one was killed while it wrote, or the disk was full.
    torn: bool,
}

impl Folder {
    /// Opens a folder that is there, and its files, which are made where there are none. `by` names the writer in
    /// the records that count refusals: `egress-proxy` or `pipelock`.
    pub fn open(path: &Path, by: &'static str) -> io::Result<Self> {
        Self::with_limits(path, by, FILE_BYTES, FILES_KEPT, RETENTION)
    }

    pub(super) fn with_limits(
        path: &Path,
        by: &'static str,
        file_bytes: u64,
        files_kept: usize,
        kept: Duration,
    ) -> io::Result<Self> {
        let opened = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = rustix::fs::open(path, flags, Mode::empty())?;
            let (sent_lane, denied_lane) = (Lane { live: None }, Lane { live: None });
            let written = written_since(&handle, Series::Sent, SystemTime::now() - kept)?;
            let budget = WriteBudget::new(file_bytes, files_kept, kept, written, Instant::now());
            let refusals = Flood::new(by, &refused_within(&handle, LONG_WINDOW)?, Instant::now());
            let sent = Sent::new(by, budget);
            let mut folder = Self { handle, sent_lane, denied_lane, file_bytes, files_kept, sent, refusals };
            for series in Series::ALL {
                folder.prepare(series, 0)?;
            }
            Ok(folder)
        };
        opened().map_err(|error: io::Error| {
            let text = format!(
                "can't write audit records to {}: {error}; it must be a folder that this process may write to, and \
                 sent.jsonl and denied.jsonl in it plain files",
                path.display()
            );
            io::Error::new(error.kind(), text)
        })
    }

    /// Has the live file open, with room for that many bytes.
    pub(super) fn prepare(&mut self, series: Series, bytes: usize) -> io::Result<()> {
        self.follow_the_name(series)?;
        let bound = self.file_bytes;
        if self.lane(series).is_full(bytes as u64, bound) {
            self.rotate(series)?;
            self.follow_the_name(series)?;
        }
        if bytes > 0 && self.lane(series).live.as_ref().is_some_and(|live| live.torn) {
            self.write(series, b"\n")?;
        }
        Ok(())
    }

    /// Writes to the live file, which was prepared.
    pub(super) fn write(&mut self, series: Series, bytes: &[u8]) -> io::Result<usize> {
        let Some(live) = &mut self.lane(series).live else { return Err(io::ErrorKind::NotFound.into()) };
        let written = live.file.write(bytes)?;
        live.length += written as u64;
        if let Some(last) = bytes[..written].last() {
            live.torn = *last != b'\n';
        }
        Ok(written)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        for lane in [&self.sent_lane, &self.denied_lane] {
            lane.live.as_ref().map_or(Ok(()), |live| live.file.sync_data())?;
        }
        Ok(())
    }

    fn lane(&mut self, series: Series) -> &mut Lane {
        match series {
            Series::Sent => &mut self.sent_lane,
            Series::Denied => &mut self.denied_lane,
        }
    }

    /// Opens the live file, also when the one that is held was renamed or removed.
    fn follow_the_name(&mut self, series: Series) -> io::Result<()> {
        if let Some(live) = &self.lane(series).live {
            let held = live.file.metadata()?;
            match rustix::fs::statat(&self.handle, series.live_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if (named.st_dev, named.st_ino) == (held.dev(), held.ino()) => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // NONBLOCK: a pipe in its place is refused below and not waited for.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = File::from(rustix::fs::openat(&self.handle, series.live_name(), flags, mode)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let text = format!("{} is not a plain file", series.live_name());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let length = metadata.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        self.lane(series).live = Some(LiveFile { file, length, torn: last != *b"\n" });
        Ok(())
    }

    /// Moves the live file away, and removes the oldest ones.
    fn rotate(&mut self, series: Series) -> io::Result<()> {
        if let Some(live) = self.lane(series).live.take() {
            live.file.sync_data()?;
        }
        rename_live(&self.handle, series, self.files_kept)
    }
}

/// The bytes of the files that were written to at that time or later: no fewer than were written since then.
fn written_since(folder: &OwnedFd, series: Series, since: SystemTime) -> io::Result<u64> {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let renamed = series.rotated(folder)?.into_iter().map(|number| series.rotated_name(number));
    let mut bytes = 0;
    for name in renamed.chain([series.live_name()]) {
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            // A time before 1970 is that of no file of ours.
            Ok(stat) if u64::try_from(stat.st_mtime).is_ok_and(|written| written >= since) => {
                bytes += u64::try_from(stat.st_size).unwrap_or_default();
            }
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// The ages of the refusals that were written in that time.
fn refused_within(folder: &OwnedFd, length: Duration) -> io::Result<Vec<Duration>> {
    let now = Timestamp::now();
    let since = now.saturating_sub(SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX));
    let since = since.unwrap_or(Timestamp::MIN);
    let mut tail = Tail::new(Series::Denied, Some(since));
    let mut ages = Vec::new();
    loop {
        let line = match tail.next(folder)? {
            Step::Line(line) => line,
            Step::Bad => continue,
            Step::End => return Ok(ages),
        };
        let Some(entry @ (Entry::EgressProxy(_) | Entry::Pipelock(_))) = Entry::parse(&line) else {
            continue;
        };
        if entry.time() >= since {
            // One from the future is of now: the clock was set back.
            ages.push(now.duration_since(entry.time()).try_into().unwrap_or_default());
        }
    }
}

impl Lane {
    fn is_full(&self, more: u64, bound: u64) -> bool {
        self.live.as_ref().is_some_and(|live| live.length > 0 && live.length + more > bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn put(folder: &mut Folder, series: Series, line: &str) {
        folder.prepare(series, line.len()).unwrap();
        assert_eq!(folder.write(series, line.as_bytes()).unwrap(), line.len());
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs_err::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn read(dir: &Path, name: &str) -> String {
        fs_err::read_to_string(dir.join(name)).unwrap()
    }

    #[test]
    fn a_file_is_renamed_when_it_is_full_and_the_oldest_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::with_limits(dir.path(), "egress-proxy", 10, 3, RETENTION).unwrap();
        put(&mut folder, Series::Denied, "denied\n");
        for n in 0..5 {
            put(&mut folder, Series::Sent, &format!("line {n}\n"));
        }
        assert_eq!(
            names(dir.path()),
            ["denied.jsonl", "sent-0000000003.jsonl", "sent-0000000004.jsonl", "sent.jsonl"]
        );
        assert_eq!(read(dir.path(), "sent-0000000003.jsonl"), "line 2\n");
        assert_eq!(read(dir.path(), "sent.jsonl"), "line 4\n");
        assert_eq!(read(dir.path(), "denied.jsonl"), "denied\n", "the other series is left alone");
        drop(folder);
        let mut folder = Folder::with_limits(dir.path(), "egress-proxy", 10, 3, RETENTION).unwrap();
        put(&mut folder, Series::Sent, "line 5\n");
        assert_eq!(
            read(dir.path(), "sent-0000000005.jsonl"),
            "line 4\n",
            "the numbers go on after a restart"
        );
    }

    #[test]
    fn a_restart_appends_and_begins_on_a_new_line() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("sent.jsonl"), "whole\n{\"torn").unwrap();
        let mut folder = Folder::open(dir.path(), "egress-proxy").unwrap();
        assert_eq!(read(dir.path(), "sent.jsonl"), "whole\n{\"torn", "nothing to write yet");
        put(&mut folder, Series::Sent, "next\n");
        put(&mut folder, Series::Sent, "more\n");
        assert_eq!(read(dir.path(), "sent.jsonl"), "whole\n{\"torn\nnext\nmore\n");
        let mode = fs_err::metadata(dir.path().join("denied.jsonl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn two_processes_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Folder::with_limits(dir.path(), "egress-proxy", 20, 64, RETENTION).unwrap();
        let (mut old, mut new) = (open(), open());
        for n in 0..10 {
            put(&mut old, Series::Sent, &format!("old {n}\n"));
            put(&mut new, Series::Sent, &format!("new {n}\n"));
        }
        let all: String = names(dir.path()).iter().map(|name| read(dir.path(), name)).collect();
        for n in 0..10 {
            assert!(all.contains(&format!("old {n}\n")) && all.contains(&format!("new {n}\n")), "{all}");
        }
    }

    #[test]
    fn a_file_that_was_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), "egress-proxy").unwrap();
        put(&mut folder, Series::Sent, "one\n");
        fs_err::remove_file(dir.path().join("sent.jsonl")).unwrap();
        put(&mut folder, Series::Sent, "two\n");
        assert_eq!(read(dir.path(), "sent.jsonl"), "two\n");
    }

    #[test]
    fn neither_a_link_nor_a_pipe_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, target) = (dir.path().join("audit"), dir.path().join("target"));
        let why = || Folder::open(&inside, "egress-proxy").map(drop).unwrap_err().to_string();
        let advice = "; it must be a folder that this process may write to, and sent.jsonl and denied.jsonl in it \
                      plain files";
        let expect =
            |what: &str| format!("can't write audit records to {}: {what}{advice}", inside.display());
        assert_eq!(why(), expect("No such file or directory (os error 2)"));
        fs_err::create_dir(&inside).unwrap();
        fs_err::os::unix::fs::symlink(&target, inside.join("sent.jsonl")).unwrap();
        assert_eq!(why(), expect("Too many levels of symbolic links (os error 40)"));
        fs_err::remove_file(inside.join("sent.jsonl")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            inside.join("sent.jsonl"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(why(), expect("sent.jsonl is not a plain file"));
        assert!(!target.exists());
    }

    #[test]
    fn a_start_knows_what_was_written_in_the_last_hours() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, bytes, age) in [
            ("sent-0000000001.jsonl", 100, 30),
            ("sent-0000000002.jsonl", 20, 23),
            ("sent.jsonl", 3, 0),
            ("denied.jsonl", 1000, 0),
        ] {
            let file = fs_err::File::create(dir.path().join(name)).unwrap();
            file.set_len(bytes).unwrap();
            file.file().set_modified(now - Duration::from_hours(age)).unwrap();
        }
        let handle = fs_err::File::open(dir.path()).unwrap().into_parts().0.into();
        assert_eq!(written_since(&handle, Series::Sent, now - RETENTION).unwrap(), 23);
        assert_eq!(written_since(&handle, Series::Sent, now - RETENTION * 2).unwrap(), 123);
    }
}
