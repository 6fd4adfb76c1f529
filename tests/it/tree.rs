//! The rendered files on disk: nothing lost, nothing overwritten that a person wrote, no link followed.

use bottle::render::Tree;
use bottle::render::checksum::seal;
use bottle::tree::{Comparison, Folder, Kind, TreeError, Written};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::symlink;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

struct Project {
    _dir: tempfile::TempDir,
    out: Utf8PathBuf,
    base: Utf8PathBuf,
}

fn project() -> Project {
    let dir = tempfile::tempdir().unwrap();
    let base = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    Project { out: base.join(".bottle/dev"), base, _dir: dir }
}

impl Project {
    fn folder(&self) -> Folder {
        Folder::open(&self.base).unwrap().make(Utf8Path::new(".bottle/dev")).unwrap()
    }

    fn compare(&self, tree: &Tree) -> Result<Comparison, TreeError> {
        let folder = Folder::open(&self.base)?.find(Utf8Path::new(".bottle/dev"))?;
        Comparison::with_disk(folder.as_ref(), tree)
    }

    fn write(&self, tree: &Tree, force: bool) -> Result<Written, TreeError> {
        let comparison = self.compare(tree)?;
        comparison.apply(&self.folder(), force)
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.out.join(path)).unwrap()
    }

    fn put(&self, path: &str, text: &str) {
        fs_err::write(self.out.join(path), text).unwrap();
    }
}

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, body)| ((*path).into(), seal(body).into_bytes())).collect()
}

const COMPOSE: &str = "docker-compose.yml";
const ROUTES: &str = "egress-proxy/routes.yaml";

fn demo() -> Tree {
    tree(&[(COMPOSE, "services: {}\n"), (ROUTES, "version: 1\n"), (".gitignore", ".env\n")])
}

#[test]
fn a_first_write_makes_every_file_with_the_same_mode_under_any_umask() {
    let project = project();
    let written = project.write(&demo(), false).unwrap();
    assert_eq!(written.replaced.len(), 3);
    for file in [COMPOSE, ROUTES, ".gitignore"] {
        let mode = project.out.join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644, "{file}");
    }
    assert!(project.compare(&demo()).unwrap().is_same());
}

#[test]
fn what_did_not_change_keeps_its_inode_and_time() {
    let project = project();
    project.write(&demo(), false).unwrap();
    let before = project.out.join(COMPOSE).metadata().unwrap();
    let mut other = demo();
    other.insert(ROUTES.into(), seal("version: 2\n").into_bytes());
    let written = project.write(&other, false).unwrap();
    assert_eq!(written.replaced, [ROUTES]);
    let after = project.out.join(COMPOSE).metadata().unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[test]
fn no_folder_is_ever_replaced() {
    let project = project();
    project.write(&demo(), false).unwrap();
    let inode = |path: &str| project.out.join(path).metadata().unwrap().ino();
    let before = (inode(""), inode("egress-proxy"));
    project.write(&tree(&[(COMPOSE, "services: {a: {}}\n")]), false).unwrap();
    project.write(&demo(), false).unwrap();
    assert_eq!((inode(""), inode("egress-proxy")), before);
}

#[test]
fn a_file_that_is_no_longer_rendered_goes() {
    let project = project();
    project.write(&demo(), false).unwrap();
    let written = project.write(&tree(&[(COMPOSE, "services: {}\n")]), false).unwrap();
    assert_eq!(written.removed, [".gitignore", ROUTES]);
    assert!(!project.out.join(ROUTES).exists());
}

#[test]
fn a_hand_edit_is_kept_unless_forced_and_the_message_names_it() {
    let project = project();
    project.write(&demo(), false).unwrap();
    let edited = project.read(COMPOSE).replace("{}", "{mine: {}}");
    project.put(COMPOSE, &edited);
    let mut other = demo();
    other.insert(ROUTES.into(), seal("version: 2\n").into_bytes());
    let error = project.write(&other, false).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{}/docker-compose.yml was edited by hand; put the change into the manifest, or give it up with \
             `bottle render --force`",
            project.out
        )
    );
    assert_eq!(project.read(COMPOSE), edited);
    assert_eq!(project.read(ROUTES), seal("version: 1\n"), "nothing else is written either");
    project.write(&other, true).unwrap();
    assert!(project.compare(&other).unwrap().is_same());
}

