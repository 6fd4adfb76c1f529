//! The placement table: what a secret is written as, and where it stands. Every kind of the highest class is found in every
//! one; what is not looked at is listed here, too, and is not found.

use super::{b64, kinds::tokens, name, scanner};
use base64::Engine as _;
use bottle::dlp::{Encoding, Scanner};
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
use std::io::Write as _;

pub(super) fn hex(text: &str, delimiter: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(delimiter)
}

pub(super) fn base32(text: &str) -> String {
    data_encoding::BASE32.encode(text.as_bytes())
}

pub(super) fn entities(text: &str) -> String {
    text.bytes().map(|b| format!("&#{b};")).collect()
}

pub(super) fn quoted_printable(text: &str) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|b| format!("={b:02X}")).collect::<String>();
    text.as_bytes().chunks(20).map(line).collect::<Vec<_>>().join("=\n")
}

/// UTF-16, as text that may hold zeros.
pub(super) fn wide(text: &str) -> String {
    text.chars().map(|c| format!("{c}\0")).collect()
}

pub(super) fn full_width(text: &str) -> String {
    let wide = |c: char| match c {
        '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
        c => c,
    };
    text.chars().map(wide).collect()
}

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A zip archive of one compressed file, as far as its local header goes.
fn zip(text: &str) -> Vec<u8> {
    let raw = zlib(text);
    let (body, file) = (&raw[2..raw.len() - 4], b"notes.txt");
    let mut zip = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".to_vec();
    zip.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    zip.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    zip.extend(u16::try_from(file.len()).unwrap().to_le_bytes());
    zip.extend([0, 0]);
    zip.extend(file);
    zip.extend(body);
    zip
}

