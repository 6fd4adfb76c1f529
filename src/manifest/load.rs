//! What every file of this module goes through: YAML, a look for secrets, its schema.

use super::findings::{self, Findings};
use super::schema::Described;
use super::{LARGEST, schema_check, secrets};
use crate::diagnostic::{Report, Source};
use crate::masking;
use crate::yaml::{self, Document, Limits, ReadOutcome};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// What is said of a kind of file.
pub(super) struct Kind {
    /// `the manifest holds a secret`, for example.
    secret: (&'static str, &'static str),
    /// Where it is not a map of keys.
    map: (&'static str, &'static str),
}

/// A manifest.
pub(super) const MANIFEST: Kind = Kind {
    secret: (
        "the manifest holds a secret",
        "put it into an environment variable and name that in `token_ref`; revoke this one if anyone else can read the file",
    ),
    map: ("a manifest is a map of keys", "for example: version: 1"),
};

/// A file of expectations.
pub(super) const TEST_FILE: Kind = Kind {
    secret: (
        "the file holds a secret",
        "what is searched for secrets can lie in a file that is not committed: name it in `body_file`; revoke this one if anyone else can read the file",
    ),
    map: (
        "a file of expectations is a map of keys",
        "for example: tests: [{deny: DELETE https://api.github.com/user}]",
    ),
};

/// Reads a file; `complete` may change the value, and `read` are the stages after that. Reports all that is wrong in one go.
pub(super) fn load<T>(
    name: &str,
    text: &[u8],
    kind: &Kind,
    complete: impl FnOnce(&mut Value),
    read: impl FnOnce(&Document, &mut Findings<'_>) -> Option<T>,
) -> Result<(T, Document, Arc<Source>), Report> {
    let ReadOutcome { document, problems } = yaml::read(text, Limits { bytes: LARGEST, ..Limits::default() });
    let shown = String::from_utf8_lossy(&text[..text.len().min(LARGEST)]);
    let secrets = secrets::find(&shown, document.as_ref());
    let source = Source::new(name, secrets::masked(&masking::starred(&shown, secrets.clone())));
    let of_yaml = problems.into_iter().map(|problem| findings::of_yaml(problem, &source));
    let Some(mut document) = document else { return Err(Report(of_yaml.collect())) };
    complete(&mut document.value);
    let mut findings = Findings::new(&document, &source);
    of_yaml.for_each(|problem| findings.push(problem));
    for place in secrets {
        let problem = findings.place("secret", place, kind.secret.0);
        findings.push(problem.hint(kind.secret.1));
    }
    let value = if document.value.is_object() {
        read(&document, &mut findings)
    } else {
        let problem = findings.value("type", "", kind.map.0);
        findings.push(problem.hint(kind.map.1));
        None
    };
    match value {
        Some(value) if findings.is_empty() => Ok((value, document, source)),
        _ => Err(findings.into_report()),
    }
}

/// What of a value fits its schema, in the types that the schema was made from.
pub(super) fn fitting<T: DeserializeOwned>(
    value: &Value,
    described: &Described,
    findings: &mut Findings<'_>,
) -> Option<T> {
    match serde_json::from_value(schema_check::check(value, described, findings)) {
        Ok(raw) => Some(raw),
        Err(error) => {
            // The schema and the types are one source, so this is a fault of this program; it is said all the same.
            let message = format!("{} fits the schema and not the types: {error}", described.name);
            findings.push(findings.value("schema", "", message).hint(schema_check::REPORT_IT));
            None
        }
    }
}