#[test]
fn a_stale_file_with_a_hand_edit_is_kept_too() {
    let project = project();
    project.write(&demo(), false).unwrap();
    project.put(ROUTES, &format!("{}# mine\n", project.read(ROUTES)));
    let error = project.write(&tree(&[(COMPOSE, "services: {}\n")]), false).unwrap_err();
    assert!(matches!(error, TreeError::Edited { .. }), "{error}");
    assert!(project.out.join(ROUTES).exists());
}

#[test]
fn a_file_left_unmerged_is_rendered_anew() {
    let project = project();
    project.write(&demo(), false).unwrap();
    let (ours, theirs) = (project.read(COMPOSE), seal("services: {b: {}}\n"));
    project.put(COMPOSE, &format!("<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> topic\n"));
    project.write(&demo(), false).unwrap();
    assert_eq!(project.read(COMPOSE), ours);
}

#[test]
fn a_file_that_compose_would_merge_fails_even_with_force() {
    for name in
        ["compose.override.yaml", "docker-compose.override.yml", "compose.yaml", "egress-proxy/notes.txt"]
    {
        let project = project();
        project.write(&demo(), false).unwrap();
        project.put(name, "services: {agent: {privileged: true}}\n");
        let error = project.write(&demo(), true).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "{}/{name} is not bottle's, and Docker Compose could merge it into the stack; move it out of this \
                 folder",
                project.out
            )
        );
        let comparison = project.compare(&demo()).unwrap();
        assert!(!comparison.is_same());
        assert_eq!(comparison.unified_diff(), format!("{name}: not written by bottle\n"));
    }
}

#[test]
fn a_flood_of_files_of_somebody_else_is_counted_and_not_listed() {
    let project = project();
    project.folder();
    for i in 0..1000 {
        project.put(&format!("{i:03}.yaml"), "");
    }
    let error = project.write(&demo(), true).unwrap_err().to_string();
    assert!(error.contains("/019.yaml, and 980 more is not bottle's"), "{error}");
    assert!(!error.contains("/020.yaml"), "{error}");
}

#[test]
fn a_file_of_somebody_else_under_one_of_our_names_is_not_overwritten() {
    let project = project();
    project.folder();
    project.put(COMPOSE, "services: {mine: {}}\n");
    let error = project.write(&demo(), true).unwrap_err();
    assert!(matches!(error, TreeError::Foreign { .. }), "{error}");
    assert_eq!(project.read(COMPOSE), "services: {mine: {}}\n");
}

#[test]
fn the_diff_is_unified_and_names_what_is_new_and_gone() {
    let project = project();
    project.write(&tree(&[(COMPOSE, "a: 1\nb: 2\n"), ("old.yaml", "x: 1\n")]), false).unwrap();
    let comparison = project.compare(&tree(&[(COMPOSE, "a: 1\nb: 3\n"), ("new.yaml", "y: 1\n")])).unwrap();
    let diff = comparison.unified_diff();
    for part in [
        "--- a/docker-compose.yml\n+++ b/docker-compose.yml\n",
        " a: 1\n-b: 2\n+b: 3\n",
        "--- /dev/null\n+++ b/new.yaml\n",
        "--- a/old.yaml\n+++ /dev/null\n",
    ] {
        assert!(diff.contains(part), "{part:?} is not in\n{diff}");
    }
    assert_eq!(comparison.paths(Kind::Stale).collect::<Vec<_>>(), ["old.yaml"]);
}

#[test]
fn a_symbolic_link_is_refused_wherever_an_agent_could_have_put_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let refused = |project: &Project, place: &str| {
        let error = project.compare(&demo()).unwrap_err().to_string();
        let wanted = format!(
            "{}/{place} is a symbolic link, which bottle does not follow: an agent could have put it there; remove it",
            project.base
        );
        assert_eq!(error, wanted);
        assert_eq!(fs_err::read_dir(elsewhere.path()).unwrap().count(), 0);
    };
    for place in [".bottle", ".bottle/dev"] {
        let project = project();
        if place != ".bottle" {
            fs_err::create_dir(project.base.join(".bottle")).unwrap();
        }
        symlink(elsewhere.path(), project.base.join(place)).unwrap();
        refused(&project, place);
        let made = Folder::open(&project.base).unwrap().make(Utf8Path::new(".bottle/dev"));
        assert!(matches!(made, Err(TreeError::NotPlain { .. })), "{made:?}");
    }
    for place in [".bottle/dev/egress-proxy", ".bottle/dev/docker-compose.yml", ".bottle/dev/planted"] {
        let project = project();
        project.folder();
        symlink(elsewhere.path(), project.base.join(place)).unwrap();
        refused(&project, place);
    }
}

