//! The file that a JUnit report is written to. What is there already may be an agent's: a link, a pipe.

use super::folders::{absolute, beside};
use crate::tree::{Entry, Folder};
use anyhow::{Context as _, bail};
use camino::Utf8Path;

/// Where a report goes. One of an earlier run stays until there is a new one.
pub(crate) struct JunitFile<'a> {
    file: &'a Utf8Path,
    folder: Folder,
    name: &'a str,
}

impl<'a> JunitFile<'a> {
    /// Refuses at once what could not be written in the end.
    pub(crate) fn prepare(file: &'a Utf8Path) -> anyhow::Result<Self> {
        let name = file.file_name().with_context(|| format!("{file} is not the name of a file"))?;
        let folder = Folder::open_for_output(&absolute(&beside(file))?)?;
        let prepared = Self { file, folder, name };
        prepared.require_free()?;
        Ok(prepared)
    }

    fn require_free(&self) -> anyhow::Result<()> {
        let file = self.file;
        match self.folder.entry(self.name)? {
            None | Some(Entry::File) => Ok(()),
            Some(Entry::Folder) => bail!("{file} is a folder; name a file"),
            Some(Entry::Other(what)) => {
                bail!("{file} is {what}, and nothing is written through it; name a plain file")
            }
        }
    }

    pub(crate) fn write(&self, report: &str) -> anyhow::Result<()> {
        self.require_free()?;
        let staged = self.folder.stage(self.name, report.as_bytes(), 0o644);
        staged.and_then(crate::tree::Staged::commit).context("the JUnit report was not written")
    }
}
