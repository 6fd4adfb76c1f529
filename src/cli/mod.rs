//! The command line: one file per verb, each `arguments → settings → call → print`.
//!
//! Data goes to stdout, everything else to stderr. Exit codes are one table for every verb: 0 done, same,
//! allowed, passed; 1 differs, denied, failed a check; 2 could not do it. A broken pipe is 0.

mod agreed_stack;
mod attack;
mod bottles;
mod candidate;
mod certificates;
mod changes;
mod containers;
mod difference;
mod down;
mod egress_proxy;
mod explain;
mod folders;
mod gate;
mod healthcheck;
mod logs;
mod now;
mod passing;
mod pins_for_others;
mod pipelock;
mod plan;
mod process;
mod project;
mod ps;
mod quietly;
mod reload;
mod reload_in_container;
mod render;
mod rendered_project;
mod rules;
mod run;
mod schema;
mod sinks;
mod source;
mod tokens;
mod up;
mod verify;

use clap::{Parser, Subcommand, ValueEnum};
pub(crate) use sinks::{print, print_as, say, say_report};
use std::process::ExitCode;

/// A verb's way to end: what [`main`] turns into the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, same, allowed, passed.
    Done,
    /// Differs, denied, failed a check.
    Differs,
    /// The agent's own exit code.
    Agent(u8),
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Flags that every verb takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Globals {
    /// How to print data
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// When to use colour; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: clap::ColorChoice,
    /// Say less
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for debug logs
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Lets AI coding agents work without letting them leak
#[derive(Debug, Parser)]
#[command(name = "bottle", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// In the order in which help lists them: what a person runs first, what containers run last.
#[derive(Debug, Subcommand)]
enum Verb {
    Plan(plan::Args),
    Render(render::Args),
    Up(up::Args),
    Run(run::Args),
    Explain(explain::Args),
    Logs(logs::Args),
    Reload(reload::Args),
    Down(down::Args),
    Ps(ps::Args),
    Verify(verify::Args),
    Schema(schema::Args),
    Attack(attack::Args),
    Gate(gate::Args),
    EgressProxy(egress_proxy::Args),
    Pipelock(pipelock::Args),
    Healthcheck(healthcheck::Args),
}

/// What `bottle` alone prints: the commands that a newcomer needs.
const NEWCOMER: &str = "\
bottle lets AI coding agents work without letting them leak.

  bottle render     compile bottle.yaml into a sealed stack
  bottle up         start it
  bottle run        work in it, on this terminal
  bottle explain    why a request is allowed or denied

bottle --help lists every command.
";

/// Parses the arguments of the process, runs the verb, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return sinks::say_usage(&error),
    };
    let globals = cli.globals.clone();
    match run(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::from(1),
        Ok(Outcome::Agent(code)) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            sinks::say_error(&error, &globals);
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let Some(verb) = cli.verb else {
        print(NEWCOMER)?;
        return Ok(Outcome::Done);
    };
    match verb {
        Verb::Attack(args) => attack::run(&args, &cli.globals),
        Verb::EgressProxy(args) => egress_proxy::run(args, &cli.globals),
        Verb::Explain(args) => explain::run(&args, &cli.globals),
        Verb::Gate(args) => gate::run(args, &cli.globals),
        Verb::Healthcheck(args) => healthcheck::run(&args, &cli.globals),
        Verb::Down(args) => down::run(&args, &cli.globals),
        Verb::Logs(args) => logs::run(&args, &cli.globals),
        Verb::Pipelock(args) => pipelock::run(args, &cli.globals),
        Verb::Ps(args) => ps::run(&args, &cli.globals),
        Verb::Verify(args) => verify::run(&args, &cli.globals),
        Verb::Plan(args) => plan::run(&args, &cli.globals),
        Verb::Reload(args) => reload::run(&args, &cli.globals),
        Verb::Render(args) => render::run(&args, &cli.globals),
        Verb::Run(args) => run::run(&args, &cli.globals),
        Verb::Up(args) => up::run(&args, &cli.globals),
        Verb::Schema(args) => schema::run(&args),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

impl Globals {
    /// Whether what is said on stderr is coloured.
    pub(crate) fn colors_stderr(&self) -> bool {
        use std::io::IsTerminal as _;
        match self.color {
            clap::ColorChoice::Always => true,
            clap::ColorChoice::Never => false,
            clap::ColorChoice::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::io::stderr().is_terminal()
            }
        }
    }
}
