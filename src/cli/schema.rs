//! `bottle schema`: the JSON Schema of a manifest.

use crate::cli::{Format, Outcome, print, print_as};
use crate::manifest;

/// Print the JSON Schema of a manifest, for editors and other tools
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  bottle schema > bottle.schema.json")]
pub(crate) struct Args {
    /// Print the reference of the manifest as Markdown instead
    #[arg(long)]
    reference: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.reference {
        print(&manifest::reference()?)?;
    } else {
        print_as(Format::Json, &manifest::schema_text())?;
    }
    Ok(Outcome::Done)
}
