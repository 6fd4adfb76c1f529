//! Searches for what the rules of a file in gitleaks' format describe ([`SecretRules`]), as gitleaks does.
//!
//! A text is looked through in windows that overlap. What is found in a file may still pass by the path and the commit
//! that it stands in, which are known once all trees were read: so a finding says on what that depends.

use super::found::Found;
use crate::policy::{
    SecretAllow, SecretRule, SecretRules, SecretRulesError, SecretTarget, secret_expression,
};
use regex::bytes::{Regex, RegexSet, RegexSetBuilder};
use std::{collections::HashSet, ops::Range, sync::Arc};

/// Bytes that are looked through at once.
const WINDOW: usize = 256 << 10;
/// Bytes of a window that the next one begins with: what begins there is looked for then.
const OVERLAP: usize = 16 << 10;
/// Bytes before it that the next one sees.
const BEFORE: usize = 1 << 10;
/// Findings of one rule in one text that are told apart by their line.
const MOST: usize = 20;
/// Bytes of a line before and behind a finding.
const LINE: usize = 4 << 10;
/// What a finding costs, in bytes that are read.
const EACH: u64 = 64;

/// Rules that can be searched for.
#[derive(Debug)]
pub struct SecretScan {
    rules: Vec<Rule>,
    allow: Vec<Allow>,
}

#[derive(Debug)]
struct Rule {
    id: Arc<str>,
    regex: Option<Regex>,
    path: Option<Regex>,
    keywords: Vec<Vec<u8>>,
    entropy: f64,
    group: usize,
    allow: Vec<Allow>,
}

#[derive(Debug)]
struct Allow {
    all: bool,
    commits: HashSet<String>,
    paths: Option<RegexSet>,
    regexes: Option<RegexSet>,
    target: SecretTarget,
    stopwords: Vec<Vec<u8>>,
}

/// A finding, and on what it depends whether it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What, and where in the text.
    pub found: Found,
    /// Of which rule.
    pub(super) rule: usize,
    /// Allowlists of which all but path and commit holds.
    pub(super) rest: Vec<usize>,
}

impl SecretScan {
    /// Compiles them.
    pub fn new(rules: &SecretRules) -> Result<Self, SecretRulesError> {
        let expression = |text: &String| secret_expression(text, "");
        let rule = |it: &SecretRule| {
            Ok(Rule {
                id: it.id.as_str().into(),
                regex: it.regex.as_ref().map(expression).transpose()?,
                path: it.path.as_ref().map(expression).transpose()?,
                keywords: it.keywords.iter().map(|word| word.to_lowercase().into_bytes()).collect(),
                entropy: f64::from(it.entropy) / 1000.0,
                group: it.group as usize,
                allow: it.allow.iter().map(Allow::new).collect::<Result<_, _>>()?,
            })
        };
        Ok(Self {
            rules: rules.rules.iter().map(rule).collect::<Result<_, _>>()?,
            allow: rules.allow.iter().map(Allow::new).collect::<Result<_, _>>()?,
        })
    }

    /// Whether it is about every text, so that it holds for one that is not a file.
    pub(super) fn is_general(&self, candidate: &Candidate) -> bool {
        self.rules.get(candidate.rule).is_none_or(|rule| rule.path.is_none())
    }

    /// Whether a finding stands in a file of this path, which this commit brought; nothing for a text that is not a file, and
    /// for a file that no commit has.
    pub(super) fn stands(&self, candidate: &Candidate, path: Option<&[u8]>, commit: Option<&str>) -> bool {
        let Some(rule) = self.rules.get(candidate.rule) else { return true };
        let applies = match (&rule.path, path) {
            (Some(wanted), Some(path)) => wanted.is_match(path),
            // A file without a path may get any.
            (Some(_), None) | (None, _) => true,
        };
        let passes = |(at, allow): (usize, &Allow)| {
            let (path, commit) = (allow.of_path(path), allow.of_commit(commit));
            if allow.all {
                candidate.rest.contains(&at) && path.unwrap_or(true) && commit.unwrap_or(true)
            } else {
                path == Some(true) || commit == Some(true)
            }
        };
        applies && !self.allowlists(rule).enumerate().any(passes)
    }

