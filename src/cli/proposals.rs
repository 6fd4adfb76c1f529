//! The proposals of a bottle on the host, and the decisions about them.
//!
//! Nothing that the service wrote is believed: a file is read as one that an agent could have written, bounded and strictly,
//! and its proposal is checked again. What is kept about decisions lies where no container sees it.

use super::agreed_stack::Stack;
use super::manifest_patch::ManifestFile;
use crate::capability::Change;
use crate::patch::{self, RouteWanted};
use crate::policy::{Authority, Scheme, WrittenRequest};
use crate::render::paths;
use crate::supervise::{
    Ask, DECISIONS, Decision, FailedAsk, LARGEST, OPEN, PROPOSALS, Proposal, ProposalId, RouteAsk, Verdict,
};
use crate::tree::{Entry, Folder};
use anyhow::{Context as _, bail, ensure};
use camino::Utf8Path;
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;

/// The folder of supervision in a bottle's state.
const SUPERVISE: &str = "supervise";
/// What was decided, one JSON line each; beside the folders that are mounted.
const HISTORY: &str = "history.jsonl";
/// The file before that one.
const FORMER: &str = "history-1.jsonl";
/// Bytes of either at most; a new one begins at half of it.
const HISTORY_READ: u64 = 8 << 20;
/// Decisions that an agent can still ask about.
const KEPT: usize = 200;
/// A file that is no proposal must not hide those that are.
const LISTED: usize = 10 * OPEN;
/// Bytes of what a person says to an agent.
const LONGEST_NOTES: usize = 1000;

/// One decision, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Decided {
    pub(crate) time: Timestamp,
    /// The user of this machine.
    pub(crate) who: String,
    pub(crate) id: ProposalId,
    pub(crate) verdict: Verdict,
    pub(crate) notes: String,
    pub(crate) ask: Ask,
    /// What the agent could newly do and no longer do, a line each.
    pub(crate) changes: Vec<String>,
    /// The digest of what was agreed to then.
    pub(crate) digest: String,
}

/// A person's own edit, beside the decisions: nobody proposed it.
#[derive(Serialize)]
struct OwnEdit<'a> {
    time: Timestamp,
    who: &'a str,
    edited: bool,
    changes: Vec<String>,
    digest: &'a str,
}

/// Keeps what a person changed without a proposal, and agreed to.
pub(crate) fn note_edit(state: &Utf8Path, changes: &[Change], digest: &str) -> anyhow::Result<()> {
    let folder = Folder::open(state)?.make(Utf8Path::new(SUPERVISE))?;
    let changes = changes.iter().map(ToString::to_string).collect();
    append(&folder, &OwnEdit { time: Timestamp::now(), who: &who(), edited: true, changes, digest })
}

/// The proposals that wait, the oldest first, and how many files there are none.
pub(crate) fn waiting(state: &Utf8Path) -> anyhow::Result<(Vec<Proposal>, usize)> {
    let Some(folder) = folder(state, PROPOSALS)? else { return Ok((Vec::new(), 0)) };
    let (names, more) = folder.list_at_most(LISTED)?;
    let (mut waiting, mut others) = (Vec::new(), usize::from(more));
    for (name, _) in names.iter().filter(|(name, _)| !name.starts_with('.')) {
        match ProposalId::of_file(name).map(|id| read_in(&folder, &id)) {
            Some(Ok(Some(proposal))) if waiting.len() < OPEN => waiting.push(proposal),
            Some(Ok(None)) => {}
            _ => others += 1,
        }
    }
    waiting.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    Ok((waiting, others))
}

/// One that waits.
pub(crate) fn read(stack: &Stack, id: &ProposalId) -> anyhow::Result<Proposal> {
    ensure!(
        stack.plan.supervise,
        "{} has no `supervise: true`, so its agent can't propose anything",
        stack.file
    );
    let proposal = match folder(&stack.bottle.state, PROPOSALS)? {
        Some(folder) => read_in(&folder, id)?,
        None => None,
    };
    proposal.with_context(|| {
        format!("{} has no proposal {id} that waits; `bottle dashboard --once` lists them", stack.bottle.name)
    })
}

