//! `bottle init`: a manifest and an agent's image for a project that has none.

mod files;
mod load;
mod summary;
mod tools;

use super::{Format, Globals, Outcome, folders, print, print_as, say, source};
use crate::init::{self, Agent, Made};
use crate::manifest::Manifest;
use crate::printable::printable_name;
use crate::tree::Folder;
use anyhow::bail;
use camino::{Utf8Path, Utf8PathBuf};
use std::io::{BufRead as _, IsTerminal as _};

/// Write a manifest and an agent's image for this project
///
/// Reads lock files, the configuration of package managers, git remotes, a devcontainer or Dockerfile, and which agent
/// is in use, and writes bottle.yaml, whose comments say where each entry was read, and a folder with the agent's
/// Dockerfile. Nothing of the project is run, and nothing that is there is overwritten. Asks on a terminal only.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle init
  bottle init --agent codex --yes
  bottle init --print --format json | jq .hosts")]
pub(crate) struct Args {
    /// The project's folder [default: this one]
    folder: Option<Utf8PathBuf>,
    /// Who works in the bottle [default: what the project or the person uses]
    #[arg(long, value_enum, value_name = "AGENT")]
    agent: Option<AgentName>,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
    /// Print what would be written, and write nothing
    #[arg(long)]
    print: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum AgentName {
    /// Claude Code
    Claude,
    /// Codex
    Codex,
    /// opencode
    Opencode,
    /// No agent: a shell
    Shell,
}

impl From<AgentName> for Agent {
    fn from(name: AgentName) -> Self {
        match name {
            AgentName::Claude => Self::Claude,
            AgentName::Codex => Self::Codex,
            AgentName::Opencode => Self::Opencode,
            AgentName::Shell => Self::Shell,
        }
    }
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let named = args.folder.clone().unwrap_or_else(|| ".".into());
    let path = folders::real(&folders::absolute(&named)?);
    let folder = Folder::open(&path)?;
    let manifest = shown(&named, source::FILE_NAME);
    if folder.entry(source::FILE_NAME)?.is_some() && !args.print {
        bail!(
            "{manifest} is there already, and init overwrites nothing: edit it, let `bottle learn` add hosts to it, or \
             move it away; `bottle init --print` shows what init would write"
        );
    }
    let context = files::context(&folder)?;
    let sources = load::sources(&folder, &path);
    let asks = !args.yes && !args.print && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let mut made = init::make(&sources, args.agent.map(Agent::from), context);
    if asks && args.agent.is_none() {
        let agent = which_agent(&made)?;
        if agent != made.agent {
            made = init::make(&sources, Some(agent), context);
        }
    }
    // What is written is a manifest, whatever was read.
    Manifest::load(&manifest, made.manifest.as_bytes())?;
    if args.print {
        match globals.format {
            Format::Text => print(&summary::text_of_files(&made, context))?,
            Format::Json => print_as(Format::Json, &summary::json(&made, context, &[])?)?,
        }
        return Ok(Outcome::Done);
    }
    if !globals.quiet && globals.format == Format::Text {
        say(&summary::found(&made, &sources));
    }
    if !args.yes && !is_agreed(asks, context)? {
        return Ok(Outcome::Differs);
    }
    let written = files::write(&folder, context, &made)?;
    match globals.format {
        Format::Json => print_as(Format::Json, &summary::json(&made, context, &written)?)?,
        Format::Text if !globals.quiet => say(&summary::written(&made, &written, &named, &sources)),
        Format::Text => {}
    }
    Ok(Outcome::Done)
}

fn shown(folder: &Utf8Path, name: &str) -> String {
    let path = if folder == "." { name.into() } else { folder.join(name) };
    printable_name(path.as_str()).into_owned()
}

fn which_agent(made: &Made) -> anyhow::Result<Agent> {
    let names: Vec<&str> = Agent::ALL.iter().map(|agent| agent.name()).collect();
    loop {
        say(&format!("Which agent: {}? [{}] ", names.join(", "), made.agent.name()));
        let mut typed = String::new();
        let is_end = std::io::stdin().lock().read_line(&mut typed)? == 0;
        let typed = typed.trim();
        if is_end || typed.is_empty() {
            return Ok(made.agent);
        }
        if let Some(agent) = Agent::ALL.into_iter().find(|agent| agent.name() == typed) {
            return Ok(agent);
        }
    }
}

fn is_agreed(asks: bool, context: &str) -> anyhow::Result<bool> {
    if !asks {
        say(
            "nothing was written: there is no terminal to ask on; --yes writes this, --print shows it without writing\n",
        );
        return Ok(false);
    }
    say(&format!("Write {} and {context}/? [Y/n] ", source::FILE_NAME));
    let mut typed = String::new();
    let is_end = std::io::stdin().lock().read_line(&mut typed)? == 0;
    let is_agreed = !is_end && matches!(typed.trim(), "" | "y" | "Y" | "yes");
    if !is_agreed {
        say("nothing was written\n");
    }
    Ok(is_agreed)
}
