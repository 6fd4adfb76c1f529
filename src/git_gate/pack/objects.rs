//! What is kept of a pack's objects: how they hang together, and what was found in them.

use super::{
    Candidate, Found, Reading, Refused,
    limits::Look,
    names::Special,
    object::{self, Commit, Kind, Mode, Tag},
    special::{self, LARGEST_MODULES, Lines, MODULES_TOO_LARGE},
};
use crate::git_gate::object_id::ObjectId;
use sha1_checked::{Digest as _, Sha1};
use std::collections::{HashMap, HashSet};

/// So much is hashed at once.
const BLOCK: usize = 32 << 10;

/// Findings by rules that are kept.
const CANDIDATES: usize = 50_000;

/// Findings that are kept; a push is refused by the first.
const MOST: usize = 500;

/// The objects of a pack.
#[derive(Default)]
pub(super) struct Objects {
    kinds: HashMap<ObjectId, Kind>,
    pub(super) commits: HashMap<ObjectId, Commit>,
    pub(super) trees: HashMap<ObjectId, Box<[u8]>>,
    pub(super) tags: HashMap<ObjectId, Tag>,
    /// Files that git acts on, with a tree that names each.
    special: HashMap<(ObjectId, Special), ObjectId>,
    /// Blobs that can't be such a file, and why; of those that can't be a `.gitmodules` only the ones that look like one.
    unfit: HashMap<(ObjectId, Special), &'static str>,
    /// Blobs that are good as a `.gitmodules`.
    modules: HashSet<ObjectId>,
    /// Bytes of commits, trees and tags.
    structure: u64,
    pub(super) findings: Findings,
}

/// What was found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) found: Vec<Finding>,
    /// Those that are not kept.
    pub(super) more: usize,
    /// Lines of blobs that a comment exempts.
    pub(super) exempted: Vec<(ObjectId, Found)>,
    /// What rules found in blobs, which may pass by its path.
    pub(super) candidates: Vec<(ObjectId, Candidate)>,
}

/// Something that must not leave.
pub(super) struct Finding {
    pub(super) id: ObjectId,
    pub(super) place: Place,
    pub(super) found: Found,
}

/// Where it stands in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The line of a blob.
    Content,
    /// What people wrote in a commit or a tag: names, other fields, the message.
    Written,
    /// The name of an entry.
    Name,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.found.len() < MOST {
            self.found.push(finding);
        } else {
            self.more += 1;
        }
    }
}

impl Objects {
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn kind(&self, id: &ObjectId) -> Option<Kind> {
        self.kinds.get(id).copied()
    }

    /// Whether a blob can be one of the files that git acts on. Which ones are is known when all trees are there.
    fn may_be_special(&mut self, id: ObjectId, intake: &Intake<'_>) {
        if let Err(wrong) = intake.lines.as_attributes() {
            self.unfit.insert((id, Special::Attributes), wrong);
        }
        match intake.start.as_deref().map(special::modules) {
            Some(Ok(())) => drop(self.modules.insert(id)),
            Some(Err(wrong)) if wrong == special::NOT_READ => {}
            Some(Err(wrong)) => drop(self.unfit.insert((id, Special::Modules), wrong)),
            None => drop(self.unfit.insert((id, Special::Modules), MODULES_TOO_LARGE)),
        }
    }

    /// Files that git acts on say nothing by which it was turned against whoever has them. Those that are not in the pack
    /// the server has already.
    pub(super) fn special_files(&self) -> Result<(), Refused> {
        let mut named: Vec<_> =
            self.special.iter().filter(|((id, _), _)| self.kinds.contains_key(id)).collect();
        named.sort_unstable_by_key(|((id, _), tree)| (*id, **tree));
        for ((id, special), tree) in named {
            let wrong = match self.unfit.get(&(*id, *special)) {
                Some(wrong) => wrong,
                None if *special == Special::Modules && !self.modules.contains(id) => special::NOT_READ,
                None => continue,
            };
            return Err(Refused::malformed(format_args!("the file {id} of the tree {tree}: {wrong}")));
        }
        Ok(())
    }

