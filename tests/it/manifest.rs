//! What a person reads when a manifest is wrong, and what a manifest becomes when it is right.
//!
//! `tests/manifests/bad/NAME.yaml` has its whole report in `NAME.stderr`; `UPDATE_GOLDEN=1` rewrites them.

mod any;
mod binary;

use crate::golden::{assert_golden, root};
use bottle::manifest::{self, DlpAction, Image, Loaded, Manifest};
use fs_err as fs;
use serde_json::Value;
use std::fmt::Write as _;
use std::{path::PathBuf, time::Duration};

pub(crate) fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join("tests/manifests").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// The time that this thread has run, which other programs on the machine don't add to.
fn cpu_time() -> Duration {
    let spent = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(spent.split(' ').next().unwrap().parse().unwrap())
}

fn report(text: impl AsRef<[u8]>) -> String {
    Manifest::load("bottle.yaml", text.as_ref()).expect_err("a bad manifest").to_string()
}

fn good(name: &str) -> Loaded {
    let text = fs::read(root().join("tests/manifests/good").join(name)).unwrap();
    Manifest::load(name, &text).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn a_broken_manifest_reads_like_rustc() {
    for path in fixtures("bad") {
        assert_golden(&path.with_extension("stderr"), &report(fs::read(&path).unwrap()));
    }
}

#[test]
fn every_problem_of_every_stage_is_in_one_report() {
    let text = "version: 1\nname: Dev\nname: dev\nzebra: 1\nagent: {image: 7}\negress_proxy:\n  routes: [{host: '*.example', ports: [0]}]\ntokens: []\n";
    let codes: Vec<&str> =
        Manifest::load("bottle.yaml", text.as_bytes()).unwrap_err().0.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["name", "yaml", "unknown-key", "type", "host", "port", "retired-key"]);
}

#[test]
fn a_good_manifest_becomes_types() {
    let Loaded { manifest, .. } = good("full.yaml");
    assert!(manifest.has_routes());
    assert_eq!(manifest.hosts().count(), 8);
    let Image::Build(build) = &manifest.agent.image else { panic!("{:?}", manifest.agent.image) };
    assert_eq!((build.context.as_str(), build.target.as_deref()), ("agent", Some("final")));
    assert_eq!(manifest.agent.env[1], ("ODD".to_owned(), "no".to_owned()));
    assert_eq!(manifest.agent.env[2].1, "${X} $$ # \"'");
    assert!(manifest.agent.mounts[1].read_only && manifest.agent.read_only);
    let github = &manifest.egress_proxy.routes[1].route;
    assert_eq!((github.host.as_str(), github.source.as_str()), ("api.github.com", "egress_proxy.routes[1]"));
    assert_eq!(github.until.map(|date| date.to_string()).as_deref(), Some("2027-03-31"));
    let auths = manifest.hosts().filter_map(|rule| rule.auth.as_ref());
    let auths: Vec<_> =
        auths.map(|it| (it.header.as_str(), it.prefix.as_str(), it.username.as_deref())).collect();
    let expected = [
        ("authorization", "Bearer ", None),
        ("authorization", "token ", None),
        ("authorization", "Basic ", Some("ci")),
        ("x-api-key", "", None),
    ];
    assert_eq!(auths, expected);
    assert_eq!(manifest.egress_proxy.routes[3].addresses.len(), 2);
    assert_eq!(manifest.egress.dlp_action, Some(DlpAction::Warn));
    assert_eq!(manifest.egress.allowlist[1].route.source, "egress.allowlist[1]");
    assert!(!manifest.egress.allowlist[1].inspect);
}

#[test]
fn defaults_are_the_safe_ones() {
    let Loaded { manifest, .. } = good("minimal.yaml");
    assert!(!manifest.has_routes() && manifest.egress.allowlist.is_empty());
    assert_eq!(manifest.egress.dlp_action, None, "refused, but at APIs of models");
    assert!(!manifest.pipelock.seed_phrases && !manifest.agent.read_only);
    let text = "version: 1\nname: dev\nagent: {image: x}\negress_proxy: {routes: [{host: a.example}]}\n";
    let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap();
    let rule = &loaded.manifest.egress_proxy.routes[0];
    assert_eq!(rule.route.ports, [443]);
    assert!(rule.inspect && rule.addresses.is_empty());
    assert!(!rule.route.encoded_slash && rule.route.path_allowlist.is_none());
}

