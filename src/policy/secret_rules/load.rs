//! The file: <https://github.com/gitleaks/gitleaks#configuration>, read strictly. What it says and is not done here is
//! refused by name.

use super::{SecretAllow, SecretRule, SecretRules, SecretTarget};
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Rules of a file.
const MOST: usize = 500;
/// Bytes of an expression.
const LONGEST: usize = 16 << 10;
/// What one expression may take once it is compiled.
const LARGEST: usize = 4 << 20;
/// Bytes of all rules with the allowlists of each: one that names many rules stands at each of them.
const MOST_BYTES: usize = 1 << 20;

/// Why a file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretRulesError {
    /// No TOML, or keys that are not known.
    #[error("it is not read: {0}")]
    Toml(String),
    /// `[extend]`.
    #[error(
        "`extend` is not followed: the built-in patterns look beside these rules; write into the file what it takes from elsewhere"
    )]
    Extend,
    /// `[[rules.required]]`, `skipReport`.
    #[error(
        "the rule `{0}` is made of several (`required`, `skipReport`), which is not done here: write it as one expression"
    )]
    Composite(String),
    /// An expression that is none.
    #[error(
        "{place}: `{shown}` is no regular expression here: {problem}; write it without look-around, in ASCII classes, and `{{` as `\\{{`"
    )]
    Regex {
        /// Where.
        place: String,
        /// Its beginning.
        shown: String,
        /// What the parser says.
        problem: String,
    },
    /// Anything else about a rule or an allowlist.
    #[error("{place}: {problem}")]
    Other {
        /// Where.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawFile {
    #[serde(rename = "title")]
    _title: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "minVersion", alias = "minversion")]
    _min_version: Option<String>,
    extend: Option<RawExtend>,
    #[serde(default)]
    rules: Vec<RawRule>,
    #[serde(alias = "allowList")]
    allowlist: Option<RawAllow>,
    #[serde(default, alias = "allowLists")]
    allowlists: Vec<RawAllow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawExtend {
    #[serde(default, alias = "usedefault")]
    use_default: bool,
    path: Option<String>,
    url: Option<String>,
    #[serde(default, alias = "disabledrules")]
    disabled_rules: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawRule {
    id: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    regex: Option<String>,
    path: Option<String>,
    #[serde(default, alias = "secretgroup")]
    secret_group: u32,
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default, rename = "tags")]
    _tags: Vec<String>,
    #[serde(alias = "allowList")]
    allowlist: Option<RawAllow>,
    #[serde(default, alias = "allowLists")]
    allowlists: Vec<RawAllow>,
    #[serde(default)]
    required: Vec<toml::Value>,
    #[serde(default, alias = "skipreport")]
    skip_report: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawAllow {
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    condition: String,
    #[serde(default)]
    commits: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default, alias = "regextarget")]
    regex_target: String,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default, alias = "stopWords")]
    stopwords: Vec<String>,
    #[serde(default, alias = "targetrules")]
    target_rules: Vec<String>,
}

fn other(place: &str, problem: impl Into<String>) -> SecretRulesError {
    SecretRulesError::Other { place: place.to_owned(), problem: problem.into() }
}