    /// Takes an object in: says its name, and its content where that was to be kept.
    pub(super) fn add(
        &mut self,
        mut intake: Intake<'_>,
        structure: u64,
    ) -> Result<(ObjectId, Option<Vec<u8>>), Refused> {
        intake.flush()?;
        let kind = intake.kind;
        let result = std::mem::take(&mut intake.hash).try_finalize();
        let id =
            ObjectId::from_bytes(result.hash()).ok_or_else(|| Refused::malformed("a hash has no length"))?;
        let bad = |what: &str| Refused::malformed(format_args!("the {} {id}: {what}", kind.name()));
        if result.has_collision() {
            return Err(bad("its SHA-1 is the work of a collision attack"));
        }
        if self.kinds.insert(id, kind).is_some() {
            return Err(bad("it is in the pack twice"));
        }
        if let Some(reading) = &mut intake.reading {
            let scanned = reading.finish();
            for found in scanned.found {
                self.findings.push(Finding { id, place: Place::Content, found });
            }
            self.findings.candidates.extend(scanned.candidates.into_iter().map(|it| (id, it)));
            if self.findings.candidates.len() > CANDIDATES {
                return Err(Refused::too_large(
                    format_args!("the rules of git.push.rules find more than {CANDIDATES} places in it"),
                    "push fewer commits at a time, or have a person look at these rules",
                ));
            }
            if self.findings.exempted.len() < MOST {
                self.findings.exempted.extend(scanned.exempted.into_iter().map(|found| (id, found)));
            }
        }
        if kind == Kind::Blob {
            self.may_be_special(id, &intake);
            return Ok((id, intake.content.filter(|_| intake.keep)));
        }
        let content = intake.content.unwrap_or_default();
        self.structure += content.len() as u64;
        if self.structure > structure {
            return Err(Refused::too_large(
                format_args!("its commits, trees and tags are more than {structure} bytes"),
                "push fewer commits at a time",
            ));
        }
        let written = match kind {
            Kind::Commit => {
                let commit = object::commit(&content).map_err(bad)?;
                let written = commit.written;
                self.commits.insert(id, commit);
                written
            }
            Kind::Tag => {
                let tag = object::tag(&content).map_err(bad)?;
                let written = tag.written;
                self.tags.insert(id, tag);
                written
            }
            Kind::Tree | Kind::Blob => {
                object::check_tree(&content).map_err(bad)?;
                for entry in object::entries(&content).filter(|it| it.mode == Mode::File) {
                    if let Some(special) = Special::of(entry.name) {
                        self.special.entry((entry.id, special)).or_insert(id);
                    }
                }
                // With the names of objects in it, which a sender may choose where the pack has none.
                let mut reading = intake.look.scan.begin(false);
                reading.push(&content);
                for found in reading.finish().found {
                    self.findings.push(Finding { id, place: Place::Name, found });
                }
                self.trees.insert(id, content.as_slice().into());
                // Its names are scanned where its path is known.
                return Ok((id, intake.keep.then_some(content)));
            }
        };
        let mut reading = intake.look.scan.begin(false);
        reading.push(&content);
        for word in content[..written].split(u8::is_ascii_whitespace) {
            let named = data_encoding::HEXLOWER.decode(word).unwrap_or_default();
            for part in [&named[..], b"\n"] {
                reading.push(part);
            }
        }
        let message = memchr::memmem::find(&content, b"\n\n").map_or(content.len(), |at| at + 2);
        let ruled = intake.look.scan.ruled(&content[message..]);
        for found in reading.finish().found.into_iter().chain(ruled.into_iter().map(|it| it.found)) {
            self.findings.push(Finding { id, place: Place::Written, found });
        }
        Ok((id, intake.keep.then_some(content)))
    }
}

/// An object that comes in parts.
pub(super) struct Intake<'s> {
    kind: Kind,
    hash: Sha1,
    look: &'s Look<'s>,
    reading: Option<Box<dyn Reading + 's>>,
    keep: bool,
    content: Option<Vec<u8>>,
    lines: Lines,
    /// All of a blob that can be a `.gitmodules`.
    start: Option<Vec<u8>>,
    /// What was not hashed yet: a delta may come a byte at a time.
    held: Vec<u8>,
}

impl<'s> Intake<'s> {
    /// Of a blob only that is in memory which is to be kept.
    pub(super) fn new(kind: Kind, size: u64, look: &'s Look<'s>, keep: bool) -> Self {
        let mut hash = Sha1::new();
        hash.update(format!("{} {size}\0", kind.name()).as_bytes());
        let is_blob = kind == Kind::Blob;
        let reading = is_blob.then(|| look.scan.begin(true));
        let content = (keep || !is_blob).then(Vec::new);
        let start = (is_blob && size <= LARGEST_MODULES).then(Vec::new);
        Self { kind, hash, look, reading, keep, content, lines: Lines::default(), start, held: Vec::new() }
    }

    pub(super) fn push(&mut self, part: &[u8]) -> Result<(), Refused> {
        if part.len() < BLOCK && self.held.len() + part.len() < BLOCK {
            self.held.extend_from_slice(part);
            return Ok(());
        }
        self.flush()?;
        self.take(part)
    }

    fn flush(&mut self) -> Result<(), Refused> {
        let mut held = std::mem::take(&mut self.held);
        self.take(&held)?;
        held.clear();
        self.held = held;
        Ok(())
    }

    fn take(&mut self, part: &[u8]) -> Result<(), Refused> {
        self.hash.update(part);
        if let Some(reading) = &mut self.reading {
            reading.push(part);
        }
        self.lines.push(part);
        for kept in [&mut self.content, &mut self.start].into_iter().flatten() {
            kept.extend_from_slice(part);
        }
        self.look.goes_on()
    }
}
