//! Long values are cut, so that no request makes a line longer than a few KiB.

use serde::Serializer;
use std::{borrow::Cow, fmt::Write as _};

/// The most bytes that one value takes in a line, its mark and JSON's escapes included.
pub const LONGEST: usize = 512;

/// What the mark may take: `…[+18446744073709551615 bytes]`.
const MARK: usize = 32;

/// Up to this length no text is too long, even if JSON escapes every byte of it.
const SURELY_SHORT: usize = LONGEST / 6;

/// A text that takes at most [`LONGEST`] bytes in JSON. What is cut off is said in a mark: `/a/b…[+1234 bytes]`.
#[must_use]
pub fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= SURELY_SHORT {
        return Cow::Borrowed(text);
    }
    let (mut size, mut kept) = (0, 0);
    for (at, c) in text.char_indices() {
        size += escaped(c);
        if size <= LONGEST - MARK {
            kept = at + c.len_utf8();
        }
        if size > LONGEST {
            let mut short = text[..kept].to_owned();
            let _ = write!(short, "…[+{} bytes]", text.len() - kept); // writing to a String can't fail
            return Cow::Owned(short);
        }
    }
    Cow::Borrowed(text)
}

/// The bytes of a character in a JSON string (RFC 8259 §7).
fn escaped(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

/// For serde: the text, cut.
pub(super) fn text<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&cut(text))
}

/// For serde: the text, cut, if there is one.
#[expect(clippy::ref_option, reason = "the signature that serde calls")]
pub(super) fn option<S: Serializer>(text: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => to.serialize_some(&cut(text)),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_text_says_how_much_is_gone() {
        let long = "/".to_owned() + &"a".repeat(60_000);
        let short = cut(&long);
        assert!(short.ends_with("…[+59521 bytes]"), "{short}");
        assert_eq!(short.strip_suffix("…[+59521 bytes]").unwrap().len(), 480);
    }

    #[test]
    fn a_text_of_exactly_the_bound_stays() {
        let text = "a".repeat(LONGEST);
        assert_eq!(cut(&text), text);
        assert_ne!(cut(&(text + "a")).len(), LONGEST + 1);
    }

    proptest! {
        #[test]
        fn what_is_left_fits_whatever_is_in_it_and_cutting_again_changes_nothing(
            text in "(?s).{0,700}", times in 1_usize..4
        ) {
            let text = text.repeat(times);
            let short = cut(&text).into_owned();
            let json = serde_json::to_string(&short).unwrap();
            prop_assert!(json.len() <= LONGEST + 2, "{}", json.len());
            prop_assert_eq!(cut(&short).into_owned(), short.clone());
            if let Some((kept, mark)) = short.rsplit_once("…[+").filter(|_| short != text) {
                let gone: usize = mark.strip_suffix(" bytes]").unwrap().parse().unwrap();
                prop_assert_eq!(kept.len() + gone, text.len());
                prop_assert!(text.starts_with(kept));
            }
        }

        #[test]
        fn control_characters_take_six_bytes_each(count in 0_usize..2000) {
            let json = serde_json::to_string(&cut(&"\u{1}".repeat(count))).unwrap();
            prop_assert!(json.len() <= LONGEST + 2);
        }
    }
}
