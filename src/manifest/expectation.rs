//! What must become of a request.

use crate::policy::{Reason, WrittenRequest};
use camino::Utf8PathBuf;
use jiff::civil::Date;

/// A request, and what must become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Where it stands in its file: `tests[0]`.
    pub pointer: String,
    /// A name for reports, if it has one.
    pub name: Option<String>,
    /// What is asked.
    pub request: WrittenRequest,
    /// What is sent with it.
    pub body: Option<TestBody>,
    /// The day to decide on, if it says one.
    pub now: Option<Date>,
    /// What must become of it.
    pub expected: Expected,
    /// What must decide, as a pointer into the manifest.
    pub rule: Option<String>,
}

/// What must become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is let through.
    Allow {
        /// With this credential, if that is said.
        credential: Option<ExpectedCredential>,
    },
    /// It is refused.
    Deny {
        /// For this reason, if that is said.
        reason: Option<Reason>,
        /// By this proxy, if that is said: `egress-proxy` or `pipelock`.
        by: Option<&'static str>,
    },
}

impl Expected {
    /// The key that says it: `allow` or `deny`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::Deny { .. } => "deny",
        }
    }
}

/// The credential that must be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedCredential {
    /// None.
    None,
    /// This one, by its `token_ref`.
    Named(String),
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestBody {
    /// As it is written.
    Text(String),
    /// In a file, relative to the one that names it.
    File(Utf8PathBuf),
}
