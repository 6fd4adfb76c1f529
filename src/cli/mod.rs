//! The command line: one file per verb, each `arguments → settings → call → print`.
//!
//! Data goes to stdout, everything else to stderr. Exit codes are one table for every verb: 0 done, same,
//! allowed, passed; 1 differs, denied, failed a check; 2 could not do it. A broken pipe is 0.

mod agents;
mod agreed_stack;
mod approve;
mod attach;
mod attack;
mod audit_files;
mod baseline;
mod bottles;
mod candidate;
mod certificates;
mod change_lines;
mod completions;
mod container_checks;
mod dashboard;
mod diff;
mod docker;
mod docker_log;
mod down;
mod editor;
mod egress_proxy;
mod environment;
mod exec;
mod exit_codes;
mod explain;
mod explain_code;
mod failure;
mod folders;
mod gate;
mod git_part;
mod healthcheck;
mod held_back_output;
mod hidden;
mod home;
mod image_places;
mod init;
mod jail;
mod junit_file;
mod learn;
mod lints;
mod lock;
mod lock_file;
mod logs;
mod man;
mod manifest_patch;
mod migrate;
mod mount_points;
mod movers;
mod named_file;
mod nested;
mod now;
mod own_image;
mod passed_on_output;
mod pins_for_others;
mod pipelock;
mod places;
mod plan;
mod process;
mod progress;
mod project;
mod proposals;
mod ps;
mod published_ports;
mod reject;
mod reload;
mod reload_in_container;
mod render;
mod rendered_project;
mod report;
mod rules;
mod run;
mod scan;
mod schema;
mod settings_hash;
mod sinks;
mod source;
mod start;
mod status;
mod supervise;
mod terminal;
mod test;
mod tighten;
mod token_sources;
mod tokens;
mod tree_against_agreed;
mod up;
mod verify;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
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

/// Every format that any verb has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum AnyFormat {
    /// For people
    #[default]
    Text,
    /// For machines
    Json,
    /// For a comment on a pull request (diff)
    Markdown,
    /// For code scanning: SARIF 2.1.0 (diff)
    Sarif,
    /// Annotations of GitHub Actions (diff)
    Github,
    /// A page for a browser (report)
    Html,
}

impl AnyFormat {
    /// What is said where it is another command's.
    fn refused(self, has: &str) -> anyhow::Error {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let whose = if self == Self::Html { "report" } else { "diff" };
        anyhow::anyhow!("--format {name} is for `bottle {whose}`; this command has {has}")
    }
}

/// What every verb is told.
#[derive(Clone, Debug)]
pub struct Globals {
    /// How data is printed, by a verb that has no other format.
    pub format: Format,
    /// When colour is used.
    pub color: clap::ColorChoice,
    /// Say less.
    pub quiet: bool,
    /// Say more; twice for debug logs.
    pub verbose: u8,
}

