//! Running git on a repository that an agent can write.

use super::GitError;
use super::object::{Id, Kind};
use camino::{Utf8Path, Utf8PathBuf};
use std::hash::BuildHasher as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long git may take for one answer. In seconds.
const PATIENCE: u64 = 60;

/// How often that is looked at.
const POLL: Duration = Duration::from_millis(500);

/// The memory of git's own, in bytes.
const MEMORY: u64 = 1 << 30;

/// What git says is read up to here, in bytes.
const MOST: u64 = 16 << 20;

/// git with nothing of the environment, of the person's configuration and of what a repository's own configuration
/// could make it do: programs that it runs (hooks, the file system monitor), objects that it fetches or replaces.
fn git(folder: &Utf8Path) -> Command {
    let mut command = crate::programs::command("git");
    command.env_clear().current_dir("/").stderr(Stdio::piped());
    command.env("PATH", crate::programs::path());
    // A list of the transports that are allowed, whatever the repository's own configuration allows: one that no
    // repository can name, since a name that it knows is a program that it chooses (`alias.remote-NAME`).
    let nobodys = std::hash::RandomState::new().hash_one(0);
    command.env("GIT_ALLOW_PROTOCOL", format!("none-{nobodys:016x}"));
    for (name, value) in [
        ("LC_ALL", "C"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_GRAFT_FILE", "/dev/null/none"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ] {
        command.env(name, value);
    }
    for setting in [
        "core.attributesFile=/dev/null",
        "core.commitGraph=false",
        "core.excludesFile=/dev/null",
        "core.fsmonitor=false",
        "core.hooksPath=/dev/null",
        "core.untrackedCache=false",
        "fetch.bundleURI=",
        "protocol.allow=never",
    ] {
        command.args(["-c", setting]);
    }
    command.arg(format!("--git-dir={folder}"));
    command
}

/// A child that is ended when it is asked and does not answer, or when this is dropped.
struct Guarded {
    child: Arc<Mutex<Child>>,
    asked: Arc<Mutex<Asked>>,
    /// Dropped with this: then there is nothing to wait for.
    _done: mpsc::Sender<()>,
}

#[derive(Default)]
struct Asked {
    /// Since when an answer is waited for.
    since: Option<Instant>,
    timed_out: bool,
}

impl Guarded {
    fn new(child: Child) -> Self {
        limit_memory(&child);
        let child = Arc::new(Mutex::new(child));
        let asked = Arc::new(Mutex::new(Asked::default()));
        let (done, over) = mpsc::channel::<()>();
        let (watched, noted) = (Arc::clone(&child), Arc::clone(&asked));
        thread::spawn(move || {
            while over.recv_timeout(POLL) == Err(mpsc::RecvTimeoutError::Timeout) {
                let mut asked = lock(&noted);
                if asked.since.is_some_and(|since| since.elapsed() > Duration::from_secs(PATIENCE)) {
                    asked.timed_out = true;
                    let _ = lock(&watched).kill(); // it has ended already, or it ends now
                    return;
                }
            }
        });
        Self { child, asked, _done: done }
    }

    /// While this runs, the child has a limited time.
    fn asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        lock(&self.asked).since = Some(Instant::now());
        let answer = ask();
        lock(&self.asked).since = None;
        answer
    }

    fn ended(&self, problem: impl Into<String>) -> GitError {
        if lock(&self.asked).timed_out {
            GitError::TimedOut(PATIENCE)
        } else {
            GitError::Ended(problem.into())
        }
    }
}

/// A small pack can hold an object that takes any amount of memory to put together. What git maps from its files does
/// not count.
fn limit_memory(child: &Child) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let limit = Some(MEMORY);
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // One that has ended needs none.
        let _ = prlimit(Some(pid), Resource::Data, Rlimit { current: limit, maximum: limit });
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill(); // it has ended already, or it ends now
        let _ = child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What git prints for `arguments`; where it fails, the first line of what it says.
pub(super) fn output(folder: &Utf8Path, arguments: &[&str]) -> Result<Result<String, String>, GitError> {
    run(folder, arguments, Vec::new())
}

