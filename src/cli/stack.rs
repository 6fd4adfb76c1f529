//! A rendered stack on this host, and `docker compose` for it.
//!
//! What decides is the rendered tree and nothing that lies beside it: every command names the compose file and
//! the `.env` file, and what Compose would let win (its own variables, and those of `.env`, in the caller's
//! environment) is dropped. The command is printed before it runs, so that a person can do the same by hand.

use super::project::Project;
use super::project::real;
use super::site::Site;
use super::{Globals, quietly, say, source};
use crate::capability::Capabilities;
use crate::diagnostic::Report;
use crate::pki;
use crate::plan::Shape;
use crate::plan::places::{planted_link, through};
use crate::render::Tree;
use crate::state::{EnvFile, Location, State};
use crate::tree::{Comparison, Kind};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::process::{Command, ExitStatus};

/// A stack whose files are there and belong to this folder.
#[derive(Debug)]
pub(crate) struct Stack {
    /// What it was rendered from.
    pub(crate) project: Project,
    env: EnvFile,
    shown: Utf8PathBuf,
    location: Location,
    on_disk: Tree,
    loudness: Loudness,
}

/// How much of Docker's own talk a person wants to read.
#[derive(Clone, Copy, Debug)]
struct Loudness {
    announces: bool,
    show: quietly::Show,
}

impl Loudness {
    fn of(globals: &Globals) -> Self {
        let show = match (globals.quiet, globals.verbose) {
            (true, _) => quietly::Show::OnFailure,
            (false, 0) => quietly::Show::After(PATIENCE),
            (false, _) => quietly::Show::AtOnce,
        };
        Self { announces: !globals.quiet, show }
    }
}

impl Stack {
    /// The stack of the manifest that the argument means. Refuses a folder that holds what Compose or a person
    /// would be misled by, a `.env` of another folder, and a state that is not this folder's.
    pub(crate) fn open(
        manifest: Option<&Utf8Path>,
        out: Option<&Utf8Path>,
        globals: &Globals,
    ) -> anyhow::Result<Self> {
        let site = Site::of(Project::load(&source::find_one(manifest)?, out)?)?;
        let shown = site.shown();
        let folder = site.find()?;
        let comparison = Comparison::of(folder.as_ref(), &site.tree)?;
        comparison.require_writable(&shown, true)?;
        let env = site.env()?;
        let (Some(env), false) = (env, comparison.on_disk.is_empty()) else {
            bail!("{shown} is not rendered on this machine; run `bottle render`");
        };
        let home = Location::home(|name| std::env::var(name).ok());
        let location = Location::find(site.path(), None, Some(&env), home.as_deref())?;
        if !State::is_of(env.state(), site.path()) {
            bail!("the state {} is gone; run `bottle render`, then `bottle up`", env.state());
        }
        for path in comparison.paths(Kind::Edited) {
            say(&format!("warning: {shown}/{path} was edited by hand\n"));
        }
        if !comparison.is_same() {
            say(&format!(
                "note: {} changed since the last render; the stack follows {shown}\n",
                site.project.file
            ));
        }
        Ok(Self {
            project: site.project,
            env,
            shown,
            location,
            on_disk: comparison.on_disk,
            loudness: Loudness::of(globals),
        })
    }

    /// Refuses to give the agent what somebody put in the place of a folder that it sees: a link that it could
    /// have made, or one that leads to the keys. What the tree says counts, since that is what is started.
    pub(crate) fn require_safe_places(&self) -> anyhow::Result<()> {
        let places = Capabilities::places(&self.on_disk, self.location.out())?;
        let places: Vec<_> =
            places.into_iter().map(|(path, writable)| (real(&path), path, writable)).collect();
        let writable: Vec<_> = places.iter().filter(|it| it.2).map(|it| it.0.clone()).collect();
        let links = places.iter().filter_map(|(_, path, _)| {
            planted_link(path, &writable, real).map(|link| through(path, &link, real))
        });
        let report = Report(links.collect());
        if !report.0.is_empty() {
            return Err(report.into());
        }
        let seen: Vec<Utf8PathBuf> = places.into_iter().map(|it| it.0).collect();
        Ok(self.location.require_hidden(&seen)?)
    }

    /// Refuses certificate authorities that no client would accept any more.
    pub(crate) fn require_valid_authorities(&self) -> anyhow::Result<()> {
        let now = jiff::Timestamp::now();
        let certificates = match self.project.plan.shape {
            Shape::Chain => ["egress-proxy/agent-ca.pem", "pipelock/pipelock-ca.pem"].as_slice(),
            Shape::Direct => ["pipelock/pipelock-ca.pem"].as_slice(),
        };
        for file in certificates {
            let path = self.env.state().join(file);
            // A user who is not the state's owner can't look; the proxies look again when they start.
            if let Ok(pem) = std::fs::read_to_string(&path) {
                pki::require_valid_certificate(&pem, now).context(path)?;
            }
        }
        Ok(())
    }

