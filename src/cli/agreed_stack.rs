//! An agreed stack on this host, and `docker compose` for it.
//!
//! What decides is the agreed copy in the state and nothing that lies in the project: every command names its compose
//! file and its `.env`, and what Compose would let win (its own variables, and those of `.env`, in the caller's
//! environment) is dropped. The command is printed before it runs, so that a person can do the same by hand.

use super::bottles::{self, FoundBottle, Planted};
use super::docker::{NO_DOCKER, docker, docker_with, output_of, shown};
use super::docker_log::DockerLog;
use super::failure::fail;
use super::folders::{real, registry};
use super::pins_for_others::Pins;
use super::project::Project;
use super::token_sources::{TokenArgs, TokenValue};
use super::{Globals, candidate, held_back_output, say, tree_against_agreed};
use crate::consent::{AGREED, Agreed, Bottle, Running};
use crate::manifest::Loaded;
use crate::pki;
use crate::plan::{Layout, Plan, Topology};
use crate::printable::{printable_name, printable_output};
use crate::render::{self, RenderTarget, paths};
use crate::stack::service;
use crate::state::ENV_FILE;
use crate::tree::Folder;
use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use std::process::{Command, ExitStatus};

/// Which stack a verb is about.
#[derive(Debug, clap::Args)]
pub(crate) struct StackArgs {
    /// The manifest; without one, the nearest bottle.yaml
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: Option<Utf8PathBuf>,
    /// Where the tree is [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
}

/// A stack that a person agreed to.
#[derive(Debug)]
pub(crate) struct Stack {
    /// What the registry has of it.
    pub(crate) bottle: Bottle,
    /// What was agreed to.
    pub(crate) agreed: Agreed,
    /// The plan of the agreed tree.
    pub(crate) plan: Plan,
    /// The manifest as a person names it.
    pub(crate) file: Utf8PathBuf,
    /// What it says by now, where it can be read.
    pub(crate) loaded: Option<Loaded>,
    /// Start also where this machine's kernel is not the containers' and can't be asked about them.
    pub(crate) unchecked: bool,
    /// What other bottles mount below what this agent can write.
    pub(crate) pins: Pins,
    /// The compose file that says it, where there is any.
    pinning: Option<Utf8PathBuf>,
    /// Where token values are looked for when a proxy is made.
    pub(crate) token_args: TokenArgs,
    /// What was found, by name: the environment of each `docker compose`.
    pub(crate) tokens: Vec<(String, TokenValue)>,
    /// The compose file that keeps proxies whose rules are older, where there are any.
    keeping: Option<Utf8PathBuf>,
    shown: Utf8PathBuf,
    loudness: Loudness,
}

/// How much of Docker's own talk a person wants to read.
#[derive(Clone, Copy, Debug)]
struct Loudness {
    announces: bool,
    show: held_back_output::Show,
}

impl Loudness {
    fn from_globals(globals: &Globals) -> Self {
        let show = match (globals.quiet, globals.verbose) {
            (true, _) => held_back_output::Show::OnFailure,
            (false, 0) => held_back_output::Show::After(PATIENCE),
            (false, _) => held_back_output::Show::AtOnce,
        };
        Self { announces: !globals.quiet, show }
    }
}

impl Stack {
    /// The stack that the arguments mean, whatever the manifest and the project say by now.
    pub(crate) fn open(args: &StackArgs, globals: &Globals) -> anyhow::Result<Self> {
        Self::find(args, globals, Planted::PassedOver)
    }

    fn find(args: &StackArgs, globals: &Globals, planted: Planted) -> anyhow::Result<Self> {
        let FoundBottle { bottle, file, loaded, folder } =
            bottles::find(args.manifest.as_deref(), args.out.as_deref(), planted)?;
        let Some(agreed) = Agreed::load(&bottle.state)? else {
            fail!(
                "not-rendered",
                "the state {} is gone; run `bottle render`, then `bottle up`",
                bottle.state
            );
        };
        let layout = Layout::between(&folder, &bottle.out);
        let plan = render::plan_of(&agreed.tree, &layout).context(bottle.state.join(AGREED))?;
        let shown = shown_from_here(&bottle.out);
        let mut stack = Self {
            bottle,
            agreed,
            plan,
            file,
            loaded,
            unchecked: false,
            pins: Pins::default(),
            pinning: None,
            keeping: None,
            token_args: TokenArgs::default(),
            tokens: Vec::new(),
            shown,
            loudness: Loudness::from_globals(globals),
        };
        stack.pin()?;
        Ok(stack)
    }

