//! Log lines in the shape of the program whose place this engine can take: one JSON object each, on stdout.
//!
//! A line has no field for a query, a field's value or a body, so it can't leak one; of a path that holds a
//! credential only the host is logged. Writing happens on a thread of its own. When the reader is so slow that
//! thousands of lines wait, further ones are counted instead of written, and the count is logged.

use crate::clock::Clock;
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

/// One event. What is unknown is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Line {
    pub(super) event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scanner: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
}

#[derive(Serialize)]
struct Whole<'a> {
    level: &'static str,
    time: String,
    component: &'static str,
    #[serde(flatten)]
    line: &'a Line,
}

/// Where lines go; cheap to clone.
#[derive(Clone)]
pub struct Events {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
    clock: Clock,
}

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
        Self { lines, lost, clock }
    }

    /// Writes one line.
    pub(super) fn write(&self, level: &'static str, line: &Line) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let reason = format!("{lost} log lines were lost, since their reader was too slow");
            self.send("error", &Line { event: "error", reason: Some(reason), ..Line::default() });
        }
        self.send(level, line);
    }

    fn send(&self, level: &'static str, line: &Line) {
        let whole = Whole { level, time: self.clock.now().to_string(), component: "pipelock", line };
        let Ok(mut text) = serde_json::to_string(&whole) else { return };
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
