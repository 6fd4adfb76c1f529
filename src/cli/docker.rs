//! The `docker` command: what it is told of the environment, and how it is shown.

use super::failure::{Failure, fail};
use crate::programs;
use crate::state::ENV_VARIABLES;
use anyhow::Context as _;
use std::process::Command;

pub(super) const NO_DOCKER: Failure =
    Failure::fixed("no-docker", "can't run docker; it must be installed, with Compose 2.24 or newer");

/// `docker` without what would lead Compose elsewhere.
pub(crate) fn docker() -> Command {
    let mut command = Command::new("docker");
    for (name, _) in std::env::vars_os() {
        let leads_elsewhere = |name: &str| name.starts_with("COMPOSE_") || ENV_VARIABLES.contains(&name);
        if name.to_str().is_some_and(leads_elsewhere) {
            command.env_remove(name);
        }
    }
    command.env("PATH", programs::path());
    // buildx asks git about the folder that it builds from, and what git runs there is up to that folder.
    command.env("BUILDX_GIT_INFO", "false").env("BUILDX_GIT_CHECK_DIRTY", "false");
    command.env_remove("BUILDX_GIT_LABELS");
    command
}

/// What a command of Docker's prints, if it succeeds.
pub(crate) fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().context(NO_DOCKER)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        fail!("docker-failed", "{} failed: {}", shown(command), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as a person would type it.
pub(super) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_printed_word_is_one_word_for_a_shell() {
        for (word, shown) in
            [("up", "up"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$HOME", "'$HOME'"), ("", "''")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}
