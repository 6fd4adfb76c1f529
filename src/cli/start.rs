//! Starting what an agent needs: the services between it and the Internet, its image, its home. Whatever runs through
//! them already is not cut off.

use super::agreed_stack::Stack;
use super::container_checks::{self, Container};
use super::docker::{NO_DOCKER, docker, output_of};
use super::places::{self, Places};
use super::{
    image_places, mount_points, movers, own_image, published_ports, reload, say, settings_hash, tokens,
};
use crate::consent::{Context, Running};
use crate::plan::AgentImage;
use crate::stack::service;
use crate::state::Lock;
use crate::tree::Folder;
use anyhow::{Context as _, bail};
use camino::Utf8Path;
use std::collections::BTreeMap;

/// What a start is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The stack as it was agreed to, its own agent included.
    Stack,
    /// One more agent beside those that run.
    Session,
}

/// The folder of the lock, in the state.
const STARTING: &str = "starting";

/// Waits until no other command starts anything of this stack: Compose takes turns with nobody.
pub(crate) fn take_turn(stack: &Stack) -> anyhow::Result<Lock> {
    let folder = Folder::open(&stack.bottle.state)?.make(Utf8Path::new(STARTING))?;
    let waiting = || say("another bottle command starts something of this stack; waiting for its end\n");
    Ok(Lock::take(&folder, waiting)?)
}

/// What must hold before anything starts, and of everything that runs already.
pub(crate) fn require_ready(stack: &Stack) -> anyhow::Result<()> {
    stack.require_valid_authorities()?;
    places::require_agreed(stack)?;
    mount_points::make(stack)?;
    Places::open(stack)?;
    stack.require_runtime()?;
    stack.require_network()?;
    movers::require_unseen_state(stack)?;
    container_checks::require(stack)?;
    published_ports::require_free(stack)?;
    require_images(stack)
}

/// Fetches images by name before anything starts: Compose would come to the agent's last, and say little.
fn require_images(stack: &Stack) -> anyhow::Result<()> {
    let of_agent = match &stack.plan.agent.image {
        AgentImage::Named(name) => Some(("agent.image".to_owned(), name.as_str())),
        AgentImage::Built(_) => None,
    };
    let of_pipelock = stack.plan.engine.image().map(|name| ("pipelock.image".to_owned(), name));
    let of_services =
        stack.plan.sidecars.iter().map(|it| (format!("services.{}.image", it.name), it.image.as_str()));
    let all = of_agent.into_iter().chain(of_pipelock).chain(of_services);
    all.into_iter().try_for_each(|(key, name)| require_image(stack, &key, name))
}

fn require_image(stack: &Stack, key: &str, name: &str) -> anyhow::Result<()> {
    let there =
        docker().args(["image", "inspect", "--format", "{{.Id}}", name]).output().context(NO_DOCKER)?;
    if there.status.success() || stack.quietly(docker().args(["pull", name]))?.success() {
        return Ok(());
    }
    let place = stack.loaded.as_ref().map(|loaded| loaded.place_of(key));
    bail!(
        "{}: {key}: {name} is not on this machine and can't be pulled; is the name right, or must it be built first?",
        place.unwrap_or_else(|| stack.file.to_string())
    )
}

/// The agent's image, then everything but the agent, healthy: a build that fails leaves nothing behind. An agent may end
/// at any time, so waiting for it would fail. Says whether an image was built.
pub(crate) fn start(stack: &mut Stack, purpose: Purpose) -> anyhow::Result<bool> {
    let all = container_checks::of_project(&stack.bottle.project)?;
    published_ports::close_former(stack, &all)?;
    let infrastructure = stack.infrastructure();
    let here = |it: &&Container| infrastructure.contains(&it.service) && !it.one_off;
    let there: Vec<Container> = all.iter().filter(here).cloned().collect();
    let served: Vec<&Container> = all
        .iter()
        .filter(|it| it.service == service::AGENT && it.is_alive())
        .filter(|it| it.one_off || purpose == Purpose::Session)
        .collect();
    let hashes =
        if there.is_empty() { BTreeMap::default() } else { settings_hash::of_services(stack, &there)? };
    let again: Vec<&str> = there
        .iter()
        .filter(|it| hashes.get(&it.service).is_none_or(|hash| *hash != it.config_hash))
        .map(|it| it.service.as_str())
        .collect();
    require_nobody_cut_off(stack, &served, &again, purpose)?;
    tokens::require_for_start(stack, &again)?;
    let built = build_agent(stack)?;
    if purpose == Purpose::Stack {
        image_places::require_agent(stack)?;
    }
    image_places::require_others(stack, &all)?;
    make_anew(stack, &all, purpose)?;
    let goes_on = there.iter().filter(|it| !again.contains(&it.service.as_str()));
    let labels = goes_on.map(|it| (it.service.as_str(), it.config_label.as_str()));
    let older_rules = stack.keep_rules(labels.filter(|(_, label)| !label.is_empty()))?
        && Running::load(&stack.bottle.state).is_some_and(|ran| ran.digest != stack.agreed.record.digest);
    let states = stack.states()?;
    let healthy =
        |service: &&String| states.iter().any(|(name, state)| name == *service && stack.is_well(name, state));
    let is_up = infrastructure.iter().all(|it| healthy(&it));
    if served.is_empty() || !is_up || !again.is_empty() {
        stack.note_start()?;
        // Compose waits as long as the engine starts again what keeps ending.
        let mut arguments = vec!["up", "-d", "--wait", "--wait-timeout", "120", "--no-build"];
        // A new version of bottle would make the holder of the namespace again.
        if served.is_empty() {
            own_image::provide(stack)?;
        }
        arguments.extend(infrastructure.iter().map(String::as_str));
        stack.compose(&arguments).inspect_err(|_| show_last_words(stack))?;
    }
    if older_rules {
        reload::apply(stack)?;
    }
    Ok(built)
}

