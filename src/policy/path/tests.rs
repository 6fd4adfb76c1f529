use super::*;
use proptest::prelude::*;

const BARE: PathRules = PathRules { allowlisted: false, encoded_slash: false };
const STRICT: PathRules = PathRules { allowlisted: true, encoded_slash: false };
const SLASHED: PathRules = PathRules { allowlisted: true, encoded_slash: true };

fn read(raw: &str, rules: PathRules) -> Result<String, PathError> {
    CanonicalPath::parse(raw.as_bytes(), rules).map(|path| path.as_str().to_owned())
}

#[track_caller]
fn all_refused(paths: &[&str], rules: PathRules, error: PathError) {
    for path in paths {
        assert_eq!(read(path, rules), Err(error), "{path}");
    }
}

#[track_caller]
fn all_unchanged(paths: &[&str], rules: PathRules) {
    for path in paths {
        assert_eq!(read(path, rules).as_deref(), Ok(*path));
    }
}

/// `/public/..%2fadmin` was matched before it was normalised (Envoy).
#[test]
fn dot_segments_cve_2019_9901() {
    let dots = [
        "/..",
        "/../",
        "/a/..",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/.%2e/b",
        "/a/%2E./b",
        "/a/%2e%2E",
        "/a/..%20/b",
        "/a/\u{FF0E}",
        "/%2e%2e",
    ];
    for rules in [BARE, STRICT, SLASHED] {
        all_refused(&dots[..9], rules, PathError::DotSegment);
    }
    all_unchanged(&["/...", "/a..b", "/..a", "/a..", "/.git", "/a/.well-known/b", "/%2E%2Ea", "/v1.0"], BARE);
    all_unchanged(&["/...", "/a..b", "/..a", "/a..", "/.git", "/a/.well-known/b", "/v1.0"], STRICT);
}

#[test]
fn dot_segments_behind_encoded_separators() {
    for rules in [BARE, SLASHED] {
        all_refused(
            &["/a/..%2fb", "/a%2f..%2fb", "/a%2F%2e%2e", "/a%2f.%2e%2Fb"],
            rules,
            PathError::DotSegment,
        );
    }
    all_refused(&["/a%5c..%5cb", "/..%5Cb"], BARE, PathError::DotSegment);
    all_refused(&["/a%2F.%2Fb", "/a/.%2Fb"], SLASHED, PathError::DotSegment);
}

/// Full-width and other characters that NFKC makes dots and slashes of.
#[test]
fn dot_segments_in_compatibility_characters() {
    for rules in [BARE, STRICT] {
        let wide = ["/a/%EF%BC%8E%EF%BC%8E/b", "/a/%E2%80%A5/b", "/a/.%EF%BC%8E", "/a%EF%BC%8F..%EF%BC%8Fb"];
        all_refused(&wide, rules, PathError::DotSegment);
    }
    all_unchanged(&["/a/%E2%80%A6", "/%EF%BC%A1"], STRICT);
}

/// What ends a target for whoever reads the decoded one again, and what nobody sees, do not hide one.
#[test]
fn dot_segments_beside_what_is_cut_off_or_not_seen() {
    let hidden = ["..%23", "%2e%2e%3fx", "..%c2%a0", ".%e2%80%8b.", "..%ef%bb%bf", "..%e3%80%80", "%c2%ad.."];
    for rules in [BARE, STRICT] {
        let paths = hidden.map(|it| format!("/a/{it}/b"));
        all_refused(&paths.each_ref().map(String::as_str), rules, PathError::DotSegment);
    }
    all_unchanged(
        &["/rooms/%23general", "/a/what%3F", "/a/.%23x/..x%23", "/%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB"],
        BARE,
    );
    all_unchanged(&["/rooms/%23general", "/a/what%3F", "/a/x.%3F"], STRICT);
}

/// `/..;x=1/admin`: the parameter hid the dot segment from one reader (Envoy).
#[test]
fn matrix_parameters_cve_2026_73551() {
    all_refused(&["/..;x=1/admin", "/a;b/c", "/a/;", "/a;", "/;/a"], STRICT, PathError::Semicolon);
    all_refused(&["/..%3Bx=1/admin", "/a/.%3B/b"], STRICT, PathError::DotSegment);
    all_refused(&["/..;x=1/admin", "/..%3bx/admin", "/a/..;/b", "/a/%2e%2e;x"], BARE, PathError::DotSegment);
    all_unchanged(&["/a;b=c/d;e", "/a;", "/a%3Bb"], BARE);
    all_unchanged(&["/a%3Bb"], STRICT);
}

