//! `docs/gitops.md`, played: a bare repository, clones of it, the pipeline script of `examples/gitops/` and real git.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

const PAGE: &str = include_str!("../../docs/gitops.md");
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gitops");

/// What stands for the forge and for the machines around it.
struct Site {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

/// A clone on a machine of its own.
struct Clone {
    top: Utf8PathBuf,
    root: Utf8PathBuf,
    state: Utf8PathBuf,
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }
}

fn manifest(name: &str) -> String {
    format!(
        "\
version: 1
name: {name}
agent:
  image: debian:12
  mounts: [{{source: ./work, target: /work}}]
egress_proxy:
  routes:
    - host: api.example
      path_allowlist: [/v1]
      methods: [GET]

      auth: {{scheme: Bearer, token_ref: API_TOKEN}}

egress:
  allowlist: [docs.example]
"
    )
}

/// The three bottles and their rendered trees.
const BOTTLES: [(&str, &str); 3] = [
    ("api/bottle.yaml", "api/.bottle/api"),
    ("bottle.yaml", ".bottle/dev"),
    ("docs/web.bottle.yaml", "docs/.bottle/web"),
];

impl Site {
    /// Three bottles on the branch `main`, whose trees the pipeline rendered and committed.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let site = Self { root, _dir: dir };
        // bottle with a small program for the image, so that no render copies the one of the tests.
        let mut elf = vec![0_u8; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
        fs::write(site.root.join("image"), elf).unwrap();
        let program = format!(
            "#!/bin/sh\nverb=$1; shift\n[ \"$verb\" != render ] || set -- --image-binary {}/image \"$@\"\n\
             exec {} \"$verb\" \"$@\"\n",
            site.root,
            env!("CARGO_BIN_EXE_bottle")
        );
        fs::write(site.root.join("bottle"), program).unwrap();
        fs::set_permissions(site.root.join("bottle"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let git = |arguments: &[&str]| {
            assert!(Command::new("git").args(arguments).current_dir(&site.root).status().unwrap().success());
        };
        git(&["init", "--quiet", "--bare", "--initial-branch=main", "origin.git"]);
        let first = site.clone_as("first");
        first.git(&["checkout", "--quiet", "-b", "main"]);
        for (file, tree) in BOTTLES {
            first.write(file, &manifest(Utf8Path::new(tree).file_name().unwrap()));
        }
        fs::create_dir(first.top.join("ci")).unwrap();
        fs::copy(format!("{FILES}/pipeline.sh"), first.top.join("ci/pipeline.sh")).unwrap();
        first.commit("first");
        first.git(&["push", "--quiet", "origin", "main"]);
        first.pipeline(&["commit", "main"]).ok();
        site
    }

    fn clone_as(&self, name: &str) -> Clone {
        let clone = Clone {
            top: self.root.join(name).join("repository"),
            root: self.root.clone(),
            state: self.root.join(name).join("state"),
        };
        fs::create_dir_all(&clone.top).unwrap();
        clone.git(&["clone", "--quiet", &format!("{}/origin.git", self.root), "."]);
        clone
    }
}

impl Clone {
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.top).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", &self.state).env("BOTTLE", self.root.join("bottle"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env_remove("API_TOKEN");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "n").env(format!("GIT_{who}_EMAIL"), "n@example.test");
        }
        command
    }

    fn run(command: &mut Command) -> Ran {
        let ran = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: ran.status.code(), out: text(ran.stdout), err: text(ran.stderr) }
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        Self::run(&mut self.command("git", arguments)).ok().out.trim().to_owned()
    }

    fn bottle(&self, arguments: &[&str]) -> Ran {
        Self::run(&mut self.command(self.root.join("bottle").as_str(), arguments))
    }

    fn pipeline(&self, arguments: &[&str]) -> Ran {
        Self::run(&mut self.command("ci/pipeline.sh", arguments))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.top.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.top.join(path)).unwrap()
    }

    #[track_caller]
    fn edit(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "{text}");
        self.write(path, &text.replace(old, new));
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    /// A branch with the change of a person, whose tree the pipeline rendered and committed.
    fn branch(&self, name: &str, file: &str, old: &str, new: &str) {
        self.git(&["checkout", "--quiet", "-b", name, "origin/main"]);
        self.edit(file, old, new);
        self.commit(name);
        self.git(&["push", "--quiet", "origin", name]);
        self.pipeline(&["commit", name]).ok();
        self.git(&["pull", "--quiet", "origin", name]);
    }
}

