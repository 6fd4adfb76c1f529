//! A repository whose `.git` an agent wrote.

use super::{MANIFEST, Repository, Said, diff_in};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// A program that leaves a mark, and the mark.
fn trap(repository: &Repository) -> (String, camino::Utf8PathBuf) {
    let folder = repository.top.parent().unwrap();
    let (program, mark) = (folder.join("trap"), folder.join("sprung"));
    fs::write(&program, format!("#!/bin/sh\necho \"$0 $@\" >> {mark}\n")).unwrap();
    fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (program.to_string(), mark)
}

#[test]
fn nothing_of_the_repository_is_run() {
    let repository = Repository::with(MANIFEST);
    repository.write("untracked/bottle.yaml", MANIFEST.replace("name: dev", "name: two").as_str());
    let (program, mark) = trap(&repository);
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.alternateRefsCommand",
        "core.gitProxy",
        "credential.helper",
        "diff.external",
        "diff.x.textconv",
        "filter.x.smudge",
        "filter.x.clean",
        "filter.x.process",
        "alias.rev-parse",
        "alias.cat-file",
        "gpg.program",
        "uploadpack.packObjectsHook",
        "remote.origin.uploadpack",
        "trace2.eventTarget",
    ] {
        repository.git(&["config", key, &program]);
    }
    repository.git(&["config", "extensions.partialClone", "origin"]);
    repository.git(&["config", "core.repositoryFormatVersion", "1"]);
    repository.git(&["config", "remote.origin.url", &format!("ext::{program} x")]);
    repository.git(&["config", "remote.origin.promisor", "true"]);
    repository.git(&["config", "protocol.ext.allow", "always"]);
    repository.write(".gitattributes", "* filter=x diff=x\n");
    for hook in ["post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"] {
        fs::copy(&program, repository.top.join(".git/hooks").join(hook)).unwrap();
    }
    fs::remove_file(&mark).ok();
    assert_eq!(repository.diff(&[]).code, 1);
    // A missing object is not fetched.
    let blob = repository.git(&["rev-parse", "HEAD:bottle.yaml"]);
    fs::remove_file(repository.top.join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    fs::remove_file(&mark).ok();
    let said = repository.diff(&[]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains(&format!("object {blob} is not in the repository")), "{}", said.err);
    assert!(!mark.exists(), "{}", fs::read_to_string(&mark).unwrap_or_default());
}

