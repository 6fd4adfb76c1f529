//! What the engine and the kernel say of the containers of a stack. Nothing that runs inside is asked about its own
//! cage.

use super::agreed_stack::Stack;
use super::docker::{answer_of, answer_within, docker, output_of, quoted};
use super::failure::{Failure, fail};
use super::places::Places;
use crate::kernel_view::{self, Bind, Expected, Fault, Mismatch, Source, Volume};
use crate::manifest::Published;
use crate::plan::layout;
use crate::render::paths;
use crate::stack::{AGENT_BINARY, BROWSER_POLICIES, CLAUDE_GUIDE, SYSTEM_BUNDLES, service};
use crate::yaml;
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// One container of a stack, as the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// The full id, 64 hexadecimal digits.
    pub(crate) id: String,
    /// The Compose project that it is of.
    pub(crate) project: String,
    /// Its first process on the host; 0 when it does not run.
    pub(crate) pid: u32,
    /// The service that it is of.
    pub(crate) service: String,
    /// Whether `compose run` made it.
    pub(crate) one_off: bool,
    /// Docker's word: `running`, `exited`, …
    pub(crate) status: String,
    /// Of its last end.
    pub(crate) exit_code: i64,
    /// `none`, `container:<id>`, or a network's name.
    pub(crate) network_mode: String,
    /// The networks that it is on, sorted.
    pub(crate) networks: Vec<String>,
    /// What Compose made it of.
    pub(crate) config_hash: String,
    /// Its name, without the `/` that the engine puts in front.
    pub(crate) name: String,
    /// The config that a proxy was made with.
    pub(crate) config_label: String,
    /// What the engine was asked to publish, as far as it is a port of an agent.
    pub(crate) published: Vec<Published>,
    /// What the engine was asked to mount in it.
    mounts: Vec<EngineMount>,
    /// Targets of file systems in memory.
    tmpfs: Vec<Utf8PathBuf>,
}

/// One mount as `docker inspect` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EngineMount {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    source: String,
    destination: Utf8PathBuf,
    #[serde(rename = "RW")]
    writable: bool,
}

impl Container {
    pub(crate) fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// Whether it runs, or ended a moment ago and is started again by the engine.
    pub(crate) fn goes_on(&self) -> bool {
        self.is_running() || self.status == "restarting"
    }

    /// Where a volume is mounted in it.
    pub(crate) fn place_of_volume(&self, name: &str) -> Option<&Utf8Path> {
        let found = self.mounts.iter().find(|mount| mount.kind == "volume" && mount.name == name)?;
        Some(&found.destination)
    }

    /// Whether there is a process in it, be it a paused one.
    pub(crate) fn is_alive(&self) -> bool {
        self.pid != 0
    }
}

const TEMPLATE: &str = "{{json .Id}} {{json (index .Config.Labels \"com.docker.compose.project\")}} \
    {{json .State.Pid}} \
    {{json (index .Config.Labels \"com.docker.compose.service\")}} \
    {{json (index .Config.Labels \"com.docker.compose.oneoff\")}} \
    {{json .State.Status}} {{json .State.ExitCode}} {{json .HostConfig}} \
    {{json .NetworkSettings.Networks}} {{json (index .Config.Labels \"com.docker.compose.config-hash\")}} \
    {{json .Name}} {{json .Mounts}} {{json (index .Config.Labels \"bottle.config\")}}";

/// How long the engine may take to say something of one container, where it did not of many.
const ONE_ANSWER: Duration = Duration::from_secs(5);

/// Every container of a Compose project.
pub(crate) fn of_project(project: &str) -> anyhow::Result<Vec<Container>> {
    with_label(&format!("label=com.docker.compose.project={project}"))
}

/// Every container that bottle has made on this engine.
pub(crate) fn all() -> anyhow::Result<Vec<Container>> {
    with_label("label=bottle.name")
}

fn with_label(label: &str) -> anyhow::Result<Vec<Container>> {
    let ids = output_of(docker().args(["ps", "--all", "--quiet", "--no-trunc", "--filter", label]))?;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let inspected = answer_of(docker().args(["inspect", "--format", TEMPLATE]).args(&ids))
        .or_else(|error| Err(silent(&ids)?.unwrap_or(error)))?;
    let (lines, said) =
        (String::from_utf8_lossy(&inspected.stdout), String::from_utf8_lossy(&inspected.stderr));
    let read = |line: &str| container(line).with_context(|| format!("docker inspect answers {line:?}"));
    // One that was removed in between is not there any more, and leaves an empty line when it was the only one; of every
    // other one there is a line.
    let found: Vec<Container> =
        lines.lines().filter(|line| !line.is_empty()).map(read).collect::<anyhow::Result<_>>()?;
    let gone = said.matches("No such object").count();
    if found.len() + gone < ids.len() {
        fail!("docker-failed", "docker inspect failed: {}", said.trim());
    }
    // A look at an image makes a container of no project.
    Ok(found.into_iter().filter(|it| !it.project.is_empty()).collect())
}

