//! From what was found to one rule for each host.

use super::agent::{self, Agent, AuthLine};
use super::findings::{Findings, Need, Reached};
use super::sources::Sources;
use super::words::comment;
use crate::policy::Host;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Paths of one rule; a person who needs more names what is around them.
const PATHS: usize = 40;

/// A rule of the manifest, and where it was read.
#[derive(Clone, Debug, Serialize)]
pub struct RouteLine {
    /// The host.
    pub host: String,
    /// Empty: every path.
    pub path_allowlist: Vec<String>,
    /// Never empty.
    pub methods: Vec<&'static str>,
    /// Empty: 443.
    pub ports: Vec<u16>,
    /// The credential that is set.
    pub auth: Option<AuthLine>,
    /// The one that could be, where the person has none of that name.
    #[serde(skip)]
    pub auth_hint: Option<AuthLine>,
    /// Where it was read.
    pub sources: Vec<String>,
}

/// The agent's own first, then the others by name.
pub(super) fn of(sources: &Sources, agent: Agent, findings: &mut Findings) -> Vec<RouteLine> {
    let mut routes = Vec::new();
    if let Some(asked) = agent.asks(sources) {
        routes.push(RouteLine {
            host: asked.host.to_owned(),
            path_allowlist: asked.paths.iter().map(|path| (*path).to_owned()).collect(),
            methods: asked.methods.to_vec(),
            ports: Vec::new(),
            auth: Some(asked.auth),
            auth_hint: None,
            sources: vec![format!("the agent, {}", agent.name())],
        });
    } else if agent == Agent::Opencode {
        let provider = agent::provider(sources).unwrap_or_default();
        findings.missing(&format!(
            "which host the provider `{}` of opencode's configuration is at",
            comment(&provider)
        ));
    }
    let mut hosts: BTreeMap<&Host, Vec<&Reached>> = BTreeMap::new();
    for reached in &findings.hosts {
        hosts.entry(&reached.host).or_default().push(reached);
    }
    let mut said = Vec::new();
    for (host, reached) in hosts {
        if routes.iter().any(|route| route.host == host.as_str()) {
            said.push(format!(
                "{}: {host} is the agent's own host; its rule stays as it is",
                reached[0].source
            ));
        } else {
            routes.push(one(host, &reached, sources, &mut said));
        }
    }
    for note in said {
        findings.note(note);
    }
    routes
}

fn one(host: &Host, reached: &[&Reached], sources: &Sources, said: &mut Vec<String>) -> RouteLine {
    let is_cloned = reached.iter().any(|it| it.need == Need::Clone);
    // A host with repositories gets the paths of all that is there: a method of one is a method of all.
    let mut paths = BTreeSet::new();
    if is_cloned {
        for one in reached {
            match &one.path {
                Some(path) => drop(paths.insert(path.clone())),
                None => said.push(format!("{}: nothing is fetched from {host} but repositories", one.source)),
            }
        }
    }
    let covered = |path: &String| {
        paths.iter().any(|other| path.strip_prefix(&**other).is_some_and(|rest| rest.starts_with('/')))
    };
    let mut paths: Vec<String> = paths.iter().filter(|path| !covered(path)).cloned().collect();
    if paths.len() > PATHS {
        said.push(format!("{host}: {} paths are named; the first {PATHS} are written", paths.len()));
        paths.truncate(PATHS);
    }
    let ports: BTreeSet<u16> = reached.iter().map(|it| it.port.unwrap_or(443)).collect();
    let is_default = ports.iter().eq([&443]);
    let mut from: Vec<String> = reached.iter().map(|it| it.source.clone()).collect();
    from.sort();
    from.dedup();
    let known = if is_cloned { tokens(host) } else { &[] };
    let auth = known.iter().find(|auth| sources.is_set(auth.token_ref)).copied();
    RouteLine {
        host: host.as_str().to_owned(),
        path_allowlist: paths,
        methods: if is_cloned { vec!["GET", "HEAD", "POST"] } else { vec!["GET", "HEAD"] },
        ports: if is_default { Vec::new() } else { ports.into_iter().collect() },
        auth,
        auth_hint: known.first().copied().filter(|_| auth.is_none()),
        sources: from,
    }
}

const fn basic(username: &'static str, token_ref: &'static str) -> AuthLine {
    AuthLine { scheme: "Basic", username: Some(username), name: None, token_ref }
}

const GITHUB: [AuthLine; 2] = [basic("x-access-token", "GITHUB_TOKEN"), basic("x-access-token", "GH_TOKEN")];
const GITLAB: [AuthLine; 1] = [basic("oauth2", "GITLAB_TOKEN")];

/// The usual variables of a forge, for the forge's own name only: a host that calls itself `github.example` gets no
/// token of yours.
fn tokens(host: &Host) -> &'static [AuthLine] {
    match host.as_str() {
        "github.com" => &GITHUB,
        "gitlab.com" => &GITLAB,
        _ => &[],
    }
}
