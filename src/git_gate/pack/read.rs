//! The objects of a pack: found, inflated within bounds, hashed, read and scanned.

use super::{
    Refused,
    delta::Delta,
    limits::Look,
    object::Kind,
    objects::{Intake, Objects},
    source::{Source, TRAILER},
};
use crate::git_gate::object_id::ObjectId;
use std::{collections::HashMap, fs::File, rc::Rc};

/// The order that mends a pack whose files or deltas are too large to be in memory.
const SMALLER: &str = "rewrite it with `git -c core.bigFileThreshold=8m repack -adF` and push again";
/// The order that mends a pack that is too large as a whole.
const FEWER: &str = "push fewer commits at a time, or keep large files out of the repository";

/// An object in the file.
struct Entry {
    /// Where it begins, and its compressed bytes.
    begin: u64,
    data: u64,
    /// Bytes that are inflated: of the object, or of the delta.
    size: u64,
    stored: Stored,
}

#[derive(Clone, Copy)]
enum Stored {
    Whole(Kind),
    /// A delta upon the object of this index.
    Upon(usize),
    /// A delta upon the object of this name.
    UponId(ObjectId),
}

/// Reads all objects.
pub(super) fn read(file: &File, length: u64, look: &Look<'_>) -> Result<Objects, Refused> {
    let limits = look.limits;
    if length > limits.pack {
        let what = format_args!("it is {length} bytes long, and {} are allowed", limits.pack);
        return Err(Refused::too_large(what, FEWER));
    }
    if length < 12 + TRAILER {
        return Err(Refused::malformed("it is shorter than an empty pack"));
    }
    let mut source = Source::new(file, length);
    source.check_trailer()?;
    let mut reader = Reader {
        left: limits.inflated_of(length),
        objects: Objects::default(),
        source,
        entries: Vec::new(),
        roots: Vec::new(),
        look,
    };
    reader.whole(length - TRAILER)?;
    reader.deltas()?;
    Ok(reader.objects)
}

struct Reader<'p> {
    source: Source<'p>,
    look: &'p Look<'p>,
    /// In the order of the file.
    entries: Vec<Entry>,
    /// The names of those that stand whole.
    roots: Vec<(ObjectId, usize)>,
    objects: Objects,
    /// Bytes that may still be inflated.
    left: u64,
}

/// The base of deltas, and which of them were not yet made.
struct Base {
    content: Rc<Vec<u8>>,
    kind: Kind,
    depth: u32,
    /// The last one is the next.
    children: Vec<usize>,
}

