//! The body of a push as it comes: commands, which are decided on as soon as they are there, and the pack, which is held.
//!
//! Nothing fails on the way: what is refused is read to its end and dropped, since git shows an answer only then.

use super::{
    commands::{CommandReader, Commands, CommandsError},
    pack,
    report::Rejection,
    spool::{Room, Spool, SpoolError},
};
use crate::policy::{PushRules, size};
use std::sync::Arc;

/// Why a push is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What kind of reason it is, in a word for logs.
    pub kind: &'static str,
    /// The reason as a sentence without its full stop.
    pub message: String,
    /// It may pass later.
    pub retry: bool,
    /// What the client is told.
    pub rejection: Rejection,
}

impl Refused {
    /// The push as a whole.
    #[must_use]
    pub fn whole(kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let remote = vec![format!("bottle: {message}"), NOTHING_SENT.to_owned()];
        let rejection = Rejection { unpack: Some(message.clone()), refs: Vec::new(), remote };
        Self { kind, message, retry: false, rejection }
    }

    /// What a look at the pack found.
    #[must_use]
    pub fn of_pack(found: pack::Refused) -> Self {
        let pack::Refused { refname, reason, remote, kind } = found;
        let remote =
            remote.into_iter().map(|line| format!("bottle: {line}")).chain([NOTHING_SENT.to_owned()]);
        let message = refname.as_ref().map_or_else(|| reason.clone(), |name| format!("{name}: {reason}"));
        let (unpack, refs) = match refname {
            Some(name) => (None, vec![(name, reason)]),
            None => (Some(reason), Vec::new()),
        };
        let rejection = Rejection { unpack, refs, remote: remote.collect() };
        Self { kind: kind.as_str(), message, retry: false, rejection }
    }

    /// Some refs, each for a reason; there is one at least.
    #[must_use]
    pub fn refs(kind: &'static str, refs: Vec<(String, String)>) -> Self {
        let shown = refs.iter().take(SHOWN).map(|(name, reason)| format!("bottle: {name}: {reason}"));
        let mut remote: Vec<String> = shown.collect();
        let more = refs.len().saturating_sub(SHOWN);
        if more > 0 {
            remote.push(format!("bottle: … and {more} more refs"));
        }
        remote.push(NOTHING_SENT.to_owned());
        let message = refs.first().map(|(name, reason)| format!("{name}: {reason}")).unwrap_or_default();
        Self { kind, message, retry: false, rejection: Rejection { unpack: None, refs, remote } }
    }
}

/// Refs that are named on `remote:` lines; the report names all.
const SHOWN: usize = 20;

/// What every refused push ends with.
pub const NOTHING_SENT: &str =
    "bottle: nothing of this push has left the bottle; what git.push allows is on http://bottle.internal/";

/// A push as it came.
#[derive(Debug, Default)]
pub struct Received {
    /// What it asks for, as far as it could be read.
    pub commands: Commands,
    /// The same as bytes, its end included; nothing of a refused push.
    pub head: Vec<u8>,
    /// Nothing where none follows. Its room is given back when the last one lets go of it.
    pub pack: Option<Arc<Spool>>,
}

/// Takes the body of a push.
#[derive(Debug)]
pub struct Intake<'r> {
    rules: &'r PushRules,
    room: Arc<Room>,
    reader: CommandReader,
    /// The commands have ended.
    after: bool,
    pack: Option<Spool>,
    refused: Option<Refused>,
}

impl<'r> Intake<'r> {
    /// Under these rules; the pack is held in `room`.
    #[must_use]
    pub fn new(rules: &'r PushRules, room: Arc<Room>) -> Self {
        Self { rules, room, reader: CommandReader::default(), after: false, pack: None, refused: None }
    }

    /// Takes more of the body.
    pub fn push(&mut self, data: &[u8]) {
        if self.refused.is_some() {
            return;
        }
        let outcome = if self.after { self.hold(data) } else { self.commands(data) };
        self.refuse(outcome);
    }