    /// The first rule about paths alone that finds this one.
    pub(super) fn path(&self, path: &[u8], commit: Option<&str>) -> Option<Candidate> {
        let of = |(at, rule): (usize, &Rule)| {
            let found = Found { kind: Arc::clone(&rule.id), line: 0 };
            // Allowlists that ask about a text don't speak of these.
            let rest =
                self.allowlists(rule).enumerate().filter(|(_, it)| it.asks_nothing_else()).map(|(at, _)| at);
            let candidate = Candidate { found, rule: at, rest: rest.collect() };
            let alone = rule.regex.is_none() && rule.path.is_some();
            (alone && self.stands(&candidate, Some(path), commit)).then_some(candidate)
        };
        self.rules.iter().enumerate().find_map(of)
    }

    fn allowlists<'s>(&'s self, rule: &'s Rule) -> impl Iterator<Item = &'s Allow> {
        self.allow.iter().chain(&rule.allow)
    }
}

impl Allow {
    fn new(it: &SecretAllow) -> Result<Self, SecretRulesError> {
        let set = |texts: &[String]| {
            texts.iter().try_for_each(|text| secret_expression(text, "").map(drop))?;
            let set =
                (!texts.is_empty()).then(|| RegexSetBuilder::new(texts).unicode(false).build()).transpose();
            set.map_err(|error| SecretRulesError::Other {
                place: "`allowlists`".to_owned(),
                problem: error.to_string().lines().last().unwrap_or_default().to_owned(),
            })
        };
        let SecretAllow { all, commits, paths, regexes, target, stopwords } = it;
        Ok(Self {
            all: *all,
            commits: commits.iter().cloned().collect(),
            paths: set(paths)?,
            regexes: set(regexes)?,
            target: *target,
            stopwords: stopwords.iter().map(|word| word.to_lowercase().into_bytes()).collect(),
        })
    }

    fn of_path(&self, path: Option<&[u8]>) -> Option<bool> {
        self.paths.as_ref().map(|paths| path.is_some_and(|path| paths.is_match(path)))
    }

    fn of_commit(&self, commit: Option<&str>) -> Option<bool> {
        (!self.commits.is_empty()).then(|| commit.is_some_and(|commit| self.commits.contains(commit)))
    }

    fn asks_nothing_else(&self) -> bool {
        self.regexes.is_none() && self.stopwords.is_empty()
    }

    /// Whether the conditions on the text hold; nothing where there are none.
    fn of_text(&self, secret: &[u8], whole: &[u8], line: &[u8]) -> Option<bool> {
        let target = match self.target {
            SecretTarget::Secret => secret,
            SecretTarget::Match => whole,
            SecretTarget::Line => line,
        };
        let regex = self.regexes.as_ref().map(|regexes| regexes.is_match(target));
        let lower = secret.to_ascii_lowercase();
        let has = |word: &Vec<u8>| memchr::memmem::find(&lower, word).is_some();
        let word = (!self.stopwords.is_empty()).then(|| self.stopwords.iter().any(has));
        match (regex, word) {
            (Some(regex), Some(word)) => Some(if self.all { regex && word } else { regex || word }),
            (one, other) => one.or(other),
        }
    }
}

/// A text that is looked through.
pub(super) struct RuledText<'s> {
    scan: &'s SecretScan,
    window: Vec<u8>,
    /// Bytes at its beginning that were looked through.
    from: usize,
    /// Line ends before it.
    lines: u64,
    /// Of each rule whether one of its keywords came.
    named: Vec<bool>,
    candidates: Vec<Candidate>,
    counts: Vec<usize>,
}

impl<'s> RuledText<'s> {
    pub(super) fn new(scan: &'s SecretScan) -> Self {
        Self {
            scan,
            window: Vec::new(),
            from: 0,
            lines: 0,
            named: scan.rules.iter().map(|rule| rule.keywords.is_empty()).collect(),
            candidates: Vec::new(),
            counts: vec![0; scan.rules.len()],
        }
    }

