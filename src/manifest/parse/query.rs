//! What the query must say.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use crate::policy::QueryRule;
use std::collections::BTreeMap;

/// Names, and values of one; a person has to read what passes.
const MOST: usize = 50;

/// `egress_proxy.routes[0].query` → `/egress_proxy/routes/0/query`: a name may hold a dot.
fn json_pointer(readable: &str) -> String {
    format!("/{}", readable.replace(['.', '['], "/").replace(']', ""))
}

pub(super) fn rules(
    written: BTreeMap<String, Vec<Item<String>>>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Vec<QueryRule> {
    let key = format!("{pointer}.query");
    if written.len() > MOST {
        let message = format!("{} entries, and a route has {MOST} at most", written.len());
        let problem = findings.value("too-many", &key, message);
        findings.push(problem.hint("nobody can review as many"));
    }
    let mut out: Vec<QueryRule> = Vec::new();
    for (name, items) in written.into_iter().take(MOST) {
        let at = format!("{}/{}", json_pointer(&key), name.replace('~', "~0").replace('/', "~1"));
        if name.is_empty() || !QueryRule::is_plain(&name) || name.contains(['=', '[', ']']) {
            let message = format!("{} can't be the name of a parameter", quoted(&name));
            let problem = findings.key("query", &at, message);
            findings.push(problem.hint(
                "write the decoded name, such as action: no `%`, `&`, `;`, `+`, `=`, `#`, brackets or control characters",
            ));
            continue;
        }
        if let Some(other) = out.iter().find(|rule| QueryRule::is_same_name(&rule.name, &name)) {
            let message = format!("{} and `{}` are one parameter to some servers", quoted(&name), other.name);
            let problem = findings.key("query", &at, message);
            findings.push(problem.hint("keep the one that the server reads"));
            continue;
        }
        if items.is_empty() {
            let problem =
                findings.value("query", &at, format!("{} has no value that is allowed", quoted(&name)));
            findings.push(problem.hint("list the values; a parameter that may say anything needs no entry"));
        }
        if items.len() > MOST {
            let message = format!("{} values, and a parameter has {MOST} at most", items.len());
            let problem = findings.value("too-many", &at, message);
            findings.push(problem.hint("nobody can review as many"));
        }
        let mut values: Vec<String> = Vec::new();
        for (index, value) in items.into_iter().take(MOST).enumerate() {
            let Some(value) = value.0 else { continue };
            let at = format!("{at}/{index}");
            if !QueryRule::is_plain(&value) {
                let message = format!("{} can't be the value of a parameter", quoted(&value));
                let problem = findings.value("query", &at, message);
                findings.push(problem.hint(
                    "write the decoded value: no `%`, `&`, `;`, `+`, `#` or control characters, which servers read differently",
                ));
            } else if values.contains(&value) {
                let problem =
                    findings.value("duplicate", &at, format!("the value {} is listed twice", quoted(&value)));
                findings.push(problem.hint("remove one of the two"));
            } else {
                values.push(value);
            }
        }
        out.push(QueryRule { name, values });
    }
    out
}
