//! `docker-compose.yml` from its template.
//!
//! The template is text with comments, because people read and review the result. Every value that it prints
//! passes [`write_value`], which is the only way out of the template engine: a YAML scalar on one line, with each
//! `$` doubled, so that neither YAML nor Compose's interpolation finds anything in a manifest's text.

use crate::manifest::{Build, Published};
use crate::plan::{AgentImage, MountPlan, PROXY_VARIABLES, Plan, Sidecar, Topology, User};
use crate::render::{RenderError, checksum, configs::ConfigHashes, paths, seccomp};
use crate::stack::{PIPELOCK_EXTRA_CA, PUBLISHED};
use crate::yaml;
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const TEMPLATE: &str = include_str!("../../templates/docker-compose.yml.j2");

/// What the template sees.
#[derive(Serialize)]
struct View<'a> {
    bottle: &'a str,
    file: String,
    chain: bool,
    supervise: bool,
    /// A pack is held and looked at in memory.
    egress_memory: &'a str,
    tokens: Vec<&'a str>,
    egress_network: Option<&'a str>,
    /// The image of the upstream project's program, and what it trusts besides its own roots.
    pipelock_image: Option<&'a str>,
    pipelock_trusts: Option<&'a str>,
    proxy_variables: &'a [&'a str],
    routes_hash: String,
    pipelock_hash: String,
    seccomp_hash: String,
    agent: AgentView<'a>,
    published: Vec<PublishedView>,
    ports: Vec<String>,
    sidecars: Vec<SidecarView<'a>>,
    sidecar_capabilities: &'a [&'a str],
}

/// A port of the agent: what inbound relays, and publish.
#[derive(Serialize)]
struct PublishedView {
    inside: String,
    outside: String,
}

/// A container beside the agent.
#[derive(Serialize)]
struct SidecarView<'a> {
    name: &'a str,
    image: &'a str,
    command: &'a [String],
    user: Option<&'a str>,
    memory: Option<String>,
    cpus: Option<String>,
    pids: u32,
    environment: BTreeMap<&'a str, &'a str>,
    volumes: Vec<VolumeView<'a>>,
}

#[derive(Serialize)]
struct VolumeView<'a> {
    name: String,
    target: &'a str,
}

#[derive(Serialize)]
struct AgentView<'a> {
    image: Option<&'a str>,
    build: Option<BuildView<'a>>,
    command: &'a [String],
    user: Option<&'a str>,
    as_owner: bool,
    runtime: Option<&'a str>,
    memory: Option<String>,
    cpus: Option<String>,
    pids: u32,
    workdir: Option<&'a str>,
    read_only: bool,
    home: Option<&'a str>,
    bundles: Vec<&'a str>,
    browser_policies: Vec<&'a str>,
    guides: Vec<&'a str>,
    mounts: Vec<MountView<'a>>,
    environment: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct BuildView<'a> {
    context: &'a str,
    dockerfile: Option<&'a str>,
    target: Option<&'a str>,
    args: Vec<(&'a str, &'a str)>,
}

/// What the manifest names, and every proxy variable that it does not, empty: Compose would fill those in.
fn args(build: &Build) -> Vec<(&str, &str)> {
    let named = build.args.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let is_named = |name: &str| build.args.iter().any(|(named, _)| named == name);
    let others = PROXY_VARIABLES.into_iter().filter(|name| !is_named(name)).map(|name| (name, ""));
    named.chain(others).collect()
}

#[derive(Serialize)]
struct MountView<'a> {
    source: String,
    target: &'a str,
    read_only: bool,
}

/// The compose file, and the profile of system calls that it names.
pub(super) fn files(plan: &Plan, configs: &ConfigHashes) -> Result<Vec<(&'static str, String)>, RenderError> {
    let profile = checksum::seal_json(&seccomp::members());
    // Compose hashes the paths of files only, so a label tells it when to make a container anew.
    let compose = render(view(plan, configs, &checksum::hex_digest(profile.as_bytes())))?;
    Ok(vec![(paths::SECCOMP, profile), (paths::COMPOSE, checksum::seal(&compose))])
}

/// Renders the compose file, without its checksum line.
fn render(view: View<'_>) -> Result<String, RenderError> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Custom("compose".into()));
    engine.set_formatter(write_value);
    engine.remove_filter("safe");
    engine.add_template(paths::COMPOSE, TEMPLATE)?;
    let values = Value::from(Serde(view));
    Ok(engine.get_template(paths::COMPOSE)?.render(values)? + "\n")
}

