//! `bottle up`, `run`, `down`, `logs` and `reload` as black boxes, with a `docker` that writes down what it is asked:
//! which commands in which order, with what environment, and what happens when one fails.

use camino::{Utf8Path, Utf8PathBuf};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

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
      auth: {scheme: Bearer, token_ref: API_TOKEN}
";

/// Logs its arguments and what it sees of the environment; fails or answers as the test told it to, and swaps what is
/// mounted in the moment in which the agent starts.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in
  *" ps --all "*) echo "${PROXY-egress-proxy running healthy}"; exit 0 ;;
  *" config --hash "*) for it in netns gate pipelock egress-proxy home agent; do echo "$it ${HASH-0}"; done; exit 0 ;;
  "create "*) echo made; exit 0 ;;
  "cp made:"* | "cp --follow-link made:"*) echo "Could not find the file" >&2; exit 1 ;;
  "inspect --format {{json .Config.Volumes}} made") echo null; exit 0 ;;
  "rm --volumes made" | "volume ls "*) exit 0 ;;
  "network inspect "*) echo "$NETWORK"; exit 0 ;;
  "wait "*) echo "${HOME_CODE-0}"; exit 0 ;;
  "ps --all --quiet --filter label=bottle.look "*) exit 0 ;;
  "ps --all --quiet "*) echo "$CONTAINERS"; exit 0 ;;
  "inspect "*) cat "$DIR/containers"; exit 0 ;;
  "image inspect --format {{.Id}} "*":local") cat "$DIR/built" 2>/dev/null; exit ;;
  "image inspect --format {{.Id}} debian:12" | "image inspect --format {{.Id}} x") exit ${NO_IMAGE-0} ;;
esac
echo "$*" >> "$DIR/asked"
env | grep -E '^(COMPOSE_|BOTTLE_|BUILDX_|API_TOKEN)' >> "$DIR/environment"
case "$*" in
  *" up -d --no-build agent" | *" run --rm "*) eval "$SWAP" ;;
esac
case "$*" in
  *" run --help") echo "      --pull string  Pull image before running" ;;
  "ps --all --filter label=bottle.name "*) cat "$DIR/started" 2>/dev/null ;;
  *" ps "*"--services") printf '%s\n' ${RUNNING-netns gate pipelock egress-proxy agent} ;;
  *" logs "*) cat "$DIR/log" ;;
  "info "*) echo runc ;;
  *" build --quiet netns") [ -n "$NOWHERE" ] || echo sha256:1 > "$DIR/built"; echo "chatter on stdout" ;;
  "image rm "*":local") rm -f "$DIR/built" ;;
  *) echo "chatter on stdout" ;;
esac
if [ -n "$FAILS" ]; then
  case "$*" in *"$FAILS"*) exit "${WITH:-1}" ;; esac
fi
exit 0
"#;

/// What `docker inspect` says of a container that does not run.
fn ended(service: &str, code: i32, hash: &str) -> String {
    format!(
        r#""id" "p" 0 "{service}" "False" "exited" {code} {{"NetworkMode":"none"}} {{}} "{hash}" "/p-{service}-1" [] """#
    )
}