#[test]
fn a_link_put_in_place_of_a_folder_after_the_comparison_is_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let project = project();
    let comparison = project.compare(&demo()).unwrap();
    let folder = project.folder();
    symlink(elsewhere.path(), project.out.join("egress-proxy")).unwrap();
    let error = comparison.apply(&folder, true).unwrap_err();
    assert!(matches!(error, TreeError::NotPlain { .. }), "{error}");
    assert_eq!(fs_err::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_pipe_is_refused_and_never_opened() {
    let project = project();
    project.folder();
    let made = std::process::Command::new("mkfifo").arg(project.out.join(COMPOSE)).status().unwrap();
    assert!(made.success());
    let error = project.compare(&demo()).unwrap_err().to_string();
    assert!(error.contains("docker-compose.yml is a pipe"), "{error}");
}

#[test]
fn what_a_killed_write_left_is_removed_by_the_next_one() {
    let project = project();
    project.write(&demo(), false).unwrap();
    let left = project.out.join("egress-proxy/.bottle-staged-1-routes.yaml");
    fs_err::write(&left, "half").unwrap();
    assert!(project.compare(&demo()).unwrap().is_same(), "a leftover is no difference");
    let mut other = demo();
    other.insert(COMPOSE.into(), seal("services: {a: {}}\n").into_bytes());
    project.write(&other, false).unwrap();
    assert!(!left.exists());
}

/// A file system of its own that is too small for the new tree. Needs root; others cannot mount.
#[test]
fn a_full_disk_leaves_the_old_tree_as_it_was() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "a full disk needs root, which CI has");
        eprintln!("skipped: a full disk is a file system of its own, which needs root");
        return;
    }
    let project = project();
    let mount = |command: &str, arguments: &[&str]| {
        let status = std::process::Command::new(command).args(arguments).arg(&project.base).status().unwrap();
        assert!(status.success(), "{command}");
    };
    mount("mount", &["-t", "tmpfs", "-o", "size=128k", "tmpfs"]);
    project.write(&demo(), false).unwrap();
    let big = "# ".repeat(100_000);
    let new = tree(&[(COMPOSE, "services: {a: {}}\n"), (ROUTES, "version: 2\n"), ("z/big.yaml", &big)]);
    let error = project.write(&new, false).unwrap_err();
    let same = project.compare(&demo()).unwrap();
    let leftovers: Vec<_> = fs_err::read_dir(project.out.join("z")).unwrap().collect();
    mount("umount", &[]);
    let wanted = format!("can't write {}/z/big.yaml: No space left on device (os error 28)", project.out);
    assert_eq!(error.to_string(), wanted);
    assert!(same.is_same(), "{}", same.unified_diff());
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_tree_that_fills_the_memory_is_not_read() {
    let project = project();
    project.write(&demo(), false).unwrap();
    let sparse = |name: &str, mebibytes: u64| {
        let file = fs_err::File::create(project.out.join(name)).unwrap();
        file.set_len(mebibytes << 20).unwrap();
    };
    sparse("large.yaml", 17);
    let error = project.compare(&demo()).unwrap_err().to_string();
    assert_eq!(error, format!("{}/large.yaml is larger than 16 MiB", project.out));
    for name in ["large.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"] {
        sparse(name, 15);
    }
    let error = project.compare(&demo()).unwrap_err().to_string();
    assert_eq!(error, format!("{} is larger than 64 MiB", project.out));
}

#[test]
fn a_diff_has_a_line_for_each_line_feed_and_none_for_a_carriage_return() {
    let project = project();
    project.write(&demo(), false).unwrap();
    project.put(ROUTES, &(project.read(ROUTES) + "a\r+b\n"));
    let diff = project.compare(&demo()).unwrap().unified_diff();
    assert!(diff.contains("\n-a\r+b\n"), "{diff:?}");
}
