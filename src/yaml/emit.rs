//! Values to YAML that every reader understands alike.
//!
//! The output is deterministic: block style, two spaces, keys in the order given. A string is written plainly
//! only when no YAML 1.1 or 1.2 reader could take it for anything else; every other string is double-quoted on
//! one line, with escapes for all that is not printable.

use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

/// Longer keys can't be implicit (YAML 1.2.2, section 7.4); the rest is room for escapes.
const IMPLICIT_KEY: usize = 1000;

/// What YAML 1.1 readers take for booleans, nulls and special keys, in lower case.
const WORDS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Emits anything that serialises. Fails only for what JSON can't hold either, such as a map with keys that are
/// not text.
pub fn emit(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_value(value).map(|value| emit_value(&value))
}

/// Emits a value; ends in a line break.
#[must_use]
pub fn emit_value(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0),
        Value::Object(map) if !map.is_empty() => entries(&mut out, map, 0),
        leaf => {
            scalar(&mut out, leaf);
            out.push('\n');
        }
    }
    out
}

/// Emits a value on one line, in flow style, without a line break.
#[must_use]
pub fn emit_flow(value: &Value) -> String {
    let mut out = String::new();
    flow(&mut out, value);
    out
}

fn flow(out: &mut String, value: &Value) {
    let comma = |out: &mut String, index: usize| {
        if index > 0 {
            out.push_str(", ");
        }
    };
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                comma(out, index);
                flow(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                comma(out, index);
                string(out, key);
                out.push_str(": ");
                flow(out, value);
            }
            out.push('}');
        }
        leaf => scalar(out, leaf),
    }
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Array(inner) if !inner.is_empty() => list(out, inner, indent + 2),
            Value::Object(inner) if !inner.is_empty() => entries(out, inner, indent + 2),
            leaf => {
                scalar(out, leaf);
                out.push('\n');
            }
        }
    }
}

fn entries(out: &mut String, map: &serde_json::Map<String, Value>, indent: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        let mut name = String::new();
        string(&mut name, key);
        if name.len() > IMPLICIT_KEY {
            let _ = writeln!(out, "? {name}");
            pad(out, indent);
        } else {
            out.push_str(&name);
        }
        out.push(':');
        match value {
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                list(out, inner, indent + 2);
            }
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                entries(out, inner, indent + 2);
            }
            leaf => {
                out.push(' ');
                scalar(out, leaf);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&float_safe(&number.to_string())),
        Value::String(text) => string(out, text),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// A YAML 1.1 reader wants a dot in the mantissa and a sign in the exponent, or the number is text.
fn float_safe(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once('e') else { return number.to_owned() };
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}{dot}e{sign}{exponent}")
}

fn string(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        quoted(out, text);
    }
}

/// Text that begins with a letter, `/` or `_` and holds nothing that has a meaning anywhere.
fn is_plain(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_./@+=%- :".contains(c);
    starts_well
        && text.chars().all(harmless)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains("  ")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c if c as u32 <= 0xff => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c as u32 <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push('"');
}

/// Printable for YAML 1.1 and 1.2, and for the eye: no control, no line separator, no direction mark.
fn is_printable(c: char) -> bool {
    match c {
        '\u{a0}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff0}'..='\u{ffff}' => false,
        ' '..='~' | '\u{a1}'..='\u{ffff}' => true,
        c => c as u32 > 0xffff && (c as u32) & 0xfffe != 0xfffe && !('\u{e0000}'..='\u{e0fff}').contains(&c),
    }
}
