//! `bottle test`: expectations, asked of the rules as `bottle explain` asks; with `--replay`, the requests of an audit
//! trail.

mod find;
mod print;
mod replay;
mod replay_print;

use super::junit_file::JunitFile;
use super::{Format, Globals, Outcome, rules, say};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Report};
use crate::expectations::Tested;
use crate::explain::BottleRules;
use crate::junit;
use anyhow::ensure;
use camino::Utf8PathBuf;
use find::Tests;
pub(crate) use find::read_body;
use jiff::civil::Date;

/// Check that the rules allow and deny what they should
///
/// A manifest's expectations stand in its `tests`, or in files NAME.bottle-test.yaml beside it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle test
  bottle test . --junit report.xml
  bottle test dev.bottle-test.yaml --filter issues
  bottle test --replay audit/egress-proxy")]
pub(crate) struct Args {
    /// Manifests, folders of manifests, or files of expectations [default: bottle.yaml here or in the nearest parent]
    #[arg(value_name = "FILE")]
    files: Vec<Utf8PathBuf>,
    /// Only tests whose name or request holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<Utf8PathBuf>,
    /// Take the rules from a rendered tree instead of the manifest
    #[arg(long, value_name = "DIR")]
    rendered: Option<Utf8PathBuf>,
    /// Replay the requests of an audit trail instead: a file, plain or gzip, a folder of them, or - for stdin; may be
    /// repeated
    #[arg(long, value_name = "AUDIT", conflicts_with_all = ["filter", "junit"])]
    replay: Vec<Utf8PathBuf>,
    /// The day to decide on (UTC), where a test says none [default: today; in a replay the day of each request]
    #[arg(long, value_name = "DATE")]
    now: Option<Date>,
}

/// What became of the expectations for one manifest.
struct Ran {
    /// The manifest.
    file: Utf8PathBuf,
    bottle: String,
    tested: Vec<Tested>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let junit = args.junit.as_deref().map(JunitFile::prepare).transpose()?;
    if !args.replay.is_empty() {
        return replay::run(args, globals);
    }
    let mut found = find::find(&args.files)?;
    ensure!(
        args.rendered.is_none() || found.len() == 1,
        "--rendered is one bottle's tree, and these are the tests of {} manifests; name one of them",
        found.len()
    );
    if found.iter().all(Tests::is_empty) {
        return Err(no_tests(&found).into());
    }
    if let Some(text) = &args.filter {
        found.iter_mut().flat_map(|tests| &mut tests.suites).for_each(|suite| suite.keep(text));
        ensure!(!found.iter().all(Tests::is_empty), "no test holds `{text}` in its name or request");
    }
    let today = args.now.unwrap_or_else(|| Clock::system().today());
    let ran = found.into_iter().map(|tests| ran(tests, args, today)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(file) = &junit {
        let cases: Vec<_> = ran.iter().flat_map(print::junit).collect();
        file.write(&junit::report("bottle test", &cases))?;
    }
    match globals.format {
        Format::Text => {
            for one in
                ran.iter().filter(|one| one.tested.is_empty() && args.filter.is_none() && !globals.quiet)
            {
                say(&format!("note: {} has no tests\n", one.file));
            }
            super::print(&print::text(&ran, globals))?;
        }
        Format::Json => super::print_as(Format::Json, &print::json(&ran))?,
    }
    let failed = ran.iter().flat_map(|one| &one.tested).any(|test| test.failure.is_some());
    Ok(if failed { Outcome::Differs } else { Outcome::Done })
}

impl Tests {
    fn is_empty(&self) -> bool {
        self.suites.iter().all(crate::expectations::Suite::is_empty)
    }
}

fn ran(tests: Tests, args: &Args, today: Date) -> anyhow::Result<Ran> {
    let Tests { file, loaded, suites } = tests;
    let rules = match &args.rendered {
        Some(folder) => BottleRules::of_tree(folder)?,
        None => rules::of_manifest(loaded)?,
    };
    let mut tested = Vec::new();
    for suite in &suites {
        tested.extend(suite.run(&rules, today, |body| read_body(suite.file(), body))?);
    }
    Ok(Ran { file, bottle: rules.bottle, tested })
}

/// What to write, made from the rules that are there.
fn no_tests(found: &[Tests]) -> Report {
    let files: Vec<&str> = found.iter().map(|tests| tests.file.as_str()).collect();
    let message = format!("there are no tests: no `tests` in {}, and none beside it", files.join(", "));
    let hint = "write what must be allowed and what must be denied, for example:";
    let problem = Diagnostic::error("no-tests", message).hint(hint);
    match found.first() {
        Some(Tests { loaded, .. }) => problem.source(&loaded.source).paste(print::example(&loaded.manifest)),
        None => problem,
    }
    .into()
}
