//! Where credentials stand in a text that a person wrote, to be shown with asterisks in their places.

use super::{Scanner, Settings, kinds, row::When};
use std::{collections::BTreeSet, ops::Range, sync::LazyLock};

/// Bytes that are searched at once: what lies behind a finding is searched again.
const PIECE: usize = 4096;
/// With more findings than this, all that follows is one place.
const MOST: usize = 1000;

/// Knows what has a shape of its own, and not what is a credential by the words around it.
static SHAPED: LazyLock<Option<Scanner>> = LazyLock::new(|| {
    let is_shape = |when: &When| matches!(when, When::Shape(_));
    let names = |shaped: bool| -> BTreeSet<&str> {
        let rows = kinds::TABLE.iter().filter(|row| !row.core && is_shape(&row.when) == shaped);
        rows.map(|row| row.name).collect()
    };
    let others = &names(false) - &names(true);
    Scanner::new(Settings::default()).and_then(|scanner| scanner.except(others)).ok()
});

/// The places of credentials that have a shape of their own, in their order; where they are encoded they are not looked for.
#[must_use]
pub fn places(text: &str) -> Vec<Range<usize>> {
    let Some(scanner) = SHAPED.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((place, next)) = first(scanner, &text.as_bytes()[from..]) {
        if found.len() == MOST {
            found.push(from..text.len());
            break;
        }
        found.extend(place.map(|place| from + place.start..from + place.end));
        from += next;
    }
    found
}

/// The first finding: its place, if it stands there in clear, and where the text goes on behind it.
fn first(scanner: &Scanner, text: &[u8]) -> Option<(Option<Range<usize>>, usize)> {
    let mut stream = scanner.stream();
    let mut pieces = text.chunks(PIECE);
    let finding = pieces.find_map(|piece| stream.push(piece).err()).or_else(|| stream.finish().err())?;
    let index = |at: u64| usize::try_from(at).unwrap_or(text.len()).min(text.len());
    let (start, end) = (index(finding.offset), index(finding.end));
    let letters = |text: &[u8], more: &[u8]| {
        text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || more.contains(byte)).count()
    };
    // A kind says where a credential is certain, which may be before its end or behind it.
    let certain = text[start..end].iter().take_while(|byte| byte.is_ascii_graphic()).count();
    let whole = start + letters(&text[start..], b"-_.").max(certain);
    let place = (finding.encodings.is_empty() && whole > start).then_some(start..whole);
    Some((place, whole.max(end).max(start + 1).min(text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credential_is_one_place_and_nothing_else_is() {
        let key = format!("xai-{}", "aB3dE5gH".repeat(10));
        let other = format!("gsk_{}", "Zy9xW7vU5tS3".repeat(4));
        let text = format!("é: {key}, \"{other}\"\n# token: {}\n{key}é", "0123456789abcdef".repeat(4));
        let shown: Vec<&str> = places(&text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(shown, [&*key, &*other, &*key]);
        assert!(places("token_ref: A_VERY_LONG_NAME_OF_A_VARIABLE_OF_MINE").is_empty());
    }

    #[test]
    fn very_many_are_covered_to_the_end() {
        let text = format!("xai-{} ", "aB3dE5gH".repeat(10)).repeat(MOST + 10);
        let places = places(&text);
        assert_eq!(places.len(), MOST + 1);
        assert_eq!(places.last().map(|place| place.end), Some(text.len()));
    }
}
