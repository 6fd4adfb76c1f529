//! The scanner: every pattern, every encoding, no false alarm on data, one answer for every split of a stream.
//!
//! Tokens are put together at run time, so that no secret scanner trips over this file.

#[expect(clippy::format_collect, clippy::too_many_lines, reason = "a corpus is a list of short texts")]
mod corpora;
#[expect(clippy::too_many_lines, reason = "a table")]
mod kinds;
mod redact;
#[expect(clippy::format_collect, reason = "short texts")]
mod views;
mod work;

use base64::{Engine as _, engine::general_purpose as b64};
use bottle::dlp::{CustomPattern, Encoding, Finding, Scanner, SeedPhrases, Settings, Severity};
use proptest::prelude::*;

fn scanner() -> Scanner {
    Scanner::new(Settings::default()).unwrap()
}

/// A sequence that looks random and is the same every time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        })
        .collect()
}

fn letters(alphabet: &[u8], seed: u64, length: usize) -> String {
    noise(seed, length).iter().map(|b| char::from(alphabet[usize::from(*b) % alphabet.len()])).collect()
}

fn alnum(seed: u64, length: usize) -> String {
    letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", seed, length)
}

fn join(parts: &[&str]) -> String {
    parts.concat()
}

pub(crate) use kinds::tokens;

fn name(finding: Option<Finding>) -> Option<String> {
    finding.map(|f| f.pattern.to_string())
}

