//! The table was made with moby's own code: `ignorefile` and `patternmatcher` v0.6.1 under Go 1.26, ignored where both
//! `MatchesOrParentMatches` and `MatchesUsingParentResults` (asked from the top down) say so.

use super::*;

/// The verdict on `path`, asked from the top down as the walk asks.
fn ignores(ignore: &DockerIgnore, path: &str) -> bool {
    let mut above = ignore.top();
    let mut ignored = false;
    for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
        let folder_ignored = ignored;
        (ignored, above) = ignore.evaluate(&above, &path[..end]);
        let folder = path[..end].rsplit_once('/').map(|(folder, _)| folder);
        if let (true, false, Some(folder)) = (folder_ignored, ignored, folder) {
            assert!(ignore.may_keep_below(folder), "{path} would not be reached");
        }
    }
    ignored
}

#[test]
fn every_verdict_is_the_one_of_the_builders() {
    // The file, what is ignored, what is kept.
    let cases = [
        ("", "", "a a/b"),
        ("# a\n\n  \n#b", "", "a #b"),
        (" #a", "#a", "a"),
        ("\u{feff}a\r\n  b  \r\n", "a b a/b", "c"),
        ("/a\n./b\nc/\nd//e\nf/../g\n/\n../h\n.", "a b c d/e g", "d f h x/a x"),
        ("a b", "", "a b"),
        ("! a\nb\n!b/c", "b b/d", "b/c b/c/d a"),
        ("*\n!a", "b .c b/c", "a a/b"),
        ("*\n!a/b", "a a/d", "a/b a/b/c"),
        ("a/*\n!a/b", "a/c", "a a/b a/b/c"),
        ("!a\na", "a a/b", ""),
        ("!!a\n!a\nb", "b", "!a a"),
        ("*.md\n!README*.md\nREADME-secret.md", "a.md README-secret.md", "README.md x/a.md"),
        ("*.md", "a.md x.md/y", "x/a.md"),
        ("**/*.md", "a.md x/a.md x/y/a.md", "a.mdx"),
        ("**/a", "a x/a x/y/a/z", "xa x/xa"),
        ("**a", "a xa x/xa", "b"),
        ("a/**", "a/b a/b/c", "a ab"),
        ("a**", "a ab ab/c", "b"),
        ("a/**/b", "a/b a/x/b a/x/y/b a/b/c", "ab"),
        ("a**/b", "a/b ax/b ax/y/b ab", ""),
        ("**", "a a/b", ""),
        ("**\n!**/*.rs", "a", "a.rs a/b.rs a/b.rs/c"),
        ("**\n!src/**", "src a", "src/a src/a/b"),
        ("**/**", "a a/b", ""),
        ("***", "a a/b", ""),
        ("*/b\n!x/b", "a/b a/b/c", "x/b b"),
        ("?", "a é a/b", "ab"),
        ("a?c", "abc", "a/c ac"),
        ("[a-c]x", "ax cx", "dx x"),
        ("[^a-c]x", "dx", "ax x"),
        ("[!a]x", "!x ax", "bx"),
        ("*[_]a", "x_a", "x-a xa"),
        ("x**y[-_]a", "xy-a", "xzy_a xya x-a x_a xa"),
        ("[\\]a]", "] a", "b"),
        ("[[]a", "[a", "a"),
        ("[a&&b]", "a & b", "c"),
        ("\\*a", "*a", "xa"),
        ("a\\?", "a?", "ab"),
        ("a.b", "a.b", "axb"),
        ("a.*", "a.b a.", "axb"),
        ("a+(b)$|{c}", "a+(b)$|{c}", ""),
        ("*.{js,ts}", "a.{js,ts}", "a.js"),
        ("a|b*", "a b bc ab xbc c|bx", ""),
        ("a^b", "a^b", "ab"),
        ("a^b*", "", "a^b a^bc"),
        ("é*", "é éa", "e"),
        ("A", "A", "a"),
        ("a/*.log\n!a", "", "a a/x.log a/x"),
        ("*\n!a/x\na", "a/y", "a/x"),
        ("a\n!a/b\na/b/c", "a/b/c", "a/b a/b/d"),
        ("**/node_modules\n!keep", "node_modules x/node_modules/y", "keep keep/node_modules"),
        ("a/b/c\n!a/b", "", "a/b/c a/b a/b/d"),
    ];
    for (file, ignored, kept) in cases {
        let ignore =
            DockerIgnore::parse(file.as_bytes()).unwrap_or_else(|problem| panic!("{file:?}: {problem:?}"));
        for path in ignored.split_whitespace() {
            assert!(ignores(&ignore, path), "{file:?} ignores {path}");
        }
        for path in kept.split_whitespace() {
            assert!(!ignores(&ignore, path), "{file:?} keeps {path}");
        }
    }
}

