//! What pipelock's search for secrets finds in the question: in the target, in fields, in the body.

use super::asked::Asked;
use crate::cli::rules::Rules;
use crate::config::routes::RouteEntry;
use crate::dlp::{Finding, Scanner, SeedPhrases, Settings};
use crate::policy::{CREDENTIAL_FIELDS, Route};

/// A secret in a request; holds no byte of it.
#[derive(Debug)]
pub(super) struct Found {
    /// `the URL`, `the field cookie`, `the body`.
    pub(super) place: String,
    pub(super) finding: Finding,
}

/// The first secret that the embedded engine would find. Fields that egress-proxy takes off never reach it.
pub(super) fn search(asked: &Asked, route: Option<&Route>, rules: &Rules) -> anyhow::Result<Option<Found>> {
    let scanner = Scanner::new(settings(rules))?;
    let found = |place: String, text: &[u8]| scanner.text(text).map(|finding| Found { place, finding });
    if let Some(found) = found("the URL".to_owned(), asked.target.as_bytes()) {
        return Ok(Some(found));
    }
    let taken_off = taken_off(route, rules);
    for (name, value) in asked.fields() {
        if taken_off.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            continue;
        }
        if let Some(found) = found(format!("the field {name}"), value.as_bytes()) {
            return Ok(Some(found));
        }
    }
    Ok(asked.body.as_ref().and_then(|body| found("the body".to_owned(), body)))
}

/// The fields that never leave, on a rule that puts a credential on the request.
fn taken_off<'r>(route: Option<&Route>, rules: &'r Rules) -> Vec<&'r str> {
    let own = |entry: &&RouteEntry| route.is_some_and(|route| route.id == entry.id);
    match rules.entries.iter().find(own).and_then(|entry| entry.auth.as_ref()) {
        Some(auth) => CREDENTIAL_FIELDS.iter().copied().chain([auth.header.as_str()]).collect(),
        None => Vec::new(),
    }
}

/// As the embedded engine reads its two files.
fn settings(rules: &Rules) -> Settings {
    let seed_phrases = rules.pipelock.seed_phrase_detection.enabled;
    Settings {
        custom: Vec::new(),
        placeholders: rules.embedded.placeholders.clone(),
        seed_phrases: seed_phrases.then_some(SeedPhrases { min_words: 12, verify_checksum: true }),
    }
}
