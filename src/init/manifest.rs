//! The text of `bottle.yaml`. Every value goes through the emitter, everything in a comment through [`words::comment`].

use super::agent::{Agent, AuthLine};
use super::findings::Findings;
use super::routes::RouteLine;
use super::sources::Sources;
use super::words;
use crate::policy::Host;
use crate::yaml::emit_flow;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Sources that one comment lists.
const LISTED: usize = 3;

/// A name for the bottle: the folder's, as far as a DNS label has it.
#[must_use]
pub fn bottle_name(folder: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let name: String =
        folder.to_ascii_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).take(40).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "dev".to_owned() } else { name.to_owned() }
}

pub(super) fn text(
    sources: &Sources,
    agent: Agent,
    routes: &[RouteLine],
    findings: &Findings,
    context: &str,
) -> String {
    let mut out = format!(
        "# yaml-language-server: $schema=./.bottle/bottle.schema.json\n\
         # Written by `bottle init`: what was read, and where. Change it as you like; `bottle render` checks it.\n\
         version: 1\n\
         name: {}\n\n\
         agent:\n  \
           build: {{ context: {} }}\n  \
           command: {}\n  \
           workdir: /work\n  \
           mounts:\n    \
             - {{ source: \".\", target: /work }}\n",
        emit_flow(&json!(bottle_name(&sources.folder))),
        emit_flow(&json!(format!("./{context}"))),
        emit_flow(&json!(agent.command())),
    );
    // Writing to a String can't fail.
    if sources.has(".git") {
        out.push_str(
            "    # - { source: ./.git, target: /work/.git, read_only: true }  # closes what `writable-git` warns of; then \
             the agent can't commit\n",
        );
    }
    if !findings.environment.is_empty() {
        out.push_str("  env:\n");
        for (name, value, source) in &findings.environment {
            let _ = writeln!(out, "    {name}: {}  # {}", emit_flow(&json!(value)), words::comment(source));
        }
    }
    if !routes.is_empty() {
        out.push_str("\negress_proxy:\n  routes:\n");
        for route in routes {
            push(&mut out, route);
        }
    }
    push_open(&mut out, findings);
    let mut allowed =
        vec![("build-context-in-mount", "bottle init put it there; it is read-only to the agent")];
    if routes.is_empty() {
        allowed.push(("no-hosts", "bottle init found none to name; remove this line with the first route"));
        allowed.push(("no-routes", "bottle init found none to name; remove this line with the first route"));
    }
    out.push_str("\nlints:\n  allow:\n");
    for (code, reason) in allowed {
        let _ = writeln!(out, "    - {}", flow(&json!({"code": code, "reason": reason})));
    }
    out
}

/// With spaces inside the braces, as people write it.
fn flow(map: &Value) -> String {
    let text = emit_flow(map);
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(inside) => format!("{{ {inside} }}"),
        None => text,
    }
}

fn auth(line: &AuthLine) -> String {
    serde_json::to_value(line).map(|value| flow(&value)).unwrap_or_default()
}

fn push(out: &mut String, route: &RouteLine) {
    let listed: Vec<String> =
        route.sources.iter().take(LISTED).map(|source| words::comment(source)).collect();
    let more = route.sources.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    // Writing to a String can't fail.
    let _ = writeln!(out, "    - host: {}  # {}{more}", emit_flow(&json!(route.host)), listed.join("; "));
    match route.path_allowlist.as_slice() {
        [] => {}
        [path] => drop(writeln!(out, "      path_allowlist: {}", emit_flow(&json!([path])))),
        paths => {
            out.push_str("      path_allowlist:\n");
            for path in paths {
                let _ = writeln!(out, "        - {}", emit_flow(&json!(path)));
            }
        }
    }
    let _ = writeln!(out, "      methods: {}", emit_flow(&json!(route.methods)));
    if !route.ports.is_empty() {
        let _ = writeln!(out, "      ports: {}", emit_flow(&json!(route.ports)));
    }
    if let Some(line) = &route.auth {
        let _ = writeln!(out, "      auth: {}", auth(line));
    } else if let Some(line) = &route.auth_hint {
        let _ = writeln!(out, "      # for private repositories, export {} and add:", line.token_ref);
        let _ = writeln!(out, "      # auth: {}", auth(line));
    }
}

/// What a person has to complete.
fn push_open(out: &mut String, findings: &Findings) {
    let mut private: BTreeMap<&Host, &str> = BTreeMap::new();
    for reached in &findings.private {
        private.entry(&reached.host).or_insert(&reached.source);
    }
    if !private.is_empty() {
        out.push_str("\n  # Private names: write the address range that each is in, and remove the `#`.\n");
        for (host, source) in private {
            let _ = writeln!(
                out,
                "  #   - {{ host: {host}, methods: [GET, HEAD], addresses: [10.0.0.0/8] }}  # {}",
                words::comment(source)
            );
        }
    }
    if !findings.missing.is_empty() {
        out.push_str("\n# Not known:\n");
        for text in &findings.missing {
            let _ = writeln!(out, "#   {}.", words::line(text));
        }
        out.push_str("# `bottle learn` shows the entry for what was asked for and refused.\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_a_label() {
        for (folder, name) in
            [("My App_2", "my-app-2"), ("--", "dev"), ("", "dev"), ("ü", "dev"), (".x\n", "x")]
        {
            assert_eq!(bottle_name(folder), name, "{folder}");
        }
    }
}
