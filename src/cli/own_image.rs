//! The image of bottle's own services, one for each stack. Compose packs the whole program to find out that nothing
//! changed, which takes longer than all else that a start does; so it is built only where the program or the
//! Dockerfile is another one, or Docker has another image by that name.

use super::agreed_stack::Stack;
use super::docker::{NO_DOCKER, docker};
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
    stack.compose(&["build", "--quiet", service::NETNS])?;
    now()?.map_or(Ok(()), |built| Ok(built.store(state)?))
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
