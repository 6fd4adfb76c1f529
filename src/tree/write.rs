//! Bringing the tree on disk to what was rendered: all of it or nothing.

use super::{Change, Comparison, Folder, Kind, Staged, TreeError};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files that are new or have other bytes now.
    pub replaced: Vec<Utf8PathBuf>,
    /// Files that are gone.
    pub removed: Vec<Utf8PathBuf>,
}

impl Comparison {
    /// Refuses what a write would refuse, before anything is asked or minted.
    pub fn require_writable(&self, out: &Utf8Path, force: bool) -> Result<(), TreeError> {
        let named = |kind| self.paths(kind).map(|path| out.join(path)).collect::<Vec<_>>();
        let foreign = named(Kind::Foreign);
        if !foreign.is_empty() {
            return Err(TreeError::Foreign { paths: foreign });
        }
        let edited = named(Kind::Edited);
        if !force && !edited.is_empty() {
            return Err(TreeError::Edited { paths: edited });
        }
        Ok(())
    }

    /// Writes every change below `folder`, which the comparison was made with. `force` gives up hand edits; a file
    /// that is not bottle's is never touched. Call it under the lock of the state.
    pub fn apply(&self, folder: &Folder, force: bool) -> Result<Written, TreeError> {
        self.require_writable(folder.path(), force)?;
        let folders = self.folders(folder)?;
        for folder in folders.values() {
            folder.sweep()?;
        }
        let mut staged: Vec<Staged<'_>> = Vec::new();
        for (place, name, change) in self.placed(&folders) {
            if let Some(bytes) = &change.new {
                staged.push(place.stage(name, bytes, 0o644)?);
            }
        }
        for file in staged {
            file.commit()?;
        }
        for (place, name, change) in self.placed(&folders) {
            if change.new.is_none() {
                place.remove(name)?;
            }
        }
        for folder in folders.values() {
            folder.sync()?;
        }
        Ok(self.written())
    }

    /// The folder of every file, made where it is missing.
    fn folders(&self, folder: &Folder) -> Result<BTreeMap<Utf8PathBuf, Folder>, TreeError> {
        let mut folders = BTreeMap::from([(Utf8PathBuf::new(), folder.make(Utf8Path::new(""))?)]);
        for path in self.on_disk.keys().chain(self.changes.iter().map(|change| &change.path)) {
            let parent = path.parent().unwrap_or(Utf8Path::new(""));
            if !folders.contains_key(parent) {
                folders.insert(parent.to_owned(), folder.make(parent)?);
            }
        }
        Ok(folders)
    }

    fn placed<'a>(
        &'a self,
        folders: &'a BTreeMap<Utf8PathBuf, Folder>,
    ) -> impl Iterator<Item = (&'a Folder, &'a str, &'a Change)> {
        self.changes.iter().filter_map(|change| {
            let place = folders.get(change.path.parent().unwrap_or(Utf8Path::new("")))?;
            Some((place, change.path.file_name()?, change))
        })
    }

    fn written(&self) -> Written {
        let paths = |keep: fn(&Change) -> bool| {
            self.changes.iter().filter(|change| keep(change)).map(|change| change.path.clone()).collect()
        };
        Written {
            replaced: paths(|change| change.new.is_some()),
            removed: paths(|change| change.new.is_none()),
        }
    }
}
