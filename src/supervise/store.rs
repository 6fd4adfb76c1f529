//! The two folders: proposals, which the service writes, and decisions, which it only reads.

use super::{Ask, Decision, LARGEST, Proposal, ProposalId};
use crate::clock::Clock;
use crate::tree::{Folder, TreeError, is_staged};
use camino::Utf8Path;
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The folder of proposals, in the state of supervision.
pub const PROPOSALS: &str = "proposals";
/// The folder of decisions.
pub const DECISIONS: &str = "decisions";
/// So many proposals wait for a person at most.
pub const OPEN: usize = 20;

/// What bounds an agent that asks and asks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Proposals that wait at once.
    pub open: usize,
    /// New proposals in any hour.
    pub hourly: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open: OPEN, hourly: 30 }
    }
}

/// Where a proposal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// A person has not decided yet.
    Pending,
    /// A person approved it, and that could not be applied; it waits still.
    Failed(Decision),
    /// A person has.
    Decided(Decision),
    /// There is no such proposal any more, or never was one.
    Unknown,
}

/// Why a proposal is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Something is wrong with it.
    #[error("{0}")]
    Malformed(String),
    /// The person has enough to decide.
    #[error(
        "{0} proposals wait for a person, and no more are taken until one is decided; go on with what is allowed"
    )]
    TooManyOpen(usize),
    /// That was enough for now.
    #[error("{0} proposals were made in the last hour, and no more are taken; go on with what is allowed")]
    TooMany(usize),
    /// A folder can't be used.
    #[error(transparent)]
    Folder(#[from] TreeError),
    /// The system has no random numbers.
    #[error("no id can be made")]
    Random,
}

/// Both folders, and what was asked lately.
#[derive(Debug)]
pub struct Store {
    proposals: Folder,
    decisions: Folder,
    clock: Clock,
    limits: Limits,
    /// When proposals were made, the oldest first. Whoever holds it may write.
    made: Mutex<VecDeque<Timestamp>>,
}

/// More files than this service ever has there.
const LOOKED_AT: usize = 10 * OPEN;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

impl Store {
    /// Opens both folders below `state`. What waits there counts as asked when it was.
    pub fn open(state: &Utf8Path, limits: Limits, clock: &Clock) -> Result<Self, TreeError> {
        let proposals = Folder::open(&state.join(PROPOSALS))?;
        sweep(&proposals)?;
        let decisions = Folder::open(&state.join(DECISIONS))?;
        let store = Self { proposals, decisions, clock: clock.clone(), limits, made: Mutex::default() };
        let mut times: Vec<Timestamp> = store.waiting()?.into_iter().map(|it| it.time).collect();
        times.sort_unstable();
        *store.made.lock().unwrap_or_else(PoisonError::into_inner) = times.into();
        Ok(store)
    }

    /// Takes a proposal that was made under these rules, and gives the name that it waits under. Who asks for the same
    /// again while it waits gets the same name.
    pub fn take(&self, ask: Ask, config: &str) -> Result<ProposalId, Refused> {
        let ask = ask.checked().map_err(Refused::Malformed)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.waiting()?;
        if let Some(same) = waiting.iter().find(|it| it.ask == ask) {
            return Ok(same.id.clone());
        }
        if waiting.len() >= self.limits.open {
            return Err(Refused::TooManyOpen(waiting.len()));
        }
        let time = self.clock.now();
        // A clock that was set back makes nothing older.
        while made.front().is_some_and(|first| time.duration_since(*first) >= HOUR) {
            made.pop_front();
        }
        if made.len() >= self.limits.hourly {
            return Err(Refused::TooMany(made.len()));
        }
        let id = ProposalId::random().map_err(|_| Refused::Random)?;
        let proposal = Proposal { version: 1, id: id.clone(), time, config: config.to_owned(), ask };
        let text =
            serde_json::to_string_pretty(&proposal).map_err(|error| Refused::Malformed(error.to_string()))?;
        self.proposals.stage(&id.file(), text.as_bytes(), 0o600)?.commit()?;
        made.push_back(time);
        Ok(id)
    }

