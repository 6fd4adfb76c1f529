//! Records on their way to a sink.
//!
//! A line is never lost: a request first [reserves](Log::reserve) the slot of its record, and waits for one when
//! the sink is slow; what can't be recorded is not done. Writing happens on a thread of its own, so that a slow
//! stdout never holds up a request that has its slot. Only a dispatch waits until it is written.

use super::{
    Recorded, Sink,
    writer::{Line, Message, RETRY, ReservedSlot, State, Writer},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Sender, channel},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Records that may wait for a slow sink; one slot is held by each request in flight.
const SLOTS: usize = 8192;

/// A handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    messages: Sender<Message>,
    slots: Arc<Semaphore>,
    state: Arc<State>,
}

/// The slot of one request's records.
#[must_use = "a slot that is dropped leaves no record"]
pub struct AuditSlot {
    /// Gone when the last record is on its way.
    held: Option<Arc<ReservedSlot>>,
    messages: Sender<Message>,
}

impl Log {
    /// Starts the thread that writes.
    pub fn start(sink: Sink) -> io::Result<Self> {
        Self::with_slots(sink, SLOTS)
    }

    fn with_slots(sink: Sink, slots: usize) -> io::Result<Self> {
        let (messages, receiver) = channel();
        let state = Arc::new(State::default());
        let slots = Arc::new(Semaphore::new(slots));
        let writer = Writer::new(sink, receiver, Arc::clone(&state), Arc::clone(&slots));
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
        Ok(Self { messages, slots, state })
    }

    /// A slot for one request, as soon as there is one; nothing after [`finish`](Self::finish). While nothing can be
    /// written, as on a full disk, no request begins: what were answered then would be lost if the process were stopped.
    pub async fn reserve(&self) -> Option<AuditSlot> {
        while !self.is_writable() && !self.slots.is_closed() {
            tokio::time::sleep(RETRY).await;
        }
        Some(self.slot(Arc::clone(&self.slots).acquire_owned().await.ok()?))
    }

    /// A slot if there is one now.
    #[must_use]
    pub fn try_reserve(&self) -> Option<AuditSlot> {
        Some(self.slot(Arc::clone(&self.slots).try_acquire_owned().ok()?))
    }

