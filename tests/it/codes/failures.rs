//! What a command says when it can't do what it was asked for, for each code: brought about, and whole.

use super::fixtures::Place;
use crate::golden::assert_golden;
use bottle::codes::{CODES, CodeKind};
use fs_err as fs;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
      auth: {scheme: Bearer, token_ref: API_TOKEN}
";

struct Site {
    place: Place,
    /// A port that is taken as long as this is there.
    taken: Option<TcpListener>,
}

impl Site {
    fn new() -> Self {
        let site = Self { place: Place::new(), taken: None };
        site.place.write("bottle.yaml", MANIFEST);
        let mut elf = vec![0_u8; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
        fs::write(site.place.root.join("image-binary"), elf).unwrap();
        fs::create_dir(site.place.root.join("bin")).unwrap();
        site.docker("exit 0");
        site
    }

    fn docker(&self, does: &str) {
        let path = self.place.root.join("bin/docker");
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        let path = format!("{}:{}", self.place.root.join("bin").display(), std::env::var("PATH").unwrap());
        command.current_dir(self.place.project()).args(arguments).stdin(Stdio::null());
        command.env("PATH", path).env("NO_COLOR", "1").env("HOME", &self.place.root).env_remove("API_TOKEN");
        command.env("XDG_STATE_HOME", self.place.root.join("state")).env_remove("XDG_CONFIG_HOME");
        command
    }

    fn rendered() -> Self {
        Self::new().render()
    }

    fn with_taken_port() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut site = Self::new();
        let port = listener.local_addr().unwrap().port();
        let published = format!("  image: debian:12\n  publish: [\"{port}:3000\"]\n");
        site.place.write("bottle.yaml", &MANIFEST.replace("  image: debian:12\n", &published));
        site.taken = Some(listener);
        site.render()
    }

    fn render(self) -> Self {
        let site = self;
        let image = site.place.root.join("image-binary");
        let arguments = ["render", "--accept-widening", "--image-binary", image.to_str().unwrap()];
        let output = site.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        site
    }

    fn state(&self) -> std::path::PathBuf {
        let homes = fs::read_dir(self.place.root.join("state/bottle")).unwrap();
        homes.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap()
    }

    fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=n", "-c", "user.email=n@example.test", "-c", "gc.auto=0"];
        let mut git = Command::new("git");
        git.current_dir(self.place.project()).args(identity).args(arguments).stdout(Stdio::null());
        assert!(git.stderr(Stdio::null()).status().unwrap().success(), "{arguments:?}");
    }

    fn committed() -> Self {
        let site = Self::new();
        site.git(&["init", "--quiet", "--initial-branch", "main"]);
        site.git(&["add", "bottle.yaml"]);
        site.git(&["commit", "--quiet", "--message", "first"]);
        site
    }

    /// Without the names that folders, commits and projects have on this machine.
    fn said(&self, output: &Output) -> String {
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        let text = text
            .replace(self.place.project().to_str().unwrap(), "PROJECT")
            .replace(self.place.root.to_str().unwrap(), "ROOT");
        let hash = regex::Regex::new(r"[0-9a-f]{16,64}").unwrap();
        let text = hash.replace_all(&text, "HASH");
        match &self.taken {
            Some(listener) => text.replace(&listener.local_addr().unwrap().port().to_string(), "PORT"),
            None => text.into_owned(),
        }
    }
}

