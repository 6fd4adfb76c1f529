//! `image.json`: which image bottle's own services run, and what it was built from.

use super::{ConsentError, Seal, Sha256Sum};
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILE: &str = "image.json";
const LARGEST: u64 = 1 << 20;

/// An image that was built from a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltImage {
    id: String,
    built_from: BTreeMap<Utf8PathBuf, Sha256Sum>,
}

impl BuiltImage {
    /// The image `id`, in Docker's words, of the files that `seal` holds.
    #[must_use]
    pub fn new(id: &str, seal: &Seal) -> Self {
        Self { id: id.to_owned(), built_from: seal.of_image() }
    }

    /// What was built last; nothing where that is not known.
    #[must_use]
    pub fn load(state: &Utf8Path) -> Option<Self> {
        let text = Folder::open(state).ok()?.read_at_most(FILE, LARGEST).ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Notes what was built.
    pub fn store(&self, state: &Utf8Path) -> Result<(), ConsentError> {
        Ok(Folder::open(state)?.stage(FILE, &super::json(self)?, 0o600)?.commit()?)
    }
}