/// The digest of each manifest, as `check` prints them.
fn digests(printed: &str) -> Vec<(&str, &str)> {
    let of = |line: &'_ str| line.strip_prefix("digest ").map(str::len).map(|length| line.len() - length);
    let lines = printed.lines().filter_map(|line| of(line).map(|at| &line[at..]));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(digest, file)| (file, digest)).collect()
}

#[test]
fn a_pipeline_renders_checks_comments_and_commits_and_another_host_brings_it_up() {
    let site = Site::new();
    let author = site.clone_as("author");
    author.git(&["checkout", "--quiet", "-b", "wider"]);
    author.edit("api/bottle.yaml", "methods: [GET]", "methods: [GET, POST]");
    author.commit("the agent may post");
    author.git(&["push", "--quiet", "origin", "wider"]);

    let ci = site.clone_as("ci");
    ci.git(&["checkout", "--quiet", "wider"]);
    let said = ci.pipeline(&["check"]).ended(1);
    let missing = "api/.bottle/api is not what api/bottle.yaml renders to; `bottle render` writes it\n";
    assert!(said.err.contains(missing), "{}", said.err);
    ci.pipeline(&["commit", "wider"]).ok();
    assert_eq!(ci.git(&["status", "--porcelain", "--ignored"]), "", "the checkout is as it was");
    assert!(!ci.state.exists(), "nothing was agreed to on this machine");
    assert_eq!(ci.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count(), 1);
    ci.git(&["pull", "--quiet"]);
    let changed = ci.git(&["diff", "--name-only", "HEAD~1", "HEAD"]);
    assert_eq!(changed, "api/.bottle/api/docker-compose.yml\napi/.bottle/api/egress-proxy/routes.yaml");
    let checked = ci.pipeline(&["check"]).ok();
    let digests = digests(&checked.out);
    assert_eq!(digests.iter().map(|it| it.0).collect::<Vec<_>>(), BOTTLES.map(|it| it.0), "{}", checked.out);
    let again = ci.pipeline(&["commit", "wider"]).ok();
    assert_eq!(again.err.lines().last().unwrap(), "the rendered trees are committed already");

    let posted = site.root.join("posted");
    let review = ["review", "origin/main", "origin/wider", "../report"];
    let mut pipeline = ci.command("ci/pipeline.sh", &review);
    let reviewed = Clone::run(pipeline.env("COMMENT", format!("cat >{posted}"))).ended(1);
    assert!(reviewed.err.ends_with("who owns these bottles decides, not a pipeline\n"), "{}", reviewed.err);
    let comment = fs::read_to_string(&posted).unwrap();
    assert!(comment.starts_with("### bottle: agents can do more\n"), "{comment}");
    let line = "| `+` | `POST https://api.example/v1/** with API_TOKEN` |";
    assert!(comment.contains(line), "{comment}");
    assert!(!comment.contains("docs/web.bottle.yaml"), "what did not change is not in the way: {comment}");
    let annotations = ci.read("../report/annotations.txt");
    assert!(annotations.starts_with("::warning file=api/bottle.yaml,line=10,title="), "{annotations}");

    author.git(&["checkout", "--quiet", "main"]);
    author.git(&["fetch", "--quiet", "origin"]);
    author.git(&["merge", "--quiet", "--ff-only", "origin/main"]);
    author.git(&["merge", "--quiet", "--no-edit", "origin/wider"]);
    author.git(&["push", "--quiet", "origin", "main"]);
    let host = site.clone_as("host");
    for ((file, digest), (_, tree)) in digests.into_iter().zip(BOTTLES) {
        let unasked = host.bottle(&["render", file]).ended(1);
        assert!(unasked.err.contains(&format!("--accept {digest}\n")), "{}", unasked.err);
        assert!(!host.top.join(tree).join(".env").exists());
        host.bottle(&["render", "--accept", digest, file]).ok();
        assert!(host.read(&format!("{tree}/.env")).contains(host.state.as_str()), "the state is this host's");
    }
    host.bottle(&["render", "--accept", "sha256:0", "bottle.yaml"]).ended(1);
    assert_eq!(host.git(&["status", "--porcelain"]), "", "no committed byte is another one");
    if crate::examples::compose_is_here("the compose files of the second clone are not read by it") {
        for (_, tree) in BOTTLES {
            let file = format!("{tree}/docker-compose.yml");
            let config = host.command("docker", &["compose", "--file", &file, "config"]).output().unwrap();
            let text = String::from_utf8(config.stdout).unwrap();
            assert!(config.status.success() && text.contains(host.state.as_str()), "{text}");
        }
    }
}

