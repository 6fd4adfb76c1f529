//! Mounts against the real places of this machine: what the pure plan can't see, because it knows no links and
//! no absolute path.

use super::layout::normal;
use super::{MountPlan, Plan};
use crate::diagnostic::Diagnostic;
use crate::stack::ENGINE_SOCKETS;
use camino::{Utf8Path, Utf8PathBuf};

impl Plan {
    /// The folders and files of the host that the agent sees, absolute. `real` resolves links; what does not
    /// exist it gives back as it is.
    pub fn exposed(
        &self,
        manifest_folder: &Utf8Path,
        real: impl Fn(&Utf8Path) -> Utf8PathBuf,
    ) -> Vec<Utf8PathBuf> {
        self.agent.mounts.iter().map(|mount| place(mount, manifest_folder, &real)).collect()
    }

    /// What is wrong with the mounts on this machine, each with the target of its mount (for the build context, with an
    /// empty path): one that reaches the rendered files, the build context or the
    /// source of another mount by a way that the plan did not cover, the socket of a container engine, or a way
    /// through a link that an agent could have made: this one, or another that `can_write` to a folder (absolute, no links).
    pub fn check_places(
        &self,
        manifest_folder: &Utf8Path,
        can_write: impl Fn(&Utf8Path) -> bool,
        real: impl Fn(&Utf8Path) -> Utf8PathBuf,
    ) -> Vec<(Utf8PathBuf, Diagnostic)> {
        let mut problems = Vec::new();
        let mut guarded = vec![manifest_folder.join(self.layout.guarded())];
        let writable: Vec<Utf8PathBuf> = self
            .agent
            .mounts
            .iter()
            .filter(|mount| !mount.read_only)
            .map(|mount| place(mount, manifest_folder, &real))
            .collect();
        // A repository can hold a link as well.
        let own: Vec<Utf8PathBuf> = writable.iter().cloned().chain([real(manifest_folder)]).collect();
        let is_changeable =
            |place: &Utf8Path| own.iter().any(|folder| place.starts_with(folder)) || can_write(place);
        let planted = |source: &Utf8Path| {
            planted_link(&normal(&manifest_folder.join(source)), is_changeable, &real)
                .map(|link| through(source, &link, &real))
        };
        if let super::AgentImage::Built(build) = &self.agent.image {
            guarded.push(manifest_folder.join(&build.context));
            problems.extend(planted(&build.context).map(|it| (Utf8PathBuf::new(), it)));
        }
        for mount in self.agent.mounts.iter().filter(|mount| mount.why.is_none()) {
            let mut refuse = |problem: Diagnostic| problems.push((mount.target.clone(), problem));
            planted(&mount.source).into_iter().for_each(&mut refuse);
            let at = place(mount, manifest_folder, &real);
            if let Some(socket) =
                ENGINE_SOCKETS.iter().find(|socket| real(Utf8Path::new(socket)).starts_with(&at))
            {
                refuse(engine(mount, socket));
            }
            if mount.read_only {
                continue;
            }
            for folder in &guarded {
                let folder = real(&normal(folder));
                let seen_at = inside(&at, &folder, &mount.target);
                let covered = self.hides(mount, &seen_at)
                    || self.agent.mounts.iter().any(|guard| {
                        guard.read_only
                            && guard.why.is_some()
                            && guard.target == seen_at
                            && place(guard, manifest_folder, &real) == folder
                    });
                if (folder.starts_with(&at) || at.starts_with(&folder)) && !covered {
                    refuse(reached(mount, &folder));
                }
            }
            for other in self.agent.mounts.iter().filter(|other| other.why.is_none()) {
                let source = place(other, manifest_folder, &real);
                let seen_at = inside(&at, &source, &mount.target);
                let pinned = self.agent.mounts.iter().any(|pin| pin.target == seen_at);
                if source != at && source.starts_with(&at) && !pinned && !self.hides(mount, &seen_at) {
                    refuse(replaceable(mount, other));
                }
            }
        }
        problems
    }

    /// Whether another mount of the manifest lies over `seen_at`, a place in `mount`, or over a folder on the way.
    fn hides(&self, mount: &MountPlan, seen_at: &Utf8Path) -> bool {
        let within = |other: &&MountPlan| {
            other.target != mount.target && other.target.starts_with(&mount.target) && other.why.is_none()
        };
        self.agent.mounts.iter().filter(within).any(|other| seen_at.starts_with(&other.target))
    }
}

fn place(
    mount: &MountPlan,
    manifest_folder: &Utf8Path,
    real: &impl Fn(&Utf8Path) -> Utf8PathBuf,
) -> Utf8PathBuf {
    real(&normal(&manifest_folder.join(&mount.source)))
}

/// The first link on the way to `path` that lies in a folder (absolute, no links) that an agent can change.
pub(crate) fn planted_link(
    path: &Utf8Path,
    is_changeable: impl Fn(&Utf8Path) -> bool,
    real: impl Fn(&Utf8Path) -> Utf8PathBuf,
) -> Option<Utf8PathBuf> {
    let mut steps: Vec<&Utf8Path> = path.ancestors().collect();
    steps.reverse();
    let link = steps.into_iter().find(|step| {
        let (Some(parent), Some(name)) = (step.parent(), step.file_name()) else { return false };
        let parent = real(parent);
        real(step) != parent.join(name) && is_changeable(&parent)
    });
    link.map(Utf8Path::to_owned)
}

pub(crate) fn through(
    source: &Utf8Path,
    link: &Utf8Path,
    real: impl Fn(&Utf8Path) -> Utf8PathBuf,
) -> Diagnostic {
    let text =
        format!("`{source}` goes through the link {link}, which an agent or a branch can make and change");
    Diagnostic::error("mount-through-a-link", text)
        .hint(format!("it leads to {}; the agent could give itself any place of this machine", real(link)))
        .hint("if that place is meant, name it in the manifest in place of the link; if not, remove the link")
}

/// Where the agent sees `folder`, if `at` is mounted at `target`.
fn inside(at: &Utf8Path, folder: &Utf8Path, target: &Utf8Path) -> Utf8PathBuf {
    match folder.strip_prefix(at) {
        Ok(rest) if rest.as_str().is_empty() => target.to_owned(),
        Ok(rest) => target.join(rest),
        Err(_) => Utf8PathBuf::new(),
    }
}

fn engine(mount: &MountPlan, socket: &str) -> Diagnostic {
    let text = format!("the mount of `{}` gives the agent {socket}", mount.source);
    Diagnostic::error("mount-of-the-engine", text)
        .hint("whoever speaks to a container engine is root on this machine: no network rule would hold")
        .hint("remove the mount, or mount a folder that does not hold the socket")
}

fn reached(mount: &MountPlan, folder: &Utf8Path) -> Diagnostic {
    let text = format!("the mount of `{}` lets the agent write to {folder}", mount.source);
    Diagnostic::error("mount-rewrites-the-cage", text)
        .hint(
            "it holds what decides about the agent: the rendered files, or the Dockerfile of its next build",
        )
        .hint("mount the project by a relative path without links, or add `read_only: true` to the mount")
}

fn replaceable(mount: &MountPlan, other: &MountPlan) -> Diagnostic {
    let text = format!(
        "the mount of `{}` lets the agent replace `{}`, which is mounted too",
        mount.source, other.source
    );
    Diagnostic::error("mount-can-be-replaced", text)
        .hint("with a link in its place the agent could give itself any place of this machine at the next start")
        .hint("write both sources relative to the manifest and without links, or add `read_only: true` to the first")
}
