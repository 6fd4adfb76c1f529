//! Log lines in the shape of the program whose place this engine can take: one JSON object each, on stdout, and in
//! the audit folder if there is one.
//!
//! A line has no field for a query, a field's value or a body, so it can't leak one; of a path that holds a
//! credential only the host is logged. Writing happens on a thread of its own. When the reader of stdout is so slow
//! that thousands of lines wait, further ones are counted instead of written, and the count is logged. In the audit
//! folder no decision is ever lost: a request waits for its place there.

use super::{lines::Line, rules::Rules};
use crate::clock::Clock;
use crate::dlp::Removed;
use crate::intercept::{Client, Peer};
use crate::telemetry::audit::{AuditSlot, Facts, Log, Recorded, Series, common_method, outcome};
use crate::verdict::pipelock::{Block, Part};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

/// Lines that may wait.
const WAITING: usize = 16_384;

#[derive(Serialize)]
struct Whole<'a> {
    level: &'static str,
    time: Timestamp,
    component: &'static str,
    #[serde(flatten)]
    line: &'a Line,
}

impl Recorded for Whole<'_> {
    fn series(&self) -> Series {
        if self.line.is_refusal() { Series::Denied } else { Series::Sent }
    }

    fn facts(&self) -> Facts {
        let line = self.line;
        let (host, path) = line.place();
        Facts {
            config: line.config.clone().unwrap_or_default(),
            time: self.time,
            host: host.map(str::to_owned),
            method: line.method.as_deref().map(common_method),
            rule: None,
            path: path.map(str::to_owned),
            outcome: match self.series() {
                Series::Sent => outcome(line.event, line.status_code),
                Series::Denied => line.scanner.unwrap_or(line.event).to_owned(),
            },
            request_bytes: line.carried.0,
            response_bytes: line.carried.1,
        }
    }
}

/// Where lines go; cheap to clone.
#[derive(Clone)]
pub struct Events {
    lines: SyncSender<String>,
    audit: Option<Log>,
    lost: Arc<AtomicU64>,
    clock: Clock,
    /// When this process started, in milliseconds since 1970: what makes request ids differ between processes.
    start: i64,
}

/// The place of one request in the audit folder, if there is one.
pub(super) struct Trail(Option<AuditSlot>);

impl Events {
    /// Writes to `sink` until the last clone is gone.
    pub fn new(mut sink: impl Write + Send + 'static, clock: Clock) -> Self {
        let (lines, waiting): (_, Receiver<String>) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        std::thread::spawn(move || {
            while let Ok(line) = waiting.recv() {
                // Nobody is left to tell of a log that can't be written.
                let _ = sink.write_all(line.as_bytes()).and_then(|()| sink.flush());
            }
        });
        let start = clock.now().as_millisecond();
        Self { lines, audit: None, lost, clock, start }
    }

    /// Writes to an audit log, too: every decision, whatever the configuration says of logging, and a line before
    /// anything is sent on.
    #[must_use]
    pub fn recorded_in(self, audit: Log) -> Self {
        Self { audit: Some(audit), ..self }
    }

    pub(super) fn audit(&self) -> Option<&Log> {
        self.audit.as_ref()
    }

    /// The id of a connection's or a request's lines.
    pub(super) fn id(&self, connection: u64, request: Option<u64>) -> String {
        match request {
            Some(request) => format!("{:x}-{connection}-{request}", self.start),
            None => format!("{:x}-{connection}", self.start),
        }
    }

    /// The beginning of a line about a connection.
    pub(super) fn line(&self, client: &Client, rules: &Rules) -> Line {
        let client_ip = match client.peer {
            Peer::Unix => "unix".to_owned(),
            Peer::Tcp(address) => address.ip().to_string(),
        };
        let request_id = Some(self.id(client.id, None));
        Line { config: Some(rules.hash.clone()), client_ip: Some(client_ip), request_id, ..Line::default() }
    }

    /// The place of a request's lines, as soon as there is one; nothing when the process is ending.
    pub(super) async fn reserve(&self) -> Option<Trail> {
        match &self.audit {
            Some(audit) => audit.reserve().await.map(Some).map(Trail),
            None => Some(Trail(None)),
        }
    }

    /// Records that a request is about to be sent on, and waits until the system has it. False when the process is
    /// ending. Without an audit folder nothing is written.
    pub(super) async fn dispatch(&self, trail: &Trail, line: &mut Line) -> bool {
        line.sent_on = true;
        let Some(place) = &trail.0 else { return true };
        let dispatch = Line { event: "dispatch", ..line.clone() };
        place.write_ahead(&self.whole("info", &dispatch)).await
    }

    /// Writes how a request was decided. `shown`: on stdout, too.
    pub(super) fn decided(&self, trail: &mut Trail, level: &'static str, line: &Line, shown: bool) {
        if shown {
            self.print(level, line);
        }
        if let Some(place) = trail.0.take() {
            place.write(&self.whole(level, line));
        }
    }

    /// Writes one line that is no decision.
    pub(super) fn write(&self, level: &'static str, line: &Line) {
        self.print(level, line);
        if let Some(audit) = &self.audit {
            match audit.try_reserve() {
                Some(place) => place.write(&self.whole(level, line)),
                None => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    /// Logs a finding that does not end the request.
    pub(super) fn warn(&self, line: Line, block: &Block, rules: &Rules) {
        let event = match block {
            Block::Dlp { part: Part::Header, .. } => "header_dlp",
            Block::Dlp { part: Part::Body, .. } => "body_dlp",
            _ => "dlp_warn",
        };
        self.write("warn", &Line { event, action: Some("warn"), ..line.found(block, rules) });
    }

    /// Logs what was removed from a request that goes on.
    pub(super) fn removed(&self, line: Line, removed: &Removed) {
        let kinds: Vec<&str> = removed.iter().map(|(kind, _)| kind).collect();
        let (pattern, removed) = (Some(kinds.join(", ")), removed.clone());
        let reason = Some("secrets were removed from the request body".to_owned());
        self.write(
            "warn",
            &Line { event: "body_dlp", action: Some("redact"), reason, pattern, removed, ..line },
        );
    }

    fn print(&self, level: &'static str, line: &Line) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let reason = format!("{lost} log lines were lost, since their reader was too slow");
            self.send("error", &Line { event: "error", reason: Some(reason), ..Line::default() });
        }
        self.send(level, line);
    }

    fn whole<'l>(&self, level: &'static str, line: &'l Line) -> Whole<'l> {
        Whole { level, time: self.clock.now(), component: "pipelock", line }
    }

    fn send(&self, level: &'static str, line: &Line) {
        let Ok(mut text) = serde_json::to_string(&self.whole(level, line)) else { return };
        text.push('\n');
        if self.lines.try_send(text).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