#[test]
fn two_branches_that_changed_a_bottle_conflict_in_its_tree_and_render_resolves_that() {
    let site = Site::new();
    let author = site.clone_as("author");
    author.branch("one", "bottle.yaml", "methods: [GET]", "methods: [GET, PUT]");
    author.branch("two", "bottle.yaml", "[docs.example]", "[docs.example, two.example]");
    let merged = Clone::run(&mut author.command("git", &["merge", "one"])).ended(1);
    assert!(merged.out.contains("CONFLICT (content): Merge conflict in .bottle/dev/docker-compose.yml"));
    assert!(!merged.out.contains("Merge conflict in bottle.yaml"), "{}", merged.out);
    assert!(!author.read(".bottle/dev/docker-compose.yml").contains("<<<<<<<"), "a file stays whole");
    author.pipeline(&["check"]).ended(1);
    author.bottle(&["render", "--accept-widening", "bottle.yaml"]).ok();
    author.pipeline(&["check"]).ok();
    author.commit("merge one into two");
    // From where both left, and not from either: both lines are in the comment of what is merged.
    let reviewed = author.pipeline(&["review", "origin/main", "HEAD", "../report"]).ended(1);
    for line in
        ["+ PUT https://api.example/v1/** with API_TOKEN    ", "+ usual methods https://two.example/**    "]
    {
        assert!(reviewed.out.contains(line), "{}", reviewed.out);
    }
    assert!(!reviewed.out.contains("is not what the manifest renders to"), "{}", reviewed.out);
}

/// Git merges two trees without a conflict when no file of them is the same, and their sum can be no tree of any manifest.
#[test]
fn a_merge_without_a_conflict_is_checked_all_the_same() {
    let site = Site::new();
    let author = site.clone_as("author");
    author.git(&["checkout", "--quiet", "-b", "stale", "origin/main"]);
    author.edit("bottle.yaml", "methods: [GET]", "methods: [GET, PUT]");
    author.commit("without its tree");
    author.branch("two", "api/bottle.yaml", "[docs.example]", "[docs.example, two.example]");
    author.git(&["merge", "--quiet", "--no-edit", "stale"]);
    let said = author.pipeline(&["check"]).ended(1);
    assert!(
        said.err.contains(".bottle/dev is not what bottle.yaml renders to; `bottle render` writes it\n"),
        "{}",
        said.err
    );
    author.pipeline(&["review", "origin/main", "HEAD", "../report"]).ended(1);
    let comment = author.read("../report/comment.md");
    assert!(
        comment.contains("| `~` | ``HEAD:.bottle/dev is not rendered again yet, and has the rules of before"),
        "{comment}"
    );
}

#[test]
fn a_file_that_was_edited_by_hand_fails_every_part_of_the_pipeline_with_what_to_do() {
    let site = Site::new();
    let author = site.clone_as("author");
    author.git(&["checkout", "--quiet", "-b", "edited"]);
    author.edit(".bottle/dev/docker-compose.yml", "cap_drop: [ALL]", "privileged: true");
    author.commit("quickly");
    author.git(&["push", "--quiet", "origin", "edited"]);
    let sentence = ".bottle/dev/docker-compose.yml was edited by hand; put the change into the manifest, or give it \
                    up with `bottle render --force`\n";
    assert!(PAGE.contains(sentence), "{PAGE}");
    let checked = author.pipeline(&["check"]).ended(1);
    assert!(checked.err.contains(sentence), "{}", checked.err);
    assert!(!checked.err.contains("`bottle render` writes it"), "it would refuse to: {}", checked.err);
    let before = author.git(&["ls-remote", "origin", "edited"]);
    let committed = author.pipeline(&["commit", "edited"]).ended(2);
    assert!(committed.err.contains(sentence), "{}", committed.err);
    assert_eq!(author.git(&["ls-remote", "origin", "edited"]), before, "nothing is pushed");
    author.pipeline(&["review", "origin/main", "HEAD", "../report"]).ended(1);
    let comment = author.read("../report/comment.md");
    assert!(comment.contains("privileged: true"), "{comment}");
    author.bottle(&["render", "--force", "--accept-widening", "bottle.yaml"]).ok();
    assert_eq!(author.git(&["diff", "--stat", "origin/main"]), "");
}