impl SecretRules {
    /// Reads the text of a file.
    pub fn parse(file: &str, text: &str) -> Result<Self, SecretRulesError> {
        let raw: RawFile = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            SecretRulesError::Toml(format!("line {line}: {}", error.message()))
        })?;
        let RawFile { _title, _description, _min_version, extend, rules: raw_rules, allowlist, allowlists } =
            raw;
        if let Some(RawExtend { use_default, path, url, disabled_rules }) = extend
            && (use_default || path.is_some() || url.is_some() || !disabled_rules.is_empty())
        {
            return Err(SecretRulesError::Extend);
        }
        let mut rules = raw_rules.into_iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        let (mut allow, mut bytes) = (Vec::new(), text.len());
        for (raw, place) in one_or_more(allowlist, allowlists, "allowlists")? {
            let targets = raw.target_rules.clone();
            let entry = self::allow(raw, &place)?;
            for (at, target) in targets.iter().enumerate() {
                if targets[..at].contains(target) {
                    return Err(other(&place, format!("`targetRules` names `{target}` twice")));
                }
                bytes += entry.bytes();
                if bytes > MOST_BYTES {
                    let problem = format!(
                        "with an allowlist at each rule that it is for, the file has more than {MOST_BYTES} bytes"
                    );
                    return Err(other(&place, problem));
                }
                let rule = rules.iter_mut().find(|rule| rule.id == *target);
                let rule = rule.ok_or_else(|| {
                    other(&place, format!("`targetRules` names `{target}`, which is no rule of this file"))
                })?;
                rule.allow.push(entry.clone());
            }
            if targets.is_empty() {
                allow.push(entry);
            }
        }
        let read = Self { file: file.to_owned(), rules, allow };
        read.check()?;
        Ok(read)
    }

    /// What the texts of it take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_rule = |rule: &SecretRule| {
            let SecretRule { id, regex, path, keywords, entropy: _, group: _, allow } = rule;
            let texts = [Some(id), regex.as_ref(), path.as_ref()].into_iter().flatten().chain(keywords);
            texts.map(|text| size_of::<String>() + text.len()).sum::<usize>()
                + allow.iter().map(SecretAllow::bytes).sum::<usize>()
        };
        self.rules.iter().map(of_rule).chain(self.allow.iter().map(SecretAllow::bytes)).sum()
    }

    /// Whether every expression can be searched for.
    pub fn check(&self) -> Result<(), SecretRulesError> {
        if self.rules.is_empty() || self.rules.len() > MOST {
            return Err(other(
                "rules",
                format!("from 1 to {MOST} rules, and these are {}", self.rules.len()),
            ));
        }
        let mut ids = BTreeSet::new();
        for rule in &self.rules {
            let SecretRule { id, regex, path, keywords, entropy: _, group, allow } = rule;
            let place = &format!("the rule `{}`", id.escape_debug());
            let is_name = |c: char| c.is_ascii_alphanumeric() || " ._-()".contains(c);
            if id.trim().is_empty() || id.len() > 100 || !id.chars().all(is_name) {
                return Err(other(
                    place,
                    "an `id` is made of up to 100 letters, digits, spaces and . _ - ( )",
                ));
            }
            if !ids.insert(id) {
                return Err(other(place, "there are two of this `id`"));
            }
            if keywords.iter().any(String::is_empty) {
                return Err(other(place, "a keyword is empty"));
            }
            let groups = regex.as_deref().map(|regex| expression(regex, place)).transpose()?;
            let groups = groups.map_or(0, |regex| regex.captures_len() - 1);
            if regex.is_none() && path.is_none() {
                return Err(other(place, "it has neither `regex` nor `path`, and finds nothing"));
            }
            if *group as usize > groups {
                return Err(other(
                    place,
                    format!("`secretGroup` is {group}, and the expression has {groups} groups"),
                ));
            }
            path.as_deref().map(|path| expression(path, place)).transpose()?;
            allow.iter().try_for_each(|it| it.check(&format!("{place}, `allowlists`")))?;
        }
        self.allow.iter().try_for_each(|it| it.check("`allowlists`"))
    }
}

impl SecretAllow {
    fn bytes(&self) -> usize {
        let Self { all: _, commits, paths, regexes, target: _, stopwords } = self;
        let texts = [commits, paths, regexes, stopwords].into_iter().flatten();
        texts.map(|text| size_of::<String>() + text.len()).sum::<usize>() + size_of::<Self>()
    }

    fn check(&self, place: &str) -> Result<(), SecretRulesError> {
        let Self { all: _, commits, paths, regexes, target: _, stopwords } = self;
        if [commits, paths, regexes, stopwords].iter().all(|it| it.is_empty()) {
            return Err(other(place, "one has none of `commits`, `paths`, `regexes` and `stopwords`"));
        }
        if stopwords.iter().any(String::is_empty) {
            return Err(other(place, "a stopword is empty, and would pass over everything"));
        }
        let is_commit =
            |it: &String| it.len() == 40 && it.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if let Some(commit) = commits.iter().find(|it| !is_commit(it)) {
            return Err(other(
                place,
                format!("`{}` is not the full name of a commit", commit.escape_debug()),
            ));
        }
        paths.iter().chain(regexes).try_for_each(|it| expression(it, place).map(drop))
    }
}

