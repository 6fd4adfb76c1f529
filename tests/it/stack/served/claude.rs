//! The real Claude Code, with a placeholder for its credential.

use super::stack;
use crate::stack::{internet, project::digest};
use serde_json::{Value, json};

/// What the origin's Messages API says.
const ANSWER: &str = "The chain runs, end to end.";

/// Every host that the origin stands for, and what was asked of it, by requests that carry this credential.
fn asked_with(credential: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    internet::seen("/")
        .iter()
        .filter(|seen| seen["credentials"].to_string().contains(credential))
        .map(|seen| (text(&seen["host"]), text(&seen["path"])))
        .collect()
}

#[test]
fn claude_code_completes_a_turn_with_only_a_placeholder() {
    let Some(stack) = stack() else { return };
    let ran = stack.agent("cd && claude -p 'say hi'").ok();
    assert_eq!(ran.out.trim(), ANSWER, "{}", ran.err);

    let real = digest(&stack.project.tokens["CLAUDE_CODE_OAUTH_TOKEN"]);
    let asked = asked_with(&real);
    assert!(!asked.is_empty(), "the origin never saw the real credential");
    for (host, path) in asked {
        assert_eq!((host.as_str(), path.split('?').next().unwrap()), ("api.anthropic.com", "/v1/messages"));
    }
    let placeholder = stack.agent("printf %s \"$CLAUDE_CODE_OAUTH_TOKEN\"").ok().out;
    assert!(placeholder.contains("placeholder"), "{placeholder}");
    assert_eq!(asked_with(&digest(&placeholder)), [], "the placeholder left the stack");
    for seen in internet::seen("/v1/messages") {
        assert_eq!(seen["credentials"], json!({"authorization": format!("Bearer {real}")}));
    }
}

#[test]
fn claude_code_gets_its_answer_as_a_stream() {
    let Some(stack) = stack() else { return };
    // Every line with the time at which it came, in milliseconds.
    let ran = stack.agent(
        "cd && claude -p 'say hi' --output-format stream-json --include-partial-messages --verbose | \
         python3 -uc 'import sys, time\nfor line in sys.stdin: print(int(time.time() * 1000), line, end=\"\")'",
    );
    let lines: Vec<(u64, Value)> = ran
        .ok()
        .out
        .lines()
        .filter_map(|line| {
            let (time, event) = line.split_once(' ')?;
            Some((time.parse().ok()?, serde_json::from_str(event).ok()?))
        })
        .collect();
    let words: Vec<(u64, &str)> = lines
        .iter()
        .filter_map(|(time, event)| Some((*time, event["event"]["delta"]["text"].as_str()?)))
        .collect();
    assert_eq!(words.iter().map(|(_, word)| *word).collect::<String>(), ANSWER);
    // The origin pauses 150 ms before each of five words.
    let span = words.last().unwrap().0 - words[0].0;
    assert!(span >= 400, "all words came within {span} ms: somebody held the stream back");
}

#[test]
fn claude_code_shows_our_sentence_when_it_is_refused() {
    let Some(stack) = stack() else { return };
    let ran = stack.agent("cd && ANTHROPIC_BASE_URL=https://api.anthropic.com/elsewhere claude -p 'say hi'");
    assert_ne!(ran.code, Some(0), "{}", ran.text());
    let said = ran.text();
    assert!(said.contains("bottle: ") && said.contains("/elsewhere/v1/messages"), "{said}");
    assert!(said.contains("/v1/messages"), "{said}");
    assert_eq!(internet::seen("/elsewhere"), [] as [Value; 0]);
}
