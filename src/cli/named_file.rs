//! A file that a manifest names. An agent can write both the manifest and, in the project, the file.

use super::folders::real;
use crate::manifest::Manifest;
use crate::plan::layout::normal;
use crate::policy::LARGEST_SECRET_RULES;
use crate::printable::printable_name;
use crate::tree::{Folder, read_plain};
use anyhow::Context as _;
use camino::Utf8Path;
use std::collections::{BTreeMap, BTreeSet};

/// The text of each file that a `git.push.rules` names; `read` gives the bytes of one, up to a limit.
pub(crate) fn push_rules(
    manifest: &Manifest,
    read: impl Fn(&Utf8Path, u64) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let rules = manifest.hosts().filter_map(|rule| rule.route.push.as_ref()?.rules.as_ref());
    let files: BTreeSet<&str> = rules.map(|rules| rules.file.as_str()).collect();
    let text = |file: &str| {
        let place = || format!("`git.push.rules`: {}", printable_name(file));
        let bytes = read(Utf8Path::new(file), LARGEST_SECRET_RULES).with_context(place)?;
        Ok((file.to_owned(), String::from_utf8(bytes).with_context(place)?))
    };
    files.into_iter().map(text).collect()
}

/// The bytes of `file`, which is relative to the folder `project` (absolute, without links). In the project no link
/// is followed; outside of it links are the person's own, as `/etc/ssl/certs` is full of them.
pub(crate) fn read(project: &Utf8Path, file: &Utf8Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let path = normal(&project.join(file));
    let outside = if path.starts_with(project) { None } else { Some(real(&path)) };
    match &outside {
        Some(real) if !real.starts_with(project) => Ok(read_plain(real, limit)?),
        // A link from outside into the project leads to what the agent can write as well.
        found => {
            let path = found.as_ref().unwrap_or(&path);
            let below = path.strip_prefix(project).unwrap_or(path);
            let parent = below.parent().unwrap_or(Utf8Path::new(""));
            let folder = Folder::open(project)?.find(parent)?;
            let name = below.file_name().unwrap_or_default();
            let read = folder.map(|folder| folder.read_at_most(name, limit)).transpose()?;
            read.flatten().context("there is no such file")
        }
    }
}
