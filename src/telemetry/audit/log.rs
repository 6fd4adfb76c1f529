//! Records on their way to a sink.
//!
//! A line is never lost: a request first [reserves](Log::reserve) the place of its record, and waits for one when
//! the sink is slow; what can't be recorded is not done. Writing happens on a thread of its own, so that a slow
//! stdout never holds up a request that has its place. Only a dispatch waits until it is written.

use super::{Recorded, Refused, Series, Sink};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Records that may wait for a slow sink; one place is held by each request in flight.
const PLACES: usize = 8192;

/// Lines written by one system call.
const BATCH: usize = 256;

/// How long the writer waits before it tries a failed write again.
const RETRY: Duration = Duration::from_millis(200);

/// Free again when the place is gone and all of its lines are written, so that what waits is bounded.
type Permit = Arc<OwnedSemaphorePermit>;

struct Line {
    series: Series,
    json: Vec<u8>,
    refused: Option<Refused>,
}

enum Message {
    /// The last line of a place.
    Last(Line, Permit),
    /// A line that somebody waits for, unless they went away.
    Ahead(Line, Permit, oneshot::Sender<()>),
    Reopen,
    Finish(oneshot::Sender<()>),
}

/// A handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    messages: Sender<Message>,
    places: Arc<Semaphore>,
    state: Arc<State>,
}

#[derive(Default)]
pub(super) struct State {
    stuck: AtomicBool,
    finishing: AtomicBool,
    pub(super) written: AtomicU64,
    pub(super) suppressed: AtomicU64,
}

/// The place of one request's records.
#[must_use = "a place that is dropped leaves no record"]
pub struct Place {
    permit: Permit,
    messages: Sender<Message>,
}

impl Log {
    /// Starts the thread that writes.
    pub fn start(sink: Sink) -> io::Result<Self> {
        Self::with_places(sink, PLACES)
    }

    fn with_places(sink: Sink, places: usize) -> io::Result<Self> {
        let (messages, receiver) = channel();
        let state = Arc::new(State::default());
        let places = Arc::new(Semaphore::new(places));
        let writer = Writer {
            sink,
            receiver,
            state: Arc::clone(&state),
            places: Arc::clone(&places),
            sent: Vec::new(),
            denied: Vec::new(),
            held: Held::default(),
            gave_up: false,
        };
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
        Ok(Self { messages, places, state })
    }

    /// A place for one request, as soon as there is one; nothing after [`finish`](Self::finish).
    pub async fn reserve(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { permit: Arc::new(permit), messages: self.messages.clone() })
    }

    /// A place if there is one now.
    #[must_use]
    pub fn try_reserve(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { permit: Arc::new(permit), messages: self.messages.clone() })
    }

    /// Whether the last write went through.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !self.state.stuck.load(Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Opens the file again, after it was moved away. What was recorded before is in the old one.
    pub fn reopen(&self) {
        // Fails only after `finish`, when no file is left to open.
        let _ = self.messages.send(Message::Reopen);
    }

    /// Writes what was recorded, then stops. False when the sink did not take everything in that time.
    pub async fn finish(self, grace: Duration) -> bool {
        self.state.finishing.store(true, Ordering::Relaxed);
        let (done, all_written) = oneshot::channel();
        if self.messages.send(Message::Finish(done)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(grace, all_written).await, Ok(Ok(())))
    }
}

impl Place {
    /// Writes the record; never waits.
    pub fn write(self, record: &impl Recorded) {
        let Some(line) = line(record) else { return };
        // Fails only after `finish`.
        let _ = self.messages.send(Message::Last(line, self.permit));
    }

    /// Writes a record before another one, and waits until the system has it. False when the process is ending:
    /// what the record announces must not be done then.
    #[must_use = "what could not be recorded must not be done"]
    pub async fn write_ahead(&self, record: &impl Recorded) -> bool {
        let Some(line) = line(record) else { return false };
        let (done, written) = oneshot::channel();
        let ahead = Message::Ahead(line, Arc::clone(&self.permit), done);
        self.messages.send(ahead).is_ok() && written.await.is_ok()
    }
}

fn line(record: &impl Recorded) -> Option<Line> {
    match serde_json::to_vec(record) {
        Ok(mut json) => {
            json.push(b'\n');
            Some(Line { series: record.series(), json, refused: record.refused() })
        }
        Err(error) => {
            tracing::error!(%error, "an audit record could not be written as JSON");
            None
        }
    }
}

