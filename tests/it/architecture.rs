//! The direction of every dependency between the crate's modules: who may say `crate::<module>`.

mod circles;

use fs_err as fs;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Module → the modules that it may reach. A module that is missing here fails the test.
const ALLOWED: &[(&str, &[&str])] = &[
    ("agent_home", &[]),
    ("programs", &[]),
    ("policy", &[]),
    ("masking", &["dlp"]),
    ("yaml", &["masking"]),
    ("fields", &["policy"]),
    ("clock", &[]),
    ("codes", &[]),
    ("content_coding", &[]),
    ("dlp", &[]),
    ("printable", &[]),
    ("json_schema", &[]),
    ("diagnostic", &["masking", "printable"]),
    ("socket", &[]),
    ("stack", &[]),
    ("gate", &["socket"]),
    ("system_calls", &[]),
    ("jail", &["system_calls"]),
    ("kernel_view", &[]),
    ("telemetry", &["clock", "json_schema"]),
    ("pki", &["clock"]),
    ("config", &["stack", "policy", "yaml", "diagnostic", "dlp"]),
    (
        "manifest",
        &["stack", "codes", "policy", "fields", "yaml", "diagnostic", "dlp", "json_schema", "masking"],
    ),
    ("plan", &["stack", "manifest", "policy", "diagnostic"]),
    ("lock", &["manifest", "yaml"]),
    ("dockerfile", &["lock"]),
    ("lint", &["dlp", "lock", "manifest", "plan", "policy", "diagnostic"]),
    ("render", &["stack", "plan", "policy", "config", "yaml", "manifest", "diagnostic", "system_calls"]),
    ("tree", &["render", "diagnostic", "yaml", "printable"]),
    ("capability", &["stack", "config", "dlp", "plan", "render", "manifest", "policy"]),
    ("state", &["plan", "pki", "clock", "tree", "printable"]),
    ("consent", &["tree", "capability", "render", "state", "printable", "programs"]),
    ("git", &["programs"]),
    ("git_gate", &["policy", "dlp", "printable"]),
    ("init", &["masking", "plan", "policy", "printable", "yaml"]),
    (
        "review",
        &[
            "capability",
            "consent",
            "diagnostic",
            "json_schema",
            "manifest",
            "plan",
            "policy",
            "printable",
            "render",
            "tree",
        ],
    ),
    ("verdict", &["policy", "fields", "content_coding", "config", "dlp"]),
    ("intercept", &["policy", "fields", "pki", "clock", "telemetry", "config", "socket"]),
    ("runtime", &["intercept", "config", "telemetry", "clock", "pki"]),
    (
        "egress_proxy",
        &[
            "runtime",
            "intercept",
            "verdict",
            "git_gate",
            "content_coding",
            "config",
            "policy",
            "pki",
            "telemetry",
            "clock",
            "dlp",
            "socket",
        ],
    ),
    ("supervise", &["clock", "config", "egress_proxy", "manifest", "policy", "printable", "tree", "verdict"]),
    (
        "pipelock",
        &[
            "runtime",
            "intercept",
            "verdict",
            "content_coding",
            "config",
            "policy",
            "pki",
            "telemetry",
            "clock",
            "dlp",
            "socket",
        ],
    ),
    (
        "explain",
        &[
            "patch",
            "policy",
            "manifest",
            "plan",
            "render",
            "config",
            "yaml",
            "tree",
            "verdict",
            "fields",
            "intercept",
            "pipelock",
            "dlp",
        ],
    ),
    ("junit", &["printable"]),
    ("expectations", &["explain", "manifest", "policy", "diagnostic"]),
    ("replay", &["explain", "plan", "policy", "telemetry"]),
    ("report", &["explain", "json_schema", "printable", "replay", "telemetry"]),
    ("attack", &["stack", "dlp", "junit"]),
    ("patch", &["capability", "policy", "telemetry", "verdict", "yaml"]),
    ("cli", &["*"]),
];

