//! The proposals of a bottle on the host, and the decisions about them.
//!
//! Nothing that the service wrote is believed: a file is read as one that an agent could have written, bounded and strictly,
//! and its proposal is checked again. What is kept about decisions lies where no container sees it.

use super::agreed_stack::Stack;
use super::manifest_patch::ManifestFile;
use super::say;
use crate::capability::Change;
use crate::consent::Agreed;
use crate::patch::{self, Proposed, RouteWanted};
use crate::policy::{Authority, Scheme, WrittenRequest};
use crate::printable::printable_name;
use crate::render::paths;
use crate::state::Lock;
use crate::supervise::{
    self, Ask, DECISIONS, FailedAsk, LARGEST, OPEN, PROPOSALS, Proposal, ProposalId, RouteAsk, Verdict,
};
use crate::tree::{Entry, Folder, is_staged};
use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

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
/// Proposals as they were when they were first looked at; beside the folders that are mounted.
const SEEN: &str = "seen";
/// Files among the proposals at most. The service writes there, and it may be an agent's by now.
const QUOTA: usize = 10 * OPEN;
/// Bytes of what a person says to an agent.
pub(crate) const LONGEST_NOTES: usize = 1000;

/// What the agent reads after an approval that failed.
const FAILED: &str =
    "a person approved it, and it could not be applied; it waits for the person to try again";

/// An approval that was begun: kept before anything is written, so that a rule which is live is never without a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Unfinished {
    time: Timestamp,
    who: String,
    id: ProposalId,
    /// What it becomes when it is done.
    begun: Verdict,
    notes: String,
    ask: Ask,
    changes: Vec<String>,
    /// Of what is agreed to by it.
    digest: String,
}

