//! JSON Schemas: how each is identified. `docs/decisions/0040-schemas-have-a-urn.md` says why so.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The dialect of every schema.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The stable id of a schema: what it describes, and the version of that format.
#[must_use]
pub fn id(what: &str, version: u32) -> String {
    format!("urn:bottle:schema:{what}:{version}")
}

/// The schema of what is written as a type, identified.
#[must_use]
pub fn of<T: JsonSchema>(what: &str, version: u32) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    identified(schema.to_value(), what, version)
}

/// Puts first what says which schema it is.
#[must_use]
pub fn identified(schema: Value, what: &str, version: u32) -> Value {
    let Value::Object(rest) = schema else { return schema };
    let mut object = Map::new();
    object.insert("$schema".to_owned(), json!(DIALECT));
    object.insert("$id".to_owned(), json!(id(what, version)));
    object
        .insert("$comment".to_owned(), json!(format!("Generated from the Rust types: bottle schema {what}")));
    for (key, value) in rest {
        object.entry(key).or_insert(value);
    }
    // The definitions come last.
    if let Some(definitions) = object.shift_remove("$defs") {
        object.insert("$defs".to_owned(), definitions);
    }
    Value::Object(object)
}
