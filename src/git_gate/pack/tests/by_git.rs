//! Packs that git writes.

use super::*;
use std::{
    cell::Cell,
    path::Path,
    process::{Command, Stdio},
};

struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let it = Self(tempfile::tempdir().unwrap());
        it.git(&["init", "--quiet", "-b", "main"]);
        it
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("git");
        for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
            command.env(name, "A Person");
        }
        for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
            command.env(name, "a@example.com");
        }
        let ran = command
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", self.path())
            .current_dir(self.path())
            .stdin(Stdio::from(rewound(input)))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.run(arguments, b"")).unwrap().trim().to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    fn commit(&self, message: &str) -> ObjectId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    fn id(&self, name: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", name]).as_bytes()).unwrap()
    }

    /// As `git push` makes it where the server says `no-thin`.
    fn pack(&self, revisions: &str, options: &[&str]) -> Vec<u8> {
        let arguments = [&["pack-objects", "--quiet", "--revs", "--stdout", "--threads=1"], options].concat();
        self.run(&arguments, revisions.replace(' ', "\n").as_bytes())
    }
}

fn rewound(content: &[u8]) -> File {
    use std::io::Seek as _;
    let mut file = spooled(content);
    file.rewind().unwrap();
    file
}

/// Looks for nothing, and counts.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) parts: Cell<u64>,
    pub(super) bytes: Cell<u64>,
    largest: Cell<usize>,
}

impl Scan for Counted {
    fn begin(&self, _: bool) -> Box<dyn Reading + '_> {
        Box::new(self)
    }

    fn comments(&self) -> bool {
        false
    }

    fn work(&self) -> u64 {
        self.bytes.get()
    }

    fn stopped(&self) -> bool {
        false
    }

    fn rules(&self) -> Option<&SecretScan> {
        None
    }

    fn ruled(&self, _: &[u8]) -> Vec<Candidate> {
        Vec::new()
    }
}

impl Reading for &Counted {
    fn push(&mut self, bytes: &[u8]) {
        self.parts.set(self.parts.get() + 1);
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        self.largest.set(self.largest.get().max(bytes.len()));
    }

    fn finish(&mut self) -> Scanned {
        Scanned::default()
    }
}

/// Text that no two lines of are the same, and that deltas are made of.
fn text(lines: u32, seed: u32) -> String {
    let line = |at: u32| format!("line {at} of {}\n", at.wrapping_mul(2_654_435_761) ^ (seed % 3));
    (0..lines).map(line).collect::<Vec<_>>().concat()
}

#[test]
fn branches_merges_tags_links_and_submodules_pass() {
    let repository = Repository::new();
    repository.write("a.txt", text(100, 0));
    repository.write("folder/b.txt", "b\n");
    let first = repository.commit("one");
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    repository.write("folder/c.txt", "c\n");
    fs_err::os::unix::fs::symlink("a.txt", repository.path().join("link")).unwrap();
    repository.commit("two");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.write("a.txt", text(100, 1));
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{first},module")]);
    repository.write(".gitmodules", "[submodule \"module\"]\n\tpath = module\n\turl = ../x\n");
    repository.git(&["add", "a.txt", ".gitmodules"]);
    repository.git(&["commit", "--quiet", "-m", "three"]);
    repository.git(&["merge", "--quiet", "--no-edit", "side"]);
    repository.git(&["tag", "-a", "v1", "-m", "the first"]);
    let (head, tag) = (repository.id("HEAD"), repository.id("v1"));
    for options in [&["--delta-base-offset"][..], &[], &["--delta-base-offset", "--window=0"]] {
        let pack = repository.pack("v1", options);
        let updates = [
            Update { refname: "refs/heads/agent/a", old: None, new: Some(head) },
            Update { refname: "refs/tags/v1", old: None, new: Some(tag) },
        ];
        let count = repository.git(&["rev-list", "--objects", "v1"]).lines().count();
        assert_eq!(check(&pack, &updates).unwrap().objects as usize, count, "{options:?}");
        let more = repository.pack(&format!("main ^{first}"), options);
        assert!(check(&more, &moves(first, head)).is_ok());
        assert!(check(&more, &moves(tag, head)).is_err());
    }
    // A history that was rewritten.
    repository.git(&["commit", "--quiet", "--amend", "-m", "else"]);
    let other = repository.id("HEAD");
    let pack = repository.pack(&format!("main ^{head}"), &[]);
    let refused = check(&pack, &moves(head, other)).unwrap_err();
    assert_eq!(refused.kind, RefusedKind::NotFastForward);
}

