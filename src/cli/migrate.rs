//! `bottle migrate`: keys that manifests had once, replaced by their successors.

use super::manifest_patch::ManifestFile;
use super::{Format, Globals, Outcome, print_as, say, say_report, source};
use crate::manifest::{Migrated, migrate};
use camino::Utf8PathBuf;
use serde_json::json;

/// Replace keys of older manifests by their successors
///
/// Comments, order and style of the rest stay. What a machine can't migrate is listed and never guessed. Nothing is
/// written without --write. Exit code 0: nothing to do, or written and now a manifest; 1: there is a patch, or
/// something is left to do by hand; 2: it could not be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle migrate bottle.yaml --write")]
pub(crate) struct Args {
    /// The manifest [default: bottle.yaml here or in the nearest parent]
    manifest: Option<Utf8PathBuf>,
    /// Write the patch into the manifest
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let manifest = ManifestFile::read(source::find_one(args.manifest.as_deref())?)?;
    let Migrated { text, left, notes } = migrate(manifest.file.as_str(), &manifest.text)?;
    let is_same = text == manifest.text;
    if is_same && !left.0.is_empty() {
        say_notes(&notes);
        return Err(left.into());
    }
    let patch = if is_same { String::new() } else { manifest.diff(&text) };
    match globals.format {
        Format::Text => print_as(Format::Text, &patch)?,
        Format::Json => {
            let value = json!({
                "version": 1,
                "manifest": manifest.file,
                "patch": patch,
                "left": left.json(),
                "notes": notes,
            });
            print_as(Format::Json, &(serde_json::to_string_pretty(&value)? + "\n"))?;
        }
    }
    if globals.format == Format::Text && !globals.quiet {
        if is_same {
            say(&format!("{}: nothing to migrate\n", manifest.file));
        }
        say_notes(&notes);
    }
    if globals.format == Format::Text && !left.0.is_empty() {
        say("\nWhat is left to do by hand, in the manifest as the patch makes it:\n\n");
        for problem in &left.0 {
            say_report(&problem.clone().into(), globals);
        }
    }
    let outcome = manifest.end(&text, args.write, "migrate", globals.quiet)?;
    Ok(if left.0.is_empty() { outcome } else { Outcome::Differs })
}

fn say_notes(notes: &[String]) {
    for note in notes {
        say(&format!("note: {note}\n"));
    }
}
