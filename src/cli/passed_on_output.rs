//! Commands whose output is passed on as it comes: escaped, since a container wrote it, stdout to stdout and stderr
//! to stderr.

use crate::printable::Escaping;
use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

/// Runs a command without input, and passes its output on. Where nobody reads stdout any more the command is ended
/// and this fails with a broken pipe.
pub(super) fn run(command: &mut Command) -> io::Result<ExitStatus> {
    run_into(command, io::stdout(), io::stderr())
}

fn run_into(
    command: &mut Command,
    out: impl Write,
    err: impl Write + Send + 'static,
) -> io::Result<ExitStatus> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take();
    let passing = thread::spawn(move || {
        // A reader of stderr who went away does not matter.
        stderr.map(|mut stderr| pass(&mut stderr, err).or_else(|_| drained(&mut stderr)))
    });
    let passed = child.stdout.take().map_or(Ok(()), |stdout| pass(stdout, out));
    if passed.is_err() {
        let _ = child.kill(); // the reader is gone; so is the reason to go on
    }
    let status = child.wait()?;
    let _ = passing.join();
    passed?;
    Ok(status)
}

fn pass(mut from: impl Read, out: impl Write) -> io::Result<()> {
    let mut out = Escaping::new(out);
    let mut buffer = [0; 8192];
    loop {
        match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => return out.end(),
            Ok(length) => out.write_all(&buffer[..length]).and_then(|()| out.flush())?,
            Err(error) => return Err(error),
        }
    }
}

fn drained(from: &mut impl Read) -> io::Result<()> {
    io::copy(from, &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_escaped_and_stay_apart() {
        let (out, err) = (Shared::default(), Shared::default());
        let script = r"printf 'out\033[2J\n'; printf 'err\342\200\256\r\n' >&2; exit 3";
        let status = run_into(&mut sh(script), out.clone(), err.clone()).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(*out.0.lock().unwrap(), b"out\\u{1b}[2J\n");
        assert_eq!(*err.0.lock().unwrap(), b"err\\u{202e}\n");
    }

    #[test]
    fn a_reader_who_went_away_ends_the_command() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = run_into(&mut sh("echo one; exec sleep 600"), Gone, io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