#[test]
fn a_thin_pack_is_refused() {
    let repository = Repository::new();
    repository.write("a.txt", text(2000, 0));
    let old = repository.commit("one");
    repository.write("a.txt", text(2000, 0) + "more\n");
    let new = repository.commit("two");
    let thin = repository.pack(&format!("main ^{old}"), &["--thin"]);
    assert_eq!(check(&thin, &moves(old, new)).unwrap_err().kind, RefusedKind::Thin);
    let whole = repository.pack(&format!("main ^{old}"), &[]);
    assert!(check(&whole, &moves(old, new)).is_ok());
}

/// 300 states of one file, each a delta upon another.
#[test]
fn deep_chains_are_read_and_their_keys_found() {
    let repository = Repository::new();
    let mut stream = String::new();
    let mut file = text(60, 0);
    for state in 1..=300 {
        file.extend([format!("state {state}\n")]);
        if state == 150 {
            file.extend([format!("key {}\n", planted())]);
        }
        let shown = if state < 151 { file.clone() } else { file.replace(&planted(), "none") };
        stream += "commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 1\nx\n";
        stream.extend([format!("M 100644 inline src/lib.txt\ndata {}\n{shown}\n", shown.len())]);
    }
    repository.run(&["fast-import", "--quiet"], stream.as_bytes());
    let head = repository.id("main");
    let bad = repository.id("main~150");
    for options in
        [&["--delta-base-offset", "--depth=200", "--window=50"][..], &["--depth=200", "--window=50"]]
    {
        let pack = repository.pack("main", options);
        assert!(pack.len() < 300_000, "deltas: {}", pack.len());
        let refused = check(&pack, &creates(head)).unwrap_err();
        let place = format!("it carries a credential: GitLab PAT in line 211 of src/lib.txt in commit {bad}");
        assert_eq!(refused.reason, place);
        assert!(refused.remote[0].starts_with("This push carries a credential."), "{refused:?}");
    }
}

#[test]
fn ten_thousand_objects_are_read() {
    let repository = Repository::new();
    let mut stream = String::new();
    for state in 0..3000 {
        stream += "commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 1\nx\n";
        stream.extend([format!("M 100644 inline f\ndata 5\n{state:05}\n")]);
    }
    stream += "commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 1\nx\n";
    for file in 0..1000 {
        stream.extend([format!("M 100644 inline d/{file}\ndata 6\na{file:05}\n")]);
    }
    repository.run(&["fast-import", "--quiet"], stream.as_bytes());
    let pack = repository.pack("main", &["--delta-base-offset"]);
    let (old, head) = (repository.id("main~2900"), repository.id("main"));
    assert!(check(&pack, &moves(old, head)).unwrap().objects >= 10_000);
}

/// What is larger than what may be in memory is given to the scanner in blocks.
#[test]
fn large_blobs_are_streamed() {
    let repository = Repository::new();
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..1 << 19)
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()
        })
        .collect();
    repository.write("noise", &noise);
    repository.write("zeros", vec![0; 16 << 20]);
    let head = repository.commit("large");
    let pack = repository.pack("main", &["--delta-base-offset", "--compression=1"]);
    let (limits, counted) = (Limits { resident: 1 << 20, ..Limits::default() }, Counted::default());
    let inspected = inspect(&spooled(&pack), &creates(head), &[], false, &limits, &counted).unwrap();
    assert_eq!(inspected.objects, 4);
    assert!(counted.bytes.get() > 20 << 20 && counted.largest.get() <= 64 << 10);
}

