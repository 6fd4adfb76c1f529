mod by_git;
mod by_hand;
mod gitleaks;
mod objects;

use super::*;
use crate::dlp::{OwnSecrets, Scanner, Settings};
use flate2::{Compression, write::ZlibEncoder};
use sha1_checked::{Digest as _, Sha1};
use std::io::Write as _;

/// What bottle holds in these tests.
const OWN: &str = "correct-horse-battery-staple";

/// A credential by its shape, made here so that this file carries none.
fn planted() -> String {
    format!("glpat{}", "-Zx8Qw3Lk9Vb2Nm5Tr7Yp")
}

fn scanners() -> Scanners {
    Scanners {
        dlp: Scanner::new(Settings::default()).unwrap(),
        own: OwnSecrets::new([("DEPLOY_KEY", OWN.as_bytes())]),
        allow_comments: false,
        effort: std::sync::Arc::default(),
        rules: None,
    }
}

fn spooled(pack: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(pack).unwrap();
    file
}

fn creates(new: ObjectId) -> [Update<'static>; 1] {
    [Update { refname: "refs/heads/agent/a", old: None, new: Some(new) }]
}

fn moves(old: ObjectId, new: ObjectId) -> [Update<'static>; 1] {
    [Update { refname: "refs/heads/agent/a", old: Some(old), new: Some(new) }]
}

fn check(pack: &[u8], updates: &[Update<'_>]) -> Result<Inspected, Refused> {
    inspect(&spooled(pack), updates, &[], false, &Limits::default(), &scanners())
}

fn reason(result: Result<Inspected, Refused>) -> String {
    result.unwrap_err().reason
}

fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn id_of(kind: &str, content: &[u8]) -> ObjectId {
    let mut hash = Sha1::new();
    hash.update(format!("{kind} {}\0", content.len()).as_bytes());
    hash.update(content);
    ObjectId::from_bytes(hash.try_finalize().hash()).unwrap()
}

fn bytes_of(id: ObjectId) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(id.to_string().as_bytes()).unwrap()
}

/// A pack that is written by hand.
#[derive(Clone)]
struct Forged {
    body: Vec<u8>,
    count: u32,
}

const COMMIT: u8 = 1;
const TREE: u8 = 2;
const BLOB: u8 = 3;
const TAG: u8 = 4;
const OFS: u8 = 6;
const REF: u8 = 7;

impl Forged {
    fn new() -> Self {
        Self { body: vec![0; 12], count: 0 }
    }

    /// Says where it begins.
    fn raw(&mut self, kind: u8, size: usize, base: &[u8], stream: &[u8]) -> usize {
        let at = self.body.len();
        let (mut rest, mut byte) = (size >> 4, kind << 4 | u8::try_from(size & 0x0f).unwrap());
        while rest > 0 {
            self.body.push(byte | 0x80);
            byte = u8::try_from(rest & 0x7f).unwrap();
            rest >>= 7;
        }
        self.body.push(byte);
        self.body.extend_from_slice(base);
        self.body.extend_from_slice(stream);
        self.count += 1;
        at
    }

    fn whole(&mut self, kind: u8, content: &[u8]) -> ObjectId {
        self.raw(kind, content.len(), &[], &zlib(content));
        id_of(["", "commit", "tree", "blob", "tag"][usize::from(kind)], content)
    }

    fn upon(&mut self, base: usize, delta: &[u8]) -> usize {
        let mut back = self.body.len() - base;
        let mut bytes = vec![u8::try_from(back & 0x7f).unwrap()];
        while back >= 0x80 {
            back = (back >> 7) - 1;
            bytes.insert(0, 0x80 | u8::try_from(back & 0x7f).unwrap());
        }
        self.raw(OFS, delta.len(), &bytes, &zlib(delta))
    }

    fn upon_id(&mut self, base: ObjectId, delta: &[u8]) -> usize {
        self.raw(REF, delta.len(), &bytes_of(base), &zlib(delta))
    }

    fn pack(self) -> Vec<u8> {
        let count = self.count;
        self.pack_of(2, count)
    }

    fn pack_of(mut self, version: u32, count: u32) -> Vec<u8> {
        self.body[..4].copy_from_slice(b"PACK");
        self.body[4..8].copy_from_slice(&version.to_be_bytes());
        self.body[8..12].copy_from_slice(&count.to_be_bytes());
        sealed(self.body)
    }
}

fn sealed(mut pack: Vec<u8>) -> Vec<u8> {
    let hash = Sha1::digest(&pack);
    pack.extend_from_slice(&hash);
    pack
}

fn size(number: usize) -> Vec<u8> {
    let (mut rest, mut bytes) = (number, Vec::new());
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn delta(base: usize, result: usize, orders: &[u8]) -> Vec<u8> {
    [size(base), size(result), orders.to_vec()].concat()
}

/// Copies from the beginning of the base, at most 255 bytes.
fn copy(length: u8) -> Vec<u8> {
    vec![0x90, length]
}

fn insert(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn commit_of(tree: ObjectId, parents: &[ObjectId], message: &str) -> Vec<u8> {
    let parents: Vec<_> = parents.iter().map(|it| format!("parent {it}\n")).collect();
    let parents = parents.concat();
    let person = "A <a@example.com> 1700000000 +0000";
    format!("tree {tree}\n{parents}author {person}\ncommitter {person}\n\n{message}\n").into_bytes()
}

fn tree_of(entries: &[(&str, &[u8], ObjectId)]) -> Vec<u8> {
    let entry = |(mode, name, id): &(&str, &[u8], ObjectId)| {
        [format!("{mode} ").as_bytes(), name, b"\0", &bytes_of(*id)].concat()
    };
    entries.iter().flat_map(entry).collect()
}

/// A commit of one file, and its name.
fn one_file(name: &str, content: &[u8]) -> (Forged, ObjectId) {
    let mut forged = Forged::new();
    let blob = forged.whole(BLOB, content);
    let tree = forged.whole(TREE, &tree_of(&[("100644", name.as_bytes(), blob)]));
    let commit = forged.whole(COMMIT, &commit_of(tree, &[], "one"));
    (forged, commit)
}
