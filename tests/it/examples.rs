//! Every example: its rendered tree is committed, so that a reader sees what `bottle render` writes, and these
//! tests hold it against what this program writes now, the compose-spec schema and Compose itself.
//!
//! After a wanted change: `UPDATE_EXAMPLES=1 cargo test --test it examples::` writes the trees anew.

use bottle::manifest::Manifest;
use bottle::plan::{Layout, Plan, Surroundings};
use bottle::render::{self, Tree};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::process::Command;

const EXAMPLES: [&str; 7] =
    ["claude-code", "github", "intranet", "many-hosts", "no-routes", "quickstart", "upstream-engine"];

fn folder(example: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example)
}

fn out(example: &str) -> Utf8PathBuf {
    folder(example).join(".bottle").join(example)
}

fn plan(example: &str) -> Plan {
    let folder = folder(example);
    let loaded = Manifest::load("bottle.yaml", &fs::read(folder.join("bottle.yaml")).unwrap()).unwrap();
    let extra_ca = loaded.manifest.pipelock.extra_ca.as_ref();
    let around = Surroundings {
        layout: Layout::beside(example),
        extra_ca: extra_ca.map(|file| fs::read_to_string(folder.join(file)).unwrap()),
        ..Surroundings::beside(example)
    };
    Plan::resolve(&loaded.manifest, &around).unwrap()
}

fn committed(example: &str) -> Tree {
    read_tree(&out(example))
}

fn read_tree(root: &Utf8Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name() != Some(".env") {
                tree.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    tree
}

fn write(example: &str, tree: &Tree) {
    for (name, bytes) in tree {
        let path = out(example).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn the_list_of_examples_is_complete() {
    let entries = folder("").read_dir_utf8().unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().join("bottle.yaml").exists());
    let mut found: Vec<String> = folders.map(|entry| entry.file_name().to_owned()).collect();
    found.sort();
    assert_eq!(found, EXAMPLES);
    let readme = fs::read_to_string(folder("README.md")).unwrap();
    assert!(EXAMPLES.iter().all(|example| readme.contains(&format!("({example}/bottle.yaml)"))), "{readme}");
}

#[test]
fn every_example_renders_to_its_committed_tree() {
    for example in EXAMPLES {
        let tree = render::tree(&plan(example), render::RenderTarget::Compose).unwrap();
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            write(example, &tree);
        }
        let committed = committed(example);
        assert_eq!(tree.keys().collect::<Vec<_>>(), committed.keys().collect::<Vec<_>>(), "{example}");
        for (name, bytes) in &tree {
            let (now, then) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&committed[name]));
            let diff = similar::TextDiff::from_lines(then.as_ref(), now.as_ref()).unified_diff().to_string();
            assert!(diff.is_empty(), "{example}/{name} is not what is rendered now:\n{diff}");
        }
    }
}

/// The same bytes in another folder, under another locale, umask and user name, from any working directory.
#[test]
fn the_binary_renders_the_same_bytes_anywhere() {
    let surroundings = [("a", "C", "022"), ("deeper/folder with spaces/b", "tr_TR.UTF-8", "077")];
    for example in EXAMPLES {
        for (place, locale, umask) in surroundings {
            let scratch = tempfile::tempdir().unwrap();
            let copy = scratch.path().join(place);
            fs::create_dir_all(&copy).unwrap();
            copy_inputs(&folder(example), Utf8Path::from_path(&copy).unwrap());
            let output = Command::new("sh")
                .args([
                    "-c",
                    "umask \"$1\" && shift && exec \"$@\"",
                    "sh",
                    umask,
                    env!("CARGO_BIN_EXE_bottle"),
                ])
                .args(["render", "--now", "2027-01-01", "--accept-widening"])
                .arg(copy.join("bottle.yaml"))
                .arg("--state")
                .arg(scratch.path().join("state"))
                .current_dir("/")
                .env("XDG_STATE_HOME", scratch.path().join("home"))
                .envs([("LC_ALL", locale), ("LANG", locale), ("USER", place), ("TZ", "Asia/Tokyo")])
                .output()
                .unwrap();
            assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
            let rendered =
                read_tree(Utf8Path::from_path(&copy).unwrap().join(".bottle").join(example).as_path());
            assert!(rendered == committed(example), "{example} in {place}");
        }
    }
}

