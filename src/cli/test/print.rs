//! What became of expectations, as a text for people, as JSON, and as cases of a JUnit report.

use super::Ran;
use crate::cli::Globals;
use crate::expectations::Tested;
use crate::explain::{Proxy, scalar};
use crate::junit::{Case, Ending};
use crate::manifest::Manifest;
use crate::printable::printable_name;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The failures, then one line for each manifest; with `-v` every test.
pub(super) fn text(ran: &[Ran], globals: &Globals) -> String {
    let mut out = String::new();
    for one in ran.iter().filter(|one| !one.tested.is_empty()) {
        for test in &one.tested {
            if let Some(failure) = &test.failure {
                out += &failure.render(false);
                out.push('\n');
            } else if globals.verbose > 0 {
                let (file, request) = (printable_name(&test.file), printable_name(title(test)));
                // Writing to a String can't fail.
                let _ = writeln!(out, "ok: {file}:{} {} {request}", test.line, test.expected);
            }
        }
    }
    for one in ran.iter().filter(|one| !one.tested.is_empty()) {
        let failed = one.tested.iter().filter(|test| test.failure.is_some()).count();
        let passed = one.tested.len() - failed;
        if failed > 0 {
            let _ = writeln!(out, "{}: {failed} failed, {passed} passed", one.file);
        } else if !globals.quiet {
            let _ = writeln!(out, "{}: {passed} passed", one.file);
        }
    }
    out
}

/// Its name, or the request.
fn title(test: &Tested) -> &str {
    test.name.as_deref().unwrap_or(&test.request)
}

/// Every test; every key is always there.
pub(super) fn json(ran: &[Ran]) -> String {
    let failed = ran.iter().flat_map(|one| &one.tested).filter(|test| test.failure.is_some()).count();
    let all: usize = ran.iter().map(|one| one.tested.len()).sum();
    let tests: Vec<Value> =
        ran.iter().flat_map(|one| one.tested.iter().map(|test| of_test(one, test))).collect();
    format!("{:#}\n", json!({"passed": all - failed, "failed": failed, "tests": tests}))
}

fn of_test(ran: &Ran, test: &Tested) -> Value {
    json!({
        "bottle": ran.bottle,
        "manifest": ran.file.as_str(),
        "file": test.file,
        "line": test.line,
        "name": test.name,
        "request": test.request,
        "expected": test.expected,
        "verdict": if test.denied.is_some() { "deny" } else { "allow" },
        "reason": test.denied.map(|(reason, _)| reason.code()),
        "decided_by": test.denied.map(|(_, by)| by).map(Proxy::as_str),
        "passed": test.failure.is_none(),
        "failure": test.failure.as_ref().map(crate::diagnostic::Diagnostic::json),
    })
}

/// As cases of a report.
pub(super) fn junit(ran: &Ran) -> impl Iterator<Item = Case> {
    ran.tested.iter().map(|test| Case {
        class: format!("bottle.{}", ran.bottle),
        name: match &test.name {
            Some(name) => name.clone(),
            None => format!("{} {}", test.expected, test.request),
        },
        place: Some((test.file.clone(), test.line)),
        ending: match &test.failure {
            None => Ending::Passed,
            Some(failure) => Ending::Failed(failure.message.clone(), failure.render(false)),
        },
    })
}

/// Expectations that a manifest fulfils, to begin with.
pub(super) fn example(manifest: &Manifest) -> String {
    let mut out = "tests:\n".to_owned();
    if let Some(rule) = manifest.hosts().next() {
        let route = &rule.route;
        let method = route.methods().first().map_or("GET", |method| method.as_str());
        let entry = route.path_allowlist.iter().flatten().next();
        let path = entry.map_or_else(|| "/".to_owned(), |entry| entry.as_str().replace('*', "x"));
        let (scheme, port) = match route.ports.as_slice() {
            ports if ports.contains(&443) => ("https", String::new()),
            [80, ..] => ("http", String::new()),
            [port, ..] => ("https", format!(":{port}")),
            [] => ("https", String::new()),
        };
        let request = format!("{method} {scheme}://{}{port}{path}", route.host);
        let _ = writeln!(out, "  - allow: {}", scalar(&request)); // writing to a String can't fail
    }
    out + "  - deny: GET https://exfiltration.example/\n    reason: host_not_allowed\n"
}
