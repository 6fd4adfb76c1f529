//! What no agent may see: the home of all states, and the state of every bottle of this person, wherever it lies.

use super::folders::{home, registry};
use crate::consent::{Bottle, Record};
use crate::state::{Location, require_hidden};
use anyhow::bail;
use camino::Utf8PathBuf;

/// Refuses to show an agent any of it, and a state that the agent of another bottle could see.
pub(crate) fn require(own: &Location, exposed: &[Utf8PathBuf]) -> anyhow::Result<()> {
    own.require_hidden(exposed)?;
    require_hidden(&home()?, exposed)?;
    for other in registry()?.bottles().filter(|other| other.out != own.out()) {
        if other.state.exists() {
            require_hidden(&other.state, exposed)?;
        }
        for place in sources(other) {
            if require_hidden(own.state(), std::slice::from_ref(&place)).is_err() {
                bail!(
                    "the agent of {} can read {place}, which overlaps the state {} with its private keys; name another \
                     folder with --state DIR, or take the mount out of that manifest and render it",
                    other.manifest,
                    own.state()
                );
            }
        }
    }
    Ok(())
}

/// What another bottle mounts, by what was agreed to.
fn sources(bottle: &Bottle) -> Vec<Utf8PathBuf> {
    match Record::load(&bottle.state) {
        Ok(Some(record)) => record.capabilities.sources().map(|(_, real)| real.to_owned()).collect(),
        // Withdrawn, or of another version: the registry has what could be written.
        _ => bottle.writable.clone(),
    }
}
