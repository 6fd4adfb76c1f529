//! What no agent may see: the home of all states, and the state of every bottle of this person, wherever it lies.

use super::folders::home;
use crate::consent::Registry;
use crate::state::{Location, require_hidden};
use anyhow::bail;
use camino::Utf8PathBuf;

/// Refuses to show an agent any of it, and a state that the agent of another bottle could see.
pub(crate) fn require(registry: &Registry, own: &Location, exposed: &[Utf8PathBuf]) -> anyhow::Result<()> {
    own.require_hidden(exposed)?;
    require_hidden(&home()?, exposed)?;
    for place in exposed {
        for other in registry.states_at(place).filter(|other| other.out != own.out()) {
            if other.state.exists() {
                require_hidden(&other.state, std::slice::from_ref(place))?;
            }
        }
    }
    if let Some((place, other)) = registry.mounted_at(own.state()).find(|(_, other)| other.out != own.out()) {
        bail!(
            "the agent of {} can read {place}, which overlaps the state {} with its private keys; name another \
             folder with --state DIR, or take the mount out of that manifest and render it",
            other.manifest,
            own.state()
        );
    }
    Ok(())
}
