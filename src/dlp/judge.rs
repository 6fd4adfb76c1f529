//! Whether what has a kind's shape is a credential: how random it is, whether it stands alone or inside of data, and what
//! documentation prints in a credential's place.

/// Whether a text can be a line of a key in base64, which begins with much the same bytes in every key.
pub(super) fn is_key(text: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| text.iter().filter(|b| is(b)).count();
    let capitals = text.windows(2).filter(|pair| pair.iter().all(u8::is_ascii_uppercase)).count();
    let mut seen = [false; 256];
    for byte in text {
        seen[usize::from(*byte)] = true;
    }
    count(u8::is_ascii_uppercase) >= 3
        && count(u8::is_ascii_lowercase) >= 2
        && (count(u8::is_ascii_digit) > 0 || capitals >= 4)
        && seen.iter().filter(|seen| **seen).count() >= 8
}

/// A run of base64 that is at least this long on both sides of a match is data.
pub(super) const DATA: usize = 24;

/// Whether a byte belongs to base64 of the safe alphabet (RFC 4648 §5).
pub(super) fn is_base64_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether a byte belongs to base64 of either alphabet.
pub(super) fn is_base64(byte: u8) -> bool {
    is_base64_url(byte) || matches!(byte, b'+' | b'/')
}

/// Whether a word begins at `at`.
pub(super) fn begins_word(text: &[u8], at: usize) -> bool {
    match text[..at] {
        [] => true,
        // A line of a diff begins with a plus; base64 has letters before it.
        [.., before, b'+'] => !before.is_ascii_alphanumeric(),
        [.., last] => !is_base64_url(last),
    }
}

/// Whether a byte goes on with a word: what stands after it is a part of something longer.
pub(super) fn goes_on(byte: u8) -> bool {
    is_base64_url(byte) || byte == b'+'
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Lower,
    Upper,
    Digit,
}

