//! How far a long command is: a bar on a terminal, one plain line elsewhere if it takes long, nothing for those who asked for less.

use super::{Globals, say, sinks};
use std::time::{Duration, Instant};

/// Between two bars.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that take a time in which a person wonders.
const LONG: u64 = 8 << 20;
/// Columns of a bar.
const COLUMNS: u64 = 30;

/// A bar that is being shown.
pub(crate) struct Progress {
    /// In bytes, if it is known.
    total: Option<u64>,
    bar: bool,
    shown: Option<Instant>,
}

impl Progress {
    /// Says what begins; `doing` is `replaying`, `reading`, …
    pub(crate) fn start(doing: &str, files: &[String], total: Option<u64>, globals: &Globals) -> Self {
        let bar = !globals.quiet && sinks::can_show_progress();
        if !bar && !globals.quiet && total.is_none_or(|bytes| bytes >= LONG) {
            let what = match files {
                [one] => one.clone(),
                several => format!("{} files", several.len()),
            };
            let size = total.map(|bytes| format!(" ({} KiB)", bytes.div_ceil(1024))).unwrap_or_default();
            say(&format!("{doing} {what}{size}\n"));
        }
        Self { total, bar, shown: None }
    }

    /// Shows how far it is, if it is time to.
    pub(crate) fn show(&mut self, bytes: u64, records: u64) {
        if !self.bar || self.shown.is_some_and(|shown| shown.elapsed() < PAUSE) {
            return;
        }
        self.shown = Some(Instant::now());
        sinks::show_progress(&line(bytes, self.total, records));
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        if self.shown.take().is_some() {
            sinks::show_progress("");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end(); // an error begins on a line of its own
    }
}

fn line(bytes: u64, total: Option<u64>, records: u64) -> String {
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{records} records") };
    // A file can grow while it is read.
    let bytes = bytes.min(total);
    let filled = usize::try_from(bytes * COLUMNS / total).unwrap_or_default();
    let left = usize::try_from(COLUMNS).unwrap_or_default() - filled;
    let percent = bytes * 100 / total;
    format!("[{}{}] {percent:3} %  {records} records", "#".repeat(filled), "-".repeat(left))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_bar_is_never_longer_than_the_whole() {
        assert_eq!(line(0, Some(10), 0), "[------------------------------]   0 %  0 records");
        assert_eq!(line(5, Some(10), 7), "[###############---------------]  50 %  7 records");
        assert_eq!(line(11, Some(10), 9), "[##############################] 100 %  9 records");
        assert_eq!(line(11, None, 9), "9 records");
        assert_eq!(line(0, Some(0), 0), "0 records");
    }
}
