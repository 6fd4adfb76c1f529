//! For programs: a document with a schema. New members may come; none goes or changes its meaning within a version.

use super::{Line, Place, Review, Status};
use crate::capability::Risk;
use crate::json_schema;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Of this format.
const VERSION: u32 = 1;

/// What `bottle diff --format json` prints.
#[derive(Serialize, JsonSchema)]
struct Document<'a> {
    /// Of this format.
    version: u32,
    /// What the old side is called.
    old: &'a str,
    /// What the new side is called.
    new: &'a str,
    /// Whether an agent can do anything that it could not.
    widens: bool,
    /// The bottles that differ, by their path.
    bottles: Vec<Bottle<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Bottle<'a> {
    /// Its name on the new side, if it is there.
    name: &'a str,
    /// Its manifest, or the folder of its rendered tree.
    path: &'a str,
    /// Whether both sides have it.
    status: Status,
    /// What differs, the dangerous first.
    lines: Vec<Entry>,
    /// A unified diff of what both sides render to.
    patch: &'a str,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    /// `!` for what deserves a second look, `+` for what else is new, `-` for what is no longer allowed, `~` for what
    /// lets the agent do the same.
    sign: char,
    /// A line for a person.
    text: String,
    /// Nothing where the agent can do no more than before.
    risk: Option<RiskEntry>,
    /// Where the new side says it.
    place: Option<Place>,
    /// Where the old side says it.
    old_place: Option<Place>,
    /// What belongs to it, a line each.
    details: Vec<String>,
    /// The change with its parts: `change` is `added`, `removed` or `changed`, `old` and `new` each have a
    /// `capability`. Nothing for what is about files.
    change: Option<Value>,
}

#[derive(Serialize, JsonSchema)]
struct RiskEntry {
    /// `credential`, `machine`, `guard`, `project`, `reach`, `code` or `minor`, the worst first.
    class: &'static str,
    /// What could go wrong.
    reason: &'static str,
}

/// The document, indented, with a line feed at its end.
pub fn json(review: &Review) -> serde_json::Result<String> {
    let bottles = review.bottles.iter().map(|bottle| {
        Ok(Bottle {
            name: &bottle.name,
            path: bottle.path.as_str(),
            status: bottle.status,
            lines: bottle.lines.iter().map(entry).collect::<serde_json::Result<_>>()?,
            patch: &bottle.patch,
        })
    });
    let document = Document {
        version: VERSION,
        old: &review.old,
        new: &review.new,
        widens: review.widens(),
        bottles: bottles.collect::<serde_json::Result<_>>()?,
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn entry(line: &Line) -> serde_json::Result<Entry> {
    let change = match &line.what {
        super::What::Capability(change) => Some(serde_json::to_value(change)?),
        _ => None,
    };
    let risk = |risk: Risk| RiskEntry { class: risk.name(), reason: risk.reason() };
    Ok(Entry {
        sign: line.sign().0,
        text: line.text(),
        risk: line.risk().map(risk),
        place: line.place.clone(),
        old_place: line.old_place.clone(),
        details: line.details.clone(),
        change,
    })
}

/// The JSON Schema of the document.
#[must_use]
pub fn schema() -> Value {
    json_schema::of::<Document<'static>>("diff", VERSION)
}
