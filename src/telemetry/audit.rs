//! Audit records: one JSON line for each request that a proxy answered, allowed or denied.
//!
//! A line is never lost: a request first [reserves](Log::reserve) the place of its record, and waits for one
//! when the reader of the log is slow; what can't be recorded is not done. Writing happens on a thread of its
//! own, so that a slow stdout never holds up a request that has its place.
//!
//! A record has no field for a header's value or a query, so it can't leak one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Records that may wait for a slow reader; one place is held by each request in flight.
const PLACES: usize = 8192;

/// Lines written by one system call.
const BATCH: usize = 256;

/// How long the writer waits before it tries a failed write again.
const RETRY: Duration = Duration::from_millis(200);

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The request was passed on.
    Allow,
    /// The request was answered by a refusal.
    Deny,
}

/// One request and its end. Optional parts are left out of the line when they are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the request's head had arrived.
    pub time: Timestamp,
    /// The bottle's name.
    pub bottle: String,
    /// SHA-256 of the config that decided, in hex.
    pub config: String,
    /// The connection, counted from the start of the process.
    pub connection: u64,
    /// The method, or `CONNECT` for a tunnel that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The host, canonical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path, canonical, without the query; absent when the target has no canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The git operation: `none`, `fetch`, `push`, `lfs_upload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
    /// The stable code of the refusal, or of what went wrong upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who decided: `egress-proxy` or `pipelock`.
    pub decided_by: String,
    /// What pipelock found, in its own words, when it decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// The route's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where the route stands in the manifest, as a pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The **name** of the credential that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The status that the agent was sent; absent when the connection was closed without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the request's body that were read from the agent.
    pub request_bytes: u64,
    /// Bytes of the response's body that were passed to the agent.
    pub response_bytes: u64,
    /// Whether the response reached its end.
    pub complete: bool,
    /// From the request's head to the response's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// From the request's head to the response's end.
    pub duration_ms: u64,
}

/// Where records go.
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and opened again when [`Log::reopen`] asks (log rotation).
    File(PathBuf, File),
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

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let written = out.write(bytes)?;
                out.flush()?;
                Ok(written)
            }
            Self::File(_, file) => file.write(bytes),
            Self::Writer(writer) => writer.write(bytes),
        }
    }

    fn reopen(&mut self) {
        if let Self::File(path, file) = self {
            match open(path) {
                Ok(new) => *file = new,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "can't open the audit log again; the old file is kept");
                }
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().append(true).create(true).mode(0o600).open(path)
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    Finish(oneshot::Sender<()>),
}

/// A handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    places: mpsc::Sender<Message>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stuck: AtomicBool,
    finishing: AtomicBool,
}

/// The place of one record.
#[must_use = "a place that is dropped leaves no record"]
pub struct Place(mpsc::OwnedPermit<Message>);

impl Log {
    /// Starts the thread that writes.
    pub fn start(sink: Sink) -> io::Result<Self> {
        Self::with_places(sink, PLACES)
    }

    fn with_places(sink: Sink, places: usize) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(places);
        let state = Arc::new(State::default());
        let writer = Writer { sink, receiver, state: Arc::clone(&state) };
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
        Ok(Self { places: sender, state })
    }

    /// A place for one record, as soon as there is one; nothing after [`finish`](Self::finish).
    pub async fn reserve(&self) -> Option<Place> {
        self.places.clone().reserve_owned().await.ok().map(Place)
    }

    /// Whether the last write went through.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !self.state.stuck.load(Ordering::Relaxed)
    }

    /// Opens the file again, after it was moved away.
    pub async fn reopen(&self) {
        // Fails only after `finish`, when no file is left to open.
        let _ = self.places.send(Message::Reopen).await;
    }

    /// Writes what was recorded, then stops. False when the sink did not take everything in that time.
    pub async fn finish(self, grace: Duration) -> bool {
        self.state.finishing.store(true, Ordering::Relaxed);
        let (done, all_written) = oneshot::channel();
        let end =
            async { self.places.send(Message::Finish(done)).await.is_ok() && all_written.await.is_ok() };
        tokio::time::timeout(grace, end).await.unwrap_or(false)
    }
}

