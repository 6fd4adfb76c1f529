//! The Internet of these tests: one container that answers for every host, on a network without a way out.
//!
//! A stack reaches it by the keys that a user has for an intranet: `egress.network`, `addresses` and
//! `pipelock.extra_ca`. There is no other way in.

use super::harness::{self, PROJECT, docker, until};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

/// The Docker network.
pub(super) const NETWORK: &str = "bottle-test-internet";
/// Names of the one container; each is in its certificate.
pub(super) const HOSTS: [&str; 7] = [
    "api.anthropic.com",
    "api.github.com",
    "github.com",
    "api.quickstart.test",
    "files.quickstart.test",
    "guarded.quickstart.test",
    "unlisted.quickstart.test",
];
/// The container.
const ORIGIN: &str = "bottle-test-internet-origin";

/// The certificate authority of every host.
pub(super) fn ca() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/origin/ca.pem")
}

/// The network's addresses: the first range that nothing else on this machine has.
pub(super) fn subnet() -> &'static str {
    static SUBNET: OnceLock<String> = OnceLock::new();
    SUBNET.get_or_init(|| {
        let label = format!("{PROJECT}={NETWORK}");
        let made = |subnet: &String| {
            let make = ["network", "create", "--internal", "--subnet", subnet, "--label", &label, NETWORK];
            docker(make).code == Some(0)
        };
        (0..=255).map(|n| format!("10.213.{n}.0/24")).find(made).expect("no range is free for the network")
    })
}

/// Starts it once in a run.
pub(super) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let repositories = repositories();
        let label = format!("{PROJECT}={NETWORK}");
        subnet();
        let mounts =
            [format!("{}:/origin:ro", built().display()), format!("{}:/git", repositories.display())];
        let aliases = HOSTS.map(|host| ["--network-alias", host]).concat();
        let start = [
            &["run", "--detach", "--name", ORIGIN, "--label", &label, "--network", NETWORK][..],
            &aliases,
            // Whoever runs the tests owns the repositories, and git serves only its own.
            &[
                "--env",
                "GIT_CONFIG_COUNT=1",
                "--env",
                "GIT_CONFIG_KEY_0=safe.directory",
                "--env",
                "GIT_CONFIG_VALUE_0=*",
            ],
            &["--volume", &mounts[0], "--volume", &mounts[1], harness::IMAGES[0]],
            &["/origin", "--bodies", "--git-root", "/git"],
            &HOSTS,
        ];
        docker(start.concat()).ok();
        until("the origin is ready", Duration::from_mins(2), || log().contains("\"ready\"").then_some(()));
    });
}

/// Another origin, for as long as this lives.
pub(super) struct Another {
    container: String,
}

impl Another {
    /// The first of the hosts names the container.
    pub(super) fn start(options: &[&str], hosts: &[&str]) -> Self {
        Self::named(hosts[0], None, options, hosts)
    }

    /// One that serves `FILES/HOST/PATH`.
    pub(super) fn of_files(container: &str, files: &Path, hosts: &[&str]) -> Self {
        Self::named(container, Some(files), &["--files", "/files", "--bodies"], hosts)
    }

    fn named(container: &str, files: Option<&Path>, options: &[&str], hosts: &[&str]) -> Self {
        let label = format!("{PROJECT}={NETWORK}");
        let program = format!("{}:/origin:ro", built().display());
        let files = files.map(|files| format!("{}:/files:ro", files.display()));
        let run = ["run", "--detach", "--rm", "--name", container, "--label", &label, "--network", NETWORK];
        let aliases = hosts.iter().flat_map(|host| ["--network-alias", host]);
        let mounts = ["--volume", &program].into_iter().chain(files.iter().flat_map(|it| ["--volume", it]));
        let what = [harness::IMAGES[0], "/origin"];
        let all = run.into_iter().chain(aliases).chain(mounts).chain(what).chain(options.iter().copied());
        docker(all.chain(hosts.iter().copied())).ok();
        until("the other origin is ready", Duration::from_mins(2), || {
            docker(["logs", container]).out.contains("\"ready\"").then_some(())
        });
        Self { container: container.to_owned() }
    }

    /// What it said so far.
    pub(super) fn log(&self) -> String {
        docker(["logs", &self.container]).out
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        docker(["rm", "--force", &self.container]);
    }
}

/// What the origin said so far, one JSON object a line.
pub(super) fn log() -> String {
    docker(["logs", ORIGIN]).out
}

/// The requests that reached the origin for a path, in order: `method`, `host`, `path`, `credentials`.
pub(super) fn seen(path: &str) -> Vec<Value> {
    log()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["event"] == "request")
        .map(|mut line| line["seen"].take())
        .filter(|seen| seen["path"].as_str().is_some_and(|it| it.starts_with(path)))
        .collect()
}

/// The program, built from the example as it is now.
fn built() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_bottle")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "origin"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let ran = build.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    folder.join("examples/origin")
}

/// Branches of the big repository: as many wants make a fetch request that git compresses.
const BRANCHES: usize = 60;

/// What the origin serves over git. `acme/app.git`: a pack of over 20 MB that does not compress.
/// `acme/small.git`: one commit.
fn repositories() -> PathBuf {
    let root = harness::folder().join("git");
    fs_err::create_dir(&root).unwrap();
    let script = format!(
        r#"
        set -eu
        export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
        export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.test GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.test
        git init --quiet --initial-branch=main work
        cd work
        head -c 22000000 /dev/urandom >big.bin
        echo app >README
        git add . && git commit --quiet --message=big
        for n in $(seq {BRANCHES}); do git commit --quiet --allow-empty --message="$n"; git branch "topic-$n"; done
        git clone --quiet --bare . ../acme/app.git
        git init --quiet --initial-branch=main ../little
        cd ../little
        echo small >README && git add . && git commit --quiet --message=small
        git clone --quiet --bare . ../acme/small.git
        cd .. && rm -rf work little
        for repository in acme/*.git; do git -C "$repository" config http.receivepack true; done
        "#
    );
    harness::run(Command::new("sh").args(["-c", &script]).current_dir(&root)).ok();
    root
}
