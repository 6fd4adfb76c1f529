//! The only ways to stdout and stderr. What goes through here can't steer a terminal, whoever wrote it: names,
//! values and messages come from files and servers that an agent chooses.

use super::{Format, Globals, failure};
use crate::diagnostic::Report;
use crate::masking::masked;
use crate::printable::{is_unprintable, printable_coloured, printable_json, printable_name, printable_text};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Writes text for people to stdout.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    print_as(Format::Text, text)
}

/// Writes data to stdout; JSON keeps its values, and is escaped as JSON escapes.
pub(crate) fn print_as(format: Format, text: &str) -> std::io::Result<()> {
    let shown = match format {
        Format::Text => printable_text(text),
        Format::Json => printable_json(text),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(shown.as_bytes())?;
    out.flush()
}

/// Writes text to stdout whose parts were escaped and then coloured.
pub(super) fn print_coloured(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(printable_coloured(text).as_bytes())?;
    out.flush()
}

/// Whether a person reads stdout.
pub(super) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Says something to a person, on stderr. A reader who went away does not matter.
pub(crate) fn say(text: &str) {
    write_stderr(&printable_text(text));
}

/// Whether stderr is a terminal that can draw a line anew.
pub(super) fn can_show_progress() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !is_dumb && std::io::stderr().is_terminal()
}

/// Shows how far something is, on a terminal's stderr: one line, which the next one takes the place of.
pub(super) fn show_progress(line: &str) {
    write_stderr(&format!("\r{}\u{1b}[K", printable_name(line)));
}

/// Says a report on stderr, in colour where colour is wanted.
pub(crate) fn say_report(report: &Report, globals: &Globals) {
    let mut codes: Vec<&str> = report.0.iter().map(|said| said.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let more = match codes.as_slice() {
        [] => String::new(),
        [code] => format!("\n`bottle explain-code {code}` says more\n"),
        [first, ..] => format!("\n`bottle explain-code CODE` says more about each code, such as {first}\n"),
    };
    write_stderr(&printable_coloured(&(report.render(globals.colors_stderr()) + &more)));
}

/// A report in its own look, anything else on one line; JSON for those who asked for it. In one write: between two,
/// Docker puts what a container has printed elsewhere.
pub(super) fn say_error(error: &anyhow::Error, globals: &Globals) {
    let report = error.downcast_ref::<Report>();
    match (globals.format, report) {
        (Format::Json, Some(report)) => say_json(&serde_json::json!({"problems": report.json()})),
        (Format::Json, None) => {
            let mut value = serde_json::json!({"error": chain(error)});
            if let Some(code) = failure::code(error) {
                value["code"] = code.into();
            }
            say_json(&value);
        }
        (Format::Text, Some(report)) => say_report(report, globals),
        (Format::Text, None) => {
            let code = failure::code(error).map(|code| format!("[{code}]")).unwrap_or_default();
            say(&format!("error{code}: {}\n", indented(&chain(error))));
        }
    }
}

/// The error and its causes, without what looks like a secret; a cause that an error says itself is not said again.
fn chain(error: &anyhow::Error) -> String {
    let said =
        error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
            "" => cause,
            earlier if earlier.ends_with(&cause) => said,
            _ => said + ": " + &cause,
        });
    masked(&said)
}

/// Says what is wrong with the command line, or prints the help that was asked for.
pub(super) fn say_usage(error: &clap::Error) -> ExitCode {
    // Help is the program's own text. A mistake repeats arguments, which a shell may have taken from file names.
    let hostile = |argument: std::ffi::OsString| argument.to_string_lossy().contains(is_unprintable);
    if error.use_stderr() && std::env::args_os().any(hostile) {
        say(&error.render().to_string());
    } else {
        let _ = error.print(); // a reader who went away does not matter
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn say_json(value: &serde_json::Value) {
    write_stderr(&format!("{}\n", printable_json(&value.to_string())));
}

/// No later line of an error begins where a message of its own would.
fn indented(text: &str) -> String {
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(
        first,
        |text, line| if line.starts_with(' ') { text + "\n" + line } else { text + "\n  " + line },
    )
}

fn write_stderr(shown: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::{chain, indented};
    use crate::tree::TreeError;

    #[test]
    fn a_cause_is_said_once() {
        let source = || std::io::Error::from_raw_os_error(2);
        let error = TreeError::Io { doing: "read", path: "/nope.yaml".into(), source: source() };
        let error = anyhow::Error::new(error).context("no stack");
        assert_eq!(chain(&error), "no stack: can't read /nope.yaml: No such file or directory (os error 2)");
        let error = anyhow::Error::new(source()).context("can't start");
        assert_eq!(chain(&error), "can't start: No such file or directory (os error 2)");
    }

    #[test]
    fn a_line_break_in_an_error_begins_no_message() {
        assert_eq!(indented("a.yaml\nnote: all is well\n  b"), "a.yaml\n  note: all is well\n  b");
    }
}
