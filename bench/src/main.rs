//! bottle's proxies side by side with others, in one run. See README.md.

mod bodies;
mod bottle;
mod client;
mod contender;
mod figures;
mod goals;
mod load;
mod machine;
mod measure;
mod namespace;
mod origin;
mod peer;
mod place;
mod plot;
mod process;
mod python;
mod relay;
mod report;
mod tls;

use anyhow::{Context as _, ensure};
use clap::Parser as _;
use contender::{Kind, Programs};
use figures::Figures;
use fs_err as fs;
use machine::Machine;
use measure::{Run, Settings};
use place::Place;
use process::Cores;
use serde_json::json;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Measure bottle's proxies side by side with others
#[derive(Debug, clap::Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// The program that is measured; a release build says something, any other one only that it works
    #[arg(long, value_name = "FILE", required = true)]
    bottle: Option<PathBuf>,
    /// How often each load goes over each contender
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// How long each load lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Hosts that are asked once each; 0 to leave that out
    #[arg(long, value_name = "N", default_value_t = 5000)]
    hosts: usize,
    /// One short round: does it work, and about where is it?
    #[arg(long)]
    quick: bool,
    /// Measure these alone; repeatable
    #[arg(long, value_name = "NAME", value_parser = Kind::parse)]
    only: Vec<Kind>,
    /// Leave this one out; repeatable
    #[arg(long, value_name = "NAME", value_parser = Kind::parse)]
    without: Vec<Kind>,
    /// Write every value there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a bar chart there, in SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Keep the folder of the run, with what each process said, and name it
    #[arg(long)]
    keep: bool,
    /// Set by this program when it starts itself in a namespace
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// What this program is when it starts itself.
#[derive(Debug, clap::Subcommand)]
enum Role {
    /// What is behind every proxy
    #[command(hide = true)]
    Origin {
        #[arg(long)]
        folder: PathBuf,
    },
    /// A bare relay
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        listen: SocketAddr,
    },
    /// hudsucker
    #[command(hide = true)]
    Hudsucker {
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        listen: SocketAddr,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match (&args.role, &args.inside) {
        (Some(Role::Origin { folder }), _) => runtime.block_on(origin::run(&Place::new(folder)))?,
        (Some(Role::Floor { folder, listen }), _) => {
            runtime.block_on(relay::run(&Place::new(folder), *listen))?;
        }
        (Some(Role::Hudsucker { folder, listen }), _) => {
            runtime.block_on(peer::run(&Place::new(folder), *listen))?;
        }
        (None, Some(folder)) => {
            let place = Place::new(folder);
            namespace::prepare(&place)?;
            runtime.block_on(measure(args, &place))?;
        }
        (None, None) => return outside(args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Each connection takes a descriptor or two.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is forbidden, the smaller number holds.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Prepares the folder of a run, and runs this program in a namespace.
fn outside(args: &Args) -> anyhow::Result<ExitCode> {
    let bottle = program(args)?;
    let folder = tempfile::Builder::new().prefix("bottle-bench-").tempdir()?;
    let place = Place::new(folder.path());
    fs::create_dir(place.path("project"))?;
    tls::mint(&place)?;
    bottle::render(&place, &bottle)?;
    if kinds(args).contains(&Kind::Mitmproxy)
        && let Err(error) = python::install()
    {
        eprintln!("mitmproxy can't be had: {error:#}");
    }
    let status = namespace::enter(folder.path())?;
    if args.keep {
        eprintln!("the folder of the run is {}", folder.keep().display());
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn program(args: &Args) -> anyhow::Result<PathBuf> {
    let given = args.bottle.as_deref().context("--bottle FILE is missing")?;
    Ok(fs::canonicalize(given)?)
}

/// Who is measured, in the order of the table.
fn kinds(args: &Args) -> Vec<Kind> {
    let is_asked = |kind: &Kind| args.only.is_empty() || args.only.contains(kind);
    Kind::ALL.into_iter().filter(|kind| is_asked(kind) && !args.without.contains(kind)).collect()
}

async fn measure(args: &Args, place: &Place) -> anyhow::Result<()> {
    let programs = Programs { bottle: program(args)?, mitmdump: python::mitmdump() };
    let mut settings = Settings {
        rounds: args.rounds.into(),
        period: Duration::try_from_secs_f64(args.seconds)?,
        hosts: args.hosts,
        tunnels: 300,
    };
    if args.quick {
        settings = Settings {
            rounds: 1,
            period: settings.period.min(Duration::from_millis(500)),
            hosts: settings.hosts.min(100),
            tunnels: 50,
        };
    }
    ensure!(!settings.period.is_zero(), "--seconds: give each load some time");
    let mut kinds = kinds(args);
    let mut figures = Figures::default();
    if kinds.contains(&Kind::Mitmproxy) && programs.mitmdump.is_none() {
        figures.left_out.push((Kind::Mitmproxy.name(), "it could not be installed".to_owned()));
        kinds.retain(|&kind| kind != Kind::Mitmproxy);
    }
    let cores = Cores::find()?;
    if cores.load == cores.proxies {
        eprintln!("there is one core: what is measured shares it with the load, and the figures say little");
    }
    process::pin(cores.load)?;
    let mut machine = Machine::look(bottle::version(&programs.bottle)?);
    let mut run = Run { place, programs: &programs, settings, cores, figures };
    run.all(&kinds).await?;
    machine.ended();
    let figures = run.figures;
    print!("{}", report::text(&figures, &kinds, &machine)?);
    if let Some(file) = &args.json {
        let settings = json!({
            "rounds": settings.rounds,
            "seconds": settings.period.as_secs_f64(),
            "at_once": measure::AT_ONCE,
            "http2_connections": measure::HTTP2_CONNECTIONS,
            "down_mib": measure::DOWN,
            "up_mib": measure::UP,
            "pause_ms": measure::PAUSE.as_secs_f64() * 1e3,
            "hosts": settings.hosts,
            "tunnels": settings.tunnels,
        });
        write(file, &serde_json::to_string_pretty(&report::json(&figures, &kinds, &machine, &settings))?)?;
    }
    if let Some(file) = &args.plot {
        write(file, &plot::svg(&figures, &kinds)?)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    Ok(fs::write(file, text)?)
}
