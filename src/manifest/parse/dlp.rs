//! Patterns of the bottle's own, and what the scan for secrets lets pass.

use super::super::findings::{Findings, nearest, quoted};
use super::super::item::Item;
use super::super::raw;
use super::hosts::Named;
use super::route::reason;
use crate::dlp::{CustomError, CustomPattern, EVERY, Exception, SEED_PHRASE, Scanner};
use crate::manifest::Dlp;

/// Bytes of an expression: those that are longer are lists, which belong into several patterns.
const LONGEST_REGEX: usize = 1024;
/// Characters of a name.
const LONGEST_NAME: usize = 64;
const PATTERNS: &str = "pipelock.patterns";

pub(super) fn dlp(
    patterns: Option<Vec<Item<raw::Pattern>>>,
    except: Option<Vec<Item<raw::Exception>>>,
    hosts: &[Named],
    findings: &mut Findings<'_>,
) -> Dlp {
    let patterns = self::patterns(patterns.unwrap_or_default(), findings);
    let mut exceptions: Vec<Exception> = Vec::new();
    for (index, item) in except.into_iter().flatten().enumerate() {
        let source = format!("pipelock.except[{index}]");
        let Some(raw::Exception { pattern, host, reason: why }) = item.0 else { continue };
        let pattern = pattern.and_then(|name| self::pattern(name, &patterns, &source, findings));
        let host = host.and_then(|host| self::host(&host, hosts, &source, findings));
        let reason = why.and_then(|text| reason(text, &source, findings));
        let (Some(pattern), Some(host), Some(reason)) = (pattern, host, reason) else { continue };
        let exception = Exception { source, pattern, host, reason };
        let overlaps = |other: &&Exception| other.covers(&exception) || exception.covers(other);
        match exceptions.iter().find(overlaps) {
            Some(other) => {
                let message = format!("this and {} let the same pass", other.source);
                let problem = findings.value("duplicate", &exception.source, message);
                findings.push(problem.hint("remove one of the two"));
            }
            None => exceptions.push(exception),
        }
    }
    Dlp { patterns: patterns.into_iter().flatten().collect(), exceptions }
}

/// Those that can be used; `None` for one that is there, and was reported.
fn patterns(raw: Vec<Item<raw::Pattern>>, findings: &mut Findings<'_>) -> Vec<Option<CustomPattern>> {
    let mut out: Vec<Option<CustomPattern>> = Vec::new();
    for (index, item) in raw.into_iter().enumerate() {
        let pointer = format!("{PATTERNS}[{index}]");
        let raw::Pattern { name, regex } = item.0.unwrap_or_default();
        let name = name.and_then(|name| self::name(name, &pointer, findings));
        let regex = regex.and_then(|regex| self::regex(regex, &pointer, findings));
        let pattern = name.zip(regex).map(|(name, regex)| CustomPattern::own(name, regex));
        out.push(pattern.filter(|pattern| {
            let known = out.iter().flatten().chain([pattern]).cloned().collect::<Vec<_>>();
            let one = CustomPattern::check(std::slice::from_ref(pattern));
            one.and_then(|()| CustomPattern::check(&known))
                .map_err(|error| report(&error, &pointer, findings))
                .is_ok()
        }));
    }
    out
}

fn report(error: &CustomError, pointer: &str, findings: &mut Findings<'_>) {
    let (key, hint) = match error {
        CustomError::Name { .. } => ("name", "give it another name"),
        CustomError::Regex { .. } => (
            "regex",
            "write a regular expression as RE2 and Rust's regex crate read it: no look-around, no back-reference",
        ),
        CustomError::Empty { .. } => ("regex", "let it match at least one character"),
        CustomError::TooLarge => {
            ("regex", "repeats inside of repeats multiply; a short prefix of the secret is often enough")
        }
    };
    let problem = findings.value("dlp-pattern", &format!("{pointer}.{key}"), error.to_string());
    findings.push(problem.hint(hint));
}

fn name(name: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || " ._-()".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !name.ends_with(' ');
    if begins && name.chars().all(fits) && name.len() <= LONGEST_NAME {
        return Some(name);
    }
    let message = format!("{} can't be the name of a pattern", quoted(&name));
    let problem = findings.value("dlp-pattern", &format!("{pointer}.name"), message);
    findings.push(problem.hint(format!(
        "it begins with a letter or digit and holds letters, digits, spaces, `.`, `_`, `-` and parentheses, at most {LONGEST_NAME}"
    )));
    None
}

fn regex(regex: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    if regex.len() <= LONGEST_REGEX && !regex.chars().any(char::is_control) {
        return Some(regex);
    }
    let message = if regex.len() > LONGEST_REGEX {
        format!("the expression is longer than {LONGEST_REGEX} bytes")
    } else {
        "the expression holds a line break or a control character".to_owned()
    };
    let problem = findings.value("dlp-pattern", &format!("{pointer}.regex"), message);
    findings.push(problem.hint("write several patterns, each on one line; `\\n` and `\\t` are written so"));
    None
}

/// The name of a pattern that can be let pass.
fn pattern(
    name: String,
    own: &[Option<CustomPattern>],
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let at = format!("{pointer}.pattern");
    let builtin = || Scanner::builtin().map(|kind| kind.name).chain([SEED_PHRASE]);
    if Scanner::builtin().any(|kind| kind.core && kind.name == name) {
        let message = format!("{} belongs to the core, which passes nowhere", quoted(&name));
        let problem = findings.value("dlp-exception", &at, message);
        findings.push(
            problem.hint("a credential that a host needs is set by egress-proxy: write `auth` on its route"),
        );
        return None;
    }
    let own_names = || own.iter().flatten().map(|pattern| pattern.name.as_str());
    if name == EVERY || builtin().chain(own_names()).any(|known| known == name) {
        return Some(name);
    }
    if own.contains(&None) {
        return None; // it may be the one that was reported
    }
    let known: Vec<&str> = builtin().chain(own_names()).collect();
    let problem = findings.value("dlp-exception", &at, format!("no pattern is named {}", quoted(&name)));
    findings.push(match nearest(&name, known.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem.hint("write the name that a finding shows, or that `pipelock.patterns` gives"),
    });
    None
}

/// A host that a rule names, or every one.
fn host(text: &str, hosts: &[Named], pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    if text == EVERY || hosts.iter().any(|named| named.host.as_str() == text) {
        return Some(text.to_owned());
    }
    let message = format!("no rule of this manifest names the host {}", quoted(text));
    let problem = findings.value("dlp-exception", &format!("{pointer}.host"), message);
    let known: Vec<&str> = hosts.iter().map(|named| named.host.as_str()).collect();
    findings.push(match nearest(text, known.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => {
            problem.hint("name a host as a route or an entry of the allowlist does; `*` is every one of them")
        }
    });
    None
}
