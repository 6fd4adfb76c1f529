//! Texts that a project chose, in places where they must end nothing.

use crate::masking::masked;
use crate::printable::printable_name;

/// As much of a text as is shown.
const MOST: usize = 100;

/// One line of a comment, in YAML and in a Dockerfile: no line break, no control character, no secret, bounded.
pub(super) fn comment(text: &str) -> String {
    bounded(text, MOST)
}

/// A sentence of ours with such a text in it.
pub(super) fn line(text: &str) -> String {
    bounded(text, 3 * MOST)
}

fn bounded(text: &str, most: usize) -> String {
    let short: String = text.chars().take(most).collect();
    let line = masked(&printable_name(&short));
    // A reader of YAML ends a line at these, too, and a Dockerfile goes on after a backslash.
    let line: String = line.chars().map(|c| if c.is_control() || c == '\\' { '?' } else { c }).collect();
    if short.len() < text.len() { format!("{line}…") } else { line }
}

/// A version as tags of images and arguments have it: nothing that a shell or a Dockerfile reads.
pub(super) fn version(text: &str) -> Option<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let fine =
        text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits);
    fine.then_some(text)
}

/// The first line with something on it, without a comment.
pub(super) fn first_line(text: &str) -> Option<&str> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).find(|line| !line.is_empty())
}

/// The numbers of a version, from the first digit on: `>=3.10,<4` is 3 and 10.
pub(super) fn numbers(text: &str) -> Vec<u32> {
    let from = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let end = text[from..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text.len(), |at| from + at);
    text[from..end].split('.').map_while(|number| number.parse().ok()).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stays_one_line() {
        assert_eq!(comment("a\n- host: evil.test"), "a?u{a}- host: evil.test");
        assert_eq!(comment("a\u{85}b\u{2028}c"), "a?u{85}b?u{2028}c");
        assert_eq!(comment(&"x".repeat(200)).chars().count(), 101);
        let token = format!("x-ghp_{}.txt", "a1B2".repeat(9));
        assert!(!comment(&token).contains("a1B2"), "{}", comment(&token));
    }

    #[test]
    fn versions_are_read_as_numbers_or_not_at_all() {
        assert_eq!(numbers(">=3.10,<4"), [3, 10]);
        assert_eq!(numbers("v20.11.1"), [20, 11, 1]);
        assert_eq!(numbers("lts/*"), [] as [u32; 0]);
        assert_eq!(numbers("99999999999"), [] as [u32; 0]);
        assert_eq!(version("1.2-rc1"), Some("1.2-rc1"));
        for bad in ["", "1 2", "1;id", "$(id)", "-x", "1\n2"] {
            assert_eq!(version(bad), None, "{bad}");
        }
        assert_eq!(first_line("# c\n\n 20 # why\n"), Some("20"));
    }
}
