//! The direction of every dependency between the crate's modules: who may say `crate::<module>`.

use std::{collections::BTreeMap, fs, path::Path};

/// Module → the modules that it may reach. A module that is missing here fails the test.
const ALLOWED: &[(&str, &[&str])] = &[
    ("policy", &[]),
    ("yaml", &[]),
    ("clock", &[]),
    ("dlp", &[]),
    ("printable", &[]),
    ("diagnostic", &["printable"]),
    ("gate", &[]),
    ("kernel_view", &[]),
    ("telemetry", &["clock"]),
    ("pki", &["clock"]),
    ("config", &["policy", "yaml", "diagnostic"]),
    ("manifest", &["policy", "yaml", "diagnostic"]),
    ("plan", &["manifest", "policy", "diagnostic"]),
    ("render", &["plan", "policy", "config", "yaml", "manifest", "diagnostic"]),
    ("tree", &["render", "diagnostic", "yaml", "printable"]),
    ("capability", &["config", "plan", "render", "manifest", "policy"]),
    ("state", &["plan", "pki", "clock", "tree", "printable"]),
    ("consent", &["tree", "capability", "render", "state", "printable"]),
    ("verdict", &["policy", "config", "dlp"]),
    ("intercept", &["policy", "pki", "clock", "telemetry", "config"]),
    ("runtime", &["intercept", "config", "telemetry", "clock", "pki"]),
    (
        "egress_proxy",
        &["runtime", "intercept", "verdict", "config", "policy", "pki", "telemetry", "clock", "dlp"],
    ),
    (
        "pipelock",
        &["runtime", "intercept", "verdict", "config", "policy", "pki", "telemetry", "clock", "dlp"],
    ),
    ("attack", &["dlp"]),
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

/// Nothing that links OpenSSL, ring or a second HTTP client may enter the graph.
#[test]
fn the_graph_holds_one_tls_stack_and_one_http_client() {
    let banned = ["openssl", "openssl-sys", "native-tls", "reqwest", "ureq", "isahc"];
    let lock = include_str!("../../Cargo.lock");
    for name in banned {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} is in Cargo.lock");
    }
}
