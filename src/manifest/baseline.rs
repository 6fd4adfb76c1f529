//! A baseline: a manifest that says the most that others may, and may leave out what it does not bound.

use super::{Loaded, load};
use crate::diagnostic::{Diagnostic, Report};
use serde_json::{Value, json};

/// What a baseline says nothing about, and so does not bound: what runs in the cage, not the cage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Unbounded {
    /// `agent.image` and `agent.build`.
    pub image: bool,
    /// `agent.command`.
    pub command: bool,
    /// `agent.workdir`.
    pub workdir: bool,
    /// `agent.env`.
    pub environment: bool,
    /// `agent.resources.memory`, whose default is another one on each machine.
    pub memory: bool,
    /// `agent.resources.pids`.
    pub processes: bool,
}

/// A baseline with its text.
#[derive(Debug)]
pub struct Baseline {
    /// As a manifest. What it leaves out has a value that stands for nothing.
    pub loaded: Loaded,
    /// What it leaves out.
    pub unbounded: Unbounded,
}

pub(super) fn load_baseline(name: &str, text: &[u8]) -> Result<Baseline, Report> {
    let mut unbounded = Unbounded::default();
    let loaded = load(name, text, |value| unbounded = complete(value))?;
    let pointless = [
        ("within", loaded.manifest.within.is_some()),
        ("lints", !loaded.manifest.lints.allow.is_empty()),
        ("tests", !loaded.manifest.tests.is_empty()),
    ];
    let problem = |key: &str| {
        Diagnostic::error("baseline", format!("`{key}` means nothing in a baseline"))
            .source(&loaded.source)
            .label(loaded.span_of(key), "")
            .hint("remove it: a baseline says what a bottle may let its agent do, and is not rendered")
    };
    let problems: Vec<Diagnostic> =
        pointless.into_iter().filter(|(_, is_there)| *is_there).map(|(key, _)| problem(key)).collect();
    if problems.is_empty() { Ok(Baseline { loaded, unbounded }) } else { Err(Report(problems)) }
}

/// Fills in what a manifest must have.
fn complete(value: &mut Value) -> Unbounded {
    let Some(manifest) = value.as_object_mut() else { return Unbounded::default() };
    manifest.entry("name").or_insert_with(|| json!("baseline"));
    let agent = manifest.entry("agent").or_insert_with(|| json!({}));
    let Some(agent) = agent.as_object_mut() else { return Unbounded::default() };
    let resources = agent.get("resources").and_then(Value::as_object);
    let is_limited = |key: &str| resources.is_some_and(|resources| resources.contains_key(key));
    let unbounded = Unbounded {
        image: !agent.contains_key("image") && !agent.contains_key("build"),
        command: !agent.contains_key("command"),
        workdir: !agent.contains_key("workdir"),
        environment: !agent.contains_key("env"),
        memory: !is_limited("memory"),
        processes: !is_limited("pids"),
    };
    if unbounded.image {
        agent.insert("image".to_owned(), json!("baseline"));
    }
    unbounded
}
