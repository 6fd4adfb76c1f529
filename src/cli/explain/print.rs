//! The answer as a text for people and as JSON for machines.

use crate::explain::{Answer, Asked, Entry, FileLine, Found, Near, Pipelock, Proxy, Rule};
use crate::manifest::DlpAction;
use crate::policy::Reason;
use crate::printable::printable_name;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One line for each thing that is known, the verdict first.
pub(super) fn text(asked: &Asked, answer: &Answer) -> String {
    let verdict = if answer.refusal.is_none() { "allowed" } else { "denied" };
    let mut out = format!("{verdict}: {} {}\n", asked.request.method, printable_name(&asked.request.url));
    for (name, value) in lines(asked, answer) {
        let _ = writeln!(out, "  {name:<10}  {}", printable_name(&value)); // writing to a String can't fail
    }
    out
}

fn lines(asked: &Asked, answer: &Answer) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(refusal) = &answer.refusal {
        lines.push(("reason", refusal.reason.to_string()));
        lines.push(("why", refusal.message.clone()));
    }
    match &answer.rule {
        Some(rule) => of_rule(rule, answer.refusal.is_none(), &mut lines),
        // The refusal says which ports the host's rule has.
        None if answer.refusal.as_ref().is_some_and(|refusal| refusal.reason == Reason::PortNotAllowed) => {}
        None => lines.push(("rule", "none names this host".to_owned())),
    }
    if let Some(sends) = answer.sends.as_ref().filter(|sends| **sends != asked.request.target) {
        lines.push(("sent as", sends.clone()));
    }
    if let Some(git) = answer.git.filter(|git| git.as_str() != "none") {
        lines.push(("git", git.to_string()));
    }
    lines.push(("pipelock", pipelock(answer.pipelock).to_owned()));
    if let Some(Found { place, finding }) = &answer.secret {
        lines.push((
            "secret",
            format!("{} in {place}, {}, byte {}", finding.pattern, finding.severity.as_str(), finding.offset),
        ));
    }
    for (kind, count) in &answer.removed {
        let what = format!("{kind}, {count} in the body: removed, and the request goes on without it");
        lines.push(("secret", what));
    }
    if let Some(Near { text, place, .. }) = &answer.nearest {
        lines.push(("nearest", format!("{text}{}", in_brackets(place.as_ref()))));
    }
    lines.extend(answer.notes.iter().map(|note| ("note", note.clone())));
    lines
}

fn of_rule(rule: &Rule, is_sent: bool, lines: &mut Vec<(&'static str, String)>) {
    let at = rule.place.as_ref().map(|place| format!("{place}, ")).unwrap_or_default();
    lines.push(("rule", format!("{} ({at}{})", rule.host, rule.source)));
    if let Some(Entry { path, place, .. }) = &rule.entry {
        lines.push(("entry", format!("{path}{}", in_brackets(place.as_ref()))));
    }
    let credential = rule.credential.as_ref();
    let credential =
        credential.map(|credential| format!("{} in {}", credential.token_ref, credential.header));
    let credential = credential
        .map(|it| if is_sent { it } else { format!("{it}; not sent, since the request is denied") });
    lines.push(("credential", credential.unwrap_or_else(|| "none".to_owned())));
    if let Some(until) = rule.until {
        lines.push(("until", until.to_string()));
    }
    if let Some(reason) = &rule.reason {
        lines.push(("because", reason.clone()));
    }
}

fn in_brackets(place: Option<&FileLine>) -> String {
    place.map(|place| format!(" ({place})")).unwrap_or_default()
}

fn pipelock(answer: Pipelock) -> &'static str {
    match answer {
        Pipelock::NotAsked => "is not asked",
        Pipelock::Refuses => "refuses the host: it is not in its allowlist with this port",
        Pipelock::PassesThrough => "lets the host through and does not look inside",
        Pipelock::Inspects { finding: DlpAction::Block } => {
            "lets the host through and looks inside; a secret in the request blocks it"
        }
        Pipelock::Inspects { finding: DlpAction::Redact } => {
            "lets the host through and looks inside; a secret in the body is removed, or blocks the request"
        }
        Pipelock::Inspects { finding: DlpAction::Warn } => {
            "lets the host through and looks inside; a secret in the request is only logged"
        }
    }
}

/// The whole answer; every key is always there.
pub(super) fn json(asked: &Asked, answer: &Answer, bottle: &str) -> String {
    let refusal = answer.refusal.as_ref();
    let value = json!({
        "bottle": bottle,
        "verdict": if refusal.is_none() { "allow" } else { "deny" },
        "reason": refusal.map(|refusal| refusal.reason.code()),
        "decided_by": answer.decided_by.map(Proxy::as_str),
        "message": refusal.map(|refusal| &refusal.message),
        "allowed": refusal.map(|refusal| &refusal.allowed),
        "request": {"method": asked.request.method.as_str(), "url": asked.request.url, "sent_as": answer.sends, "git": answer.git},
        "rule": answer.rule.as_ref().map(|it| rule(it, refusal.is_none())),
        "pipelock": pipelock_json(answer.pipelock),
        "secret": answer.secret.as_ref().map(secret),
        "removed": answer.removed.iter().map(|(kind, count)| json!({"pattern": kind, "count": count})).collect::<Vec<_>>(),
        "nearest": answer.nearest.as_ref().map(|near| {
            json!({"text": near.text, "rule": near.rule, "place": place(near.place.as_ref())})
        }),
        "notes": answer.notes,
    });
    format!("{value:#}\n")
}

fn rule(rule: &Rule, is_sent: bool) -> Value {
    json!({
        "id": rule.host.as_str(),
        "source": rule.source,
        "place": place(rule.place.as_ref()),
        "entry": rule.entry.as_ref().map(|entry| json!({"path": entry.path, "place": place(entry.place.as_ref())})),
        "credential": rule.credential.as_ref().map(|credential| {
            json!({"token_ref": credential.token_ref, "header": credential.header, "sent": is_sent})
        }),
        "until": rule.until,
        "reason": rule.reason,
    })
}

fn secret(found: &Found) -> Value {
    let Found { place, finding } = found;
    let encodings: Vec<&str> = finding.encodings.iter().map(|encoding| encoding.as_str()).collect();
    json!({
        "pattern": *finding.pattern,
        "severity": finding.severity.as_str(),
        "in": place,
        "offset": finding.offset,
        "encodings": encodings,
    })
}

fn place(place: Option<&FileLine>) -> Value {
    place.map_or(Value::Null, |place| json!({"file": place.file, "line": place.line}))
}

fn pipelock_json(answer: Pipelock) -> Value {
    match answer {
        Pipelock::NotAsked => Value::Null,
        Pipelock::Refuses => json!({"host": "refused", "inspects": false, "finding": null}),
        Pipelock::PassesThrough => json!({"host": "allowed", "inspects": false, "finding": null}),
        Pipelock::Inspects { finding } => {
            json!({"host": "allowed", "inspects": true, "finding": finding.as_str()})
        }
    }
}
