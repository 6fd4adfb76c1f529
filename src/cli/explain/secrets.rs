//! What the proxies' search for secrets finds in the question: in the target, in fields, in the body.

use super::asked::Asked;
use crate::cli::rules::Rules;
use crate::config::routes::RouteEntry;
use crate::dlp::{Finding, Scanner, SeedPhrases, Settings};
use crate::policy::{CREDENTIAL_FIELDS, Route, UNREAD_BY_PIPELOCK, same_variable};

/// A secret in a request; holds no byte of it.
#[derive(Debug)]
pub(super) struct Found {
    /// `the URL`, `the field cookie`, `the body`.
    pub(super) place: String,
    pub(super) finding: Finding,
}

/// The scanner of both proxies, and what one question needs of it.
pub(super) struct Search<'a> {
    scanner: Scanner,
    asked: &'a Asked,
    /// Fields that egress-proxy takes off before anything is searched.
    taken_off: Vec<&'a str>,
    /// Fields that egress-proxy searches, because pipelock does not read them.
    unread: Vec<&'a str>,
}

impl<'a> Search<'a> {
    pub(super) fn of(asked: &'a Asked, route: Option<&Route>, rules: &'a Rules) -> anyhow::Result<Self> {
        let injected =
            rules.entries.iter().filter_map(|entry| entry.auth.as_ref()).map(|auth| auth.header.as_str());
        let unread = CREDENTIAL_FIELDS.iter().chain(UNREAD_BY_PIPELOCK).copied().chain(injected).collect();
        let scanner = Scanner::new(settings(rules))?;
        Ok(Self { scanner, asked, taken_off: taken_off(route, rules), unread })
    }

    /// The first secret that egress-proxy finds.
    pub(super) fn by_egress_proxy(&self) -> Option<Found> {
        self.in_fields(|name| is_one_of(&self.unread, name))
    }

    /// The first secret that the embedded engine finds in what egress-proxy let through.
    pub(super) fn by_pipelock(&self) -> Option<Found> {
        self.found("the URL".to_owned(), self.asked.target.as_bytes())
            .or_else(|| self.in_fields(|_| true))
            .or_else(|| self.found("the body".to_owned(), self.asked.body.as_ref()?))
    }

    fn in_fields(&self, searched: impl Fn(&str) -> bool) -> Option<Found> {
        self.asked
            .fields()
            .filter(|(name, _)| searched(name) && !is_one_of(&self.taken_off, name))
            .find_map(|(name, value)| self.found(format!("the field {name}"), value.as_bytes()))
    }

    fn found(&self, place: String, text: &[u8]) -> Option<Found> {
        self.scanner.text(text).map(|finding| Found { place, finding })
    }
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|own| same_variable(own, name))
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