/// An expression as it is searched for: in bytes, with classes of ASCII, as RE2 has them. `place` is for the error.
pub fn expression(text: &str, place: &str) -> Result<Regex, SecretRulesError> {
    let error = |problem: String| SecretRulesError::Regex {
        place: place.to_owned(),
        shown: text.escape_debug().to_string().chars().take(100).collect(),
        problem,
    };
    if text.is_empty() || text.len() > LONGEST {
        return Err(error(format!("it has from 1 to {LONGEST} bytes")));
    }
    let regex = RegexBuilder::new(text).unicode(false).size_limit(LARGEST).build();
    regex.map_err(|problem| {
        error(problem.to_string().lines().last().unwrap_or_default().replace("error: ", ""))
    })
}

fn rule(raw: RawRule) -> Result<SecretRule, SecretRulesError> {
    let RawRule {
        id,
        _description,
        regex,
        path,
        secret_group,
        entropy,
        keywords,
        _tags,
        allowlist,
        allowlists,
        required,
        skip_report,
    } = raw;
    if !required.is_empty() || skip_report {
        return Err(SecretRulesError::Composite(id));
    }
    if !(0.0..=8.0).contains(&entropy) {
        return Err(other(&format!("the rule `{id}`"), "`entropy` is from 0 to 8"));
    }
    let mut allow = Vec::new();
    for (raw, place) in one_or_more(allowlist, allowlists, &format!("the rule `{id}`, `allowlists`"))? {
        if !raw.target_rules.is_empty() {
            return Err(other(&place, "`targetRules` stands in allowlists of the file only"));
        }
        allow.push(self::allow(raw, &place)?);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 8000")]
    let entropy = (entropy * 1000.0).round() as u32;
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let keywords = keywords.iter().map(|it| it.to_lowercase()).collect();
    Ok(SecretRule { id, regex: set(regex), path: set(path), keywords, entropy, group: secret_group, allow })
}

/// `[allowlist]` as it was, or `[[allowlists]]`.
fn one_or_more(
    one: Option<RawAllow>,
    more: Vec<RawAllow>,
    place: &str,
) -> Result<Vec<(RawAllow, String)>, SecretRulesError> {
    if one.is_some() && !more.is_empty() {
        return Err(other(place, "`allowlist` does not stand beside `allowlists`"));
    }
    Ok(one.into_iter().chain(more).enumerate().map(|(at, raw)| (raw, format!("{place}[{at}]"))).collect())
}

fn allow(raw: RawAllow, place: &str) -> Result<SecretAllow, SecretRulesError> {
    let RawAllow {
        _description,
        condition,
        commits,
        paths,
        regex_target,
        regexes,
        stopwords,
        target_rules: _,
    } = raw;
    let all = match condition.to_ascii_uppercase().as_str() {
        "" | "OR" | "||" => false,
        "AND" | "&&" => true,
        _ => {
            return Err(other(
                place,
                format!("`condition` is `and` or `or`, not `{}`", condition.escape_debug()),
            ));
        }
    };
    let target = match regex_target.as_str() {
        "" | "secret" => SecretTarget::Secret,
        "match" => SecretTarget::Match,
        "line" => SecretTarget::Line,
        _ => {
            let what = format!(
                "`regexTarget` is `secret`, `match` or `line`, not `{}`",
                regex_target.escape_debug()
            );
            return Err(other(place, what));
        }
    };
    let lower = |words: &[String]| words.iter().map(|it| it.trim().to_lowercase()).collect();
    let stopwords = stopwords.iter().map(|it| it.to_lowercase()).collect();
    Ok(SecretAllow { all, commits: lower(&commits), paths, regexes, target, stopwords })
}
