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
    for agent in agents()? {
        let Some(why) = why_not(stack, &agent, places)? else { continue };
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

/// Refuses to start anything from a state that an agent sees which runs: its mounts may be older than what is agreed to
/// by now.
pub(crate) fn require_unseen_state(stack: &Stack) -> anyhow::Result<()> {
    let path = real(&stack.bottle.state);
    for agent in agents()? {
        let (seen, state) = match seen(stack, &agent)? {
            None => continue,
            Some(seen @ Seen { by_name: true, .. }) => (seen, Source::by_name(&path)),
            Some(seen) => (seen, Source::at(&path)?),
        };
        // What each agent is given: the program, and the folder of certificates and of what it is told, also in parts.
        let (program, trust) = (state.root.join("image/bottle"), state.root.join("trust"));
        let is_given =
            |mount: &Mount| mount.read_only && (mount.root == program || mount.root.starts_with(&trust));
        if let Some(mount) = seen.table.showing(&state).find(|mount| !is_given(mount)) {
            bail!(
                "{} runs and sees, at {}, the state {path} with its private keys: its mounts are older than what you \
                 agreed to; end it first{}",
                agent.name,
                printable_name(&mount.target.to_string_lossy()),
                if agent.one_off { String::new() } else { format!(", with bottle down {}", agent.project) }
            );
        }
    }
    Ok(())
}

/// The agents of any bottle on this engine that have a process.
fn agents() -> anyhow::Result<Vec<Container>> {
    Ok(all()?.into_iter().filter(|it| it.service == service::AGENT && it.is_alive()).collect())
}

/// Why an agent that runs is in the way; nothing where it is not.
fn why_not(stack: &Stack, agent: &Container, places: &Places) -> anyhow::Result<Option<String>> {
    let Some(seen) = seen(stack, agent)? else { return Ok(None) };
    for place in places.paths() {
        let way = if seen.by_name {
            Way::by_name(place)
        } else {
            Way::to(place).with_context(|| changing(place))?
        };
        if seen.table.could_move(&way) {
            return Ok(Some(format!(
                "can put something else in the place of {place}: it was started before that was to be mounted"
            )));
        }
    }
    Ok(None)
}

/// What an agent has mounted.
struct Seen {
    table: MountTable,
    /// By the engine's word alone, where a person said that the kernel can't be asked.
    by_name: bool,
}

/// Nothing of an agent that has ended; what can't be known is refused.
fn seen(stack: &Stack, agent: &Container) -> anyhow::Result<Option<Seen>> {
    let table = kernel_view::Container::find(agent.pid, &agent.id).and_then(|it| it.mounts());
    match table {
        Ok(table) => Ok(Some(Seen { table, by_name: false })),
        Err(Fault::Ended { .. }) => Ok(None),
        Err(_) if has_ended(agent) => Ok(None),
        Err(Fault::NotHere { .. }) if stack.unchecked => {
            Ok(Some(Seen { table: by_the_engine(agent), by_name: true }))
        }
        Err(fault) => {
            let what = format!(
                "{} runs, and whether it can replace what is mounted is unknown; end it first, with docker rm --force {}",
                agent.name, agent.name
            );
            Err(anyhow::Error::new(fault).context(what))
        }
    }
}

fn by_the_engine(agent: &Container) -> MountTable {
    MountTable::of_binds(agent.binds().map(|(source, target, writable)| {
        (real(source).into_std_path_buf(), target.as_std_path().to_owned(), writable)
    }))
}
