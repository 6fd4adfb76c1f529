//! Entries that have lines of their own.

use super::new_entry::{NewEntry, behind, lines_of};
use super::shape::{Node, Shape, Style};
use super::{Comments, Refused, Splice, flow, lines};
use serde_json::Value;

/// Adds to a list or map in block style that has entries.
pub(super) fn add(
    shape: &Shape<'_>,
    node: &Node,
    index: usize,
    new: &NewEntry<'_>,
) -> Result<Vec<Splice>, Refused> {
    if node.style != Style::Block {
        return Err("it is written in a way that is not edited".to_owned());
    }
    let (first, column) = (&node.children[0], lines::column(shape.text, node.children[0].entry));
    let sibling = node.children.last().filter(|_| node.is_list).map(|last| &shape.text[last.start..last.end]);
    let block = new.block(column, sibling);
    if index == 0 && !lines::begins(shape.text, first.entry) {
        return Ok(vec![(first.entry..first.entry, block + &" ".repeat(column))]);
    }
    Ok(vec![insert(shape, node, index, &(" ".repeat(column) + &block))?])
}

/// Puts whole lines before the entry at an index, or behind the last.
fn insert(shape: &Shape<'_>, node: &Node, index: usize, new: &str) -> Result<Splice, Refused> {
    let text = shape.text;
    let column = lines::column(text, node.children[0].entry);
    if let Some(next) = node.children.get(index) {
        let at = lines::comments_above(text, lines::start(text, next.entry), column);
        return Ok((at..at, new.to_owned()));
    }
    let Some(last) = node.children.last() else { return Err("it has no entries".to_owned()) };
    let at = lines::entry_end(text, last.end, column)?;
    let top = lines::comments_above(text, lines::start(text, last.entry), column);
    let apart = node.children.len() > 1 && lines::blank_above(text, top);
    let new = if apart { format!("\n{new}") } else { new.to_owned() };
    Ok((at..at, closed(text, at, &new)))
}

/// Whole lines for a place: behind a last line that has no line feed, they get one before and none at their end.
fn closed(text: &str, at: usize, new: &str) -> String {
    let open = at == text.len() && !text.is_empty() && !text.ends_with('\n');
    if open { format!("\n{}", new.strip_suffix('\n').unwrap_or(new)) } else { new.to_owned() }
}

/// Adds the first entry of an empty list or map.
pub(super) fn fill(shape: &Shape<'_>, node: &Node, new: &NewEntry<'_>) -> Result<Vec<Splice>, Refused> {
    if node.style != Style::Flow {
        return Err("it is written in a way that is not edited".to_owned());
    }
    if node.in_flow || new.is_plain() {
        return flow::fill(shape, node, new);
    }
    let column = if node.indicator == node.start { 0 } else { lines::column(shape.text, node.entry) + 2 };
    open(shape, node, &(" ".repeat(column) + &new.block(column, None)))
}

/// Takes the empty brackets away and puts whole lines below.
fn open(shape: &Shape<'_>, node: &Node, new: &str) -> Result<Vec<Splice>, Refused> {
    lines::comment_behind(shape.text, node.end)?;
    if node.indicator == node.start {
        return Ok(vec![(node.start..node.end, new.trim_end_matches('\n').to_owned())]);
    }
    let below = lines::next(shape.text, node.end);
    Ok(vec![(node.indicator..node.end, String::new()), (below..below, closed(shape.text, below, new))])
}

/// Removes an entry with its lines.
pub(super) fn remove(
    shape: &Shape<'_>,
    parent: &Node,
    index: usize,
    comments: Comments,
) -> Result<Vec<Splice>, Refused> {
    let text = shape.text;
    let node = &parent.children[index];
    let column = lines::column(text, node.entry);
    let behind = lines::comment_behind(text, node.end)?;
    let kept = behind.filter(|_| comments == Comments::Keep);
    if parent.children.len() == 1 {
        let empty = if parent.is_list { "[]" } else { "{}" };
        if !lines::begins(text, node.entry) || parent.indicator == parent.start {
            return Ok(vec![(node.entry..node.end, empty.to_owned())]);
        }
        let (range, left) = lines_of_entry(shape, node, comments, kept)?;
        return Ok(vec![(parent.indicator..parent.indicator, format!(" {empty}")), (range, left)]);
    }
    if lines::begins(text, node.entry) {
        return Ok(vec![lines_of_entry(shape, node, comments, kept)?]);
    }
    // The first of several, on the line of the dash before it.
    let next = &parent.children[index + 1];
    let below = lines::next(text, node.end);
    if kept.is_none() && below == lines::start(text, next.entry) {
        return Ok(vec![(node.entry..next.entry, String::new())]);
    }
    let blanks = text[..node.entry].len() - text[..node.entry].trim_end_matches(' ').len();
    let (from, left) = match kept {
        Some(comment) => (node.entry, comment),
        None => (node.entry - blanks, ""),
    };
    if column == 0 {
        return Err("it is written in a way that is not edited".to_owned());
    }
    Ok(vec![(from..lines::end(text, node.end), left.to_owned())])
}

