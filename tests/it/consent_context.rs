//! The build context as it is agreed to: what is read, what is refused, and that the copy is what was hashed.

mod hostile;

use bottle::consent::{Context, ContextEntry, ContextError};
use bottle::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt as _;

struct Place {
    _dir: tempfile::TempDir,
    base: Utf8PathBuf,
}

fn dockerfile() -> &'static Utf8Path {
    Utf8Path::new("Dockerfile")
}

/// A context with a Dockerfile and these files.
fn place(files: &[(&str, &str)]) -> Place {
    place_in(&std::env::temp_dir(), files)
}

fn place_in(parent: &std::path::Path, files: &[(&str, &str)]) -> Place {
    let dir = tempfile::tempdir_in(parent).unwrap();
    let base = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    let place = Place { base, _dir: dir };
    fs::create_dir_all(place.at("")).unwrap();
    place.put("Dockerfile", "FROM scratch\n");
    for (path, text) in files {
        place.put(path, text);
    }
    place
}

impl Place {
    fn at(&self, path: &str) -> Utf8PathBuf {
        self.base.join("context").join(path)
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn root(&self) -> Folder {
        Folder::open(&self.at("")).unwrap()
    }

    fn read(&self) -> Context {
        Context::read(&self.root(), dockerfile()).unwrap()
    }

    fn refused(&self) -> String {
        self.refused_for("Dockerfile")
    }

    /// What a person reads, without the part of the path that differs in every run.
    fn refused_for(&self, dockerfile: &str) -> String {
        let into = Folder::open(&self.base).unwrap().make_new("refused").unwrap();
        let reading = Context::read(&self.root(), dockerfile.into()).unwrap_err().to_string();
        let copying = Context::snapshot(&self.root(), dockerfile.into(), &into).unwrap_err().to_string();
        assert_eq!(reading, copying);
        reading.replace(&format!("{}/", self.base), "")
    }

    fn copy(&self) -> Folder {
        Folder::open(&self.base).unwrap().make(Utf8Path::new("copy")).unwrap()
    }
}

fn paths(context: &Context) -> Vec<&str> {
    context.entries().keys().map(|path| path.as_str()).collect()
}

#[test]
fn a_context_is_its_files_links_and_empty_folders() {
    let place = place(&[("src/main.rs", "fn main() {}\n"), ("run.sh", "#!/bin/sh\n")]);
    fs::create_dir_all(place.at("empty/inner")).unwrap();
    symlink("../outside", place.at("link")).unwrap();
    fs::set_permissions(place.at("run.sh"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let context = place.read();
    assert_eq!(paths(&context), ["Dockerfile", "empty/inner", "link", "run.sh", "src/main.rs"]);
    assert_eq!(context.size(), 13 + 13 + 10);
    let entry = |path: &str| &context.entries()[Utf8Path::new(path)];
    assert_eq!(*entry("empty/inner"), ContextEntry::Folder);
    assert_eq!(*entry("link"), ContextEntry::Link { target: "../outside".to_owned() });
    let ContextEntry::File { sha256, size, executable } = entry("run.sh") else { panic!() };
    assert_eq!((*size, *executable), (10, true));
    // Of `#!/bin/sh` and a line end, by `sha256sum`.
    assert_eq!(sha256.to_string(), "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf");
}

#[test]
fn the_digest_is_the_same_in_every_clone_and_under_every_umask() {
    let make = |file: u32, folder: u32| {
        let place = place(&[("bin/tool", "x"), ("note", "y")]);
        fs::set_permissions(place.at("note"), std::fs::Permissions::from_mode(file)).unwrap();
        fs::set_permissions(place.at("bin/tool"), std::fs::Permissions::from_mode(file | 0o100)).unwrap();
        fs::set_permissions(place.at("bin"), std::fs::Permissions::from_mode(folder)).unwrap();
        place.read().digest()
    };
    let digest = make(0o644, 0o755);
    assert_eq!(make(0o600, 0o700), digest);
    assert_eq!(make(0o666, 0o777), digest);
    assert_eq!(make(0o655, 0o755), digest, "only the owner's bit counts");
    assert_eq!(digest, "sha256:f0a14a7f2280d9a886d95e402e990d4a3bbc9aa0ba7817a5e33ee6fb8649731c");
}

#[test]
fn the_copy_is_what_was_hashed() {
    let place = place(&[("a/b/c", "1"), ("run.sh", "2"), (".dockerignore", "*.log\n"), ("x.log", "3")]);
    fs::set_permissions(place.at("run.sh"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(place.at("a/b/c"), std::fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(place.at("empty")).unwrap();
    symlink("/etc/passwd", place.at("a/link")).unwrap();
    let agreed = Context::snapshot(&place.root(), dockerfile(), &place.copy()).unwrap();
    assert_eq!(agreed, place.read());
    assert_eq!(paths(&agreed), [".dockerignore", "Dockerfile", "a/b/c", "a/link", "empty", "run.sh"]);
    assert_eq!(Context::verify(&place.copy(), &agreed.digest()).unwrap(), agreed);
    let copy = place.base.join("copy");
    let mode = |path: &str| fs::symlink_metadata(copy.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run.sh"), mode("a/b/c"), mode("a"), mode("empty")), (0o755, 0o644, 0o755, 0o755));
    assert_eq!(fs::read_link(copy.join("a/link")).unwrap(), Utf8Path::new("/etc/passwd"));
    assert_eq!(fs::read_to_string(copy.join("a/b/c")).unwrap(), "1");
}

#[test]
fn a_copy_goes_into_an_empty_folder_only_and_can_be_removed() {
    let place = place(&[("a/b", "1")]);
    symlink("/", place.at("a/root")).unwrap();
    let base = Folder::open(&place.base).unwrap();
    let kept = place.at("a/b");
    fs::write(place.base.join("copy-has-one"), "").unwrap();
    Context::snapshot(&place.root(), dockerfile(), &place.copy()).unwrap();
    let error = Context::snapshot(&place.root(), dockerfile(), &place.copy()).unwrap_err();
    let expected =
        format!("{}/copy is not empty; the copy of the build context needs a folder of its own", place.base);
    assert_eq!(error.to_string(), expected);
    base.remove_all("copy").unwrap();
    base.remove_all("copy").unwrap();
    assert!(!place.base.join("copy").exists() && kept.exists() && Utf8Path::new("/etc").exists());
}

#[test]
fn a_damaged_copy_is_refused() {
    type Damage<'a> = (&'a str, &'a dyn Fn(&Utf8Path));
    let damage: [Damage<'_>; 5] = [
        ("another byte", &|copy| fs::write(copy.join("a/b"), "2").unwrap()),
        ("a file more", &|copy| fs::write(copy.join("more"), "").unwrap()),
        ("a file less", &|copy| fs::remove_file(copy.join("a/b")).unwrap()),
        ("a file that .dockerignore names", &|copy| fs::write(copy.join("x.log"), "").unwrap()),
        ("a bit", &|copy| {
            fs::set_permissions(copy.join("a/b"), std::fs::Permissions::from_mode(0o755)).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let place = place(&[("a/b", "1"), (".dockerignore", "*.log\n")]);
        let agreed = Context::snapshot(&place.root(), dockerfile(), &place.copy()).unwrap().digest();
        damage(&place.base.join("copy"));
        let error = Context::verify(&place.copy(), &agreed).expect_err(what);
        let ContextError::Damaged { path, expected, found } = &error else { panic!("{what}: {error}") };
        let text = format!(
            "the copy of the build context in {path} was damaged: it is {found}, and {expected} was agreed to; \
             render again"
        );
        assert_eq!(error.to_string(), text);
        assert!(*expected == agreed && *found != agreed);
    }
}

#[test]
fn ignored_files_do_not_count_and_are_not_looked_into() {
    let place = place(&[
        (".dockerignore", "target\n*.log\nDockerfile\n.dockerignore\n**/secret\n!a/secret/open\n"),
        ("target/x", "1"),
        ("x.log", "1"),
        ("src/x.log", "1"),
        ("b/secret/key", "1"),
        ("a/secret/key", "1"),
        ("a/secret/open", "1"),
    ]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.at("target/pipe").as_std_path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let before = place.read();
    // `b` stays, as the builder keeps it: the folder is not ignored, only what is in it.
    assert_eq!(paths(&before), [".dockerignore", "Dockerfile", "a/secret/open", "b", "src/x.log"]);
    place.put("target/y", "2");
    place.put("a/secret/key", "2");
    assert_eq!(place.read().digest(), before.digest());
    place.put("a/secret/open", "2");
    let changes: Vec<String> = before.changes(&place.read()).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["changed: a/secret/open (file of 1 byte, other content)"]);
}

/// Builders run git in the folder that they build from, and a repository says what git runs.
#[test]
fn a_repository_is_no_part_of_a_context() {
    let place = place(&[
        ("Dockerfile", ""),
        (".git/config", "x"),
        (".GIT/x", ""),
        ("git/x", ""),
        ("a/.git/config", "x"),
    ]);
    for other_name in ["git~1", ".git.", ".git:x", ".g\u{200c}it"] {
        place.put(other_name, "");
    }
    for of_its_own in [".gitignore", ".g.i.t", ".git-x"] {
        place.put(of_its_own, "");
    }
    let kept = [".g.i.t", ".git-x", ".gitignore", "Dockerfile", "a/.git/config", "git/x"];
    assert_eq!(paths(&place.read()), kept);
    place.put(".dockerignore", "!.git\n!**\n");
    assert!(!paths(&place.read()).contains(&".git/config"));
    for (head, other) in [("HEAD", "objects/x"), ("head", "Refs/x"), ("HEAD", "commondir")] {
        let place = self::place(&[("Dockerfile", ""), (head, "ref: refs/heads/m"), (other, "x")]);
        let said = place.refused();
        assert!(said.contains("holds what a git repository consists of (HEAD, objects, refs)"), "{said}");
        place.put(".dockerignore", &format!("{head}\n"));
        place.read();
    }
}

/// `BuildKit` prefers `DOCKERFILE.dockerignore`, the classic builder knows `.dockerignore` only.
#[test]
fn only_what_both_builders_ignore_is_left_out() {
    let place = place(&[
        (".dockerignore", "a\nc\nbuild\n"),
        ("build/D.dockerignore", "b\nc\nbuild\n"),
        ("build/D", "FROM scratch\n"),
        ("build/other", "1"),
        ("a", "1"),
        ("b", "1"),
        ("c", "1"),
    ]);
    let context = Context::read(&place.root(), "build/D".into()).unwrap();
    let expected = [".dockerignore", "Dockerfile", "a", "b", "build/D", "build/D.dockerignore"];
    assert_eq!(paths(&context), expected);
    fs::remove_file(place.at(".dockerignore")).unwrap();
    let context = Context::read(&place.root(), "build/D".into()).unwrap();
    assert_eq!(paths(&context), ["Dockerfile", "a", "build/D", "build/D.dockerignore"]);
    fs::remove_file(place.at("build/D.dockerignore")).unwrap();
    assert_eq!(Context::read(&place.root(), "build/D".into()).unwrap().entries().len(), 6);
}

#[test]
fn a_link_is_followed_at_no_place() {
    let made = place(&[("real/D", "FROM scratch\n")]);
    let outside = made.base.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(outside.join(".dockerignore"), "*\n").unwrap();
    symlink(&outside, made.at("folder")).unwrap();
    symlink(outside.join("secret"), made.at("file")).unwrap();
    symlink("real", made.at("linked")).unwrap();
    symlink("real/D", made.at("D")).unwrap();
    symlink("loop", made.at("loop")).unwrap();
    let context = made.read();
    assert_eq!(paths(&context), ["D", "Dockerfile", "file", "folder", "linked", "loop", "real/D"]);
    assert_eq!(
        made.refused_for("D"),
        "the Dockerfile context/D is a symbolic link; put a plain file into the build context"
    );
    fs::remove_dir(made.base.join("refused")).unwrap();
    assert_eq!(
        made.refused_for("linked/D"),
        "the Dockerfile context/linked/D is reached through context/linked, which is a symbolic link; put a plain \
         file into the build context"
    );
    assert_eq!(context.text(&made.root(), "linked/D".into()), None);
    assert_eq!(context.text(&made.root(), "D".into()), None);
    assert_eq!(context.text(&made.root(), "real/D".into()).as_deref(), Some("FROM scratch\n"));
    // A text that is shown is the one that was digested, whatever is there by now.
    fs::write(made.at("real/D"), "FROM evil\n").unwrap();
    assert_eq!(context.text(&made.root(), "real/D".into()), None);

    for name in [".dockerignore", "Dockerfile.dockerignore"] {
        let place = place(&[]);
        symlink("/etc/passwd", place.at(name)).unwrap();
        let error = place.refused();
        assert!(error.starts_with(&format!("context/{name} is a symbolic link, which")), "{error}");
    }
}

#[test]
fn a_dockerfile_is_a_plain_file_in_its_context() {
    let cases = [
        ("missing", "the Dockerfile context/missing is missing; put a plain file into the build context"),
        (
            ".git/D",
            "the Dockerfile context/.git/D lies in a repository's own folder, which is a part of no build context; put a plain \
             file into the build context",
        ),
        ("no/D", "the Dockerfile context/no/D is missing; put a plain file into the build context"),
        ("folder", "the Dockerfile context/folder is a folder; put a plain file into the build context"),
        (
            "Dockerfile/D",
            "the Dockerfile context/Dockerfile/D is below context/Dockerfile, which is a file; put a plain file into \
             the build context",
        ),
        ("../D", "the Dockerfile ../D is not inside the build context; move it into the context"),
        ("a/../D", "the Dockerfile a/../D is not inside the build context; move it into the context"),
        ("/D", "the Dockerfile /D is not inside the build context; move it into the context"),
        ("", "the Dockerfile  is not inside the build context; move it into the context"),
    ];
    for (dockerfile, expected) in cases {
        let place = place(&[("folder/x", "")]);
        fs::write(place.base.join("D"), "FROM scratch\n").unwrap();
        assert_eq!(place.refused_for(dockerfile), expected);
    }
}

/// What Docker 20.10 put into an image from this context with `COPY . /`; the two files are ours to keep.
#[test]
fn the_context_is_what_docker_sees() {
    let ignore = "**/secret\n!a/secret/open\n*.log\nnode_modules\ntarget/*\n!target/ok\n**/*.tmp\n!src/deep/*.tmp\n\
                  Dockerfile\n.dockerignore\n";
    let names = "a/secret/open a/secret/key b/secret/key src/x.log x.log node_modules/x/y target/ok target/no \
                 src/a.tmp src/deep/b.tmp keep/node_modules/z";
    let files: Vec<(&str, &str)> =
        names.split(' ').map(|name| (name, "")).chain([(".dockerignore", ignore)]).collect();
    let place = place(&files);
    fs::create_dir(place.at("empty")).unwrap();
    let seen = "a/secret/open b empty keep/node_modules/z src/deep/b.tmp src/x.log target/ok";
    let expected: Vec<&str> = [".dockerignore", "Dockerfile"].into_iter().chain(seen.split(' ')).collect();
    assert_eq!(paths(&place.read()), expected);
}