    fn refuse(&mut self, outcome: Result<(), Refused>) {
        if let Err(refused) = outcome {
            self.pack = None;
            self.refused = Some(refused);
        }
    }

    fn commands(&mut self, data: &[u8]) -> Result<(), Refused> {
        let rest = self.reader.push(data).map_err(|error| malformed(&error))?;
        let Some(rest) = rest else { return Ok(()) };
        self.after = true;
        let commands = self.reader.so_far();
        if commands.list.is_empty() && !commands.shallow.is_empty() {
            return Err(Refused::whole("commands", "the push is malformed: it changes no ref"));
        }
        decide(commands, self.rules)?;
        if rest.is_empty() { Ok(()) } else { self.hold(&rest) }
    }

    fn hold(&mut self, data: &[u8]) -> Result<(), Refused> {
        if !self.reader.so_far().want_a_pack() {
            return Err(Refused::whole(
                "commands",
                "the push is malformed: something follows where no pack is due",
            ));
        }
        let held = self.pack.as_ref().map_or(0, Spool::length);
        if held + data.len() as u64 > self.rules.max_pack {
            let message = format!(
                "the pack is larger than {}, which git.push.max_pack allows here: push fewer commits at a time, or have a \
                 person push it",
                size(self.rules.max_pack)
            );
            return Err(Refused::whole("size", message));
        }
        if self.pack.is_none() {
            self.pack = Some(Spool::new(Arc::clone(&self.room)).map_err(|error| no_room(&error))?);
        }
        self.pack.as_mut().map_or(Ok(()), |pack| pack.push(data)).map_err(|error| no_room(&error))
    }

    /// The body has come to its end.
    pub fn finish(&mut self) -> (Received, Option<Refused>) {
        if self.refused.is_none() {
            let commands = self.reader.so_far();
            let outcome = if !self.after {
                Err(malformed(&CommandsError::Unfinished))
            } else if commands.want_a_pack() && self.pack.is_none() {
                Err(Refused::whole("pack", "the push is malformed: its pack is missing"))
            } else {
                Ok(())
            };
            self.refuse(outcome);
        }
        let (commands, head) = std::mem::take(&mut self.reader).into_parts();
        let head = if self.refused.is_some() { Vec::new() } else { head };
        let received = Received { commands, head, pack: self.pack.take().map(Arc::new) };
        (received, self.refused.take())
    }
}

/// One ref that is refused refuses all.
fn decide(commands: &Commands, rules: &PushRules) -> Result<(), Refused> {
    let refused = commands.list.iter().filter_map(|command| {
        let reason = rules.check(&command.name, command.change()).err()?;
        Some((command.name.to_string(), reason))
    });
    let refused: Vec<_> = refused.collect();
    if refused.is_empty() { Ok(()) } else { Err(Refused::refs("ref", refused)) }
}

fn malformed(error: &CommandsError) -> Refused {
    Refused::whole("commands", error.to_string())
}

