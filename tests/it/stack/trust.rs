//! Nothing that the agent can write is believed on the host. Each test plays the agent, uid 0 with the project mounted
//! writable or as a branch of a repository, and the person on the host, who reads one sentence.

use super::{
    harness::{self, Ran, docker, until},
    internet::{NETWORK, subnet},
    project::{Project, Stack, made_up},
};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use std::{os::unix::fs::MetadataExt as _, process::Stdio, time::Duration};

const SOON: Duration = Duration::from_mins(2);

/// `{agent}` stands for what else the agent has.
fn manifest(agent: &str) -> String {
    let subnet = subnet();
    format!(
        "agent:
  command: [sleep, infinity]
  user: \"0\"
  workdir: /work
{agent}
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [/v1/things]
      addresses: [{subnet}]
      auth: {{scheme: Bearer, token_ref: THINGS_KEY}}
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
"
    )
}

const IMAGE: &str = "  image: bottle-test-base:1\n  mounts: [{source: ., target: /work}]";
const BUILT: &str = "  build: {context: ./docker/agent}
  mounts:
    - {source: ., target: /work}
    - {source: ./data, target: /data}";

fn project(claim: &str, agent: &str) -> Project {
    let project = Project::new(claim, &manifest(agent)).token("THINGS_KEY", "things-");
    for folder in ["data", "docker/agent"] {
        fs::create_dir_all(project.folder().join(folder)).unwrap();
    }
    let dockerfile = "FROM bottle-test-base:1\nRUN echo agreed > /marker\n";
    fs::write(project.folder().join("docker/agent/Dockerfile"), dockerfile).unwrap();
    project
}

/// A command that must not start anything, and what it says.
fn refused(ran: &Ran) -> String {
    assert_eq!(ran.code, Some(2), "{}", ran.text());
    ran.text()
}

/// The ids of everything that runs of a project.
fn running(stack: &Stack) -> String {
    let label = format!("label=com.docker.compose.project={}", stack.name);
    docker(["ps", "--quiet", "--filter", &label]).ok().out
}

#[test]
fn what_a_branch_brings_is_not_what_starts() {
    if !harness::available() {
        return;
    }
    let stack = project("branch", IMAGE).up();
    let project = &stack.project;
    // The person's repository, with the rendered tree in it.
    let git = |script: &str| {
        harness::run(project.command("sh").args(["-c", &format!("export HOME=/nonexistent; {script}")]))
    };
    git("git init --quiet . && git add -A && git -c user.name=p -c user.email=p@p commit --quiet -m all")
        .ok();
    // The agent can't write `.bottle`, and needn't: it puts another tree on a branch, by the index alone.
    let tree = format!(".bottle/{}", project.name);
    let plant = format!(
        "cd /work && export HOME=/tmp && git config --global safe.directory '*' && git checkout --quiet -b evil && \
         sed 's|type: bind, source: ../.., target: /work|type: bind, source: /, target: /work|; \
         s|cap_drop: .ALL.|privileged: true|' {tree}/docker-compose.yml > /tmp/evil.yml && \
         blob=$(git hash-object -w /tmp/evil.yml) && \
         git update-index --cacheinfo 100644,$blob,{tree}/docker-compose.yml && \
         git -c user.name=a -c user.email=a@a commit --quiet -m evil && git update-ref refs/heads/evil HEAD && \
         git symbolic-ref HEAD refs/heads/master"
    );
    stack.agent(&plant).ok();
    let before = running(&stack);
    git("git checkout --quiet --force evil").ok();
    let compose = fs::read_to_string(project.out().join("docker-compose.yml")).unwrap();
    assert!(compose.contains("privileged: true"), "the attack is not there: {compose}");
    for verb in [&["up"][..], &["run", "--", "true"], &["reload"]] {
        let said = refused(&project.bottle(verb));
        for part in [
            "is not what you agreed to:\n",
            "! docker-compose.yml says what this version of bottle does not render",
            "privileged: true",
            "`bottle render` writes what",
        ] {
            assert!(said.contains(part), "{verb:?}: {part:?} is not in {said}");
        }
    }
    assert_eq!(running(&stack), before, "something was started or stopped");
    let verified = project.bottle(&["verify"]);
    assert_eq!(verified.code, Some(1), "{}", verified.text());
    // Stopping is never refused.
    project.bottle(&["down"]).ok();
    assert_eq!(running(&stack), "");
}

