//! Nothing that an agent, a container or a file can say reaches a person's terminal unescaped: every verb, both
//! formats, with hostile text in every place that it can come from.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Clears the screen, sets the title, goes back to the line's start, reorders, hides, and is 8-bit CSI at the end.
const STEERS: &str = "\u{1b}[2J\u{1b}]0;t\u{7}\r\u{202e}\u{200b}\u{e0041}\u{feff}\u{9b}31m";
/// The part of it that a file system, YAML and bottle's own rules let into a name.
const HIDES: &str = "\u{202e}\u{200b}\u{e0041}\u{feff}\u{2066}\u{ad}\u{fe0f}";

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
      reason: because
";

/// Says hostile things on both streams whatever it is asked, and plays along.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in
  "ps --all --quiet "*) exit 0 ;;
  *" ps --all "*) printf 'gate running \033[2Junwell\nagent running healthy\n'; exit 0 ;;
  *" ps -q --status running agent") exit 0 ;;
  "ps --all --filter label=bottle.name "*) cat "$DIR/started" 2>/dev/null; exit 0 ;;
  *" ps "*"--services") printf 'netns\ngate\npipelock\negress-proxy\nagent\n'; cat "$DIR/talk" >&2 ;;
  *" ps "*) printf 0123 ;;
  *" run --help") echo "--pull string" ;;
  *" logs "*) cat "$DIR/log" "$DIR/talk"; cat "$DIR/talk" >&2 ;;
  *" run "*) ;;
  *) cat "$DIR/talk"; cat "$DIR/talk" >&2 ;;
esac
case "$*" in *"${FAILS:-never}"*) exit 1 ;; esac
exit 0
"#;

struct Site {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    project: Utf8PathBuf,
}

fn site_in(folder: &str, manifest: &str) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    let project = root.join(folder);
    fs_err::create_dir_all(&project).unwrap();
    fs_err::create_dir(root.join("bin")).unwrap();
    let mut elf = vec![0_u8; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
    fs_err::write(root.join("image-binary"), elf).unwrap();
    fs_err::write(root.join("bin/docker"), DOCKER).unwrap();
    fs_err::set_permissions(root.join("bin/docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
    fs_err::write(project.join("bottle.yaml"), manifest).unwrap();
    let site = Site { root, project, _dir: dir };
    site.docker_says(STEERS.as_bytes());
    site
}

fn site(manifest: &str) -> Site {
    site_in("project", manifest)
}

impl Site {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        let path = format!("{}:{}", self.root.join("bin"), std::env::var("PATH").unwrap());
        command.current_dir(&self.project).env("PATH", path).env("DIR", &self.root);
        command.env("XDG_STATE_HOME", self.root.join("state")).env_remove("API_TOKEN");
        command.stdin(Stdio::null()).args(arguments);
        command
    }

    /// Text around it, an unfinished character at its end.
    fn docker_says(&self, text: &[u8]) {
        let talk = [b"docker says ", text, b"\xff\r\n", text, b" \xe2\x80"].concat();
        fs_err::write(self.root.join("talk"), talk).unwrap();
        fs_err::write(self.root.join("log"), "").unwrap();
    }

    fn render(&self) -> String {
        let image = self.root.join("image-binary");
        shown(&mut self.command(&["render", "--accept-widening", "--image-binary", image.as_str()]))
    }

    /// What the proxies left on the host.
    fn audit(&self, lines: &str) {
        let states = self.root.join("state/bottle").read_dir_utf8().unwrap();
        let state = states.map(|entry| entry.unwrap().into_path()).find(|path| path.is_dir()).unwrap();
        fs_err::write(state.join("audit/egress-proxy/denied.jsonl"), lines).unwrap();
    }

    fn out(&self) -> Utf8PathBuf {
        self.project.join(".bottle/dev")
    }

    /// What every verb says, in both formats; each output was looked at.
    fn every_verb(&self, arguments: &[&str]) -> String {
        self.every_verb_where(arguments, "never")
    }

    /// The same where each command of Docker's fails whose arguments hold a text.
    fn every_verb_where(&self, arguments: &[&str], fails: &str) -> String {
        let verbs: &[&[&str]] = &[
            &["plan"],
            &["render", "--check"],
            &["render", "--accept-widening"],
            &["render"],
            &["up", "--verbose"],
            &["run"],
            &["explain", "GET", "https://api.example/v2"],
            &["test"],
            &["logs"],
            &["logs", "--services", "--no-follow"],
            &["status"],
            &["logs", "--denied", "--no-follow"],
            &["reload"],
            &["verify"],
            &["down"],
        ];
        let image = self.root.join("image-binary");
        let mut said = String::new();
        for verb in verbs {
            for format in ["text", "json"] {
                let mut command = self.command(verb);
                command.args(arguments).args(["--format", format]).env("FAILS", fails);
                if verb[0] == "render" && verb.get(1) != Some(&"--check") {
                    command.arg("--image-binary").arg(&image);
                }
                said += &shown(&mut command);
            }
        }
        said
    }
}

/// What a command printed, on both streams, after a look for what must not be in it.
fn shown(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes);
        let text = text.unwrap_or_else(|_| panic!("{command:?}: {}", String::from_utf8_lossy(bytes)));
        assert!(!text.contains(steers), "{command:?}: {text:?}");
    }
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// A list of its own: the one that is tested must not judge itself.
fn steers(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(u32::from(c),
            0xad | 0x61c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfe00..=0xfe0f | 0xfeff
            | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0xe0000..=0x0010_ffff)
}

