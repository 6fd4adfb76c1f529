//! Whatever has a canonical form has one: it is read as itself again, and no decoding of it leaves its place.
//! The first byte chooses the rules.
#![no_main]

use bottle::policy::{CanonicalPath, PathPattern, PathRules, Target};
use libfuzzer_sys::fuzz_target;

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap());
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn has_dot_segment(path: &[u8], single: bool) -> bool {
    path.split(|b| matches!(b, b'/' | b'\\')).any(|s| s == b".." || (single && s == b"."))
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, raw)) = data.split_first() else { return };
    let rules = PathRules { allowlisted: choice & 1 != 0, encoded_slash: choice & 2 != 0 };
    if let Ok(target) = Target::parse(raw, rules) {
        assert_eq!(Target::parse(target.to_string().as_bytes(), rules).as_ref(), Ok(&target));
        if !rules.allowlisted {
            assert_eq!(target.to_string().as_bytes(), raw);
        }
    }
    let Ok(path) = CanonicalPath::parse(raw, rules) else { return };
    assert_eq!(CanonicalPath::parse(path.as_str().as_bytes(), rules).as_ref(), Ok(&path));
    let mut reading = path.as_str().as_bytes().to_vec();
    for _ in 0..8 {
        assert!(!has_dot_segment(&reading, rules.allowlisted));
        reading = decode(&reading);
    }
    if rules.allowlisted
        && let Ok(pattern) = PathPattern::parse(path.as_str(), rules.encoded_slash)
    {
        assert!(pattern.matches(&path));
    }
});
