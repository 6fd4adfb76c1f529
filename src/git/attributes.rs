//! `.gitattributes` (`gitattributes(5)`): where git gives a file another encoding at a checkout, so that what a reviewer
//! reads in a commit is not what is built from.
//!
//! Which file a pattern is about depends on the machine and on the command: git compares bytes, with or without case
//! (`core.ignorecase`), and leaves out a byte order mark when it reads the file from the disk, but not from the index.
//! So nothing is matched as git does it. A pattern is about a file unless it can't be, under any of these readings.

use std::collections::{HashMap, HashSet};

/// The name of the files.
const FILE: &str = ".gitattributes";

/// What makes a checkout another text: an encoding, and `$Id$`. A filter is a program that a person configured.
const ATTRIBUTES: [&str; 2] = ["working-tree-encoding", "ident"];

/// Whether a file of this name is one for some file system: they compare without case, leave out characters that are not
/// seen or end in them, and have short names (`GITATT~1`).
pub(super) fn is_attributes(name: &str) -> bool {
    let name = folded(name);
    let name = name.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
    name == FILE || name.starts_with("gi") && name.contains('~')
}

/// A name as every file system could take it: without case, and without what is not ASCII. Of that, two characters are
/// letters of ASCII without case (Unicode's `CaseFolding.txt`): the long s and the sign of the kelvin.
pub(super) fn folded(name: &str) -> String {
    let ascii = name.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    ascii.filter(char::is_ascii).collect()
}

/// As git splits a line: a space that is not ASCII is part of a name.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty())
}

/// The lines from 1, one that begins with a byte order mark also without it. A comment is what is one for every git:
/// what stands before its `#` is nothing but what git passes over.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let numbered = text.split(|byte| *byte == b'\n').enumerate();
    let bare = numbered.map(|(at, line)| (at + 1, without_blanks(line)));
    let said = bare.filter(|(_, line)| !line.starts_with(b"#"));
    said.flat_map(|(at, line)| {
        let unmarked = line.strip_prefix("\u{feff}".as_bytes()).map(without_blanks);
        [Some(line), unmarked].into_iter().flatten().map(move |line| (at, line))
    })
}

/// The blanks of git's `attr.c`; it takes every other character for a part of the pattern.
fn without_blanks(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !b" \t\r".contains(byte)).unwrap_or(line.len());
    &line[start..]
}

/// Patterns of a file that are looked at, at most. With more, it is taken to be about every file.
const MOST_PATTERNS: usize = 100;

/// A line that gives an encoding.
#[derive(Clone, Debug)]
pub(super) struct Encoding {
    /// From 1.
    pub(super) line: usize,
    pattern: Pattern,
}

/// What of a pattern says which files it can't be about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pattern {
    /// What a name begins and ends with, in lower case.
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    /// The name is nothing but the prefix.
    is_whole: bool,
}

impl Pattern {
    /// About any file.
    const OPEN: Self = Self { prefix: Vec::new(), suffix: Vec::new(), is_whole: false };
}

impl Encoding {
    /// Whether it may be about a file of this name, in lower case, in whatever folder.
    pub(super) fn may_cover(&self, name: &[u8]) -> bool {
        let Pattern { prefix, suffix, is_whole } = &self.pattern;
        if *is_whole { name == prefix.as_slice() } else { name.starts_with(prefix) && name.ends_with(suffix) }
    }
}

/// What several files say: with more patterns than are looked at, it is taken to be about every file.
pub(super) fn bounded<T>(mut all: Vec<(T, Encoding)>) -> Vec<(T, Encoding)> {
    if all.len() > MOST_PATTERNS {
        all.truncate(1);
        for (_, first) in &mut all {
            first.pattern = Pattern::OPEN;
        }
    }
    all
}

