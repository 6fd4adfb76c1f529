//! Agents that could put something else in the place of what another agent, or the next one of the same bottle, is
//! about to see, between the look at it and the start.

use super::agreed_stack::Stack;
use super::container_checks::{Container, all, has_ended};
use super::folders::real;
use super::places::{Places, changing};
use crate::kernel_view::{self, Fault, Mount, MountTable, Source, Way};
use crate::printable::printable_name;
use crate::stack::service;
use anyhow::{Context as _, bail};
use std::path::Path;

/// A pin or a folder that is new each time is the work of a program on the host that never rests.
const LOOKS: usize = 5;

/// Makes sure that nothing which an agent controls can change what the agent of this stack will see, from the last
/// look at it, which this gives back, to the start. This stack's own agent ends here when it could, since it would be
/// made again; any other one is a person's to end.
pub(crate) fn require_none(stack: &mut Stack, replaces_own: bool) -> anyhow::Result<Places> {
    stack.pin()?;
    let mut places = Places::open(stack)?;
    for _ in 0..LOOKS {
        let ended = end_movers(stack, &places, replaces_own)?;
        // One that chose the moment of its own end may have changed something before.
        stack.pin()?;
        let now = Places::open(stack)?;
        if !ended && now == places {
            return Ok(now);
        }
        places = now;
    }
    bail!("{}", changing(&stack.bottle.manifest.with_file_name("")))
}

/// Whether one was ended.
fn end_movers(stack: &Stack, places: &Places, replaces_own: bool) -> anyhow::Result<bool> {
    let mut ended = false;
    for agent in all()?.iter().filter(|it| it.service == service::AGENT && it.is_alive()) {
        let Some(why) = why_not(stack, agent, places)? else { continue };
        let project = &agent.project;
        let is_own = *project == stack.bottle.project;
        if is_own && !agent.one_off && replaces_own {
            if !ended {
                stack.compose(&["rm", "--stop", "--force", service::AGENT])?;
            }
            ended = true;
            continue;
        }
        let how = match (agent.one_off, is_own) {
            (true, _) => String::new(),
            (false, true) => {
                format!(", with bottle down {project}, or run `bottle up`, which starts it again")
            }
            (false, false) => format!(", with bottle down {project}, or run `bottle up` for it again"),
        };
        bail!("{} runs and {why}; end it first{how}", agent.name);
    }
    Ok(ended)
}

/// Why an agent that runs is in the way; nothing where it is not.
fn why_not(stack: &Stack, agent: &Container, places: &Places) -> anyhow::Result<Option<String>> {
    let seen = kernel_view::Container::find(agent.pid, &agent.id).and_then(|it| it.mounts());
    let (table, by_name) = match seen {
        Ok(table) => (table, false),
        Err(Fault::Ended { .. }) => return Ok(None),
        Err(_) if has_ended(agent) => return Ok(None),
        Err(Fault::NotHere { .. }) if stack.unchecked => (by_the_engine(agent), true),
        Err(fault) => {
            return Ok(Some(format!("can't be asked whether it could replace what is mounted ({fault})")));
        }
    };
    if let Some(mount) = shown_state(stack, &table, by_name)? {
        return Ok(Some(format!(
            "sees, at {}, the state {}, where private keys are: it has mounts that you agreed to before",
            printable_name(&mount.target.to_string_lossy()),
            stack.bottle.state
        )));
    }
    for place in places.paths() {
        let way =
            if by_name { Way::by_name(place) } else { Way::to(place).with_context(|| changing(place))? };
        if table.could_move(&way) {
            return Ok(Some(format!(
                "can put something else in the place of {place}: it was started before that was to be mounted"
            )));
        }
    }
    Ok(None)
}

/// What of the state an agent sees besides what each agent is given: the certificates and the program.
fn shown_state<'a>(stack: &Stack, table: &'a MountTable, by_name: bool) -> anyhow::Result<Option<&'a Mount>> {
    const GIVEN: [&str; 2] = ["trust", "image/bottle"];
    let path = real(&stack.bottle.state);
    let state = if by_name { Source::by_name(&path) } else { Source::at(&path)? };
    let is_given = |mount: &Mount| {
        mount.read_only
            && GIVEN.iter().any(|given| mount.root.strip_prefix(&state.root) == Ok(Path::new(given)))
    };
    Ok(table.showing(&state).find(|mount| !is_given(mount)))
}

fn by_the_engine(agent: &Container) -> MountTable {
    MountTable::of_binds(agent.binds().map(|(source, target, writable)| {
        (real(source).into_std_path_buf(), target.as_std_path().to_owned(), writable)
    }))
}
