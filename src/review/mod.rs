//! What a change of manifests and rendered trees lets agents newly do and no longer do, for a reviewer.
//!
//! A [`BottleSide`] is one bottle on one side: its plan, what that lets the agent do, and the files that are committed for
//! it. [`Bottle::compare`] says what differs. Pure: no file, no repository, no machine. So paths are those
//! of the repository, with [`ROOT`] as its top, and links on somebody's disk are not looked at.

mod baseline;
mod committed;
mod github;
mod json;
mod markdown;
mod place;
mod sarif;
mod text;

pub use baseline::beyond;
pub use github::github;
pub use json::{json, schema};
pub use markdown::markdown;
pub use place::Place;
pub use sarif::sarif;
pub use text::text;

use crate::capability::{self, Capabilities, Capability, Change, GitPart, Machine, Risk};
use crate::consent::Context;
use crate::manifest::Loaded;
use crate::plan::Plan;
use crate::policy::SecretRules;
use crate::render::{self, RenderError, RenderTarget, Tree, paths};
use crate::tree::unified_diff;
use camino::{Utf8Path, Utf8PathBuf};

/// The top of the repository, in the paths of a [`Machine`].
pub const ROOT: &str = "/<repository>";

/// A byte of an expression takes as long as so many of a manifest: it is compiled.
const COMPILED: usize = 4;

/// One bottle on one side.
#[derive(Debug)]
pub struct BottleSide {
    /// The manifest, or the folder of a rendered tree, from the top of its side.
    path: Utf8PathBuf,
    /// What comes before a path where it is shown: `HEAD:`, or nothing for the files of the disk.
    side: String,
    /// The manifest with its text; nothing for a rendered tree.
    loaded: Option<Loaded>,
    name: String,
    /// Bytes of the rules of `git.push.rules`, of all routes.
    rules_bytes: usize,
    capabilities: Capabilities,
    /// What it renders to.
    rendered: Tree,
    /// What is committed for it, in `.bottle/NAME` beside the manifest; nothing where there is none.
    committed: Option<Tree>,
    context: Option<(Context, Option<String>)>,
}

/// What a [`BottleSide`] is made of.
#[derive(Debug)]
pub struct SideParts {
    /// The manifest, or the folder of a rendered tree, from the top of its side.
    pub path: Utf8PathBuf,
    /// What comes before a path where it is shown: `HEAD:`, or nothing for the files of the disk.
    pub side: String,
    /// The manifest with its text; nothing for a rendered tree.
    pub loaded: Option<Loaded>,
    /// What it comes to.
    pub plan: Plan,
    /// What its image is built from, where that is known, and the text of its Dockerfile.
    pub context: Option<(Context, Option<String>)>,
    /// What is committed for it, in `.bottle/NAME` beside the manifest; nothing where there is none.
    pub committed: Option<Tree>,
}

/// The folder of the manifest that a rendered tree belongs to.
#[must_use]
pub fn folder_of_tree(tree: &Utf8Path) -> Utf8PathBuf {
    let parent = tree.parent().unwrap_or(Utf8Path::new(""));
    let beside = parent.file_name() == Some(".bottle");
    if beside { parent.parent().unwrap_or(Utf8Path::new("")).to_owned() } else { parent.to_owned() }
}

impl BottleSide {
    /// A bottle from its parts.
    pub fn new(parts: SideParts) -> Result<Self, RenderError> {
        let SideParts { path, side, loaded, plan, context, committed } = parts;
        let folder = match loaded {
            Some(_) => path.parent().unwrap_or(Utf8Path::new("")).to_owned(),
            None => folder_of_tree(&path),
        };
        let files = context.as_ref().map(|(context, _)| context);
        let machine = machine(&plan, &Utf8Path::new(ROOT).join(folder), files);
        let rules = plan.hosts.iter().filter_map(|rule| rule.route.push.as_ref()?.rules.as_ref());
        Ok(Self {
            name: plan.name.clone(),
            rules_bytes: rules.map(SecretRules::bytes).sum(),
            capabilities: Capabilities::from_plan(&plan, &machine),
            rendered: render::tree(
                &plan,
                committed.as_ref().map_or(RenderTarget::Compose, RenderTarget::of),
            )?,
            path,
            side,
            loaded,
            committed,
            context,
        })
    }