/// The lines that give an encoding, each pattern once. One too many is found rather than one too few: a later line that
/// takes it back is not looked at.
pub(super) fn encodings(text: &[u8], macros: &HashSet<Vec<u8>>) -> Vec<Encoding> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for (line, text) in lines(text).filter(|(_, line)| attributes_of(line).any(|it| is_meant(it, macros))) {
        let mut pattern = pattern(text);
        let is_last = found.len() == MOST_PATTERNS;
        if is_last {
            pattern = Pattern::OPEN;
        }
        if seen.insert(pattern.clone()) {
            found.push(Encoding { line, pattern });
        }
        if is_last {
            break;
        }
    }
    found
}

/// The names of the attributes that a line sets. After a quoted pattern no space is needed.
fn attributes_of(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = line.split(|byte| b" \t\r\"".contains(byte)).skip(1);
    words.map(|word| word.split(|byte| *byte == b'=').next().unwrap_or_default())
}

fn is_meant(attribute: &[u8], macros: &HashSet<Vec<u8>>) -> bool {
    ATTRIBUTES.iter().any(|known| known.as_bytes() == attribute) || macros.contains(attribute)
}

/// The names that stand for several attributes, one of which changes a text: `[attr]NAME …`. They may be made of each
/// other, in any order.
pub(super) fn macros(text: &[u8]) -> HashSet<Vec<u8>> {
    let mut made_of = HashMap::<&[u8], Vec<&[u8]>>::new();
    for (_, line) in lines(text) {
        let Some(name) = words(line).next().and_then(|word| word.strip_prefix(b"[attr]")) else { continue };
        for attribute in attributes_of(line) {
            made_of.entry(attribute).or_default().push(name);
        }
    }
    let mut found = HashSet::new();
    let mut next: Vec<&[u8]> = ATTRIBUTES.iter().map(|known| known.as_bytes()).collect();
    while let Some(attribute) = next.pop() {
        for name in made_of.remove(attribute).into_iter().flatten() {
            if found.insert(name.to_vec()) {
                next.push(name);
            }
        }
    }
    found
}

