//! Kinds that are more than a shape: what stands around them says whether they are a credential.

use super::{
    judge::{is_base64_url, is_key, is_random, is_stand_in},
    site::{CONTEXT, Look, Site, run},
    validate,
};

fn matched(length: usize) -> Look {
    Look::Match { length, certain: length }
}

fn has(text: &[u8], word: &str) -> bool {
    memchr::memmem::find(text, word.as_bytes()).is_some()
}

/// Whether a match of a shape that begins like a hash is one: no generator of letters and digits makes that.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every exemption")]
pub(super) fn is_hex(site: &Site<'_>, end: usize) -> Option<(bool, usize)> {
    Some((site.text[site.at..end].iter().all(u8::is_ascii_hexdigit), 0))
}

/// Whether a key's id names who signed, in the envelope of a signature or of a signed URL: `AKIA…/20260101/…`,
/// `AWSAccessKeyId=…`, `Key-Pair-Id=…`; and how many bytes after it say so.
pub(super) fn is_signature(site: &Site<'_>, end: usize) -> Option<(bool, usize)> {
    const ENVELOPE: usize = 11;
    let left = site.left(40);
    let ends = |names: &[&str]| names.iter().any(|name| left.ends_with(name.as_bytes()));
    let signers = [
        "AWSAccessKeyId=",
        "Key-Pair-Id=",
        "GoogleAccessId=",
        "OSSAccessKeyId=",
        "q-ak=",
        "uthorization: AWS ",
        "\nAWS ",
    ];
    if ends(&signers) || left == b"AWS " {
        return Some((true, 0));
    }
    if !ends(&["redential=", "redential%3D", "redential\": \"", "redential\":\""]) {
        return Some((false, 0));
    }
    let after = &site.text[end..];
    if after.len() < ENVELOPE && !site.complete {
        return None;
    }
    let day = after.strip_prefix(b"/").or(after.strip_prefix(b"%2F")).or(after.strip_prefix(b"%2f"));
    let is_day = day.is_some_and(|day| run(day, 8, |b| b.is_ascii_digit()) == 8);
    Some((is_day, ENVELOPE.min(after.len())))
}

/// `"type": "service_account"`, as the key's file has it, beside another member; programs that ask for it have it alone.
pub(super) fn service_account(site: &Site<'_>) -> Look {
    const WORD: &[u8] = b"service_account";
    /// Line breaks and what a string in a string has of them.
    const GAP: usize = 24;
    let quote = |text: &[u8]| text.iter().find(|b| **b != b'\\').copied();
    let left = site.left(40);
    let mut before = left.iter().rev().copied().filter(|b| *b != b'\\' && !b.is_ascii_whitespace());
    if !before.by_ref().take(7).eq(b"\":\"epyt".iter().copied()) {
        return Look::No;
    }
    let follows = before.nth(1) == Some(b',');
    let text = site.right();
    match text.strip_prefix(WORD) {
        Some(rest) => match quote(rest) {
            Some(b'"') => {
                let end = WORD.len() + 1 + rest.iter().take_while(|b| **b == b'\\').count();
                let after = &text[end.min(text.len())..];
                let gap = run(after, GAP, |b| b.is_ascii_whitespace() || matches!(b, b'\\' | b'n'));
                match after.get(gap) {
                    Some(b',') => matched(end),
                    _ if follows => matched(end),
                    None if gap < GAP => site.short(),
                    _ => Look::No,
                }
            }
            Some(_) => Look::No,
            None => site.short(),
        },
        None if WORD.starts_with(text) => site.short(),
        None => Look::No,
    }
}

/// How much is read after the first line of a key for the key itself.
const KEY: usize = 400;

/// `-----BEGIN … PRIVATE KEY-----` and some of the key. The line alone is a mention, and source code mentions it often.
pub(super) fn private_key(site: &Site<'_>) -> Look {
    pem(site, |label| {
        (has(label, "PRIVATE") && has(label, "KEY") || has(label, "Static")) && !has(label, "PGP")
    })
}

