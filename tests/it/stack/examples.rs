//! Every example comes up as it is, with an image of ours where it names one that has to be fetched.

use super::{
    harness::{self, run},
    internet,
    project::{Project, made_up},
    upstream_engine,
};
use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Images that no registry is there for, and what takes their place.
const IN_PLACE: [(&str, &str); 2] = [
    ("agent:local", "FROM bottle-test-base:1\n"),
    ("claude-code", "FROM bottle-test-claude:1\nRUN useradd --create-home node\n"),
];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Copies an example, names its bottle as tests do, and starts it.
fn comes_up(example: &str, tokens: &[&'static str]) {
    let mut project = Project::new(example, "");
    let folder = project.folder();
    let mut copy = Command::new("cp");
    copy.arg("-R").arg(examples().join(example).join(".")).arg(&folder);
    run(&copy).ok();
    let _ = fs::remove_dir_all(folder.join(".bottle")); // rendered under another name
    let manifest = fs::read_to_string(folder.join("bottle.yaml")).unwrap();
    let named = format!("\nname: {example}\n");
    assert!(manifest.contains(&named), "{example} is not called so");
    let manifest = manifest.replace(&named, &format!("\nname: {}\n", project.name));
    let manifest =
        manifest.replace("image: pipelock:local", &format!("image: {}", upstream_engine::STAND_IN));
    let manifest = on_our_internet(&manifest.replace(IN_PLACE[0].0, harness::IMAGES[0]));
    fs::write(folder.join("bottle.yaml"), manifest).unwrap();
    if example == IN_PLACE[1].0 {
        fs::write(folder.join("agent/Dockerfile"), IN_PLACE[1].1).unwrap();
    }
    for &name in tokens {
        project.tokens.insert(name, made_up("token-"));
    }
    let stack = project.render();
    stack.project.bottle(&["up"]).ok();
    let mut states = stack.inspect("{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}");
    states.remove("agent"); // it may end when it likes
    states.remove("home"); // it has ended
    assert_eq!(states.remove("netns").unwrap().trim_end(), "running", "nobody asks it");
    if states.contains_key("pipelock-relay") {
        assert_eq!(states.remove("pipelock").unwrap().trim_end(), "running", "its relay is asked");
    }
    assert!(states.len() >= 2 && states.values().all(|state| state == "running healthy"), "{states:?}");
    // The origins of most examples are not there, which the suite says; what matters is that nothing got through.
    let attack = stack.project.compose(&[
        "run",
        "--rm",
        "--no-deps",
        "-T",
        "attack",
        "attack",
        "--self",
        "--format",
        "json",
    ]);
    let findings: serde_json::Value = serde_json::from_str(&attack.out).unwrap();
    let outcomes: Vec<&str> =
        findings.as_array().unwrap().iter().map(|finding| finding["outcome"].as_str().unwrap()).collect();
    assert!(outcomes.iter().filter(|it| **it == "held").count() >= 12, "{}", attack.text());
    assert!(!outcomes.contains(&"broken"), "{}", attack.text());
}

/// Leads what would leave for the Internet, or for a network of the example's own, to the network of these tests,
/// which has no way out.
fn on_our_internet(manifest: &str) -> String {
    let network = format!("  network: {}\n", internet::NETWORK);
    if let Some((before, after)) = manifest.split_once("\n  network: ") {
        let (_, rest) = after.split_once('\n').unwrap();
        let own = ["10.213.7.0/24", "10.214.7.0/24"];
        let moved =
            |text: &str| own.iter().fold(text.to_owned(), |text, it| text.replace(it, internet::subnet()));
        format!("{}\n{network}{}", moved(before), moved(rest))
    } else if manifest.contains("\negress:\n") {
        manifest.replace("\negress:\n", &format!("\negress:\n{network}"))
    } else {
        format!("{manifest}\negress:\n{network}")
    }
}

#[test]
fn quickstart_comes_up_and_holds() {
    if harness::available() {
        comes_up("quickstart", &["QUICKSTART_TOKEN"]);
    }
}

#[test]
fn claude_code_comes_up_and_holds() {
    if harness::available() {
        comes_up("claude-code", &["CLAUDE_CODE_OAUTH_TOKEN"]);
    }
}

#[test]
fn github_comes_up_and_holds() {
    if harness::available() {
        comes_up("github", &["GITHUB_TOKEN"]);
    }
}

#[test]
fn no_routes_comes_up_and_holds() {
    if harness::available() {
        comes_up("no-routes", &[]);
    }
}

#[test]
fn intranet_comes_up_and_holds() {
    if harness::available() {
        comes_up("intranet", &["FORGE_TOKEN"]);
    }
}

#[test]
fn many_hosts_comes_up_and_holds() {
    if harness::available() {
        comes_up("many-hosts", &["MANY_HOSTS_KEY_0", "MANY_HOSTS_KEY_1"]);
    }
}

#[test]
fn upstream_engine_comes_up_and_holds() {
    if harness::available() {
        upstream_engine::build_stand_in();
        comes_up("upstream-engine", &["THINGS_KEY"]);
    }
}

#[test]
fn no_example_is_forgotten() {
    let this = include_str!("examples.rs");
    for entry in fs::read_dir(examples()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(
            !entry.path().join("bottle.yaml").exists() || this.contains(&format!("comes_up(\"{name}\"")),
            "no test starts examples/{name}"
        );
    }
}
