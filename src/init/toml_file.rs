//! Reading a project's TOML.

use super::findings::Findings;
use super::sources::Sources;
use super::words::comment;
use toml::{Table, Value};

/// A file of the project, or nothing where there is none or it is broken, which is said.
pub(super) fn read(sources: &Sources, path: &str, findings: &mut Findings) -> Option<Table> {
    parse(sources.text(path)?, path, findings)
}

/// The same of a text.
pub(super) fn parse(text: &str, label: &str, findings: &mut Findings) -> Option<Table> {
    match text.parse::<Table>() {
        Ok(table) => Some(table),
        Err(error) => {
            findings.note(format!("{label} is not read: {}", comment(error.message())));
            None
        }
    }
}

/// What stands at a path of keys.
pub(super) fn at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

/// Text at a path of keys.
pub(super) fn text<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a str> {
    at(table, keys)?.as_str()
}

/// The tables of a list, or of a map.
pub(super) fn tables<'a>(table: &'a Table, keys: &[&str]) -> Vec<&'a Table> {
    match at(table, keys) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_table).collect(),
        Some(Value::Table(map)) => map.values().filter_map(Value::as_table).collect(),
        _ => Vec::new(),
    }
}
