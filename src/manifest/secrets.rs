//! Secrets that stand in a manifest by mistake: found, reported, and never shown.
//!
//! A manifest names secrets and holds none. The forms of [`crate::masking`] can't be anything else; each is an error, in
//! comments too, and every frame of the report shows asterisks in its place.

use crate::masking;
use crate::yaml::Document;
use regex::Regex;
use serde_json::Value;
use std::{ops::Range, sync::LazyLock};

/// What stands where a name belongs, and is too long for one.
#[expect(clippy::expect_used, reason = "the pattern is a literal, and the tests below compile it")]
static LONG_REF: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"token_ref["']?\s*:\s*["']?([^\s"',}]{20,})"#)
        .expect("a pattern of this file is not a regular expression")
});

/// Whether it is a value that ends in the agent's container or image, or in a service's.
fn is_given(pointer: &str) -> bool {
    let of_service = |rest: &str| rest.split_once('/').is_some_and(|(_, key)| key.starts_with("env/"));
    pointer.strip_prefix("/services/").is_some_and(of_service)
        || ["/agent/env/", "/agent/build/args/"].iter().any(|given| pointer.starts_with(given))
}

/// The places of secrets: in the text as it is written, and where escapes or line breaks hide one from it.
pub(super) fn find(text: &str, document: Option<&Document>) -> Vec<Range<usize>> {
    let mut places = masking::find(text);
    if let Some(document) = document {
        let mut hidden = Vec::new();
        collect(&document.value, "", document, &mut hidden);
        hidden.retain(|place| !places.iter().any(|seen| place.start <= seen.start && seen.end <= place.end));
        places.extend(hidden);
        places.sort_by_key(|place| (place.start, place.end));
        places.dedup();
    }
    places
}

fn collect(value: &Value, pointer: &str, document: &Document, found: &mut Vec<Range<usize>>) {
    let is_secret = |text: &str| !masking::find(text).is_empty();
    // What the agent or its build is given; elsewhere a URL has no password by its own check.
    let is_given = is_given(pointer);
    match value {
        Value::String(text) if is_secret(text) || (is_given && masking::has_password(text)) => {
            found.push(document.span_of(pointer));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{pointer}/{index}"), document, found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                if is_secret(key) {
                    found.push(document.key_span_of(&pointer));
                }
                collect(item, &pointer, document, found);
            }
        }
        _ => {}
    }
}

/// The text with asterisks where secrets stand; every other byte keeps its place.
pub(super) fn masked(text: &str) -> String {
    let long = LONG_REF.captures_iter(text).filter_map(|found| found.get(1));
    let odd = long.filter(|found| !super::variable::is_variable_name(found.as_str()));
    masking::masked(&masking::starred(text, odd.map(|found| found.range())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_password_is_a_secret_where_the_agent_is_given_it() {
        let found = |url: &str| {
            let text = format!(
                "agent: {{env: {{A: '{url}'}}, build: {{args: {{B: '{url}'}}}}}}\nservices: {{db: {{env: {{C: '{url}'}}, x: '{url}'}}}}\nx: '{url}'\n"
            );
            let document = crate::yaml::parse(text.as_bytes(), crate::yaml::Limits::default()).unwrap();
            find(&text, Some(&document)).len()
        };
        assert_eq!(found("postgres://app:pw@db.test/x"), 3);
        assert_eq!(found("postgres://app:pw@localhost/x"), 0);
    }

    #[test]
    fn what_is_too_long_for_a_name_is_masked() {
        let text = format!("token_ref: k/{}\n", "z".repeat(30));
        assert_eq!(masked(&text), format!("token_ref: {}\n", "*".repeat(32)));
        let name = "token_ref: A_VERY_LONG_NAME_OF_A_VARIABLE";
        assert_eq!(masked(name), name);
    }
}
