//! What can only be a secret, and asterisks in its place: nothing that is said about a file repeats one.

use regex::Regex;
use std::{ops::Range, sync::LazyLock};

/// Tokens with a prefix of their own.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|sk-[A-Za-z0-9_-]{30,}",
        r"|glpat-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{20,}|AKIA[A-Z0-9]{16})",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    ))
});

/// A password inside a URL.
static PASSWORDS: LazyLock<Regex> = LazyLock::new(|| compiled(r"://[^/\s@:]*:([^/\s@]+)@"));

#[expect(clippy::expect_used, reason = "the patterns are literals, and the tests below compile them")]
fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file is not a regular expression")
}

/// The places of tokens and private keys.
#[must_use]
pub fn find(text: &str) -> Vec<Range<usize>> {
    TOKENS.find_iter(text).filter(|found| is_random(found.as_str())).map(|found| found.range()).collect()
}

/// A name of many words begins with `sk-` now and then; it has no digits and capitals.
fn is_random(token: &str) -> bool {
    let has = |is: fn(&char) -> bool| token.chars().any(|c| is(&c));
    !token.starts_with("sk-") || (has(char::is_ascii_digit) && has(char::is_ascii_uppercase))
}

/// The text with asterisks where tokens and passwords of URLs stand; every other byte keeps its place.
#[must_use]
pub fn masked(text: &str) -> String {
    let passwords = PASSWORDS.captures_iter(text).filter_map(|found| found.get(1));
    starred(text, find(text).into_iter().chain(passwords.map(|found| found.range())))
}

/// The text with an asterisk for each byte of these places, but for line breaks.
#[must_use]
pub fn starred(text: &str, places: impl IntoIterator<Item = Range<usize>>) -> String {
    let mut out = text.to_owned();
    for place in places {
        let stars: String =
            text[place.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
        out.replace_range(place, &stars);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_place() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let text = format!("é: {token} # https://user:pässword@x.test/\n");
        let shown = masked(&text);
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains(&token) && !shown.contains("pässword"), "{shown}");
        assert!(shown.starts_with("é: ****") && shown.contains("https://user:*"), "{shown}");
        assert_eq!(find(&text).len(), 1);
        assert_eq!(masked(&shown), shown);
    }

    #[test]
    fn names_and_placeholders_are_none() {
        for text in [
            "sk-ant-oat01-.placeholder.set.by.bottle",
            "ghp_.placeholder",
            "sk-a-name-of-many-words-in-lower-case-1",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        assert_eq!(starred("a: |\n  é\n  c\nd", std::iter::once(3..11)), "a: *\n****\n* c\nd");
    }
}
