//! The fields of a request: which are scanned, which are not passed on.

use super::{
    Ruleset,
    block::{Block, Part},
};
use crate::dlp::{Finding, Scanner};
use crate::fields::{PROXY_AUTHENTICATION, remove, remove_hop_by_hop, remove_where};
use http::{HeaderMap, HeaderName, header};
use percent_encoding::{percent_decode, percent_decode_str};
use std::borrow::Cow;

/// What was removed from a request, on the answer to it: a list of kinds (RFC 9651 §3.1), each with its `count`.
pub const REMOVED: HeaderName = HeaderName::from_static("x-pipelock-removed");

impl Ruleset {
    /// Looks at every field of a request to a host but the ignored ones, names included.
    pub fn scan_fields(&self, host: &str, fields: &HeaderMap) -> Result<(), Block> {
        let scanner = self.scanner(host);
        let names = fields.keys().filter(|name| !self.ignored_fields.contains(*name));
        if let Some(finding) = names.into_iter().find_map(|name| find_in_name(scanner, name)) {
            let location = Some("a field's name".to_owned());
            return Err(Block::Dlp { part: Part::Header, finding, location });
        }
        let mut text = Vec::new();
        let mut places = Vec::new();
        for (name, value) in fields.iter().filter(|(name, _)| !self.ignored_fields.contains(*name)) {
            text.extend_from_slice(name.as_str().as_bytes());
            // On a line of its own: a field's name makes no secret of its value, since fields are what clients say who they
            // are with.
            text.push(b'\n');
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
            places.push((text.len() as u64, name));
        }
        match scanner.text(&text) {
            None => Ok(()),
            Some(finding) => {
                let place = places.iter().find(|(end, _)| finding.offset < *end);
                let location = place.map(|(_, name)| field_name(name));
                Err(Block::Dlp { part: Part::Header, finding, location })
            }
        }
    }
}

/// As the origin gets it, or as it decodes it.
fn find_in_name(scanner: &Scanner, name: &HeaderName) -> Option<Finding> {
    let once: Cow<'_, [u8]> = percent_decode_str(name.as_str()).into();
    let twice: Cow<'_, [u8]> = percent_decode(&once).into();
    [name.as_str().as_bytes(), &once, &twice].into_iter().find_map(|name| scanner.name(name))
}

/// A name can itself be what was found, so a long one is not repeated.
fn field_name(name: &HeaderName) -> String {
    if name.as_str().len() <= 40 { name.as_str().to_owned() } else { "a field's name".to_owned() }
}

/// Takes off what concerns one connection only (RFC 9110 §7.6.1), and what is said between proxies.
pub fn strip_request(fields: &mut HeaderMap) {
    remove_hop_by_hop(fields);
    remove(fields, PROXY_AUTHENTICATION);
    strip_own(fields);
    // Answered on this side, when the body was first read.
    fields.remove(header::EXPECT);
}

/// Takes off what an origin must not say for this proxy, and the way around it.
pub fn strip_response(fields: &mut HeaderMap) {
    strip_own(fields);
    fields.remove(header::ALT_SVC);
}

fn strip_own(fields: &mut HeaderMap) {
    remove_where(fields, |name| name.starts_with("x-pipelock-"));
}
