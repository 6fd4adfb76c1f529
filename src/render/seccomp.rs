//! `seccomp.json`: the system calls that a process of the stack may make. Pure, and the same for every plan.
//!
//! The engine brings a profile of its own, and the older the engine, the more of it is open: 20.10 lets a
//! container open `AF_VSOCK` sockets, which no network namespace confines, and use `io_uring`, whose requests no
//! filter sees. This profile replaces it for every service, so that what holds does not depend on the engine.
//!
//! It is an allowlist: what it does not name fails with `EPERM`. No entry asks for a capability, because no
//! service has one. The format is Docker's (<https://docs.docker.com/engine/security/seccomp/>); the list
//! is [`system_calls`](crate::system_calls). Why it is like this: `docs/decisions/0015-a-seccomp-profile-of-our-own.md`.

use crate::system_calls::{FAMILIES, GROUPS, NAMESPACES, PERSONALITIES, TRACING};
use serde_json::{Value, json};
use std::fmt::Write as _;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Widest line of names.
const WIDTH: usize = 110;

/// Each architecture's own calls and no second set: 32-bit x86 has `socketcall`, by which `socket` is reached with
/// arguments in memory, where no filter reads them. libseccomp opens it together with `socket`, listed or not.
const ARCHITECTURES: [&str; 2] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"];

/// The members of the profile and its closing brace: what follows the opening brace, for
/// [`seal_json`](super::checksum::seal_json).
pub(super) fn members() -> String {
    let mut entries: Vec<String> =
        GROUPS.iter().map(|group| entry(group.why, group.names, &json!({}))).collect();
    entries.push(entry(TRACING.why, TRACING.names, &json!({"includes": {"minKernel": "4.8"}})));
    for (number, name) in FAMILIES {
        let only = json!({"args": [equal(*number)]});
        entries.push(entry(name, "socket socketpair", &only));
    }
    for value in PERSONALITIES {
        entries.push(entry("how programs see the kernel", "personality", &json!({"args": [equal(*value)]})));
    }
    let no_namespace = json!({"args": [
        {"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"},
    ]});
    entries.push(entry("processes and threads, in no namespace of their own", "clone", &no_namespace));
    // Its flags lie in memory, where a filter can't read; without it, libraries use `clone`.
    let absent = json!({"action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS});
    entries.push(entry("said to be unknown, so that clone is used", "clone3", &absent));

    let architectures =
        ARCHITECTURES.map(|name| format!("    {{\"architecture\": \"{name}\", \"subArchitectures\": []}}"));
    format!(
        "  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": {EPERM},\n  \
         \"archMap\": [\n{}\n  ],\n  \"syscalls\": [\n{}\n  ]\n}}\n",
        architectures.join(",\n"),
        entries.join(",\n"),
    )
}

/// One entry of `syscalls`, with what `more` has besides; `SCMP_ACT_ALLOW` where `more` names no action.
fn entry(why: &str, names: &str, more: &Value) -> String {
    let mut text = format!("    {{\n      \"comment\": {},\n      \"names\": [", Value::from(why));
    let mut column = WIDTH;
    let mut names = names.split_whitespace().peekable();
    while let Some(name) = names.next() {
        let end = if names.peek().is_some() { "," } else { "" };
        let word = format!("\"{name}\"{end}");
        if column + 1 + word.len() > WIDTH {
            text.push_str("\n       ");
            column = 7;
        }
        let _ = write!(text, " {word}"); // writing to a String does not fail
        column += 1 + word.len();
    }
    text.push_str("\n      ]");
    let action = more.get("action").cloned().unwrap_or_else(|| json!("SCMP_ACT_ALLOW"));
    let _ = write!(text, ",\n      \"action\": {action}");
    for (key, value) in more.as_object().into_iter().flatten().filter(|(key, _)| *key != "action") {
        let _ = write!(text, ",\n      \"{key}\": {value}");
    }
    text.push_str("\n    }");
    text
}

/// The first argument is `value`.
fn equal(value: u32) -> Value {
    json!({"index": 0, "value": value, "valueTwo": 0, "op": "SCMP_CMP_EQ"})
}
