//! A rendered tree back to the plan that it was made of.
//!
//! Rendering the plan that was read must give the same bytes: [`exactly`] refuses every other tree. So whatever a
//! tree says has passed through the types of a plan, and a line that this version would not write (a privilege, a
//! device, one more service) is no question of capabilities but a refusal.

use super::paths::{COMPOSE, EMBEDDED, PIPELOCK, PIPELOCK_EXTRA_CA, ROUTES};
use super::{RenderError, RenderTarget, Tree};
use crate::config::embedded::{EmbeddedFile, HostEntry};
use crate::config::pipelock::{Action, PipelockFile};
use crate::config::routes::{RoutesFile, RuleError};
use crate::manifest::{Build, Dlp, DlpAction, Engine, Published, PublishedError};
use crate::plan::layout::normal;
use crate::plan::{
    AgentImage, AgentPlan, ExtraCa, Layout, MountPlan, PROXY_VARIABLES, Plan, Resources, SeedPhrases,
    Sidecar, Topology, User, Variable,
};
use crate::policy::HostRule;
use crate::stack::{HOME_VOLUME, service};
use crate::yaml;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Why a tree is not one that can be acted on.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A file does not say what it must.
    #[error("{file}: {problem}")]
    File {
        /// Relative to the tree.
        file: Utf8PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file says something that this version would not render.
    #[error("{file} says what this version of bottle does not render:\n{difference}")]
    NotRendered {
        /// Relative to the tree.
        file: Utf8PathBuf,
        /// The lines, `-` for what the file says and `+` for what would be rendered.
        difference: String,
    },
    /// Writing it down again failed.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// The lines of a difference that are shown at most.
const LINES: usize = 40;

/// The plan of a tree that this version would render byte for byte.
pub fn exactly(tree: &Tree, layout: &Layout) -> Result<Plan, Unreadable> {
    let plan = plan_of(tree, layout)?;
    let again = super::tree(&plan, RenderTarget::of(tree))?;
    for (file, bytes) in tree {
        if again.get(file) != Some(bytes) {
            return Err(not_rendered(file, bytes, again.get(file)));
        }
    }
    match again.keys().find(|file| !tree.contains_key(*file)) {
        Some(file) => Err(unreadable(file.as_str(), "the file is missing")),
        None => Ok(plan),
    }
}

fn not_rendered(file: &Utf8Path, said: &[u8], rendered: Option<&Vec<u8>>) -> Unreadable {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, rendered) = (text(said), text(rendered.map(Vec::as_slice).unwrap_or_default()));
    let diff = similar::TextDiff::from_lines(&rendered, &said);
    let changed = diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal);
    // The first line is the checksum, which differs in any case.
    let mut lines: Vec<String> = changed
        .filter(|change| !change.value().contains("bottle:sha256:"))
        .map(|change| format!("{}{}", change.tag(), change.value().trim_end()))
        .collect();
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("… and {more} more lines"));
    }
    if lines.is_empty() {
        lines.push("its checksum is wrong".to_owned());
    }
    Unreadable::NotRendered { file: file.to_owned(), difference: lines.join("\n") }
}

