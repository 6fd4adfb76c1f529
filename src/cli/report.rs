//! `bottle report`: an audit trail as a page that a person reads.

mod output;

use super::audit_files::{self, Line, Reading};
use super::bottles::{self, Planted};
use super::failure::fail;
use super::{AnyFormat, Format, Globals, Outcome, print, print_as, rules, say, sinks, source};
use crate::clock::Clock;
use crate::explain::BottleRules;
use crate::report::{self, Collector, Listing, Rules};
use anyhow::Context as _;
use camino::Utf8PathBuf;
use jiff::{Timestamp, civil::Date};

/// Show what an audit trail holds, as a page for a browser
///
/// Who was asked, what was denied and why, the manifest entry that would allow it, how much was sent, and when. The page
/// is one file that loads nothing. On a terminal the same facts are printed as text.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle report --output report.html
  bottle report --since 1d
  bottle report sent.jsonl denied.jsonl.gz --manifest dev.bottle.yaml --format json")]
pub(crate) struct Args {
    /// Audit files, plain or gzip, folders of them, or - for stdin [default: the audit trail of the bottle]
    #[arg(value_name = "AUDIT")]
    audit: Vec<Utf8PathBuf>,
    /// Suggest entries by this manifest; without AUDIT, report on its bottle [default: bottle.yaml here or in the
    /// nearest parent]
    #[arg(long, value_name = "MANIFEST")]
    manifest: Option<Utf8PathBuf>,
    /// Only what was recorded since: a time such as 2026-11-26T10:00:00Z, or an age such as 10m or 2d
    #[arg(long, value_name = "TIME", value_parser = super::logs::since)]
    since: Option<Timestamp>,
    /// Write to this file instead of stdout; an earlier report is replaced, and no other file
    #[arg(short, long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,
    /// Replace the file, whatever it is
    #[arg(long, requires = "output")]
    force: bool,
    /// The day to try the suggested entries on (UTC) [default: today]
    #[arg(long, value_name = "DATE")]
    now: Option<Date>,
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Html,
    Text,
    Json,
}

impl Shown {
    /// What each begins with: by this an earlier report is known.
    fn beginning(self) -> &'static str {
        match self {
            Self::Html => "<!doctype html>\n<!-- bottle report -->\n",
            Self::Text => "bottle report: ",
            Self::Json => "{\n  \"bottle_report\": ",
        }
    }

    const ALL: [Self; 3] = [Self::Html, Self::Text, Self::Json];
}

/// What is reported on, and what entries are suggested by.
struct Asked {
    audit: Vec<Utf8PathBuf>,
    rules: Result<BottleRules, String>,
}

