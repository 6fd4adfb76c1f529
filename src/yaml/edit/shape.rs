//! Where each part of a document begins and ends, to the byte, and in which style it is written.
//!
//! The places of the reader are for messages: their ends can hold a comment, and a value that is not written has the
//! place of what comes next. Here an end is where the last byte of the value is.

use super::{Refused, lines, operation};
use crate::yaml::Document;
use crate::yaml::node::{Inside, NodePlace};
use serde_json::Value;
use std::ops::Range;

/// How a node is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Text, a number, …, in its place.
    Scalar,
    /// Nothing: `key:`.
    Absent,
    /// `|` or `>`.
    BlockScalar,
    /// One entry a line, by its indentation.
    Block,
    /// In brackets.
    Flow,
    /// In a way that is not edited: an explicit key, a pair in a list.
    Unknown,
}

/// A node of the text.
#[derive(Debug)]
pub(super) struct Node {
    /// Where its entry begins: its dash or key, else itself.
    pub(super) entry: usize,
    /// Behind the `:` or `-` before it; where the value itself begins, if there is none.
    pub(super) indicator: usize,
    /// The value's own first byte.
    pub(super) start: usize,
    /// Behind its last byte.
    pub(super) end: usize,
    /// The key, as it is written.
    pub(super) key: Option<Range<usize>>,
    pub(super) style: Style,
    pub(super) is_list: bool,
    /// It stands in brackets.
    pub(super) in_flow: bool,
    /// An anchor or alias is on it.
    shared: bool,
    /// In the order of the text.
    pub(super) children: Vec<Node>,
    names: Vec<String>,
}

/// A text with its nodes.
pub(super) struct Shape<'t> {
    pub(super) text: &'t str,
    root: Node,
}

impl Node {
    pub(super) fn is_flow(&self) -> bool {
        self.style == Style::Flow
    }

    /// Whether an anchor or alias is on it or on something in it.
    pub(super) fn is_shared(&self) -> bool {
        self.shared || self.children.iter().any(Node::is_shared)
    }

    fn child(&self, step: &str) -> Option<usize> {
        if self.is_list {
            step.parse().ok().filter(|index| *index < self.children.len())
        } else {
            self.names.iter().position(|name| name == step)
        }
    }
}

impl<'t> Shape<'t> {
    pub(super) fn of(text: &'t str, document: &Document) -> Self {
        let mut root = Builder { text }.node(&document.root, &document.value, None, false);
        root.entry = root.start;
        Self { text, root }
    }

    /// The list or map at a pointer, which can be reached without passing an anchor or alias.
    pub(super) fn node(&self, pointer: &str) -> Result<&Node, Refused> {
        let mut node = &self.root;
        own(node)?;
        for step in operation::steps(pointer)? {
            node = node.child(&step).map(|at| &node.children[at]).ok_or("it is not there")?;
            own(node)?;
        }
        Ok(node)
    }

    /// What holds the entry at a pointer, and its index there.
    pub(super) fn entry(&self, pointer: &str) -> Result<(&Node, usize), Refused> {
        let (parent, step) = pointer.rsplit_once('/').ok_or("the whole document is not an entry")?;
        let node = self.node(parent)?;
        let step = step.replace("~1", "/").replace("~0", "~");
        let index = node.child(&step).ok_or("it is not there")?;
        if matches!(node.style, Style::Flow | Style::Block) {
            Ok((node, index))
        } else {
            Err("it is written in a way that is not edited".to_owned())
        }
    }
}

fn own(node: &Node) -> Result<(), Refused> {
    if node.shared {
        return Err(
            "an anchor or alias is on the way to it, so another place would change with it".to_owned()
        );
    }
    Ok(())
}

/// What stands before a value.
struct Before {
    entry: usize,
    indicator: usize,
    key: Option<Range<usize>>,
}

struct Builder<'t> {
    text: &'t str,
}