/// The plan of a tree of this or an earlier version, as far as a plan can say it. For trees whose bytes are
/// trusted: a line that no plan holds is passed over.
pub fn plan_of(tree: &Tree, layout: &Layout) -> Result<Plan, Unreadable> {
    let pipelock = PipelockFile::read(text(tree, PIPELOCK)?).map_err(|e| unreadable(PIPELOCK, &e))?;
    let embedded = EmbeddedFile::read(text(tree, EMBEDDED)?).map_err(|e| unreadable(EMBEDDED, &e))?;
    let routes = match tree.get(Utf8Path::new(ROUTES)) {
        Some(file) => Some(RoutesFile::read(file).map_err(|e| unreadable(ROUTES, &e))?),
        None => None,
    };
    let document = yaml::parse(text(tree, COMPOSE)?, yaml::Limits::default());
    let compose = document.map_err(|problems| {
        unreadable(COMPOSE, &problems.first().map(ToString::to_string).unwrap_or_default())
    })?;
    let compose = &compose.value;
    let extra_ca = tree.get(Utf8Path::new(PIPELOCK_EXTRA_CA)).map(|sealed| ExtraCa {
        file: PIPELOCK_EXTRA_CA.into(),
        pem: unsealed(&String::from_utf8_lossy(sealed)),
    });
    Ok(Plan {
        name: embedded.bottle.clone(),
        layout: layout.clone(),
        topology: if routes.is_some() { Topology::Chain } else { Topology::Direct },
        hosts: match &routes {
            Some(routes) => chained(routes, &embedded).map_err(|error| unreadable(ROUTES, &error))?,
            None => embedded.rules(&pipelock).map_err(|error| unreadable(EMBEDDED, &error))?,
        },
        egress_network: literal(&compose["networks"]["egress"]["name"]),
        engine: match compose["services"][service::PIPELOCK]["image"].as_str() {
            Some(own) if own.starts_with("${COMPOSE_PROJECT_NAME") => Engine::Embedded,
            Some(name) => Engine::Image(undoubled(name)),
            None => return Err(unreadable(COMPOSE, "the service `pipelock` has no image")),
        },
        dlp_action: match pipelock.request_body_scanning.action {
            Action::Block => DlpAction::Block,
            Action::Warn => DlpAction::Warn,
        },
        seed_phrases: SeedPhrases {
            enabled: pipelock.seed_phrase_detection.enabled,
            why: "as it was rendered",
        },
        dlp: Dlp { patterns: pipelock.dlp.patterns, exceptions: embedded.exceptions.clone() },
        extra_ca,
        supervise: routes.is_some_and(|routes| routes.supervise.is_some()),
        agent: agent(compose, layout, &embedded)?,
        sidecars: sidecars(compose)?,
    })
}

/// Every service that is not the stack's own.
fn sidecars(compose: &Value) -> Result<Vec<Sidecar>, Unreadable> {
    let services = compose["services"].as_object().into_iter().flatten();
    services.filter(|(name, _)| service::is_beside(name)).map(|(name, it)| sidecar(name, it)).collect()
}

fn sidecar(name: &str, service: &Value) -> Result<Sidecar, Unreadable> {
    let image = literal(&service["image"]);
    let volumes = service["volumes"].as_array().into_iter().flatten();
    let environment = service["environment"].as_object().into_iter().flatten();
    Ok(Sidecar {
        name: name.to_owned(),
        image: image.ok_or_else(|| unreadable(COMPOSE, &format!("the service `{name}` has no image")))?,
        command: texts(&service["command"]),
        user: literal(&service["user"]),
        environment: environment
            .filter(|(name, _)| !PROXY_VARIABLES.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), literal(value).unwrap_or_default()))
            .collect(),
        volumes: volumes.filter_map(|volume| literal(&volume["target"])).map(Into::into).collect(),
        resources: resources(service),
    })
}

fn resources(service: &Value) -> Resources {
    Resources {
        memory: service["mem_limit"].as_str().and_then(|text| text.strip_suffix('b')?.parse().ok()),
        millicpus: literal(&service["cpus"]).as_deref().and_then(millicpus),
        pids: service["pids_limit"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or_default(),
    }
}

fn unreadable(file: &str, problem: &(impl ToString + ?Sized)) -> Unreadable {
    Unreadable::File { file: file.into(), problem: problem.to_string() }
}

fn text<'a>(tree: &'a Tree, file: &str) -> Result<&'a [u8], Unreadable> {
    let found = tree.get(Utf8Path::new(file));
    found.map(Vec::as_slice).ok_or_else(|| unreadable(file, "the file is missing"))
}

