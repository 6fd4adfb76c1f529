//! The plan for machines. Keys are only ever added.

use crate::cli::project::Project;
use crate::config::routes::AnyOr;
use crate::diagnostic::Report;
use crate::plan::{AgentImage, Plan, Reach, Resources, Sidecar, Topology, User};
use crate::policy::{DenyPath, HostRule, Route};
use serde_json::{Value, json};

/// Every bottle, as one JSON document.
pub(super) fn show<'a>(
    bottles: impl Iterator<Item = (&'a Project, &'a Report)>,
) -> serde_json::Result<String> {
    let bottles: Vec<Value> = bottles.map(|(project, lints)| bottle(project, lints)).collect();
    Ok(serde_json::to_string_pretty(&json!({ "bottles": bottles }))? + "\n")
}

fn bottle(project: &Project, lints: &Report) -> Value {
    let plan = &project.plan;
    json!({
        "bottle": plan.name,
        "manifest": project.file,
        "out": plan.layout.out(),
        "topology": match plan.topology { Topology::Chain => "egress-proxy and pipelock", Topology::Direct => "pipelock" },
        "services": plan.services().iter().map(|service| json!({
            "name": service.name,
            "role": service.role,
            "network_mode": match service.network {
                Reach::None => Some("none"),
                Reach::Agent => Some("service:netns"),
                Reach::Relay => Some("service:pipelock-relay"),
                Reach::Networks(_) => None,
            },
            "networks": match service.network { Reach::Networks(list) => list, _ => &[] },
        })).collect::<Vec<_>>(),
        "networks": plan.networks().iter().map(|network| json!({
            "name": network.name,
            "existing": network.existing,
            "what": network.what,
        })).collect::<Vec<_>>(),
        "hosts": plan.hosts.iter().map(|host| host_value(project, host)).collect::<Vec<_>>(),
        "credentials": plan.tokens().iter().map(|(name, hosts)| json!({ "name": name, "hosts": hosts })).collect::<Vec<_>>(),
        "agent": agent(plan),
        "beside_the_agent": plan.sidecars.iter().map(sidecar).collect::<Vec<_>>(),
        "pipelock": {
            "engine": if plan.runs_upstream() { "image" } else { "embedded" },
            "image": plan.engine.image(),
            "differs": plan.differences().iter().map(|it| json!({ "about": it.about, "what": it.what })).collect::<Vec<_>>(),
            "dlp_action": if plan.dlp_warns() { "warn" } else { "block" },
            "seed_phrases": { "enabled": plan.seed_phrases.enabled, "why": plan.seed_phrases.why },
            "patterns": plan.dlp.patterns.iter().map(|it| json!({ "name": it.name, "regex": it.regex })).collect::<Vec<_>>(),
            "except": plan.dlp.exceptions,
            "extra_ca": plan.extra_ca.as_ref().map(|ca| &ca.file),
        },
        "warnings": lints.json(),
    })
}

fn sidecar(sidecar: &Sidecar) -> Value {
    let Sidecar { name, image, command, user, environment, volumes, resources } = sidecar;
    json!({
        "name": name,
        "image": image,
        "command": command,
        "user": user,
        "capabilities": if user.is_some() { &[][..] } else { &Sidecar::CAPABILITIES },
        "environment": environment,
        "volumes": volumes,
        "resources": resources_value(resources),
    })
}

fn resources_value(resources: &Resources) -> Value {
    json!({ "memory": resources.memory, "cpus": resources.cpus(), "pids": resources.pids })
}

fn host_value(project: &Project, rule: &HostRule) -> Value {
    let HostRule { route, auth, client, inspect, on_secret, addresses } = rule;
    let Route {
        source,
        host,
        ports,
        methods: _,
        path_allowlist,
        deny_paths,
        query: _,
        content,
        websocket,
        push,
        encoded_slash,
        until,
        reason,
    } = route;
    json!({
        "host": host.as_str(),
        "source": source,
        "line": project.loaded.line_of(source),
        "ports": ports,
        "methods": route.methods(),
        "path_allowlist": AnyOr::from(path_allowlist.as_deref()),
        "deny_paths": deny_paths.iter().map(DenyPath::as_str).collect::<Vec<_>>(),
        "query": route.query_values(),
        "graphql": content.graphql,
        "rpc": content.rpc,
        "websocket": websocket,
        "git_push": push,
        "credential": auth.as_ref().map(|auth| &auth.token_ref),
        "header": auth.as_ref().map(|auth| &auth.header),
        "client_credentials": client.credentials,
        "pass_headers": client.pass_headers,
        "pass_query": client.pass_query,
        "encoded_slash": encoded_slash,
        "inspect": inspect,
        "dlp_action": on_secret,
        "addresses": addresses,
        "until": until,
        "reason": reason,
    })
}

fn agent(plan: &Plan) -> Value {
    let agent = &plan.agent;
    json!({
        "image": match &agent.image { AgentImage::Named(name) => Some(name), AgentImage::Built(_) => None },
        "build": match &agent.image {
            AgentImage::Named(_) => Value::Null,
            AgentImage::Built(build) => json!({
                "context": build.context,
                "dockerfile": build.dockerfile,
                "target": build.target,
            }),
        },
        "command": agent.command,
        "user": match &agent.user { User::Named(name) => Some(name), User::Owner | User::Image => None },
        "user_is": agent.user.describe(),
        "runtime": agent.runtime,
        "resources": resources_value(&agent.resources),
        "workdir": agent.workdir,
        "home": agent.home,
        "read_only": agent.read_only,
        "publish": agent.publish.iter().map(|it| json!({ "port": it.host(), "agent_port": it.agent() })).collect::<Vec<_>>(),
        "mounts": agent.mounts.iter().map(|mount| json!({
            "source": mount.source,
            "target": mount.target,
            "read_only": mount.read_only,
            "why": mount.why,
        })).collect::<Vec<_>>(),
        "trust_bundle_at": agent.system_bundles(),
        "browser_policy_at": agent.browser_policies(),
        "guide_at": plan.guides(),
        "environment": agent.environment.iter().map(|(name, variable)| json!({
            "name": name,
            "value": variable.value,
            "set_by": if variable.why.is_some() { "bottle" } else { "manifest" },
            "placeholder": variable.placeholder,
            "why": variable.why,
        })).collect::<Vec<_>>(),
    })
}
