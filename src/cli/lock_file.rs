//! `bottle.lock`, where it lies beside a manifest.

use crate::lock::{FILE, LARGEST, Lock};
use crate::tree::Folder;
use camino::Utf8Path;

/// The lock in the folder of a manifest, which an agent may have written.
pub(crate) fn find(folder: &Utf8Path) -> anyhow::Result<Option<Lock>> {
    let text = Folder::open(folder)?.read_at_most(FILE, LARGEST)?;
    Ok(text.map(|text| Lock::parse(FILE, &text)).transpose()?)
}