struct Stack {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

fn stack(manifest: &str) -> Stack {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    for folder in ["project", "bin"] {
        fs_err::create_dir(root.join(folder)).unwrap();
    }
    let mut elf = vec![0_u8; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
    fs_err::write(root.join("image-binary"), elf).unwrap();
    fs_err::write(root.join("project/bottle.yaml"), manifest).unwrap();
    fs_err::write(root.join("bin/docker"), DOCKER).unwrap();
    fs_err::set_permissions(root.join("bin/docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
    Stack { root, _dir: dir }
}

fn rendered() -> Stack {
    let stack = stack(MANIFEST);
    stack.render(&[]);
    stack
}

impl Stack {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        let path = format!("{}:{}", self.root.join("bin"), std::env::var("PATH").unwrap());
        command.current_dir(self.root.join("project")).env("PATH", path).env("DIR", &self.root);
        command.env("XDG_STATE_HOME", self.root.join("state")).stdin(Stdio::null()).args(arguments);
        command
    }

    fn render(&self, arguments: &[&str]) {
        let image = self.root.join("image-binary");
        let output = self
            .command(&["render", "--accept-widening", "--image-binary", image.as_str()])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", err(&output));
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What docker was asked, without what every command begins with.
    fn asked(&self) -> Vec<String> {
        let Ok(text) = fs_err::read_to_string(self.root.join("asked")) else { return Vec::new() };
        let start = self.start();
        text.lines().map(|line| line.strip_prefix(&start).unwrap_or(line).to_owned()).collect()
    }

    /// What every command of Compose's begins with: the agreed copy, and nothing that lies in the project.
    fn start(&self) -> String {
        let out = self.root.join("project/.bottle/dev");
        let (project, state) = (self.project(), self.state());
        format!(
            "compose --project-name {project} --project-directory {out} --env-file {state}/.env \
             -f {state}/agreed/docker-compose.yml "
        )
    }

    fn env(&self, name: &str) -> String {
        let env = fs_err::read_to_string(self.root.join("project/.bottle/dev/.env")).unwrap();
        let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap().to_owned()
    }

    fn project(&self) -> String {
        self.env("COMPOSE_PROJECT_NAME")
    }

    fn state(&self) -> String {
        self.env("BOTTLE_STATE")
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", err(output));
    err(output).lines().find(|line| line.starts_with("error")).unwrap_or_default().to_owned()
}

#[test]
fn up_names_the_tokens_that_a_new_proxy_would_lack() {
    let stack = rendered();
    let up = |proxy: &str, token: Option<&str>, arguments: &[&str]| {
        let mut command = stack.command(arguments);
        command.env("PROXY", proxy).env_remove("API_TOKEN").envs(token.map(|value| ("API_TOKEN", value)));
        command.output().unwrap()
    };
    let takes = "  egress-proxy takes tokens from the environment that starts the stack (export API_TOKEN=…), from \
                 --env-file FILE, or from what ~/.config/bottle/config.yaml names\n";
    for (proxy, arguments) in [
        ("", &["up"][..]),
        ("egress-proxy created ", &["up"]),
        ("egress-proxy restarting ", &["run"]),
        ("egress-proxy running starting", &["up"]),
        ("egress-proxy running healthy", &["up", "--rotate"]),
    ] {
        for (value, problem) in [
            (None, " is not set"),
            (Some(""), ", from the environment, is empty"),
            (
                Some("one\ntwo"),
                ", from the environment, has several lines; a token is one line of visible characters",
            ),
        ] {
            let output = up(proxy, value, arguments);
            assert_eq!(output.status.code(), Some(2), "{proxy}");
            assert_eq!(err(&output), format!("error[missing-token]: API_TOKEN{problem}\n{takes}"), "{proxy}");
        }
    }
    assert_eq!(stack.asked(), [] as [&str; 0]);
    assert!(up("egress-proxy exited ", None, &["up"]).status.success(), "a stopped proxy has its tokens");
}

/// Another terminal without the token must not cut a running agent off.
#[test]
fn a_proxy_that_would_be_made_again_needs_its_tokens_before_anything_stops() {
    let stack = rendered();
    fs_err::write(stack.root.join("containers"), ended("egress-proxy", 0, "old") + "\n").unwrap();
    let mut command = stack.command(&["run", "--", "true"]);
    command.env_remove("API_TOKEN").env("CONTAINERS", "id").env("HASH", "new");
    assert_eq!(
        refused(&command.output().unwrap()),
        "error[missing-token]: egress-proxy would be made again, since what you agreed to by now differs from what it was made of: \
         API_TOKEN is not set"
    );
    assert_eq!(stack.asked(), [] as [&str; 0]);
    let same = command.env("HASH", "old").output().unwrap();
    assert!(same.status.success(), "{}", err(&same));
}

#[test]
fn up_replaces_a_proxy_that_was_made_without_its_tokens() {
    let stack = rendered();
    for proxy in ["egress-proxy created ", "egress-proxy restarting ", "egress-proxy running starting"] {
        let mut command = stack.command(&["up"]);
        assert!(command.env("PROXY", proxy).env("API_TOKEN", "x").output().unwrap().status.success());
        let asked = stack.asked();
        assert_eq!(asked[0], "rm --force --stop egress-proxy");
        assert_eq!(asked[2], "up -d --wait --wait-timeout 120 --no-build netns gate pipelock egress-proxy");
        fs_err::remove_file(stack.root.join("asked")).unwrap();
        fs_err::remove_file(stack.root.join("built")).unwrap();
    }
}

#[test]
fn up_waits_for_the_infrastructure_then_starts_the_agent_then_looks_at_it() {
    let stack = rendered();
    let output = stack.run(&["up"]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(
        stack.asked(),
        [
            "build --quiet netns",
            "up -d --wait --wait-timeout 120 --no-build netns gate pipelock egress-proxy",
            "up -d --no-build agent"
        ]
    );
    let printed = format!("$ docker {}up -d --no-build agent\n", stack.start());
    assert!(err(&output).contains(&printed), "{}", err(&output));
}

#[test]
fn the_callers_environment_can_not_lead_compose_elsewhere() {
    let stack = rendered();
    let mut command = stack.command(&["up"]);
    for name in [
        "COMPOSE_FILE",
        "COMPOSE_PROJECT_NAME",
        "COMPOSE_PROFILES",
        "COMPOSE_ENV_FILES",
        "BOTTLE_STATE",
        "BOTTLE_CA",
        "BOTTLE_USER",
    ] {
        command.env(name, "elsewhere");
    }
    assert!(command.env("API_TOKEN", "the-token").status().unwrap().success());
    let seen = fs_err::read_to_string(stack.root.join("environment")).unwrap();
    assert!(!seen.contains("elsewhere"), "{seen}");
    assert!(seen.contains("API_TOKEN=the-token"), "tokens come from the environment: {seen}");
    // What git runs in a build context is up to the context.
    assert!(
        seen.lines().all(|line| line != "BUILDX_GIT_INFO=true") && seen.contains("BUILDX_GIT_INFO=false")
    );
}

#[test]
fn up_with_new_tokens_recreates_egress_proxy_first() {
    let stack = rendered();
    assert!(stack.command(&["up", "--rotate"]).env("API_TOKEN", "new").status().unwrap().success());
    assert_eq!(
        stack.asked()[..2],
        ["build --quiet netns", "up -d --wait --no-build --force-recreate --no-deps egress-proxy"]
    );
}

/// Nobody asks for the agent of `bottle up` where only those of `bottle run` are there.
#[test]
fn new_tokens_start_no_agent_beside_the_sessions() {
    let stack = rendered();
    let session = ended("agent", 0, "x").replace("\"False\" \"exited\"", "\"True\" \"running\"");
    fs_err::write(stack.root.join("containers"), session + "\n").unwrap();
    let rotated =
        stack.command(&["up", "--rotate"]).env("CONTAINERS", "id").env("API_TOKEN", "new").output().unwrap();
    assert!(rotated.status.success(), "{}", err(&rotated));
    let said = "egress-proxy has the tokens of now; the agents of `bottle run` go on\n";
    assert!(err(&rotated).ends_with(said), "{}", err(&rotated));
    let asked = stack.asked();
    assert!(asked.iter().any(|it| it.ends_with("--no-deps egress-proxy")), "{asked:?}");
    assert!(!asked.iter().any(|it| it == "up -d --no-build agent"), "{asked:?}");
}

/// Compose takes turns with nobody: two at once would remove each other's containers.
#[test]
fn a_start_waits_for_the_one_before_it() {
    let stack = rendered();
    let folder = Utf8PathBuf::from(stack.state()).join("starting");
    fs_err::create_dir(&folder).unwrap();
    let lock = fs_err::File::create(folder.join("lock")).unwrap();
    lock.file().lock().unwrap();
    let mut up = stack.command(&["up"]);
    let mut up = up.env("API_TOKEN", "x").stderr(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(up.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(line, "another bottle command starts something of this stack; waiting for its end\n");
    assert!(!stack.asked().iter().any(|it| it.starts_with("up ")), "{:?}", stack.asked());
    drop(lock);
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    assert!(up.wait().unwrap().success());
    assert!(stack.asked().iter().any(|it| it == "up -d --no-build agent"), "{:?}", stack.asked());
}

#[test]
fn a_bottle_without_routes_has_no_egress_proxy_to_wait_for() {
    let stack = stack("version: 1\nname: dev\nagent: {image: x}\negress: {allowlist: [a.example]}\n");
    stack.render(&[]);
    assert!(stack.run(&["up"]).status.success());
    assert_eq!(stack.asked()[1], "up -d --wait --wait-timeout 120 --no-build netns gate pipelock");
    let error = refused(&stack.run(&["up", "--rotate"]));
    assert!(error.contains("a bottle without routes has no egress-proxy and no tokens"), "{error}");
}

/// A command that ends is said as that, and as nothing else.
#[test]
fn an_agent_whose_command_has_ended_is_said_with_its_exit_code_and_last_words() {
    let stack = rendered();
    fs_err::write(stack.root.join("containers"), ended("agent", 3, "x") + "\n").unwrap();
    fs_err::write(stack.root.join("log"), "no such model\n").unwrap();
    let output = stack
        .command(&["up"])
        .env("CONTAINERS", "id")
        .env("HASH", "x")
        .env("API_TOKEN", "x")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let said = "note: the agent's command has ended: the image's command, with exit code 3; `bottle run` starts it on \
                this terminal\nthe last that it said:\n    no such model\n";
    assert!(err(&output).ends_with(said), "{}", err(&output));
}

#[test]
fn a_failing_compose_is_an_error_and_the_agent_is_not_started() {
    let stack = rendered();
    fs_err::write(stack.root.join("log"), "routes.yaml: line 3: unknown key\n").unwrap();
    let mut up = stack.command(&["up"]);
    up.envs([("FAILS", "--wait"), ("PROXY", "egress-proxy running unhealthy"), ("API_TOKEN", "x")]);
    let output = up.output().unwrap();
    let wanted = "error[docker-failed]: docker compose up failed (exit status: 1); all that it said is in ";
    assert!(refused(&output).starts_with(wanted), "{}", err(&output));
    let said =
        "egress-proxy is running unhealthy; the last that it said:\n    routes.yaml: line 3: unknown key\n";
    assert!(err(&output).contains(said), "{}", err(&output));
    assert!(!stack.asked().iter().any(|asked| asked.ends_with(" agent")), "{:?}", stack.asked());
}

#[test]
fn what_is_not_rendered_here_is_not_started() {
    let stack = stack(MANIFEST);
    assert_eq!(
        refused(&stack.run(&["up"])),
        "error[not-rendered]: ./.bottle/dev is not rendered on this machine by you; run `bottle render`, which shows what it allows \
         and asks"
    );
    assert!(stack.asked().is_empty());
}

/// Whatever lies in the project, the agreed copy is what starts, or nothing does.
#[test]
fn a_tree_in_the_project_that_is_not_the_agreed_one_is_refused_with_the_difference() {
    let stack = rendered();
    let folder = stack.root.join("project/.bottle/dev");
    let compose = folder.join("docker-compose.yml");
    let agreed = fs_err::read_to_string(&compose).unwrap();
    let refusal = |stack: &Stack| {
        let output = stack.run(&["up"]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        err(&output)
    };
    // Resealed by somebody who knows how: the checksum has no key.
    let evil = agreed.replace("    cap_drop: [ALL]\n", "    privileged: true\n");
    fs_err::write(&compose, &evil).unwrap();
    let said = refusal(&stack);
    for part in [
        "error[not-as-agreed]: .bottle/dev is not what you agreed to:\n",
        "  ! docker-compose.yml says what this version of bottle does not render (`+`: what it says, `-`: what would be \
         rendered):\n",
        "    +    privileged: true\n",
        "  docker-compose.yml differs\n",
        "`bottle render` writes what bottle.yaml renders to, and asks about what is new",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    fs_err::write(&compose, &agreed).unwrap();
    fs_err::write(folder.join("compose.override.yaml"), "services: {}\n").unwrap();
    assert!(refusal(&stack).contains("  compose.override.yaml is one more\n"));
    fs_err::remove_dir_all(&folder).unwrap();
    assert!(refusal(&stack).contains("  it is not there\n"));
    assert!(stack.asked().is_empty());
}

/// A tree that this version would render, with its checksum right: the difference is said as what the agent could do.
#[test]
fn a_tree_that_another_manifest_renders_to_is_refused_as_what_it_would_let_the_agent_do() {
    let (stack, other) = (rendered(), stack(&MANIFEST.replace("source: .,", "source: /etc,")));
    other.render(&[]);
    let compose = "project/.bottle/dev/docker-compose.yml";
    fs_err::copy(other.root.join(compose), stack.root.join(compose)).unwrap();
    let output = stack.run(&["up"]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains(
            "  ! the agent reads and writes /etc of this machine, outside of the project, as /work (before: `.`, writable)\n"
        ),
        "{said}"
    );
    assert!(stack.asked().is_empty());
}

#[test]
fn a_copied_env_counts_for_nothing_and_a_lost_state_is_said() {
    let stack = rendered();
    let (file, project) = (stack.root.join("project/.bottle/dev/.env"), stack.project());
    let env = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, "COMPOSE_PROJECT_NAME=bottle-dev-zzzzzz\nBOTTLE_STATE=/\nBOTTLE_USER=0\n").unwrap();
    assert!(stack.run(&["up"]).status.success());
    let asked = fs_err::read_to_string(stack.root.join("asked")).unwrap();
    assert!(
        asked.lines().all(|line| line.starts_with(&format!("compose --project-name {project} "))),
        "{asked}"
    );
    fs_err::write(&file, env).unwrap();
    fs_err::remove_dir_all(stack.state()).unwrap();
    assert!(refused(&stack.run(&["up"])).contains("is gone; run `bottle render`, then `bottle up`"));
}

/// The agreed copy is the state's: one that somebody changed there is no consent.
#[test]
fn a_damaged_state_starts_nothing() {
    let stack = rendered();
    let file = format!("{}/agreed/docker-compose.yml", stack.state());
    let text = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, text.replace("cap_drop", "cap_add")).unwrap();
    let error = refused(&stack.run(&["up"]));
    assert!(error.contains("/agreed is damaged: its files are not those of agreed.json"), "{error}");
    stack.render(&[]);
    assert!(stack.run(&["up"]).status.success());
}

#[test]
fn a_runtime_that_the_engine_lacks_is_said_before_anything_starts() {
    let stack = stack(&MANIFEST.replace("image: debian:12", "image: debian:12\n  runtime: runsc"));
    stack.render(&[]);
    let error = refused(&stack.run(&["up"]));
    assert!(
        error
            .starts_with("error: bottle.yaml: agent.runtime: the engine has no runtime `runsc`; it has runc"),
        "{error}"
    );
    assert!(!stack.asked().iter().any(|asked| asked.starts_with("up")));
}

#[test]
fn ps_lists_what_was_rendered_from_any_folder_and_what_no_record_knows() {
    let stack = rendered();
    fs_err::write(stack.root.join("started"), "bottle-lost-1 /gone/.bottle/lost\n").unwrap();
    let output = stack.command(&["ps"]).current_dir("/").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("{}  stopped ", stack.project())), "{text}");
    assert!(text.contains(&format!("  {}/project/bottle.yaml\n", stack.root)), "{text}");
    let lost = "  started from /gone/.bottle/lost, and you have no record of it; `bottle down bottle-lost-1` stops it\n";
    assert!(text.contains(lost), "{text}");
    assert!(stack.command(&["down", "bottle-lost-1"]).current_dir("/").output().unwrap().status.success());
    assert!(stack.asked().iter().any(|it| it.starts_with("compose --project-name bottle-lost-1 ")));
}

/// What an agent puts into the project leads no command that looks elsewhere.
#[test]
fn what_shows_a_stack_works_whatever_lies_in_the_project() {
    let stack = rendered();
    let project = stack.root.join("project");
    fs_err::write(project.join("dev"), "").unwrap();
    fs_err::create_dir(project.join("src")).unwrap();
    fs_err::write(project.join("src/bottle.yaml"), "planted").unwrap();
    fs_err::create_dir(project.join("src/dev")).unwrap();
    for (folder, arguments) in [
        (".", &["logs", "--no-follow", "dev"][..]),
        (".", &["verify", "dev"]),
        ("src", &["logs", "--no-follow"]),
        ("src", &["logs", "--denied", "--no-follow"]),
        ("src", &["verify"]),
        ("src", &["verify", "dev"]),
    ] {
        let output = stack.command(arguments).current_dir(project.join(folder)).output().unwrap();
        assert!(output.status.code() < Some(2), "{arguments:?} in {folder}: {}", err(&output));
    }
    let output = stack.command(&["up"]).current_dir(project.join("src")).output().unwrap();
    assert!(refused(&output).contains("bottle.yaml is not picked up"), "{}", err(&output));
}

/// A bottle can call itself as another one's Compose project is called.
#[test]
fn a_project_is_named_before_a_bottle_of_that_name() {
    let stack = rendered();
    let project = stack.project();
    fs_err::create_dir(stack.root.join("other")).unwrap();
    let manifest = stack.root.join("other/bottle.yaml");
    fs_err::write(&manifest, MANIFEST.replace("name: dev", &format!("name: {project}"))).unwrap();
    stack.render(&[manifest.as_str()]);
    let down = stack.command(&["down", &project]).current_dir(stack.root.join("other")).output().unwrap();
    assert!(down.status.success(), "{}", err(&down));
    assert!(
        stack.asked().iter().any(|it| it.contains(&format!("compose --project-name {project} "))),
        "{:?}",
        stack.asked()
    );
}

#[test]
fn an_expired_ca_is_refused_with_what_to_do() {
    let stack = stack(MANIFEST);
    stack.render(&["--now", "2020-01-01"]);
    let error = refused(&stack.run(&["up"]));
    let end =
        "the CA expired at 2021-01-31T23:00:00Z; `bottle render` renews it, then `bottle up` starts with it";
    assert!(error.contains("egress-proxy/agent-ca.pem: ") && error.ends_with(end), "{error}");
    stack.render(&[]);
    assert!(stack.run(&["up"]).status.success());
}

#[test]
fn a_manifest_that_changed_is_a_note_and_what_was_agreed_to_is_used() {
    let stack = rendered();
    let changed = MANIFEST.replace("[/v1]", "[/v1, /v2]");
    fs_err::write(stack.root.join("project/bottle.yaml"), changed).unwrap();
    let output = stack.run(&["up"]);
    assert!(output.status.success());
    let note =
        "note: bottle.yaml changed since; what you agreed to is used, and `bottle render` shows the change\n";
    assert!(err(&output).contains(note), "{}", err(&output));
    fs_err::write(stack.root.join("project/bottle.yaml"), "version: [").unwrap();
    let output = stack.run(&["up"]);
    assert!(output.status.success());
    let note = "note: bottle.yaml can't be used as it is now; what you agreed to is used, and `bottle render` says \
                what is wrong\n";
    assert!(err(&output).contains(note), "{}", err(&output));
}

#[test]
fn run_ends_with_the_agents_own_exit_code() {
    let stack = rendered();
    let output =
        stack.command(&["run", "--", "sh", "-c", "exit 42"]).env("FAILS", " run ").env("WITH", "42").output();
    assert_eq!(output.unwrap().status.code(), Some(42));
    let asked = stack.asked();
    assert_eq!(
        asked[..3],
        [
            "build --quiet netns",
            "up -d --wait --wait-timeout 120 --no-build netns gate pipelock egress-proxy",
            "up -d --no-deps home"
        ]
    );
    let name = format!("--progress quiet run --rm --no-deps --name {}-run-", stack.project());
    assert!(asked[3].starts_with(&name) && asked[3].ends_with(" -T agent sh -c exit 42"), "{asked:?}");
}

#[test]
fn an_image_that_is_built_is_built_before_run_so_that_stdout_is_the_agents_alone() {
    let stack = stack(&MANIFEST.replace("image: debian:12", "build: {context: ./agent}"));
    fs_err::create_dir(stack.root.join("project/agent")).unwrap();
    fs_err::write(stack.root.join("project/agent/Dockerfile"), "FROM scratch\n").unwrap();
    stack.render(&[]);
    let output = stack.run(&["run", "--", "true"]);
    assert!(output.status.success(), "{}", err(&output));
    let asked = stack.asked();
    let wanted = [
        "build agent",
        "build --quiet netns",
        "up -d --wait --wait-timeout 120 --no-build netns gate pipelock egress-proxy",
        "run --help",
        "up -d --no-deps home",
    ];
    assert_eq!(asked[..5], wanted);
    assert!(asked[5].ends_with(" --pull never -T agent true"), "{asked:?}");
    // One line, of `run` itself.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "chatter on stdout\n");
}

#[test]
fn what_docker_prints_is_shown_when_it_fails_or_is_asked_for_and_quiet_says_less() {
    let stack = rendered();
    let talk = |arguments: &[&str], fails: &str| {
        let output = stack.command(arguments).env("FAILS", fails).output().unwrap();
        let talk = err(&output);
        let _ = fs_err::remove_file(stack.root.join("built")); // there is none where it failed before
        (talk.matches("chatter").count(), talk.matches("$ docker compose").count())
    };
    assert_eq!(talk(&["up"], ""), (0, 3));
    assert_eq!(talk(&["up", "--verbose"], ""), (3, 3));
    assert_eq!(talk(&["up", "--quiet"], ""), (0, 0));
    assert_eq!(talk(&["up"], "--wait"), (1, 2));
    assert_eq!(talk(&["up", "--quiet"], "--wait"), (1, 0));
    assert_eq!(talk(&["down"], ""), (0, 1));
}

#[test]
fn without_compose_it_is_said() {
    for verb in ["up", "run", "reload"] {
        let stack = rendered();
        let output = stack.command(&[verb]).env("FAILS", "compose ").env("WITH", "125").output().unwrap();
        let wanted = "error[no-docker]: docker has no Compose for this user; `docker compose version` must say 2.24 or newer";
        assert_eq!(refused(&output), wanted);
    }
}

#[test]
fn reload_of_a_stack_that_does_not_run_says_so() {
    let stack = rendered();
    let output = stack.command(&["reload"]).env("RUNNING", "netns gate egress-proxy").output().unwrap();
    let wanted = "error: pipelock is not running, so it can't reload; `bottle up` starts the stack with the rules as rendered";
    assert_eq!(refused(&output), wanted);
    assert_eq!(stack.asked(), ["ps --status running --services"]);
}

#[test]
fn the_image_that_the_stack_built_stays_until_it_is_forgotten() {
    let stack = rendered();
    let project = stack.project();
    let down = format!("compose --project-name {project} --profile * down --remove-orphans");
    assert!(stack.run(&["down"]).status.success());
    assert_eq!(stack.asked(), [down.as_str()]);
    fs_err::remove_file(stack.root.join("asked")).unwrap();
    fs_err::write(stack.root.join("built"), "sha256:a\n").unwrap();
    assert!(stack.run(&["down", "--forget"]).status.success());
    assert_eq!(stack.asked(), [down, format!("image rm {project}:local")]);
}

/// Compose packs the whole program to find out that nothing changed.
#[test]
fn the_image_is_built_when_it_is_not_there_or_of_another_program() {
    let stack = rendered();
    let builds = || {
        let _ = fs_err::remove_file(stack.root.join("asked"));
        let said = stack.run(&["up"]);
        assert!(said.status.success(), "{}", err(&said));
        stack.asked().iter().filter(|asked| *asked == "build --quiet netns").count()
    };
    assert_eq!([builds(), builds()], [1, 0]);
    fs_err::write(stack.root.join("built"), "sha256:2\n").unwrap();
    assert_eq!([builds(), builds()], [1, 0], "another image has the name");
    let mut other = fs_err::read(stack.root.join("image-binary")).unwrap();
    other.push(0);
    fs_err::write(stack.root.join("image-binary"), other).unwrap();
    stack.render(&[]);
    assert_eq!([builds(), builds()], [1, 0], "another program");
    // The one that had the name before is not taken for what was built.
    fs_err::write(stack.root.join("built"), "sha256:2\n").unwrap();
    let said = refused(&stack.command(&["up"]).env("NOWHERE", "1").output().unwrap());
    assert!(
        said.contains(":local, and does not have it: the builder leaves its images elsewhere; "),
        "{said}"
    );
}

/// A junk manifest, another name, the name of a sibling, no manifest, a lost `.env`, a folder under a new name.
#[test]
fn down_stops_what_was_started_here_whatever_became_of_the_manifest() {
    for spoil in ["junk: [", "name: another", "name: sib", "", "env", "folder"] {
        let stack = rendered();
        let (project, mut here) = (stack.project(), stack.root.join("project"));
        fs_err::write(here.join("sib.bottle.yaml"), MANIFEST.replace("name: dev", "name: sib")).unwrap();
        stack.render(&["sib.bottle.yaml"]);
        match spoil {
            "" => fs_err::remove_file(here.join("bottle.yaml")).unwrap(),
            "env" => fs_err::remove_dir_all(here.join(".bottle")).unwrap(),
            "folder" => {
                let renamed = stack.root.join("renamed");
                fs_err::rename(&here, &renamed).unwrap();
                here = renamed;
            }
            text => fs_err::write(here.join("bottle.yaml"), MANIFEST.replace("name: dev", text)).unwrap(),
        }
        for arguments in [&["down"][..], &["down", "bottle.yaml"], &["down", &project], &["down", "dev"]] {
            let output = stack.command(arguments).current_dir(&here).output().unwrap();
            assert!(output.status.success(), "{spoil} {arguments:?}: {}", err(&output));
            let asked = fs_err::read_to_string(stack.root.join("asked")).unwrap();
            let stopped = format!("compose --project-name {project} --profile * down --remove-orphans");
            assert_eq!(asked.lines().next(), Some(stopped.as_str()), "{spoil} {arguments:?}");
            assert_eq!(asked.matches(" down ").count(), 1, "{spoil} {arguments:?}: {asked}");
            fs_err::remove_file(stack.root.join("asked")).unwrap();
        }
    }
}

#[test]
fn a_bottle_can_be_forgotten_with_its_state() {
    let stack = rendered();
    let (project, state) = (stack.project(), stack.state());
    fs_err::rename(stack.root.join("project"), stack.root.join("renamed")).unwrap();
    let run = |arguments: &[&str]| {
        let output = stack.command(arguments).current_dir(&stack.root).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), err(&output))
    };
    let note = format!("  the folder was renamed or is gone; `bottle down --forget {project}` forgets it\n");
    assert!(run(&["ps"]).0.ends_with(&note));
    assert!(run(&["down", &project]).1.ends_with(&format!("\n{project} did not run\n")));
    assert!(run(&["ps"]).0.ends_with(&note), "its keys and its audit trail are still there");
    let said = run(&["down", "--forget", &project]).1;
    assert!(said.ends_with(&format!("{project} is forgotten; its state in {state} is removed\n")), "{said}");
    assert!(!std::path::Path::new(&state).exists());
    assert_eq!(run(&["ps"]).0, "no stack was rendered by you, and none runs\n");
}

/// Nothing is left that would be lost.
#[test]
fn a_bottle_without_manifest_and_state_is_forgotten_when_it_is_stopped() {
    let stack = rendered();
    let project = stack.project();
    fs_err::remove_dir_all(stack.state()).unwrap();
    fs_err::remove_dir_all(stack.root.join("project")).unwrap();
    let run = |arguments: &[&str]| stack.command(arguments).current_dir(&stack.root).output().unwrap();
    assert!(run(&["down", &project]).status.success());
    assert_eq!(run(&["ps"]).stdout, b"no stack was rendered by you, and none runs\n");
}

#[test]
fn down_says_when_there_is_nothing_to_stop() {
    let stack = stack(MANIFEST);
    assert_eq!(
        refused(&stack.run(&["down"])),
        "error[unknown-bottle]: nothing was started from here; `bottle ps` lists every stack, from any folder"
    );
    assert_eq!(
        refused(&stack.run(&["down", "nobody"])),
        "error[unknown-bottle]: no stack is called nobody; `bottle ps` lists them"
    );
}

#[test]
fn reload_checks_both_configs_and_then_tells_pipelock_before_egress_proxy() {
    let stack = rendered();
    assert!(stack.run(&["reload"]).status.success());
    assert_eq!(
        stack.asked(),
        [
            "ps --status running --services",
            "exec -T pipelock /bottle pipelock check --config /etc/bottle/pipelock/pipelock.yaml --embedded \
             /etc/bottle/pipelock/embedded.yaml",
            "exec -T egress-proxy /bottle egress-proxy check --config /etc/bottle/egress-proxy/routes.yaml",
            "exec -T pipelock /bottle reload",
            "exec -T egress-proxy /bottle reload",
        ]
    );
}

#[test]
fn a_config_that_is_refused_reloads_neither() {
    let stack = rendered();
    let output = stack.command(&["reload"]).env("FAILS", "egress-proxy check").output().unwrap();
    assert!(
        refused(&output).contains("egress-proxy would not take its config; nothing was reloaded"),
        "{}",
        err(&output)
    );
    assert!(stack.asked().iter().all(|asked| !asked.ends_with("/bottle reload")), "{:?}", stack.asked());
}

/// Records as a proxy leaves them on the host.
fn audit(stack: &Stack, proxy: &str, series: &str, lines: &str) {
    let folder = format!("{}/audit/{proxy}", stack.state());
    fs_err::write(format!("{folder}/{series}.jsonl"), lines).unwrap();
}

/// With and without a running stack, and whatever became of the manifest.
#[test]
fn denied_requests_come_with_file_line_and_the_missing_entry() {
    let stack = rendered();
    let record = |verdict: &str, path: &str| {
        format!(
            r#"{{"time":"2020-11-24T12:30:01Z","bottle":"dev","config":"c","connection":1,"method":"GET","scheme":"https","host":"api.example","port":443,"path":"{path}","verdict":"{verdict}","reason":"path_not_allowed","decided_by":"egress-proxy","source":"egress_proxy.routes[0]","request_bytes":0,"response_bytes":0,"complete":true,"duration_ms":1}}"#
        )
    };
    let lines = format!("{}\n{{\"level\":\"INFO\"}}\n{}\n", record("allow", "/v1"), record("deny", "/v2"));
    audit(&stack, "egress-proxy", "denied", &lines);
    let logs = |more: &[&str]| {
        let output = stack.run(&[&["logs", "--denied", "--no-follow"], more].concat());
        assert!(output.status.success(), "{}", err(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(
        logs(&[]),
        "2020-11-24 12:30:01  GET https://api.example/v2  path_not_allowed\n    \
         rule:  bottle.yaml:9 (egress_proxy.routes[0])\n    \
         to allow it:\n      egress_proxy.routes[0]:\n        path_allowlist: [..., /v2]\n"
    );
    assert_eq!(logs(&["--since", "2020-11-25T00:00:00Z"]), "");
    let none = stack.run(&["logs", "--denied", "--no-follow", "--since", "2020-11-25T00:00:00Z"]);
    assert!(err(&none).ends_with("nothing was denied\n"), "{}", err(&none));
    let manifest = stack.root.join("project/bottle.yaml");
    let other = MANIFEST.replace("  routes:\n", "  routes:\n    - host: other.example\n");
    fs_err::write(&manifest, &other).unwrap();
    let moved = logs(&[]);
    assert!(moved.contains("    rule:  bottle.yaml:10 (egress_proxy.routes[1])\n"), "{moved}");
    assert!(moved.contains("      egress_proxy.routes[1]:\n"), "{moved}");
    fs_err::write(&manifest, MANIFEST.replace("api.example", "other.example")).unwrap();
    let gone = logs(&[]);
    assert!(gone.contains("    rule:  the rule for api.example is no longer in bottle.yaml\n"), "{gone}");
    assert!(!gone.contains("routes[0]"), "{gone}");
    fs_err::write(&manifest, "junk: [").unwrap();
    let unreadable = logs(&[]);
    assert!(unreadable.contains("    rule:  api.example; bottle.yaml can't be read now\n"), "{unreadable}");
    assert_eq!(stack.asked(), [] as [&str; 0]);
}

/// What a proxy counted, and what it had no time to count.
#[test]
fn counts_are_shown_and_so_is_that_one_is_missing() {
    let stack = rendered();
    let counting = |second: u8, series: &str| {
        format!(
            r#"{{"time":"2020-11-24T12:30:{second:02}Z","event":"counting","decided_by":"egress-proxy","series":"{series}"}}"#
        )
    };
    let counts = |second: u8| {
        format!(
            r#""requests":3,"request_bytes":1,"response_bytes":2,"paths":1,"more_paths":false,"first":"2020-11-24T12:30:00Z","last":"2020-11-24T12:30:{second:02}Z","outcomes":{{"allow 2xx":2,"deny 4xx":1}}"#
        )
    };
    let sent = format!(
        "{}\n{{\"time\":\"2020-11-24T12:30:09Z\",\"event\":\"counted\",\"decided_by\":\"egress-proxy\",\"requests\":3,\
         \"kinds\":[{{\"host\":\"api.example\",\"method\":\"GET\",{}}}],\"first\":\"2020-11-24T12:30:00Z\",\
         \"last\":\"2020-11-24T12:30:09Z\"}}\n",
        counting(0, "sent"),
        counts(9)
    );
    let denied = r#"{"time":"2020-11-24T12:30:18Z","event":"suppressed","decided_by":"egress-proxy","count":4,"reasons":{"git_push":4},"hosts":1,"host":"git.example","more_hosts":false,"first":"2020-11-24T12:30:12Z","last":"2020-11-24T12:30:18Z"}"#;
    audit(&stack, "egress-proxy", "sent", &sent);
    let denied = format!("{}\n{denied}\n{}\n", counting(12, "denied"), counting(20, "denied"));
    audit(&stack, "egress-proxy", "denied", &denied);
    let output = stack.run(&["logs", "--denied", "--no-follow"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "2020-11-24 12:30:00  3 requests until 2020-11-24 12:30:09 were counted instead of written\n    \
         GET api.example: 3 requests for 1 paths; 2 allow 2xx, 1 deny 4xx; 1 bytes sent, 2 received\n\
         2020-11-24 12:30:12  4 more refusals until 2020-11-24 12:30:18 (git.example): 4 git_push\n\
         2020-11-24 12:30:20  the count of refusals in the 10 seconds from here on is missing: egress-proxy was killed\n"
    );
}

#[test]
fn in_a_bottle_without_routes_what_pipelock_refused_is_shown() {
    let (head, _) = MANIFEST.split_once("egress_proxy:").unwrap();
    let stack = stack(&format!("{head}egress: {{allowlist: [api.example]}}\n"));
    stack.render(&[]);
    let line = r#"{"level":"warn","time":"2020-11-25T00:30:48Z","component":"pipelock","event":"blocked","method":"CONNECT","target":"new.example:443","scanner":"domain_not_allowed","reason":"new.example is not in the allowlist"}"#;
    audit(&stack, "pipelock", "denied", &format!("{line}\n"));
    let output = stack.run(&["logs", "--denied", "--no-follow"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with("2020-11-25 00:30:48  CONNECT new.example:443  domain_not_allowed, by pipelock\n"),
        "{said}"
    );
}

#[test]
fn a_service_that_is_not_there_and_a_time_that_is_none_are_said() {
    let stack = rendered();
    let error = refused(&stack.run(&["logs", "--services", "nothere"]));
    assert_eq!(
        error,
        "error: there is no service nothere; there are netns, gate, egress-proxy, pipelock, home, agent, attack"
    );
    let output = stack.run(&["logs", "--since", "5x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("write a time such as"), "{}", err(&output));
    let help = String::from_utf8(stack.run(&["logs", "--help"]).stdout).unwrap();
    assert!(help.contains("Times are in UTC") && help.contains("--since 2d"), "{help}");
    let error = refused(&stack.run(&["plan", "/nope.yaml"]));
    assert_eq!(error, "error: can't read /nope.yaml: No such file or directory (os error 2)", "once");
}

/// Two that are alike are one line, a dispatch is none, and what was denied says why.
#[test]
fn requests_are_shown_one_a_line() {
    let stack = rendered();
    let record = |second: u8, event: &str, path: &str, more: &str| {
        format!(
            r#"{{"time":"2020-11-24T12:30:{second:02}Z","event":"{event}","bottle":"dev","config":"c","connection":1,"method":"GET","scheme":"https","host":"api.example","port":443,"path":"{path}","decided_by":"egress-proxy","request_bytes":0,"response_bytes":2048,"complete":true,"duration_ms":{second},{more}}}"#
        ) + "\n"
    };
    let allow = r#""verdict":"allow","status":200"#;
    let sent =
        (1..4).map(|second| record(second, "dispatch", "/v1", allow) + &record(second, "end", "/v1", allow));
    audit(&stack, "egress-proxy", "sent", &sent.collect::<String>());
    let why = r#""verdict":"deny","status":403,"reason":"path_not_allowed","message":"no entry""#;
    audit(&stack, "egress-proxy", "denied", &record(9, "deny", "/v2", why));
    let output = stack.run(&["logs"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "2020-11-24 12:30:01  allow   200    GET          0 B   2.0 KiB     3 ms  https://api.example/v1  ×3\n\
         2020-11-24 12:30:09  deny    403    GET          0 B   2.0 KiB     9 ms  https://api.example/v2  \
         path_not_allowed: no entry\n",
        "where stdout is no terminal it ends by itself"
    );
    let coloured = stack.run(&["logs", "--color", "always", "--no-follow"]);
    assert!(String::from_utf8_lossy(&coloured.stdout).contains("\u{1b}[31mdeny   \u{1b}[0m"));
    let json = String::from_utf8(stack.run(&["logs", "--json"]).stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["event"] == "end").count(), 3, "{json}");
    assert_eq!((lines.len(), &lines[3]["reason"]), (4, &"path_not_allowed".into()), "{json}");
    assert_eq!(stack.asked(), [] as [&str; 0], "no engine is needed");
    let none = stack.run(&["logs", "--since", "2020-11-25T00:00:00Z"]);
    assert_eq!((err(&none).as_str(), none.stdout.len()), ("nothing was asked for\n", 0));
}

#[test]
fn a_status_says_what_runs_what_was_asked_and_what_is_next() {
    let stack = rendered();
    let record = r#"{"time":"2020-11-24T12:30:01Z","event":"deny","bottle":"dev","config":"c","connection":1,"method":"GET","scheme":"https","host":"api.example","port":443,"path":"/v2","verdict":"deny","reason":"path_not_allowed","decided_by":"egress-proxy","request_bytes":0,"response_bytes":0,"complete":true,"duration_ms":1}"#;
    audit(&stack, "egress-proxy", "sent", "");
    audit(&stack, "egress-proxy", "denied", &format!("{record}\n"));
    let status = |more: &[&str]| {
        let output = stack.run(&[&["status"], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = status(&[]);
    assert!(text.starts_with(&format!("dev ({}): does not run\n  manifest  ", stack.project())), "{text}");
    let asked = "  tokens    API_TOKEN\n  requests  0 allowed, 1 denied, 0 failed; the last ";
    assert!(text.contains(asked), "{text}");
    assert!(text.contains("    https://api.example  0 allowed, 1 denied, 0 failed\n"), "{text}");
    assert!(text.ends_with("  stale     it does not run\n  next      bottle up\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!((&json["running"], &json["requests"]["denied"]), (&false.into(), &1.into()), "{json}");
    let manifest = stack.root.join("project/bottle.yaml");
    fs_err::write(&manifest, MANIFEST.replace("[/v1]", "[/v1, /v2]")).unwrap();
    let text = status(&[]);
    let stale = "  stale     bottle.yaml changed since you rendered it\n  next      bottle render\n";
    assert!(text.ends_with(stale), "{text}");
    fs_err::write(stack.root.join("project/.bottle/dev/docker-compose.yml"), "services: {}\n").unwrap();
    let text = status(&[]);
    assert!(text.contains("  stale     .bottle/dev is not what you agreed to: "), "{text}");
}

#[test]
fn an_image_that_cannot_be_had_is_said_with_its_line_before_anything_starts() {
    let stack = rendered();
    let up = |pull: &str| {
        let mut up = stack.command(&["up"]);
        up.envs([("NO_IMAGE", "1"), ("FAILS", pull), ("API_TOKEN", "x")]).output().unwrap()
    };
    let error = refused(&up("pull debian:12"));
    let wanted = "error: bottle.yaml:4: agent.image: debian:12 is not on this machine and can't be pulled;";
    assert!(error.contains(wanted), "{error}");
    assert_eq!(stack.asked(), ["pull debian:12"]);
}

/// What it says goes to the state; of a failure the end is shown.
#[test]
fn what_docker_says_is_kept() {
    let stack = rendered();
    let mut up = stack.command(&["up", "--quiet"]);
    let output = up.envs([("FAILS", " -d --wait"), ("API_TOKEN", "x")]).output().unwrap();
    let log = format!("{}/docker.log", stack.state());
    assert!(err(&output).ends_with(&format!("; all that it said is in {log}\n")), "{}", err(&output));
    let text = fs_err::read_to_string(log).unwrap();
    assert!(text.contains(" up -d --wait ") && text.contains("\nchatter on stdout\n"), "{text}");
    assert!(!text.contains("API_TOKEN"), "{text}");
}

/// A program that is called docker, and writes down that it ran.
fn trap(folder: &Utf8Path, mark: &Utf8Path) {
    fs_err::create_dir_all(folder).unwrap();
    for name in ["docker", "git"] {
        fs_err::write(folder.join(name), format!("#!/bin/sh\necho $0 >> {mark}\n")).unwrap();
        fs_err::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The folder of an agent under another name, by a link, and in a project that nobody rendered.
#[test]
fn no_program_of_a_project_is_run_whatever_its_folder_is_called_by_now() {
    let stack = rendered();
    let (mark, renamed, other) =
        (stack.root.join("mark"), stack.root.join("renamed"), stack.root.join("other"));
    trap(&stack.root.join("project/node_modules/.bin"), &mark);
    trap(&other.join("bin"), &mark);
    fs_err::write(other.join("bottle.yaml"), MANIFEST).unwrap();
    fs_err::rename(stack.root.join("project"), &renamed).unwrap();
    fs_err::os::unix::fs::symlink(renamed.join("node_modules"), stack.root.join("link")).unwrap();
    let own = stack.root.join("bin");
    // With nothing but traps there is no docker, and it is said why.
    fs_err::create_dir(stack.root.join("empty")).unwrap();
    let only = format!("{}:{}", renamed.join("node_modules/.bin"), stack.root.join("empty"));
    let said = refused(&stack.command(&["ps"]).current_dir(&stack.root).env("PATH", only).output().unwrap());
    let why = format!("docker is only in {renamed}/node_modules/.bin, where an agent, ");
    assert!(said.contains(&why) && !mark.exists(), "{said}");
    for (traps, here) in [
        (renamed.join("node_modules/.bin"), renamed.clone()),
        (renamed.join("node_modules/.bin"), stack.root.clone()),
        (stack.root.join("link/.bin"), stack.root.clone()),
        (other.join("bin"), other.clone()),
        (other.join("bin"), other.join("bin")),
    ] {
        let path = format!("{traps}:{own}:{}", std::env::var("PATH").unwrap());
        let output = stack.command(&["ps"]).current_dir(&here).env("PATH", path).output().unwrap();
        assert!(!mark.exists(), "{traps} from {here}: {}", err(&output));
    }
    let asked = fs_err::read_to_string(stack.root.join("asked")).unwrap();
    assert!(asked.contains("label=bottle.name"), "the person's own docker was asked: {asked}");

    // A manifest of any name, behind any word; a folder in `PATH` that no command is about.
    fs_err::write(other.join("agent.yaml"), MANIFEST).unwrap();
    let (manifest, odd) = (other.join("bottle.yaml"), other.join("agent.yaml"));
    let modules = stack.root.join("mono/node_modules/.bin");
    trap(&modules, &mark);
    trap(&stack.root.join("work/bin"), &mark);
    fs_err::create_dir(stack.root.join("work/.git")).unwrap();
    for (traps, arguments) in [
        (other.join("bin"), vec!["lock", odd.as_str()]),
        (other.join("bin"), vec!["lock", "--", manifest.as_str()]),
        (other.join("bin"), vec!["diff", odd.as_str()]),
        (other.join("bin"), vec!["ps"]),
        (modules, vec!["ps"]),
        (stack.root.join("work/bin"), vec!["ps"]),
    ] {
        let path = format!("{traps}:{own}:{}", std::env::var("PATH").unwrap());
        let output = stack.command(&arguments).current_dir(&stack.root).env("PATH", path).output().unwrap();
        assert!(!mark.exists(), "{traps} for {arguments:?}: {}", err(&output));
    }
}

#[test]
fn a_configuration_of_dockers_that_an_agent_can_write_is_refused() {
    let stack = rendered();
    let project = stack.root.join("project");
    let link = stack.root.join("link");
    let symlink = |to: &Utf8Path, at: Utf8PathBuf| fs_err::os::unix::fs::symlink(to, at).unwrap();
    symlink(&project, link.clone());
    fs_err::create_dir_all(stack.root.join("outside/config")).unwrap();
    symlink(&stack.root.join("outside"), project.join("out"));
    fs_err::create_dir_all(stack.root.join("own/cli-plugins")).unwrap();
    fs_err::write(project.join("plugin"), "").unwrap();
    symlink(&project.join("plugin"), stack.root.join("own/cli-plugins/docker-compose"));
    let configuration = |name: &str, text: &str| {
        let folder = stack.root.join(name);
        // The name of a context's folder is the SHA-256 of its name.
        let context =
            folder.join("contexts/meta/3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff");
        fs_err::create_dir_all(&context).unwrap();
        let socket = format!("unix://{project}/docker.sock");
        let meta = serde_json::json!({"Name": "mine", "Endpoints": {"docker": {"Host": socket}}});
        fs_err::write(context.join("meta.json"), meta.to_string()).unwrap();
        fs_err::write(folder.join("config.json"), text).unwrap();
        folder
    };
    for (name, value) in [
        ("DOCKER_CONFIG", project.join(".docker")),
        ("DOCKER_CONFIG", link.join("none/yet")),
        ("DOCKER_CONFIG", "./.docker".into()),
        ("BUILDX_CONFIG", project.join("x")),
        ("DOCKER_CERT_PATH", project.clone()),
        ("DOCKER_HOST", format!("unix://{project}/docker.sock").into()),
        ("HOME", project.clone()),
        // A link of the agent's, a step up from one, and a plugin of the person's own that leads into the project.
        ("DOCKER_CONFIG", project.join("out/config")),
        ("DOCKER_HOST", format!(" unix://{project}/docker.sock").into()),
        ("DOCKER_CONFIG", stack.root.join("own")),
        // What a configuration names.
        (
            "DOCKER_CONFIG",
            configuration("plugins", &format!(r#"{{"CliPluginsExtraDirs": ["{project}/x"]}}"#)),
        ),
        ("DOCKER_CONFIG", configuration("context", r#"{"currentContext": "mine"}"#)),
    ] {
        for verb in ["up", "run", "ps", "status", "verify", "down"] {
            let mut command = stack.command(&[verb]);
            command.env_remove("DOCKER_CONFIG").env(name, &value);
            let said = refused(&command.output().unwrap());
            assert!(said.starts_with(&format!("error: {name} leads Docker to /")), "{verb}: {said}");
            let which = if name == "HOME" { "DOCKER_CONFIG" } else { "it" };
            assert!(said.ends_with(&format!("; set {which} to a folder outside every project")), "{said}");
        }
    }
    // One in the project is not even read; of another, a plain file of a bounded size.
    let pipe = |folder: &Utf8Path| {
        fs_err::create_dir_all(folder).unwrap();
        let made = Command::new("mkfifo").arg(folder.join("config.json")).status().unwrap();
        assert!(made.success());
    };
    let (within, outside) = (project.join("pipe"), stack.root.join("pipe"));
    pipe(&within);
    pipe(&outside);
    let said =
        |folder: &Utf8Path| refused(&stack.command(&["up"]).env("DOCKER_CONFIG", folder).output().unwrap());
    assert!(said(&within).starts_with("error: DOCKER_CONFIG leads Docker to /"), "{}", said(&within));
    assert!(said(&outside).contains("config.json is a pipe"), "{}", said(&outside));
    fs_err::remove_file(outside.join("config.json")).unwrap();
    fs_err::File::create(outside.join("config.json")).unwrap().set_len(3 << 30).unwrap();
    assert!(said(&outside).contains("config.json is larger than"), "{}", said(&outside));
    let dots = format!("{project}/out/../.docker");
    let said = refused(&stack.command(&["up"]).env("DOCKER_CONFIG", &dots).output().unwrap());
    assert_eq!(
        said,
        format!(
            "error: DOCKER_CONFIG leads Docker to {dots}; write it without `..`, which Docker takes away as text and the system follows after links"
        )
    );
    assert_eq!(stack.asked(), [] as [&str; 0]);
    fs_err::write(stack.root.join("socket"), "").unwrap();
    for host in ["tcp://127.0.0.1:1", &format!("unix://{}/socket", stack.root), "unix:///var/run/docker.sock"]
    {
        let mut fine = stack.command(&["ps"]);
        fine.env("DOCKER_CONFIG", stack.root.join("elsewhere")).env("DOCKER_HOST", host);
        assert!(fine.output().unwrap().status.success(), "{host}");
    }
}

/// The id of the host's own network reads as any other name.
#[test]
fn a_network_is_named_by_its_name() {
    let id = "4b1c".repeat(16);
    let stack = stack(&MANIFEST.replace("agent:", &format!("egress: {{network: '{id}'}}\nagent:")));
    stack.render(&[]);
    for (network, refusal) in [("host host", true), ("corp bridge", true), (&format!("{id} bridge"), false)] {
        let mut up = stack.command(&["up"]);
        let output = up.env("NETWORK", network).env("API_TOKEN", "x").output().unwrap();
        if refusal {
            let name = network.split(' ').next().unwrap();
            let wanted = format!(
                "error: bottle.yaml: egress.network: {id} is the id of {name}; a network is named by its name, and the host's own is none"
            );
            assert_eq!(refused(&output), wanted);
        } else {
            assert!(output.status.success(), "{}", err(&output));
        }
    }
}

#[test]
fn without_docker_it_is_said() {
    let stack = rendered();
    let output = stack.command(&["up"]).env("PATH", stack.root.join("state")).output().unwrap();
    let wanted = "error[no-docker]: can't run docker; it must be installed, with Compose 2.24 or newer: ";
    assert!(refused(&output).starts_with(wanted), "{}", err(&output));
}

/// Two bottles of one folder: the agent of the first can write what the second mounts, `cache`.
fn with_a_sibling() -> Stack {
    let stack = stack(MANIFEST);
    fs_err::create_dir(stack.root.join("project/cache")).unwrap();
    let sibling = "version: 1\nname: sib\nagent: {image: x, mounts: [{source: ./cache, target: /cache}]}\n\
                   egress: {allowlist: [a.example]}\n";
    fs_err::write(stack.root.join("project/b.bottle.yaml"), sibling).unwrap();
    stack.render(&[]);
    stack.render(&["b.bottle.yaml"]);
    stack
}

/// The engine follows links: a pin on one would give the agent the folder that it leads to.
#[test]
fn nothing_starts_while_a_link_is_where_a_sibling_mounts() {
    let stack = with_a_sibling();
    let cache = stack.root.join("project/cache");
    fs_err::remove_dir(&cache).unwrap();
    fs_err::os::unix::fs::symlink("/etc", &cache).unwrap();
    for arguments in [&["up"][..], &["run", "--", "true"]] {
        let said = refused(&stack.run(arguments));
        assert!(
            said.starts_with(&format!(
                "error: {cache} is a link, or goes through one, and leads to /etc; the bottle bottle-sib-"
            )),
            "{said}"
        );
    }
    assert_eq!(stack.asked(), [] as [&str; 0]);
    fs_err::remove_file(&cache).unwrap();
    assert!(
        stack.command(&["up"]).env("API_TOKEN", "x").output().unwrap().status.success(),
        "it is not there"
    );
    let pins = || fs_err::read_to_string(format!("{}/pins.json", stack.state()));
    assert!(pins().is_err());
    fs_err::create_dir(&cache).unwrap();
    assert!(stack.command(&["up"]).env("API_TOKEN", "x").output().unwrap().status.success());
    assert!(pins().unwrap().contains(cache.as_str()));
}

/// The engine resolves paths when the container starts, which may end before anybody can ask the kernel about it.
#[test]
fn a_place_that_is_swapped_while_the_agent_starts_is_an_alarm_although_the_agent_has_ended() {
    for arguments in [&["up"][..], &["run", "--", "true"]] {
        let stack = with_a_sibling();
        let cache = stack.root.join("project/cache");
        let with = |swap: &str| {
            let mut command = stack.command(arguments);
            refused(&command.env("API_TOKEN", "x").env("SWAP", swap).output().unwrap())
        };
        let said = with(&format!("rmdir {cache}; ln -s /etc {cache}"));
        assert_eq!(
            said,
            format!(
                "error: {cache} is a link, or goes through one, and leads to /etc since the agent started, so that agent may \
                 have seen, and written, another place of this machine; find out who changed it, put it right, then: \
                 bottle down, and bottle up"
            )
        );
        fs_err::remove_file(&cache).unwrap();
        fs_err::create_dir(&cache).unwrap();
        let said = with(&format!("mv {cache} {cache}.old; mkdir {cache}"));
        assert!(said.contains("is another file or folder since the agent started"), "{said}");
    }
}

/// A state may lie where others write, and a start believes what is in it.
#[test]
fn a_state_that_somebody_wrote_to_starts_nothing() {
    for file in ["image/bottle", "image/Dockerfile", ".env", "agreed.json"] {
        let stack = rendered();
        let path = format!("{}/{file}", stack.state());
        let text = fs_err::read(&path).unwrap();
        fs_err::write(&path, [text.as_slice(), b"\n"].concat()).unwrap();
        for arguments in [&["up"][..], &["run", "--", "true"], &["reload"]] {
            let wanted = format!(
                "error[damaged-state]: {path} is not what `bottle render` left there; find out who changed it, then run `bottle render`"
            );
            assert_eq!(refused(&stack.run(arguments)), wanted, "{arguments:?}");
        }
        assert_eq!(stack.asked(), [] as [&str; 0]);
        stack.render(&[]);
        assert!(stack.command(&["up"]).env("API_TOKEN", "x").output().unwrap().status.success(), "{file}");
    }
}

/// The old record has the same folder by its inode.
#[test]
fn a_renamed_folder_that_was_rendered_again_starts_under_its_new_name() {
    let stack = rendered();
    let (old, new) = (stack.root.join("project"), stack.root.join("renamed"));
    let project = stack.project();
    fs_err::rename(&old, &new).unwrap();
    let run = |arguments: &[&str]| {
        stack.command(arguments).current_dir(&new).env("API_TOKEN", "x").output().unwrap()
    };
    assert!(refused(&run(&["up"])).contains("run `bottle render` here"));
    let image = stack.root.join("image-binary");
    let render = run(&["render", "--accept-widening", "--image-binary", image.as_str()]);
    assert!(render.status.success(), "{}", err(&render));
    for arguments in [&["up"][..], &["up", "bottle.yaml"], &["up", "dev"]] {
        let up = run(arguments);
        assert!(up.status.success(), "{arguments:?}: {}", err(&up));
    }
    let asked = fs_err::read_to_string(stack.root.join("asked")).unwrap();
    assert!(asked.contains(" up -d --no-build agent") && !asked.contains(&project), "{asked}");
}

#[test]
fn down_says_as_data_what_it_stopped() {
    let stack = rendered();
    let project = stack.project();
    let down = |arguments: &[&str]| -> serde_json::Value {
        let output = stack.run(&[&["down", "--format", "json"], arguments].concat());
        assert!(output.status.success(), "{}", err(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(
        down(&[]),
        serde_json::json!({
            "stopped": [{"project": project, "ran": false, "recorded": true}], "volumes_removed": false, "forgotten": [],
        })
    );
    assert_eq!(
        down(&["--forget", "--volumes", &project]),
        serde_json::json!({
            "stopped": [{"project": project, "ran": false, "recorded": true}], "volumes_removed": true,
            "forgotten": [project],
        })
    );
    // What is said to people goes nowhere else.
    stack.render(&[]);
    assert_eq!(stack.run(&["down"]).stdout, b"");
}

#[test]
fn a_command_without_the_dashes_is_answered_with_them() {
    let stack = rendered();
    let error = err(&stack.run(&["exec", "git", "status"]));
    assert!(
        error.contains("tip: what runs in the agent comes after `--`: bottle exec -- git status"),
        "{error}"
    );
    let error = err(&stack.run(&["run", "bash"]));
    assert!(error.contains("what runs in the agent comes after `--`: bottle run -- bash"), "{error}");
    let error = err(&stack.run(&["up", "--nonsense", "x"]));
    assert!(!error.contains("comes after `--`"), "{error}");
}
