//! `bottle dashboard`: what agents ask for, what was refused, and what was decided, of every bottle that has supervision.

use super::agreed_stack::{Stack, StackArgs};
use super::manifest_patch::{self, ManifestFile};
use super::proposals::{self, Decided};
use super::{Format, Globals, Outcome, container_checks, print_as};
use crate::clock::Clock;
use crate::printable::printable_name;
use crate::supervise::{Proposal, ProposalId};
use crate::telemetry::audit::{AuditReader, Entry, Series};
use anyhow::bail;
use camino::Utf8PathBuf;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

/// Show what agents propose, what was refused, and what you decided
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle dashboard --once")]
pub(crate) struct Args {
    /// The manifest; without one, every bottle of yours that has `supervise: true`
    #[arg(value_name = "MANIFEST")]
    manifest: Option<Utf8PathBuf>,
    /// Print it once, and end
    #[arg(long)]
    once: bool,
}

/// Refusals and decisions that are shown, and how old a refusal may be.
const SHOWN: usize = 10;
const RECENT: SignedDuration = SignedDuration::from_hours(24);

/// Characters of a line that an agent chose.
const LINE: usize = 300;

#[derive(Serialize)]
struct View {
    name: String,
    project: String,
    manifest: Utf8PathBuf,
    running: bool,
    pending: Vec<Pending>,
    /// Files among the proposals that are none, or more than wait at most.
    unreadable: usize,
    denied: Vec<Denied>,
    history: Vec<Decided>,
    /// What could not be looked at.
    problems: Vec<String>,
}

/// A proposal that waits.
#[derive(Serialize)]
struct Pending {
    id: ProposalId,
    time: Timestamp,
    /// In one line.
    asks: String,
    justification: String,
    /// Made under other rules than those of now; what it changes is of now.
    stale: bool,
    /// What it would let the agent do; nothing where it can't be approved as it is.
    changes: Option<Value>,
    /// Why it can't.
    obstacle: Option<String>,
}

/// A request that was refused.
#[derive(Serialize)]
struct Denied {
    time: Timestamp,
    request: String,
    reason: String,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    if !args.once {
        bail!(
            "this version shows the dashboard once: bottle dashboard --once; `watch bottle dashboard --once` goes on"
        );
    }
    let views: Vec<View> = stacks(args, globals)?.iter().map(view).collect();
    let text = match globals.format {
        Format::Text => as_text(&views)?,
        Format::Json => format!("{:#}\n", json!({ "version": 1, "bottles": views })),
    };
    print_as(globals.format, &text)?;
    Ok(Outcome::Done)
}

/// The bottles that were asked for, or all that have supervision.
fn stacks(args: &Args, globals: &Globals) -> anyhow::Result<Vec<Stack>> {
    let one = |manifest| Stack::open(&StackArgs { manifest: Some(manifest), out: None }, globals);
    if let Some(manifest) = &args.manifest {
        return Ok(vec![one(manifest.clone())?]);
    }
    let registry = super::folders::registry()?;
    let all = registry.bottles().filter_map(|bottle| one(Utf8PathBuf::from(&bottle.project)).ok());
    Ok(all.filter(|stack| stack.plan.supervise).collect())
}

fn view(stack: &Stack) -> View {
    let mut problems = Vec::new();
    let running = container_checks::of_project(&stack.bottle.project).map_or_else(
        |error| {
            problems.push(format!("Docker does not say what runs: {error:#}"));
            false
        },
        |all| all.iter().any(container_checks::Container::is_running),
    );
    let (waiting, unreadable) = or_problem(proposals::waiting(&stack.bottle.state), &mut problems);
    let manifest = ManifestFile::read(stack.file.clone());
    let pending = waiting.iter().map(|proposal| pending(stack, proposal, manifest.as_ref())).collect();
    let mut history = or_problem(proposals::history(&stack.bottle.state), &mut problems);
    history.drain(..history.len().saturating_sub(SHOWN));
    let denied = or_problem(denied(stack), &mut problems);
    View {
        name: stack.bottle.name.clone(),
        project: stack.bottle.project.clone(),
        manifest: stack.bottle.manifest.clone(),
        running,
        pending,
        unreadable,
        denied: denied.into(),
        history,
        problems,
    }
}

/// What can't be read of one bottle hides nothing of the others.
fn or_problem<T: Default>(read: anyhow::Result<T>, problems: &mut Vec<String>) -> T {
    read.unwrap_or_else(|error| {
        problems.push(format!("{error:#}"));
        T::default()
    })
}

