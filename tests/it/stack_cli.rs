//! `bottle up`, `run`, `down`, `logs` and `reload` as black boxes, with a `docker` that writes down what it is asked:
//! which commands in which order, with what environment, and what happens when one fails.

use camino::Utf8PathBuf;
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

/// Logs its arguments and what it sees of the environment; fails or answers as the test told it to.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in *" ps --all "*) echo "${PROXY-egress-proxy running healthy}"; exit 0 ;; esac
case "$*" in *" ps -q --status running agent") echo "$BEFORE"; exit 0 ;; esac
echo "$*" >> "$DIR/asked"
env | grep -E '^(COMPOSE_|BOTTLE_|API_TOKEN)' >> "$DIR/environment"
case "$*" in
  *" run --help") echo "      --pull string  Pull image before running" ;;
  "ps --all --filter label=bottle.name "*) cat "$DIR/started" ;;
  *" ps "*"--services") printf '%s\n' ${RUNNING-netns gate pipelock egress-proxy agent} ;;
  *" ps "*) echo "${AGENT-0123456789ab}" | tr -d '\n' ;;
  "inspect "*) echo /work/.bottle ;;
  *" logs "*) cat "$DIR/log" ;;
  *) echo "chatter on stdout" ;;
esac
if [ -n "$FAILS" ]; then
  case "$*" in *"$FAILS"*) exit "${WITH:-1}" ;; esac
fi
exit 0
"#;

