//! Every request, one line each; those that are alike and follow each other are one line with their number.

use super::request_line::{self, HEADING, Measured, Shown};
use super::{Args, counted, read, suggestion, when};
use crate::cli::agreed_stack::Stack;
use crate::cli::{Format, Globals, Outcome, print_as, say, sinks};
use crate::clock::Clock;
use crate::telemetry::audit::{Announced, Entry, Event};
use jiff::Timestamp;

pub(super) fn show(stack: &Stack, args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let clock = Clock::system();
    let mut lines = Lines { globals, clock: &clock, last: None, any: false };
    let mut announced = Announced::default();
    read(stack, args, |entry| {
        let missing = match &entry {
            Some(entry) => announced.see(entry).into_iter().collect(),
            None => announced.late(clock.now()),
        };
        for counting in missing {
            match globals.format {
                Format::Text => lines.other(&counted::missing(&counting, clock.now()))?,
                Format::Json => lines.json(&counting)?,
            }
        }
        match &entry {
            Some(entry) => lines.entry(entry),
            None => lines.flush(),
        }
    })?;
    if !lines.any && !globals.quiet {
        say("nothing was asked for\n");
    }
    Ok(Outcome::Done)
}

/// Lines on their way to stdout.
struct Lines<'a> {
    globals: &'a Globals,
    clock: &'a Clock,
    /// Not shown yet, since the next may be one more of it.
    last: Option<Group>,
    any: bool,
}

/// Requests that are alike.
struct Group {
    first: Timestamp,
    shown: Shown,
    measured: Measured,
    times: u64,
}

impl Lines<'_> {
    fn entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        if self.globals.format == Format::Json {
            return match entry {
                Entry::EgressProxy(record) if record.event != Event::Dispatch => self.json(record),
                Entry::Pipelock(record) if request_line::of_pipelock(record).is_some() => self.json(record),
                Entry::Suppressed(counted) => self.json(counted),
                Entry::Counted(counted) => self.json(counted),
                _ => Ok(()),
            };
        }
        let request = match entry {
            Entry::EgressProxy(record) => request_line::of_record(record),
            Entry::Pipelock(record) => request_line::of_pipelock(record),
            Entry::Suppressed(counted) => return self.other(&suggestion::counted(counted, self.clock.now())),
            Entry::Counted(counted) => return self.other(&counted::as_text(counted, self.clock.now())),
            // Said when its count is missing.
            Entry::Counting(_) => None,
        };
        let Some((shown, measured)) = request else { return Ok(()) };
        if let Some(group) = self.last.as_mut().filter(|group| group.shown == shown) {
            (group.times, group.measured) = (group.times + 1, measured);
            return Ok(());
        }
        self.flush()?;
        self.last = Some(Group { first: entry.time(), shown, measured, times: 1 });
        Ok(())
    }

    /// What is no request.
    fn other(&mut self, text: &str) -> anyhow::Result<()> {
        self.flush()?;
        self.begin()?;
        Ok(print_as(Format::Text, text)?)
    }

    fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.any = true;
        Ok(print_as(Format::Json, &format!("{}\n", serde_json::to_string(value)?))?)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let Some(Group { first, shown, measured, times }) = self.last.take() else { return Ok(()) };
        self.begin()?;
        let when = when(first, self.clock.now());
        let colour = self.globals.colors_stdout();
        Ok(sinks::print_coloured(&request_line::line(&when, &shown, measured, times, colour))?)
    }

    /// The names of the columns come first, for a person.
    fn begin(&mut self) -> anyhow::Result<()> {
        if !self.any && !self.globals.quiet && sinks::stdout_is_terminal() {
            print_as(Format::Text, HEADING)?;
        }
        self.any = true;
        Ok(())
    }
}
