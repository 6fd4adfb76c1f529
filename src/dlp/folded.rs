//! The built-in patterns on the name of a field or a host, whose letters have lost their case and whose words are joined by `-`
//! and `_`. The user's own patterns tell no case to begin with.

use super::{
    Finding,
    judge::{goes_on, is_random, is_stand_in},
    kinds::TABLE,
    patterns::BUILTIN,
    row::When,
    set::{PatternId, Set},
    site::{Look, Site},
};

pub(super) fn find(set: &Set, muted: &[bool], text: &[u8]) -> Option<Finding> {
    let upper = text.to_ascii_uppercase();
    (0..text.len().saturating_sub(2)).find_map(|at| {
        let is_word = at.checked_sub(1).is_none_or(|before| !text[before].is_ascii_alphanumeric());
        let found = candidates(&text[at..], is_word)
            .into_iter()
            .filter(|id| !muted[usize::from(*id)])
            .find_map(|id| {
                let (kind, row) = (&TABLE[usize::from(id)], &BUILTIN.rows[usize::from(id)]);
                let begins = at.checked_sub(row.lead)?;
                if let When::Special { look, .. } = kind.when {
                    // A name has no room for what such a kind looks for around it, but a number needs none.
                    let Look::Match { length, .. } = look(&Site { text: &upper, at, complete: true }) else {
                        return None;
                    };
                    return Some((id, begins, length));
                }
                let rest = &text[begins..];
                let length = row.shape.as_ref()?.look_folded(rest)?;
                let follows = kind.exact && rest.get(length).copied().is_some_and(goes_on);
                let is_word =
                    begins.checked_sub(1).is_none_or(|before| !text[before].is_ascii_alphanumeric());
                let body = rest[..length].iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(0);
                let sure = is_word && !follows && !kind.random || is_random(&rest[body..length]);
                (sure && !is_stand_in(&rest[..length])).then_some((id, begins, length))
            });
        let (pattern, begins, length) = found?;
        let (name, severity) = set.describe(pattern);
        let (offset, end) = (begins as u64, (begins + length) as u64);
        Some(Finding { pattern: name, severity, encodings: Vec::new(), offset, end })
    })
}

/// The rows that can begin with these bytes in any case.
fn candidates(text: &[u8], is_word: bool) -> Vec<PatternId> {
    let cases = |byte: u8| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
    let mut ids = Vec::new();
    for a in cases(text[0]) {
        for b in cases(text[1]) {
            for c in cases(text[2]) {
                ids.extend_from_slice(BUILTIN.beginning_with([a, b, c]));
            }
            if is_word {
                ids.extend_from_slice(BUILTIN.words_beginning_with([a, b]));
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::super::{Scanner, Settings};

    fn found(text: &str) -> Option<String> {
        let finding = Scanner::new(Settings::default()).unwrap().name(text)?;
        Some(format!("{} {}..{}", finding.pattern, finding.offset, finding.end))
    }

    #[test]
    fn the_case_of_letters_hides_nothing() {
        let aws = format!("{}{}", "AKIA", "IOSFODNN7EXAMPLF");
        for text in [aws.clone(), aws.to_lowercase(), format!("x-{}", aws.to_lowercase())] {
            let at = text.len() - aws.len();
            assert_eq!(found(&text), Some(format!("AWS Access ID {at}..{}", text.len())), "{text}");
        }
        let github = format!("{}{}", "GHP_", "A1b2C3d4E5f6G7h8I9j0".repeat(2));
        assert_eq!(found(&github), Some("GitHub Token 0..40".to_owned()));
        assert_eq!(found(&format!("x{github}")), Some("GitHub Token 1..41".to_owned()));
        let iban = "gb33bukb20201555555555";
        assert_eq!(found(iban), Some("IBAN 0..22".to_owned()));
        assert_eq!(found(&iban.replace("33", "34")), None, "its checksum does not hold");
    }

    #[test]
    fn muted_patterns_are_not_found() {
        let scanner = Scanner::new(Settings::default()).unwrap().except(["IBAN"]).unwrap();
        assert_eq!(scanner.name("gb33bukb20201555555555"), None);
    }

    /// Those that are registered (IANA), those that clients, SDKs and clouds send, and long ones.
    #[test]
    fn usual_names_are_none() {
        let names: Vec<&str> =
            include_str!("../../tests/data/usual_field_names.txt").split_whitespace().collect();
        assert!(names.len() > 480, "{}", names.len());
        for name in names {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
