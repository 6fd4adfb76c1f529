//! Text to a typed file, and errors that name line, column and key.

use crate::yaml;
use serde::de::DeserializeOwned;
use std::ops::Range;

/// Why a config file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {}{message}", key_prefix(key))]
pub struct ConfigError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The key as people write it: `routes[3].host`; empty where the text itself is broken.
    pub key: String,
    /// What is wrong there.
    pub message: String,
}

fn key_prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// A file that was understood, and the places of its keys for what is checked afterwards.
pub(super) struct Parsed<'a> {
    text: &'a [u8],
    document: yaml::Document,
}

/// Far above the largest file that render writes: these bound what a broken one costs.
const LIMITS: yaml::Limits = yaml::Limits { bytes: 16 * 1024 * 1024, depth: 16, nodes: 2_000_000 };

impl<'a> Parsed<'a> {
    pub(super) fn read<T: DeserializeOwned>(text: &'a [u8]) -> Result<(T, Self), ConfigError> {
        let document = yaml::parse(text, LIMITS).map_err(|problems| first_problem(text, problems))?;
        let parsed = Self { text, document };
        let value = serde_path_to_error::deserialize(&parsed.document.value).map_err(|error| {
            let key = named_key(&error.path().to_string(), &error.inner().to_string());
            parsed.error(&key, error.inner().to_string())
        })?;
        Ok((value, parsed))
    }

    /// An error at a key.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let key = if key == "." { "" } else { key };
        place(self.text, &self.document.key_span_of(key), key, message.into())
    }
}

/// serde names an unknown key in its message and not in the path.
fn named_key(path: &str, message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    match unknown {
        Some((field, _)) if path == "." || path == field => field.to_owned(),
        Some((field, _)) if !path.ends_with(&format!(".{field}")) => format!("{path}.{field}"),
        _ => path.to_owned(),
    }
}

fn first_problem(text: &[u8], problems: Vec<yaml::Problem>) -> ConfigError {
    let problem = problems.into_iter().next();
    let (span, message) =
        problem.map_or((0..0, "not YAML".to_owned()), |problem| (problem.span, problem.message));
    place(text, &span, "", message)
}

fn place(text: &[u8], span: &Range<usize>, key: &str, message: String) -> ConfigError {
    let before = &text[..span.start.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    ConfigError {
        line: before.split(|&byte| byte == b'\n').count(),
        column: String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
        key: key.to_owned(),
        message,
    }
}
