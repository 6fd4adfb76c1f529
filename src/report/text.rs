//! The report for a terminal. Who prints it makes it harmless there; a line break in a record is escaped here.

use super::facts::{Group, Listed, Reason, Report, Suggestion};
use super::words::{bytes, length, number, percent, span, when};
use crate::printable::printable_name;
use std::fmt::Write as _;

/// Columns of the longest bar.
const COLUMNS: u64 = 40;
/// The same with a column for each part of it that would be too small to see.
const LONGEST: usize = 42;
/// Intervals that are shown; more are joined.
const INTERVALS: usize = 24;

/// A table: the first column to the left, numbers to the right.
struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// The report, as lines.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = format!("bottle report: {}\n", title(report));
    if let (Some(first), Some(last)) = (report.first, report.last) {
        line(&mut out, &format!("{} UTC", span(first, last)));
    }
    totals(&mut out, report);
    timeline(&mut out, report);
    reasons(&mut out, "denied", &report.denied);
    hosts(&mut out, report);
    reasons(&mut out, "failed", &report.failed);
    rest(&mut out, report);
    if !report.notes.is_empty() {
        out.push_str("\nto know when reading this\n");
        for note in &report.notes {
            line(&mut out, &format!("  {note}"));
        }
    }
    let files: Vec<&str> = report.files.iter().map(String::as_str).collect();
    line(
        &mut out,
        &format!("\nread from {}; numbers from the records of {}", files.join(", "), report.recorded_by),
    );
    out
}

fn line(out: &mut String, text: &str) {
    // A heading may begin with an empty line.
    let (breaks, text) = text.strip_prefix('\n').map_or(("", text), |rest| ("\n", rest));
    let _ = writeln!(out, "{breaks}{}", printable_name(text)); // writing to a String can't fail
}

fn title(report: &Report) -> String {
    let names: Vec<_> = report.bottles.rows.iter().map(|bottle| printable_name(&bottle.name)).collect();
    if names.is_empty() { "a bottle without routes".to_owned() } else { names.join(", ") }
}

fn totals(out: &mut String, report: &Report) {
    let totals = &report.totals;
    let share = percent(totals.denied, totals.requests);
    line(
        out,
        &format!(
            "{} requests: {} allowed, {} denied ({share}), {} failed",
            number(totals.requests),
            number(totals.allowed),
            number(totals.denied),
            number(totals.failed)
        ),
    );
    let others = [
        (totals.aborted, "aborted"),
        (totals.answered, "answered by the proxy"),
        (totals.unfinished, "without an end"),
    ];
    let others: Vec<String> = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", number(*count)))
        .collect();
    if !others.is_empty() {
        line(out, &format!("and {}", others.join(", ")));
    }
    if report.recorded_by == "egress-proxy" {
        let query = bytes(totals.query_bytes);
        let (sent, received) = (bytes(totals.bytes_sent), bytes(totals.bytes_received));
        line(out, &format!("{sent} sent ({query} in queries), {received} received"));
    } else {
        line(out, &format!("{} in tunnels, both directions together", bytes(totals.tunnel_bytes)));
    }
}

fn timeline(out: &mut String, report: &Report) {
    let joined = report.timeline.joined(INTERVALS);
    if joined.intervals.is_empty() {
        return;
    }
    let scale = joined.scale();
    let columns = |count: u64| {
        let columns = (u128::from(count) * u128::from(COLUMNS)).div_ceil(u128::from(scale.max(1)));
        usize::try_from(columns).unwrap_or_default().min(LONGEST)
    };
    line(out, &format!("\nrequests for each {} (# allowed, x denied, ! failed)", length(joined.seconds)));
    for it in &joined.intervals {
        let bar = "#".repeat(columns(it.allowed))
            + &"x".repeat(columns(it.denied))
            + &"!".repeat(columns(it.failed));
        let cut = if it.requests() > scale { "…" } else { "" };
        let bar: String = bar.chars().take(LONGEST).chain(cut.chars()).collect();
        line(out, format!("  {}  {:>7}  {bar}", when(it.start), number(it.requests())).trim_end());
    }
}

fn reasons(out: &mut String, what: &str, reasons: &[Reason]) {
    for reason in reasons {
        let counted = match reason.counted {
            0 => String::new(),
            counted => format!(", of which {} counted in floods", number(counted)),
        };
        line(out, &format!("\n{what}: {}, {}{counted}", reason.reason, number(reason.requests)));
        for group in &reason.groups {
            of_group(out, group);
        }
        more(out, reason.more_requests, "in smaller groups");
    }
}

