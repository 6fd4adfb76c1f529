//! Which bottles have to do with a path, in a time that does not grow with their number.

use camino::{Utf8Path, Utf8PathBuf};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Paths, each with the output folders of the bottles that it belongs to. Paths are ordered by component, so what lies
/// below a folder follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathIndex(BTreeMap<Utf8PathBuf, BTreeSet<Utf8PathBuf>>);

impl PathIndex {
    pub(super) fn insert(&mut self, path: &Utf8Path, out: &Utf8Path) {
        self.0.entry(path.to_owned()).or_default().insert(out.to_owned());
    }

    pub(super) fn remove(&mut self, path: &Utf8Path, out: &Utf8Path) {
        if let Some(outs) = self.0.get_mut(path) {
            outs.remove(out);
            if outs.is_empty() {
                self.0.remove(path);
            }
        }
    }

    /// Of this very path.
    pub(super) fn at(&self, path: &Utf8Path) -> impl Iterator<Item = &Utf8Path> {
        self.0.get(path).into_iter().flatten().map(Utf8PathBuf::as_path)
    }

    /// Of the path and of each folder above it: the folder, and whose it is.
    pub(super) fn above<'a>(&'a self, path: &Utf8Path) -> Vec<(&'a Utf8Path, &'a Utf8Path)> {
        path.ancestors().filter_map(|path| self.0.get_key_value(path)).flat_map(owned).collect()
    }

    /// Of the path, of each folder above it and of what lies below it.
    pub(super) fn around<'a>(&'a self, path: &Utf8Path) -> Vec<(&'a Utf8Path, &'a Utf8Path)> {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let below = self.0.range::<Utf8Path, _>(after).take_while(|(at, _)| at.starts_with(path));
        let mut found = self.above(path);
        found.extend(below.flat_map(owned));
        found
    }
}

fn owned<'a>(
    (path, outs): (&'a Utf8PathBuf, &'a BTreeSet<Utf8PathBuf>),
) -> impl Iterator<Item = (&'a Utf8Path, &'a Utf8Path)> {
    outs.iter().map(move |out| (path.as_path(), out.as_path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_and_below_a_path_is_found_by_component() {
        let mut index = PathIndex::default();
        for path in ["/p", "/p/a", "/p/a/b", "/p/a-b", "/p/ab", "/q"] {
            index.insert(path.into(), "/out/1".into());
        }
        index.insert("/p/a".into(), "/out/2".into());
        let around = |path: &str| -> Vec<String> {
            let found = index.around(path.into()).into_iter();
            found.map(|(path, out)| format!("{path} {out}")).collect()
        };
        assert_eq!(around("/p/a"), ["/p/a /out/1", "/p/a /out/2", "/p /out/1", "/p/a/b /out/1"]);
        assert_eq!(around("/p/a/x"), ["/p/a /out/1", "/p/a /out/2", "/p /out/1"]);
        assert_eq!(around("/q"), ["/q /out/1"]);
        assert_eq!(around("/").len(), 7);
        index.remove("/p/a".into(), "/out/1".into());
        index.remove("/p/a".into(), "/out/1".into());
        assert_eq!(index.at("/p/a".into()).collect::<Vec<_>>(), ["/out/2"]);
        index.remove("/p/a".into(), "/out/2".into());
        assert_eq!(index.at("/p/a".into()).count(), 0);
    }
}