/// Whether a text looks as if it came from a random generator: of words, in whatever case they are joined, most
/// letters follow one of their own sort.
pub(super) fn is_random(text: &[u8]) -> bool {
    let (mut last, mut count, mut changes, mut digits, mut capitals) = (None, 0_u32, 0_u32, 0_u32, 0_u32);
    let mut seen = [false; 256];
    for byte in text {
        let sort = match byte {
            b'a'..=b'z' => Sort::Lower,
            b'A'..=b'Z' => Sort::Upper,
            b'0'..=b'9' => Sort::Digit,
            _ => {
                last = None;
                continue;
            }
        };
        count += 1;
        digits += u32::from(sort == Sort::Digit);
        capitals += u32::from(sort == Sort::Upper && last == Some(Sort::Upper));
        changes += u32::from(last.is_some_and(|last| last != sort));
        last = Some(sort);
        seen[usize::from(*byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let share = |percent: u32| changes * 100 >= count.saturating_sub(1) * percent;
    // `CamelCase` changes often, but hardly ever has two capitals in a row.
    let mixed = if digits * 12 < count { share(30) && capitals * 12 >= count } else { share(16) };
    count >= 8 && different >= 6 && digits < count && mixed
}

/// Whether the match at `start..end` lies in the middle of a long run of base64 that looks random: then a kind that
/// chance makes now and then is no finding. Says after which byte that is certain; `None` when that depends on bytes that are not there yet.
pub(super) fn is_in_data(text: &[u8], start: usize, end: usize, complete: bool) -> Option<(bool, usize)> {
    let before = text[..start].iter().rev().take(2 * DATA).take_while(|b| is_base64(**b)).count();
    if before < DATA || !is_random(&text[start - before..start]) {
        return Some((false, end));
    }
    let after = text[end..].iter().take(2 * DATA).take_while(|b| is_base64(**b)).count();
    if after < 2 * DATA && end + after == text.len() && !complete {
        return None;
    }
    let certain = usize::min(end + after + usize::from(after < 2 * DATA), text.len());
    Some((after >= DATA && is_random(&text[end..end + after]), certain))
}

/// What stands in examples where a credential would stand.
const STAND_INS: &[&[u8]] = &[
    b"example",
    b"your-",
    b"your_",
    b"yourkey",
    b"yourtoken",
    b"yourapi",
    b"yoursecret",
    b"xxxxx",
    b"redacted",
    b"changeme",
    b"change-me",
    b"change_me",
    b"replaceme",
    b"replace-",
    b"replace_",
    b"12345678901234567890",
    b"abcdefghijklmnop",
    b"insert-",
    b"insert_",
    b"-key-here",
    b"_key_here",
    b"-token-here",
    b"_token_here",
    // RFC 6749 §1.5, §2.3.1, §4.1.2, §5.1, §6
    b"tgzv3jokf0xg5qx2tlkwia",
    b"7fjfp0zbr1ktdrbnfvdmiw",
    b"splxlobezqqybys6wxsbia",
    b"2yotnfzfejr1zcsicmwpaa",
    b"czzcagrsa3f0mzpnwdfmqmf0m2jw",
    // RFC 6750 §2.1, RFC 7009 §2.1
    b"mf_9.b5f-4.1jqm",
    b"45ghiukldjahdnhzdauz",
    // Examples of OAuth's bearer tokens in its draft, which libraries quote.
    b"h480djs93hd8",
    b"kjfch2345sdf",
    // Google's command-line programs, as they are published: an installed application keeps no secret (RFC 8252 §8.5).
    b"764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur",
    b"32555940559.apps.googleusercontent.com",
    b"d-fl95q19q7mqmfpd7hhd0ty",
    b"zmsslnjjy2998hd4ctg2ejr2",
    b"wber7576mc_1yoii0dgk7jee",
];

/// Whether a text holds a word that documentation prints in the place of a credential.
pub(super) fn is_stand_in_word(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    STAND_INS.iter().any(|it| lower.windows(it.len()).any(|window| window == *it))
}

/// Whether a match is what documentation prints in the place of a credential.
pub(super) fn is_stand_in(matched: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in matched.iter().filter(|b| b.is_ascii_alphanumeric()) {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count() < 4 || is_stand_in_word(matched)
}

/// Whether the last six of 36 characters are the checksum of the others: CRC-32 in base 62, as GitHub made its tokens
/// known, and others after it.
pub(super) fn has_crc(matched: &[u8]) -> bool {
    let Some(body) = matched.len().checked_sub(36).and_then(|at| matched.get(at..)) else { return false };
    let (random, checksum) = body.split_at(30);
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(u64::from(byte - b'0')),
        b'A'..=b'Z' => Some(u64::from(byte - b'A') + 10),
        b'a'..=b'z' => Some(u64::from(byte - b'a') + 36),
        _ => None,
    };
    let stated = checksum.iter().try_fold(0_u64, |sum, byte| Some(sum * 62 + digit(byte)?));
    stated == Some(u64::from(crc32(random)))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_not_random() {
        for text in [
            "design-vue-component-library-2",
            "HuggingFaceEmbeddingModelFactory",
            "a_name_of_many_words_in_lower_case",
            "00000000000000000000000000",
            "MAX_CONNECTIONS_PER_HOST_DEFAULT",
            "getElementsByClassNameAndTagName",
        ] {
            assert!(!is_random(text.as_bytes()), "{text}");
        }
        for text in ["Q7ZP2MX4KD9R1TBV", "aB3dE5fG7hJ9kL1mN3pQ", "0f3c9a7be2d14f60a8c5", "k3j9x0q8v2m7w1z5"] {
            assert!(is_random(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_published_description() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let body = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1";
        let mut rest = u64::from(crc32(body.as_bytes()));
        let mut checksum = Vec::new();
        for _ in 0..6 {
            let digit = usize::try_from(rest % 62).unwrap();
            checksum.push(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[digit]);
            rest /= 62;
        }
        checksum.reverse();
        let token = [b"ghp_", body.as_bytes(), &checksum].concat();
        assert!(has_crc(&token));
        assert!(!has_crc(&[b"ghp_", body.as_bytes(), b"00000a"].concat()));
    }

    #[test]
    fn data_is_random_on_both_sides() {
        let data = "q7Zp2mX4kD9r1TbVq8Ws3nY5lE0s2UcW";
        let inside = |left: &str, right: &str| {
            let text = format!("{left}TOKEN{right}");
            is_in_data(text.as_bytes(), left.len(), left.len() + 5, true).map(|(is, _)| is)
        };
        assert_eq!(inside(data, data), Some(true));
        assert_eq!(inside(&"a".repeat(40), data), Some(false));
        assert_eq!(inside("", data), Some(false));
        assert_eq!(inside(data, " and on"), Some(false));
    }
}
