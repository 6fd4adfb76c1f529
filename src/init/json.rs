//! JSON, and JSON with comments.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Calls `take` with every text that stands under one of the keys, at any depth; nothing of the rest is held.
pub(super) fn strings(
    text: &str,
    keys: &[&str],
    take: &mut dyn FnMut(&str),
) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    Walk { keys, take, wanted: false }.deserialize(&mut reader)?;
    reader.end()
}

struct Walk<'a> {
    keys: &'a [&'a str],
    take: &'a mut dyn FnMut(&str),
    wanted: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.wanted {
            (self.take)(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { keys, take, .. } = self;
        while list.next_element_seed(Walk { keys, take, wanted: false })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { keys, take, .. } = self;
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Walk { keys, take, wanted: keys.contains(&&*key) })?;
        }
        Ok(())
    }
}

/// The same text without comments and without commas before a closing bracket (JSON with comments, as editors have
/// it). Inside of strings nothing changes.
pub(super) fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('"', _) => {
                out.push(c);
                while let Some(c) = rest.next() {
                    out.push(c);
                    match c {
                        '"' => break,
                        '\\' => out.extend(rest.next()),
                        _ => {}
                    }
                }
            }
            ('/', Some('/')) => {
                while rest.peek().is_some_and(|c| *c != '\n') {
                    rest.next();
                }
            }
            ('/', Some('*')) => {
                rest.next();
                let mut last = ' ';
                for c in rest.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
                out.push(' ');
            }
            (']' | '}', _) => {
                let kept = out.trim_end();
                if kept.ends_with(',') {
                    out.truncate(kept.len() - 1);
                }
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_by_key_at_any_depth() {
        let mut found = Vec::new();
        let text = r#"{"a": {"url": "1", "x": [{"url": "2"}, "url"], "url2": "no"}, "url": ["no"], "n": [1, -1, 1.5, null, true]}"#;
        strings(text, &["url"], &mut |text| found.push(text.to_owned())).unwrap();
        assert_eq!(found, ["1", "2"]);
        assert!(strings(&"[".repeat(100_000), &[], &mut |_| {}).is_err());
        assert!(strings("{} x", &[], &mut |_| {}).is_err());
    }

    #[test]
    fn comments_and_last_commas_go_and_strings_stay() {
        let text = "{ // c\n \"a\": \"x // y\\\" , ]\", /* , \" */ \"b\": [1, 2, ], }";
        let value: serde_json::Value = serde_json::from_str(&without_comments(text)).unwrap();
        assert_eq!(value, serde_json::json!({"a": "x // y\" , ]", "b": [1, 2]}));
        for broken in ["/*", "\"\\", "//", "{,", "]"] {
            let _ = without_comments(broken);
        }
    }
}