/// A line of the history that is about a proposal.
#[derive(Deserialize)]
#[serde(untagged)]
enum Record {
    Decided(Decided),
    Begun(Unfinished),
}

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
    let is_one = |name: &str| ProposalId::of_file(name).is_some();
    let (names, mut others) = folder.pick_names(QUOTA, is_one)?;
    let mut waiting = Vec::new();
    for id in names.iter().filter_map(|name| ProposalId::of_file(name)) {
        match read_in(state, &folder, &id) {
            Ok(Some(proposal)) if waiting.len() < OPEN => waiting.push(proposal),
            Ok(None) => {}
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
    let state = &stack.bottle.state;
    let proposal = match folder(state, PROPOSALS)? {
        Some(folder) => read_in(state, &folder, id)?,
        None => None,
    };
    proposal.with_context(|| {
        format!("{} has no proposal {id} that waits; `bottle dashboard --once` lists them", stack.bottle.name)
    })
}

/// The proposal as it was when it was first looked at: what a person decides about is what they saw, and the file is
/// another's.
fn read_in(state: &Utf8Path, folder: &Folder, id: &ProposalId) -> anyhow::Result<Option<Proposal>> {
    let Some(bytes) = folder.read_at_most(&id.file(), LARGEST)? else { return Ok(None) };
    let proposal = Proposal::read(&bytes, id).map_err(|why| anyhow::anyhow!("{id} is no proposal: {why}"))?;
    let seen = Folder::open(state)?.make(Utf8Path::new(SUPERVISE))?.make(Utf8Path::new(SEEN))?;
    match seen.read_at_most(&id.file(), LARGEST)? {
        Some(first) => ensure!(
            first == bytes,
            "{id} is not what it was when it was first looked at, and no proposal changes: something writes into {}; \
             `bottle down` stops it",
            folder.path()
        ),
        None => seen.stage(&id.file(), &bytes, 0o600)?.commit()?,
    }
    Ok(Some(proposal))
}

fn folder(state: &Utf8Path, name: &str) -> anyhow::Result<Option<Folder>> {
    Ok(Folder::open(state)?.find(&Utf8Path::new(SUPERVISE).join(name))?)
}

/// Whether it was made under other rules than those that were agreed to last.
pub(crate) fn is_stale(stack: &Stack, proposal: &Proposal) -> bool {
    let routes = stack.agreed.tree.get(Utf8Path::new(paths::ROUTES)).map(Vec::as_slice).unwrap_or_default();
    data_encoding::HEXLOWER.encode(&Sha256::digest(routes)) != proposal.config
}

/// In one line, without the agent's reason; a credential comes first.
pub(crate) fn described(ask: &Ask) -> String {
    match ask {
        Ask::EgressProxyBlock(RouteAsk { host, path_allowlist, methods, auth, justification: _ }) => {
            let methods = methods.as_deref().unwrap_or_default().join(", ");
            let with = auth.as_ref().map(|auth| format!("with the credential {}: ", auth.token_ref));
            format!("{}{methods} https://{host} {}", with.unwrap_or_default(), path_allowlist.join(" "))
        }
        Ask::PipelockBlock(FailedAsk { failed_url, justification: _ }) => {
            format!("GET {failed_url}, which failed")
        }
    }
}

/// What is asked for and why, each on a line of its own.
pub(crate) fn summary(proposal: &Proposal) -> String {
    let (asks, says) = (described(&proposal.ask), proposal.ask.justification());
    format!("{}\nthe agent says: {}\n", printable_name(&asks), printable_name(says))
}

/// What nobody asked for, a line each.
pub(crate) fn beyond(beyond: &[String]) -> String {
    let line = |it: &String| {
        format!("not asked for, and allowed with it, since a host has one rule: {}\n", printable_name(it))
    };
    beyond.iter().map(line).collect()
}

/// The manifest with what is asked for, made of the manifest of now.
pub(crate) fn patched(
    manifest: &ManifestFile,
    ask: &Ask,
    until: Option<Date>,
    today: Date,
) -> anyhow::Result<Proposed> {
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
    let (path, methods) =
        patch::route_for(asked.scheme, &authority, path, today, before).map_err(anyhow::Error::msg)?;
    let route = RouteAsk {
        host: authority.host.to_string(),
        path_allowlist: vec![path.as_str().to_owned()],
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

/// Who decides about this bottle now: one at a time. What a former one left half done is brought to its end first.
pub(crate) struct Deciding {
    folder: Folder,
    _lock: Lock,
}

/// What is decided about one proposal.
pub(crate) struct Decision<'a> {
    pub(crate) proposal: &'a Proposal,
    pub(crate) verdict: Verdict,
    pub(crate) notes: String,
    /// What the agent could newly do and no longer do, a line each.
    pub(crate) changes: Vec<String>,
    /// Of what is agreed to with it.
    pub(crate) digest: String,
}

impl Deciding {
    /// Waits for whoever decides now.
    pub(crate) fn begin(stack: &Stack) -> anyhow::Result<Self> {
        let folder = Folder::open(&stack.bottle.state)?.make(Utf8Path::new(SUPERVISE))?;
        let lock = Lock::take(&folder, || say("another decision is being made; waiting for its end\n"))?;
        let deciding = Self { folder, _lock: lock };
        for note in deciding.settle(stack)? {
            say(&format!("note: {note}\n"));
        }
        Ok(deciding)
    }

    /// Says that an approval begins: where that can't be kept, nothing is done.
    pub(crate) fn note_begin(&self, decision: &Decision) -> anyhow::Result<()> {
        let Decision { proposal, verdict, notes, changes, digest } = decision;
        append(
            &self.folder,
            &Unfinished {
                time: Timestamp::now(),
                who: who(),
                id: proposal.id.clone(),
                begun: *verdict,
                notes: notes.clone(),
                ask: proposal.ask.clone(),
                changes: changes.clone(),
                digest: digest.clone(),
            },
        )
    }

    /// Keeps a decision, tells the agent's side, and takes the proposal away, in this order: what is told was kept.
    pub(crate) fn end(&self, decision: Decision) -> anyhow::Result<()> {
        let Decision { proposal, verdict, notes, changes, digest } = decision;
        let (time, id, ask) = (Timestamp::now(), proposal.id.clone(), proposal.ask.clone());
        self.keep(&Decided { time, who: who(), id, verdict, notes, ask, changes, digest })
    }

    fn keep(&self, decided: &Decided) -> anyhow::Result<()> {
        append(&self.folder, decided)?;
        self.tell(decided)?;
        self.prune()
    }

    fn tell(&self, decided: &Decided) -> anyhow::Result<()> {
        let Decided { time, id, verdict, notes, .. } = decided;
        let (verdict, notes) = (*verdict, notes.clone());
        // Why it failed is for the person; the agent need not read of this machine.
        let notes = if verdict == Verdict::Failed { FAILED.to_owned() } else { notes };
        let told = supervise::Decision { version: 1, id: id.clone(), verdict, notes, time: *time };
        let decisions = self.folder.make(Utf8Path::new(DECISIONS))?;
        // The service's user reads it, by way of a folder that nobody else opens.
        decisions.stage(&id.file(), &serde_json::to_vec(&told)?, 0o644)?.commit()?;
        if verdict.is_final() {
            self.folder.make(Utf8Path::new(PROPOSALS))?.remove(&id.file())?;
            self.folder.make(Utf8Path::new(SEEN))?.remove(&id.file())?;
        }
        Ok(())
    }

    /// Brings to its end what was cut off: a decision that is kept and was not told, and an approval whose end was not
    /// kept, which is done if what it led to is what is agreed to now.
    fn settle(&self, stack: &Stack) -> anyhow::Result<Vec<String>> {
        let mut said = Vec::new();
        let proposals = self.folder.make(Utf8Path::new(PROPOSALS))?;
        // Somebody else may have decided since the stack was opened.
        let agreed = Agreed::load(&stack.bottle.state)?.map(|it| it.record.digest);
        let mut last: HashMap<ProposalId, Record> = HashMap::new();
        for record in records(&self.folder)? {
            let (Record::Decided(Decided { id, .. }) | Record::Begun(Unfinished { id, .. })) = &record;
            last.insert(id.clone(), record);
        }
        for (id, record) in last {
            if proposals.entry(&id.file())?.is_none() {
                continue;
            }
            match record {
                Record::Decided(decided) if decided.verdict.is_final() => {
                    // What else lies there keeps nobody from deciding.
                    said.extend(self.tell(&decided).err().map(|error| format!("{error:#}")));
                }
                Record::Decided(_) => {}
                Record::Begun(Unfinished { time, who, id, begun, notes, ask, changes, digest }) => {
                    let is_done = agreed.as_ref() == Some(&digest);
                    let verdict = if is_done { begun } else { Verdict::Failed };
                    said.push(format!(
                        "the end of an approval of {id} was not kept; by what is agreed to, it {}",
                        if is_done {
                            "was carried out; `bottle reload` makes sure that it is live"
                        } else {
                            "was not, and waits"
                        }
                    ));
                    let decided = Decided { time, who, id, verdict, notes, ask, changes, digest };
                    said.extend(self.keep(&decided).err().map(|error| format!("{error:#}")));
                }
            }
        }
        self.tidy(&proposals, &mut said)?;
        Ok(said)
    }

    /// Keeps the folder where the service writes small.
    fn tidy(&self, proposals: &Folder, notes: &mut Vec<String>) -> anyhow::Result<()> {
        let is_one = |name: &str| ProposalId::of_file(name).is_some();
        let (ours, others) = proposals.pick_names(QUOTA, is_one)?;
        if ours.len() + others > QUOTA {
            let (all, _) =
                proposals.pick_names(usize::MAX, |name| !ours.iter().take(OPEN).any(|it| it == name))?;
            // A folder stays, and is counted.
            let removed = all.iter().filter(|name| proposals.remove(name).is_ok()).count();
            notes.push(format!(
                "{removed} files were removed from {}, which is for {OPEN} proposals: something else than bottle's service \
                 writes there",
                proposals.path()
            ));
        }
        let seen = self.folder.make(Utf8Path::new(SEEN))?;
        let (names, _) = seen.pick_names(usize::MAX, |name| is_one(name) || is_staged(name))?;
        if names.len() > KEPT {
            for name in names.iter().filter(|name| proposals.entry(name).is_ok_and(|it| it.is_none())) {
                seen.remove(name)?;
            }
        }
        Ok(())
    }

    /// The newest decisions stay.
    fn prune(&self) -> anyhow::Result<()> {
        let newest: Vec<ProposalId> =
            history_in(&self.folder)?.into_iter().rev().take(KEPT).map(|it| it.id).collect();
        let decisions = self.folder.make(Utf8Path::new(DECISIONS))?;
        for (name, _) in decisions.entries()? {
            if ProposalId::of_file(&name).is_some_and(|id| !newest.contains(&id)) {
                decisions.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// What a former decision left half done, brought to its end, and what that was; nothing where somebody decides now.
pub(crate) fn settle(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let Some(folder) = Folder::open(&stack.bottle.state)?.find(Utf8Path::new(SUPERVISE))? else {
        return Ok(Vec::new());
    };
    match Lock::try_take(&folder)? {
        Some(lock) => Deciding { folder, _lock: lock }.settle(stack),
        None => Ok(Vec::new()),
    }
}

/// The private folder of supervision, for a copy that a person edits.
pub(crate) fn private_folder(stack: &Stack) -> anyhow::Result<Utf8PathBuf> {
    Ok(Folder::open(&stack.bottle.state)?.make(Utf8Path::new(SUPERVISE))?.path().to_owned())
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
    let mut file = options.create(true).append(true).read(true).open(&path)?;
    // What was being written when the machine stopped takes no other record with it.
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let torn = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{torn}{}\n", serde_json::to_string(record)?).as_bytes())?;
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
    let decided = records(folder)?.into_iter().filter_map(|record| match record {
        Record::Decided(decided) => Some(decided),
        Record::Begun(_) => None,
    });
    Ok(decided.collect())
}

fn records(folder: &Folder) -> anyhow::Result<Vec<Record>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MANIFEST: &str = "\
version: 1
name: dev
agent: {image: debian}
egress_proxy:
  routes:
    - {host: a.test, path_allowlist: [/v1], auth: {scheme: Bearer, token_ref: A_TOKEN}}
    - {host: b.test, path_allowlist: [/v1], methods: [GET, HEAD], websocket: true}
    - {host: '*.cdn.test', path_allowlist: [/v1], deny_paths: [/v1/secret]}
";

    /// What becomes of an ask of this manifest.
    fn proposed(ask: Value) -> Result<Proposed, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("bottle.yaml")).unwrap();
        fs_err::write(&file, MANIFEST).unwrap();
        let manifest = ManifestFile::read(file).unwrap();
        let ask = serde_json::from_value::<Ask>(ask).unwrap().checked()?;
        patched(&manifest, &ask, None, jiff::civil::date(2026, 11, 28)).map_err(|error| format!("{error:#}"))
    }

    fn route(host: &str, path: &str, methods: &[&str], token: Option<&str>) -> Result<Proposed, String> {
        let mut ask =
            json!({"host": host, "path_allowlist": [path], "methods": methods, "justification": "x"});
        if let Some(token) = token {
            ask["auth"] = json!({"scheme": "Bearer", "token_ref": token});
        }
        proposed(json!({ "egress-proxy-block": ask }))
    }

    fn failed(url: &str) -> Result<Proposed, String> {
        proposed(json!({"pipelock-block": {"failed_url": url, "justification": "x"}}))
    }

    #[test]
    fn what_one_rule_for_a_host_allows_beside_the_proposal_is_said() {
        let beyond = |host, path, methods: &[&str]| route(host, path, methods, None).unwrap().beyond;
        let more = beyond("b.test", "/v2", &["POST"]);
        let holds = "what the rule says elsewhere holds for it: websocket";
        assert_eq!(more, ["GET, HEAD on /v2", "POST on /v1", holds]);
        assert_eq!(beyond("b.test", "/v2", &["GET", "HEAD"]), [holds]);
        assert_eq!(beyond("b.test", "/v1/x", &["POST"]), ["POST on /v1", holds]);
        let with_token =
            beyond("a.test", "/v2", &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
        assert_eq!(with_token.last().unwrap(), "A_TOKEN is sent with each request");
        assert!(beyond("new.test", "/v2", &["GET"]).is_empty());
    }

    #[test]
    fn no_proposal_takes_the_place_of_a_wildcards_rule() {
        for refused in [route("x.cdn.test", "/v2", &["GET"], None), failed("https://x.cdn.test/v2/a")] {
            let why = refused.unwrap_err();
            assert!(
                why.contains("x.cdn.test is one of *.cdn.test, whose rule is at egress_proxy.routes[2]"),
                "{why}"
            );
        }
        route("*.cdn.test", "/v2", &["GET"], None).unwrap();
        route("x.y.cdn.test", "/v2", &["GET"], None).unwrap();
        let fine = failed("https://x.cdn.test/v1/a").unwrap_err();
        assert!(fine.contains("no rule refuses GET x.cdn.test/v1/a"), "{fine}");
    }

    #[test]
    fn no_proposal_sends_a_credential_to_another_host() {
        for host in ["b.test", "new.test"] {
            let why = route(host, "/v1", &["GET"], Some("A_TOKEN")).unwrap_err();
            assert!(
                why.contains("A_TOKEN is the credential of a.test, at egress_proxy.routes[0]"),
                "{host}: {why}"
            );
        }
        route("a.test", "/v2", &["GET"], Some("A_TOKEN")).unwrap();
        route("new.test", "/v2", &["GET"], Some("NEW_TOKEN")).unwrap();
        let ask = json!({"egress-proxy-block": {"host": "new.test", "path_allowlist": ["/v1"], "methods": ["GET"],
            "auth": {"scheme": "Bearer", "token_ref": "NEW_TOKEN"}, "justification": "x"}});
        let ask = serde_json::from_value(ask).unwrap();
        assert_eq!(described(&ask), "with the credential NEW_TOKEN: GET https://new.test /v1");
    }

    #[test]
    fn a_url_that_failed_is_one_path_or_none() {
        let text = failed("https://new.test/v1/a?q=1").unwrap().text;
        assert!(text.contains("/v1/a") && !text.contains("q=1"), "{text}");
        // Encoded, a star is itself.
        assert!(failed("https://new.test/v1/%2A").unwrap().text.contains("[/v1/%2A]"));
        for star in
            ["https://new.test/v1/*/x", "https://new.test/*", "https://new.test/a*", "https://new.test//"]
        {
            let why = failed(star).unwrap_err();
            assert!(why.contains("a `*` is any name"), "{star}: {why}");
        }
        for whole in ["https://new.test/", "https://new.test", "https://new.test/?x=1"] {
            let why = failed(whole).unwrap_err();
            assert!(why.contains("is every path of the host"), "{whole}: {why}");
        }
    }
}