#[test]
fn a_tool_upgrade_is_one_line_for_each_bottle_and_widens_nothing() {
    let site = Site::new();
    let author = site.clone_as("author");
    let now = format!("bottle: \"{}\"", env!("CARGO_PKG_VERSION"));
    // What an older version would have written: the lock alone is another one.
    for (_, tree) in BOTTLES {
        let lock = author.read(&format!("{tree}/bottle.lock"));
        let (_, body) = lock.split_once('\n').unwrap();
        assert!(body.contains(&now), "{body}");
        let before = bottle::render::checksum::seal(&body.replace(&now, "bottle: \"0.0.1\""));
        author.write(&format!("{tree}/bottle.lock"), &before);
    }
    author.commit("as an older version left it");
    author.git(&["push", "--quiet", "origin", "main"]);
    author.git(&["checkout", "--quiet", "-b", "upgrade"]);
    author.pipeline(&["check"]).ended(1);
    author.pipeline(&["commit", "upgrade"]).ok();
    author.git(&["fetch", "--quiet", "origin"]);
    let reviewed = author.pipeline(&["review", "origin/main", "origin/upgrade", "../report"]).ok();
    let signs: Vec<&str> =
        reviewed.out.lines().map(str::trim_start).filter(|line| line.starts_with("~ tool-only: ")).collect();
    assert_eq!(signs.len(), 3, "{}", reviewed.out);
    assert!(
        author.read("../report/comment.md").starts_with("### bottle: agents can do no more than before\n")
    );
}

#[test]
fn the_script_runs_a_program_only_with_the_digest_that_it_was_told() {
    let site = Site::new();
    let clone = site.clone_as("ci");
    let wanted = site.root.join("fetched");
    let fetch = |digest: &str| {
        let mut command = clone.command("ci/pipeline.sh", &["fetch"]);
        command.env("BOTTLE", &wanted).env("BOTTLE_URL", format!("file://{}/bottle", site.root));
        Clone::run(command.env("BOTTLE_SHA256", digest))
    };
    let refused = fetch(&"0".repeat(64)).ended(2);
    let (_, rest) = refused.err.split_once(" has the SHA-256 ").unwrap();
    let (digest, advice) = rest.split_at(64);
    assert!(advice.ends_with("put its digest there; else do not run it\n"), "{}", refused.err);
    assert!(fs::read_dir(&site.root).unwrap().all(|it| !it.unwrap().path().ends_with("fetched.new")));
    assert!(!wanted.exists());
    fetch(digest).ok();
    assert_eq!(fs::read(&wanted).unwrap(), fs::read(site.root.join("bottle")).unwrap());
}

#[test]
fn the_script_says_what_it_can_do_and_what_it_can_not() {
    let site = Site::new();
    let clone = site.clone_as("ci");
    for arguments in [&[][..], &["review", "main"], &["push"]] {
        let said = clone.pipeline(arguments).ended(2);
        assert!(said.err.starts_with("What a pipeline does") && said.err.contains("pipeline.sh check "));
    }
    let said = clone.pipeline(&["review", "nowhere", "HEAD", "../report"]).ended(2);
    assert!(said.err.contains("nowhere is not a revision of"), "{}", said.err);
    for (file, _) in BOTTLES {
        clone.git(&["rm", "--quiet", file]);
    }
    let said = clone.pipeline(&["check"]).ended(2);
    assert!(said.err.ends_with("add one, or take this job away\n"), "{}", said.err);
}

