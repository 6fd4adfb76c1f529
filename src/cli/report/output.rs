//! The file that a report is written to: all of it or nothing, and over no file but an earlier report.

use super::Shown;
use crate::cli::folders::{absolute, beside};
use crate::tree::{Entry, Folder};
use anyhow::{Context as _, bail};
use camino::Utf8Path;

/// An audit trail is for the person whose bottle it is; so is what is made of it.
const MODE: u32 = 0o600;

/// Where a report goes.
pub(super) struct Target<'a> {
    file: &'a Utf8Path,
    folder: Folder,
    name: &'a str,
    force: bool,
}

impl<'a> Target<'a> {
    /// Refuses at once what could not be written in the end.
    pub(super) fn find(file: &'a Utf8Path, force: bool) -> anyhow::Result<Self> {
        let name = file.file_name().filter(|_| !file.as_str().ends_with('/'));
        let name = name.with_context(|| format!("{file} is not the name of a file"))?;
        let folder = Folder::open_for_output(&absolute(&beside(file))?)?;
        let target = Self { file, folder, name, force };
        target.require_free()?;
        Ok(target)
    }

    fn require_free(&self) -> anyhow::Result<()> {
        let file = self.file;
        match self.folder.entry(self.name)? {
            None => Ok(()),
            Some(Entry::File) if self.force || self.is_report()? => Ok(()),
            Some(Entry::File) => {
                bail!(
                    "{file} is there and is not a report of bottle; name another file, or replace it with --force"
                )
            }
            Some(Entry::Folder) => bail!("{file} is a folder; name a file"),
            Some(Entry::Other(what)) => bail!("{file} is {what}; name a plain file, or print to stdout"),
        }
    }

    fn is_report(&self) -> anyhow::Result<bool> {
        use std::io::Read as _;
        let longest = Shown::ALL.iter().map(|shown| shown.beginning().len()).max().unwrap_or_default();
        let mut start = Vec::new();
        let Some(file) = self.folder.open_plain(self.name)? else { return Ok(false) };
        file.take(longest as u64)
            .read_to_end(&mut start)
            .with_context(|| format!("{} can't be read", self.file))?;
        Ok(Shown::ALL.iter().any(|shown| start.starts_with(shown.beginning().as_bytes())))
    }

    /// Writes it under another name first, so that a report is there as a whole or not at all.
    pub(super) fn write(&self, text: &str, shown: Shown) -> anyhow::Result<()> {
        self.require_free()?;
        let shown = match shown {
            Shown::Html | Shown::Text => crate::printable::printable_text(text),
            Shown::Json => crate::printable::printable_json(text),
        };
        Ok(self.folder.stage(self.name, shown.as_bytes(), MODE)?.commit()?)
    }

    /// As a person named it.
    pub(super) fn shown(&self) -> &Utf8Path {
        self.file
    }
}
