//! What an agent is about to see of this machine: looked at before it starts, and compared with what is there after.
//!
//! The engine is told paths and follows the links on them, so a path is all that stands between an agent and any
//! folder of this machine. Every one is opened here without following a link, also those of the pins, which no
//! manifest names.

use super::agreed_stack::Stack;
use super::failure::fail;
use super::folders::{real, registry};
use super::hidden;
use crate::capability::MountPoint;
use crate::diagnostic::Report;
use crate::kernel_view::{Source, SourceError};
use crate::plan::layout;
use crate::plan::places::{first_link, mount_through};
use crate::state::Location;
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;

/// The files and folders that were looked at, each by device and inode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Places(Vec<Source>);

impl Places {
    /// Opens what the agent would see, and refuses what [`require_agreed`] does, and what is not there.
    pub(crate) fn open(stack: &Stack) -> anyhow::Result<Self> {
        require_agreed(stack)?;
        let mut sources = Vec::new();
        for (target, agreed) in stack.agreed.record.capabilities.sources() {
            match Source::at(agreed) {
                Ok(source) => sources.push(source),
                Err(error) if error.is_absence() => {
                    bail!("{agreed}, which {} mounts at {target}, is not on this machine", stack.file)
                }
                Err(error) => return Err(error).context(format!("what {} mounts at {target}", stack.file)),
            }
        }
        for MountPoint { target, place, .. } in stack.agreed.record.capabilities.mount_points() {
            let what = || format!("{place}, where {} mounts at {target}", stack.file);
            sources.push(Source::at(&place).with_context(what)?);
        }
        for (_, source) in stack.pins.iter() {
            sources.push(Source::at(source).with_context(|| changing(source))?);
        }
        Ok(Self(sources))
    }

    /// The paths that were opened.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Utf8Path> {
        self.0.iter().map(|source| source.path.as_path())
    }

    /// Refuses to call an agent's start done when something else is at one of the paths by now: the engine may have
    /// mounted that, and the kernel can't be asked about an agent that has ended.
    pub(crate) fn require_same(&self) -> anyhow::Result<()> {
        let problems: Vec<String> = self.0.iter().filter_map(changed).collect();
        if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
    }
}

/// Refuses to give the agent what somebody put in the place of a folder that it sees: a link, another folder than the
/// agreed one, or one that leads to the keys.
pub(crate) fn require_agreed(stack: &Stack) -> anyhow::Result<()> {
    // What Compose is told, and makes of it: it takes out `..` without a look at the file system.
    let told = |source: &Utf8Path| layout::normal(&stack.bottle.out.join(stack.plan.layout.from_out(source)));
    let mounts = &stack.plan.agent.mounts;
    let links = mounts.iter().filter_map(|mount| {
        let told = told(&mount.source);
        let link = first_link(&told, Utf8Path::is_symlink)?;
        Some(mount_through(&mount.source, &told, link, real))
    });
    let mut report = Report(links.collect());
    report.0.dedup();
    if !report.0.is_empty() {
        return Err(report.into());
    }
    stack.pins.require_plain()?;
    let told: BTreeMap<&Utf8Path, Utf8PathBuf> =
        mounts.iter().map(|mount| (mount.target.as_path(), told(&mount.source))).collect();
    for (target, agreed) in stack.agreed.record.capabilities.sources() {
        if let Some(told) = told.get(target).filter(|told| *told != agreed) {
            fail!(
                "not-as-agreed",
                "what the agent would see at {target} is {told} by now, and you agreed to {agreed}; \
                 `bottle render` asks about it"
            );
        }
    }
    let pins = stack.pins.iter().map(|(_, source)| source.to_owned());
    let seen: Vec<Utf8PathBuf> = told.into_values().chain(pins).collect();
    let location = Location::find(&stack.bottle.out, Some(&stack.bottle.state), None, stack.folder())?;
    hidden::require(&registry()?, &location, &seen)
}

/// What is said of a path that is another one at each look.
pub(crate) fn changing(path: &Utf8Path) -> String {
    format!("{path} changes while it is looked at; end what does that, then run this again")
}

/// What is wrong with a place that was looked at before a start.
fn changed(before: &Source) -> Option<String> {
    let now = match Source::at(&before.path) {
        Ok(now) if now == *before => return None,
        Ok(_) => "is another file or folder".to_owned(),
        Err(SourceError::Link { .. }) => {
            format!("is a link, or goes through one, and leads to {}", real(&before.path))
        }
        Err(error) => format!("can't be looked at any more ({error})"),
    };
    Some(format!(
        "{} {now} since the agent started, so that agent may have seen, and written, another place of this machine; \
         find out who changed it, put it right, then: bottle down, and bottle up",
        before.path
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_swapped_while_the_agent_started_is_an_alarm() {
        let dir = tempfile::tempdir().unwrap();
        let place = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap().join("cache");
        fs_err::create_dir(&place).unwrap();
        let places = Places(vec![Source::at(&place).unwrap()]);
        let said = || places.require_same().unwrap_err().to_string();
        places.require_same().unwrap();
        // Kept, so that its inode is not given to the next folder.
        fs_err::rename(&place, place.with_file_name("kept")).unwrap();
        assert!(
            said().starts_with(&format!("{place} can't be looked at any more (can't open {place}: No such"))
        );
        fs_err::create_dir(&place).unwrap();
        assert!(said().starts_with(&format!("{place} is another file or folder since the agent started")));
        fs_err::remove_dir(&place).unwrap();
        fs_err::os::unix::fs::symlink("/etc", &place).unwrap();
        assert_eq!(
            said(),
            format!(
                "{place} is a link, or goes through one, and leads to /etc since the agent started, so that agent may \
                 have seen, and written, another place of this machine; find out who changed it, put it right, then: \
                 bottle down, and bottle up"
            )
        );
    }
}
