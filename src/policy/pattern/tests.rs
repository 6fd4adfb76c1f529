use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

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
        "the path ends in `/`, though an entry stands for itself and all that lies below it; write `/a`",
    );
    refused("/a?b=c", "a query is not matched, only the path is; write `/a`");
    refused("/a#b", "the target holds a `#`; a fragment is not sent; write `/a`");
    refused("https://api.example.test/v1/", "the path does not begin with `/`; write `/v1`");
    refused(
        "/a/**",
        "`*` stands for one whole segment, or for what follows a `%2F` in one, and nothing else; write `/a`",
    );
    refused(
        "/a/v*",
        "`*` stands for one whole segment, or for what follows a `%2F` in one, and nothing else",
    );
    refused("", "the path does not begin with `/`; write `/`");
    refused("/a;b", "the path holds a `;`, which servers read differently");
}

#[test]
fn an_entry_covers_what_lies_below_it_on_whole_segments() {
    for (old, new, expected) in [
        ("/repos/acme", "/repos/acme", true),
        ("/repos/acme", "/repos/acme/app", true),
        ("/repos/acme", "/repos/acme-evil", false),
        ("/repos/acme", "/repos/Acme", false),
        ("/repos/acme", "/repos/acme.git", false),
        ("/repos/acme/app", "/repos/acme", false),
        ("/repos/*/app", "/repos/acme/app", true),
        ("/repos/acme/app", "/repos/*/app", false),
        ("/repos/*", "/repos/*", true),
        ("/repos/*", "/repos", false),
        ("/*", "/", false),
        ("/*", "/%2A", true),
        ("/%2A", "/*", false),
        ("/", "/anything", true),
    ] {
        assert_eq!(pattern(old).covers(&pattern(new)), expected, "{old} {new}");
    }
}

#[test]
fn an_entry_that_admits_encoded_slashes_is_covered_by_none_that_does_not() {
    let slash = |text: &str| PathPattern::parse(text, true).unwrap();
    assert!(!pattern("/").covers(&slash("/a")), "`/a/x%2Fy` is new");
    assert!(slash("/").covers(&pattern("/a")));
    assert!(slash("/*").covers(&slash("/@scope%2Fname")));
    assert!(!slash("/@scope/name").covers(&slash("/@scope%2Fname")));
    assert!(!slash("/@scope").overlaps(&slash("/@scope%2Fname")));
    assert!(!pattern("/*").overlaps(&slash("/@scope%2Fname")));
}

/// Patterns and paths of up to `depth` of these segments.
fn texts(segments: &[&str], depth: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..depth {
        last = last.iter().flat_map(|text| segments.iter().map(move |s| format!("{text}/{s}"))).collect();
        all.extend(last.iter().cloned());
    }
    all.into_iter().map(|text| if text.is_empty() { "/".to_owned() } else { text }).collect()
}

/// Every path of a small world; `new` and `n%2Fw` are segments that no pattern of it names.
fn small_paths() -> Vec<String> {
    let mut paths = texts(&["a", "A", ".a", "a%2Fa", "%2A", "*", "new", "n%2Fw"], 3);
    let below: Vec<String> = paths.iter().map(|path| format!("{}/", path.trim_end_matches('/'))).collect();
    paths.extend(below);
    paths
}

fn small_patterns(encoded_slash: bool) -> Vec<PathPattern> {
    let segments = ["a", "A", ".a", "%2A", "*", "a%2Fa"];
    let segments = if encoded_slash { &segments[..] } else { &segments[..5] };
    texts(segments, 2).iter().map(|text| PathPattern::parse(text, encoded_slash).unwrap()).collect()
}

/// Which of the paths, as a client sends them, the entry allows when it reads them by its own rules.
fn allowed(pattern: &PathPattern, paths: &[String]) -> Vec<bool> {
    let rules = PathRules { encoded_slash: pattern.encoded_slash, ..STRICT };
    let read = |raw: &String| CanonicalPath::parse(raw.as_bytes(), rules);
    paths.iter().map(|raw| read(raw).is_ok_and(|path| pattern.matches(&path))).collect()
}