impl Builder<'_> {
    fn node(&self, place: &NodePlace, value: &Value, before: Option<Before>, in_flow: bool) -> Node {
        let Range { mut start, end } = place.span;
        let Before { entry, indicator, key } =
            before.unwrap_or(Before { entry: start, indicator: start, key: None });
        let header = |start: usize| without_comments(self.text.get(indicator..start).unwrap_or_default());
        // A list that stands at the column of its key is said to begin behind its first dash.
        if value.is_array() && header(start).starts_with('-') {
            start -= header(start).len();
        }
        let written = self.text.get(start..end).unwrap_or_default();
        let mut node = Node {
            entry,
            indicator,
            start,
            end,
            key,
            style: Style::Scalar,
            is_list: value.is_array(),
            in_flow,
            shared: false,
            children: Vec::new(),
            names: Vec::new(),
        };
        let header = header(start);
        if value.is_null() && !matches!(written, "null" | "Null" | "NULL" | "~") {
            node.shared = written.starts_with(['&', '*']) && start >= indicator;
            node.style = if node.shared { Style::Unknown } else { Style::Absent };
            if !node.shared {
                (node.start, node.end) = (indicator, indicator);
            }
            return node;
        }
        if header.starts_with(['|', '>']) {
            node.style = Style::BlockScalar;
            return node;
        }
        if !header.is_empty() {
            (node.style, node.shared) = (Style::Unknown, header.contains('&'));
            return node;
        }
        if written.starts_with('*') {
            (node.style, node.shared) = (Style::Unknown, true);
            return node;
        }
        let mut first = start;
        if written.starts_with('&') {
            node.shared = true;
            let name = written.find(char::is_whitespace).unwrap_or(written.len());
            first = self.skip(start + name, false);
        }
        match (&place.inside, value) {
            (Inside::List(items), Value::Array(values)) => {
                self.list(&mut node, first, items, values, in_flow);
            }
            (Inside::Map(places), Value::Object(values)) => {
                let entries: Vec<_> =
                    values.iter().filter_map(|(name, it)| Some((name, places.get(name)?, it))).collect();
                self.map(&mut node, first, &entries, in_flow);
            }
            _ => node.end = self.scalar_end(first, end),
        }
        node
    }

    fn list(&self, node: &mut Node, first: usize, items: &[NodePlace], values: &[Value], in_flow: bool) {
        if self.text[first..].starts_with('[') {
            node.style = Style::Flow;
            for (place, value) in items.iter().zip(values) {
                node.children.push(self.node(place, value, None, true));
            }
            return self.close(node, first, ']');
        }
        let dashes = if in_flow { Vec::new() } else { self.dashes(first, node.end) };
        if dashes.len() != items.len() {
            node.style = Style::Unknown;
            return;
        }
        node.style = Style::Block;
        for ((place, value), dash) in items.iter().zip(values).zip(dashes) {
            let before = Before { entry: dash, indicator: dash + 1, key: None };
            node.children.push(self.node(place, value, Some(before), false));
        }
        node.end = node.children.last().map_or(node.end, |last| last.end);
    }

    fn map(&self, node: &mut Node, first: usize, entries: &[(&String, &NodePlace, &Value)], in_flow: bool) {
        let braces = self.text[first..].starts_with('{');
        if in_flow && !braces {
            node.style = Style::Unknown;
            return;
        }
        node.style = if braces { Style::Flow } else { Style::Block };
        for (name, place, value) in entries {
            let Some(key) = &place.key else { continue };
            let key = key.start..self.scalar_end(key.start, key.end);
            let colon =
                key.end + self.text[key.end..].len() - self.text[key.end..].trim_start_matches(' ').len();
            let indicator = match self.text[colon..].starts_with(':') {
                true => colon + 1,
                false if braces => key.end,
                false => {
                    node.style = Style::Unknown;
                    return;
                }
            };
            let before = Before { entry: key.start, indicator, key: Some(key) };
            node.children.push(self.node(place, value, Some(before), braces));
            node.names.push((*name).clone());
        }
        if braces {
            self.close(node, first, '}');
        } else {
            node.end = node.children.last().map_or(node.end, |last| last.end);
        }
    }

    /// The end of a collection in brackets.
    fn close(&self, node: &mut Node, first: usize, bracket: char) {
        let last = node.children.last().map_or(first + 1, |last| last.end);
        let at = self.skip(last, true);
        if self.text[at..].starts_with(bracket) {
            node.end = at + 1;
        } else {
            node.style = Style::Unknown;
        }
    }

    /// Past blanks, line feeds and comments, and past commas where they separate.
    fn skip(&self, mut at: usize, commas: bool) -> usize {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at) {
                Some(b' ' | b'\t' | b'\n') => at += 1,
                Some(b',') if commas => at += 1,
                Some(b'#') => at = lines::end(self.text, at),
                _ => return at,
            }
        }
    }

    /// The end of a scalar: behind its closing quote, if it has quotes.
    fn scalar_end(&self, start: usize, end: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        match bytes.get(start) {
            Some(b'\'') => loop {
                match bytes.get(at) {
                    Some(b'\'') if bytes.get(at + 1) == Some(&b'\'') => at += 2,
                    Some(b'\'') => return at + 1,
                    Some(_) => at += 1,
                    None => return end,
                }
            },
            Some(b'"') => loop {
                match bytes.get(at) {
                    Some(b'\\') => at += 2,
                    Some(b'"') => return at + 1,
                    Some(_) => at += 1,
                    None => return end,
                }
            },
            _ => end,
        }
    }

    /// The dashes of a list that begins at `first`.
    fn dashes(&self, first: usize, end: usize) -> Vec<usize> {
        let column = lines::column(self.text, first);
        let mut found = vec![first];
        let mut line = lines::next(self.text, first);
        while line < end {
            let at = line + column;
            let is_dash =
                self.text.get(line..at).is_some_and(|before| before.bytes().all(|byte| byte == b' '))
                    && self.text[at..].starts_with('-')
                    && self.text[at + 1..].chars().next().is_none_or(|c| matches!(c, ' ' | '\n' | '\t'));
            if is_dash {
                found.push(at);
            }
            line = lines::next(self.text, line);
        }
        found
    }
}

/// What stands between an indicator and a value, without comments.
fn without_comments(header: &str) -> &str {
    let mut rest = header;
    loop {
        let trimmed = rest.trim_start();
        match trimmed.strip_prefix('#') {
            Some(comment) => rest = comment.find('\n').map_or("", |newline| &comment[newline..]),
            None => return trimmed,
        }
    }
}
