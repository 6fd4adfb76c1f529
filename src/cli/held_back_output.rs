//! Commands whose output matters only when they take long or fail, such as Docker's builds.
//!
//! What such a command prints, on both of its streams, is held back, and goes to stderr when it fails or when a
//! person has waited for long enough to wonder; a failure is explained by the last lines, and all of it goes to a log.
//! Nothing of it ever reaches stdout, which belongs to the agent.

use crate::printable::Escaping;
use std::io::{self, Read as _, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are held back at most, twice over.
const HELD: usize = 256 << 10;
/// Pieces of output that were read and not written down yet.
const WAITING: usize = 16;
/// Stands where more was said than is shown.
const LEFT_OUT: &str = "[…]\n";
/// Of a command that fails, so many lines are shown: what went wrong stands at the end.
const LAST_LINES: usize = 12;

/// When a command's output is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// As it comes.
    AtOnce,
    /// Once the command has run for this long; the last of it if it fails before.
    After(Duration),
    /// The last of it, if it fails.
    OnFailure,
}

/// Runs a command, which gets no input: a question that nobody sees would wait forever. What can't be logged is not.
pub(super) fn run(
    command: &mut Command,
    show: Show,
    log: &mut impl Write,
    out: &mut impl Write,
) -> io::Result<ExitStatus> {
    let (mut reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The end of the output is seen only when nobody else holds the pipe.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // A command that prints faster than its output is written down waits.
    let (sender, pieces) = sync_channel(WAITING);
    let reading = thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            match reader.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    if sender.send(buffer[..length].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    let (mut out, mut log) = (Escaping::new(out), Escaping::new(log));
    let held = forward(&pieces, show, &mut log, &mut out);
    let status = child.wait()?;
    // It has ended: `forward` returns when the thread has dropped its sender.
    let _ = reading.join();
    if !status.success() {
        let (cut, last) = last_lines(&held);
        say(&mut out, if cut { LEFT_OUT.as_bytes() } else { b"" });
        say(&mut out, last);
    }
    let _ = (log.end(), out.end()); // a reader who went away does not matter
    Ok(status)
}

/// Passes pieces on from when they are to be shown, and gives back what was not shown at the end.
fn forward(pieces: &Receiver<Vec<u8>>, show: Show, log: &mut impl Write, out: &mut impl Write) -> Vec<u8> {
    let from = match show {
        Show::AtOnce => Some(Instant::now()),
        Show::After(patience) => Instant::now().checked_add(patience),
        Show::OnFailure => None,
    };
    let mut held = Vec::new();
    loop {
        let next = match from {
            Some(from) if held.is_empty() && Instant::now() >= from => pieces.recv().map_err(Into::into),
            Some(from) => pieces.recv_timeout(from.saturating_duration_since(Instant::now())),
            None => pieces.recv().map_err(Into::into),
        };
        match next {
            Ok(piece) => {
                say(log, &piece);
                hold(&mut held, &piece);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return held,
        }
        if from.is_some_and(|from| Instant::now() >= from) {
            say(out, &held);
            held.clear();
        }
    }
}

/// Keeps the last of it: what went wrong stands at the end.
fn hold(held: &mut Vec<u8>, piece: &[u8]) {
    held.extend(piece);
    if held.len() > 2 * HELD {
        let rest = held.split_off(held.len() - HELD);
        *held = LEFT_OUT.as_bytes().iter().copied().chain(rest).collect();
    }
}

/// What is shown of a failure, and whether there is more.
fn last_lines(held: &[u8]) -> (bool, &[u8]) {
    let text = held.strip_suffix(b"\n").unwrap_or(held);
    let breaks = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    match { breaks }.nth(LAST_LINES - 1) {
        Some(at) => (true, &held[at + 1..]),
        None => (false, held),
    }
}

/// A reader who went away does not matter.
fn say(out: &mut impl Write, bytes: &[u8]) {
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(script: &str, show: Show) -> (bool, String) {
        let (success, said, _) = ran_with_log(script, show);
        (success, said)
    }

    fn ran_with_log(script: &str, show: Show) -> (bool, String, String) {
        let (mut log, mut out) = (Vec::new(), Vec::new());
        let status = run(Command::new("sh").args(["-c", script]), show, &mut log, &mut out).unwrap();
        (status.success(), String::from_utf8(out).unwrap(), String::from_utf8(log).unwrap())
    }

    #[test]
    fn of_a_failure_the_last_lines_are_shown_and_all_of_it_is_logged() {
        let script = r"seq 100; printf '\033[2J\n'; exit 3";
        let (success, said, log) = ran_with_log(script, Show::OnFailure);
        assert!(!success);
        assert_eq!(said, format!("{LEFT_OUT}90\n91\n92\n93\n94\n95\n96\n97\n98\n99\n100\n\\u{{1b}}[2J\n"));
        assert!(log.starts_with("1\n2\n") && log.ends_with("100\n\\u{1b}[2J\n"), "{log}");
        let (_, said, log) = ran_with_log("seq 100", Show::OnFailure);
        assert_eq!((said.as_str(), log.lines().count()), ("", 100));
    }

    #[test]
    fn a_command_that_succeeds_in_time_says_nothing() {
        let long = Show::After(Duration::from_hours(1));
        for show in [Show::OnFailure, long] {
            assert_eq!(ran("echo out; echo err >&2", show), (true, String::new()));
        }
    }

    #[test]
    fn a_command_that_fails_says_all_that_it_said_and_in_order() {
        let long = Show::After(Duration::from_hours(1));
        for show in [Show::OnFailure, long, Show::AtOnce, Show::After(Duration::ZERO)] {
            assert_eq!(ran("echo out; echo err >&2; exit 3", show), (false, "out\nerr\n".to_owned()));
        }
    }

    #[test]
    fn a_command_that_says_much_is_held_back_in_bounded_memory() {
        let (_, said) = ran("yes | head -c 8000000; echo end; exit 3", Show::OnFailure);
        assert!(said.len() <= 2 * HELD + LEFT_OUT.len(), "{}", said.len());
        assert!(said.starts_with(LEFT_OUT) && said.ends_with("y\nend\n"));
    }

    #[test]
    fn a_command_that_takes_long_is_heard_while_it_runs() {
        /// Ends the command by making the file that it waits for, as soon as something is shown.
        struct Ender(std::path::PathBuf, Vec<u8>);
        impl Write for Ender {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                fs_err::write(&self.0, "")?;
                self.1.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let go = dir.path().join("go");
        let mut out = Ender(go.clone(), Vec::new());
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; until [ -e \"$0\" ]; do sleep 0.01; done; echo two"]).arg(go);
        let show = Show::After(Duration::from_millis(20));
        assert!(run(&mut command, show, &mut io::sink(), &mut out).unwrap().success());
        assert_eq!(String::from_utf8(out.1).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_question_finds_no_one_to_answer() {
        assert_eq!(ran("read answer || exit 4", Show::OnFailure), (false, String::new()));
    }
}
