//! The thread that writes: it decides what is written and what is counted, and hands lines to the sink.

use super::{Facts, Series, Sink, budget::BATCH_BYTES, flood::Admission, sent::Decision};
use serde::Serialize;
use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Messages that are taken before what they hold is written.
const BATCH: usize = 256;

/// How long the writer waits before it tries a failed write again.
pub(super) const RETRY: Duration = Duration::from_millis(200);

/// What the records of one slot share. The slot is free again when this is gone, which the writer holds until the
/// lines are written: what waits is bounded.
pub(super) struct ReservedSlot {
    _permit: OwnedSemaphorePermit,
    /// A line was written ahead.
    pub(super) announced: AtomicBool,
    /// What the writer decided on that line.
    pub(super) decision: OnceLock<Decision>,
}

impl ReservedSlot {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { _permit: permit, announced: AtomicBool::new(false), decision: OnceLock::new() })
    }
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct Line {
    pub(super) series: Series,
    pub(super) json: Vec<u8>,
    pub(super) facts: Facts,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) stuck: AtomicBool,
    pub(super) finishing: AtomicBool,
    pub(super) written: AtomicU64,
    pub(super) suppressed: AtomicU64,
}

/// What the writer is told.
pub(super) enum Message {
    /// The last line of a slot.
    Last(Line, Arc<ReservedSlot>),
    /// A line that somebody waits for, unless they went away.
    Ahead(Line, Arc<ReservedSlot>, oneshot::Sender<()>),
    /// A slot that was given up after such a line.
    Gone(Arc<ReservedSlot>),
    Reopen,
    Finish(oneshot::Sender<()>),
}

pub(super) struct Writer {
    sink: Sink,
    receiver: Receiver<Message>,
    state: Arc<State>,
    slots: Arc<Semaphore>,
    sent: Vec<u8>,
    denied: Vec<u8>,
    batch: Batch,
    /// Lines were lost, since the process was ending.
    gave_up: bool,
}

/// What is given back when the lines of a batch are written.
#[derive(Default)]
struct Batch {
    held: Vec<Arc<ReservedSlot>>,
    waiting: Vec<oneshot::Sender<()>>,
    lines: u64,
}

impl Writer {
    pub(super) fn new(
        sink: Sink,
        receiver: Receiver<Message>,
        state: Arc<State>,
        slots: Arc<Semaphore>,
    ) -> Self {
        let (sent, denied, batch) = (Vec::new(), Vec::new(), Batch::default());
        Self { sink, receiver, state, slots, sent, denied, batch, gave_up: false }
    }

    /// Until the end, on a thread of its own.
    pub(super) fn run(mut self) {
        let done = self.until_the_end();
        self.count_out(Instant::now(), true);
        self.flush();
        self.sink.sync();
        self.slots.close();
        if let Some(done) = done.filter(|_| !self.gave_up) {
            // The asker may have stopped waiting.
            let _ = done.send(());
        }
    }