#[test]
fn a_pointer_leads_back_to_its_line() {
    let loaded = good("full.yaml");
    assert_eq!(loaded.place_of("egress_proxy.routes[1]"), "full.yaml:19");
    assert_eq!(loaded.line_of("egress_proxy.routes[1].methods"), 22);
    assert_eq!(&loaded.source.text()[loaded.span_of("egress_proxy.routes[1]")], "host: API.GitHub.com.");
}

/// The hostile texts that a file can hold, besides those of `tests/manifests/bad`.
#[test]
fn a_hostile_text_is_refused_at_its_place() {
    let good = "version: 1\nname: dev\nagent: {image: x}\n";
    let lines = |n: usize| "[".repeat(n);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let item = format!("*a{}", n - 1);
        writeln!(bomb, "a{n}: &a{n} [{}]", vec![item; 10].join(", ")).unwrap();
    }
    let mut binary = good.as_bytes().to_vec();
    binary.extend(b"# \xff\n");
    let cases: [(Vec<u8>, &str, &str); 12] = [
        (lines(10_000_000).into(), "larger than 1048576 bytes", "bottle.yaml:1:1"),
        (lines(1_000_000).into(), "nested more than 32 deep", "bottle.yaml:1:"),
        (format!("{good}x: {}", "{a: ".repeat(200_000)).into(), "nested more than 32 deep", "bottle.yaml:4:"),
        (bomb.into(), "more than 50000 values", "bottle.yaml:5:"),
        (format!("{good}name: dev\n").into(), "`name` is listed twice", "bottle.yaml:4:1"),
        (format!("{good}---\n{good}").into(), "second document", "bottle.yaml:4:1"),
        (format!("\u{feff}{good}").into(), "byte order mark", "bottle.yaml:1:1"),
        (good.replace('\n', "\r\n").into(), "CRLF", "bottle.yaml:1:11"),
        (binary, "byte 0xff is not UTF-8", "bottle.yaml:4:3"),
        (format!("{good}# \0\n").into(), "control character (U+0000)", "bottle.yaml:4:3"),
        (
            format!("{good}egress: {{allowlist: [\"a\\nb.example\"]}}\n").into(),
            "`a\\nb.example` is not a host",
            "bottle.yaml:4:",
        ),
        (Vec::new(), "the file is empty", "bottle.yaml:1:1"),
    ];
    for (text, message, place) in cases {
        let report = report(&text);
        assert!(report.contains(message) && report.contains(place), "{message}:\n{report}");
        assert!(report.len() < 5_000, "{message}: {} bytes", report.len());
    }
}

/// A manifest with as many entries of one kind as it is asked for.
type Crowd = Box<dyn Fn(usize) -> String>;

/// Four times as many entries cost about four times as much: a quadratic check would cost sixteen times.
#[test]
fn a_crowded_manifest_costs_what_its_length_costs() {
    const HEAD: &str = "version: 1\nname: dev\n";
    const AGENT: &str = "agent: {image: x}\n";
    fn crowd(
        n: usize,
        head: String,
        item: impl Fn(usize) -> String + 'static,
        end: &'static str,
    ) -> (usize, Crowd) {
        (n, Box::new(move |n| head.clone() + &(0..n).map(&item).collect::<String>() + end))
    }
    let spent = |text: &str| {
        let before = cpu_time();
        let _ = Manifest::load("bottle.yaml", text.as_bytes()).err().map(|report| report.to_string());
        cpu_time().checked_sub(before).unwrap()
    };
    let cases = [
        crowd(24_000, format!("{HEAD}{AGENT}"), |n| format!("k{n}: 1\n"), ""),
        crowd(24_000, format!("{HEAD}{AGENT}"), |n| format!("k{}: 1\n", n / 2), ""),
        crowd(24_000, format!("{HEAD}agent:\n  image: x\n  env:\n"), |n| format!("    K{n}: 1\n"), ""),
        crowd(
            9_000,
            format!("{HEAD}agent:\n  image: x\n  mounts:\n"),
            |_| "    - {source: a, target: /b}\n".to_owned(),
            "",
        ),
        crowd(
            15_000,
            format!("{HEAD}{AGENT}egress_proxy:\n  routes:\n"),
            |_| "    - {host: a.example}\n".to_owned(),
            "",
        ),
        crowd(20_000, format!("{HEAD}{AGENT}egress_proxy:\n  routes:\n"), |_| "    - {}\n".to_owned(), ""),
        crowd(40_000, format!("{HEAD}{AGENT}egress:\n  allowlist: ["), |n| format!("a{n}.example, "), "]\n"),
        crowd(
            40_000,
            format!("{HEAD}{AGENT}egress_proxy:\n  routes:\n    - host: a_b\n      path_allowlist: ["),
            |n| format!("/{n}, "),
            "]\n",
        ),
        crowd(
            15_000,
            format!("{HEAD}{AGENT}cred_proxy:\n  routes:\n"),
            |n| format!("    - {{upstream: \"https://h{n}.example\"}}\n"),
            "",
        ),
    ];
    for (n, text) in cases {
        // The smallest of three: what else the machine does only adds.
        let least = |n| (0..3).map(|_| spent(&text(n))).min().unwrap();
        let (few, many) = (least(n / 4), least(n));
        assert!(many < few * 9, "{few:?} and {many:?} for {n} entries: {:.200}", text(n));
    }
}

