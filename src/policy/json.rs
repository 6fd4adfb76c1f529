//! JSON of which some members decide: each is there once, by its decoded name.

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess},
};
use serde_json::value::RawValue;
use std::fmt;

/// Members of one object: more than any that is read has, and few enough to be compared one by one.
const MOST_MEMBERS: usize = 32;

/// An object, its values unread.
#[derive(Debug)]
pub(super) struct Members<'b>(Vec<(String, Member<'b>)>);

/// A value that is not read until it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'b>(&'b RawValue);

/// One object, or a list of them.
#[derive(Debug)]
pub(super) struct Messages<'b> {
    messages: Vec<Members<'b>>,
}

impl<'b> Messages<'b> {
    /// Reads a whole body with at most so many objects. The error says what is wrong with it, and nothing of it.
    pub(super) fn read(body: &'b [u8], most: usize) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let messages = if raw.get().starts_with('[') {
            let mut read = serde_json::Deserializer::from_str(raw.get());
            read.deserialize_seq(List(most)).map_err(|error| error.to_string())?
        } else {
            vec![Members::read(raw)?]
        };
        if messages.is_empty() { Err("it is empty".to_owned()) } else { Ok(Self { messages }) }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Members<'b>> {
        self.messages.iter()
    }
}

impl<'b> Members<'b> {
    pub(super) fn read(raw: &'b RawValue) -> Result<Self, String> {
        serde_json::from_str(raw.get()).map_err(|error| error.to_string())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn get(&self, name: &str) -> Option<Member<'b>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, member)| *member)
    }
}

impl<'b> Member<'b> {
    /// A string, decoded.
    pub(super) fn text(self) -> Option<String> {
        serde_json::from_str(self.0.get()).ok()
    }

    pub(super) fn is_null(self) -> bool {
        self.0.get() == "null"
    }

    pub(super) fn is_object(self) -> bool {
        self.0.get().starts_with('{')
    }

    /// An object with few members.
    pub(super) fn members(self) -> Option<Members<'b>> {
        Members::read(self.0).ok()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> de::Visitor<'de> for Object {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members: Vec<(String, Member<'de>)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.iter().any(|(other, _)| *other == name) {
                return Err(de::Error::custom("a member is there twice"));
            }
            if members.len() == MOST_MEMBERS {
                return Err(de::Error::custom(format_args!("more than {MOST_MEMBERS} members")));
            }
            members.push((name, Member(map.next_value()?)));
        }
        Ok(Members(members))
    }
}

/// At most so many.
struct List(usize);

impl<'de> de::Visitor<'de> for List {
    type Value = Vec<Members<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut messages = Vec::new();
        while let Some(message) = list.next_element()? {
            if messages.len() == self.0 {
                return Err(de::Error::custom(format_args!("a batch of more than {}", self.0)));
            }
            messages.push(message);
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(body: &[u8]) -> Result<Vec<Vec<String>>, String> {
        let messages = Messages::read(body, 2)?;
        Ok(messages.each().map(|one| one.names().map(ToOwned::to_owned).collect()).collect())
    }

    #[test]
    fn an_object_or_a_few_are_read() {
        assert_eq!(names(br#" {"a":1,"\u0062":{"a":1,"a":2}} "#).unwrap(), [["a", "b"]]);
        assert_eq!(names(br#"[{"a":1},{"b":[]}]"#).unwrap(), [["a"], ["b"]]);
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        let many =
            format!("{{{}}}", (0..=MOST_MEMBERS).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        for (body, error) in [
            (br#"{"a":1,"a":2}"#.as_slice(), "twice"),
            (br#"{"a":1,"\u0061":2}"#, "twice"),
            (br#"[{"a":1,"b":2,"a":3}]"#, "twice"),
            (br#"{"a":1} {"a":2}"#, "trailing"),
            (b"\xef\xbb\xbf{}", "expected value"),
            (b"{\"a\":\"\xff\"}", "UTF-8"),
            (b"/* a */{}", "expected value"),
            (br#"{"a":1,}"#, "key must be a string"),
            (b"{'a':1}", "key must be a string"),
            (br#"{"\ud800":1}"#, "surrogate"),
            (b"[[{}]]", "expected an object"),
            (b"[]", "empty"),
            (b"7", "expected an object"),
            (b"", "EOF"),
            (b"[{},{},{}]", "more than 2"),
            (many.as_bytes(), "more than 32 members"),
        ] {
            let said = names(body).unwrap_err();
            assert!(said.contains(error) || said.contains("hex escape"), "{}: {said}", body.escape_ascii());
        }
    }
}