    /// The name of the bottle.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What reading it took, in bytes of a manifest; nothing for a rendered tree.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.loaded.as_ref().map_or(0, |loaded| loaded.source.text().len() + self.rules_bytes * COMPILED)
    }

    /// The folder of the committed tree, from the top of its side.
    #[must_use]
    pub fn out(&self) -> Utf8PathBuf {
        if self.loaded.is_none() {
            return self.path.clone();
        }
        let folder = self.path.parent().unwrap_or(Utf8Path::new(""));
        folder.join(".bottle").join(&self.name)
    }

    fn shown(&self, path: &Utf8Path) -> String {
        format!("{}{path}", self.side)
    }

    fn place(&self, capability: &Capability, other: Option<&Self>) -> Option<Place> {
        let loaded = self.loaded.as_ref()?;
        let other = other.and_then(|other| Some(&other.loaded.as_ref()?.manifest));
        let line = loaded.line_of(&place::pointer(capability, &loaded.manifest, other));
        Some(Place { file: self.shown(&self.path), line })
    }

    fn start(&self) -> Place {
        Place { file: self.shown(&self.path), line: 1 }
    }
}

/// The repository stands for the machine: where a source leads outside of the project is told from the path alone.
fn machine(plan: &Plan, project: &Utf8Path, context: Option<&Context>) -> Machine {
    let mounts = plan.agent.mounts.iter();
    let place = |source: &Utf8Path| crate::plan::layout::normal(&project.join(source));
    // Outside of the project a source is shown as the manifest says it: where that is differs from machine to machine.
    let outside = plan.agent.mounts.iter().filter(|mount| !place(&mount.source).starts_with(project));
    let sources = outside.map(|mount| (mount.target.clone(), mount.source.clone())).collect();
    // The `.git` of the repository lies at its top, and a mount of a folder above the top shows it too.
    let repositories = mounts.filter_map(|mount| {
        let place = place(&mount.source);
        let part = if place.components().any(|part| part.as_str() == ".git") {
            Some(GitPart::Settings)
        } else {
            Utf8Path::new(ROOT).starts_with(&place).then_some(GitPart::WorkTree)
        };
        Some((mount.target.clone(), part?))
    });
    Machine {
        project: project.to_owned(),
        sources,
        repositories: repositories.collect(),
        context: context.map(Context::digest),
        memory: None,
    }
}

/// Every bottle of two sides.
#[derive(Debug)]
pub struct Review {
    /// What the old side is called.
    pub old: String,
    /// What the new side is called.
    pub new: String,
    /// Those that differ, by their path.
    pub bottles: Vec<Bottle>,
}

/// One bottle of a review.
#[derive(Debug)]
pub struct Bottle {
    /// Its name on the new side, if it is there.
    pub name: String,
    /// Its manifest or tree on the new side, if it is there.
    pub path: Utf8PathBuf,
    /// Whether both sides have it.
    pub status: Status,
    /// Its name and path on the old side, where one of them is another.
    pub was: Option<(String, Utf8PathBuf)>,
    /// What differs, the dangerous first.
    pub lines: Vec<Line>,
    /// The unified diff of what both sides render to.
    pub patch: String,
    /// How many files that is.
    pub files: usize,
}

/// Whether both sides have a bottle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Only the new side has it.
    Added,
    /// Only the old side has it.
    Removed,
    /// Both have it.
    Changed,
}

/// One thing that differs.
#[derive(Debug)]
pub struct Line {
    /// What it is.
    pub what: What,
    /// What belongs to it, a line each: the files of a build context, a difference.
    pub details: Vec<String>,
    /// Where the new side says so.
    pub place: Option<Place>,
    /// Where the old side says so.
    pub old_place: Option<Place>,
}

