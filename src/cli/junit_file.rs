//! The file that a JUnit report is written to. What is there already may be an agent's: a link, a pipe.

use super::folders::{absolute, beside, real};
use crate::tree::{Entry, Folder};
use anyhow::{Context as _, bail};
use camino::Utf8Path;

/// Where a report goes. One of an earlier run is removed, so that a run that fails leaves none behind.
pub(crate) struct JunitFile<'a> {
    folder: Folder,
    name: &'a str,
}

impl<'a> JunitFile<'a> {
    pub(crate) fn prepare(file: &'a Utf8Path) -> anyhow::Result<Self> {
        let name = file.file_name().with_context(|| format!("{file} is not the name of a file"))?;
        let folder = Folder::open(&real(&absolute(&beside(file))?))?;
        match folder.entry(name)? {
            None => {}
            Some(Entry::File) => folder.remove(name)?,
            Some(Entry::Folder) => bail!("{file} is a folder; name a file"),
            Some(Entry::Other(what)) => {
                bail!("{file} is {what}, and nothing is written through it; name a plain file")
            }
        }
        Ok(Self { folder, name })
    }

    pub(crate) fn write(&self, report: &str) -> anyhow::Result<()> {
        let staged = self.folder.stage(self.name, report.as_bytes(), 0o644);
        staged.and_then(crate::tree::Staged::commit).context("the JUnit report was not written")
    }
}
