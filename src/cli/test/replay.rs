//! `bottle test --replay`: what today's rules say of the requests of an audit trail.

use super::{Args, replay_print};
use crate::cli::audit_files::{self, Line, Reading};
use crate::cli::failure::fail;
use crate::cli::{Format, Globals, Outcome, print, print_as, rules, say, source};
use crate::replay::Replay;
use anyhow::{bail, ensure};
use camino::Utf8PathBuf;

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    if let Some(file) = args.files.iter().find(|file| !file.is_dir() && !source::is_manifest(file)) {
        let hint = "name each audit file with a --replay of its own, or the folder that they lie in";
        bail!("{file} is not the name of a manifest; {hint}");
    }
    ensure!(args.files.len() < 2, "--replay takes one manifest, and {} are named", args.files.len());
    let rules = rules::read(args.files.first().map(Utf8PathBuf::as_path), args.rendered.as_deref())?;
    let inputs = audit_files::open(&args.replay)?;
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let mut replay = Replay::new(&rules, args.now);
    let reading = Reading { doing: "replaying", lost: "nothing was compared" };
    let warnings = audit_files::read_all(inputs, &reading, globals, |line| match line {
        Line::Entry(entry) => {
            replay.see(entry);
            Ok(())
        }
        Line::Foreign(name, number, why) => fail!(
            "not-an-audit-log",
            "{name}, line {number}: this is not an audit record of this version of bottle: {why}; nothing was \
             compared. If a newer bottle wrote it, replay it with that one"
        ),
    })?;
    let summary = replay.finish();
    let warnings = warnings.said();
    ensure!(
        summary.replayed() > 0,
        "no request in {} could be replayed{}",
        names.join(", "),
        replay_print::why_none(&summary)
    );
    let rules_of = rules.file();
    match globals.format {
        Format::Text => {
            for warning in &warnings {
                say(&format!("warning: {warning}\n"));
            }
            print(&replay_print::text(&summary, &rules, &rules_of))?;
        }
        Format::Json => {
            print_as(Format::Json, &replay_print::json(&summary, &rules, &rules_of, &names, &warnings))?;
        }
    }
    Ok(if summary.groups.requests() == 0 { Outcome::Done } else { Outcome::Differs })
}
