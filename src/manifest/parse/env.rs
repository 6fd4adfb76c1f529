//! Environment variables: what may be one, and which ones are bottle's.

use super::super::findings::{Findings, quoted};
use super::super::raw::Env;
use super::super::variable::is_variable_name;
use serde_json::Value;
use std::collections::BTreeSet;

/// Variables that render sets in the agent: the way to the proxy, the trust in its CA, git's rewriting.
const SET_BY_BOTTLE: &[&str] = &[
    "ALL_PROXY",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CARGO_NET_GIT_FETCH_WITH_CLI",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "FTP_PROXY",
    "GIT_SSL_CAINFO",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "JAVA_TOOL_OPTIONS",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "NODE_USE_ENV_PROXY",
    "NO_PROXY",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "YARN_HTTPS_PROXY",
    "YARN_HTTP_PROXY",
];

/// Those of them that name a proxy, which bottle empties in a service.
const PROXIES: [&str; 5] = ["ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];

/// The same as the first, by how they begin.
const SET_BY_BOTTLE_PREFIXES: [&str; 2] = ["BOTTLE_", "GIT_CONFIG_"];

/// What render sets beside the placeholder of Claude Code's credential.
const BESIDE_CLAUDE: &[&str] = &[
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_AUTOUPDATER",
    "DISABLE_ERROR_REPORTING",
    "DISABLE_TELEMETRY",
];

/// The agent's environment; `pointer` is a JSON pointer, since a bad name may hold anything.
pub(super) fn agent(
    raw: Env,
    pointer: &str,
    token_refs: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Vec<(String, String)> {
    let is_set = |name: &str| {
        let upper = name.to_ascii_uppercase();
        SET_BY_BOTTLE.contains(&upper.as_str())
            || SET_BY_BOTTLE_PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
            || (token_refs.contains("CLAUDE_CODE_OAUTH_TOKEN") && BESIDE_CLAUDE.contains(&name))
    };
    own(raw, pointer, token_refs, is_set, findings)
}

/// The environment of a service. What the agent is told of the way out is none of its business.
pub(super) fn service(
    raw: Env,
    pointer: &str,
    token_refs: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Vec<(String, String)> {
    let is_set = |name: &str| PROXIES.contains(&name.to_ascii_uppercase().as_str());
    own(raw, pointer, token_refs, is_set, findings)
}

fn own(
    raw: Env,
    pointer: &str,
    token_refs: &BTreeSet<&str>,
    is_set: impl Fn(&str) -> bool,
    findings: &mut Findings<'_>,
) -> Vec<(String, String)> {
    let pairs = literals(raw, pointer, findings);
    for (name, _) in &pairs {
        let at = format!("{pointer}/{name}");
        let problem = if token_refs.contains(name.as_str()) {
            findings
                .key("env", &at, format!("`{name}` is the `token_ref` of a route"))
                .hint("the agent never holds a credential; bottle sets a placeholder where a tool needs one: remove it here")
        } else if is_set(name) {
            let problem = findings.key("env", &at, format!("bottle sets `{name}` itself"));
            match name.as_str() {
                "HOME" => problem.hint("remove it here; `agent.home: PATH` says where the home is"),
                _ => problem.hint("remove it here"),
            }
        } else {
            continue;
        };
        findings.push(problem);
    }
    pairs
}

/// Names and values; the schema has seen that the values are text.
pub(super) fn literals(raw: Env, pointer: &str, findings: &mut Findings<'_>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, value) in raw {
        let Value::String(value) = value else { continue };
        let at = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        if !is_variable_name(&name) {
            let problem =
                findings.key("env", &at, format!("{} is not the name of a variable", quoted(&name)));
            findings.push(problem.hint("letters, digits and `_`, not beginning with a digit"));
            continue;
        }
        if value.contains('\0') {
            let problem = findings.value("env", &at, format!("the value of `{name}` holds a NUL character"));
            findings.push(problem.hint("no environment can hold it"));
            continue;
        }
        out.push((name, value));
    }
    out
}
