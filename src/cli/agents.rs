//! The agents of a stack that run: that of `bottle up`, and those of `bottle run`.

use super::agreed_stack::Stack;
use super::bottles;
use super::container_checks::{self, Container};
use super::source;
use crate::stack::service;
use anyhow::{bail, ensure};
use camino::Utf8Path;

/// The one that is meant: by the end of its container's name, or the only one, or that of `bottle up`.
pub(super) fn find(stack: &Stack, named: Option<&str>) -> anyhow::Result<Container> {
    let all = container_checks::of_project(&stack.bottle.project)?;
    let mut agents: Vec<Container> =
        all.into_iter().filter(|it| it.service == service::AGENT && it.is_running()).collect();
    // That of `bottle up` first.
    agents.sort_by(|one, other| (one.one_off, &one.name).cmp(&(other.one_off, &other.name)));
    let listed = || agents.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = named {
        let Some(found) = agents.iter().find(|it| it.name.ends_with(name)) else {
            ensure!(!agents.is_empty(), "no agent called {name} runs, and no other one of {}", stack.file);
            bail!("no agent called {name} runs; there are {}", listed());
        };
        return Ok(found.clone());
    }
    match agents.as_slice() {
        [] => bail!(
            "no agent of {} runs; `{}` starts one on this terminal, `{}` in the background",
            stack.file,
            source::command("run", &stack.file),
            source::command("up", &stack.file)
        ),
        [only] => Ok(only.clone()),
        [first, ..] if !first.one_off => Ok(first.clone()),
        _ => bail!("several agents run; say which one with --agent: {}", listed()),
    }
}

/// Refuses a command where a manifest stands: `bottle run bash`.
pub(super) fn require_no_command(manifest: Option<&Utf8Path>, verb: &str) -> anyhow::Result<()> {
    let Some(word) = manifest else { return Ok(()) };
    let is_file = word.symlink_metadata().is_ok() || source::is_manifest(word) || word.as_str().contains('/');
    if is_file || bottles::by_name(word)?.is_some() {
        return Ok(());
    }
    bail!(
        "{word} is no manifest and no bottle; what runs in the agent comes after `--`: bottle {verb} -- {word}"
    )
}
