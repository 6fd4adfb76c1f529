//! Names of secrets, and what a value must look like to be one under such a name.

use super::{
    judge::{is_random, is_stand_in},
    site::{Look, Site, run},
    words::is_unlike_words,
};

/// The longest value that is read.
pub(super) const LONGEST_VALUE: usize = 200;

pub(super) fn is_part_of_value(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'/' | b'=' | b'.' | b'~' | b'-')
}

/// `--password VALUE`, from the dashes on; with an `=` between them it is a name like any other.
pub(super) fn flag(site: &Site<'_>) -> Look {
    const LONGEST_FLAG: usize = 32;
    let text = site.right();
    let length = 2 + run(&text[2..], LONGEST_FLAG, |b| b.is_ascii_alphanumeric() || b == b'-');
    if length == text.len() {
        return site.short();
    }
    let name = &text[2..length];
    if text[length] != b' ' || !may_be_secret(name) || matches!(site.left(1), [b'-']) {
        return Look::No;
    }
    let gap = run(&text[length..], 3, |b| matches!(b, b' ' | b'"' | b'\''));
    let begins = length + gap;
    let rest = &text[begins..];
    let value = run(rest, LONGEST_VALUE, is_part_of_value);
    if value == rest.len() && value < LONGEST_VALUE && !site.complete {
        return Look::More;
    }
    let said: String =
        name.iter().filter(|b| **b != b'-').map(|b| char::from(b.to_ascii_lowercase())).collect();
    let is_named = GENERIC.iter().chain(&SHORT).any(|word| said.ends_with(word));
    if !is_named || is_stand_in(&rest[..value]) || !is_value(&rest[..value], least_of(&said)) {
        return Look::No;
    }
    let end = begins + value;
    Look::Match { length: end, certain: usize::min(end + 1, text.len()) }
}

/// Words of which a name has at least one, by their first letter.
const fn secret_words(first: u8) -> &'static [&'static [u8]] {
    match first {
        b'k' => &[b"key"],
        b't' => &[b"token"],
        b's' => &[b"secret"],
        b'p' => &[b"pass", b"pwd"],
        b'a' => &[b"auth", b"api", b"access"],
        b'c' => &[b"credential", b"client"],
        b'b' => &[b"bearer"],
        b'_' => &[b"_pat"],
        b'-' => &[b"-pat"],
        _ => &[],
    }
}

pub(super) fn may_be_secret(name: &[u8]) -> bool {
    let begins =
        |text: &[u8], word: &[u8]| text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
    (0..name.len()).any(|at| {
        let rest = &name[at..];
        secret_words(rest[0].to_ascii_lowercase()).iter().any(|word| begins(rest, word))
    })
}

pub(super) const GENERIC: [&str; 21] = [
    "apikey",
    "clientsecret",
    "secretkey",
    "accesstoken",
    "authtoken",
    "privatekey",
    "password",
    "passwd",
    "refreshtoken",
    "appsecret",
    "apisecret",
    "apitoken",
    "signingsecret",
    "webhooksecret",
    "encryptionkey",
    "masterkey",
    "authkey",
    "bottoken",
    "passphrase",
    "secrettoken",
    "signingkey",
];

/// Other last words of names of secrets, whose values must look like nothing else.
pub(super) const SHORT: [&str; 6] = ["token", "secret", "pass", "pwd", "secretkeybase", "credentials"];

/// How long a value is at least under a name: people make up passwords, programs all else.
pub(super) fn least_of(said: &str) -> usize {
    if ["password", "passwd", "pass", "pwd", "passphrase"].iter().any(|word| said.ends_with(word)) {
        12
    } else {
        16
    }
}

/// Whether a value can only be a secret: of different characters, some of them digits or of another case, in an order that
/// words do not have.
pub(super) fn is_value(value: &[u8], least: usize) -> bool {
    let count = |is: fn(&u8) -> bool| value.iter().filter(|b| is(b)).count();
    let (digits, upper, lower) =
        (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let mut seen = [false; 256];
    for byte in value {
        seen[usize::from(*byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let is_mixed = digits >= 2 && upper + lower >= 3 || digits >= 1 && upper >= 2 && lower >= 2;
    value.len() >= least
        && different >= 8
        && is_mixed
        && is_unlike_words(value)
        && !is_path(value)
        && !is_uuid(value)
}

/// Whether a value is a name of the program's own: `private_key: ed25519.Ed25519PrivateKey`.
pub(super) fn names_itself(said: &str, value: &[u8]) -> bool {
    let folded: Vec<u8> =
        value.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
    said.len() >= 6 && memchr::memmem::find(&folded, said.as_bytes()).is_some()
}

pub(super) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Whether it is a path, a name with dots or a version: words between slashes or dots, each of them short.
pub(super) fn is_path(value: &[u8]) -> bool {
    let parts: Vec<_> = value.split(|b| matches!(b, b'/' | b'.')).collect();
    value.starts_with(b"/") || parts.len() > 2 && parts.iter().all(|part| !is_random(part))
}