fn read_in(folder: &Folder, id: &ProposalId) -> anyhow::Result<Option<Proposal>> {
    let Some(bytes) = folder.read_at_most(&id.file(), LARGEST)? else { return Ok(None) };
    let proposal: Proposal =
        serde_json::from_slice(&bytes).with_context(|| format!("{id} is no proposal"))?;
    ensure!(proposal.id == *id && proposal.version == 1, "{id} is no proposal of this version");
    let ask =
        proposal.ask.checked().map_err(anyhow::Error::msg).with_context(|| format!("{id} is no proposal"))?;
    Ok(Some(Proposal { ask, ..proposal }))
}

fn folder(state: &Utf8Path, name: &str) -> anyhow::Result<Option<Folder>> {
    Ok(Folder::open(state)?.find(&Utf8Path::new(SUPERVISE).join(name))?)
}

/// Whether it was made under other rules than those that were agreed to last.
pub(crate) fn is_stale(stack: &Stack, proposal: &Proposal) -> bool {
    let routes = stack.agreed.tree.get(Utf8Path::new(paths::ROUTES)).map(Vec::as_slice).unwrap_or_default();
    data_encoding::HEXLOWER.encode(&Sha256::digest(routes)) != proposal.config
}

/// In one line, without the agent's reason.
pub(crate) fn described(ask: &Ask) -> String {
    match ask {
        Ask::EgressProxyBlock(RouteAsk { host, path_allowlist, methods, auth, justification: _ }) => {
            let methods = methods.as_deref().unwrap_or_default().join(", ");
            let with = auth.as_ref().map(|auth| format!(" with {}", auth.token_ref)).unwrap_or_default();
            format!("{methods} https://{host} {}{with}", path_allowlist.join(" "))
        }
        Ask::PipelockBlock(FailedAsk { failed_url, justification: _ }) => {
            format!("GET {failed_url}, which failed")
        }
    }
}

/// The manifest with what is asked for, made of the manifest of now.
pub(crate) fn patched(
    manifest: &ManifestFile,
    ask: &Ask,
    until: Option<Date>,
    today: Date,
) -> anyhow::Result<String> {
    let judge = |text: &str| manifest.judge(text);
    let (loaded, _) = manifest.load()?;
    let route = match ask {
        Ask::EgressProxyBlock(route) => route.clone(),
        Ask::PipelockBlock(failed) => {
            route_of(failed, today, &manifest.judge(&manifest.text).map_err(anyhow::Error::msg)?)?
        }
    };
    let rule = route.rule().map_err(anyhow::Error::msg)?;
    let wanted = RouteWanted { rule, entry: route.entry(), until };
    patch::with_route(&manifest.text, &loaded.document.value, &wanted, today, &judge)
        .map_err(anyhow::Error::msg)
}

/// The route that a failed GET lacks.
fn route_of(failed: &FailedAsk, today: Date, before: &patch::Candidate) -> anyhow::Result<RouteAsk> {
    let asked = WrittenRequest::parse("GET", &failed.failed_url, Vec::new())?;
    ensure!(asked.scheme == Scheme::Https, "plain http is allowed by hand: `ports: [80]` on a rule");
    let authority = Authority::parse(&asked.authority, Some(asked.scheme.default_port()))?;
    let path = asked.target.split(['?', '#']).next().unwrap_or("/");
    let methods =
        patch::route_for(asked.scheme, &authority, path, today, before).map_err(anyhow::Error::msg)?;
    let route = RouteAsk {
        host: authority.host.to_string(),
        path_allowlist: vec![path.to_owned()],
        methods: Some(methods.iter().map(ToString::to_string).collect()),
        auth: None,
        justification: failed.justification.clone(),
    };
    match Ask::EgressProxyBlock(route).checked() {
        Ok(Ask::EgressProxyBlock(route)) => Ok(route),
        Ok(Ask::PipelockBlock(_)) => bail!("it is no route"),
        Err(why) => bail!("{why}"),
    }
}

