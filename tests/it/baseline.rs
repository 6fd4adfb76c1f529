//! `bottle render --within` and the key `within`: what lies within a baseline, what does not, and what is said then.

use bottle::capability::{Capabilities, Machine, excess};
use bottle::manifest::{Baseline, Manifest};
use bottle::plan::{Plan, Surroundings};
use bottle::review;
use serde_json::Value;
use std::process::Command;

const AGENT: &str =
    "agent: {image: \"debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}\n";

fn capabilities(manifest: &Manifest) -> Capabilities {
    let around = Surroundings {
        extra_ca: Some("-----BEGIN CERTIFICATE-----\n".to_owned()),
        ..Surroundings::beside("dev")
    };
    let plan = Plan::resolve(manifest, &around).unwrap();
    Capabilities::from_plan(&plan, &Machine { project: "/p".into(), ..Machine::default() })
}

/// What the second text goes beyond the first one in.
fn beyond(baseline: &str, manifest: &str) -> Vec<String> {
    let baseline = format!("version: 1\n{baseline}");
    let manifest = format!("version: 1\nname: dev\n{manifest}");
    let Baseline { loaded, unbounded } =
        Manifest::load_baseline("base.yaml", baseline.as_bytes()).unwrap_or_else(|it| panic!("{it}"));
    let own = Manifest::load("bottle.yaml", manifest.as_bytes()).unwrap_or_else(|it| panic!("{it}"));
    let (most, new) = (capabilities(&loaded.manifest), capabilities(&own.manifest));
    let found = excess(&most, unbounded, &new);
    let said = review::beyond((&own, &new), (&Baseline { loaded, unbounded }, &most));
    assert_eq!(said.0.len(), found.len(), "an excess without a line");
    for problem in &said.0 {
        assert!(problem.position().is_some() && problem.hints[0].starts_with("base.yaml:"), "{problem:?}");
    }
    found.iter().map(ToString::to_string).collect()
}

const ROUTES: &str = "egress_proxy: {routes: [{host: a.example, path_allowlist: [/v1], methods: [GET], auth: {scheme: \
                      Bearer, token_ref: A}, until: 2027-01-31}]}\n";

fn route(keys: &str) -> String {
    format!("{AGENT}egress_proxy: {{routes: [{{host: a.example{keys}}}]}}\n")
}

#[test]
fn a_manifest_lies_within_itself_and_within_what_is_wider() {
    let full = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests/good/full.yaml"))
        .unwrap();
    let body = full.lines().filter(|line| !line.starts_with("version:") && !line.starts_with("name:"));
    let body: Vec<&str> =
        body.take_while(|line| !line.starts_with("lints:") && !line.starts_with("tests:")).collect();
    assert_eq!(beyond(&body.join("\n"), &body.join("\n")), [""; 0]);
    let own = format!("{AGENT}{ROUTES}");
    assert_eq!(beyond(ROUTES, &own), [""; 0]);
    for narrower in [
        ", path_allowlist: [/v1/a, /v1/b], methods: [GET], auth: {scheme: Bearer, token_ref: A}, until: 2027-01-31",
        ", path_allowlist: [/v1], methods: [GET], auth: {scheme: Bearer, token_ref: A}, until: 2026-12-31",
        ", path_allowlist: [/v1], deny_paths: [/v1/x], methods: [GET], auth: {scheme: Bearer, token_ref: A}, until: 2027-01-31",
    ] {
        assert_eq!(beyond(ROUTES, &route(narrower)), [""; 0], "{narrower}");
    }
}

