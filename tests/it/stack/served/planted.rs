//! A secret in a request is refused by pipelock, and the origin never sees it.

use super::stack;
use crate::stack::{
    internet,
    project::{Stack, made_up},
};
use serde_json::Value;

fn refused(stack: &Stack, what: &str, request: &str, secret: &str) {
    let ran =
        stack.agent(&format!("curl --silent --show-error --write-out '\\n%{{http_code}}' {request}")).ok();
    let (body, status) = ran.out.rsplit_once('\n').unwrap();
    assert_eq!(status, "403", "{what}: {body}");
    let answer: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {body}"));
    assert_eq!(answer["bottle"]["source"], "pipelock", "{what}: {body}");
    let sentence = answer["error"]["message"].as_str().unwrap();
    assert!(sentence.starts_with("bottle: ") && sentence.contains("GitHub"), "{what}: {sentence}");
    assert!(!body.contains(secret), "{what}: the refusal repeats the secret: {body}");
    assert!(!internet::log().contains(secret), "{what}: the origin saw it");
}

#[test]
fn a_planted_token_is_refused_with_its_reason() {
    let Some(stack) = stack() else { return };
    let url = "https://files.quickstart.test/upload";
    let secret = made_up("ghp_");
    refused(&stack, "JSON", &format!("--json '{{\"note\": \"{secret}\"}}' {url}"), &secret);
    refused(&stack, "form", &format!("--data-urlencode 'note={secret}' {url}"), &secret);
    refused(&stack, "query", &format!("'{url}?note={secret}'"), &secret);
    refused(&stack, "path", &format!("{url}/{secret}"), &secret);
    refused(&stack, "field", &format!("--header 'x-note: {secret}' {url}"), &secret);
    refused(
        &stack,
        "host with a credential",
        &format!("--data '{secret}' https://api.quickstart.test/v1/things"),
        &secret,
    );
}

#[test]
fn a_planted_token_is_found_behind_five_megabytes_of_a_stream() {
    let Some(stack) = stack() else { return };
    let secret = made_up("ghp_");
    let script = format!(
        "{{ head --bytes=5000000 /dev/zero | tr '\\0' ' '; printf '{secret}'; head --bytes=1000000 /dev/zero; }} \
         > /tmp/big && curl --silent --output /tmp/answer --write-out '%{{http_code}}' --upload-file /tmp/big \
         https://files.quickstart.test/big; rm /tmp/big"
    );
    let ran = stack.agent(&script);
    assert!(ran.out == "403" || ran.out == "000", "{}", ran.text());
    assert!(!internet::log().contains(&secret), "the origin saw it");
}
