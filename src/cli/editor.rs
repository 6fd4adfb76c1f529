//! A text in the person's own editor: a copy of it, in the private state, where no agent reads or writes.

use crate::manifest::{LARGEST, Manifest};
use crate::programs;
use crate::tree::Folder;
use anyhow::{Context as _, ensure};
use camino::Utf8Path;

/// What a person made of the text. The copy stays where something fails, so that their work is not lost.
pub(super) fn edited(folder: &Utf8Path, name: &str, text: &str) -> anyhow::Result<String> {
    let folder = Folder::open(folder)?;
    folder.stage(name, text.as_bytes(), 0o600)?.commit()?;
    let path = folder.path().join(name);
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // As git does: the variable is a command line.
    let command = format!("{editor} \"$@\"");
    let ended = programs::command("sh").args(["-c", &command, &editor, path.as_str()]).status();
    let ended = ended.with_context(|| format!("`{editor}` can't be started: set EDITOR"))?;
    ensure!(ended.success(), "`{editor}` failed ({ended}); your text is at {path}, and nothing was written");
    let bytes = folder.read_at_most(name, LARGEST as u64)?.with_context(|| format!("{path} is gone"))?;
    let text = String::from_utf8(bytes).ok().with_context(|| format!("{path} is not UTF-8"))?;
    // What is wrong is said with a place in the copy.
    Manifest::load(path.as_str(), text.as_bytes())?;
    folder.remove(name)?;
    Ok(text)
}
