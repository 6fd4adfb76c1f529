//! `bottle schema`: the JSON Schemas of what bottle reads and writes.

use crate::cli::{Format, Outcome, print, print_as, status};
use crate::manifest;
use crate::report;
use crate::review;
use crate::telemetry::audit;

/// Print a JSON Schema, for editors and other tools
///
/// An editor with a YAML language server checks and completes a manifest whose first line names the schema:
/// `# yaml-language-server: $schema=./bottle.schema.json`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle schema > bottle.schema.json
  bottle schema audit > audit.schema.json")]
pub(crate) struct Args {
    /// Of what
    #[arg(value_enum, default_value_t, value_name = "WHAT")]
    of: Described,
    /// Print the reference of the manifest as Markdown instead
    #[arg(long, conflicts_with = "of")]
    reference: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Described {
    /// A manifest
    #[default]
    Manifest,
    /// A file `NAME.bottle-test.yaml`
    Test,
    /// What `bottle diff --format json` prints
    Diff,
    /// A line of an audit trail
    Audit,
    /// What `bottle report --format json` prints
    Report,
    /// What `bottle status --format json` prints
    Status,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.reference {
        print(&manifest::reference()?)?;
    } else {
        let text = match args.of {
            Described::Manifest => manifest::schema_text(),
            Described::Test => manifest::test_file_schema_text(),
            Described::Diff => format!("{:#}\n", review::schema()),
            Described::Audit => format!("{:#}\n", audit::schema()),
            Described::Report => format!("{:#}\n", report::schema()),
            Described::Status => format!("{:#}\n", status::schema()),
        };
        print_as(Format::Json, &text)?;
    }
    Ok(Outcome::Done)
}
