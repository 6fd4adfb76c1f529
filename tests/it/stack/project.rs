//! A folder with a manifest, and the stack that comes of it.

use super::harness::{PREFIX, PROJECT, Place, Ran, docker, remove_project, run};
use super::internet;
use bottle::consent::{BuiltImage, Seal};
use camino::Utf8PathBuf;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

/// The image of bottle's own services, as it was built for the first stack.
const KEPT: &str = "bottle-test-kept:local";

/// A project on the host: its manifest, its token values, a home for its state.
pub(super) struct Project {
    /// The bottle's name.
    pub(super) name: String,
    /// What the host's environment holds when the stack starts.
    pub(super) tokens: BTreeMap<&'static str, String>,
    root: tempfile::TempDir,
}

impl Project {
    /// `claim` names the bottle; `rest` is the manifest below its name.
    pub(super) fn new(claim: &str, rest: &str) -> Self {
        internet::start();
        let root = tempfile::tempdir_in(super::harness::folder()).unwrap();
        // What is created for the agent belongs to the user that it runs as.
        run(Command::new("chmod").arg("755").arg(root.path())).ok();
        let project = Self { name: format!("test-{claim}"), tokens: BTreeMap::new(), root };
        fs_err::create_dir(project.folder()).unwrap();
        fs_err::copy(internet::ca(), project.folder().join("ca.pem")).unwrap();
        project.write_manifest(rest);
        project
    }

    /// With a value for a token, made up for this run.
    pub(super) fn token(mut self, name: &'static str, prefix: &str) -> Self {
        self.tokens.insert(name, made_up(prefix));
        self
    }

    pub(super) fn write_manifest(&self, rest: &str) {
        let text = format!("version: 1\nname: {}\n{rest}", self.name);
        fs_err::write(self.folder().join("bottle.yaml"), text).unwrap();
    }

    /// The manifest's folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// Where keys are.
    pub(super) fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// The state of what was rendered: where the agreed copy and the audit records are.
    pub(super) fn host_state(&self) -> PathBuf {
        let states = fs_err::read_dir(self.state().join("bottle")).unwrap();
        states.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap()
    }

    /// The rendered tree.
    pub(super) fn out(&self) -> PathBuf {
        self.folder().join(".bottle").join(&self.name)
    }

    /// A command of the host's user, in the project.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder()).env("XDG_STATE_HOME", self.state()).envs(&self.tokens);
        command
    }

    /// `bottle ARGUMENTS…`.
    pub(super) fn bottle(&self, arguments: &[&str]) -> Ran {
        run(self.command(env!("CARGO_BIN_EXE_bottle")).args(arguments))
    }

    /// `docker compose -f OUT/docker-compose.yml ARGUMENTS…`.
    pub(super) fn compose(&self, arguments: &[&str]) -> Ran {
        let file = self.out().join("docker-compose.yml");
        run(self.command("docker").args(["compose", "--file"]).arg(file).args(arguments))
    }

    /// The Compose project that render chose.
    pub(super) fn compose_project(&self) -> String {
        let env = fs_err::read_to_string(self.out().join(".env")).unwrap();
        let name = env.lines().find_map(|line| line.strip_prefix("COMPOSE_PROJECT_NAME=")).unwrap();
        let name = name.trim_matches('"').to_owned();
        assert!(name.starts_with(PREFIX), "{name}");
        name
    }

    /// Renders, and removes what an earlier run of this name may have left.
    #[track_caller]
    pub(super) fn render(self) -> Stack {
        self.bottle(&["render", "--accept-widening"]).ok();
        self.adopt()
    }

    /// Takes what was rendered.
    pub(super) fn adopt(self) -> Stack {
        let place = Place::take();
        let name = self.compose_project();
        remove_project(&name);
        self.build_once();
        Stack { project: self, name, _place: place }
    }

    /// Two first builds at a time would be two images, and a later `up` would take the other one.
    fn build_once(&self) {
        static BUILT: Mutex<bool> = Mutex::new(false);
        let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*built {
            self.compose(&["build", "--quiet", "netns"]).ok();
            docker(["tag", &format!("{}:local", self.compose_project()), KEPT]).ok();
            *built = true;
        }
        // As if this stack had been up before: to find out that nothing changed, Compose packs the whole program.
        let id = docker(["image", "inspect", "--format", "{{.Id}}", KEPT]).ok().out;
        docker(["tag", KEPT, &format!("{}:local", self.compose_project())]).ok();
        let state = Utf8PathBuf::from_path_buf(self.host_state()).unwrap();
        let seal = Seal::of(&state).unwrap();
        BuiltImage::new(id.trim(), &seal).store(&state).unwrap();
    }

    /// Renders and starts.
    #[track_caller]
    pub(super) fn up(self) -> Stack {
        let stack = self.render();
        stack.project.compose(&["up", "--detach", "--wait", "--quiet-pull"]).ok();
        stack
    }
}

