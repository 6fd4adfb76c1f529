//! Secrets that are taken out of a text on its way.

use super::{join, scanner, tokens};
use bottle::dlp::{CustomPattern, Finding, Form, Redactor, Scanner, SeedPhrases, Settings, mark};

fn github() -> String {
    join(&["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"])
}

/// All that goes on, in pieces that end at these places; after each of those in `pauses` the text pauses.
fn through(
    scanner: &Scanner,
    form: Form,
    text: &[u8],
    ends: &[usize],
    pauses: &[usize],
) -> Result<String, Finding> {
    let mut redactor = scanner.redactor(form);
    let mut out = Vec::new();
    let mut from = 0;
    for end in ends.iter().copied().chain([text.len()]) {
        out.extend(redactor.push(&text[from..end])?);
        if pauses.contains(&end) {
            out.extend(redactor.idle());
        }
        from = end;
    }
    out.extend(redactor.finish()?);
    Ok(String::from_utf8(out).unwrap())
}

fn json(text: &str) -> String {
    serde_json::json!({"messages": [{"role": "user", "content": format!("See:\n\t{text}\nand \"go\" on.")}], "n": 1})
        .to_string()
}

/// The longest run of letters and digits: what is random of a token.
fn random_part(token: &str) -> &str {
    token.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|part| part.len()).unwrap()
}

/// Whether a part of a secret of at least eight characters stands in a text.
fn shows(text: &str, secret: &str) -> bool {
    let bytes = secret.as_bytes();
    bytes.windows(8).any(|part| text.contains(std::str::from_utf8(part).unwrap()))
}

#[test]
fn a_token_is_removed_wherever_the_text_is_split_and_whenever_it_pauses() {
    let scanner = scanner();
    let token = github();
    let text = json(&token);
    let expected = text.replace(&token, "[secret removed by bottle: GitHub Token]");
    let begins = text.find(&token).unwrap();
    for split in begins - 8..begins + token.len() + 8 {
        for form in [Form::Json, Form::Text] {
            let whole = through(&scanner, form, text.as_bytes(), &[split], &[]).unwrap();
            assert_eq!(whole, expected, "split at {split}");
            // After a pause the beginning of the word may not come again.
            let paused = through(&scanner, form, text.as_bytes(), &[split], &[split]).unwrap();
            assert_eq!(paused, expected, "pause at {split}");
        }
    }
    let every: Vec<usize> = (1..text.len()).collect();
    assert_eq!(through(&scanner, Form::Json, text.as_bytes(), &every, &every).unwrap(), expected);
}

/// Nothing of a secret goes on while it is not complete, and all else does.
#[test]
fn what_goes_on_in_a_pause_is_no_part_of_a_secret() {
    let scanner = scanner();
    let mut redactor = scanner.redactor(Form::Json);
    let token = github();
    let mut out = redactor.push(format!("{{\"a\":\"text\\n{}", &token[..20]).as_bytes()).unwrap();
    out.extend(redactor.idle());
    assert_eq!(String::from_utf8_lossy(&out), "{\"a\":\"text\\n");
    out.extend(redactor.push(&token.as_bytes()[20..]).unwrap());
    out.extend(redactor.push(b"\"}").unwrap());
    out.extend(redactor.idle());
    assert_eq!(String::from_utf8_lossy(&out), format!("{{\"a\":\"text\\n{}\"}}", mark("GitHub Token")));
    assert_eq!(redactor.removed().iter().collect::<Vec<_>>(), [("GitHub Token", 1)]);
}

