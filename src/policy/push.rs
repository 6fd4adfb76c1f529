//! What a push may change: the refs of `git.push`.
//!
//! A ref is decided on by its full name in the form that `git check-ref-format` takes, so that no name has two spellings.

use super::SecretRules;
use serde::Serialize;
use std::fmt;

/// The longest name of a ref; most servers take no longer one as the name of a file.
const LONGEST: usize = 1024;

/// The full name of a ref: `refs/heads/agent/x`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// Why a text is no full name of a ref (git-check-ref-format(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefNameError {
    /// `main`, `HEAD`, `heads/main`.
    #[error("a full name begins with `refs/`, such as refs/heads/agent/x")]
    NotFull,
    /// `refs/`, `refs//x`, `refs/x/`.
    #[error("a part between two `/` is empty")]
    EmptyPart,
    /// `refs/.x`, `refs/x/..`.
    #[error("no part begins with `.`, and `..` stands nowhere")]
    Dots,
    /// `refs/x.lock`, `refs/x.`.
    #[error("no part ends in `.lock`, and the name not in `.`")]
    End,
    /// A control byte, a space, `~^:?*[\`, or `@{`.
    #[error("a name holds no control character, no space, none of ~ ^ : ? * [ \\ and no @{{")]
    Character,
    /// Over 1024 bytes.
    #[error("the name is longer than {LONGEST} bytes")]
    Long,
}

impl RefName {
    /// Reads a name, which has exactly one spelling.
    pub fn parse(text: &str) -> Result<Self, RefNameError> {
        let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        if text.len() > LONGEST {
            return Err(RefNameError::Long);
        }
        let Some(rest) = text.strip_prefix("refs/") else { return Err(RefNameError::NotFull) };
        if text.chars().any(bad) || text.contains("@{") {
            return Err(RefNameError::Character);
        }
        if rest.split('/').any(str::is_empty) {
            return Err(RefNameError::EmptyPart);
        }
        if text.contains("..") || rest.split('/').any(|part| part.starts_with('.')) {
            return Err(RefNameError::Dots);
        }
        if text.ends_with('.') || rest.split('/').any(|part| part.strip_suffix(".lock").is_some()) {
            return Err(RefNameError::End);
        }
        Ok(Self(text.to_owned()))
    }

    /// As it is written everywhere.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entry of `git.push.refs`: a full name, in which one `*` may stand for one character or more, `/` included, as it
/// does in git's own refspecs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub struct RefPattern {
    before: String,
    /// Nothing without a `*`.
    after: Option<String>,
}

/// Why a text is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefPatternError {
    /// No name comes of it, whatever the `*` stands for.
    #[error(transparent)]
    Name(#[from] RefNameError),
    /// `refs/*/*`.
    #[error("one `*` is understood, not several")]
    Stars,
}

impl RefPattern {
    /// Reads an entry.
    pub fn parse(text: &str) -> Result<Self, RefPatternError> {
        let (before, after) = match text.split_once('*') {
            Some((_, after)) if after.contains('*') => return Err(RefPatternError::Stars),
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (text, None),
        };
        RefName::parse(&text.replacen('*', "x", 1))?;
        // `*refs/x` and `r*` would be no full name for every value of the `*`.
        if !before.starts_with("refs/") {
            return Err(RefNameError::NotFull.into());
        }
        Ok(Self { before: before.to_owned(), after })
    }

    /// Whether the entry allows the ref.
    #[must_use]
    pub fn matches(&self, name: &RefName) -> bool {
        let name = name.as_str();
        match &self.after {
            None => name == self.before,
            Some(after) => {
                name.len() > self.before.len() + after.len()
                    && name.starts_with(&self.before)
                    && name.ends_with(after.as_str())
            }
        }
    }

    /// Whether the entry allows a ref below a folder, which ends in a slash.
    #[must_use]
    pub fn reaches(&self, folder: &str) -> bool {
        self.before.starts_with(folder) || self.after.is_some() && folder.starts_with(&self.before)
    }

