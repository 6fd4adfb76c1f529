//! `bottle learn`: the manifest entries that would allow what was refused.

use super::manifest_patch::{self, ManifestFile, counted};
use super::{Format, Globals, Outcome, now, print_as};
use crate::clock::Clock;
use crate::patch::{Learned, Usage, Wanted, learn};
use crate::policy::Host;
use crate::printable::printable_name;
use crate::review::{self, Review};
use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Show the manifest entries that would allow what was refused
///
/// Reads audit logs and suggests the narrowest entries: host, method and the very path. Every suggestion was tried.
/// What a person has to decide, and what no entry allows, is counted and not suggested. Nothing is written without
/// --write. Exit code 0: nothing to add, or written; 1: there is a patch; 2: it could not be made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle learn
  bottle learn --host api.example --write
  bottle learn --patterns audit.jsonl.gz bottle.yaml --write")]
pub(crate) struct Args {
    /// Audit logs (plain or gzip), folders of them, or - for stdin [default: the audit trail of the bottle]; then the
    /// manifest [default: bottle.yaml here or in the nearest parent]
    #[arg(value_name = "AUDIT.jsonl… [MANIFEST]")]
    files: Vec<Utf8PathBuf>,
    /// Suggest entries for this host only; may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Where many paths of one shape were asked for, write one pattern with `*` in their place
    #[arg(long)]
    patterns: bool,
    /// Write the patch into the manifest
    #[arg(long)]
    write: bool,
    /// The day to decide on (UTC) [default: today]
    #[arg(long, value_name = "DATE", value_parser = now::parse)]
    now: Option<Clock>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let (audit, file) = manifest_patch::split(&args.files)?;
    let manifest = ManifestFile::read(file)?;
    let (loaded, plan) = manifest.load()?;
    let usage = manifest_patch::usage(&audit, &plan, false, globals)?;
    let wanted = Wanted {
        patterns: args.patterns,
        hosts: hosts(&args.host, &usage)?,
        today: args.now.clone().unwrap_or_else(Clock::system).today(),
    };
    let judge = |text: &str| manifest.judge(text);
    let learned =
        learn(&manifest.text, &loaded.document.value, &usage, &wanted, &judge).map_err(anyhow::Error::msg)?;
    let review = manifest.review(&learned.text)?;
    let shown = match globals.format {
        Format::Text => text(&manifest, &usage, &learned, &review, args.patterns),
        Format::Json => {
            let value = as_json(&manifest, &usage, &learned, &review, args)?;
            serde_json::to_string_pretty(&value)? + "\n"
        }
    };
    print_as(globals.format, &shown)?;
    manifest.end(&learned.text, args.write, "learn", globals.quiet)
}

/// The hosts of `--host`, each of which was refused.
fn hosts(named: &[String], usage: &Usage) -> anyhow::Result<BTreeSet<Host>> {
    let host = |name: &String| {
        let host = Host::parse(name).with_context(|| format!("--host {name}"))?;
        let refused = usage.refused.keys().any(|(_, request)| request.host == host.as_str());
        ensure!(refused, "--host {host}: the log has no refusal of it");
        Ok(host)
    };
    named.iter().map(host).collect()
}

/// Requests of one host that are listed.
const REQUESTS: usize = 10;

fn text(manifest: &ManifestFile, usage: &Usage, learned: &Learned, review: &Review, taken: bool) -> String {
    let served: u64 = learned.additions.iter().map(|addition| addition.refusals).sum();
    let file = &manifest.file;
    let mut out = match served {
        0 => format!("{file}: nothing to add for {}\n", counted(usage.refusals, "refusal")),
        _ => format!("{file}: the patch allows {served} of {}\n", counted(usage.refusals, "refusal")),
    };
    // Writing to a String can't fail.
    if learned.allowed_now > 0 {
        let _ = writeln!(out, "{} would be allowed by now", counted(learned.allowed_now, "refusal"));
    }
    for addition in &learned.additions {
        let place = addition.source.as_deref().unwrap_or("new");
        let host = printable_name(&addition.host);
        let _ = writeln!(out, "\n{host} ({place}): {}", counted(addition.refusals, "refusal"));
        for (request, count) in addition.requests.iter().take(REQUESTS) {
            let asked = format!("{} {}", request.method.as_deref().unwrap_or("?"), request.url());
            let _ = writeln!(out, "{count:>7}  {}", printable_name(&asked));
        }
        if let Some(more) = addition.requests.len().checked_sub(REQUESTS).filter(|more| *more > 0) {
            let _ = writeln!(out, "         … and {more} more");
        }
        for offer in learned.patterns.iter().filter(|offer| offer.host == addition.host) {
            let (pattern, paths) = (printable_name(&offer.pattern), offer.paths.len());
            let _ = if taken {
                writeln!(out, "    {pattern} stands for {paths} paths")
            } else {
                writeln!(out, "    --patterns writes {pattern} in the place of {paths} paths")
            };
        }
    }
    if !learned.additions.is_empty() {
        let _ = write!(out, "\n{}\n{}", manifest.diff(&learned.text), review::text(review, false));
    }
    if !learned.not_suggested.is_empty() {
        out += "\nNo entry is suggested for\n";
    }
    for not in &learned.not_suggested {
        let example = not.example.as_ref().map(|request| {
            format!(", such as {} {}", request.method.as_deref().unwrap_or("?"), request.url())
        });
        let example = example.unwrap_or_default();
        let line = format!("{:>7}  {}: {}{example}", not.refusals, not.reason, not.why);
        let _ = writeln!(out, "{}", printable_name(&line));
    }
    out
}

fn as_json(
    manifest: &ManifestFile,
    usage: &Usage,
    learned: &Learned,
    review: &Review,
    args: &Args,
) -> anyhow::Result<Value> {
    Ok(json!({
        "version": 1,
        "manifest": manifest.file,
        "covers": usage.span,
        "refusals": usage.refusals,
        "allowed_now": learned.allowed_now,
        "additions": learned.additions,
        "patterns": learned.patterns,
        "patterns_used": args.patterns,
        "not_suggested": learned.not_suggested,
        "patch": manifest.diff(&learned.text),
        "changes": manifest_patch::changes(review)?,
    }))
}
