//! Entries in brackets.

use super::new_entry::NewEntry;
use super::shape::{Node, Shape};
use super::{Refused, Splice, lines};
use serde_json::Value;

/// Adds the first entry of an empty list or map.
pub(super) fn fill(shape: &Shape<'_>, node: &Node, new: &NewEntry<'_>) -> Result<Vec<Splice>, Refused> {
    let inside = node.start + 1..node.end - 1;
    if !lines::is_blank(&shape.text[inside.clone()]) {
        return Err("a comment stands in its brackets".to_owned());
    }
    Ok(vec![(inside, new.flow(None))])
}

/// Adds to a list or map that has entries.
pub(super) fn add(
    shape: &Shape<'_>,
    node: &Node,
    index: usize,
    new: &NewEntry<'_>,
) -> Result<Vec<Splice>, Refused> {
    let text = shape.text;
    let sibling = node.children.last().filter(|_| node.is_list).map(|last| &text[last.start..last.end]);
    let new = new.flow(sibling);
    if let Some(next) = node.children.get(index) {
        if lines::begins(text, next.entry) {
            let line = lines::start(text, next.entry);
            return Ok(vec![(line..line, format!("{}{new},\n", &text[line..next.entry]))]);
        }
        return Ok(vec![(next.entry..next.entry, format!("{new}, "))]);
    }
    let Some(last) = node.children.last() else { return Err("it has no entries".to_owned()) };
    let comma = comma_behind(text, last.end);
    let after = lines::next(text, comma.unwrap_or(last.end));
    // Each has a line of its own, and the bracket too.
    if lines::begins(text, last.entry) && after < node.end {
        let pad = " ".repeat(lines::column(text, last.entry));
        return Ok(match comma {
            Some(_) => vec![(after..after, format!("{pad}{new},\n"))],
            None => vec![(last.end..last.end, ",".to_owned()), (after..after, format!("{pad}{new}\n"))],
        });
    }
    Ok(vec![(last.end..last.end, format!(", {new}"))])
}

/// Removes an entry.
pub(super) fn remove(shape: &Shape<'_>, parent: &Node, index: usize) -> Result<Vec<Splice>, Refused> {
    let text = shape.text;
    let node = &parent.children[index];
    let comma = comma_behind(text, node.end);
    let end = comma.map_or(node.end, |comma| comma + 1);
    if lines::begins(text, node.entry)
        && lines::comment_behind(text, end).is_ok()
        && lines::next(text, end) < parent.end
    {
        let column = lines::column(text, node.entry);
        let first = lines::comments_above(text, lines::start(text, node.entry), column);
        return Ok(vec![(first..lines::next(text, end), String::new())]);
    }
    let between = |range: std::ops::Range<usize>| {
        let only = text[range.clone()].bytes().all(|byte| matches!(byte, b' ' | b'\n' | b','));
        if only { Ok(range) } else { Err("a comment stands between it and its neighbour".to_owned()) }
    };
    if let Some(next) = parent.children.get(index + 1) {
        between(node.end..next.entry)?;
        return Ok(vec![(node.entry..next.entry, String::new())]);
    }
    if let Some(before) = index.checked_sub(1).map(|before| &parent.children[before]) {
        between(before.end..node.entry)?;
        return Ok(vec![(before.end..node.end, String::new())]);
    }
    between(parent.start + 1..node.entry)?;
    between(node.end..parent.end - 1)?;
    Ok(vec![(parent.start + 1..parent.end - 1, String::new())])
}

/// Gives an entry another value.
pub(super) fn replace(node: &Node, value: &Value) -> Result<Vec<Splice>, Refused> {
    let entry = NewEntry { key: None, value };
    if node.start == node.end {
        return Err("it has no value; edit it by hand".to_owned());
    }
    Ok(vec![(node.start..node.end, entry.flow(None))])
}

/// The comma behind a value, on its line.
fn comma_behind(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].trim_start_matches(' ');
    rest.starts_with(',').then(|| text.len() - rest.len())
}
