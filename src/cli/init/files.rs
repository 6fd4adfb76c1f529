//! Writing what init made: new files only, and never through a link.

use crate::cli::source::FILE_NAME;
use crate::init::Made;
use crate::manifest;
use crate::printable::printable_name;
use crate::tree::{Entry, Folder};
use anyhow::bail;
use camino::Utf8Path;

/// How a Dockerfile of init's begins.
const OURS: &[u8] = b"# Written by `bottle init`";

/// Where the schema goes: beside the rendered trees, which the agent can't write.
const SCHEMA: (&str, &str) = (".bottle", "bottle.schema.json");

/// A file, and whether it was written; one that was there is kept.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) is_new: bool,
}

/// The folder that the image is built from: one that is not there yet, or one that init made.
pub(super) fn context(folder: &Folder) -> anyhow::Result<&'static str> {
    for name in ["agent", "bottle-agent"] {
        let is_ours = match folder.entry(name)? {
            None => true,
            Some(Entry::Folder) => {
                let dockerfile = folder.child(name)?.read_at_most("Dockerfile", 1 << 20);
                dockerfile.ok().flatten().is_some_and(|bytes| bytes.starts_with(OURS))
            }
            Some(_) => false,
        };
        if is_ours {
            return Ok(name);
        }
    }
    bail!(
        "{} has both `agent` and `bottle-agent`, and init puts the agent's Dockerfile into neither: rename one of them",
        printable_name(folder.path().as_str())
    )
}

/// Writes everything; the manifest last, so that what it names is there.
pub(super) fn write(folder: &Folder, context: &str, made: &Made) -> anyhow::Result<Vec<File>> {
    let mut written = Vec::new();
    for (path, text) in &made.context {
        let path = Utf8Path::new(context).join(path);
        written.push(new(folder, &path, text)?);
    }
    let (above, name) = SCHEMA;
    written.push(new(folder, &Utf8Path::new(above).join(name), &manifest::schema_text())?);
    let manifest = new(folder, FILE_NAME.into(), &made.manifest)?;
    if !manifest.is_new {
        bail!("{FILE_NAME} was put there meanwhile; it was kept");
    }
    written.insert(0, manifest);
    Ok(written)
}

fn new(folder: &Folder, path: &Utf8Path, text: &str) -> anyhow::Result<File> {
    let (parent, name) = (path.parent().unwrap_or(Utf8Path::new("")), path.file_name().unwrap_or_default());
    let parent = folder.make(parent)?;
    let is_new = parent.entry(name)?.is_none();
    if is_new {
        let mut file = parent.make_file(name, false)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
    }
    Ok(File { path: path.to_string(), is_new })
}
