//! One type for everything that is said to a person: code, message, places in the source, hints.
//!
//! It promises rustc's look (`error[code]: …`, `--> file:line:column`, a frame, `help:` lines), a machine-readable
//! form of the same, and that neither can be used against the reader: control characters of a hostile source
//! never reach the terminal, and a frame never prints more than [`WIDTH`] columns of a very long line. What looks like a
//! secret is masked in all that is said; a [`Source`] is masked by whoever makes it.

use crate::masking::masked;
use crate::printable::{Judge, printable_name, printable_text};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};
use std::{fmt, fmt::Write as _, ops::Range, sync::Arc};

/// The columns of a source line that a frame shows at most.
pub const WIDTH: usize = 120;

/// The rows that a frame spans at most; labels that lie further away are said in a line of their own.
const ROWS: usize = 400;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing was done.
    Error,
    /// Done, but look at this.
    Warning,
    /// For the record.
    Note,
}

impl Severity {
    /// The word for it, in text and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    fn level(self) -> Level<'static> {
        match self {
            Self::Error => Level::ERROR,
            Self::Warning => Level::WARNING,
            Self::Note => Level::NOTE,
        }
    }
}

/// A text that diagnostics point into.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    /// Byte offset of the first byte of each line.
    lines: Vec<usize>,
}

impl Source {
    /// A source under the name that people know it by, usually a relative path.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Arc::new(Self { name: name.into(), text, lines })
    }

    /// The name that people know it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column (in characters) of a byte offset, both from 1. An offset beyond the end is the end.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.floor(offset);
        let line = self.line_index(offset);
        (line + 1, self.text[self.lines[line]..offset].chars().count() + 1)
    }

    fn line_index(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The bytes of a line, without its line break.
    fn line_range(&self, index: usize) -> Range<usize> {
        let start = self.lines[index];
        let end = self.lines.get(index + 1).map_or(self.text.len(), |next| next - 1);
        start..end.max(start)
    }

    /// The nearest character boundary at or before an offset.
    fn floor(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// A place in the source, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Byte offsets into the source's text.
    pub span: Range<usize>,
    /// Shown beside the underline; may be empty.
    pub text: String,
}

/// One thing said to a person. The first label is the place that the header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name for this kind of problem, in kebab case.
    pub code: &'static str,
    /// One sentence: what is wrong.
    pub message: String,
    /// The text that the labels point into.
    pub source: Option<Arc<Source>>,
    /// Where; the first one is the main place.
    pub labels: Vec<Label>,
    /// What else there is to know, one sentence each.
    pub notes: Vec<String>,
    /// What to do about it, one sentence each.
    pub hints: Vec<String>,
    /// Text to copy, printed as it is below the hints.
    pub paste: Option<String>,
}

