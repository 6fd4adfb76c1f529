//! YAML in (with the place of every node, budgets, no duplicate keys) and YAML out (every string safe).
//!
//! The dialect is YAML 1.2 with its core schema, minus what makes one text mean two things: duplicate keys,
//! tags, merge keys, directives, a second document, a byte order mark and CRLF are refused, each with its place. So
//! `no`, `on` and `22:22` are text. Anchors work, within the budget. This module is the only one that knows which
//! parser is underneath.

mod builder;
mod bytes;
mod edit;
mod emit;
mod node;
mod scalar;
mod syntax;

pub use edit::{Comments, Edit, EditError, edit};
pub use emit::{emit, emit_flow, emit_value};
pub use node::Document;

use std::ops::Range;

/// How much of everything a text may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Nesting of lists and maps.
    pub depth: usize,
    /// Values, aliases counted with all that they stand for.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, depth: 32, nodes: 50_000 }
    }
}

/// What is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Byte offsets into the text.
    pub span: Range<usize>,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Another place that matters, such as the first of two equal keys, and what it is.
    pub related: Option<(Range<usize>, String)>,
}

impl Problem {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None, related: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What could be read, and everything that is wrong with it.
#[derive(Debug)]
pub struct ReadOutcome {
    /// The document, unless the text could not be understood to its end.
    pub document: Option<Document>,
    /// In the order of the text; empty when all is well.
    pub problems: Vec<Problem>,
}

/// Reads one document, and goes on after problems that leave the rest readable, so that a caller can report
/// those of later stages in the same run.
#[must_use]
pub fn read(text: &[u8], limits: Limits) -> ReadOutcome {
    let mut problems = Vec::new();
    let document = match bytes::check(text, limits, &mut problems) {
        Some(text) => builder::build(text, limits, &mut problems),
        None => None,
    };
    problems.sort_by_key(|problem| problem.span.start);
    ReadOutcome { document, problems }
}

/// Reads one document that has no problem at all.
pub fn parse(text: &[u8], limits: Limits) -> Result<Document, Vec<Problem>> {
    match read(text, limits) {
        ReadOutcome { document: Some(document), problems } if problems.is_empty() => Ok(document),
        ReadOutcome { problems, .. } => Err(problems),
    }
}

#[cfg(test)]
mod tests;
