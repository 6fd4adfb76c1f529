//! The image of bottle's own services, one for each stack. Compose packs the whole program to find out that nothing
//! changed, which takes longer than all else that a start does; so it is built only where the program or the
//! Dockerfile is another one, or Docker has another image by that name.

use super::agreed_stack::Stack;
use super::docker::{NO_DOCKER, docker, output_of};
use super::failure::fail;
use crate::consent::BuiltImage;
use crate::stack::service;
use anyhow::Context as _;

/// What it is called.
pub(crate) fn name(project: &str) -> String {
    format!("{project}:local")
}

/// Builds it, unless it is there.
pub(crate) fn provide(stack: &Stack) -> anyhow::Result<()> {
    let state = &stack.bottle.state;
    let now = || -> anyhow::Result<Option<BuiltImage>> {
        Ok(id(&stack.bottle.project)?.map(|id| BuiltImage::new(&id, &stack.bottle.seal)))
    };
    if now()?.is_some_and(|now| BuiltImage::load(state) == Some(now)) {
        return Ok(());
    }
    // What has the name afterwards is what was built: some builders leave nothing with this engine.
    let name = name(&stack.bottle.project);
    if id(&stack.bottle.project)?.is_some() {
        output_of(docker().args(["image", "rm", "--force", "--no-prune", &name]))?;
    }
    stack.compose(&["build", "--quiet", service::NETNS])?;
    let Some(built) = now()? else {
        fail!(
            "docker-failed",
            "Docker built {name}, and does not have it: the builder leaves its images elsewhere; see `docker buildx ls`, \
             and use one whose driver is docker"
        );
    };
    Ok(built.store(state)?)
}

/// Its id; nothing where there is none.
pub(crate) fn id(project: &str) -> anyhow::Result<Option<String>> {
    let output = docker()
        .args(["image", "inspect", "--format", "{{.Id}}", &name(project)])
        .output()
        .context(NO_DOCKER)?;
    let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((output.status.success() && !id.is_empty()).then_some(id))
}
