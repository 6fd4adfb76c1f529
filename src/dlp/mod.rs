//! Data loss prevention: finds credentials in text, in fields and in streamed bodies. Knows no HTTP server.
//!
//! What it promises:
//!
//! * **One answer for one text.** Every split of a stream into chunks gives the same finding: whether a byte
//!   belongs to a finding depends on the bytes around it, never on where a chunk ended.
//! * **Flat memory.** Kinds are bounded, decoders are incremental, and what is held back is the part of the stream that
//!   could still become a finding.
//! * **No boundary that a sender controls.** What stands before or after a credential hides nothing: prefix, length,
//!   alphabet, checksum and how random the value is decide. Decoded data is judged as data: an image in base64 is not a
//!   credential. Numbers are held to their checksum, and to a word that speaks of them.
//! * **Encodings.** [`Encoding`] lists them; they are looked through three deep, in any order and at any alignment.
//!
//! How it is fast: a bit map of three bytes, made of the table of kinds, is looked up at each byte; a shape is compared
//! only where one can begin. Nothing is compiled at the start. In decoded data only runs of printable text are looked at,
//! found by skipping.

mod assignment;
mod custom;
mod decoder;
mod decoders;
mod escape;
mod exceptions;
mod folded;
mod inflate;
mod json;
mod judge;
mod kinds;
mod lookalike;
mod mask;
mod names;
mod own;
mod patterns;
mod places;
mod radix;
mod redact;
mod row;
mod seed_phrase;
mod set;
mod shape;
mod sight;
mod site;
mod special;
mod stream;
mod validate;
mod view;
mod words;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use custom::{CustomError, PhraseState, Phrases};
pub use exceptions::{EVERY, Exception, Scanners};
pub use own::{Incoming, Outgoing, OwnSecret, OwnSecrets};
pub use places::places;
pub use redact::{Form, Redactor, Removed, mark};
pub use row::Severity;
pub use set::SEED_PHRASE;
pub use stream::StreamScanner;

/// What a scanner is built from.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Patterns beside the built-in ones.
    pub custom: Vec<CustomPattern>,
    /// Exact values that are no finding: the stand-ins that an agent holds instead of credentials.
    pub placeholders: Vec<String>,
    /// Look for BIP-39 seed phrases.
    pub seed_phrases: Option<SeedPhrases>,
}

/// A pattern of the user's own: a regular expression without look-around, case-insensitive like the built-in
/// engine's configuration says (RE2's `\w`, `\d`, `\s` and `\b` are ASCII).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomPattern {
    /// Its name, as it appears in findings.
    pub name: String,
    /// The expression.
    pub regex: String,
    /// How bad a match is.
    pub severity: Severity,
}

impl CustomPattern {
    /// A pattern of a manifest. Not critical: the upstream program refuses what is critical even where findings are only
    /// logged.
    #[must_use]
    pub fn own(name: impl Into<String>, regex: impl Into<String>) -> Self {
        Self { name: name.into(), regex: regex.into(), severity: Severity::High }
    }

    /// Whether they can be searched for together; names and expressions are checked.
    pub fn check(patterns: &[Self]) -> Result<(), CustomError> {
        set::check_names(patterns)?;
        custom::Custom::new(patterns).map(drop)
    }
}

/// How seed phrases are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedPhrases {
    /// The fewest words: 12, 15, 18, 21 or 24.
    pub min_words: usize,
    /// Whether the phrase's checksum must hold.
    pub verify_checksum: bool,
}

/// Why a scanner cannot be built as asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A pattern of the user's own is refused.
    #[error(transparent)]
    Custom(#[from] CustomError),
    /// Seed phrases have 12, 15, 18, 21 or 24 words.
    #[error("seed_phrase_detection.min_words is {0}; a seed phrase has 12, 15, 18, 21 or 24 words")]
    SeedWords(usize),
    /// An exception for a pattern that does not exist.
    #[error("no pattern is named \"{0}\"; the name must be written as a finding shows it")]
    UnknownPattern(String),
    /// An exception for a pattern of the core floor.
    #[error("the pattern \"{0}\" belongs to the core that cannot be switched off, for no host")]
    Core(String),
}

/// What was decoded before a finding showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Base64, either alphabet.
    Base64,
    /// Percent-encoding (RFC 3986 §2.1).
    Percent,
    /// Escapes of strings: `\u0067` (RFC 8259 §7), `\x67`, `\147`, with one backslash or several.
    JsonEscape,
    /// Base32 (RFC 4648 §6).
    Base32,
    /// Hexadecimal, with or without delimiters.
    Hex,
    /// Entities of HTML.
    Html,
    /// Quoted-printable (RFC 2045 §6.7).
    QuotedPrintable,
    /// UTF-16 or UTF-32, in either order of bytes.
    Utf16,
    /// Characters that look like ASCII, or like nothing.
    Unicode,
    /// gzip, zlib or an entry of a zip archive.
    Compressed,
}

