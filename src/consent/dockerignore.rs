//! `.dockerignore`: which paths of a build context the builder does not see.
//!
//! Read as moby's `ignorefile` and `patternmatcher` (v0.6) do. Builders differ in how they carry the verdict on a folder
//! to what is below it: `MatchesOrParentMatches` asks every pattern about every folder again, and
//! `MatchesUsingParentResults` (`BuildKit`, and the classic builder since 23.0) does not ask again what was already
//! decided. A path is ignored here only where both ignore it: the builder applies the file again to the copy that it
//! is given, so one path too many does no harm.

use super::glob::Glob;
use regex::{RegexSet, RegexSetBuilder};

/// A larger ignore file is refused. In bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// More patterns in one file are refused.
const MAX_PATTERNS: usize = 1000;

/// Longer patterns, all of one file together, are refused. In bytes.
const MAX_TEXT: usize = 32 << 10;

/// A larger automaton is refused: its size is what a hostile pattern costs for each character of a path. In bytes.
const MAX_AUTOMATON: usize = 2 << 20;

/// An ignore file that no builder could use, or that bottle refuses to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// From 1; nothing where it is the whole file.
    pub(super) line: Option<usize>,
    /// What is wrong and what to do.
    pub(super) text: String,
}

/// The patterns of one ignore file.
#[derive(Clone, Debug)]
pub(super) struct DockerIgnore {
    rules: Vec<Rule>,
    /// The globs that are regular expressions, in the order of the rules.
    expressions: RegexSet,
}

#[derive(Clone, Debug)]
struct Rule {
    glob: Glob,
    /// The pattern began with `!`: what it matches is kept.
    exception: bool,
    /// Without its `!`.
    pattern: String,
}

/// What was found out about a folder, for what is below it: one value for each pattern.
#[derive(Clone, Debug)]
pub(super) struct Above {
    /// The pattern matches the folder or one above it.
    matched: Vec<bool>,
    /// The same, but only where the pattern could change the verdict on that folder.
    decided: Vec<bool>,
}

impl DockerIgnore {
    pub(super) fn parse(file: &[u8]) -> Result<Self, Problem> {
        let whole = |text: &str| Problem { line: None, text: text.to_owned() };
        let text = std::str::from_utf8(file).map_err(|_| whole("it is not UTF-8; write it as UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        let mut size = 0;
        for (index, line) in text.split('\n').enumerate() {
            let problem = |text: String| Problem { line: Some(index + 1), text };
            let Some(pattern) = pattern(line) else { continue };
            size += pattern.len();
            if rules.len() == MAX_PATTERNS || size > MAX_TEXT {
                let text =
                    format!("it has more than {MAX_PATTERNS} patterns or {MAX_TEXT} bytes; shorten it");
                return Err(whole(&text));
            }
            rules.push(Rule::parse(&pattern).map_err(problem)?);
        }
        let expressions = rules.iter().filter_map(|rule| match &rule.glob {
            Glob::Regex(expression) => Some(expression),
            _ => None,
        });
        let expressions = RegexSetBuilder::new(expressions)
            .size_limit(MAX_AUTOMATON)
            .build()
            .map_err(|_| whole("its patterns are too complex together; use fewer wildcards"))?;
        Ok(Self { rules, expressions })
    }

    /// What is known above the first folder.
    pub(super) fn top(&self) -> Above {
        Above { matched: vec![false; self.rules.len()], decided: vec![false; self.rules.len()] }
    }

    /// Whether `path` is ignored, where `above` is what its folder gave; and what it gives for paths below it.
    pub(super) fn evaluate(&self, above: &Above, path: &str) -> (bool, Above) {
        let expressions = self.expressions.matches(path);
        let mut expression = 0;
        let mut next = self.top();
        let (mut ignored, mut ignored_by_decisions) = (false, false);
        for (index, rule) in self.rules.iter().enumerate() {
            let matches = rule.glob.matches(path).unwrap_or_else(|| {
                expression += 1;
                expressions.matched(expression - 1)
            });
            next.matched[index] = matches || above.matched[index];
            if next.matched[index] {
                ignored = !rule.exception;
            }
            let could_decide = rule.exception == ignored_by_decisions;
            next.decided[index] = above.decided[index] || could_decide && matches;
            if next.decided[index] {
                ignored_by_decisions = !rule.exception;
            }
        }
        (ignored && ignored_by_decisions, next)
    }

    /// Whether something below the folder `path` could be kept although the folder is ignored.
    pub(super) fn may_keep_below(&self, path: &str) -> bool {
        let wild = |part: &str| part.contains(['*', '?', '[', '\\', '^', '|']);
        self.rules.iter().filter(|rule| rule.exception).any(|rule| {
            let mut parts = rule.pattern.split('/');
            for folder in path.split('/') {
                match parts.next() {
                    Some(part) if wild(part) => return true,
                    Some(part) if part != folder => return false,
                    Some(_) => {}
                    None => return true,
                }
            }
            true
        })
    }
}

impl Rule {
    fn parse(pattern: &str) -> Result<Self, String> {
        let (exception, pattern) = match pattern.strip_prefix('!') {
            Some("") => return Err("a `!` stands alone; write what is to be kept behind it".to_owned()),
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        if pattern.contains('\0') {
            return Err("it holds a NUL character".to_owned());
        }
        let glob = Glob::parse(pattern)?;
        Ok(Self { glob, exception, pattern: pattern.to_owned() })
    }
}

/// A line as `ignorefile` and then `patternmatcher` clean it, with its `!`; nothing for a comment or a blank line.
fn pattern(line: &str) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let line = line.trim();
    let (mark, rest) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    let cleaned = if rest.is_empty() { String::new() } else { clean(rest) };
    let relative = match cleaned.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest,
        _ => &cleaned,
    };
    let pattern = format!("{mark}{relative}");
    let pattern = pattern.trim();
    (!pattern.is_empty()).then(|| clean(pattern))
}

/// The shortest path of the same meaning (Go's `filepath.Clean`).
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests;