impl Place {
    /// Writes the record; never waits.
    pub fn write(self, record: &Record) {
        match serde_json::to_vec(record) {
            Ok(mut line) => {
                line.push(b'\n');
                self.0.send(Message::Line(line));
            }
            Err(error) => tracing::error!(%error, "an audit record could not be written as JSON"),
        }
    }
}

struct Writer {
    sink: Sink,
    receiver: mpsc::Receiver<Message>,
    state: Arc<State>,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut bytes = Vec::new();
        while self.receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
            for message in batch.drain(..) {
                match message {
                    Message::Line(line) => bytes.extend_from_slice(&line),
                    Message::Reopen => {
                        self.write(&mut bytes);
                        self.sink.reopen();
                    }
                    Message::Finish(done) => {
                        if self.write(&mut bytes) {
                            // The asker may have stopped waiting.
                            let _ = done.send(());
                        }
                        return;
                    }
                }
            }
            self.write(&mut bytes);
        }
    }

    /// Tries until it is written; gives up only when the process is ending.
    fn write(&mut self, bytes: &mut Vec<u8>) -> bool {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match self.sink.write(rest) {
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
        bytes.clear();
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
    use super::*;
    use std::sync::{Mutex, mpsc as sync};

    fn record(connection: u64) -> Record {
        Record {
            time: "2026-11-24T10:00:00Z".parse().unwrap(),
            bottle: "dev".to_owned(),
            config: "ab".to_owned(),
            connection,
            method: Some("GET".to_owned()),
            scheme: None,
            host: None,
            port: None,
            path: None,
            git: None,
            verdict: Verdict::Deny,
            reason: Some("host_not_allowed".to_owned()),
            decided_by: "egress-proxy".to_owned(),
            finding: None,
            rule: None,
            source: None,
            credential: None,
            status: Some(403),
            request_bytes: 0,
            response_bytes: 7,
            complete: true,
            first_byte_ms: None,
            duration_ms: 1,
        }
    }

    /// A sink that takes what a test lets it take.
    struct Gated {
        allowed: sync::Receiver<io::Result<usize>>,
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

    type Steps = sync::Sender<io::Result<usize>>;

    fn gated(places: usize) -> (Log, Steps, Arc<Mutex<Vec<u8>>>) {
        let (allow, allowed) = sync::channel();
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
    }

    #[tokio::test]
    async fn a_request_waits_for_its_place_and_no_record_is_dropped() {
        let (log, allow, written) = gated(2);
        let first = log.reserve().await.unwrap();
        let second = log.reserve().await.unwrap();
        let waiting = log.clone();
        let mut third = Box::pin(waiting.reserve());
        assert!(futures_util::poll!(&mut third).is_pending(), "every place is taken");
        first.write(&record(1));
        second.write(&record(2));
        drop(allow);
        third.await.unwrap().write(&record(3));
        assert!(log.finish(Duration::from_secs(20)).await);
        assert_eq!(connections(&written), [1, 2, 3]);
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
        log.reopen().await;
        until(|| !std::fs::read(&path).unwrap().is_empty()).await;
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).unwrap();
        log.reopen().await;
        log.reserve().await.unwrap().write(&record(2));
        assert!(log.finish(Duration::from_secs(20)).await);
        let second = std::fs::read_to_string(&path).unwrap();
        assert_eq!(second.lines().count(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn unknown_parts_are_left_out_of_the_line() {
        assert_eq!(
            serde_json::to_string(&record(5)).unwrap(),
            r#"{"time":"2026-11-24T10:00:00Z","bottle":"dev","config":"ab","connection":5,"method":"GET","verdict":"deny","reason":"host_not_allowed","decided_by":"egress-proxy","status":403,"request_bytes":0,"response_bytes":7,"complete":true,"duration_ms":1}"#
        );
    }
}