fn escaped(said: &str) {
    assert!(said.contains(r"\u{202e}") && said.contains(r"\u202e"), "{said}");
}

#[test]
fn docker_and_containers_say_nothing_that_steers() {
    let site = site(MANIFEST);
    site.render();
    let record = serde_json::json!({
        "time": "2026-11-24T12:30:01Z", "bottle": "dev", "config": "c", "connection": 1, "method": "GET",
        "scheme": "https", "host": "api.example", "port": 443, "path": format!("/v2{STEERS}\nrule:"),
        "verdict": "deny", "reason": "path_not_allowed", "decided_by": "egress-proxy",
        "source": "egress_proxy.routes[0]", "request_bytes": 0, "response_bytes": 0, "complete": true,
        "duration_ms": 1,
    });
    let blocked = serde_json::json!({
        "level": "warn", "component": "pipelock", "time": "2026-11-24T12:30:01Z", "event": "blocked", "method": "GET", "target": STEERS, "scanner": "dlp",
        "reason": format!("{STEERS}\nto allow it: everything"),
    });
    site.audit(&format!("{record}\n{blocked}\n"));
    escaped(&site.every_verb(&[]));
    for fails in ["compose", " -d --wait", "/bottle reload", "image rm"] {
        escaped(&site.every_verb_where(&[], fails));
    }
    let logs = shown(&mut site.command(&["logs", "--services", "--no-follow"]));
    assert_eq!(logs.matches(r"docker says \u{1b}[2J\u{1b}]0;t\u{7}\u{d}\u{202e}").count(), 2, "{logs}");
    assert!(logs.contains("\\u{9b}31m\\xff\n") && logs.contains(r" \xe2\x80"), "{logs}");
    let denied = shown(&mut site.command(&["logs", "--denied", "--no-follow", "--format", "json"]));
    let path = denied.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let paths: Vec<_> = path.filter_map(|value| value["path"].as_str().map(str::to_owned)).collect();
    assert_eq!(paths, [format!("/v2{STEERS}\nrule:")], "JSON keeps the value");
    let denied = shown(&mut site.command(&["logs", "--denied", "--no-follow"]));
    assert!(
        !denied.lines().any(|line| line.starts_with("rule:") || line.starts_with("to allow")),
        "{denied}"
    );
}