/// What `git index-pack --strict` refuses, as a server with receive.fsckObjects asks, is refused here.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_git_fsck_refuses_is_refused() {
    let repository = Repository::new();
    let blob = id_of("blob", b"x");
    let tree = |mode: &str, name: &str| {
        let mut forged = Forged::new();
        let blob = forged.whole(BLOB, b"x");
        let id = if mode == "40000" { forged.whole(TREE, b"") } else { blob };
        forged.whole(TREE, &tree_of(&[(mode, name.as_bytes(), id)]));
        forged.pack()
    };
    let file = |name: &str, content: &str| one_file(name, content.as_bytes()).0.pack();
    let submodule = |line: &str| file(".gitmodules", &format!("[submodule \"x\"]\n\tpath = x\n\t{line}\n"));
    let person = "A <a@example.com> 1700000000 +0000";
    let commit = |from: &str, to: &str| {
        let mut forged = Forged::new();
        let tree = forged.whole(TREE, b"");
        let good = String::from_utf8(commit_of(tree, &[], "one")).unwrap();
        forged.whole(COMMIT, good.replacen(from, to, 1).as_bytes());
        forged.pack()
    };
    let mut packs = vec![
        ("a good one", file("a", "x")),
        ("modules", submodule("url = ../x")),
        ("url", submodule("url = -x")),
        ("url", submodule("url = ../x%0ay")),
        ("url", submodule("url = ../../:x")),
        ("url", submodule("url = https:///x")),
        ("url", submodule("url = https://")),
        ("url", submodule("url = http::http:host/x")),
        ("path", submodule("path = -x")),
        ("update", submodule("update = !x")),
        ("name", file(".gitmodules", "[submodule \"../x\"]\n\turl = x\n")),
        ("name", file(".gitmodules", "[submodule \"a/../x\"]\n\turl = x\n")),
        ("attributes", file(".gitattributes", &"x".repeat(3000))),
        ("nul", commit("one", "o\0ne")),
        ("nul", commit("A <", "A\0 <")),
        ("order", {
            let mut forged = Forged::new();
            forged.whole(BLOB, b"x");
            forged.whole(TREE, &tree_of(&[("100644", b"b", blob), ("100644", b"a", blob)]));
            forged.pack()
        }),
    ];
    for name in [
        ".git",
        ".GIT",
        ".git ",
        ".git...",
        ".git::$X",
        "git~1",
        "GIT~1",
        ".g\u{200c}it",
        "a\\.git",
        ".",
        "..",
    ] {
        packs.push((name, tree("40000", name)));
    }
    for name in [
        ".gitmodules",
        ".GITMODULES",
        ".gitmodules. ",
        "gitmod~1",
        "gitmod~4",
        "gi7eba~1",
        "GI7EBA~9",
        "gi7e~123",
        "g~100000",
        ".git\u{feff}modules",
        "a\\.gitmodules",
        "~1000000",
    ] {
        packs.extend([(name, tree("120000", name)), (name, tree("40000", name))]);
    }
    for to in [
        "<a@b> 1 +0000",
        "A a 1 +0000",
        "A<a> 1 +0000",
        "A <a<b> 1 +0000",
        "A> <a> 1 +0000",
        "A <a>1 +0000",
        "A <a> x +0000",
        "A <a> 01 +0000",
        "A <a> 99999999999999999999 +0000",
        "A <a> 1 0000",
        "A <a> 1 +000",
        "A <a> 1 +0000 x",
        "A <a> 1",
    ] {
        packs.push((to, commit(person, to)));
    }
    let mut refused = 0;
    for (what, pack) in packs {
        let path = repository.path().join("one.pack");
        fs_err::write(&path, &pack).unwrap();
        let arguments = ["index-pack", "--strict", path.to_str().unwrap()];
        let by_git = Command::new("git").args(arguments).current_dir(repository.path()).output().unwrap();
        let said = String::from_utf8_lossy(&by_git.stderr);
        let ours = check(&pack, &[]);
        if by_git.status.success() {
            continue;
        }
        refused += 1;
        let reason = ours.map(|_| ()).expect_err(&format!("{what}: git says {said}")).reason;
        // git names what is wrong as `error: object …: hasDotgit: …`.
        let id = said.split(": ").find(|word| {
            word.bytes().all(|it| it.is_ascii_alphanumeric())
                && word.bytes().any(|it| it.is_ascii_uppercase())
        });
        if let Some(id) = id {
            assert!(reason.contains(id), "{what}: git says {said}, and we {reason}");
        }
    }
    assert!(refused > 40, "{refused}");
}