fn pending(stack: &Stack, proposal: &Proposal, manifest: Result<&ManifestFile, &anyhow::Error>) -> Pending {
    let changes = manifest.map_err(|error| format!("{error:#}")).and_then(|manifest| {
        let today = Clock::system().today();
        let text = proposals::patched(manifest, &proposal.ask, None, today);
        let changes = text.and_then(|text| manifest_patch::changes(&manifest.review(&text)?));
        changes.map_err(|error| format!("{error:#}"))
    });
    let (changes, obstacle) = match changes {
        Ok(changes) => (Some(changes), None),
        Err(why) => (None, Some(why)),
    };
    Pending {
        id: proposal.id.clone(),
        time: proposal.time,
        asks: proposals::described(&proposal.ask),
        justification: proposal.ask.justification().to_owned(),
        stale: proposals::is_stale(stack, proposal),
        changes,
        obstacle,
    }
}

/// The last refusals.
fn denied(stack: &Stack) -> anyhow::Result<VecDeque<Denied>> {
    let folder = stack.bottle.state.join("audit/egress-proxy");
    let mut denied = VecDeque::new();
    let since = Timestamp::now().checked_sub(RECENT)?;
    let mut reader = AuditReader::open(&[&folder], &Series::ALL, Some(since))?;
    reader.follow(Duration::ZERO, |entry| {
        let Some(entry) = entry else { return ControlFlow::Break(()) };
        if let Entry::EgressProxy(record) = &entry
            && entry.is_refusal()
        {
            let part = |part: &Option<String>| part.as_deref().unwrap_or_default().to_owned();
            let (method, host, path) = (part(&record.method), part(&record.host), part(&record.path));
            let reason = part(&record.reason);
            denied.push_back(Denied { time: record.time, request: format!("{method} {host}{path}"), reason });
            if denied.len() > SHOWN {
                denied.pop_front();
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(denied)
}

fn as_text(views: &[View]) -> Result<String, std::fmt::Error> {
    if views.is_empty() {
        return Ok("no bottle of yours has `supervise: true`\n".to_owned());
    }
    let mut out = String::new();
    for view in views {
        let runs = if view.running { "runs" } else { "does not run" };
        let manifest = printable_name(view.manifest.as_str());
        writeln!(out, "{}  {runs}  {manifest}", printable_name(&view.name))?;
        for problem in &view.problems {
            writeln!(out, "  note: {}", printable_name(problem))?;
        }
        if view.pending.is_empty() {
            writeln!(out, "\n  nothing waits for you")?;
        }
        for pending in &view.pending {
            proposal(&mut out, pending)?;
        }
        if view.unreadable > 0 {
            writeln!(out, "\n  {} files among the proposals are none, and are passed over", view.unreadable)?;
        }
        if !view.denied.is_empty() {
            writeln!(out, "\n  refused in the last day, the newest last:")?;
        }
        for Denied { time, request, reason } in &view.denied {
            let line = format!("{} {request} [{reason}]", time.strftime("%Y-%m-%d %H:%M"));
            writeln!(out, "    {}", printable_name(&line))?;
        }
        if !view.history.is_empty() {
            writeln!(out, "\n  decided, the newest last:")?;
        }
        for Decided { time, who, id, verdict, notes, ask, .. } in &view.history {
            let notes = if notes.is_empty() { String::new() } else { format!(": {notes}") };
            let line = format!(
                "{} {id} {} by {who}: {}{notes}",
                time.strftime("%Y-%m-%d %H:%M"),
                verdict.as_str(),
                proposals::described(ask)
            );
            writeln!(out, "    {}", printable_name(&line))?;
        }
        writeln!(out)?;
    }
    Ok(out)
}

/// A line of a list: what is long is cut, and `approve --check` shows it whole.
fn line(text: &str) -> String {
    let mut short: String = text.chars().take(LINE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable_name(&short).into_owned()
}

fn proposal(out: &mut String, pending: &Pending) -> std::fmt::Result {
    let Pending { id, time, asks, justification, stale, changes, obstacle } = pending;
    let stale = if *stale { "  (made under older rules)" } else { "" };
    writeln!(out, "\n  {id}  {}{stale}", time.strftime("%Y-%m-%d %H:%M"))?;
    writeln!(out, "    asks   {}", line(asks))?;
    writeln!(out, "    says   {}", line(justification))?;
    for change in changes.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let risk = change["risk"]["class"].as_str().unwrap_or("less");
        let text = change["text"].as_str().unwrap_or_default();
        writeln!(out, "    {risk:<10} {}", line(text))?;
    }
    if let Some(obstacle) = obstacle {
        writeln!(out, "    can't be approved as it is: {}", printable_name(obstacle))?;
    } else {
        writeln!(out, "    bottle approve {id}")?;
    }
    writeln!(out, "    bottle reject {id} --reason …")
}
