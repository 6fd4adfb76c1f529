//! Expectations: the list `tests` of a manifest, and of a file beside it.

use super::super::expectation::{Expectation, Expected, ExpectedCredential, TestBody};
use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::super::raw_test::{By, Test};
use super::super::variable::is_variable_name;
use super::{file_path, route};
use crate::policy::{Reason, WrittenRequest};
use serde_json::{Map, Value};

/// How a pointer to something that decides begins.
const RULES: [&str; 2] = ["egress_proxy.routes[", "egress.allowlist["];

/// What `credential` says where none must be set.
const NO_CREDENTIAL: &str = "none";

/// The expectations of a list; those with a problem are reported and left out.
pub(in super::super) fn expectations(
    items: Option<Vec<Item<Test>>>,
    findings: &mut Findings<'_>,
) -> Vec<Expectation> {
    let items = items.into_iter().flatten().enumerate();
    let present = items.filter_map(|(index, item)| Some((format!("tests[{index}]"), item.0?)));
    present.filter_map(|(pointer, raw)| expectation(raw, pointer, findings)).collect()
}

fn expectation(raw: Test, pointer: String, findings: &mut Findings<'_>) -> Option<Expectation> {
    let Test { name, allow, deny, headers, body, body_file, now, reason, by, credential, rule } = raw;
    let at = |key: &str| format!("{pointer}.{key}");
    let name = optional(name, |name| self::name(name, &at("name"), findings));
    let body = self::body(body, body_file, &pointer, findings);
    let hint = "write the day on which the request is made, in UTC: 2027-03-31";
    let now = optional(now, |text| route::date(&text, &at("now"), hint, findings));
    let rule = optional(rule, |rule| self::rule(rule, &at("rule"), findings));
    let (key, line, misplaced) = match (allow, deny) {
        (Some(line), None) => ("allow", line, [("reason", reason.is_some()), ("by", by.is_some())]),
        (None, Some(line)) => ("deny", line, [("credential", credential.is_some()), ("", false)]),
        (allow, _) => {
            let has = if allow.is_some() { "both" } else { "neither" };
            let message = format!("a test has either `allow` or `deny`, and this one has {has}");
            let problem = findings.value("test", &pointer, message);
            findings.push(problem.hint("for example: deny: DELETE https://api.github.com/repos/acme/app"));
            return None;
        }
    };
    let request = request(&line, headers, &at(key), findings);
    for (other, is_there) in misplaced {
        if is_there {
            let why =
                if key == "allow" { "an allowed request has none" } else { "a denied request gets none" };
            let problem = findings.key("test", &at(other), format!("`{other}` beside `{key}`: {why}"));
            findings.push(problem.hint("remove it"));
        }
    }
    let expected = if key == "allow" {
        let credential = optional(credential, |name| self::credential(name, &at("credential"), findings));
        Expected::Allow { credential: credential.ok()? }
    } else {
        // The schema has seen that it is one.
        let reason = reason.and_then(|code| Reason::ALL.iter().find(|one| one.code() == code).copied());
        let by = by.map(|by| match by {
            By::EgressProxy => "egress-proxy",
            By::Pipelock => "pipelock",
        });
        Expected::Deny { reason, by }
    };
    Some(Expectation {
        name: name.ok()?,
        request: request?,
        body: body.ok()?,
        now: now.ok()?,
        expected,
        rule: rule.ok()?,
        pointer,
    })
}

/// Something about a value was reported, so that it can't be used.
struct Reported;

/// Reads what is there.
fn optional<T, U>(value: Option<T>, read: impl FnOnce(T) -> Option<U>) -> Result<Option<U>, Reported> {
    value.map(|value| read(value).ok_or(Reported)).transpose()
}

fn name(name: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    if !name.trim().is_empty() && !name.chars().any(char::is_control) {
        return Some(name);
    }
    let problem = findings.value("test", pointer, "the name is empty, or holds a control character");
    findings.push(problem.hint("one line: it stands in reports"));
    None
}

fn request(
    line: &str,
    headers: Option<Map<String, Value>>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Option<WrittenRequest> {
    // The schema has seen that the values are text.
    let fields = headers.into_iter().flatten();
    let fields = fields.filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect();
    match WrittenRequest::parse_line(line, fields) {
        Ok(request) => Some(request),
        Err(error) => {
            let problem = findings.value("test", pointer, error.to_string());
            findings
                .push(problem.hint("a test names a method and a whole URL: GET https://api.github.com/user"));
            None
        }
    }
}

fn body(
    text: Option<String>,
    file: Option<String>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Result<Option<TestBody>, Reported> {
    let at = format!("{pointer}.body_file");
    match (text, file) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(TestBody::Text(text))),
        (None, Some(file)) => optional(Some(file), |file| file_path::host_path(&file, &at, findings))
            .map(|path| path.map(TestBody::File)),
        (Some(_), Some(_)) => {
            let problem = findings.key("test", &at, "`body` and `body_file` are two bodies for one request");
            findings.push(problem.hint("remove one of them"));
            Err(Reported)
        }
    }
}

fn credential(name: String, pointer: &str, findings: &mut Findings<'_>) -> Option<ExpectedCredential> {
    if name == NO_CREDENTIAL {
        Some(ExpectedCredential::None)
    } else if is_variable_name(&name) {
        Some(ExpectedCredential::Named(name))
    } else {
        let message = format!("{} is not the name of a variable", quoted(&name));
        let problem = findings.value("test", pointer, message);
        findings.push(problem.hint("name the `token_ref` of a route, or `none`"));
        None
    }
}

fn rule(rule: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    if RULES.iter().any(|begins| rule.starts_with(begins)) {
        return Some(rule);
    }
    let problem = findings.value("test", pointer, format!("{} is not a pointer to a rule", quoted(&rule)));
    findings.push(problem.hint(
        "for example: egress_proxy.routes[0], egress_proxy.routes[0].path_allowlist[1], egress.allowlist[0]",
    ));
    None
}
