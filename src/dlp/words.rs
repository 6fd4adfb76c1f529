//! Whether letters follow one another as they do in words and names of programs, or as chance makes them.

/// How often one letter follows another in words of source code and documentation, against chance: a row for each first
/// letter, a hexadecimal digit for each second one, in steps of 0.627 bits from -6 bits. Counted in 6,000 files of public
/// libraries and their documentation, each word at most 50 times.
const FOLLOWS: [&[u8; 26]; 26] = [
    b"5aba5693927cac2a2cbd875574",
    b"c898c764c83d76b62ab8c42593",
    b"c696d64b92ba64d63a8c953271",
    b"b78ae765d45967a749a7a64463",
    b"a6bc8874634a9c698dcb586a62",
    b"b788cc52e23b66c52b98a33381",
    b"a685e69ac25a8ba64cb7a54355",
    b"d456e434c24786d62a7a925183",
    b"98baa9a2324aaec838bb392619",
    b"c455f553a37555c844c5c38344",
    b"a678f875c359799627c9a48262",
    b"c569d653d25c55c725aaa632b2",
    b"d966e543c358a5bc35a6a43252",
    b"b4bbb9d4a37758a626cd883263",
    b"78aa5783758abe9a2daab99553",
    b"c477d558a16c54ca2d9b943382",
    b"73676221511a56542774f13321",
    b"c598e683c27798c629ba885292",
    b"94a6d65ac27976aa57bdb56384",
    b"c486e64ad23865b72cb9945493",
    b"aaa9b881913bbd6b1ccc332422",
    b"d374f542d12675a62465432432",
    b"d567c54bc2584bc72cb7436432",
    b"a8c9c957b237947d37bd444873",
    b"a897a784b33abcae39cb578267",
    b"c356f426b13886b41486653287",
];

/// What chance makes, in the table's steps.
const EVEN: i32 = 153; // 6 / 0.627 = 9.57, in sixteenths

/// The fewest pairs of letters that say anything.
const PAIRS: i32 = 5;

/// Whether the pairs of letters of a text are those of chance: rarer, in the mean, than in words by a third of a bit and
/// more. Case and what stands between letters say nothing; a text with few pairs of letters is none of words.
pub(super) fn is_unlike_words(text: &[u8]) -> bool {
    let (mut sum, mut pairs) = (0_i32, 0_i32);
    for pair in text.windows(2) {
        let [first, second] = [pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase()];
        let (Some(row), Some(column)) = (first.checked_sub(b'a'), second.checked_sub(b'a')) else { continue };
        let Some(digit) = FOLLOWS.get(usize::from(row)).and_then(|it| it.get(usize::from(column))) else {
            continue;
        };
        sum += char::from(*digit).to_digit(16).and_then(|it| i32::try_from(it).ok()).unwrap_or(0) * 16;
        pairs += 1;
    }
    // A third of a bit is half a step: eight sixteenths.
    pairs < PAIRS || sum <= (EVEN - 8) * pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_chance() {
        for words in [
            "generateSessionTokenForUser",
            "Ed25519PrivateKey",
            "my_super_long_setting_name_2",
            "node-modules-cache-linux-x64",
            "AuthenticationServiceClientV2",
        ] {
            assert!(!is_unlike_words(words.as_bytes()), "{words}");
        }
        for chance in
            ["Kj8sPq2LmX9wZt4vRr7T", "ZvvUHqF1vHoImeGxfIeF", "zkujldnboapqexrb45chwmmmsbiqz2mw", "0123456789"]
        {
            assert!(is_unlike_words(chance.as_bytes()), "{chance}");
        }
    }
}