    /// Where a proposal stands.
    pub fn status(&self, id: &ProposalId) -> Result<Status, TreeError> {
        // The host writes the decision before it takes the proposal away.
        let waits = self.proposals.entry(&id.file())?.is_some();
        Ok(match (self.decision(id)?, waits) {
            (Some(decision), true) if !decision.verdict.is_final() => Status::Failed(decision),
            (Some(decision), _) => Status::Decided(decision),
            (None, true) => Status::Pending,
            (None, false) => match self.decision(id)? {
                Some(decision) => Status::Decided(decision),
                None => Status::Unknown,
            },
        })
    }

    fn decision(&self, id: &ProposalId) -> Result<Option<Decision>, TreeError> {
        let Some(bytes) = self.decisions.read_at_most(&id.file(), LARGEST)? else { return Ok(None) };
        // The host renames a whole file: what can't be read is no decision of this version's.
        Ok(serde_json::from_slice(&bytes).ok().filter(|decision: &Decision| decision.id == *id))
    }

    /// The proposals without a decision. What is none, or can't be read, keeps no other from being one.
    fn waiting(&self) -> Result<Vec<Proposal>, TreeError> {
        let is_one = |name: &str| ProposalId::of_file(name).is_some();
        let (names, _) = self.proposals.pick_names(LOOKED_AT, is_one)?;
        let mut waiting = Vec::new();
        for id in names.iter().filter_map(|name| ProposalId::of_file(name)) {
            let bytes = match self.proposals.read_at_most(&id.file(), LARGEST) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%id, %error, "a file among the proposals is passed over");
                    continue;
                }
            };
            match Proposal::parse(&bytes, &id) {
                Ok(proposal) if self.decision(&id)?.is_none_or(|it| !it.verdict.is_final()) => {
                    waiting.push(proposal);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%id, %error, "a file among the proposals is passed over"),
            }
        }
        Ok(waiting)
    }
}