fn unsealed(sealed: &str) -> String {
    sealed.split_once('\n').map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// What both files say of the hosts.
fn chained(routes: &RoutesFile, embedded: &EmbeddedFile) -> Result<Vec<HostRule>, RuleError> {
    let entries: HashMap<&str, &HostEntry> =
        embedded.hosts.iter().map(|entry| (entry.host.as_str(), entry)).collect();
    let mut rules = routes.rules()?;
    for rule in &mut rules {
        if let Some(entry) = entries.get(rule.route.host.as_str()) {
            rule.addresses.clone_from(&entry.addresses);
            rule.on_secret = entry.dlp_action;
        }
    }
    Ok(rules)
}

fn agent(compose: &Value, layout: &Layout, embedded: &EmbeddedFile) -> Result<AgentPlan, Unreadable> {
    let agent =
        compose.pointer("/services/agent").ok_or_else(|| unreadable(COMPOSE, "it has no service `agent`"))?;
    Ok(AgentPlan {
        image: image(compose, agent)?,
        command: texts(&agent["command"]),
        user: match agent["user"].as_str() {
            Some(user) if user.starts_with("${BOTTLE_AGENT_USER") => User::Owner,
            Some(user) => User::Named(undoubled(user)),
            None => User::Image,
        },
        workdir: literal(&agent["working_dir"]),
        read_only: agent["read_only"] == Value::Bool(true),
        runtime: literal(&agent["runtime"]),
        resources: resources(agent),
        home: home(agent),
        mounts: mounts(agent, layout)?,
        publish: published(compose)?,
        environment: environment(agent, embedded),
    })
}

fn image(compose: &Value, agent: &Value) -> Result<AgentImage, Unreadable> {
    if let Some(name) = literal(&agent["image"]) {
        return Ok(AgentImage::Named(name));
    }
    let build = &agent["build"];
    let context = literal(&compose["x-bottle"]["context"]);
    let args = build["args"].as_object().into_iter().flatten();
    let args = args.map(|(name, value)| (name.clone(), literal(value).unwrap_or_default()));
    Ok(AgentImage::Built(Build {
        context: context
            .ok_or_else(|| unreadable(COMPOSE, "the service `agent` has no image and no build context"))?
            .into(),
        dockerfile: literal(&build["dockerfile"]).map(Into::into),
        target: literal(&build["target"]),
        args: args.filter(|(name, value)| !value.is_empty() || !PROXY_VARIABLES.contains(&&**name)).collect(),
    }))
}

/// Everything that is mounted from outside of the state.
fn mounts(agent: &Value, layout: &Layout) -> Result<Vec<MountPlan>, Unreadable> {
    let mut mounts = Vec::new();
    for volume in agent["volumes"].as_array().into_iter().flatten() {
        let (Some(source), Some(target)) = (volume["source"].as_str(), literal(&volume["target"])) else {
            return Err(unreadable(COMPOSE, "a volume of the agent has no source or no target"));
        };
        if volume["type"] == "bind" && !source.starts_with("${BOTTLE_STATE") {
            let source = undoubled(source);
            mounts.push(MountPlan {
                source: normal(&layout.out().join(source)),
                target: target.into(),
                read_only: volume["read_only"] == Value::Bool(true),
                why: None,
            });
        }
    }
    Ok(mounts)
}

/// What the host shows, by the ports of `publish`.
fn published(compose: &Value) -> Result<Vec<Published>, Unreadable> {
    let ports = compose["services"][service::PUBLISH]["ports"].as_array().into_iter().flatten();
    let one = |port: &Value| {
        let text = literal(port).unwrap_or_default();
        let ports = text.strip_prefix("127.0.0.1:").unwrap_or(&text);
        ports.parse().map_err(|error: PublishedError| unreadable(COMPOSE, &error))
    };
    let mut published: Vec<Published> = ports.map(one).collect::<Result<_, _>>()?;
    published.sort_unstable();
    Ok(published)
}

/// The place of the agent's one volume.
fn home(agent: &Value) -> Option<Utf8PathBuf> {
    let volumes = agent["volumes"].as_array().into_iter().flatten();
    let mut homes = volumes.filter(|volume| volume["type"] == "volume" && volume["source"] == HOME_VOLUME);
    literal(&homes.next()?["target"]).map(Into::into)
}

fn environment(agent: &Value, embedded: &EmbeddedFile) -> BTreeMap<String, Variable> {
    let variables = agent["environment"].as_object().into_iter().flatten();
    let variable = |(name, value): (&String, &Value)| {
        let value = literal(value).unwrap_or_default();
        let placeholder = embedded.placeholders.contains(&value);
        (name.clone(), Variable { value, why: None, placeholder })
    };
    variables.map(variable).collect()
}

/// A text as Compose understands it: a doubled `$` is one.
fn literal(value: &Value) -> Option<String> {
    value.as_str().map(undoubled)
}

fn undoubled(text: &str) -> String {
    text.replace("$$", "$")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(literal).collect()
}

fn millicpus(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<3}");
    whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(part.get(..3)?.parse().ok()?)
}
