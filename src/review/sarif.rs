//! SARIF 2.1.0, for code scanning: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/>.

use super::{Line, Review};
use crate::capability::Risk;
use serde_json::{Value, json};

/// The rule of what lets the agent do no more than before.
const NARROWS: (&str, &str) = ("no-wider", "the agent can do no more than before");

/// One log with one run, a result for each difference, with a line feed at its end.
pub fn sarif(review: &Review) -> serde_json::Result<String> {
    let rule = |(id, text): (&str, &str)| json!({"id": id, "shortDescription": {"text": text}});
    let classes = Risk::ALL.iter().map(|risk| (risk.name(), risk.reason()));
    let rules: Vec<Value> = classes.chain([NARROWS]).map(rule).collect();
    let lines = review.bottles.iter().flat_map(|bottle| bottle.lines.iter().map(move |line| (bottle, line)));
    let results: Vec<Value> =
        lines.map(|(bottle, line)| result(bottle.path.as_str(), &bottle.name, line)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "bottle", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    });
    Ok(serde_json::to_string_pretty(&log)? + "\n")
}

fn result(path: &str, bottle: &str, line: &Line) -> Value {
    let level = match line.sign().0 {
        '!' => "error",
        '+' => "warning",
        _ => "note",
    };
    // Results stand in the files of the new side.
    let start = line.place.as_ref().map_or(1, |place| place.line);
    json!({
        "ruleId": line.risk().map_or(NARROWS.0, Risk::name),
        "level": level,
        "message": {"text": format!("bottle {bottle}: {} {}", line.sign().0, line.text())},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(path)}, "region": {"startLine": start}},
        }],
    })
}

/// A relative reference (RFC 3986, section 4.2).
fn uri(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');
    utf8_percent_encode(path, KEPT).to_string()
}
