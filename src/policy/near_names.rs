//! Which rules can have a name like another, found without a look at all of them.

use super::{host::Host, host_pattern::HostPattern};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Names that are compared letter by letter, at the most: each comparison is slow, and the agent chooses the other name.
const COMPARED: usize = 64;
/// By so many letters the lengths of two names may differ that are compared.
const FAR: usize = 31;

/// The names of rules, by what a name is asked with that was meant to be one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NearNames {
    exact: HashMap<Box<str>, usize>,
    /// The shortest name below each domain of at least two labels; of equal ones the first.
    below: HashMap<Box<str>, (usize, usize)>,
    by_length: BTreeMap<usize, Vec<usize>>,
}

impl NearNames {
    pub(super) fn add(&mut self, name: &HostPattern, index: usize) {
        let name = name.as_str();
        self.exact.insert(name.into(), index);
        for domain in domains(name) {
            let shortest = self.below.entry(domain.into()).or_insert((name.len(), index));
            if name.len() < shortest.0 {
                *shortest = (name.len(), index);
            }
        }
        self.by_length.entry(name.len()).or_default().push(index);
    }

    /// The rules that a host can have been meant for, each once: the domains that it is below, what is below it, and some
    /// names about as long as it is.
    pub(super) fn of(&self, host: &Host) -> impl Iterator<Item = usize> {
        let host = host.as_str();
        let above = domains(host).filter_map(|domain| self.exact.get(domain).copied());
        let below = self.below.get(host).map(|(_, index)| *index);
        let length = host.len();
        let lengths = (0..=FAR).flat_map(move |far| {
            let shorter = length.checked_sub(far).filter(|_| far > 0);
            [Some(length + far), shorter].into_iter().flatten().filter(move |known| far <= slips(*known))
        });
        let alike = lengths.filter_map(|length| self.by_length.get(&length)).flatten().copied();
        let mut seen = HashSet::new();
        above.chain(below).chain(alike.take(COMPARED)).filter(move |index| seen.insert(*index))
    }
}

/// What stands behind each dot of a name, as long as it has a dot itself.
fn domains(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(domain(name), |name| domain(name))
}

fn domain(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, rest)| rest).filter(|rest| rest.contains('.'))
}

/// Letters by which two names may differ that mean the same.
pub(super) fn slips(length: usize) -> usize {
    2.max(length / 8)
}
