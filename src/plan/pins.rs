//! Binds of places over themselves, so that what is in a writable mount can't be replaced there.
//!
//! Whoever may write a folder may rename what is in it, and put a link or a folder of their own in its place. The
//! next bind of that place, or the next build from it, would then take what was put there. The kernel refuses with
//! EBUSY to rename, remove or replace a file or folder that is a mount point in the caller's mount namespace
//! (`may_delete` and `is_local_mountpoint` in Linux's `fs/namei.c`), by whichever way the caller reaches it. So every
//! protected place inside a writable mount becomes one, and with it each folder on the way to it: a folder that is no
//! mount point could be renamed with all that lies in it.
//!
//! Seen on Docker 20.10 as root with all capabilities dropped: `rename`, `renameat2` with `RENAME_EXCHANGE`, `rmdir`,
//! `unlink` and a rename over the place fail with EBUSY, for folders and for plain files, from the pin's own mount
//! and from another mount of the same place. Nothing moves between two mounts (EXDEV), so programs that don't copy
//! in that case can't move files out of a pinned folder or into it.
//!
//! A pin holds against what runs in the container. A rename on the host, or in another container, succeeds and
//! takes the mount away: whoever starts a container must look at its mounts.

use super::MountPlan;
use super::layout::{below, normal};
use crate::manifest::Mount;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::{BTreeMap, BTreeSet};

const KEEPS_A_SOURCE: &str =
    "another mount takes what is here: the agent must not put something else in its place";
const KEEPS_THE_WAY: &str =
    "leads to a place that the agent must not replace: it can't be renamed, the rest is the agent's to write";

/// A folder of the project that the agent must not write.
pub(super) struct Guard {
    /// Relative to the manifest's folder, or absolute; normal.
    pub(super) folder: Utf8PathBuf,
    /// Why.
    pub(super) why: &'static str,
    /// What it is, for a sentence: `the rendered files`.
    pub(super) what: &'static str,
}

/// The binds that `mount`, one of the manifest's `mounts`, needs inside it, parents before children, each place once;
/// none for a read-only mount, in which nothing can be renamed. `guards`, the sources of the other mounts and what their targets lie on
/// are what is protected.
pub(super) fn inside(mount: &Mount, mounts: &[Mount], guards: &[Guard]) -> Vec<MountPlan> {
    if mount.read_only {
        return Vec::new();
    }
    let guards: BTreeMap<Utf8PathBuf, &Guard> =
        guards.iter().filter_map(|guard| Some((strictly_below(&guard.folder, mount)?, guard))).collect();
    let sources = sources(mount, mounts);
    let points: BTreeSet<Utf8PathBuf> =
        mount_points(mounts).filter_map(|place| strictly_below(&place, mount)).collect();
    let steps: BTreeSet<&Utf8Path> =
        guards.keys().chain(sources.keys()).chain(&points).flat_map(|place| ways(place)).collect();
    let pin = |step: &&Utf8Path| {
        let target = mount.target.join(step);
        // What is in a read-only mount can't be renamed, and no way may open what a guard closes.
        let guarded = ways(step).any(|way| way != *step && guards.contains_key(way));
        if guarded || is_covered(&target, mount, mounts) {
            return None;
        }
        let (read_only, why) = match (guards.get(*step), sources.get(*step)) {
            (Some(guard), _) => (true, guard.why),
            (None, Some(read_only)) => (*read_only, KEEPS_A_SOURCE),
            (None, None) => {
                // A way leads through what another mount gives read-only: it stays so.
                let around = ways(step).find_map(|way| sources.get(way));
                (around.copied().unwrap_or(false), KEEPS_THE_WAY)
            }
        };
        Some(MountPlan { source: normal(&mount.source.join(step)), target, read_only, why: Some(why) })
    };
    steps.iter().filter_map(pin).collect()
}

/// The sources of other mounts that lie inside the mount, seen from it, and whether all mounts of it are read-only.
fn sources(mount: &Mount, mounts: &[Mount]) -> BTreeMap<Utf8PathBuf, bool> {
    let mut sources = BTreeMap::new();
    for other in mounts {
        if let Some(place) = strictly_below(&other.source, mount) {
            let read_only = sources.entry(place).or_insert(true);
            *read_only &= other.read_only;
        }
    }
    sources
}

/// What lies where the target of another mount is: the runtime would follow a link there, or on the way. In the mount that
/// the target is in that is a mount point already.
fn mount_points(mounts: &[Mount]) -> impl Iterator<Item = Utf8PathBuf> {
    mounts.iter().filter_map(|inner| {
        let around =
            mounts.iter().filter(|it| it.target != inner.target && inner.target.starts_with(&it.target));
        let around = around.max_by_key(|it| it.target.components().count())?;
        Some(normal(&around.source.join(inner.target.strip_prefix(&around.target).ok()?)))
    })
}

fn strictly_below(place: &Utf8Path, mount: &Mount) -> Option<Utf8PathBuf> {
    below(place, &mount.source).filter(|rest| !rest.as_str().is_empty())
}

/// A relative place and the folders that it lies in, the place first.
fn ways(place: &Utf8Path) -> impl Iterator<Item = &Utf8Path> {
    place.ancestors().filter(|way| !way.as_str().is_empty())
}

/// Whether another mount of the manifest lies at the place, or over a folder on the way to it: that is a mount point
/// already, and what lies inside it has the pins of that mount, or can't be reached.
fn is_covered(target: &Utf8Path, mount: &Mount, mounts: &[Mount]) -> bool {
    let within = |other: &&Mount| other.target != mount.target && other.target.starts_with(&mount.target);
    mounts.iter().filter(within).any(|other| target.starts_with(&other.target))
}

#[cfg(test)]
mod tests;
