//! `bottle attack`: fires the shipped attack suite and shows what held.

use super::junit_file::JunitFile;
use super::{Format, Globals, Outcome, print, print_as};
use crate::attack::{self, AgentEnvironment, Finding};
use anyhow::bail;
use std::fmt::Write as _;

/// Inside a stack: fire the shipped attack suite at it
///
/// It attacks from where it runs, so run it where the agent runs:
///   docker compose -f .bottle/NAME/docker-compose.yml run --rm attack
/// or, in the agent's own container: /run/bottle/bottle attack --self
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Attack from here: the network, environment, files and proxy of this very process
    #[arg(long = "self")]
    this: bool,
    /// Also write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<camino::Utf8PathBuf>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    if !args.this {
        bail!(
            "say where the attack comes from\n  \
             from here: bottle attack --self\n  \
             from the agent's place in a stack: docker compose -f .bottle/NAME/docker-compose.yml run --rm attack"
        );
    }
    let junit = args.junit.as_deref().map(JunitFile::prepare).transpose()?;
    let findings = attack::run(&AgentEnvironment::read(|name| std::env::var(name).ok()));
    if let Some(file) = &junit {
        file.write(&attack::junit(&findings))?;
    }
    match globals.format {
        Format::Text => print(&table(&findings))?,
        Format::Json => print_as(Format::Json, &format!("{}\n", serde_json::to_string_pretty(&findings)?))?,
    }
    let count = |word| findings.iter().filter(|f| f.outcome.word() == word).count();
    match (count("BROKEN"), count("not tried")) {
        (0, 0) => Ok(Outcome::Done),
        (0, 1) => bail!("one attempt could not be made, so nothing is known of it"),
        (0, untried) => bail!("{untried} attempts could not be made, so nothing is known of them"),
        _ => Ok(Outcome::Differs),
    }
}

/// Whether a finding needs no line of its own beside another one that tried the same.
fn is_quiet(finding: &Finding) -> bool {
    matches!(finding.outcome, attack::Outcome::Held(_) | attack::Outcome::NotApplicable(_))
}

/// A line for each finding, and one for those that are alike and not broken.
fn table(findings: &[Finding]) -> String {
    let alike = |a: &Finding, b: &Finding| {
        a.tried == b.tried && [a, b].iter().all(|it| is_quiet(it)) && a.outcome.word() == b.outcome.word()
    };
    let rows: Vec<(&Finding, String)> = findings
        .chunk_by(alike)
        .filter_map(|group| match group {
            [] => None,
            [only] => Some((only, only.outcome.detail().to_owned())),
            [first, ..] => Some((first, format!("and {} more like it", group.len() - 1))),
        })
        .collect();
    let name = rows.iter().map(|(f, _)| f.name.len()).max().unwrap_or(0);
    let tried = rows.iter().map(|(f, _)| f.tried.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (f, detail) in rows {
        let _ = writeln!(text, "{:9}  {:name$}  {:tried$}  {detail}", f.outcome.word(), f.name, f.tried);
    }
    let broken = findings.iter().filter(|f| f.outcome.word() == "BROKEN").count();
    let held = findings.iter().filter(|f| f.outcome.word() == "held").count();
    let other = findings.len() - held - broken;
    let all = findings.len();
    let _ =
        writeln!(text, "\n{all} cases: {held} held, {broken} broken, {other} not tried or not applicable");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::Outcome as Attempt;

    #[test]
    fn the_table_ends_with_the_count() {
        let finding = |outcome| Finding { name: "a/b".into(), tried: "try", outcome };
        let text = table(&[finding(Attempt::Held("yes".into())), finding(Attempt::Broken("no".into()))]);
        assert_eq!(
            text,
            "held       a/b  try  yes\nBROKEN     a/b  try  no\n\n2 cases: 1 held, 1 broken, 0 not tried or not applicable\n"
        );
        let text = table(&vec![finding(Attempt::Held("yes".into())); 240]);
        assert_eq!(
            text,
            "held       a/b  try  and 239 more like it\n\n240 cases: 240 held, 0 broken, 0 not tried or not applicable\n"
        );
    }
}