impl Diagnostic {
    /// A diagnostic of this severity with no place yet.
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            message: masked(&message.into()),
            source: None,
            labels: Vec::new(),
            notes: Vec::new(),
            hints: Vec::new(),
            paste: None,
        }
    }

    /// An error with no place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning with no place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Says which text the labels point into.
    #[must_use]
    pub fn source(mut self, source: &Arc<Source>) -> Self {
        self.source = Some(Arc::clone(source));
        self
    }

    /// Adds a place; the first one added is the main one.
    #[must_use]
    pub fn label(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: masked(&text.into()) });
        self
    }

    /// Adds a sentence on what else there is to know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a sentence on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(masked(&hint.into()));
        self
    }

    /// Sets the text to copy.
    #[must_use]
    pub fn paste(mut self, text: impl Into<String>) -> Self {
        self.paste = Some(masked(&text.into()));
        self
    }

    /// The line and column of the main place, both from 1.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        Some(self.source.as_ref()?.position(self.labels.first()?.span.start))
    }

    /// Rustc's look, ending in a line break.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut frame = self.source.as_ref().and_then(|source| Frame::around(source, &self.labels));
        let notes = frame.as_mut().map(|frame| std::mem::take(&mut frame.notes)).unwrap_or_default();
        let title = self.severity.level().primary_title(printable_name(&self.message)).id(self.code);
        let mut group = Group::with_title(title);
        if let (Some(source), Some(frame)) = (&self.source, &frame) {
            if frame.is_cut {
                // The renderer counts columns in what it is shown, so the true place is said separately.
                let (line, column) = source.position(self.labels[0].span.start);
                group =
                    group.element(Origin::path(printable_name(source.name())).line(line).char_column(column));
                group = group.element(frame.snippet());
            } else {
                group = group.element(frame.snippet().path(printable_name(source.name())));
            }
        } else if let Some(source) = &self.source {
            group = group.element(Origin::path(printable_name(source.name())));
        }
        for note in notes.iter().chain(&self.notes) {
            group = group.element(Level::NOTE.message(printable_name(note)));
        }
        for hint in &self.hints {
            group = group.element(Level::HELP.message(printable_text(hint)));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = renderer.term_width(WIDTH + 20).render(&[group]);
        out.push('\n');
        if let Some(paste) = &self.paste {
            let _ = write!(out, "\n{}\n", printable_text(paste.trim_end()));
        }
        out
    }

    /// The same for a machine.
    #[must_use]
    pub fn json(&self) -> Value {
        let labels: Vec<Value> = self.source.iter().flat_map(|source| {
            self.labels.iter().map(|label| {
                let (line, column) = source.position(label.span.start);
                let (end_line, end_column) = source.position(label.span.end);
                json!({"line": line, "column": column, "end_line": end_line, "end_column": end_column, "text": label.text})
            })
        }).collect();
        json!({
            "severity": self.severity.as_str(),
            "code": self.code,
            "message": self.message,
            "file": self.source.as_ref().map(|source| source.name()),
            "line": self.position().map(|(line, _)| line),
            "column": self.position().map(|(_, column)| column),
            "labels": labels,
            "notes": self.notes,
            "hints": self.hints,
            "paste": self.paste,
        })
    }
}

/// The lines that a diagnostic shows, cut to a width, with the labels moved to fit.
struct Frame {
    text: String,
    first_line: usize,
    /// The first label, and then the others.
    labels: Vec<(bool, Label)>,
    /// The line of the first label does not begin at its column 1.
    is_cut: bool,
    /// Labels that did not fit, as sentences.
    notes: Vec<String>,
}

impl Frame {
    fn around(source: &Source, labels: &[Label]) -> Option<Self> {
        let main = source.line_index(source.floor(labels.first()?.span.start));
        let near = |label: &&Label| source.line_index(source.floor(label.span.start)).abs_diff(main) < ROWS;
        let lines = labels.iter().filter(near).map(|label| source.line_index(source.floor(label.span.start)));
        let (first, last) = lines.fold((main, main), |(low, high), line| (low.min(line), high.max(line)));
        let mut frame = Self {
            text: String::new(),
            first_line: first + 1,
            labels: Vec::new(),
            is_cut: false,
            notes: Vec::new(),
        };
        for line in first..=last {
            frame.push_line(source, line, labels);
        }
        for far in labels.iter().filter(|label| !near(label)) {
            frame.note(source, far);
        }
        Some(frame)
    }

    /// Adds one line: whole if it is short, else a window that begins shortly before its first label.
    fn push_line(&mut self, source: &Source, index: usize, labels: &[Label]) {
        let line = source.line_range(index);
        let on_line: Vec<&Label> = labels
            .iter()
            .filter(|label| source.line_index(source.floor(label.span.start)) == index)
            .collect();
        let text = source.text[line.clone()].trim_end_matches('\r');
        let start = match on_line.iter().map(|label| source.floor(label.span.start)).min() {
            Some(at) if text.chars().count() > WIDTH => {
                back(text, at.saturating_sub(line.start).min(text.len()), WIDTH / 3)
            }
            _ => 0,
        };
        let window = Window::new(&text[start..]);
        let end = line.start + start + window.length;
        let base = self.text.len();
        self.text.push_str(&window.shown);
        for label in on_line {
            let is_first = std::ptr::eq(label, &raw const labels[0]);
            let from = source.floor(label.span.start);
            let shift = |at: usize| base + window.shift(at.saturating_sub(line.start + start));
            self.is_cut |= is_first && (start > 0 || window.is_escaped());
            if from > end {
                self.note(source, label);
                continue;
            }
            let to = source.floor(label.span.end).clamp(from, end);
            self.labels.push((is_first, Label { span: shift(from)..shift(to), text: label.text.clone() }));
        }
        self.text.push('\n');
    }