fn rust_files(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn module_of(file: &Path, src: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

#[test]
fn dependencies_between_modules_run_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let reach = regex::Regex::new(r"\bcrate::(\w+)").unwrap();
    let grouped = regex::Regex::new(r"use crate::\{").unwrap();
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let module = module_of(&file, &src);
        if module == "main" || module == "lib" {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("module {module} is not listed"));
        let text = fs::read_to_string(&file).unwrap();
        if grouped.is_match(&text) {
            wrong.push(format!("{}: write `use crate::<module>::…`, one module a line", file.display()));
        }
        for found in reach.captures_iter(&text) {
            let target = &found[1];
            if target != module && !may.contains(&"*") && !may.contains(&target) {
                wrong.push(format!("{}: {module} must not reach {target}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&src).unwrap().with_extension("");
            (name.to_str().unwrap().to_owned(), fs::read_to_string(file).unwrap())
        })
        .filter(|(name, _)| name != "main")
        .collect();
    let circles = circles::Modules::new(texts.iter().map(|(name, text)| (&**name, &**text))).circles();
    assert!(
        circles.is_empty(),
        "move what both need to one of the files, or to a file of its own: {circles:?}"
    );
}

/// Nothing that links OpenSSL, ring or a second HTTP client may enter the graph.
#[test]
fn the_graph_holds_one_tls_stack_and_one_http_client() {
    let banned = ["openssl", "openssl-sys", "native-tls", "reqwest", "ureq", "isahc"];
    let lock = include_str!("../../Cargo.lock");
    for name in banned {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} is in Cargo.lock");
    }
}

/// A program that is started by its name is looked for where no agent can write: `programs::command` alone does that.
#[test]
fn no_program_is_looked_for_by_the_path_as_it_is() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let is_test = |file: &Path| file.iter().any(|part| part == "tests" || part == "tests.rs");
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !is_test(file)) {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap();
        // In the cage the attack suite runs what is there, and the jail the agent's own program.
        if ["programs.rs", "attack/syscalls.rs", "jail/agent.rs"].contains(&name) {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        found.extend(code.contains("Command::new(").then(|| name.to_owned()));
    }
    assert!(found.is_empty(), "use `programs::command` in {found:?}");
}

fn table<'a>(manifest: &'a toml::Table, name: &str) -> impl Iterator<Item = (String, toml::Value)> + 'a {
    manifest[name].as_table().unwrap().iter().map(|(key, value)| (key.clone(), value.clone()))
}

/// The fuzz targets are built of what the tests have built already, which is so only while all features are the same.
#[test]
fn the_fuzz_crate_has_the_dependencies_of_this_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let parsed = |path: &str| read(path).parse::<toml::Table>().unwrap();
    let (ours, fuzz) = (parsed("Cargo.toml"), parsed("fuzz/Cargo.toml"));
    let theirs: BTreeMap<_, _> = table(&fuzz, "dependencies").collect();
    for name in ["dependencies", "dev-dependencies"] {
        for (key, value) in table(&ours, name).filter(|(key, _)| key != "tokio") {
            assert_eq!(theirs.get(&key), Some(&value), "{key} in fuzz/Cargo.toml: copy it from Cargo.toml");
        }
    }
    assert_eq!(ours["profile"]["dev"], fuzz["profile"]["dev"]);
    let versions = |path: &str| {
        let packages = parsed(path)["package"].as_array().unwrap().clone();
        let of = |it: &toml::Value| format!("{:?} {:?}", it["name"], it["version"]);
        packages.iter().map(of).filter(|it| !it.contains("\"bottle")).collect::<BTreeSet<_>>()
    };
    let (ours, fuzz) = (versions("Cargo.lock"), versions("fuzz/Cargo.lock"));
    let missing: Vec<_> = ours.difference(&fuzz).collect();
    assert!(missing.is_empty(), "fuzz/Cargo.lock lacks {missing:?}: see fuzz/README.md");
}