#[test]
fn what_no_builder_takes_is_refused_with_its_line() {
    let class = "a `[` begins no character class";
    let backslash = "it ends with a backslash";
    let alone = "a `!` stands alone; write what is to be kept behind it";
    let cases = [
        ("!", 1, alone),
        ("a\n! ", 2, alone),
        ("!/", 1, alone),
        ("[", 1, class),
        ("[]", 1, class),
        ("[]a]", 1, class),
        ("[^]", 1, class),
        ("[a", 1, class),
        ("[a-]", 1, class),
        ("[-a]", 1, class),
        (".*[", 1, class),
        ("!a[", 1, class),
        ("a*[", 1, class),
        ("a\n\n# x\n[", 4, class),
        ("a\\", 1, backslash),
        ("[b-a]*", 1, "the range `b-a` is empty"),
    ];
    for (file, line, text) in cases {
        let problem = Problem { line: Some(line), text: text.to_owned() };
        assert_eq!(DockerIgnore::parse(file.as_bytes()).unwrap_err(), problem, "{file:?}");
    }
}

#[test]
fn what_the_builders_read_in_another_way_than_its_author_is_refused() {
    let cases = [
        ("\\d*", "it has a backslash before `d`; write `d` alone"),
        ("\\é", "it has a backslash before `é`; write `é` alone"),
        ("a{2}*", "a number in braces repeats for the builder; write `\\{` for the character"),
        ("[[:alpha:]]", "`[:` begins a named class; write the characters"),
        ("a\0", "it holds a NUL character"),
    ];
    for (file, text) in cases {
        assert_eq!(DockerIgnore::parse(file.as_bytes()).unwrap_err().text, text, "{file:?}");
    }
    assert_eq!(DockerIgnore::parse(b"a\xff").unwrap_err().text, "it is not UTF-8; write it as UTF-8");
}

#[test]
fn an_ignored_folder_is_entered_only_for_an_exception() {
    let cases = [
        ("a", "a", false),
        ("a\n!b", "a", false),
        ("a\n!a/b/c", "a", true),
        ("a\n!a/b/c", "a/b", true),
        ("a\n!a/b/c", "a/x", false),
        ("a\n!a/b", "a/b/c", true),
        ("a\n!**/x", "a/b", true),
        ("a\n!b/*", "a", false),
        ("a\n!a/*/c", "a/b", true),
    ];
    for (file, folder, entered) in cases {
        let ignore = DockerIgnore::parse(file.as_bytes()).unwrap();
        assert_eq!(ignore.may_keep_below(folder), entered, "{file:?}: {folder}");
    }
}

#[test]
fn a_file_without_measure_is_refused() {
    let text =
        |file: String| DockerIgnore::parse(file.as_bytes()).map(|_| ()).map_err(|problem| problem.text);
    let long = "it has more than 1000 patterns or 32768 bytes; shorten it".to_owned();
    assert_eq!(text("a\n".repeat(1000)), Ok(()));
    assert_eq!(text("a\n".repeat(1001)), Err(long.clone()));
    assert_eq!(text("a".repeat(32_768)), Ok(()));
    assert_eq!(text("a".repeat(32_769)), Err(long));
    assert_eq!(text("# a\n".repeat(100_000)), Ok(()));
    let complex = "its patterns are too complex together; use fewer wildcards".to_owned();
    assert_eq!(text(format!("{}\n", "?".repeat(30)).repeat(1000)), Err(complex));
}

/// Patterns that take a backtracking matcher years: this test would not end.
#[test]
fn no_pattern_is_slow() {
    let hostile = format!("{}b\n", "*a".repeat(14)).repeat(70);
    let ignore = DockerIgnore::parse(hostile.as_bytes()).unwrap();
    let path = "a".repeat(200);
    for _ in 0..20 {
        assert!(!ignores(&ignore, &path));
    }
}