pub(super) fn pgp_key(site: &Site<'_>) -> Look {
    pem(site, |label| has(label, "PGP") && has(label, "PRIVATE") && has(label, "KEY"))
}

fn pem(site: &Site<'_>, is_private: impl Fn(&[u8]) -> bool) -> Look {
    let left = site.left(5);
    if !(left.ends_with(b"----") || left.ends_with(b"---- ")) {
        return Look::No;
    }
    let text = site.right();
    let is_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'+' | b'_' | b'.');
    let label = run(text, 56, is_label);
    if label == text.len() {
        return site.short();
    }
    let after = &text[label..];
    if after.len() < 4 && b"----".starts_with(after) {
        return site.short();
    }
    if !(after.starts_with(b"----") && text.starts_with(b"BEGIN") && is_private(&text[..label])) {
        return Look::No;
    }
    key_after(site, label)
}

/// A key in base64 within some bytes after `from`, whatever stands before each of its lines.
fn key_after(site: &Site<'_>, from: usize) -> Look {
    const LINE: usize = 40;
    const SHORTEST: usize = 16;
    let text = site.right();
    let mut at = from;
    while at < from + KEY {
        let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) else { return site.short() };
        let length = run(rest, LINE, |b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        if length == rest.len() && length < LINE && !site.complete {
            return Look::More;
        }
        if length >= SHORTEST && is_key(&rest[..length]) {
            let more = usize::from(length < LINE && length < rest.len());
            return Look::Match { length: at + length, certain: at + length + more };
        }
        if rest.starts_with(b"-----END") {
            return Look::No;
        }
        // A long line that is no key goes by as a whole.
        at += length.max(1);
    }
    Look::No
}

pub(super) fn putty_key(site: &Site<'_>) -> Look {
    const HEAD: &[u8] = b"Private-Lines:";
    let text = site.right();
    if text.starts_with(HEAD) {
        return key_after(site, HEAD.len());
    }
    if HEAD.starts_with(text) { site.short() } else { Look::No }
}

/// `"d": "…"` of a private key, beside its `kty`.
pub(super) fn jwk(site: &Site<'_>) -> Look {
    let text = site.right();
    let mut at = 2;
    at += run(&text[2.min(text.len())..], 16, |b| matches!(b, b'"' | b'\\' | b':' | b' '));
    let value = run(&text[at.min(text.len())..], 40, is_base64_url);
    if value < 40 {
        return if at + value >= text.len() { site.short() } else { Look::No };
    }
    let around = &text[..text.len().min(CONTEXT)];
    let kty = |text: &[u8]| {
        let at = |name: &str| memchr::memmem::find(text, name.as_bytes()).map(|at| at + name.len());
        at("kty\"").or(at("kty\\\""))
    };
    if kty(site.left(CONTEXT)).is_some() {
        return matched(at + value);
    }
    if let Some(there) = kty(around) {
        return Look::Match { length: at + value, certain: there.max(at + value) };
    }
    if text.len() < CONTEXT { site.short() } else { Look::No }
}

/// `machine HOST login USER password PASSWORD`, over line breaks.
pub(super) fn netrc(site: &Site<'_>) -> Look {
    const WINDOW: usize = 320;
    let text = site.right();
    let window = &text[..text.len().min(WINDOW)];
    let short = || if text.len() < WINDOW { site.short() } else { Look::No };
    let mut at = 0;
    for want in [Some("machine"), None, Some("login"), None, Some("password"), None] {
        at += run(&window[at..], WINDOW, |b| b.is_ascii_whitespace());
        let length = run(&window[at..], WINDOW, |b| !b.is_ascii_whitespace());
        let (begun, word) = (at, &window[at..at + length]);
        at += length;
        let whole = at < window.len() || site.complete;
        match want {
            Some(want) if word == want.as_bytes() && whole => {}
            Some(want) if want.as_bytes().starts_with(word) && !whole => return short(),
            Some(_) => return Look::No,
            None if word.is_empty() || !whole => return short(),
            None => {}
        }
        if begun > 0 && at == begun {
            return Look::No;
        }
    }
    let password = window[..at].rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    let password = password.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(password);
    let lower = password.to_ascii_lowercase();
    if password.len() < 6
        || is_stand_in(password)
        || validate::is_stand_in(&lower)
        || validate::is_variable(password)
    {
        return Look::No;
    }
    Look::Match { length: at, certain: usize::min(at + 1, text.len()) }
}