/// A forge takes no longer one, and nobody must think that the rest is harmless.
#[test]
fn a_comment_that_is_too_long_is_cut_and_begins_with_that() {
    let site = Site::new();
    let author = site.clone_as("author");
    let hosts: Vec<String> = (0..900).map(|i| format!("host-{i:03}.example")).collect();
    author.edit("bottle.yaml", "[docs.example]", &format!("[{}]", hosts.join(", ")));
    author.commit("many");
    author.pipeline(&["review", "origin/main", "HEAD", "../report"]).ended(1);
    let comment = author.read("../report/comment.md");
    assert!(comment.starts_with("**This comment is cut, and more may be newly allowed: "), "{comment}");
    assert!(comment.len() <= 61_000, "{}", comment.len());
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn example(name: &str) -> serde_json::Value {
    serde_yaml::from_str(&fs::read_to_string(format!("{FILES}/{name}")).unwrap()).unwrap()
}

#[test]
fn the_script_is_plain_shell() {
    let checked = Command::new("sh").args(["-n", &format!("{FILES}/pipeline.sh")]).status().unwrap();
    assert!(checked.success());
}

/// What keeps a stranger's pull request from a secret and from a token that writes.
#[test]
fn the_workflows_treat_a_pull_request_as_hostile() {
    for forge in ["github", "forgejo"] {
        let own = example(&format!("{forge}-actions.yml"));
        let review = example(&format!("{forge}-actions-review.yml"));
        assert_eq!(review["on"], "pull_request_target", "{forge}");
        assert!(own["on"].get("pull_request_target").is_none(), "{forge}");
        let names = |workflow: &serde_json::Value| {
            let jobs = workflow["jobs"].as_object().unwrap();
            jobs.keys().cloned().collect::<Vec<_>>()
        };
        // A job that another event skips would pass as the check of that name.
        assert_eq!((names(&own), names(&review)), (words("check commit"), words("review comment widen")));
        assert!(own["jobs"]["commit"]["if"].as_str().unwrap().contains("workflow_dispatch"), "{forge}");
        let base = &review["jobs"]["review"]["steps"][0]["with"]["ref"];
        assert_eq!(base, "${{ github.event.pull_request.base.sha }}", "{forge}");
        for (name, job) in [&own, &review].into_iter().flat_map(|it| it["jobs"].as_object().unwrap()) {
            let text = serde_json::to_string(job).unwrap();
            let has_token = text.contains("secrets.") || text.contains("github.token");
            assert_eq!(has_token, name == "comment", "{forge} {name}");
            if name == "comment" {
                assert!(
                    !text.contains("uses") && !text.contains("pipeline.sh"),
                    "it posts, and nothing else"
                );
            }
            if forge == "github" {
                assert_eq!(
                    (&own["permissions"], &review["permissions"]),
                    (&serde_json::json!({}), &serde_json::json!({}))
                );
                let writes = text.contains("\":\"write\"");
                assert_eq!(writes, ["comment", "commit"].contains(&name.as_str()), "{name}");
            }
            for step in job["steps"].as_array().unwrap() {
                if let Some(action) = step["uses"].as_str() {
                    assert_eq!(step["with"]["fetch-depth"], 0, "{forge} {name}");
                    let (_, pin) = action.split_once('@').unwrap();
                    assert_eq!(pin.len(), 40, "{forge} {name}: {action}");
                }
                // What an event says is given as a variable: in the text of a script it would be run.
                assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "{forge} {name}");
            }
        }
    }
    let gitlab = example("gitlab-ci.yml");
    assert_eq!(gitlab["variables"]["GIT_DEPTH"], "0");
    for job in ["bottle-comment", "bottle-commit"] {
        let rules = serde_json::to_string(&gitlab[job]["rules"]).unwrap();
        assert!(!rules.contains("merge_request_event"), "{job}: {rules}");
    }
    for job in ["bottle-check", "bottle-review"] {
        assert!(!serde_json::to_string(&gitlab[job]).unwrap().contains("TOKEN"), "{job}");
    }
}

