//! What the scan for secrets looks for, as far as a manifest says it, and what it lets pass.

use super::Capability;
use crate::dlp::EVERY;
use crate::manifest::Dlp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Patterns of the bottle's own, and exceptions of every pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secrets {
    /// Names by expression: another name finds nothing else.
    patterns: BTreeMap<String, String>,
    exceptions: BTreeSet<Exception>,
}

/// What a pattern finds passes to a host; `*` stands for every one of either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    host: String,
    pattern: String,
}

impl From<&Dlp> for Secrets {
    fn from(Dlp { patterns, exceptions }: &Dlp) -> Self {
        let patterns = patterns.iter().map(|it| (it.regex.clone(), it.name.clone()));
        let exception =
            |it: &crate::dlp::Exception| Exception { host: it.host.clone(), pattern: it.pattern.clone() };
        Self { patterns: patterns.collect(), exceptions: exceptions.iter().map(exception).collect() }
    }
}

impl Secrets {
    /// What passes here and not by `other`.
    pub(super) fn beyond(&self, other: &Self) -> Vec<Capability> {
        let searched = other.patterns.iter().filter(|(_, name)| !other.passes(name, EVERY));
        let unknown = searched.filter(|(regex, _)| !self.patterns.contains_key(*regex));
        let unsearched = |(regex, name): (&String, &String)| Capability::PatternPasses {
            name: name.clone(),
            regex: regex.clone(),
        };
        let passing = self.exceptions.iter().filter(|Exception { host, pattern }| {
            let own = self.patterns.iter().find(|(_, name)| *name == pattern);
            match own.map(|(regex, _)| other.patterns.get(regex)) {
                Some(None) => false, // not searched for there at all
                Some(Some(name)) => !other.passes(name, host),
                None => !other.passes(pattern, host),
            }
        });
        let passing = passing.map(|Exception { host, pattern }| Capability::SecretPasses {
            host: host.clone(),
            pattern: pattern.clone(),
        });
        unknown.map(unsearched).chain(passing).collect()
    }

    fn passes(&self, pattern: &str, host: &str) -> bool {
        let covers = |these: &str, this: &str| these == EVERY || these == this;
        self.exceptions.iter().any(|it| covers(&it.host, host) && covers(&it.pattern, pattern))
    }
}