/// What goes on holds nothing that the scanner which refuses would refuse, is JSON if it was, and shows no secret.
#[test]
fn every_kind_is_removed_and_what_is_left_is_clean() {
    let scanner = scanner();
    let mut refused = Vec::new();
    for (kind, token) in tokens() {
        for (form, text) in [(Form::Json, json(&token)), (Form::Text, format!("See:\n{token}\nand go on.\n"))]
        {
            let Ok(out) = through(&scanner, form, text.as_bytes(), &[], &[]) else {
                refused.push(format!("{kind} in {form:?}"));
                continue;
            };
            assert!(out.contains("[secret removed by bottle: "), "{kind}: {out}");
            assert!(!shows(&out, random_part(&token)), "{kind} {form:?}: {out}");
            let ends = !token.contains("BEGIN") && !token.contains("Private-Lines");
            assert!(!ends || out.contains("go"), "{kind} {form:?}: what follows goes on: {out}");
            if let Some(found) = scanner.text(&out) {
                refused.push(format!("{kind} in {form:?}: {found:?} {out}"));
            }
            if form == Form::Json {
                serde_json::from_str::<serde_json::Value>(&out)
                    .unwrap_or_else(|e| panic!("{kind}: {e}: {out}"));
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn the_whole_of_a_secret_goes_however_long_it_is() {
    let scanner = scanner();
    let long = join(&["sk-", "ant-api03-", &super::alnum(5, 90), "-", &super::alnum(6, 900), "AA"]);
    let jwt = join(&[
        "ey",
        "JhbGciOiJIUzI1NiJ9",
        ".ey",
        "JzdWIiOiI5ODc2NTQzMjEwIn0",
        &super::alnum(7, 80),
        ".",
        &super::alnum(8, 43),
    ]);
    let slashes = join(&["AWS_SECRET_ACCESS_KEY=", &super::alnum(9, 20), "\\/", &super::alnum(10, 19)]);
    for token in [long, jwt, slashes] {
        let text = format!("{{\"a\": \"{token}\", \"b\": [1, 2]}}");
        for at in [text.len() / 3, text.len() / 2] {
            let out = through(&scanner, Form::Json, text.as_bytes(), &[at], &[]).unwrap();
            assert!(out.ends_with("]\", \"b\": [1, 2]}"), "{out}");
            assert!(!shows(&out, random_part(&token)), "{out}");
            serde_json::from_str::<serde_json::Value>(&out).unwrap();
        }
    }
}

#[test]
fn a_key_goes_with_all_of_its_lines() {
    let scanner = scanner();
    let lines: Vec<String> = (0..25).map(|n| super::alnum(100 + n, 64)).collect();
    let begin = join(&["-----BEGIN RSA PRI", "VATE KEY-----"]);
    let key = format!("{begin}\n{}\n-----END RSA PRIVATE KEY-----", lines.join("\n"));
    let ssh =
        key.replace("-----BEGIN", "---- BEGIN").replace("-----END", "---- END").replace("-----", " ----");
    let putty = format!("{}-Lines: 25\n{}\nPrivate-MAC: {}\n", "Private", lines.join("\n"), "0f".repeat(32));
    let numbered =
        key.lines().zip(1..).fold(String::new(), |text, (line, n)| text + &format!("{n:6}\u{2192}{line}\n"));
    for key in [key.clone(), ssh, putty, numbered, key[..900].to_owned()] {
        let text = json(&key);
        for step in [1, 7, 300, text.len()] {
            let ends: Vec<usize> = (step..text.len()).step_by(step).collect();
            let out = through(&scanner, Form::Json, text.as_bytes(), &ends, &ends).unwrap();
            let value: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(value["n"], 1);
            assert!(lines.iter().all(|line| !shows(&out, line)), "{out}");
            assert_eq!(scanner.text(&out), None, "{out}");
        }
    }
    // In text only its last line ends a key, and what has none is no key.
    let endless = format!("{begin}\n{}", lines.join("\n").repeat(60));
    assert!(through(&scanner, Form::Text, endless.as_bytes(), &[], &[]).is_err());
}

#[test]
fn a_number_of_json_becomes_a_string() {
    let card = join(&["4539148", "803436467"]);
    let text = format!("{{\"card\": {card}, \"and\": [{card}], \"x\": \"card {card}\"}}");
    let out = through(&scanner(), Form::Json, text.as_bytes(), &[], &[]).unwrap();
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["card"], mark("Credit Card"));
    assert!(!out.contains(&card), "{out}");
}

/// What would break the text is refused: a secret that is no part of one string.
#[test]
fn what_can_not_be_replaced_is_an_error() {
    let token = github();
    for text in [format!("{{{token}: 1}}"), format!("[{token}]"), token.clone()] {
        let found = through(&scanner(), Form::Json, text.as_bytes(), &[], &[]).unwrap_err();
        assert_eq!(&*found.pattern, "GitHub Token");
        assert!(through(&scanner(), Form::Text, text.as_bytes(), &[], &[]).unwrap().contains("removed"));
    }
    let many = format!("{token} ").repeat(1001);
    assert!(through(&scanner(), Form::Text, many.as_bytes(), &[], &[]).is_err());
    let allowed = format!("{token} ").repeat(1000);
    let out = through(&scanner(), Form::Text, allowed.as_bytes(), &[], &[]).unwrap();
    assert!(out.len() < allowed.len() + Redactor::most());
}

#[test]
fn patterns_of_the_users_own_and_seed_phrases_go_too() {
    let custom = vec![
        CustomPattern::own("Ticket \"x\"", r"TICKET-[0-9]{6,9}\b"),
        CustomPattern::own("Word", "wolpertinger"),
    ];
    let seed_phrases = Some(SeedPhrases { min_words: 12, verify_checksum: true });
    let scanner = Scanner::new(Settings { custom, seed_phrases, ..Settings::default() }).unwrap();
    let phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    for (secret, kind) in [
        ("TICKET-123456", "Ticket \"x\""),
        ("ticket-123456789", "Ticket \"x\""),
        ("Wolpertinger", "Word"),
        (phrase, "Seed Phrase"),
    ] {
        let text = json(secret);
        for end in 1..text.len() {
            let out = through(&scanner, Form::Json, text.as_bytes(), &[end], &[]).unwrap();
            assert_eq!(out, text.replace(secret, &mark(kind)), "{end}");
        }
        for end in 1..text.len() {
            let out = through(&scanner, Form::Json, text.as_bytes(), &[end], &[end]).unwrap();
            assert_eq!(out, text.replace(secret, &mark(kind)), "pause at {end}");
        }
        let alone = through(&scanner, Form::Text, secret.as_bytes(), &[], &[]).unwrap();
        assert_eq!(alone, mark(kind));
    }
}

/// A mark is what it says wherever it stands.
#[test]
fn a_mark_is_no_secret() {
    let scanner = scanner();
    for kind in Scanner::builtin() {
        let mark = mark(kind.name);
        for text in [
            format!("TOKEN={mark}"),
            format!("{{\"api_key\": \"{mark}\"}}"),
            format!("https://a:{mark}@b.test/"),
            mark.repeat(3),
        ] {
            assert_eq!(scanner.text(&text), None, "{text}");
        }
    }
    assert_eq!(mark("a\"b\\c]\n\u{e9}"), "[secret removed by bottle: a?b?c???]");
}
