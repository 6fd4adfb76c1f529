//! A secret in an odd place is never repeated: not in a message, a hint, a frame, or the form for machines.

use bottle::manifest::Manifest;
use std::process::{Command, Output};

/// Put together here, so that no scanner of this repository takes it for one.
fn token() -> String {
    format!("ghp_{}", "a1B2".repeat(9))
}

fn is_silent(text: &str) {
    let token = token();
    // The half of it as well.
    assert!(!text.contains(&token[..12]) && !text.contains(&token[token.len() - 12..]), "{text}");
}

#[test]
fn a_token_in_any_value_of_a_manifest() {
    let token = token();
    let long = format!("{}{token}", "x-".repeat(30));
    let escaped = token.replacen("ghp_", "\\u0067hp_", 1);
    let folded = format!("{}\\\n      {}", &token[..20], &token[20..]);
    let agent = "agent: {image: debian:12}\n";
    for manifest in [
        format!("agent: {{image: \"{token}\"}}\n"),
        format!("agent: {{image: \"debian:{token} x\"}}\n"),
        format!("agent: {{image: debian:12, mounts: [{{source: \"/etc/../{token}\", target: /x}}]}}\n"),
        format!("agent: {{image: debian:12, mounts: [{{source: \"~/{long}\", target: /x}}]}}\n"),
        format!("agent: {{image: debian:12, env: {{A: {token}}}}}\n"),
        format!("agent: {{image: debian:12, env: {{{token}-x: a}}}}\n"),
        format!("agent: {{image: debian:12, env: {{A: \"{escaped}\"}}}}\n"),
        format!("agent: {{image: debian:12, env: {{\"{escaped}\": a}}}}\n"),
        format!("agent:\n  image: debian:12\n  env:\n    A: \"{folded}\"\n"),
        format!("agent: {{image: debian:12, user: \"a:b:{token}\"}}\n"),
        format!("{agent}egress_proxy: {{routes: [{{host: {token}.example/{token}}}]}}\n"),
        format!("{agent}egress_proxy: {{routes: [{{host: a.example, path_allowlist: [\"/{token}/\"]}}]}}\n"),
        format!("{agent}egress_proxy: {{routes: [{{host: a.example, methods: [\"{token} \"]}}]}}\n"),
        format!("{agent}egress_proxy: {{routes: [{{host: a.example, reason: \"{token}\"}}]}}\n"),
        format!("{agent}egress_proxy: {{routes: [{{host: a.example, until: {long}}}]}}\n"),
        format!("{agent}{long}: 1\n"),
        format!("{agent}{long}: 1\n{long}: 2\n"),
        format!("{agent}lints: {{allow: [{{code: {long}, reason: x}}]}}\n"),
        format!("{agent}x: !{token} y\n"),
        format!("{agent}egress: {{dlp_action: {token}}}\n"),
        format!("cred_proxy: {{routes: [{{path: /a, upstream: \"https://a.example/{token}\"}}]}}\n{agent}"),
        format!("{agent}tokens: [ {token}\n"),
    ] {
        let text = format!("version: 1\nname: dev\n{manifest}");
        let report = Manifest::load("bottle.yaml", text.as_bytes()).expect_err(&text);
        is_silent(&report.to_string());
        is_silent(&report.json().to_string());
        // One that stands in the text, or behind escapes, is an error by itself.
        let is_yaml = report.0.iter().any(|it| it.code == "yaml");
        assert!(is_yaml || report.0.iter().any(|it| it.code == "secret"), "{text}\n{report}");
    }
}

fn bottle(folder: &std::path::Path, arguments: &[&str]) -> (i32, String) {
    let ran: Output = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    (ran.status.code().unwrap(), text)
}

#[test]
fn a_token_or_a_password_in_what_the_command_says() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
    let token = token();
    let manifest = "version: 1\nname: dev\nagent:\n  image: debian:12\n  env:\n    INDEX: postgres://me:hunter2@localhost/db\n\
                    egress_proxy: {routes: [{host: a.example}]}\n";
    write("bottle.yaml", manifest);
    write("none.yaml", "version: 1\nagent: {env: {}}\negress_proxy: {routes: [{host: a.example}]}\n");
    write("token.yaml", &format!("version: 1\n# {token}\n"));
    for format in ["text", "json"] {
        let (code, said) =
            bottle(folder.path(), &["render", "--check", "--within", "none.yaml", "--format", format]);
        assert!(code == 1 && said.contains("INDEX") && !said.contains("hunter2"), "{code} {said}");
        let (code, said) =
            bottle(folder.path(), &["render", "--check", "--within", "token.yaml", "--format", format]);
        assert!(code == 2 && said.contains("secret"), "{said}");
        is_silent(&said);
        let (code, said) = bottle(folder.path(), &["plan", &format!("{token}.yaml"), "--format", format]);
        assert_eq!(code, 2);
        is_silent(&said);
    }
}
