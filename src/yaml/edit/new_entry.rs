//! A new entry as text: lists of a few words and small maps on one line, all else a line each.

use crate::yaml::{emit_flow, emit_value};
use serde_json::Value;

/// A longer line is broken up.
const WIDTH: usize = 100;

/// What is added: an entry of a map, or an item of a list.
pub(super) struct NewEntry<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) value: &'a Value,
}

impl NewEntry<'_> {
    /// Whether it fits into brackets: it holds no list or map.
    pub(super) fn is_plain(&self) -> bool {
        self.key.is_none() && !is_collection(self.value)
    }

    /// In flow style; text in the quotes of `sibling`.
    pub(super) fn flow(&self, sibling: Option<&str>) -> String {
        let value = match self.value {
            Value::String(text) => quoted_like(sibling, text),
            value => emit_flow(value),
        };
        match self.key {
            Some(key) => format!("{}: {value}", emit_flow(&Value::String(key.to_owned()))),
            None => value,
        }
    }

    /// Its lines at a column, the first without its indentation, each with its line feed.
    pub(super) fn block(&self, column: usize, sibling: Option<&str>) -> String {
        let head = match self.key {
            Some(key) => format!("{}:", emit_flow(&Value::String(key.to_owned()))),
            None => "-".to_owned(),
        };
        match self.value {
            Value::String(text) => format!("{head} {}\n", quoted_like(sibling, text)),
            Value::Object(map) if self.key.is_none() && !map.is_empty() => {
                let inner: String = lines_of(self.value, column + 2);
                format!("{head} {}", &inner[column + 2..])
            }
            value => head + &behind(value, column),
        }
    }
}

/// A value behind its key or dash at a column, with the space or line feed before it and a line feed at its end.
pub(super) fn behind(value: &Value, column: usize) -> String {
    let flow = emit_flow(value);
    if !is_collection(value) || fits(value, &flow, column) {
        return format!(" {flow}\n");
    }
    format!("\n{}", lines_of(value, column + 2))
}

/// The entries of a list or map, each line with its indentation.
pub(super) fn lines_of(value: &Value, column: usize) -> String {
    let pad = " ".repeat(column);
    let entry = |key: Option<&str>, value: &Value| pad.clone() + &NewEntry { key, value }.block(column, None);
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().map(|item| entry(None, item)).collect(),
        Value::Object(map) if !map.is_empty() => {
            map.iter().map(|(key, value)| entry(Some(key), value)).collect()
        }
        leaf => pad + &emit_value(leaf),
    }
}

/// Whether it is written on one line: nothing in it is a collection, and it is short.
fn fits(value: &Value, flow: &str, column: usize) -> bool {
    let flat = match value {
        Value::Array(items) => !items.iter().any(is_collection),
        // An empty list in a map is one that is about to be filled.
        Value::Object(map) => !map.values().any(|it| it.is_array() || it.is_object()) && map.len() <= 3,
        _ => true,
    };
    flat && column + flow.len() <= WIDTH - 20
}

fn is_collection(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    }
}

/// Text in the quotes that its neighbour has, where it can stand in them.
fn quoted_like(sibling: Option<&str>, text: &str) -> String {
    let plain = emit_flow(&Value::String(text.to_owned()));
    let is_plain = !plain.starts_with('"') || plain[1..plain.len() - 1] == *text;
    match sibling.and_then(|sibling| sibling.chars().next()) {
        Some('"') if is_plain => format!("\"{text}\""),
        Some('\'') if is_plain && !text.contains('\'') => format!("'{text}'"),
        _ => plain,
    }
}
