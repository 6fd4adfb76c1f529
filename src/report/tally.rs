//! Counts by a key that an agent chooses, in bounded memory: the largest are kept.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash},
};

/// What is counted for one key.
pub(super) trait Count {
    /// How many requests.
    fn count(&self) -> u64;
}

impl Count for u64 {
    fn count(&self) -> u64 {
        *self
    }
}

/// Counts by key. Once there are twice as many keys as `limit`, the smallest half is only counted together.
///
/// So a flood of made-up keys pushes out what was asked for as rarely as they were, and nothing that was asked for often.
pub(super) struct Tally<K, V> {
    limit: usize,
    kept: HashMap<K, V>,
    folded: u64,
}

impl<K: Hash + Eq, V: Count> Tally<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, kept: HashMap::new(), folded: 0 }
    }

    /// What is counted for a key; made by `new` where there is nothing yet.
    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if self.kept.len() >= self.limit * 2 && !self.kept.contains_key(&key) {
            self.fold();
        }
        self.kept.entry(key).or_insert_with(new)
    }

    fn fold(&mut self) {
        let mut counts: Vec<(u64, u64)> =
            self.kept.iter().map(|(key, value)| (value.count(), self.kept.hasher().hash_one(key))).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let last = counts[self.limit - 1];
        let hasher = self.kept.hasher().clone();
        let mut folded = 0_u64;
        self.kept.retain(|key, value| {
            let stays = (value.count(), hasher.hash_one(key)) >= last;
            if !stays {
                folded = folded.saturating_add(value.count());
            }
            stays
        });
        self.folded = self.folded.saturating_add(folded);
    }

    pub(super) fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        self.kept.contains_key(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What is kept, the largest first and then by key, and how many requests are in keys that are not.
    pub(super) fn into_sorted(self) -> (Vec<(K, V)>, u64)
    where
        K: Ord,
    {
        let mut kept: Vec<(K, V)> = self.kept.into_iter().collect();
        kept.sort_by(|a, b| b.1.count().cmp(&a.1.count()).then_with(|| a.0.cmp(&b.0)));
        (kept, self.folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_takes_no_more_memory_and_pushes_out_nothing_large() {
        let mut tally: Tally<String, u64> = Tally::new(10);
        for n in 0..3 {
            for _ in 0..=n {
                *tally.entry(format!("often {n}"), || 0) += 5;
            }
        }
        for n in 0..100_000 {
            *tally.entry(format!("once {n}"), || 0) += 1;
            assert!(tally.kept.len() <= 20);
        }
        let (kept, folded) = tally.into_sorted();
        let first: Vec<(&str, u64)> = kept.iter().take(3).map(|(key, n)| (key.as_str(), *n)).collect();
        assert_eq!(first, [("often 2", 15), ("often 1", 10), ("often 0", 5)]);
        assert_eq!(folded + kept.iter().map(|(_, n)| n).sum::<u64>(), 100_030, "no request is lost");
    }
}
