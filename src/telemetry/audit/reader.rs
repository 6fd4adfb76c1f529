//! Audit folders, read on the host: from a time on, and further while they grow.
//!
//! ```no_run
//! # use bottle::telemetry::audit::{AuditReader, Series};
//! # use std::{ops::ControlFlow, path::Path, time::Duration};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folders = [Path::new("audit/egress-proxy"), Path::new("audit/pipelock")];
//! let mut reader = AuditReader::open(&folders, &Series::ALL, None)?;
//! reader.follow(Duration::from_millis(500), |entry| match entry {
//!     Some(entry) if entry.is_refusal() => ControlFlow::Break(()),
//!     _ => ControlFlow::Continue(()),
//! })?;
//! # Ok(()) }
//! ```

use super::{
    Entry, Series,
    tail::{Step, Tail},
};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use std::{
    io,
    ops::ControlFlow,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why an audit folder can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("there are no audit records at {0}: nothing was started yet, or by an older version")]
    Absent(String),
    /// The folder, or a file in it, can't be read.
    #[error("can't read the audit records in {path}: {source}")]
    Unreadable {
        /// The folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What was passed over, since it is no record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Lines that are too long, that were torn by a kill, or that are no record of this version.
    pub lines: u64,
}

/// Reads the records of one or more folders, in the order of their time as far as they are there.
pub struct AuditReader {
    sources: Vec<Source>,
    since: Option<Timestamp>,
    skipped: Skipped,
}

/// One series in one folder.
struct Source {
    path: PathBuf,
    folder: OwnedFd,
    tail: Tail,
    next: Option<Entry>,
}

impl AuditReader {
    /// Opens the folders; only what happened at `since` or later is given.
    pub fn open(
        folders: &[impl AsRef<Path>],
        series: &[Series],
        since: Option<Timestamp>,
    ) -> Result<Self, ReadError> {
        let mut sources = Vec::new();
        for path in folders {
            let path = path.as_ref();
            for series in series {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = match rustix::fs::open(path, flags, Mode::empty()) {
                    Ok(folder) => folder,
                    Err(rustix::io::Errno::NOENT) => {
                        return Err(ReadError::Absent(path.display().to_string()));
                    }
                    Err(error) => return Err(unreadable(path, error.into())),
                };
                let tail = Tail::new(*series, since);
                sources.push(Source { path: path.to_owned(), folder, tail, next: None });
            }
        }
        Ok(Self { sources, since, skipped: Skipped::default() })
    }

    /// The next record, or `None` when there is none yet: ask again to follow. Never waits.
    #[expect(clippy::should_implement_trait, reason = "after `None` more may come, and it can fail")]
    pub fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        let mut earliest: Option<usize> = None;
        for at in 0..self.sources.len() {
            self.look_ahead(at)?;
            let time = |at: usize| self.sources[at].next.as_ref().map(Entry::time);
            if time(at).is_some_and(|this| earliest.and_then(time).is_none_or(|best| this < best)) {
                earliest = Some(at);
            }
        }
        Ok(earliest.and_then(|at| self.sources[at].next.take()))
    }

    /// Gives every record, then `None` each time that there is no more, waits that long, and goes on until it is
    /// told to stop.
    pub fn follow(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(Option<Entry>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        loop {
            let entry = self.next()?;
            let idle = entry.is_none();
            if each(entry).is_break() {
                return Ok(());
            }
            if idle {
                std::thread::sleep(wait);
            }
        }
    }

    /// What was passed over so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    fn look_ahead(&mut self, at: usize) -> Result<(), ReadError> {
        let source = &mut self.sources[at];
        while source.next.is_none() {
            match source.tail.next(&source.folder).map_err(|error| unreadable(&source.path, error))? {
                Step::End => return Ok(()),
                Step::Bad => self.skipped.lines += 1,
                Step::Line(line) => match Entry::parse(&line) {
                    None => self.skipped.lines += 1,
                    Some(entry) if self.since.is_some_and(|since| entry.time() < since) => {}
                    Some(entry) => source.next = Some(entry),
                },
            }
        }
        Ok(())
    }
}

