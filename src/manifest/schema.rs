//! The JSON Schema of a manifest, generated from the types in [`super::raw`].
//!
//! `schema/bottle.schema.json` is its committed copy; a test compares. No key takes `null`: an empty
//! `path_allowlist:` must never be read as an absent one.

use super::raw;
use jsonschema::Validator;
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The JSON Schema of a manifest, made from the raw types once a process.
#[must_use]
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12()
            .with_transform(RecursiveTransform(without_null))
            .with_transform(RecursiveTransform(in_order));
        let mut schema = settings.into_generator().into_root_schema_for::<raw::Manifest>();
        schema.insert("$comment".to_owned(), json!("Generated from the Rust types: bottle schema"));
        in_order(&mut schema);
        schema.to_value()
    });
    &SCHEMA
}

/// The schema as it is printed and committed.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// The compiled schema; `Err` says why it can't be compiled, which a test rules out.
pub(super) fn validator() -> Result<&'static Validator, &'static str> {
    static VALIDATOR: LazyLock<Result<Validator, String>> =
        LazyLock::new(|| jsonschema::draft202012::new(schema()).map_err(|error| error.to_string()));
    VALIDATOR.as_ref().map_err(String::as_str)
}

/// The part of the schema that a JSON pointer names.
pub(super) fn part(pointer: &str) -> &'static Value {
    schema().pointer(pointer).unwrap_or(&Value::Null)
}

/// A part with its `$ref` followed.
pub(super) fn followed(part: &'static Value) -> &'static Value {
    match part["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => self::part(pointer),
        None => part,
    }
}

/// The first example of the key that a JSON pointer into a manifest names; for the item of a list, its first item.
pub(super) fn example(pointer: &str) -> Option<&'static Value> {
    let mut part = schema();
    let mut example = None;
    for step in pointer.split('/').skip(1) {
        let inside = followed(part);
        if let Some(property) = inside["properties"].get(step) {
            part = property;
            example = part["examples"].get(0);
        } else {
            part = inside.get("items")?;
            example = example?.get(0);
        }
    }
    example
}

/// An `Option` is a key that may be absent, not one that may be `null`.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = object.get_mut("enum") {
        options.retain(|one| !one.is_null());
    }
    if let Some(Value::Array(options)) = object.get("anyOf")
        && let [inner, null] = options.as_slice()
        && null == &json!({"type": "null"})
        && let Some(inner) = inner.as_object()
    {
        let inner: Map<String, Value> = inner.clone();
        object.remove("anyOf");
        for (key, value) in inner {
            object.entry(key).or_insert(value);
        }
    }
}

/// What a person wants to read first comes first.
fn in_order(schema: &mut Schema) {
    const FIRST: [&str; 9] = [
        "$schema",
        "$comment",
        "title",
        "description",
        "$ref",
        "type",
        "enum",
        "additionalProperties",
        "required",
    ];
    let Some(object) = schema.as_object_mut() else { return };
    let rank = |key: &str| match key {
        "$defs" => usize::MAX,
        key => FIRST.iter().position(|one| *one == key).unwrap_or(FIRST.len()),
    };
    let mut entries: Vec<(String, Value)> = std::mem::take(object).into_iter().collect();
    entries.sort_by_key(|(key, _)| rank(key));
    object.extend(entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every map of the schema that has keys, with its name.
    fn maps() -> Vec<(String, &'static Value)> {
        let defs = schema()["$defs"].as_object().unwrap();
        let mut maps: Vec<_> = defs.iter().map(|(name, def)| (name.clone(), def)).collect();
        maps.push(("the manifest".to_owned(), schema()));
        maps
    }

    #[test]
    fn every_key_has_a_description_and_an_example_that_fits() {
        for (name, map) in maps() {
            for (key, part) in map["properties"].as_object().unwrap() {
                let described = part["description"].as_str().is_some_and(|text| text.len() > 10);
                assert!(described, "{name}: `{key}` has no description: {part:#}");
                let examples =
                    part["examples"].as_array().unwrap_or_else(|| panic!("{name}: `{key}` has no example"));
                let mut alone = part.clone();
                alone["$defs"] = schema()["$defs"].clone();
                let validator = jsonschema::draft202012::new(&alone).unwrap();
                for example in examples {
                    assert!(validator.is_valid(example), "{name}: `{key}`: {example} does not fit");
                }
            }
        }
        assert!(validator().unwrap().is_valid(&schema()["examples"][0]));
    }

    #[test]
    fn the_world_is_closed_and_null_is_nowhere() {
        for (name, map) in maps() {
            assert_eq!(map["additionalProperties"], false, "{name}");
        }
        assert!(!schema_text().contains("null"), "{}", schema_text());
    }
}
