//! An organisation's baseline: the most that a bottle may let its agent do.

use super::{Account, Capabilities, Change, Image, changes};
use crate::manifest::Unbounded;

/// What `new` lets the agent do beyond a baseline, the dangerous first. `old` of a change is what the baseline has in
/// its place. The empty list says that `new` lies within.
#[must_use]
pub fn excess(baseline: &Capabilities, unbounded: Unbounded, new: &Capabilities) -> Vec<Change> {
    let mut most = baseline.clone();
    let Unbounded { image, command, workdir, environment, memory, processes } = unbounded;
    if image || is_pinned(&most.image, &new.image) {
        most.image = new.image.clone();
    }
    if command {
        most.command.clone_from(&new.command);
    }
    if workdir {
        most.workdir.clone_from(&new.workdir);
    }
    if environment {
        most.environment.clone_from(&new.environment);
    }
    if memory {
        most.limits.memory = new.limits.memory;
    }
    if processes {
        most.limits.pids = new.limits.pids;
    }
    if most
        .engine
        .image
        .as_deref()
        .zip(new.engine.image.as_deref())
        .is_some_and(|(a, b)| is_pinned_name(a, b))
    {
        most.engine.image.clone_from(&new.engine.image);
    }
    // A service that the baseline does not have is beyond it.
    for (name, service) in &new.services {
        if let Some(most) = most.services.get_mut(name).filter(|it| is_pinned_name(&it.image, &service.image))
        {
            most.image.clone_from(&service.image);
        }
    }
    // Neither names somebody: which of the two it is follows from the mounts, which are bounded themselves.
    if !matches!(most.user, Account::Named(_)) && !matches!(new.user, Account::Named(_)) {
        most.user = new.user.clone();
    }
    changes(Some(&most), new).into_iter().filter(|change| change.risk().is_some()).collect()
}

/// Whether `new` is the image that a name without a digest stands for, with a digest.
fn is_pinned(named: &Image, new: &Image) -> bool {
    match (named, new) {
        (Image::Named(named), Image::Named(new)) => is_pinned_name(named, new),
        _ => false,
    }
}

fn is_pinned_name(named: &str, new: &str) -> bool {
    !named.contains('@') && new.split_once('@').is_some_and(|(name, _)| name == named)
}
