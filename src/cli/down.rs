//! `bottle down`: stops a stack and removes its containers and networks.
//!
//! What is stopped is what was started from here or is named, as the registry has it. A manifest that was deleted,
//! renamed or rewritten, a folder under a new name, a lost `.env`: none of them takes the way to stop an agent from
//! the person.

use super::bottles;
use super::docker::{NO_DOCKER, docker, output_of, shown};
use super::failure::fail;
use super::folders::{absolute, home, real, registry};
use super::{
    Format, Globals, Outcome, container_checks, held_back_output, image_places, own_image, print_as, say,
    source,
};
use crate::consent::{Bottle, Registry, Running};
use crate::printable::printable_name;
use crate::state::State;
use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use std::collections::BTreeSet;
use std::process::Command;

/// Stop what was started from here; what was rendered, the keys and the images stay
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bottle down\n  bottle down --format json | jq -r '.stopped[].project'\n\n`bottle ps` lists every stack, from any folder."
)]
pub(crate) struct Args {
    /// A manifest, a bottle's name or a project that `bottle ps` lists; without one, what was started from here
    #[arg(value_name = "BOTTLE")]
    bottle: Option<Utf8PathBuf>,
    /// Where the tree is [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR", conflicts_with = "bottle")]
    out: Option<Utf8PathBuf>,
    /// Remove named volumes as well
    #[arg(long)]
    volumes: bool,
    /// Remove its state and the image of the proxies as well: the keys, what you agreed to, the audit trail; `bottle
    /// ps` lists it no more
    #[arg(long)]
    forget: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let known = meant(args)?;
    let projects: BTreeSet<String> = known.iter().map(|bottle| bottle.project.clone()).collect();
    // Somebody may have removed the registry while a stack ran.
    let orphans = if known.is_empty() && args.bottle.is_none() && args.out.is_none() {
        orphans_of_here()?
    } else if let (true, Some(name)) = (known.is_empty(), &args.bottle) {
        orphans_named(name.as_str())?
    } else {
        BTreeSet::new()
    };
    if projects.is_empty() && orphans.is_empty() {
        match &args.bottle {
            Some(name) => {
                fail!(
                    "unknown-bottle",
                    "no stack is called {}; `bottle ps` lists them",
                    printable_name(name.as_str())
                )
            }
            None => fail!(
                "unknown-bottle",
                "nothing was started from here; `bottle ps` lists every stack, from any folder"
            ),
        }
    }
    for orphan in &orphans {
        say(&format!("note: you have no record of {orphan}; stopping it all the same\n"));
    }
    let mut stopped = Vec::new();
    for project in projects.iter().chain(&orphans) {
        let ran = !container_checks::of_project(project)?.is_empty();
        stop(project, args, globals)?;
        if !globals.quiet {
            let outcome = if ran { "is stopped" } else { "did not run" };
            say(&format!("{} {outcome}\n", printable_name(project)));
        }
        stopped.push(json!({ "project": project, "ran": ran, "recorded": projects.contains(project) }));
    }
    let mut forgotten = Vec::new();
    for bottle in known {
        if args.forget {
            forget(&bottle, globals)?;
            forgotten.push(bottle.project);
        } else if bottle.state.is_dir() {
            Running::clear(&bottle.state)?;
        } else if !bottle.manifest.exists() {
            // Neither its manifest nor its state is left.
            Registry::forget(&home()?, &bottle.out)?;
            forgotten.push(bottle.project);
        }
    }
    if globals.format == Format::Json {
        let value = json!({ "stopped": stopped, "volumes_removed": args.volumes, "forgotten": forgotten });
        print_as(globals.format, &format!("{value:#}\n"))?;
    }
    Ok(Outcome::Done)
}

/// The state first: one that can't be removed stays known.
fn forget(bottle: &Bottle, globals: &Globals) -> anyhow::Result<()> {
    State::remove(&bottle.state, &bottle.out)?;
    Registry::forget(&home()?, &bottle.out)?;
    if !globals.quiet {
        say(&format!("{} is forgotten; its state in {} is removed\n", bottle.project, bottle.state));
    }
    Ok(())
}

