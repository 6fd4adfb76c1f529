//! Commits, trees and tags as git writes them, read strictly (`gitformat-pack(5)`, `fsck.c`): what readers differ about is
//! refused.

use super::super::object_id::ObjectId;
use std::collections::HashSet;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    fn of_name(name: &[u8]) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag].into_iter().find(|it| it.name().as_bytes() == name)
    }
}

/// What a commit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: ObjectId,
    pub(super) parents: Vec<ObjectId>,
    /// Where what people wrote begins: after the names of objects.
    pub(super) written: usize,
}

/// What a tag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) target: ObjectId,
    pub(super) kind: Kind,
    pub(super) written: usize,
}

/// A line of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    pub(super) name: &'t [u8],
    pub(super) mode: Mode,
    pub(super) id: ObjectId,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    File,
    Link,
    Folder,
    Submodule,
}

impl Mode {
    /// What its object has to be; of a submodule's nothing is known here.
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::File | Self::Link => Some(Kind::Blob),
            Self::Folder => Some(Kind::Tree),
            Self::Submodule => None,
        }
    }
}

/// Lines of a header, from `at` on.
struct Header<'o> {
    object: &'o [u8],
    at: usize,
}

impl<'o> Header<'o> {
    fn new(object: &'o [u8]) -> Result<Self, &'static str> {
        // Whoever prints it stops there; whoever reads it does not.
        if object.contains(&0) {
            return Err("it holds a zero byte");
        }
        Ok(Self { object, at: 0 })
    }

    /// The value of the next line where it has this key.
    fn next(&mut self, key: &str) -> Option<&'o [u8]> {
        let rest = &self.object[self.at..];
        let end = memchr::memchr(b'\n', rest)?;
        let value = rest[..end].strip_prefix(key.as_bytes())?.strip_prefix(b" ")?;
        self.at += end + 1;
        Some(value)
    }

    fn id(&mut self, key: &str) -> Option<ObjectId> {
        self.next(key).and_then(ObjectId::from_hex).filter(|id| !id.is_null())
    }

    /// The other lines: a key and a value, which goes on in lines that begin with a space. Then the message.
    fn others(&mut self) -> Result<(), &'static str> {
        let mut first = true;
        while let Some(line) = self.object[self.at..].split_inclusive(|byte| *byte == b'\n').next() {
            self.at += line.len();
            let Some(line) = line.strip_suffix(b"\n") else { return Err("its header has no end") };
            match line {
                [] => return Ok(()),
                [b' ', ..] if !first => {}
                _ => {
                    let key = line.split(|byte| *byte == b' ').next().unwrap_or_default();
                    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                    let ours =
                        matches!(key, b"tree" | b"parent" | b"author" | b"committer" | b"object" | b"type");
                    if key.is_empty() || key.len() == line.len() || !key.iter().all(is_key) || ours {
                        return Err("its header has a line that git does not write there");
                    }
                }
            }
            first = false;
        }
        Ok(())
    }
}

/// `NAME <MAIL> SECONDS ZONE`
fn is_person(line: &[u8]) -> bool {
    let Some(open) = memchr::memchr(b'<', line) else { return false };
    let Some(close) = memchr::memchr(b'>', &line[open..]) else { return false };
    let (mail, after) = (&line[open + 1..open + close], &line[open + close + 1..]);
    let mut words = after.strip_prefix(b" ").unwrap_or_default().split(|byte| *byte == b' ');
    let (seconds, zone) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let zone = match zone {
        [b'+' | b'-', zone @ ..] => zone.len() == 4 && digits(zone),
        _ => false,
    };
    (open == 0 || line[open - 1] == b' ')
        && !line[..open].contains(&b'>')
        && !mail.contains(&b'<')
        && digits(seconds)
        && seconds.len() < 20
        && zone
        && words.next().is_none()
}

