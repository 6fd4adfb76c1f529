//! `docs/manifest.md`: the reference of the manifest, generated from its schema. A test compares.

use super::schema::{followed, schema};
use super::schema_check::flow;
use super::{retired, template};
use crate::yaml;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Reference {
    example: String,
    sections: Vec<Section>,
    retired: &'static [(&'static str, &'static str)],
}

/// A map of the manifest.
#[derive(Serialize)]
struct Section {
    /// Where it stands: `egress_proxy.routes[]`; empty for the whole.
    name: String,
    description: String,
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    name: String,
    required: bool,
    kind: String,
    description: String,
    example: String,
}

/// The reference as Markdown.
pub fn reference() -> Result<String, minijinja::Error> {
    let mut sections = Vec::new();
    section(schema(), "", &mut sections);
    let example = yaml::emit_value(&schema()["examples"][0]).trim_end().to_owned();
    let reference = Reference { example, sections, retired: retired::RETIRED };
    template::fill(include_str!("../../templates/manifest.md.j2"), reference)
}

/// Adds a map, and then the maps below it; each kind of map once.
fn section(map: &'static Value, name: &str, into: &mut Vec<Section>) {
    let required: Vec<&str> =
        map["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = || map["properties"].as_object().into_iter().flatten();
    let keys = properties().map(|(key, part)| Key {
        name: key.clone(),
        required: required.contains(&key.as_str()),
        kind: kind(part).replace('|', "\\|"),
        description: one_line(&part["description"]),
        example: flow(&part["examples"][0]).replace('|', "\\|"),
    });
    into.push(Section {
        name: name.to_owned(),
        description: one_line(&map["description"]),
        keys: keys.collect(),
    });
    for (key, part) in properties() {
        let base = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        let (inner, base) = if part["items"].is_object() {
            (followed(&part["items"]), format!("{base}[]"))
        } else if part["additionalProperties"].is_object() {
            (followed(&part["additionalProperties"]), format!("{base}.NAME"))
        } else {
            (followed(part), base)
        };
        if inner["properties"].is_object() {
            section(inner, &base, into);
        }
    }
}

fn one_line(text: &Value) -> String {
    let words: Vec<&str> = text.as_str().unwrap_or_default().split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// A type in a person's words.
fn kind(part: &'static Value) -> String {
    let part = followed(part);
    if let Some(options) = part["enum"].as_array() {
        return options.iter().map(|one| format!("`{}`", flow(one))).collect::<Vec<_>>().join(" or ");
    }
    if let Some(options) = part["anyOf"].as_array() {
        return options.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    match part["type"].as_str() {
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("array") => format!("list of {}", kind(&part["items"])),
        Some("object") if part["additionalProperties"].is_object() => {
            format!("map of names to {}", kind(&part["additionalProperties"]))
        }
        Some("object") => "map".to_owned(),
        _ => "any".to_owned(),
    }
}