/// `%2F` and `%5C` were matched encoded and used decoded (Envoy).
#[test]
fn encoded_slash_and_backslash_cve_2021_29492() {
    all_refused(&["/a%2Fb", "/a%2fb", "/%2F", "/@scope%2fname"], STRICT, PathError::EncodedSlash);
    all_refused(&["/a%5Cb", "/a%5cb", "/a\\b", "/\\a"], STRICT, PathError::Backslash);
    all_refused(&["/a%5Cb", "/a\\b"], SLASHED, PathError::Backslash);
    all_refused(&["/a\\b", "/\\"], BARE, PathError::Backslash);
    all_unchanged(&["/a%2Fb", "/a%2fb", "/a%5cb"], BARE);
}

#[test]
fn encoded_slash_opted_in_stays_encoded_inside_a_segment() {
    assert_eq!(read("/@scope%2fname/-/x.tgz", SLASHED).as_deref(), Ok("/@scope%2Fname/-/x.tgz"));
    let path = CanonicalPath::parse(b"/a%2Fb/c", SLASHED).unwrap();
    assert_eq!(path.segments().collect::<Vec<_>>(), ["a%2Fb", "c"]);
    all_refused(&["/a%2F%2Fb", "/a/%2Fb", "/a%2F/b", "/%2Fa"], SLASHED, PathError::EmptySegment);
}

#[test]
fn double_encoding() {
    all_refused(
        &["/%252e%252e/a", "/a%252Fb", "/%2541", "/a%25%32e", "/%25%36%31", "/%2525"],
        STRICT,
        PathError::DoubleEncoding,
    );
    all_unchanged(&["/100%25", "/%25zz", "/a%25/b", "/%25%C3%A9"], STRICT);
    all_refused(&["/%252e%252e/a", "/a/%25252e./b", "/a%252f..%252fb"], BARE, PathError::DotSegment);
    all_unchanged(&["/a%252Fb", "/%2541", "/a%2525b"], BARE);
    all_refused(&["/%25252525252525252e", "/%2525252525252525252e%2e"], BARE, PathError::TooDeep);
}

#[test]
fn double_slash_and_single_dot() {
    all_refused(&["//", "//a", "/a//b", "/a//", "///", "/a/%20/b"], STRICT, PathError::EmptySegment);
    all_refused(&["/.", "/./", "/a/./b", "/a/.", "/a/%2e/b", "/%2E"], STRICT, PathError::DotSegment);
    all_unchanged(&["//", "//a", "/a//b", "/./a", "/a/%2e/b", "/."], BARE);
    all_unchanged(&["/", "/a", "/a/", "/a/b/"], STRICT);
}

/// A `#fragment` was cut by the matcher's reader only (Envoy).
#[test]
fn hash_in_the_target_cve_2021_32779() {
    for rules in [BARE, STRICT] {
        all_refused(&["/a#b", "/#", "/admin#/public", "/a/..#"], rules, PathError::Fragment);
        assert!(read("/a%23b", rules).is_ok());
    }
}

#[test]
fn unreserved_characters_encoded_and_lower_case_hex() {
    assert_eq!(read("/%61%2D%5f%7E%30", STRICT).as_deref(), Ok("/a-_~0"));
    assert_eq!(read("/caf%c3%a9", STRICT).as_deref(), Ok("/caf%C3%A9"));
    assert_eq!(read("/%41dmin", STRICT).as_deref(), Ok("/Admin"));
    assert_eq!(
        read("/a%40b@c%3a:", STRICT).as_deref(),
        Ok("/a%40b@c%3A:"),
        "reserved characters stay as they are"
    );
    all_unchanged(&["/%61", "/caf%c3%a9"], BARE);
}

/// Browsers send these raw, RFC 3986 wants them escaped.
#[test]
fn characters_that_may_not_stand_raw_are_escaped() {
    assert_eq!(read("/[id]|{x}^`\"<>", STRICT).as_deref(), Ok("/%5Bid%5D%7C%7Bx%7D%5E%60%22%3C%3E"));
    all_unchanged(&["/[id]|{x}^`\"<>"], BARE);
    all_unchanged(&["/!$&'()*+,=:@-._~"], STRICT);
}

#[test]
fn control_bytes_and_spaces() {
    for rules in [BARE, STRICT, SLASHED] {
        let raw = [
            "/a b",
            "/a\tb",
            "/a\0",
            "/a\x7f",
            "/a\r\nX: y",
            "/a\x0b",
            "/%00",
            "/a%09b",
            "/a%0d%0aX:y",
            "/%7f",
            "/%C2%85",
        ];
        all_refused(&raw, rules, PathError::Control);
        assert!(read("/a%20b", rules).is_ok());
    }
}