#[test]
fn a_manifest_that_is_committed_with_its_own_tree_is_asked_about() {
    if !harness::available() {
        return;
    }
    let stack = project("widened", IMAGE).up();
    let project = &stack.project;
    // Rendered elsewhere, by the same binary: the bytes are right, and the checksums as well.
    let wider = manifest(&IMAGE.replace("source: .,", "source: /etc,"))
        .replace("network:", "dlp_action: warn, network:");
    let twin = Project::new("widened", &wider).token("THINGS_KEY", "things-");
    twin.bottle(&["render", "--accept-widening"]).ok();
    project.write_manifest(&wider);
    for file in ["docker-compose.yml", "pipelock/pipelock.yaml"] {
        fs::copy(twin.out().join(file), project.out().join(file)).unwrap();
    }
    project.bottle(&["render", "--check"]).ok();
    let said = refused(&project.bottle(&["up"]));
    for part in [
        "  ! the agent reads and writes /etc of this machine, outside of the project, as /work (before: `.`, writable)\n",
        "  ! a request that carries a secret passes and is only logged (dlp_action: warn)\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let asked = project.bottle(&["render"]);
    assert_eq!(asked.code, Some(1), "{}", asked.text());
    assert!(asked.text().contains("! the agent reads and writes /etc of this machine"), "{}", asked.text());
    let mounts = docker(["inspect", "--format", "{{json .Mounts}}", &stack.container("agent")]).ok().out;
    assert!(!mounts.contains(r#""Source":"/etc""#), "{mounts}");
}

#[test]
fn a_state_and_a_sealed_tree_that_the_agent_planted_start_nothing() {
    if !harness::available() {
        return;
    }
    let stack = project("planted-state", IMAGE).up();
    let project = &stack.project;
    // A manifest, a tree with good checksums and a state that names its folder, all inside the project.
    let evil = manifest(&IMAGE.replace("source: .,", "source: /,"));
    let name = "test-evil";
    let text = format!("version: 1\nname: {name}\n{}", evil.replace("pipelock: {extra_ca: ./ca.pem}\n", ""));
    let inner = project.folder().join("src");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("bottle.yaml"), text).unwrap();
    let elsewhere = project.folder().join("planted");
    let tree = inner.join(".bottle").join(name);
    fs::create_dir_all(&tree).unwrap();
    fs::create_dir_all(elsewhere.join("agreed")).unwrap();
    for file in ["docker-compose.yml", "bottle.lock", ".gitignore", ".gitattributes", "seccomp.json"] {
        fs::copy(project.out().join(file), tree.join(file)).unwrap();
    }
    fs::write(elsewhere.join("out"), format!("{}\n", tree.display())).unwrap();
    let env = format!(
        "COMPOSE_PROJECT_NAME=bottle-{name}-000000\nBOTTLE_STATE={}\nBOTTLE_USER=0\nBOTTLE_CA=0\n",
        elsewhere.display()
    );
    fs::write(tree.join(".env"), env).unwrap();
    for verb in [&["up"][..], &["run"], &["reload"], &["render", "--accept-widening"]] {
        let ran = harness::run(project.command(env!("CARGO_BIN_EXE_bottle")).current_dir(&inner).args(verb));
        let said = refused(&ran);
        assert!(said.contains("bottle.yaml is not picked up: the agent of"), "{verb:?}: {said}");
    }
    // Named, it is a bottle that was never rendered, and a render shows all of it.
    let named = refused(&project.bottle(&["up", "src/bottle.yaml"]));
    assert!(named.contains("is not rendered on this machine by you"), "{named}");
    let asked = project.bottle(&["render", "src/bottle.yaml"]);
    assert_ne!(asked.code, Some(0), "{}", asked.text());
    assert!(docker(["ps", "--all", "--quiet", "--filter", "name=test-evil"]).ok().out.is_empty());
}

#[test]
fn pinned_folders_stay_where_they_are_and_what_is_built_is_the_agreed_copy() {
    if !harness::available() {
        return;
    }
    let stack = project("pins", BUILT).render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    assert_eq!(stack.agent("cat /marker").ok().out, "agreed\n");
    for attempt in [
        "mv /work/docker /work/docker.old",
        "mv /work/docker/agent /work/docker/old",
        "mv /work/data /work/data.old",
        "rm -rf /work/data; test ! -e /work/data",
        "mkdir /work/x && mv -T --exchange /work/x /work/data",
        "echo 'FROM scratch' > /work/docker/agent/Dockerfile",
    ] {
        let ran = stack.agent(attempt);
        assert_ne!(ran.code, Some(0), "{attempt}: {}", ran.text());
    }
    stack.agent("echo x > /work/docker/mine && rm /work/docker/mine && echo y > /work/data/mine").ok();
    // On the host nothing pins them: a branch, a person, another program.
    let context = project.folder().join("docker/agent/Dockerfile");
    fs::write(&context, "FROM bottle-test-base:1\nRUN echo planted > /marker\n").unwrap();
    let ran = project.bottle(&["run", "--", "cat", "/marker"]).ok();
    assert_eq!(ran.out, "agreed\n", "{}", ran.text());
    assert!(ran.err.contains("files that the agent's image is built from changed since"), "{}", ran.err);
    let asked = project.bottle(&["render"]);
    assert_eq!(asked.code, Some(1));
    for part in ["changed: Dockerfile", "-RUN echo agreed > /marker", "+RUN echo planted > /marker"] {
        assert!(asked.text().contains(part), "{part}: {}", asked.text());
    }
    // By hand as well.
    project.compose(&["build", "agent"]).ok();
    let by_hand = project.compose(&["run", "--rm", "--no-deps", "-T", "agent", "cat", "/marker"]).ok();
    assert!(by_hand.out.ends_with("agreed\n"), "{}", by_hand.out);
}

/// Two bottles of one project: the agent of one can write what the other mounts, and can't put another folder there.
#[test]
fn what_a_sibling_mounts_is_pinned_as_well() {
    if !harness::available() {
        return;
    }
    let stack = project("sibling", IMAGE).render();
    let project = &stack.project;
    let other = "version: 1\nname: test-other\nagent: {image: bottle-test-base:1, mounts: [{source: ./docker/agent, \
                 target: /d}]}\negress: {allowlist: [a.example]}\n";
    fs::write(project.folder().join("other.bottle.yaml"), other).unwrap();
    project.bottle(&["render", "--accept-widening", "other.bottle.yaml"]).ok();
    project.bottle(&["up"]).ok();
    for attempt in ["mv /work/docker /work/x", "mv /work/docker/agent /work/docker/x", "rm -rf /work/docker"]
    {
        let ran = stack.agent(attempt);
        assert!(ran.code != Some(0) && ran.text().contains("busy"), "{attempt}: {}", ran.text());
    }
    project.bottle(&["verify"]).ok();
    project.bottle(&["run", "--", "true"]).ok();
}

/// The agent that runs was started before the folder was to be mounted, so it holds no pin on it, and chooses the moment
/// of its own end: it could exchange the folder for a link while the next container starts.
#[test]
fn an_agent_that_could_move_a_new_source_ends_before_it_is_mounted() {
    if !harness::available() {
        return;
    }
    let stack = project("mover", IMAGE).render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    stack.agent("mkdir /work/cache && mv /work/cache /work/x && mv /work/x /work/cache").ok();
    let more = IMAGE.replace("target: /work}]", "target: /work}, {source: ./cache, target: /cache}]");
    project.write_manifest(&manifest(&more));
    project.bottle(&["render", "--accept-widening"]).ok();
    let said = refused(&project.bottle(&["run", "--", "true"]));
    assert!(said.contains("can put something else in the place of"), "{said}");
    let before = stack.container("agent");
    project.bottle(&["up"]).ok();
    assert_ne!(stack.container("agent"), before);
    assert_ne!(stack.agent("mv /work/cache /work/x").code, Some(0), "it is pinned now");
    project.bottle(&["run", "--", "true"]).ok();
    // A bottle beside it: its agent is a person's to end, or to start again with the pin.
    let other = "version: 1\nname: test-beside\nagent: {image: bottle-test-base:1, command: [sleep, infinity], mounts: \
                 [{source: ./data, target: /d}]}\negress: {allowlist: [a.example]}\n";
    fs::write(project.folder().join("beside.bottle.yaml"), other).unwrap();
    project.bottle(&["render", "--accept-widening", "beside.bottle.yaml"]).ok();
    let said = refused(&project.bottle(&["up", "beside.bottle.yaml"]));
    assert!(said.contains("can put something else in the place of") && said.contains(&stack.name), "{said}");
    project.bottle(&["up"]).ok();
    let beside = project.bottle(&["up", "beside.bottle.yaml"]);
    project.bottle(&["down", "test-beside"]).ok();
    assert_eq!(beside.code, Some(0), "{}", beside.text());
}

#[test]
fn a_source_that_is_swapped_on_the_host_is_refused_before_and_seen_after() {
    if !harness::available() {
        return;
    }
    let stack = project("swap", BUILT).render();
    let project = &stack.project;
    let data = project.folder().join("data");
    fs::remove_dir(&data).unwrap();
    symlink("/etc", &data).unwrap();
    for verb in [&["up"][..], &["run", "--", "true"]] {
        let said = refused(&project.bottle(verb));
        assert!(said.contains("goes through the link"), "{verb:?}: {said}");
    }
    assert_eq!(running(&stack), "");
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    project.bottle(&["up"]).ok();
    project.bottle(&["verify"]).ok();
    // Under a running agent: the kernel shows another folder than the one that was agreed to.
    fs::rename(&data, project.folder().join("old")).unwrap();
    fs::create_dir(&data).unwrap();
    for verb in [&["up"][..], &["run", "--", "true"]] {
        let said = refused(&project.bottle(verb));
        assert!(said.contains("does not see what it must") && said.contains("/data"), "{verb:?}: {said}");
        assert!(said.contains("then: bottle down, and bottle up"), "{said}");
    }
    let verified = project.bottle(&["verify"]);
    assert_eq!(verified.code, Some(1), "{}", verified.text());
    project.bottle(&["down"]).ok();
    project.bottle(&["up"]).ok();
}

#[test]
fn an_agent_in_a_dead_namespace_is_told_from_one_behind_the_gate() {
    if !harness::available() {
        return;
    }
    let stack = project("namespace", IMAGE).render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    // The agent can kill what it likes of its own; nothing of that is asked.
    stack.agent("kill -9 -1").ok();
    until("the agent has ended or goes on", SOON, || Some(()));
    project.bottle(&["up"]).ok();
    // The port is held by a process that is not the agent's, also while the gate is dead.
    let gate = stack.container("gate");
    docker(["stop", "--time=1", &gate]).ok();
    let bind = "import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); \
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind(('127.0.0.1', 9099))";
    let taken = stack.agent(&format!("python3 -c \"{bind}\""));
    assert!(taken.code != Some(0) && taken.text().contains("Address already in use"), "{}", taken.text());
    docker(["start", &gate]).ok();
    // A new namespace, and the agent stays in the old one, where it can be its own gate.
    docker(["restart", "--time=1", &stack.container("netns")]).ok();
    stack
        .agent(&format!("python3 -c \"{bind}; s.listen(); import time; time.sleep(600)\" >/dev/null 2>&1 &"))
        .ok();
    let said = refused(&project.bottle(&["up"]));
    assert!(said.contains("is in another network namespace than the gate"), "{said}");
    project.bottle(&["down"]).ok();
    project.bottle(&["up"]).ok();
}

#[test]
fn a_stack_is_found_and_stopped_after_its_folder_was_renamed() {
    if !harness::available() {
        return;
    }
    let stack = project("renamed", IMAGE).render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    let (old, new) = (project.folder(), project.folder().with_file_name("new"));
    fs::rename(&old, &new).unwrap();
    let bottle = |arguments: &[&str], folder: &std::path::Path| {
        harness::run(project.command(env!("CARGO_BIN_EXE_bottle")).current_dir(folder).args(arguments))
    };
    let listed = bottle(&["ps"], std::path::Path::new("/")).ok();
    assert!(listed.out.contains(&stack.name), "{}", listed.text());
    assert!(listed.out.contains("the folder was renamed or is gone"), "{}", listed.text());
    let up = bottle(&["up"], &new);
    assert!(refused(&up).contains("run `bottle render` here"));
    fs::remove_file(new.join("bottle.yaml")).unwrap();
    bottle(&["down"], &new).ok();
    assert_eq!(running(&stack), "");
    fs::rename(&new, &old).unwrap();
}

#[test]
fn a_session_that_is_told_to_end_leaves_nothing() {
    if !harness::available() {
        return;
    }
    let stack = project("sigterm", IMAGE).render();
    let project = &stack.project;
    let mut session = project
        .command(env!("CARGO_BIN_EXE_bottle"))
        .args(["run", "--", "sleep", "600"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let name = format!("name={}-run-", stack.name);
    let sessions = || docker(["ps", "--quiet", "--filter", &name]).ok().out;
    until("the session runs", SOON, || (!sessions().is_empty()).then_some(()));
    let pid = rustix::process::Pid::from_raw(session.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(session.wait().unwrap().code(), Some(143));
    until("the session's container is gone", SOON, || sessions().is_empty().then_some(()));
}

#[test]
fn the_audit_trail_outlives_tokens_containers_and_the_manifest() {
    if !harness::available() {
        return;
    }
    let mut stack = project("trail", IMAGE).render();
    stack.project.bottle(&["up"]).ok();
    let marks = [made_up(""), made_up("")];
    let get = |stack: &Stack, path: &str| {
        stack.agent(&format!("curl --silent --output /dev/null https://api.quickstart.test{path}")).ok()
    };
    get(&stack, &format!("/v1/things/{}", marks[0]));
    get(&stack, &format!("/denied/{}", marks[1]));
    stack.project.tokens.insert("THINGS_KEY", made_up("things-"));
    stack.project.bottle(&["up", "--rotate"]).ok();
    stack.project.bottle(&["down"]).ok();
    fs::write(stack.project.folder().join("bottle.yaml"), "junk: [").unwrap();
    let denied = stack.project.bottle(&["logs", "--denied", "--no-follow"]).ok();
    assert!(denied.out.contains(&marks[1]) && !denied.out.contains(&marks[0]), "{}", denied.text());
    let sent = fs::read_to_string(stack.project.host_state().join("audit/egress-proxy/sent.jsonl")).unwrap();
    let of_request = |event: &str| sent.lines().any(|it| it.contains(&marks[0]) && it.contains(event));
    assert!(of_request(r#""event":"dispatch""#) && of_request(r#""event":"end""#), "{sent}");
    let behind = fs::read_to_string(stack.project.host_state().join("audit/pipelock/sent.jsonl")).unwrap();
    assert!(behind.contains(&marks[0]), "{behind}");
}

/// Compose adds what the Docker client's configuration says of proxies to every service that does not set it.
#[test]
fn a_password_in_the_docker_clients_configuration_reaches_no_container_and_no_build() {
    if !harness::available() {
        return;
    }
    let mut project = project("client", BUILT);
    let dockerfile = "FROM bottle-test-base:1\nRUN env > /build-env\n";
    fs::write(project.folder().join("docker/agent/Dockerfile"), dockerfile).unwrap();
    let folder = project.folder().with_file_name("docker-config");
    fs::create_dir(&folder).unwrap();
    let secret = made_up("p");
    let proxy = format!("http://user:{secret}@proxy.test:3128");
    let config = serde_json::json!({"proxies": {"default": {
        "httpProxy": proxy, "httpsProxy": proxy, "ftpProxy": proxy, "allProxy": proxy, "noProxy": secret,
    }}});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let plugins = std::path::Path::new(&std::env::var("HOME").unwrap()).join(".docker/cli-plugins");
    if plugins.exists() {
        symlink(plugins, folder.join("cli-plugins")).unwrap();
    }
    project.tokens.insert("DOCKER_CONFIG", folder.to_str().unwrap().to_owned());
    let stack = project.render();
    stack.project.bottle(&["up"]).ok();
    let seen = stack.inspect("{{json .Config.Env}}");
    assert!(seen.len() >= 5 && seen.values().all(|env| !env.contains(&secret)), "{seen:?}");
    let built = stack.agent("cat /build-env").ok().out;
    assert!(built.contains("PATH=") && !built.contains(&secret), "{built}");
    let attack = stack.agent("/run/bottle/bottle attack --self --format json");
    let findings: serde_json::Value = serde_json::from_str(&attack.out).unwrap();
    let proxies = findings.as_array().unwrap().iter().find(|it| it["name"] == "environment/proxies").unwrap();
    assert_eq!(proxies["outcome"], "held", "{proxies}");
}

#[test]
fn what_the_agent_makes_belongs_to_the_owner_of_the_folder() {
    if !harness::available() {
        return;
    }
    let (own, rest) = ("  user: \"0\"\n", manifest(IMAGE));
    let project = Project::new("owner", &rest.replace(own, "")).token("THINGS_KEY", "things-");
    std::os::unix::fs::chown(project.folder(), Some(23457), Some(23458)).unwrap();
    let stack = project.render();
    stack.project.bottle(&["up"]).ok();
    assert_eq!(stack.agent("id -u; id -g; echo x > /work/made").ok().out, "23457\n23458\n");
    let made = fs::metadata(stack.project.folder().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (23457, 23458));
}

#[test]
fn a_command_that_the_image_lacks_is_said_as_that() {
    if !harness::available() {
        return;
    }
    let stack = project("no-command", &IMAGE.replace("mounts:", "read_only: true\n  mounts:")).render();
    let ran = stack.project.bottle(&["run", "--", "no-such-program"]);
    assert_ne!(ran.code, Some(0));
    assert!(
        ran.err.contains("note: exit code 127: the command is not in the agent's image"),
        "{}",
        ran.text()
    );
    for alarm in ["no longer protected", "does not see what it must", "namespace"] {
        assert!(!ran.err.contains(alarm), "{}", ran.text());
    }
    let failed = stack.project.bottle(&["run", "--", "sh", "-c", "exit 7"]);
    assert_eq!(failed.code, Some(7), "{}", failed.text());
}

/// Sixty requests whose bodies never end, each a few bytes that stand for a window of 8 MiB.
const HOLD: &str = r"
import socket, ssl, time
trust = ssl.create_default_context(cafile='/etc/bottle/trust/ca-bundle.pem')
body = bytes.fromhex('28b52ffd0068' + '02001061')
head = b'POST /v1/things/held HTTP/1.1\r\nHost: api.quickstart.test\r\nContent-Encoding: zstd\r\nContent-Length: 99999\r\n\r\n'
held = []
for n in range(60):
    tcp = socket.create_connection(('127.0.0.1', 9099))
    tcp.sendall(b'CONNECT api.quickstart.test:443 HTTP/1.1\r\nHost: api.quickstart.test:443\r\n\r\n')
    tcp.recv(4096)
    tls = trust.wrap_socket(tcp, server_hostname='api.quickstart.test')
    tls.sendall(head + body)
    held.append(tls)
print('held', flush=True)
time.sleep(600)
";

/// A few bytes of zstd stand for a window of 8 MiB, and one client holds sixty such bodies open.
#[test]
fn a_client_that_holds_decoded_bodies_open_takes_no_memory_from_others() {
    if !harness::available() {
        return;
    }
    let stack = project("memory", IMAGE).up();
    fs::write(stack.project.folder().join("hold.py"), HOLD).unwrap();
    stack.agent("python3 /work/hold.py > /tmp/held 2>&1 &").ok();
    until("all bodies are held", Duration::from_mins(4), || {
        let said = stack.agent("cat /tmp/held").ok().out;
        assert!(!said.contains("Error"), "{said}");
        said.contains("held").then_some(())
    });
    for _ in 0..5 {
        let url = format!("https://api.quickstart.test/v1/things/{}", made_up(""));
        let ran = stack.agent(&format!(
            "curl --silent --max-time 20 --data x --output /dev/null --write-out '%{{http_code}}' {url}"
        ));
        assert_eq!(ran.out, "200", "{}", ran.text());
    }
    let pipelock = docker([
        "inspect",
        "--format",
        "{{.RestartCount}} {{.State.OOMKilled}}",
        &stack.container("pipelock"),
    ]);
    assert_eq!(pipelock.ok().out.trim(), "0 false");
    // The first proxy that decodes them is egress-proxy, which looks for its own credentials in them.
    let records = stack.project.host_state().join("audit/egress-proxy/denied.jsonl");
    let why = |line: &str| line.contains("/held") && line.contains("limit_reached");
    until("those who hold are refused with a reason", SOON, || {
        fs::read_to_string(&records).unwrap_or_default().lines().any(why).then_some(())
    });
}
