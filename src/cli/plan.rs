//! `bottle plan`: what a manifest comes to, nothing written.

mod json;
mod text;

use super::project::Project;
use super::{Format, Globals, Outcome, print_as};
use camino::Utf8PathBuf;

/// Show what a manifest comes to; write nothing
///
/// Services, networks, hosts, mounts, every variable that bottle sets in the agent and why, and what to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle plan --format json | jq '.bottles[0].hosts'")]
pub(crate) struct Args {
    /// Manifests, or folders of them; default: bottle.yaml here or in the nearest parent
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<Utf8PathBuf>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let projects = Project::all(&args.manifests)?;
    let out = match globals.format {
        Format::Text => projects.iter().map(text::show).collect::<Vec<_>>().join("\n"),
        Format::Json => json::show(&projects)?,
    };
    print_as(globals.format, &out)?;
    projects.iter().try_for_each(Project::require_safe_mounts)?;
    Ok(Outcome::Done)
}