/// What is done before, and the command that fails.
fn brought_about(code: &str) -> (Site, Vec<&'static str>) {
    match code {
        "bad-revision" => (Site::committed(), vec!["diff", "mian"]),
        "broken-repository" => {
            let site = Site::committed();
            let objects = site.place.project().join(".git/objects");
            let (head, out) = ("HEAD:bottle.yaml", Command::new("git"));
            let mut git = out;
            let id = git.current_dir(site.place.project()).args(["rev-parse", head]).output().unwrap().stdout;
            let id = String::from_utf8(id).unwrap();
            fs::remove_file(objects.join(&id[..2]).join(id[2..].trim())).unwrap();
            (site, vec!["diff"])
        }
        "damaged-state" => {
            let site = Site::rendered();
            fs::write(site.state().join("image/Dockerfile"), "FROM other\n").unwrap();
            (site, vec!["up"])
        }
        "docker-failed" => {
            let site = Site::new();
            site.docker("echo 'Cannot connect to the Docker daemon' >&2; exit 1");
            (site, vec!["ps"])
        }
        "edited-by-hand" => {
            let site = Site::rendered();
            let file = site.place.project().join(".bottle/dev/docker-compose.yml");
            fs::write(&file, fs::read_to_string(&file).unwrap() + "# mine\n").unwrap();
            (site, vec!["render"])
        }
        "missing-token" => (Site::rendered(), vec!["up"]),
        "no-docker" => (Site::new(), vec!["ps"]),
        "no-manifest" => (Site::new(), vec!["plan", "src"]),
        "no-merge-base" => {
            let site = Site::committed();
            site.git(&["checkout", "--quiet", "--orphan", "other"]);
            site.git(&["commit", "--quiet", "--message", "unrelated"]);
            (site, vec!["diff", "main...other"])
        }
        "no-repository" => (Site::new(), vec!["diff"]),
        "not-an-audit-log" => {
            let site = Site::new();
            site.place.write("notes.jsonl", "a\nb\n");
            (site, vec!["learn", "notes.jsonl"])
        }
        "not-as-agreed" => {
            let site = Site::rendered();
            fs::remove_dir_all(site.place.project().join(".bottle")).unwrap();
            (site, vec!["up"])
        }
        "not-rendered" => (Site::new(), vec!["up"]),
        "port-in-use" => (Site::with_taken_port(), vec!["up"]),
        "several-manifests" => {
            let site = Site::new();
            site.place.write("ci.bottle.yaml", MANIFEST);
            (site, vec!["explain", "GET", "https://api.example/v1", "."])
        }
        "unknown-bottle" => (Site::new(), vec!["down", "dve"]),
        other => panic!("nothing brings {other} about"),
    }
}

#[test]
fn every_failure_is_said_with_its_code() {
    for code in CODES.iter().filter(|code| code.kind == CodeKind::Failure) {
        let (site, arguments) = brought_about(code.name);
        let run = |more: &[&str]| {
            let mut command = site.command(&[arguments.as_slice(), more].concat());
            if code.name == "no-docker" {
                command.env("PATH", &site.place.root);
            }
            command.output().unwrap()
        };
        let output = run(&[]);
        let said = site.said(&output);
        assert_eq!(output.status.code(), Some(2), "{}: {said}", code.name);
        assert!(said.contains(&format!("error[{}]: ", code.name)), "{}: {said}", code.name);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failures");
        assert_golden(&golden.join(format!("{}.stderr", code.name)), &said);
        // The same for machines.
        let json = String::from_utf8(run(&["--format", "json", "--quiet"]).stderr).unwrap();
        let json: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
        assert_eq!(json["code"], code.name, "{json}");
        assert!(json["error"].is_string(), "{json}");
    }
}

/// What has no code is said without one.
#[test]
fn an_error_of_another_kind_has_no_code() {
    let site = Site::new();
    let output = site.command(&["explain", "GET", "api.example", "--format", "json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
}

/// A page that shows its code, and every command line of it.
#[test]
fn every_page_of_a_failure_shows_its_line() {
    let mut shown = BTreeSet::new();
    for code in CODES.iter().filter(|code| code.kind == CodeKind::Failure) {
        let (example, _) = code.page.split_once("\n## What to do\n").unwrap();
        assert!(example.contains(&format!("error[{}]: ", code.name)), "{}", code.name);
        shown.insert(code.name);
    }
    assert_eq!(shown.len(), 16);
}