impl Encoding {
    /// The stable name, for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Percent => "percent",
            Self::JsonEscape => "json",
            Self::Base32 => "base32",
            Self::Hex => "hex",
            Self::Html => "html",
            Self::QuotedPrintable => "quoted-printable",
            Self::Utf16 => "utf-16",
            Self::Unicode => "unicode",
            Self::Compressed => "compressed",
        }
    }
}

/// A credential was seen. Never carries a byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The pattern's name.
    pub pattern: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// What was decoded to see it, outermost first; empty when it stood there in clear.
    pub encodings: Vec<Encoding>,
    /// Where it begins, in bytes from the start of what was scanned; approximate under an encoding.
    pub offset: u64,
    /// The byte after which it was certain.
    pub end: u64,
}

/// A kind of credential that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As it appears in findings.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// No exception mutes it.
    pub core: bool,
    /// Who describes its shape.
    pub source: &'static str,
}

/// Finds credentials. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Scanner {
    set: Arc<set::Set>,
    muted: Arc<[bool]>,
}

impl Scanner {
    /// Builds a scanner.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        std::sync::LazyLock::force(&patterns::BUILTIN);
        let set = set::Set::new(settings)?;
        let muted = vec![false; set.len()].into();
        Ok(Self { set: Arc::new(set), muted })
    }

    /// The same scanner without the patterns of these names, for a host that is to receive them; [`EVERY`] stands for all
    /// that are not of the core.
    pub fn except<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Self, SettingsError> {
        let mut muted = self.muted.to_vec();
        for name in names {
            if name == EVERY {
                let ids = (0..).zip(&mut muted).filter(|(id, _)| !set::Set::is_core(*id));
                ids.for_each(|(_, muted)| *muted = true);
                continue;
            }
            let ids = self.set.ids(name);
            if ids.is_empty() {
                return Err(SettingsError::UnknownPattern(name.to_owned()));
            }
            if ids.iter().any(|&id| set::Set::is_core(id)) {
                return Err(SettingsError::Core(name.to_owned()));
            }
            for id in ids {
                muted[usize::from(id)] = true;
            }
        }
        Ok(Self { set: Arc::clone(&self.set), muted: muted.into() })
    }

    /// Scans a text that is there as a whole.
    #[must_use]
    pub fn text(&self, text: impl AsRef<[u8]>) -> Option<Finding> {
        let mut stream = self.stream();
        match stream.push(text.as_ref()) {
            Err(finding) => Some(finding),
            Ok(_) => stream.finish().err(),
        }
    }

    /// Scans the name of a field or of a host, whose letters lose their case on the way (RFC 9110 §5.1 and §4.2.3,
    /// RFC 9113 §8.2.1).
    #[must_use]
    pub fn name(&self, text: impl AsRef<[u8]>) -> Option<Finding> {
        folded::find(&self.set, &self.muted, text.as_ref())
    }

    /// Scans a text that comes in pieces.
    #[must_use]
    pub fn stream(&self) -> StreamScanner {
        StreamScanner::new(self.clone())
    }

    /// The same for a body as a `Content-Encoding` made it: somebody else decompresses it, with limits of its own.
    #[must_use]
    pub fn stream_of_coded(&self) -> StreamScanner {
        StreamScanner::as_it_stands(self.clone())
    }

    /// Takes credentials out of a text that comes in pieces. What it lets go on is to be scanned by one of the others.
    #[must_use]
    pub fn redactor(&self, form: Form) -> Redactor {
        Redactor::new(self.clone(), form)
    }

    fn describe(&self, pattern: set::PatternId) -> (Arc<str>, Severity) {
        self.set.describe(pattern)
    }

    /// The built-in kinds, each once; that of seed phrases is not one of them.
    pub fn builtin() -> impl Iterator<Item = Kind> {
        let rows = kinds::TABLE;
        let first = |(at, row): (usize, &row::Pattern)| rows[..at].iter().all(|it| it.name != row.name);
        rows.iter().enumerate().filter(move |it| first(*it)).map(|(_, row)| Kind {
            name: row.name,
            severity: row.severity,
            core: row.core,
            source: row.source,
        })
    }
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("patterns", &self.set.len()).finish_non_exhaustive()
    }
}