    /// Whether it allows refs below one of these folders alone.
    #[must_use]
    pub fn stays_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.before.starts_with(folder))
    }

    /// Whether every ref that `other` allows is allowed by `self`. It never says yes wrongly.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.after, &other.after) {
            (None, None) => self == other,
            (None, Some(_)) => false,
            (Some(_), None) => RefName::parse(&other.before).is_ok_and(|name| self.matches(&name)),
            (Some(own), Some(theirs)) => {
                other.before.starts_with(&self.before) && theirs.ends_with(own.as_str())
            }
        }
    }
}

impl fmt::Display for RefPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        self.after.iter().try_for_each(|after| write!(f, "*{after}"))
    }
}

impl From<RefPattern> for String {
    fn from(pattern: RefPattern) -> Self {
        pattern.to_string()
    }
}

/// Bytes of a pack where `max_pack` is absent.
pub const DEFAULT_MAX_PACK: u64 = 50 << 20;

/// The most that `max_pack` may say: all packs that are held at the same time have no more room than that in the proxy.
pub const LARGEST_MAX_PACK: u64 = 128 << 20;

/// What `git.push` of a route allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PushRules {
    /// The refs; none but these.
    pub refs: Vec<RefPattern>,
    /// New refs may be made.
    pub create: bool,
    /// Refs may be deleted.
    pub delete: bool,
    /// A ref may be moved to what does not descend from its old tip.
    pub force: bool,
    /// Bytes of a pack.
    pub max_pack: u64,
    /// What it may not carry beside what is known.
    pub rules: Option<SecretRules>,
}

/// What becomes of a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefChange {
    /// It was not there.
    Create,
    /// It moves.
    Update,
    /// It goes.
    Delete,
}

impl PushRules {
    /// Whether one ref may be changed so. The refusal is a sentence. That an update goes forward the commits say.
    pub fn check(&self, name: &RefName, change: RefChange) -> Result<(), String> {
        if !self.refs.iter().any(|pattern| pattern.matches(name)) {
            return Err(format!("the ref is outside of what git.push allows here: {}", self.shown_refs()));
        }
        // Forges read options behind a `%` (Gerrit), and what builds a branch puts its name into scripts.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/@+=-".contains(&byte);
        if !name.as_str().bytes().all(plain) {
            return Err(
                "the name of the ref holds more than letters, digits and . _ / @ + = -: name it plainly"
                    .to_owned(),
            );
        }
        match change {
            RefChange::Create if !self.create => {
                Err("the ref is not there yet, and git.push.create is false here".to_owned())
            }
            RefChange::Delete if !self.delete => {
                Err("deleting a ref is not allowed here: git.push.delete is false".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// `refs/heads/agent/*, refs/tags/agent-*`.
    #[must_use]
    pub fn shown_refs(&self) -> String {
        super::listed::shorten(self.refs.iter().map(ToString::to_string)).join(", ")
    }

    /// Whether these allow anything that `old` do not.
    #[must_use]
    pub fn exceeds(&self, old: &Self) -> bool {
        let Self { refs, create, delete, force, max_pack, rules } = self;
        let finds = |old: &SecretRules| rules.as_ref().is_some_and(|new| new.covers(old));
        !refs.iter().all(|new| old.refs.iter().any(|old| old.covers(new)))
            || *create && !old.create
            || *delete && !old.delete
            || *force && !old.force
            || *max_pack > old.max_pack
            || !old.rules.as_ref().is_none_or(finds)
    }
}

/// `refs/heads/agent/*: create, no delete, no force, up to 50 MiB`.
impl fmt::Display for PushRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refs: _, create, delete, force, max_pack, rules } = self;
        let word = |is: bool| if is { "" } else { "no " };
        write!(
            f,
            "{}: {}create, {}delete, {}force, packs up to {}",
            self.shown_refs(),
            word(*create),
            word(*delete),
            word(*force),
            size(*max_pack)
        )?;
        rules.iter().try_for_each(|rules| write!(f, ", searched by {rules}"))
    }
}

/// `50 MiB`, or bytes where it is no whole number of them.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests;
