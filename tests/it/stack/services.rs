//! What runs beside an agent: a real database, which begins as root as its well-known images do.

use super::{
    harness::{self, IMAGES, docker, until},
    project::{Project, Stack},
};
use std::time::Duration;

const MANIFEST: &str = r#"agent: {image: "bottle-test-postgres:1", command: [sleep, infinity], user: "1000:1000", home: false}
services:
  db:
    image: bottle-test-postgres:1
    command:
      - bash
      - -ec
      - |
        data=/var/lib/postgresql/data
        if [ "$(id -u)" = 0 ]; then
          chown postgres:postgres "$data"
          chmod 700 "$data"
          exec setpriv --reuid=postgres --regid=postgres --init-groups bash -ec "$BASH_EXECUTION_STRING"
        fi
        PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
        [ -s "$data/PG_VERSION" ] || initdb --pgdata="$data" --auth=trust --no-sync >/dev/null
        exec postgres -D "$data" -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp
    env: {PGTZ: "$UTC"}
    volumes: [/var/lib/postgresql/data]
egress: {allowlist: [api.example]}
"#;

fn sql(stack: &Stack, statement: &str) -> Option<String> {
    let ran = stack
        .agent(&format!("psql -h 127.0.0.1 -U postgres --tuples-only --no-align --quiet -c '{statement}'"));
    (ran.code == Some(0)).then(|| ran.out.trim().to_owned())
}

#[track_caller]
fn answers(stack: &Stack, statement: &str) -> String {
    until("the database answers", Duration::from_mins(2), || sql(stack, statement))
}

fn in_service(stack: &Stack, script: &str) -> harness::Ran {
    docker(["exec", "--user", "0", &stack.container("db"), "sh", "-c", script])
}

#[test]
fn a_database_beside_the_agent_is_reached_on_loopback_stays_and_opens_nothing() {
    if !harness::available() {
        return;
    }
    let stack = Project::new("services", MANIFEST).render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    assert_eq!(answers(&stack, "CREATE TABLE t AS SELECT 42 AS x; SELECT x FROM t"), "42");

    // The agent's namespace, and so the agent's network: loopback.
    let namespace = stack.agent("readlink /proc/self/ns/net").ok().out;
    assert_eq!(in_service(&stack, "readlink /proc/self/ns/net").ok().out, namespace);
    assert_eq!(stack.inspect("{{.HostConfig.PortBindings}}")["db"], "map[]");
    // As uid 0 in the service: the five capabilities and no more, no way to the proxy's port or to a socket of the stack.
    let status = in_service(&stack, "grep -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status").ok().out;
    assert_eq!(status, "CapBnd:\t00000000000000cb\nNoNewPrivs:\t1\nSeccomp:\t2\n");
    let postgres =
        in_service(&stack, "grep CapEff /proc/$(head -1 /var/lib/postgresql/data/postmaster.pid)/status")
            .ok()
            .out;
    assert_eq!(postgres, "CapEff:\t0000000000000000\n", "the database itself has none");
    for attempt in [
        "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(LocalAddr => \"127.0.0.1:9099\", Listen => 1, ReuseAddr => 1, ReusePort => 1) or exit 1'",
        "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr => \"198.51.100.1:443\", Timeout => 3) or exit 1'",
        "ls /run/bottle /run/bottle-gate /run/bottle-upstream /etc/bottle",
        "mount -t tmpfs none /mnt",
        "mknod /tmp/sda b 8 0",
        "test -n \"$HTTPS_PROXY$https_proxy$ALL_PROXY\"",
    ] {
        let ran = in_service(&stack, attempt);
        assert!(![Some(0), Some(127)].contains(&ran.code), "{attempt}: {}", ran.text());
    }
    assert_eq!(in_service(&stack, "echo $PGTZ").ok().out, "$UTC\n", "literally");
    let verified = project.bottle(&["verify"]).ok();
    assert!(verified.out.contains("5 containers are what you agreed to"), "{}", verified.text());
    project.compose(&["run", "--rm", "attack"]).ok();
    assert!(project.bottle(&["ps"]).ok().out.contains("running (5)"));

    // What it keeps is there for the next one.
    project.bottle(&["down"]).ok();
    project.bottle(&["up"]).ok();
    assert_eq!(answers(&stack, "SELECT x FROM t"), "42");

    // Somebody else's container in its place is seen.
    let (holder, [project_label, service]) = (
        stack.container("netns"),
        [format!("{}={}", harness::PROJECT, stack.name), "com.docker.compose.service=db".to_owned()],
    );
    docker(["rm", "--force", &stack.container("db")]).ok();
    let (namespace, volume) = (format!("container:{holder}"), format!("{}_socket:/run/bottle", stack.name));
    let stranger = docker([
        "run",
        "--detach",
        "--label",
        &project_label,
        "--label",
        &service,
        "--network",
        &namespace,
        "--cap-add",
        "NET_ADMIN",
        "--volume",
        &volume,
        IMAGES[2],
        "sleep",
        "infinity",
    ])
    .ok()
    .out;
    let seen = project.bottle(&["verify"]).text();
    assert!(seen.contains("NET_ADMIN") && seen.contains("/run/bottle is one more"), "{seen}");
    assert!(seen.contains("/var/lib/postgresql/data is missing"), "{seen}");

    // Compose does not count it, and it holds a volume.
    docker(["rm", "--force", stranger.trim()]).ok();
    project.bottle(&["down", "--volumes"]).ok();
    let left = docker(["volume", "ls", "--quiet", "--filter", &format!("name={}_", stack.name)]).ok().out;
    assert_eq!(left, "");
}

