//! Requests for which something changes, grouped by what a person would call the same.

use super::past::PastRequest;
use jiff::Timestamp;
use std::collections::HashMap;

/// Groups that are told apart. A group takes some 2 KiB at most.
const GROUPS: usize = 2000;

/// What changes for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// It was allowed, and would be denied.
    NewlyDenied,
    /// It was denied, and would be allowed.
    NewlyAllowed,
    /// It was allowed and would be, with another credential.
    OtherCredential,
}

impl Change {
    /// All of them, in the order in which they are said.
    pub const ALL: [Self; 3] = [Self::NewlyDenied, Self::NewlyAllowed, Self::OtherCredential];

    /// A stable name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NewlyDenied => "newly_denied",
            Self::NewlyAllowed => "newly_allowed",
            Self::OtherCredential => "other_credential",
        }
    }
}

/// What the requests of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) change: Change,
    pub(super) origin: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) reason: Option<String>,
    pub(super) decided_by: Option<&'static str>,
    pub(super) credentials: Option<(Option<String>, Option<String>)>,
}

/// The rule that decides now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleNow {
    /// Its id.
    pub id: String,
    /// The part of it that decides, as a pointer into the manifest.
    pub pointer: String,
}

/// Requests for which the same changes.
#[derive(Clone, Debug)]
pub struct Group {
    /// What changes.
    pub change: Change,
    /// Scheme, host and port: `https://api.github.com`.
    pub origin: String,
    /// The method; `CONNECT` of a tunnel that carried no request.
    pub method: String,
    /// The path, with `*` for segments that differ.
    pub path: String,
    /// Why they would be denied, or were.
    pub reason: Option<String>,
    /// Who would deny them.
    pub decided_by: Option<&'static str>,
    /// The credentials then and now, where they differ.
    pub credentials: Option<(Option<String>, Option<String>)>,
    /// How many there were.
    pub requests: u64,
    /// When the first was recorded.
    pub first: Timestamp,
    /// When the last was recorded.
    pub last: Timestamp,
    /// The path of the first one.
    pub example: String,
    /// The rule that decides now.
    pub rule: Option<RuleNow>,
    /// The entry that would allow the first one, where one would.
    pub entry: Option<String>,
}

/// Every group.
#[derive(Debug, Default)]
pub struct Groups {
    groups: HashMap<Key, Group>,
    /// Requests beyond the groups that are told apart.
    rest: HashMap<Change, u64>,
}

impl Groups {
    pub(super) fn add(
        &mut self,
        key: &Key,
        request: &PastRequest<'_>,
        rule: Option<&RuleNow>,
        entry: impl FnOnce() -> Option<String>,
    ) {
        if let Some(group) = self.groups.get_mut(key) {
            group.requests += 1;
            group.first = group.first.min(request.time);
            group.last = group.last.max(request.time);
            return;
        }
        if self.groups.len() >= GROUPS {
            *self.rest.entry(key.change).or_default() += 1;
            return;
        }
        let Key { change, origin, method, path, reason, decided_by, credentials } = key.clone();
        let group = Group {
            change,
            origin,
            method,
            path,
            reason,
            decided_by,
            credentials,
            requests: 1,
            first: request.time,
            last: request.time,
            example: request.asked.map_or("", |(_, path)| path).to_owned(),
            rule: rule.cloned(),
            entry: if change == Change::NewlyDenied { entry() } else { None },
        };
        self.groups.insert(key.clone(), group);
    }

    /// The groups of one change, the largest first.
    #[must_use]
    pub fn of(&self, change: Change) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().filter(|group| group.change == change).collect();
        groups.sort_by(|a, b| {
            let name = |group: &Group| {
                (group.origin.clone(), group.path.clone(), group.method.clone(), group.reason.clone())
            };
            b.requests.cmp(&a.requests).then_with(|| name(a).cmp(&name(b)))
        });
        groups
    }

    /// How many requests of a change are in no group, since there were too many groups.
    #[must_use]
    pub fn rest(&self, change: Change) -> u64 {
        self.rest.get(&change).copied().unwrap_or_default()
    }

    /// How many requests changed in that way.
    #[must_use]
    pub fn requests_of(&self, change: Change) -> u64 {
        let grouped = self.groups.values().filter(|group| group.change == change);
        grouped.map(|group| group.requests).sum::<u64>() + self.rest(change)
    }

    /// How many requests changed.
    #[must_use]
    pub fn requests(&self) -> u64 {
        Change::ALL.iter().map(|change| self.requests_of(*change)).sum()
    }
}
