//! Every way in which some server may read a percent-encoded text.
//!
//! A gate that decodes once and an upstream that decodes twice see two different requests. What must not be there
//! (a dot segment, a git push) is therefore looked for in the text as it came, and decoded once, twice and so on.

use std::borrow::Cow;

/// How often a text may be encoded over. Nothing that works needs more than two.
pub(super) const MAX_DEPTH: usize = 4;

/// The text still changed after [`MAX_DEPTH`] decodings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

/// Asks `found` of the text and of each of its decodings, and stops at the first yes.
pub(super) fn any_decoding(text: &[u8], mut found: impl FnMut(&[u8]) -> bool) -> Result<bool, TooDeep> {
    let mut reading = Cow::Borrowed(text);
    for _ in 0..=MAX_DEPTH {
        if found(&reading) {
            return Ok(true);
        }
        match decode_once(&reading) {
            Some(next) => reading = Cow::Owned(next),
            None => return Ok(false),
        }
    }
    Err(TooDeep)
}

/// Percent-decodes, leaving what is no escape as it stands (as git's `url_decode` does); `None` when nothing changed.
pub(super) fn decode_once(text: &[u8]) -> Option<Vec<u8>> {
    let first = text.iter().position(|b| *b == b'%')?;
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend_from_slice(&text[..first]);
    let (mut rest, mut changed) = (&text[first..], false);
    while let [byte, tail @ ..] = rest {
        let value = escape(rest);
        changed |= value.is_some();
        decoded.push(value.unwrap_or(*byte));
        rest = if value.is_some() { &rest[3..] } else { tail };
    }
    changed.then_some(decoded)
}

/// The byte that `%XX` at the start of the text stands for.
pub(super) fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    Some(hex(*high)? << 4 | hex(*low)?)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Segments of a decoded path, with everything that some server takes for a separator or a dot read as one:
/// backslashes, and the full-width and small forms that compatibility normalisation (NFKC) turns into ASCII. Blanks are
/// spaces, and characters that nobody sees are not there, as for NFKC with case folding (UAX #31, `NFKC_CF`).
pub(super) fn folded(decoded: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(decoded);
    if text.is_ascii() && !text.contains('\\') {
        return text;
    }
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match narrow(c) {
            '\\' | '\u{FE68}' => folded.push('/'),
            '\u{2024}' | '\u{FE52}' => folded.push('.'),
            '\u{2025}' => folded.push_str(".."),
            c if is_ignorable(c) => {}
            c if c.is_whitespace() => folded.push(' '),
            c => folded.push(c),
        }
    }
    Cow::Owned(folded)
}

/// The ASCII character that a full-width one is a form of.
fn narrow(c: char) -> char {
    match u32::from(c) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(c),
        _ => c,
    }
}

/// `Default_Ignorable_Code_Point`, without what is not assigned (`DerivedCoreProperties.txt`).
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// A decoded segment without its matrix parameters (`..;x=1`), without what a reader cuts off who takes the decoded path
/// for a target again (`..?`, `..#`), and without the spaces that some file systems drop.
pub(super) fn bare_segment(segment: &str) -> &str {
    segment.split([';', '?', '#']).next().unwrap_or_default().trim_end_matches(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_leaves_what_is_no_escape() {
        assert_eq!(decode_once(b"/a%2e%zz%4").as_deref(), Some(&b"/a.%zz%4"[..]));
        assert_eq!(decode_once(b"/a%zz"), None);
        assert_eq!(decode_once(b"/a"), None);
        assert_eq!(decode_once(b"%"), None);
    }

    #[test]
    fn every_depth_is_seen_up_to_the_limit() {
        let dots = |reading: &[u8]| reading == b"..";
        assert_eq!(any_decoding(b"%252e%2e", dots), Ok(true));
        assert_eq!(any_decoding(b"%25252e.", dots), Ok(true));
        assert_eq!(any_decoding(b"%2e", dots), Ok(false));
        assert_eq!(any_decoding(b"%2525252525252e", dots), Err(TooDeep));
    }

    #[test]
    fn lookalikes_of_dot_and_slash_are_read_as_such() {
        assert_eq!(folded("a\\b\u{FF0F}\u{2025}\u{FF0E}".as_bytes()), "a/b/...");
        assert_eq!(bare_segment("..;x=1"), "..");
        assert_eq!(bare_segment("..  "), "..");
    }
}