fn view<'a>(plan: &'a Plan, configs: &ConfigHashes, seccomp: &str) -> View<'a> {
    let agent = &plan.agent;
    let (image, build) = match &agent.image {
        AgentImage::Named(name) => (Some(name.as_str()), None),
        AgentImage::Built(build) => {
            // For people: what is built is the agreed copy in the state.
            let context = build.context.as_str();
            let dockerfile = build.dockerfile.as_ref().map(|file| file.as_str());
            (
                None,
                Some(BuildView { context, dockerfile, target: build.target.as_deref(), args: args(build) }),
            )
        }
    };
    View {
        bottle: &plan.name,
        file: plan.layout.out().join(paths::COMPOSE).into_string(),
        chain: plan.topology == Topology::Chain,
        supervise: plan.supervise,
        egress_memory: if plan.hosts.iter().any(|rule| rule.route.push.is_some()) { "1024m" } else { "768m" },
        tokens: plan.tokens().into_keys().collect(),
        egress_network: plan.egress_network.as_deref(),
        pipelock_image: plan.engine.image(),
        pipelock_trusts: plan.extra_ca.as_ref().map(|_| PIPELOCK_EXTRA_CA),
        proxy_variables: &PROXY_VARIABLES,
        routes_hash: format!("sha256:{}", configs.routes),
        pipelock_hash: format!("sha256:{}", configs.pipelock),
        seccomp_hash: format!("sha256:{seccomp}"),
        agent: AgentView {
            image,
            build,
            command: &agent.command,
            user: match &agent.user {
                User::Named(name) => Some(name),
                User::Owner | User::Image => None,
            },
            as_owner: agent.user == User::Owner,
            runtime: agent.runtime.as_deref(),
            memory: agent.resources.memory.map(|bytes| format!("{bytes}b")),
            cpus: agent.resources.cpus(),
            pids: agent.resources.pids,
            workdir: agent.workdir.as_deref(),
            read_only: agent.read_only,
            home: agent.home.as_ref().map(|home| home.as_str()),
            bundles: agent.system_bundles(),
            browser_policies: agent.browser_policies(),
            guides: plan.guides(),
            mounts: agent.mounts.iter().map(|mount| mount_view(plan, mount)).collect(),
            environment: agent
                .environment
                .iter()
                .map(|(name, it)| (name.as_str(), it.value.as_str()))
                .collect(),
        },
        published: published(&agent.publish),
        ports: agent.publish.iter().map(|it| format!("127.0.0.1:{}:{}", it.host(), it.agent())).collect(),
        sidecars: plan.sidecars.iter().map(sidecar_view).collect(),
        sidecar_capabilities: &Sidecar::CAPABILITIES,
    }
}

/// A relay for each port of the agent, however many ports of the host show it.
fn published(publish: &[Published]) -> Vec<PublishedView> {
    let agents: BTreeSet<u16> = publish.iter().map(|it| it.agent()).collect();
    let view = |port| PublishedView {
        inside: format!("unix:{PUBLISHED}/{port}.sock=127.0.0.1:{port}"),
        outside: format!("0.0.0.0:{port}=unix:{PUBLISHED}/{port}.sock"),
    };
    agents.into_iter().map(view).collect()
}

fn sidecar_view(sidecar: &Sidecar) -> SidecarView<'_> {
    let Sidecar { name, image, command, user, environment, volumes: _, resources } = sidecar;
    let proxies = PROXY_VARIABLES.into_iter().map(|name| (name, ""));
    let volumes = sidecar.volumes().map(|(name, place)| VolumeView { name, target: place.as_str() });
    SidecarView {
        name,
        image,
        command,
        user: user.as_deref(),
        memory: resources.memory.map(|bytes| format!("{bytes}b")),
        cpus: resources.cpus(),
        pids: resources.pids,
        environment: proxies
            .chain(environment.iter().map(|(name, it)| (name.as_str(), it.as_str())))
            .collect(),
        volumes: volumes.collect(),
    }
}

fn mount_view<'a>(plan: &Plan, mount: &'a MountPlan) -> MountView<'a> {
    MountView {
        source: plan.layout.from_out(&mount.source).into_string(),
        target: mount.target.as_str(),
        read_only: mount.read_only,
    }
}

