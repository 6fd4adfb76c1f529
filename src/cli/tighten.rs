//! `bottle tighten`: the manifest without what was never used.

use super::manifest_patch::{self, ManifestFile, counted};
use super::{Format, Globals, Outcome, now, print_as};
use crate::clock::Clock;
use crate::expectations::Tested;
use crate::patch::{Conditions, Tightened, Usage, shown, tighten};
use crate::policy::HostPattern;
use crate::printable::printable_name;
use crate::review::{self, Review};
use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Take away from the manifest what was never used
///
/// Reads audit logs; rules, paths, methods and ports that no request used go, and a rule that was used narrowly becomes
/// narrow. The result still allows every request of the log, and lets the agent do nothing new. Where requests were
/// counted instead of recorded, what they may have used stays. Nothing is written without --write. Exit code 0: nothing
/// to take away, or written; 1: there is a patch; 2: it could not be made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle tighten
  bottle tighten --at-least 30d --keep api.example audit/egress-proxy bottle.yaml --write")]
pub(crate) struct Args {
    /// Audit logs (plain or gzip), folders of them, or - for stdin [default: the audit trail of the bottle]; then the
    /// manifest [default: bottle.yaml here or in the nearest parent]
    #[arg(value_name = "AUDIT.jsonl… [MANIFEST]")]
    files: Vec<Utf8PathBuf>,
    /// The time that the log has to cover, such as 12h or 30d: what was not used in it is taken away
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = now::age)]
    at_least: SignedDuration,
    /// Leave the rule of this host as it is; may be repeated
    #[arg(long, value_name = "HOST")]
    keep: Vec<String>,
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
    let mut keep = BTreeSet::new();
    for name in &args.keep {
        let host = HostPattern::parse(name).with_context(|| format!("--keep {name}"))?;
        ensure!(
            plan.hosts.iter().any(|rule| rule.route.host == host),
            "--keep {host}: {} has no rule for it",
            manifest.file
        );
        keep.insert(host.to_string());
    }
    let usage = manifest_patch::usage(&audit, &plan, true, globals)?;
    let today = args.now.clone().unwrap_or_else(Clock::system).today();
    let conditions = Conditions { at_least: args.at_least, keep, today };
    let judge = |text: &str| manifest.judge(text);
    let tightened = tighten(&manifest.text, &loaded.document.value, &usage, &conditions, &judge)?;
    let review = manifest.review(&tightened.text)?;
    let broken = manifest.broken_tests(&tightened.text, today)?;
    let shown = match globals.format {
        Format::Text => text(&manifest, &usage, &tightened, &review) + &tests(&broken),
        Format::Json => {
            serde_json::to_string_pretty(&as_json(&manifest, &usage, &tightened, &review, &broken)?)? + "\n"
        }
    };
    print_as(globals.format, &shown)?;
    manifest.end(&tightened.text, args.write, "tighten", globals.quiet)
}

fn text(manifest: &ManifestFile, usage: &Usage, tightened: &Tightened, review: &Review) -> String {
    let covers = usage.sent_span.map(|span| shown(span.duration())).unwrap_or_default();
    let count = tightened.reductions.len();
    let file = &manifest.file;
    let what = match count {
        0 => "nothing to take away".to_owned(),
        1 => "1 rule can be less".to_owned(),
        _ => format!("{count} rules can be less"),
    };
    let mut out = format!(
        "{file}: {what}; the log covers {covers} and {}, of which {} different ones were tried on the result\n",
        counted(usage.requests, "request"),
        tightened.tried
    );
    // Writing to a String can't fail.
    if usage.configs.len() > 1 {
        let _ = writeln!(
            out,
            "the rules changed in this time ({} configs): a rule that is new had less time to be used",
            usage.configs.len()
        );
    }
    for reduction in &tightened.reductions {
        let (host, source) = (printable_name(&reduction.host), &reduction.source);
        let _ = writeln!(out, "\n{host} ({source})");
        for what in &reduction.what {
            let _ = writeln!(out, "    {}", printable_name(what));
        }
    }
    if count > 0 {
        let _ = write!(out, "\n{}\n{}", manifest.diff(&tightened.text), review::text(review, false));
    }
    if !tightened.kept.is_empty() {
        out += "\nLeft as they are\n";
    }
    for kept in &tightened.kept {
        let line = format!("    {} ({}): {}", kept.host, kept.source, kept.why);
        let _ = writeln!(out, "{}", printable_name(&line));
    }
    out
}

/// The tests of the manifest that want what the log did not use.
fn tests(broken: &[Tested]) -> String {
    let mut out = String::new();
    for (at, Tested { file, line, request, .. }) in broken.iter().enumerate() {
        let heading = if at == 0 { "\nTests of the manifest that would fail\n" } else { "" };
        // Writing to a String can't fail.
        let _ = writeln!(out, "{heading}    {}", printable_name(&format!("{file}:{line}: {request}")));
    }
    out
}

fn as_json(
    manifest: &ManifestFile,
    usage: &Usage,
    tightened: &Tightened,
    review: &Review,
    broken: &[Tested],
) -> anyhow::Result<Value> {
    Ok(json!({
        "version": 1,
        "manifest": manifest.file,
        "covers": usage.sent_span,
        "requests": usage.requests,
        "counted_requests": usage.counted,
        "tried": tightened.tried,
        "configs": usage.configs.len(),
        "reductions": tightened.reductions,
        "kept": tightened.kept,
        "broken_tests": broken.iter().map(|it| json!({ "line": it.line, "request": it.request })).collect::<Vec<_>>(),
        "patch": manifest.diff(&tightened.text),
        "changes": manifest_patch::changes(review)?,
    }))
}
