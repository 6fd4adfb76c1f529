//! The report as one page: no script, no network, nothing beside the file.
//!
//! Whatever stands in a record is text on the page. Every string that the template writes is made printable and
//! escaped by [`write_value`], so that no place in the template can forget it.

use super::facts::Report;
use super::timeline::Interval;
use super::words;
use crate::printable::printable_name;
use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, escape_formatter};
use serde::Serialize;

const NAME: &str = "report.html";
const TEMPLATE: &str = include_str!("../../templates/report.html.j2");

/// Columns that the timeline is wide at least, so that few intervals make no walls.
const COLUMNS: usize = 32;
/// Height of the timeline, and of the smallest part of a bar, in its own units.
const HEIGHT: u64 = 1000;
const SMALLEST: u64 = 18;

/// What the template gets.
#[derive(Serialize)]
struct View<'r> {
    report: &'r Report,
    version: &'static str,
    bars: Vec<Bar<'r>>,
    width: usize,
    highest: u64,
    scale: u64,
    end: Option<Timestamp>,
}

/// An interval, drawn from the foot upwards.
#[derive(Serialize)]
struct Bar<'r> {
    x: usize,
    interval: &'r Interval,
    parts: Vec<Part>,
    /// It is longer than it is drawn.
    is_cut: bool,
}

#[derive(Serialize)]
struct Part {
    class: &'static str,
    y: u64,
    height: u64,
}

/// The page.
pub fn html(report: &Report) -> Result<String, Error> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    engine.set_formatter(write_value);
    engine.remove_filter("safe");
    engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    engine.add_filter("number", words::number);
    engine.add_filter("bytes", words::bytes);
    engine.add_filter("duration", words::length);
    engine.add_filter("percent", words::percent);
    engine.add_filter("when", |time: &str| time.parse().map_or_else(|_| time.to_owned(), words::when));
    engine.add_filter("until", |first: &str, last: &str| match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => words::span(first, last),
        _ => format!("{first} to {last}"),
    });
    engine.add_filter("entry_lines", |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>());
    engine.add_template(NAME, TEMPLATE)?;
    engine.get_template(NAME)?.render(Value::from(Serde(view(report))))
}

/// Writes a value, whatever it holds, as text of the page.
fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => {
            escape_formatter(out, state, &Value::from(printable_name(text).into_owned()))
        }
        _ => escape_formatter(out, state, value),
    }
}

fn view(report: &Report) -> View<'_> {
    let intervals = &report.timeline.intervals;
    let highest = intervals.iter().map(Interval::requests).max().unwrap_or_default();
    let scale = report.timeline.scale();
    let bars = intervals.iter().enumerate().map(|(at, interval)| bar(at, interval, scale)).collect();
    let end = intervals.last().and_then(|last| {
        last.start.checked_add(jiff::SignedDuration::from_secs(report.timeline.seconds)).ok()
    });
    let width = intervals.len().max(COLUMNS) * 10;
    View { report, version: env!("CARGO_PKG_VERSION"), bars, width, highest, scale, end }
}

fn bar(at: usize, interval: &Interval, scale: u64) -> Bar<'_> {
    let mut y = HEIGHT;
    let mut parts = Vec::new();
    for (class, count) in
        [("allowed", interval.allowed), ("denied", interval.denied), ("failed", interval.failed)]
    {
        if count > 0 {
            // What is smaller than everything else is still there to see.
            let share = u128::from(count) * u128::from(HEIGHT - 2 * SMALLEST) / u128::from(scale.max(1));
            let height = u64::try_from(share).unwrap_or(HEIGHT).clamp(SMALLEST, y.max(SMALLEST));
            y = y.saturating_sub(height);
            parts.push(Part { class, y, height });
        }
    }
    Bar { x: at * 10 + 1, interval, parts, is_cut: interval.requests() > scale }
}