impl Reader<'_> {
    fn charge(&mut self, size: u64) -> Result<(), Refused> {
        if size > self.look.limits.object {
            let what =
                format_args!("an object is {size} bytes long, and {} are allowed", self.look.limits.object);
            return Err(Refused::too_large(what, FEWER));
        }
        self.left = self.left.checked_sub(size).ok_or_else(|| {
            Refused::too_large("its objects grow beyond what is allowed when they are inflated", FEWER)
        })?;
        Ok(())
    }

    fn resident(&self, what: &str, size: u64) -> Result<usize, Refused> {
        if size > self.look.limits.resident {
            let what =
                format_args!("{what} is {size} bytes long, and {} are allowed", self.look.limits.resident);
            return Err(Refused::too_large(what, SMALLER));
        }
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// Reads the file from its beginning to its end. What stands whole is done with.
    fn whole(&mut self, end: u64) -> Result<(), Refused> {
        if self.source.bytes::<4>()? != *b"PACK" {
            return Err(Refused::malformed("it does not begin as a pack does"));
        }
        let version = u32::from_be_bytes(self.source.bytes()?);
        if version != 2 {
            return Err(Refused::malformed(format_args!("it is of version {version}; git writes 2")));
        }
        let count = u32::from_be_bytes(self.source.bytes()?);
        if count > self.look.limits.objects {
            let what = format_args!("it holds {count} objects, and {} are allowed", self.look.limits.objects);
            return Err(Refused::too_large(what, FEWER));
        }
        for _ in 0..count {
            let mut entry = self.head()?;
            self.charge(entry.size)?;
            entry.data = self.source.position();
            match entry.stored {
                Stored::Whole(kind) => {
                    if kind != Kind::Blob {
                        self.resident(&format!("a {}", kind.name()), entry.size)?;
                    }
                    let mut intake = Intake::new(kind, entry.size, self.look, false);
                    self.source.inflate(entry.size, |part| intake.push(part))?;
                    let (id, _) = self.objects.add(intake, self.look.limits.structure)?;
                    self.roots.push((id, self.entries.len()));
                }
                Stored::Upon(_) | Stored::UponId(_) => {
                    self.resident("a delta", entry.size)?;
                    self.source.inflate(entry.size, |_| self.look.goes_on())?;
                }
            }
            self.entries.push(entry);
        }
        if self.source.position() != end {
            return Err(Refused::malformed("it holds more than it says"));
        }
        Ok(())
    }

    /// The head of an entry: what it is, how long, and upon what.
    fn head(&mut self) -> Result<Entry, Refused> {
        let begin = self.source.position();
        let bad = |what| Refused::malformed(format_args!("the object at byte {begin} {what}"));
        let first = self.source.byte()?;
        let (mut size, mut shift, mut byte) = (u64::from(first & 0x0f), 4, first);
        while byte & 0x80 != 0 {
            byte = self.source.byte()?;
            if shift > 53 {
                return Err(bad("names a size that no object has"));
            }
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        let stored = match first >> 4 & 7 {
            1 => Stored::Whole(Kind::Commit),
            2 => Stored::Whole(Kind::Tree),
            3 => Stored::Whole(Kind::Blob),
            4 => Stored::Whole(Kind::Tag),
            6 => {
                let mut byte = self.source.byte()?;
                let mut back = u64::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    byte = self.source.byte()?;
                    if back >= 1 << 48 {
                        return Err(bad("is a delta upon no object"));
                    }
                    back = (back + 1) << 7 | u64::from(byte & 0x7f);
                }
                // Only objects before it have an index: no chain of these goes round.
                let base = begin.checked_sub(back);
                let index = base.and_then(|at| self.entries.binary_search_by_key(&at, |it| it.begin).ok());
                Stored::Upon(index.ok_or_else(|| bad("is a delta upon no object"))?)
            }
            7 => {
                let id = ObjectId::from_bytes(&self.source.bytes::<20>()?);
                Stored::UponId(id.ok_or_else(|| bad("is a delta upon no object"))?)
            }
            _ => return Err(bad("is of no type that git has")),
        };
        Ok(Entry { begin, data: begin, size, stored })
    }

    /// Makes what is stored as deltas, from the bases on.
    ///
    /// Each is made once. Of the deltas upon one object the one with the most upon it comes last, when its base is no longer
    /// needed: so a chain keeps one base, and a tree of them as many as the logarithm of its size.
    fn deltas(&mut self) -> Result<(), Refused> {
        let mut weights = vec![1_u64; self.entries.len()];
        let mut upon: Vec<Vec<usize>> = vec![Vec::new(); self.entries.len()];
        let mut waiting: HashMap<ObjectId, Vec<usize>> = HashMap::new();
        for (index, entry) in self.entries.iter().enumerate().rev() {
            if let Stored::Upon(base) = entry.stored {
                weights[base] += weights[index];
                upon[base].push(index);
            }
        }
        for (index, entry) in self.entries.iter().enumerate() {
            if let Stored::UponId(id) = entry.stored {
                waiting.entry(id).or_default().push(index);
            }
        }
        for (id, root) in std::mem::take(&mut self.roots) {
            let Stored::Whole(kind) = self.entries[root].stored else { continue };
            let children = deltas_upon(root, id, &mut upon, &mut waiting, &weights);
            if children.is_empty() {
                continue;
            }
            let content = Rc::new(self.content(root, "the base of a delta")?);
            let mut kept = content.len() as u64;
            let mut stack = vec![Base { content, kind, depth: 0, children }];
            while let Some(mut base) = stack.pop() {
                let Some(child) = base.children.pop() else {
                    kept -= base.content.len() as u64;
                    continue;
                };
                let (content, kind, depth) = (Rc::clone(&base.content), base.kind, base.depth + 1);
                if base.children.is_empty() {
                    kept -= base.content.len() as u64;
                    drop(base);
                } else {
                    stack.push(base);
                }
                if depth > self.look.limits.depth {
                    let most = self.look.limits.depth;
                    let what = format_args!("an object stands behind more than {most} deltas");
                    return Err(Refused::too_large(
                        what,
                        "rewrite it with `git repack -adF --depth=50` and push again",
                    ));
                }
                let is_base = !upon[child].is_empty();
                let (id, size, made) = self.made(child, kind, &content, is_base, !waiting.is_empty())?;
                drop(content);
                let children = deltas_upon(child, id, &mut upon, &mut waiting, &weights);
                if children.is_empty() {
                    continue;
                }
                let Some(content) = made else {
                    self.resident("the base of a delta", size)?;
                    continue;
                };
                kept += content.len() as u64;
                if kept > self.look.limits.bases {
                    let what =
                        format_args!("bases of its deltas are more than {} bytes", self.look.limits.bases);
                    return Err(Refused::too_large(what, SMALLER));
                }
                stack.push(Base { content: Rc::new(content), kind, depth, children });
            }
        }
        if let Some(base) = waiting.keys().min() {
            return Err(Refused::thin(base));
        }
        // What was not made was not scanned.
        if self.objects.len() != self.entries.len() {
            return Err(Refused::malformed("some of its objects can't be made"));
        }
        Ok(())
    }

    /// Inflates an object that stands whole, or a delta, once more.
    fn content(&mut self, index: usize, what: &str) -> Result<Vec<u8>, Refused> {
        let (at, size) = (self.entries[index].data, self.entries[index].size);
        let mut content = Vec::with_capacity(self.resident(what, size)?);
        self.source.seek(at);
        self.source.inflate(size, |part| {
            content.extend_from_slice(part);
            Ok(())
        })?;
        Ok(content)
    }

    /// Makes an object from its delta. Its content is kept where it is a base, or may be one.
    fn made(
        &mut self,
        index: usize,
        kind: Kind,
        base: &[u8],
        is_base: bool,
        may_be_base: bool,
    ) -> Result<(ObjectId, u64, Option<Vec<u8>>), Refused> {
        let orders = self.content(index, "a delta")?;
        let delta = Delta::read(&orders)?;
        self.charge(delta.size)?;
        if kind != Kind::Blob {
            self.resident(&format!("a {}", kind.name()), delta.size)?;
        }
        if is_base {
            self.resident("the base of a delta", delta.size)?;
        }
        let keep = is_base || may_be_base && delta.size <= self.look.limits.resident;
        let mut intake = Intake::new(kind, delta.size, self.look, keep);
        delta.apply(base, |part| intake.push(part))?;
        let (id, content) = self.objects.add(intake, self.look.limits.structure)?;
        Ok((id, delta.size, content))
    }
}

/// The deltas upon an object, the one with the most upon it first, which is made last.
fn deltas_upon(
    index: usize,
    id: ObjectId,
    upon: &mut [Vec<usize>],
    waiting: &mut HashMap<ObjectId, Vec<usize>>,
    weights: &[u64],
) -> Vec<usize> {
    let mut children = std::mem::take(&mut upon[index]);
    children.extend(waiting.remove(&id).unwrap_or_default());
    children.sort_by_key(|child| std::cmp::Reverse(weights[*child]));
    children
}
