//! What a scanner looks for: the built-in patterns, the user's own, and seed phrases.

use super::{
    CustomError, CustomPattern, EVERY, SeedPhrases, Settings, SettingsError, Severity, custom::Custom,
    kinds::TABLE,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How much of what was already judged stays, for left boundaries and for placeholders.
pub(super) const LEFT: usize = 1024;

/// Which pattern: an index into the table, then into the user's own, then the seed phrase.
pub(super) type PatternId = u16;

/// How a finding of a seed phrase is called.
pub const SEED_PHRASE: &str = "Seed Phrase";

/// No two patterns share a name.
pub(super) fn check_names(custom: &[CustomPattern]) -> Result<(), CustomError> {
    let mut taken: BTreeSet<&str> = TABLE.iter().map(|p| p.name).chain([SEED_PHRASE, EVERY]).collect();
    match custom.iter().find(|pattern| !taken.insert(&pattern.name)) {
        Some(pattern) => Err(CustomError::Name { name: pattern.name.clone() }),
        None => Ok(()),
    }
}

/// What a scanner looks for.
pub(crate) struct Set {
    pub(super) custom: Option<Custom>,
    pub(super) placeholders: Vec<Vec<u8>>,
    pub(super) seed: Option<SeedPhrases>,
}

impl Set {
    pub(super) fn new(settings: Settings) -> Result<Self, SettingsError> {
        check_names(&settings.custom)?;
        if let Some(seed) = settings.seed_phrases
            && ![12, 15, 18, 21, 24].contains(&seed.min_words)
        {
            return Err(SettingsError::SeedWords(seed.min_words));
        }
        Ok(Self {
            custom: Custom::new(&settings.custom)?,
            placeholders: settings
                .placeholders
                .into_iter()
                .map(String::into_bytes)
                .filter(|p| !p.is_empty() && p.len() <= LEFT / 8)
                .collect(),
            seed: settings.seed_phrases,
        })
    }

    pub(super) fn len(&self) -> usize {
        TABLE.len() + self.custom.as_ref().map_or(0, |c| c.names.len()) + 1
    }

    pub(super) fn ids(&self, name: &str) -> Vec<PatternId> {
        (0..).take(self.len()).filter(|&id| &*self.describe(id).0 == name).collect()
    }

    pub(super) fn is_core(id: PatternId) -> bool {
        TABLE.get(usize::from(id)).is_some_and(|p| p.core)
    }

    pub(super) fn describe(&self, id: PatternId) -> (Arc<str>, Severity) {
        let id = usize::from(id);
        if let Some(pattern) = TABLE.get(id) {
            return (pattern.name.into(), pattern.severity);
        }
        let custom = self.custom.as_ref().and_then(|c| c.names.get(id - TABLE.len()));
        custom.cloned().unwrap_or_else(|| (SEED_PHRASE.into(), Severity::Critical))
    }

    pub(super) fn custom_id(at: usize) -> PatternId {
        PatternId::try_from(TABLE.len() + at).unwrap_or(PatternId::MAX)
    }

    /// What grows out of proportion when it is decompressed.
    pub(super) fn bomb_id() -> PatternId {
        let at = TABLE.iter().position(|row| row.name == "Decompression Bomb").unwrap_or(usize::MAX);
        PatternId::try_from(at).unwrap_or(PatternId::MAX)
    }

    pub(super) fn seed_id(&self) -> PatternId {
        PatternId::try_from(self.len() - 1).unwrap_or(PatternId::MAX)
    }
}