    /// The same, for a command that starts something: refuses a tree in the project that is not the agreed one, and
    /// says when the manifest asks for something else by now.
    pub(crate) fn open_current(args: &StackArgs, globals: &Globals) -> anyhow::Result<Self> {
        let stack = Self::find(args, globals, Planted::Refused)?;
        let project = stack.folder();
        if !project.is_dir() {
            fail!(
                "not-rendered",
                "this folder was {project} when you rendered it; run `bottle render` here, and `bottle ps` shows what \
                 still runs under the old name"
            );
        }
        stack.bottle.seal.require_whole(&stack.bottle.state)?;
        if let Some(difference) = tree_against_agreed::describe(project, &stack.bottle.out, &stack.agreed)? {
            fail!(
                "not-as-agreed",
                "{} is not what you agreed to:\n{difference}`bottle render` writes what {} renders to, and asks about \
                 what is new",
                stack.shown,
                stack.file
            );
        }
        if !stack.follows_the_manifest() {
            let (changed, what) = match &stack.loaded {
                Some(_) => ("changed since", "shows the change"),
                None => ("can't be used as it is now", "says what is wrong"),
            };
            say(&format!(
                "note: {} {changed}; what you agreed to is used, and `bottle render` {what}\n",
                stack.file
            ));
        }
        if !stack.context_is_current() {
            say(&format!(
                "note: files that the agent's image is built from changed since; the agreed copy is used, and \
                 `bottle render` shows what changed (manifest: {})\n",
                stack.file
            ));
        }
        Ok(stack)
    }

    /// The manifest's folder when it was rendered.
    pub(crate) fn folder(&self) -> &Utf8Path {
        self.bottle.manifest.parent().unwrap_or(Utf8Path::new("/"))
    }

    /// Whether the manifest of now renders to the agreed tree.
    pub(crate) fn follows_the_manifest(&self) -> bool {
        let project = Project::load(&self.file, Some(&self.bottle.out));
        let target = RenderTarget::of(&self.agreed.tree);
        let tree = project.ok().and_then(|project| render::tree(&project.plan, target).ok());
        tree.is_some_and(|tree| tree == self.agreed.tree)
    }

    /// Whether the folder of the build context holds what was agreed to.
    pub(crate) fn context_is_current(&self) -> bool {
        let Some(agreed) = &self.agreed.record.context else { return true };
        let now = candidate::context_folder(&self.plan, self.folder()).ok().flatten();
        let now = now.and_then(|now| crate::consent::Context::read(&now.folder, &now.dockerfile).ok());
        now.is_some_and(|now| now.digest() == agreed.digest())
    }

    /// Pins what other bottles mount by now, for what starts next.
    pub(crate) fn pin(&mut self) -> anyhow::Result<()> {
        self.pins = Pins::between(&self.bottle, &self.agreed.record.capabilities, &registry()?);
        self.pinning = compose_file_in(&self.bottle.state, "pins.json", self.pins.compose().as_deref())?;
        Ok(())
    }

    /// Lets proxies that were made for other rules go on, since a reload gives them the new ones; says whether there are
    /// any. What decides whether one is made again is its label, so each service keeps the one that it has.
    pub(crate) fn keep_rules<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> anyhow::Result<bool> {
        let label = |label| json!({ "labels": { "bottle.config": label } });
        let labels = labels.map(|(service, config)| (service.to_owned(), label(config)));
        let labels: serde_json::Map<_, _> = labels.collect();
        let any = !labels.is_empty();
        let file = any.then(|| json!({ "services": labels }).to_string());
        self.keeping = compose_file_in(&self.bottle.state, "rules.json", file.as_deref())?;
        Ok(any)
    }

    /// Refuses a runtime that the engine does not have.
    pub(crate) fn require_runtime(&self) -> anyhow::Result<()> {
        const NAMES: &str = "{{range $name, $_ := .Runtimes}}{{println $name}}{{end}}";
        let Some(name) = &self.plan.agent.runtime else { return Ok(()) };
        let output = output_of(docker().args(["info", "--format", NAMES]))?;
        let known: Vec<&str> = output.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        ensure!(
            known.contains(&name.as_str()),
            "{}: agent.runtime: the engine has no runtime `{name}`; it has {}; install it and name it in the \
             engine's daemon.json",
            self.file,
            known.join(", ")
        );
        Ok(())
    }

