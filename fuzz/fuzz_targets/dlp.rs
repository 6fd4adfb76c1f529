//! A text is judged alike however it is split, and nothing of a finding goes on before it is certain.
//! The first byte chooses the split.
#![no_main]

use bottle::dlp::{Encoding, Finding, Scanner, SeedPhrases, Settings};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let seed_phrases = Some(SeedPhrases { min_words: 12, verify_checksum: true });
    Scanner::new(Settings { seed_phrases, ..Settings::default() }).unwrap()
});

/// How much went on, and what was found.
fn scan(text: &[u8], piece: usize) -> (usize, Option<Finding>) {
    let (mut stream, mut passed) = (SCANNER.stream(), 0);
    for piece in text.chunks(piece) {
        match stream.push(piece) {
            Ok(more) => passed += more,
            Err(finding) => return (passed, Some(finding)),
        }
    }
    match stream.finish() {
        Ok(more) => (passed + more, None),
        Err(finding) => (passed, Some(finding)),
    }
}

/// What must not depend on the split. Under two encodings a place is exact to a piece.
fn place(finding: &Finding) -> (&str, &[Encoding], Option<(u64, u64)>) {
    let exact = finding.encodings.len() < 2;
    (&finding.pattern, &finding.encodings, exact.then_some((finding.offset, finding.end)))
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let (passed, found) = scan(text, usize::from(*choice) + 1);
    assert_eq!(found.as_ref().map(place), SCANNER.text(text).as_ref().map(place));
    match found {
        None => assert_eq!(passed, text.len()),
        Some(finding) => {
            assert!(passed as u64 <= finding.end && finding.end <= text.len() as u64, "{passed} {finding:?}");
        }
    }
    let _ = SCANNER.name(text);
    let _ = SCANNER.mask(&String::from_utf8_lossy(text));
});
