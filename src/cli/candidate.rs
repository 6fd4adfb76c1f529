//! What a manifest would come to on this machine: the tree, what it lets the agent do here, and the digest by which
//! a person agrees to it.

use super::folders::real;
use super::git_part;
use super::rendered_project::RenderedProject;
use crate::capability::{Capabilities, Machine};
use crate::consent::{self, Context};
use crate::plan::{AgentImage, Plan};
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;

/// A manifest's candidate.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// What it lets the agent do.
    pub(crate) capabilities: Capabilities,
    /// What its image is built from; nothing for an image by name, and where the folder is not on this machine.
    pub(crate) context: Option<Context>,
    /// Of tree and context.
    pub(crate) digest: String,
}

impl Candidate {
    /// What the manifest comes to now.
    pub(crate) fn from_project(rendered: &RenderedProject) -> anyhow::Result<Self> {
        let plan = &rendered.project.plan;
        let context = match context_folder(plan, &rendered.project.folder)? {
            Some(context) => Some(Context::read(&context.folder, &context.dockerfile)?),
            None => None,
        };
        let files = context.as_ref().map(Context::digest);
        let digest = consent::digest(&rendered.tree, files.as_deref());
        let machine = machine(plan, &rendered.project.folder, files.as_deref());
        Ok(Self { capabilities: Capabilities::from_plan(plan, &machine), context, digest })
    }
}

/// The build context on this machine, open, and its Dockerfile.
pub(crate) struct ContextFolder {
    pub(crate) folder: Folder,
    /// Relative to the context.
    pub(crate) dockerfile: Utf8PathBuf,
}

impl ContextFolder {
    /// The Dockerfile's text, with bytes that are not UTF-8 replaced; nothing where it is not there.
    pub(crate) fn text(&self) -> anyhow::Result<Option<String>> {
        let parent = self.dockerfile.parent().unwrap_or(Utf8Path::new(""));
        let Some(folder) = self.folder.find(parent)? else { return Ok(None) };
        let bytes = folder.read(self.dockerfile.file_name().unwrap_or_default())?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// The folder that the agent's image is built from, if it is on this machine. Its links are not followed.
pub(crate) fn context_folder(plan: &Plan, project: &Utf8Path) -> anyhow::Result<Option<ContextFolder>> {
    let AgentImage::Built(build) = &plan.agent.image else { return Ok(None) };
    let Some(folder) = Folder::open(project)?.find(&build.context)? else { return Ok(None) };
    let dockerfile = build.dockerfile.clone().unwrap_or_else(|| "Dockerfile".into());
    if folder.find(dockerfile.parent().unwrap_or(Utf8Path::new("")))?.is_none() {
        return Ok(None);
    }
    Ok(Some(ContextFolder { folder, dockerfile }))
}

/// The places of a plan on this machine.
pub(crate) fn machine(plan: &Plan, project: &Utf8Path, context: Option<&str>) -> Machine {
    let place = |source: &Utf8Path| real(&crate::plan::layout::normal(&project.join(source)));
    let mounts = plan.agent.mounts.iter();
    let sources: BTreeMap<_, _> = mounts.map(|mount| (mount.target.clone(), place(&mount.source))).collect();
    let repositories =
        sources.iter().filter_map(|(target, source)| Some((target.clone(), git_part::of(source)?)));
    Machine {
        project: project.to_owned(),
        repositories: repositories.collect(),
        sources,
        context: context.map(str::to_owned),
        memory: Some(crate::state::agent_memory()),
    }
}