/// Reads a commit.
pub(super) fn commit(object: &[u8]) -> Result<Commit, &'static str> {
    let mut header = Header::new(object)?;
    let tree = header.id("tree").ok_or("it does not begin with its tree")?;
    let mut parents = Vec::new();
    while object[header.at..].starts_with(b"parent ") {
        parents.push(header.id("parent").ok_or("a parent is no name of an object")?);
    }
    let written = header.at;
    for key in ["author", "committer"] {
        let person = header.next(key).ok_or("it has no author or no committer")?;
        if !is_person(person) {
            return Err("its author or committer is not written as NAME <MAIL> SECONDS ZONE");
        }
    }
    header.others()?;
    Ok(Commit { tree, parents, written })
}

/// Reads a tag.
pub(super) fn tag(object: &[u8]) -> Result<Tag, &'static str> {
    let mut header = Header::new(object)?;
    let target = header.id("object").ok_or("it does not begin with the object that it names")?;
    let kind = header.next("type").and_then(Kind::of_name).ok_or("its object has no type")?;
    let written = header.at;
    header.next("tag").filter(|name| !name.is_empty()).ok_or("it has no name")?;
    if object[header.at..].starts_with(b"tagger ") && !header.next("tagger").is_some_and(is_person) {
        return Err("its tagger is not written as NAME <MAIL> SECONDS ZONE");
    }
    header.others()?;
    Ok(Tag { target, kind, written })
}

/// Reads a tree as a whole, so that [`entries`] can be asked.
pub(super) fn check_tree(tree: &[u8]) -> Result<(), &'static str> {
    let (mut names, mut last): (HashSet<&[u8]>, Option<Entry<'_>>) = (HashSet::new(), None);
    let mut rest = tree;
    while !rest.is_empty() {
        let entry;
        (entry, rest) = first_entry(rest)?;
        check_name(entry.name)?;
        if entry.id.is_null() {
            return Err("an entry names no object");
        }
        // A file and a folder of one name do not stand side by side.
        if !names.insert(entry.name) {
            return Err("two entries have one name");
        }
        if last.is_some_and(|last| sort_key(&last).gt(sort_key(&entry))) {
            return Err("its entries are not in git's order");
        }
        last = Some(entry);
    }
    Ok(())
}

/// The entries of a tree that was checked.
pub(super) fn entries(tree: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = tree;
    std::iter::from_fn(move || {
        let (entry, after) = first_entry(rest).ok()?;
        rest = after;
        Some(entry)
    })
}

/// Folders are sorted as if their names ended in a slash.
fn sort_key<'t>(entry: &Entry<'t>) -> impl Iterator<Item = u8> + use<'t> {
    let end = matches!(entry.mode, Mode::Folder).then_some(b'/');
    entry.name.iter().copied().chain(end)
}

fn first_entry(tree: &[u8]) -> Result<(Entry<'_>, &[u8]), &'static str> {
    let end = memchr::memchr(0, tree).ok_or("an entry has no end")?;
    let (head, after) = (&tree[..end], &tree[end + 1..]);
    let space = memchr::memchr(b' ', head).ok_or("an entry has no mode")?;
    let mode = match &head[..space] {
        b"100644" | b"100664" | b"100755" => Mode::File,
        b"120000" => Mode::Link,
        b"40000" => Mode::Folder,
        b"160000" => Mode::Submodule,
        _ => return Err("an entry has a mode that git does not write"),
    };
    let (id, rest) = after.split_at_checked(20).ok_or("an entry has no object")?;
    let id = ObjectId::from_bytes(id).ok_or("an entry has no object")?;
    Ok((Entry { name: &head[space + 1..], mode, id }, rest))
}

fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Err("an entry has a name that no file has");
    }
    if name.len() > 4096 {
        return Err("an entry has a name of more than 4096 bytes");
    }
    // On Windows a backslash parts folders too.
    if name.split(|byte| *byte == b'\\').any(is_dot_git) {
        return Err("an entry is called `.git`, or as a file system may read it so");
    }
    Ok(())
}

/// `.git` as NTFS and HFS+ read names (CVE-2014-9390, CVE-2019-1352, CVE-2019-1353).
fn is_dot_git(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let ignored = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let seen: String = text.chars().filter(|c| !ignored(c)).collect();
    let seen = seen.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
    [".git", "git~1"].iter().any(|it| seen.eq_ignore_ascii_case(it))
}