    /// The services between the agent and the Internet.
    pub(crate) fn infrastructure(&self) -> Vec<&'static str> {
        match self.project.plan.shape {
            Shape::Chain => vec!["netns", "gate", "pipelock", "egress-proxy"],
            Shape::Direct => vec!["netns", "gate", "pipelock"],
        }
    }

    /// The services that run now.
    pub(crate) fn running(&self) -> anyhow::Result<Vec<String>> {
        let output = self
            .command(&["ps", "--status", "running", "--services"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .context(NO_DOCKER)?;
        if !output.status.success() {
            require_compose()?;
            bail!("docker compose ps failed ({})", output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Every service that has a container, with its state and health in Docker's words: `running healthy`.
    pub(crate) fn states(&self) -> anyhow::Result<Vec<(String, String)>> {
        let list = self
            .command(&["ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}}"])
            .output()
            .context(NO_DOCKER)?;
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let states = list.lines().filter_map(|line| line.split_once(' '));
        Ok(states.map(|(service, state)| (service.to_owned(), state.trim().to_owned())).collect())
    }

    /// The image that the stack built for itself.
    pub(crate) fn image(&self) -> String {
        format!("{}:local", self.env.project())
    }

    /// The folder, as a command line names it.
    pub(crate) fn shown(&self) -> &Utf8Path {
        &self.shown
    }

    /// Runs `docker compose`, and fails when it does. What it prints is shown when it fails or takes long.
    pub(crate) fn compose(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status = self.quietly(&mut self.command(arguments))?;
        if !status.success() {
            require_compose()?;
            bail!("docker compose {} failed ({status})", arguments.first().unwrap_or(&""));
        }
        Ok(())
    }

    /// Runs a command of Docker's that says nothing which a person needs, unless it fails or takes long.
    pub(crate) fn quietly(&self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        self.announce(command);
        quietly::run(command, self.loudness.show, &mut std::io::stderr()).context(NO_DOCKER)
    }

    /// Runs `docker compose`, and says how it ended.
    pub(crate) fn try_compose(&self, arguments: &[&str]) -> anyhow::Result<ExitStatus> {
        let mut command = self.command(arguments);
        self.announce(&command);
        let status = command.status().context(NO_DOCKER)?;
        if !status.success() {
            require_compose()?;
        }
        Ok(status)
    }

    /// Whether this Compose's `run` can be told to take the image as it is; older ones have no flag for it.
    pub(crate) fn run_can_pull(&self) -> anyhow::Result<bool> {
        let help = self.command(&["run", "--help"]).output().context(NO_DOCKER)?;
        Ok(String::from_utf8_lossy(&help.stdout).contains("--pull "))
    }

    /// Becomes `docker compose`: its terminal, its signals and its exit code are this command's.
    pub(crate) fn become_compose(&self, arguments: &[&str]) -> anyhow::Error {
        use std::os::unix::process::CommandExt as _;
        let mut command = self.command(arguments);
        self.announce(&command);
        anyhow::Error::new(command.exec()).context(NO_DOCKER)
    }

    /// Says what is run.
    pub(crate) fn announce(&self, command: &Command) {
        if self.loudness.announces {
            say(&format!("$ {}\n", shown(command)));
        }
    }

    /// The command, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = docker();
        command.args(["compose", "--env-file"]).arg(self.shown.join(".env"));
        command.arg("-f").arg(self.shown.join("docker-compose.yml")).args(arguments);
        command
    }
}

/// A variable of the caller's would win over the same one in `.env`.
const OF_ENV_FILE: [&str; 3] = ["BOTTLE_STATE", "BOTTLE_USER", "BOTTLE_CA"];

/// An image that is new takes minutes; what is there already is up within this time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub(super) const NO_DOCKER: &str = "can't run docker; it must be installed, with Compose 2.24 or newer";

/// `docker` without what would lead Compose elsewhere.
pub(crate) fn docker() -> Command {
    let mut command = Command::new("docker");
    for (name, _) in std::env::vars_os() {
        let leads_elsewhere = |name: &str| name.starts_with("COMPOSE_") || OF_ENV_FILE.contains(&name);
        if name.to_str().is_some_and(leads_elsewhere) {
            command.env_remove(name);
        }
    }
    command
}

/// Fails where `docker` is there and has no Compose, or one that is not for this user: what `docker` says of that
/// names a flag.
fn require_compose() -> anyhow::Result<()> {
    let version = docker().args(["compose", "version"]).output().context(NO_DOCKER)?;
    if !version.status.success() {
        bail!("docker has no Compose for this user; `docker compose version` must say 2.24 or newer");
    }
    Ok(())
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