fn of_group(out: &mut String, group: &Group) {
    let Group { decided_by, origin, method, path, requests, first, last, example, message, suggestion } =
        group;
    line(out, &format!("  {}x  {method} {origin}{path}", number(*requests)));
    line(out, &format!("      {}, by {decided_by}", span(*first, *last)));
    if let Some(message) = message {
        line(out, &format!("      {message}"));
    }
    if let Some(example) = example {
        line(out, &format!("      such as {example}"));
    }
    match suggestion {
        Some(Suggestion::Entry(entry)) => {
            line(out, if example.is_some() { "      to allow that one:" } else { "      to allow it:" });
            entry.lines().for_each(|one| line(out, &format!("        {one}")));
        }
        Some(Suggestion::None(why)) => line(out, &format!("      {why}")),
        None => {}
    }
}

fn hosts(out: &mut String, report: &Report) {
    let is_chain = report.recorded_by == "egress-proxy";
    let mut head = vec!["host", "requests", "denied", "failed"];
    head.extend(if is_chain { &["sent", "received"][..] } else { &["in tunnels"][..] });
    let row = |host: &super::facts::Host| {
        let mut row =
            vec![host.origin.clone(), number(host.requests), number(host.denied), number(host.failed)];
        if is_chain {
            row.extend([bytes(host.bytes_sent), bytes(host.bytes_received)]);
        } else {
            row.push(bytes(host.tunnel_bytes));
        }
        row
    };
    table(out, head, &report.hosts, row, "to hosts that were asked more rarely");
}

fn rest(out: &mut String, report: &Report) {
    let of_finding = |it: &super::facts::Finding| {
        vec![
            it.what.clone(),
            it.origin.clone(),
            it.place.clone(),
            it.action.clone(),
            number(it.requests),
            when(it.last),
        ]
    };
    let head = vec!["found by pipelock", "host", "in", "action", "times", "last"];
    table(out, head, &report.findings, of_finding, "with findings that are rarer");
    let of_use = |it: &super::facts::CredentialUse| {
        vec![it.name.clone(), it.origin.clone(), number(it.requests), when(it.last)]
    };
    let head = vec!["credential", "host", "requests", "last"];
    table(out, head, &report.credentials, of_use, "with other credentials or hosts");
    let of_config = |it: &super::facts::Config| {
        vec![it.sha256.clone(), number(it.requests), when(it.first), when(it.last)]
    };
    let head = vec!["routes.yaml (SHA-256)", "requests", "first", "last"];
    table(out, head, &report.configs, of_config, "under others");
}

fn table<T>(
    out: &mut String,
    head: Vec<&'static str>,
    list: &Listed<T>,
    row: impl Fn(&T) -> Vec<String>,
    beyond: &str,
) {
    if list.rows.is_empty() {
        return;
    }
    out.push('\n');
    let rows = list.rows.iter().map(row);
    let shown = rows.map(|row| row.iter().map(|cell| printable_name(cell).into_owned()).collect()).collect();
    Table { head, rows: shown }.write(out);
    more(out, list.more_requests, beyond);
}

fn more(out: &mut String, requests: u64, what: &str) {
    if requests > 0 {
        let word = if requests == 1 { "request" } else { "requests" };
        line(out, &format!("  and {} {word} {what}", number(requests)));
    }
}

impl Table {
    fn write(&self, out: &mut String) {
        use unicode_width::UnicodeWidthStr as _;
        let width = |at: usize| {
            let cells = self.rows.iter().map(|row| row[at].width());
            cells.chain([self.head[at].width()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        // A column of numbers stands to the right.
        let is_number = |at: usize| {
            at > 0 && self.rows.iter().all(|row| row[at].starts_with(|c: char| c.is_ascii_digit()))
        };
        let aligned: Vec<bool> = (0..self.head.len()).map(is_number).collect();
        let mut put = |cells: Vec<&str>| {
            let mut text = String::from(" ");
            for (at, cell) in cells.into_iter().enumerate() {
                let padding = " ".repeat(widths[at] - cell.width());
                text.push(' ');
                text += &if aligned[at] { padding + cell } else { cell.to_owned() + &padding };
                text.push(' ');
            }
            let _ = writeln!(out, "{}", text.trim_end()); // writing to a String can't fail
        };
        put(self.head.clone());
        self.rows.iter().for_each(|row| put(row.iter().map(String::as_str).collect()));
    }
}