    fn slot(&self, slot: OwnedSemaphorePermit) -> AuditSlot {
        AuditSlot { held: Some(ReservedSlot::new(slot)), messages: self.messages.clone() }
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

impl AuditSlot {
    /// Writes the record; never waits.
    pub fn write(mut self, record: &impl Recorded) {
        let Some(line) = line(record) else { return };
        let Some(held) = self.held.take() else { return };
        // Fails only after `finish`.
        let _ = self.messages.send(Message::Last(line, held));
    }

    /// Writes a record before another one, and waits until the system has it. False when the process is ending:
    /// what the record announces must not be done then.
    #[must_use = "what could not be recorded must not be done"]
    pub async fn write_ahead(&self, record: &impl Recorded) -> bool {
        let (Some(line), Some(held)) = (line(record), &self.held) else { return false };
        held.announced.store(true, Ordering::Relaxed);
        let (done, written) = oneshot::channel();
        let ahead = Message::Ahead(line, Arc::clone(held), done);
        self.messages.send(ahead).is_ok() && written.await.is_ok()
    }
}

impl Drop for AuditSlot {
    /// The client went away: what was set aside for the end goes back.
    fn drop(&mut self) {
        if let Some(held) = self.held.take().filter(|held| held.announced.load(Ordering::Relaxed)) {
            // Fails only after `finish`.
            let _ = self.messages.send(Message::Gone(held));
        }
    }
}

fn line(record: &impl Recorded) -> Option<Line> {
    match serde_json::to_vec(record) {
        Ok(mut json) => {
            json.push(b'\n');
            Some(Line { series: record.series(), json, facts: record.facts() })
        }
        Err(error) => {
            tracing::error!(%error, "an audit record could not be written as JSON");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Counted, Counting, Event, Folder, RETENTION, Record, record::tests::record};
    use super::*;
    use std::{
        io::Write,
        sync::{Mutex, mpsc::Receiver},
    };

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

    fn gated(slots: usize) -> (Log, Steps, Arc<Mutex<Vec<u8>>>) {
        let (allow, allowed) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink::Writer(Box::new(Gated { allowed, written: Arc::clone(&written) }));
        (Log::with_slots(sink, slots).unwrap(), allow, written)
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
        assert!(futures_util::poll!(&mut third).is_pending(), "every slot is taken");
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
        let slot = log.reserve().await.unwrap();
        let dispatch = Record { event: Event::Dispatch, ..record(1) };
        {
            let mut ahead = Box::pin(slot.write_ahead(&dispatch));
            assert!(futures_util::poll!(&mut ahead).is_pending(), "the sink takes nothing yet");
            drop(allow);
            assert!(ahead.await);
            assert_eq!(connections(&written), [1]);
        }
        slot.write(&record(2));
        assert!(log.finish(Duration::from_secs(20)).await);
        assert_eq!(connections(&written), [1, 2]);
    }

    #[tokio::test]
    async fn on_a_full_disk_no_request_begins() {
        let (log, allow, written) = gated(8);
        allow.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        log.reserve().await.unwrap().write(&record(1));
        until(|| !log.is_writable()).await;
        let waiting = log.clone();
        let mut second = Box::pin(waiting.reserve());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(allow);
        second.await.unwrap().write(&record(2));
        assert!(log.finish(Duration::from_secs(20)).await);
        assert_eq!(connections(&written), [1, 2]);
    }

    #[tokio::test]
    async fn what_can_not_be_recorded_is_not_announced_as_recorded() {
        let (log, allow, _) = gated(1);
        for _ in 0..1000 {
            allow.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        }
        let slot = log.reserve().await.unwrap();
        let dispatch = record(1);
        let mut ahead = Box::pin(slot.write_ahead(&dispatch));
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
        until(|| !fs_err::read(&path).unwrap().is_empty()).await;
        fs_err::rename(&path, dir.path().join("audit.jsonl.1")).unwrap();
        log.reopen();
        log.reserve().await.unwrap().write(&record(2));
        assert!(log.finish(Duration::from_secs(20)).await);
        let second = fs_err::read_to_string(&path).unwrap();
        assert_eq!(second.lines().count(), 1);
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_flood_of_requests_is_counted_whole_and_says_so_before_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::with_limits(dir.path(), "egress-proxy", 1 << 20, 3, RETENTION).unwrap();
        let log = Log::start(Sink::Folder(Box::new(folder))).unwrap();
        let text = || fs_err::read_to_string(dir.path().join("sent.jsonl")).unwrap();
        let asked = 1500;
        for n in 0..asked {
            let slot = log.reserve().await.unwrap();
            let event = Event::Dispatch;
            assert!(slot.write_ahead(&Record { event, request: format!("r{n}"), ..record(n) }).await);
            if n == asked - 1 {
                assert!(text().contains(r#""event":"counting""#) && !text().contains(r#""request":"r1499""#));
            }
            if n % 10 == 9 {
                continue;
            }
            slot.write(&Record { event: Event::End, request: format!("r{n}"), ..record(n) });
        }
        assert!(log.finish(Duration::from_secs(20)).await);
        let (mut dispatched, mut ended, mut counted, mut outcomes, mut counting) =
            (vec![], vec![], 0, 0, false);
        for line in text().lines() {
            let event = serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone();
            match event.as_str().unwrap() {
                "counting" => {
                    let begins: Counting = serde_json::from_str(line).unwrap();
                    assert_eq!((begins.series.as_str(), counting), ("sent", false));
                    counting = true;
                }
                "counted" => {
                    let count: Counted = serde_json::from_str(line).unwrap();
                    assert!(std::mem::take(&mut counting), "no count without its beginning");
                    counted += count.requests;
                    outcomes += count.kinds.iter().flat_map(|kind| kind.outcomes.values()).sum::<u64>();
                }
                event => {
                    let record: Record = serde_json::from_str(line).unwrap();
                    if event == "dispatch" { &mut dispatched } else { &mut ended }.push(record.request);
                }
            }
        }
        assert!(!counting, "the last count is there, too");
        let written = dispatched.len() as u64;
        assert!(written > 500 && counted > 500, "{written} are written, {counted} are counted");
        assert_eq!(written + counted, asked, "each is written or counted");
        assert_eq!(ended.len() as u64 + outcomes, asked * 9 / 10, "a request that is given up has no end");
        dispatched.retain(|request| !request.ends_with('9'));
        assert_eq!(dispatched, ended, "the end of a request goes where its dispatch went");
    }

    #[tokio::test]
    async fn a_flood_of_refusals_is_counted_and_erases_nothing_that_was_sent_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::with_limits(dir.path(), "egress-proxy", 1 << 20, 3, RETENTION).unwrap();
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

    #[tokio::test]
    async fn a_flood_of_refusals_gains_nothing_by_restarts() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let folder = Folder::with_limits(dir.path(), "egress-proxy", 1 << 20, 3, RETENTION).unwrap();
            let log = Log::start(Sink::Folder(Box::new(folder))).unwrap();
            for n in 0..300 {
                log.reserve().await.unwrap().write(&Record { time: jiff::Timestamp::now(), ..record(n) });
            }
            assert!(log.finish(Duration::from_secs(20)).await);
        }
        let denied = fs_err::read_to_string(dir.path().join("denied.jsonl")).unwrap();
        let written = denied.lines().filter(|line| line.contains("\"request\"")).count();
        // Two windows at most.
        assert!((200..=400).contains(&written), "{written}");
    }
}