    /// Writes whatever comes; gives the one to tell when all is written.
    fn until_the_end(&mut self) -> Option<oneshot::Sender<()>> {
        loop {
            let first = match self.next_due() {
                Some(due) => self.receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let now = Instant::now();
            self.count_out(now, false);
            match first {
                Ok(message) => {
                    let rest: Vec<_> = self.receiver.try_iter().take(BATCH - 1).collect();
                    for message in std::iter::once(message).chain(rest) {
                        if let Some(done) = self.take(message, now) {
                            return Some(done);
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            self.flush();
        }
    }

    fn take(&mut self, message: Message, now: Instant) -> Option<oneshot::Sender<()>> {
        match message {
            Message::Last(line, held) => {
                if self.admits_last(&line, &held, now) {
                    self.append(line.series, &line.json);
                }
                self.batch.held.push(held);
            }
            Message::Ahead(line, held, done) => {
                if self.admits_dispatch(&line, &held, now) {
                    self.append(line.series, &line.json);
                }
                self.batch.held.push(held);
                self.batch.waiting.push(done);
            }
            Message::Gone(held) => {
                if let (Sink::Folder(folder), Some(decision)) = (&mut self.sink, held.decision.get()) {
                    folder.sent.gone(*decision);
                }
            }
            Message::Reopen => {
                self.flush();
                self.sink.reopen();
            }
            Message::Finish(done) => return Some(done),
        }
        None
    }

    fn admits_dispatch(&mut self, line: &Line, held: &ReservedSlot, now: Instant) -> bool {
        let Sink::Folder(folder) = &mut self.sink else { return true };
        if line.series == Series::Denied {
            return self.admits_last(line, held, now);
        }
        let (decision, admission) = folder.sent.dispatch(&line.facts, line.json.len(), now);
        // A slot has one dispatch; of a second one the end would follow the first.
        let _ = held.decision.set(decision);
        self.admitted(line.series, admission, now)
    }

    fn admits_last(&mut self, line: &Line, held: &ReservedSlot, now: Instant) -> bool {
        let Sink::Folder(folder) = &mut self.sink else { return true };
        let admission = match line.series {
            Series::Sent => folder.sent.end(held.decision.get().copied(), &line.facts, line.json.len(), now),
            Series::Denied => folder.refusals.admit(&line.facts, now),
        };
        self.admitted(line.series, admission, now)
    }

    /// Whether the line is written. If it is the first that is counted, that is written.
    fn admitted(&mut self, series: Series, admission: Admission, now: Instant) -> bool {
        let Admission::Counted(begins) = admission else { return true };
        self.state.suppressed.fetch_add(1, Ordering::Relaxed);
        if let Some(begins) = begins {
            self.append_in_any_case(series, &begins, now);
        }
        false
    }

    /// Appends a record of counting.
    fn append_in_any_case(&mut self, series: Series, record: &impl Serialize, now: Instant) {
        let mut json = match serde_json::to_vec(record) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(%error, "an audit record could not be written as JSON");
                return;
            }
        };
        json.push(b'\n');
        if let (Sink::Folder(folder), Series::Sent) = (&mut self.sink, series) {
            folder.sent.spend(json.len(), now);
        }
        self.append(series, &json);
    }

    fn append(&mut self, series: Series, json: &[u8]) {
        let lane = self.sink.lane(series);
        let gathered = if lane == Series::Sent { self.sent.len() } else { self.denied.len() };
        if gathered > 0 && gathered + json.len() > BATCH_BYTES {
            self.flush();
        }
        match lane {
            Series::Sent => self.sent.extend_from_slice(json),
            Series::Denied => self.denied.extend_from_slice(json),
        }
        self.batch.lines += 1;
    }

    fn next_due(&self) -> Option<Instant> {
        let Sink::Folder(folder) = &self.sink else { return None };
        folder.refusals.due().into_iter().chain(folder.sent.due()).min()
    }

    /// Writes what was counted when its window is over, or, when the process ends, what there is.
    fn count_out(&mut self, now: Instant, ends: bool) {
        let Sink::Folder(folder) = &mut self.sink else { return };
        let (refusals, sent) = if ends {
            (folder.refusals.take_all(), folder.sent.take_all())
        } else {
            (folder.refusals.take(now), folder.sent.take(now))
        };
        if let Some(refusals) = refusals {
            self.append_in_any_case(Series::Denied, &refusals, now);
        }
        if let Some(sent) = sent {
            self.append_in_any_case(Series::Sent, &sent, now);
        }
    }

    /// Writes what was gathered, and gives back what was held for it.
    fn flush(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        let denied = std::mem::take(&mut self.denied);
        let written = self.write(Series::Sent, &sent) & self.write(Series::Denied, &denied);
        (self.sent, self.denied) = (sent, denied);
        self.sent.clear();
        self.denied.clear();
        let batch = std::mem::take(&mut self.batch);
        if written {
            self.state.written.fetch_add(batch.lines, Ordering::Relaxed);
            for waiting in batch.waiting {
                // A request that went away no longer waits.
                let _ = waiting.send(());
            }
        }
        self.gave_up |= !written;
    }

    /// Tries until it is written; gives up only when the process is ending.
    fn write(&mut self, series: Series, bytes: &[u8]) -> bool {
        let (mut rest, mut prepared) = (bytes, false);
        while !rest.is_empty() {
            let outcome = if prepared { Ok(()) } else { self.sink.prepare(series, rest.len()) };
            match outcome.and_then(|()| {
                prepared = true;
                self.sink.write(series, rest)
            }) {
                Ok(0) => self.wait(&io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    if self.state.stuck.swap(false, Ordering::Relaxed) {
                        tracing::info!("audit records can be written again");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if self.state.finishing.load(Ordering::Relaxed) {
                        tracing::error!(%error, bytes = rest.len(), "audit records are lost: the process is ending");
                        return false;
                    }
                    self.wait(&error);
                }
            }
        }
        true
    }

    fn wait(&self, error: &io::Error) {
        if !self.state.stuck.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "audit records can't be written; they wait, and so will requests");
        }
        std::thread::sleep(RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Folder, Record, Recorded as _, record::tests::record, tail::LONGEST_LINE};
    use super::*;
    use std::{collections::BTreeMap, path::Path, sync::mpsc::channel};

    const FILES: usize = 4;
    /// Stands for 24 hours. What flows in during a window is more than counting takes, as it is in those.
    const RETENTION: Duration = Duration::from_mins(10);

    fn writer(dir: &Path) -> Writer {
        let folder = Folder::with_limits(dir, "egress-proxy", 1 << 20, FILES, RETENTION).unwrap();
        let (sink, state) = (Sink::Folder(Box::new(folder)), Arc::new(State::default()));
        Writer::new(sink, channel().1, state, Arc::new(Semaphore::new(0)))
    }

    fn held() -> Arc<ReservedSlot> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        ReservedSlot::new(permit)
    }

    /// A line of a rare kind.
    fn rare(n: u64, event: Event) -> Line {
        line(&Record { event, host: Some(format!("{}.test", n % 250)), ..record(n) })
    }

    /// As long as a line can be, of a request like no other.
    fn longest(n: u64, event: Event) -> Line {
        let long = Some(format!("{n}-").repeat(300));
        let (host, path, rule, source) = (long.clone(), long.clone(), long.clone(), long.clone());
        let (config, credential, finding) = ("f".repeat(64), long.clone(), long);
        line(&Record { event, config, host, path, finding, rule, source, credential, ..record(n) })
    }

    fn line(record: &Record) -> Line {
        let mut json = serde_json::to_vec(record).unwrap();
        json.push(b'\n');
        Line { series: record.series(), json, facts: record.facts() }
    }

    /// What becomes of the renamed files while time goes on.
    #[derive(Default)]
    struct Files {
        renamed: BTreeMap<u64, Instant>,
        youngest_removed: Option<Duration>,
    }

    impl Files {
        fn look(&mut self, dir: &Path, now: Instant) {
            let open = fs_err::File::open(dir).unwrap();
            let there = Series::Sent.rotated(open.file()).unwrap();
            for number in &there {
                self.renamed.entry(*number).or_insert(now);
            }
            let gone: Vec<u64> = self.renamed.keys().copied().filter(|it| !there.contains(it)).collect();
            for number in gone {
                let age = now - self.renamed.remove(&number).unwrap();
                self.youngest_removed = Some(self.youngest_removed.map_or(age, |least| least.min(age)));
            }
        }
    }

    /// All that a client can do: floods after a pause that begins when a file is almost full, requests like no other,
    /// lines as long as they can be, requests that stay open through a pause, requests that it gives up.
    #[test]
    fn the_worst_client_pushes_out_nothing_that_is_younger_than_is_promised() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let start = Instant::now();
        let (mut files, mut open) = (Files::default(), Vec::new());
        let pairs = (0..500).map(|n| (longest(n, Event::Dispatch), longest(n, Event::End)));
        let pairs: Vec<(Line, Line)> = pairs.collect();
        let mut lines = pairs.iter().cycle();
        let mut next = || lines.next().unwrap().clone();
        let (mut full, mut full_once) = (false, false);
        for second in 0..6 * RETENTION.as_secs() {
            let now = start + Duration::from_secs(second);
            writer.count_out(now, false);
            let pause = (RETENTION.as_secs()..RETENTION.as_secs() * 3).contains(&second);
            let live = fs_err::metadata(dir.path().join("sent.jsonl")).unwrap().len();
            full = pause && (full || live > (1 << 20) - BATCH_BYTES as u64);
            full_once |= full;
            if full {
                writer.flush();
                files.look(dir.path(), now);
                continue;
            }
            for held in open.drain(..) {
                writer.take(Message::Last(next().1, held), now);
            }
            let burst = second % RETENTION.as_secs() == 0;
            for n in 0..if burst { 1500 } else { 0 } {
                writer.take(Message::Last(rare(n, Event::End), held()), now);
            }
            for n in 0..if burst { 500 } else { 20 } {
                let ((dispatch, end), held, done) = (next(), held(), oneshot::channel().0);
                writer.take(Message::Ahead(dispatch, Arc::clone(&held), done), now);
                match n % 3 {
                    0 => writer.take(Message::Gone(held), now),
                    1 => writer.take(Message::Last(end, held), now),
                    _ => {
                        open.push(held);
                        None
                    }
                };
            }
            writer.flush();
            files.look(dir.path(), now);
        }
        let youngest = files.youngest_removed.expect("files were removed");
        assert!(youngest >= RETENTION, "a file was removed after {youngest:?}");
        assert!(full_once, "a pause began with a file that was almost full");
        assert!(youngest < RETENTION * 2, "the client came nowhere near the limit: {youngest:?}");
        writer.count_out(start, true);
        writer.flush();
        let text = fs_err::read_to_string(dir.path().join("sent.jsonl")).unwrap();
        assert!(text.contains(r#""event":"counted""#) && text.lines().all(|line| line.len() <= LONGEST_LINE));
    }
}
