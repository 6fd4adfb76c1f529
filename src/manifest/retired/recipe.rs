//! The replacement of a `cred_proxy`, as text to paste.

use super::super::template;
use crate::policy::Host;
use serde::Serialize;
use serde_json::Value;

/// A route that replaces one or several old ones.
#[derive(Serialize)]
pub(super) struct Replacement {
    pub(super) host: Host,
    #[serde(serialize_with = "unless_default")]
    pub(super) ports: Vec<u16>,
    pub(super) paths: Option<Vec<String>>,
    pub(super) auth: Option<Credential>,
    /// What it replaces, one line each.
    pub(super) was: Vec<String>,
    /// Where the first of them stands.
    #[serde(skip)]
    pub(super) pointer: String,
    /// Where the others stand.
    #[serde(skip)]
    pub(super) merged: Vec<String>,
}

#[derive(PartialEq, Serialize)]
pub(super) struct Credential {
    pub(super) scheme: &'static str,
    pub(super) token_ref: String,
}

fn unless_default<S: serde::Serializer>(ports: &[u16], serializer: S) -> Result<S::Ok, S::Error> {
    if ports == [443] { serializer.serialize_none() } else { ports.serialize(serializer) }
}

/// An old route on one line, whatever its texts hold.
pub(super) fn was(path: &Value, upstream: &Value) -> String {
    let one_line = |value: &Value| value.to_string().trim_matches('"').to_owned();
    match path {
        Value::Null => one_line(upstream),
        path => format!("{} -> {}", one_line(path), one_line(upstream)),
    }
}

/// The columns of an item's dash in the template.
const DASH: usize = 4;

/// The text: a whole `egress_proxy`, or items for the one that is there, whose items stand at `dash`.
pub(super) fn text(routes: &[Replacement], dash: Option<usize>) -> Result<String, minijinja::Error> {
    #[derive(Serialize)]
    struct Values<'a> {
        routes: &'a [Replacement],
        standalone: bool,
    }
    let standalone = dash.is_none();
    let text =
        template::fill(include_str!("../../../templates/cred_proxy.yaml.j2"), Values { routes, standalone })?;
    let Some(dash) = dash else { return Ok(text) };
    let indentation = " ".repeat(dash);
    let mut out = String::new();
    for line in text.lines() {
        out.push_str(&indentation);
        out.push_str(line.get(DASH..).unwrap_or_default());
        out.push('\n');
    }
    Ok(out)
}
