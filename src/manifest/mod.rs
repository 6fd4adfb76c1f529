//! Text to [`Manifest`]: every problem in one report, each with its place in the source.
//!
//! Four stages look at a text, and each goes on after what it has reported: YAML ([`crate::yaml`]), keys that
//! were retired, the JSON Schema, and the types that can't hold a bad value. A manifest with a secret in it is
//! refused, and its report never shows the secret.

mod baseline;
mod expectation;
mod findings;
mod item;
mod load;
mod model;
mod parse;
mod published;
mod raw;
mod raw_test;
mod reference;
mod retired;
mod schema;
mod schema_check;
mod secrets;
mod template;
mod test_file;
mod variable;

pub use baseline::{Baseline, Unbounded};
pub use expectation::{Expectation, Expected, ExpectedCredential, TestBody};
pub use model::{
    Agent, AllowedLint, Build, Dlp, DlpAction, Egress, EgressProxy, Engine, Image, Lints, Manifest, Mount,
    Pipelock, Resources, Service,
};
pub(crate) use parse::agent::taken as taken_target;
pub use published::{Published, PublishedError};
pub use reference::reference;
pub use retired::{Migrated, migrate};
pub use schema::{schema, schema_text, test_file_schema_text};
pub use test_file::TestFile;
pub(crate) use variable::is_a_setting;

use crate::diagnostic::{Report, Source};
use crate::yaml::Document;
use findings::Findings;
use schema::Described;
use serde_json::Value;
use std::{ops::Range, sync::Arc};

/// The one version of the format.
pub const VERSION: u64 = 1;

/// A manifest's text is read up to this size, in bytes.
pub const LARGEST: usize = 1024 * 1024;

/// A manifest with the text that it was read from, so that later stages can point into it.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub manifest: Manifest,
    /// The text with the place of every part.
    pub document: Document,
    /// The text under its name, for diagnostics.
    pub source: Arc<Source>,
}

impl Loaded {
    /// The line of a key or list item, from 1: `egress_proxy.routes[1]`.
    #[must_use]
    pub fn line_of(&self, pointer: &str) -> usize {
        self.document.line_of(pointer)
    }

    /// The bytes of a key (of the value, for the item of a list), for the label of a diagnostic.
    #[must_use]
    pub fn span_of(&self, pointer: &str) -> Range<usize> {
        let span = self.document.key_span_of(pointer);
        let text = self.source.text().get(span.clone()).unwrap_or_default();
        span.start..span.start + text.lines().next().unwrap_or_default().trim_end().len()
    }

    /// Where a pointer stands: `bottle.yaml:12`.
    #[must_use]
    pub fn place_of(&self, pointer: &str) -> String {
        format!("{}:{}", self.source.name(), self.line_of(pointer))
    }
}

impl Manifest {
    /// Reads a manifest; `name` is what people call the file. Reports all that is wrong in one go.
    pub fn load(name: &str, text: &[u8]) -> Result<Loaded, Report> {
        load(name, text, |_| ())
    }

    /// Reads a baseline: a manifest that may leave out its name and its image.
    pub fn load_baseline(name: &str, text: &[u8]) -> Result<Baseline, Report> {
        baseline::load_baseline(name, text)
    }
}

/// Reads a text; `complete` may change the value before its keys are looked at.
fn load(name: &str, text: &[u8], complete: impl FnOnce(&mut Value)) -> Result<Loaded, Report> {
    let (manifest, document, source) = load::load(name, text, &load::MANIFEST, complete, manifest)?;
    Ok(Loaded { manifest, document, source })
}

/// The stages after YAML.
fn manifest(document: &Document, findings: &mut Findings<'_>) -> Option<Manifest> {
    let mut value: Value = document.value.clone();
    retired::take_out(&mut value, findings);
    let raw = load::fitting(&value, Described::manifest(), findings)?;
    parse::manifest(raw, findings)
}
