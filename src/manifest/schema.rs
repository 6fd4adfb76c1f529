//! The JSON Schemas of a manifest and of a file of expectations, generated from the types in [`super::raw`] and [`super::raw_test`].
//!
//! `schema/` has their committed copies; a test compares. No key takes `null`: an empty
//! `path_allowlist:` must never be read as an absent one.

use super::{raw, raw_test};
use crate::json_schema;
use jsonschema::Validator;
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// What a file holds: its schema, and the validator of that.
pub(super) struct Described {
    /// How a message names the whole.
    pub(super) name: &'static str,
    value: Value,
    validator: Result<Validator, String>,
}

/// A manifest.
static MANIFEST: LazyLock<Described> =
    LazyLock::new(|| Described::new::<raw::Manifest>("the manifest", "manifest"));

/// A file of expectations beside a manifest.
static TEST_FILE: LazyLock<Described> =
    LazyLock::new(|| Described::new::<raw_test::TestFile>("the file", "test"));

impl Described {
    fn new<T: schemars::JsonSchema>(name: &'static str, what: &str) -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with_transform(RecursiveTransform(without_null))
            .with_transform(RecursiveTransform(in_order));
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        in_order(&mut schema);
        let value = json_schema::identified(schema.to_value(), what, 1);
        let validator = jsonschema::draft202012::new(&value).map_err(|error| error.to_string());
        Self { name, value, validator }
    }

    pub(super) fn manifest() -> &'static Self {
        &MANIFEST
    }

    pub(super) fn test_file() -> &'static Self {
        &TEST_FILE
    }

    /// The compiled schema; `Err` says why it can't be compiled, which a test rules out.
    pub(super) fn validator(&self) -> Result<&Validator, &str> {
        self.validator.as_ref().map_err(String::as_str)
    }

    /// The part of the schema that a JSON pointer names.
    pub(super) fn part(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// A part with its `$ref` followed.
    pub(super) fn followed<'s>(&'s self, part: &'s Value) -> &'s Value {
        match part["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.part(pointer),
            None => part,
        }
    }

    /// The first example of the key that a JSON pointer into a file names; for the item of a list or of a map of names, its first one.
    pub(super) fn example(&self, pointer: &str) -> Option<&Value> {
        let mut part = &self.value;
        let mut example = None;
        for step in pointer.split('/').skip(1) {
            let inside = self.followed(part);
            if let Some(property) = inside["properties"].get(step) {
                part = property;
                example = part["examples"].get(0);
            } else {
                part = inside.get("items").or_else(|| inside.get("additionalProperties"))?;
                example = match example? {
                    Value::Object(map) => map.values().next(),
                    list => list.get(0),
                };
            }
        }
        example
    }
}

/// The JSON Schema of a manifest, made from the raw types once a process.
#[must_use]
pub fn schema() -> &'static Value {
    &MANIFEST.value
}

/// The schema as it is printed and committed.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// The schema of a `*.bottle-test.yaml` file, as it is printed and committed.
#[must_use]
pub fn test_file_schema_text() -> String {
    format!("{:#}\n", TEST_FILE.value)
}

/// A part of the manifest's schema with its `$ref` followed.
pub(super) fn followed(part: &'static Value) -> &'static Value {
    MANIFEST.followed(part)
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
    const FIRST: [&str; 8] =
        ["$schema", "title", "description", "$ref", "type", "enum", "additionalProperties", "required"];
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
    fn maps() -> Vec<(String, &'static Value, &'static Value)> {
        let mut maps = Vec::new();
        for described in [&*MANIFEST, &*TEST_FILE] {
            let (whole, defs) = (&described.value, &described.value["$defs"]);
            maps.extend(defs.as_object().unwrap().iter().map(|(name, def)| (name.clone(), def, whole)));
            maps.push((described.name.to_owned(), whole, whole));
        }
        maps
    }

    #[test]
    fn every_key_has_a_description_and_an_example_that_fits() {
        for (name, map, whole) in maps() {
            for (key, part) in map["properties"].as_object().unwrap() {
                let described = part["description"].as_str().is_some_and(|text| text.len() > 10);
                assert!(described, "{name}: `{key}` has no description: {part:#}");
                let examples =
                    part["examples"].as_array().unwrap_or_else(|| panic!("{name}: `{key}` has no example"));
                let mut alone = part.clone();
                alone["$defs"] = whole["$defs"].clone();
                let validator = jsonschema::draft202012::new(&alone).unwrap();
                for example in examples {
                    assert!(validator.is_valid(example), "{name}: `{key}`: {example} does not fit");
                }
            }
        }
        for described in [&*MANIFEST, &*TEST_FILE] {
            assert!(described.validator().unwrap().is_valid(&described.value["examples"][0]));
        }
    }

    #[test]
    fn the_world_is_closed_and_null_is_nowhere() {
        for (name, map, _) in maps() {
            assert_eq!(map["additionalProperties"], false, "{name}");
        }
        for text in [schema_text(), test_file_schema_text()] {
            assert!(!text.contains("null"), "{text}");
        }
    }
}
