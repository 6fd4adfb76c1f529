//! Lists of hosts: exact ones, and `*.host`, which to the upstream program matches what lies below the host and the host
//! itself, and to rules of a manifest one label.

use super::RulesetError;
use crate::policy::Host;
use std::collections::HashSet;

/// A list of hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct HostList {
    exact: HashSet<String>,
    below: HashSet<String>,
}

impl HostList {
    /// Reads the entries of the key `key`. One that could never match is refused.
    pub(super) fn parse(key: &str, entries: &[String]) -> Result<Self, RulesetError> {
        let mut list = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            let (into, name) = match entry.strip_prefix("*.") {
                Some(name) => (&mut list.below, name),
                None => (&mut list.exact, entry.as_str()),
            };
            let host = Host::parse(name).map_err(|error| RulesetError::Value {
                key: format!("{key}[{index}]"),
                problem: format!("`{entry}` is not a host: {error}"),
            })?;
            into.insert(host.as_str().to_owned());
        }
        Ok(list)
    }

    /// Whether a canonical host is in the list.
    pub(super) fn contains(&self, host: &str) -> bool {
        let mut suffixes =
            std::iter::successors(Some(host), |rest| rest.split_once('.').map(|(_, rest)| rest));
        self.names(host) || (!self.below.is_empty() && suffixes.any(|suffix| self.below.contains(suffix)))
    }

    /// Whether a canonical host is in the list, of which `*.host` is exactly one label below the host.
    pub(super) fn contains_strictly(&self, host: &str) -> bool {
        self.names(host) || self.one_below(host)
    }

    /// Whether a canonical host is exactly one label below an entry.
    pub(super) fn one_below(&self, host: &str) -> bool {
        host.split_once('.').is_some_and(|(_, parent)| self.below.contains(parent))
    }

    /// Whether a canonical host itself is in the list, and not only below an entry.
    pub(super) fn names(&self, host: &str) -> bool {
        self.exact.contains(host)
    }

    pub(super) fn len(&self) -> usize {
        self.exact.len() + self.below.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> HostList {
        let entries: Vec<String> = entries.iter().map(|&e| e.to_owned()).collect();
        HostList::parse("api_allowlist", &entries).unwrap()
    }

    #[test]
    fn an_exact_host_matches_itself_and_a_wildcard_its_domain() {
        let list = list(&["api.example", "*.test.example"]);
        for host in ["api.example", "test.example", "a.test.example", "a.b.test.example"] {
            assert!(list.contains(host), "{host}");
        }
        for host in ["a.api.example", "example", "nottest.example", "test.example.evil"] {
            assert!(!list.contains(host), "{host}");
        }
        assert!(!HostList::default().contains("api.example"), "an empty list allows nothing");
        for host in ["api.example", "a.test.example"] {
            assert!(list.contains_strictly(host), "{host}");
        }
        for host in ["test.example", "a.b.test.example", "a.api.example"] {
            assert!(!list.contains_strictly(host), "{host}");
        }
    }

    #[test]
    fn an_entry_that_can_never_match_is_refused() {
        for entry in ["*", "https://x.example", "x.example:443", "", "10.0.0.1", "*.*.example"] {
            let error = HostList::parse("api_allowlist", &[entry.to_owned()]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("api_allowlist[0]: `{entry}` is not a host: ")), "{error}");
        }
    }
}
