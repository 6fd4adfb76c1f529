//! `docs/cli.md`: the reference of the command line, out of the definitions that parse. A test compares.

use crate::cli::exit_codes::{ALL, ExitCodes, FAILED};
use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;

const HEAD: &str = "\
# The command line

<!-- Generated from the definitions that parse: bottle man --reference > docs/cli.md -->

Data goes to stdout, everything else to stderr. A command without MANIFEST takes `bottle.yaml` in the current folder or in the
nearest folder above it. `bottle help COMMAND` and `bottle man COMMAND` print the same as this page.
";

/// The whole reference, of the built command.
pub(super) fn markdown(all: &Command) -> String {
    let mut out = HEAD.to_owned();
    section(&mut out, "Options of every command");
    out.push('\n');
    all.get_arguments().filter(|arg| arg.is_global_set()).for_each(|arg| list_item(&mut out, arg));
    let of = |in_stack: bool| ALL.iter().filter(move |codes| codes.in_stack == in_stack);
    section(&mut out, "Commands");
    for codes in of(false) {
        verb(&mut out, all, codes);
    }
    section(&mut out, "Commands that run inside a stack");
    out += "\nThe rendered stack calls these; a person seldom does.\n";
    for codes in of(true) {
        verb(&mut out, all, codes);
    }
    exit_codes(&mut out);
    out
}

fn section(out: &mut String, title: &str) {
    let _ = write!(out, "\n## {title}\n"); // writing to a String can't fail
}

fn verb(out: &mut String, all: &Command, codes: &ExitCodes) {
    if let Some(command) = all.find_subcommand(codes.verb) {
        of_command(out, command, "###");
        let differs = codes.differs.map(|differs| format!(" 1: {differs}.")).unwrap_or_default();
        let other = codes.other.map(|other| format!(" Another one: {other}.")).unwrap_or_default();
        let _ = write!(out, "\nExit code 0: {}.{differs}{other}\n", codes.done);
    }
}

fn of_command(out: &mut String, command: &Command, level: &str) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let _ = write!(out, "\n{level} `{name}`\n");
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let _ = write!(out, "\n{}\n", prose(&about.to_string()));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let _ = write!(out, "\n```text\n{usage}\n```\n");
    let own = |arg: &&Arg| !arg.is_global_set() && !arg.is_hide_set() && !is_help(arg);
    let (positionals, options): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(own).partition(|arg| arg.is_positional());
    if !positionals.is_empty() || !options.is_empty() {
        out.push('\n');
    }
    for arg in positionals.iter().chain(&options) {
        list_item(out, arg);
    }
    for below in command.get_subcommands().filter(|it| it.get_name() != "help") {
        of_command(out, below, &format!("{level}#"));
    }
    if let Some(after) = command.get_after_help() {
        after_help(out, &after.to_string());
    }
}

fn is_help(arg: &Arg) -> bool {
    matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    )
}

fn list_item(out: &mut String, arg: &Arg) {
    let values: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes_value =
        !matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count);
    let value = if takes_value { values.join(" ") } else { String::new() };
    let mut names: Vec<String> = Vec::new();
    names.extend(arg.get_short().map(|short| format!("-{short}")));
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let name = match (names.is_empty(), value.is_empty()) {
        (true, _) if is_repeatable(arg) => format!("{value}…"),
        (true, _) => value,
        (false, true) => names.join("`, `"),
        (false, false) => format!("{} {value}", names.join("`, `")),
    };
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(out, "* `{name}`: {}", prose(&help).replace('\n', " "));
    let _ = match (takes_value, arg.get_default_values()) {
        (false, _) | (_, []) => write!(out, "."),
        (true, defaults) => {
            let defaults: Vec<_> = defaults.iter().map(|one| one.to_string_lossy()).collect();
            write!(out, " [default: {}].", defaults.join(", "))
        }
    };
    out.push('\n');
    if !takes_value {
        return;
    }
    for possible in arg.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
        let help = possible.get_help().map(|help| format!(": {help}")).unwrap_or_default();
        let _ = writeln!(out, "  * `{}`{}", possible.get_name(), prose(&help));
    }
}

fn is_repeatable(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
        || matches!(arg.get_action(), ArgAction::Append)
}

/// Help as Markdown: lines that are indented are commands.
fn prose(help: &str) -> String {
    let (mut out, mut is_code) = (String::new(), false);
    for line in help.trim().lines() {
        if line.starts_with("  ") != is_code {
            is_code = !is_code;
            out += if is_code { "\n```sh\n" } else { "```\n\n" };
        }
        out += &if is_code { line.trim().to_owned() } else { line.replace('<', "&lt;") };
        out.push('\n');
    }
    out += if is_code { "```" } else { "" };
    out.trim_end().to_owned()
}

/// What stands after the options: sentences, and examples, which are indented or begin a line.
fn after_help(out: &mut String, text: &str) {
    for part in text.split("\n\n") {
        let examples = part.strip_prefix("Examples:\n").or_else(|| part.strip_prefix("Example:\n"));
        let examples = examples.or_else(|| part.strip_prefix("Example: "));
        let _ = match examples {
            Some(examples) => {
                let lines: Vec<&str> = examples.lines().map(str::trim).collect();
                write!(out, "\n```sh\n{}\n```\n", lines.join("\n"))
            }
            None => write!(out, "\n{}\n", prose(part)),
        };
    }
}

fn exit_codes(out: &mut String) {
    section(out, "Exit codes");
    let _ = write!(
        out,
        "\nOne table for every command. **0**: done, the same, allowed, passed. **1**: differs, denied, failed a check. **2**: {FAILED}. A reader that \
         closes the pipe is no failure: 0.\n\n| command | 0 | 1 |\n|---|---|---|\n"
    );
    for codes in ALL {
        let other = codes.other.map(|other| format!("; another one: {other}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "| `{}` | {} | {}{other} |",
            codes.verb,
            codes.done,
            codes.differs.unwrap_or("never")
        );
    }
}
