//! `bottle plan`: what a manifest comes to, nothing written.

mod json;
mod text;

use super::project::Project;
use super::{Format, Globals, Outcome, baseline, lints, nested, print_as, say, say_report};
use crate::clock::Clock;
use crate::diagnostic::Report;
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
    /// Look at the rules as of this date or time
    #[arg(long, value_name = "DATE", value_parser = super::now::parse)]
    now: Option<Clock>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let projects = Project::all(&args.manifests)?;
    if !globals.quiet {
        say(&nested::note(&args.manifests).unwrap_or_default());
    }
    let today = args.now.clone().unwrap_or_else(Clock::system).today();
    let lints: Vec<Report> = projects.iter().map(|project| lints::find(project, today)).collect();
    let bottles = projects.iter().zip(&lints);
    let out = match globals.format {
        Format::Text => {
            bottles.map(|(project, lints)| text::show(project, lints)).collect::<Vec<_>>().join("\n")
        }
        Format::Json => json::show(bottles)?,
    };
    print_as(globals.format, &out)?;
    projects.iter().try_for_each(Project::require_safe_mounts)?;
    let mut outcome = Outcome::Done;
    for project in &projects {
        let beyond = baseline::beyond(project, None)?;
        if !beyond.0.is_empty() {
            say_report(&beyond, globals);
            outcome = Outcome::Differs;
        }
    }
    Ok(outcome)
}