/// Flags that every verb takes.
#[derive(Clone, Debug, clap::Args)]
struct Flags {
    /// How to print data [default: text; of `bottle report`: html]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    format: Option<AnyFormat>,
    /// The same as --format json
    #[arg(long, global = true, conflicts_with = "format")]
    json: bool,
    /// When to use colour; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: clap::ColorChoice,
    /// Say less
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more; twice for debug logs
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl From<&Flags> for Globals {
    fn from(flags: &Flags) -> Self {
        let format = if flags.format() == Some(AnyFormat::Json) { Format::Json } else { Format::Text };
        Self { format, color: flags.color, quiet: flags.quiet, verbose: flags.verbose }
    }
}

impl Flags {
    fn format(&self) -> Option<AnyFormat> {
        if self.json { Some(AnyFormat::Json) } else { self.format }
    }
}

/// Lets AI coding agents work without letting them leak
#[derive(Debug, Parser)]
#[command(name = "bottle", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// In the order in which help lists them: what a person runs first, what containers run last.
#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Plan(plan::Args),
    Render(render::Args),
    Up(up::Args),
    Run(run::Args),
    Attach(attach::Args),
    #[command(alias = "shell")]
    Exec(exec::Args),
    Diff(diff::Args),
    Lock(lock::Args),
    Explain(explain::Args),
    ExplainCode(explain_code::Args),
    Scan(scan::Args),
    Test(test::Args),
    Logs(logs::Args),
    Status(status::Args),
    Learn(learn::Args),
    Tighten(tighten::Args),
    Migrate(migrate::Args),
    Report(report::Args),
    Dashboard(dashboard::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Reload(reload::Args),
    Down(down::Args),
    Ps(ps::Args),
    Verify(verify::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
    Attack(attack::Args),
    Home(home::Args),
    Gate(gate::Args),
    Jail(jail::Args),
    EgressProxy(egress_proxy::Args),
    Pipelock(pipelock::Args),
    Supervise(supervise::Args),
    Healthcheck(healthcheck::Args),
}

/// What `bottle` alone prints: the commands that a newcomer needs.
const NEWCOMER: &str = "\
bottle lets AI coding agents work without letting them leak.

  bottle init       write bottle.yaml for this project
  bottle render     compile bottle.yaml into a sealed stack
  bottle up         start it
  bottle run        work in it, on this terminal
  bottle explain    why a request is allowed or denied

bottle --help lists every command.
";

/// The definitions that parse, and that help, manual pages, completions and the reference are made of.
fn command() -> clap::Command {
    exit_codes::explained(Cli::command())
}

/// Parses the arguments of the process, runs the verb, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches();
    let cli = match parsed.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)) {
        Ok(cli) => cli,
        Err(error) => return sinks::say_usage(&with_the_dashes(error)),
    };
    let globals = Globals::from(&cli.flags);
    match run(cli, &globals) {
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

/// `bottle exec git status`, where `bottle exec -- git status` was meant: says so.
fn with_the_dashes(mut error: clap::Error) -> clap::Error {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if error.kind() == ErrorKind::UnknownArgument
        && let [verb @ ("run" | "exec" | "shell"), command @ ..] =
            words.iter().map(String::as_str).collect::<Vec<_>>().as_slice()
        && command.first().is_some_and(|word| !word.starts_with('-'))
    {
        let tip = format!("what runs in the agent comes after `--`: bottle {verb} -- {}", command.join(" "));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

impl Verb {
    /// Whether it could run Docker: all but those that are known not to.
    fn asks_docker(&self) -> bool {
        !matches!(
            self,
            Self::Init(_)
                | Self::Plan(_)
                | Self::Diff(_)
                | Self::Explain(_)
                | Self::ExplainCode(_)
                | Self::Test(_)
                | Self::Learn(_)
                | Self::Tighten(_)
                | Self::Migrate(_)
                | Self::Report(_)
                | Self::Schema(_)
                | Self::Completions(_)
                | Self::Man(_)
                | Self::Gate(_)
                | Self::Jail(_)
                | Self::EgressProxy(_)
                | Self::Pipelock(_)
                | Self::Supervise(_)
                | Self::Healthcheck(_)
        )
    }
}

fn run(cli: Cli, globals: &Globals) -> anyhow::Result<Outcome> {
    let Some(verb) = cli.verb else {
        print(NEWCOMER)?;
        return Ok(Outcome::Done);
    };
    let format = cli.flags.format();
    if !matches!(verb, Verb::Diff(_) | Verb::Report(_))
        && let Some(other) = format.filter(|it| !matches!(it, AnyFormat::Text | AnyFormat::Json))
    {
        return Err(other.refused("text and json"));
    }
    if format == Some(AnyFormat::Json) && matches!(verb, Verb::Completions(_) | Verb::Man(_)) {
        anyhow::bail!("--format json is for data; this command prints a text that another program reads");
    }
    environment::leave_out_what_agents_write();
    if verb.asks_docker() {
        environment::require_own_docker()?;
    }
    match verb {
        Verb::Diff(args) => diff::run(&args, format.unwrap_or_default(), globals),
        Verb::Report(args) => report::run(&args, format, globals),
        Verb::Attack(args) => attack::run(&args, globals),
        Verb::EgressProxy(args) => egress_proxy::run(args, globals),
        Verb::Explain(args) => explain::run(&args, globals),
        Verb::ExplainCode(args) => explain_code::run(&args, globals),
        Verb::Scan(args) => scan::run(&args, globals),
        Verb::Test(args) => test::run(&args, globals),
        Verb::Home(args) => home::run(&args, globals),
        Verb::Gate(args) => gate::run(args, globals),
        Verb::Jail(args) => jail::run(args, globals),
        Verb::Healthcheck(args) => healthcheck::run(&args, globals),
        Verb::Init(args) => init::run(&args, globals),
        Verb::Lock(args) => lock::run(&args, globals),
        Verb::Down(args) => down::run(&args, globals),
        Verb::Learn(args) => learn::run(&args, globals),
        Verb::Logs(args) => logs::run(&args, globals),
        Verb::Status(args) => status::run(&args, globals),
        Verb::Migrate(args) => migrate::run(&args, globals),
        Verb::Tighten(args) => tighten::run(&args, globals),
        Verb::Pipelock(args) => pipelock::run(args, globals),
        Verb::Dashboard(args) => dashboard::run(&args, globals),
        Verb::Approve(args) => approve::run(&args, globals),
        Verb::Reject(args) => reject::run(&args, globals),
        Verb::Supervise(args) => supervise::run(args, globals),
        Verb::Ps(args) => ps::run(&args, globals),
        Verb::Verify(args) => verify::run(&args, globals),
        Verb::Plan(args) => plan::run(&args, globals),
        Verb::Reload(args) => reload::run(&args, globals),
        Verb::Render(args) => render::run(&args, globals),
        Verb::Attach(args) => attach::run(&args, globals),
        Verb::Exec(args) => exec::run(&args, globals),
        Verb::Run(args) => run::run(&args, globals),
        Verb::Up(args) => up::run(&args, globals),
        Verb::Schema(args) => schema::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
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
        self.colors(std::io::stderr().is_terminal())
    }

    /// Whether what is printed on stdout is coloured.
    fn colors_stdout(&self) -> bool {
        self.colors(sinks::stdout_is_terminal())
    }

    fn colors(&self, is_terminal: bool) -> bool {
        match self.color {
            clap::ColorChoice::Always => true,
            clap::ColorChoice::Never => false,
            clap::ColorChoice::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && is_terminal
            }
        }
    }
}
