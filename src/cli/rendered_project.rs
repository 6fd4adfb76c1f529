//! A project with the files that it renders to, and the folder where they go, opened without following a link that
//! an agent could have made.

use super::folders::real;
use super::project::Project;
use crate::plan::AgentImage;
use crate::plan::layout::normal;
use crate::render::{self, RenderTarget, Tree, paths};
use crate::state::{self, ENV_FILE, EnvFile};
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};

/// What `render`, `up` and their like work on.
#[derive(Debug)]
pub(crate) struct RenderedProject {
    /// The manifest and what it comes to.
    pub(crate) project: Project,
    /// The files that it renders to.
    pub(crate) tree: Tree,
    base: Folder,
    below: Utf8PathBuf,
}

impl RenderedProject {
    /// Refuses a project whose mounts reach what they must not. Without a target it is the one of the tree that is there.
    pub(crate) fn render(project: Project, target: Option<RenderTarget>) -> anyhow::Result<Self> {
        project.require_safe_mounts()?;
        // Below the project every component is opened on its own; elsewhere the path has no links any more.
        let base = if project.out.starts_with(&project.folder) {
            project.folder.as_path()
        } else {
            project.out.ancestors().find(|folder| folder.is_dir()).unwrap_or(Utf8Path::new("/"))
        };
        let below = project.out.strip_prefix(base).map(Utf8Path::to_owned).unwrap_or_default();
        let base = Folder::open(base)?;
        let is_there = |folder: Folder| {
            folder.entries().map(|all| all.iter().any(|(name, _)| name == paths::DEVCONTAINER))
        };
        let target = match (target, base.find(&below)?.map(is_there).transpose()?) {
            (Some(target), _) => target,
            (None, Some(true)) => RenderTarget::Devcontainer,
            (None, _) => RenderTarget::Compose,
        };
        let tree = render::tree(&project.plan, target)?;
        Ok(Self { project, tree, base, below })
    }

    /// Where the tree is or will be: absolute.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.project.out
    }

    /// The folder, if it is there.
    pub(crate) fn find(&self) -> anyhow::Result<Option<Folder>> {
        Ok(self.base.find(&self.below)?)
    }

    /// The folder, made if it is not there.
    pub(crate) fn make(&self) -> anyhow::Result<Folder> {
        Ok(self.base.make(&self.below)?)
    }

    /// What the stack needs of this machine and does not find on it, and what for. The tree can be right all the
    /// same: it is written once and used on many.
    pub(crate) fn absent(&self) -> Vec<(Utf8PathBuf, &'static str)> {
        let agent = &self.project.plan.agent;
        let mut needed = Vec::new();
        if let AgentImage::Built(build) = &agent.image {
            let dockerfile = build.dockerfile.as_deref().unwrap_or("Dockerfile".into());
            needed.push((build.context.join(dockerfile), "which the agent's image is built from"));
        }
        let mounts = agent.mounts.iter().filter(|mount| mount.why.is_none());
        needed.extend(mounts.map(|mount| (mount.source.clone(), "which the manifest mounts")));
        // What can't be looked at is not known to be missing.
        let is_missing =
            |path: &Utf8Path| normal(&self.project.folder.join(path)).try_exists().is_ok_and(|is| !is);
        needed.retain(|(path, _)| is_missing(path));
        needed
    }

    /// Refuses a `.env` with keys of somebody else's. What it says is not believed: it may have come with a copied
    /// folder or out of a repository.
    pub(crate) fn require_own_env(&self) -> anyhow::Result<()> {
        let Some(folder) = self.find()? else { return Ok(()) };
        let Some(text) = folder.read(ENV_FILE)? else { return Ok(()) };
        Ok(EnvFile::require_own(&String::from_utf8_lossy(&text), &self.path().join(ENV_FILE))?)
    }

    /// The source of the first writable mount, as the manifest says it, and the uid and gid that an agent writes
    /// there with.
    pub(crate) fn owner(&self) -> Option<(Utf8PathBuf, (u32, u32))> {
        let mounts = &self.project.plan.agent.mounts;
        let first = mounts.iter().find(|mount| !mount.read_only && mount.why.is_none())?;
        let place = real(&self.project.folder.join(&first.source));
        Some((first.source.clone(), state::agent_user(&place)))
    }

    /// The folder as a command line names it: relative to the current folder where it lies below.
    pub(crate) fn shown(&self) -> Utf8PathBuf {
        let here = std::env::current_dir().ok().and_then(|here| Utf8PathBuf::from_path_buf(here).ok());
        let relative = here.and_then(|here| self.path().strip_prefix(here).map(Utf8Path::to_owned).ok());
        relative.filter(|path| !path.as_str().is_empty()).unwrap_or_else(|| self.path().to_owned())
    }

    /// The folders of this machine that the agent can read, or that are sent to a builder, links resolved.
    pub(crate) fn exposed(&self) -> Vec<Utf8PathBuf> {
        let mut exposed = self.project.plan.exposed(&self.project.folder, real);
        if let AgentImage::Built(build) = &self.project.plan.agent.image {
            exposed.push(real(&self.project.folder.join(&build.context)));
        }
        exposed.push(self.path().to_owned());
        exposed
    }
}
