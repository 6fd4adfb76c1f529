//! Trees that were read, and what is looked up in them. Many folders of a repository can be one tree, and a tree can have
//! any number of entries.

use super::attributes;
use super::object::{Id, TreeEntry};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// What is kept, in bytes of trees; in memory they take a few times as much.
const MOST: usize = 32 << 20;

/// The trees that were read last.
#[derive(Debug, Default)]
pub(super) struct Trees {
    known: HashMap<Id, Arc<Tree>>,
    bytes: usize,
}

impl Trees {
    pub(super) fn get(&self, id: &Id) -> Option<Arc<Tree>> {
        self.known.get(id).cloned()
    }

    /// Keeps a tree of so many bytes; all others go where there is no more room.
    pub(super) fn keep(&mut self, id: &Id, tree: &Arc<Tree>, bytes: usize) {
        if self.bytes + bytes > MOST {
            self.known.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.known.insert(id.clone(), Arc::clone(tree));
    }
}

/// The entries of a folder.
#[derive(Debug)]
pub(super) struct Tree {
    entries: Vec<TreeEntry>,
    /// Where the entries stand that a file system could take for each other.
    folded: OnceLock<HashMap<String, Vec<usize>>>,
    /// Where those stand that a file system could take for `.gitattributes`.
    attributes: OnceLock<Vec<usize>>,
}

impl Tree {
    pub(super) fn new(entries: Vec<TreeEntry>) -> Self {
        Self { entries, folded: OnceLock::new(), attributes: OnceLock::new() }
    }

    pub(super) fn all(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The entry of this name.
    pub(super) fn find(&self, name: &str) -> Option<&TreeEntry> {
        self.alike(name).find(|entry| entry.name == name)
    }

    /// Every entry that some file system takes for one of this name.
    pub(super) fn alike(&self, name: &str) -> impl Iterator<Item = &TreeEntry> {
        let folded = self.folded.get_or_init(|| {
            let mut folded = HashMap::<String, Vec<usize>>::new();
            for (at, entry) in self.entries.iter().enumerate() {
                folded.entry(attributes::folded(&entry.name)).or_default().push(at);
            }
            folded
        });
        let found = folded.get(&attributes::folded(name));
        found.into_iter().flatten().map(|at| &self.entries[*at])
    }

    /// Every entry that some file system takes for `.gitattributes`.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &TreeEntry> {
        let found = self.attributes.get_or_init(|| {
            let named = self.entries.iter().enumerate();
            named.filter(|(_, entry)| attributes::is_attributes(&entry.name)).map(|(at, _)| at).collect()
        });
        found.iter().map(|at| &self.entries[*at])
    }
}
