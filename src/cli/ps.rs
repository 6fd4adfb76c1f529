//! `bottle ps`: every stack of this person, from any folder.

use super::agreed_stack::shown_from_here;
use super::down::labelled;
use super::folders::registry;
use super::published_ports::{Shown, shown};
use super::{Format, Globals, Outcome, container_checks, print_as};
use crate::consent::{Bottle, FolderId, Record, Running};
use crate::stack::service;
use serde_json::json;
use std::fmt::Write as _;

/// List every stack that you rendered or that runs, from any folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle ps")]
pub(crate) struct Args {}

/// A stack that was rendered, or whose containers are there.
struct Row {
    project: String,
    /// Nothing for one that no record knows.
    bottle: Option<Bottle>,
    /// The services with a container that runs, and how many there are.
    running: usize,
    all: usize,
    started: Option<jiff::Timestamp>,
    /// The names of the agents' containers that run.
    agents: Vec<String>,
    /// What this machine shows of them.
    published: Vec<Shown>,
    notes: Vec<String>,
}

pub(crate) fn run(_: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let rows = rows()?;
    print_as(
        globals.format,
        &match globals.format {
            Format::Text => as_text(&rows)?,
            Format::Json => {
                let stacks: Vec<_> = rows.iter().map(as_json).collect();
                format!("{:#}\n", json!({ "stacks": stacks }))
            }
        },
    )?;
    Ok(Outcome::Done)
}

fn rows() -> anyhow::Result<Vec<Row>> {
    let registry = registry()?;
    let all = container_checks::all()?;
    // The one that prepares the agent's home has ended when all is well.
    let counts = |it: &container_checks::Container| it.service != service::HOME;
    let of = |project: &str| all.iter().filter(|it| it.project == project && counts(it)).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for bottle in registry.bottles() {
        let containers = of(&bottle.project);
        let running = Running::load(&bottle.state);
        let record = Record::load(&bottle.state).ok().flatten();
        let mut notes = Vec::new();
        let folder = bottle.manifest.parent();
        if folder.and_then(FolderId::at) != Some(bottle.folder) {
            let project = &bottle.project;
            notes.push(match containers.len() {
                0 => {
                    format!("the folder was renamed or is gone; `bottle down --forget {project}` forgets it")
                }
                _ => format!("the folder was renamed or is gone; `bottle down {project}` stops it"),
            });
        } else if !bottle.manifest.exists() {
            notes.push("the manifest is gone".to_owned());
        }
        let runs = containers.iter().any(|it| it.is_running());
        let stale = running.as_ref().zip(record.as_ref()).is_some_and(|(ran, now)| ran.digest != now.digest);
        if runs && stale {
            notes.push("runs what was agreed to before; `bottle reload` or `bottle up`".to_owned());
        }
        if record.is_none() {
            let unreadable = "this version can't read what was agreed to; `bottle render` asks anew";
            notes.push(if bottle.state.is_dir() { unreadable } else { "its state is gone" }.to_owned());
        }
        rows.push(Row {
            project: bottle.project.clone(),
            running: containers.iter().filter(|it| it.is_running()).count(),
            all: containers.len(),
            agents: agents(&containers),
            published: shown(containers.iter().copied()),
            started: running.filter(|_| runs).map(|it| it.started),
            bottle: Some(bottle.clone()),
            notes,
        });
    }
    for (project, folder) in labelled()? {
        if rows.iter().any(|row| row.project == project) {
            continue;
        }
        let containers = of(&project);
        rows.push(Row {
            running: containers.iter().filter(|it| it.is_running()).count(),
            all: containers.len(),
            agents: agents(&containers),
            published: shown(containers.iter().copied()),
            project: project.clone(),
            bottle: None,
            started: None,
            notes: vec![format!(
                "started from {folder}, and you have no record of it; `bottle down {project}` stops it"
            )],
        });
    }
    Ok(rows)
}

fn agents(containers: &[&container_checks::Container]) -> Vec<String> {
    let running = containers.iter().filter(|it| it.service == service::AGENT && it.is_running());
    running.map(|it| it.name.clone()).collect()
}

fn as_text(rows: &[Row]) -> Result<String, std::fmt::Error> {
    if rows.is_empty() {
        return Ok("no stack was rendered by you, and none runs\n".to_owned());
    }
    let mut text = String::new();
    let project = rows.iter().map(|row| row.project.chars().count()).max().unwrap_or(0).max(7);
    writeln!(text, "{:<project$}  {:<18}  {:<16}  MANIFEST", "PROJECT", "STATE", "STARTED")?;
    for row in rows {
        let started = row.started.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default();
        let manifest = row.bottle.as_ref().map(|it| shown_from_here(&it.manifest).to_string());
        writeln!(
            text,
            "{:<project$}  {:<18}  {started:<16}  {}",
            row.project,
            state(row),
            manifest.unwrap_or_default()
        )?;
        for agent in &row.agents {
            writeln!(text, "  agent {agent}")?;
        }
        for published in &row.published {
            writeln!(text, "  {published}")?;
        }
        for note in &row.notes {
            writeln!(text, "  {note}")?;
        }
    }
    Ok(text)
}

fn state(row: &Row) -> String {
    match (row.running, row.all) {
        (0, 0) => "stopped".to_owned(),
        (running, all) if running == all => format!("running ({running})"),
        (running, all) => format!("{running} of {all} running"),
    }
}

fn as_json(row: &Row) -> serde_json::Value {
    json!({
        "project": row.project,
        "name": row.bottle.as_ref().map(|it| &it.name),
        "manifest": row.bottle.as_ref().map(|it| &it.manifest),
        "out": row.bottle.as_ref().map(|it| &it.out),
        "state": row.bottle.as_ref().map(|it| &it.state),
        "running": row.running,
        "containers": row.all,
        "agents": row.agents,
        "published": row.published,
        "started": row.started.map(|at| at.to_string()),
        "notes": row.notes,
    })
}