/// A manifest and the files beside it, without what render made.
fn copy_inputs(from: &Utf8Path, to: &Utf8Path) {
    for entry in from.read_dir_utf8().unwrap().map(Result::unwrap) {
        let (name, path) = (entry.file_name(), entry.path());
        if name == ".bottle" {
            continue;
        }
        if path.is_dir() {
            fs::create_dir_all(to.join(name)).unwrap();
            copy_inputs(path, &to.join(name));
        } else {
            fs::copy(path, to.join(name)).unwrap();
        }
    }
}

/// What `bottle plan` says of the stack is what the compose file holds.
#[test]
fn the_plan_names_the_services_and_networks_of_the_compose_file() {
    for example in EXAMPLES {
        let plan = plan(example);
        let compose: serde_json::Value = compose(example);
        let names = |key: &str| compose[key].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let services: Vec<&str> = plan.services().iter().map(|it| it.name).collect();
        let networks: Vec<&str> = plan.networks().iter().map(|it| it.name).collect();
        assert_eq!(names("services"), services, "{example}");
        assert_eq!(names("networks"), networks, "{example}");
        for service in plan.services() {
            let written = &compose["services"][service.name];
            let (mode, networks) = match service.network {
                bottle::plan::Reach::None => ("none".into(), serde_json::Value::Null),
                bottle::plan::Reach::Agent => ("service:netns".into(), serde_json::Value::Null),
                bottle::plan::Reach::Relay => ("service:pipelock-relay".into(), serde_json::Value::Null),
                bottle::plan::Reach::Networks(list) => (serde_json::Value::Null, list.into()),
            };
            assert_eq!((&written["network_mode"], &written["networks"]), (&mode, &networks), "{example}");
        }
    }
}

fn compose(example: &str) -> serde_json::Value {
    serde_yaml::from_slice(&committed(example)[Utf8Path::new("docker-compose.yml")]).unwrap()
}

#[test]
fn every_compose_file_fits_the_compose_specification() {
    let schema = serde_json::from_str(include_str!("../data/compose-spec/compose-spec.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for example in EXAMPLES {
        let problems: Vec<String> = validator
            .iter_errors(&compose(example))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{example}:\n{}", problems.join("\n"));
    }
    let wrong = serde_json::json!({ "services": { "agent": { "imagee": "x" } } });
    assert!(!validator.is_valid(&wrong), "the schema would take anything");
}

/// Whether `docker compose` can be asked; where CI is set it must be there.
#[expect(clippy::print_stderr, reason = "what is skipped is said")]
pub(crate) fn compose_is_here(otherwise: &str) -> bool {
    let version = Command::new("docker").args(["compose", "version"]).output();
    let here = version.is_ok_and(|output| output.status.success());
    if !here {
        assert!(std::env::var_os("CI").is_none(), "CI needs `docker compose`");
        eprintln!("skipped: `docker compose` is absent, so {otherwise}");
    }
    here
}

/// Compose reads every example, and stops with what to do where `bottle render` has not run.
#[test]
fn compose_reads_every_example() {
    if !compose_is_here("no rendered file is held against Compose itself") {
        return;
    }
    for example in EXAMPLES {
        let config = |set: bool| {
            let mut command = Command::new("docker");
            command.args(["compose", "--file", out(example).join("docker-compose.yml").as_str()]);
            // The file that a person's `bottle render` left here says something else.
            command.args(["--env-file", "/dev/null", "config", "--quiet"]);
            for name in bottle::state::ENV_VARIABLES {
                command.env_remove(name);
            }
            if set {
                command.envs(bottle::state::ENV_VARIABLES.map(|name| (name, "1")));
                command.env("COMPOSE_PROJECT_NAME", "render-config").env("BOTTLE_STATE", "/nonexistent");
            }
            let output = command.output().unwrap();
            (output.status.success(), String::from_utf8(output.stderr).unwrap())
        };
        let (ok, said) = config(true);
        assert!(ok, "{example}: {said}");
        assert_eq!(said, "", "{example}");
        let (ok, said) = config(false);
        assert!(!ok && said.contains("run bottle render"), "{example}: {said}");
    }
}

/// The committed tree says nothing about who rendered it, and where.
#[test]
fn a_tree_holds_nothing_of_the_machine() {
    for example in EXAMPLES {
        for (name, bytes) in committed(example) {
            let text = String::from_utf8(bytes).unwrap();
            for trace in [env!("CARGO_MANIFEST_DIR"), "/home/me/", "/root/", "/var/lib/"] {
                assert!(!text.contains(trace), "{example}/{name}: {trace}");
            }
        }
    }
}
