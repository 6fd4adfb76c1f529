//! Why a push is refused.

use std::fmt;

/// Why a push is refused. Its texts hold nothing that steers a terminal, and no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// The ref whose update is refused; nothing where the pack is.
    pub refname: Option<String>,
    /// One sentence, for the line `ng REF` of a report.
    pub reason: String,
    /// Lines for the side band, which git prints after `remote:`.
    pub remote: Vec<String>,
    /// For the audit.
    pub kind: RefusedKind,
}

/// Why, for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedKind {
    /// The pack, or an object of it, is not what git writes.
    Malformed,
    /// It goes beyond a limit.
    TooLarge,
    /// A delta needs an object that is not in the pack.
    Thin,
    /// An update is not proven to keep what the ref held.
    NotFastForward,
    /// It carries a credential.
    Credential,
    /// A clone ends among what is pushed.
    Shallow,
    /// The spooled pack can't be read.
    Unreadable,
    /// Nobody waits for the outcome any more.
    Stopped,
}

impl RefusedKind {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "pack_malformed",
            Self::TooLarge => "pack_too_large",
            Self::Thin => "pack_thin",
            Self::NotFastForward => "not_fast_forward",
            Self::Credential => "credential_in_push",
            Self::Shallow => "shallow",
            Self::Unreadable => "pack_unreadable",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for RefusedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Refused {
    fn new(kind: RefusedKind, reason: String) -> Self {
        Self { refname: None, remote: vec![reason.clone()], reason, kind }
    }

    pub(super) fn malformed(what: impl fmt::Display) -> Self {
        Self::new(
            RefusedKind::Malformed,
            format!("the pack is refused: {what}; run `git fsck`, repair what it names, and push again"),
        )
    }

    /// `mend` says what to do, as an order.
    pub(super) fn too_large(what: impl fmt::Display, mend: &str) -> Self {
        Self::new(RefusedKind::TooLarge, format!("the pack is refused: {what}; {mend}"))
    }

    pub(super) fn thin(base: impl fmt::Display) -> Self {
        Self::new(
            RefusedKind::Thin,
            format!(
                "the pack is refused: a delta needs {base}, which is not in the pack; push with `git push --no-thin`"
            ),
        )
    }

    pub(super) fn unreadable(error: &std::io::Error) -> Self {
        Self::new(
            RefusedKind::Unreadable,
            format!("the proxy can't read the pack that it stored: {error}; push again"),
        )
    }

    pub(super) fn shallow(commit: impl fmt::Display) -> Self {
        Self::new(
            RefusedKind::Shallow,
            format!(
                "the push is refused: its clone is shallow, and ends at {commit}, which the push would bring; run \
                 `git fetch --unshallow origin` and push again"
            ),
        )
    }

    pub(super) fn stopped() -> Self {
        Self::new(RefusedKind::Stopped, "its client went away before it was looked at: push again".to_owned())
    }

    pub(super) fn update(refname: &str, kind: RefusedKind, reason: String) -> Self {
        Self { refname: Some(refname.to_owned()), ..Self::new(kind, reason) }
    }
}
