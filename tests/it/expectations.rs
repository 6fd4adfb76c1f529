//! `bottle test`, as a black box: expectations, and the replay of an audit trail.

mod replay;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::process::{Command, Stdio};

const MANIFEST: &str = "\
version: 1
name: dev
agent:
  image: debian:12
egress_proxy:
  routes:
    - host: api.example.test
      path_allowlist: [/repos/acme/app, /user]
      deny_paths: [/user/keys]
      methods: [GET, HEAD]
      auth: {scheme: token, token_ref: FORGE_TOKEN}
    - host: old.example.test
      until: 2026-06-30
egress:
  allowlist:
    - raw.example.test
";

/// A folder with the manifest and what is added to it.
struct Site {
    _dir: tempfile::TempDir,
    folder: Utf8PathBuf,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Site {
    fn new(added: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let site = Self { _dir: dir, folder };
        site.write("bottle.yaml", MANIFEST.to_owned() + added);
        site
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn test(&self, arguments: &[&str]) -> Said {
        test_in(&self.folder, arguments)
    }

    /// Of a command that could not be carried out; it has no output.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let said = self.test(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        said.err
    }
}

fn test_in(folder: &Utf8Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
    command.arg("test").args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("XDG_STATE_HOME", folder.join("state"));
    let ran = command.output().unwrap();
    Said {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

const HOLDING: &str = "\
tests:
  - allow: GET https://api.example.test/repos/acme/app/issues
    credential: FORGE_TOKEN
    rule: egress_proxy.routes[0].path_allowlist[0]
  - allow: HEAD https://api.example.test/user
    rule: egress_proxy.routes[0]
  - allow: GET https://raw.example.test/
    credential: none
    rule: egress.allowlist[0]
  - deny: GET https://api.example.test/user/keys
    reason: path_denied
    rule: egress_proxy.routes[0].deny_paths[0]
  - deny: POST https://api.example.test/user
    reason: method_not_allowed
    by: egress-proxy
  - deny: POST https://raw.example.test/
    name: a secret in a body
    body_file: secret.txt
    headers: {Content-Type: text/plain}
    reason: blocked_by_pipelock
    by: pipelock
  - allow: GET https://old.example.test/
    now: 2026-06-30
  - deny: GET https://old.example.test/
    now: 2026-07-01
    reason: rule_expired
";

fn holding() -> Site {
    let site = Site::new(HOLDING);
    // In two parts, so that no scanner finds it here.
    site.write("secret.txt", ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat());
    site
}

#[test]
fn expectations_that_hold_are_one_line() {
    let site = holding();
    let said = site.test(&[]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "bottle.yaml: 8 passed\n", ""));
    let said = site.test(&["--quiet"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
    let said = site.test(&["--verbose", "--filter", "secret"]);
    let expected = "ok: bottle.yaml:32 deny a secret in a body\nbottle.yaml: 1 passed\n";
    assert_eq!((said.code, said.out.as_str()), (0, expected));
    let nothing = site.refused(&["--filter", "zzz"]);
    assert_eq!(nothing, "error: no test holds `zzz` in its name or request\n");
}

/// Text golden: the whole of what a person reads of each kind of failure.
#[test]
fn a_failure_reads_like_a_compilers() {
    let site = Site::new(
        "\
tests:
  - allow: POST https://api.example.test/user
  - deny: GET https://api.example.test/user
    name: nobody reads the user
  - deny: POST https://api.example.test/a.git/git-receive-pack
    reason: path_not_allowed
    by: pipelock
  - allow: GET https://new.example.test/a/b/c/d
  - allow: GET https://raw.example.test/
    credential: FORGE_TOKEN
    rule: egress_proxy.routes[0]
  - allow: GET https://api.example.test/user
    credential: none
",
    );
    let said = site.test(&["--now", "2026-11-24"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    insta::assert_snapshot!("failures", said.out);
}

/// What is suggested is enough.
#[test]
fn the_entry_that_is_suggested_makes_the_test_pass() {
    let site = Site::new("tests:\n  - allow: GET https://api.example.test/orgs/acme\n");
    let said = site.test(&[]);
    assert!(
        said.out.contains("\negress_proxy.routes[0]:\n  path_allowlist: [..., /orgs/acme]\n"),
        "{}",
        said.out
    );
    let text = fs::read_to_string(site.folder.join("bottle.yaml")).unwrap();
    site.write("bottle.yaml", text.replace("/user]\n      deny", "/user, /orgs/acme]\n      deny"));
    assert_eq!(site.test(&[]).out, "bottle.yaml: 1 passed\n");
    // In a bottle without routes the entry is one of the allowlist.
    let plain = "version: 1\nname: dev\nagent: {image: x}\negress: {allowlist: [a.test]}\ntests:\n";
    site.write("bottle.yaml", format!("{plain}  - allow: GET https://b.test/\n"));
    let said = site.test(&[]);
    assert!(said.out.contains("denied by pipelock: host_not_allowed"), "{}", said.out);
    assert!(said.out.contains("\negress:\n  allowlist: [..., b.test]\n"), "{}", said.out);
}

#[test]
fn tests_change_nothing_of_what_is_rendered_or_allowed() {
    use bottle::capability::{Capabilities, Machine};
    use bottle::{manifest::Manifest, plan::Plan, plan::Surroundings, render};
    let of = |added: &str| {
        let loaded = Manifest::load("bottle.yaml", (MANIFEST.to_owned() + added).as_bytes()).unwrap();
        assert_eq!(loaded.manifest.tests.is_empty(), added.is_empty());
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        let capabilities = Capabilities::from_plan(&plan, &Machine::default());
        (render::tree(&plan, render::RenderTarget::Compose).unwrap(), capabilities)
    };
    let (without, with) = (of(""), of(HOLDING));
    assert_eq!(without.0, with.0);
    assert_eq!(without.1, with.1);
}

#[test]
fn a_file_beside_a_manifest_tests_it() {
    let site = Site::new("");
    let one = |expected: &str| format!("tests:\n  - {expected}: GET https://raw.example.test/\n");
    site.write("any.bottle-test.yaml", one("allow"));
    site.write("dev.bottle-test.yaml", one("deny"));
    site.write("dev.bottle.yaml", MANIFEST);
    site.write("apart/far.bottle-test.yaml", format!("manifest: ../bottle.yaml\n{}", one("allow")));
    assert_eq!(site.test(&[]).out, "bottle.yaml: 1 passed\n");
    let said = site.test(&["dev.bottle.yaml"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains(" --> dev.bottle-test.yaml:2:11\n"), "{}", said.out);
    assert!(
        said.out.contains("= note: this allows it: dev.bottle.yaml:16 (egress.allowlist[0])\n"),
        "{}",
        said.out
    );
    assert!(said.out.ends_with("dev.bottle.yaml: 1 failed, 0 passed\n"), "{}", said.out);
    let every = site.test(&["."]).out;
    assert!(every.ends_with("./bottle.yaml: 1 passed\n./dev.bottle.yaml: 1 failed, 0 passed\n"), "{every}");
    assert_eq!(site.test(&["any.bottle-test.yaml"]).out, "bottle.yaml: 1 passed\n");
    assert_eq!(site.test(&["apart"]).out, "apart/../bottle.yaml: 1 passed\n");
    // Named twice, run once.
    assert_eq!(
        site.test(&["bottle.yaml", "any.bottle-test.yaml", "./bottle.yaml"]).out,
        "bottle.yaml: 1 passed\n"
    );
    // From a folder below.
    let below = site.folder.join("apart");
    assert_eq!(test_in(&below, &[]).out, "../bottle.yaml: 1 passed\n");
}

#[test]
fn a_rendered_tree_is_tested_in_place_of_the_manifest() {
    let site = holding();
    let out = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(["test", "--rendered", "out"])
        .current_dir(&site.folder)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2), "there is none yet");
    let loaded = bottle::manifest::Manifest::load("bottle.yaml", MANIFEST.as_bytes()).unwrap();
    let plan =
        bottle::plan::Plan::resolve(&loaded.manifest, &bottle::plan::Surroundings::beside("dev")).unwrap();
    for (path, bytes) in bottle::render::tree(&plan, bottle::render::RenderTarget::Compose).unwrap() {
        site.write(&format!("out/{path}"), bytes);
    }
    assert_eq!(site.test(&["--rendered", "out"]).out, "bottle.yaml: 8 passed\n");
    // What is committed decides, not what would be rendered.
    let text = fs::read_to_string(site.folder.join("bottle.yaml")).unwrap();
    site.write("bottle.yaml", text.replace("methods: [GET, HEAD]", "methods: [GET]"));
    assert_eq!(site.test(&[]).code, 1);
    assert_eq!(site.test(&["--rendered", "out"]).code, 0);
    site.write("b.bottle.yaml", MANIFEST.to_owned() + HOLDING);
    assert_eq!(
        site.refused(&["--rendered", "out", "."]),
        "error: --rendered is one bottle's tree, and these are the tests of 2 manifests; name one of them\n"
    );
}

#[test]
fn where_there_are_none_one_that_holds_is_shown() {
    let site = Site::new("");
    let said = site.refused(&[]);
    let (problem, paste) = said.split_once("\n\n").unwrap();
    let paste = paste.split("\n`bottle explain-code").next().unwrap();
    assert!(
        problem.starts_with(
            "error[no-tests]: there are no tests: no `tests` in bottle.yaml, and none beside it\n"
        ),
        "{said}"
    );
    assert!(paste.starts_with("tests:\n  - allow: GET https://api.example.test/repos/acme/app\n"), "{said}");
    site.write("bottle.yaml", MANIFEST.to_owned() + paste);
    assert_eq!(site.test(&[]).out, "bottle.yaml: 2 passed\n");
    // Beside one that has some, it is a note.
    site.write("b.bottle.yaml", MANIFEST);
    let said = site.test(&["."]);
    assert_eq!((said.code, said.err.as_str()), (0, "note: ./b.bottle.yaml has no tests\n"));
    let error = test_in(&site.folder, &["nowhere"]).err;
    assert!(error.starts_with("error: can't read nowhere: No such file"), "{error}");
}

#[test]
fn every_mistake_in_a_file_is_reported_in_one_run() {
    let site = Site::new("");
    site.write(
        "dev.bottle-test.yaml",
        "\
manifst: bottle.yaml
tests:
  - alow: GET https://x.test/
    deny: GET https://x.test/
  - allow: GET x.test
    reason: git_pus
    by: pipe
  - deny: GET https://a.test/
    allow: GET https://a.test/
  - deny: G,T https://a.test/
  - allow: GET https://a.test/
    reason: git_push
  - deny: GET https://raw.example.test/
    credential: X
    headers: {a b: c}
    body: x
    body_file: y
    now: 2027
    rule: routes[0]
  - just text
",
    );
    let said = site.refused(&[]);
    insta::assert_snapshot!("mistakes", said);
    site.write("dev.bottle-test.yaml", "manifest: other.yaml\ntests:\n  - deny: GET https://a.test/\n");
    let said = site.refused(&[]);
    assert!(
        said.contains("`other.yaml` is not the name of a manifest: bottle.yaml or NAME.bottle.yaml\n"),
        "{said}"
    );
    site.write("dev.bottle-test.yaml", "manifest: ../bottle.yaml\ntests:\n  - deny: GET https://a.test/\n");
    let said = site.refused(&[]);
    assert!(
        said.contains("error[test-manifest]: `../bottle.yaml` is not there\n --> dev.bottle-test.yaml:1:11"),
        "{said}"
    );
    site.write("x/dev.bottle-test.yaml", "tests:\n  - deny: GET https://a.test/\n");
    let said = site.refused(&["x/dev.bottle-test.yaml"]);
    assert!(
        said.contains("there is no bottle.yaml and no dev.bottle.yaml beside this file\n")
            && said.contains("= help: name the manifest, relative to this file: manifest: ../bottle.yaml\n"),
        "{said}"
    );
    site.write("dev.bottle-test.yaml", "tests:\n  - deny: GET https://a.test/\n    body_file: none.txt\n");
    let said = site.refused(&[]);
    assert_eq!(said, "error: `body_file` in dev.bottle-test.yaml: none.txt: there is no such file\n");
    let token = ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat();
    site.write("dev.bottle-test.yaml", format!("tests:\n  - deny: GET https://a.test/\n    body: {token}\n"));
    let said = site.refused(&[]);
    assert!(said.contains("error[secret]: the file holds a secret\n") && !said.contains(&token), "{said}");
}

#[test]
fn what_an_agent_can_plant_is_not_followed() {
    let site = Site::new("");
    site.write("secret", "tests: the-secret\n");
    fs::os::unix::fs::symlink("secret", site.folder.join("a.bottle-test.yaml")).unwrap();
    let said = site.refused(&[]);
    assert!(said.contains("a.bottle-test.yaml is a symbolic link, which bottle does not follow"), "{said}");
    fs::remove_file(site.folder.join("a.bottle-test.yaml")).unwrap();
    fs::os::unix::fs::symlink("secret", site.folder.join("body")).unwrap();
    site.write("a.bottle-test.yaml", "tests:\n  - deny: GET https://a.test/\n    body_file: body\n");
    let said = site.refused(&[]);
    assert!(said.contains("body is a symbolic link, which bottle does not follow"), "{said}");
    // What else is on the machine is not read: the verdicts would tell what is in it.
    let outside = tempfile::NamedTempFile::new().unwrap();
    for named in [outside.path().to_str().unwrap(), "../body", "/etc/hostname", "x/../../body"] {
        site.write(
            "a.bottle-test.yaml",
            format!("tests:\n  - deny: GET https://a.test/\n    body_file: {named}\n"),
        );
        let said = site.refused(&["--junit", "r.xml"]);
        let end = ": it lies outside of the folder of this file; put a copy beside it\n";
        assert_eq!(said, format!("error: `body_file` in a.bottle-test.yaml: {named}{end}"));
        assert!(!site.folder.join("r.xml").exists());
    }
    // Nor does it steer a terminal, or break out of a report.
    let hostile = "tests:\n  - allow: \"GET https://a.test/\\e[2J\\u202e]]>&<\"\n    name: \"\\u202e<x>&\"\n";
    site.write("a.bottle-test.yaml", hostile);
    let said = site.test(&["--junit", "r.xml"]);
    let xml = fs::read_to_string(site.folder.join("r.xml")).unwrap();
    for text in [&said.out, &said.err, &xml] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    assert!(said.out.contains(r"GET https://a.test/\u{1b}[2J\u{202e}]]>&<"), "{}", said.out);
    assert!(xml.contains(r#"name="\u{202e}&lt;x&gt;&amp;""#) && !xml.contains("]]>"), "{xml}");
}

/// A small manifest can name a large file many times.
#[test]
fn one_body_is_held_at_a_time() {
    let site = Site::new("");
    fs::File::create(site.folder.join("body")).unwrap().set_len(16 << 20).unwrap();
    let test = "  - {allow: \"POST https://raw.example.test/\", body_file: body}\n";
    site.write("a.bottle-test.yaml", "tests:\n".to_owned() + &test.repeat(4));
    // Room for the program and two of them.
    let bottle = format!("ulimit -v 150000; exec {} test", env!("CARGO_BIN_EXE_bottle"));
    let output = Command::new("bash").args(["-c", &bottle]).current_dir(&site.folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stdout));
    // What is denied anyway is not scanned, so these are read in no time.
    let test = "  - {deny: \"POST https://unlisted.test/\", body_file: body}\n";
    site.write("a.bottle-test.yaml", "tests:\n".to_owned() + &test.repeat(17));
    let said = site.refused(&[]);
    let why = "body: the bodies of these tests have more than 256 MiB; test fewer at once\n";
    assert!(said.ends_with(why), "{said}");
}

#[test]
fn json_and_junit_say_the_same() {
    let site = Site::new(
        "tests:\n  - allow: GET https://api.example.test/user\n  - {name: n, allow: GET https://x.test/}\n",
    );
    let said = site.test(&["--format", "json", "--junit", "report.xml"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &1.into()));
    let [first, second] = json["tests"].as_array().unwrap().as_slice() else { panic!("{json:#}") };
    assert_eq!(
        *first,
        serde_json::json!({
            "bottle": "dev", "manifest": "bottle.yaml", "file": "bottle.yaml", "line": 18, "name": null,
            "request": "GET https://api.example.test/user", "expected": "allow", "verdict": "allow", "reason": null,
            "decided_by": null, "passed": true, "failure": null,
        })
    );
    assert_eq!(
        (&second["reason"], &second["decided_by"]),
        (&"host_not_allowed".into(), &"egress-proxy".into())
    );
    assert_eq!(second["failure"]["code"], "expectation");
    let xml = fs::read_to_string(site.folder.join("report.xml")).unwrap();
    let head = "<testsuite name=\"bottle test\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">\n";
    assert!(xml.contains(head), "{xml}");
    assert!(
        xml.contains(
            "<testcase classname=\"bottle.dev\" name=\"allow GET https://api.example.test/user\" file=\"bottle.yaml\" line=\"18\"></testcase>"
        ),
        "{xml}"
    );
    assert!(xml.contains("name=\"n\" file=\"bottle.yaml\" line=\"19\"><failure message=\"GET https://x.test/ is denied by egress-proxy: host_not_allowed\">error[expectation]"), "{xml}");
    // What can't be run writes nothing.
    fs::remove_file(site.folder.join("report.xml")).unwrap();
    site.write("a.bottle-test.yaml", "tests: 1\n");
    site.refused(&["--junit", "report.xml"]);
    assert!(!site.folder.join("report.xml").exists());
}

/// Every block of the page is as the binary has it: files are written, commands are run, in their order.
#[test]
fn the_page_shows_what_happens() {
    let page = include_str!("../../docs/testing-a-manifest.md");
    let site = Site::new("");
    let mut commands = 0;
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        let text = text.to_owned() + "\n";
        match language {
            "yaml" => {
                let name = text.lines().next().unwrap().trim_start_matches("# ").to_owned();
                site.write(&name, text);
            }
            "json" => site.write("audit.jsonl", text),
            "console" => {
                let (command, expected) = text.split_once('\n').unwrap();
                let arguments: Vec<&str> =
                    command.strip_prefix("$ bottle test").unwrap().split_whitespace().collect();
                assert_eq!(site.test(&arguments).out, expected, "{command}");
                commands += 1;
            }
            other => panic!("a block of {other}"),
        }
    }
    assert_eq!(commands, 3);
}

/// A branch can bring a link in the place where a pipeline puts its report.
#[test]
fn a_junit_report_goes_through_no_link() {
    let site = Site::new("tests: [{deny: \"GET https://other.example.test/\"}]\n");
    site.write("keys", "mine\n");
    fs::os::unix::fs::symlink(site.folder.join("keys"), site.folder.join("r.xml")).unwrap();
    let said = site.refused(&["--junit", "r.xml"]);
    let why = "error: r.xml is a symbolic link, and nothing is written through it; name a plain file\n";
    assert_eq!(said, why);
    assert_eq!(fs::read_to_string(site.folder.join("keys")).unwrap(), "mine\n");
    // Nor through a link on the way, which leads to a file that is a person's, whether or not the run fails.
    site.write("elsewhere/deep/report.xml", "mine\n");
    fs::os::unix::fs::symlink("elsewhere", site.folder.join("out")).unwrap();
    for file in
        ["out/deep/report.xml", "./out/deep/report.xml", &format!("{}/out/deep/report.xml", site.folder)]
    {
        let said = site.refused(&["--junit", file]);
        assert!(said.contains("/out is a symbolic link, which bottle does not follow"), "{said}");
    }
    assert_eq!(fs::read_to_string(site.folder.join("elsewhere/deep/report.xml")).unwrap(), "mine\n");
    // That of an earlier run stays when a run fails.
    site.write("old.xml", "<old/>");
    site.write("bottle.yaml", "version: 1\n");
    site.refused(&["--junit", "old.xml"]);
    assert_eq!(fs::read_to_string(site.folder.join("old.xml")).unwrap(), "<old/>");
}
