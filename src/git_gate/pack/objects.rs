//! What is kept of a pack's objects: how they hang together, and what was found in them.

use super::{
    Found, Reading, Refused, Scan,
    object::{self, Commit, Kind, Tag},
};
use crate::git_gate::object_id::ObjectId;
use sha1_checked::{Digest as _, Sha1};
use std::collections::HashMap;

/// Findings that are kept; a push is refused by the first.
const MOST: usize = 500;

/// The objects of a pack.
#[derive(Default)]
pub(super) struct Objects {
    kinds: HashMap<ObjectId, Kind>,
    pub(super) commits: HashMap<ObjectId, Commit>,
    pub(super) trees: HashMap<ObjectId, Box<[u8]>>,
    pub(super) tags: HashMap<ObjectId, Tag>,
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

    /// Takes an object in: says its name, and its content where that was to be kept.
    pub(super) fn add(
        &mut self,
        mut intake: Intake<'_>,
        structure: u64,
    ) -> Result<(ObjectId, Option<Vec<u8>>), Refused> {
        let kind = intake.kind;
        let result = intake.hash.try_finalize();
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
            if self.findings.exempted.len() < MOST {
                self.findings.exempted.extend(scanned.exempted.into_iter().map(|found| (id, found)));
            }
        }
        if kind == Kind::Blob {
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
                // With the names of objects in it, which a sender may choose where the pack has none.
                let mut reading = intake.scan.begin(false);
                reading.push(&content);
                for found in reading.finish().found {
                    self.findings.push(Finding { id, place: Place::Name, found });
                }
                self.trees.insert(id, content.as_slice().into());
                // Its names are scanned where its path is known.
                return Ok((id, intake.keep.then_some(content)));
            }
        };
        let mut reading = intake.scan.begin(false);
        reading.push(&content);
        for word in content[..written].split(u8::is_ascii_whitespace) {
            let named = data_encoding::HEXLOWER.decode(word).unwrap_or_default();
            for part in [&named[..], b"\n"] {
                reading.push(part);
            }
        }
        for found in reading.finish().found {
            self.findings.push(Finding { id, place: Place::Written, found });
        }
        Ok((id, intake.keep.then_some(content)))
    }
}

/// An object that comes in parts.
pub(super) struct Intake<'s> {
    kind: Kind,
    hash: Sha1,
    scan: &'s dyn Scan,
    reading: Option<Box<dyn Reading + 's>>,
    keep: bool,
    content: Option<Vec<u8>>,
}

impl<'s> Intake<'s> {
    /// Of a blob only that is in memory which is to be kept.
    pub(super) fn new(kind: Kind, size: u64, scan: &'s dyn Scan, keep: bool) -> Self {
        let mut hash = Sha1::new();
        hash.update(format!("{} {size}\0", kind.name()).as_bytes());
        let is_blob = kind == Kind::Blob;
        let reading = is_blob.then(|| scan.begin(true));
        Self { kind, hash, scan, reading, keep, content: (keep || !is_blob).then(Vec::new) }
    }

    pub(super) fn push(&mut self, part: &[u8]) {
        self.hash.update(part);
        if let Some(reading) = &mut self.reading {
            reading.push(part);
        }
        if let Some(content) = &mut self.content {
            content.extend_from_slice(part);
        }
    }
}
