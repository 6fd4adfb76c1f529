//! `bottle render`: compile manifests to trees, mint what is missing, and never widen unseen.

mod question;
mod summary;

use super::candidate::{self, Candidate};
use super::project::{self, Project};
use super::rendered_project::RenderedProject;
use super::{
    Format, Globals, Outcome, baseline, change_lines, folders, hidden, lints, lock, nested, print_as,
    proposals, say, say_report, sinks, source,
};
use crate::capability::{self, Change};
use crate::clock::Clock;
use crate::consent::{
    self, Agreed, Bottle, Context, FolderId, Record, Registry, RegistryWriter, Running, Seal,
};
use crate::diagnostic::Report;
use crate::plan::{Topology, User};
use crate::programs::{self, FolderNumbers};
use crate::render::RenderTarget;
use crate::state::{self, ENV_FILE, EnvFile, ImageBinary, Location, MintRequest, Minted, State};
use crate::tree::{Comparison, Folder, Kind, Written};
use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use question::{PriorAnswer, Question};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Compile manifests into sealed stacks
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle render && bottle up")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Manifests, or folders of them; without one, the nearest bottle.yaml
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<Utf8PathBuf>,
    /// Write nothing; print the digest (of several manifests, each with its manifest), and fail if the tree on disk is
    /// not what would be rendered
    #[arg(long, conflicts_with_all = ["force", "rotate_ca", "accept_widening", "accept"])]
    check: bool,
    /// Overwrite files that were edited by hand
    #[arg(long)]
    force: bool,
    /// What the tree is for: `docker compose`, or that and tools that read a devcontainer.json [default: what the tree
    /// that is there is for, else compose]
    #[arg(long, value_name = "TARGET")]
    target: Option<Target>,
    /// Where the tree goes [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Where keys and the image go, outside the project [default: below `$XDG_STATE_HOME/bottle`]
    #[arg(long, value_name = "DIR")]
    state: Option<Utf8PathBuf>,
    /// Replace the certificate authorities
    #[arg(long)]
    rotate_ca: bool,
    /// Agree to this digest and to nothing else, without a question: the one that `--check` printed where it was
    /// reviewed
    #[arg(long, value_name = "DIGEST", conflicts_with = "accept_widening")]
    accept: Option<String>,
    /// Agree to whatever the manifest says, without a question; for machines that can be thrown away
    #[arg(long)]
    accept_widening: bool,
    /// Refuse an image that is not named by its digest, here or in bottle.lock, and another bottle than the one that
    /// wrote bottle.lock
    #[arg(long)]
    locked: bool,
    /// Refuse a manifest that lets its agent do more than this baseline does
    #[arg(long, value_name = "BASELINE")]
    within: Option<Utf8PathBuf>,
    /// The program for the image, where this one can't run in it
    #[arg(long, value_name = "FILE")]
    image_binary: Option<Utf8PathBuf>,
    /// Decide and mint as of this date or time
    #[arg(long, value_name = "DATE", value_parser = super::now::parse)]
    now: Option<Clock>,
    /// Its change is kept as an approval.
    #[arg(skip)]
    approves: bool,
}

impl Args {
    /// One manifest, into a folder that it was rendered to, where it comes to a digest that a person agreed to.
    pub(crate) fn accepting(
        file: Utf8PathBuf,
        out: Utf8PathBuf,
        digest: String,
        image_binary: Option<Utf8PathBuf>,
    ) -> Self {
        Self {
            manifests: vec![file],
            check: false,
            force: false,
            target: None,
            out: Some(out),
            state: None,
            rotate_ca: false,
            accept: Some(digest),
            accept_widening: false,
            locked: false,
            within: None,
            image_binary,
            now: None,
            approves: true,
        }
    }
}

/// What starts the stack.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Target {
    /// Docker Compose
    Compose,
    /// Docker Compose, and an editor or the devcontainer CLI in the agent's container
    Devcontainer,
}

