//! `bottle down`: stops a stack and removes its containers, networks and image.

use super::stack::{Stack, docker};
use super::{Globals, Outcome};
use camino::Utf8PathBuf;

/// Stop a stack; what was rendered, the keys and the agent's image stay
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle down")]
pub(crate) struct Args {
    /// The manifest; without one, the nearest bottle.yaml
    #[arg(value_name = "MANIFEST")]
    manifest: Option<Utf8PathBuf>,
    /// Where the tree is [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Remove named volumes as well
    #[arg(long)]
    volumes: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open(args.manifest.as_deref(), args.out.as_deref(), globals)?;
    let mut arguments = vec!["--profile", "*", "down", "--remove-orphans"];
    arguments.extend(args.volumes.then_some("--volumes"));
    stack.compose(&arguments)?;
    // Compose removes images that it named itself only.
    let image = stack.image();
    if docker().args(["image", "inspect", &image]).output()?.status.success() {
        let mut remove = docker();
        remove.args(["image", "rm", &image]);
        anyhow::ensure!(
            stack.quietly(&mut remove)?.success(),
            "can't remove the image {image}; something else uses it"
        );
    }
    Ok(Outcome::Done)
}