/// Removes what a killed process was writing. Nothing else is in the way of a start.
fn sweep(proposals: &Folder) -> Result<(), TreeError> {
    let (staged, _) = proposals.pick_names(LOOKED_AT, is_staged)?;
    for name in staged {
        if let Err(error) = proposals.remove(&name) {
            tracing::warn!(%error, "what was left of a proposal stays");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{FailedAsk, Verdict};
    use super::*;
    use camino::Utf8PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    const CONFIG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    struct Place {
        _dir: tempfile::TempDir,
        state: Utf8PathBuf,
        seconds: Arc<AtomicI64>,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let state = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
            for folder in [PROPOSALS, DECISIONS] {
                fs_err::create_dir(state.join(folder)).unwrap();
            }
            Self { _dir: dir, state, seconds: Arc::new(AtomicI64::new(1_800_000_000)) }
        }

        fn store(&self, limits: Limits) -> Store {
            let seconds = Arc::clone(&self.seconds);
            let clock =
                Clock::from_fn(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap());
            Store::open(&self.state, limits, &clock).unwrap()
        }

        fn decide(&self, id: &ProposalId, text: &str) {
            fs_err::write(self.state.join(DECISIONS).join(id.file()), text).unwrap();
        }
    }

    fn ask(n: usize) -> Ask {
        let failed_url = format!("https://a.test/{n}");
        Ask::PipelockBlock(FailedAsk { failed_url, justification: "x".to_owned() })
    }

    fn decision(id: &ProposalId) -> String {
        let time = Timestamp::UNIX_EPOCH;
        let notes = "no".to_owned();
        let decision = Decision { version: 1, id: id.clone(), verdict: Verdict::Rejected, notes, time };
        serde_json::to_string(&decision).unwrap()
    }

    #[test]
    fn a_bad_file_keeps_the_service_neither_from_starting_nor_from_taking_a_proposal() {
        use std::os::unix::ffi::OsStrExt as _;
        let place = Place::new();
        let folder = place.state.join(PROPOSALS);
        let first = place.store(Limits::default()).take(ask(0), CONFIG).unwrap();
        fs_err::write(folder.join("000000000001.json"), "{").unwrap();
        fs_err::write(folder.join("000000000002.json"), "x".repeat(100_000)).unwrap();
        fs_err::create_dir(folder.join("000000000003.json")).unwrap();
        fs_err::create_dir(folder.join(".bottle-staged-1-x")).unwrap();
        fs_err::write(folder.join(".bottle-staged-1-y"), "").unwrap();
        fs_err::os::unix::fs::symlink("/etc/passwd", folder.join("000000000004.json")).unwrap();
        let no_utf8 = folder.as_std_path().join(std::ffi::OsStr::from_bytes(b"\xff.json"));
        fs_err::write(no_utf8, "").unwrap();
        let store = place.store(Limits::default());
        assert!(!folder.join(".bottle-staged-1-y").exists());
        assert_eq!(store.take(ask(0), CONFIG).unwrap(), first);
        store.take(ask(1), CONFIG).unwrap();
    }

    #[test]
    fn after_an_approval_that_failed_a_proposal_waits_and_says_so() {
        let place = Place::new();
        let store = place.store(Limits { open: 1, hourly: 9 });
        let id = store.take(ask(0), CONFIG).unwrap();
        place.decide(&id, &decision(&id).replace("rejected", "failed"));
        assert!(matches!(store.status(&id).unwrap(), Status::Failed(it) if it.verdict == Verdict::Failed));
        assert_eq!(store.take(ask(0), CONFIG).unwrap(), id, "it is the same one still");
        assert!(matches!(store.take(ask(1), CONFIG), Err(Refused::TooManyOpen(1))));
        place.decide(&id, &decision(&id));
        assert!(matches!(store.status(&id).unwrap(), Status::Decided(_)));
    }

    #[test]
    fn a_thousand_proposals_are_as_many_as_a_person_can_read_and_the_same_one_counts_once() {
        let place = Place::new();
        let store = place.store(Limits::default());
        let first = store.take(ask(0), CONFIG).unwrap();
        for _ in 0..100 {
            assert_eq!(store.take(ask(0), CONFIG).unwrap(), first);
        }
        let taken = (1..1000).filter(|n| store.take(ask(*n), CONFIG).is_ok()).count();
        assert_eq!(taken + 1, OPEN);
        let said = store.take(ask(1000), CONFIG).unwrap_err().to_string();
        assert!(said.starts_with("20 proposals wait for a person, and no more are taken"), "{said}");
        assert_eq!(fs_err::read_dir(place.state.join(PROPOSALS)).unwrap().count(), OPEN);
    }

    #[test]
    fn decided_ones_make_room_but_the_hour_does_not_begin_anew_not_even_with_the_process() {
        let place = Place::new();
        let limits = Limits { open: 2, hourly: 3 };
        let mut store = place.store(limits);
        for n in 0..3 {
            let id = store.take(ask(n), CONFIG).unwrap();
            if n < 2 {
                place.decide(&id, &decision(&id));
                fs_err::remove_file(place.state.join(PROPOSALS).join(id.file())).unwrap();
            }
        }
        let said = store.take(ask(9), CONFIG).unwrap_err().to_string();
        assert!(said.starts_with("3 proposals were made in the last hour"), "{said}");
        place.seconds.fetch_add(3599, Ordering::Relaxed);
        assert!(matches!(store.take(ask(9), CONFIG), Err(Refused::TooMany(3))));
        place.seconds.fetch_add(1, Ordering::Relaxed);
        store.take(ask(9), CONFIG).unwrap();
        store = place.store(limits);
        assert!(matches!(store.take(ask(10), CONFIG), Err(Refused::TooManyOpen(2))), "both still wait");
    }

    #[test]
    fn a_decision_is_a_whole_file_of_the_host_for_this_very_proposal() {
        let place = Place::new();
        let store = place.store(Limits::default());
        let (id, other) = (store.take(ask(0), CONFIG).unwrap(), store.take(ask(1), CONFIG).unwrap());
        assert_eq!(store.status(&id).unwrap(), Status::Pending);
        place.decide(&id, &decision(&other));
        assert_eq!(store.status(&id).unwrap(), Status::Pending, "of another one");
        place.decide(&id, "{}");
        assert_eq!(store.status(&id).unwrap(), Status::Pending, "none at all");
        place.decide(&id, &decision(&id));
        assert!(matches!(store.status(&id).unwrap(), Status::Decided(it) if it.verdict == Verdict::Rejected));
        assert_eq!(store.status(&"0123456789ab".parse().unwrap()).unwrap(), Status::Unknown);
    }
}
