//! Commits, trees and tags as git writes them, read strictly (`gitformat-pack(5)`, `fsck.c`): what readers differ about is
//! refused.

use super::{
    super::object_id::ObjectId,
    names::{Special, is_dot_git},
};
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
        let end = memchr::memmem::find(object, b"\n\n").unwrap_or(object.len());
        match memchr::memchr(0, object) {
            Some(at) if at < end => return Err("it holds a zero byte in its header (nulInHeader)"),
            Some(_) => return Err("it holds a zero byte in its message (nulInCommit)"),
            None => {}
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
            let Some(line) = line.strip_suffix(b"\n") else {
                return Err("its header has no end (unterminatedHeader)");
            };
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
                    if let Some(name) = line.strip_prefix(b"encoding ") {
                        encoding(name)?;
                    }
                }
            }
            first = false;
        }
        Ok(())
    }
}

/// `NAME <MAIL> SECONDS ZONE`, as `git fsck` has it.
fn person(line: &[u8]) -> Result<(), &'static str> {
    let is = |fine: bool, wrong| if fine { Ok(()) } else { Err(wrong) };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is(!line.starts_with(b"<"), "a person has no name before the address (missingNameBeforeEmail)")?;
    let open = memchr::memchr2(b'<', b'>', line).ok_or("a person has no address (missingEmail)")?;
    is(line[open] == b'<', "a person has a `>` in the name (badName)")?;
    is(line[open - 1] == b' ', "a person has no space before the address (missingSpaceBeforeEmail)")?;
    let rest = &line[open + 1..];
    let close = memchr::memchr2(b'<', b'>', rest).filter(|at| rest[*at] == b'>');
    let close = close.ok_or("the address of a person does not end in `>` (badEmail)")?;
    let date = rest[close + 1..].strip_prefix(b" ");
    let mut words = date
        .ok_or("a person has no space before the date (missingSpaceBeforeDate)")?
        .splitn(2, |it| *it == b' ');
    let (seconds, zone) = (words.next().unwrap_or_default(), words.next());
    is(!seconds.starts_with(b"0") || seconds.len() == 1, "a date begins with a zero (zeroPaddedDate)")?;
    is(seconds.len() < 19, "a date is later than any (badDateOverflow)")?;
    let zone = zone.filter(|_| digits(seconds)).ok_or("a date is no number of seconds (badDate)")?;
    let is_zone = matches!(zone, [b'+' | b'-', zone @ ..] if zone.len() == 4 && digits(zone));
    is(is_zone, "a time zone is not written as +HHMM (badTimezone)")
}

/// What a message is written in, where it says so.
fn encoding(name: &[u8]) -> Result<(), &'static str> {
    // In all of these what is ASCII is written as ASCII, so that the scanner reads it.
    let known = ["utf-8", "utf8", "iso-8859-1", "iso8859-1", "latin1", "latin-1", "us-ascii", "ascii"];
    if known.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes())) {
        return Ok(());
    }
    Err(
        "it says that it is written in an encoding that is not read here: UTF-8 and ISO-8859-1 are (`git config \
         i18n.commitEncoding UTF-8`, and make the commit again)",
    )
}

/// Reads a commit.
pub(super) fn commit(object: &[u8]) -> Result<Commit, &'static str> {
    let mut header = Header::new(object)?;
    let tree = header.id("tree").ok_or("it does not begin with its tree (missingTree, badTreeSha1)")?;
    let mut parents = Vec::new();
    while object[header.at..].starts_with(b"parent ") {
        parents.push(header.id("parent").ok_or("a parent is no name of an object (badParentSha1)")?);
    }
    let written = header.at;
    for key in ["author", "committer"] {
        person(
            header.next(key).ok_or("it has no author or no committer (missingAuthor, missingCommitter)")?,
        )?;
    }
    header.others()?;
    Ok(Commit { tree, parents, written })
}

/// Reads a tag.
pub(super) fn tag(object: &[u8]) -> Result<Tag, &'static str> {
    let mut header = Header::new(object)?;
    let target = header
        .id("object")
        .ok_or("it does not begin with the object that it names (missingObject, badObjectSha1)")?;
    let kind =
        header.next("type").and_then(Kind::of_name).ok_or("its object has no type (missingType, badType)")?;
    let written = header.at;
    header.next("tag").filter(|name| !name.is_empty()).ok_or("it has no name (missingTag)")?;
    if object[header.at..].starts_with(b"tagger ") {
        person(header.next("tagger").ok_or("its tagger has no end")?)?;
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
            return Err("an entry names no object (nullSha1)");
        }
        match (Special::of(entry.name), entry.mode) {
            (Some(Special::Modules), Mode::Link) => {
                return Err("a `.gitmodules` is a link (gitmodulesSymlink)");
            }
            (Some(Special::Modules), Mode::Folder | Mode::Submodule) => {
                return Err("a `.gitmodules` is not a file (gitmodulesBlob)");
            }
            (Some(Special::Attributes), Mode::Folder | Mode::Submodule) => {
                return Err("a `.gitattributes` is not a file (gitattributesBlob)");
            }
            _ => {}
        }
        // A file and a folder of one name do not stand side by side.
        if !names.insert(entry.name) {
            return Err("two entries have one name (duplicateEntries)");
        }
        if last.is_some_and(|last| sort_key(&last).gt(sort_key(&entry))) {
            return Err("its entries are not in git's order (treeNotSorted)");
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
        _ => return Err("an entry has a mode that git does not write (badFilemode, zeroPaddedFilemode)"),
    };
    let (id, rest) = after.split_at_checked(20).ok_or("an entry has no object")?;
    let id = ObjectId::from_bytes(id).ok_or("an entry has no object")?;
    Ok((Entry { name: &head[space + 1..], mode, id }, rest))
}

fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Err("an entry has a name that no file has (emptyName, hasDot, hasDotdot, fullPathname)");
    }
    if name.len() > 4096 {
        return Err("an entry has a name of more than 4096 bytes (largePathname)");
    }
    if is_dot_git(name) {
        return Err("an entry is called `.git`, or as a file system may read it so (hasDotgit)");
    }
    Ok(())
}
