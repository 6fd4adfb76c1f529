//! The fields of a record: those that a type has, and those of a line that it has not.

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor, value::Error},
};
use std::{borrow::Cow, fmt};

/// The names of a struct's fields, as serde reads them.
pub(super) fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &[&str] = &[];
    // Ends as soon as the names are known.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// The fields of a line that are not among the known ones.
pub(super) fn others(line: &[u8], known: &'static [&'static str]) -> Vec<String> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    reader.deserialize_map(Others(known)).unwrap_or_default()
}

struct Names<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("a struct is asked for its fields only"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Others(&'static [&'static str]);

impl<'de> Visitor<'de> for Others {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let mut others = Vec::new();
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            map.next_value::<IgnoredAny>()?;
            if !self.0.contains(&&*name) {
                others.push(name.into_owned());
            }
        }
        Ok(others)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PipelockRecord, Record};
    use super::*;

    #[test]
    fn every_field_of_a_record_is_known_and_no_other() {
        assert!(
            of::<Record>().starts_with(&["time", "event", "request"])
                && of::<Record>().contains(&"duration_ms")
        );
        assert!(of::<PipelockRecord>().contains(&"request_id"));
        let line = br#"{"time":1,"new":{"a":[1]},"event":"x","n\u0065wer":null}"#;
        assert_eq!(others(line, of::<Record>()), ["new", "newer"]);
    }
}