/// A rendered project whose containers are removed when it goes, and shown when a test failed.
pub(super) struct Stack {
    pub(super) project: Project,
    /// The Compose project.
    pub(super) name: String,
    _place: Place,
}

impl Stack {
    /// A container's id.
    pub(super) fn container(&self, service: &str) -> String {
        self.containers(service).pop().unwrap_or_else(|| panic!("{} has no container {service}", self.name))
    }

    fn containers(&self, service: &str) -> Vec<String> {
        let (project, service) =
            (format!("label={PROJECT}={}", self.name), format!("label=com.docker.compose.service={service}"));
        let list =
            docker(["ps", "--all", "--quiet", "--no-trunc", "--filter", &project, "--filter", &service]);
        list.out.split_whitespace().map(str::to_owned).collect()
    }

    /// A shell script in the agent's container, as the agent.
    pub(super) fn agent(&self, script: &str) -> Ran {
        docker(["exec", &self.container("agent"), "sh", "-c", script])
    }

    /// The same as another user.
    pub(super) fn agent_as(&self, user: &str, script: &str) -> Ran {
        docker(["exec", "--user", user, &self.container("agent"), "sh", "-c", script])
    }

    /// What a service logged.
    pub(super) fn logs(&self, service: &str) -> String {
        docker(["logs", &self.container(service)]).text()
    }

    /// `field` of every container: service → value, as a Go template sees it.
    pub(super) fn inspect(&self, template: &str) -> BTreeMap<String, String> {
        let label = format!("label={PROJECT}={}", self.name);
        let ids = docker(["ps", "--all", "--quiet", "--filter", &label]).out;
        let format = format!("{{{{index .Config.Labels \"com.docker.compose.service\"}}}} {template}");
        let arguments = ["inspect", "--format", &format].into_iter().chain(ids.split_whitespace());
        let lines = docker(arguments).ok().out;
        lines
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    #[expect(clippy::print_stdout, reason = "what a failed test prints is shown with it")]
    fn show(&self) {
        let all = self.project.compose(&["ps", "--all"]).text();
        let said = self.project.compose(&["logs", "--no-color", "--tail", "150"]).text();
        let origin = internet::log();
        let tail = origin.lines().rev().take(20).collect::<Vec<_>>();
        println!("---- {}\n{all}\n{said}\n---- the origin, newest first\n{}", self.name, tail.join("\n"));
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show();
        }
        remove_project(&self.name);
    }
}

static SHARED: Mutex<Option<Arc<Stack>>> = Mutex::new(None);

/// One stack for all that only look: whoever comes first starts it, and it goes when another one needs its place.
pub(super) fn shared(make: fn() -> Stack) -> Arc<Stack> {
    let mut stack = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Arc::clone(stack.get_or_insert_with(|| Arc::new(make())))
}

/// Removes the stack of all that only look, if nobody looks now.
pub(super) fn release_shared() {
    // Whoever has the lock starts it, or looks soon.
    let Ok(mut stack) = SHARED.try_lock() else { return };
    if stack.as_ref().is_some_and(|stack| Arc::strong_count(stack) == 1) {
        *stack = None;
    }
}

/// A value that no other run has, of the length of real ones.
pub(super) fn made_up(prefix: &str) -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = || std::hash::RandomState::new().build_hasher().finish();
    let text: String = format!("{:016x}{:016x}{:016x}", random(), random(), random());
    format!("{prefix}{}", &text[..36])
}

/// What the origin shows of a credential.
pub(super) fn digest(secret: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(secret).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Every file below a folder.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
