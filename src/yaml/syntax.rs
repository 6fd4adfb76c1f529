//! What the parser calls an error, as a sentence that a person can act on.

use super::{Limits, Problem};

/// The scanner's complaint `info` at byte `at`.
pub(super) fn problem(text: &str, at: usize, info: &str, limits: Limits) -> Problem {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let indentation = &line[..line.len() - line.trim_start().len()];
    if let Some(tab) = indentation.find('\t') {
        return Problem::new(line_start + tab..line_start + tab + 1, "a tab is in the indentation")
            .hint("indent with spaces");
    }
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    if info.contains("recursion limit") {
        return Problem::new(at..end, too_deep(limits));
    }
    let problem = Problem::new(at..end, format!("this is not YAML: {info}"));
    match advice(info, text[at..].chars().next()) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

pub(super) fn too_deep(limits: Limits) -> String {
    format!("lists and maps are nested more than {} deep here", limits.depth)
}

/// What most often is behind an error of the scanner.
fn advice(info: &str, next: Option<char>) -> Option<&'static str> {
    if info.contains("unknown anchor") || info.contains("anchor or alias") {
        return Some("text that begins with `*` or `&` goes into quotes");
    }
    if info.contains("mapping values are not allowed") {
        return Some("text that holds `: ` goes into quotes; a key must stand under the key before it");
    }
    if info.contains("quoted scalar") {
        return Some("close the quote");
    }
    if info.contains("did not find expected key") || info.contains("invalid indentation") {
        return Some("is it indented like the keys that it stands with?");
    }
    match next {
        Some(':') => Some("text that holds `: ` goes into quotes; a list or map before it must be closed"),
        Some('@' | '`' | '%') => Some("text that begins with this character goes into quotes"),
        _ if info.contains("flow") || info.contains("']'") || info.contains("'}'") => {
            Some("close the bracket before it, and put commas between the items")
        }
        _ => None,
    }
}