#[test]
fn overlong_or_invalid_utf8() {
    for rules in [BARE, STRICT] {
        let escaped =
            ["/%c0%ae%c0%ae/", "/%c0%af", "/%e0%80%ae", "/%ff", "/%C3", "/%ed%a0%80", "/%f8%80%80%80%ae"];
        all_refused(&escaped, rules, PathError::NotUtf8);
        all_refused(&["/é", "/日本"], rules, PathError::NotAscii);
        assert_eq!(CanonicalPath::parse(b"/\xc0\xae", rules), Err(PathError::NotAscii));
    }
}

#[test]
fn a_percent_sign_that_is_no_escape() {
    for rules in [BARE, STRICT] {
        all_refused(&["/%", "/a%", "/%4", "/%zz", "/%u002e", "/%%32e", "/% 2e"], rules, PathError::BadEscape);
    }
}

/// `/Repos/ACME` on an upstream that does not mind case (Caddy): the rule's spelling is the only one.
#[test]
fn case_is_kept_cve_2026_27587() {
    assert_ne!(read("/Repos/ACME", STRICT), read("/repos/acme", STRICT));
}

#[test]
fn only_a_path_is_a_path() {
    all_refused(&["", "*", "a", "a/b", "http://x.test/", "%2Fa", "?"], BARE, PathError::NotAbsolute);
    all_refused(&["/a?b"], STRICT, PathError::Query);
}

#[test]
fn errors_say_what_is_wrong() {
    let said = |error: PathError| error.to_string();
    assert_eq!(
        said(PathError::EncodedSlash),
        "the path holds `%2F`; only a route that says `encoded_slash: true` admits it"
    );
    assert_eq!(said(PathError::DotSegment), "the path holds a `.` or `..` segment, literally or encoded");
}

/// Decodes as plainly as can be: a reader that shares no code with the one under test.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let value = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let value = value.filter(|_| *first == b'%' && !tail.starts_with(b"+"));
        out.push(value.unwrap_or(*first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Paths made of what tricks are made of.
fn tricky() -> impl Strategy<Value = String> {
    let part = proptest::sample::select(vec![
        "/",
        "/",
        ".",
        "..",
        "%2e",
        "%2E",
        "%25",
        "25",
        "2e",
        "2f",
        "%2f",
        "%2F",
        "%5c",
        "\\",
        ";",
        "%3b",
        "a",
        "A",
        "%61",
        "é",
        "%c3%a9",
        "%00",
        " ",
        "%20",
        "#",
        "?",
        "*",
        "%",
        "%c0%ae",
        "x",
        "repos",
        "acme",
        "+",
        "%EF%BC%8E",
        "|",
        "%7c",
        ":",
        "@",
    ]);
    proptest::collection::vec(part, 0..14).prop_map(|parts| format!("/{}", parts.concat()))
}

fn rules() -> impl Strategy<Value = PathRules> {
    proptest::sample::select(vec![BARE, STRICT, SLASHED])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn canonicalisation_is_idempotent(raw in tricky(), rules in rules()) {
        if let Ok(path) = CanonicalPath::parse(raw.as_bytes(), rules) {
            prop_assert_eq!(CanonicalPath::parse(path.as_str().as_bytes(), rules), Ok(path));
        }
    }

    #[test]
    fn without_an_allowlist_nothing_is_rewritten(raw in tricky()) {
        if let Ok(path) = CanonicalPath::parse(raw.as_bytes(), BARE) {
            prop_assert_eq!(path.as_str(), raw);
        }
    }

    #[test]
    fn no_decoding_of_a_canonical_path_holds_a_dot_segment(raw in tricky(), rules in rules()) {
        let Ok(path) = CanonicalPath::parse(raw.as_bytes(), rules) else { return Ok(()) };
        let mut reading = path.as_str().to_owned();
        for _ in 0..8 {
            for segment in reading.split(['/', '\\']) {
                let segment = segment.split(';').next().unwrap();
                prop_assert_ne!(segment, "..", "{} in {}", reading, path);
                prop_assert!(!rules.allowlisted || segment != ".", "{} in {}", reading, path);
            }
            reading = decode(&reading);
        }
    }

    #[test]
    fn a_canonical_path_is_visible_ascii_without_separators_that_differ(raw in tricky(), slash in any::<bool>()) {
        let rules = PathRules { allowlisted: true, encoded_slash: slash };
        let Ok(path) = CanonicalPath::parse(raw.as_bytes(), rules) else { return Ok(()) };
        let text = path.as_str();
        prop_assert!(text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()));
        prop_assert!(!text.contains("//") && !text.contains([';', '\\', '#', '?']));
        prop_assert!(slash || !text.contains("%2F"));
    }

    #[test]
    fn reading_never_panics(raw in proptest::collection::vec(any::<u8>(), 0..60), rules in rules()) {
        let _ = CanonicalPath::parse(&raw, rules);
        let mut absolute = vec![b'/'];
        absolute.extend(raw);
        let _ = CanonicalPath::parse(&absolute, rules);
    }
}
