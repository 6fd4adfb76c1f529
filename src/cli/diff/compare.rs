//! Comparing two sides, one pair of bottles at a time: what is in memory does not grow with the number of bottles that
//! are the same.

use super::files::{BottleSource, Keyed, Scope};
use super::sides::Side;
use crate::cli::say;
use crate::diagnostic::Report;
use crate::review::{Bottle, BottleSide, Review, pair_moved};
use anyhow::ensure;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

/// So many bottles take a time in which a person wants to see something.
const MANY: usize = 50;

/// What is read of both sides.
#[derive(Default)]
struct Reading {
    /// What is wrong in any manifest: all of it is reported at once.
    problems: Report,
    /// The folders of the trees that the manifests of each side render to.
    old_outs: BTreeSet<Utf8PathBuf>,
    new_outs: BTreeSet<Utf8PathBuf>,
    /// The bytes of all manifests.
    bytes: usize,
}

/// The manifests of both sides, at most, in bytes: a few objects of git's can be any number of files, and each byte of a
/// manifest takes some microseconds. A thousand bottles have less.
const MOST_BYTES: usize = 16 << 20;

/// What one with a mistake counts, in bytes: it was read up to there, wherever that is.
const WRONG: usize = 64 << 10;

/// Everything that differs, at or below `only` where that names anything.
pub(super) fn compare(old: &Side, new: &Side, only: &[Utf8PathBuf], quiet: bool) -> anyhow::Result<Review> {
    let mut olds: BTreeMap<Utf8PathBuf, BottleSource> =
        old.files.bottles(&old.scope, only)?.into_iter().collect();
    let news = new.files.bottles(&new.scope, only)?;
    ensure!(
        only.is_empty() || !olds.is_empty() || !news.is_empty(),
        "neither side has a manifest at or below {}",
        only.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ")
    );
    if olds.is_empty() && news.is_empty() {
        say("note: neither side has a manifest: no bottle.yaml and no NAME.bottle.yaml\n");
    }
    let mut reading = Reading::default();
    let (mut bottles, mut unpaired) = (Vec::new(), Vec::new());
    let (all, shows) = (news.len(), !quiet && news.len() > MANY && std::io::stderr().is_terminal());
    for (at, (key, source)) in news.into_iter().enumerate() {
        if shows && at % MANY == 0 {
            say(&format!("{at} of {all} bottles\n"));
        }
        match olds.remove(&key) {
            None => unpaired.push((key, source)),
            Some(was) => {
                let was = reading.load(old, was, true)?;
                let is = reading.load(new, source, false)?;
                if let (Some(was), Some(is)) = (was, is) {
                    bottles.extend(Bottle::compare(Some(&was), Some(&is)));
                }
            }
        }
    }
    let (was, is) =
        (reading.named(old, olds.into_iter(), true)?, reading.named(new, unpaired.into_iter(), false)?);
    if reading.problems.0.is_empty() {
        for (was, is) in pair_moved(was, is) {
            let was = was.map(|source| old.files.load(source)).transpose()?;
            let is = is.map(|source| new.files.load(source)).transpose()?;
            bottles.extend(Bottle::compare(was.as_ref(), is.as_ref()));
        }
    }
    if !reading.problems.0.is_empty() {
        say(
            "note: nothing is compared while a manifest of one side can't be read; `-- PATH` compares only what is there\n",
        );
        return Err(reading.problems.into());
    }
    if only.is_empty()
        && let Scope::All(folder) = &new.scope
    {
        for path in new.files.trees(folder)?.iter().filter(|path| !reading.new_outs.contains(*path)) {
            bottles.extend(without_manifest(old, new, path, &reading)?);
        }
    }
    Ok(Review::new(old.name.clone(), new.name.clone(), bottles))
}

impl Reading {
    /// The bottles that only one side has at their paths, by name: one at a time is in memory.
    fn named(
        &mut self,
        side: &Side,
        sources: impl Iterator<Item = Keyed>,
        is_old: bool,
    ) -> anyhow::Result<Vec<(String, BottleSource)>> {
        let mut named = Vec::new();
        for (_, source) in sources {
            if let Some(bottle) = self.load(side, source.clone(), is_old)? {
                named.push((bottle.name().to_owned(), source));
            }
        }
        Ok(named)
    }

    /// Nothing where something is wrong with it, which is kept.
    fn load(
        &mut self,
        side: &Side,
        source: BottleSource,
        is_old: bool,
    ) -> anyhow::Result<Option<BottleSide>> {
        let loaded = side.files.load(source);
        self.bytes += loaded.as_ref().map_or(WRONG, BottleSide::cost);
        ensure!(
            self.bytes <= MOST_BYTES,
            "the manifests, with what they name, come to more than {} MiB; name a folder of them: bottle diff OLD NEW -- FOLDER",
            MOST_BYTES >> 20
        );
        match loaded {
            Ok(bottle) => {
                let outs = if is_old { &mut self.old_outs } else { &mut self.new_outs };
                outs.insert(bottle.out());
                Ok(Some(bottle))
            }
            Err(error) => {
                self.problems.0.extend(error.downcast::<Report>()?.0);
                Ok(None)
            }
        }
    }
}

/// A tree that no manifest of the new side renders to: `docker compose up` starts it all the same.
fn without_manifest(
    old: &Side,
    new: &Side,
    path: &Utf8Path,
    reading: &Reading,
) -> anyhow::Result<Option<Bottle>> {
    let (was, is) = (old.files.tree(path)?, new.files.tree(path)?.unwrap_or_default());
    if was.as_ref() == Some(&is) && !reading.old_outs.contains(path) {
        return Ok(None);
    }
    Ok(Some(Bottle::without_manifest(path, &new.files.prefix(), was.as_ref(), &is)))
}
