//! What a push asks for before its pack (gitprotocol-pack(5), `receive-pack.c`): a list of commands, one for each ref.
//!
//! Read strictly: what git's own client would not send is refused, since servers differ in how they read it.

use super::{
    capabilities::{Capabilities, CapabilityError},
    object_id::ObjectId,
    pkt_line::{self, Pkt, PktError},
};
use crate::policy::{RefChange, RefName, RefNameError};
use std::collections::BTreeSet;

/// Refs of one push.
const MOST: usize = 1000;

/// Commits at which the clone of a push ends.
const MOST_SHALLOW: usize = 1000;

/// Bytes of all commands.
const LARGEST: usize = 512 << 10;

/// What becomes of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which one.
    pub name: RefName,
    /// What the client says it was; nothing for a new one.
    pub old: Option<ObjectId>,
    /// What it shall be; nothing to delete it.
    pub new: Option<ObjectId>,
}

impl Command {
    /// What that is.
    #[must_use]
    pub fn change(&self) -> RefChange {
        match (&self.old, &self.new) {
            (None, _) => RefChange::Create,
            (Some(_), None) => RefChange::Delete,
            (Some(_), Some(_)) => RefChange::Update,
        }
    }
}

/// All of a push but its pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// One for each ref, in the order in which they came; none in the probe `0000` by which git asks for the credential.
    pub list: Vec<Command>,
    /// Commits whose parents a shallow clone does not have.
    pub shallow: Vec<ObjectId>,
    /// Of the first one.
    pub capabilities: Capabilities,
}

impl Commands {
    /// What of it an agent chose: names of refs and of objects, and who it says it is.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.list.iter().map(|command| command.name.as_str().as_bytes());
        let ids = self.list.iter().flat_map(|command| command.old.iter().chain(&command.new));
        let ids = ids.chain(&self.shallow);
        names.chain(ids.map(ObjectId::as_bytes)).chain([self.capabilities.text.as_slice()])
    }

    /// Whether a pack follows: not where every command deletes.
    #[must_use]
    pub fn want_a_pack(&self) -> bool {
        self.list.iter().any(|command| command.new.is_some())
    }
}

/// Why a list of commands is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandsError {
    /// No pkt-lines.
    #[error("the push is malformed: {0}")]
    Pkt(#[from] PktError),
    /// It breaks off.
    #[error("the push is malformed: its list of commands has no end")]
    Unfinished,
    /// `OLD NEW NAME` it is not.
    #[error("the push is malformed: line {0} is no command")]
    Malformed(usize),
    /// A name that is none.
    #[error("`{shown}` is no ref that is pushed to here: {error}")]
    Name {
        /// The name, or its beginning.
        shown: String,
        /// Why not.
        error: RefNameError,
    },
    /// A capability that is not passed on.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// Too many lines `shallow …`.
    #[error(
        "the clone is shallow in more than {MOST_SHALLOW} places: run `git fetch --unshallow`, then push again"
    )]
    Shallow,
    /// `push-cert`.
    #[error("a signed push is not passed on: push without `--signed`")]
    PushCert,
    /// One ref, two commands.
    #[error("the push is malformed: two commands for {0}")]
    Twice(RefName),
    /// Neither there before nor after.
    #[error("the push is malformed: the command for {0} changes nothing")]
    Nothing(RefName),
    /// Too many.
    #[error("a push changes {MOST} refs at most: push fewer at a time")]
    Many,
    /// Too large.
    #[error("the names of the refs are too long for one push: push fewer at a time")]
    Large,
}

/// Reads commands from a body as it comes.
#[derive(Debug, Default)]
pub struct CommandReader {
    bytes: Vec<u8>,
    read: usize,
    lines: usize,
    commands: Commands,
    names: BTreeSet<RefName>,
}