/// The engine opens it before each start of a container, waits, and answers nobody who asks about the container.
const PIPE: &str = "rm -f /etc/passwd && mkfifo /etc/passwd";

#[test]
fn a_pipe_that_a_container_leaves_keeps_nobody_waiting() {
    if !harness::available() {
        return;
    }
    let stack = Project::new(
        "pipes",
        r#"agent: {image: "bottle-test-base:1", command: [sleep, infinity], user: root, home: false}
services:
  db: {image: "bottle-test-base:1", command: [sh, -c, "while ! test -e /tmp/go; do sleep 0.1; done; exit 3"]}
egress: {allowlist: [api.example]}
"#,
    )
    .render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    stack.agent_as("0", PIPE).ok();
    in_service(&stack, &format!("{PIPE} && touch /tmp/go")).ok();
    docker(["kill", &stack.container("agent")]).ok();
    let ended = |service: &str| {
        until("it ends", Duration::from_mins(2), || {
            (stack.inspect("{{.State.Status}}").get(service)? == "exited").then_some(())
        });
    };
    ended("db");
    ended("agent");
    let status = project.bottle(&["status"]);
    assert!(status.out.contains("db is exited"), "{}", status.text());

    project.bottle(&["up"]).ok();
    let plain = "test -f /etc/passwd";
    stack.agent_as("0", plain).ok();
    in_service(&stack, plain).ok();
    project.bottle(&["down"]).ok();
}

/// The same, of an image: nothing of it is started.
#[test]
fn an_image_with_a_pipe_starts_nothing() {
    const IMAGE: &str = "bottle-test-pipe:1";
    if !harness::available() {
        return;
    }
    let project = Project::new(
        "pipe-image",
        &format!(
            "agent: {{image: \"bottle-test-base:1\", command: [sleep, infinity], home: false}}\n\
             services: {{db: {{image: \"{IMAGE}\", command: [x]}}}}\n\
             egress: {{allowlist: [api.example]}}\n"
        ),
    );
    let script = format!(
        "mkdir -p ../root/etc && mkfifo ../root/etc/passwd && tar -c -C ../root . | docker import - {IMAGE}"
    );
    harness::run(project.command("sh").args(["-c", &script])).ok();
    let refused = |key: &str| {
        project.bottle(&["render", "--accept-widening"]).ok();
        let said = project.bottle(&["up"]);
        assert_eq!(said.code, Some(2), "{key}: {}", said.text());
        let why = format!(
            "/etc/passwd of the image {IMAGE} is no plain file, and Docker would wait for it; remove it from the image\n"
        );
        assert!(said.err.contains(&why), "{key}: {}", said.text());
    };
    refused("services");
    project.write_manifest(&format!(
        "agent: {{image: \"{IMAGE}\", command: [x], home: false}}\negress: {{allowlist: [api.example]}}\n"
    ));
    refused("agent");
    drop(project.adopt());
    docker(["image", "rm", IMAGE]).ok();
}

/// Such a volume would outlive the container, with what a service wrote where the engine reads.
#[test]
fn an_image_with_a_volume_where_the_engine_reads_starts_nothing() {
    const IMAGE: &str = "bottle-test-volume:1";
    if !harness::available() {
        return;
    }
    let project = Project::new(
        "volume-image",
        &format!(
            "agent: {{image: \"bottle-test-base:1\", command: [sleep, infinity], home: false}}\n\
             services: {{db: {{image: \"{IMAGE}\", command: [sleep, infinity]}}}}\n\
             egress: {{allowlist: [api.example]}}\n"
        ),
    );
    let link = "mkdir -p ../root/etc && ln -s etc ../root/link && ln -s /data/passwd ../root/etc/passwd \
                && tar -c -C ../root . | docker import - bottle-test-volume-base:1";
    harness::run(project.command("sh").args(["-c", link])).ok();
    let made = docker(["create", "bottle-test-volume-base:1", "x"]).ok().out;
    for (volume, why) in [
        (
            "/etc",
            "/etc of the image bottle-test-volume:1 is a volume, which would keep /etc/passwd for the next container",
        ),
        (
            "/link",
            "/link of the image bottle-test-volume:1 is a volume at /etc, where links of the image lead, which would",
        ),
        (
            "/data",
            "/etc/passwd of the image bottle-test-volume:1 is a link to /data/passwd, which is not the image's, and Docker \
             reads it at each start; make it a file",
        ),
        ("/srv", ""),
    ] {
        docker(["commit", "--change", &format!("VOLUME {volume}"), made.trim(), IMAGE]).ok();
        project.bottle(&["render", "--accept-widening"]).ok();
        let said = project.bottle(&["up"]);
        assert_eq!(said.err.contains("of the image"), !why.is_empty(), "{volume}: {}", said.text());
        assert!(said.err.contains(why), "{volume}: {}", said.text());
    }
    drop(project.adopt());
    docker(["rm", made.trim()]).ok();
    docker(["image", "rm", IMAGE, "bottle-test-volume-base:1"]).ok();
}
