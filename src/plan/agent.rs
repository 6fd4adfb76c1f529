//! The agent's container: what it runs, sees and is told.

use super::layout::{below, normal};
use super::pins::{self, Guard};
use super::{AgentImage, AgentPlan, Layout, MountPlan, Problems, Resources, User, environment};
use crate::diagnostic::Diagnostic;
use crate::manifest::{Image, Manifest, Mount};

const GUARDS_TREE: &str = "the agent must not rewrite its own cage: the rendered files are read-only for it";
const GUARDS_BUILD: &str =
    "the agent must not write the Dockerfile of its next build, which runs with an open network";

/// Enough for a build on many cores, and far from what brings a machine down.
const PIDS: u32 = 4096;

/// Resolves the agent; problems go into the report.
pub(super) fn resolve(manifest: &Manifest, layout: &Layout, problems: &mut Problems) -> AgentPlan {
    let agent = &manifest.agent;
    let mut guards = vec![Guard { folder: layout.guarded(), why: GUARDS_TREE, what: "the rendered files" }];
    if let Image::Build(build) = &agent.image {
        guards.push(Guard { folder: normal(&build.context), why: GUARDS_BUILD, what: "the build context" });
    }
    for mount in agent.mounts.iter().filter(|mount| !mount.read_only) {
        let inside = guards.iter().filter(|guard| below(&mount.source, &guard.folder).is_some());
        problems.extend(inside.map(|guard| (mount.source_pointer.clone(), refuse(guard, mount))));
    }
    let mut mounts = Vec::new();
    for mount in &agent.mounts {
        mounts.push(MountPlan {
            source: mount.source.clone(),
            target: mount.target.clone(),
            read_only: mount.read_only,
            why: None,
        });
        mounts.extend(pins::inside(mount, &agent.mounts, &guards));
    }
    AgentPlan {
        image: AgentImage::from(&agent.image),
        command: agent.command.clone().unwrap_or_default(),
        user: match &agent.user {
            Some(name) => User::Named(name.clone()),
            None if agent.mounts.iter().any(|mount| !mount.read_only) => User::Owner,
            None => User::Image,
        },
        workdir: agent.workdir.clone(),
        home: agent.home.clone(),
        read_only: agent.read_only,
        runtime: agent.runtime.clone(),
        resources: Resources {
            memory: agent.resources.memory,
            millicpus: agent.resources.millicpus,
            pids: agent.resources.pids.unwrap_or(PIDS),
        },
        mounts,
        publish: {
            let mut publish = agent.publish.clone();
            publish.sort_unstable();
            publish
        },
        environment: environment::resolve(manifest),
    }
}

fn refuse(guard: &Guard, mount: &Mount) -> Diagnostic {
    let text = format!(
        "{} mounts `{}`, which is {} (`{}`) or a part of it, writable",
        mount.source_pointer, mount.source, guard.what, guard.folder
    );
    let elsewhere = if guard.why == GUARDS_BUILD {
        "give the Dockerfile a folder of its own, for instance `build: {context: ./agent}`"
    } else {
        "mount another folder"
    };
    Diagnostic::error("mount-rewrites-the-cage", text)
        .hint(guard.why)
        .hint(format!("{elsewhere}, or add `read_only: true` to the mount"))
}
