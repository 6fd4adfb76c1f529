//! What is said of findings: which commit and file they stand in, and what to do.

use super::{
    Candidate, Exempted, Inspected, Refused, RefusedKind, Update,
    limits::Look,
    object::{self, Kind, Mode},
    objects::{Finding, Findings, Objects, Place},
    shown,
};
use crate::git_gate::object_id::ObjectId;
use std::collections::{HashMap, HashSet};

/// Findings that are shown.
const SHOWN: usize = 20;

/// Exempted lines that are named.
const EXEMPTED: usize = 100;

/// Folders that lie in one another.
const DEEPEST: u32 = 1000;

/// Bytes of all paths that rules are asked about.
const PLACES: usize = 256 << 20;

/// Bytes of a path before a name that are scanned with it: what is split by a slash is seen.
const BEFORE: usize = 200;

/// Refuses what carries a credential.
pub(super) fn judge(
    updates: &[Update<'_>],
    mut objects: Objects,
    look: &Look<'_>,
) -> Result<Inspected, Refused> {
    let findings = std::mem::take(&mut objects.findings);
    let wanted = findings.found.iter().map(|it| it.id).chain(findings.exempted.iter().map(|it| it.0));
    let wanted = wanted.chain(findings.candidates.iter().map(|it| it.0));
    let mut walk = Walk {
        wanted: wanted.collect(),
        objects: &objects,
        look,
        findings,
        folders: Vec::new(),
        trees: HashMap::new(),
        blobs: HashMap::new(),
        reached: HashSet::new(),
        roots: Vec::new(),
    };
    walk.tips(updates)?;
    walk.unreached()?;
    walk.ruled()?;
    if !walk.findings.found.is_empty() {
        return Err(walk.refuse());
    }
    let exempted = walk.findings.exempted.iter().take(EXEMPTED);
    let exempted = exempted.map(|(id, found)| Exempted {
        kind: found.kind.clone(),
        place: walk.place_of_content(*id, found.line),
    });
    let unread = updates.iter().map(|it| it.new.is_some_and(|new| objects.kind(&new).is_none()));
    Ok(Inspected {
        objects: u32::try_from(objects.len()).unwrap_or(u32::MAX),
        exempted: exempted.collect(),
        unread: unread.collect(),
    })
}

/// A folder on the way to a tree.
struct Folder {
    /// The index of the one that it lies in.
    above: Option<usize>,
    name: Box<[u8]>,
    depth: u32,
}

/// Where a tree was met first.
#[derive(Clone, Copy)]
struct Met {
    /// Nothing where no commit of the push has it.
    commit: Option<ObjectId>,
    /// Nothing for a root.
    folder: Option<usize>,
}

struct Walk<'o> {
    objects: &'o Objects,
    look: &'o Look<'o>,
    findings: Findings,
    folders: Vec<Folder>,
    /// Each tree is walked once, so that no tree of trees grows.
    trees: HashMap<ObjectId, Met>,
    /// Of the wanted blobs, where they were met first, and the name there.
    blobs: HashMap<ObjectId, (Met, &'o [u8])>,
    wanted: HashSet<ObjectId>,
    /// Commits and tags that a ref reaches.
    reached: HashSet<ObjectId>,
    /// Trees that no other was seen above, with their commit, the oldest first.
    roots: Vec<(Option<ObjectId>, ObjectId)>,
}

impl Walk<'_> {
    /// An object of the pack is what others say that it is.
    fn expect(&self, id: ObjectId, kind: Kind, by: ObjectId) -> Result<(), Refused> {
        match self.objects.kind(&id) {
            Some(is) if is != kind => {
                let (is, kind) = (is.name(), kind.name());
                Err(Refused::malformed(format_args!("{by} calls {id} a {kind}, and it is a {is}")))
            }
            _ => Ok(()),
        }
    }

    /// Walks from what the refs shall hold. The oldest commits come first: they brought what is found.
    fn tips(&mut self, updates: &[Update<'_>]) -> Result<(), Refused> {
        let (mut order, mut roots) = (Vec::new(), Vec::new());
        for mut id in updates.iter().filter_map(|update| update.new) {
            while let Some(tag) = self.objects.tags.get(&id) {
                if !self.reached.insert(id) {
                    break;
                }
                self.expect(tag.target, tag.kind, id)?;
                id = tag.target;
            }
            match self.objects.kind(&id) {
                Some(Kind::Commit) if self.reached.insert(id) => order.push(id),
                Some(Kind::Tree) => roots.push(id),
                _ => {}
            }
        }
        let mut next = 0;
        while let Some(id) = order.get(next).copied() {
            next += 1;
            let Some(commit) = self.objects.commits.get(&id) else { continue };
            for parent in &commit.parents {
                self.expect(*parent, Kind::Commit, id)?;
                if self.objects.commits.contains_key(parent) && self.reached.insert(*parent) {
                    order.push(*parent);
                }
            }
        }
        for id in order.into_iter().rev() {
            let Some(commit) = self.objects.commits.get(&id) else { continue };
            self.expect(commit.tree, Kind::Tree, id)?;
            self.tree(Some(id), commit.tree)?;
        }
        roots.into_iter().try_for_each(|root| self.tree(None, root))
    }

    /// Trees that no ref reaches: the server stores them too.
    fn unreached(&mut self) -> Result<(), Refused> {
        let mut left: Vec<_> =
            self.objects.trees.keys().filter(|it| !self.trees.contains_key(it)).copied().collect();
        left.sort_unstable();
        left.into_iter().try_for_each(|root| self.tree(None, root))
    }

    fn tree(&mut self, commit: Option<ObjectId>, root: ObjectId) -> Result<(), Refused> {
        self.roots.push((commit, root));
        if self.trees.contains_key(&root) {
            return Ok(());
        }
        self.trees.insert(root, Met { commit, folder: None });
        let mut stack = vec![(root, None)];
        while let Some((id, folder)) = stack.pop() {
            let objects = self.objects;
            let Some(tree) = objects.trees.get(&id) else { continue };
            self.look.goes_on()?;
            let met = Met { commit, folder };
            self.names(id, tree, folder);
            for entry in object::entries(tree) {
                if let Some(kind) = entry.mode.kind() {
                    self.expect(entry.id, kind, id)?;
                }
                if entry.mode == Mode::Folder
                    && objects.trees.contains_key(&entry.id)
                    && !self.trees.contains_key(&entry.id)
                {
                    let depth = folder.map_or(0, |above: usize| self.folders[above].depth) + 1;
                    if depth > DEEPEST {
                        let what = format_args!("more than {DEEPEST} folders lie in one another");
                        return Err(Refused::too_large(what, "put fewer of them into one another"));
                    }
                    self.folders.push(Folder { above: folder, name: entry.name.into(), depth });
                    let folder = Some(self.folders.len() - 1);
                    self.trees.insert(entry.id, Met { commit, folder });
                    stack.push((entry.id, folder));
                } else if entry.mode.kind() == Some(Kind::Blob) && self.wanted.contains(&entry.id) {
                    self.blobs.entry(entry.id).or_insert((met, entry.name));
                }
            }
        }
        Ok(())
    }

    /// Scans the names of a tree, each behind the end of its path.
    fn names(&mut self, id: ObjectId, tree: &[u8], folder: Option<usize>) {
        let mut before = self.path(folder, BEFORE);
        before.drain(..before.len().saturating_sub(BEFORE));
        let mut all = self.look.scan.begin(false);
        for entry in object::entries(tree) {
            for part in [&before, entry.name, b"\n"] {
                all.push(part);
            }
        }
        let mut names = Vec::new();
        if self.look.scan.rules().is_some() {
            names.extend(object::entries(tree).flat_map(|entry| entry.name.iter().copied().chain([b'\n'])));
        }
        let ruled = self.look.scan.ruled(&names);
        for found in all.finish().found.into_iter().chain(ruled.into_iter().map(|it| it.found)) {
            self.findings.push(Finding { id, place: Place::Name, found });
        }
    }

    /// What the rules found in files stands unless it passes by every path at which it lies, and by the commit that brought
    /// it there. Rules about paths are asked here.
    fn ruled(&mut self) -> Result<(), Refused> {
        let Some(rules) = self.look.scan.rules() else { return Ok(()) };
        let mut waiting: HashMap<ObjectId, Vec<Candidate>> = HashMap::new();
        for (id, candidate) in std::mem::take(&mut self.findings.candidates) {
            waiting.entry(id).or_default().push(candidate);
        }
        let (mut seen, mut met, mut left) = (HashSet::new(), HashSet::new(), PLACES);
        let objects = self.objects;
        for (commit, root) in std::mem::take(&mut self.roots) {
            let commit = commit.map(|commit| commit.to_string());
            let commit = commit.as_deref();
            let mut stack = vec![(root, Vec::new())];
            while let Some((id, above)) = stack.pop() {
                let Some(tree) = objects.trees.get(&id) else { continue };
                if seen.contains(&(id, above.clone())) {
                    continue;
                }
                self.look.goes_on()?;
                for entry in object::entries(tree).filter(|entry| objects.kind(&entry.id).is_some()) {
                    let path = [&above, entry.name].concat();
                    left = usize::checked_sub(left, path.len() + 1).ok_or_else(|| {
                        let what = "its files lie at more paths than rules about paths can be asked for";
                        Refused::too_large(what, "push fewer commits at a time")
                    })?;
                    if entry.mode == Mode::Folder {
                        stack.push((entry.id, [&path[..], b"/"].concat()));
                        continue;
                    }
                    met.insert(entry.id);
                    if let Some(Candidate { found, .. }) = rules.path(&path, commit) {
                        self.findings.push(Finding { id, place: Place::Name, found });
                    }
                    let Some(candidates) = waiting.get_mut(&entry.id) else { continue };
                    for it in candidates.extract_if(.., |it| rules.stands(it, Some(&path), commit)) {
                        self.findings.push(Finding { id: entry.id, place: Place::Content, found: it.found });
                    }
                }
                seen.insert((id, above));
            }
        }
        let mut waiting: Vec<_> = waiting.into_iter().filter(|(id, _)| !met.contains(id)).collect();
        waiting.sort_unstable_by_key(|(id, _)| *id);
        for (id, candidates) in waiting {
            for it in candidates.into_iter().filter(|it| rules.stands(it, None, None)) {
                self.findings.push(Finding { id, place: Place::Content, found: it.found });
            }
        }
        Ok(())
    }

    /// A path with a slash at its end, or so many bytes of its end and a name more.
    fn path(&self, folder: Option<usize>, most: usize) -> Vec<u8> {
        let (mut names, mut next, mut length) = (Vec::new(), folder, 0);
        while let Some(folder) = next.map(|it| &self.folders[it]).filter(|_| length < most) {
            length += folder.name.len() + 1;
            names.push(&folder.name);
            next = folder.above;
        }
        names.into_iter().rev().flat_map(|name| name.iter().copied().chain([b'/'])).collect()
    }

    fn place(&self, finding: &Finding) -> String {
        let id = finding.id;
        let reached = if self.reached.contains(&id) { "" } else { ", which no ref of this push reaches" };
        match (finding.place, self.objects.kind(&id)) {
            (Place::Content, _) => self.place_of_content(id, finding.found.line),
            (Place::Written, Some(Kind::Tag)) => {
                format!("the name, the tagger or the message of the tag {id}{reached}")
            }
            (Place::Written, _) => {
                format!("the author, the committer, the message or another field of the commit {id}{reached}")
            }
            (Place::Name, _) => {
                let commit = match self.trees.get(&id).and_then(|met| met.commit) {
                    Some(commit) => format!(" in commit {commit}"),
                    None => ", which no commit of this push has".to_owned(),
                };
                format!("a path: a name that `git ls-tree {id}` lists{commit}")
            }
        }
    }

    fn place_of_content(&self, id: ObjectId, line: u64) -> String {
        let Some((met, name)) = self.blobs.get(&id) else {
            return format!("line {line} of `git cat-file -p {id}`, a file that no commit of this push has");
        };
        let path = [&self.path(met.folder, usize::MAX), *name].concat();
        let mut reading = self.look.scan.begin(false);
        reading.push(&path);
        let path = if reading.finish().found.is_empty() {
            shown(&path)
        } else {
            format!("a file whose path carries one too (`git cat-file -p {id}`)")
        };
        match met.commit {
            Some(commit) => format!("line {line} of {path} in commit {commit}"),
            None => format!("line {line} of {path}, which no commit of this push has"),
        }
    }

    fn refuse(&self) -> Refused {
        let found = &self.findings.found;
        let (all, shown_ones) = (found.len() + self.findings.more, found.len().min(SHOWN));
        let lines: Vec<String> = found
            .iter()
            .take(SHOWN)
            .map(|it| format!("{} in {}", shown(it.found.kind.as_bytes()), self.place(it)))
            .collect();
        let first = lines.first().map(String::as_str).unwrap_or_default();
        let reason = format!("it carries a credential: {first}");
        let mut remote = vec![match all {
            1 => "This push carries a credential. Nothing of it was sent to the server:".to_owned(),
            _ => format!(
                "This push carries credentials, in {all} places. Nothing of it was sent to the server:"
            ),
        }];
        remote.extend(lines.into_iter().map(|line| format!("  {line}")));
        if all > shown_ones {
            remote.push(format!("  and {} more", all - shown_ones));
        }
        remote.push(
            "Take it out of each commit that has it (`git rebase -i COMMIT^`): a later commit that deletes it is not \
             enough. Then push again."
                .to_owned(),
        );
        remote.push("If it is in use, have it replaced: it stays in the history of this clone.".to_owned());
        remote.push(
            if self.look.scan.comments() {
                "If it is a false alarm in a file, write the comment `gitleaks:allow` at the end of its line."
            } else {
                "If it is a false alarm, ask a person to push it from outside of this cage."
            }
            .to_owned(),
        );
        Refused { refname: None, reason, remote, kind: RefusedKind::Credential }
    }
}
