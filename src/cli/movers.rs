//! Agents that could put something else in the place of what another agent, or the next one of the same bottle, is
//! about to see, between the look at it and the start.

use super::agreed_stack::Stack;
use super::container_checks::{self, Container, all, has_ended};
use super::docker::{docker, output_of};
use super::folders::real;
use super::places::{Places, changing};
use super::{image_places, settings_hash};
use crate::kernel_view::{self, Fault, Mount, MountTable, Source, Way};
use crate::printable::printable_name;
use crate::programs;
use crate::stack::{HOME_VOLUME, service};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};

/// A pin or a folder that is new each time is the work of a program on the host that never rests.
const LOOKS: usize = 5;

/// What an agent starts from: it was looked at, and nothing that an agent controls changes it until this is dropped.
#[derive(Debug)]
pub(crate) struct Still {
    /// What it will see of this machine.
    pub(crate) places: Places,
    /// Agents that wait meanwhile.
    pub(crate) held: Held,
    /// The stack's own agent runs as it was agreed to, and is not started: it may end at any time, with a link on the way
    /// to what is mounted in its home.
    pub(crate) own_goes_on: bool,
}

/// Agents that are paused while another one of the same home starts: nothing pins what is in a volume.
#[derive(Debug, Default)]
pub(crate) struct Held(Vec<Hold>);

/// Told to, or when bottle has ended: then the engine may not have paused it yet.
const RELEASE: &str = r#"read -r _ && exec "$@"; "$@"; sleep 2; exec "$@""#;

/// One that is paused until the end of this, also the end of this process.
#[derive(Debug)]
struct Hold {
    id: String,
    /// A shell that waits for the end of its input, and then lets the agent go on.
    release: Child,
}

impl Held {
    fn hold(&mut self, agent: &Container) -> anyhow::Result<()> {
        if self.0.iter().any(|hold| hold.id == agent.id) {
            return Ok(());
        }
        let unpause = docker();
        let mut waits = programs::command("sh");
        waits.args(["-c", RELEASE, "sh"]).arg(unpause.get_program()).args(["unpause", &agent.id]);
        for (name, value) in unpause.get_envs() {
            match value {
                Some(value) => waits.env(name, value),
                None => waits.env_remove(name),
            };
        }
        // Ctrl-C is for this process, and its end lets them go on.
        waits.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let how = || {
            format!(
                "{} can change the way to a mount in its home, and can't be paused for the start of another agent; end it \
                 first, or mount that outside of the home",
                agent.name
            )
        };
        self.0.push(Hold { id: agent.id.clone(), release: waits.spawn().with_context(how)? });
        output_of(docker().args(["pause", &agent.id])).map(drop).with_context(how)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(mut told) = self.release.stdin.take() {
            let _ = told.write_all(b"\n");
        }
        let _ = self.release.wait(); // one that was removed meanwhile needs nothing
    }
}

/// Makes sure that nothing which an agent controls can change what the agent of this stack will see, from the last
/// look at it, which this gives back, to the start. This stack's own agent ends here when it could, since it would be
/// made again; any other one is a person's to end, and waits where only the home is concerned.
pub(crate) fn require_none(stack: &mut Stack, replaces_own: bool) -> anyhow::Result<Still> {
    stack.pin()?;
    let in_the_home = in_the_home(stack)?;
    let mut still = Still { places: Places::open(stack)?, held: Held::default(), own_goes_on: false };
    for _ in 0..LOOKS {
        let ended = end_movers(stack, &mut still, &in_the_home, replaces_own)?;
        // One that chose the moment of its own end may have changed something before.
        stack.pin()?;
        let now = Places::open(stack)?;
        if !ended && now == still.places {
            if !in_the_home.is_empty() && !still.own_goes_on {
                image_places::require_agent(stack)?;
            }
            return Ok(still);
        }
        still.places = now;
    }
    bail!("{}", changing(&stack.bottle.manifest.with_file_name("")))
}

/// What is mounted in the agent's home, seen from there.
fn in_the_home(stack: &Stack) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let Some(home) = &stack.plan.agent.home else { return Ok(Vec::new()) };
    let mounts = container_checks::agreed_mounts(stack, service::AGENT)?;
    let below = mounts.keys().filter_map(|target| target.strip_prefix(home).ok());
    Ok(below.filter(|rest| !rest.as_str().is_empty()).map(Utf8Path::to_owned).collect())
}

/// Whether one was ended.
fn end_movers(
    stack: &Stack,
    still: &mut Still,
    in_the_home: &[Utf8PathBuf],
    replaces_own: bool,
) -> anyhow::Result<bool> {
    let mut ended = false;
    for agent in agents()? {
        let is_own = agent.project == stack.bottle.project;
        let is_replaced = is_own && !agent.one_off && replaces_own;
        let mut end = || {
            if !std::mem::replace(&mut ended, true) {
                stack.compose(&["rm", "--stop", "--force", service::AGENT])?;
            }
            anyhow::Ok(())
        };
        let Some(why) = why_not(stack, &agent, &still.places)? else {
            if is_own && could_move_in_the_home(stack, &agent, in_the_home)? {
                if !is_replaced {
                    still.held.hold(&agent)?;
                } else if settings_hash::is_current(stack, &agent)? {
                    still.own_goes_on = true;
                } else {
                    end()?;
                }
            }
            continue;
        };
        if is_replaced {
            end()?;
            continue;
        }
        let project = &agent.project;
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

/// Whether an agent of the same home could put a link on the way to what is mounted in it.
fn could_move_in_the_home(
    stack: &Stack,
    agent: &Container,
    in_the_home: &[Utf8PathBuf],
) -> anyhow::Result<bool> {
    if in_the_home.is_empty() {
        return Ok(false);
    }
    let Some(home) =
        agent.place_of_volume(&container_checks::volume_name(&stack.bottle.project, HOME_VOLUME))
    else {
        return Ok(false);
    };
    let Some(seen) = seen(stack, agent)? else { return Ok(false) };
    let volume = seen.table.at(home.as_std_path()).filter(|_| !seen.by_name);
    Ok(volume
        .is_none_or(|volume| in_the_home.iter().any(|rest| seen.table.could_move(&Way::below(volume, rest)))))
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
