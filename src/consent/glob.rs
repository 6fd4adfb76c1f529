//! One pattern of a `.dockerignore`, as moby's `patternmatcher` (v0.6) understands it.
//!
//! That library checks the pattern with Go's `filepath.Match`, and then matches either plain text or a regular
//! expression that it builds character by character. What follows from this and is documented nowhere is kept: `^`
//! and `|` are operators in a pattern with wildcards, and `*` and `?` have odd effects in a character class. Where Go's
//! regular expressions would read a pattern in a way that nobody means (`\d`, `{2}`, `[[:alpha:]]`), it is refused.

use std::iter::Peekable;
use std::str::Chars;

/// How a pattern is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Glob {
    /// The path is this text.
    Exact(String),
    /// The path begins with this text.
    Prefix(String),
    /// The path ends with this text, or is this text without the slash that it begins with.
    Suffix(String),
    /// The path matches this regular expression (syntax of the crate `regex`).
    Regex(String),
}

impl Glob {
    /// Reads a pattern that is already cleaned and without its `!`. The error says what is wrong with it.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        require_valid(pattern)?;
        Ok(match expression(pattern) {
            (Kind::Exact, _) => Self::Exact(pattern.to_owned()),
            (Kind::Prefix, _) => Self::Prefix(pattern.strip_suffix("**").unwrap_or_default().to_owned()),
            (Kind::Suffix, _) => Self::Suffix(pattern.strip_prefix("**").unwrap_or_default().to_owned()),
            (Kind::Regex, go) => Self::Regex(translate(&go)?),
        })
    }

    /// Whether the path is matched; nothing for a regular expression.
    pub(super) fn matches(&self, path: &str) -> Option<bool> {
        match self {
            Self::Exact(text) => Some(path == text),
            Self::Prefix(text) => Some(path.starts_with(text)),
            Self::Suffix(text) => {
                Some(path.ends_with(text.as_str()) || text.strip_prefix('/').is_some_and(|text| path == text))
            }
            Self::Regex(_) => None,
        }
    }
}

/// What Go's `filepath.Match` refuses, asked about the name `.` as patternmatcher asks: an open class, an empty one, a
/// `-` without its sides, a `\` at the end. It looks no further than the first `*` that the name does not reach.
fn require_valid(pattern: &str) -> Result<(), String> {
    let (first, rest) = chunk(pattern);
    require_valid_chunk(first)?;
    if matches!(first, "." | "?" | "\\.") { require_valid_chunk(chunk(rest).0) } else { Ok(()) }
}

/// What stands before the next `*` that is in no brackets, and the rest. Stars in front are left out.
fn chunk(pattern: &str) -> (&str, &str) {
    let pattern = pattern.trim_start_matches('*');
    let mut in_brackets = false;
    let mut characters = pattern.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            '*' if !in_brackets => return pattern.split_at(at),
            _ => {}
        }
    }
    (pattern, "")
}

fn require_valid_chunk(chunk: &str) -> Result<(), String> {
    let mut rest = chunk.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => return Err("it ends with a backslash".to_owned()),
            '[' if !is_class(&mut rest) => return Err("a `[` begins no character class".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

/// Whether what follows a `[` is a class for Go's `filepath.Match`; consumes it.
fn is_class(rest: &mut Peekable<Chars<'_>>) -> bool {
    rest.next_if_eq(&'^');
    let mut ranges = 0;
    loop {
        if ranges > 0 && rest.next_if_eq(&']').is_some() {
            return true;
        }
        if !is_end_of_range(rest) || rest.next_if_eq(&'-').is_some() && !is_end_of_range(rest) {
            return false;
        }
        ranges += 1;
    }
}

fn is_end_of_range(rest: &mut Peekable<Chars<'_>>) -> bool {
    match rest.next() {
        None | Some('-' | ']') => false,
        Some('\\') => rest.next().is_some() && rest.peek().is_some(),
        Some(_) => rest.peek().is_some(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

/// How patternmatcher matches the pattern, and the regular expression that it would build (Go's syntax).
fn expression(pattern: &str) -> (Kind, String) {
    let mut kind = Kind::Exact;
    let mut go = String::from("^");
    let mut rest = pattern.chars().peekable();
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/'); // `**/` is `**`
                if rest.peek().is_some() {
                    go.push_str("(.*/)?");
                    kind = Kind::Regex;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    go.push_str(".*");
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                go.push_str("[^/]*");
                kind = Kind::Regex;
            }
            '?' => {
                go.push_str("[^/]");
                kind = Kind::Regex;
            }
            '\\' => {
                go.push('\\');
                go.extend(rest.next());
                kind = Kind::Regex;
            }
            '[' | ']' => {
                go.push(c);
                kind = Kind::Regex;
            }
            '.' | '+' | '(' | ')' | '$' => go.extend(['\\', c]),
            _ => go.push(c),
        }
        first = false;
    }
    go.push('$');
    (kind, go)
}

/// The same regular expression in the syntax of the crate `regex`.
fn translate(go: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = go.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => literal(escaped(&mut rest)?, &mut out),
            '[' => class(&mut rest, &mut out)?,
            '^' | '$' | '.' | '*' | '?' | '(' | ')' | '|' => out.push(c),
            '{' if is_repetition(rest.clone()) => {
                return Err(
                    "a number in braces repeats for the builder; write `\\{` for the character".to_owned()
                );
            }
            _ => literal(c, &mut out),
        }
    }
    Ok(out)
}

fn literal(c: char, out: &mut String) {
    let mut bytes = [0; 4];
    out.push_str(&regex::escape(c.encode_utf8(&mut bytes)));
}

/// The character after a backslash. Before a letter it would mean something else for the builder (`\d`: any digit).
fn escaped(rest: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    match rest.next() {
        Some(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
        Some(c) => Err(format!("it has a backslash before `{c}`; write `{c}` alone")),
        None => Err("it ends with a backslash".to_owned()),
    }
}

/// A character class after its `[`, as Go's `regexp/syntax` reads it.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let open = || "a `[` begins no character class".to_owned();
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        match rest.next().ok_or_else(open)? {
            ']' if !first => break,
            '[' if rest.peek() == Some(&':') && rest.clone().collect::<String>().contains(":]") => {
                return Err("`[:` begins a named class; write the characters".to_owned());
            }
            c => {
                let low = if c == '\\' { escaped(rest)? } else { c };
                let mut ahead = rest.clone();
                let range = ahead.next() == Some('-') && ahead.peek().is_some_and(|&c| c != ']');
                let high = if range {
                    *rest = ahead;
                    match rest.next().ok_or_else(open)? {
                        '\\' => escaped(rest)?,
                        c => c,
                    }
                } else {
                    low
                };
                if high < low {
                    return Err(format!("the range `{low}-{high}` is empty"));
                }
                for part in [r"\u{", &hex(low), r"}-\u{", &hex(high), "}"] {
                    out.push_str(part);
                }
            }
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

fn hex(c: char) -> String {
    format!("{:x}", u32::from(c))
}

/// Whether `N}`, `N,}` or `N,M}` follows.
fn is_repetition(mut rest: Peekable<Chars<'_>>) -> bool {
    let digit = |c: &char| c.is_ascii_digit();
    let mut digits = 0;
    while rest.next_if(digit).is_some() {
        digits += 1;
    }
    if rest.next_if_eq(&',').is_some() {
        while rest.next_if(digit).is_some() {}
    }
    digits > 0 && rest.next() == Some('}')
}
