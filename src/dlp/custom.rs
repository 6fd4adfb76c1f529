//! Patterns of the user's own: one automaton for all of them, stepped byte by byte, so that a stream needs no window.

use super::{CustomPattern, Severity};
use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start, syntax},
};
use std::sync::Arc;

/// What the automaton of one set of patterns may take; more is an expression whose repeats multiply.
const MAX_AUTOMATON: usize = 16 << 20;

/// Why a pattern of the user's own is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CustomError {
    /// Not a regular expression, or one with look-around or Unicode classes.
    #[error(
        "the pattern \"{name}\" is not a regular expression that a stream can be scanned with: {problem}"
    )]
    Regex {
        /// The pattern's name.
        name: String,
        /// What the parser says.
        problem: String,
    },
    /// It matches the empty text, so that everything would be refused.
    #[error("the pattern \"{name}\" matches the empty text, so every request would be refused")]
    Empty {
        /// The pattern's name.
        name: String,
    },
    /// The name is taken.
    #[error("the pattern name \"{name}\" is already taken; a finding could not be told from another's")]
    Name {
        /// The pattern's name.
        name: String,
    },
    /// Together they are too large.
    #[error(
        "the patterns of this bottle's own are too large for one automaton; bound their repeats, or let them begin with literal text"
    )]
    TooLarge,
}

/// The parser shows the expression in several lines, and says in the last one what is wrong.
fn last_line(text: &str) -> String {
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// The user's own patterns as one automaton, which reads a text once for all of them.
pub(super) struct Custom {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
    pub(super) names: Vec<(Arc<str>, Severity)>,
}

impl Custom {
    pub(super) fn new(patterns: &[CustomPattern]) -> Result<Option<Self>, CustomError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let syntax = syntax::Config::new().unicode(false).utf8(false).case_insensitive(true);
        for pattern in patterns {
            let name = || pattern.name.clone();
            let hir = syntax::parse_with(&pattern.regex, &syntax)
                .map_err(|e| CustomError::Regex { name: name(), problem: last_line(&e.to_string()) })?;
            if hir.properties().minimum_len().is_none_or(|n| n == 0) {
                return Err(CustomError::Empty { name: name() });
            }
            if hir.properties().look_set().contains_word_unicode() {
                return Err(CustomError::Regex { name: name(), problem: "\\b must be ASCII".to_owned() });
            }
        }
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(MAX_AUTOMATON))
            .determinize_size_limit(Some(MAX_AUTOMATON));
        let expressions: Vec<_> = patterns.iter().map(|p| p.regex.as_str()).collect();
        let dfa = dense::Builder::new()
            .configure(config)
            .syntax(syntax)
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_AUTOMATON)))
            .build_many(&expressions)
            .map_err(|_| CustomError::TooLarge)?;
        let start = dfa
            .start_state(&start::Config::new().anchored(Anchored::No))
            .map_err(|_| CustomError::TooLarge)?;
        let names = patterns.iter().map(|p| (Arc::from(p.name.as_str()), p.severity)).collect();
        Ok(Some(Self { dfa, start, names }))
    }

    pub(super) fn start(&self) -> StateID {
        self.start
    }

    /// Reads `bytes` on from `state`; says of each match which pattern, and how many bytes made it certain.
    pub(super) fn step(
        &self,
        mut state: StateID,
        bytes: &[u8],
        mut on_match: impl FnMut(usize, usize),
    ) -> StateID {
        for (at, byte) in bytes.iter().enumerate() {
            state = self.dfa.next_state(state, *byte);
            if self.dfa.is_special_state(state) && self.dfa.is_match_state(state) {
                self.report(state, at + 1, &mut on_match);
            }
        }
        state
    }

    /// The end of the text: a match may have waited for it.
    pub(super) fn end(&self, state: StateID, mut on_match: impl FnMut(usize, usize)) {
        let state = self.dfa.next_eoi_state(state);
        if self.dfa.is_match_state(state) {
            self.report(state, 0, &mut on_match);
        }
    }

    fn report(&self, state: StateID, at: usize, on_match: &mut impl FnMut(usize, usize)) {
        for index in 0..self.dfa.match_len(state) {
            on_match(self.dfa.match_pattern(state, index).as_usize(), at);
        }
    }
}

/// Phrases that are looked for in a stream as it passes, where nothing is held back: case-insensitive, without
/// left boundary or decoding. Cheap to clone.
#[derive(Clone)]
pub struct Phrases(Arc<Custom>);

/// How far one stream was read.
#[derive(Clone, Copy, Debug)]
pub struct PhraseState(StateID);

impl Phrases {
    /// Compiles them; `None` when there are none.
    pub fn new(patterns: &[CustomPattern]) -> Result<Option<Self>, CustomError> {
        Ok(Custom::new(patterns)?.map(|custom| Self(Arc::new(custom))))
    }

    /// The beginning of a stream.
    #[must_use]
    pub fn begin(&self) -> PhraseState {
        PhraseState(self.0.start())
    }

    /// Reads the next piece; calls `found` with the name of each phrase, once for each time it ends.
    #[must_use]
    pub fn read(&self, from: PhraseState, piece: &[u8], mut found: impl FnMut(&Arc<str>)) -> PhraseState {
        let names = &self.0.names;
        PhraseState(self.0.step(from.0, piece, |pattern, _| found(&names[pattern].0)))
    }
}

impl std::fmt::Debug for Phrases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Phrases").field(&self.0.names.len()).finish()
    }
}
