//! `bottle dashboard`: what agents ask for, what was refused, and what was decided, of every bottle that has supervision.

mod screen;
mod session;
mod web;

use super::agreed_stack::{Stack, StackArgs};
use super::manifest_patch::{self, ManifestFile};
use super::proposals::{self, Decided};
use super::{Format, Globals, Outcome, container_checks, print_as, terminal};
use crate::clock::Clock;
use crate::consent::Bottle;
use crate::patch::Proposed;
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
#[derive(Clone, Debug, clap::Args)]
///
/// On a terminal: what waits, with what it would change; approve, modify and reject it. With --once, it is printed.
#[command(after_help = "\
Examples:
  bottle dashboard
  bottle dashboard --web
  bottle dashboard --once")]
pub(crate) struct Args {
    /// The manifest; without one, every bottle of yours that has `supervise: true`
    #[arg(value_name = "MANIFEST")]
    manifest: Option<Utf8PathBuf>,
    /// Print it once, and end
    #[arg(long)]
    once: bool,
    /// Serve it as a page on 127.0.0.1, and print its address, which is good for one browser
    #[arg(long, conflicts_with = "once")]
    web: bool,
    /// The port of that page; without one, a free one
    #[arg(long, value_name = "PORT", requires = "web")]
    port: Option<u16>,
    /// The program for the image, where this one can't run in it
    #[arg(long, value_name = "FILE", hide = true)]
    image_binary: Option<Utf8PathBuf>,
}

const NONE: &str = "no bottle of yours has `supervise: true`";

/// Refusals and decisions that are shown, and how old a refusal may be.
const SHOWN: usize = 10;
const RECENT: SignedDuration = SignedDuration::from_hours(24);

/// Characters of a line that an agent chose, and how many of them are its end. The longest justification is whole.
const LINE: usize = 500;
const END: usize = 100;

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
    /// What nobody asked for, and would be allowed with it.
    beyond: Vec<String>,
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
    if args.web {
        return web::run(args, globals);
    }
    if !args.once {
        if globals.format == Format::Text && terminal::is_one() {
            return session::run(args, globals);
        }
        bail!("the dashboard needs a terminal: `bottle dashboard --once` prints it");
    }
    let views = views(args, globals)?;
    let text = match globals.format {
        Format::Text => as_text(&views)?,
        Format::Json => format!("{:#}\n", json!({ "version": 1, "bottles": views })),
    };
    print_as(globals.format, &text)?;
    Ok(Outcome::Done)
}

/// The bottles that were asked for, or all that have supervision; and those of which nobody knows, with why.
fn views(args: &Args, globals: &Globals) -> anyhow::Result<Vec<View>> {
    let one = |manifest| Stack::open(&StackArgs { manifest: Some(manifest), out: None }, globals);
    if let Some(manifest) = &args.manifest {
        return Ok(vec![view(&one(manifest.clone())?)]);
    }
    let registry = super::folders::registry()?;
    let all = registry.bottles().filter_map(|bottle| match one(Utf8PathBuf::from(&bottle.project)) {
        Ok(stack) => stack.plan.supervise.then(|| view(&stack)),
        Err(error) => Some(View::unreadable(bottle, &error)),
    });
    Ok(all.collect())
}

impl View {
    /// A bottle that can't be looked at is shown as that.
    fn unreadable(bottle: &Bottle, error: &anyhow::Error) -> Self {
        Self {
            name: bottle.name.clone(),
            project: bottle.project.clone(),
            manifest: bottle.manifest.clone(),
            running: false,
            pending: Vec::new(),
            unreadable: 0,
            denied: Vec::new(),
            history: Vec::new(),
            problems: vec![format!("it can't be looked at: {error:#}")],
        }
    }
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
    let settled = or_problem(proposals::settle(stack), &mut problems);
    problems.extend(settled);
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
        let proposed = proposals::patched(manifest, &proposal.ask, None, today);
        let changes = proposed.and_then(|Proposed { text, beyond }| {
            Ok((manifest_patch::changes(&manifest.review(&text)?)?, beyond))
        });
        changes.map_err(|error| format!("{error:#}"))
    });
    let (changes, beyond, obstacle) = match changes {
        Ok((changes, beyond)) => (Some(changes), beyond, None),
        Err(why) => (None, Vec::new(), Some(why)),
    };
    Pending {
        id: proposal.id.clone(),
        time: proposal.time,
        asks: proposals::described(&proposal.ask),
        justification: proposal.ask.justification().to_owned(),
        stale: proposals::is_stale(stack, proposal),
        beyond,
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
        return Ok(format!("{NONE}\n"));
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

/// A line of a list: of what is long the middle is cut, with how much that is, and `approve --check` shows it whole.
fn line(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    if all.len() <= LINE {
        return printable_name(text).into_owned();
    }
    let (first, last) = (&all[..LINE - END], &all[all.len() - END..]);
    let [first, last] =
        [first, last].map(|part| printable_name(&part.iter().collect::<String>()).into_owned());
    format!("{first} … {} characters more … {last}", all.len() - LINE)
}

fn proposal(out: &mut String, pending: &Pending) -> std::fmt::Result {
    let Pending { id, time, asks, justification, stale, beyond, changes, obstacle } = pending;
    let stale = if *stale { "  (made under older rules)" } else { "" };
    writeln!(out, "\n  {id}  {}{stale}", time.strftime("%Y-%m-%d %H:%M"))?;
    writeln!(out, "    asks   {}", line(asks))?;
    writeln!(out, "    says   {}", line(justification))?;
    for more in beyond {
        writeln!(out, "    not asked for, and allowed with it: {}", line(more))?;
    }
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