#[test]
fn each_thing_that_is_more_is_named() {
    let same =
        "path_allowlist: [/v1], methods: [GET], auth: {scheme: Bearer, token_ref: A}, until: 2027-01-31";
    for more in [
        same.replace("[/v1]", "[/v2]"),
        same.replace("[/v1]", "[/]"),
        same.replace("[GET]", "[GET, POST]"),
        same.replace("token_ref: A", "token_ref: B"),
        same.replace("2027-01-31", "2027-02-01"),
        same.replace(", until: 2027-01-31", ""),
        format!("{same}, inspect: false"),
        format!("{same}, ports: [443, 8443]"),
        format!("{same}, addresses: [10.0.0.0/24]"),
        format!("{same}, encoded_slash: true"),
        same.replace(", auth: {scheme: Bearer, token_ref: A}", ""),
    ] {
        assert!(!beyond(ROUTES, &route(&format!(", {more}"))).is_empty(), "{more}");
    }
    let own = format!("{AGENT}{ROUTES}");
    for rest in [
        "egress: {allowlist: [b.example]}",
        "egress: {dlp_action: warn}",
        "egress: {network: intranet}",
        "pipelock: {extra_ca: ca.pem}",
    ] {
        assert_eq!(beyond(ROUTES, &format!("{own}{rest}\n")).len(), 1, "{rest}");
    }
    let direct = beyond(
        "egress_proxy: {routes: [{host: a.example}]}\n",
        &format!("{AGENT}egress: {{allowlist: [a.example]}}\n"),
    );
    assert!(direct.iter().any(|line| line.contains("git push")), "{direct:?}");
    for agent in ["user: root", "runtime: runsc", "mounts: [{source: ., target: /work}]"] {
        let own = own.replacen('}', &format!(", {agent}}}"), 1);
        assert!(!beyond(ROUTES, &own).is_empty(), "{agent}");
    }
}

#[test]
fn what_a_baseline_leaves_out_is_not_bounded_and_what_it_says_is() {
    let own = format!("{}{ROUTES}", AGENT.replacen('}', ", command: [sh], workdir: /w, env: {A_B: c}}", 1));
    assert_eq!(beyond(ROUTES, &own), [""; 0]);
    for said in ["image: other:1", "command: [zsh]", "workdir: /v", "env: {A_B: d}", "env: {}"] {
        assert_eq!(beyond(&format!("agent: {{{said}}}\n{ROUTES}"), &own).len(), 1, "{said}");
    }
}

#[test]
fn a_service_lies_within_where_the_baseline_has_it() {
    let with = |services: &str| format!("{AGENT}{ROUTES}services: {services}\n");
    let db = with("{db: {image: 'db:1'}}");
    assert!(!beyond(ROUTES, &db).is_empty(), "a baseline that names none allows none");
    assert_eq!(beyond(&db, &db), [""; 0]);
    assert_eq!(beyond(&db, &format!("{AGENT}{ROUTES}")), [""; 0]);
    let digest = format!("@sha256:{}", "a".repeat(64));
    assert_eq!(beyond(&db, &with(&format!("{{db: {{image: 'db:1{digest}'}}}}"))), [""; 0]);
    for more in [
        "image: 'db:2'",
        "image: 'db:1', env: {A_B: c}",
        "image: 'db:1', command: [sh]",
        "image: 'db:1', volumes: [/a]",
    ] {
        assert_eq!(beyond(&db, &with(&format!("{{db: {{{more}}}}}"))).len(), 1, "{more}");
    }
}

struct Project {
    _dir: tempfile::TempDir,
    root: std::path::PathBuf,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (name, text) in files {
            let path = root.join("project").join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        Self { root, _dir: dir }
    }

    /// The exit code, stdout, and stderr.
    fn bottle(&self, arguments: &[&str]) -> (i32, String, String) {
        let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
            .args(arguments)
            .current_dir(self.root.join("project"))
            .env("XDG_STATE_HOME", self.root.join("state"))
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
    }

    fn is_untouched(&self) -> bool {
        !self.root.join("project/.bottle").exists() && !self.root.join("state").exists()
    }
}

fn manifest(name: &str, host: &str) -> String {
    format!("version: 1\nname: {name}\n{AGENT}egress_proxy: {{routes: [{{host: {host}}}]}}\n")
}

const BASELINE: &str = "version: 1\negress_proxy:\n  routes:\n    - host: a.example\n";

#[test]
fn several_manifests_are_each_held_against_it() {
    let project = Project::new(&[
        ("a.bottle.yaml", &manifest("a", "a.example")),
        ("b.bottle.yaml", &manifest("b", "b.example")),
        ("base/line.yaml", BASELINE),
    ]);
    let (code, out, said) = project.bottle(&["render", "--check", "--within", "base/line.yaml", "."]);
    assert_eq!(code, 1, "{said}");
    assert!(out.starts_with("digest ") && out.contains("a.bottle.yaml"), "{out}");
    assert!(said.contains("b.bottle.yaml is not rendered"), "{said}");
    assert!(!said.contains("a.bottle.yaml is not rendered"), "{said}");
    assert!(said.contains("base/line.yaml:"), "{said}");
    let (code, out, _) = project.bottle(&[
        "render",
        "--check",
        "--within",
        "base/line.yaml",
        "b.bottle.yaml",
        "--format",
        "json",
    ]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["manifest"]), (1, &"b.bottle.yaml".into()));
    assert_eq!(json["beyond"][0]["code"], "beyond-baseline");
    assert!(project.is_untouched());
}

