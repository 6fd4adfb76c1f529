//! An item of a list in a raw type.

use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;

/// An item of a list; nothing where the schema has refused what stands there, so that the others keep their index.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Item<T>(pub(super) Option<T>);

impl<T: JsonSchema> JsonSchema for Item<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
