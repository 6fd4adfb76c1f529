//! The built-in patterns on the name of a field or a host, whose letters have lost their case and whose words are joined by `-`
//! and `_`. The user's own patterns tell no case to begin with.

use super::{
    Finding,
    patterns::{BUILTIN, TABLE},
    set::{PatternId, Set},
    validate::Validator,
};

pub(super) fn find(set: &Set, muted: &[bool], text: &[u8]) -> Option<Finding> {
    let starts = (0..text.len().saturating_sub(1)).filter(|at| {
        text[*at].is_ascii_alphanumeric() && (*at == 0 || !text[at - 1].is_ascii_alphanumeric())
    });
    starts.into_iter().find_map(|at| {
        let (before, rest) = text.split_at(at);
        let candidates = candidates(rest[0], rest[1]).into_iter().filter(|id| !muted[usize::from(*id)]);
        let (pattern, length) = candidates.into_iter().find_map(|id| {
            let pattern = &TABLE[usize::from(id)];
            let length = BUILTIN.automata[usize::from(id)].look_folded(rest)?;
            (pattern.left.holds(before, true) && is_valid(pattern.validator, &rest[..length]))
                .then_some((id, length))
        })?;
        let (name, severity) = set.describe(pattern);
        let (offset, end) = (at as u64, (at + length) as u64);
        Some(Finding { pattern: name, severity, encodings: Vec::new(), offset, end })
    })
}

/// The patterns that can begin with these two bytes in any case.
fn candidates(first: u8, second: u8) -> Vec<PatternId> {
    let cases = |byte: u8| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
    let pairs = cases(first).map(|first| cases(second).map(|second| (first, second)));
    let mut ids: Vec<_> =
        pairs.iter().flatten().flat_map(|(a, b)| BUILTIN.beginning_with(*a, *b)).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// A check that needs the case of the letters can't be made.
fn is_valid(validator: Validator, matched: &[u8]) -> bool {
    match validator {
        Validator::Wif | Validator::MixedValue => true,
        validator => validator.holds(&matched.to_ascii_uppercase()),
    }
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
        assert_eq!(found(&format!("x{github}")), None, "no boundary before it");
        let iban = "gb29nwbk60161331926819";
        assert_eq!(found(iban), Some("IBAN 0..22".to_owned()));
        assert_eq!(found(&iban.replace("29", "28")), None, "its checksum does not hold");
    }

    #[test]
    fn muted_patterns_are_not_found() {
        let scanner = Scanner::new(Settings::default()).unwrap().except(["IBAN"]).unwrap();
        assert_eq!(scanner.name("gb29nwbk60161331926819"), None);
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