#[test]
fn a_baseline_that_is_missing_or_broken_stops_everything_before_a_file_is_written() {
    let project = Project::new(&[
        ("a.bottle.yaml", &manifest("a", "a.example")),
        ("b.bottle.yaml", &format!("{}within: ./missing.yaml\n", manifest("b", "a.example"))),
        ("broken.yaml", "version: 1\nhosts: []\n"),
    ]);
    let (code, _, said) = project.bottle(&["render", "--accept-widening", "."]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("error[baseline]: `within` names missing.yaml, which can't be read as a baseline"),
        "{said}"
    );
    for (file, why) in
        [("missing.yaml", "missing.yaml"), ("broken.yaml", "there is no key `hosts`"), (".", "folder")]
    {
        let (code, _, said) = project.bottle(&["render", "--within", file, "a.bottle.yaml"]);
        assert!(code == 2 && said.contains(why), "{file}: {said}");
    }
    assert!(project.is_untouched());
}

#[test]
fn the_key_is_looked_at_by_render_and_plan_and_never_shows_another_file() {
    let secret = "correct horse battery staple";
    let keyed = format!("{}within: ../notes.txt\n", manifest("dev", "b.example"));
    let project = Project::new(&[("bottle.yaml", &keyed), ("../notes.txt", secret), ("base.yaml", BASELINE)]);
    for arguments in [&["render"][..], &["render", "--check"], &["plan"], &["render", "--format", "json"]] {
        let (code, out, said) = project.bottle(arguments);
        assert_eq!(code, 2, "{said}");
        assert!(!out.contains("horse") && !said.contains("horse"), "{out}{said}");
    }
    fs_err::write(project.root.join("project/bottle.yaml"), keyed.replace("../notes.txt", "base.yaml"))
        .unwrap();
    for arguments in [&["render"][..], &["render", "--check", "--within", "base.yaml"], &["plan"]] {
        let (code, _, said) = project.bottle(arguments);
        assert_eq!(code, 1, "{said}");
        assert_eq!(
            said.matches("error[beyond-baseline]").count(),
            1,
            "once, though it is named twice: {said}"
        );
        assert!(said.contains("base.yaml:"), "{said}");
    }
    assert!(project.is_untouched());
}

#[test]
fn exceptions_of_the_scan_and_missing_patterns_go_beyond() {
    let of = |pipelock: &str| format!("{}pipelock: {{engine: embedded{pipelock}}}\n", route(""));
    let except = ", except: [{pattern: IBAN, host: a.example, reason: r}]";
    let badge = ", patterns: [{name: Badge, regex: \"B-[0-9]{8}\"}]";
    assert_eq!(
        beyond(&of(""), &of(except)),
        ["requests to a.example may carry what the pattern IBAN finds (pipelock.except)"]
    );
    assert_eq!(beyond(&of(except), &of("")), [""; 0]);
    assert_eq!(beyond(&of(except), &of(except)), [""; 0]);
    assert_eq!(
        beyond(&of(badge), &of("")),
        ["requests may carry what the pattern Badge finds, `B-[0-9]{8}` (pipelock.patterns)"]
    );
    assert_eq!(beyond(&of(""), &of(badge)), [""; 0]);
}

#[test]
fn only_the_ports_of_the_baseline_are_published() {
    let publish = |ports: &str| format!("agent: {{image: x, publish: [{ports}]}}\n");
    let count = |baseline: &str, own: &str| {
        let found = beyond(&(publish(baseline) + ROUTES), &(publish(own) + ROUTES));
        assert!(found.iter().all(|it| it.contains("is shown on this machine at 127.0.0.1:")), "{found:?}");
        found.len()
    };
    assert_eq!(count("3000, 4000", "3000"), 0);
    assert_eq!(count("3000", "3000, 4000"), 1);
    assert_eq!(count("3000", "'3000:4000'"), 1);
    let plain = format!("agent: {{image: x}}\n{ROUTES}");
    assert_eq!(beyond(&plain, &(publish("3000") + ROUTES)).len(), 1);
}