    /// Refuses a network that the manifest names by something else than its name: an id can stand for the host's own.
    pub(crate) fn require_network(&self) -> anyhow::Result<()> {
        let Some(wanted) = &self.plan.egress_network else { return Ok(()) };
        let found = docker()
            .args(["network", "inspect", "--format", "{{.Name}} {{.Driver}}", wanted])
            .output()
            .context(NO_DOCKER)?;
        let found = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        // Of one that is not there Compose says so.
        let Some((name, driver)) = found.split_once(' ') else { return Ok(()) };
        ensure!(
            name == wanted && !["host", "null"].contains(&driver),
            "{}: egress.network: {wanted} is the id of {}; a network is named by its name, and the host's own is none",
            self.file,
            printable_name(name)
        );
        Ok(())
    }

    /// Refuses certificate authorities that no client would accept any more.
    pub(crate) fn require_valid_authorities(&self) -> anyhow::Result<()> {
        let now = jiff::Timestamp::now();
        let certificates = match self.plan.topology {
            Topology::Chain => ["egress-proxy/agent-ca.pem", "pipelock/pipelock-ca.pem"].as_slice(),
            Topology::Direct => ["pipelock/pipelock-ca.pem"].as_slice(),
        };
        for file in certificates {
            let path = self.bottle.state.join(file);
            // A user who is not the state's owner can't look; the proxies look again when they start.
            if let Ok(pem) = fs_err::read_to_string(&path) {
                pki::require_valid_certificate(&pem, now).context(path)?;
            }
        }
        Ok(())
    }

    /// The services between the agent and the Internet, and those beside the agent.
    pub(crate) fn infrastructure(&self) -> Vec<String> {
        let mut services = match self.plan.topology {
            Topology::Chain => vec![service::NETNS, service::GATE, service::PIPELOCK, service::EGRESS_PROXY],
            Topology::Direct => vec![service::NETNS, service::GATE, service::PIPELOCK],
        };
        services.extend(self.plan.supervise.then_some(service::SUPERVISE));
        if !self.plan.agent.publish.is_empty() {
            services.extend([service::INBOUND, service::PUBLISH]);
        }
        services.extend(self.plan.runs_upstream().then_some(service::RELAY));
        services.extend(self.plan.sidecars.iter().map(|it| it.name.as_str()));
        services.into_iter().map(str::to_owned).collect()
    }

    /// Whether a service runs an image by name or one that is built for it, and not the one of bottle's own services.
    pub(crate) fn has_own_image(&self, name: &str) -> bool {
        let upstream = name == service::PIPELOCK && self.plan.runs_upstream();
        name == service::AGENT || upstream || service::is_beside(name)
    }

