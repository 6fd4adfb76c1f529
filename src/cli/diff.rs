//! `bottle diff`: what agents can newly do and no longer do between two versions of manifests.

mod compare;
mod files;
mod sides;

use super::Format;
use super::{AnyFormat, Globals, Outcome, print_as, say};
use crate::review;
use camino::Utf8PathBuf;
use clap::ValueEnum;

/// Show what agents can newly do and no longer do
///
/// OLD and NEW are each a git revision, a manifest, a folder of manifests, a rendered tree, or REVISION:PATH. Without
/// them HEAD is compared with the working tree; with one of them, that with the working tree. A..B compares two
/// revisions, A...B what B changed since it left A. Nothing is checked out and nothing is written.
///
/// `!` deserves a second look, `+` is newly allowed, `-` is no longer allowed, `~` is other form of the same rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle diff main...HEAD --format markdown --fail-on widen")]
pub(crate) struct Args {
    /// The old side [default: HEAD]
    #[arg(value_name = "OLD")]
    old: Option<String>,
    /// The new side [default: the working tree]
    #[arg(value_name = "NEW")]
    new: Option<String>,
    /// Only manifests at or below these paths
    #[arg(last = true, value_name = "PATH")]
    only: Vec<Utf8PathBuf>,
    /// What makes the exit code 1: any difference, or only what an agent can newly do
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    fail_on: FailOn,
    /// Show how the rendered files differ, too
    #[arg(short, long)]
    patch: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    #[default]
    Any,
    Widen,
}

pub(crate) fn run(args: &Args, format: AnyFormat, globals: &Globals) -> anyhow::Result<Outcome> {
    let (old, new) = sides::resolve(args.old.as_deref(), args.new.as_deref())?;
    let only: Vec<Utf8PathBuf> = args.only.iter().map(|path| new.path_of(path)).collect::<Result<_, _>>()?;
    let review = compare::compare(&old, &new, &only, globals.quiet)?;
    match format {
        AnyFormat::Text => {
            if review.is_empty() && !globals.quiet {
                say(&format!("{} and {}: no difference\n", review.old, review.new));
            }
            print_as(Format::Text, &review::text(&review, args.patch))?;
        }
        AnyFormat::Json => print_as(Format::Json, &review::json(&review)?)?,
        AnyFormat::Markdown => print_as(Format::Text, &review::markdown(&review))?,
        AnyFormat::Sarif => print_as(Format::Json, &review::sarif(&review)?)?,
        AnyFormat::Github => print_as(Format::Text, &review::github(&review))?,
        AnyFormat::Html => return Err(format.refused("text, json, markdown, sarif and github")),
    }
    let differs = match args.fail_on {
        FailOn::Any => !review.is_empty(),
        FailOn::Widen => review.widens(),
    };
    Ok(if differs { Outcome::Differs } else { Outcome::Done })
}