/// Which of the containers the engine says nothing of, where one keeps the others from being looked at.
fn silent(ids: &[&str]) -> anyhow::Result<Option<anyhow::Error>> {
    let names = output_of(docker().args(["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]))?;
    let mut silent = Vec::new();
    for id in ids {
        let asked = answer_within(docker().args(["inspect", "--format", "{{.Id}}", id]), ONE_ANSWER)?;
        if asked.is_none() {
            let name = names.lines().find_map(|line| line.strip_prefix(id)).map(str::trim);
            silent.push(quoted(name.unwrap_or(id)));
        }
    }
    if silent.is_empty() {
        return Ok(None);
    }
    let names = silent.join(" ");
    let text = format!(
        "Docker says nothing of {names}, which it seems to start or stop without an end; remove what hangs: \
         docker rm --force {names}, or start Docker again"
    );
    Ok(Some(Failure::new("docker-failed", text).into()))
}

fn container(line: &str) -> Option<Container> {
    use serde_json::Value;
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>();
    let mut next = || values.next()?.ok();
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let host_config;
    Some(Container {
        id: text(next()?),
        project: text(next()?),
        pid: next()?.as_u64()?.try_into().ok()?,
        service: text(next()?),
        one_off: text(next()?).eq_ignore_ascii_case("true"),
        status: text(next()?),
        exit_code: next()?.as_i64()?,
        network_mode: {
            host_config = next()?;
            text(host_config["NetworkMode"].clone())
        },
        networks: {
            let networks = next()?;
            let mut names: Vec<String> =
                networks.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
            names.sort();
            names
        },
        config_hash: text(next()?),
        name: text(next()?).trim_start_matches('/').to_owned(),
        mounts: serde_json::from_value(next()?).ok()?,
        config_label: text(next()?),
        published: published(&host_config["PortBindings"]),
        tmpfs: host_config["Tmpfs"].as_object().into_iter().flatten().map(|(key, _)| key.into()).collect(),
    })
}

/// Sorted by the port of this machine. What is no such port is `verify`'s to say.
fn published(bindings: &serde_json::Value) -> Vec<Published> {
    let bindings = bindings.as_object().into_iter().flatten();
    let each = bindings.flat_map(|(port, list)| {
        let agent = port.strip_suffix("/tcp").and_then(|port| port.parse().ok());
        let hosts =
            list.as_array().into_iter().flatten().filter_map(|it| it["HostPort"].as_str()?.parse().ok());
        hosts.filter_map(move |host| Published::new(host, agent?).ok())
    });
    let mut all: Vec<Published> = each.collect();
    all.sort_unstable();
    all
}

/// Refuses to go on while a container that runs does not hold, whatever it was made of.
pub(crate) fn require(stack: &Stack) -> anyhow::Result<()> {
    let all = of_project(&stack.bottle.project)?;
    refuse(&holds(stack, &all))
}

/// Refuses what was started a moment ago, and stops it, when it does not hold or is not what was agreed to. Of one that
/// has ended the kernel says nothing any more; it was there all the same, so something else at a path that was looked
/// at before the start counts in any case.
pub(crate) fn require_or_stop(
    stack: &Stack,
    places: &Places,
    is_new: impl Fn(&Container) -> bool,
) -> anyhow::Result<()> {
    let all = of_project(&stack.bottle.project)?;
    let mut problems = holds(stack, &all);
    for container in all.iter().filter(|it| is_new(it) && it.is_running()) {
        problems.extend(other_mounts(stack, container)?);
    }
    problems.extend(places.require_same().err().map(|error| error.to_string()));
    if !problems.is_empty() {
        for container in all.iter().filter(|it| is_new(it)) {
            let _ = docker().args(["kill", &container.id]).output(); // one that ended is no danger
        }
    }
    refuse(&problems)
}

fn refuse(problems: &[String]) -> anyhow::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\nsomething on this machine replaced or removed what a container sees, or it lost its network; look at the \
         folders that are named, then: bottle down, and bottle up",
        problems.join("\n")
    )
}

/// What is wrong with the containers that run, a sentence each: whether each sees what it was given, and whether those
/// that share the namespace of `netns` are in it. By the kernel's word.
pub(crate) fn holds(stack: &Stack, all: &[Container]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = Vec::new();
    for container in all.iter().filter(|it| it.is_running()) {
        match look_at(container) {
            Ok(namespace) => seen.push((container, namespace)),
            // What was replaced by an upgrade or with a CA lies in the state, where no agent can write.
            Err(Fault::Mounts { found, .. }) if found.iter().all(is_upgrade) => {}
            // An agent may end at any time, also between the engine's answer and this look.
            Err(Fault::Ended { .. }) => {}
            Err(Fault::NotHere { .. }) if stack.unchecked || has_ended(container) => {}
            Err(fault) => problems.push(format!("{}: {fault}", container.name)),
        }
    }
    for (container, namespace) in &seen {
        let Some(joined) = container.network_mode.strip_prefix("container:") else { continue };
        // Who holds a namespace is settled by what was agreed to, never by what was joined.
        let holder = match container.service.as_str() {
            service::PIPELOCK if stack.plan.runs_upstream() => service::RELAY,
            _ => service::NETNS,
        };
        match seen.iter().find(|(container, _)| container.service == holder) {
            Some((holder, there)) if holder.id == joined && namespace == there => {}
            _ if holder == service::RELAY => problems.push(format!(
                "{} is in another network namespace than {holder} (the engine restarted?), and nothing reaches it there",
                container.name
            )),
            _ => problems.push(format!(
                "{} is in another network namespace than the gate (the engine restarted?), and what it reaches there is \
                 not the gate",
                container.name
            )),
        }
    }
    problems
}

/// Where a container's network is, by what the kernel lets this user know: the namespace itself to root and to the
/// user that the container runs as, the device of its `/sys` to everybody.
#[derive(Clone, Debug)]
struct Namespace {
    inode: Option<u64>,
    sysfs: Option<kernel_view::Device>,
}

impl PartialEq for Namespace {
    /// What is not known of both is no match.
    fn eq(&self, other: &Self) -> bool {
        match (self.inode, other.inode) {
            (Some(one), Some(two)) => one == two,
            _ => self.sysfs.is_some() && self.sysfs == other.sysfs,
        }
    }
}

fn look_at(container: &Container) -> Result<Namespace, Fault> {
    let process = kernel_view::Container::find(container.pid, &container.id)?;
    process.check_mounts(&container.expected()?)?;
    let inode = match process.network_namespace() {
        Ok(inode) => Some(inode),
        Err(Fault::Denied { .. }) => None,
        Err(fault) => return Err(fault),
    };
    Ok(Namespace { inode, sysfs: process.network_by_sysfs()? })
}

fn is_upgrade(mismatch: &Mismatch) -> bool {
    matches!(mismatch, Mismatch::Deleted { target, .. } if target == AGENT_BINARY || may_be_a_link(target))
}

/// Whether bottle mounts a file there, over one that the image may have as a link.
fn may_be_a_link(target: &Utf8Path) -> bool {
    let places = [CLAUDE_GUIDE].into_iter().chain(SYSTEM_BUNDLES).chain(BROWSER_POLICIES);
    places.into_iter().any(|place| target == place)
}

/// Whether the process that the engine named is no more the container's, by the engine's word of now.
pub(crate) fn has_ended(container: &Container) -> bool {
    let now = output_of(docker().args(["inspect", "--format", "{{.State.Pid}}", &container.id]));
    now.map_or(true, |pid| pid.trim() != container.pid.to_string())
}

impl Container {
    /// What the engine was asked to bind: source, target, whether it is writable.
    pub(crate) fn binds(&self) -> impl Iterator<Item = (&Utf8Path, &Utf8Path, bool)> {
        let binds = self.mounts.iter().filter(|mount| mount.kind == "bind");
        binds.map(|mount| (Utf8Path::new(&mount.source), mount.destination.as_path(), mount.writable))
    }

    /// The volumes with a name: name, target, whether it is writable. One that the image asks for has none; it is new, and
    /// nobody else's.
    fn named_volumes(&self, project: &str) -> impl Iterator<Item = (&str, &Utf8Path, bool)> {
        let has_a_name = |mount: &&EngineMount| {
            let anonymous = mount.name.len() == 64 && mount.name.bytes().all(|b| b.is_ascii_hexdigit());
            mount.kind == "volume" && (!anonymous || mount.name.starts_with(&volume_name(project, "")))
        };
        let volumes = self.mounts.iter().filter(has_a_name);
        volumes.map(|mount| (mount.name.as_str(), mount.destination.as_path(), mount.writable))
    }

    /// What the kernel must show for what the engine was asked to mount.
    fn expected(&self) -> Result<Expected, Fault> {
        let mut expected = Expected { tmpfs: self.tmpfs.clone(), ..Expected::default() };
        for mount in &self.mounts {
            let (target, read_only) = (mount.destination.clone(), !mount.writable);
            match mount.kind.as_str() {
                "bind" => {
                    let source = Source::at(Utf8Path::new(&mount.source))?;
                    let bind = Bind { target, source, read_only };
                    if read_only && may_be_a_link(&bind.target) {
                        expected.anywhere.push(bind);
                    } else {
                        expected.binds.push(bind);
                    }
                }
                "volume" => {
                    expected.volumes.push(Volume { target, name: mount.name.clone(), read_only });
                }
                "tmpfs" => expected.tmpfs.push(target),
                _ => {} // the kernel shows it as something that nobody expects
            }
        }
        Ok(expected)
    }
}

/// How what the engine was asked to mount in a container differs from what was agreed to.
pub(crate) fn other_mounts(stack: &Stack, container: &Container) -> anyhow::Result<Option<String>> {
    let agreed = agreed_mounts(stack, &container.service)?;
    let binds = container.binds();
    let volumes = container.named_volumes(&stack.bottle.project);
    let asked: BTreeMap<&Utf8Path, (Utf8PathBuf, bool)> = binds
        .map(|(source, target, writable)| (target, (source.to_owned(), writable)))
        .chain(volumes.map(|(name, target, writable)| (target, (name.into(), writable))))
        .collect();
    let mut differing: Vec<String> = Vec::new();
    for (target, mount) in &agreed {
        match asked.get(target.as_path()) {
            None => differing.push(format!("{target} is missing")),
            Some(other) if other != mount => differing.push(format!("{target} is another one")),
            Some(_) => {}
        }
    }
    let more = asked.keys().filter(|target| !agreed.contains_key(**target));
    differing.extend(more.map(|target| format!("{target} is one more")));
    Ok((!differing.is_empty()).then(|| {
        format!("{} has other mounts than those that you agreed to: {}", container.name, differing.join(", "))
    }))
}

/// Every bind and volume of a service in the agreed compose file: target → real source or the volume's name, and whether it
/// can be written.
pub(crate) fn agreed_mounts(
    stack: &Stack,
    service: &str,
) -> anyhow::Result<BTreeMap<Utf8PathBuf, (Utf8PathBuf, bool)>> {
    const STATE: &str = "${BOTTLE_STATE:?run bottle render}";
    let text = stack.agreed.tree.get(Utf8Path::new(paths::COMPOSE)).map(Vec::as_slice);
    let document = yaml::parse(text.unwrap_or_default(), yaml::Limits::default());
    let document = document.ok().context("the agreed docker-compose.yml can't be read")?;
    let volumes = &document.value["services"][service]["volumes"];
    let mut mounts = BTreeMap::new();
    for volume in volumes.as_array().into_iter().flatten() {
        let text = |key: &str| volume[key].as_str().map(|text| text.replace("$$", "$"));
        let (Some(source), Some(target)) = (text("source"), text("target")) else { continue };
        let source = match source.strip_prefix(STATE) {
            _ if volume["type"] == "volume" => volume_name(&stack.bottle.project, &source).into(),
            Some(below) => format!("{}{below}", stack.bottle.state).into(),
            None => layout::normal(&stack.bottle.out.join(source)),
        };
        let writable = volume["read_only"] != serde_json::Value::Bool(true);
        mounts.insert(target.into(), (source, writable));
    }
    if service == service::AGENT {
        mounts
            .extend(stack.pins.iter().map(|(target, source)| (target.to_owned(), (source.to_owned(), true))));
    }
    Ok(mounts)
}

/// As Compose names it on the engine.
pub(crate) fn volume_name(project: &str, name: &str) -> String {
    format!("{project}_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_from_the_engines_answer() {
        let line = r#""abc" "p" 12 "agent" "False" "running" 0 {"NetworkMode":"container:def","Tmpfs":{"/tmp":"mode=1777"},"PortBindings":{"3000/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"80/tcp":null}} {"b":{},"a":{}} "h" "/p-agent-1" [{"Type":"bind","Source":"/s","Destination":"/t","RW":false,"Mode":""},{"Type":"volume","Name":"p_socket","Source":"/v","Destination":"/run","RW":true}] "sha256:1""#;
        let found = container(line).unwrap();
        assert!(found.is_running() && !found.one_off && found.pid == 12 && found.name == "p-agent-1");
        assert_eq!(
            (found.network_mode.as_str(), found.networks),
            ("container:def", vec!["a".to_owned(), "b".into()])
        );
        assert_eq!(found.mounts.len(), 2);
        assert!(!found.mounts[0].writable && found.mounts[1].name == "p_socket");
        assert_eq!(found.tmpfs, ["/tmp"]);
        assert_eq!(found.published, ["8080:3000".parse().unwrap()]);
        assert_eq!(container("\"abc\" 12"), None, "a line that broke off is no container");
    }
}
