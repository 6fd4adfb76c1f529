//! `bottle explain`, as a black box.

use bottle::{manifest::Manifest, plan::Plan, plan::Surroundings, render};
use camino::Utf8Path;
use fs_err as fs;
use std::{path::Path, process::Command};

const MANIFEST: &str = "\
version: 1
name: dev
agent:
  image: debian:12
egress_proxy:
  routes:
    - host: api.example.test
      path_allowlist: [/repos/acme/app, /user]
      methods: [GET, HEAD]
      auth: {scheme: token, token_ref: FORGE_TOKEN}
      reason: the issue tracker
    - host: old.example.test
      until: 2026-06-30
    - host: scoped.example.test
      encoded_slash: true
      path_allowlist:
        - /@acme%2Fapp
      inspect: false
egress:
  allowlist:
    - raw.example.test
";

const WITHOUT_ROUTES: &str = "\
version: 1
name: plain
agent: {image: 'debian:12'}
egress:
  allowlist: [raw.example.test]
";

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(folder: &Path, args: &[&str]) -> Said {
    let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .arg("explain")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    Said {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

fn folder_with(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bottle.yaml"), manifest).unwrap();
    folder
}

/// On a fixed day, in a folder with the manifest.
fn explain(args: &[&str]) -> Said {
    run(folder_with(MANIFEST).path(), &[args, &["--now", "2026-11-24"]].concat())
}

#[track_caller]
fn says(args: &[&str], code: i32, expected: &str) {
    let said = explain(args);
    assert_eq!((said.out.as_str(), said.err.as_str()), (expected, ""));
    assert_eq!(said.code, code);
}

#[test]
fn an_allowed_request_names_rule_line_entry_and_credential() {
    says(
        &["GET", "https://api.example.test/repos/acme/app/issues?page=2"],
        0,
        "\
allowed: GET https://api.example.test/repos/acme/app/issues?page=2
  rule        api.example.test (bottle.yaml:7, egress_proxy.routes[0])
  entry       /repos/acme/app (bottle.yaml:8)
  credential  FORGE_TOKEN in authorization
  because     the issue tracker
  pipelock    lets the host through and looks inside; a secret in the request blocks it
",
    );
}

#[test]
fn a_path_that_is_sent_in_another_form_shows_that_form() {
    says(
        &["GET", "https://scoped.example.test/@acme%2fapp/%61"],
        0,
        "\
allowed: GET https://scoped.example.test/@acme%2fapp/%61
  rule        scoped.example.test (bottle.yaml:14, egress_proxy.routes[2])
  entry       /@acme%2Fapp (bottle.yaml:17)
  credential  none
  sent as     /@acme%2Fapp/a
  pipelock    lets the host through and does not look inside
",
    );
}

#[test]
fn a_denied_path_names_the_nearest_entry() {
    says(
        &["GET", "https://api.example.test/repos/acme/other"],
        1,
        "\
denied: GET https://api.example.test/repos/acme/other
  reason      path_not_allowed
  why         /repos/acme/other is not an allowed path on api.example.test (did you mean /repos/acme/app?); allowed there: GET, HEAD /repos/acme/app and below; GET, HEAD /user and below; retrying does not help
  rule        api.example.test (bottle.yaml:7, egress_proxy.routes[0])
  credential  FORGE_TOKEN in authorization; not sent, since the request is denied
  because     the issue tracker
  pipelock    lets the host through and looks inside; a secret in the request blocks it
  nearest     the rule for api.example.test below /repos/acme/app (bottle.yaml:8)
",
    );
}

/// From the manifest and from what was rendered of it.
#[test]
fn a_path_that_a_rule_denies_names_the_entry_that_denies_it() {
    let denying = "path_allowlist: [/repos/acme/app, /user]\n      deny_paths:\n        - /user/keys\n        - /*/*/*/hooks";
    let folder = folder_with(&MANIFEST.replace("path_allowlist: [/repos/acme/app, /user]", denying));
    let ask = ["GET", "https://api.example.test/repos/acme/app/Hooks/1", "--now", "2026-11-24"];
    let said = run(folder.path(), &ask);
    let expected = "\
denied: GET https://api.example.test/repos/acme/app/Hooks/1
  reason      path_denied
  why         /repos/acme/app/Hooks/1 on api.example.test is closed on purpose: the rule denies /*/*/*/hooks and below, in every spelling; work without it, or ask the person who wrote the rule; allowed there: GET, HEAD /repos/acme/app and below; GET, HEAD /user and below; but not /user/keys, /*/*/*/hooks and below; retrying does not help
  rule        api.example.test (bottle.yaml:7, egress_proxy.routes[0])
  credential  FORGE_TOKEN in authorization; not sent, since the request is denied
  because     the issue tracker
  pipelock    lets the host through and looks inside; a secret in the request blocks it
  nearest     the rule for api.example.test outside of /*/*/*/hooks (bottle.yaml:11)
";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (1, expected, ""));

    let loaded =
        Manifest::load("bottle.yaml", &fs::read(folder.path().join("bottle.yaml")).unwrap()).unwrap();
    let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
    for (path, bytes) in render::tree(&plan, render::RenderTarget::Compose).unwrap() {
        let path = folder.path().join("out").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let rendered = run(folder.path(), &[&ask[..], &["--rendered", "out"]].concat());
    assert_eq!(rendered.code, 1, "{}", rendered.err);
    let line = rendered.out.lines().last().unwrap();
    let of_entry = line.starts_with(
        "  nearest     the rule for api.example.test outside of /*/*/*/hooks (out/egress-proxy/routes.yaml:",
    );
    assert!(of_entry, "{line}");
}

#[test]
fn a_denied_method_names_the_line_of_the_methods() {
    let said = explain(&["POST", "https://api.example.test/user"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("  reason      method_not_allowed\n"), "{}", said.out);
    assert!(
        said.out.contains("  nearest     the rule for api.example.test with GET, HEAD (bottle.yaml:9)\n"),
        "{}",
        said.out
    );
}

#[test]
fn an_unknown_host_is_refused_by_both_proxies() {
    says(
        &["GET", "https://apl.example.test/"],
        1,
        "\
denied: GET https://apl.example.test/
  reason      host_not_allowed
  why         apl.example.test is not an allowed host (did you mean api.example.test?); the allowed hosts are api.example.test, old.example.test, scoped.example.test, raw.example.test; retrying does not help
  rule        none names this host
  pipelock    refuses the host: it is not in its allowlist with this port
  nearest     the rule for api.example.test, a similar name (bottle.yaml:7)
",
    );
}

#[test]
fn a_wildcard_decides_on_one_label_and_has_its_credential_where_it_is_named() {
    let manifest = "\
version: 1
name: dev
agent: {image: 'debian:12'}
egress_proxy:
  routes:
    - host: '*.api.example.test'
      auth: {scheme: Bearer, token_ref: TOKEN}
      credential_hosts: [eu.api.example.test]
";
    let folder = folder_with(manifest);
    let ask = |url: &str| run(folder.path(), &["GET", url, "--format", "json"]);
    let json = |said: &Said| serde_json::from_str::<serde_json::Value>(&said.out).unwrap();
    let eu = ask("https://eu.api.example.test/");
    assert_eq!((eu.code, &json(&eu)["rule"]["id"]), (0, &"eu.api.example.test".into()), "{}", eu.out);
    assert_eq!(json(&eu)["rule"]["credential"]["token_ref"], "TOKEN", "{}", eu.out);
    let us = ask("https://us.api.example.test/");
    assert_eq!((us.code, &json(&us)["rule"]["id"]), (0, &"*.api.example.test".into()), "{}", us.out);
    assert!(json(&us)["rule"]["credential"].is_null(), "{}", us.out);
    for other in ["api.example.test", "a.eu.api.example.test", "*.api.example.test"] {
        assert_eq!(ask(&format!("https://{other}/")).code, 1, "{other}");
    }
    let label = ask("https://a7f3c9e1b5d2486f0a9c3e7b1d5f2846.api.example.test/");
    assert_eq!((label.code, &json(&label)["reason"]), (1, &"blocked_by_pipelock".into()), "{}", label.out);
}

#[test]
fn the_day_decides_on_until() {
    assert_eq!(
        run(folder_with(MANIFEST).path(), &["GET", "https://old.example.test/", "--now", "2026-06-30"]).code,
        0
    );
    let said = explain(&["GET", "https://old.example.test/"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("  reason      rule_expired\n"), "{}", said.out);
    assert!(said.out.contains("  until       2026-06-30\n"), "{}", said.out);
    assert!(said.out.contains("which held until 2026-06-30 (bottle.yaml:13)\n"), "{}", said.out);
}

#[test]
fn a_git_push_is_seen_however_it_is_spelled() {
    for url in [
        "https://raw.example.test/acme/app.git/git-receive-pack",
        "https://raw.example.test/acme/app.git/info/refs?service=git%2dreceive-pack",
    ] {
        let said = explain(&["POST", url]);
        assert_eq!(said.code, 1);
        assert!(
            said.out.contains("  reason      git_push\n") && said.out.contains("  git         push\n"),
            "{}",
            said.out
        );
    }
    let said = explain(&["GET", "https://raw.example.test/acme/app.git/info/refs?service=git-upload-pack"]);
    assert!(said.code == 0 && said.out.contains("  git         fetch\n"), "{}", said.out);
}

#[test]
fn a_push_that_a_route_allows_says_what_decides_on_it() {
    let folder = folder_with(
        "version: 1\nname: dev\nagent: {image: 'debian:12'}\negress_proxy:\n  routes:\n    - host: forge.example.test\n      \
         path_allowlist: [/acme/app.git]\n      git: {push: {refs: [refs/heads/agent/*]}}\n",
    );
    for (method, url) in [("POST", "git-receive-pack"), ("GET", "info/refs?service=git-receive-pack")] {
        let said = run(folder.path(), &[method, &format!("https://forge.example.test/acme/app.git/{url}")]);
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        assert!(
            said.out.contains("(refs/heads/agent/*: create, no delete, no force, packs up to 50 MiB)"),
            "{}",
            said.out
        );
    }
    let said = run(folder.path(), &["POST", "https://forge.example.test/acme/app.git/git-receive-pack?x"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("a push in this form is refused also where git.push allows one"),
        "{}",
        said.out
    );
    assert!(said.out.contains("git.push"), "{}", said.out);
    let said = run(folder.path(), &["POST", "https://forge.example.test/acme/other.git/git-receive-pack"]);
    assert!(said.code == 1 && said.out.contains("  reason      path_not_allowed\n"), "{}", said.out);
}

#[test]
fn the_url_is_not_normalised_before_it_is_read() {
    for (url, reason) in [
        ("https://api.example.test/user/../repos", "malformed_target"),
        ("https://api.example.test/user#x", "malformed_target"),
        ("https://127.0.0.1/", "malformed_authority"),
        ("https://u:p@api.example.test/user", "malformed_authority"),
        ("https://api.example.test:8443/user", "port_not_allowed"),
        ("http://api.example.test/user", "port_not_allowed"),
    ] {
        let said = explain(&["GET", url]);
        assert_eq!(said.code, 1, "{url}");
        assert!(said.out.contains(&format!("  reason      {reason}\n")), "{url}: {}", said.out);
    }
    assert_eq!(explain(&["GET", "https://raw.example.test?q"]).code, 0);
}

#[test]
fn fields_count_as_they_do_in_the_proxy() {
    let url = "https://raw.example.test/x";
    let with = |headers: &[&str]| {
        let flags = headers.iter().flat_map(|header| ["--header", header]);
        explain(&["POST", url].into_iter().chain(flags).collect::<Vec<_>>())
    };
    let push = with(&["Content-Type: application/x-git-receive-pack-request"]);
    assert!(push.code == 1 && push.out.contains("git_push"), "{}", push.out);
    let fronted = with(&["Host: evil.example"]);
    assert!(fronted.code == 1 && fronted.out.contains("authority_mismatch"), "{}", fronted.out);
    assert_eq!(with(&["Host: RAW.example.test:443"]).code, 0);
    assert!(with(&["Host: a.test", "Host: b.test"]).out.contains("malformed_request"));
    let said = with(&["X-HTTP-Method-Override: DELETE"]);
    assert!(
        said.code == 0 && said.out.contains("  note        X-HTTP-Method-Override is stripped"),
        "{}",
        said.out
    );
}

#[test]
fn the_proxys_own_name_is_answered_by_the_proxy() {
    says(
        &["GET", "http://bottle.internal/allowlist"],
        0,
        "\
allowed: GET http://bottle.internal/allowlist
  rule        none names this host
  pipelock    is not asked
  note        egress-proxy answers for this host itself; nothing leaves
",
    );
    assert_eq!(run(folder_with(WITHOUT_ROUTES).path(), &["GET", "https://bottle.internal/"]).code, 1);
}

/// A token of the right shape, in two halves so that no scanner of this repository stops at it.
fn planted() -> String {
    ["ghp_", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"].concat()
}

#[test]
fn a_secret_in_body_field_or_url_is_what_pipelock_blocks() {
    let folder = folder_with(MANIFEST);
    fs::write(folder.path().join("body.json"), format!("{{\"note\": \"{}\"}}", planted())).unwrap();
    let ask = |more: &[&str]| run(folder.path(), &[&["POST", "https://raw.example.test/x"], more].concat());
    let field = format!("X-Note: {}", planted());
    let unread = format!("User-Agent: {}", planted());
    for (more, reason) in [
        (&["--body", "body.json"][..], "blocked_by_pipelock"),
        (&["--header", &field], "blocked_by_pipelock"),
        // pipelock does not read this one, so egress-proxy does.
        (&["--header", &unread], "credential_in_request"),
    ] {
        let said = ask(more);
        assert_eq!(said.code, 1, "{}", said.out);
        assert!(said.out.contains(&format!("  reason      {reason}\n")), "{}", said.out);
        assert!(said.out.contains("  secret      GitHub"), "{}", said.out);
        assert!(!said.out.contains(&planted()), "the secret itself is never printed: {}", said.out);
    }
    let in_url = run(folder.path(), &["GET", &format!("https://raw.example.test/?q={}", planted())]);
    assert!(in_url.code == 1 && in_url.out.contains("in the URL"), "{}", in_url.out);
    fs::write(folder.path().join("body.json"), "{}").unwrap();
    assert_eq!(ask(&["--body", "body.json"]).code, 0);
    assert_eq!(ask(&["--body", "nowhere.json"]).code, 2);
}

#[test]
fn a_finding_that_only_warns_does_not_deny() {
    let folder = folder_with(&MANIFEST.replace("egress:\n", "egress:\n  dlp_action: warn\n"));
    let field = format!("X-Note: {}", planted());
    let said = run(folder.path(), &["POST", "https://raw.example.test/x", "--header", &field]);
    assert!(said.code == 0 && said.out.contains("  secret      GitHub"), "{}", said.out);
}

#[test]
fn what_is_removed_from_a_body_is_said() {
    let folder = folder_with(&MANIFEST.replace("egress:\n", "egress:\n  dlp_action: redact\n"));
    fs::write(folder.path().join("body.json"), format!("{{\"a\": \"{}\"}}", planted())).unwrap();
    let ask = |more: &[&str]| {
        let args = ["POST", "https://raw.example.test/x", "--body", "body.json", "--header"];
        run(folder.path(), &[&args[..], more].concat())
    };
    let said = ask(&["Content-Type: application/json"]);
    assert_eq!(said.code, 0, "{}", said.out);
    let line = "  secret      GitHub Token, 1 in the body: removed, and the request goes on without it\n";
    assert!(said.out.contains(line) && !said.out.contains(&planted()), "{}", said.out);
    let said = ask(&["Content-Type: application/json", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["removed"], serde_json::json!([{"pattern": "GitHub Token", "count": 1}]));
    assert_eq!(value["pipelock"]["finding"], "redact");
    let signed = ask(&["Content-Type: application/json", "--header", "Content-Digest: sha-256=:x:"]);
    assert!(signed.code == 1 && signed.out.contains("neither encoded nor signed"), "{}", signed.out);
    let untyped = ask(&["X-Other: 1"]);
    assert!(untyped.code == 1 && untyped.out.contains("neither encoded nor signed"), "{}", untyped.out);
}

#[test]
fn a_credential_that_is_replaced_is_no_secret_in_the_request() {
    let field = format!("Authorization: token {}", planted());
    let said = explain(&["GET", "https://api.example.test/user", "--header", &field]);
    assert!(
        said.code == 0
            && said
                .out
                .contains("of the agent's own fields Authorization goes off: only known ones pass here"),
        "{}",
        said.out
    );
}

#[test]
fn an_lfs_batch_is_decided_on_by_its_body() {
    let folder = folder_with(MANIFEST);
    let ask = |body: Option<&str>| {
        let mut args = vec!["POST", "https://raw.example.test/a.git/info/lfs/objects/batch"];
        if let Some(body) = body {
            fs::write(folder.path().join("batch"), body).unwrap();
            args.extend(["--body", "batch"]);
        }
        run(folder.path(), &args)
    };
    assert!(ask(None).out.contains("an LFS batch is decided on by its body"));
    let upload = ask(Some(r#"{"operation": "upload"}"#));
    assert!(upload.code == 1 && upload.out.contains("  git         lfs_upload\n"), "{}", upload.out);
    assert_eq!(ask(Some(r#"{"operation": "download"}"#)).code, 0);
    assert!(ask(Some("{}")).out.contains("malformed_request"));
}

#[test]
fn json_holds_every_key() {
    let said = explain(&["POST", "https://api.example.test/user", "--format", "json"]);
    assert_eq!(said.code, 1);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["verdict"], "deny");
    assert_eq!(json["bottle"], "dev");
    assert_eq!(json["reason"], "method_not_allowed");
    assert_eq!(json["rule"]["place"], serde_json::json!({"file": "bottle.yaml", "line": 7}));
    assert_eq!(json["rule"]["credential"]["token_ref"], "FORGE_TOKEN");
    assert_eq!(json["nearest"]["place"]["line"], 9);
    assert_eq!(
        json["pipelock"],
        serde_json::json!({"host": "allowed", "inspects": true, "finding": "block"})
    );
    let allowed = explain(&["GET", "https://api.example.test/user", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&allowed.out).unwrap();
    assert_eq!((&json["verdict"], &json["reason"]), (&"allow".into(), &serde_json::Value::Null));
}

#[test]
fn without_routes_pipelock_decides_by_host_and_it_is_said() {
    let folder = folder_with(WITHOUT_ROUTES);
    let said = run(folder.path(), &["POST", "https://raw.example.test/a.git/git-receive-pack"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (
            0,
            "\
allowed: POST https://raw.example.test/a.git/git-receive-pack
  rule        raw.example.test (bottle.yaml:5, egress.allowlist[0])
  credential  none
  pipelock    lets the host through and looks inside; a secret in the request blocks it
  note        this bottle has no routes: no path rule holds, git push is not refused, and pipelock decides by host
"
        )
    );
    let said = run(folder.path(), &["GET", "https://other.example.test/"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("  reason      host_not_allowed\n"), "{}", said.out);
    let said = run(folder.path(), &["GET", "https://raw.example.test:8443/"]);
    assert!(said.code == 1 && said.out.contains("  reason      port_not_allowed\n"), "{}", said.out);
}

#[test]
fn the_manifest_is_found_in_a_parent_or_where_it_is_named() {
    let folder = folder_with(MANIFEST);
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    let url = "https://raw.example.test/";
    let said = run(&deep, &["GET", url]);
    assert!(said.code == 0 && said.out.contains("(../../bottle.yaml:"), "{}", said.out);
    for named in [".", "../..", "../../bottle.yaml"] {
        let here = if named == "." { folder.path() } else { &deep };
        assert_eq!(run(here, &["GET", url, named]).code, 0, "{named}");
    }
    let empty = tempfile::tempdir().unwrap();
    let said = run(empty.path(), &["GET", url]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error[no-manifest]: there is no bottle.yaml in this folder or in one above it; name a manifest, or let `bottle init` write one\n"
    );
}

#[test]
fn a_rendered_tree_gives_the_same_answers_as_its_manifest() {
    for manifest in [MANIFEST, WITHOUT_ROUTES] {
        let folder = folder_with(manifest);
        let tree = folder.path().join("tree");
        write_tree(Utf8Path::from_path(&tree).unwrap(), manifest);
        for (method, url) in [
            ("GET", "https://api.example.test/user"),
            ("POST", "https://api.example.test/user"),
            ("GET", "https://api.example.test/repos/acme/other"),
            ("GET", "https://scoped.example.test/@acme%2fapp"),
            ("GET", "https://unknown.example.test/"),
            ("GET", "https://raw.example.test/a/../b"),
            ("POST", "https://raw.example.test/a.git/git-receive-pack"),
        ] {
            let ask = |more: &[&str]| {
                let said = run(
                    folder.path(),
                    &[&[method, url, "--now", "2026-11-24", "--format", "json"], more].concat(),
                );
                (said.code, without_places(serde_json::from_str(&said.out).unwrap()))
            };
            assert_eq!(ask(&["--rendered", "tree"]), ask(&[]), "{method} {url}");
        }
    }
}

#[test]
fn a_rendered_tree_names_the_line_of_its_config() {
    let folder = folder_with(MANIFEST);
    write_tree(Utf8Path::from_path(&folder.path().join("tree")).unwrap(), MANIFEST);
    let said = run(folder.path(), &["POST", "https://api.example.test/user", "--rendered", "tree"]);
    let routes = fs::read_to_string(folder.path().join("tree/egress-proxy/routes.yaml")).unwrap();
    let line = routes.lines().position(|line| line.trim_start().starts_with("methods:")).unwrap() + 1;
    assert!(
        said.out.contains(&format!("with GET, HEAD (tree/egress-proxy/routes.yaml:{line})")),
        "{}",
        said.out
    );
    assert!(said.out.contains(", egress_proxy.routes[0])"), "{}", said.out);
}

fn write_tree(folder: &Utf8Path, manifest: &str) {
    let loaded = Manifest::load("bottle.yaml", manifest.as_bytes()).unwrap();
    let around = Surroundings::beside(&loaded.manifest.name);
    let plan = Plan::resolve(&loaded.manifest, &around).unwrap();
    for (path, bytes) in render::tree(&plan, render::RenderTarget::Compose).unwrap() {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
}

fn without_places(mut value: serde_json::Value) -> serde_json::Value {
    match &mut value {
        serde_json::Value::Object(map) => {
            map.remove("place");
            for value in map.values_mut() {
                *value = without_places(value.take());
            }
        }
        serde_json::Value::Array(list) => {
            for value in list {
                *value = without_places(value.take());
            }
        }
        _ => {}
    }
    value
}

#[test]
fn what_is_no_question_is_exit_code_2() {
    for (args, said) in [
        (
            &["GET", "api.example.test/user"][..],
            "error: `api.example.test/user` is not a whole URL: write https://HOST/PATH\n",
        ),
        (
            &["GET", "ftp://api.example.test/"],
            "error: `ftp` can't pass the proxies: only https and http can\n",
        ),
        (
            &["GET", "wss://api.example.test/"],
            "error: a WebSocket begins as a request: ask for GET with http in place of ws\n",
        ),
        (
            &["GE T", "https://api.example.test/"],
            "error: `GE T` is not a method: a method is a token such as GET (RFC 9110 §9.1), of 32 bytes at most\n",
        ),
        (&["GET", "https://api.example.test/", "--header", "x"], "error: `x` is not NAME: VALUE\n"),
    ] {
        let ran = explain(args);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (2, "", said));
    }
    for args in [
        &["GET"][..],
        &["GET", "https://a.test/", "--now", "yesterday"],
        &["GET", "https://a.test/", "--rendered", "nowhere"],
    ] {
        let ran = explain(args);
        assert!(ran.code == 2 && !ran.err.is_empty(), "{args:?}");
    }
    let bad =
        folder_with("version: 1\nname: dev\nagent: {image: a}\negress_proxy: {routes: [{host: '*.test'}]}\n");
    let ran = run(bad.path(), &["GET", "https://a.test/"]);
    assert!(ran.code == 2 && ran.err.contains("wildcard"), "{}", ran.err);
}

/// The proxy refuses an upgrade, so the answer must not be that it is let through.
#[test]
fn an_upgrade_is_refused_as_the_proxy_refuses_it() {
    let ran = explain(&["GET", "https://api.example.test/user", "--header", "Upgrade: websocket"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("upgrade_not_supported"), "{}", ran.out);
    let ran = explain(&["GET", "https://api.example.test/user", "--header", "Upgrade: h2c"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
}

/// The tunnel is refused before there is a request whose path could be wrong.
#[test]
fn the_port_is_decided_on_before_the_path() {
    let ran = explain(&["GET", "https://api.example.test:22/a/../b"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("  reason      port_not_allowed\n"), "{}", ran.out);
    assert!(!ran.out.contains("none names this host"), "a rule does, with other ports: {}", ran.out);
}

#[test]
fn a_field_that_some_servers_take_for_another_is_said_to_go() {
    let ran = explain(&["GET", "https://api.example.test/user", "--header", "X_Original_Url: /admin"]);
    assert!(ran.out.contains("X_Original_Url is stripped"), "{}", ran.out);
}

const OWN_SECRETS: &str = "\
version: 1
name: dev
agent: {image: 'debian:12'}
egress_proxy:
  routes:
    - host: bank.example.test
    - host: other.example.test
pipelock:
  patterns:
    - { name: Badge, regex: 'BADGE-[0-9]{8}' }
  except:
    - { pattern: IBAN, host: bank.example.test, reason: payments name accounts }
    - { pattern: Badge, host: other.example.test, reason: it prints badges }
";

#[test]
fn own_patterns_and_exceptions_count_in_bodies_urls_and_fields() {
    let folder = folder_with(OWN_SECRETS);
    let (iban, badge) = ("GB82KWLT31926847150362", "badge-12345678");
    let found = |host: &str, secret: &str| {
        fs::write(folder.path().join("body"), format!("it is {secret} indeed")).unwrap();
        let url = format!("https://{host}.example.test/x");
        let field = |name: &str| format!("{name}: {secret}");
        let ways: [&[&str]; 4] = [
            &["--body", "body"],
            &["--header", &field("X-Note")],
            &["--header", &field("User-Agent")], // pipelock does not read it
            &[],
        ];
        let asked = ways.map(|way| {
            let url = if way.is_empty() { format!("{url}?q={secret}") } else { url.clone() };
            let said = run(folder.path(), &[&["POST", url.as_str()], way].concat());
            assert_eq!(said.err, "");
            said.out.lines().find_map(|line| line.strip_prefix("  secret      ")).map(|line| {
                assert_eq!(said.code, 1);
                line.split(" in ").next().unwrap().to_owned()
            })
        });
        assert!(asked.iter().all(|it| *it == asked[0]), "{host} {secret}: {asked:?}");
        asked[0].clone()
    };
    let named = |name: &str| Some(name.to_owned());
    assert_eq!((found("bank", iban), found("bank", badge)), (None, named("Badge")));
    assert_eq!((found("other", iban), found("other", badge)), (named("IBAN"), None));
}

#[test]
fn a_credential_that_a_denied_request_does_not_get_is_not_said_to_be_sent() {
    let credential = |method: &str| {
        let said = explain(&[method, "https://api.example.test/user"]);
        let line = said.out.lines().find_map(|line| line.strip_prefix("  credential  ").map(str::to_owned));
        let json = explain(&[method, "https://api.example.test/user", "--format", "json"]);
        let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        (line.unwrap(), json["rule"]["credential"]["sent"].as_bool().unwrap())
    };
    assert_eq!(credential("GET"), ("FORGE_TOKEN in authorization".to_owned(), true));
    let denied = "FORGE_TOKEN in authorization; not sent, since the request is denied";
    assert_eq!(credential("POST"), (denied.to_owned(), false));
}
