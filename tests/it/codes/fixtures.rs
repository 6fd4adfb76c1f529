//! The whole text of what is said under each code; `UPDATE_GOLDEN=1` writes the files below `tests/manifests`.

use crate::golden::assert_golden;
use crate::manifest::fixtures;
use bottle::codes::{CODES, CodeKind};
use bottle::diagnostic::Report;
use bottle::lint::{self, Facts};
use bottle::manifest::{Loaded, Manifest};
use bottle::plan::{Plan, Surroundings};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests")
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

fn load(path: &Path) -> Loaded {
    Manifest::load("bottle.yaml", &fs::read(path).unwrap()).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn a_manifest_that_makes_no_plan() {
    for path in fixtures("unplanned") {
        let extra_ca = match stem(&path) {
            "extra-ca-with-a-key" => Some("-----BEGIN EC PRIVATE KEY-----\n".to_owned()),
            _ => Some("0\u{3}\n".to_owned()),
        };
        let around = Surroundings { extra_ca, ..Surroundings::beside("dev") };
        let report = Plan::resolve_loaded(&load(&path), &around).expect_err("a plan");
        assert_golden(&path.with_extension("stderr"), &report.to_string());
    }
}

fn facts(fixture: &str) -> Facts {
    let seen = |name: &str| ("/work".into(), format!("/work/{name}").into());
    Facts {
        today: jiff::civil::date(2026, 11, 27),
        secrets: match fixture {
            "mount-holds-secrets" => [".env", ".ssh", "api/.env", "web/.env.local"].map(seen).to_vec(),
            _ => Vec::new(),
        },
        writable_git: (fixture == "writable-git").then(|| "/work".into()).into_iter().collect(),
    }
}

#[test]
fn a_manifest_with_something_to_look_at() {
    for path in fixtures("lints") {
        let loaded = load(&path);
        let plan = Plan::resolve_loaded(&loaded, &Surroundings::beside("dev")).unwrap();
        let report = lint::lints(&loaded, &plan, &facts(stem(&path)));
        assert_golden(&path.with_extension("stderr"), &report.to_string());
        assert!(report.0.iter().any(|it| it.code == stem(&path)), "{}", path.display());
    }
}

/// A folder with a manifest, and without the name that it has on this machine.
pub(super) struct Place {
    _dir: tempfile::TempDir,
    pub(super) root: PathBuf,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("project/src/data")).unwrap();
        Self { root, _dir: dir }
    }

    pub(super) fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let text = text.replace("PROJECT", self.project().to_str().unwrap());
        fs::write(self.project().join(name), text).unwrap();
    }

    /// The exit code, stdout and stderr.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
            .args(arguments)
            .current_dir(self.project())
            .env("XDG_STATE_HOME", self.root.join("state"))
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(self.project().to_str().unwrap(), "PROJECT")
                .replace(self.root.to_str().unwrap(), "ROOT")
        };
        (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
    }
}

#[test]
fn a_mount_that_reaches_what_it_must_not_on_this_machine() {
    let underlined = regex::Regex::new(r"\^{2,}").unwrap();
    for path in fixtures("places") {
        let place = Place::new();
        symlink("/etc", place.project().join("cache")).unwrap();
        symlink("/run", place.root.join("sockets")).unwrap();
        place.write("bottle.yaml", &fs::read_to_string(&path).unwrap());
        let (code, _, said) = place.run(&["plan"]);
        assert_eq!(code, 2, "{}: {said}", path.display());
        // A frame underlines a path of this machine as long as it is.
        let said = underlined.replace_all(&said, "^^");
        assert_golden(&path.with_extension("stderr"), &said);
    }
}

#[test]
fn a_manifest_and_its_baseline() {
    for entry in fs::read_dir(manifests().join("within")).unwrap() {
        let from = entry.unwrap().path();
        let place = Place::new();
        let has_file = from.join("baseline.yaml").exists();
        for name in ["bottle.yaml", "baseline.yaml"].iter().filter(|name| from.join(name).exists()) {
            place.write(name, &fs::read_to_string(from.join(name)).unwrap());
        }
        let within: &[&str] = if has_file { &["--within", "baseline.yaml"] } else { &[] };
        let (code, _, said) = place.run(&[&["render", "--quiet"], within].concat());
        assert_eq!(code, if from.ends_with("beyond") { 1 } else { 2 }, "{said}");
        assert!(!place.project().join(".bottle").exists() && !place.root.join("state").exists());
        assert_golden(&from.join("stderr"), &said);
    }
}

/// Each folder below `run` has the files, what to call, and what is said.
#[test]
fn a_command_about_a_manifest() {
    for (name, arguments, code) in [
        ("not-locked", &["render", "--quiet", "--locked"][..], 2),
        ("expectation", &["test", "--now", "2026-11-27"], 1),
        ("no-tests", &["test"], 2),
        ("test-manifest", &["test", "dev.bottle-test.yaml"], 2),
    ] {
        let folder = manifests().join("run").join(name);
        let place = Place::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if file != "stderr" {
                place.write(&file, &fs::read_to_string(folder.join(&file)).unwrap());
            }
        }
        let (ended, out, said) = place.run(arguments);
        assert_eq!(ended, code, "{out}{said}");
        assert!(!place.project().join(".bottle").exists());
        assert_golden(&folder.join("stderr"), &(out + &said));
    }
}

/// Written here and not in files that scanners of secrets look through.
#[test]
fn a_secret_and_more_problems_than_anybody_reads() {
    let report = |text: &str| Manifest::load("bottle.yaml", text.as_bytes()).unwrap_err();
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let text = format!(
        "version: 1\nname: dev\nagent:\n  image: debian:12\n  env: {{ TOKEN: {token} }}\n# and {token}\n"
    );
    let secret = report(&text).to_string();
    assert!(!secret.contains(&token));
    assert_golden(&manifests().join("generated/secret.stderr"), &secret);
    let many = (0..120).fold(String::new(), |text, n| text + &format!("key{n}: 1\n"));
    let Report(problems) = report(&format!("version: 1\nname: dev\nagent: {{image: debian:12}}\n{many}"));
    assert_eq!(problems.len(), 101);
    let last = Report(vec![problems.into_iter().next_back().unwrap()]);
    assert_golden(&manifests().join("generated/too-many-problems.stderr"), &last.to_string());
}

fn texts(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, found);
        } else if path.to_str().unwrap().ends_with("stderr") {
            found.push((path.clone(), fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn every_code_about_a_manifest_has_a_fixture_and_every_fixture_says_what_to_do() {
    let mut all = Vec::new();
    texts(&manifests(), &mut all);
    for code in CODES.iter().filter(|code| matches!(code.kind, CodeKind::Error | CodeKind::Lint)) {
        let kind = if code.kind == CodeKind::Error { "error" } else { "warning" };
        let is_there = all.iter().any(|(_, text)| text.contains(&format!("{kind}[{}]: ", code.name)));
        // A fault of the program itself, which no manifest brings about.
        assert!(is_there || code.name == "schema", "no fixture shows {}", code.name);
    }
    let begins = regex::Regex::new(r"(?m)^(?:error|warning)\[").unwrap();
    for (path, text) in &all {
        for said in begins.split(text).skip(1) {
            assert!(said.contains("= help: ") || said.contains("\nhelp: "), "{}: {said}", path.display());
        }
    }
}