type Allowed = Vec<(PathPattern, Vec<bool>)>;

/// Every pattern without and with `encoded_slash`, and which paths it allows.
static WORLD: LazyLock<[Allowed; 2]> = LazyLock::new(|| {
    let paths = small_paths();
    [false, true].map(|slash| {
        small_patterns(slash)
            .into_iter()
            .map(|pattern| (pattern.clone(), allowed(&pattern, &paths)))
            .collect()
    })
});

#[test]
fn covers_and_overlaps_are_what_matches_says_of_every_path() {
    for (a, by_a) in WORLD.iter().flatten() {
        for (b, by_b) in WORLD.iter().flatten() {
            let all = by_a.iter().zip(by_b).all(|(a, b)| *a || !*b);
            let some = by_a.iter().zip(by_b).any(|(a, b)| *a && *b);
            let slashes = (a.encoded_slash, b.encoded_slash);
            assert_eq!(a.covers(b), all, "{a} covers {b} {slashes:?}");
            assert_eq!(a.overlaps(b), some, "{a} overlaps {b} {slashes:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_set_covers_what_it_allows_every_path_of(
        old in proptest::collection::vec(any::<proptest::sample::Index>(), 0..5),
        new in any::<proptest::sample::Index>(), slash in any::<bool>(),
    ) {
        let world = &WORLD[usize::from(slash)];
        let old: Vec<_> = old.iter().map(|at| at.get(world)).collect();
        let (new, by_new) = new.get(world);
        let all = (0..by_new.len()).all(|at| !by_new[at] || old.iter().any(|(_, by)| by[at]));
        let old: Vec<_> = old.iter().map(|(pattern, _)| pattern.clone()).collect();
        prop_assert_eq!(covers_all(&old, new), all, "{:?} {}", old, new);
    }

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

#[test]
fn a_star_after_an_encoded_slash_is_the_rest_of_the_segment() {
    let rules = PathRules { allowlisted: true, encoded_slash: true };
    let entry = |text: &str| PathPattern::parse(text, true).unwrap();
    let path = |raw: &str| CanonicalPath::parse(raw.as_bytes(), rules).unwrap();
    let scope = entry("/@acme%2F*");
    for yes in ["/@acme%2Fapp", "/@acme%2fapp", "/%40acme%2fapp/-/app-1.tgz", "/@acme%2F*"] {
        assert_eq!(scope.matches(&path(yes)), !yes.starts_with("/%40"), "{yes}");
    }
    for no in [
        "/@acme",
        "/@acme/app",
        "/@acme%2F",
        "/@acme-evil%2Fapp",
        "/@acme%2Fa%2Fb",
        "/x%2F@acme%2Fapp",
        "/@ACME%2Fapp",
    ] {
        assert!(!scope.matches(&path(no)), "{no}");
    }
    assert!(entry("/*").covers(&scope) && !scope.covers(&entry("/*")));
    assert!(
        scope.covers(&entry("/@acme%2Fapp")) && scope.covers(&entry("/@acme%2F*/-")) && scope.covers(&scope)
    );
    assert!(!scope.covers(&entry("/@acme%2Fa%2Fb")) && !scope.covers(&entry("/@other%2F*")));
    assert!(
        scope.overlaps(&entry("/*"))
            && scope.overlaps(&entry("/@acme%2Fapp"))
            && !scope.overlaps(&entry("/@other%2F*"))
    );
    for bad in ["/@acme%2Fx*", "/*%2F*", "/@acme*", "/%2F**"] {
        assert!(PathPattern::parse(bad, true).is_err(), "{bad}");
    }
    assert!(PathPattern::parse("/@acme%2F*", false).is_err());
    assert_eq!(PathPattern::parse("/@acme%2f*", true).unwrap_err().canonical.as_deref(), Some("/@acme%2F*"));
}
