//! The `docker` command: what it is told of the environment, and how it is shown.

use super::failure::{Failure, fail};
use crate::manifest::is_a_setting;
use crate::programs;
use crate::state::ENV_VARIABLES;
use anyhow::Context as _;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub(super) const NO_DOCKER: Failure =
    Failure::fixed("no-docker", "can't run docker; it must be installed, with Compose 2.24 or newer");

/// `docker` without what would lead Compose elsewhere.
pub(crate) fn docker() -> Command {
    docker_with(std::iter::empty())
}

/// The same, with tokens for Compose: none of them is a setting, also where an older version agreed to one.
pub(crate) fn docker_with<'t>(tokens: impl Iterator<Item = (&'t str, &'t str)>) -> Command {
    let mut command = programs::command("docker");
    command.envs(tokens.filter(|(name, _)| !is_a_setting(name)));
    for (name, _) in std::env::vars_os() {
        // What loads a library into a program (ld.so(8)) finds it where somebody else may have put it.
        let leads_elsewhere = |name: &str| {
            ["COMPOSE_", "LD_", "DYLD_"].iter().any(|prefix| name.starts_with(prefix))
                || ENV_VARIABLES.contains(&name)
        };
        if name.to_str().is_some_and(leads_elsewhere) {
            command.env_remove(name);
        }
    }
    command.env("PATH", programs::path());
    // What was looked at is what Docker is told of.
    for name in ["DOCKER_CONFIG", "BUILDX_CONFIG", "DOCKER_CERT_PATH"] {
        if let Some(real) =
            std::env::var_os(name).and_then(|path| programs::real(std::path::Path::new(&path)))
        {
            command.env(name, real);
        }
    }
    // buildx asks git about the folder that it builds from, and what git runs there is up to that folder.
    command.env("BUILDX_GIT_INFO", "false").env("BUILDX_GIT_CHECK_DIRTY", "false");
    command.env_remove("BUILDX_GIT_LABELS");
    command
}

/// How long the engine may take for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a command of Docker's that only asks gives back. An engine that waits for a container answers nobody who asks
/// about that.
pub(crate) fn answer_of(command: &mut Command) -> anyhow::Result<Output> {
    if let Some(output) = answer_within(command, PATIENCE)? {
        return Ok(output);
    }
    fail!(
        "docker-failed",
        "Docker did not answer `{}` within {} seconds; see whether `docker ps` answers, and start Docker again if it does not",
        shown(command),
        PATIENCE.as_secs()
    )
}

/// The same; `None` when nothing came in time.
pub(crate) fn answer_within(command: &mut Command, patience: Duration) -> anyhow::Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().context(NO_DOCKER)?;
    let pid = rustix::process::Pid::from_child(&child);
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    if let Ok(output) = answer.recv_timeout(patience) {
        return Ok(Some(output?));
    }
    // It has not ended, since its output is open.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    Ok(None)
}

/// What a command of Docker's prints, if it succeeds.
pub(crate) fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let output = answer_of(command)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if let Some(why) = out_of_reach(&said).filter(|_| !output.status.success()) {
        fail!("docker-failed", "{why}");
    }
    if !output.status.success() {
        fail!("docker-failed", "{} failed: {}", shown(command), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Why no command of Docker's can work here, from what one of them says.
fn out_of_reach(said: &str) -> Option<&'static str> {
    let said = said.to_ascii_lowercase();
    if said.contains("permission denied") && (said.contains("docker daemon") || said.contains("docker api")) {
        return Some("Docker does not let this user in: `sudo usermod -aG docker $USER`, then log in again");
    }
    [
        "cannot connect to the docker daemon",
        "is the docker daemon running",
        "failed to connect to the docker api",
    ]
    .iter()
    .any(|sign| said.contains(sign))
    .then_some(
        "Docker does not run, or not where DOCKER_HOST says: start it, and see what `docker version` says",
    )
}

/// A command as a person would type it.
pub(super) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{out_of_reach, quoted};

    #[test]
    fn an_engine_that_is_out_of_reach_is_told_from_another_failure() {
        let denied = "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get \"http://x/v1.24/info\": dial unix: connect: permission denied";
        assert!(out_of_reach(denied).unwrap().contains("usermod -aG docker"));
        let newer =
            "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock";
        assert!(out_of_reach(newer).unwrap().contains("usermod"));
        for absent in [
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct",
        ] {
            assert!(out_of_reach(absent).unwrap().starts_with("Docker does not run"), "{absent}");
        }
        assert_eq!(out_of_reach("open /x: permission denied"), None);
        assert_eq!(out_of_reach("Error: No such object: x"), None);
    }

    #[test]
    fn a_printed_word_is_one_word_for_a_shell() {
        for (word, shown) in
            [("up", "up"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$HOME", "'$HOME'"), ("", "''")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}
