//! What a text costs, counted and not timed: the bytes that are read in all views together, and the memory for them.

use super::{noise, scanner};
use base64::{Engine as _, engine::general_purpose::STANDARD};

const LENGTH: usize = 128 << 10;
/// What `pipelock` reserves for the scanner of a body.
const RESERVED: usize = 256 << 10;

fn chat() -> Vec<u8> {
    let turn = serde_json::json!({"role": "user", "content": [{"type": "text", "text": include_str!("../../../src/dlp/mod.rs")},
        {"type": "tool_result", "tool_use_id": "toolu_01", "content": include_str!("../../../docs/threat-model.md")}]});
    let turns: Vec<_> = std::iter::repeat_n(turn, 12).collect();
    serde_json::to_vec(&serde_json::json!({"model": "m", "messages": turns})).unwrap()
}

fn repeated(text: &str) -> Vec<u8> {
    text.as_bytes().iter().copied().cycle().take(LENGTH).collect()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    data_encoding::HEXLOWER.encode(bytes).into_bytes()
}

fn ordinary() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("chat", chat()),
        ("source", repeated(include_str!("../../../src/dlp/view.rs"))),
        ("prose", repeated(include_str!("../../../docs/pipelock.md"))),
        ("base64", base64(&noise(1, LENGTH))),
        ("hexadecimal", hex(&noise(2, LENGTH / 2))),
        ("bytes", noise(3, LENGTH)),
    ]
}

/// Made to cost as much as can be.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let escapes =
        |of: fn(u8) -> String| chat().into_iter().take(LENGTH / 6).map(of).collect::<String>().into_bytes();
    vec![
        ("base64 four times", base64(&base64(&base64(&base64(&noise(4, LENGTH)))))),
        ("hexadecimal of base64 of hexadecimal", hex(&base64(&hex(&noise(5, LENGTH / 8))))),
        ("base64 of text", base64(&chat())),
        ("base64 of base64 of text", base64(&base64(&chat()))),
        ("percent", escapes(|b| format!("%{b:02x}"))),
        ("unicode escapes", escapes(|b| format!("\\u{b:04x}"))),
        ("entities", escapes(|b| format!("&#{b};"))),
        ("UTF-16", chat().iter().flat_map(|b| [*b, 0]).collect()),
        ("one letter", repeated("A")),
        ("one digit", repeated("0")),
        ("quotes in quotes", repeated("\\\\\\\"")),
        ("beginnings", repeated("gh gho_ sk- AKIA xox eyJ -----BEGIN ")),
        ("names", repeated("api_key=token:secret=")),
        ("beginnings of zlib", repeated("\u{78}\u{1}x^x\u{1}\u{1f}")),
        ("words of every alphabet", repeated("ABCDEFGHIJKLMNOPQRSTUVWX abcdefabcdefabcdefabcdef ")),
    ]
}

/// How much is read and how much memory it takes at most: bytes read for each hundred bytes, and bytes.
fn cost(text: &[u8]) -> (u64, usize) {
    let scanner = scanner();
    let mut stream = scanner.stream();
    let mut most = 0;
    for piece in text.chunks(16 << 10) {
        if stream.push(piece).is_err() {
            break;
        }
        most = most.max(stream.memory());
    }
    (stream.work() * 100 / text.len() as u64, most)
}

#[test]
fn an_ordinary_text_is_read_about_once_for_each_of_its_codings() {
    let mut costs = Vec::new();
    for (name, text) in ordinary() {
        let (work, _) = cost(&text);
        println!("{name}: {work} bytes read for 100");
        costs.push((name, work));
    }
    let most = [
        ("chat", 130),
        ("source", 130),
        ("prose", 150),
        ("base64", 420),
        ("hexadecimal", 520),
        ("bytes", 110),
    ];
    for ((name, work), (expected, most)) in costs.into_iter().zip(most) {
        assert!(name == expected && work <= most, "{name}: {work}");
    }
}

/// Base64 has four alignments, of three quarters of its length each: four bytes are read for one of it.
#[test]
fn no_text_costs_five_times_what_base64_costs() {
    for (name, text) in hostile() {
        let (work, memory) = cost(&text);
        println!("{name}: {work} bytes read for 100, {} KiB", memory >> 10);
        assert!(work <= 5 * 400, "{name}: {work}");
        assert!(memory <= 8 << 20, "{name}: {memory}");
    }
}

#[test]
fn an_ordinary_text_takes_no_more_memory_than_is_reserved() {
    for (name, text) in ordinary() {
        let (_, memory) = cost(&text);
        println!("{name}: {} KiB", memory >> 10);
        // What looks like the beginning of compressed data by chance is counted where it is.
        let inflater = if name == "base64" { 64 << 10 } else { 0 };
        assert!(memory <= RESERVED + inflater, "{name}: {memory}");
    }
}

/// An escape of what is no text ends a stretch; the next escape, of text, must not begin it again.
#[test]
fn an_escape_of_something_else_than_text_ends() {
    let token = super::join(&["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"]);
    let codings: [fn(u8) -> String; 5] = [
        |b| format!("&#{b};"),
        |b| format!("\\u00{b:02x}"),
        |b| format!("\\x{b:02x}"),
        |b| format!("={b:02X}"),
        |b| format!("%{b:02x}"),
    ];
    for coding in codings {
        let escaped = |text: &[u8]| text.iter().map(|b| coding(*b)).collect::<String>();
        for around in [&b"\xa72"[..], b"\xa7\xa72", b"x\x012\x01", b"\xff\xfe3\x80"] {
            let text = escaped(around).repeat(40);
            assert_eq!(scanner().text(&text), None, "{text}");
            let text = escaped(&[around, b" ", token.as_bytes(), b" ", around].concat());
            assert!(scanner().text(&text).is_some(), "{text}");
        }
    }
}

/// What is passed over in binary data is none of the text that a coding can be written in.
#[test]
fn a_secret_between_binary_data_is_found_in_any_coding_and_split() {
    let token = super::join(&["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"]);
    let hexes = ["", "\x0c", "\x0b \t", ", 0x"].map(|delimiter| super::views::hex(&token, delimiter));
    let codings = [base64(token.as_bytes()), base64(&base64(token.as_bytes()))];
    let percent = token.bytes().fold(String::new(), |text, b| text + &format!("%{b:02x}"));
    let all = hexes
        .map(String::into_bytes)
        .into_iter()
        .chain(codings)
        .chain([percent.into_bytes(), token.into_bytes()]);
    let scanner = scanner();
    for (at, coded) in all.enumerate() {
        // Vertical tabs stand between no two bytes.
        let expected = at != 2;
        for lead in (0..24).step_by(5) {
            let text = [&noise(6, 5000 + lead)[..], b"\0", &coded, b"\0", &noise(7, 900)].concat();
            for outer in [text.clone(), base64(&text)] {
                for split in [5000 + lead + 1, 5010 + lead, outer.len() / 2] {
                    let mut stream = scanner.stream();
                    let (head, tail) = outer.split_at(split);
                    let found =
                        stream.push(head).is_err() || stream.push(tail).is_err() || stream.finish().is_err();
                    assert_eq!(found, expected, "{at} after {lead}, split at {split}");
                }
            }
        }
    }
}