#[test]
fn a_hostile_value_is_refused_where_it_has_no_meaning_and_kept_where_it_is_text() {
    let hostile =
        ["a\nb", "\"", "'", "#", "${X}", "$$", "no", "on", "22:22", "-x", "--privileged", "a: b", "\u{2028}"];
    for text in hostile {
        let quoted = Value::from(text).to_string();
        let manifest = |image: &str, host: &str, value: &str| {
            format!(
                "version: 1\nname: dev\nagent: {{image: {image}, env: {{X: {value}}}}}\negress: {{allowlist: [{host}]}}\n"
            )
        };
        let quoted = quoted.replace('\u{2028}', "\\u2028");
        let loaded = Manifest::load("bottle.yaml", manifest("x", "a.example", &quoted).as_bytes());
        assert_eq!(loaded.unwrap().manifest.agent.env, [("X".to_owned(), text.to_owned())]);
        if !["no", "on", "22:22"].contains(&text) {
            let report = report(manifest(&quoted, &quoted, "y"));
            assert!(report.contains("error[image]") && report.contains("error[host]"), "{text:?}:\n{report}");
        }
    }
}

#[test]
fn a_secret_is_refused_and_never_shown() {
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let text = format!(
        "version: 1\nname: dev\nagent: {{image: x, env: {{A: {secret}, B: 7}}}}\n# {secret}\negress_proxy:\n  routes:\n    - {{host: a.example, auth: {{scheme: token, token_ref: {secret}}}}}\n    - host: https://me:{secret}@b.example/\n    - {{host: c.example, auth: {{scheme: token, token_ref: some-opaque-value-0123456789}}}}\n"
    );
    let report = Manifest::load("bottle.yaml", text.as_bytes()).unwrap_err();
    for shown in [report.to_string(), report.json().to_string(), report.render(true)] {
        assert!(!shown.contains(&secret) && !shown.contains("some-opaque"), "{shown}");
    }
    assert_eq!(report.0.iter().filter(|one| one.code == "secret").count(), 4);
}

#[test]
fn the_recipe_for_cred_proxy_is_a_manifest_when_pasted() {
    for (name, hosts) in [("cred_proxy", 5), ("cred_proxy-conflicts", 3)] {
        let path = root().join("tests/manifests/bad").join(name).with_extension("yaml");
        let text = fs::read_to_string(path).unwrap();
        let report = Manifest::load("bottle.yaml", text.as_bytes()).unwrap_err();
        let recipe = report.0.iter().find_map(|one| one.paste.clone()).expect("a recipe");
        let hint = report.0.iter().flat_map(|one| &one.hints).find(|hint| hint.contains("lines")).unwrap();
        let numbers: Vec<usize> =
            hint.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let mut lines: Vec<&str> = text.lines().collect();
        let pasted: Vec<&str> = recipe.lines().collect();
        lines.splice(numbers[0] - 1..numbers[1], pasted);
        let loaded = Manifest::load("bottle.yaml", (lines.join("\n") + "\n").as_bytes());
        let manifest = loaded.unwrap_or_else(|report| panic!("{report}")).manifest;
        assert_eq!(manifest.hosts().count(), hosts, "{recipe}");
        assert!(manifest.hosts().all(|rule| rule.route.host.as_str() != "evil.example"));
    }
}

