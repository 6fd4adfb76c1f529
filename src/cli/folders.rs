//! Folders on this machine: the current one, that of a manifest, that of all states.

use crate::consent::Registry;
use crate::state::Location;
use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

/// The folder of all states of this user.
pub(crate) fn home() -> anyhow::Result<Utf8PathBuf> {
    Ok(Location::home(|name| std::env::var(name).ok())?)
}

/// The registry of this user.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    Ok(Registry::load(&home()?)?)
}

/// The current folder: absolute, without links.
pub(crate) fn here() -> anyhow::Result<Utf8PathBuf> {
    let here = std::env::current_dir().context("the current folder can't be read")?;
    let here = Utf8PathBuf::from_path_buf(here).ok().context("the current folder's name is not UTF-8")?;
    Ok(real(&here))
}

pub(crate) fn absolute(path: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    camino::absolute_utf8(path).with_context(|| format!("the absolute path of {path} is unknown"))
}

/// A path without links; what does not exist yet stays as it is written, below what does.
pub(crate) fn real(path: &Utf8Path) -> Utf8PathBuf {
    for known in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (known.canonicalize_utf8(), path.strip_prefix(known)) {
            return if rest.as_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

/// The folder that a file lies in, as a person names it.
pub(crate) fn beside(file: &Utf8Path) -> Utf8PathBuf {
    file.parent().filter(|parent| !parent.as_str().is_empty()).unwrap_or(Utf8Path::new(".")).to_owned()
}

/// The folder of a manifest: absolute, without links.
pub(crate) fn folder_of(file: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    Ok(real(&absolute(&beside(file))?))
}