fn no_room(error: &SpoolError) -> Refused {
    if let SpoolError::System(error) = &error {
        tracing::warn!(%error, "a pack can't be held");
    }
    Refused { retry: true, ..Refused::whole("room", error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::super::pkt_line;
    use super::*;
    use crate::policy::RefPattern;
    use std::os::unix::fs::FileExt as _;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    fn rules() -> PushRules {
        PushRules {
            refs: vec![RefPattern::parse("refs/heads/agent/*").unwrap()],
            create: true,
            delete: true,
            force: false,
            max_pack: 8,
            rules: None,
        }
    }

    fn take(commands: &[String], pack: &[u8], room: u64) -> (Received, Option<Refused>) {
        let mut body = Vec::new();
        for (at, line) in commands.iter().enumerate() {
            let capabilities = if at == 0 { "\0report-status" } else { "" };
            pkt_line::write(format!("{line}{capabilities}").as_bytes(), &mut body);
        }
        body.extend_from_slice(pkt_line::FLUSH);
        body.extend_from_slice(pack);
        let rules = rules();
        let mut whole = Intake::new(&rules, Arc::new(Room::of(room)));
        whole.push(&body);
        let mut bytewise = Intake::new(&rules, Arc::new(Room::of(room)));
        for byte in &body {
            bytewise.push(&[*byte]);
        }
        let (whole, bytewise) = (whole.finish(), bytewise.finish());
        assert_eq!(whole.1, bytewise.1);
        assert_eq!(whole.0.pack.is_some(), bytewise.0.pack.is_some());
        assert_eq!(whole.0.head, bytewise.0.head);
        whole
    }

    fn refusal(commands: &[String], pack: &[u8]) -> (&'static str, String) {
        let (received, refused) = take(commands, pack, 100);
        let refused = refused.unwrap();
        assert!(received.pack.is_none(), "what is refused is not held");
        (refused.kind, refused.message)
    }

    #[test]
    fn what_is_allowed_is_held_as_it_came() {
        let (received, refused) = take(&[format!("{A} {B} refs/heads/agent/x")], b"12345678", 8);
        assert_eq!(refused, None);
        let pack = received.pack.unwrap();
        let mut held = vec![0; usize::try_from(pack.length()).unwrap()];
        pack.file().read_exact_at(&mut held, 0).unwrap();
        assert_eq!(held, b"12345678");
        assert!(received.head.ends_with(b"0000"));
        assert_eq!(received.commands.list.len(), 1);
        let (deleted, refused) = take(&[format!("{A} {ZERO} refs/heads/agent/x")], b"", 8);
        assert!(refused.is_none() && deleted.pack.is_none());
        let (probe, refused) = take(&[], b"", 8);
        assert!(refused.is_none() && probe.commands.list.is_empty() && probe.head == b"0000");
    }

    #[test]
    fn every_other_push_is_refused_in_words() {
        let inside = format!("{A} {B} refs/heads/agent/x");
        assert_eq!(
            refusal(&[inside.clone(), format!("{A} {B} refs/heads/main")], b"PACK"),
            (
                "ref",
                "refs/heads/main: the ref is outside of what git.push allows here: refs/heads/agent/*"
                    .to_owned()
            )
        );
        let (kind, message) = refusal(std::slice::from_ref(&inside), b"123456789");
        assert_eq!(kind, "size");
        assert!(
            message.starts_with("the pack is larger than 8 bytes, which git.push.max_pack allows here"),
            "{message}"
        );
        assert_eq!(
            refusal(std::slice::from_ref(&inside), b"").1,
            "the push is malformed: its pack is missing"
        );
        for no_pack in [&[format!("{A} {ZERO} refs/heads/agent/x")][..], &[]] {
            let (kind, message) = refusal(no_pack, b"0");
            assert_eq!(
                (kind, message.as_str()),
                ("commands", "the push is malformed: something follows where no pack is due")
            );
        }
        assert_eq!(refusal(&[format!("shallow {A}")], b"").0, "commands");
        let rules = rules();
        let mut cut = Intake::new(&rules, Arc::default());
        cut.push(b"00");
        assert_eq!(cut.finish().1.unwrap().message, "the push is malformed: its list of commands has no end");
        let refused = take(&[inside], b"12345678", 7).1.unwrap();
        assert_eq!((refused.kind, refused.retry), ("room", true));
        assert_eq!(refused.message, "too many pushes are looked at at the same time: push again later");
    }

    #[test]
    fn many_refused_refs_are_named_in_the_report() {
        let commands: Vec<String> = (0..30).map(|n| format!("{A} {B} refs/heads/{n}")).collect();
        let refused = take(&commands, b"PACK", 100).1.unwrap();
        assert_eq!(refused.rejection.refs.len(), 30);
        assert_eq!(refused.rejection.remote.len(), SHOWN + 2);
        assert_eq!(refused.rejection.remote[SHOWN], "bottle: … and 10 more refs");
    }
}