    /// Says how many bytes were read for it.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> u64 {
        let mut work = 0;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(WINDOW - self.window.len()));
            self.window.extend_from_slice(now);
            bytes = later;
            if self.window.len() == WINDOW {
                work += self.look(WINDOW - OVERLAP);
                let gone = WINDOW - OVERLAP - BEFORE;
                self.lines += memchr::memchr_iter(b'\n', &self.window[..gone]).count() as u64;
                self.window.drain(..gone);
                self.from = BEFORE;
            }
        }
        work
    }

    /// The end, and what was found; the bytes that were read for it.
    pub(super) fn finish(&mut self) -> (Vec<Candidate>, u64) {
        let work = self.look(self.window.len() + 1);
        // A rule whose keyword stands nowhere in the text finds nothing.
        let named = std::mem::take(&mut self.named);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.retain(|it| named.get(it.rule).copied().unwrap_or(true));
        (candidates, work)
    }

    /// Looks for what begins before `to`.
    fn look(&mut self, to: usize) -> u64 {
        let (window, scan) = (std::mem::take(&mut self.window), self.scan);
        let lower = window.to_ascii_lowercase();
        let mut work = 0;
        for (at, rule) in scan.rules.iter().enumerate() {
            let Some(regex) = &rule.regex else { continue };
            if !self.named[at] {
                self.named[at] =
                    rule.keywords.iter().any(|word| memchr::memmem::find(&lower, word).is_some());
            }
            // A keyword may come later: what is found until then waits for it.
            work += (window.len() - self.from) as u64;
            let (mut next, mut counted, mut line) = (self.from, 0, self.lines + 1);
            while let Some(found) = regex.find_at(&window, next).filter(|found| found.start() < to) {
                let (start, end) = (found.start(), found.end());
                line += memchr::memchr_iter(b'\n', &window[counted..start]).count() as u64;
                counted = start;
                work += self.judge(at, rule, &window, start..end, line);
                next = end + usize::from(found.is_empty());
                if next > window.len() {
                    break;
                }
            }
        }
        self.window = window;
        work
    }

    /// Says how many bytes more were read.
    fn judge(&mut self, at: usize, rule: &Rule, window: &[u8], found: Range<usize>, line: u64) -> u64 {
        let Range { mut start, mut end } = found;
        while start < end && window[start] == b'\n' {
            start += 1;
        }
        while start < end && window[end - 1] == b'\n' {
            end -= 1;
        }
        let mut work = EACH + (end - start) as u64;
        let whole = &window[start..end];
        let captures = rule.regex.as_ref().and_then(|regex| regex.captures(whole));
        let group = |at: usize| captures.as_ref().and_then(|it| it.get(at)).map(|it| it.as_bytes());
        let secret = match rule.group {
            0 => (1..captures.as_ref().map_or(0, regex::bytes::Captures::len))
                .find_map(|at| group(at).filter(|it| !it.is_empty()))
                .unwrap_or(whole),
            set => match group(set) {
                Some(secret) => secret,
                None if captures.is_some() => b"",
                None => whole,
            },
        };
        if rule.entropy > 0.0 && entropy(secret) <= rule.entropy {
            return work;
        }
        let mut of_line: &[u8] = b"";
        if self.scan.allowlists(rule).any(|it| it.target == SecretTarget::Line) {
            let (from, to) = (start.saturating_sub(LINE), window.len().min(end + LINE));
            let begin = memchr::memrchr(b'\n', &window[from..start]).map_or(from, |at| from + at + 1);
            let line_end = memchr::memchr(b'\n', &window[end..to]).map_or(to, |at| end + at);
            of_line = &window[begin..line_end];
            work += of_line.len() as u64;
        }
        let mut rest = Vec::new();
        for (at, allow) in self.scan.allowlists(rule).enumerate() {
            let of_text = allow.of_text(secret, whole, of_line);
            let needs_more = allow.paths.is_some() || !allow.commits.is_empty();
            match of_text {
                Some(true) if !allow.all || !needs_more => return work,
                Some(true) | None if allow.all => rest.push(at),
                _ => {}
            }
        }
        self.counts[at] += 1;
        let known = |it: &Candidate| it.rule == at && it.rest == rest;
        if self.counts[at] <= MOST || !self.candidates.iter().any(known) {
            let found = Found { kind: Arc::clone(&rule.id), line };
            self.candidates.push(Candidate { found, rule: at, rest });
        }
        work
    }
}

/// Shannon's, in bits for each byte.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "a text of 2^52 bytes is none")]
    let all = text.len() as f64;
    let share = |count: &u32| f64::from(*count) / all;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}