impl CommandReader {
    /// Takes more of the body. Once the list has ended it gives what follows: the beginning of the pack.
    pub fn push(&mut self, data: &[u8]) -> Result<Option<Vec<u8>>, CommandsError> {
        self.bytes.extend_from_slice(data);
        loop {
            let line = pkt_line::read(&self.bytes[self.read..])?;
            let Some((pkt, length)) = line else {
                return if self.bytes.len() > LARGEST { Err(CommandsError::Large) } else { Ok(None) };
            };
            if self.read + length > LARGEST {
                return Err(CommandsError::Large);
            }
            match pkt {
                Pkt::Flush => return Ok(Some(self.bytes.split_off(self.read + length))),
                Pkt::Data(line) => {
                    self.lines += 1;
                    // git says first where a clone ends.
                    if let Some(id) = line.strip_prefix(b"shallow ")
                        && self.commands.list.is_empty()
                    {
                        let id = shallow(id).ok_or(CommandsError::Malformed(self.lines))?;
                        if self.commands.shallow.len() == MOST_SHALLOW {
                            return Err(CommandsError::Shallow);
                        }
                        self.commands.shallow.push(id);
                        self.read += length;
                        continue;
                    }
                    let first = self.commands.list.is_empty();
                    let (command, capabilities) = read_line(line, self.lines, first)?;
                    if self.commands.list.len() == MOST {
                        return Err(CommandsError::Many);
                    }
                    if let Some(capabilities) = capabilities {
                        self.commands.capabilities = capabilities?;
                    }
                    if !self.names.insert(command.name.clone()) {
                        return Err(CommandsError::Twice(command.name));
                    }
                    self.commands.list.push(command);
                }
            }
            self.read += length;
        }
    }

    /// What was read, and its bytes.
    #[must_use]
    pub fn into_parts(mut self) -> (Commands, Vec<u8>) {
        self.bytes.shrink_to_fit();
        (self.commands, self.bytes)
    }

    /// What was read, also where the rest can't be: whom to answer, and how.
    #[must_use]
    pub fn so_far(&self) -> &Commands {
        &self.commands
    }
}

type Line = (Command, Option<Result<Capabilities, CapabilityError>>);

fn read_line(line: &[u8], number: usize, first: bool) -> Result<Line, CommandsError> {
    let malformed = CommandsError::Malformed(number);
    if line.starts_with(b"push-cert") {
        return Err(CommandsError::PushCert);
    }
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let nul = line.iter().position(|byte| *byte == 0);
    let (command, capabilities) = match nul {
        Some(at) if first => (&line[..at], Some(&line[at + 1..])),
        Some(_) => return Err(malformed),
        None => (line, None),
    };
    let mut words = command.splitn(3, |byte| *byte == b' ');
    let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Err(malformed);
    };
    let (Some(old), Some(new)) = (ObjectId::from_hex(old), ObjectId::from_hex(new)) else {
        return Err(malformed_or_sha256(old, malformed));
    };
    let (old, new) = (unless_zero(old), unless_zero(new));
    let shown = || name.escape_ascii().to_string().chars().take(100).collect();
    let text = std::str::from_utf8(name)
        .map_err(|_| CommandsError::Name { shown: shown(), error: RefNameError::Character })?;
    let name = RefName::parse(text).map_err(|error| CommandsError::Name { shown: shown(), error })?;
    // git sends none that changes nothing, and some servers look at nothing but the new name.
    if old == new {
        return Err(CommandsError::Nothing(name));
    }
    Ok((Command { name, old, new }, capabilities.map(Capabilities::read)))
}

fn shallow(id: &[u8]) -> Option<ObjectId> {
    ObjectId::from_hex(id.strip_suffix(b"\n").unwrap_or(id)).filter(|id| !id.is_null())
}

/// The name of no object is all zeros.
fn unless_zero(id: ObjectId) -> Option<ObjectId> {
    (!id.is_null()).then_some(id)
}

/// A push to a repository in SHA-256 has longer names of objects.
fn malformed_or_sha256(old: &[u8], malformed: CommandsError) -> CommandsError {
    if old.len() == 64 && old.iter().all(u8::is_ascii_hexdigit) {
        CapabilityError::ObjectFormat("sha256".to_owned()).into()
    } else {
        malformed
    }
}

#[cfg(test)]
mod tests;