fn run(folder: &Utf8Path, arguments: &[&str], input: Vec<u8>) -> Result<Result<String, String>, GitError> {
    let mut command = git(folder);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(GitError::NoProgram)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let guarded = Guarded::new(child);
    let said = thread::spawn(move || first_line(stderr));
    // Beside the reading, since git answers while it is asked. One that ended takes no more.
    thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let mut text = String::new();
    let status = guarded.asking(|| {
        if let Some(stdout) = stdout {
            stdout.take(MOST).read_to_string(&mut text)?;
        }
        loop {
            // The lock is held for a moment only, so that the child can be ended meanwhile.
            if let Some(status) = lock(&guarded.child).try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    let said = said.join().unwrap_or_default();
    let status = status.map_err(|error: std::io::Error| guarded.ended(error.to_string()))?;
    match status.code() {
        Some(0) => Ok(Ok(text)),
        Some(_) => Ok(Err(said)),
        None => Err(guarded.ended("something ended it")),
    }
}

fn first_line(stderr: Option<std::process::ChildStderr>) -> String {
    let mut text = Vec::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(MOST).read_to_end(&mut text); // what there is of it is enough
    }
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned()
}

/// Which of these paths are left out of commits, where they are in none; relative to the work tree.
pub(super) fn ignored(
    folder: &Utf8Path,
    top: &Utf8Path,
    paths: &[Utf8PathBuf],
) -> Result<Vec<Utf8PathBuf>, GitError> {
    let tree = format!("--work-tree={top}");
    let arguments = ["-C", top.as_str(), &tree, "check-ignore", "-z", "--stdin"];
    let names: String = paths.iter().flat_map(|path| ["./", path.as_str(), "\0"]).collect(); // `:` means something
    let said = run(folder, &arguments, names.into_bytes())?.unwrap_or_default();
    let ignored = said.split('\0').filter(|path| !path.is_empty());
    Ok(ignored.map(|path| path.strip_prefix("./").unwrap_or(path).into()).collect())
}

/// A git that gives sizes, and one that gives bytes.
pub(super) struct Objects {
    sizes: Batch,
    bytes: Batch,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Objects")
    }
}

struct Batch {
    guarded: Guarded,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Batch {
    fn start(folder: &Utf8Path, option: &str) -> Result<Self, GitError> {
        let mut command = git(folder);
        command.args(["cat-file", option]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(GitError::NoProgram)?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let guarded = Guarded::new(child);
        match pipes {
            (Some(questions), Some(answers)) => {
                Ok(Self { guarded, questions, answers: BufReader::new(answers) })
            }
            _ => Err(guarded.ended("it has no pipes")),
        }
    }

    /// `NAME KIND SIZE`, or `NAME missing`.
    fn ask(&mut self, id: &Id) -> Result<Option<(Kind, u64)>, GitError> {
        let mut line = String::new();
        let (questions, answers) = (&mut self.questions, &mut self.answers);
        let answered = self.guarded.asking(|| {
            writeln!(questions, "{id}")?;
            questions.flush()?;
            answers.take(MOST).read_line(&mut line)
        });
        match answered {
            Ok(0) => return Err(self.guarded.ended("the repository can't be read; git fsck says more")),
            Ok(_) => {}
            Err(error) => return Err(self.guarded.ended(error.to_string())),
        }
        let unexpected = || self.guarded.ended(format!("unexpected answer {:?}", line.trim_end()));
        match line.trim_end().split(' ').collect::<Vec<_>>().as_slice() {
            [name, "missing"] if *name == id.to_string() => Ok(None),
            [name, kind, size] if *name == id.to_string() => {
                let kind = [Kind::Commit, Kind::Tree, Kind::Blob].into_iter().find(|it| it.name() == *kind);
                let size = size.parse().ok();
                kind.zip(size).map(Some).ok_or_else(unexpected)
            }
            _ => Err(unexpected()),
        }
    }
}

impl Objects {
    pub(super) fn start(folder: &Utf8Path) -> Result<Self, GitError> {
        Ok(Self { sizes: Batch::start(folder, "--batch-check")?, bytes: Batch::start(folder, "--batch")? })
    }

    /// The kind of an object and its size in bytes; nothing where it is not there.
    pub(super) fn look(&mut self, id: &Id) -> Result<Option<(Kind, u64)>, GitError> {
        self.sizes.ask(id)
    }

    /// The bytes of an object that has this size.
    pub(super) fn read(&mut self, id: &Id, size: u64) -> Result<Vec<u8>, GitError> {
        let missing = || GitError::Missing { id: id.to_string(), hint: "" };
        let (_, found) = self.bytes.ask(id)?.ok_or_else(missing)?;
        if found != size {
            return Err(self.bytes.guarded.ended("an object changed while it was read"));
        }
        // The bytes, and a line feed.
        let mut read = Vec::new();
        let ended = |batch: &Batch, error: String| batch.guarded.ended(error);
        let answers = &mut self.bytes.answers;
        match self.bytes.guarded.asking(|| answers.take(size + 1).read_to_end(&mut read)) {
            Ok(length) if length as u64 == size + 1 => {
                read.pop();
                Ok(read)
            }
            Ok(_) => Err(ended(&self.bytes, "an object breaks off".to_owned())),
            Err(error) => Err(ended(&self.bytes, error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_has_a_limit_of_memory() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let limits = format!("/proc/{}/limits", child.id());
        let guarded = Guarded::new(child);
        let limits = fs_err::read_to_string(limits).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert_eq!(data.split_whitespace().nth(3), Some(&*MEMORY.to_string()), "{data}");
        drop(guarded);
    }
}
