//! Events to values with places, within the budget.
//!
//! The parser is pulled event by event and dropped at the first limit, so that neither its work nor our stack
//! grows with a hostile text. Its markers count characters; [`Offsets`] turns them into bytes.

use super::{
    Document, Limits, Problem,
    node::{Inside, NodePlace},
    scalar::{self, Unusable},
    syntax,
};
use crate::masking::masked;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

/// The byte order mark; reported before, and left out here.
const BOM: char = '\u{feff}';

/// The text can't be read any further; the reason is among the problems.
struct Stop;

/// A value with its place and its size, which an alias repeats.
#[derive(Clone)]
struct Built {
    value: Value,
    place: NodePlace,
    /// Lists and maps inside each other, this one included.
    height: usize,
    nodes: usize,
    bytes: usize,
}

pub(super) fn build(text: &str, limits: Limits, problems: &mut Vec<Problem>) -> Option<Document> {
    let body = text.strip_prefix(BOM).unwrap_or(text);
    let base = text.len() - body.len();
    refuse_directives(body, base, problems);
    let mut builder = Builder {
        parser: Parser::new_from_str(body),
        offsets: Offsets::new(body, base),
        text,
        limits,
        problems,
        anchors: HashMap::new(),
        nodes: 0,
        bytes: 0,
    };
    let Ok(built) = builder.document() else { return None };
    let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    Some(Document { value: built.value, root: built.place, lines })
}

/// `%YAML 1.1` would ask for another reading, which this reader does not have.
fn refuse_directives(body: &str, base: usize, problems: &mut Vec<Problem>) {
    let mut at = base;
    for line in body.split_inclusive('\n') {
        if line.starts_with('%') {
            problems.push(
                Problem::new(at..at + line.trim_end().len(), "directives are not supported")
                    .hint("remove the line"),
            );
        } else if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            return;
        }
        at += line.len();
    }
}

/// Character indices to byte offsets.
struct Offsets {
    base: usize,
    /// Empty when every character is one byte.
    starts: Vec<usize>,
    end: usize,
}

impl Offsets {
    fn new(text: &str, base: usize) -> Self {
        let starts =
            if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| base + at).collect() };
        Self { base, starts, end: base + text.len() }
    }

    fn byte(&self, marker: Marker) -> usize {
        if self.starts.is_empty() {
            return (self.base + marker.index()).min(self.end);
        }
        self.starts.get(marker.index()).copied().unwrap_or(self.end)
    }
}

struct Builder<'t, 'p> {
    parser: Parser<'t, StrInput<'t>>,
    offsets: Offsets,
    text: &'t str,
    limits: Limits,
    problems: &'p mut Vec<Problem>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
    /// Bytes of scalars that came from aliases.
    bytes: usize,
}