/// Writes one value of the template: what a macro made as it is, everything else as data.
fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_safe() {
        return out.write_str(value.as_str().unwrap_or_default()).map_err(Error::from);
    }
    let scalar = match value.kind() {
        ValueKind::String => serde_json::Value::from(value.as_str().unwrap_or_default()),
        ValueKind::Bool => serde_json::Value::from(value.is_true()),
        ValueKind::Number => serde_json::to_value(value).map_err(|error| {
            Error::new(ErrorKind::BadSerialization, "a number that JSON can't hold").with_source(error)
        })?,
        kind => return Err(Error::new(ErrorKind::BadSerialization, format!("a {kind} is not printed"))),
    };
    out.write_str(yaml::emit_value(&scalar).trim_end_matches('\n').replace('$', "$$").as_str())
        .map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{self, network, service};

    /// A filter could mark text as safe; the only one that the template needs takes a map apart.
    #[test]
    fn the_template_has_no_way_around_the_formatter() {
        let tag = regex::Regex::new(r"\{[{%][^}%]*[}%]\}").unwrap();
        let filter = regex::Regex::new(r"\|\s*(\w+)").unwrap();
        let mut tags = 0;
        for tag in tag.find_iter(TEMPLATE) {
            tags += 1;
            let others = filter.captures_iter(tag.as_str()).filter(|found| &found[1] != "items").count();
            assert_eq!(others, 0, "{}", tag.as_str());
            assert!(!tag.as_str().contains("autoescape"), "{}", tag.as_str());
        }
        assert!(tags > 100, "{tags}");
    }

    /// The template is read by people, so it spells out what `stack` has.
    #[test]
    fn the_template_has_the_paths_ports_and_names_of_the_stack() {
        let listener = format!("{}/listener.sock", stack::LENT);
        let [proposals, decisions] =
            ["proposals", "decisions"].map(|folder| format!("{}/{folder}", stack::SUPERVISE_STATE));
        let paths = [
            stack::RUN,
            stack::EGRESS_SOCKET,
            stack::UPSTREAM,
            PUBLISHED,
            stack::PIPELOCK_SOCKET,
            stack::SUPERVISE,
            stack::SUPERVISE_SOCKET,
            stack::SUPERVISE_STATE,
            &proposals,
            &decisions,
            stack::AGENT_BINARY,
            stack::BINARY,
            stack::TRUST,
            stack::LENT,
            stack::EGRESS_PROXY_CONFIG,
            stack::ROUTES,
            stack::PIPELOCK_CONFIG,
            stack::PIPELOCK,
            stack::EMBEDDED,
            stack::CA,
            stack::AUDIT,
            &listener,
        ];
        let path = regex::Regex::new(r"[ :](/(?:run/|etc/|var/|bottle)[\w./-]*)").unwrap();
        let found: BTreeSet<&str> =
            path.captures_iter(TEMPLATE).map(|found| found.get(1).unwrap().as_str()).collect();
        assert_eq!(found, BTreeSet::from(paths));

        let port = regex::Regex::new(r"127\.0\.0\.1:\d+").unwrap();
        let gate = stack::GATE.to_string();
        let known = [gate.clone(), stack::PIPELOCK_LOOPBACK.to_string()];
        assert!(port.find_iter(TEMPLATE).all(|found| known.iter().any(|it| it == found.as_str())));
        assert_eq!(stack::GATE_URL, format!("http://{gate}"));

        let name = regex::Regex::new(r"(?m)^  ([a-z-]+):$").unwrap();
        let found: BTreeSet<&str> =
            name.captures_iter(TEMPLATE).map(|found| found.get(1).unwrap().as_str()).collect();
        let names = [
            service::NETNS,
            service::GATE,
            service::EGRESS_PROXY,
            service::PIPELOCK,
            service::RELAY,
            service::AGENT,
            service::HOME,
            service::ATTACK,
            service::PUBLISH,
            service::INBOUND,
            service::SUPERVISE,
            network::EGRESS,
            network::PUBLISH,
            "published",
            "listener",
            "socket",
            "upstream",
        ];
        assert_eq!(found, BTreeSet::from(names));
    }

    #[test]
    fn a_list_or_nothing_is_not_printed() {
        for value in ["[1]", "none", "{}", "missing"] {
            let mut engine = Environment::new();
            engine.set_undefined_behavior(UndefinedBehavior::Strict);
            engine.set_formatter(write_value);
            assert!(engine.render_str(&format!("{{{{ {value} }}}}"), ()).is_err(), "{value}");
        }
    }
}