/// A tar archive of one file, without the end.
fn tar(text: &str) -> Vec<u8> {
    let mut tar = vec![0; 512];
    tar[..9].copy_from_slice(b"notes.txt");
    tar.extend(text.as_bytes());
    tar
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn escaped(text: &str, how: impl Fn(u8) -> String) -> Vec<u8> {
    text.bytes().map(how).collect::<String>().into_bytes()
}

/// What each view does to a text.
fn views(text: &str) -> Vec<(&'static str, Vec<Encoding>, Vec<u8>)> {
    use Encoding::{
        Base32, Base64, Compressed, Hex, Html, JsonEscape, Percent, QuotedPrintable, Unicode, Utf16,
    };
    let again = |text: String| text.replace('%', "%25");
    let base64 = |bytes: &[u8]| b64::STANDARD.encode(bytes);
    let lines = |text: String, length: usize, line: &str| {
        text.as_bytes()
            .chunks(length)
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect::<Vec<_>>()
            .join(line)
    };
    let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    vec![
        ("as it is", vec![], text.into()),
        ("hex", vec![Hex], hex(text, "").into()),
        ("hex in capitals", vec![Hex], hex(text, "").to_uppercase().into()),
        ("hex after half a byte", vec![Hex], format!("a{}", hex(text, "")).into()),
        ("hex with colons", vec![Hex], hex(text, ":").into()),
        ("hex with spaces", vec![Hex], hex(text, " ").into()),
        ("hex as an array", vec![Hex], format!("[0x{}]", hex(text, ", 0x")).into()),
        ("hex in lines", vec![Hex], lines(hex(text, ""), 32, "\n").into()),
        ("base32", vec![Base32], base32(text).into()),
        ("base32 in lower case", vec![Base32], base32(text).to_lowercase().into()),
        ("base64", vec![Base64], base64(text.as_bytes()).into()),
        ("base64, no padding", vec![Base64], b64::STANDARD_NO_PAD.encode(text).into()),
        ("base64, safe alphabet", vec![Base64], b64::URL_SAFE.encode(text).into()),
        ("base64, one letter on", vec![Base64], format!("x{}", base64(text.as_bytes())).into()),
        ("base64 in short lines", vec![Base64], lines(base64(text.as_bytes()), 20, "\r\n").into()),
        (
            "base64 of hex of base64",
            vec![Base64, Hex, Base64],
            base64(hex(&base64(text.as_bytes()), "").as_bytes()).into(),
        ),
        (
            "base64, three times",
            vec![Base64; 3],
            base64(base64(base64(text.as_bytes()).as_bytes()).as_bytes()).into(),
        ),
        ("percent", vec![Percent], percent(text).into()),
        ("percent, twice", vec![Percent], again(percent(text)).into()),
        ("percent, three times", vec![Percent], again(again(percent(text))).into()),
        ("escapes of JSON", vec![JsonEscape], escaped(text, |b| format!("\\u{b:04x}"))),
        ("escapes in a string in a string", vec![JsonEscape], escaped(text, |b| format!("\\\\u{b:04x}"))),
        ("escapes with braces", vec![JsonEscape], escaped(text, |b| format!("\\u{{{b:x}}}"))),
        ("escapes of C", vec![JsonEscape], escaped(text, |b| format!("\\x{b:02x}"))),
        ("octal", vec![JsonEscape], escaped(text, |b| format!("\\{b:03o}"))),
        ("entities", vec![Html], entities(text).into()),
        ("entities in hex", vec![Html], escaped(text, |b| format!("&#x{b:x};"))),
        ("quoted-printable", vec![QuotedPrintable], quoted_printable(text).into()),
        ("UTF-16LE", vec![Utf16], utf16(u16::to_le_bytes)),
        ("UTF-16BE", vec![Utf16], utf16(u16::to_be_bytes)),
        ("UTF-32LE", vec![Utf16], text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()),
        ("full-width", vec![Unicode], full_width(text).into()),
        (
            "with zero-width characters",
            vec![Unicode],
            text.chars().flat_map(|c| [c, '\u{200b}']).collect::<String>().into(),
        ),
        (
            "with soft hyphens",
            vec![Unicode],
            text.chars().flat_map(|c| [c, '\u{ad}']).collect::<String>().into(),
        ),
        ("gzip", vec![Compressed], gzip(&format!("{}{text}", "a line of a log\n".repeat(20)))),
        ("zlib", vec![Compressed], zlib(&format!("{}{text}", "a line of a log\n".repeat(20)))),
        ("zip", vec![Compressed], zip(&format!("{}{text}", "a line of a log\n".repeat(20)))),
        ("tar", vec![], tar(text)),
        ("tar in gzip", vec![Compressed], gzip(&String::from_utf8(tar(text)).unwrap())),
        ("base64 of gzip", vec![Base64, Compressed], base64(&gzip(&format!("{text} {text}"))).into()),
    ]
}

fn missed(scanner: &Scanner, tokens: &[(&str, String)]) -> Vec<String> {
    let mut missed = Vec::new();
    for (pattern, token) in tokens {
        for (how, encodings, text) in views(&format!("see:\n{token}\nthere")) {
            for (place, before, after) in [
                ("alone", &b""[..], &b""[..]),
                ("in a document", b"{\"a\": [1, \"", b"\"]}"),
                ("in a form", b"a=1&b=", b"&c=2"),
            ] {
                let text = [before, &text, after].concat();
                let found = scanner.text(&text);
                if found.as_ref().map(|it| (&*it.pattern, &it.encodings)) != Some((pattern, &encodings)) {
                    missed.push(format!(
                        "{pattern}, {how}, {place}: {:?}",
                        found.map(|it| (it.pattern, it.encodings))
                    ));
                }
            }
        }
    }
    missed
}

/// One of each class of shapes in every view and place; the others in every view.
#[test]
fn a_secret_is_found_in_every_view() {
    let scanner = scanner();
    let all = tokens();
    let classes = [
        "GitHub Token",
        "AWS Access ID",
        "AWS Secret Key",
        "Anthropic",
        "Private Key Header",
        "Stripe Key",
        "Postgres URL",
        "npm",
    ];
    let some: Vec<_> = all.iter().filter(|(name, _)| classes.contains(name)).cloned().collect();
    let missed = missed(&scanner, &some);
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// In clear and under base64 the kinds are tested one by one elsewhere; here whether something is found at all.
#[test]
fn every_kind_is_found_in_every_view() {
    let scanner = scanner();
    let mut missed = Vec::new();
    for (pattern, token) in tokens() {
        for (how, _, text) in views(&format!("see:\n{token}\nthere")) {
            if scanner.text(&text).is_none() {
                missed.push(format!("{pattern}, {how}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// What is not looked at, as the documentation says. A row that is found belongs in the table above.
#[test]
fn what_is_not_looked_at_is_listed() {
    let token = ["gh", "p_", &super::alnum(3, 36)].concat();
    let rot13 = |c: char| match c {
        'a'..='z' => char::from((u8::try_from(c).unwrap() - b'a' + 13) % 26 + b'a'),
        'A'..='Z' => char::from((u8::try_from(c).unwrap() - b'A' + 13) % 26 + b'A'),
        c => c,
    };
    let dump = |text: &str| {
        let line = |(at, bytes): (usize, &[u8])| {
            format!("{:08x}: {}", at * 16, hex(std::str::from_utf8(bytes).unwrap(), ""))
        };
        text.as_bytes().chunks(16).enumerate().map(line).collect::<Vec<_>>().join("\n")
    };
    let rows: Vec<(&str, String)> = vec![
        ("reversed", token.chars().rev().collect()),
        ("rot13", token.chars().map(rot13).collect()),
        ("an array of decimal numbers", format!("{:?}", token.as_bytes())),
        ("two strings that a program joins", format!("\"{}\" + \"{}\"", &token[..20], &token[20..])),
        ("the lines of a dump, with addresses", dump(&token)),
        ("base64 in lines of less than 16", {
            let text = b64::STANDARD.encode(&token);
            text.as_bytes()
                .chunks(12)
                .map(|it| std::str::from_utf8(it).unwrap())
                .collect::<Vec<_>>()
                .join("\n")
        }),
        ("base64, four times", (0..4).fold(token.clone(), |text, _| b64::STANDARD.encode(text))),
        ("ciphered", token.bytes().map(|b| char::from(b ^ 1)).collect()),
    ];
    for (how, text) in rows {
        assert_eq!(name(scanner().text(&text)), None, "{how}: {text}");
    }
}

/// What would take all memory or time is refused, not passed over.
#[test]
fn a_bomb_is_refused() {
    let zeros = "\0".repeat(64 << 20);
    let found = scanner().text(gzip(&zeros)).unwrap();
    assert_eq!((&*found.pattern, found.encodings), ("Decompression Bomb", vec![Encoding::Compressed]));
}