    fn note(&mut self, source: &Source, label: &Label) {
        let (line, column) = source.position(label.span.start);
        self.notes.push(format!("{} at {}:{line}:{column}", label.text, source.name()));
    }

    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let annotations = self.labels.iter().map(|(is_first, label)| {
            let kind = if *is_first { AnnotationKind::Primary } else { AnnotationKind::Context };
            let text = (!label.text.is_empty()).then(|| printable_name(&label.text));
            kind.span(label.span.clone()).label(text)
        });
        Snippet::source(self.text.as_str()).line_start(self.first_line).annotations(annotations)
    }
}

/// The part of a line that is shown, with escapes for what must not reach a terminal.
struct Window {
    shown: String,
    /// The bytes of the line that it stands for.
    length: usize,
    /// Offset in the line and in `shown` behind each escape.
    escapes: Vec<(usize, usize)>,
}

impl Window {
    fn new(text: &str) -> Self {
        let mut window = Self { shown: String::new(), length: 0, escapes: Vec::new() };
        let mut judge = Judge::default();
        let mut columns = 0;
        for c in text.chars() {
            let escape = (c != '\t' && judge.escapes(c)).then(|| c.escape_unicode());
            columns += escape.as_ref().map_or(1, ExactSizeIterator::len);
            if columns > WIDTH {
                break;
            }
            window.length += c.len_utf8();
            match escape {
                Some(escape) => {
                    window.shown.extend(escape);
                    window.escapes.push((window.length, window.shown.len()));
                }
                None => window.shown.push(c),
            }
        }
        window
    }

    /// Where an offset in the line is in what is shown.
    fn shift(&self, at: usize) -> usize {
        let at = at.min(self.length);
        let behind = self.escapes.partition_point(|(line, _)| *line <= at);
        let (line, shown) = behind.checked_sub(1).map_or((0, 0), |last| self.escapes[last]);
        shown + (at - line)
    }

    fn is_escaped(&self) -> bool {
        !self.escapes.is_empty()
    }
}

/// The offset that lies `characters` before `at`.
fn back(text: &str, at: usize, characters: usize) -> usize {
    text[..at].char_indices().rev().take(characters).last().map_or(at, |(offset, _)| offset)
}

/// Everything that is wrong, in the order of the source.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Report(pub Vec<Diagnostic>);