/// The steps of the job that counts, on a pull request that brought a script, attributes and a wider bottle.
#[test]
fn the_review_job_of_a_workflow_says_what_is_new_and_runs_nothing_of_the_pull_request() {
    let site = Site::new();
    let stranger = site.clone_as("stranger");
    stranger.edit("bottle.yaml", "[docs.example]", "[docs.example, drop.example]");
    stranger.write("ci/pipeline.sh", &format!("#!/bin/sh\ntouch {}/planted\n", site.root));
    stranger.write(".gitattributes", "* filter=planted diff=planted merge=planted\n");
    stranger.commit("harmless");
    stranger.git(&["push", "--quiet", "origin", "HEAD:refs/pull/1/head"]);
    for forge in ["github", "forgejo"] {
        let runner = site.clone_as(forge);
        let outputs = site.root.join(format!("{forge}-outputs"));
        let workflow = example(&format!("{forge}-actions-review.yml"));
        for step in workflow["jobs"]["review"]["steps"].as_array().unwrap() {
            let Some(script) = step["run"].as_str().filter(|it| *it != "ci/pipeline.sh fetch") else {
                continue;
            };
            let mut command = runner.command("sh", &["-e", "-c", script]);
            for (name, value) in step["env"].as_object().unwrap() {
                let value = match value.as_str().unwrap() {
                    "${{ github.event.pull_request.number }}" => "1".to_owned(),
                    "${{ github.event.pull_request.base.sha }}" => runner.git(&["rev-parse", "HEAD"]),
                    "${{ github.event.pull_request.head.sha }}" => stranger.git(&["rev-parse", "HEAD"]),
                    other => panic!("{other}"),
                };
                command.env(name, value);
            }
            command.env("GITHUB_OUTPUT", &outputs).env("RUNNER_TEMP", site.root.join(forge));
            Clone::run(&mut command).ok();
        }
        let written = fs::read_to_string(&outputs).unwrap();
        let value = |name: &str| written.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!((value("status="), written.lines().count()), ("1", 2), "{forge}: {written}");
        let comment = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, value("comment=")).unwrap();
        let comment = String::from_utf8(comment).unwrap();
        assert!(comment.contains("| `+` | `usual methods https://drop.example/**` |"), "{comment}");
        assert_eq!(runner.git(&["status", "--porcelain"]), "", "{forge}: nothing was checked out");
        assert!(!site.root.join("planted").exists(), "{forge}");
        let gate = workflow["jobs"]["widen"]["steps"][0]["run"].as_str().unwrap();
        for (status, code) in [("0", 0), ("1", 1), ("", 1)] {
            Clone::run(runner.command("sh", &["-e", "-c", gate]).env("STATUS", status)).ended(code);
        }
    }
}

