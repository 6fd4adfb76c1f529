//! Which manifest is picked up without being named: none that an agent could have put there.

use super::folders::{folder_of, registry};
use anyhow::bail;
use camino::Utf8Path;

/// Refuses a manifest that was found, not named, in a folder where the agent of a known bottle can write, unless it
/// is a known bottle's own.
pub(crate) fn require_own(file: &Utf8Path) -> anyhow::Result<()> {
    let Ok(registry) = registry() else { return Ok(()) }; // whoever needs it says what is wrong with it
    let folder = folder_of(file)?;
    let Some(writer) = registry.writer_of(&folder) else { return Ok(()) };
    let name = file.file_name().unwrap_or_default();
    if registry.of_folder(&folder).any(|bottle| bottle.manifest.file_name() == Some(name)) {
        return Ok(());
    }
    bail!(
        "{file} is not picked up: the agent of {} can write there, and you never rendered it; \
         if you mean it, name it: bottle render {file}",
        writer.manifest
    );
}