/// The lines of an entry, and what is left of them: the comments that are kept.
fn lines_of_entry(
    shape: &Shape<'_>,
    node: &Node,
    comments: Comments,
    kept: Option<&str>,
) -> Result<Splice, Refused> {
    let text = shape.text;
    let column = lines::column(text, node.entry);
    let own = lines::start(text, node.entry);
    let end = lines::entry_end(text, node.end, column)?;
    if comments == Comments::Keep {
        let end = if kept.is_some() { lines::next(text, node.end) } else { end };
        let left = kept.map(|comment| format!("{}{comment}\n", " ".repeat(column))).unwrap_or_default();
        return Ok((own..end, left));
    }
    let mut first = lines::comments_above(text, own, column);
    // One of the two blank lines that would stand together.
    if lines::blank_above(text, first) && (end == text.len() || lines::is_blank(lines::line(text, end))) {
        first = lines::start(text, first - 1);
    }
    Ok((first..end, String::new()))
}

/// Gives an entry another value.
pub(super) fn replace(
    shape: &Shape<'_>,
    parent: &Node,
    index: usize,
    value: &Value,
) -> Result<Vec<Splice>, Refused> {
    let text = shape.text;
    let node = &parent.children[index];
    let column = lines::column(text, node.entry);
    let new = behind(value, column);
    let on_one_line = new.matches('\n').count() == 1;
    let written = &text[node.start..node.end];
    match node.style {
        Style::Scalar | Style::Flow if on_one_line => {
            let entry = NewEntry { key: None, value };
            Ok(vec![(node.start..node.end, entry.flow(Some(written)))])
        }
        Style::Scalar | Style::Flow if !written.contains('\n') => {
            let new = lines_of(value, column + 2);
            if node.key.is_some() || !value.is_object() {
                return open(shape, node, &new);
            }
            // An item becomes a map: its first entry on the line of the dash, before the comment that is there.
            lines::comment_behind(text, node.end)?;
            let (first, rest) = new.split_once('\n').unwrap_or((&new, ""));
            let below = lines::next(text, node.end);
            let rest = closed(text, below, rest);
            Ok(vec![(node.start..node.end, first.trim_start().to_owned()), (below..below, rest)])
        }
        Style::Absent if on_one_line => Ok(vec![(node.start..node.end, new.trim_end().to_owned())]),
        Style::Scalar | Style::Flow | Style::Block | Style::BlockScalar => {
            lines::comment_behind(text, node.end)?;
            Ok(vec![(node.indicator..node.end, new.trim_end().to_owned())])
        }
        Style::Absent | Style::Unknown => Err("it is written in a way that is not edited".to_owned()),
    }
}

/// Moves the lines of an item to the end of another list.
pub(super) fn shift(
    shape: &Shape<'_>,
    parent: &Node,
    index: usize,
    list: &Node,
) -> Result<Vec<Splice>, Refused> {
    let text = shape.text;
    let node = &parent.children[index];
    if parent.style != Style::Block || !parent.is_list || !lines::begins(text, node.entry) {
        return Err("it has no lines of its own".to_owned());
    }
    let column = lines::column(text, node.entry);
    let first = lines::comments_above(text, lines::start(text, node.entry), column);
    let end = lines::entry_end(text, node.end, column)?;
    let target = match list.children.first() {
        Some(child) if list.style == Style::Block => lines::column(text, child.entry),
        None if list.style == Style::Flow && list.indicator != list.start => {
            lines::column(text, list.entry) + 2
        }
        _ => return Err("the list that it goes to has no lines of its own".to_owned()),
    };
    let mut moved = String::new();
    for line in text[first..end].lines() {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        if !lines::is_blank(line) {
            moved.extend(std::iter::repeat_n(' ', (spaces + target).saturating_sub(column)));
            moved.push_str(&line[spaces..]);
        }
        moved.push('\n');
    }
    let mut splices = remove(shape, parent, index, Comments::Drop)?;
    if list.children.is_empty() {
        splices.extend(open(shape, list, &moved)?);
    } else {
        splices.push(insert(shape, list, list.children.len(), &moved)?);
    }
    Ok(splices)
}