#[test]
fn names_of_folders_and_manifests_say_nothing_that_steers() {
    let site = site_in(&format!("pro{HIDES}ject"), MANIFEST);
    let own = format!("a{HIDES}.bottle.yaml");
    fs_err::rename(site.project.join("bottle.yaml"), site.project.join(&own)).unwrap();
    let image = site.root.join("image-binary");
    let rendered =
        shown(&mut site.command(&["render", "--accept-widening", &own, "--image-binary", image.as_str()]));
    assert!(rendered.contains(r"Next: bottle run a\u{202e}\u{200b}"), "{rendered}");
    escaped(&site.every_verb(&[&own]));
    escaped(&site.every_verb(&[site.project.as_str()]));
    // Several, of which one steers.
    let evil = format!("b{STEERS}\nnote: fine.bottle.yaml");
    fs_err::write(site.project.join(&evil), MANIFEST).unwrap();
    for arguments in
        [vec![site.project.as_str()], vec!["."], vec![evil.as_str()], vec!["absent\u{1b}[2J\n.yaml"]]
    {
        escaped_name(&site.every_verb(&arguments));
    }
}

/// A line break in a name begins no line.
fn escaped_name(said: &str) {
    assert!(said.contains(r"\u{1b}[2J") && said.contains(r"\u{a}"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("note: fine")), "{said}");
}

#[test]
fn what_a_manifest_says_steers_nothing() {
    let quoted = r"\e[2J\a\r\u202E\u200B\U000E0041\x9B31m\n";
    let hidden = HIDES;
    for (what, from, to) in [
        ("reason", "reason: because", format!("reason: \"x{quoted}\"")),
        ("reason, raw", "reason: because", format!("reason: x{hidden}")),
        ("mount", "source: .,", format!("source: \"./x{quoted}\",")),
        ("mount, raw", "source: .,", format!("source: ./x{hidden},")),
        ("command", "image: debian:12", format!("image: debian:12\n  command: [\"x{quoted}\", x{hidden}]")),
        ("env", "image: debian:12", format!("image: debian:12\n  env: {{A: \"x{quoted}\", B: x{hidden}}}")),
        ("env name", "image: debian:12", format!("image: debian:12\n  env: {{\"x{quoted}\": y}}")),
        ("image", "image: debian:12", format!("image: \"x{quoted}\"")),
        ("dockerfile", "image: debian:12", format!("build: {{context: ./a, dockerfile: x{hidden}}}")),
        ("path", "[/v1]", format!("[\"/v1{quoted}\", /v{hidden}]")),
        ("key", "name: dev", format!("name: dev\n\"x{quoted}\": 1\nx{hidden}: 2")),
        ("raw bytes", "reason: because", format!("reason: \"{STEERS}\"")),
    ] {
        assert!(MANIFEST.contains(from));
        let site = site(&MANIFEST.replace(from, &to));
        let said = site.render() + &site.every_verb(&[]);
        assert!(said.to_lowercase().contains("202e"), "{what}: {said}");
    }
}

#[test]
fn what_lies_in_the_rendered_folder_steers_nothing() {
    let edited = site(MANIFEST);
    edited.render();
    let compose = edited.out().join("docker-compose.yml");
    let text = fs_err::read_to_string(&compose).unwrap();
    fs_err::write(&compose, text.clone() + &format!("# {STEERS} \u{1b}[8mhidden\n")).unwrap();
    let diff = shown(&mut edited.command(&["render", "--check"]));
    assert!(diff.contains(r"-# \u{1b}[2J\u{1b}]0;t\u{7}\u{d}\u{202e}"), "{diff}");
    edited.every_verb(&[]);

    let foreign = site(MANIFEST);
    foreign.render();
    fs_err::write(foreign.out().join(format!("x{STEERS}\nnote: fine.yaml")), "services: {}\n").unwrap();
    escaped_name(&foreign.every_verb(&[]));

    let linked = site(MANIFEST);
    linked.render();
    symlink("/etc/passwd", linked.out().join(format!("l{STEERS}\nnote: fine.yaml"))).unwrap();
    escaped_name(&linked.every_verb(&[]));

    let env = site(MANIFEST);
    env.render();
    let path = env.out().join(".env");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, format!("{text}EVIL{}=1\n", STEERS.replace('\r', ""))).unwrap();
    escaped(&env.every_verb(&[]));
}