/// `123456789:AA…`, from the colon on.
pub(super) fn telegram(site: &Site<'_>) -> Look {
    let digits = site.left(12).iter().rev().take_while(|b| b.is_ascii_digit()).count();
    if !(8..=11).contains(&digits) {
        return Look::No;
    }
    let text = site.right();
    let body = run(&text[1..], 33, is_base64_url);
    match body {
        33 if is_random(&text[3..34]) => matched(34),
        33 => Look::No,
        _ if 1 + body == text.len() => site.short(),
        _ => Look::No,
    }
}

/// A bot's id in base64, a dot, a time, a dot, a signature; from the first dot on.
pub(super) fn discord(site: &Site<'_>) -> Look {
    let text = site.right();
    let time = run(&text[1..], 7, is_base64_url);
    if time != 6 || text.get(7) != Some(&b'.') {
        return if time <= 6 && 1 + time == text.len() { site.short() } else { Look::No };
    }
    let left = site.left(28);
    let id = left.iter().rev().take_while(|b| is_base64_url(**b)).count();
    let id = &left[left.len() - id..];
    let begins = id.len() >= 24 && id[..id.len() - 23].iter().any(|b| matches!(b, b'M' | b'N' | b'O'));
    let signature = run(&text[8..], 27, is_base64_url);
    if !begins || signature < 27 {
        return if begins && 8 + signature == text.len() { site.short() } else { Look::No };
    }
    if is_random(id) && is_random(&text[8..35]) { matched(35) } else { Look::No }
}

/// `sig=` of a shared access signature. One that is good for one blob is what an origin hands out for a download.
pub(super) fn azure_sas(site: &Site<'_>) -> Look {
    let left = site.left(8);
    let begins = [&b"?"[..], b"&", b"&amp;", b"\\u0026", b"%26", b"%3F", b"%3f", b";", b"\"", b"'", b" "];
    if !begins.iter().any(|it| left.ends_with(it)) {
        return Look::No;
    }
    let text = site.right();
    let mut at = match text {
        [b's', b'i', b'g', b'=', ..] => 4,
        [b's', b'i', b'g', b'%', b'3', b'D' | b'd', ..] => 6,
        _ if text.len() < 6 && (b"sig=".starts_with(text) || b"sig%3D".starts_with(text)) => {
            return site.short();
        }
        _ => return Look::No,
    };
    let begun = at;
    for _ in 0..43 {
        match &text[at..] {
            [b'%', b'2', b'B' | b'b' | b'F' | b'f', ..] => at += 3,
            [b, ..] if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/') => at += 1,
            [] | [b'%'] | [b'%', b'2'] => return site.short(),
            _ => return Look::No,
        }
    }
    let end = match &text[at..] {
        [b'=', ..] => at + 1,
        [b'%', b'3', b'D' | b'd', ..] => at + 3,
        [] | [b'%'] | [b'%', b'3'] => return site.short(),
        _ => return Look::No,
    };
    let url = site.url();
    if has(url, "sr=b") && has(url, "se=") || !is_random(&text[begun..at]) {
        return Look::No;
    }
    matched(end)
}

/// What every JWT of the well-known debugger begins with: `{"sub":"1234567`.
const SAMPLE_JWT: &[u8] = b"eyJzdWIiOiIxMjM0NTY3";

