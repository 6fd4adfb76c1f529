//! What an agent can newly do and no longer do, as lines for a person and as JSON.

use crate::capability::Change;
use crate::printable::printable_name;
use serde_json::{Value, json};

/// A line each, with a sign: `!` for what deserves a second look, `+` for what else is new, `-` for what is no longer
/// allowed.
pub(super) fn listed<'a>(changes: impl IntoIterator<Item = &'a Change>) -> String {
    let line = |change: &Change| {
        let sign = match change.risk() {
            Some(risk) if risk.is_grave() => '!',
            Some(_) => '+',
            None => '-',
        };
        format!("  {sign} {}\n", printable_name(&change.to_string()))
    };
    changes.into_iter().map(line).collect()
}

/// Each with its parts, its risk and its line.
pub(super) fn as_json(changes: &[Change]) -> serde_json::Result<Vec<Value>> {
    let one = |change: &Change| {
        let mut value = serde_json::to_value(change)?;
        value["risk"] = json!(change.risk());
        value["text"] = json!(change.to_string());
        Ok(value)
    };
    changes.iter().map(one).collect()
}