/// What differs.
#[derive(Debug)]
pub enum What {
    /// What the agent can do.
    Capability(Box<Change>),
    /// The bottle is gone.
    Gone(String),
    /// The committed tree of the new side is not what its manifest renders to.
    NotRendered(String),
    /// The committed tree differs, and what it lets the agent do is the same.
    SameRules(String),
}

/// `!` for what deserves a second look, `+` for what else is new, `-` for what is no longer allowed, `~` for what lets
/// the agent do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign(pub char);

impl Line {
    /// How bad it can be; nothing where the agent can do no more than before.
    #[must_use]
    pub fn risk(&self) -> Option<Risk> {
        match &self.what {
            What::Capability(change) => change.risk(),
            What::NotRendered(_) => Some(Risk::Guard),
            What::Gone(_) | What::SameRules(_) => None,
        }
    }

    /// The first character of the line.
    #[must_use]
    pub fn sign(&self) -> Sign {
        Sign(match (self.risk(), &self.what) {
            (Some(risk), _) if risk.is_grave() => '!',
            (Some(_), _) => '+',
            (None, What::SameRules(_)) => '~',
            (None, _) => '-',
        })
    }

    /// The line without its sign. It may hold anything that a manifest holds; whoever prints it escapes it.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.what {
            What::Capability(change) => change.to_string(),
            What::Gone(text) | What::NotRendered(text) | What::SameRules(text) => text.clone(),
        }
    }
}

impl Review {
    /// What differs, by its path.
    #[must_use]
    pub fn new(old: String, new: String, mut bottles: Vec<Bottle>) -> Self {
        bottles.sort_by(|one, other| one.path.cmp(&other.path));
        Self { old, new, bottles }
    }

    /// Whether both sides are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bottles.is_empty()
    }

    /// Whether an agent can do anything that it could not.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.bottles.iter().any(|bottle| bottle.lines.iter().any(|line| line.risk().is_some()))
    }
}

/// The bottles that only one side has at their path, where they are on the other side: one that moved has its name.
#[must_use]
pub fn pair_moved<T>(mut old: Vec<(String, T)>, new: Vec<(String, T)>) -> Vec<(Option<T>, Option<T>)> {
    let mut pairs = Vec::new();
    for (name, new) in new {
        let moved = old.iter().position(|(old, _)| *old == name);
        pairs.push((moved.map(|at| old.remove(at).1), Some(new)));
    }
    pairs.extend(old.into_iter().map(|(_, old)| (Some(old), None)));
    pairs
}

impl Bottle {
    /// Nothing where both sides are the same.
    #[must_use]
    pub fn compare(old: Option<&BottleSide>, new: Option<&BottleSide>) -> Option<Self> {
        let (version, status) = match (old, new) {
            (Some(_), Some(new)) => (new, Status::Changed),
            (None, Some(new)) => (new, Status::Added),
            (Some(old), None) => (old, Status::Removed),
            (None, None) => return None,
        };
        let mut lines = match (old, new) {
            (Some(old), None) => vec![gone(old)],
            (old, Some(new)) => capabilities(old, new),
            (None, None) => return None,
        };
        if let Some(new) = new {
            lines.extend(committed::lines(old, new, lines.is_empty()));
            lines.extend(old.map(|old| for_reviewers(old, new)).unwrap_or_default());
            lines.sort_by_key(|line| (line.risk().is_none(), line.risk()));
        }
        let (patch, files) =
            committed::patch(old.map(|it| &it.rendered), new.map(|it| &it.rendered), &version.out());
        let was = old.map(|old| (old.name.clone(), old.path.clone()));
        let was = was.filter(|(name, path)| (name, path) != (&version.name, &version.path));
        let bottle =
            Self { name: version.name.clone(), path: version.path.clone(), status, was, lines, patch, files };
        (!bottle.lines.is_empty() || bottle.files > 0).then_some(bottle)
    }