/// From the dot before the claims on. The header before it says nothing secret; its beginning is looked for in what is
/// there, so that letters before it hide nothing.
pub(super) fn jwt(site: &Site<'_>) -> Look {
    const LONGEST: usize = 600;
    const CLAIMS: usize = 20;
    let json = |text: &[u8]| {
        matches!(text, [b'e', b'y', b'J' | b'A', ..])
            || matches!(text, [b'e', b'w', b, ..] if is_base64_url(*b))
    };
    let left = site.left(LONGEST);
    let length = left.iter().rev().take_while(|b| is_base64_url(**b)).count();
    let header = &left[left.len() - length..];
    if header.len() < 12 || !header[..header.len() - 11].iter().enumerate().any(|(at, _)| json(&header[at..]))
    {
        return Look::No;
    }
    let claims = &site.right()[1..];
    let there = run(claims, CLAIMS, is_base64_url);
    if there < CLAIMS {
        return if there == claims.len() { site.short() } else { Look::No };
    }
    let claims = &claims[..CLAIMS];
    let url = site.url();
    let signed =
        has(url, "sr=b") && has(url, "sig=") || has(url, "X-Amz-Signature=") || has(url, "X-Goog-Signature=");
    if !json(claims) || claims == SAMPLE_JWT || signed || !is_random(claims) {
        return Look::No;
    }
    matched(1 + CLAIMS)
}

/// A number of the user's own ends where no letter, digit or decimal follows.
fn ends(site: &Site<'_>, length: usize) -> Option<bool> {
    match &site.right()[length..] {
        [b'.', b, ..] => Some(!b.is_ascii_digit()),
        [] | [b'.'] => site.complete.then_some(true),
        [b, ..] => Some(!(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))),
    }
}

fn ended(site: &Site<'_>, length: usize) -> Look {
    match ends(site, length) {
        Some(true) => {
            let more = if site.right().get(length) == Some(&b'.') { 2 } else { 1 };
            Look::Match { length, certain: usize::min(length + more, site.right().len()) }
        }
        Some(false) => Look::No,
        None => Look::More,
    }
}

/// Whether one of these words stands shortly before.
fn is_said(site: &Site<'_>, words: &[&str]) -> bool {
    let left = site.left(96).to_ascii_lowercase();
    !left.ends_with(b".") && words.iter().any(|word| has(&left, word))
}

const CARD_WORDS: [&str; 14] = [
    "card",
    "visa",
    "amex",
    "american express",
    "discover",
    "pan\"",
    "pan:",
    "pan=",
    "cvv",
    "cvc",
    "ccnum",
    "cc_n",
    "payment",
    "expir",
];

/// Numbers that the documentation of payment services prints.
const TEST_CARDS: [&str; 22] = [
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "4000056655665556",
    "4000000000000002",
    "4000002500003155",
    "4000000000009995",
    "4000000000003220",
    "5555555555554444",
    "5105105105105100",
    "5200828282828210",
    "5454545454545454",
    "2223003122003222",
    "2223000048400011",
    "378282246310005",
    "371449635398431",
    "378734493671000",
    "6011111111111117",
    "6011000990139424",
    "3530111333300000",
    "3566002020360505",
    "4444333322221111",
];