impl<'t> Builder<'t, '_> {
    fn document(&mut self) -> Result<Built, Stop> {
        let mut built = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentStart(_) if built.is_some() => {
                    let at = self.range(span);
                    self.problems.push(
                        Problem::new(at, "a second document begins here").hint("keep one document in a file"),
                    );
                    break;
                }
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => built = Some(self.node(event, span, 0)?),
            }
        }
        if let Some(built) = built {
            return Ok(built);
        }
        self.problems.push(
            Problem::new(0..0, "the file is empty")
                .hint("begin with its first key; where there is no manifest yet, `bottle init` writes one"),
        );
        Err(Stop)
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = self.offsets.byte(*error.marker());
                let problem = syntax::problem(self.text, at, error.info(), self.limits);
                self.problems.push(problem);
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Built, Stop> {
        self.count(1, 0, span)?;
        match event {
            Event::Alias(id) => self.alias(id, span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let value = self.scalar(&text, style, span);
                let place = NodePlace { span: self.range(span), key: None, inside: Inside::Scalar };
                Ok(self.anchored(anchor, Built { value, place, height: 0, nodes: 1, bytes: text.len() }))
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.refuse_depth(depth + 1, span)?;
                let built = self.list(span, depth + 1)?;
                Ok(self.anchored(anchor, built))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.refuse_depth(depth + 1, span)?;
                let built = self.map(span, depth + 1)?;
                Ok(self.anchored(anchor, built))
            }
            _ => {
                let at = self.range(span);
                self.stop(Problem::new(at, "a value is missing here"))
            }
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Built, Stop> {
        let mut size = Size::default();
        let (mut values, mut places) = (Vec::new(), Vec::new());
        let mut range = self.range(start);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                range.end = range.end.max(self.range(span).end.min(self.trimmed(span)));
                break;
            }
            let item = self.node(event, span, depth)?;
            size.add(&item);
            range.end = range.end.max(item.place.span.end);
            values.push(item.value);
            places.push(item.place);
        }
        Ok(size
            .built(Value::Array(values), NodePlace { span: range, key: None, inside: Inside::List(places) }))
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Built, Stop> {
        let mut size = Size::default();
        let mut values = Map::new();
        let mut places: BTreeMap<String, NodePlace> = BTreeMap::new();
        let mut range = self.range(start);
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                range.end = range.end.max(self.range(span).end.min(self.trimmed(span)));
                break;
            }
            let key = self.key(event, span, depth)?;
            let (event, value_span) = self.next()?;
            let mut item = self.node(event, value_span, depth)?;
            size.add(&item);
            let Some((name, at)) = key else { continue };
            if item.place.span.is_empty() {
                item.place.span = at.clone();
            }
            range.end = range.end.max(item.place.span.end);
            item.place.key = Some(at.clone());
            if values.contains_key(&name) {
                self.refuse_duplicate(&name, at, &places);
                continue;
            }
            values.insert(name.clone(), item.value);
            places.insert(name, item.place);
        }
        Ok(size
            .built(Value::Object(values), NodePlace { span: range, key: None, inside: Inside::Map(places) }))
    }

    /// A key's text and place; nothing when it was refused and its value is to be read over.
    fn key(
        &mut self,
        event: Event<'t>,
        span: Span,
        depth: usize,
    ) -> Result<Option<(String, Range<usize>)>, Stop> {
        let at = self.range(span);
        match event {
            Event::Scalar(name, style, _, tag) => {
                self.count(1, 0, span)?;
                self.refuse_tag(tag.is_some(), span);
                if name == "<<" && style == ScalarStyle::Plain {
                    self.problems.push(
                        Problem::new(at, "merge keys (`<<`) are not supported")
                            .hint("write the keys out, each in its place"),
                    );
                    return Ok(None);
                }
                Ok(Some((name.into_owned(), at)))
            }
            other => {
                self.node(other, span, depth)?;
                // A key that is not there is shown at the character that stands in its place, if one does.
                let next = self.text[at.start..].chars().next().map_or(0, char::len_utf8);
                let at = at.start..at.end.max(at.start + next);
                self.problems.push(
                    Problem::new(at, "a key must be text")
                        .hint("if this is meant as a value, write it in quotes"),
                );
                Ok(None)
            }
        }
    }

    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Result<Built, Stop> {
        let Some((height, nodes, bytes)) = self.anchors.get(&id).map(|it| (it.height, it.nodes, it.bytes))
        else {
            let at = self.range(span);
            return self.stop(Problem::new(at, "this alias is inside what it repeats"));
        };
        self.count(nodes - 1, bytes, span)?;
        self.refuse_depth(depth + height, span)?;
        let mut built = self.anchors[&id].clone();
        built.place.span = self.range(span);
        built.place.key = None;
        Ok(built)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Value {
        if style != ScalarStyle::Plain {
            return Value::String(text.to_owned());
        }
        match scalar::resolve(text) {
            Ok(value) => value,
            Err(why) => {
                let what = match why {
                    Unusable::TooLarge => "this number is too large",
                    Unusable::NotFinite => "infinity and not-a-number can't be used here",
                };
                let at = self.range(span);
                self.problems.push(
                    Problem::new(at, what)
                        .hint(format!("if it is text, write it in quotes: \"{}\"", shortened(text))),
                );
                Value::String(text.to_owned())
            }
        }
    }

    fn anchored(&mut self, anchor: usize, built: Built) -> Built {
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        built
    }

    fn count(&mut self, nodes: usize, bytes: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        self.bytes += bytes;
        let aliases = if self.bytes > 0 { ", with all that its aliases repeat" } else { "" };
        let message = if self.nodes > self.limits.nodes {
            format!("the file holds more than {} values{aliases}", self.limits.nodes)
        } else if self.bytes > self.limits.bytes {
            format!("the aliases of this file repeat more than {} bytes", self.limits.bytes)
        } else {
            return Ok(());
        };
        let at = self.range(span);
        self.stop(Problem::new(at, message))
    }

    fn refuse_depth(&mut self, depth: usize, span: Span) -> Result<(), Stop> {
        if depth <= self.limits.depth {
            return Ok(());
        }
        let at = self.range(span);
        self.stop(Problem::new(at, syntax::too_deep(self.limits)))
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let at = self.tag_range(span);
            self.problems.push(
                Problem::new(at, "tags (`!…`) are not supported")
                    .hint("remove it; text that looks like a number goes into quotes"),
            );
        }
    }

    /// The tag itself, which stands before the value that the parser points at.
    fn tag_range(&self, span: Span) -> Range<usize> {
        let value = self.range(span);
        if self.text[value.clone()].starts_with('!') {
            let length = self.text[value.clone()].find(char::is_whitespace).unwrap_or(value.len());
            return value.start..value.start + length;
        }
        let from = value.start.saturating_sub(200);
        let from = (from..=value.start).find(|at| self.text.is_char_boundary(*at)).unwrap_or(value.start);
        let before = &self.text[from..value.start];
        match before.rfind('!') {
            Some(at) => {
                let start = before[..=at]
                    .rfind(|c: char| c.is_whitespace() || ",[{".contains(c))
                    .map_or(0, |at| at + 1);
                let length = before[start..].find(char::is_whitespace).unwrap_or(before.len() - start);
                from + start..from + start + length
            }
            None => value,
        }
    }

    fn refuse_duplicate(&mut self, name: &str, at: Range<usize>, places: &BTreeMap<String, NodePlace>) {
        let first = places.get(name).and_then(|place| place.key.clone());
        let mut problem = Problem::new(at, format!("the key `{}` is listed twice", shortened(name)))
            .hint("keep one of the two");
        problem.related = first.map(|span| (span, "first here".to_owned()));
        self.problems.push(problem);
    }

    fn stop<T>(&mut self, problem: Problem) -> Result<T, Stop> {
        self.problems.push(problem);
        Err(Stop)
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.offsets.byte(span.start);
        let end = self.offsets.byte(span.end).max(start);
        let text = &self.text[start..end];
        start..start + text.trim_end().len()
    }

    /// Where the text before an end marker ends: a block's end marker stands at the next token.
    fn trimmed(&self, span: Span) -> usize {
        self.text[..self.offsets.byte(span.end)].trim_end().len()
    }
}

#[derive(Default)]
struct Size {
    height: usize,
    nodes: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, item: &Built) {
        self.height = self.height.max(item.height);
        self.nodes += item.nodes;
        self.bytes += item.bytes;
    }

    fn built(self, value: Value, place: NodePlace) -> Built {
        Built { value, place, height: self.height + 1, nodes: self.nodes + 1, bytes: self.bytes }
    }
}

fn shortened(name: &str) -> String {
    // Masked before it is cut: the half of a token is not known as one.
    let name = masked(name);
    match name.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name,
    }
}