pub(crate) fn run(args: &Args, format: Option<AnyFormat>, globals: &Globals) -> anyhow::Result<Outcome> {
    let shown = match format {
        Some(AnyFormat::Json) => Shown::Json,
        Some(AnyFormat::Text) => Shown::Text,
        None if args.output.is_none() && sinks::stdout_is_terminal() => Shown::Text,
        Some(AnyFormat::Html) | None => Shown::Html,
        Some(other) => return Err(other.refused("html, text and json")),
    };
    let target = args.output.as_deref().map(|file| output::Target::find(file, args.force)).transpose()?;
    let asked = if args.audit.is_empty() { own_trail(args)? } else { named_trail(args)? };
    let inputs = audit_files::open(&asked.audit)?;
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let mut collector = Collector::new(args.since);
    let mut foreign = Foreign::default();
    let reading = Reading { doing: "reading", lost: "nothing was reported" };
    let warnings = audit_files::read_all(inputs, &reading, globals, |line| {
        match line {
            Line::Entry(entry) => collector.see(entry),
            Line::Foreign(name, number, why) => foreign.see(name, number, &why),
        }
        Ok(())
    })?;
    let mut notes = warnings.said();
    notes.extend(foreign.said());
    if collector.is_empty() {
        let since = args.since.map(|since| format!(" since {since}")).unwrap_or_default();
        let passed_over: String = notes.iter().flat_map(|note| ["\n", note]).collect();
        fail!("not-an-audit-log", "there is no request in {}{since}{passed_over}", names.join(", "));
    }
    let today = args.now.unwrap_or_else(|| Clock::system().today());
    let rules = match &asked.rules {
        Ok(rules) if collector.knows_bottle(&rules.bottle) => Rules::Of(rules, today),
        Ok(rules) => Rules::Unknown(format!(
            "No entries are suggested: {} is the manifest of {}, and no record is of that bottle. Name the right one \
             with --manifest.",
            rules.file(),
            rules.bottle
        )),
        Err(why) => Rules::Unknown(format!("No entries are suggested: {why}")),
    };
    let listing = if shown == Shown::Json { Listing::ALL } else { Listing::SHORT };
    let report = collector.finish(names, &rules, listing, notes);
    let written = match shown {
        Shown::Html => report::html(&report).context("the page can't be written")?,
        Shown::Text => report::text(&report),
        Shown::Json => report::json(&report)?,
    };
    match target {
        Some(target) => {
            target.write(&written, shown)?;
            if !globals.quiet {
                say(&format!("wrote {}\n", target.shown()));
            }
        }
        None if shown == Shown::Json => print_as(Format::Json, &written)?,
        None => print(&written)?,
    }
    if format.is_none() && shown == Shown::Text && !globals.quiet {
        say("note: `bottle report --output report.html` writes this as a page\n");
    }
    Ok(Outcome::Done)
}

/// The trail of a bottle on this machine.
fn own_trail(args: &Args) -> anyhow::Result<Asked> {
    let found = bottles::find(args.manifest.as_deref(), None, Planted::PassedOver)?;
    let audit = audit_files::of_bottle(&found.bottle)?;
    let rules = match found.loaded {
        Some(loaded) => rules::of_manifest(loaded).map_err(|error| format!("{}: {error:#}", found.file)),
        None => Err(format!("{} can't be read now.", found.file)),
    };
    Ok(Asked { audit, rules })
}

/// What the arguments name. A manifest that was not named is one more help, and no reason to fail.
fn named_trail(args: &Args) -> anyhow::Result<Asked> {
    let audit = audit_files::expanded(&args.audit);
    let rules = match &args.manifest {
        Some(file) => Ok(rules::read(Some(file), None)?),
        None if source::nearest()?.is_none() => {
            Err("no manifest was named, and there is no bottle.yaml here. Name one with --manifest."
                .to_owned())
        }
        None => {
            rules::read(None, None).map_err(|error| format!("the nearest manifest has errors: {error:#}"))
        }
    };
    Ok(Asked { audit, rules })
}

/// Lines that are no records.
#[derive(Default)]
struct Foreign {
    count: u64,
    first: Option<String>,
}

impl Foreign {
    fn see(&mut self, name: &str, number: u64, why: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| format!("{name}, line {number}: {why}"));
    }

    fn said(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(format!(
            "Lines that are not audit records of this version of bottle, and were passed over: {}. The first is {first}",
            self.count
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_begins_as_an_earlier_report_is_known_by() {
        let mut collector = Collector::new(None);
        let line = br#"{"time":"2026-11-24T12:30:01Z","event":"end","request":"1","bottle":"dev","config":"c","connection":1,"verdict":"allow","decided_by":"egress-proxy","request_bytes":0,"response_bytes":0,"complete":true,"duration_ms":1}"#;
        collector.see(&crate::telemetry::audit::Entry::EgressProxy(serde_json::from_slice(line).unwrap()));
        let rules = Rules::Unknown(String::new());
        let report = collector.finish(Vec::new(), &rules, Listing::SHORT, Vec::new());
        for (shown, written) in [
            (Shown::Html, report::html(&report).unwrap()),
            (Shown::Text, report::text(&report)),
            (Shown::Json, report::json(&report).unwrap()),
        ] {
            assert!(written.starts_with(shown.beginning()), "{shown:?}: {written:.80}");
        }
    }
}