/// A payment card's number where one is spoken of.
pub(super) fn card(site: &Site<'_>) -> Look {
    let text = site.right();
    let (mut digits, mut at) = (Vec::with_capacity(19), 0);
    loop {
        match text.get(at) {
            Some(b) if b.is_ascii_digit() => digits.push(*b),
            Some(b' ' | b'-') if text.get(at + 1).is_some_and(u8::is_ascii_digit) => {}
            Some(b' ' | b'-') if at + 1 == text.len() && !site.complete && digits.len() < 16 => {
                return Look::More;
            }
            None if !site.complete && digits.len() < 17 => return Look::More,
            _ => break,
        }
        at += 1;
        if digits.len() > 16 {
            return Look::No;
        }
    }
    let issued = match digits.as_slice() {
        [b'3', b'4' | b'7', ..] => digits.len() == 15,
        [b'4', ..] | [b'5', b'1'..=b'5', ..] | [b'2', b'2'..=b'7', ..] | [b'3', b'5', ..] => {
            digits.len() == 16
        }
        [b'6', b'0', b'1', b'1', ..] | [b'6', b'4', b'4'..=b'9', ..] | [b'6', b'5', ..] => digits.len() == 16,
        _ => false,
    };
    let known = TEST_CARDS.iter().any(|it| it.as_bytes() == digits);
    if !issued || known || !validate::luhn(&digits) || !is_said(site, &CARD_WORDS) {
        return Look::No;
    }
    ended(site, at)
}

/// Account numbers that documentation prints.
const SAMPLE_IBANS: [&str; 8] = [
    "DE89370400440532013000",
    "GB82WEST12345698765432",
    "GB29NWBK60161331926819",
    "FR1420041010050500013M02606",
    "NL91ABNA0417164300",
    "BE68539007547034",
    "CH9300762011623852957",
    "ES9121000418450200051332",
];

pub(super) fn iban(site: &Site<'_>) -> Look {
    const LONGEST: usize = 42;
    let text = site.right();
    let is_part = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ';
    let there = run(text, LONGEST, is_part);
    if there == text.len() && there < LONGEST && !site.complete {
        return Look::More;
    }
    let compact: Vec<u8> = text[..there].iter().copied().filter(|b| *b != b' ').collect();
    let Some(length) = validate::iban_length(&compact) else { return Look::No };
    if compact.len() < length || SAMPLE_IBANS.iter().any(|it| it.as_bytes() == &compact[..length]) {
        return Look::No;
    }
    let mut letters = 0;
    let end = text.iter().position(|b| {
        letters += usize::from(*b != b' ');
        letters == length
    });
    let Some(end) = end.map(|at| at + 1) else { return Look::No };
    let digits = compact[..length].iter().filter(|b| b.is_ascii_digit()).count();
    let is_number = compact[2..4].iter().all(u8::is_ascii_digit) && digits >= 8;
    if !is_number || !validate::iban(&compact[..length]) || !is_random_number(&compact[4..length]) {
        return Look::No;
    }
    ended(site, end)
}

fn is_random_number(text: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in text {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count() >= 3
}

pub(super) fn social_security(site: &Site<'_>) -> Look {
    const WORDS: [&str; 6] =
        ["ssn", "social security", "social_security", "socialsecurity", "taxpayer", "tax id"];
    const KNOWN: [&[u8]; 4] = [b"078-05-1120", b"219-09-9999", b"123-45-6789", b"111-22-3333"];
    let text = site.right();
    let shape = |at: usize, b: &u8| if matches!(at, 3 | 6) { *b == b'-' } else { b.is_ascii_digit() };
    let there = text.iter().take(11).enumerate().take_while(|(at, b)| shape(*at, b)).count();
    if there < 11 {
        return if there == text.len() { site.short() } else { Look::No };
    }
    if !validate::ssn(&text[..11]) || KNOWN.contains(&&text[..11]) || !is_said(site, &WORDS) {
        return Look::No;
    }
    ended(site, 11)
}

/// A Bitcoin private key with its checksum.
pub(super) fn wif(site: &Site<'_>) -> Look {
    let text = site.right();
    let there = run(text, 53, |b| b.is_ascii_alphanumeric());
    if there == text.len() && there < 53 && !site.complete {
        return Look::More;
    }
    if !(51..=52).contains(&there) || !validate::wif(&text[..there]) {
        return Look::No;
    }
    Look::Match { length: there, certain: usize::min(there + 1, text.len()) }
}

/// Found by the name that it is assigned to, or by the scheme before it.
pub(super) fn by_name(_: &Site<'_>) -> Look {
    Look::No
}