    /// The services that run now.
    pub(crate) fn running(&self) -> anyhow::Result<Vec<String>> {
        let output =
            self.command(&["ps", "--status", "running", "--services"]).output().context(NO_DOCKER)?;
        say(&printable_output(&output.stderr));
        if !output.status.success() {
            require_compose()?;
            fail!("docker-failed", "docker compose ps failed ({})", output.status);
        }
        // Some versions of Compose print an empty line where nothing runs.
        Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
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

    /// Whether a service of the infrastructure is as it should be, in a state of [`Self::states`].
    pub(crate) fn is_well(&self, service: &str, state: &str) -> bool {
        // The holder of the namespace is asked nothing, since gate can't be healthy without it, nor is the upstream
        // program, without which its relay can't be. What is beside the agent has a health if its image says how to ask
        // for it, and who carries what is published ends if it can't listen.
        let upstream = service == service::PIPELOCK && self.plan.runs_upstream();
        let asked = service != service::NETNS
            && !upstream
            && !service::is_carrier(service)
            && !service::is_beside(service);
        state == "running healthy" || !asked && state == "running"
    }

    /// The services of the infrastructure that are not as they should be, each with its state.
    pub(crate) fn unwell(&self) -> anyhow::Result<Vec<(String, String)>> {
        let infrastructure = self.infrastructure();
        let unwell = |(service, state): &(String, String)| {
            infrastructure.contains(service) && !self.is_well(service, state)
        };
        Ok(self.states()?.into_iter().filter(unwell).collect())
    }

    /// The folder, as a command line names it.
    pub(crate) fn shown(&self) -> &Utf8Path {
        &self.shown
    }

    /// Notes in the state what is started.
    pub(crate) fn note_start(&self) -> anyhow::Result<()> {
        let running = Running {
            project: self.bottle.project.clone(),
            digest: self.agreed.record.digest.clone(),
            started: jiff::Timestamp::now(),
        };
        Ok(running.store(&self.bottle.state)?)
    }

    /// Runs `docker compose`, and fails when it does. What it prints is shown when it fails or takes long.
    pub(crate) fn compose(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status = self.quietly(&mut self.command(arguments))?;
        if !status.success() {
            require_compose()?;
            let log = DockerLog::path(&self.bottle.state);
            let verb = arguments.first().unwrap_or(&"");
            fail!("docker-failed", "docker compose {verb} failed ({status}); all that it said is in {log}");
        }
        Ok(())
    }

    /// Runs a command of Docker's that says nothing which a person needs, unless it fails or takes long.
    pub(crate) fn quietly(&self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        self.announce(command);
        let (show, stderr) = (self.loudness.show, &mut std::io::stderr());
        // Whoever can't write in the state goes without it.
        match DockerLog::open(&self.bottle.state, &shown(command)) {
            Ok(mut log) => held_back_output::run(command, show, &mut log, stderr),
            Err(_) => held_back_output::run(command, show, &mut std::io::sink(), stderr),
        }
        .context(NO_DOCKER)
    }

    /// Whether this Compose's `run` can be told to take the image as it is; older ones have no flag for it.
    pub(crate) fn run_can_pull(&self) -> anyhow::Result<bool> {
        let help = self.command(&["run", "--help"]).output().context(NO_DOCKER)?;
        Ok(String::from_utf8_lossy(&help.stdout).contains("--pull "))
    }

    /// Says what is run.
    pub(crate) fn announce(&self, command: &Command) {
        if self.loudness.announces {
            say(&format!("$ {}\n", shown(command)));
        }
    }

    /// The command, not yet run. Relative mounts are seen from the output folder, as they are by hand.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let state = &self.bottle.state;
        let mut command =
            docker_with(self.tokens.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command.args(["compose", "--project-name", &self.bottle.project]);
        command.arg("--project-directory").arg(&self.bottle.out);
        command.arg("--env-file").arg(state.join(ENV_FILE));
        command.arg("-f").arg(state.join(AGREED).join(paths::COMPOSE));
        for file in self.pinning.iter().chain(&self.keeping) {
            command.arg("-f").arg(file);
        }
        command.args(arguments);
        command
    }
}

/// A further compose file in the state, or none; says where it is.
fn compose_file_in(state: &Utf8Path, name: &str, text: Option<&str>) -> anyhow::Result<Option<Utf8PathBuf>> {
    let folder = Folder::open(state)?;
    let Some(text) = text else {
        folder.remove(name)?;
        return Ok(None);
    };
    if !folder.is_as_wanted(name, text.as_bytes(), 0o600, None)? {
        folder.stage(name, text.as_bytes(), 0o600)?.commit()?;
    }
    Ok(Some(state.join(name)))
}

/// An image that is new takes minutes; what is there already is up within this time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// A folder as a command line names it: relative to the current folder where it lies below.
pub(crate) fn shown_from_here(path: &Utf8Path) -> Utf8PathBuf {
    let here = std::env::current_dir().ok().and_then(|here| Utf8PathBuf::from_path_buf(here).ok());
    let relative = here
        .filter(|here| here != "/")
        .and_then(|here| path.strip_prefix(real(&here)).map(Utf8Path::to_owned).ok());
    relative.filter(|path| !path.as_str().is_empty()).unwrap_or_else(|| path.to_owned())
}

/// Fails where `docker` is there and has no Compose, or one that is not for this user: what `docker` says of that
/// names a flag.
fn require_compose() -> anyhow::Result<()> {
    let version = docker().args(["compose", "version"]).output().context(NO_DOCKER)?;
    if !version.status.success() {
        fail!(
            "no-docker",
            "docker has no Compose for this user; `docker compose version` must say 2.24 or newer"
        );
    }
    Ok(())
}