impl From<Target> for RenderTarget {
    fn from(target: Target) -> Self {
        match target {
            Target::Compose => Self::Compose,
            Target::Devcontainer => Self::Devcontainer,
        }
    }
}

/// What `render` did, for its table.
struct RenderResult<'a> {
    rendered: &'a RenderedProject,
    lints: Report,
    state: &'a State,
    minted: Minted,
    written: Written,
    question: Question,
    /// Of what was agreed to.
    digest: String,
    /// Whether there was a tree before.
    again: bool,
}

/// So many manifests take a time in which a person wants to see something.
const MANY: usize = 50;

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let files = files(args)?;
    if !globals.quiet {
        say(&nested::note(&args.manifests).unwrap_or_default());
    }
    if files.len() > 1 {
        look_at_all(&files, args, globals)?;
    }
    let mut registry = RegistryWriter::open(&folders::home()?)?;
    let outcome = each(&files, &mut registry, args, globals);
    registry.save()?;
    outcome
}

/// One at a time: of the manifests nothing is in memory that grows with their number.
fn each(
    files: &[Utf8PathBuf],
    registry: &mut RegistryWriter,
    args: &Args,
    globals: &Globals,
) -> anyhow::Result<Outcome> {
    let clock = args.now.clone().unwrap_or_else(Clock::system);
    let several = files.len() > 1;
    let mut outcome = Outcome::Done;
    for file in files {
        let project = Project::load(file, args.out.as_deref())?;
        let beyond = look(&project, args)?;
        let lints = lints::find(&project, clock.today());
        lints::say(&lints, globals);
        let rendered = RenderedProject::render(project, args.target.map(Into::into))?;
        let one = if !beyond.0.is_empty() {
            refuse(&rendered, &beyond, globals)?
        } else if args.check {
            check(&rendered, registry.current()?, several, globals, &clock)?
        } else {
            write(&rendered, lints, registry, args, globals, &clock)?
        };
        if one == Outcome::Differs {
            outcome = Outcome::Differs;
        }
    }
    Ok(outcome)
}

fn files(args: &Args) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let files = source::find(&args.manifests)?;
    // Whoever needs the registry says what is wrong with it.
    if !args.check
        && let Ok(registry) = folders::registry()
    {
        // A folder that is named names none of its files.
        let named: BTreeSet<&Utf8PathBuf> = args.manifests.iter().collect();
        let found = files.iter().filter(|file| !named.contains(file));
        found.clone().try_for_each(|file| source::require_own(&registry, file))?;
    }
    let is_for_one = args.out.is_some() || args.state.is_some() || args.accept.is_some();
    if files.len() > 1 && is_for_one {
        bail!("--out, --state and --accept are for one manifest, and here are {}", files.len());
    }
    Ok(files)
}