fn unreadable(path: &Path, source: io::Error) -> ReadError {
    ReadError::Unreadable { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Counting, Folder, RETENTION, Record, Suppressed, record::tests::record, tail::LONGEST_LINE,
    };
    use super::*;
    use std::time::SystemTime;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn on_disk(time: Timestamp) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.as_second()).unwrap())
    }

    fn line(second: i64) -> String {
        let record = Record { time: at(second), ..record(u64::try_from(second).unwrap()) };
        serde_json::to_string(&record).unwrap() + "\n"
    }

    fn put(folder: &mut Folder, series: Series, text: &str) {
        folder.prepare(series, text.len()).unwrap();
        assert_eq!(folder.write(series, text.as_bytes()).unwrap(), text.len());
    }

    fn seconds(reader: &mut AuditReader) -> Vec<i64> {
        let mut all = Vec::new();
        while let Some(entry) = reader.next().unwrap() {
            all.push(entry.time().as_second() - 1_800_000_000);
        }
        all
    }

    #[test]
    fn both_series_are_merged_by_time_and_followed_across_rotations() {
        let dir = tempfile::tempdir().unwrap();
        // Three lines a file.
        let bytes = line(10).len() as u64 * 3;
        let mut folder = Folder::with_limits(dir.path(), "egress-proxy", bytes, 64, RETENTION).unwrap();
        for second in 10..20 {
            let series = if second % 3 == 0 { Series::Denied } else { Series::Sent };
            put(&mut folder, series, &line(second));
        }
        let mut reader = AuditReader::open(&[dir.path()], &Series::ALL, None).unwrap();
        assert_eq!(seconds(&mut reader), (10..20).collect::<Vec<_>>());
        for round in 1..5 {
            for second in round * 20..round * 20 + 15 {
                put(&mut folder, Series::Sent, &line(second));
            }
            assert_eq!(seconds(&mut reader), (round * 20..round * 20 + 15).collect::<Vec<_>>());
        }
        assert_eq!(reader.skipped(), Skipped::default());
    }

    #[test]
    fn what_was_written_just_before_a_rotation_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = line(10).len() as u64 * 2;
        let mut folder = Folder::with_limits(dir.path(), "egress-proxy", bytes, 64, RETENTION).unwrap();
        put(&mut folder, Series::Sent, &line(10));
        let mut reader = AuditReader::open(&[dir.path()], &[Series::Sent], None).unwrap();
        assert_eq!(seconds(&mut reader), [10]);
        for second in 11..18 {
            put(&mut folder, Series::Sent, &line(second));
        }
        assert_eq!(seconds(&mut reader), (11..18).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_that_is_slower_than_the_rotation_goes_on_with_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = line(10).len() as u64;
        let mut folder = Folder::with_limits(dir.path(), "egress-proxy", bytes, 3, RETENTION).unwrap();
        put(&mut folder, Series::Sent, &line(10));
        let mut reader = AuditReader::open(&[dir.path()], &[Series::Sent], None).unwrap();
        assert_eq!(seconds(&mut reader), [10]);
        for second in 11..31 {
            put(&mut folder, Series::Sent, &line(second));
        }
        assert_eq!(seconds(&mut reader), [28, 29, 30]);
    }

    #[test]
    fn only_what_is_later_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = line(10).len() as u64 * 2;
        let mut folder = Folder::with_limits(dir.path(), "egress-proxy", bytes, 64, RETENTION).unwrap();
        for second in 10..20 {
            put(&mut folder, Series::Sent, &line(second));
        }
        // Files are dated by when they are written; these were, long before.
        for number in 1..4 {
            let name = dir.path().join(Series::Sent.rotated_name(number));
            let file = fs_err::File::options().write(true).open(name).unwrap();
            file.file().set_modified(on_disk(at(0))).unwrap();
        }
        let live = fs_err::File::options().write(true).open(dir.path().join("sent.jsonl")).unwrap();
        live.file().set_modified(on_disk(at(0))).unwrap();
        let later = dir.path().join(Series::Sent.rotated_name(4));
        let later = fs_err::File::options().write(true).open(later).unwrap();
        later.file().set_modified(on_disk(at(17))).unwrap();
        let mut reader = AuditReader::open(&[dir.path()], &Series::ALL, Some(at(17))).unwrap();
        assert_eq!(seconds(&mut reader), [17, 18, 19], "the live file is read whatever its date");
    }

    #[test]
    fn torn_long_and_foreign_lines_are_counted_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(LONGEST_LINE * 5 + 1);
        let text = format!("{}{{\"torn\n{long}\n{}{{}}\n\u{fffd}\n", line(10), line(11));
        fs_err::write(dir.path().join("sent.jsonl"), text).unwrap();
        let mut reader = AuditReader::open(&[dir.path()], &[Series::Sent], None).unwrap();
        assert_eq!(seconds(&mut reader), [10, 11]);
        assert_eq!(reader.skipped(), Skipped { lines: 4 });
    }

    #[test]
    fn a_line_that_is_being_written_is_given_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), "egress-proxy").unwrap();
        let mut reader = AuditReader::open(&[dir.path()], &Series::ALL, None).unwrap();
        let whole = line(10);
        let (first, second) = whole.split_at(30);
        folder.prepare(Series::Sent, 1).unwrap();
        folder.write(Series::Sent, first.as_bytes()).unwrap();
        assert!(seconds(&mut reader).is_empty());
        folder.write(Series::Sent, second.as_bytes()).unwrap();
        assert_eq!(seconds(&mut reader), [10]);
        assert_eq!(reader.skipped(), Skipped::default());
    }

    #[test]
    fn links_and_pipes_are_not_read_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs_err::write(&secret, line(10)).unwrap();
        let inside = dir.path().join("audit");
        fs_err::create_dir(&inside).unwrap();
        fs_err::os::unix::fs::symlink(&secret, inside.join("sent.jsonl")).unwrap();
        fs_err::os::unix::fs::symlink(&secret, inside.join(Series::Sent.rotated_name(1))).unwrap();
        for name in ["denied.jsonl", "denied-0000000001.jsonl"] {
            let mode = Mode::RUSR | Mode::WUSR;
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, inside.join(name), kind, mode, 0).unwrap();
        }
        let mut reader = AuditReader::open(&[&inside], &Series::ALL, None).unwrap();
        assert!(seconds(&mut reader).is_empty());
        let link = dir.path().join("link");
        fs_err::os::unix::fs::symlink(&inside, &link).unwrap();
        let why = AuditReader::open(&[&link], &Series::ALL, None).map(drop).unwrap_err().to_string();
        let expected =
            format!("can't read the audit records in {}: Not a directory (os error 20)", link.display());
        assert_eq!(why, expected);
    }

    #[test]
    fn every_kind_of_record_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let counted = Suppressed {
            time: at(3),
            event: "suppressed".to_owned(),
            decided_by: "egress-proxy".to_owned(),
            configs: Vec::new(),
            count: 5,
            reasons: [("git_push".to_owned(), 5)].into(),
            hosts: 1,
            host: None,
            more_hosts: false,
            first: at(1),
            last: at(3),
        };
        let blocked = r#"{"level":"warn","time":"2026-11-25T00:30:48Z","component":"pipelock","event":"blocked","method":"CONNECT","target":"new.example:443","scanner":"domain_not_allowed"}"#;
        let json = |value: serde_json::Result<String>| value.unwrap() + "\n";
        let begins = Counting::new(Series::Denied, "egress-proxy", at(2));
        let sent = r#"{"time":"2027-01-15T08:00:04Z","event":"counted","decided_by":"pipelock","requests":2,"kinds":[{"host":"a.test","requests":2,"outcomes":{"blocked 4xx":1},"request_bytes":0,"response_bytes":0,"paths":1,"more_paths":false,"first":"2027-01-15T08:00:04Z","last":"2027-01-15T08:00:04Z"}],"first":"2027-01-15T08:00:04Z","last":"2027-01-15T08:00:04Z"}"#;
        let (begun, counts) = (json(serde_json::to_string(&begins)), json(serde_json::to_string(&counted)));
        let text = format!("{blocked}\n{}{begun}{counts}{sent}\n", line(2));
        fs_err::write(dir.path().join("denied.jsonl"), text).unwrap();
        let mut reader = AuditReader::open(&[dir.path()], &Series::ALL, None).unwrap();
        let mut entries = Vec::new();
        let outcome = reader.follow(Duration::ZERO, |entry| match entry {
            Some(entry) => {
                entries.push(entry);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        });
        outcome.unwrap();
        assert!(entries.iter().all(Entry::is_refusal), "{entries:#?}");
        let [
            Entry::Pipelock(pipelock),
            Entry::EgressProxy(record),
            Entry::Counting(begun),
            Entry::Suppressed(read),
            Entry::Counted(sent),
        ] = &entries[..]
        else {
            panic!("{entries:#?}");
        };
        assert_eq!((begun, sent.requests, sent.kinds[0].method.as_deref()), (&begins, 2, None));
        assert_eq!(pipelock.target.as_deref(), Some("new.example:443"));
        assert_eq!((record.connection, read), (2, &counted));
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let why =
            AuditReader::open(&["/nowhere/audit"], &Series::ALL, None).map(drop).unwrap_err().to_string();
        assert_eq!(
            why,
            "there are no audit records at /nowhere/audit: nothing was started yet, or by an older version"
        );
    }
}
