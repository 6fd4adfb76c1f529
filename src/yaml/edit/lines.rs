//! The lines of a text: what stands before and behind a place on its line, and which lines are comments.

use super::Refused;

/// Where the line of a place begins.
pub(super) fn start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the line of a place ends: its line feed, or the end of the text.
pub(super) fn end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}

/// Where the next line begins, or the end of the text.
pub(super) fn next(text: &str, at: usize) -> usize {
    (end(text, at) + 1).min(text.len())
}

/// The bytes before a place on its line.
pub(super) fn column(text: &str, at: usize) -> usize {
    at - start(text, at)
}

/// Whether nothing but spaces stands before a place on its line.
pub(super) fn begins(text: &str, at: usize) -> bool {
    text[start(text, at)..at].bytes().all(|byte| byte == b' ')
}

pub(super) fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// The spaces before the comment of a line that holds nothing else.
pub(super) fn comment_indentation(line: &str) -> Option<usize> {
    let rest = line.trim_start_matches(' ');
    rest.starts_with('#').then(|| line.len() - rest.len())
}

/// The line that begins at a place, without its line feed.
pub(super) fn line(text: &str, at: usize) -> &str {
    &text[at..end(text, at)]
}

/// The comment behind a value that ends at a place. Anything else there is refused.
pub(super) fn comment_behind(text: &str, at: usize) -> Result<Option<&str>, Refused> {
    let rest = &text[at..end(text, at)];
    let comment = rest.trim();
    if comment.is_empty() {
        return Ok(None);
    }
    if comment.starts_with('#') && rest.starts_with([' ', '\t']) {
        return Ok(Some(comment));
    }
    Err("something else stands on the same line".to_owned())
}

/// Where the lines of an entry at `column` end whose value ends at `at`: behind its comment, and behind the comments
/// below it that are indented deeper, since they stand inside of it.
pub(super) fn entry_end(text: &str, at: usize, column: usize) -> Result<usize, Refused> {
    comment_behind(text, at)?;
    let mut done = next(text, at);
    let mut look = done;
    while look < text.len() {
        let line = line(text, look);
        look = next(text, look);
        match comment_indentation(line) {
            Some(indentation) if indentation > column => done = look,
            None if is_blank(line) => {}
            _ => break,
        }
    }
    Ok(done)
}

/// Where the comments directly above the line that begins at `at` begin, of those with that indentation.
pub(super) fn comments_above(text: &str, at: usize, column: usize) -> usize {
    let mut first = at;
    while first > 0 {
        let above = start(text, first - 1);
        if comment_indentation(line(text, above)) != Some(column) {
            break;
        }
        first = above;
    }
    first
}

/// Whether the line before the one that begins at `at` is blank.
pub(super) fn blank_above(text: &str, at: usize) -> bool {
    at > 0 && is_blank(line(text, start(text, at - 1)))
}
