//! Secrets that stand in a manifest by mistake: found, reported, and never shown.
//!
//! A manifest names secrets and holds none. The forms here are those that can't be anything else; each is an
//! error, in comments too, and every frame of the report shows asterisks in its place.

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

/// A password inside a URL: masked, and an error only where a URL is one.
static PASSWORDS: LazyLock<Regex> = LazyLock::new(|| compiled(r"://[^/\s@:]*:([^/\s@]+)@"));

/// What stands where a name belongs, and is too long for one.
static LONG_REF: LazyLock<Regex> =
    LazyLock::new(|| compiled(r#"token_ref["']?\s*:\s*["']?([^\s"',}]{20,})"#));

#[expect(clippy::expect_used, reason = "the patterns are literals, and the tests below compile them")]
fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file is not a regular expression")
}

/// The places of secrets.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    TOKENS.find_iter(text).filter(|found| is_random(found.as_str())).map(|found| found.range()).collect()
}

/// A name of many words begins with `sk-` now and then; it has no digits and capitals.
fn is_random(token: &str) -> bool {
    let has = |is: fn(&char) -> bool| token.chars().any(|c| is(&c));
    !token.starts_with("sk-") || (has(char::is_ascii_digit) && has(char::is_ascii_uppercase))
}

/// The text with asterisks where secrets stand; every other byte keeps its place.
pub(super) fn masked(text: &str) -> String {
    let mut out = text.to_owned();
    let long = LONG_REF.captures_iter(text).filter_map(|found| found.get(1));
    let odd = long.filter(|found| !super::variable::is_variable_name(found.as_str()));
    let passwords = PASSWORDS.captures_iter(text).filter_map(|found| found.get(1));
    for place in find(text).into_iter().chain(odd.chain(passwords).map(|found| found.range())) {
        out.replace_range(place.clone(), &"*".repeat(place.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_place() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let text = format!("é: {token} # https://user:pässword@x.test/ token_ref: k/{}\n", "z".repeat(30));
        let shown = masked(&text);
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains(&token) && !shown.contains("pässword") && !shown.contains("zzz"), "{shown}");
        assert!(shown.starts_with("é: ****") && shown.contains("https://user:*"), "{shown}");
        assert_eq!(find(&text).len(), 1);
    }

    #[test]
    fn names_and_placeholders_are_none() {
        for text in [
            "token_ref: A_VERY_LONG_NAME_OF_A_VARIABLE",
            "sk-ant-oat01-.placeholder.set.by.bottle",
            "ghp_.placeholder",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
