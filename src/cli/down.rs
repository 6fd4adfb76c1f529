//! `bottle down`: stops a stack and removes its containers, networks and image.
//!
//! The agent can often write the manifest, and must not be able to take the way to stop it from the person. So when
//! nothing else was asked for, what was started from this folder is stopped whatever the manifest says by now.

use super::stack::{Stack, docker, shown};
use super::{Globals, Outcome, quietly, say};
use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use std::process::Command;

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
    match Stack::open(args.manifest.as_deref(), args.out.as_deref(), globals) {
        Ok(stack) => stop(&stack, args.volumes)?,
        Err(error) if args.manifest.is_some() || args.out.is_some() => return Err(error),
        Err(error) => stop_what_was_started_here(error, args.volumes)?,
    }
    Ok(Outcome::Done)
}

fn stop(stack: &Stack, volumes: bool) -> anyhow::Result<()> {
    stack.compose(&arguments(volumes))?;
    // Compose removes images that it named itself only.
    let image = stack.image();
    if has_image(&image)? {
        let mut remove = docker();
        remove.args(["image", "rm", &image]);
        ensure!(
            stack.quietly(&mut remove)?.success(),
            "can't remove the image {image}; something else uses it"
        );
    }
    Ok(())
}

fn arguments(volumes: bool) -> Vec<&'static str> {
    let mut arguments = vec!["--profile", "*", "down", "--remove-orphans"];
    arguments.extend(volumes.then_some("--volumes"));
    arguments
}

fn has_image(image: &str) -> anyhow::Result<bool> {
    Ok(docker().args(["image", "inspect", image]).output()?.status.success())
}

/// By what Docker noted at the start, and by no file: all of them may be wrong by now.
fn stop_what_was_started_here(error: anyhow::Error, volumes: bool) -> anyhow::Result<()> {
    let started = started_here()?;
    if started.is_empty() {
        return Err(error);
    }
    say(&format!("note: {}; stopping what was started from this folder\n", first_line(&error)));
    for project in started {
        let mut down = docker();
        // Away from the project, where Compose would look for files.
        down.current_dir("/").args(["compose", "--project-name", &project]).args(arguments(volumes));
        say_and_run(&mut down)?;
        let image = format!("{project}:local");
        if has_image(&image)? {
            say_and_run(docker().args(["image", "rm", &image]))?;
        }
    }
    Ok(())
}

fn say_and_run(command: &mut Command) -> anyhow::Result<()> {
    say(&format!("$ {}\n", shown(command)));
    let status = quietly::run(command, quietly::Show::OnFailure, &mut std::io::stderr())?;
    ensure!(status.success(), "{} failed ({status})", shown(command));
    Ok(())
}

/// The Compose projects of bottles whose files lie in `.bottle` of this folder or of the nearest one above it.
fn started_here() -> anyhow::Result<Vec<String>> {
    let here = std::env::current_dir().context("the current folder can't be read")?;
    let Some(tree) = here.ancestors().map(|folder| folder.join(".bottle")).find(|tree| tree.is_dir()) else {
        return Ok(Vec::new());
    };
    let format =
        r#"{{.Label "com.docker.compose.project"}} {{.Label "com.docker.compose.project.working_dir"}}"#;
    let list =
        docker().args(["ps", "--all", "--filter", "label=bottle.name", "--format", format]).output()?;
    ensure!(list.status.success(), "docker ps failed: {}", String::from_utf8_lossy(&list.stderr).trim());
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let of_here = |line: &str| {
        let (project, folder) = line.split_once(' ')?;
        (Utf8Path::new(folder).parent()?.as_std_path() == tree).then(|| project.to_owned())
    };
    let started: std::collections::BTreeSet<String> = list.lines().filter_map(of_here).collect();
    Ok(started.into_iter().collect())
}

/// What is wrong, without the place and the help of a report.
fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let line = text.lines().next().unwrap_or_default();
    let labelled = line.strip_prefix("error[").and_then(|rest| rest.split_once("]: "));
    labelled.map_or(line, |(_, problem)| problem).to_owned()
}