struct Stack {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

fn stack(manifest: &str) -> Stack {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    for folder in ["project", "bin"] {
        std::fs::create_dir(root.join(folder)).unwrap();
    }
    let mut elf = vec![0_u8; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
    std::fs::write(root.join("image-binary"), elf).unwrap();
    std::fs::write(root.join("project/bottle.yaml"), manifest).unwrap();
    std::fs::write(root.join("bin/docker"), DOCKER).unwrap();
    std::fs::set_permissions(root.join("bin/docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
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
        let output =
            self.command(&["render", "--image-binary", image.as_str()]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What docker was asked, without what every command begins with.
    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.root.join("asked")).unwrap_or_default();
        let start = "compose --env-file .bottle/dev/.env -f .bottle/dev/docker-compose.yml ";
        text.lines().map(|line| line.strip_prefix(start).unwrap_or(line).to_owned()).collect()
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", err(output));
    err(output).lines().find(|line| line.starts_with("error: ")).unwrap_or_default().to_owned()
}

#[test]
fn a_tree_that_a_running_agent_could_write_starts_nothing() {
    let stack = rendered();
    for verb in ["up", "run"] {
        let refusal = stack
            .command(&[verb])
            .envs([
                ("API_TOKEN", "x"),
                ("BEFORE", "0123"),
                ("FAILS", "bottle mounts /work/.bottle"),
                ("WITH", "1"),
            ])
            .output();
        let refusal = refused(&refusal.unwrap());
        assert!(
            refusal.starts_with("error: a folder that the agent must not write is no longer protected"),
            "{refusal}"
        );
    }
    assert!(stack.asked().iter().all(|asked| !asked.starts_with("up")), "{:?}", stack.asked());
    // An agent whose binary an upgrade replaced can't be asked; `up` makes it anew and looks then.
    let mut upgraded = stack.command(&["up"]);
    upgraded.envs([
        ("API_TOKEN", "x"),
        ("BEFORE", "0123"),
        ("FAILS", "mounts /work/.bottle"),
        ("WITH", "126"),
    ]);
    let _ = upgraded.output().unwrap();
    assert!(stack.asked().iter().any(|asked| asked.starts_with("up")), "{:?}", stack.asked());
}

#[test]
fn up_names_the_tokens_that_a_new_proxy_would_lack() {
    let stack = rendered();
    let up = |proxy: &str, token: Option<&str>, arguments: &[&str]| {
        let mut command = stack.command(arguments);
        command.env("PROXY", proxy).env_remove("API_TOKEN").envs(token.map(|value| ("API_TOKEN", value)));
        command.output().unwrap()
    };
    let takes = "egress-proxy takes tokens from the environment that starts the stack";
    for (proxy, arguments) in [
        ("", &["up"][..]),
        ("egress-proxy created ", &["up"]),
        ("egress-proxy restarting ", &["run"]),
        ("egress-proxy running starting", &["up"]),
        ("egress-proxy running healthy", &["up", "--rotate"]),
    ] {
        let missing = refused(&up(proxy, None, arguments));
        assert_eq!(missing, format!("error: API_TOKEN is not set; {takes}"), "{proxy}");
        let empty = refused(&up(proxy, Some(""), arguments));
        assert_eq!(empty, format!("error: API_TOKEN is empty; {takes}"), "{proxy}");
    }
    assert_eq!(stack.asked(), [] as [&str; 0]);
    assert!(up("egress-proxy exited ", None, &["up"]).status.success(), "a stopped proxy has its tokens");
}

#[test]
fn up_replaces_a_proxy_that_was_made_without_its_tokens() {
    let stack = rendered();
    for proxy in ["egress-proxy created ", "egress-proxy restarting ", "egress-proxy running starting"] {
        let mut command = stack.command(&["up"]);
        assert!(command.env("PROXY", proxy).env("API_TOKEN", "x").output().unwrap().status.success());
        let asked = stack.asked();
        assert_eq!(asked[0], "rm --force --stop egress-proxy");
        assert_eq!(asked[1], "up -d --wait netns gate pipelock egress-proxy");
        std::fs::remove_file(stack.root.join("asked")).unwrap();
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
            "up -d --wait netns gate pipelock egress-proxy",
            "up -d agent",
            "ps --status running -q agent",
            "exec -T agent /run/bottle/bottle mounts /work/.bottle",
            "exec -T agent /run/bottle/bottle healthcheck --url tcp://127.0.0.1:9099",
        ]
    );
    let printed =
        "$ docker compose --env-file .bottle/dev/.env -f .bottle/dev/docker-compose.yml up -d agent\n";
    assert!(err(&output).contains(printed), "{}", err(&output));
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
    let seen = std::fs::read_to_string(stack.root.join("environment")).unwrap();
    assert!(!seen.contains("elsewhere"), "{seen}");
    assert!(seen.contains("API_TOKEN=the-token"), "tokens come from the environment: {seen}");
}

#[test]
fn up_with_new_tokens_recreates_egress_proxy_first() {
    let stack = rendered();
    assert!(stack.command(&["up", "--rotate"]).env("API_TOKEN", "new").status().unwrap().success());
    assert_eq!(
        stack.asked()[..2],
        ["build --quiet netns", "up -d --wait --force-recreate --no-deps egress-proxy"]
    );
}

#[test]
fn a_bottle_without_routes_has_no_egress_proxy_to_wait_for() {
    let stack = stack("version: 1\nname: dev\nagent: {image: x}\negress: {allowlist: [a.example]}\n");
    stack.render(&[]);
    assert!(stack.run(&["up"]).status.success());
    assert_eq!(stack.asked()[0], "up -d --wait netns gate pipelock");
    let error = refused(&stack.run(&["up", "--rotate"]));
    assert!(error.contains("a bottle without routes has no egress-proxy and no tokens"), "{error}");
}

#[test]
fn up_says_when_the_cage_does_not_hold() {
    let stack = rendered();
    let lost = stack.command(&["up"]).env("FAILS", "bottle mounts").output().unwrap();
    assert!(
        refused(&lost).contains("a folder that the agent must not write is no longer protected"),
        "{}",
        err(&lost)
    );
    let dead = stack.command(&["up"]).env("FAILS", "healthcheck").output().unwrap();
    assert!(refused(&dead).contains("the agent lost its network namespace"), "{}", err(&dead));
    let ended = stack.command(&["up"]).env("AGENT", "").output().unwrap();
    assert!(
        ended.status.success() && err(&ended).contains("the agent's command has ended"),
        "{}",
        err(&ended)
    );
}

#[test]
fn a_failing_compose_is_an_error_and_the_agent_is_not_started() {
    let stack = rendered();
    std::fs::write(stack.root.join("log"), "routes.yaml: line 3: unknown key\n").unwrap();
    let mut up = stack.command(&["up"]);
    up.envs([("FAILS", "--wait"), ("PROXY", "egress-proxy running unhealthy"), ("API_TOKEN", "x")]);
    let output = up.output().unwrap();
    assert_eq!(refused(&output), "error: docker compose up failed (exit status: 1)");
    let said =
        "egress-proxy is running unhealthy; the last that it said:\nroutes.yaml: line 3: unknown key\n";
    assert!(err(&output).contains(said), "{}", err(&output));
    assert!(!stack.asked().iter().any(|asked| asked.ends_with(" agent")), "{:?}", stack.asked());
}

#[test]
fn what_is_not_rendered_here_is_not_started() {
    let stack = stack(MANIFEST);
    assert_eq!(
        refused(&stack.run(&["up"])),
        "error: .bottle/dev is not rendered on this machine; run `bottle render`"
    );
    stack.render(&[]);
    std::fs::remove_file(stack.root.join("project/.bottle/dev/.env")).unwrap();
    assert_eq!(
        refused(&stack.run(&["up"])),
        "error: .bottle/dev is not rendered on this machine; run `bottle render`"
    );
    assert!(stack.asked().is_empty());
}

#[test]
fn a_planted_override_a_copied_env_and_a_lost_state_are_refused() {
    let stack = rendered();
    let folder = stack.root.join("project/.bottle/dev");
    std::fs::write(folder.join("compose.override.yaml"), "services: {}\n").unwrap();
    assert!(refused(&stack.run(&["up"])).contains("compose.override.yaml is not bottle's"));
    std::fs::remove_file(folder.join("compose.override.yaml")).unwrap();
    let env = std::fs::read_to_string(folder.join(".env")).unwrap();
    let hash = env.split("bottle-dev-").nth(1).unwrap()[..6].to_owned();
    std::fs::write(folder.join(".env"), env.replace(&format!("bottle-dev-{hash}"), "bottle-dev-zzzzzz"))
        .unwrap();
    assert!(
        refused(&stack.run(&["up"]))
            .contains(".env was made for another folder (its project is bottle-dev-zzzzzz")
    );
    std::fs::write(folder.join(".env"), env).unwrap();
    std::fs::remove_dir_all(stack.root.join("state")).unwrap();
    assert!(refused(&stack.run(&["up"])).contains("is gone; run `bottle render`, then `bottle up`"));
    assert!(stack.asked().is_empty());
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
fn a_manifest_that_changed_is_a_note_and_the_stack_follows_the_tree() {
    let stack = rendered();
    let changed = MANIFEST.replace("[/v1]", "[/v1, /v2]");
    std::fs::write(stack.root.join("project/bottle.yaml"), changed).unwrap();
    let output = stack.run(&["up"]);
    assert!(output.status.success());
    let note = "note: bottle.yaml changed since the last render; the stack follows .bottle/dev\n";
    assert!(err(&output).contains(note), "{}", err(&output));
}

#[test]
fn run_ends_with_the_agents_own_exit_code() {
    let stack = rendered();
    let output =
        stack.command(&["run", "--", "sh", "-c", "exit 42"]).env("FAILS", " run ").env("WITH", "42").output();
    assert_eq!(output.unwrap().status.code(), Some(42));
    assert_eq!(
        stack.asked(),
        ["up -d --wait netns gate pipelock egress-proxy", "run --rm --no-deps -T agent sh -c exit 42"]
    );
}

#[test]
fn an_image_that_is_built_is_built_before_run_so_that_stdout_is_the_agents_alone() {
    let stack = stack(&MANIFEST.replace("image: debian:12", "build: {context: ./agent}"));
    std::fs::create_dir(stack.root.join("project/agent")).unwrap();
    stack.render(&[]);
    let output = stack.run(&["run", "--", "true"]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(
        stack.asked(),
        [
            "up -d --wait netns gate pipelock egress-proxy",
            "build agent",
            "run --help",
            "run --rm --no-deps --pull never -T agent true",
        ]
    );
    // One line, of `run` itself.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "chatter on stdout\n");
}

#[test]
fn what_docker_prints_is_shown_when_it_fails_or_is_asked_for_and_quiet_says_less() {
    let stack = rendered();
    let talk = |arguments: &[&str], fails: &str| {
        let output = stack.command(arguments).env("FAILS", fails).output().unwrap();
        let talk = err(&output);
        (talk.matches("chatter").count(), talk.matches("$ docker compose").count())
    };
    // The look at the agent is no chatter, and goes where it went.
    assert_eq!(talk(&["up"], ""), (0, 4));
    assert_eq!(talk(&["up", "--verbose"], ""), (2, 4));
    assert_eq!(talk(&["up", "--quiet"], ""), (0, 0));
    assert_eq!(talk(&["up"], "--wait"), (1, 1));
    assert_eq!(talk(&["up", "--quiet"], "--wait"), (1, 0));
    assert_eq!(talk(&["down"], ""), (0, 1));
}

#[test]
fn without_compose_it_is_said() {
    for verb in ["up", "run", "down", "reload"] {
        let stack = rendered();
        let output = stack.command(&[verb]).env("FAILS", "compose ").env("WITH", "125").output().unwrap();
        let wanted =
            "error: docker has no Compose for this user; `docker compose version` must say 2.24 or newer";
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
fn down_removes_the_image_that_the_stack_built() {
    let stack = rendered();
    assert!(stack.run(&["down"]).status.success());
    let env = std::fs::read_to_string(stack.root.join("project/.bottle/dev/.env")).unwrap();
    let project = env.lines().find_map(|line| line.strip_prefix("COMPOSE_PROJECT_NAME=")).unwrap();
    let removed = [format!("image inspect {project}:local"), format!("image rm {project}:local")];
    assert_eq!(stack.asked()[0], "--profile * down --remove-orphans");
    assert_eq!(stack.asked()[1..], removed);
}

#[test]
fn down_stops_what_was_started_here_whatever_the_agent_made_of_the_manifest() {
    for spoil in ["junk: [", "version: 1\nname: another\nagent: {image: a}\n", ""] {
        let stack = rendered();
        let project = stack.root.join("project");
        let started = format!(
            "bottle-dev-1 {project}/.bottle/dev\nbottle-dev-1 {project}/.bottle/dev\nbottle-dev-2 {}/.bottle/dev\n",
            stack.root.join("elsewhere")
        );
        std::fs::write(stack.root.join("started"), started).unwrap();
        match spoil {
            "" => std::fs::remove_file(project.join("bottle.yaml")).unwrap(),
            _ => std::fs::write(project.join("bottle.yaml"), spoil).unwrap(),
        }
        let output = stack.run(&["down"]);
        assert!(output.status.success(), "{}", err(&output));
        let said = err(&output);
        assert!(said.starts_with("note: ") && !said.contains("error["), "{said}");
        assert!(said.contains("; stopping what was started from this folder\n"), "{said}");
        assert_eq!(
            stack.asked()[1..],
            [
                "compose --project-name bottle-dev-1 --profile * down --remove-orphans",
                "image inspect bottle-dev-1:local",
                "image rm bottle-dev-1:local",
            ]
        );
        // Who names a manifest means that one and no other.
        let named = stack.run(&["down", "bottle.yaml"]);
        assert_eq!(named.status.code(), Some(2), "{}", err(&named));
        // Nothing was started: then what is wrong with the manifest is the answer.
        std::fs::write(stack.root.join("started"), "").unwrap();
        assert_eq!(stack.run(&["down"]).status.code(), Some(2));
    }
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

#[test]
fn denied_requests_come_with_file_line_and_the_missing_entry() {
    let stack = rendered();
    let record = |verdict: &str, path: &str| {
        format!(
            r#"{{"time":"2026-11-24T12:30:01Z","bottle":"dev","config":"c","connection":1,"method":"GET","scheme":"https","host":"api.example","port":443,"path":"{path}","verdict":"{verdict}","reason":"path_not_allowed","decided_by":"egress-proxy","source":"egress_proxy.routes[0]","request_bytes":0,"response_bytes":0,"complete":true,"duration_ms":1}}"#
        )
    };
    let log = format!(
        "{}\nnot a record\n{{\"level\":\"INFO\"}}\n{}\n",
        record("allow", "/v1"),
        record("deny", "/v2")
    );
    std::fs::write(stack.root.join("log"), log).unwrap();
    let output = stack.run(&["logs", "--denied"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "12:30:01  GET https://api.example/v2  path_not_allowed\n    \
         rule:  bottle.yaml:9 (egress_proxy.routes[0])\n    \
         to allow it:\n      egress_proxy.routes[0]:\n        path_allowlist: [..., /v2]\n"
    );
    assert_eq!(stack.asked(), ["logs --follow --no-log-prefix --no-color egress-proxy"]);
}

#[test]
fn in_a_bottle_without_routes_what_pipelock_refused_is_shown() {
    let (head, _) = MANIFEST.split_once("egress_proxy:").unwrap();
    let stack = stack(&format!("{head}egress: {{allowlist: [api.example]}}\n"));
    stack.render(&[]);
    let line = r#"{"level":"warn","time":"2026-11-25T00:30:48Z","component":"pipelock","event":"blocked","method":"CONNECT","target":"new.example:443","scanner":"domain_not_allowed","reason":"new.example is not in the allowlist"}"#;
    std::fs::write(stack.root.join("log"), format!("{line}\n")).unwrap();
    let output = stack.run(&["logs", "--denied"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with("00:30:48  CONNECT new.example:443  domain_not_allowed, by pipelock\n"),
        "{said}"
    );
    assert_eq!(stack.asked(), ["logs --follow --no-log-prefix --no-color pipelock"]);
}

#[test]
fn without_docker_it_is_said() {
    let stack = rendered();
    let output = stack.command(&["up"]).env("PATH", "/nonexistent").output().unwrap();
    let wanted = "error: can't run docker; it must be installed, with Compose 2.24 or newer: ";
    assert!(refused(&output).starts_with(wanted), "{}", err(&output));
}
