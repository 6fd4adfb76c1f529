//! Errors of a command that are not about what a manifest says. Each kind has a code, whose page
//! `bottle explain-code CODE` prints.

use crate::consent::ConsentError;
use crate::git::GitError;
use crate::telemetry::audit::ReadError;
use crate::tree::TreeError;
use std::borrow::Cow;
use std::fmt;

/// What a command could not do, and why. It serves as an error, and as the context of one.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: &'static str,
    text: Cow<'static, str>,
}

impl Failure {
    /// A text with its code.
    pub(crate) fn new(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into() }
    }

    /// The same for a text that is always the same.
    pub(crate) const fn fixed(code: &'static str, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// Returns a [`Failure`] with a code and a text.
macro_rules! fail {
    ($code:literal, $($text:tt)+) => {
        return Err($crate::cli::failure::Failure::new($code, format!($($text)+)).into())
    };
}
pub(crate) use fail;

/// The code of an error, where its kind has one.
pub(super) fn code(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.code);
    }
    error.chain().find_map(|cause| {
        let git = || cause.downcast_ref::<GitError>().and_then(of_git);
        let tree = || cause.downcast_ref::<TreeError>().and_then(of_tree);
        let consent = || cause.downcast_ref::<ConsentError>().and_then(of_consent);
        let audit = || cause.downcast_ref::<ReadError>().and_then(of_audit);
        git().or_else(tree).or_else(consent).or_else(audit)
    })
}

fn of_git(error: &GitError) -> Option<&'static str> {
    match error {
        GitError::Revision { .. } => Some("bad-revision"),
        GitError::NoMergeBase { .. } | GitError::SeveralMergeBases { .. } => Some("no-merge-base"),
        GitError::Missing { .. } | GitError::Tampered { .. } | GitError::Malformed { .. } => {
            Some("broken-repository")
        }
        _ => None,
    }
}

fn of_tree(error: &TreeError) -> Option<&'static str> {
    match error {
        TreeError::Foreign { .. } | TreeError::Edited { .. } => Some("edited-by-hand"),
        _ => None,
    }
}

fn of_consent(error: &ConsentError) -> Option<&'static str> {
    match error {
        ConsentError::Tree(error) => of_tree(error),
        ConsentError::BrokenSeal(_) | ConsentError::Damaged { .. } => Some("damaged-state"),
        _ => None,
    }
}

fn of_audit(error: &ReadError) -> Option<&'static str> {
    match error {
        ReadError::Absent(_) => Some("not-an-audit-log"),
        ReadError::Unreadable { .. } => None,
    }
}
