//! BIP-39 seed phrases: words of the English list that follow one another in one text, with a valid checksum.
//!
//! Only whitespace (or its JSON escape) may stand between the words: keys and values of a JSON document, which
//! are such words often enough, are no phrase.

use super::SeedPhrases;
use bip39::Language;
use sha2::{Digest as _, Sha256};
use std::{collections::VecDeque, sync::LazyLock};

/// Words of the longest phrase (BIP-39).
const MOST_WORDS: usize = 24;
/// Bytes of the longest word of the English list.
const LONGEST_WORD: usize = 8;

static WORDS: LazyLock<std::collections::HashMap<&'static [u8], u16>> = LazyLock::new(|| {
    (0_u16..).zip(Language::English.word_list().iter()).map(|(i, word)| (word.as_bytes(), i)).collect()
});

/// Where a text stands between two words.
#[derive(Clone, Debug, Default)]
pub(super) struct Seed {
    words: VecDeque<(u16, u64)>,
    word: Vec<u8>,
    word_at: u64,
    escaped: bool,
}

impl Seed {
    /// Reads `bytes`, which stand at `at`; calls `found(start, certain)` for each phrase.
    pub(super) fn read(&mut self, rule: SeedPhrases, bytes: &[u8], at: u64, mut found: impl FnMut(u64, u64)) {
        for (offset, byte) in (at..).zip(bytes) {
            let escape = std::mem::take(&mut self.escaped);
            match byte {
                b'n' | b'r' | b't' if escape => {}
                b'a'..=b'z' | b'A'..=b'Z' => {
                    if self.word.is_empty() {
                        self.word_at = offset;
                    }
                    if self.word.len() <= LONGEST_WORD {
                        self.word.push(byte.to_ascii_lowercase());
                    }
                }
                _ => {
                    self.end_word(rule, offset + 1, &mut found);
                    match byte {
                        b' ' | b'\t' | b'\n' | b'\r' => {}
                        b'\\' => self.escaped = true,
                        _ => self.words.clear(),
                    }
                }
            }
        }
    }

    /// The text is over.
    pub(super) fn end(&mut self, rule: SeedPhrases, at: u64, mut found: impl FnMut(u64, u64)) {
        self.end_word(rule, at, &mut found);
        self.words.clear();
    }

    /// From where a phrase may be under way.
    pub(super) fn hold(&self) -> Option<u64> {
        self.words.front().map(|(_, at)| *at).or((!self.word.is_empty()).then_some(self.word_at))
    }

    fn end_word(&mut self, rule: SeedPhrases, certain: u64, found: &mut impl FnMut(u64, u64)) {
        if self.word.is_empty() {
            return;
        }
        let known = WORDS.get(self.word.as_slice()).copied();
        self.word.clear();
        let Some(index) = known else {
            self.words.clear();
            return;
        };
        if self.words.len() == MOST_WORDS {
            self.words.pop_front();
        }
        self.words.push_back((index, self.word_at));
        for length in [12, 15, 18, 21, 24] {
            if length < rule.min_words || length > self.words.len() {
                continue;
            }
            let phrase = || self.words.iter().skip(self.words.len() - length);
            if !rule.verify_checksum || checksum_holds(phrase().map(|(word, _)| *word)) {
                let start = phrase().next().map_or(certain, |(_, at)| *at);
                found(start, certain);
            }
        }
    }
}

/// BIP-39: 11 bits a word; the last third of a bit per word is the hash of what stands before.
fn checksum_holds(words: impl Iterator<Item = u16>) -> bool {
    let mut bits: Vec<bool> = Vec::with_capacity(MOST_WORDS * 11);
    for word in words {
        bits.extend((0..11).rev().map(|bit| word >> bit & 1 == 1));
    }
    let checksum = bits.len() / 33;
    let (entropy, sum) = bits.split_at(bits.len() - checksum);
    let bytes: Vec<u8> =
        entropy.chunks(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | u8::from(*bit))).collect();
    let hash = Sha256::digest(&bytes);
    sum.iter().enumerate().all(|(at, bit)| (hash[0] >> (7 - at) & 1 == 1) == *bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrases(text: &str) -> usize {
        let rule = SeedPhrases { min_words: 12, verify_checksum: true };
        let (mut seed, mut count) = (Seed::default(), 0);
        seed.read(rule, text.as_bytes(), 0, |_, _| count += 1);
        seed.end(rule, text.len() as u64, |_, _| count += 1);
        count
    }

    #[test]
    fn a_phrase_with_its_checksum_is_one() {
        let phrase = format!("{} about", ["abandon"; 11].join(" "));
        assert_eq!(phrases(&phrase), 1);
        assert_eq!(phrases(&phrase.replace(' ', "\\n")), 1);
        assert_eq!(phrases(&phrase.replace("about", "above")), 0);
        assert_eq!(phrases(&phrase.replace(' ', "\", \"")), 0);
        assert_eq!(phrases(&phrase.replacen("abandon", "x", 1)), 0);
    }
}