#[test]
fn arguments_steer_nothing() {
    let site = site(MANIFEST);
    for arguments in [
        vec!["plan", "--x\u{1b}[2J\u{202e}"],
        vec!["\u{1b}[2J\u{202e}"],
        vec!["explain", "GE\u{1b}[2J\u{202e}T", "https://api.example/"],
        vec!["explain", "GET", "https://api\u{1b}[2J\u{202e}.example/\u{202e}"],
        vec!["explain", "GET", "https://api.example/\u{1b}[2J\u{202e}"],
        vec!["explain", "GET", "https://api.example/", "--rendered", "\u{1b}[2J\u{202e}"],
        vec!["explain", "GET", "https://api.example/", "--body", "\u{1b}[2J\u{202e}"],
        vec!["render", "--now", "\u{1b}[2J\u{202e}"],
        vec!["healthcheck", "--url", "http://\u{1b}[2J\u{202e}/"],
        vec!["gate", "\u{1b}[2J\u{202e}"],
    ] {
        for format in ["text", "json"] {
            let said = shown(site.command(&arguments).args(["--format", format]));
            assert!(said.contains(r"\u{202e}") || said.contains(r"\u202e"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn colour_is_the_only_thing_that_escapes_for_itself() {
    let site = site(&MANIFEST.replace("name: dev", &format!("name: \"D{HIDES}\"")));
    let output = site.command(&["plan", "--color", "always"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\u{1b}[") && said.contains(r"\u{202e}"), "{said:?}");
    let colours = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    let plain = colours.replace_all(&said, "");
    assert!(!plain.contains(steers), "{plain:?}");
}

#[test]
fn what_is_no_plain_file_is_refused_at_once_and_its_text_stays_unknown() {
    let site = site(MANIFEST);
    site.render();
    let manifest = site.project.join("bottle.yaml");
    let secret = site.root.join("secret");
    fs_err::write(&secret, "root:the-secret-line: [\n").unwrap();
    let outside = Utf8Path::new("../secret");
    fs_err::remove_file(&manifest).unwrap();
    symlink(outside, &manifest).unwrap();
    let said = site.every_verb(&[]);
    assert!(!said.contains("the-secret-line"), "{said}");
    let link = "error: bottle.yaml is a symbolic link, which bottle does not follow: an agent could have put it there; \
                remove it, or name the file that it leads to\n";
    assert!(said.contains(link), "{said}");
    fs_err::remove_file(&manifest).unwrap();
    let made = Command::new("mkfifo").arg(&manifest).status().unwrap();
    assert!(made.success());
    // A verb that waits for the pipe hangs here.
    let said = site.every_verb(&[]);
    let pipe = "error: bottle.yaml is a pipe and no file: an agent could have put it there; remove it, or name a file\n";
    assert!(said.contains(pipe), "{said}");
}

#[test]
fn a_rendered_tree_is_read_without_links_and_pipes() {
    let site = site(MANIFEST);
    site.render();
    let explain = ["explain", "GET", "https://api.example/v1", "--rendered", ".bottle/dev"];
    assert!(shown(&mut site.command(&explain)).starts_with("allowed: "));
    let routes = site.out().join("egress-proxy/routes.yaml");
    let kept = site.root.join("kept");
    fs_err::rename(&routes, &kept).unwrap();
    symlink(&kept, &routes).unwrap();
    let said = shown(&mut site.command(&explain));
    assert!(
        said.contains("egress-proxy/routes.yaml is a symbolic link, which bottle does not follow"),
        "{said}"
    );
    fs_err::remove_file(&routes).unwrap();
    assert!(Command::new("mkfifo").arg(&routes).status().unwrap().success());
    let said = shown(&mut site.command(&explain));
    assert!(said.contains("egress-proxy/routes.yaml is a pipe, which bottle does not follow"), "{said}");
    fs_err::remove_file(&routes).unwrap();
    fs_err::File::create(&routes).unwrap().set_len(2 << 30).unwrap();
    let said = shown(&mut site.command(&explain));
    assert!(said.contains("egress-proxy/routes.yaml is larger than 16 MiB"), "{said}");
    let said = shown(&mut site.command(&["explain", "GET", "https://a.example/", "--rendered", "."]));
    assert!(said.contains("pipelock/pipelock.yaml is not there; is . a rendered tree?"), "{said}");
}

/// What may reach a stream without the printer, and why.
const AROUND: &[(&str, &str, &str)] = &[
    ("sinks.rs", "stdout()", "the printer itself"),
    ("sinks.rs", "stderr()", "the printer itself"),
    ("passed_on_output.rs", "stdout()", "escapes what it passes on"),
    ("passed_on_output.rs", "stderr()", "escapes what it passes on"),
    ("passed_on_output.rs", ".spawn()", "with both streams as pipes"),
    ("held_back_output.rs", ".spawn()", "with both streams as pipes"),
    ("agreed_stack.rs", "stderr()", "handed to `held_back_output`, which escapes"),
    ("compare.rs", "stderr()", "asked whether it is a terminal"),
    ("down.rs", "stderr()", "handed to `held_back_output`, which escapes"),
    ("run.rs", ".spawn()", "`bottle run`: the terminal is the agent's own"),
    ("attach.rs", ".status()", "`bottle attach`: the terminal is the agent's own"),
    ("exec.rs", ".status()", "`bottle exec`: the terminal is the command's own"),
    ("docker.rs", ".spawn()", "with both streams as pipes"),
    ("image_places.rs", ".spawn()", "with both streams as pipes"),
    ("settings_hash.rs", ".spawn()", "with both streams as pipes"),
    ("movers.rs", ".spawn()", "with no stream at all"),
    (
        "token_sources.rs",
        ".spawn()",
        "the person's own program, which may ask for a password; its answer is a pipe",
    ),
    ("editor.rs", ".status()", "`bottle approve --edit`: the terminal is the person's own editor's"),
    ("terminal.rs", "stdout()", "asks whether it is a terminal"),
    ("init.rs", "stderr()", "asks whether it is a terminal"),
    ("terminal.rs", "stderr()", "asks whether it is a terminal, and puts it right behind an agent"),
    ("mod.rs", "stderr()", "asks whether it is a terminal"),
    ("pipelock.rs", "stdout()", "events of a service, JSON lines for machines; `bottle logs` escapes them"),
];

#[test]
fn nothing_in_cli_writes_around_the_sinks() {
    let way = regex::Regex::new(
        r"\bstdout\(\)|\bstderr\(\)|\be?print(ln)?!|Stdio::inherit|\.spawn\(\)|\.exec\(\)|\.status\(\)",
    )
    .unwrap();
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli")];
    let mut met = std::collections::BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs_err::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for found in way.find_iter(line) {
                let known = AROUND.iter().find(|(file, way, _)| *file == name && *way == found.as_str());
                let known =
                    known.unwrap_or_else(|| panic!("{name} writes around the sinks: {}", line.trim()));
                met.insert(*known);
            }
        }
    }
    for exception in AROUND {
        assert!(met.contains(exception), "{exception:?} is allowed and does not happen");
    }
}
