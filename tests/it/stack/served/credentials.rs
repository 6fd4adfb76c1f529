//! Contract 3: no real credential anywhere but in egress-proxy.

use super::stack;
use crate::stack::{
    harness::{PROJECT, docker},
    project::{Stack, files},
};

/// Where one of the stack's token values stands in a text.
fn find<'a>(stack: &'a Stack, text: &str) -> Vec<&'a str> {
    stack
        .project
        .tokens
        .iter()
        .filter(|(_, value)| text.contains(value.as_str()))
        .map(|(name, _)| *name)
        .collect()
}

#[test]
fn docker_shows_no_credential() {
    let Some(stack) = stack() else { return };
    let label = format!("label={PROJECT}={}", stack.name);
    let ids = docker(["ps", "--all", "--quiet", "--filter", &label]).out;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    assert_eq!(ids.len(), 6, "netns, gate, egress-proxy, pipelock, home, agent");
    for id in &ids {
        let inspect = docker(["inspect", id]).ok().out;
        assert!(inspect.contains(&stack.name));
        assert!(find(&stack, &inspect).is_empty(), "docker inspect {id}: {:?}", find(&stack, &inspect));
        let logs = docker(["logs", id]).text();
        assert!(find(&stack, &logs).is_empty(), "docker logs {id}: {:?}", find(&stack, &logs));
    }
    for flags in [&["config"][..], &["config", "--environment"], &["config", "--format", "json"]] {
        let config = stack.project.compose(flags).text();
        // `--environment` prints the caller's own environment, where the values come from.
        if flags != ["config", "--environment"] {
            assert!(config.contains("egress-proxy"), "{config}");
            assert!(find(&stack, &config).is_empty(), "{flags:?}: {:?}", find(&stack, &config));
        }
    }
}

#[test]
fn no_file_that_render_wrote_holds_a_credential() {
    let Some(stack) = stack() else { return };
    let mut read = 0;
    for file in files(&stack.project.folder()).into_iter().chain(files(&stack.project.state())) {
        let text = String::from_utf8_lossy(&fs_err::read(&file).unwrap()).into_owned();
        assert!(find(&stack, &text).is_empty(), "{}: {:?}", file.display(), find(&stack, &text));
        read += 1;
    }
    assert!(read > 15, "{read} files");
}

#[test]
fn the_agent_sees_no_credential_in_its_environment_files_or_processes() {
    let Some(stack) = stack() else { return };
    for (name, value) in &stack.project.tokens {
        // In halves, so that the search does not find itself.
        let (one, two) = value.split_at(value.len() / 2);
        let search = format!(
            "printf '%s%s\\n' '{one}' '{two}' | {{ grep --files-with-matches --text --fixed-strings --file=/dev/stdin \
             --recursive --no-messages --devices=skip --exclude-dir=sys --exclude-dir=proc / \
             /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/maps; true; }}"
        );
        // Root reads every file, and the agent's own user its processes: neither has a capability.
        for user in ["0", "agent"] {
            assert_eq!(stack.agent_as(user, &search).ok().out, "", "{name} as {user}");
        }
    }
    // The search finds what is there.
    let value = stack.agent("printenv CLAUDE_CODE_OAUTH_TOKEN").ok().out;
    let (one, two) = value.trim().split_at(12);
    let search = format!(
        "printf '%s%s\\n' '{one}' '{two}' | grep --files-with-matches --text --fixed-strings --file=/dev/stdin \
         --no-messages /proc/[0-9]*/environ"
    );
    assert!(stack.agent(&search).out.contains("/environ"));
    let kept =
        docker(["cp", &format!("{}:/run/secrets/GITHUB_TOKEN", stack.container("egress-proxy")), "-"]).ok();
    assert_eq!(find(&stack, &kept.out), ["GITHUB_TOKEN"]);
}
