//! A push where a rule says what it may change.

use super::{Allowed, Finding, Outcome, Proxy, Tunnelled, must_refuse};

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";

/// The bodies of a push: `{own}` is a ref that the rule names, each `[…]` a line of the protocol, `_` a flush.
const BODIES: &[(&str, &str, &str)] = &[
    (
        "another-ref",
        "push to a ref that the rule does not name",
        "[{old} {new} refs/bottle/{mark}\0 report-status]_",
    ),
    (
        "second-ref",
        "hide a ref behind an allowed one",
        "[{old} {new} {own}\0 report-status][{old} {new} refs/bottle/{mark}]_",
    ),
    ("same-ref", "push to a ref twice", "[{old} {new} {own}\0 report-status][{old} {zero} {own}]_"),
    ("ref-cased", "write a ref in another case", "[{old} {new} {OWN}\0 report-status]_"),
    ("ref-dots", "leave a ref's folder by `..`", "[{old} {new} {own}/../{mark}\0 report-status]_"),
    ("ref-slashes", "double a slash in a ref", "[{old} {new} refs//heads//{mark}\0 report-status]_"),
    ("ref-lock", "push to the lock of a ref", "[{old} {new} {own}.lock\0 report-status]_"),
    ("ref-space", "put a space into a ref", "[{old} {new} {own} {mark}\0 report-status]_"),
    ("ref-control", "put a control byte into a ref", "[{old} {new} {own}\x07{mark}\0 report-status]_"),
    ("ref-head", "push to HEAD", "[{old} {new} HEAD\0 report-status]_"),
    ("ref-relative", "push to a ref without `refs/`", "[{old} {new} heads/{mark}\0 report-status]_"),
    ("ref-path", "push to a file of the repository", "[{old} {new} config\0 report-status]_"),
    (
        "ref-line-break",
        "put a line break into a ref",
        "[{old} {new} {own}\n{old} {new} refs/bottle/{mark}\0 report-status]_",
    ),
    ("id-short", "send a short id", "[1111 {new} {own}\0 report-status]_"),
    (
        "id-upper",
        "send an id in upper case",
        "[{old} AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA {own}\0 report-status]_",
    ),
    ("id-both-zero", "change nothing to nothing", "[{zero} {zero} {own}\0 report-status]_"),
    ("no-flush", "leave the end of the commands away", "[{old} {new} {own}\0 report-status]"),
    ("length-short", "send a line that is shorter than it says", "0fff{old} {new} {own}\0 report-status"),
    ("length-one", "send a line of an impossible length", "0001{old}"),
    ("length-three", "send a line of another impossible length", "0003"),
    ("length-no-hex", "send a line whose length is no number", "00zz{old}"),
    ("length-sign", "send a line whose length has a sign", "+0ff{old} {new} {own}"),
    ("shallow", "push a history that is cut off", "[shallow {new}][{old} {new} {own}\0 report-status]_"),
    ("certificate", "push with a certificate", "[push-cert\0 report-status][certificate version 0.1]_"),
    ("options", "push with options", "[{old} {new} {own}\0 report-status push-options]_[ci.skip]_"),
    ("no-pack", "push without a pack", "[{old} {new} {own}\0 report-status]_"),
    ("bad-pack", "push a pack that is none", "[{old} {new} {own}\0 report-status]_KCAP"),
    (
        "empty-pack",
        "push a pack without objects",
        "[{old} {new} {own}\0 report-status]_PACK\0\0\0\x02\0\0\0\0",
    ),
    (
        "pack-version",
        "push a pack of another version",
        "[{old} {new} {own}\0 report-status]_PACK\0\0\0\x09\0\0\0\0",
    ),
    (
        "pack-count",
        "push a pack of more objects than it has",
        "[{old} {new} {own}\0 report-status]_PACK\0\0\0\x02\x7f\0\0\0",
    ),
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let subject = proxy.subject("has a rule for pushes", |host| host.git_push.is_some());
    findings.extend(BODIES.iter().map(|(name, tried, body)| {
        proxy.finding(format!("push/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            push(proxy, allowed, &written(body, allowed, mark)?, "application/x-git-receive-pack-request", "")
        })
    }));
    for (name, tried, old, new, may) in [
        ("create", "make a ref where the rule does not say so", ZERO, NEW, 0),
        ("delete", "delete a ref where the rule does not say so", OLD, ZERO, 1),
    ] {
        findings.push(proxy.finding(format!("push/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let rule = allowed.rule.git_push.as_ref();
            if rule.is_some_and(|rule| [rule.create, rule.delete][may]) {
                return Err(Outcome::NotApplicable("the rule allows it".into()));
            }
            let body = written(&format!("[{old} {new} {{own}}\0 report-status]_"), allowed, mark)?;
            push(proxy, allowed, &body, "application/x-git-receive-pack-request", "")
        }));
    }
    for (name, tried, kind, fields) in [
        ("no-type", "push with another type", "text/plain", ""),
        (
            "coded",
            "push with a coding that is none",
            "application/x-git-receive-pack-request",
            "Content-Encoding: bottle\r\n",
        ),
        (
            "coded-badly",
            "push what is not coded as it says",
            "application/x-git-receive-pack-request",
            "Content-Encoding: gzip\r\n",
        ),
    ] {
        findings.push(proxy.finding(format!("push/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let body = written("[{old} {new} {own}\0 report-status]_", allowed, mark)?;
            push(proxy, allowed, &body, kind, fields)
        }));
    }
}

fn push(
    proxy: &Proxy<'_>,
    allowed: &Allowed<'_>,
    body: &[u8],
    kind: &str,
    fields: &str,
) -> Result<Outcome, Outcome> {
    let path = allowed.path.trim_end_matches('/');
    let is_repository =
        path.rsplit('/').next().is_some_and(|name| name.split('.').next_back() == Some("git"));
    let path = if is_repository { path.to_owned() } else { format!("{path}/bottle-attack.git") };
    let head = format!(
        "POST {path}/git-receive-pack HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\n{fields}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        allowed.host,
        body.len()
    );
    let tunnelled = proxy.ask(&allowed.host, &[head.as_bytes(), body].concat())?;
    // A push is refused in the words of git, too, in an answer that is a success of HTTP.
    if let Tunnelled::Answered(answer) = &tunnelled
        && answer.status == 200
        && answer.reason().is_some()
    {
        return Ok(Outcome::Held(format!("refused in its report: {}", answer.reason().unwrap_or_default())));
    }
    Ok(must_refuse(&tunnelled))
}

fn written(template: &str, allowed: &Allowed<'_>, mark: &str) -> Result<Vec<u8>, Outcome> {
    let rule = allowed.rule.git_push.as_ref();
    let own = rule.and_then(|rule| rule.refs.first()).map(|name| name.replace('*', "bottle"));
    let own = own.ok_or_else(|| Outcome::NotApplicable("the rule names no ref".into()))?;
    let text = template
        .replace("{old}", OLD)
        .replace("{new}", NEW)
        .replace("{zero}", ZERO)
        .replace("{OWN}", &own.to_uppercase())
        .replace("{own}", &own)
        .replace("{mark}", mark);
    let mut body = Vec::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let tail = &rest[first.len_utf8()..];
        match (first, tail.split_once(']')) {
            ('[', Some((line, behind))) => {
                body.extend(format!("{:04x}{line}", line.len() + 4).bytes());
                rest = behind;
            }
            ('_', _) => {
                body.extend(b"0000");
                rest = tail;
            }
            _ => {
                body.extend(first.to_string().bytes());
                rest = tail;
            }
        }
    }
    Ok(body)
}
