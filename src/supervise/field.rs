//! A text of the agent's, before anything else is done with it.

use crate::printable::is_unprintable;

/// How long the text of a field may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    pub(super) least: usize,
    pub(super) most: usize,
}

pub(super) const HOST: Length = Length { least: 1, most: 253 };
pub(super) const PATH: Length = Length { least: 1, most: 1024 };
pub(super) const WORD: Length = Length { least: 1, most: 128 };
pub(super) const URL: Length = Length { least: 1, most: 2048 };
pub(super) const JUSTIFICATION: Length = Length { least: 1, most: 500 };

/// Entries of a list.
pub(super) const ENTRIES: usize = 20;

/// Refuses a text that is too short or long, that has a character which steers a terminal, reorders what is read or can't
/// be seen, or that is padded: room on a screen that shows nothing hides what follows. The sentence repeats nothing of it.
pub(super) fn check(name: &str, text: &str, length: Length) -> Result<(), String> {
    let Length { least, most } = length;
    if text.trim().len() < least {
        return Err(format!("{name} is empty"));
    }
    if text.len() > most {
        return Err(format!("{name} has {} bytes, and may have {most}: say it shorter", text.len()));
    }
    if let Some(c) = text.chars().find(|c| is_unprintable(*c) || (is_blank(*c) && *c != ' ')) {
        return Err(format!(
            "{name} holds the character U+{:04X}, which steers a terminal or can't be seen: write it without, on one line",
            u32::from(c)
        ));
    }
    if text.starts_with(' ') || text.ends_with(' ') || text.contains("  ") {
        return Err(format!("{name} has a space at an end, or two in a row: write it without"));
    }
    Ok(())
}

/// Shows nothing and takes room. The empty pattern of Braille is a symbol to Unicode.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// The same of every entry of a list.
pub(super) fn check_all(name: &str, list: &[String], length: Length) -> Result<(), String> {
    if list.is_empty() || list.len() > ENTRIES {
        return Err(format!("{name} has {} entries, and may have 1 to {ENTRIES}", list.len()));
    }
    list.iter().enumerate().try_for_each(|(at, text)| check(&format!("{name}[{at}]"), text, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_hides_or_is_too_long_is_refused_by_its_name() {
        for (text, said) in [
            ("", "x is empty"),
            (" \u{20}", "x is empty"),
            ("a\u{1b}[2J", "x holds the character U+001B, which steers"),
            ("a\u{9b}31m", "x holds the character U+009B"),
            ("a\nb", "x holds the character U+000A"),
            ("a\u{202e}b", "x holds the character U+202E"),
            ("a\u{200b}b", "x holds the character U+200B"),
            ("\u{e0041}", "x holds the character U+E0041"),
            ("a\u{a0}b", "x holds the character U+00A0"),
            ("a\u{3000}b", "x holds the character U+3000"),
            ("a\u{2800}b", "x holds the character U+2800"),
            ("a  b", "x has a space at an end, or two in a row"),
            (" a", "x has a space at an end"),
            ("a ", "x has a space at an end"),
        ] {
            let error = check("x", text, WORD).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
        let long = check("x", &"é".repeat(65), WORD).unwrap_err();
        assert_eq!(long, "x has 130 bytes, and may have 128: say it shorter");
        check("x", "Größe <b>1</b> für 東京", WORD).unwrap();
        let many = vec!["a".to_owned(); ENTRIES + 1];
        assert_eq!(check_all("x", &many, WORD).unwrap_err(), "x has 21 entries, and may have 1 to 20");
        assert_eq!(check_all("x", &[], WORD).unwrap_err(), "x has 0 entries, and may have 1 to 20");
        let bad = ["a".to_owned(), "\u{7}".to_owned()];
        assert!(check_all("x", &bad, WORD).unwrap_err().starts_with("x[1] holds"));
    }
}
