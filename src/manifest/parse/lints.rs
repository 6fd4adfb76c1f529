//! What is not to be said about the manifest.

use super::super::findings::{Findings, nearest, quoted};
use super::super::raw;
use super::route::reason;
use crate::codes::{self, CodeKind};
use crate::manifest::{AllowedLint, Lints};

pub(super) fn lints(raw: raw::Lints, findings: &mut Findings<'_>) -> Lints {
    let raw::Lints { allow } = raw;
    let mut out: Vec<AllowedLint> = Vec::new();
    for (index, item) in allow.into_iter().flatten().enumerate() {
        let pointer = format!("lints.allow[{index}]");
        let Some(raw::AllowedLint { code, reason }) = item.0 else { continue };
        let code = code.and_then(|code| self::code(code, &pointer, findings));
        let reason = reason.and_then(|text| self::reason(text, &pointer, findings));
        let (Some(code), Some(reason)) = (code, reason) else { continue };
        if out.iter().any(|other| other.code == code) {
            let message = format!("the lint {} is allowed twice", quoted(&code));
            let problem = findings.value("duplicate", &format!("{pointer}.code"), message);
            findings.push(problem.hint("remove one of the two"));
        } else {
            out.push(AllowedLint { pointer, code, reason });
        }
    }
    Lints { allow: out }
}

fn code(code: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    if codes::lints().any(|lint| lint == code) {
        return Some(code);
    }
    let at = format!("{pointer}.code");
    let problem = if let Some(other) = codes::find(&code) {
        let article = if other.kind == CodeKind::Error { "an" } else { "a" };
        let message =
            format!("{} is {article} {}, which can't be allowed here", quoted(&code), other.kind.as_str());
        findings.value("lint", &at, message).hint("remove the entry; `bottle explain-code` says what helps")
    } else {
        let problem = findings.value("lint", &at, format!("{} is not a lint", quoted(&code)));
        match nearest(&code, codes::lints()) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.hint("write the code that `bottle render` prints in brackets"),
        }
    };
    findings.push(problem);
    None
}
