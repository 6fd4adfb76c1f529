//! `.gitattributes` (`gitattributes(5)`): where git gives a file another encoding at a checkout, so that what a reviewer
//! reads in a commit is not what is built from.

use camino::Utf8Path;
use regex::Regex;

/// The name of the files.
pub(super) const FILE: &str = ".gitattributes";

/// What makes a checkout another text: an encoding, and `$Id$`.
const ATTRIBUTES: [&str; 2] = ["working-tree-encoding", "ident"];

/// As git splits a line: a space that is not ASCII is part of a name.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t', '\r']).filter(|word| !word.is_empty())
}

/// A line that gives an encoding.
pub(super) struct Encoding {
    /// From 1.
    pub(super) line: usize,
    /// Of paths below the folder of the file; nothing for a pattern that can't be read: it covers everything.
    pattern: Option<Regex>,
}

impl Encoding {
    /// Whether it may be about a path, relative to the folder of the file.
    pub(super) fn covers(&self, path: &Utf8Path) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(path.as_str()))
    }
}

/// The lines that give an encoding. One too many is found rather than one too few: a later line that takes it back is
/// not looked at.
pub(super) fn encodings(text: &[u8], macros: &[String]) -> Vec<Encoding> {
    let text = String::from_utf8_lossy(text);
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    let wanted = lines().filter(|(_, line)| sets(line, macros));
    wanted.map(|(at, line)| Encoding { line: at + 1, pattern: pattern(line.trim_start()) }).collect()
}

fn sets(line: &str, macros: &[String]) -> bool {
    words(line).skip(1).any(|attribute| {
        let name = attribute.split('=').next().unwrap_or_default();
        ATTRIBUTES.contains(&name) || macros.iter().any(|known| known == name)
    })
}

/// The names that stand for several attributes, one of which changes a text: `[attr]NAME …`. They may be made of each
/// other, in any order.
pub(super) fn macros(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let named = |line: &str| words(line.trim_start()).next()?.strip_prefix("[attr]").map(str::to_owned);
    let mut found: Vec<String> = Vec::new();
    loop {
        let more = text.lines().filter(|line| sets(line, &found)).filter_map(named);
        let more: Vec<String> = more.filter(|name| !found.contains(name)).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The pattern that a line begins with (`gitignore(5)`, "Pattern format").
fn pattern(line: &str) -> Option<Regex> {
    let text = words(line).next()?;
    if text.starts_with('"') || text.contains(['[', '\\']) {
        return None; // quoted, a class, an escape
    }
    let (anchored, text) = (text.contains('/'), text.trim_start_matches('/'));
    let mut out = String::from(if anchored { "^" } else { "^(?:.*/)?" });
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (taken, expression) = match next {
            _ if rest.starts_with("**/") => (3, "(?:.*/)?".to_owned()),
            _ if rest.starts_with("**") => (2, ".*".to_owned()),
            '*' => (1, "[^/]*".to_owned()),
            '?' => (1, "[^/]".to_owned()),
            plain => (plain.len_utf8(), regex::escape(&plain.to_string())),
        };
        out += &expression;
        rest = &rest[taken..];
    }
    Regex::new(&(out + "$")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(text: &str, path: &str) -> bool {
        encodings(text.as_bytes(), &macros(text.as_bytes()))
            .iter()
            .any(|encoding| encoding.covers(Utf8Path::new(path)))
    }

    #[test]
    fn a_pattern_covers_what_git_says() {
        for (pattern, path, is_covered) in [
            ("bottle.yaml", "bottle.yaml", true),
            ("bottle.yaml", "a/b/bottle.yaml", true),
            ("/bottle.yaml", "a/bottle.yaml", false),
            ("*.yaml", "a/b.yaml", true),
            ("*.rc", "bottle.yaml", false),
            ("agent/*", "agent/Dockerfile", true),
            ("agent/*", "agent/a/Dockerfile", false),
            ("agent/**", "agent/a/Dockerfile", true),
            ("**/Dockerfile", "Dockerfile", true),
            ("Docker????", "agent/Dockerfile", true),
            ("[Dd]ockerfile", "anything", true),
            ("legacy/*.yaml", "bottle.yaml", false),
        ] {
            let line = format!("# note\n{pattern} text working-tree-encoding=SHIFT_JIS\n");
            assert_eq!(covered(&line, path), is_covered, "{pattern} {path}");
        }
    }

    #[test]
    fn only_the_attribute_counts_by_whatever_name() {
        assert!(!covered("* text=auto eol=lf\n*.png filter=lfs\n", "bottle.yaml"));
        assert!(!covered("# * working-tree-encoding=UTF-16\n", "bottle.yaml"));
        assert!(!covered("* -working-tree-encoding\n", "bottle.yaml"));
        assert!(covered("a/\u{a0}x ident\n", "a/\u{a0}x"));
        assert!(covered("[attr]a b\n[attr]b working-tree-encoding=UTF-16\n*.yaml a\n", "bottle.yaml"));
        assert!(covered("[attr] working-tree-encoding=UTF-16\n", "a"));
        assert!(covered("[attr]wide working-tree-encoding=UTF-16LE-BOM\n*.yaml wide\n", "bottle.yaml"));
        assert_eq!(encodings(b"\n\n* working-tree-encoding=UTF-16\n", &[])[0].line, 3);
    }
}