/// What has ended is not started again where its own processes could write all of its files: the engine and Compose
/// would read and follow them as root. Volumes stay, those that only the image names as well.
fn make_anew(stack: &Stack, all: &[Container], purpose: Purpose) -> anyhow::Result<()> {
    let ended = |it: &&Container| !it.is_alive() && !it.one_off && it.status != "created";
    let is_agent = |it: &&Container| it.service == service::AGENT && purpose == Purpose::Stack;
    for agent in all.iter().filter(ended).filter(is_agent) {
        output_of(docker().args(["rm", &agent.id]))?;
    }
    let is_sidecar = |it: &&Container| stack.plan.sidecars.iter().any(|sidecar| sidecar.name == it.service);
    let services: Vec<&str> =
        all.iter().filter(ended).filter(is_sidecar).map(|it| it.service.as_str()).collect();
    if !services.is_empty() {
        let mut arguments = vec!["up", "--no-start", "--no-build", "--no-deps", "--force-recreate"];
        arguments.extend(services);
        stack.compose(&arguments)?;
    }
    Ok(())
}

/// A proxy that is made again breaks what is in flight; the holder of the namespace takes its agents with it.
fn require_nobody_cut_off(
    stack: &Stack,
    served: &[&Container],
    again: &[&str],
    purpose: Purpose,
) -> anyhow::Result<()> {
    let cuts_off = match purpose {
        Purpose::Session => again.iter().any(|it| !service::is_carrier(it)),
        Purpose::Stack => again.contains(&service::NETNS),
    };
    let Some(first) = served.first().filter(|_| cuts_off) else { return Ok(()) };
    let what =
        format!("{} would be made again, since what you agreed to by now differs", again.join(" and "));
    let and_more = if served.len() > 1 { format!(" and {} more", served.len() - 1) } else { String::new() };
    let how = match (purpose, first.one_off) {
        (Purpose::Session, false) => format!(
            "end that with `bottle down {}`, or run `bottle up`, which starts its agent again with the new settings",
            stack.bottle.project
        ),
        _ => "end it first; `bottle attach` goes there".to_owned(),
    };
    bail!("{what}, and {}{and_more}, which runs, would be cut off: {how}", first.name)
}

/// Builds the agent's image from the agreed copy of its files; says whether there is anything to build.
fn build_agent(stack: &Stack) -> anyhow::Result<bool> {
    let AgentImage::Built(build) = &stack.plan.agent.image else { return Ok(false) };
    let Some(context) = &stack.agreed.record.context else {
        bail!(
            "{} was not on this machine when you rendered {}; run `bottle render`, which asks about what is in it",
            build.context,
            stack.file
        );
    };
    let folder = stack.agreed.context_folder(&stack.bottle.state).context("there is no build context")?;
    let folder = Folder::open(&folder)?;
    Context::verify(&folder, &context.digest())?;
    stack.compose(&["build", service::AGENT])?;
    Ok(true)
}

/// Looks at what an agent would start from, and makes its home its user's, for one that is started without what it depends
/// on. Where another runs, the home is.
pub(crate) fn prepare_agent(stack: &Stack) -> anyhow::Result<()> {
    image_places::require_agent(stack)?;
    let all = container_checks::of_project(&stack.bottle.project)?;
    if stack.plan.agent.home.is_none() || all.iter().any(|it| it.service == service::AGENT && it.is_running())
    {
        return Ok(());
    }
    stack.compose(&["up", "-d", "--no-deps", service::HOME])?;
    let home = format!("{}-{}-1", stack.bottle.project, service::HOME);
    // As long as a large home takes.
    let ended = docker().args(["wait", &home]).output().context(NO_DOCKER)?;
    if ended.stdout.trim_ascii() != b"0" {
        bail!("the agent's home can't be prepared:\n{}", last_words(stack, service::HOME));
    }
    Ok(())
}

/// What the services that did not come up logged last: Compose says of each only that it is unhealthy.
fn show_last_words(stack: &Stack) {
    for (service, state) in stack.unwell().unwrap_or_default() {
        let words = last_words(stack, &service);
        if !words.is_empty() {
            say(&format!("{service} is {state}; the last that it said:\n{words}"));
        }
    }
}

/// Set in, so that no line of it looks like one of ours.
pub(crate) fn last_words(stack: &Stack, service: &str) -> String {
    let mut logs = stack.command(&["logs", "--no-log-prefix", "--no-color", "--tail", "5", service]);
    let words = output_of(&mut logs).unwrap_or_default();
    words.lines().filter(|line| !line.trim().is_empty()).flat_map(|line| ["    ", line, "\n"]).collect()
}
