//! What is wrong with a manifest, collected with the place of each.

use super::secrets;
use crate::diagnostic::{Diagnostic, Report, Source};
use crate::masking;
use crate::yaml::{Document, Problem};
use std::{ops::Range, sync::Arc};

/// Reported at most, so that a hostile text can't make an endless report.
const MOST: usize = 100;

/// Kept at most, of which the first in the text are reported.
const KEPT: usize = 1000;

/// A longer value is not quoted whole in a message.
const QUOTED: usize = 80;

/// The collector that every stage adds to.
pub(super) struct Findings<'d> {
    document: &'d Document,
    source: Arc<Source>,
    found: Vec<Diagnostic>,
    /// Found after so many others that they were not kept.
    dropped: usize,
}

impl<'d> Findings<'d> {
    pub(super) fn new(document: &'d Document, source: &Arc<Source>) -> Self {
        Self { document, source: Arc::clone(source), found: Vec::new(), dropped: 0 }
    }

    pub(super) fn document(&self) -> &'d Document {
        self.document
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// A problem with a value: the frame shows the value.
    pub(super) fn value(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        self.start(code, message).label(self.headline(self.document.span_of(pointer)), "")
    }

    /// A problem with a key: the frame shows the key.
    pub(super) fn key(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        self.start(code, message).label(self.headline(self.document.key_span_of(pointer)), "")
    }

    /// A problem at a place of the text.
    pub(super) fn place(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.start(code, message).label(span, "")
    }

    /// A value as it is written.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.source.text().get(self.document.span_of(pointer)).unwrap_or_default()
    }

    /// The place of a value, for a second label.
    pub(super) fn span(&self, pointer: &str) -> Range<usize> {
        self.headline(self.document.span_of(pointer))
    }

    /// The first and last line of a key and its value, from 1.
    pub(super) fn lines(&self, span: &Range<usize>, pointer: &str) -> (usize, usize) {
        let first = self.document.line_of(pointer);
        (first, self.source.position(span.end.saturating_sub(1)).0.max(first))
    }

    /// The column of the dash of a list item, from 0; nothing when it does not stand on a line of its own.
    pub(super) fn dash_column(&self, pointer: &str) -> Option<usize> {
        let before = self.source.text().get(..self.document.span_of(pointer).start)?;
        let before = before.rsplit('\n').next()?;
        before.trim_start_matches(' ').trim_end().eq("-").then(|| before.find('-')).flatten()
    }

    /// Adds a problem.
    pub(super) fn push(&mut self, mut diagnostic: Diagnostic) {
        if self.found.len() >= KEPT {
            self.dropped += 1;
            return;
        }
        // The rest is masked already; a text to paste can hold what a `token_ref` must not.
        diagnostic.paste = diagnostic.paste.map(|text| secrets::masked(&text));
        self.found.push(diagnostic);
    }

    /// All of them in the order of the text.
    pub(super) fn into_report(mut self) -> Report {
        self.found.sort_by_key(|one| one.labels.first().map_or(0, |label| label.span.start));
        let more = self.dropped + self.found.len().saturating_sub(MOST);
        self.found.truncate(MOST);
        if more > 0 {
            let message = format!("{more} more problems are not shown");
            self.found.push(
                Diagnostic::error("too-many-problems", message)
                    .source(&self.source)
                    .hint("often one cause has many effects: fix the first ones, and run the command again"),
            );
        }
        Report(self.found)
    }

    fn start(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message).source(&self.source)
    }

    /// The first line of a span: a frame that underlines a whole map says less.
    fn headline(&self, span: Range<usize>) -> Range<usize> {
        let text = self.source.text().get(span.clone()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        span.start..span.start + line.trim_end().len()
    }
}

/// What the YAML reader refused, as a diagnostic.
pub(super) fn of_yaml(problem: Problem, source: &Arc<Source>) -> Diagnostic {
    let mut one = Diagnostic::error("yaml", problem.message).source(source).label(problem.span, "");
    if let Some((span, text)) = problem.related {
        one = one.label(span, text);
    }
    one.hint(problem.hint.unwrap_or_else(|| {
        "change this place; text that YAML takes for something else goes into quotes".to_owned()
    }))
}

/// A value of the manifest inside a message: on one line, of a sane length.
pub(super) fn quoted(text: &str) -> String {
    // Masked before it is cut: the half of a token is not known as one.
    let flat = masking::masked(&text.replace('\n', "\\n"));
    match flat.char_indices().nth(QUOTED) {
        Some((at, _)) => format!("`{}…`", &flat[..at]),
        None => format!("`{flat}`"),
    }
}

/// The nearest of some names, if it is near enough to be what was meant: few letters differ, or one begins the
/// other.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let lower = plain(name);
    let begins = |one: &&str| {
        let one = plain(one);
        lower.len() >= 3 && one.len() >= 3 && (one.starts_with(&lower) || lower.starts_with(&one))
    };
    known
        .clone()
        .into_iter()
        .map(|one| (strsim::damerau_levenshtein(&lower, &plain(one)), one))
        .filter(|(distance, one)| *distance * 3 <= one.len().max(3))
        .min()
        .map(|(_, one)| one)
        .or_else(|| known.into_iter().find(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["host", "path_allowlist", "methods"];
        assert_eq!(nearest("hosts", known), Some("host"));
        assert_eq!(nearest("path-allowlist", known), Some("path_allowlist"));
        assert_eq!(nearest("Method", known), Some("methods"));
        assert_eq!(nearest("hostname", known), Some("host"));
        assert_eq!(nearest("banana", known), None);
    }
}