/// A git that fetches what is missing, whatever it is told (before 2.39.4 and 2.45), has no transport to do it by: not
/// one that the repository allows, and not one that it makes of an alias.
/// A branch that is checked out can hold a folder of the name that the reviewer types.
#[test]
fn a_path_does_not_take_the_place_of_revisions() {
    let repository = Repository::with(MANIFEST);
    repository.git(&["branch", "base"]);
    let wider = MANIFEST.replace("[docs.example]", "[docs.example, evil.example]");
    repository.write("bottle.yaml", &wider);
    repository.git(&["commit", "--quiet", "--all", "--message", "wider"]);
    for planted in ["base...HEAD", "base..HEAD", "HEAD:bottle.yaml", "base"] {
        repository.write(&format!("{planted}/bottle.yaml"), MANIFEST);
        let said = repository.diff(&[planted]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{planted}");
        assert!(
            said.err.contains("reads as revisions, and a file or folder here has that name"),
            "{}",
            said.err
        );
        fs::remove_dir_all(repository.top.join(planted)).unwrap();
    }
    assert_eq!(repository.diff(&["base...HEAD"]).code, 1);
}

#[test]
fn a_git_that_fetches_lazily_has_nothing_to_fetch_by() {
    let repository = Repository::with(MANIFEST);
    let (program, mark) = trap(&repository);
    let folder = repository.top.parent().unwrap();
    fs::create_dir(folder.join("bin")).unwrap();
    let old = folder.join("bin/git");
    fs::write(&old, "#!/bin/sh\nunset GIT_NO_LAZY_FETCH\nPATH=${PATH#*:} exec git \"$@\"\n").unwrap();
    fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let blob = repository.git(&["rev-parse", "HEAD:bottle.yaml"]);
    fs::remove_file(repository.top.join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    repository.git(&["config", "core.repositoryFormatVersion", "1"]);
    repository.git(&["config", "extensions.partialClone", "evil"]);
    repository.git(&["config", "remote.evil.promisor", "true"]);
    repository.git(&["config", "remote.evil.uploadpack", &format!("{program}; false")]);
    for (name, url) in
        [("none", "none::x"), ("file", "."), ("", "::x"), ("ext", &format!("ext::{program} x"))]
    {
        repository.git(&["config", "remote.evil.url", url]);
        repository.git(&["config", "remote.evil.vcs", name]);
        repository.git(&["config", &format!("alias.remote-{name}"), &format!("!{program}")]);
        repository.git(&["config", &format!("protocol.{name}.allow"), "always"]);
        for vcs in [true, false] {
            if !vcs {
                repository.git(&["config", "--unset", "remote.evil.vcs"]);
            }
            let path = format!("{folder}/bin:{}", std::env::var("PATH").unwrap());
            let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
            let said = command.args(["diff", "HEAD"]).env("PATH", path).current_dir(&repository.top).output();
            assert_eq!(said.unwrap().status.code(), Some(2));
            assert!(!mark.exists(), "{url}: {}", fs::read_to_string(&mark).unwrap_or_default());
        }
    }
}

/// What a reviewer is shown is what others get who fetch the commit.
#[test]
fn an_object_is_what_its_name_says() {
    let repository = Repository::with(MANIFEST);
    let harmless = repository.git(&["rev-parse", "HEAD:bottle.yaml"]);
    repository.edit("methods: [GET]", "methods: [GET, DELETE]");
    repository.commit("widened");
    let widened = repository.git(&["rev-parse", "HEAD:bottle.yaml"]);
    assert_eq!(repository.diff(&["HEAD~1..HEAD"]).code, 1);
    // By a reference that git would follow,
    repository.git(&["replace", &widened, &harmless]);
    assert_eq!(repository.diff(&["HEAD~1..HEAD"]).code, 1, "a replaced object");
    repository.git(&["replace", "--delete", &widened]);
    // by other bytes under the name,
    let object = |id: &str| repository.top.join(".git/objects").join(&id[..2]).join(&id[2..]);
    fs::set_permissions(object(&widened), std::fs::Permissions::from_mode(0o644)).unwrap();
    fs::copy(object(&harmless), object(&widened)).unwrap();
    let said = repository.diff(&["HEAD~1..HEAD"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    let expected = format!(
        "object {widened} of the repository is not what its name says: the repository is damaged or was tampered with\n"
    );
    assert!(said.err.ends_with(&expected), "{}", said.err);
}

/// `git` asks a file that says what each commit's tree is, and does not look at the commit.
#[test]
fn the_commit_graph_decides_nothing() {
    let repository = Repository::with(MANIFEST);
    let harmless = repository.git(&["rev-parse", "HEAD^{tree}"]);
    repository.edit("methods: [GET]", "methods: [GET, DELETE]");
    repository.commit("widened");
    let widened = repository.git(&["rev-parse", "HEAD^{tree}"]);
    repository.git(&["commit-graph", "write", "--reachable"]);
    let graph = repository.top.join(".git/objects/info/commit-graph");
    let bytes = fs::read(&graph).unwrap();
    let id = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    let at = bytes.windows(20).position(|window| window == id(&widened)).unwrap();
    let mut lying = bytes.clone();
    lying[at..at + 20].copy_from_slice(&id(&harmless));
    fs::set_permissions(&graph, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&graph, lying).unwrap();
    assert_eq!(repository.diff(&["HEAD~1..HEAD"]).code, 1);
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_git_is_not_waited_for() {
    for name in ["config", "HEAD"] {
        let repository = Repository::with(MANIFEST);
        let path = repository.top.join(".git").join(name);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let said = repository.diff(&["HEAD"]);
        assert_eq!(said.code, 2);
        assert!(said.err.contains(&format!(".git/{name} is not a plain file; remove it")), "{}", said.err);
    }
    let pipes =
        ["packed-refs", "index", "shallow", "info/attributes", "objects/info/alternates", "refs/heads/x"];
    for name in pipes {
        let repository = Repository::with(MANIFEST);
        let path = repository.top.join(".git").join(name);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let said = repository.diff(&["HEAD"]);
        assert_eq!(said.code, 2);
        let sentence =
            format!(".git/{name} is a pipe or a device, which git would never finish reading; remove it");
        assert!(said.err.contains(&sentence), "{}", said.err);
    }
    // Through a link, in a folder of objects, and what says what is left out of commits.
    let repository = Repository::with(MANIFEST);
    let objects = repository.top.join(".git/objects/ab");
    fs::create_dir_all(&objects).unwrap();
    symlink("/dev/zero", objects.join("c".repeat(38))).unwrap();
    let said = repository.diff(&["HEAD"]);
    assert!(said.err.contains(" is a pipe or a device"), "{}", said.err);
    let repository = Repository::with(MANIFEST);
    assert!(Command::new("mkfifo").arg(repository.top.join(".gitignore")).status().unwrap().success());
    let said = repository.diff(&["HEAD"]);
    assert!(said.err.contains(".gitignore is a pipe or a device"), "{}", said.err);
}

/// Where a branch began decides what is new, and git believes files of the repository about it.
#[test]
fn where_a_branch_began_is_read_from_checked_commits() {
    let repository = Repository::with(&MANIFEST.replace("[GET]", "[GET, DELETE]"));
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.edit("[GET, DELETE]", "[GET]");
    repository.commit("narrowed");
    let main = repository.git(&["rev-parse", "HEAD"]);
    repository.commit("between");
    let between = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["checkout", "--quiet", "-b", "other", &first]);
    repository.commit("beside");
    repository.git(&["merge", "--quiet", "--no-edit", &between]);
    repository.write("bottle.yaml", &MANIFEST.replace("[GET]", "[GET, DELETE]"));
    repository.commit("widened again");
    let range = format!("{main}...HEAD");
    let expected = ["+ DELETE https://api.example/v1/** with API_TOKEN    HEAD:bottle.yaml:10"];
    assert_eq!(repository.signed(&[&range]), expected);
    repository.write(".git/shallow", &format!("{between}\n"));
    assert_eq!(repository.signed(&[&range]), expected, "a commit that is said to have no parent");
    fs::remove_file(repository.top.join(".git/shallow")).unwrap();
    repository.write(".git/info/grafts", &format!("{between}\n"));
    assert_eq!(repository.signed(&[&range]), expected, "a graft");
    // Two branches that were merged into each other have no one beginning.
    repository.git(&["checkout", "--quiet", "-b", "left", &first]);
    repository.commit("left");
    repository.git(&["checkout", "--quiet", "-b", "right", &first]);
    repository.commit("right");
    let (left, right) = (repository.git(&["rev-parse", "left"]), repository.git(&["rev-parse", "right"]));
    repository.git(&["merge", "--quiet", "--no-edit", &left]);
    repository.git(&["checkout", "--quiet", "left"]);
    repository.git(&["merge", "--quiet", "--no-edit", &right]);
    let said = repository.diff(&["left...right"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("several commits in common") && said.err.contains(&left), "{}", said.err);
    let none = repository.git(&["commit-tree", "-m", "root", "HEAD^{tree}"]);
    let said = repository.diff(&[&format!("{none}...left")]);
    assert!(said.err.contains("have no commit in common here"), "{}", said.err);
}

#[test]
fn links_in_a_commit_are_not_followed() {
    let repository = Repository::with(MANIFEST);
    fs::remove_file(repository.top.join("bottle.yaml")).unwrap();
    repository.write("real.yaml", MANIFEST);
    symlink("real.yaml", repository.top.join("bottle.yaml")).unwrap();
    repository.commit("a link");
    let said = repository.diff(&["HEAD~1..HEAD"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("HEAD:bottle.yaml is a symbolic link, which bottle does not follow"),
        "{}",
        said.err
    );
    let said = repository.diff(&[]);
    assert!(said.code == 2 && said.err.contains("symbolic link"), "{}", said.err);
}

/// A tree behind a link is started by Compose all the same.
#[test]
fn a_committed_tree_behind_a_link_is_refused() {
    let repository = Repository::with(MANIFEST);
    repository.render();
    repository.commit("rendered");
    fs::rename(repository.top.join(".bottle"), repository.top.join("elsewhere")).unwrap();
    symlink("elsewhere", repository.top.join(".bottle")).unwrap();
    repository.commit("a link");
    let said = repository.diff(&["HEAD~1..HEAD"]);
    assert_eq!(said.code, 2, "{}", said.out);
    let error = ".bottle/dev of the commit is a symbolic link, which bottle does not follow";
    assert!(said.err.contains(error), "{}", said.err);
    assert_eq!(repository.diff(&[]).code, 2);
}

/// Any folder can be made to look like another repository.
#[test]
fn a_folder_of_the_commit_is_looked_into_whatever_lies_in_it() {
    let repository = Repository::with(MANIFEST);
    let two = MANIFEST.replace("name: dev", "name: two");
    repository.write("sub/bottle.yaml", &two);
    repository.commit("two");
    repository.write("sub/bottle.yaml", &two.replace("[GET]", "[DELETE]"));
    fs::create_dir(repository.top.join("sub/.git")).unwrap();
    assert_eq!(
        repository.signed(&[])[0],
        "+ DELETE https://api.example/v1/** with API_TOKEN    sub/bottle.yaml:10"
    );
    // The other side has the folder, whatever HEAD was made to say.
    let base = repository.git(&["rev-parse", "HEAD"]);
    repository.write(".git/HEAD", "ref: refs/heads/nowhere\n");
    assert_eq!(
        repository.signed(&[&base])[0],
        "+ DELETE https://api.example/v1/** with API_TOKEN    sub/bottle.yaml:10"
    );
}

/// git quotes the line that it can't read, of whatever file a link leads to.
#[test]
fn what_git_says_of_a_repository_is_not_shown() {
    for name in ["packed-refs", "shallow"] {
        let repository = Repository::with(MANIFEST);
        let secret = repository.top.parent().unwrap().join("secret");
        fs::write(&secret, "machine api.x login u password SECRETLINE\n").unwrap();
        symlink(&secret, repository.top.join(".git").join(name)).unwrap();
        let said = repository.diff(&["HEAD"]);
        assert_eq!(said.code, 2, "{name}");
        assert!(said.err.contains("git can't read the repository; `git fsck` says more"), "{}", said.err);
        assert!(!said.err.contains("SECRETLINE") && !said.err.contains("machine"), "{}", said.err);
    }
}

/// A submodule that a commit moves is another content, though nothing of it is here.
#[test]
fn a_submodule_in_a_build_context_counts() {
    let repository = Repository::with(&MANIFEST.replace("image: debian:12", "build: {context: ./agent}"));
    repository.write("agent/Dockerfile", "FROM scratch\n");
    repository.commit("context");
    let id = repository.git(&["rev-parse", "HEAD"]);
    let other = repository.git(&["rev-parse", "HEAD~1"]);
    for id in [id, other] {
        repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},agent/module")]);
        repository.git(&["commit", "--quiet", "--message", "module"]);
    }
    let lines = repository.signed(&["HEAD~1..HEAD"]);
    assert!(lines[0].starts_with("+ the agent's image is built from other files"), "{lines:?}");
}

/// Names and values are an agent's, and a terminal, a comment and a workflow command are read by machines too.
#[test]
fn what_a_manifest_says_cannot_steer_a_reader() {
    let repository = Repository::with(MANIFEST);
    repository.edit(
        "image: debian:12",
        "image: debian:12\n  env: {A: \"a\\e[2J`b`|<img src=x>\\n::error::x%0A @all\"}",
    );
    let name = "x`|<b>.bottle.yaml";
    repository.write(name, MANIFEST.replace("name: dev", "name: two").as_str());
    let formats = ["text", "json", "markdown", "sarif", "github"];
    let shown: Vec<Said> = formats.iter().map(|format| repository.diff(&["--format", format])).collect();
    for (format, said) in formats.iter().zip(&shown) {
        assert_eq!(said.code, 1, "{format}: {}", said.err);
        assert!(!said.out.contains('\u{1b}'), "{format}: {}", said.out);
    }
    assert!(shown[4].out.lines().all(|line| line.starts_with("::")), "{}", shown[4].out);
    assert!(!shown[4].out.contains("\n::error::"), "{}", shown[4].out);
    let markdown = &shown[2].out;
    let row = markdown.lines().find(|line| line.contains("A=a")).unwrap();
    assert_eq!(
        row,
        "| `+` | ``the agent's environment has A=a\\u{1b}[2J`b`\\|<img src=x>\\u{a}::error::x%0A @all`` | \
         minor: the agent has more resources or other variables | `bottle.yaml:5` |"
    );
}

/// The one thing that is waited for has an end.
#[test]
fn a_work_tree_of_a_repository_elsewhere_is_read() {
    let repository = Repository::with(MANIFEST);
    let other = repository.top.parent().unwrap().join("linked");
    repository.git(&["worktree", "add", "--quiet", "--detach", other.as_str()]);
    fs::write(other.join("bottle.yaml"), MANIFEST.replace("[GET]", "[PUT]")).unwrap();
    assert_eq!(diff_in(&other, &[]).code, 1);
    let bare =
        Command::new("git").args(["init", "--quiet", "--bare"]).arg(other.join("bare")).status().unwrap();
    assert!(bare.success());
    let said = diff_in(&other.join("bare"), &["--quiet"]);
    assert_eq!(said.code, 1, "a bare repository in a work tree is a folder: {}", said.err);
}

/// In Shift JIS the yen sign of a commit is the backslash of a checkout, which makes a quoted text go on.
#[test]
fn a_file_that_a_checkout_would_change_is_refused() {
    let repository = Repository::with(MANIFEST);
    let line = "bottle.yaml working-tree-encoding=SHIFT_JIS\n";
    for (attributes, text) in [
        (".gitattributes", line.to_owned()),
        ("agent/.gitattributes", "* working-tree-encoding=SHIFT_JIS\n".to_owned()),
        // Read by `git checkout -- FILE`, which leaves out the byte order mark.
        (".gitattributes", format!("\u{feff}{line}")),
        // Read where `core.ignorecase` is set: on macOS and Windows.
        (
            ".gitattributes",
            line.to_ascii_uppercase().replace("WORKING-TREE-ENCODING", "working-tree-encoding"),
        ),
        (".GitAttributes", line.to_owned()),
        ("AGENT/.gitattributes", "* ident\n".to_owned()),
        // For git a `?` is a byte.
        ("agent/.gitattributes", "D??ckerfile* ident\n".to_owned()),
    ] {
        repository.git(&["checkout", "--quiet", "-B", "pr", "main"]);
        if attributes.to_ascii_lowercase().starts_with("agent") {
            let dockerfile = if text.contains("D??") { "D\u{f6}ckerfile" } else { "Dockerfile" };
            repository.write(&format!("agent/{dockerfile}"), "FROM scratch\n");
            let built = MANIFEST.replace(
                "image: debian:12",
                &format!("build: {{context: ./agent, dockerfile: {dockerfile}}}"),
            );
            assert_ne!(built, MANIFEST);
            repository.write("bottle.yaml", &built);
        }
        repository.write(attributes, &text);
        repository.git(&["add", "--all"]);
        repository.git(&["commit", "--quiet", "--message", "x"]);
        let said = repository.diff(&["main...pr"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        let because = format!(
            "({attributes}:1), so what the commit has is not what would be used; remove the attribute for it"
        );
        assert!(said.err.contains("git gives this file another text at a checkout"), "{}", said.err);
        assert!(said.err.contains(&because), "{}", said.err);
    }
}

/// Names of which a file system without Unicode leaves nothing are all alike; the files of each are read once.
#[test]
fn folders_that_are_all_alike_are_read_once() {
    let repository = Repository::with(&MANIFEST.replace("image: debian:12", "build: {context: ./agent}"));
    repository.write("agent/Dockerfile", "FROM scratch\n");
    let large = "#".repeat((1 << 20) - 1) + "\n";
    for at in 0..60_u32 {
        let folder = char::from_u32(0x4e00 + at).unwrap();
        repository.write(&format!("agent/{folder}/file"), &at.to_string());
        repository.write(&format!("agent/{folder}/.gitattributes"), &large);
    }
    repository.commit("folders");
    let said = repository.diff(&["HEAD", "HEAD"]);
    assert_eq!(said.code, 0, "{}", said.err);
    repository.write("agent/\u{4e01}/.gitattributes", "* ident\n");
    repository.commit("an attribute");
    let said = repository.diff(&["HEAD~1", "HEAD"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("git gives this file another text at a checkout"), "{}", said.err);
}

/// Two trees of eighty names each are 6,400 manifests.
#[test]
fn a_small_commit_with_thousands_of_manifests_is_refused() {
    let repository = Repository::with(MANIFEST);
    let blob = repository.git(&["rev-parse", "HEAD:bottle.yaml"]);
    let leaf = repository.tree(&format!("100644 blob {blob}\tbottle.yaml\n"));
    let many = |id: &str| {
        (0..80).flat_map(|n| [format!("040000 tree {id}\td{n}"), "\n".to_owned()]).collect::<String>()
    };
    let top = repository.tree(&many(&repository.tree(&many(&leaf))));
    let commit = repository.git(&["commit-tree", "-m", "x", &top]);
    let said = repository.diff(&["HEAD", &commit]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    let why = "there are 6400 manifests, and at most 5000 are compared; name a folder of them: bottle diff OLD NEW -- FOLDER";
    assert!(said.err.contains(why), "{}", said.err);
    assert_eq!(repository.diff(&[&commit, &commit, "--", "d1"]).code, 0);
}

/// A file of rules is compiled for each manifest that names it.
#[test]
fn a_file_of_rules_counts_for_each_manifest_that_names_it() {
    let repository = Repository::with(MANIFEST);
    let rules: Vec<String> =
        (0..400).map(|n| format!("[[rules]]\nid = \"r{n}\"\nregex = \"acme_{n}\"\n")).collect();
    repository.write("rules.toml", &rules.concat());
    let manifest = "version: 1\nname: dev\nagent: {image: x}\negress_proxy:\n  routes:\n    - host: a.example\n      \
                    path_allowlist: [/a.git]\n      git: {push: {refs: [refs/heads/a], rules: rules.toml}}\n";
    repository.write("manifest", manifest);
    let blob = |name: &str| repository.git(&["hash-object", "-w", name]);
    let (rules, manifest) = (blob("rules.toml"), blob("manifest"));
    let names = (0..200).map(|n| format!("100644 blob {manifest}\tx{n:03}.bottle.yaml\n"));
    let names = names.chain([format!("100644 blob {rules}\trules.toml\n")]).collect::<Vec<_>>().concat();
    let commit = repository.git(&["commit-tree", "-m", "x", &repository.tree(&names)]);
    let said = repository.diff(&["HEAD", &commit]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(
        said.err.contains("the manifests, with what they name, come to more than 16 MiB"),
        "{}",
        said.err
    );
}

/// One blob of 700 kB under two dozen names.
#[test]
fn a_small_commit_with_megabytes_of_manifests_is_refused() {
    let repository = Repository::with(MANIFEST);
    repository.write("large", &format!("{MANIFEST}# {}\n", "x".repeat(700_000)));
    let blob = repository.git(&["hash-object", "-w", "large"]);
    let names =
        (0..24).map(|n| format!("100644 blob {blob}\tx{n:02}.bottle.yaml\n")).collect::<Vec<_>>().concat();
    let commit = repository.git(&["commit-tree", "-m", "x", &repository.tree(&names)]);
    let said = repository.diff(&["HEAD", &commit]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    let why = "the manifests, with what they name, come to more than 16 MiB; name a folder of them: bottle diff OLD NEW -- FOLDER";
    assert!(said.err.contains(why), "{}", said.err);
    // One that moved.
    let said = repository.diff(&["HEAD", &commit, "--", "x01.bottle.yaml", "bottle.yaml"]);
    assert_eq!(said.code, 0, "{}", said.err);
}
