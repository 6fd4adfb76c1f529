//! What the real programs print: a refusal that nobody reads is none.

use super::harness::Stack;
use std::process::{Command, Output};

/// A program behind the proxy, with the environment that the agent has.
pub(super) async fn run(
    stack: &Stack,
    program: &str,
    arguments: &[&str],
    folder: &std::path::Path,
) -> Output {
    run_behind(&stack.address, &stack.files.agent_ca, program, arguments, folder).await
}

/// The same, behind a proxy at an address.
pub(super) async fn run_behind(
    address: &str,
    agent_ca: &str,
    program: &str,
    arguments: &[&str],
    folder: &std::path::Path,
) -> Output {
    let ca = folder.join("agent-ca.pem");
    fs_err::write(&ca, agent_ca).unwrap();
    let proxy = format!("http://{address}");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder)
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].map(|name| (name, proxy.clone())))
        .envs(["SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"].map(|name| (name, ca.clone())));
    let running = tokio::task::spawn_blocking(move || command.output());
    running.await.unwrap().unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"))
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn git_push_ends_with_our_sentence_on_a_remote_line() {
    let stack = Stack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert!(run(&stack, "git", &["init", "-q", "-b", "main"], at).await.status.success());
    let identity = ["-c", "user.name=a", "-c", "user.email=a@open.test"];
    let commit = [&identity[..], &["commit", "-q", "--allow-empty", "-m", "x"]].concat();
    assert!(run(&stack, "git", &commit, at).await.status.success());
    let push = run(&stack, "git", &["push", "https://open.test/acme/app.git", "main"], at).await;
    assert_eq!(push.status.code(), Some(128));
    assert_eq!(
        text(&push.stderr),
        "remote: bottle: git push to open.test is refused, as on every host whose rule has no git.push: a person pushes from the host, outside the \
         bottle; clone and fetch work where a rule allows them; retrying does not help\n\
         fatal: unable to access 'https://open.test/acme/app.git/': The requested URL returned error: 403\n"
    );
    stack.pipelock.assert_untouched();
    let clone = run(&stack, "git", &["clone", "https://evil.example/a.git"], at).await;
    let said = text(&clone.stderr);
    assert!(said.contains("remote: bottle: evil.example is not an allowed host"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_shows_the_denial_inside_tls_and_passes_what_is_allowed() {
    let stack = Stack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let denied = run(&stack, "curl", &["-sS", "https://evil.example/"], folder.path()).await;
    assert!(text(&denied.stdout).contains("evil.example is not an allowed host"), "{denied:?}");
    for (url, status) in [("https://api.test/user?a=b", "ok 200"), ("http://plain.test/", "ok 200")] {
        let allowed = run(&stack, "curl", &["-sS", "-w", " %{http_code}", url], folder.path()).await;
        assert_eq!(text(&allowed.stdout), status, "{allowed:?}");
    }
}
