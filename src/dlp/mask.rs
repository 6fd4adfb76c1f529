//! A text without the credentials in it, for logs.

use super::{Encoding, Finding, Scanner};
use std::borrow::Cow;

/// Credentials that are masked one by one; a text with more is masked as a whole.
const MOST: usize = 32;

/// How much further left a credential may begin than its finding says, in base64.
const SLACK: usize = 8;

impl Scanner {
    /// The text with every credential replaced by `***[the pattern's name]`, under every encoding that the scanner
    /// looks through. What is left holds no finding.
    ///
    /// A finding is certain before its credential ends, and under an encoding its place is approximate. So the
    /// whole word around it goes; where the credential can go on beyond a word, everything after it goes.
    #[must_use]
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        for _ in 0..MOST {
            let Some(finding) = self.text(&*masked) else { return masked };
            let mark = format!("***[{}]", finding.pattern);
            let (start, end) = self.span(&masked, &finding);
            // A name that looks like a credential itself would be found again and again.
            if masked.get(start..end).is_none_or(|there| there == mark) {
                break;
            }
            masked.to_mut().replace_range(start..end, &mark);
        }
        match self.text(&*masked) {
            None => masked,
            Some(_) => Cow::Borrowed("***[several credentials]"),
        }
    }

    fn span(&self, text: &str, finding: &Finding) -> (usize, usize) {
        // Some patterns look at what follows: the credential is complete in its first word then.
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(text.len());
        let (first, certain) = (index(finding.offset), index(finding.end));
        let word = text.as_bytes()[first..certain].iter().position(|b| is_boundary(*b));
        let complete = word.map(|length| first + length).filter(|end| {
            let alone = text.get(first..*end).and_then(|word| self.text(word));
            finding.encodings.is_empty() && alone.is_some_and(|found| found.pattern == finding.pattern)
        });
        span(text, finding, complete)
    }
}

/// What goes, in bytes of the text, at boundaries of characters. `complete`: where its word is known to end.
fn span(text: &str, finding: &Finding, complete: Option<usize>) -> (usize, usize) {
    let bytes = text.as_bytes();
    let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
    let (first, mut certain) = (index(finding.offset), index(finding.end));
    if let Some(complete) = complete {
        certain = complete;
    }
    // Offsets under an encoding count what was decoded: an escape is up to six bytes for one.
    let (mut start, mut over) = (first, false);
    for encoding in &finding.encodings {
        let each = match encoding {
            Encoding::Base64 | Encoding::Base32 | Encoding::Hex | Encoding::Compressed => {
                over = true;
                1
            }
            Encoding::Percent => 3,
            Encoding::JsonEscape => 6,
            Encoding::Html => 12,
            Encoding::QuotedPrintable | Encoding::Utf16 | Encoding::Unicode => 4,
        };
        start = certain.saturating_sub(certain.saturating_sub(start).saturating_mul(each));
    }
    if over {
        start = start.saturating_sub(SLACK);
    }
    // A pattern of the user's own says only where it ends, and a key or a phrase has many words.
    if certain.saturating_sub(first) <= 1 {
        start = 0;
    }
    over |= bytes[start..certain].iter().any(|b| is_boundary(*b));
    while start > 0 && !is_boundary(bytes[start - 1]) {
        start -= 1;
    }
    let rest = bytes[certain..].iter().position(|b| is_boundary(*b));
    let end = if over { bytes.len() } else { rest.map_or(bytes.len(), |more| certain + more) };
    (start, end)
}

/// Ends a word in a URL or in a sentence. ASCII, so that it is a character of its own.
fn is_boundary(byte: u8) -> bool {
    matches!(
        byte,
        b'/' | b'?' | b'&' | b'#' | b';' | b',' | b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'<' | b'>'
    )
}

#[cfg(test)]
mod tests {
    use super::super::{CustomPattern, Settings, Severity};
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    fn scanner() -> Scanner {
        Scanner::new(Settings::default()).unwrap()
    }

    fn token() -> String {
        format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z0A")
    }

    fn hex_escaped(text: &str) -> String {
        text.bytes().flat_map(|b| ["%".to_owned(), format!("{b:02X}")]).collect()
    }

    fn json_escaped(text: &str) -> String {
        text.bytes().flat_map(|b| ["\\u".to_owned(), format!("{b:04x}")]).collect()
    }

    #[test]
    fn a_credential_goes_and_what_is_around_it_stays() {
        let scanner = scanner();
        let name = scanner.text(token()).unwrap().pattern;
        let path = format!("/v1/{}/contents", token());
        assert_eq!(scanner.mask(&path), format!("/v1/***[{name}]/contents"));
        let twice = format!("/{0}/x/{0}?", token());
        assert_eq!(scanner.mask(&twice), format!("/***[{name}]/x/***[{name}]?"));
        let aws = format!("/AKIA{}/rest", "Z7Q2W9E4R1T8Y5U3");
        assert_eq!(scanner.mask(&aws), "/***[AWS Access ID]/rest", "the byte that ends it is none of it");
        assert!(matches!(scanner.mask("/v1/contents"), Cow::Borrowed("/v1/contents")));
    }

    #[test]
    fn under_every_encoding_nothing_of_it_is_left() {
        let scanner = scanner();
        for encoded in [
            hex_escaped(&token()),
            STANDARD.encode(token()),
            URL_SAFE_NO_PAD.encode(format!("name={}&and=more", token())),
            STANDARD.encode(STANDARD.encode(token())),
            hex_escaped(&STANDARD.encode(token())),
            json_escaped(&token()),
        ] {
            let masked = scanner.mask(&format!("/keep/first-of-two/{encoded}/last")).into_owned();
            assert!(masked.starts_with("/keep/") && masked.contains("***["), "{masked}");
            // No part that is long enough to tell anything.
            for part in encoded.as_bytes().windows(8) {
                assert!(!masked.contains(std::str::from_utf8(part).unwrap()), "{masked}: {encoded}");
            }
        }
    }

    #[test]
    fn what_goes_on_after_it_was_certain_goes_too() {
        let scanner = scanner();
        let longer = format!("/{}tail-of-it", token());
        assert!(!scanner.mask(&longer).contains("tail"), "{}", scanner.mask(&longer));
        let key = "/-----BEGIN RSA PRIVATE KEY-----%0AMIIEowIBAAKCAQEAbcd/MIIEmore";
        assert!(!scanner.mask(key).contains("MIIE"), "{}", scanner.mask(key));
    }

    #[test]
    fn a_pattern_of_the_users_own_takes_all_before_it() {
        let custom = CustomPattern {
            name: "Ticket".to_owned(),
            regex: "ticket/[0-9]{4}".to_owned(),
            severity: Severity::High,
        };
        let scanner = Scanner::new(Settings { custom: vec![custom], ..Settings::default() }).unwrap();
        assert_eq!(scanner.mask("/a/ticket/1234"), "***[Ticket]");
    }

    #[test]
    fn very_many_are_masked_as_one_and_letters_beyond_ascii_stay_whole() {
        let scanner = scanner();
        let many = format!("/{}", token()).repeat(MOST + 1);
        assert_eq!(scanner.mask(&many), "***[several credentials]");
        let name = scanner.text(token()).unwrap().pattern;
        assert_eq!(scanner.mask(&format!("é/ü{}é é", token())), format!("é/***[{name}] é"));
    }
}
