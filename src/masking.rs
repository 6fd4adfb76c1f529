//! What can only be a secret, and asterisks in its place: nothing that is said about a file repeats one.

use crate::dlp;
use regex::Regex;
use std::{ops::Range, sync::LazyLock};

/// Tokens with a prefix of their own, also where the scanner would not be sure: a name that looks like one has no place in a manifest.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|sk-[A-Za-z0-9_-]{30,}",
        r"|glpat-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{20,}|AKIA[A-Z0-9]{16}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,}",
        r"|AIza[A-Za-z0-9_-]{35}|do[opr]_v1_[a-f0-9]{64}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,})",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    ))
});

/// A password inside a URL.
static PASSWORDS: LazyLock<Regex> = LazyLock::new(|| compiled(r"://[^/\s@:]*:([^/\s@]+)@"));

/// Keys that documentation prints.
const SAMPLES: [&str; 2] = ["AKIAIOSFODNN7EXAMPLE", "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"];

#[expect(clippy::expect_used, reason = "the patterns are literals, and the tests below compile them")]
fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file is not a regular expression")
}

/// The places of tokens and private keys, in their order; none lies in another.
#[must_use]
pub fn find(text: &str) -> Vec<Range<usize>> {
    let is_secret = |token: &str| is_random(token) && !SAMPLES.iter().any(|sample| token.ends_with(sample));
    let tokens = TOKENS.find_iter(text).filter(|found| is_secret(found.as_str())).map(|found| found.range());
    let mut places: Vec<Range<usize>> = tokens.chain(dlp::places(text)).collect();
    places.sort_by_key(|place| (place.start, place.end));
    places.dedup_by(|next, before| {
        let touches = next.start < before.end;
        before.end = if touches { before.end.max(next.end) } else { before.end };
        touches
    });
    places
}

/// Whether a URL in the text has a password for another place than the agent's own loopback.
#[must_use]
pub fn has_password(text: &str) -> bool {
    let hosts = PASSWORDS.find_iter(text).map(|found| &text[found.end()..]);
    let is_own = |rest: &str| {
        let host = rest.split(['/', '?', '#', ',', ' ']).next().unwrap_or_default();
        let port =
            |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| !port.contains(':'));
        ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| host.strip_prefix(own).is_some_and(port))
    };
    hosts.into_iter().any(|rest| !is_own(rest))
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
    fn what_the_scanner_knows_is_found_once() {
        let text = format!("a: xai-{} ghp_{}", "aB3dE5gH".repeat(10), "a1B2".repeat(9));
        assert_eq!(find(&text), [3..87, 88..128]);
    }

    /// Made up here, so that no scanner takes this file for a leak.
    #[test]
    fn every_form_is_found_and_a_documented_sample_is_none() {
        let of = |prefix: &str, count: usize| format!("{prefix}{}", "a1".repeat(count / 2));
        for token in [
            of("npm_", 36),
            of("hf_", 34),
            of("AIza", 34) + "x",
            of("dop_v1_", 64),
            format!("{}.{}.{}", of("eyJ", 20), of("eyJ", 20), of("", 40)),
        ] {
            assert_eq!(find(&format!("a: {token}\n")).first(), Some(&(3..3 + token.len())), "{token}");
        }
        assert_eq!(find("# such as AKIAIOSFODNN7EXAMPLE").len(), 0);
    }

    #[test]
    fn a_password_in_a_url_is_one_but_on_loopback() {
        for url in [
            "postgres://app:pw@db.test/x",
            "https://me:pw@a.test",
            "redis://:pw@localhost.a.test",
            "x://a:b@",
        ] {
            assert!(has_password(url), "{url}");
        }
        for url in
            ["postgres://app:pw@localhost:5432/x", "redis://:pw@127.0.0.1", "https://a.test:8443/@x", "x"]
        {
            assert!(!has_password(url), "{url}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        assert_eq!(starred("a: |\n  é\n  c\nd", std::iter::once(3..11)), "a: *\n****\n* c\nd");
    }
}