/// What the pattern that a line begins with (`gitignore(5)`, "Pattern format") says of the last name of a path.
fn pattern(line: &[u8]) -> Pattern {
    let text = words(line).next().unwrap_or_default();
    if text.starts_with(b"\"") || text.ends_with(b"/") {
        return Pattern::OPEN; // quoted, with escapes of its own; about folders
    }
    let lower = text.to_ascii_lowercase();
    let is_meta = |byte: &u8| b"*?[]\\".contains(byte);
    // A class can hold a slash, so what stands before its end says nothing.
    let has_class = lower.iter().any(|byte| b"[]\\".contains(byte));
    let after = |at: Option<usize>| at.map_or(0, |at| at + 1);
    let name = &lower[after(lower.iter().rposition(|byte| *byte == b'/'))..];
    let suffix = name[after(name.iter().rposition(is_meta))..].to_vec();
    match name.iter().position(is_meta) {
        _ if has_class => Pattern { suffix, ..Pattern::OPEN },
        None => Pattern { prefix: name.to_vec(), suffix: Vec::new(), is_whole: true },
        Some(first) => Pattern { prefix: name[..first].to_vec(), suffix, is_whole: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(text: impl AsRef<[u8]>, name: &str) -> bool {
        let text = text.as_ref();
        encodings(text, &macros(text))
            .iter()
            .any(|encoding| encoding.may_cover(name.to_ascii_lowercase().as_bytes()))
    }

    #[test]
    fn a_pattern_is_about_a_file_unless_it_can_not_be() {
        for (pattern, name, may) in [
            ("bottle.yaml", "bottle.yaml", true),
            ("bottle.yaml", "a.bottle.yaml", false),
            ("a/b/bottle.yaml", "bottle.yaml", true),
            ("BOTTLE.YAML", "bottle.yaml", true),
            ("*.YAML", "bottle.yaml", true),
            ("*.rc", "bottle.yaml", false),
            ("*.rc*", "bottle.yaml", true),
            ("bot*", "bottle.yaml", true),
            ("cat*", "bottle.yaml", false),
            ("*", "bottle.yaml", true),
            ("agent/**", "Dockerfile", true),
            ("**/Dockerfile", "Dockerfile", true),
            ("D??ckerfile", "D\u{f6}ckerfile", true),
            ("Docker????", "Dockerfile", true),
            ("[Dd]ockerfile", "Dockerfile", true),
            ("[Dd]ockerfile", "bottle.yaml", false),
            ("x[/]y/*[l]", "bottle.yaml", true),
            ("bottle\\.yaml", "bottle.yaml", true),
            ("\"b\\157ttle.yaml\"", "bottle.yaml", true),
            ("legacy/", "bottle.yaml", true),
            ("\u{feff}bottle.yaml", "bottle.yaml", true),
            ("other.yaml", "bottle.yaml", false),
        ] {
            let line = format!("{pattern} text working-tree-encoding=SHIFT_JIS\n");
            assert_eq!(covered(&line, name), may, "{pattern} {name}");
        }
        assert!(covered(b"D\xc3?ckerfile ident\n", "D\u{f6}ckerfile"));
    }

    #[test]
    fn only_the_attribute_counts_by_whatever_name() {
        assert!(!covered("* text=auto eol=lf\n*.png filter=lfs\n", "bottle.yaml"));
        assert!(!covered("# * working-tree-encoding=UTF-16\n", "bottle.yaml"));
        assert!(!covered("* -working-tree-encoding\n", "bottle.yaml"));
        assert!(!covered("* -ident !ident identity\n", "bottle.yaml"));
        assert!(covered("\u{a0}x ident\n", "\u{a0}x"));
        // What only looks like a comment: git passes over blanks, and over a mark at the beginning of a file on a disk.
        assert!(covered("\u{c}#run.sh ident\n", "\u{c}#run.sh"));
        assert!(covered("\n\u{feff}#run.sh ident\n", "\u{feff}#run.sh"));
        assert!(covered("\u{feff}#run.sh ident\n", "\u{feff}#run.sh"));
        assert!(!covered(" \t\r# * ident\n", "bottle.yaml"));
        assert!(covered("\"*\"ident\n", "bottle.yaml"));
        assert!(covered("[attr]a b\n[attr]b working-tree-encoding=UTF-16\n*.yaml a\n", "bottle.yaml"));
        assert!(covered("\u{feff}[attr]a ident\n*.yaml a\n", "bottle.yaml"));
        // Thousands of them, each made of the one before, and more patterns than anybody has: neither takes long.
        let chain = (1..20_000).map(|n| format!("[attr]a{n} a{}\n", n - 1)).collect::<Vec<_>>().concat();
        assert!(covered(format!("[attr]a0 ident\n{chain}*.yaml a19999\n"), "bottle.yaml"));
        let many = (0..20_000).map(|n| format!("{n} ident\n")).collect::<Vec<_>>().concat();
        assert_eq!(encodings(many.as_bytes(), &HashSet::new()).len(), MOST_PATTERNS + 1);
        assert!(covered(many, "bottle.yaml"));
        assert_eq!(encodings("q ident\n".repeat(20_000).as_bytes(), &HashSet::new()).len(), 1);
        assert!(covered("\"[attr]a\" ident\n", "anything"), "a quoted macro");
        assert!(covered("[attr]wide working-tree-encoding=UTF-16LE-BOM\r\n*.yaml wide\r\n", "bottle.yaml"));
        assert_eq!(encodings(b"\n\n* working-tree-encoding=UTF-16\n", &HashSet::new())[0].line, 3);
    }

    #[test]
    fn the_file_has_many_names() {
        for name in [
            ".gitattributes",
            ".GitAttributes",
            ".git\u{200c}attributes",
            "GITATT~1",
            ".gitattributes ",
            ".gitattributes::$DATA",
            ".gitattribute\u{17f}",
        ] {
            assert!(is_attributes(name), "{name}");
        }
        for name in ["gitattributes", ".gitignore", "a~1", ".gitattributes.bak"] {
            assert!(!is_attributes(name), "{name}");
        }
    }
}
