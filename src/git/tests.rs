//! What git writes, and what it would not.

use super::object::{Id, Kind, entries, tree_of};
use super::{EntryKind, GitError, Repository, lock};
use camino::{Utf8Path, Utf8PathBuf};

const BLOB: &str = "ce013625030ba8dba906f756967f9e9ca394464a"; // `printf 'hello\n' | git hash-object --stdin`
const TREE: &str = "68aba62e560c0ebc3396e8ae9335232cd93a3f60";

#[test]
fn an_object_is_known_by_its_bytes() {
    let id = Id::parse(BLOB).unwrap();
    assert!(id.is_of(Kind::Blob, b"hello\n"));
    assert!(!id.is_of(Kind::Blob, b"hello"));
    assert!(!id.is_of(Kind::Tree, b"hello\n"));
    let long = Id::parse("2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4").unwrap();
    assert!(long.is_of(Kind::Blob, b"hello\n"), "SHA-256");
    for bad in
        ["", "ce01", &BLOB.to_uppercase(), &format!("{BLOB}0"), "zz013625030ba8dba906f756967f9e9ca394464a"]
    {
        assert_eq!(Id::parse(bad), None, "{bad}");
    }
}

fn listed(lines: &[(&str, &str)]) -> Vec<u8> {
    let id = Id::parse(BLOB).unwrap();
    let bytes = data_encoding::HEXLOWER.decode(id.to_string().as_bytes()).unwrap();
    lines.iter().flat_map(|(mode, name)| [format!("{mode} {name}\0").as_bytes(), &bytes].concat()).collect()
}

#[test]
fn a_tree_is_read_as_git_writes_it() {
    let id = Id::parse(TREE).unwrap();
    let tree = listed(&[
        ("100644", "a b"),
        ("100755", "run"),
        ("120000", "link"),
        ("40000", "sub"),
        ("160000", "module"),
    ]);
    let found: Vec<(String, EntryKind)> =
        entries(&id, &tree).unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    let file = |executable| EntryKind::File { executable };
    let expected = [
        ("a b", file(false)),
        ("run", file(true)),
        ("link", EntryKind::Link),
        ("sub", EntryKind::Folder),
        ("module", EntryKind::Submodule),
    ];
    assert_eq!(found, expected.map(|(name, found)| (name.to_owned(), found)));
    for bad in [
        listed(&[("100644", "..")]),
        listed(&[("100644", "a/b")]),
        listed(&[("100644", &"a".repeat(256))]),
        listed(&[("100644", "")]),
        listed(&[("777", "a")]),
        listed(&[("100644", "a"), ("100644", "b"), ("100644", "a")]),
        b"100644 a".to_vec(),
        b"100644 a\0short".to_vec(),
        b"a\0".to_vec(),
    ] {
        assert!(matches!(entries(&id, &bad), Err(GitError::Malformed { .. })), "{bad:?}");
    }
}

#[test]
fn a_commit_names_its_tree_first() {
    let id = Id::parse(BLOB).unwrap();
    let commit = format!("tree {TREE}\nauthor n\n\ntree {BLOB}\n");
    assert_eq!(tree_of(&id, commit.as_bytes()).unwrap().to_string(), TREE);
    for bad in ["", "author n\n", "tree x\n", &format!("parent {BLOB}\ntree {TREE}\n")] {
        tree_of(&id, bad.as_bytes()).unwrap_err();
    }
}

/// However many files are asked about, and however many folders have the same text.
#[test]
fn what_attributes_say_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let top = Utf8PathBuf::from_path_buf(fs_err::canonicalize(dir.path()).unwrap()).unwrap();
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b.example"]).args(arguments).current_dir(&top);
        assert!(command.status().unwrap().success());
    };
    git(&["init", "--quiet"]);
    let folders: Vec<Utf8PathBuf> = (0..5).map(|n| format!("b{n}").into()).collect();
    for folder in &folders {
        fs_err::create_dir(top.join(folder)).unwrap();
        fs_err::write(top.join(folder).join(".gitattributes"), "*.txt ident\n").unwrap();
    }
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "all"]);
    let repository = Repository::find(&top).unwrap();
    let commit = repository.commit("HEAD").unwrap();
    let first: Vec<_> = folders.iter().map(|folder| folder.join("bottle.yaml")).collect();
    for files in [&first[..3], &first[2..]] {
        assert_eq!(repository.reencoded(&commit, files.iter().map(Utf8PathBuf::as_path)).unwrap(), None);
    }
    let known = lock(&repository.encodings);
    let of_commit = &known[&commit.tree];
    assert_eq!((known.len(), of_commit.of_texts.len(), of_commit.of_folders.len()), (1, 1, 6));
    // What has none of its own shares what covers the folder above.
    assert_eq!(of_commit.covering.len(), 6);
    assert!(of_commit.covering[Utf8Path::new("")].is_empty());
    drop(known);
    let files = ["b3/notes.txt"].map(Utf8Path::new).into_iter();
    assert_eq!(repository.reencoded(&commit, files).unwrap().unwrap().by, "b3/.gitattributes");
}
