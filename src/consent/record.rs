//! `agreed.json` and `agreed/`: what a person agreed to, in the state, where no agent can write.

use super::{ConsentError, Context};
use crate::capability::Capabilities;
use crate::render::{Tree, checksum};
use crate::tree::{self, Comparison, Folder, Written};
use camino::{Utf8Path, Utf8PathBuf};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The agreed tree's folder in a state.
pub const AGREED: &str = "agreed";
pub(super) const FILE: &str = "agreed.json";
/// A context of 100,000 files with long names.
const LARGEST: u64 = 64 << 20;

/// What was agreed to, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The format: 1.
    pub version: u32,
    /// [`digest`] of the tree and the context.
    pub digest: String,
    /// What it lets the agent do on this machine.
    pub capabilities: Capabilities,
    /// What the agent's image is built from; nothing for an image by name, and where the folder was absent.
    pub context: Option<Context>,
    /// The version of bottle that rendered it.
    pub bottle: String,
    /// When the person agreed.
    pub agreed: Timestamp,
}

/// A record with the tree that it is about, both whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What was agreed to.
    pub record: Record,
    /// The files that run.
    pub tree: Tree,
}

/// SHA-256 over the sorted list of path, mode class and SHA-256 of each rendered file, and then the digest of the
/// build context; the same in every clone. `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn digest(tree: &Tree, context: Option<&str>) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in tree {
        hash.update(format!("{path}\0file\0{}\n", checksum::hex_digest(bytes)));
    }
    hash.update(format!("\0context\0{}\n", context.unwrap_or("none")));
    format!("sha256:{}", HEXLOWER.encode(&hash.finalize()))
}

impl Record {
    /// The record in a state, where there is one.
    pub fn load(state: &Utf8Path) -> Result<Option<Self>, ConsentError> {
        if !state.is_dir() {
            return Ok(None);
        }
        let Some(text) = Folder::open(state)?.read_at_most(FILE, LARGEST)? else { return Ok(None) };
        let record: Self = serde_json::from_slice(&text)
            .map_err(|error| ConsentError::Damaged { path: state.join(FILE), why: error.to_string() })?;
        if record.version != 1 {
            let why = format!("this bottle reads version 1, not {}", record.version);
            return Err(ConsentError::Damaged { path: state.join(FILE), why });
        }
        Ok(Some(record))
    }
}

impl Record {
    /// Takes an agreement back, since another one stands in its place. The files stay, for what still runs.
    pub fn withdraw(state: &Utf8Path) -> Result<(), ConsentError> {
        if state.is_dir() {
            Folder::open(state)?.remove(FILE)?;
        }
        Ok(())
    }
}

impl Agreed {
    /// What was agreed to, if the state holds all of it and unchanged.
    pub fn load(state: &Utf8Path) -> Result<Option<Self>, ConsentError> {
        let Some(record) = Record::load(state)? else { return Ok(None) };
        let folder = Folder::open(&state.join(AGREED))?;
        let tree = tree::read(&folder)?;
        if digest(&tree, record.context.as_ref().map(Context::digest).as_deref()) != record.digest {
            let why = "its files are not those of agreed.json".to_owned();
            return Err(ConsentError::Damaged { path: state.join(AGREED), why });
        }
        Ok(Some(Self { record, tree }))
    }

    /// Writes tree and record into the state, the record last: a state that was left half-way is damaged, and the
    /// next render completes it.
    pub fn store(&self, state: &Utf8Path) -> Result<Written, ConsentError> {
        let state = Folder::open(state)?;
        let folder = state.make(Utf8Path::new(AGREED))?;
        let written = Comparison::with_disk(Some(&folder), &self.tree)?.apply(&folder, true)?;
        let record = super::json(&self.record)?;
        if !state.is_as_wanted(FILE, &record, 0o600, None)? {
            state.stage(FILE, &record, 0o600)?.commit()?;
            state.sync()?;
        }
        Ok(written)
    }

    /// The folder of the agreed build context, in a state.
    #[must_use]
    pub fn context_folder(&self, state: &Utf8Path) -> Option<Utf8PathBuf> {
        let context = self.record.context.as_ref()?;
        Some(state.join(super::CONTEXT).join(context_name(&context.digest())))
    }
}

/// The name of a context's folder: its digest without the `sha256:`.
#[must_use]
pub fn context_name(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_every_path_byte_and_on_the_context() {
        let tree = |files: &[(&str, &str)]| -> Tree {
            files.iter().map(|(path, text)| ((*path).into(), text.as_bytes().to_vec())).collect()
        };
        let one = digest(&tree(&[("a", "1"), ("b", "2")]), None);
        assert_eq!(one, digest(&tree(&[("b", "2"), ("a", "1")]), None));
        assert!(one.starts_with("sha256:") && one.len() == 71, "{one}");
        let others = [
            digest(&tree(&[("a", "2"), ("b", "1")]), None),
            digest(&tree(&[("a", "1")]), None),
            digest(&tree(&[("a", "1"), ("c", "2")]), None),
            digest(&tree(&[("a", "1"), ("b", "2")]), Some("sha256:00")),
        ];
        for (at, other) in others.iter().enumerate() {
            assert!(*other != one && !others[..at].contains(other), "{at}");
        }
    }
}