/// What a person says to the agent, in one line.
pub(crate) fn notes(text: &str) -> anyhow::Result<String> {
    ensure!(
        text.len() <= LONGEST_NOTES,
        "that is {} bytes, and may be {LONGEST_NOTES}: say it shorter",
        text.len()
    );
    if let Some(c) = text.chars().find(|c| crate::printable::is_unprintable(*c)) {
        bail!("the character U+{:04X} can't be shown: write one line of plain text", u32::from(c));
    }
    Ok(text.trim().to_owned())
}

/// Keeps a decision, tells the agent's side, and takes the proposal away, in this order: what is told was kept.
pub(crate) fn decide(
    stack: &Stack,
    proposal: &Proposal,
    verdict: Verdict,
    notes: String,
    changes: Vec<String>,
) -> anyhow::Result<()> {
    let (state, time) = (&stack.bottle.state, Timestamp::now());
    let folder = Folder::open(state)?.make(Utf8Path::new(SUPERVISE))?;
    let Proposal { id, ask, .. } = proposal;
    let decided = Decided {
        time,
        who: who(),
        id: id.clone(),
        verdict,
        notes: notes.clone(),
        ask: ask.clone(),
        changes,
        digest: stack.agreed.record.digest.clone(),
    };
    append(&folder, &decided)?;
    let decisions = folder.make(Utf8Path::new(DECISIONS))?;
    let decision = Decision { version: 1, id: id.clone(), verdict, notes, time };
    // The service's user reads it, by way of a folder that nobody else opens.
    decisions.stage(&id.file(), &serde_json::to_vec(&decision)?, 0o644)?.commit()?;
    folder.make(Utf8Path::new(PROPOSALS))?.remove(&id.file())?;
    prune(&decisions, &folder)
}

/// The newest decisions stay.
fn prune(decisions: &Folder, folder: &Folder) -> anyhow::Result<()> {
    let newest: Vec<ProposalId> = history_in(folder)?.into_iter().rev().take(KEPT).map(|it| it.id).collect();
    for (name, _) in decisions.entries()? {
        if ProposalId::of_file(&name).is_some_and(|id| !newest.contains(&id)) {
            decisions.remove(&name)?;
        }
    }
    Ok(())
}

fn who() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let name = std::env::var("USER").unwrap_or_default();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    format!("{name}({uid})")
}

fn append(folder: &Folder, record: &impl Serialize) -> anyhow::Result<()> {
    let path = folder.path().join(HISTORY);
    if fs_err::metadata(&path).is_ok_and(|it| it.len() > HISTORY_READ / 2) {
        folder.rename(HISTORY, FORMER)?;
    }
    // No container sees this folder itself; a link is none of ours all the same.
    ensure!(
        matches!(folder.entry(HISTORY)?, None | Some(Entry::File)),
        "{path} is not a plain file: move it away"
    );
    let mut options = fs_err::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.options_mut(), 0o600);
    let mut file = options.create(true).append(true).open(&path)?;
    file.write_all((serde_json::to_string(record)? + "\n").as_bytes())?;
    Ok(file.sync_all()?)
}

/// What was decided, the oldest first.
pub(crate) fn history(state: &Utf8Path) -> anyhow::Result<Vec<Decided>> {
    match Folder::open(state)?.find(Utf8Path::new(SUPERVISE))? {
        Some(folder) => history_in(&folder),
        None => Ok(Vec::new()),
    }
}

fn history_in(folder: &Folder) -> anyhow::Result<Vec<Decided>> {
    let mut bytes = Vec::new();
    for name in [FORMER, HISTORY] {
        bytes.extend(folder.read_at_most(name, HISTORY_READ)?.unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&bytes);
    // A person's own edit is no decision; a line that is not whole was being written when the machine stopped.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The changes of a review for a person, a line each.
pub(crate) fn lines(changes: &Value) -> Vec<String> {
    let lines = changes.as_array().into_iter().flatten();
    lines.filter_map(|line| line["text"].as_str()).map(str::to_owned).collect()
}
