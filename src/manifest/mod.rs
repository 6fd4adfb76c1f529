//! Text to [`Manifest`]: every problem in one report, each with its place in the source.
//!
//! Four stages look at a text, and each goes on after what it has reported: YAML ([`crate::yaml`]), keys that
//! were retired, the JSON Schema, and the types that can't hold a bad value. A manifest with a secret in it is
//! refused, and its report never shows the secret.

mod findings;
mod model;
mod parse;
mod raw;
mod reference;
mod retired;
mod schema;
mod schema_check;
mod secrets;
mod template;
mod variable;

pub use model::{
    Agent, Build, DlpAction, Egress, EgressProxy, Engine, Image, Manifest, Mount, Pipelock, Resources,
};
pub use reference::reference;
pub use retired::{Migrated, migrate};
pub use schema::{schema, schema_text};

use crate::diagnostic::{Diagnostic, Report, Source};
use crate::yaml::{self, Document, Limits, ReadOutcome};
use findings::Findings;
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
        let ReadOutcome { document, problems } =
            yaml::read(text, Limits { bytes: LARGEST, ..Limits::default() });
        let shown = String::from_utf8_lossy(&text[..text.len().min(LARGEST)]);
        let source = Source::new(name, secrets::masked(&shown));
        let of_yaml = problems.into_iter().map(|problem| findings::of_yaml(problem, &source));
        let Some(document) = document else { return Err(Report(of_yaml.collect())) };
        let mut findings = Findings::new(&document, &source);
        of_yaml.for_each(|problem| findings.push(problem));
        for place in secrets::find(&shown) {
            let problem = findings.place("secret", place, "the manifest holds a secret");
            findings.push(problem.hint(
                "put it into an environment variable and name that in `token_ref`; revoke this one if anyone else can read the file",
            ));
        }
        let manifest = read(&document, &mut findings);
        match manifest {
            Some(manifest) if findings.is_empty() => Ok(Loaded { manifest, document, source }),
            _ => Err(findings.into_report()),
        }
    }
}

/// The stages after YAML.
fn read(document: &Document, findings: &mut Findings<'_>) -> Option<Manifest> {
    if !document.value.is_object() {
        let problem = findings.value("type", "", "a manifest is a map of keys");
        findings.push(problem.hint("for example: version: 1"));
        return None;
    }
    let mut value: Value = document.value.clone();
    retired::take_out(&mut value, findings);
    let fitting = schema_check::check(&value, findings);
    match serde_json::from_value::<raw::Manifest>(fitting) {
        Ok(raw) => parse::manifest(raw, findings),
        Err(error) => {
            // The schema and the types are one source, so this is a fault of this program; it is said all the same.
            findings.push(Diagnostic::error(
                "schema",
                format!("the manifest fits the schema and not the types: {error}"),
            ));
            None
        }
    }
}
