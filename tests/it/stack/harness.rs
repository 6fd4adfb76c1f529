//! Docker for tests: whether it is there, one run at a time on a machine, and nothing left behind.

use super::project::release_shared;
use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Condvar, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// The label by which Compose marks what belongs to a project.
pub(super) const PROJECT: &str = "com.docker.compose.project";
/// What every project of these tests is called.
pub(super) const PREFIX: &str = "bottle-test-";
/// The agents' images, made by `scripts/setup --tests`.
pub(super) const IMAGES: [&str; 3] = ["bottle-test-base:1", "bottle-test-claude:1", "bottle-test-postgres:1"];
/// How long any single command may take.
const PATIENCE: &str = "300";

/// Removes all that runs of these tests have made.
const SWEEP: &str = r#"
label=com.docker.compose.project
of_tests() { awk -v prefix=bottle-test- 'index($2, prefix) == 1 { print $1 }'; }
docker ps --all --format "{{.ID}} {{.Label \"$label\"}}" | of_tests | xargs -r docker rm --force --volumes
docker network ls --format "{{.ID}} {{.Label \"$label\"}}" | of_tests | xargs -r docker network rm
docker volume ls --format "{{.Name}} {{.Label \"$label\"}}" | of_tests | xargs -r docker volume rm --force
rm -rf "$folder"
{ docker images --format '{{.Repository}}:{{.Tag}}' 'bottle-test-*:local'
  docker images --format '{{.Repository}}:{{.Tag}}' 'bottle-test-*-agent:latest'; } | xargs -r docker image rm --force
"#;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// Both streams, for what may be said on either.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    #[track_caller]
    pub(super) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.text());
        self
    }
}

/// Runs a command to its end, with a deadline.
pub(super) fn run(command: &Command) -> Ran {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=5", PATIENCE]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bounded.current_dir(folder);
    }
    let Output { status, stdout, stderr } = bounded.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// `docker ARGUMENTS…`.
pub(super) fn docker<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    run(Command::new("docker").args(arguments))
}

/// Asks until there is an answer.
#[track_caller]
pub(super) fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(100)); // between two looks, never instead of one
    }
}

static SESSION: OnceLock<Option<Session>> = OnceLock::new();

/// Whether the tests that need Docker can run. Where they can't, that is said once; with `CI` set it is a failure.
#[track_caller]
pub(super) fn available() -> bool {
    let there = SESSION.get_or_init(Session::begin).is_some();
    assert!(there || std::env::var_os("CI").is_none(), "Docker does not answer, and CI is set");
    there
}

/// A folder that is removed when this run has ended.
pub(super) fn folder() -> &'static Path {
    let session = SESSION.get().and_then(Option::as_ref);
    &session.expect("a test asks first whether Docker is there").folder
}

/// A run of these tests on this machine.
struct Session {
    folder: PathBuf,
    /// Ends when its standard input does, however this process ends, and then sweeps.
    _reaper: Child,
}

impl Session {
    fn begin() -> Option<Self> {
        if docker(["version", "--format", "{{.Server.Version}}"]).code != Some(0) {
            // Around the capture of test output: it must be seen when all passes.
            let _ = writeln!(
                std::io::stderr(),
                "stack: Docker does not answer, so its tests are NOT run (scripts/setup)"
            );
            return None;
        }
        for image in IMAGES {
            let there = docker(["image", "inspect", "--format", "{{.Id}}", image]);
            assert_eq!(there.code, Some(0), "{image} is missing: run scripts/setup --tests");
        }
        let lock = only_one();
        let nothing = Path::new("");
        run(&sweeper(SWEEP, nothing));
        let folder = tempfile::tempdir().unwrap().keep();
        // The lock is released when the last holder of this file ends: the sweeper.
        let reaper = sweeper(&format!("cat >/dev/null; {SWEEP}"), &folder)
            .process_group(0) // an interrupt from the keyboard is not for it
            .stdin(Stdio::piped())
            .stdout(Stdio::from(lock.into_file()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { folder, _reaper: reaper })
    }
}

/// Two runs on one machine would remove each other's stacks.
fn only_one() -> fs_err::File {
    use rustix::fs::{FlockOperation, flock};
    let path = std::env::temp_dir().join("bottle-test-stack.lock");
    let file = fs_err::File::options().create(true).append(true).open(&path).unwrap();
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let _ = writeln!(std::io::stderr(), "stack: waiting for another run of these tests to end");
        flock(&file, FlockOperation::LockExclusive).unwrap();
    }
    file
}

fn sweeper(script: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("folder", folder);
    command
}

/// Removes one project, by label.
pub(super) fn remove_project(project: &str) {
    let label = format!("label={PROJECT}={project}");
    let ids = |what: &[&str]| -> Vec<String> {
        let list = docker([what, &["--quiet", "--filter", &label]].concat());
        list.out.split_whitespace().map(str::to_owned).collect()
    };
    let remove = |how: &[&str], ids: Vec<String>| {
        if !ids.is_empty() {
            docker(how.iter().copied().chain(ids.iter().map(String::as_str)));
        }
    };
    remove(&["rm", "--force", "--volumes"], ids(&["ps", "--all"]));
    remove(&["network", "rm"], ids(&["network", "ls"]));
    remove(&["volume", "rm", "--force"], ids(&["volume", "ls"]));
    docker(["image", "rm", "--force", &format!("{project}:local"), &format!("{project}-agent:latest")]);
}

/// A place for one stack of its own among those that run at a time; the machine may be small.
pub(super) struct Place;

static PLACES: (Mutex<u8>, Condvar) = (Mutex::new(2), Condvar::new());

impl Place {
    pub(super) fn take() -> Self {
        const LOOK: Duration = Duration::from_millis(200);
        loop {
            let free = PLACES.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let waited = PLACES.1.wait_timeout_while(free, LOOK, |free| *free == 0);
            let (mut free, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            if *free > 0 {
                *free -= 1;
                return Self;
            }
            drop(free);
            release_shared();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        PLACES.1.notify_one();
    }
}