struct Writer {
    sink: Sink,
    receiver: Receiver<Message>,
    state: Arc<State>,
    places: Arc<Semaphore>,
    sent: Vec<u8>,
    denied: Vec<u8>,
    held: Held,
    /// Lines were lost, since the process was ending.
    gave_up: bool,
}

/// What is given back when the lines of a batch are written.
#[derive(Default)]
struct Held {
    permits: Vec<Permit>,
    waiting: Vec<oneshot::Sender<()>>,
    lines: u64,
}

impl Writer {
    fn run(mut self) {
        let done = self.until_the_end();
        self.count_out(None);
        self.flush();
        self.sink.sync();
        self.places.close();
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
            self.count_out(Some(now));
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
            Message::Last(line, permit) => {
                self.gather(&line, now);
                self.held.permits.push(permit);
            }
            Message::Ahead(line, permit, done) => {
                self.gather(&line, now);
                self.held.permits.push(permit);
                self.held.waiting.push(done);
            }
            Message::Reopen => {
                self.flush();
                self.sink.reopen();
            }
            Message::Finish(done) => return Some(done),
        }
        None
    }

    fn gather(&mut self, line: &Line, now: Instant) {
        if let (Sink::Folder(folder), Some(refused)) = (&mut self.sink, &line.refused)
            && !folder.flood.admit(refused, now)
        {
            self.state.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.append(line.series, &line.json);
    }

    fn append(&mut self, series: Series, json: &[u8]) {
        match self.sink.lane(series) {
            Series::Sent => self.sent.extend_from_slice(json),
            Series::Denied => self.denied.extend_from_slice(json),
        }
        self.held.lines += 1;
    }

    fn next_due(&self) -> Option<Instant> {
        if let Sink::Folder(folder) = &self.sink { folder.flood.due() } else { None }
    }

    /// Writes the count of a flood when its window is over, or now.
    fn count_out(&mut self, now: Option<Instant>) {
        let Sink::Folder(folder) = &mut self.sink else { return };
        let counted = match now {
            Some(now) => folder.flood.take(now),
            None => folder.flood.take_all(),
        };
        let Some(counted) = counted else { return };
        match serde_json::to_vec(&counted) {
            Ok(mut json) => {
                json.push(b'\n');
                self.append(Series::Denied, &json);
            }
            Err(error) => tracing::error!(%error, "an audit record could not be written as JSON"),
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
        let held = std::mem::take(&mut self.held);
        if written {
            self.state.written.fetch_add(held.lines, Ordering::Relaxed);
            for waiting in held.waiting {
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
    use super::super::{Event, Folder, Record, record::tests::record};
    use super::*;
    use std::{io::Write, sync::Mutex};

    /// A sink that takes what a test lets it take.
    struct Gated {
        allowed: Receiver<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.allowed.recv().unwrap_or(Ok(usize::MAX))?;
            let taken = &bytes[..most.min(bytes.len())];
            self.written.lock().unwrap().extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Steps = Sender<io::Result<usize>>;

    fn gated(places: usize) -> (Log, Steps, Arc<Mutex<Vec<u8>>>) {
        let (allow, allowed) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink::Writer(Box::new(Gated { allowed, written: Arc::clone(&written) }));
        (Log::with_places(sink, places).unwrap(), allow, written)
    }

    async fn until(holds: impl Fn() -> bool) {
        let poll = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), poll).await.unwrap();
    }

    fn connections(written: &Mutex<Vec<u8>>) -> Vec<u64> {
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap().connection).collect()
    }

    #[tokio::test]
    async fn a_line_is_written_whole_through_short_writes_and_errors() {
        let (log, allow, written) = gated(8);
        for step in [Ok(10), Err(io::ErrorKind::StorageFull.into()), Ok(0), Ok(usize::MAX)] {
            allow.send(step).unwrap();
        }
        drop(allow);
        log.reserve().await.unwrap().write(&record(1));
        until(|| written.lock().unwrap().last() == Some(&b'\n')).await;
        assert!(log.clone().finish(Duration::from_secs(20)).await);
        assert_eq!(connections(&written), [1]);
        assert!(log.is_writable());
        assert!(log.reserve().await.is_none(), "nothing after the end");
    }

    #[tokio::test]
    async fn a_request_waits_for_its_place_and_no_record_is_dropped() {
        let (log, allow, written) = gated(2);
        let first = log.reserve().await.unwrap();
        let second = log.reserve().await.unwrap();
        let waiting = log.clone();
        let mut third = Box::pin(waiting.reserve());
        assert!(futures_util::poll!(&mut third).is_pending(), "every place is taken");
        assert!(log.try_reserve().is_none());
        first.write(&record(1));
        second.write(&record(2));
        drop(allow);
        third.await.unwrap().write(&record(3));
        assert!(log.finish(Duration::from_secs(20)).await);
        assert_eq!(connections(&written), [1, 2, 3]);
    }

    #[tokio::test]
    async fn what_is_written_ahead_is_there_before_anything_else_is_done() {
        let (log, allow, written) = gated(1);
        let place = log.reserve().await.unwrap();
        let dispatch = Record { event: Event::Dispatch, ..record(1) };
        {
            let mut ahead = Box::pin(place.write_ahead(&dispatch));
            assert!(futures_util::poll!(&mut ahead).is_pending(), "the sink takes nothing yet");
            drop(allow);
            assert!(ahead.await);
            assert_eq!(connections(&written), [1]);
        }
        place.write(&record(2));
        assert!(log.finish(Duration::from_secs(20)).await);
        assert_eq!(connections(&written), [1, 2]);
    }

    #[tokio::test]
    async fn what_can_not_be_recorded_is_not_announced_as_recorded() {
        let (log, allow, _) = gated(1);
        for _ in 0..1000 {
            allow.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        }
        let place = log.reserve().await.unwrap();
        let dispatch = record(1);
        let mut ahead = Box::pin(place.write_ahead(&dispatch));
        assert!(futures_util::poll!(&mut ahead).is_pending());
        until(|| !log.is_writable()).await;
        assert!(futures_util::poll!(&mut ahead).is_pending(), "a full disk makes requests wait");
        assert!(!log.finish(Duration::from_secs(20)).await);
        assert!(!ahead.await);
    }

    #[tokio::test]
    async fn an_ending_process_does_not_wait_for_ever() {
        let (log, allow, _) = gated(2);
        for _ in 0..1000 {
            allow.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        }
        log.reserve().await.unwrap().write(&record(1));
        assert!(!log.finish(Duration::from_secs(20)).await);
    }

    #[tokio::test]
    async fn a_file_is_appended_to_kept_private_and_opened_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let log = Log::start(Sink::file(&path).unwrap()).unwrap();
        log.reserve().await.unwrap().write(&record(1));
        // The move comes after the first line: `reopen` flushes what came before it.
        log.reopen();
        until(|| !std::fs::read(&path).unwrap().is_empty()).await;
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).unwrap();
        log.reopen();
        log.reserve().await.unwrap().write(&record(2));
        assert!(log.finish(Duration::from_secs(20)).await);
        let second = std::fs::read_to_string(&path).unwrap();
        assert_eq!(second.lines().count(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_flood_of_refusals_is_counted_and_erases_nothing_that_was_sent_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::with_limits(dir.path(), "egress-proxy", 4096, 3).unwrap();
        let log = Log::start(Sink::Folder(Box::new(folder))).unwrap();
        let dispatch = Record { event: Event::Dispatch, request: "kept".to_owned(), ..record(0) };
        assert!(log.reserve().await.unwrap().write_ahead(&dispatch).await);
        for n in 0..5000 {
            log.reserve().await.unwrap().write(&record(n));
        }
        assert!(log.finish(Duration::from_secs(20)).await);
        let read = |name: &str| fs_err::read_to_string(dir.path().join(name)).unwrap();
        assert!(read("sent.jsonl").contains("\"request\":\"kept\""));
        let denied = read("denied.jsonl");
        let last: super::super::Suppressed = serde_json::from_str(denied.lines().last().unwrap()).unwrap();
        // Two windows at most: the first writes 200 of them, the second as many.
        assert!(last.count >= 4600 || last.reasons["host_not_allowed"] == last.count, "{last:?}");
        assert_eq!((last.event.as_str(), last.decided_by.as_str()), ("suppressed", "egress-proxy"));
        assert!(fs_err::read_dir(dir.path()).unwrap().count() <= 4, "3 files of refusals, 1 of the other");
    }
}
