use super::*;
use proptest::prelude::*;

const STRICT: PathRules = PathRules { allowlisted: true, encoded_slash: false };

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text, false).unwrap()
}

fn path(raw: &str) -> CanonicalPath {
    CanonicalPath::parse(raw.as_bytes(), STRICT).unwrap()
}

#[track_caller]
fn matches(entry: &str, yes: &[&str], no: &[&str]) {
    for raw in yes {
        assert!(pattern(entry).matches(&path(raw)), "{entry} must match {raw}");
    }
    for raw in no {
        assert!(!pattern(entry).matches(&path(raw)), "{entry} must not match {raw}");
    }
}

#[track_caller]
fn refused(text: &str, said: &str) {
    assert_eq!(PathPattern::parse(text, false).unwrap_err().to_string(), said);
}

#[test]
fn prefix_without_a_boundary() {
    matches(
        "/repos/me",
        &["/repos/me", "/repos/me/", "/repos/me/app/issues"],
        &["/repos/me-evil", "/repos/me.git", "/repos/me%20x", "/repos", "/", "/x/repos/me", "/repos/mee/me"],
    );
}

#[test]
fn encoded_spelling_of_the_same_path_matches() {
    matches("/repos/me", &["/%72epos/m%65"], &["/repos%40/me"]);
}

#[test]
fn case_sensitive_cve_2026_27587() {
    matches("/repos/acme", &["/repos/acme"], &["/Repos/ACME", "/repos/Acme"]);
}

#[test]
fn a_star_is_one_whole_segment() {
    matches(
        "/repos/*/issues",
        &["/repos/a/issues", "/repos/*/issues/7", "/repos/a.b-c/issues/"],
        &["/repos/issues", "/repos/a/b/issues", "/repos/a/issuesx", "/repos/"],
    );
    matches("/*", &["/a", "/a/b"], &["/"]);
}

#[test]
fn the_root_allows_every_path() {
    matches("/", &["/", "/a", "/a/b/"], &[]);
}

#[test]
fn a_path_that_was_not_canonicalised_never_matches() {
    let bare = CanonicalPath::parse(b"/a", PathRules::default()).unwrap();
    assert!(!pattern("/a").matches(&bare));
    assert!(!PathPattern::parse("/a", true).unwrap().matches(&path("/a")));
}

#[test]
fn an_encoded_slash_stays_inside_its_segment() {
    let scoped = PathPattern::parse("/@scope%2Fname", true).unwrap();
    let read = |raw: &str| {
        CanonicalPath::parse(raw.as_bytes(), PathRules { encoded_slash: true, ..STRICT }).unwrap()
    };
    assert!(scoped.matches(&read("/@scope%2fname/-/x")));
    assert!(!scoped.matches(&read("/@scope/name")));
    assert!(!PathPattern::parse("/@scope", true).unwrap().matches(&read("/@scope%2Fname")));
    refused("/@scope%2Fname", "the path holds `%2F`; only a route that says `encoded_slash: true` admits it");
}

#[test]
fn an_entry_that_is_not_canonical_shows_the_canonical_spelling() {
    refused("/%61", "the path is not in canonical form; write `/a`");
    refused("/caf%c3%a9", "the path is not in canonical form; write `/caf%C3%A9`");
    refused("/café", "the target holds a byte outside ASCII that is not percent-encoded; write `/caf%C3%A9`");
    refused("/a b", "the target holds a space or control character; write `/a%20b`");
    refused("/a//b", "the path holds an empty segment (`//`); write `/a/b`");
    refused("/a/./b", "the path holds a `.` or `..` segment, literally or encoded; write `/a/b`");
    refused("/a/../b", "the path holds a `.` or `..` segment, literally or encoded");
    refused("repos/acme", "the path does not begin with `/`; write `/repos/acme`");
    refused(
        "/a/",
        "the path ends in `/`, though an entry allows itself and all that lies below it; write `/a`",
    );
    refused("/a?b=c", "a query is not matched, only the path is; write `/a`");
    refused("/a#b", "the target holds a `#`; a fragment is not sent; write `/a`");
    refused("https://api.example.test/v1/", "the path does not begin with `/`; write `/v1`");
    refused("/a/**", "`*` stands for one whole segment and nothing else; write `/a`");
    refused("/a/v*", "`*` stands for one whole segment and nothing else");
    refused("", "the path does not begin with `/`; write `/`");
    refused("/a;b", "the path holds a `;`, which servers read differently");
}

proptest! {
    #[test]
    fn an_entry_matches_whole_segments(
        entry in proptest::collection::vec("[a-z]{1,3}", 1..4), more in "[a-z.~-]{1,3}", below in "[a-z]{1,3}",
    ) {
        let entry = format!("/{}", entry.join("/"));
        let own = pattern(&entry);
        prop_assert!(own.matches(&path(&entry)));
        let lower = format!("{entry}/{below}");
        prop_assert!(own.matches(&path(&lower)));
        let longer = format!("{entry}{more}");
        prop_assert!(!own.matches(&path(&longer)));
        prop_assert!(!pattern(&lower).matches(&path(&entry)));
    }

    #[test]
    fn equal_canonical_forms_have_equal_verdicts(entry in "(/[a-b]{1,2}){1,2}", raw in "(/[ab]{1,2}){1,3}", mask in any::<u64>()) {
        let encoded: String = raw.bytes().enumerate().map(|(at, b)| {
            if b != b'/' && mask >> (at % 64) & 1 == 1 { format!("%{b:02x}") } else { char::from(b).to_string() }
        }).collect();
        prop_assert_eq!(path(&encoded), path(&raw));
        prop_assert_eq!(pattern(&entry).matches(&path(&encoded)), pattern(&entry).matches(&path(&raw)));
    }

    #[test]
    fn parsing_never_panics_and_shows_spellings_that_parse(text in any::<String>(), slash in any::<bool>()) {
        for text in [format!("/{text}"), text] {
            if let Err(PathPatternError { canonical: Some(canonical), .. }) = PathPattern::parse(&text, slash) {
                prop_assert!(PathPattern::parse(&canonical, slash).is_ok(), "{}", canonical);
            }
        }
    }
}
