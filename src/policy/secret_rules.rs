//! Rules in gitleaks' format, as data: what a push may not carry beside what is known.

mod load;

use serde::{Deserialize, Serialize};
use std::fmt;

pub use load::{SecretRulesError, expression};

/// The rules of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRules {
    /// The file, as the manifest names it.
    pub file: String,
    /// In the order of the file.
    pub rules: Vec<SecretRule>,
    /// What passes whatever rule finds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<SecretAllow>,
}

/// A rule: a text that matches `regex` in a file whose path matches `path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// Its name, as it appears in findings.
    pub id: String,
    /// Nothing for a rule about paths alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Nothing for every file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// One of them stands in the file, in any case; none for every file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// More than so many thousandths of a bit of Shannon's entropy for each byte of the secret.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub entropy: u32,
    /// The group that is the secret; 0 for the first that matched.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub group: u32,
    /// What passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<SecretAllow>,
}

/// What is no finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretAllow {
    /// All kinds of conditions that are there have to hold, not one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Full names of the commits that brought it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<String>,
    /// Expressions for the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Expressions for `target`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regexes: Vec<String>,
    /// What `regexes` are for.
    #[serde(default)]
    pub target: SecretTarget,
    /// Words in the secret, in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopwords: Vec<String>,
}

/// What an expression of an allowlist is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretTarget {
    /// The secret in the match.
    #[default]
    Secret,
    /// The whole match.
    Match,
    /// Its lines.
    Line,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Bytes of a file of them.
pub const LARGEST_SECRET_RULES: u64 = 256 << 10;

impl SecretRules {
    /// A file that was not read yet.
    #[must_use]
    pub fn named(file: impl Into<String>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// Whether these find whatever `old` found. It never says yes wrongly: a rule that was changed counts as another one.
    #[must_use]
    pub fn covers(&self, old: &Self) -> bool {
        let allows = |new: &[SecretAllow], old: &[SecretAllow]| new.iter().all(|it| old.contains(it));
        let same = |new: &SecretRule, old: &SecretRule| {
            let bare = |rule: &SecretRule| SecretRule { allow: Vec::new(), ..rule.clone() };
            bare(new) == bare(old) && allows(&new.allow, &old.allow)
        };
        let kept = |old: &SecretRule| self.rules.iter().any(|new| same(new, old));
        old.rules.is_empty() || old.rules.iter().all(kept) && allows(&self.allow, &old.allow)
    }

    fn allowlists(&self) -> impl Iterator<Item = &SecretAllow> {
        self.allow.iter().chain(self.rules.iter().flat_map(|rule| &rule.allow))
    }
}

/// `.gitleaks.toml (a, b), which pass over …`.
impl fmt::Display for SecretRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = super::listed::shorten(self.rules.iter().map(|rule| rule.id.clone()));
        write!(f, "{} ({})", self.file, ids.join(", "))?;
        let mut passed = Vec::new();
        for it in self.allowlists() {
            let SecretAllow { all, commits, paths, regexes, target: _, stopwords } = it;
            let kinds = [("commits", commits), ("paths", paths), ("texts", regexes), ("words", stopwords)];
            let kinds: Vec<String> = kinds
                .into_iter()
                .filter(|(_, entries)| !entries.is_empty())
                .map(|(kind, entries)| {
                    let entries: Vec<String> =
                        entries.iter().map(|it| format!("`{}`", it.escape_debug())).collect();
                    format!("{kind} {}", entries.join(" "))
                })
                .collect();
            passed.push(kinds.join(if *all { " and " } else { ", " }));
        }
        if passed.is_empty() {
            return Ok(());
        }
        write!(f, ", passing over {}", super::listed::shorten(passed.into_iter()).join("; "))
    }
}

#[cfg(test)]
mod tests;
