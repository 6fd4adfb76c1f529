//! Expectations beside a manifest: `NAME.bottle-test.yaml`.

use super::expectation::Expectation;
use super::findings::Findings;
use super::load;
use super::parse::{expectations, manifest_path};
use super::raw_test;
use super::schema::Described;
use crate::diagnostic::{Report, Source};
use crate::yaml::Document;
use camino::Utf8PathBuf;
use std::{ops::Range, sync::Arc};

/// A file of expectations.
#[derive(Debug)]
pub struct TestFile {
    /// The manifest that it names, relative to it.
    pub manifest: Option<Utf8PathBuf>,
    /// What must become of which request.
    pub tests: Vec<Expectation>,
    /// The text with the place of every part.
    pub document: Document,
    /// The text under its name, for diagnostics.
    pub source: Arc<Source>,
}

impl TestFile {
    /// Reads a file; `name` is what people call it. Reports all that is wrong in one go.
    pub fn load(name: &str, text: &[u8]) -> Result<TestFile, Report> {
        let ((manifest, tests), document, source) = load::load(name, text, &load::TEST_FILE, |_| (), read)?;
        Ok(TestFile { manifest, tests, document, source })
    }

    /// The place of the manifest's name, for the label of a diagnostic.
    #[must_use]
    pub fn manifest_span(&self) -> Range<usize> {
        self.document.span_of("manifest")
    }
}

fn read(document: &Document, findings: &mut Findings<'_>) -> Option<(Option<Utf8PathBuf>, Vec<Expectation>)> {
    let raw_test::TestFile { manifest, tests } =
        load::fitting(&document.value, Described::test_file(), findings)?;
    let manifest = match manifest {
        Some(path) => Some(manifest_path(&path, "manifest", findings)?),
        None => None,
    };
    Some((manifest, expectations(tests, findings)))
}