impl Report {
    /// True when at least one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All of them in rustc's look, with their number at the end when there are several.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut out = self.0.iter().map(|one| one.render(color)).collect::<Vec<_>>().join("\n");
        let errors = self.0.iter().filter(|one| one.severity == Severity::Error).count();
        if errors > 1 {
            let summary = Level::ERROR.primary_title(format!("{errors} problems; nothing was done"));
            let renderer = if color { Renderer::styled() } else { Renderer::plain() };
            let _ = write!(out, "\n{}\n", renderer.render(&[Group::with_title(summary)]));
        }
        out
    }

    /// The same for a machine: a list.
    #[must_use]
    pub fn json(&self) -> Value {
        Value::Array(self.0.iter().map(Diagnostic::json).collect())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

impl From<Diagnostic> for Report {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, needle: &str, label: &str) -> Diagnostic {
        let start = text.find(needle).unwrap();
        Diagnostic::error("sample", "this is wrong")
            .source(&Source::new("bottle.yaml", text))
            .label(start..start + needle.len(), label)
    }

    #[test]
    fn it_reads_like_rustc() {
        let one = at("version: 1\nname: Dev\n", "Dev", "not a DNS label").hint("write `dev`");
        insta::assert_snapshot!(one.render(false), @r"
        error[sample]: this is wrong
         --> bottle.yaml:2:7
          |
        2 | name: Dev
          |       ^^^ not a DNS label
          |
          = help: write `dev`
        ");
    }

    #[test]
    fn two_places_are_shown_in_one_frame() {
        let text = "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\ng: 7\n";
        let two = at(text, "g", "again here").label(0..1, "first here");
        insta::assert_snapshot!(two.render(false), @r"
        error[sample]: this is wrong
         --> bottle.yaml:7:1
          |
        1 | a: 1
          | - first here
        ...
        7 | g: 7
          | ^ again here
        ");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}THERE\n", "é".repeat(400_000), "b".repeat(400_000));
        let start = text.find("HERE").unwrap();
        let one = Diagnostic::error("long", "too long")
            .source(&Source::new("f", text.clone()))
            .label(start..text.len(), "this")
            .label(text.len() - 6..text.len() - 1, "and that");
        let shown = one.render(false);
        assert!(shown.lines().all(|line| line.chars().count() < WIDTH + 40), "{shown}");
        assert!(shown.contains("f:1:400001"), "{shown}");
        assert!(shown.contains("and that at f:1:800005"), "{shown}");
    }

    #[test]
    fn a_hostile_text_cannot_steer_the_terminal() {
        let one = Diagnostic::error("x", "a\u{1b}[2Jb\u{202e}c").hint("d\re");
        let shown = one.render(false);
        assert!(!shown.contains(['\u{1b}', '\r', '\u{202e}']), "{shown:?}");
        let one = Diagnostic::error("x", "a").label(0..1, "a\nb").source(&Source::new("a\nb.yaml", "x\n"));
        assert!(one.render(false).contains(r"--> a\u{a}b.yaml:1:1"), "{}", one.render(false));
    }

    #[test]
    fn a_hostile_line_is_shown_with_escapes_and_its_places_hold() {
        let text = "a: \"\u{1b}[2J\u{200b}\u{e0041}\" x: Dev\n";
        insta::assert_snapshot!(at(text, "Dev", "here").label(4..5, "there").render(false), @r#"
        error[sample]: this is wrong
         --> bottle.yaml:1:16
          |
         ::: 
        1 | a: "\u{1b}[2J\u{200b}\u{e0041}" x: Dev
          |     ------ there                   ^^^ here
        "#);
        let coloured = at(text, "Dev", "here").render(true);
        assert_eq!(crate::printable::printable_coloured(&coloured), coloured, "nothing but colours is left");
    }

    #[test]
    fn a_line_of_nothing_but_escapes_is_cut() {
        let text = format!("{}\n", "\u{202e}".repeat(5000));
        let one = Diagnostic::error("x", "y").source(&Source::new("f", text)).label(9000..9003, "here");
        let shown = one.render(false);
        assert!(shown.lines().all(|line| line.chars().count() < WIDTH + 40), "{shown}");
        assert!(shown.contains("f:1:3001"), "{shown}");
    }

    #[test]
    fn the_end_of_the_file_is_a_place() {
        let text = "a: [1,\n";
        let one = Diagnostic::error("x", "unfinished")
            .source(&Source::new("f", text))
            .label(text.len()..text.len(), "the list does not end");
        assert!(one.render(false).contains("f:2:1"), "{}", one.render(false));
    }

    #[test]
    fn json_says_the_same() {
        let one = at("version: 1\nname: Dev\n", "Dev", "here").hint("write `dev`");
        let json = one.json();
        assert_eq!(json["line"], 2);
        assert_eq!(json["column"], 7);
        assert_eq!(json["labels"][0]["end_column"], 10);
        assert_eq!(json["code"], "sample");
    }

    #[test]
    fn colour_is_a_choice() {
        let one = at("a: 1\n", "a", "x");
        assert!(one.render(true).contains('\u{1b}'));
        assert!(!one.render(false).contains('\u{1b}'));
    }

    #[test]
    fn several_problems_end_with_their_number() {
        let report = Report(vec![Diagnostic::error("a", "one"), Diagnostic::error("b", "two")]);
        assert!(report.to_string().ends_with("error: 2 problems; nothing was done\n"), "{report}");
    }
}
