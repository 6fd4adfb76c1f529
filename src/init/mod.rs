//! What `bottle init` reads from a project, from the person's configuration and from the tools on this machine, and the
//! manifest and agent image that come of it.
//!
//! Pure: texts go in ([`Sources`]), findings and files come out. Everything in a project is hostile data: a host is
//! written only as a [`policy::Host`](crate::policy::Host), a path only as a pattern, and whatever else stands in a
//! comment has been through `words::comment`. Nothing here knows the host of a package registry: hosts are read from
//! lock files and configuration, and where those leave it to the tool, from the tool's own files.

mod agent;
mod cargo;
mod container;
mod dockerfile;
mod findings;
mod git;
mod go;
mod gradle;
mod ini;
pub mod jar;
mod json;
mod manifest;
mod maven;
mod npm;
mod pip;
mod pnpm;
mod poetry;
mod routes;
mod sources;
mod toml_file;
mod toolchain;
mod url;
mod uv;
mod words;
mod yarn;

pub use agent::{Agent, AuthLine};
pub use findings::{Base, Findings, Need, Reached};
pub use manifest::bottle_name;
pub use routes::RouteLine;
pub use sources::{Sources, Tool, ToolFile};
pub use toolchain::{Toolchains, Version};

/// What was made of the sources.
#[derive(Debug)]
pub struct Made {
    /// The agent.
    pub agent: Agent,
    /// Where it was seen that it is this one.
    pub agent_source: String,
    /// What was read.
    pub findings: Findings,
    /// The rules, as they stand in the manifest.
    pub routes: Vec<RouteLine>,
    /// The text of `bottle.yaml`.
    pub manifest: String,
    /// The files of the agent's build context: path in it, text.
    pub context: Vec<(&'static str, String)>,
}

/// Reads all sources; `context` is the folder that the agent's image is to be built from.
#[must_use]
pub fn make(sources: &Sources, agent: Option<Agent>, context: &str) -> Made {
    let mut findings = Findings::default();
    for read in [
        npm::read,
        yarn::read,
        pnpm::read,
        cargo::read,
        pip::read,
        poetry::read,
        uv::read,
        go::read,
        maven::read,
        gradle::read,
        git::read,
        container::read,
    ] {
        read(sources, &mut findings);
    }
    let (agent, agent_source) = match agent {
        Some(agent) => (agent, "--agent".to_owned()),
        None => agent::detect(sources),
    };
    let routes = routes::of(sources, agent, &mut findings);
    let context_files = dockerfile::context(sources, agent, &findings);
    let manifest = manifest::text(sources, agent, &routes, &findings, context);
    Made { agent, agent_source, findings, routes, manifest, context: context_files }
}
