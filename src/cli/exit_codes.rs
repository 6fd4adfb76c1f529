//! What the exit codes of each command mean: one table, for its help, its manual page and the reference.

use clap::Command;

/// 2, of every command.
pub(super) const FAILED: &str = "could not be done: a mistake in the command line, a manifest with errors, a file or a \
                                 program that is missing";

/// A command, and what its codes mean.
pub(super) struct ExitCodes {
    pub(super) verb: &'static str,
    /// It runs inside a stack; nobody types it.
    pub(super) in_stack: bool,
    pub(super) done: &'static str,
    /// Nothing of a command that can't end with it.
    pub(super) differs: Option<&'static str>,
    /// A code of its own.
    pub(super) other: Option<&'static str>,
}

const fn person(verb: &'static str, done: &'static str, differs: Option<&'static str>) -> ExitCodes {
    ExitCodes { verb, in_stack: false, done, differs, other: None }
}

const fn container(verb: &'static str, done: &'static str, differs: Option<&'static str>) -> ExitCodes {
    ExitCodes { verb, in_stack: true, done, differs, other: None }
}

/// In the order in which help lists them; a test compares with the commands that there are.
pub(super) const ALL: &[ExitCodes] = &[
    person(
        "init",
        "written; with --print, printed",
        Some("not agreed to, or there is no terminal to ask on"),
    ),
    person("plan", "the plan was printed", None),
    person(
        "render",
        "rendered; with --check, the tree on disk is what would be rendered",
        Some("not agreed to; with --check, the tree on disk differs"),
    ),
    person("up", "the agent runs", None),
    ExitCodes {
        other: Some("the agent's own code"),
        ..person("run", "the agent ended with 0", Some("the agent ended with 1"))
    },
    ExitCodes {
        other: Some("the agent's own code"),
        ..person("attach", "the agent ended with 0, or runs on", Some("the agent ended with 1"))
    },
    ExitCodes {
        other: Some("the command's own code"),
        ..person("exec", "the command ended with 0", Some("the command ended with 1"))
    },
    person(
        "diff",
        "the same; with --fail-on widen, nothing is newly allowed",
        Some("something differs, or is newly allowed"),
    ),
    person("lock", "the lock was written", None),
    person("explain", "the request is allowed", Some("the request is denied")),
    person("explain-code", "the page was printed", None),
    person("scan", "nothing was found", Some("something was found")),
    person(
        "test",
        "every expectation holds; with --replay, nothing would change",
        Some("an expectation does not hold; with --replay, something would change"),
    ),
    person("logs", "what was logged was shown", None),
    person("status", "it runs as you agreed to", Some("it does not run, or something changed since")),
    person(
        "learn",
        "nothing to learn, or the patch was applied",
        Some("there is a patch, which was not applied"),
    ),
    person(
        "tighten",
        "nothing to tighten, or the patch was applied",
        Some("there is a patch, which was not applied"),
    ),
    person(
        "migrate",
        "nothing to migrate, or the patch was applied",
        Some("there is a patch, which was not applied"),
    ),
    person("report", "the report was written", None),
    person("dashboard", "it was shown", None),
    person("approve", "approved; with --check, it can be", Some("you did not agree")),
    person("reject", "rejected", None),
    person(
        "reload",
        "the proxies have the new rules",
        Some("inside a container: the proxy refused the new rules and keeps the old ones"),
    ),
    person("down", "stopped", None),
    person("ps", "the stacks were listed", None),
    person("verify", "in sync", Some("something differs")),
    person("schema", "the schema was printed", None),
    person("completions", "the script was printed", None),
    person("man", "the page was printed", None),
    container("attack", "everything held", Some("something got through")),
    container("home", "the home is the user's", None),
    container("gate", "told to stop", None),
    ExitCodes {
        other: Some("the agent's own code"),
        ..container("jail", "the agent ended with 0", Some("the agent ended with 1"))
    },
    container("egress-proxy", "told to stop; with check, the configuration is good", None),
    container(
        "pipelock",
        "told to stop; with check, the configuration is good and allows the URL",
        Some("with check --url, the URL is denied"),
    ),
    container("supervise", "told to stop", None),
    container(
        "healthcheck",
        "the answer is 2xx; with --watch, all is well",
        Some("the answer is another, or nobody answers"),
    ),
];

/// Adds to the long help of every command what its codes mean.
pub(super) fn explained(command: Command) -> Command {
    let mut command = command;
    for codes in ALL {
        command = command.mut_subcommand(codes.verb, |verb| {
            let before = verb.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
            verb.after_long_help(format!("{before}{}", codes.lines()))
        });
    }
    command
}

impl ExitCodes {
    fn lines(&self) -> String {
        let differs = self.differs.map(|differs| format!("  1  {differs}\n")).unwrap_or_default();
        let other = self.other.map(|other| format!("\n  other  {other}")).unwrap_or_default();
        format!("Exit codes:\n  0  {}\n{differs}  2  {FAILED}{other}", self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_table_in_the_order_of_the_help() {
        let all = crate::cli::command();
        let verbs: Vec<&str> = all.get_subcommands().map(Command::get_name).collect();
        let listed: Vec<&str> = ALL.iter().map(|codes| codes.verb).collect();
        assert_eq!(verbs, listed);
        for verb in all.get_subcommands() {
            let help = verb.get_after_long_help().unwrap().to_string();
            assert!(help.contains("Exit codes:\n  0  "), "{help}");
        }
    }
}