fn meant(args: &Args) -> anyhow::Result<Vec<Bottle>> {
    if let Some(out) = &args.out {
        let path = real(&absolute(out)?);
        return Ok(registry()?.of_out(&path).cloned().into_iter().collect());
    }
    match &args.bottle {
        Some(name) => bottles::named(name),
        None => of_here(),
    }
}

/// What was started from here. Where nothing runs, the bottle of `bottle.yaml`, of which something may be left.
fn of_here() -> anyhow::Result<Vec<Bottle>> {
    let all = bottles::of_here()?;
    let mut started = Vec::new();
    for bottle in &all {
        if !container_checks::of_project(&bottle.project)?.is_empty() {
            started.push(bottle.clone());
        }
    }
    if !started.is_empty() {
        return Ok(started);
    }
    let main = |bottle: &&Bottle| bottle.manifest.file_name() == Some(source::FILE_NAME);
    let of_main: Vec<Bottle> = all.iter().filter(main).cloned().collect();
    Ok(if of_main.is_empty() { all } else { of_main })
}

/// Away from any project, where Compose would look for files: by what the engine noted at the start.
fn stop(project: &str, args: &Args, globals: &Globals) -> anyhow::Result<()> {
    if args.volumes {
        image_places::remove_looks_at(project)?;
    }
    let mut down = docker();
    down.current_dir("/").args(["compose", "--project-name", project, "--profile", "*"]);
    down.args(["down", "--remove-orphans"]).args(args.volumes.then_some("--volumes"));
    say_and_run(&mut down, globals)?;
    if args.forget && !args.volumes {
        let label = format!("label=com.docker.compose.project={project}");
        let volumes = output_of(docker().args(["volume", "ls", "--quiet", "--filter", &label]))?;
        let names: Vec<&str> = volumes.split_whitespace().collect();
        if !names.is_empty() {
            say(&format!(
                "note: its volumes stay, the agent's home among them, and bottle forgets them; to remove them: docker volume rm {}\n",
                names.join(" ")
            ));
        }
    }
    if args.forget && own_image::id(project)?.is_some() {
        say_and_run(docker().args(["image", "rm", &own_image::name(project)]), globals)?;
    }
    Ok(())
}

fn say_and_run(command: &mut Command, globals: &Globals) -> anyhow::Result<()> {
    if !globals.quiet {
        say(&format!("$ {}\n", shown(command)));
    }
    let show =
        if globals.verbose > 0 { held_back_output::Show::AtOnce } else { held_back_output::Show::OnFailure };
    let status = held_back_output::run(command, show, &mut std::io::sink(), &mut std::io::stderr())
        .context(NO_DOCKER)?;
    if !status.success() {
        fail!("docker-failed", "{} failed ({status})", shown(command));
    }
    Ok(())
}

/// The project of every container that bottle has made, with the folder that Compose worked in.
pub(crate) fn labelled() -> anyhow::Result<Vec<(String, Utf8PathBuf)>> {
    let format =
        r#"{{.Label "com.docker.compose.project"}} {{.Label "com.docker.compose.project.working_dir"}}"#;
    let list =
        output_of(docker().args(["ps", "--all", "--filter", "label=bottle.name", "--format", format]))?;
    let found: BTreeSet<(String, Utf8PathBuf)> = list
        .lines()
        .filter_map(|line| line.split_once(' ').filter(|(project, _)| !project.is_empty()))
        .map(|(project, folder)| (project.to_owned(), folder.into()))
        .collect();
    Ok(found.into_iter().collect())
}

/// Stacks whose files lie in `.bottle` of this folder or of the nearest one above it.
fn orphans_of_here() -> anyhow::Result<BTreeSet<String>> {
    let here = std::env::current_dir().context("the current folder can't be read")?;
    let Some(tree) = here.ancestors().map(|folder| folder.join(".bottle")).find(|tree| tree.is_dir()) else {
        return Ok(BTreeSet::new());
    };
    let of_here = |folder: &Utf8Path| folder.parent().is_some_and(|parent| parent.as_std_path() == tree);
    Ok(labelled()?.into_iter().filter(|(_, folder)| of_here(folder)).map(|(project, _)| project).collect())
}

fn orphans_named(name: &str) -> anyhow::Result<BTreeSet<String>> {
    Ok(labelled()?.into_iter().map(|(project, _)| project).filter(|project| project == name).collect())
}
