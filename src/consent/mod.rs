//! What a person agreed to, and where that is kept: the only room that says what a host command may start.
//!
//! An agent can write the project: manifest, `.git`, branches, sooner or later the rendered tree. So nothing in the
//! project is believed. What runs is the *agreed copy*, which lies in the private state with a [`Record`] of what it
//! lets the agent do; a state is found by the [`Registry`] and by nothing else. A manifest is a wish: `render`
//! compares it with the record and asks a person about everything that is new.
//!
//! ```text
//! $XDG_STATE_HOME/bottle/   0700, in no mount and in no build context
//! ├── bottles.json          the registry
//! └── <id>/
//!     ├── agreed/           the tree as agreed: what Compose runs and what the proxies read
//!     ├── agreed.json       its digest, its capabilities, the files of the build context
//!     ├── context/<digest>/ the agreed build context
//!     ├── audit/            what the proxies record
//!     └── running.json      what was started
//! ```

mod built_image;
mod context;
mod context_filter;
mod dockerignore;
mod entry;
mod error;
mod glob;
mod path_index;
mod record;
mod registry;
mod registry_writer;
mod running;
mod seal;
mod sha256;
mod walk;

pub use built_image::BuiltImage;
pub use context::{Context, ContextChange};
pub use entry::ContextEntry;
pub use error::{ContextError, Largest};
pub use record::{AGREED, Agreed, Record, context_name, digest};
pub use registry::{Bottle, FolderId, Registry};
pub use registry_writer::RegistryWriter;
pub use running::Running;
pub use seal::Seal;
pub use sha256::Sha256Sum;

use crate::tree::TreeError;
use camino::Utf8PathBuf;

/// The folder of agreed build contexts in a state.
pub const CONTEXT: &str = "context";

/// Why what was agreed to can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// Reading or writing failed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The private folder could not be made.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// A file is not as bottle wrote it.
    #[error("{path} is damaged: {why}; `bottle render` writes it again")]
    Damaged {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file of a state is not the one that the registry knows.
    #[error("{0} is not what `bottle render` left there; find out who changed it, then run `bottle render`")]
    BrokenSeal(Utf8PathBuf),
    /// The home of all states is another user's.
    #[error(
        "{path} belongs to uid {owner}, and what lies in it is that user's consent, not yours; set XDG_STATE_HOME"
    )]
    OfAnotherUser {
        /// The folder.
        path: Utf8PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Anybody could write consent into it.
    #[error("{0} can be written to by other users; `chmod 700` it")]
    WritableByOthers(Utf8PathBuf),
    /// A value that JSON can't hold.
    #[error("this is a bug in bottle: a record can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A file of ours, for people who look.
fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, ConsentError> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}
