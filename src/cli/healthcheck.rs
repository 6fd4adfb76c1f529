//! `bottle healthcheck`: one question to an admin listener, for images without a shell.
//!
//! A question that Docker asks every few seconds costs its engine a process each time. With `--watch` it is asked once more
//! after the first good answer, and that process stays: it looks by itself, which costs next to nothing, and ends when the
//! answer changes.

use super::{Globals, Outcome, print, say};
use crate::stack::ADMIN;
use crate::telemetry::client::{self, AdminAnswer, ClientError};
use camino::{Utf8Path, Utf8PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Inside a stack: ask a running proxy how it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle healthcheck --print --url http://127.0.0.1:9100/metrics")]
pub(crate) struct Args {
    /// What to ask: an http URL, or tcp://HOST:PORT to only see that connections are served
    #[arg(long, default_value_t = format!("http://{ADMIN}/readyz"))]
    url: String,
    /// Print the answer
    #[arg(long)]
    print: bool,
    /// For Docker: answer once all is well, which makes FILE; while FILE is there, stay until something is wrong
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    watch: Option<Utf8PathBuf>,
}

/// How long what is asked may take to be well, and how often it is looked at.
struct Pace {
    /// For a first good answer.
    patience: Duration,
    /// Between two looks until then.
    soon: Duration,
    /// Between two looks from then on.
    look: Duration,
    /// A watch ends by itself: an engine that has forgotten what it was told asks anew.
    longest: Duration,
}

const PACE: Pace = Pace {
    patience: Duration::from_secs(3),
    soon: Duration::from_millis(50),
    look: Duration::from_secs(5),
    longest: Duration::from_mins(10),
};

pub(crate) fn run(args: &Args, _globals: &Globals) -> anyhow::Result<Outcome> {
    let problem = if let Some(file) = &args.watch {
        watch(|| ask(&args.url).map(Result::err), file, &PACE)?
    } else {
        match ask(&args.url)? {
            Ok(answer) if args.print => {
                print(&answer.body)?;
                None
            }
            answer => answer.err(),
        }
    };
    let Some(problem) = problem else { return Ok(Outcome::Done) };
    say(&format!("{problem}\n"));
    Ok(Outcome::Differs)
}

/// The answer, or what is wrong.
fn ask(url: &str) -> anyhow::Result<Result<AdminAnswer, String>> {
    Ok(match client::get(url) {
        Err(error @ ClientError::NotAUrl(_)) => return Err(error.into()),
        Err(error) => Err(error.to_string()),
        Ok(answer) if (200..300).contains(&answer.status) => Ok(answer),
        Ok(answer) => Err(format!("{url} answered {}: {}", answer.status, answer.body.trim_end())),
    })
}

/// Waits for a first good answer and says it, which `file` remembers; if it was said, stays until there is none. Where
/// the file can't be made, every question is answered at once.
fn watch(
    mut problem: impl FnMut() -> anyhow::Result<Option<String>>,
    file: &Utf8Path,
    pace: &Pace,
) -> anyhow::Result<Option<String>> {
    let start = Instant::now();
    let said = file.exists();
    loop {
        let found = problem()?;
        let (wait, until) = match (&found, said) {
            (None, false) => {
                let _ = fs_err::write(file, ""); // without it, Docker asks more often, and no answer is wrong
                return Ok(None);
            }
            (Some(_), true) => {
                let _ = fs_err::remove_file(file);
                return Ok(found);
            }
            (None, true) => (pace.look, pace.longest),
            (Some(_), false) => (pace.soon, pace.patience),
        };
        if start.elapsed() >= until {
            return Ok(found);
        }
        sleep(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Pace = Pace {
        patience: Duration::from_mins(1),
        soon: Duration::ZERO,
        look: Duration::ZERO,
        longest: Duration::from_mins(1),
    };

    /// The answers in their order, how a watch ends with them, and how many it took.
    fn watched(file: &Utf8Path, answers: &[Option<&str>], pace: &Pace) -> (Option<String>, usize) {
        let mut asked = 0;
        let next = || {
            asked += 1;
            Ok(answers[asked - 1].map(str::to_owned))
        };
        let end = watch(next, file, pace).unwrap();
        (end, asked)
    }

    #[test]
    fn what_is_well_is_said_at_once_and_then_watched_until_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(dir.path().join("said")).unwrap();
        let down = || Some("down".to_owned());
        assert_eq!(watched(&file, &[Some("not yet"), Some("not yet"), None], &QUICK), (None, 3));
        assert_eq!(watched(&file, &[None, None, Some("down")], &QUICK), (down(), 3));
        assert_eq!(watched(&file, &[None], &QUICK), (None, 1), "that it is well again is said at once");
        assert_eq!(watched(&file, &[Some("down")], &QUICK), (down(), 1));
        assert!(!file.exists());
    }

    #[test]
    fn nothing_is_waited_for_forever() {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(dir.path().join("said")).unwrap();
        let none = Pace { patience: Duration::ZERO, longest: Duration::ZERO, ..QUICK };
        assert_eq!(watched(&file, &[Some("not yet")], &none), (Some("not yet".to_owned()), 1));
        assert!(!file.exists());
        fs_err::write(&file, "").unwrap();
        assert_eq!(watched(&file, &[None], &none), (None, 1));
        let nowhere = dir.path().join("absent/said");
        let nowhere = Utf8PathBuf::from_path_buf(nowhere).unwrap();
        for _ in 0..2 {
            assert_eq!(watched(&nowhere, &[None], &none), (None, 1), "nothing to remember it in");
        }
    }
}
