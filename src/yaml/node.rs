//! The document: its value, and where each part of it is in the text.

use serde_json::Value;
use std::{collections::BTreeMap, ops::Range};

/// Where a value stands, and the places of what it holds.
#[derive(Clone, Debug)]
pub(super) struct NodePlace {
    pub(super) span: Range<usize>,
    pub(super) key: Option<Range<usize>>,
    pub(super) inside: Inside,
}

#[derive(Clone, Debug)]
pub(super) enum Inside {
    Scalar,
    List(Vec<NodePlace>),
    Map(BTreeMap<String, NodePlace>),
}

/// One YAML document: the value, and the place of every part of it.
///
/// A pointer is either a JSON pointer (`/egress_proxy/routes/1/host`, RFC 6901) or the form that people read
/// (`egress_proxy.routes[1].host`). A pointer to something that is not there gives the nearest thing around it.
#[derive(Debug)]
pub struct Document {
    /// The whole value; maps keep the order of the text.
    pub value: Value,
    pub(super) root: NodePlace,
    /// Byte offset of the first byte of each line.
    pub(super) lines: Vec<usize>,
}

impl Document {
    /// The bytes of a value.
    #[must_use]
    pub fn span_of(&self, pointer: &str) -> Range<usize> {
        self.place(pointer).span.clone()
    }

    /// The bytes of the key that a value stands under; for the item of a list, and the document, of the value.
    #[must_use]
    pub fn key_span_of(&self, pointer: &str) -> Range<usize> {
        let place = self.place(pointer);
        place.key.clone().unwrap_or_else(|| place.span.clone())
    }

    /// The line of a value's key (of the value, for the item of a list), from 1.
    #[must_use]
    pub fn line_of(&self, pointer: &str) -> usize {
        let at = self.key_span_of(pointer).start;
        self.lines.partition_point(|start| *start <= at)
    }

    fn place(&self, pointer: &str) -> &NodePlace {
        let mut place = &self.root;
        for step in steps(pointer) {
            let next = match &place.inside {
                Inside::Scalar => None,
                Inside::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                Inside::Map(entries) => entries.get(&step),
            };
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        place
    }
}

/// The steps of a pointer in either form.
fn steps(pointer: &str) -> Vec<String> {
    if let Some(json) = pointer.strip_prefix('/') {
        return json.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    }
    pointer
        .split(['.', '['])
        .map(|step| step.strip_suffix(']').unwrap_or(step).to_owned())
        .filter(|step| !step.is_empty())
        .collect()
}

/// A JSON pointer in the form that people read: `/egress_proxy/routes/1` → `egress_proxy.routes[1]`.
pub(super) fn readable(steps: &[(String, bool)]) -> String {
    let mut out = String::new();
    for (step, is_index) in steps {
        if *is_index {
            out.push('[');
            out.push_str(step);
            out.push(']');
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(step);
        }
    }
    out
}

impl Document {
    /// The form that people read of a JSON pointer: `/egress_proxy/routes/1` → `egress_proxy.routes[1]`.
    #[must_use]
    pub fn readable(&self, pointer: &str) -> String {
        let mut place = Some(&self.root);
        let mut out = Vec::new();
        for step in steps(pointer) {
            let inside = place.map(|place| &place.inside);
            let is_index = matches!(inside, Some(Inside::List(_)));
            place = match inside {
                Some(Inside::List(items)) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                Some(Inside::Map(entries)) => entries.get(&step),
                _ => None,
            };
            out.push((step, is_index));
        }
        readable(&out)
    }
}