    /// A rendered tree of the new side that no manifest there renders to; `was` is what the old side has
    /// there.
    #[must_use]
    pub fn without_manifest(path: &Utf8Path, side: &str, was: Option<&Tree>, is: &Tree) -> Self {
        let changed = was != Some(is);
        let text = format!(
            "no manifest renders to {side}{path}, and a stack can be started from it: remove it, or bring its manifest back"
        );
        let what = if changed { What::NotRendered(text) } else { What::SameRules(text) };
        let place = Some(Place { file: format!("{side}{}", path.join(paths::COMPOSE)), line: 1 });
        let name = path.file_name().unwrap_or_default().to_owned();
        let none = Tree::new();
        let details = committed::patch(Some(was.unwrap_or(&none)), Some(is), path).0;
        let details = details.lines().map(str::to_owned).collect();
        let lines = vec![Line { what, details, place, old_place: None }];
        let (path, status) = (path.to_owned(), Status::Changed);
        Self { name, path, status, was: None, lines, patch: String::new(), files: 0 }
    }

    /// How many lines have this sign.
    #[must_use]
    pub fn count(&self, sign: impl Fn(Sign) -> bool) -> usize {
        self.lines.iter().filter(|line| sign(line.sign())).count()
    }
}

fn gone(old: &BottleSide) -> Line {
    let text = format!("the bottle {} is gone; a stack of it runs on until `bottle down`", old.name);
    Line { what: What::Gone(text), details: Vec::new(), place: None, old_place: Some(old.start()) }
}

/// What the manifest says to reviewers, and lets the agent do nothing: a baseline that it no longer names, a lint that is
/// no longer said.
fn for_reviewers(old: &BottleSide, new: &BottleSide) -> Vec<Line> {
    let (Some(was), Some(is)) = (&old.loaded, &new.loaded) else { return Vec::new() };
    let (was, manifest) = (&was.manifest, &is.manifest);
    let line = |text: String, pointer: &str| {
        let place = Some(Place { file: new.shown(&new.path), line: is.line_of(pointer) });
        Line { what: What::SameRules(text), details: Vec::new(), place, old_place: None }
    };
    let mut lines = Vec::new();
    match (&was.within, &manifest.within) {
        (Some(was), None) => {
            lines.push(line(format!("the manifest names no baseline (before: {was})"), "within"));
        }
        (was, Some(is)) if was.as_ref() != Some(is) => {
            let before = was.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            lines.push(line(format!("the manifest must lie within {is} (before: {before})"), "within"));
        }
        _ => {}
    }
    for allow in &manifest.lints.allow {
        if !was.lints.allow.iter().any(|known| known.code == allow.code) {
            let text = format!("the lint {} is not said any more: {}", allow.code, allow.reason);
            lines.push(line(text, &allow.pointer));
        }
    }
    lines
}

fn capabilities(old: Option<&BottleSide>, new: &BottleSide) -> Vec<Line> {
    let changes = match old {
        Some(old) => capability::changes(Some(&old.capabilities), &new.capabilities),
        None => capability::introduced(&new.capabilities),
    };
    let line = |change: Change| {
        let (was, is) = change.sides();
        let place = is.and_then(|is| new.place(is, old));
        let old_place = was.and_then(|was| old?.place(was, Some(new)));
        let details = match is {
            Some(Capability::Image { .. }) => context(old, new),
            _ => Vec::new(),
        };
        Line { what: What::Capability(Box::new(change)), details, place, old_place }
    };
    changes.into_iter().map(line).collect()
}

/// The files of a build context that differ, and how its Dockerfile does.
fn context(old: Option<&BottleSide>, new: &BottleSide) -> Vec<String> {
    let (Some((old, dockerfile)), Some((new, changed))) =
        (old.and_then(|old| old.context.as_ref()), new.context.as_ref())
    else {
        return Vec::new();
    };
    let mut details: Vec<String> = old.changes(new).iter().map(ToString::to_string).collect();
    if let (Some(old), Some(new)) = (dockerfile, changed)
        && old != new
    {
        let diff = unified_diff("Dockerfile".into(), Some(old.as_bytes()), Some(new.as_bytes()));
        details.extend(diff.lines().map(str::to_owned));
    }
    details
}
