//! Interim.
use crate::tree::Folder;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// Interim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context { digest: String }

/// Interim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextChange(String);
impl std::fmt::Display for ContextChange { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) } }

/// Interim.
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub enum ContextError { #[doc = "x"] Tree(#[from] crate::tree::TreeError) }

impl Context {
    /// Interim.
    pub fn digest(&self) -> &str { &self.digest }
    /// Interim.
    pub fn read(_: &Folder, _: &Utf8Path) -> Result<Self, ContextError> { Ok(Self { digest: "sha256:0".into() }) }
    /// Interim.
    pub fn snapshot(_: &Folder, _: &Utf8Path, _: &Folder) -> Result<Self, ContextError> { Ok(Self { digest: "sha256:0".into() }) }
    /// Interim.
    pub fn changes(&self, _: &Context) -> Vec<ContextChange> { vec![] }
    /// Interim.
    pub fn verify(_: &Folder, _: &str) -> Result<(), ContextError> { Ok(()) }
    /// Interim.
    pub fn read_text(_: &Folder, _: &Utf8Path) -> Option<String> { None }
}