#[test]
fn the_recipe_stands_at_the_indentation_of_the_routes_that_are_there() {
    let text = "version: 1\nname: dev\nagent: {image: x}\negress_proxy:\n      routes:\n      - host: a.example\n      # end\ncred_proxy: {routes: [{path: /x/, upstream: 'https://b.example/y'}]}\n";
    let report = Manifest::load("bottle.yaml", text.as_bytes()).unwrap_err();
    let recipe = report.0[0].paste.clone().unwrap();
    let (before, _) = text.split_once("cred_proxy").unwrap();
    let loaded = Manifest::load("bottle.yaml", before.replace("      # end\n", &recipe).as_bytes());
    let hosts: Vec<String> = loaded
        .unwrap_or_else(|report| panic!("{report}"))
        .manifest
        .hosts()
        .map(|rule| rule.route.host.to_string())
        .collect();
    assert_eq!(hosts, ["a.example", "b.example"]);
}

#[test]
fn the_schema_and_the_reference_are_up_to_date() {
    assert_golden(&root().join("schema/bottle.schema.json"), &manifest::schema_text());
    assert_golden(&root().join("schema/bottle-test.schema.json"), &manifest::test_file_schema_text());
    assert_golden(&root().join("docs/manifest.md"), &manifest::reference().unwrap());
    assert_golden(&root().join("schema/diff.schema.json"), &format!("{:#}\n", bottle::review::schema()));
    assert_golden(
        &root().join("schema/audit.schema.json"),
        &format!("{:#}\n", bottle::telemetry::audit::schema()),
    );
    assert_golden(&root().join("schema/report.schema.json"), &format!("{:#}\n", bottle::report::schema()));
    let mut status = std::process::Command::new(env!("CARGO_BIN_EXE_bottle"));
    let status = status.args(["schema", "status"]).output().unwrap();
    assert_golden(&root().join("schema/status.schema.json"), &String::from_utf8(status.stdout).unwrap());
}

/// The examples of the reference are manifests.
#[test]
fn every_manifest_in_the_reference_loads() {
    let reference = manifest::reference().unwrap();
    let blocks: Vec<&str> =
        reference.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let manifests: Vec<&&str> = blocks.iter().filter(|block| block.contains("version:")).collect();
    assert!(!manifests.is_empty());
    for text in manifests {
        Manifest::load("docs/manifest.md", text.as_bytes()).unwrap_or_else(|report| panic!("{report}"));
    }
}

#[test]
fn bottle_schema_prints_the_committed_schema() {
    let run = |arguments: &[&str]| {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_bottle")).args(arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&["schema"]), manifest::schema_text());
    assert_eq!(run(&["schema", "test"]), manifest::test_file_schema_text());
    assert_eq!(run(&["schema", "--reference"]), manifest::reference().unwrap());
}

/// What the quickest reader of a schema sees: an editor.
#[test]
fn every_good_manifest_fits_the_schema() {
    let validator = jsonschema::draft202012::new(manifest::schema()).unwrap();
    for path in fixtures("good") {
        let value: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(validator.is_valid(&value), "{}", path.display());
        good(path.file_name().unwrap().to_str().unwrap());
    }
}

/// Paths and mounts are held against each other, so what is over a limit is refused before it costs anything.
#[test]
fn a_small_manifest_does_not_keep_anybody_busy() {
    let list = |count: usize, of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<Vec<_>>().join(", ");
    let head = "version: 1\nname: dev\nagent: {image: x";
    let routes = |keys: &str| format!("{head}}}\negress_proxy: {{routes: [{{host: a.example, {keys}}}]}}\n");
    let mounts = list(1000, &|n| format!("{{source: /usr, target: /m{n}, read_only: true}}"));
    let (allowed, denied) = (list(15_000, &|n| format!("/a{n}")), list(15_000, &|n| format!("/a{n}/x")));
    let stars = list(450, &|n| format!("{}/{n}", "/*".repeat(450)));
    for (text, said) in [
        (
            format!("{head}, mounts: [{mounts}]}}\negress: {{allowlist: [a.example]}}\n"),
            "1000 mounts, and an agent has 100 at most",
        ),
        (
            routes(&format!("path_allowlist: [{allowed}], deny_paths: [{denied}]")),
            "15000 entries, and a route has 500 at most",
        ),
        (routes(&format!("path_allowlist: [{stars}]")), "the path has more than 32 segments"),
    ] {
        let report = Manifest::load("bottle.yaml", text.as_bytes()).unwrap_err();
        assert_eq!(report.0[0].message, said);
        // Every path against every other one would be more problems than are shown.
        assert!(report.0.iter().all(|problem| problem.code != "deny-paths"), "{report}");
    }
}