/// Reports what is wrong with any of them before the first one is written.
fn look_at_all(files: &[Utf8PathBuf], args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let shows = !globals.quiet && files.len() > MANY && sinks::can_show_progress();
    let mut problems = Report::default();
    let mut outs = BTreeMap::<Utf8PathBuf, &Utf8PathBuf>::new();
    for (at, file) in files.iter().enumerate() {
        if shows && at % MANY == 0 {
            say(&format!("{at} of {} manifests read\n", files.len()));
        }
        let looked = Project::load(file, None).and_then(|project| {
            if let Some(twin) = outs.insert(project.out.clone(), file) {
                return Err(project::twins(twin, &project));
            }
            look(&project, args)
        });
        match looked.map_err(anyhow::Error::downcast::<Report>) {
            Ok(_) => {}
            Err(Ok(report)) => problems.0.extend(report.0),
            Err(Err(error)) => return Err(error),
        }
    }
    if problems.0.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// What goes beyond a baseline; an error where a baseline can't be read, or a lock does not hold.
fn look(project: &Project, args: &Args) -> anyhow::Result<Report> {
    if args.locked {
        lock::require(project)?;
    }
    baseline::beyond(project, args.within.as_deref())
}

/// What goes beyond a baseline is neither asked about nor written.
fn refuse(rendered: &RenderedProject, beyond: &Report, globals: &Globals) -> anyhow::Result<Outcome> {
    say_report(beyond, globals);
    let file = &rendered.project.file;
    say(&format!("{file} is not rendered: it lets its agent do more than the baseline\n"));
    if globals.format == Format::Json {
        let value = serde_json::json!({ "manifest": file, "beyond": beyond.json() });
        print_as(globals.format, &format!("{value:#}\n"))?;
    }
    Ok(Outcome::Differs)
}

/// The digest of one of `several` is told from the others by its manifest.
fn check(
    rendered: &RenderedProject,
    registry: &Registry,
    several: bool,
    globals: &Globals,
    clock: &Clock,
) -> anyhow::Result<Outcome> {
    let comparison = Comparison::with_disk(rendered.find()?.as_ref(), &rendered.tree)?;
    let shown = rendered.shown();
    let (mut outcome, mut data) = (Outcome::Done, String::new());
    if comparison.on_disk.is_empty() {
        say(&format!(
            "{shown} is not there; `bottle render` writes what {} renders to\n",
            rendered.project.file
        ));
        outcome = Outcome::Differs;
    } else if !comparison.is_same() {
        data = comparison.unified_diff();
        say(&match comparison.require_writable(&shown, false) {
            Ok(()) => {
                format!(
                    "{shown} is not what {} renders to; `bottle render` writes it\n",
                    rendered.project.file
                )
            }
            Err(refusal) => format!("{refusal}\n"),
        });
        outcome = Outcome::Differs;
    }
    for rule in rendered.project.loaded.manifest.hosts() {
        if let Some(until) = rule.route.until.filter(|until| *until < clock.today()) {
            let place = rendered.project.loaded.place_of(&format!("{}.until", rule.route.source));
            say(&format!("{place}: the rule for {} expired after {until}\n", rule.route.host));
            outcome = Outcome::Differs;
        }
    }
    if outcome == Outcome::Done {
        say(&format!("{shown} is what {} renders to\n", rendered.project.file));
    }
    let candidate = Candidate::from_project(rendered)?;
    let changes = since_agreed(rendered, registry, &candidate);
    print_as(
        globals.format,
        &match globals.format {
            Format::Text => {
                let heading = "Against what you agreed to on this machine:\n";
                let lines = changes.as_deref().map(change_lines::listed).unwrap_or_default();
                let heading = if lines.is_empty() { "" } else { heading };
                let of = if several { format!(" {}", rendered.project.file) } else { String::new() };
                format!("{data}{heading}{lines}digest {}{of}\n", candidate.digest)
            }
            Format::Json => {
                let same = outcome == Outcome::Done;
                let changes = changes.as_deref().map(change_lines::as_json).transpose()?;
                let value = serde_json::json!({
                    "out": shown, "same": same, "digest": candidate.digest, "diff": data, "changes": changes,
                });
                format!("{value:#}\n")
            }
        },
    )?;
    Ok(outcome)
}

/// Against the record of this machine; nothing where there is none.
fn since_agreed(
    rendered: &RenderedProject,
    registry: &Registry,
    candidate: &Candidate,
) -> Option<Vec<Change>> {
    let bottle = registry.of_out(rendered.path())?;
    let record = Record::load(&bottle.state).ok().flatten()?; // one that can't be read: `render` says so
    Some(capability::changes(Some(&record.capabilities), &candidate.capabilities))
}

fn write(
    rendered: &RenderedProject,
    lints: Report,
    writer: &mut RegistryWriter,
    args: &Args,
    globals: &Globals,
    clock: &Clock,
) -> anyhow::Result<Outcome> {
    compare(rendered, args)?;
    rendered.require_own_env()?;
    let home = folders::home()?;
    let registry = writer.current()?;
    let known = registry.of_out(rendered.path());
    let registered = known.map(|bottle| bottle.state.as_path());
    let location = Location::find(rendered.path(), args.state.as_deref(), registered, &home)?;
    require_free(&rendered.project.file, rendered, known)?;
    let project = location.project(&rendered.project.plan.name);
    if let Some(other) = registry.of_project(&project).find(|other| other.out != rendered.path()) {
        bail!("the Compose project {project} is that of {}; give the bottle another name", other.manifest);
    }
    // What is refused anyway is not asked about.
    let exposed = exposed(rendered, args);
    hidden::require(registry, &location, &exposed)?;
    let image = ImageBinary::read(args.image_binary.as_deref())?;
    let asked = Candidate::from_project(rendered)?;
    let question = Question::compare(&asked, rendered, location.state())?;
    let answer = match &args.accept {
        Some(digest) => PriorAnswer::Digest(digest),
        None if args.accept_widening => PriorAnswer::Anything,
        None => PriorAnswer::Ask,
    };
    let missing = if globals.quiet { String::new() } else { missing(rendered) };
    if question.is_asked(&answer) {
        // While a person thinks, what was rendered can be started.
        writer.save()?;
    }
    if !question.is_agreed(&rendered.project.file, &asked, &answer, &missing)? {
        return Ok(Outcome::Differs);
    }

    let waiting = || say(&format!("waiting for another `bottle render` of {}\n", rendered.shown()));
    let state = State::open(&location, &exposed, waiting)?;
    let now = compare(rendered, args)?;
    // The manifest was read once; folders and links may have changed since.
    let candidate = Candidate::from_project(rendered)?;
    if candidate.digest != asked.digest
        || !Question::compare(&candidate, rendered, state.path())?.is_within(&question)
    {
        bail!("{} changed while the question was open; run `bottle render` again", rendered.project.file);
    }
    let wants = MintRequest {
        bottle: &rendered.project.plan.name,
        egress_proxy: rendered.project.plan.topology == Topology::Chain,
        extra_ca: rendered.project.plan.extra_ca.as_ref().map(|ca| ca.pem.as_str()),
        supervise: rendered.project.plan.supervise,
        image: Some(&image),
        rotate: args.rotate_ca,
    };
    let again = !now.on_disk.is_empty();
    let minted = state.mint(&wants, clock)?;
    let agreed = agree(rendered, &candidate, &state, clock)?;
    let made = format!("{}-{}", minted.label(), image.digest());
    let written = apply(rendered, &now, &location, &state, &made, &agreed, args.force)?;
    let known = writer.current()?.of_out(rendered.path());
    let bottle = bottle(rendered, &location, &agreed, known)?;
    let others = writer.current()?.of_manifest(&bottle.manifest).filter(|other| other.out != bottle.out);
    for other in others.cloned().collect::<Vec<_>>() {
        Record::withdraw(&other.state)?;
        writer.remember(Bottle { mounted: None, ..other })?;
    }
    writer.remember(bottle)?;
    if rendered.project.plan.supervise && !args.approves && !question.changes.is_empty() {
        proposals::note_edit(state.path(), &question.changes, &agreed.record.digest)?;
    }
    if !question.is_asked(&answer) {
        say(&missing);
    }
    let digest = agreed.record.digest;
    summary::print(
        &RenderResult { rendered, lints, state: &state, minted, written, question, digest, again },
        globals,
    )?;
    Ok(Outcome::Done)
}

/// Refuses to take over the output folder of another manifest.
fn require_free(file: &Utf8Path, rendered: &RenderedProject, known: Option<&Bottle>) -> anyhow::Result<()> {
    let manifest = rendered.project.folder.join(file.file_name().unwrap_or_default());
    if let Some(other) = known.filter(|known| known.manifest != manifest && known.manifest.exists()) {
        bail!(
            "{manifest} and {} both render into {}: two bottles of one folder need different names (`name: {}` in both)",
            other.manifest,
            rendered.shown(),
            other.name
        );
    }
    Ok(())
}

/// Puts what was agreed to into the state: the build context first, the record last.
fn agree(
    rendered: &RenderedProject,
    candidate: &Candidate,
    state: &State,
    clock: &Clock,
) -> anyhow::Result<Agreed> {
    if let Some(context) = &candidate.context {
        keep_context(rendered, context, state)?;
    }
    let record = Record {
        version: 1,
        digest: candidate.digest.clone(),
        capabilities: candidate.capabilities.clone(),
        context: candidate.context.clone(),
        bottle: env!("CARGO_PKG_VERSION").to_owned(),
        agreed: clock.now(),
    };
    // The time of an agreement is that of the first one to these very files.
    let before = Agreed::load(state.path()).ok().flatten();
    let same = before.filter(|it| Record { agreed: it.record.agreed, ..record.clone() } == it.record);
    let agreed = same.unwrap_or(Agreed { record, tree: rendered.tree.clone() });
    agreed.store(state.path())?;
    remove_other_contexts(state, candidate.context.as_ref())?;
    Ok(agreed)
}

/// What was agreed to before is built from no more.
fn remove_other_contexts(state: &State, kept: Option<&Context>) -> anyhow::Result<()> {
    let Some(contexts) = Folder::open(state.path())?.find(Utf8Path::new(consent::CONTEXT))? else {
        return Ok(());
    };
    let digest = kept.map(Context::digest).unwrap_or_default();
    for (name, _) in contexts.entries()? {
        if name != consent::context_name(&digest) {
            contexts.remove_all(&name)?;
        }
    }
    Ok(())
}

/// Copies the build context into the state, and refuses one that is not what was agreed to any more.
fn keep_context(rendered: &RenderedProject, agreed: &Context, state: &State) -> anyhow::Result<()> {
    let contexts = Folder::open(state.path())?.make(Utf8Path::new(consent::CONTEXT))?;
    let digest = agreed.digest();
    let name = consent::context_name(&digest);
    if let Some(kept) = contexts.find(Utf8Path::new(name))?
        && Context::verify(&kept, &digest).is_ok()
    {
        return Ok(());
    }
    let from = candidate::context_folder(&rendered.project.plan, &rendered.project.folder)?;
    let from = from.with_context(|| format!("the build context of {} is gone", rendered.project.file))?;
    // Under another name until it is whole; a folder that was left behind is written again.
    let staged = format!("new-{name}");
    contexts.remove_all(&staged)?;
    let copy = Context::snapshot(&from.folder, &from.dockerfile, &contexts.make(Utf8Path::new(&staged))?)?;
    ensure!(
        copy.digest() == digest,
        "the build context changed while it was copied; run `bottle render` again"
    );
    contexts.remove_all(name)?;
    Ok(contexts.rename(&staged, name)?)
}

fn bottle(
    rendered: &RenderedProject,
    location: &Location,
    agreed: &Agreed,
    known: Option<&Bottle>,
) -> anyhow::Result<Bottle> {
    let folder = &rendered.project.folder;
    let mut writable: BTreeSet<Utf8PathBuf> =
        agreed.record.capabilities.writable().map(Utf8Path::to_owned).collect();
    let folders =
        writable.iter().filter_map(|path| fs_err::metadata(path).ok()).filter(std::fs::Metadata::is_dir);
    let mut writable_folders: Vec<FolderNumbers> = folders.map(|it| programs::id(&it)).collect();
    // An agent that was started before has what was agreed to then, until `bottle down`.
    let states = [Some(location.state()), known.map(|bottle| bottle.state.as_path())];
    if states.into_iter().flatten().any(|state| Running::load(state).is_some()) {
        writable.extend(known.into_iter().flat_map(|bottle| bottle.writable.clone()));
        writable_folders.extend(known.into_iter().flat_map(|bottle| bottle.writable_folders.clone()));
    }
    Ok(Bottle {
        out: rendered.path().to_owned(),
        manifest: folder.join(rendered.project.file.file_name().unwrap_or_default()),
        folder: FolderId::at(folder).with_context(|| format!("{folder} is gone"))?,
        name: rendered.project.plan.name.clone(),
        project: location.project(&rendered.project.plan.name),
        state: location.state().to_owned(),
        writable: writable.into_iter().collect(),
        writable_folders,
        mounted: Some(agreed.record.capabilities.places().into_iter().collect()),
        seal: Seal::of(location.state())?,
    })
}

/// Warnings about what `bottle up` needs and this machine lacks.
fn missing(rendered: &RenderedProject) -> String {
    let absent =
        |(place, what)| format!("warning: {place}, {what}, is not on this machine; `bottle up` needs it\n");
    let mut text: String = rendered.absent().into_iter().map(absent).collect();
    if let (User::Owner, Some((place, (state::SERVICE_USER, _)))) =
        (&rendered.project.plan.agent.user, rendered.owner())
    {
        let _ = writeln!(
            text,
            "warning: {place} belongs to root, and the agent does not run as root, so it can't write there; \
             give the folder to a user, or set `agent.user`"
        ); // writing to a String can't fail
    }
    text
}

/// What stands on disk, where a write would be possible.
fn compare(rendered: &RenderedProject, args: &Args) -> anyhow::Result<Comparison> {
    let comparison = Comparison::with_disk(rendered.find()?.as_ref(), &rendered.tree)?;
    comparison.require_writable(&rendered.shown(), args.force)?;
    Ok(comparison)
}

/// Keys stay out of what the agent sees; a state that the user chose also out of the project, which git commits.
fn exposed(rendered: &RenderedProject, args: &Args) -> Vec<Utf8PathBuf> {
    let mut exposed = rendered.exposed();
    exposed.extend(args.state.is_some().then(|| rendered.project.folder.clone()));
    exposed
}

/// The tree in the project, and what Compose is told: all of it is on disk before the first file takes its name.
fn apply(
    rendered: &RenderedProject,
    comparison: &Comparison,
    location: &Location,
    state: &State,
    made: &str,
    agreed: &Agreed,
    force: bool,
) -> anyhow::Result<Written> {
    let env = env_file(rendered, location, state, made, agreed).render()?;
    let folders = [Folder::open(state.path())?, rendered.make()?];
    let mut staged = Vec::new();
    for folder in &folders {
        if !folder.is_as_wanted(ENV_FILE, env.as_bytes(), 0o644, None)? {
            staged.push(folder.stage(ENV_FILE, env.as_bytes(), 0o644)?);
        }
    }
    let written = comparison.apply(&folders[1], force)?;
    for file in staged {
        file.commit()?;
    }
    debug_assert!(comparison.paths(Kind::Foreign).next().is_none(), "apply refuses them");
    Ok(written)
}

fn env_file(
    rendered: &RenderedProject,
    location: &Location,
    state: &State,
    made: &str,
    agreed: &Agreed,
) -> EnvFile {
    let agent = &rendered.project.plan.agent;
    let owner = rendered.owner().filter(|_| agent.user == User::Owner).map(|(_, owner)| owner);
    let context = agreed.record.context.as_ref().map(Context::digest);
    EnvFile {
        project: location.project(&rendered.project.plan.name),
        state: state.path().to_string(),
        user: state.user().to_string(),
        ca: made.to_owned(),
        agent_user: owner.map(|(uid, gid)| format!("{uid}:{gid}")).unwrap_or_default(),
        agent_memory: match agent.resources.memory {
            Some(_) => String::new(),
            None => state::agent_memory().to_string(),
        },
        context: context.as_deref().map(consent::context_name).unwrap_or_default().to_owned(),
    }
}