#[test]
fn every_call_of_the_script_is_one_that_it_takes() {
    let call = regex::Regex::new(r#"pipeline\.sh ([a-z]+)((?: "[^"]*"| [\w/.-]+)*)"#).unwrap();
    for (file, used) in [
        ("github-actions.yml", "check commit fetch"),
        ("github-actions-review.yml", "fetch review"),
        ("forgejo-actions.yml", "check commit fetch"),
        ("forgejo-actions-review.yml", "fetch review"),
        ("gitlab-ci.yml", "check commit fetch review"),
    ] {
        let text = fs::read_to_string(format!("{FILES}/{file}")).unwrap();
        let mut verbs = Vec::new();
        for called in call.captures_iter(&text) {
            let wanted = match &called[1] {
                "fetch" | "check" => 0,
                "commit" => 1,
                "review" => 3,
                other => panic!("{file}: {other}"),
            };
            assert_eq!(called[2].split_whitespace().count(), wanted, "{file}: {}", &called[0]);
            verbs.push(called[1].to_owned());
        }
        verbs.sort();
        verbs.dedup();
        assert_eq!(verbs, words(used), "{file}");
    }
}

#[test]
fn the_hook_runs_where_a_manifest_or_a_tree_changes() {
    let definition = &example("pre-commit-hooks.yaml")[0];
    let used = &example("pre-commit-config.yaml")["repos"][0]["hooks"][0];
    for key in ["id", "name", "entry", "language", "files", "pass_filenames"] {
        assert_eq!(definition[key], used[key], "{key}");
    }
    let files = regex::Regex::new(used["files"].as_str().unwrap()).unwrap();
    for (path, wanted) in [
        ("bottle.yaml", true),
        ("docs/web.bottle.yaml", true),
        ("api/.bottle/api/docker-compose.yml", true),
        ("bottle.yaml.md", false),
        ("src/mybottle.yaml", false),
        ("api/bottle/x", false),
    ] {
        assert_eq!(files.is_match(path), wanted, "{path}");
    }
    // In a repository whose manifests lie in the folders that it names.
    let site = Site::new();
    let clone = site.clone_as("author");
    let arguments = used["args"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    let entry = used["entry"].as_str().unwrap().strip_prefix("bottle ").unwrap().split(' ');
    let line: Vec<&str> = entry.chain(arguments).collect();
    clone.bottle(&line).ok();
    clone.edit("docs/web.bottle.yaml", "methods: [GET]", "methods: [GET, PUT]");
    clone.bottle(&line).ended(1);
}

/// The lines of an audit log lead to the commit whose rules decided them.
#[test]
fn an_audit_line_is_tied_to_the_commit_whose_tree_has_its_rules() {
    let site = Site::new();
    let clone = site.clone_as("auditor");
    let hash = |names: &[&str]| {
        let bytes: Vec<u8> = names
            .iter()
            .flat_map(|name| fs::read(clone.top.join(".bottle/dev").join(name)).unwrap())
            .collect();
        bottle::render::checksum::hex_digest(&bytes)
    };
    let hashes =
        || (hash(&["egress-proxy/routes.yaml"]), hash(&["pipelock/pipelock.yaml", "pipelock/embedded.yaml"]));
    let (routes, pipelock) = hashes();
    let rendered = clone.git(&["rev-parse", "--short=12", "HEAD"]);
    let subject = clone.git(&["log", "-1", "--format=%s"]);
    clone.edit("bottle.yaml", "/v1", "/v2");
    clone.bottle(&["render", "--accept-widening"]).ok();
    let (uncommitted, _) = hashes();

    let egress = |config: &str, time: &str| {
        format!(
            r#"{{"time":"{time}","event":"deny","request":"a","bottle":"dev","config":"{config}","connection":1,"verdict":"deny","decided_by":"egress-proxy","request_bytes":0,"response_bytes":0,"complete":true,"duration_ms":1}}"#
        )
    };
    let nowhere = "f".repeat(64);
    let blocked = format!(
        r#"{{"level":"warn","time":"2026-11-25T10:00:00Z","component":"pipelock","config":"{pipelock}","event":"blocked"}}"#
    );
    let start = r#"{"level":"info","time":"2026-11-25T10:00:00Z","component":"pipelock","event":"startup"}"#;
    let lines = [
        egress(&routes, "2026-11-25T10:00:00Z"),
        egress(&routes, "2026-11-25T09:00:00Z"),
        blocked,
        start.to_owned(),
    ];
    let known = clone.root.join("known.jsonl");
    fs::write(&known, lines.join("\n") + "\n").unwrap();
    let ran = clone.bottle(&["verify", "bottle.yaml", "--audit", known.as_str()]).ok();
    let expected =
        format!("{}  egress-proxy  2 lines  2026-11-25 09:00:00 to 2026-11-25 10:00:00 UTC\n", &routes[..12]);
    assert!(ran.out.contains(&expected), "{}", ran.out);
    assert!(ran.out.contains(&format!("{}  pipelock  1 line  ", &pipelock[..12])), "{}", ran.out);
    assert_eq!(ran.out.matches(&format!("    commit {rendered}  ")).count(), 2, "{}", ran.out);
    assert_eq!(ran.out.matches(&format!("UTC  {subject}; HEAD has it\n")).count(), 2, "{}", ran.out);
    assert_eq!(ran.err, "note: decided by no config (a start, a reload, a stop): 1\n");

    // Rules that nobody committed are told from rules that nobody here has ever seen.
    let unknown = clone.root.join("unknown.jsonl");
    let now = "2026-11-26T10:00:00Z";
    fs::write(&unknown, format!("{}\n{}\n{{\"torn", egress(&uncommitted, now), egress(&nowhere, now)))
        .unwrap();
    let ran = clone.bottle(&["verify", "bottle.yaml", "--audit", unknown.as_str()]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("no commit has it: it is the tree on the disk, which is not committed\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains(
            "no commit that HEAD comes from has it: it was never committed, or on another branch\n"
        )
    );
    assert!(ran.err.contains("note: not a record, and passed over: 1\n"), "{}", ran.err);
    let ran = clone.bottle(&["verify", "bottle.yaml", "--audit", known.as_str(), "--format", "json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["configs"][0]["commit"]["subject"], subject.as_str(), "{}", ran.out);
    assert_eq!(json["configs"].as_array().unwrap().len(), 2);
}
