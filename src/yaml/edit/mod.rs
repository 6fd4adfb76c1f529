//! Edits of a text that keep all the rest of it byte for byte: comments, order, quotes, indentation, blank lines.
//!
//! An [`Edit`] is an operation of JSON Patch (RFC 6902) on the value, done on the text: the bytes of one entry are
//! replaced, and no other. What an edit made is read again and compared with the value that was meant; where the two
//! differ, the edit is refused, so a layout that this module does not know costs an edit and never makes a wrong one.
//! Anchors and aliases are refused: an edit of one place would change another.

mod block;
mod flow;
mod lines;
mod new_entry;
mod operation;
mod shape;

use super::{Limits, parse};
use serde_json::Value;
use shape::Shape;
use std::ops::Range;

/// What becomes of the comments on what is removed. Those on lines of its own inside of it always go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// The one behind it, and those directly above it, go with it.
    Drop,
    /// They stay, each on a line of its own.
    Keep,
}

/// One change. Places are JSON pointers (RFC 6901); `-` is the end of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Adds an entry to a map, or an item to a list, before the one at that index. Parents that are missing are made.
    Add {
        /// The new entry's place.
        at: String,
        /// What it says.
        value: Value,
    },
    /// Removes an entry or item.
    Remove {
        /// Its place.
        at: String,
        /// What becomes of the comments on it.
        comments: Comments,
    },
    /// Gives an entry or item another value.
    Replace {
        /// Its place.
        at: String,
        /// The new value.
        value: Value,
    },
    /// Gives an entry of a map another key.
    Rename {
        /// Its place.
        at: String,
        /// The new key.
        key: String,
    },
    /// Moves an item, as it is written, to the end of another list.
    Move {
        /// The item's place.
        from: String,
        /// The list.
        to: String,
    },
}

impl Edit {
    /// Adds an entry or item.
    pub fn add(at: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Add { at: at.into(), value: value.into() }
    }

    /// Removes an entry or item with its comments.
    pub fn remove(at: impl Into<String>) -> Self {
        Self::Remove { at: at.into(), comments: Comments::Drop }
    }

    /// Replaces a value.
    pub fn replace(at: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Replace { at: at.into(), value: value.into() }
    }

    fn at(&self) -> &str {
        match self {
            Self::Add { at, .. }
            | Self::Remove { at, .. }
            | Self::Replace { at, .. }
            | Self::Rename { at, .. } => at,
            Self::Move { from, .. } => from,
        }
    }
}

/// Why a text can't be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at} can't be edited in place: {why}")]
pub struct EditError {
    /// The pointer of the edit.
    pub at: String,
    /// Why not.
    pub why: String,
}

/// Bytes to replace, and by what.
type Splice = (Range<usize>, String);

/// Why an edit is refused, without its place.
type Refused = String;

/// The text with these edits, one after the other: each sees what the ones before it made. All of them or none.
pub fn edit(text: &str, edits: &[Edit], limits: Limits) -> Result<String, EditError> {
    let (mut text, mut rest) = (text.to_owned(), edits);
    while !rest.is_empty() {
        let additions = rest.iter().take_while(|edit| matches!(edit, Edit::Add { .. })).count();
        let (now, later) = rest.split_at(additions.max(1));
        text = together(&text, now, limits)?;
        rest = later;
    }
    Ok(text)
}

/// Edits for which the text is read once; where one of them needs what another made, once for each half.
fn together(text: &str, edits: &[Edit], limits: Limits) -> Result<String, EditError> {
    match (at_once(text, edits, limits), edits) {
        (Ok(edited), _) => Ok(edited),
        (Err(why), [edit]) => Err(EditError { at: edit.at().to_owned(), why }),
        (Err(_), edits) => {
            let (first, second) = edits.split_at(edits.len() / 2);
            together(&together(text, first, limits)?, second, limits)
        }
    }
}

/// Every edit on the text as it is; refused where that is not what they mean one after the other.
fn at_once(text: &str, edits: &[Edit], limits: Limits) -> Result<String, Refused> {
    let read = |text: &str| {
        parse(text.as_bytes(), limits)
            .map_err(|problems| problems.first().map(ToString::to_string).unwrap_or_default())
    };
    let document = read(text)?;
    let mut meant = document.value.clone();
    let shape = Shape::of(text, &document);
    let mut splices = Vec::new();
    for edit in edits {
        operation::apply(&mut meant, edit)?;
        splices.extend(splices_of(edit, &shape, &document.value)?);
    }
    splices.sort_by_key(|(range, _)| range.start);
    let edited = spliced(text, &splices)?;
    let became = read(&edited).map_err(|why| format!("the result would not be YAML ({why})"))?;
    if became.value == meant {
        Ok(edited)
    } else {
        Err("its layout is not known well enough to change it and nothing else; edit it by hand".to_owned())
    }
}

fn splices_of(edit: &Edit, shape: &Shape<'_>, value: &Value) -> Result<Vec<Splice>, Refused> {
    match edit {
        Edit::Add { at, value: new } => add(shape, value, at, new),
        Edit::Remove { at, comments } => {
            let (parent, index) = shape.entry(at)?;
            require_own(&parent.children[index])?;
            if parent.is_flow() {
                flow::remove(shape, parent, index)
            } else {
                block::remove(shape, parent, index, *comments)
            }
        }
        Edit::Replace { at, value } => {
            let (parent, index) = shape.entry(at)?;
            require_own(&parent.children[index])?;
            if parent.is_flow() {
                flow::replace(&parent.children[index], value)
            } else {
                block::replace(shape, parent, index, value)
            }
        }
        Edit::Rename { at, key } => {
            let (parent, index) = shape.entry(at)?;
            let span = parent.children[index].key.clone().ok_or("it has no key")?;
            Ok(vec![(span, super::emit_flow(&Value::String(key.clone())))])
        }
        Edit::Move { from, to } => {
            let (parent, index) = shape.entry(from)?;
            require_own(&parent.children[index])?;
            let list = shape.node(to)?;
            block::shift(shape, parent, index, list)
        }
    }
}

fn add(shape: &Shape<'_>, value: &Value, at: &str, new: &Value) -> Result<Vec<Splice>, Refused> {
    let (parent, key, new) = operation::with_parents(value, at, new)?;
    let node = shape.node(&parent)?;
    let index = if node.is_list && key != "-" {
        key.parse::<usize>().map_err(|_| "an index is a number".to_owned())?
    } else {
        node.children.len()
    };
    let key = (!node.is_list).then_some(key.as_str());
    let entry = new_entry::NewEntry { key, value: &new };
    if node.children.is_empty() {
        block::fill(shape, node, &entry)
    } else if node.is_flow() {
        flow::add(shape, node, index, &entry)
    } else {
        block::add(shape, node, index, &entry)
    }
}

/// What is changed holds no anchor and no alias.
fn require_own(node: &shape::Node) -> Result<(), Refused> {
    if node.is_shared() {
        return Err("it holds an anchor or an alias, so another place would change with it".to_owned());
    }
    Ok(())
}

fn spliced(text: &str, splices: &[Splice]) -> Result<String, Refused> {
    let (mut out, mut done) = (String::with_capacity(text.len() + 64), 0);
    for (range, new) in splices {
        let kept = text.get(done..range.start).ok_or("its parts overlap")?;
        out.push_str(kept);
        out.push_str(new);
        done = range.end;
    }
    out.push_str(text.get(done..).ok_or("its parts overlap")?);
    Ok(out)
}

#[cfg(test)]
mod tests;
