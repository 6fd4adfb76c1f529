use super::super::path::PathRules;
use super::*;

fn deny(text: &str) -> DenyPath {
    DenyPath::parse(text).unwrap()
}

fn path(text: &str) -> CanonicalPath {
    let rules = PathRules { allowlisted: true, encoded_slash: false };
    CanonicalPath::parse(text.as_bytes(), rules).unwrap()
}

fn allow(text: &str) -> PathPattern {
    PathPattern::parse(text, false).unwrap()
}

#[test]
fn an_entry_refuses_every_spelling_of_what_it_names() {
    let entry = deny("/repos/@acme/Secret!");
    for spelled in [
        "/repos/@acme/Secret!",
        "/repos/@acme/Secret!/",
        "/repos/@acme/Secret!/a/b",
        "/REPOS/@Acme/secret!",
        "/repos/%40acme/Secret%21",
        "/re%70os/@acme/%53ecret!",
        "/repos/@acme/Secret!.git/info/refs",
        "/repos/@acme/Secret!.GIT",
        "/repos/@acme/Secret!.",
        "/repos/@acme/Secret!%20",
        "/repos/@acme./Secret!.git.",
        "/repos/@acme/Secret!%23x",
        "/repos/@acme/Secret!%3Fx",
        "/repos/@acme%3Bx/Secret!",
        "/repos/@ac%E2%80%8Bme/Secret!",
        "/repos/@acme/Secret!%C2%A0",
        "/repos/@%EF%BD%81cme/Secret!",
    ] {
        assert!(entry.matches(&path(spelled)), "{spelled}");
    }
    for other in
        ["/repos/@acme", "/repos/@acme/Secret", "/repos/@acme/Secret!s", "/x/repos/@acme/Secret!", "/"]
    {
        assert!(!entry.matches(&path(other)), "{other}");
    }
    assert!(deny("/hooks").matches(&path("/hooks.json")) && deny("/hooks").matches(&path("/hooks%2Exml/1")));
    assert!(deny("/hooks").matches(&path("/hooks.JSON.gz")) && !deny("/hooks.json").matches(&path("/hooks")));
    assert!(!deny("/v1").matches(&path("/v1.1")) && !deny("/v1").matches(&path("/v1.x-y")));
    assert!(deny("/caf%C3%89").matches(&path("/caf%C3%A9")), "letters beyond ASCII have a case too");
    assert!(deny("/a/b.git").matches(&path("/A/B/info/refs")), "the other way round as well");
    assert!(deny("/").matches(&path("/")));
}

#[test]
fn a_name_of_nothing_but_dots_or_git_is_itself() {
    let entry = deny("/*/.git");
    assert!(entry.matches(&path("/a/.git/config")));
    assert!(entry.matches(&path("/a/.GIT")));
    for other in ["/a", "/a/", "/a/git", "/a/b", "/a/..."] {
        assert!(!entry.matches(&path(other)), "{other}");
    }
    assert!(deny("/%23general").matches(&path("/%23General")));
    assert!(!deny("/%23general").matches(&path("/%23other")) && !deny("/%23").matches(&path("/%23x")));
    assert!(!deny("/a/*").matches(&path("/a/")), "`*` is no empty segment");
    assert!(deny("/%2A").matches(&path("/*")) && !deny("/%2A").matches(&path("/a")), "`%2A` is no `*`");
}

#[test]
fn what_is_no_entry_shows_what_was_meant() {
    let error = DenyPath::parse("/a//b/").unwrap_err();
    assert_eq!(error.canonical.as_deref(), Some("/a/b"));
    assert!(DenyPath::parse("/a%2Fb").is_err());
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

/// `covers` and `within` are what `matches` says of every path of a small world; no pattern of it names `new`.
#[test]
fn covers_and_within_are_what_matches_says_of_every_path() {
    let mut paths = texts(&["a", "A", "a.git", "a.js", "%21", "!", "*", "%2A", "new"], 3);
    paths.extend(paths.clone().iter().filter(|path| *path != "/").map(|path| format!("{path}/")));
    let paths: Vec<CanonicalPath> = paths.iter().map(|text| path(text)).collect();
    let written = texts(&["a", "A", "a.js", "!", "%2A", "*"], 2);
    let denied: Vec<DenyPath> = written.iter().map(|text| deny(text)).collect();
    for allowed in written.iter().chain(&texts(&["a.git", "%21"], 2)).map(|text| allow(text)) {
        for entry in &denied {
            let both = |path: &&CanonicalPath| allowed.matches(path) && entry.matches(path);
            let all = paths.iter().filter(|path| allowed.matches(path)).all(|path| entry.matches(path));
            assert_eq!(entry.covers(&allowed), all, "{entry} covers {allowed}");
            let within = entry.within(&allowed);
            assert_eq!(within.is_some(), paths.iter().any(|path| both(&path)), "{entry} within {allowed}");
            let Some(within) = within else { continue };
            assert!(entry.covers(&within) && allowed.covers(&within), "{entry} within {allowed}: {within}");
            // What the pattern can't say, another case of a name, is refused by whatever refuses the pattern.
            for other in denied.iter().filter(|other| other.covers(&within)) {
                assert!(
                    paths.iter().filter(both).all(|path| other.matches(path)),
                    "{entry} {allowed} {other}"
                );
            }
        }
    }
}
