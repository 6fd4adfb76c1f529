//! `bottle render`: compile manifests to trees, mint what is missing, and never widen unseen.

mod summary;
mod widening;

use super::project::Project;
use super::site::Site;
use super::{Globals, Outcome, print, say, source};
use crate::clock::Clock;
use crate::state::{ENV_FILE, EnvFile, ImageBinary, Location, Minted, State, Wants};
use crate::tree::{Comparison, Kind, Written};
use anyhow::bail;
use camino::Utf8PathBuf;
use widening::Widening;

/// Compile manifests into sealed stacks
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle render && bottle up")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Manifests, or folders of them; without one, the nearest bottle.yaml
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<Utf8PathBuf>,
    /// Write nothing; fail if the tree on disk is not what would be rendered
    #[arg(long, conflicts_with_all = ["force", "rotate_ca", "accept_widening"])]
    check: bool,
    /// Overwrite files that were edited by hand
    #[arg(long)]
    force: bool,
    /// Where the tree goes [default: .bottle/NAME beside the manifest]
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Where keys and the image go, outside the project [default: below `$XDG_STATE_HOME/bottle`]
    #[arg(long, value_name = "DIR")]
    state: Option<Utf8PathBuf>,
    /// Replace the certificate authorities
    #[arg(long)]
    rotate_ca: bool,
    /// Let the agent do more than the tree on disk does, without asking
    #[arg(long)]
    accept_widening: bool,
    /// The program for the image, where this one can't run in it
    #[arg(long, value_name = "FILE")]
    image_binary: Option<Utf8PathBuf>,
    /// Decide and mint as of this date or time
    #[arg(long, value_name = "DATE", value_parser = super::now::parse)]
    now: Option<Clock>,
}

/// What `render` did, for its table.
struct Rendered<'a> {
    site: &'a Site,
    state: &'a State,
    minted: Minted,
    written: Written,
    widening: Widening,
    /// Whether there was a tree before.
    again: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let clock = args.now.clone().unwrap_or_else(Clock::system);
    let sites = load(args)?;
    let fresh: Vec<bool> = sites.iter().map(|site| !site.has_siblings()).collect();
    let mut outcome = Outcome::Done;
    for (site, fresh) in sites.iter().zip(fresh) {
        let warnings = &site.project.plan.warnings;
        if !globals.quiet && !warnings.0.is_empty() {
            say(&warnings.render(globals.colors_stderr()));
        }
        let one = if args.check { check(site, &clock)? } else { write(site, fresh, args, globals, &clock)? };
        if one == Outcome::Differs {
            outcome = Outcome::Differs;
        }
    }
    Ok(outcome)
}

fn load(args: &Args) -> anyhow::Result<Vec<Site>> {
    let files = source::find(&args.manifests)?;
    let projects = match files.as_slice() {
        [file] => vec![Project::load(file, args.out.as_deref())?],
        _ if args.out.is_some() || args.state.is_some() => {
            bail!("--out and --state are for one manifest, and here are {}", files.len())
        }
        _ => Project::all(&args.manifests)?,
    };
    projects.into_iter().map(Site::of).collect()
}

fn check(site: &Site, clock: &Clock) -> anyhow::Result<Outcome> {
    let comparison = Comparison::of(site.find()?.as_ref(), &site.tree)?;
    let shown = site.shown();
    let mut outcome = Outcome::Done;
    if comparison.on_disk.is_empty() {
        say(&format!("{shown} is not there; `bottle render` writes what {} renders to\n", site.project.file));
        outcome = Outcome::Differs;
    } else if !comparison.is_same() {
        print(&comparison.unified_diff())?;
        say(&format!("{shown} is not what {} renders to; `bottle render` writes it\n", site.project.file));
        outcome = Outcome::Differs;
    }
    for route in site.project.loaded.manifest.hosts() {
        if let Some(until) = route.until.filter(|until| *until < clock.today()) {
            let place = site.project.loaded.place_of(&format!("{}.until", route.source));
            say(&format!("{place}: the rule for {} expired after {until}\n", route.host));
            outcome = Outcome::Differs;
        }
    }
    if outcome == Outcome::Done {
        say(&format!("{shown} is what {} renders to\n", site.project.file));
    }
    Ok(outcome)
}

fn write(site: &Site, fresh: bool, args: &Args, globals: &Globals, clock: &Clock) -> anyhow::Result<Outcome> {
    let before = compare(site, args)?;
    let asked = Widening::of(&before, site, fresh)?;
    let home = Location::home(|name| std::env::var(name).ok());
    let env = site.env()?;
    let location = Location::find(site.path(), args.state.as_deref(), env.as_ref(), home.as_deref())?;
    let image = ImageBinary::read(args.image_binary.as_deref())?;
    if !asked.accepted(&site.project.file, args.accept_widening)? {
        return Ok(Outcome::Differs);
    }

    let waiting = || say(&format!("waiting for another `bottle render` of {}\n", site.shown()));
    let state = State::open(&location, &exposed(site, args), waiting)?;
    let now = compare(site, args)?;
    if !Widening::of(&now, site, fresh)?.is_within(&asked) {
        bail!("{} changed while the question was open; run `bottle render` again", site.shown());
    }
    let wants = Wants {
        bottle: &site.project.plan.name,
        egress_proxy: site.project.plan.shape == crate::plan::Shape::Chain,
        extra_ca: site.project.plan.extra_ca.as_ref().map(|ca| ca.pem.as_str()),
        image: Some(&image),
        rotate: args.rotate_ca,
    };
    let again = !now.on_disk.is_empty();
    let minted = state.mint(&wants, clock)?;
    let written = apply(site, &now, &location, &state, &minted, args.force)?;
    if !globals.quiet {
        for (place, what) in site.absent() {
            say(&format!("warning: {place}, {what}, is not on this machine; `bottle up` needs it\n"));
        }
    }
    summary::print(&Rendered { site, state: &state, minted, written, widening: asked, again }, globals)?;
    Ok(Outcome::Done)
}

/// What stands on disk, where a write would be possible.
fn compare(site: &Site, args: &Args) -> anyhow::Result<Comparison> {
    let comparison = Comparison::of(site.find()?.as_ref(), &site.tree)?;
    comparison.require_writable(&site.shown(), args.force)?;
    Ok(comparison)
}

/// Keys stay out of what the agent sees; a state that the user chose also out of the project, which git commits.
fn exposed(site: &Site, args: &Args) -> Vec<Utf8PathBuf> {
    let mut exposed = site.exposed();
    exposed.extend(args.state.is_some().then(|| site.project.folder.clone()));
    exposed
}

/// The tree and `.env`: all of it is on disk before the first file takes its name.
fn apply(
    site: &Site,
    comparison: &Comparison,
    location: &Location,
    state: &State,
    minted: &Minted,
    force: bool,
) -> anyhow::Result<Written> {
    let folder = site.make()?;
    let name = location.project(&site.project.plan.name);
    let env = EnvFile::new(name, state.path(), state.user(), minted.label())?.render()?;
    let same = folder.is_as_wanted(ENV_FILE, env.as_bytes(), 0o644, None)?;
    let staged = if same { None } else { Some(folder.stage(ENV_FILE, env.as_bytes(), 0o644)?) };
    let written = comparison.apply(&folder, force)?;
    if let Some(staged) = staged {
        staged.commit()?;
    }
    debug_assert!(comparison.paths(Kind::Foreign).next().is_none(), "apply refuses them");
    Ok(written)
}
