//! Real clients work with no flag beyond the rendered environment, and read why something is refused.

use super::stack;
use crate::stack::{
    internet::seen,
    project::{Stack, digest, made_up},
};
use serde_json::{Value, json};

/// The body and the status that `curl` got.
fn curl(stack: &Stack, arguments: &str) -> (String, String) {
    let ran =
        stack.agent(&format!("curl --silent --show-error --write-out '\\n%{{http_code}}' {arguments}")).ok();
    let (body, status) = ran.out.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// The refusal as its JSON, and the sentence in it.
fn refusal(body: &str) -> (Value, String) {
    let answer: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(answer["type"], "error");
    let sentence = answer["error"]["message"].as_str().unwrap().to_owned();
    assert!(sentence.starts_with("bottle: "), "{sentence}");
    (answer["bottle"].clone(), sentence)
}

#[test]
fn an_allowed_path_reaches_the_origin_with_the_real_credential() {
    let Some(stack) = stack() else { return };
    let path = format!("/v1/things/{}", made_up(""));
    let (status, body) =
        curl(&stack, &format!("--header 'X-Api-Key: mine' https://api.quickstart.test{path}"));
    assert_eq!(status, "200", "{body}");
    let requests = seen(&path);
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0]["credentials"], json!({"x-api-key": digest(&stack.project.tokens["THINGS_KEY"])}));
}

#[test]
fn another_path_is_refused_with_what_is_allowed() {
    let Some(stack) = stack() else { return };
    let path = format!("/v1/secrets/{}", made_up(""));
    let (status, body) = curl(&stack, &format!("https://api.quickstart.test{path}"));
    assert_eq!(status, "403", "{body}");
    let (bottle, sentence) = refusal(&body);
    assert_eq!(bottle["reason"], "path_not_allowed");
    assert_eq!(bottle["source"], "egress_proxy.routes[1]");
    assert!(bottle["allowed"].to_string().contains("/v1/things"), "{bottle}");
    assert!(sentence.contains("/v1/things") && sentence.contains("retry"), "{sentence}");
    assert_eq!(seen(&path).len(), 0, "the origin saw it");
}

#[test]
fn another_host_is_refused_with_a_readable_body() {
    let Some(stack) = stack() else { return };
    let path = format!("/{}", made_up(""));
    let (status, body) = curl(&stack, &format!("https://unlisted.quickstart.test{path}"));
    assert_eq!(status, "403", "{body}");
    let (bottle, sentence) = refusal(&body);
    assert_eq!(bottle["reason"], "host_not_allowed");
    assert!(sentence.contains("unlisted.quickstart.test"), "{sentence}");
    assert_eq!(seen(&path).len(), 0, "the origin saw it");
}

#[test]
fn a_private_address_that_no_rule_opens_is_refused() {
    let Some(stack) = stack() else { return };
    let path = format!("/{}", made_up(""));
    let (status, body) = curl(&stack, &format!("https://guarded.quickstart.test{path}"));
    assert_eq!(status, "403", "{body}");
    let (bottle, sentence) = refusal(&body);
    assert_eq!(
        (&bottle["reason"], &bottle["source"]),
        (&json!("address_not_allowed"), &json!("pipelock")),
        "{body}"
    );
    assert!(sentence.contains("is at an address that is not allowed"), "{sentence}");
    assert_eq!(seen(&path).len(), 0, "the origin saw it");
}

#[test]
fn the_agent_can_ask_what_it_is_allowed() {
    let Some(stack) = stack() else { return };
    let (status, body) = curl(&stack, "http://bottle.internal/allowlist");
    assert_eq!(status, "200", "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let hosts = answer["hosts"].as_array().unwrap();
    let names: Vec<&Value> = hosts.iter().map(|it| &it["host"]).collect();
    assert_eq!(
        names,
        [
            "api.anthropic.com",
            "api.quickstart.test",
            "github.com",
            "files.quickstart.test",
            "guarded.quickstart.test"
        ]
    );
    assert_eq!(hosts[1]["credential"], "THINGS_KEY");
}

#[test]
fn python_requests_works() {
    let Some(stack) = stack() else { return };
    let path = format!("/v1/things/{}", made_up(""));
    let script = format!(
        "import requests\n\
         with requests.Session() as s:\n\
         \x20 print(s.get('https://api.quickstart.test{path}').status_code)\n\
         \x20 print(s.post('https://api.quickstart.test{path}', json={{'a': 1}}).json()['body_bytes'])\n\
         \x20 print(s.get('https://api.quickstart.test/other').json()['bottle']['reason'])\n"
    );
    let ran = stack.agent(&format!("python3 -c \"{script}\"")).ok();
    assert_eq!(ran.out, "200\n8\npath_not_allowed\n");
    assert_eq!(seen(&path).len(), 2);
}

#[test]
fn git_clones_a_repository_with_a_pack_over_20_mb() {
    let Some(stack) = stack() else { return };
    let ran = stack.agent(
        "cd $(mktemp -d) && GIT_TRACE_CURL=$PWD/trace GIT_TRACE_CURL_NO_DATA=1 \
         git clone --quiet https://github.com/acme/app.git app && \
         grep --ignore-case --count 'Send header: content-encoding: gzip' trace && cd app && \
         git branch --remotes | wc --lines && git count-objects --verbose | sed -n 's/^size-pack: //p' && \
         git fsck --no-progress && git fetch --quiet && rm -rf $PWD",
    );
    let numbers: Vec<u64> = ran.ok().out.lines().map(|line| line.trim().parse().unwrap()).collect();
    let [gzipped, branches, kibibytes] = numbers[..] else { panic!("{numbers:?}") };
    assert!(gzipped >= 1, "no request was compressed");
    assert_eq!(branches, 62);
    assert!(kibibytes > 20 * 1024, "{kibibytes} KiB");
    let basic = seen("/acme/app.git/git-upload-pack");
    assert!(
        !basic.is_empty() && basic.iter().all(|it| it["credentials"]["authorization"].is_string()),
        "{basic:?}"
    );
}

#[test]
fn git_reads_ssh_remotes_over_https() {
    let Some(stack) = stack() else { return };
    let ran = stack.agent(
        "git ls-remote git@github.com:acme/small.git && git ls-remote ssh://git@github.com/acme/small.git",
    );
    assert_eq!(ran.ok().out.matches("refs/heads/main").count(), 2);
}

#[test]
fn git_push_ends_with_our_sentence() {
    let Some(stack) = stack() else { return };
    let ran = stack.agent(
        "cd $(mktemp -d) && git clone --quiet https://github.com/acme/small.git . && \
         git -c user.name=t -c user.email=t@example.test commit --quiet --allow-empty --message=x && git push",
    );
    assert_eq!(ran.code, Some(128), "{}", ran.text());
    assert_eq!(ran.out, "");
    assert_eq!(
        ran.err,
        "remote: bottle: git push to github.com is refused, as on every host whose rule has no git.push: a person pushes from the host, \
         outside the bottle; clone and fetch work where a rule allows them; retrying does not help\n\
         fatal: unable to access 'https://github.com/acme/small.git/': The requested URL returned error: 403\n"
    );
    let pushes = seen("/acme/small.git/info/refs?service=git-receive-pack");
    assert_eq!(pushes.len(), 0, "the origin saw it");
}
