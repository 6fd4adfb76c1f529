//! `bottle render` as a black box: what it writes, what it refuses, and what it says.

use camino::{Utf8Path, Utf8PathBuf};
use std::process::{Command, Output, Stdio};

struct Project {
    _dir: tempfile::TempDir,
    /// Holds `project`, `state`, and a small program for the image.
    root: Utf8PathBuf,
}

const MANIFEST: &str = "\
version: 1
name: dev
agent:
  image: debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  mounts: [{source: ., target: /work}]
egress_proxy:
  routes:
    - host: api.example
      path_allowlist: [/v1]
      auth: {scheme: Bearer, token_ref: API_TOKEN}
";

fn project() -> Project {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    fs_err::create_dir(root.join("project")).unwrap();
    let mut elf = vec![0_u8; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
    fs_err::write(root.join("image-binary"), elf).unwrap();
    fs_err::write(root.join("project/bottle.yaml"), MANIFEST).unwrap();
    Project { root, _dir: dir }
}

impl Project {
    fn dir(&self) -> Utf8PathBuf {
        self.root.join("project")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command
            .current_dir(self.dir())
            .env("XDG_STATE_HOME", self.root.join("state"))
            .env_remove("API_TOKEN");
        command.stdin(Stdio::null()).arg("render").arg("--image-binary").arg(self.root.join("image-binary"));
        command.args(arguments);
        command
    }

    fn render(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a person sees who agrees to whatever it is.
    fn rendered(&self, arguments: &[&str]) -> String {
        let output = self.render(&[&["--accept-widening"], arguments].concat());
        assert!(output.status.success(), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The digest that `--check` prints.
    fn digest(&self) -> String {
        let printed = out(&self.render(&["--check"]));
        printed.lines().last().and_then(|line| line.strip_prefix("digest ")).unwrap().to_owned()
    }

    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.render(arguments);
        assert_eq!(output.status.code(), Some(code), "{}{}", out(&output), err(&output));
        err(&output)
    }

    fn write(&self, path: &str, text: &str) {
        fs_err::write(self.dir().join(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.dir().join(path)).unwrap()
    }

    fn manifest(&self, from: &str, to: &str) {
        let text = self.read("bottle.yaml");
        assert!(text.contains(from));
        self.write("bottle.yaml", &text.replace(from, to));
    }

    fn state(&self) -> Utf8PathBuf {
        let env = self.read(".bottle/dev/.env");
        env.lines().find_map(|line| line.strip_prefix("BOTTLE_STATE=")).unwrap().into()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below a folder with its bytes and modification time.
fn snapshot(folder: &Utf8Path) -> Vec<(Utf8PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            let modified = path.metadata().unwrap().modified().unwrap();
            files.push((path.clone(), fs_err::read(&path).unwrap(), modified));
        }
    }
    files.sort();
    files
}

#[test]
fn the_first_render_writes_everything_and_ends_with_the_next_command() {
    let project = project();
    let table = project.rendered(&["--now", "2026-11-24"]);
    for part in [
        ".bottle/dev  8 files written\n",
        "  services    agent  gate  netns  egress-proxy  pipelock\n",
        "  hosts       api.example  usual methods  /v1  with API_TOKEN\n",
        "  mounts      . at /work, writable\n",
        "  until 2027-12-25  minted\n",
        "  tokens      API_TOKEN (not set in this shell)\n",
        "\nAgreed: sha256:",
        "\nNext: bottle run      an agent in this terminal\n      bottle up      in the background; or: docker compose -f .bottle/dev/docker-compose.yml up -d\n",
    ] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
    assert!(!table.contains("newly"), "{table}");
    for file in ["trust/ca-bundle.pem", "image/bottle", "pipelock/pipelock-ca-key.pem"] {
        assert!(project.state().join(file).exists(), "{file}");
    }
    let hash = project.read(".bottle/dev/.env");
    assert!(hash.contains("COMPOSE_PROJECT_NAME=bottle-dev-"), "{hash}");
}

#[test]
fn a_folder_that_is_not_there_is_a_warning_since_another_machine_may_have_it() {
    let project = project();
    let manifest = project.read("bottle.yaml");
    assert!(
        manifest.contains(
            "image: debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
        ),
        "{manifest}"
    );
    project.manifest(
        "image: debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
        "build: {context: ./agent}\n",
    );
    project.manifest("source: .,", "source: ./src,");
    let output = project.render(&["--accept-widening"]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(
        err(&output).split("warning: src belongs").next().unwrap(),
        "warning: agent/Dockerfile, which the agent's image is built from, is not on this machine; `bottle up` needs it\n\
         warning: src, which the manifest mounts, is not on this machine; `bottle up` needs it\n"
    );
    for folder in ["agent", "src"] {
        fs_err::create_dir(project.dir().join(folder)).unwrap();
    }
    fs_err::write(project.dir().join("agent/Dockerfile"), "FROM scratch\n").unwrap();
    let error = project.refused(1, &[]);
    assert!(error.contains("  + the agent's image is built from other files in `agent`"), "{error}");
    project.rendered(&[]);
    assert!(!err(&project.render(&[])).contains("is not on this machine"));
}

/// Where a source leads over a folder that is not there, the engine gets the path without it.
#[test]
fn a_source_that_is_there_is_not_said_to_be_missing() {
    let project = project();
    fs_err::create_dir(project.dir().join("src")).unwrap();
    project.manifest("source: .,", "source: ./gone/../src,");
    let elsewhere = project.root.clone();
    let output =
        project.command(&["--accept-widening", "project/bottle.yaml"]).current_dir(elsewhere).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert!(!err(&output).contains("is not on this machine"), "{}", err(&output));
}

#[test]
fn after_a_change_the_next_command_for_a_running_stack_is_named() {
    let project = project();
    assert!(!project.rendered(&[]).contains("bottle reload"));
    project.manifest("[/v1]", "[/v1, /v2]");
    let table = project.rendered(&[]);
    assert!(table.contains("\n      bottle reload      when it is up and only rules changed\n"), "{table}");
}

#[test]
fn the_next_command_names_a_manifest_that_is_not_found_by_itself() {
    let project = project();
    let manifest = project.read("bottle.yaml").replace("name: dev", "name: other");
    fs_err::write(project.dir().join("other.bottle.yaml"), manifest).unwrap();
    project.rendered(&[]);
    let table = project.rendered(&["other.bottle.yaml"]);
    assert!(table.contains("\nNext: bottle run other.bottle.yaml      an agent"), "{table}");
    assert!(!table.contains("reload"), "{table}");
}

#[test]
fn a_second_render_touches_no_file() {
    let project = project();
    project.rendered(&[]);
    let before = (snapshot(&project.dir()), snapshot(&project.state()));
    let table = project.rendered(&[]);
    assert!(table.contains(".bottle/dev  unchanged\n") && table.contains("  kept\n"), "{table}");
    assert_eq!((snapshot(&project.dir()), snapshot(&project.state())), before);
}

#[test]
fn the_committed_files_hold_no_secret_and_no_path_of_this_machine() {
    let project = project();
    let mut command = project.command(&["--accept-widening"]);
    assert!(command.env("API_TOKEN", "planted-secret-value").status().unwrap().success());
    for (path, bytes, _) in snapshot(&project.dir().join(".bottle")) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("planted-secret-value"), "{path}");
        assert!(path.ends_with(".env") || !text.contains(project.root.as_str()), "{path}");
    }
}

#[test]
fn check_says_what_differs_and_writes_nothing() {
    let project = project();
    let before = project.render(&["--check"]);
    assert_eq!(before.status.code(), Some(1));
    assert!(out(&before).starts_with("digest sha256:"), "a diff against nothing is no news");
    let said = ".bottle/dev is not there; `bottle render` writes what bottle.yaml renders to\n";
    assert_eq!(err(&before), said);
    assert!(!project.dir().join(".bottle").exists());
    assert!(!project.root.join("state").exists());
    project.rendered(&[]);
    fs_err::remove_file(project.dir().join(".bottle/dev/.env")).unwrap();
    assert_eq!(project.render(&["--check"]).status.code(), Some(0), "a clone has no .env");
    project.manifest("[/v1]", "[/v1, /v2]");
    let after = project.render(&["--check"]);
    assert_eq!(after.status.code(), Some(1));
    assert!(out(&after).contains("+      - /v2\n"), "{}", out(&after));
    assert!(err(&after).contains(".bottle/dev is not what bottle.yaml renders to"), "{}", err(&after));
}

#[test]
fn check_fails_on_a_rule_that_expired_and_names_its_line() {
    let project = project();
    project.manifest("      path_allowlist: [/v1]\n", "      until: 2027-01-31\n");
    project.rendered(&[]);
    assert_eq!(project.render(&["--check", "--now", "2027-01-31"]).status.code(), Some(0));
    let error = project.refused(1, &["--check", "--now", "2027-02-01"]);
    assert!(error.contains("bottle.yaml:9: the rule for api.example expired after 2027-01-31"), "{error}");
}

#[test]
fn widening_without_a_terminal_needs_a_flag_and_writes_nothing_before() {
    let project = project();
    project.rendered(&[]);
    project.manifest("[/v1]", "[/v1, /admin]");
    let before = (snapshot(&project.dir()), snapshot(&project.state()));
    let error = project.refused(1, &[]);
    let wanted = format!(
        "bottle.yaml would allow more than you agreed to:\n  \
         + usual methods https://api.example/admin/** with API_TOKEN\n\
         nothing was written: an agent can have edited the manifest, so a person agrees on a terminal; or say what \
         you agree to:\n  --accept {}\n(--accept-widening agrees to whatever is there, on a machine that can be \
         thrown away)\n",
        project.digest()
    );
    // Who runs the tests decides whether the agent could write.
    let warning = |line: &&str| !line.starts_with("warning: ");
    let error: String = error.split_inclusive('\n').filter(warning).collect();
    assert!(error.ends_with(&wanted), "{error}");
    assert_eq!((snapshot(&project.dir()), snapshot(&project.state())), before);
    let table = project.rendered(&[]);
    assert!(
        table.contains("Newly allowed:\n  + usual methods https://api.example/admin/** with API_TOKEN\n"),
        "{table}"
    );
}

#[test]
fn narrowing_needs_no_flag_and_is_said() {
    let project = project();
    project.rendered(&[]);
    project.manifest("[/v1]", "[/v1/messages]");
    let output = project.render(&[]);
    assert!(output.status.success(), "{}", err(&output));
    let gone = "No longer allowed:\n  - usual methods https://api.example/v1/** with API_TOKEN (now: only /v1/messages/**)\n";
    assert!(out(&output).contains(gone), "{}", out(&output));
}

#[test]
fn the_question_and_check_show_what_is_new_and_what_goes() {
    let project = project();
    project.rendered(&[]);
    project.manifest("[/v1]", "[/v2]");
    let (new, gone) = (
        "  + usual methods https://api.example/v2/** with API_TOKEN\n",
        "  - usual methods https://api.example/v1/** with API_TOKEN\n",
    );
    let asked = project.refused(1, &[]);
    assert!(asked.contains(&format!("{new}It would no longer allow:\n{gone}")), "{asked}");
    let checked = out(&project.render(&["--check"]));
    let said = format!("Against what you agreed to on this machine:\n{new}{gone}digest sha256:");
    assert!(checked.contains(&said), "{checked}");
}

/// A first render, a clone, another name, a manifest in a subfolder: each is asked about, whatever lies beside it.
#[test]
fn what_was_never_agreed_to_is_asked_about_in_full() {
    let project = project();
    let first = project.refused(1, &[]);
    assert!(
        first.starts_with(
            "You have not run this bottle here before. bottle.yaml lets the agent:\n  \
             + the agent reads and writes `.`, as /work\n  \
             + usual methods https://api.example/v1/** with API_TOKEN\n  \
             + the agent runs in the image debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, pulled where it is missing\n"
        ),
        "{first}"
    );
    assert!(!project.dir().join(".bottle").exists() && !project.root.join("state").exists());
    project.rendered(&[]);
    project.manifest("name: dev", "name: dev2");
    assert!(project.refused(1, &[]).starts_with("You have not run this bottle here before."));
    assert!(!project.dir().join(".bottle/dev2").exists());
    fs_err::create_dir(project.dir().join("src")).unwrap();
    project.write("src/bottle.yaml", &MANIFEST.replace("source: .,", "source: /etc,"));
    let planted = project.refused(1, &["src/bottle.yaml"]);
    assert!(
        planted.contains(
            "  ! the agent reads and writes /etc of this machine, outside of the project, as /work\n"
        ),
        "{planted}"
    );
}

#[test]
fn a_home_of_its_own_is_in_the_first_question_and_the_usual_one_is_not() {
    let project = project();
    assert!(!project.refused(1, &[]).contains("home"));
    project.manifest("agent:\n", "agent:\n  home: /opt/agent\n");
    let first = project.refused(1, &[]);
    assert!(first.contains("/opt/agent"), "{first}");
}

/// Its container has what was agreed to when it was made.
#[test]
fn an_agent_that_runs_still_counts_as_one_that_writes() {
    let project = project();
    project.rendered(&[]);
    let writable = || {
        let registry = fs_err::read_to_string(project.root.join("state/bottle/bottles.json")).unwrap();
        let registry: serde_json::Value = serde_json::from_str(&registry).unwrap();
        registry["bottles"][0]["writable"].clone()
    };
    assert_eq!(writable(), serde_json::json!([project.dir()]));
    let running = r#"{"project": "p", "digest": "sha256:0", "started": "2026-11-24T00:00:00Z"}"#;
    fs_err::write(project.state().join("running.json"), running).unwrap();
    project.manifest("target: /work", "target: /work, read_only: true");
    project.rendered(&[]);
    assert_eq!(writable(), serde_json::json!([project.dir()]));
    fs_err::remove_file(project.state().join("running.json")).unwrap();
    project.rendered(&[]);
    assert_eq!(writable(), serde_json::json!([]));
}

/// What lies in the project is no proof of consent: an agent that commits a widened manifest together with the tree
/// that it renders to is asked about all the same.
#[test]
fn a_tree_that_was_committed_with_its_manifest_is_compared_with_what_was_agreed_to() {
    let project = project();
    project.rendered(&[]);
    let twin = self::project();
    twin.manifest("source: .,", "source: /etc,");
    twin.rendered(&[]);
    project.manifest("source: .,", "source: /etc,");
    for file in ["docker-compose.yml", "bottle.lock"] {
        project.write(&format!(".bottle/dev/{file}"), &twin.read(&format!(".bottle/dev/{file}")));
    }
    assert_eq!(
        project.render(&["--check"]).status.code(),
        Some(0),
        "the tree is what the manifest renders to"
    );
    let error = project.refused(1, &[]);
    assert!(error.contains("  ! the agent reads and writes /etc of this machine"), "{error}");
}

#[test]
fn a_digest_that_was_reviewed_is_accepted_and_no_other() {
    let project = project();
    let digest = project.digest();
    let wrong = digest.replace("sha256:", "sha256:0");
    let error = project.refused(1, &["--accept", &wrong]);
    assert_eq!(
        error,
        format!(
            "nothing was written: bottle.yaml comes to {digest}, and you accept {wrong}; `bottle render --check` \
             shows what it comes to\n"
        )
    );
    assert!(!project.dir().join(".bottle").exists());
    assert!(project.render(&["--accept", &digest]).status.success());
    project.manifest("[/v1]", "[/v1, /v2]");
    assert_eq!(project.render(&["--accept", &digest]).status.code(), Some(1), "it is another one by now");
    assert_eq!(project.render(&["--accept", &project.digest()]).status.code(), Some(0));
}

/// The agent can write the manifest's neighbours: what is found, and not named, must be a bottle's own.
#[test]
fn a_manifest_that_an_agent_could_have_planted_is_not_picked_up() {
    let project = project();
    project.rendered(&[]);
    fs_err::create_dir_all(project.dir().join("src/deep")).unwrap();
    project.write("src/bottle.yaml", MANIFEST);
    let render = |folder: &str, arguments: &[&str]| {
        project.command(arguments).current_dir(project.dir().join(folder)).output().unwrap()
    };
    for (folder, file) in [("src", "bottle.yaml"), ("src/deep", "../bottle.yaml")] {
        let output = render(folder, &["--accept-widening"]);
        assert_eq!(output.status.code(), Some(2));
        let wanted = format!(
            "error: {file} is not picked up: the agent of {}/bottle.yaml can write there",
            project.dir()
        );
        assert!(err(&output).starts_with(&wanted), "{}", err(&output));
    }
    // A folder that is named names none of its files.
    let wanted = "error: src/bottle.yaml is not picked up: the agent of";
    let output = render(".", &["src", "--accept-widening"]);
    assert!(err(&output).starts_with(wanted), "{}", err(&output));
    assert_eq!(render(".", &["src", "--check"]).status.code(), Some(1), "a look writes nothing");
    // Named and agreed to, it is a bottle of its own from then on.
    assert!(render("src", &["--accept-widening", "bottle.yaml"]).status.success());
    assert!(render("src/deep", &[]).status.success());
}

#[test]
fn two_manifests_of_one_name_do_not_take_each_others_place() {
    let project = project();
    project.write("two.bottle.yaml", MANIFEST);
    project.rendered(&[]);
    let error = project.refused(2, &["two.bottle.yaml", "--accept-widening"]);
    assert!(
        error.starts_with(&format!(
            "error: {0}/two.bottle.yaml and {0}/bottle.yaml both render into .bottle/dev: two bottles of one folder need \
             different names",
            project.dir()
        )),
        "{error}"
    );
}

/// The question is about files as well: what the image is built from.
#[test]
fn a_changed_build_context_shows_its_files_and_the_dockerfile_and_is_built_from_the_agreed_copy() {
    let project = project();
    project.manifest(
        "image: debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
        "build: {context: ./agent}\n",
    );
    fs_err::create_dir(project.dir().join("agent")).unwrap();
    project.write("agent/Dockerfile", "FROM a:1\n");
    project.write("agent/x", "1\n");
    project.rendered(&[]);
    let kept = || {
        let folder = project.state().join("context");
        let one = folder.read_dir_utf8().unwrap().next().unwrap().unwrap().into_path();
        fs_err::read_to_string(one.join("Dockerfile")).unwrap()
    };
    project.write("agent/Dockerfile", "FROM evil:1\n");
    project.write("agent/y", "2\n");
    let error = project.refused(1, &[]);
    for part in [
        "  + the agent's image is built from other files in `agent`, with an open network\n",
        "The files that its image is built from changed:\n",
        "Dockerfile",
        "y",
        "-FROM a:1\n+FROM evil:1\n",
    ] {
        assert!(error.contains(part), "{part:?} is not in\n{error}");
    }
    assert_eq!(kept(), "FROM a:1\n");
    project.rendered(&[]);
    assert_eq!(kept(), "FROM evil:1\n");
}

/// Hooks and settings of git run on the host, by whatever mount they are written.
#[test]
fn a_mount_of_a_part_of_a_repository_is_marked() {
    for (made, mount) in [
        (".git/hooks", "{source: ./.git, target: /g}"),
        (".git/hooks", "{source: ./.git/hooks, target: /h}"),
        ("sub/.git", "{source: ./sub, target: /s}"),
        ("bare/objects", "{source: ./bare, target: /b}"),
    ] {
        let project = project();
        fs_err::create_dir_all(project.dir().join(made)).unwrap();
        if made.starts_with("bare") {
            fs_err::create_dir(project.dir().join("bare/refs")).unwrap();
            project.write("bare/HEAD", "ref: refs/heads/main\n");
        }
        project.write("bottle.yaml", &MANIFEST.replace("{source: ., target: /work}", mount));
        let asked = project.refused(1, &[]);
        assert!(asked.contains("  ! the agent reads and writes `"), "{mount}: {asked}");
    }
}

/// What matters stands right above the question, however long what an agent put between them is.
#[test]
fn what_deserves_a_second_look_does_not_scroll_away() {
    let grave = "  ! the agent reads /etc of this machine, outside of the project, as /host\n";
    let project = project();
    fs_err::create_dir(project.dir().join("agent")).unwrap();
    let built = MANIFEST.replace(
        "image: debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "build: {context: ./agent}",
    );
    let long = MANIFEST.replace("mounts:", &format!("env: {{NOTE: {}}}\n  mounts:", "x".repeat(3000)));
    let mount = |n: i32| format!("{{source: ./absent-{n}, target: /absent/{n}, read_only: true}}");
    let absent: Vec<String> = (0..30).map(mount).collect();
    let absent = MANIFEST.replace("target: /work}", &format!("target: /work}}, {}", absent.join(", ")));
    for (old, new, notes, repeated) in [
        (MANIFEST, MANIFEST, String::new(), false),
        (MANIFEST, &long, String::new(), true),
        (&built, &built, "# note\n".repeat(40), true),
        (&built, &built, format!("#{}\n", "\tx".repeat(37)).repeat(7), true),
        (&absent, &absent, String::new(), true),
    ] {
        project.write("bottle.yaml", old);
        project.write("agent/Dockerfile", "FROM scratch\n");
        project.rendered(&[]);
        let own = "{source: ., target: /work}";
        let mounts = format!("{own}, {{source: /etc, target: /host, read_only: true}}");
        project.write("bottle.yaml", &new.replace(own, &mounts));
        project.write("agent/Dockerfile", &format!("FROM scratch\n{notes}"));
        let asked = project.refused(1, &[]);
        assert_eq!(asked.matches(grave).count(), if repeated { 2 } else { 1 }, "{asked}");
        let (_, last) = asked.split_once("That is long. Of its ").unwrap_or_default();
        assert_eq!(last.contains(&format!(" changes 1 are marked `!`:\n{grave}")), repeated, "{asked}");
    }
}

#[test]
fn several_manifests_of_a_folder_are_rendered_at_once() {
    let project = project();
    project.write("two.bottle.yaml", &MANIFEST.replace("name: dev", "name: two"));
    project.rendered(&["."]);
    assert!(
        project.dir().join(".bottle/dev/.env").exists() && project.dir().join(".bottle/two/.env").exists()
    );
    // Which digest is whose must be plain: `--accept` takes one of them.
    let checked = out(&project.render(&["--check", "."]));
    let lines: Vec<&str> = checked.lines().collect();
    let [one, two] = lines[..] else { panic!("{checked}") };
    assert_eq!(one, format!("digest {} ./bottle.yaml", project.digest()));
    assert!(two.ends_with(" ./two.bottle.yaml"), "{two}");
    project.write("three.bottle.yaml", MANIFEST);
    let error = project.refused(2, &["bottle.yaml", "two.bottle.yaml", "three.bottle.yaml"]);
    assert!(error.contains("bottle.yaml and three.bottle.yaml both render into"), "{error}");
}

#[test]
fn a_hand_edit_and_a_foreign_file_are_refused() {
    let project = project();
    project.rendered(&[]);
    let compose = project.read(".bottle/dev/docker-compose.yml");
    project.write(".bottle/dev/docker-compose.yml", &format!("{compose}# mine\n"));
    let error = project.refused(2, &[]);
    assert_eq!(
        error,
        "error[edited-by-hand]: .bottle/dev/docker-compose.yml was edited by hand; put the change into the manifest, or give it up \
         with `bottle render --force`\n"
    );
    let checked = project.render(&["--check"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(error.ends_with(&err(&checked)), "a render would not write it: {}", err(&checked));
    project.rendered(&["--force"]);
    assert_eq!(project.read(".bottle/dev/docker-compose.yml"), compose);
    project.write(".bottle/dev/compose.override.yaml", "services: {}\n");
    for arguments in [["--force"].as_slice(), &[]] {
        let error = project.refused(2, arguments);
        assert!(
            error.starts_with("error[edited-by-hand]: .bottle/dev/compose.override.yaml is not bottle's"),
            "{error}"
        );
    }
    assert_eq!(project.render(&["--check"]).status.code(), Some(1));
}

#[test]
fn a_planted_link_is_refused_and_not_followed() {
    let project = project();
    fs_err::create_dir(project.root.join("elsewhere")).unwrap();
    fs_err::os::unix::fs::symlink(project.root.join("elsewhere"), project.dir().join(".bottle")).unwrap();
    let error = project.refused(2, &[]);
    assert!(error.contains("/project/.bottle is a symbolic link, which bottle does not follow"), "{error}");
    assert_eq!(fs_err::read_dir(project.root.join("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_link_as_extra_ca_does_not_copy_another_file_into_the_tree() {
    let project = project();
    fs_err::write(project.root.join("secret"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    fs_err::os::unix::fs::symlink(project.root.join("secret"), project.dir().join("ca.pem")).unwrap();
    project.write("bottle.yaml", &format!("{MANIFEST}pipelock: {{extra_ca: ./ca.pem}}\n"));
    let error = project.refused(2, &[]);
    assert!(error.contains("/project/ca.pem is a symbolic link"), "{error}");
}

#[test]
fn a_token_in_env_is_refused_with_the_reason() {
    let project = project();
    project.rendered(&[]);
    let env = project.read(".bottle/dev/.env");
    project.write(".bottle/dev/.env", &format!("{env}API_TOKEN=planted-secret-value\n"));
    let error = project.refused(2, &[]);
    assert!(
        error.contains("/.bottle/dev/.env sets API_TOKEN: Compose would read it, and the agent can read"),
        "{error}"
    );
    assert!(!error.contains("planted-secret-value"));
}

#[test]
fn a_clone_is_asked_about_and_a_copied_env_counts_for_nothing() {
    let project = project();
    project.rendered(&[]);
    let clone =
        Command::new("cp").args(["-a", "project", "clone"]).current_dir(&project.root).status().unwrap();
    assert!(clone.success());
    let render = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.current_dir(project.root.join("clone")).output().unwrap()
    };
    assert!(err(&render(&[])).starts_with("You have not run this bottle here before."));
    let output = render(&["--accept-widening"]);
    assert!(output.status.success() && out(&output).contains("unchanged"), "{}", err(&output));
    let env = fs_err::read_to_string(project.root.join("clone/.bottle/dev/.env")).unwrap();
    assert_ne!(env, project.read(".bottle/dev/.env"));
    for line in ["COMPOSE_PROJECT_NAME", "BOTTLE_STATE", "BOTTLE_CA"] {
        let of = |text: &str| text.lines().find(|l| l.starts_with(line)).unwrap().to_owned();
        assert_ne!(of(&env), of(&project.read(".bottle/dev/.env")));
    }
}

#[test]
fn a_state_inside_the_project_or_a_mount_is_refused() {
    let project = project();
    for agreed in [&["--state", "keys", "--accept-widening"][..], &["--state", "keys"]] {
        let error = project.refused(2, agreed);
        assert!(error.contains("/project/keys holds private keys and lies inside"), "{error}");
        assert!(!error.contains("lets the agent"), "asked about what is refused anyway: {error}");
    }
    assert!(!project.dir().join("keys").exists());
    let mut command = project.command(&["--accept-widening"]);
    let output = command.env("XDG_STATE_HOME", project.dir().join("local")).output().unwrap();
    assert!(err(&output).contains("holds private keys and lies inside"), "{}", err(&output));
}

/// The registry, the agreed copies and the keys of every bottle decide about agents, wherever they lie.
#[test]
fn nothing_of_any_state_is_mounted_in_either_direction() {
    let project = project();
    let root = &project.root;
    project.rendered(&[]);
    let own = project.state();
    let mounts = |source: &Utf8Path| {
        let more = format!("target: /work}}, {{source: {source}, target: /more, read_only: true}}]");
        project.write("bottle.yaml", &MANIFEST.replace("target: /work}]", &more));
        project.refused(2, &["--accept-widening"])
    };
    let home = root.join("state/bottle");
    for part in [home.join("bottles.json"), own.join("image"), own, home.clone()] {
        let said = mounts(&part);
        assert!(said.contains(&format!("{part}")) && said.contains("private keys"), "{part}: {said}");
    }
    // The state of another bottle, which lies elsewhere.
    let data = root.join("data");
    fs_err::create_dir_all(root.join("b")).unwrap();
    fs_err::create_dir_all(data.join("in")).unwrap();
    let other = |arguments: &[&str]| {
        let text = MANIFEST.replace("name: dev", "name: other");
        fs_err::write(root.join("b/bottle.yaml"), text).unwrap();
        project.command(&[&["--accept-widening", "../b/bottle.yaml"], arguments].concat()).output().unwrap()
    };
    let state = data.join("state");
    let output = other(&["--state", state.as_str()]);
    assert!(output.status.success(), "{}", err(&output));
    let wanted =
        format!("the state {state} holds private keys and lies inside {data}, which the agent can read");
    let said = mounts(&data);
    assert!(said.contains(&wanted), "{said}");
    let said = mounts(&state.join("agreed"));
    assert!(
        said.contains(&format!("{state}/agreed, which the agent could read, lies inside {state}")),
        "{said}"
    );
    // The other way round: the mount is agreed to, and a state would be put there.
    let more = format!("target: /work}}, {{source: {data}/in, target: /more}}]");
    project.write("bottle.yaml", &MANIFEST.replace("target: /work}]", &more));
    project.rendered(&[]);
    fs_err::remove_dir_all(root.join("b/.bottle")).unwrap();
    let output = other(&["--state", data.join("in/state").as_str(), "--out", root.join("b/out").as_str()]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let wanted = format!(
        "error: the agent of {root}/project/bottle.yaml can read {data}/in, which overlaps the state {data}/in/state \
         with its private keys; name another folder with --state DIR, or take the mount out of that manifest and \
         render it\n"
    );
    assert!(err(&output).ends_with(&wanted), "{}", err(&output));
    assert!(!data.join("in/state").exists() && !root.join("b/out").exists());
}

#[test]
fn a_chosen_state_is_found_again_without_the_flag() {
    let project = project();
    let chosen = project.root.join("chosen");
    project.rendered(&["--state", chosen.as_str()]);
    let table = project.rendered(&[]);
    assert!(table.contains(&format!("  state       {chosen}\n")) && table.contains("  kept\n"), "{table}");
    let others: Vec<_> = project.root.join("state/bottle").read_dir_utf8().unwrap().collect();
    assert_eq!(others.len(), 2, "the registry and its lock alone: {others:?}");
}

#[test]
fn rotation_and_renewal_change_the_label_that_recreates_containers() {
    let project = project();
    project.rendered(&["--now", "2026-11-24"]);
    let first = project.read(".bottle/dev/.env");
    let table = project.rendered(&["--rotate-ca", "--now", "2026-11-25"]);
    assert!(table.contains("replaced; `bottle up` restarts what has the old one"), "{table}");
    let second = project.read(".bottle/dev/.env");
    assert_ne!(first, second);
    let table = project.rendered(&["--now", "2028-11-25"]);
    assert!(table.contains("renewed; `bottle up` restarts what has the old one"), "{table}");
    assert_ne!(project.read(".bottle/dev/.env"), second);
}

#[test]
fn a_binary_that_cannot_run_in_the_image_is_refused_before_anything_is_written() {
    let project = project();
    project.write("script", "#!/bin/sh\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
    command.current_dir(project.dir()).env("XDG_STATE_HOME", project.root.join("state"));
    let output = command.args(["render", "--image-binary", "script"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let wanted = "error: script can't run in the image: it is not a Linux program; give a static Linux build of bottle \
                  with --image-binary FILE\n";
    assert!(err(&output).ends_with(wanted), "{}", err(&output));
    assert!(!project.dir().join(".bottle").exists() && !project.root.join("state").exists());
}

#[test]
fn renders_at_once_all_succeed_and_leave_one_tree() {
    let project = project();
    let all: Vec<_> = (0..6)
        .map(|_| {
            project
                .command(&["--accept-widening"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
    }
    assert_eq!(project.render(&["--check"]).status.code(), Some(0));
    let label = project.read(".bottle/dev/.env");
    project.rendered(&[]);
    assert_eq!(project.read(".bottle/dev/.env"), label, "the label is that of the keys on disk");
}

/// Killed at many moments, then rendered once more: always whole.
#[test]
fn a_render_that_was_killed_is_completed_by_the_next_one() {
    let project = project();
    project.rendered(&[]);
    for round in 0..12_u64 {
        let paths = if round % 2 == 0 { "[/v1, /v2]" } else { "[/v1]" };
        project.write("bottle.yaml", &MANIFEST.replace("[/v1]", paths));
        let mut child = project
            .command(&["--accept-widening", "--rotate-ca"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 7)); // a moment to die at, not a wait for something
        child.kill().unwrap();
        child.wait().unwrap();
        project.rendered(&[]);
        assert_eq!(project.render(&["--check"]).status.code(), Some(0));
        let left: Vec<_> = snapshot(&project.dir()).into_iter().chain(snapshot(&project.state())).collect();
        assert!(left.iter().all(|(path, ..)| !path.as_str().contains(".bottle-staged-")), "{left:?}");
        let bundle = fs_err::read_to_string(project.state().join("trust/ca-bundle.pem")).unwrap();
        let ca = fs_err::read_to_string(project.state().join("egress-proxy/agent-ca.pem")).unwrap();
        assert!(bundle.ends_with(&ca), "the agent trusts the CA that egress-proxy has");
    }
}

#[test]
fn the_table_is_there_for_machines_too() {
    let project = project();
    let table: serde_json::Value = serde_json::from_str(&project.rendered(&["--format", "json"])).unwrap();
    assert_eq!(table["bottle"], "dev");
    assert_eq!(table["tokens"], serde_json::json!(["API_TOKEN"]));
    assert_eq!(table["hosts"][0]["credential"], "API_TOKEN");
    assert_eq!(table["authorities"]["agent"]["sha256"].as_str().unwrap().len(), 64);
}

/// Whoever can write a link on the way decides what is mounted, whichever bottle's agent that is.
#[test]
fn a_mount_goes_through_no_link_that_another_bottles_agent_can_make() {
    let project = project();
    project.rendered(&[]);
    let root = &project.root;
    let work = project.dir();
    fs_err::create_dir_all(root.join("data/cache")).unwrap();
    fs_err::os::unix::fs::symlink(root.join("data"), work.join("cur")).unwrap();
    fs_err::create_dir_all(root.join("b")).unwrap();
    let name = work.file_name().unwrap();
    let text = MANIFEST.replace("name: dev", "name: other").replace(
        "target: /work}]",
        &format!("target: /work}}, {{source: ../{name}/cur/cache, target: /c}}]"),
    );
    fs_err::write(root.join("b/bottle.yaml"), text).unwrap();
    let output = project.command(&["--accept-widening", "../b/bottle.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("error[mount-through-a-link]"), "{}", err(&output));
}

/// No record says who can write to a folder: an agent that runs may have a mount that its bottle has no more, and a link
/// that it makes there would be looked at now and mounted later. So a link is refused whoever made it, and the person
/// whose link it is reads what to write.
#[test]
fn a_mount_goes_through_no_link_at_all() {
    let project = project();
    let root = &project.root;
    fs_err::create_dir_all(root.join("data/cache")).unwrap();
    fs_err::create_dir(root.join("common")).unwrap();
    fs_err::os::unix::fs::symlink(root.join("data"), root.join("common/cache")).unwrap();
    fs_err::os::unix::fs::symlink("/nowhere", root.join("common/dead")).unwrap();
    for (source, link, leads_to, meant) in [
        (format!("{root}/common/cache"), "common/cache", format!("{root}/data"), format!("{root}/data")),
        (
            "../common/cache/cache".into(),
            "common/cache",
            format!("{root}/data"),
            format!("{root}/data/cache"),
        ),
    ] {
        let text = MANIFEST.replace(
            "target: /work}]",
            &format!("target: /work}}, {{source: {source}, target: /c, read_only: true}}]"),
        );
        project.write("bottle.yaml", &text);
        let said = err(&project.render(&["--accept-widening"]));
        let wanted = format!(
            "error[mount-through-a-link]: `{source}` goes through the link {root}/{link}, and bottle follows none\n"
        );
        assert!(said.starts_with(&wanted), "{said}");
        assert!(said.contains(&format!("it leads to {leads_to};")), "{said}");
        assert!(said.contains(&format!("write `source: {meant}`")), "{said}");
    }
    project.write("bottle.yaml", &MANIFEST.replace("source: .,", "source: ../common/dead,"));
    let said = err(&project.render(&["--accept-widening"]));
    assert!(said.contains("help: it leads nowhere; remove it\n"), "{said}");
}

/// The target is the tree's own: whoever renders again need not name it.
#[test]
fn a_tree_for_a_devcontainer_stays_one_until_it_is_rendered_for_another_target() {
    let project = project();
    let files = ["devcontainer.json", "attach.yml"].map(|name| project.dir().join(".bottle/dev").join(name));
    let are_there = || files.iter().all(|file| file.exists());
    project.rendered(&[]);
    assert!(files.iter().all(|file| !file.exists()));
    let compose = project.digest();
    // The agent can do nothing more, so nobody is asked.
    let output = project.render(&["--target", "devcontainer"]);
    assert!(output.status.success() && are_there(), "{}", err(&output));
    let devcontainer = project.digest();
    assert_ne!(devcontainer, compose);

    project.manifest("[/v1]", "[/v1, /v2]");
    project.rendered(&[]);
    assert!(are_there());
    assert_eq!(project.render(&["--check"]).status.code(), Some(0));
    assert_eq!(project.render(&["--check", "--target", "compose"]).status.code(), Some(1));

    // What somebody adds, for the host to run, is seen.
    let text = fs_err::read_to_string(&files[0]).unwrap();
    fs_err::write(&files[0], text.replacen('\n', "\n  \"initializeCommand\": \"id\",\n", 1)).unwrap();
    assert_eq!(project.render(&["--check"]).status.code(), Some(1));
    let refused = project.refused(2, &["--accept-widening"]);
    assert!(refused.contains("devcontainer.json"), "{refused}");
    project.rendered(&["--force"]);
    assert_eq!(fs_err::read_to_string(&files[0]).unwrap(), text);

    project.rendered(&["--target", "compose"]);
    assert!(files.iter().all(|file| !file.exists()));
}
