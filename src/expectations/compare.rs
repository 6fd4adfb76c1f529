//! What was expected against what the proxies would do.

use super::Case;
use crate::diagnostic::{Diagnostic, Source};
use crate::explain::{Advice, Answer, BottleRules, Proxy, Rule, Wanted};
use crate::manifest::{Expected, ExpectedCredential};
use crate::policy::{Basis, GitOperation, Refusal};
use jiff::civil::Date;
use std::{ops::Range, sync::Arc};

/// A difference: where the expectation says otherwise, what it says, and what happens.
struct Difference<'c> {
    span: &'c Range<usize>,
    expected: String,
    message: String,
}

/// The diagnostic of an expectation that does not hold.
pub(super) fn failure(
    case: &Case,
    answer: &Answer,
    source: &Arc<Source>,
    rules: &BottleRules,
    today: Date,
) -> Option<Diagnostic> {
    let mut differences = differences(case, answer).into_iter();
    let first = differences.next()?;
    let mut diagnostic = Diagnostic::error("expectation", first.message)
        .source(source)
        .label(first.span.clone(), first.expected);
    for other in differences {
        diagnostic = diagnostic.label(other.span.clone(), other.expected).note(other.message);
    }
    if let Some(name) = &case.expectation.name {
        diagnostic = diagnostic.note(format!("the test is: {name}"));
    }
    if let Some(rule) = &answer.rule {
        diagnostic = with_rule(diagnostic, rule, answer.refusal.is_some(), source, rules);
    }
    let Some(refusal) = &answer.refusal else {
        let hint = "change the rule, or the test if the rule is what is meant; `bottle explain` says more of a request";
        return Some(diagnostic.hint(hint));
    };
    diagnostic = diagnostic.note(refusal.message.clone());
    if let Some(found) = &answer.secret {
        diagnostic = diagnostic.note(format!("{} was found in {}", found.finding.pattern, found.place));
    }
    match advice(case, answer, refusal, rules, today) {
        Some(entry) => Some(diagnostic.hint("this would allow it:").paste(entry)),
        None if matches!(case.expectation.expected, Expected::Allow { .. }) => {
            Some(diagnostic.hint("no entry allows it; change the test, or the request"))
        }
        None => Some(diagnostic.hint("change the rule, or the test if this is what is meant")),
    }
}

fn differences<'c>(case: &'c Case, answer: &Answer) -> Vec<Difference<'c>> {
    let (expectation, spans) = (&case.expectation, &case.spans);
    let request = case.written();
    let mut found = Vec::new();
    match (&expectation.expected, &answer.refusal) {
        (Expected::Allow { .. }, Some(refusal)) => {
            let by = answer.decided_by.map_or("", Proxy::as_str);
            found.push(Difference {
                span: &spans.request,
                expected: "must be allowed".to_owned(),
                message: format!("{request} is denied by {by}: {}", refusal.reason),
            });
        }
        (Expected::Deny { .. }, None) => found.push(Difference {
            span: &spans.request,
            expected: "must be denied".to_owned(),
            message: format!("{request} is allowed"),
        }),
        (Expected::Allow { credential: Some(expected) }, None) => {
            let set = answer.rule.as_ref().and_then(|rule| rule.credential.as_ref());
            let set = set.map(|credential| credential.token_ref.as_str());
            let (wanted, expected) = match expected {
                ExpectedCredential::None => (None, "none must be set".to_owned()),
                ExpectedCredential::Named(name) => (Some(name.as_str()), format!("{name} must be set")),
            };
            if set != wanted {
                let got =
                    set.map_or_else(|| "without a credential".to_owned(), |name| format!("with {name}"));
                let message = format!("{request} is allowed {got}");
                found.push(Difference { span: &spans.credential, expected, message });
            }
        }
        (Expected::Deny { reason, by }, Some(refusal)) => {
            if let Some(reason) = reason.filter(|reason| *reason != refusal.reason) {
                found.push(Difference {
                    span: &spans.reason,
                    expected: format!("must be denied for {reason}"),
                    message: format!("{request} is denied for another reason: {}", refusal.reason),
                });
            }
            let decided_by = answer.decided_by.map_or("", Proxy::as_str);
            if let Some(by) = by.filter(|by| *by != decided_by) {
                found.push(Difference {
                    span: &spans.by,
                    expected: format!("{by} must deny it"),
                    message: format!("{request} is denied by {decided_by}"),
                });
            }
        }
        (Expected::Allow { credential: None }, None) => {}
    }
    let pointer = answer.rule.as_ref().map(|rule| rule.pointer.as_str());
    // Of another verdict the rule is another one, too.
    let is_verdict = matches!(expectation.expected, Expected::Deny { .. }) == answer.refusal.is_some();
    let decides = |rule: &str| pointer.is_some_and(|pointer| is_at(pointer, rule));
    if is_verdict && expectation.rule.as_deref().is_some_and(|rule| !decides(rule)) {
        found.push(Difference {
            span: &spans.rule,
            expected: "must decide".to_owned(),
            message: match pointer {
                Some(pointer) => format!("{request} is decided by {pointer}"),
                None => format!("{request} is decided by no rule"),
            },
        });
    }
    found
}

/// Whether a pointer is another one, or lies below it.
fn is_at(pointer: &str, around: &str) -> bool {
    pointer.strip_prefix(around).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The rule that decided: in the same frame where it stands in the same file, else by its line.
fn with_rule(
    diagnostic: Diagnostic,
    rule: &Rule,
    denies: bool,
    source: &Arc<Source>,
    rules: &BottleRules,
) -> Diagnostic {
    let says = if denies { "this rule decides" } else { "this allows it" };
    match (rules.manifest(), rules.place_of(&rule.pointer)) {
        (Some(loaded), _) if Arc::ptr_eq(&loaded.source, source) => {
            diagnostic.label(loaded.span_of(&rule.pointer), says)
        }
        (_, Some(place)) => diagnostic.note(format!("{says}: {place} ({})", rule.pointer)),
        (_, None) => diagnostic.note(format!("{says}: {}", rule.pointer)),
    }
}

/// The entry that would allow what must be allowed, if an entry can.
fn advice(
    case: &Case,
    answer: &Answer,
    refusal: &Refusal,
    rules: &BottleRules,
    today: Date,
) -> Option<String> {
    if matches!(case.expectation.expected, Expected::Deny { .. }) || refusal.reason.basis() != Basis::Rules {
        return None;
    }
    let is_fetch = answer.git == Some(GitOperation::Fetch);
    match rules.advice(&Wanted::from_request(&case.expectation.request, is_fetch)?, today) {
        Advice::Entry(entry) => Some(entry),
        Advice::Allowed | Advice::Nothing | Advice::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::is_at;

    #[test]
    fn a_pointer_lies_below_another_on_whole_steps() {
        let entry = "egress_proxy.routes[1].path_allowlist[0]";
        for around in ["egress_proxy.routes[1]", "egress_proxy.routes[1].path_allowlist", entry] {
            assert!(is_at(entry, around), "{around}");
        }
        for other in ["egress_proxy.routes[1].path", "egress_proxy.routes[10]", "egress_proxy.routes[0]"] {
            assert!(!is_at(entry, other), "{other}");
        }
    }
}