#[test]
fn every_pattern_is_found_in_text_in_json_and_under_each_encoding() {
    let scanner = scanner();
    let mut missed = Vec::new();
    let mut untested: Vec<_> = Scanner::builtin().map(|kind| kind.name).collect();
    for (pattern, token) in tokens() {
        untested.retain(|name| *name != pattern);
        let json = serde_json::json!({"text": format!("a line\nsee {token} there")}).to_string();
        let quoted = format!("the value:\n{token}\nand more");
        let cases = [
            ("alone", token.clone(), vec![]),
            ("in text", format!("look: {token} is it"), vec![]),
            ("after a line break in JSON", format!("{{\"t\": \"x\\n{}\"}}", json_text(&token)), vec![]),
            ("in JSON", json, vec![]),
            ("coloured", format!("{{\"t\": \"\\u001b[32m{}\\u001b[0m\"}}", json_text(&token)), vec![]),
            ("base64", format!("{{\"d\": \"{}\"}}", b64::STANDARD.encode(&quoted)), vec![Encoding::Base64]),
            ("url-safe", format!("d={}", b64::URL_SAFE_NO_PAD.encode(&quoted)), vec![Encoding::Base64]),
            ("unaligned", format!("abc{}", b64::STANDARD.encode(&quoted)), vec![Encoding::Base64]),
            ("wrapped", wrapped(&b64::STANDARD.encode("x".repeat(200) + &quoted)), vec![Encoding::Base64]),
            ("percent", percent(&quoted), vec![Encoding::Percent]),
            ("json escapes", unicode(&quoted), vec![Encoding::JsonEscape]),
            (
                "base64 of base64",
                b64::STANDARD.encode(b64::STANDARD.encode(&quoted)),
                vec![Encoding::Base64, Encoding::Base64],
            ),
            (
                "base64 of percent",
                b64::STANDARD.encode(percent(&quoted)),
                vec![Encoding::Base64, Encoding::Percent],
            ),
            (
                "percent of base64",
                percent(&b64::STANDARD.encode(&quoted)),
                vec![Encoding::Percent, Encoding::Base64],
            ),
        ];
        for (how, text, encodings) in cases {
            let finding = scanner.text(&text);
            let seen = finding.as_ref().map(|it| (&*it.pattern, &it.encodings));
            if seen != Some((pattern, &encodings)) {
                missed.push(format!("{pattern}, {how}: {seen:?} in {text}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
    untested.retain(|name| *name != "Decompression Bomb");
    assert!(untested.is_empty(), "no example for {untested:?}");
}

fn json_text(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |text, b| text + &format!("%{b:02X}"))
}

fn unicode(text: &str) -> String {
    text.bytes().fold(String::new(), |text, b| text + &format!("\\u{b:04x}"))
}

fn wrapped(text: &str) -> String {
    let lines: Vec<_> = text.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap()).collect();
    lines.join("\\n")
}

/// Kinds without a prefix of their own, whose shape is too common in the middle of a word. The documentation lists them.
const BOUNDED: [&str; 9] = [
    "Square Access Token",
    "Alibaba Access Key",
    "Facebook",
    "New Relic License",
    "Mailchimp",
    "Azure Client Secret",
    "Google OAuth Client ID",
    "Asana PAT",
    "Beamer",
];

/// No left or right boundary that a sender controls: prefix, length, alphabet and how random the value is decide.
#[test]
fn a_letter_or_digit_before_or_after_a_token_hides_nothing() {
    let scanner = scanner();
    let mut missed = Vec::new();
    for (pattern, token) in kinds::shapes() {
        if token.contains('=') && !token.ends_with('=') || BOUNDED.contains(&pattern) {
            // The name says what it is, or the shape says too little.
            continue;
        }
        for text in [
            format!("a{token}"),
            format!("9{token}"),
            format!("_{token}"),
            format!("{token}a"),
            format!("x{token}9Q"),
        ] {
            if scanner.text(&text).is_none() {
                missed.push(format!("{pattern}: {text}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn what_only_looks_like_a_token_is_none() {
    let scanner = scanner();
    for text in [
        join(&["ak", "ia", "q7zp2mx4kd9r1tbv"]),
        "0.4532015112830366, -0.4532015112830366".to_owned(),
        "let header = \"-----BEGIN PRIVATE KEY-----\";".to_owned(),
        "GITHUB_TOKEN=your_token_goes_here API_KEY=xxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
        "postgres://postgres:postgres@localhost/app postgres://app:${PASSWORD}@db/app".to_owned(),
        "123e4567-e89b-12d3-a456-426614174000 2026-11-24 10.0.0.1 1700000000000000".to_owned(),
        "https://api.test/v1?page=2&token=abcdefghijklmnop".to_owned(),
        // A hash, with the beginning of a kind in it.
        join(&["checksum = \"74d", "4b1db5ca40636726f1f73daff0d626accbd49bcd8136fcade87d7cf1e6bbb\""]),
        "return f'machine {host}{path} login {self.username} password {self.password}'".to_owned(),
        "machine HOSTNAME login USERID password \"PASSWORD\"".to_owned(),
        "def load(self, private_key: ed25519.Ed25519PrivateKey, f_priv: _FragList)".to_owned(),
        "if info.get(\"type\") == \"service_account\": # {\"type\": \"service_account\"}".to_owned(),
        "{\"access_token\":\"2YotnFZFEjr1zCsicMWpAA\",\"refresh_token\":\"tGzv3JOkF0XG5Qx2TlKWIA\"}"
            .to_owned(),
        "DEFAULT_CREDENTIALS_DEFAULT_CLIENT_SECRET = 'd-FL95Q19q7MQmFpd7hHD0Ty'".to_owned(),
        "<RoleId>AROADBQP57FF2AEXAMPLE</RoleId>".to_owned(),
        "AQAAAAAAAAAAEAAABBBQ2hAAEgAAAAEAAAAAJAAAAKQAAAAA".repeat(9),
        "SMALL LETTER UKRAINIAN GHE WITH UPTURN AND LATVIAN SMALL LETTER".to_owned(),
    ] {
        assert_eq!(scanner.text(&text), None, "{text}");
    }
}

/// The beginning that says what kind it is.
fn head(token: &str) -> usize {
    let first = &token[..token.len().min(24)];
    first.rfind(['_', '-', ':', '=', '.']).map_or(4, |at| at + 1)
}

/// Kinds of which the near miss is another kind, or that have no one length, or begin with what is random.
const NEAR: &[(&str, &str)] = &[
    ("Slack Token", "short"),
    ("Slack Token", "other"),
    ("Cerebras", "other"),
    ("GitLab Token", "stand-in"),
    ("Azure DevOps PAT", "other"),
    ("Google OAuth Client ID", "other"),
    ("Azure Client Secret", "other"),
    ("Azure Key", "other"),
    ("Azure Container Registry", "other"),
    ("Mailchimp", "other"),
    ("Stripe Key", "other"),
    ("Shippo", "other"),
    ("Extended Private Key", "other"),
    ("New Relic License", "other"),
    ("Terraform Cloud", "other"),
    ("MaxMind", "other"),
];

/// What is nearly a credential: too short, with another beginning, or what documentation writes in its place.
#[test]
fn a_near_miss_of_each_kind_is_none() {
    let scanner = scanner();
    let mut found = Vec::new();
    // What a name gives away is a secret by that name as well, whatever its length.
    let by_shape = |(_, token): &(&str, String)| !token.contains(['=', ':']);
    for (kind, token) in kinds::shapes().into_iter().filter(by_shape) {
        let (begins, rest) = token.split_at(head(&token));
        let first = char::from(token.as_bytes()[0] + 1);
        for (how, near) in [
            ("short", format!("{begins}{}", &rest[..rest.len() / 2])),
            ("other", format!("{first}{}", &token[1..])),
            ("stand-in", format!("{begins}{}", rest.replace(|c: char| c.is_ascii_alphanumeric(), "x"))),
        ] {
            let seen = name(scanner.text(format!("see {near} there")));
            if seen.is_some() && !NEAR.contains(&(kind, how)) {
                found.push(format!("(\"{kind}\", \"{how}\"), // {seen:?}: {near}"));
            }
        }
    }
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

/// Patterns without a left boundary refuse every image that a chat request carries.
#[test]
fn random_base64_is_no_credential() {
    let scanner = scanner();
    for seed in 0..12 {
        let data = noise(seed + 1, 225_000);
        let standard = b64::STANDARD.encode(&data);
        let body = format!("{{\"type\":\"image\",\"data\":\"{standard}\"}}");
        assert_eq!(scanner.text(&body), None, "standard, seed {seed}");
        assert_eq!(scanner.text(b64::URL_SAFE_NO_PAD.encode(&data)), None, "url-safe, seed {seed}");
        assert_eq!(scanner.text(&data), None, "bytes, seed {seed}");
    }
}

#[test]
fn a_placeholder_is_no_finding_and_what_extends_it_is_one() {
    let placeholder = join(&["sk-", "ant-oat01-", "bottle-placeholder-000000"]);
    let settings = Settings { placeholders: vec![placeholder.clone()], ..Settings::default() };
    let scanner = Scanner::new(settings).unwrap();
    assert_eq!(scanner.text(&placeholder), None);
    assert_eq!(scanner.text(format!("ANTHROPIC_TOKEN={placeholder}\n")), None);
    assert_eq!(scanner.text(b64::STANDARD.encode(format!("Bearer {placeholder}"))), None);
    assert_eq!(name(scanner.text(format!("{placeholder}1"))).as_deref(), Some("Anthropic"));
    let other = join(&["sk-", "ant-oat01-", &alnum(1, 30)]);
    assert_eq!(name(scanner.text(format!("{placeholder} {other}"))).as_deref(), Some("Anthropic"));
}

#[test]
fn an_exception_mutes_a_pattern_but_never_the_core() {
    let scanner = scanner();
    let token = join(&["hv", "s.", &alnum(35, 24)]);
    assert_eq!(scanner.except(["Vault"]).unwrap().text(&token), None);
    assert_eq!(name(scanner.text(&token)).as_deref(), Some("Vault"));
    let error = scanner.except(["GitHub Token"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the pattern \"GitHub Token\" belongs to the core that cannot be switched off, for no host"
    );
    let error = scanner.except(["Github"]).unwrap_err().to_string();
    assert_eq!(error, "no pattern is named \"Github\"; the name must be written as a finding shows it");
}

fn custom(regex: &str) -> Result<Scanner, String> {
    let custom =
        vec![CustomPattern { name: "Acme".to_owned(), regex: regex.to_owned(), severity: Severity::High }];
    Scanner::new(Settings { custom, ..Settings::default() }).map_err(|e| e.to_string())
}

#[test]
fn patterns_of_the_users_own_are_found_and_bad_ones_refused() {
    let scanner = custom(r"\bacme-[0-9]{6}\b").unwrap();
    for text in ["ACME-123456", "x acme-123456.", &b64::STANDARD.encode("some text and acme-123456")] {
        assert_eq!(name(scanner.text(text)).as_deref(), Some("Acme"), "{text}");
    }
    for text in ["acme-12345", "acme-1234567", "xacme-123456"] {
        assert_eq!(scanner.text(text), None, "{text}");
    }
    assert_eq!(
        custom("a*").unwrap_err(),
        "the pattern \"Acme\" matches the empty text, so every request would be refused"
    );
    assert!(
        custom("(").unwrap_err().starts_with(
            "the pattern \"Acme\" is not a regular expression that a stream can be scanned with: "
        )
    );
    assert_eq!(
        custom("a.{30}b.{30}c").unwrap_err(),
        "the patterns of this bottle's own are too large for one automaton; bound their repeats, or let them begin with literal text"
    );
}

#[test]
fn seed_phrases_are_looked_for_only_when_asked() {
    let phrase = format!("my words: {} about.", ["abandon"; 11].join(" "));
    assert_eq!(scanner().text(&phrase), None);
    let seed_phrases = Some(SeedPhrases { min_words: 12, verify_checksum: true });
    let scanner = Scanner::new(Settings { seed_phrases, ..Settings::default() }).unwrap();
    assert_eq!(name(scanner.text(&phrase)).as_deref(), Some("Seed Phrase"));
    let keys = phrase.replace(' ', "\": 1, \"");
    assert_eq!(scanner.text(keys), None);
}

#[test]
fn the_offset_of_a_finding_is_where_it_stands() {
    let token = join(&["gh", "p_", &alnum(3, 36)]);
    let finding = scanner().text(format!("0123456789{}{token}", " ".repeat(90_000))).unwrap();
    assert_eq!(finding.offset, 90_010);
    assert_eq!(finding.severity, Severity::Critical);
}

/// What would be forwarded of a stream, and the finding that ended it.
fn stream(scanner: &Scanner, text: &[u8], splits: &[usize]) -> (usize, Option<Finding>) {
    let (mut stream, mut forwarded, mut read) = (scanner.stream(), 0, 0);
    let mut splits = splits.iter().cycle();
    while read < text.len() {
        let length = (*splits.next().unwrap()).clamp(1, text.len() - read);
        match stream.push(&text[read..read + length]) {
            Ok(cleared) => forwarded += cleared,
            Err(finding) => return (forwarded, Some(finding)),
        }
        read += length;
        assert!(forwarded <= read);
    }
    match stream.finish() {
        Ok(cleared) => (forwarded + cleared, None),
        Err(finding) => (forwarded, Some(finding)),
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let token = (0..tokens().len(), 0..16_u8).prop_map(|(i, how)| {
        let token = tokens()[i].1.clone();
        match how {
            6 => views::hex(&token, ":"),
            7 => views::base32(&token),
            8 => views::entities(&token),
            9 => views::quoted_printable(&token),
            10 => views::wide(&token),
            11 => views::full_width(&token),
            12 => token.chars().flat_map(|c| [c, '\u{200b}']).collect(),
            13 => views::hex(&token, ""),
            14 => b64::STANDARD.encode(views::gzip(&token)),
            0 => b64::STANDARD.encode(&token),
            1 => percent(&token),
            2 => b64::URL_SAFE_NO_PAD.encode(percent(&token)),
            3 => wrapped(&b64::STANDARD.encode("y".repeat(100) + &token)),
            4 => token[..token.len() / 2].to_owned(),
            5 => unicode(&token),
            _ => token,
        }
    });
    prop_oneof![
        4 => "[ -~\\n]{0,60}",
        2 => (any::<u64>(), 0..400_usize).prop_map(|(s, n)| b64::STANDARD.encode(noise(s, n))),
        1 => token,
        1 => Just("\\n".to_owned()),
        1 => "%[0-9A-F]{2}|\\\\u00[0-7][0-9a-f]|\\x1b\\[[0-9]{1,2}m|&#1?[0-9]{2};|=[0-9A-F]{2}|=\\n|\u{200b}|ｇ",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_split_of_a_stream_gives_the_same_answer(
        pieces in prop::collection::vec(pieces(), 0..12),
        splits in prop::collection::vec(prop_oneof![1..4_usize, 1..200_usize], 1..20),
        with_placeholder in any::<bool>(),
    ) {
        let placeholders = if with_placeholder { vec![tokens()[3].1.clone()] } else { vec![] };
        let scanner = Scanner::new(Settings { placeholders, ..Settings::default() }).unwrap();
        let text = pieces.concat().into_bytes();
        let (_, whole) = stream(&scanner, &text, &[usize::MAX]);
        let (forwarded, split) = stream(&scanner, &text, &splits);
        prop_assert_eq!(&whole, &split);
        match split {
            None => prop_assert_eq!(forwarded, text.len()),
            // Under base64 an offset is exact to a group of characters.
            Some(finding) => {
                let begins = finding.offset + 4 * finding.encodings.len() as u64;
                prop_assert!(forwarded as u64 <= begins, "{} {:?}", forwarded, finding);
            }
        }
    }
}

/// A peer may wait for an answer before it sends more: what it sent must not stay behind.
#[test]
fn an_idle_stream_keeps_back_only_a_credential_that_has_begun() {
    let scanner = scanner();
    let text = b"a frame that ends in a wo";
    let mut stream = scanner.stream();
    assert_eq!(stream.push(text).unwrap() + stream.idle(), text.len());
    let begun = join(&["look: gh", "p_abc"]);
    let mut stream = scanner.stream();
    assert_eq!(stream.push(begun.as_bytes()).unwrap() + stream.idle(), 6);
}

/// The text before the first escape belongs to the token, and the escape may come in the next piece.
#[test]
fn a_token_whose_end_is_escaped_is_held_back_from_its_beginning() {
    let head = join(&["key: sk-", "ant-api03-lFT3xfWXNiWtC"]);
    for (mark, rest) in [
        ("%", "67%68%73%5F"),
        ("%6", "7%68%73%5F"),
        ("\\", "u0067\\u0068\\u0073"),
        ("\\u00", "67\\u0068\\u0073"),
    ] {
        let scanner = scanner();
        let mut stream = scanner.stream();
        let passed = stream.push(head.as_bytes()).unwrap() + stream.push(mark.as_bytes()).unwrap();
        assert!(passed <= 5, "{passed} bytes before {mark:?}");
        let found = stream.push(rest.as_bytes()).and_then(|_| stream.finish()).unwrap_err();
        assert_eq!(&*found.pattern, "Anthropic");
    }
}

/// `bottle scan` and `bottle explain --body` are the same scanner; neither repeats what it found.
#[test]
fn scan_says_place_and_kind_and_never_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let token = join(&["gl", "pat-", &alnum(5, 20)]);
    let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
    write(
        "a.txt",
        &format!("one\ntwo {token}\nthree {}\n", b64::STANDARD.encode(format!("see {token} there"))),
    );
    write("b.txt", "nothing here\n");
    let bottle = |arguments: &[&str]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_bottle"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    let (code, said) = bottle(&["scan", "a.txt", "b.txt"]);
    assert_eq!(said, "a.txt:2: GitLab PAT (critical)\na.txt:3: GitLab PAT (critical), written as base64\n");
    assert_eq!(code, Some(1));
    assert_eq!(bottle(&["scan", "b.txt"]), (Some(0), String::new()));
    let (_, said) = bottle(&["scan", "a.txt", "--format", "json"]);
    assert!(said.contains("\"kind\": \"GitLab PAT\"") && !said.contains(&token), "{said}");
    // What is no plain file is neither waited for nor followed; a link is what a commit has of it.
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    for (name, why) in [("pipe", "is a pipe"), ("/dev/zero", "is a device")] {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_bottle"))
            .args(["scan", name])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(2) && said.contains(why), "{said}");
    }
    fs_err::os::unix::fs::symlink("a.txt", folder.path().join("link")).unwrap();
    fs_err::os::unix::fs::symlink(&token, folder.path().join("telling")).unwrap();
    fs_err::create_dir(folder.path().join("module")).unwrap();
    assert_eq!(bottle(&["scan", "link", "module"]), (Some(0), String::new()));
    assert_eq!(bottle(&["scan", "telling"]).1, "telling:1: GitLab PAT (critical)\n");
    // Across the pieces that are read, each once and on its line.
    let line = format!("{}\n", "x ".repeat(70_000));
    write("long.txt", &format!("{line}{token}\n{line}{token}\n"));
    let wanted = "long.txt:2: GitLab PAT (critical)\nlong.txt:4: GitLab PAT (critical)\n";
    assert_eq!(bottle(&["scan", "long.txt"]), (Some(1), wanted.to_owned()));
    let (code, said) = bottle(&["scan", "--kinds"]);
    assert!(code == Some(0) && said.lines().count() > 230, "{said}");
    write(
        "bottle.yaml",
        "version: 1\nname: dev\nagent: {image: debian:12}\negress_proxy: {routes: [{host: a.example}]}\n",
    );
    let (code, said) = bottle(&["explain", "POST", "https://a.example/x", "--body", "a.txt"]);
    assert!(code == Some(1) && said.contains("GitLab PAT") && !said.contains(&token), "{said}");
}
