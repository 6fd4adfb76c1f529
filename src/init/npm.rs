//! npm: `package-lock.json`, `.npmrc`, and the version of Node.js. pnpm and Yarn share what is here.

use super::findings::Findings;
use super::json;
use super::sources::{Sources, Tool};
use super::toolchain::Version;
use super::words::{comment, first_line, numbers};
use super::{ini, words};
use regex::Regex;
use serde_json::Value;

/// Taken where a project says nothing.
const NODE: &str = "24";

const LOCKS: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    if !is_used(sources) {
        return;
    }
    let package = package(sources, findings);
    findings.toolchains.node = Some(node(sources, &package));
    let by_other = ["yarn.lock", "pnpm-lock.yaml"].iter().any(|lock| sources.has(lock));
    let mut is_named = configured(sources, findings);
    for lock in LOCKS {
        let Some(text) = sources.text(lock) else { continue };
        let mut resolved = Vec::new();
        let read = json::strings(text, &["resolved"], &mut |url| {
            if resolved.last().is_none_or(|last| last != url) {
                resolved.push(url.to_owned());
            }
        });
        if let Err(error) = read {
            findings.note(format!("{lock} is not read: {}", comment(&error.to_string())));
        }
        for url in resolved {
            is_named |= findings.fetched(&url, lock) && !url.starts_with("git+");
        }
    }
    let has_lock = LOCKS.iter().any(|lock| sources.has(lock));
    if !is_named && (has_lock || !by_other) {
        default_registry(sources, findings);
    }
}

/// Whether the project is one of Node.js.
pub(super) fn is_used(sources: &Sources) -> bool {
    let files = ["package.json", "yarn.lock", "pnpm-lock.yaml"];
    LOCKS.iter().chain(&files).any(|file| sources.has(file))
}

/// `package.json`, or null.
fn package(sources: &Sources, findings: &mut Findings) -> Value {
    let Some(text) = sources.text("package.json") else { return Value::Null };
    serde_json::from_str(text).unwrap_or_else(|error| {
        findings.note(format!("package.json is not read: {}", comment(&error.to_string())));
        Value::Null
    })
}

/// `packageManager: NAME@VERSION`, of the one that is asked about.
pub(super) fn manager(sources: &Sources, name: &str) -> Option<String> {
    let package: Value = serde_json::from_str(sources.text("package.json")?).ok()?;
    let asked = package.get("packageManager")?.as_str()?.strip_prefix(name)?.strip_prefix('@')?;
    words::version(asked.split('+').next().unwrap_or_default()).map(str::to_owned)
}

fn node(sources: &Sources, package: &Value) -> Version {
    for file in [".nvmrc", ".node-version"] {
        let asked = sources.text(file).and_then(first_line).map(|line| line.trim_start_matches('v'));
        let number = asked.filter(|asked| asked.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(version) = number.and_then(|number| Version::new(number, file)) {
            return version;
        }
    }
    let engines = package.pointer("/engines/node").and_then(Value::as_str);
    let found =
        engines.and_then(major).and_then(|major| Version::new(&major.to_string(), "package.json, engines"));
    found.unwrap_or_else(|| Version::default_of(NODE))
}

/// The newest major version that a range names: of `^18 || ^20` it is 20; a range that is open above takes the default,
/// where that is in it.
fn major(range: &str) -> Option<u32> {
    let last = range.split("||").last()?.trim();
    let first = *numbers(last).first()?;
    if last.starts_with(">=") {
        let below = last.split('<').nth(1).and_then(|rest| {
            let bound = numbers(rest);
            let is_inclusive = rest.starts_with('=') || bound.get(1).is_some_and(|minor| *minor > 0);
            bound.first().map(|bound| if is_inclusive { *bound } else { bound.saturating_sub(1) })
        });
        let newest: u32 = NODE.parse().unwrap_or(first);
        // Odd versions are not kept up.
        let newest = below.map_or(newest, |below| {
            newest.min(if below % 2 == 1 && below > first { below - 1 } else { below })
        });
        return Some(first.max(newest));
    }
    Some(first)
}

/// Reads what `.npmrc` and the environment name. Whether a registry for all packages is among it.
pub(super) fn configured(sources: &Sources, findings: &mut Findings) -> bool {
    let own = sources.text(".npmrc").map(|text| (".npmrc", text, false));
    let persons = sources.person.get("~/.npmrc").map(|text| ("~/.npmrc", text.as_str(), true));
    let mut is_named = false;
    for (label, text, is_persons) in own.into_iter().chain(persons) {
        for entry in ini::entries(text, false) {
            if entry.key.ends_with("_authToken")
                || entry.key.ends_with("_auth")
                || entry.key.ends_with("_password")
            {
                findings.note(format!(
                    "{label} has a token, which is not copied; name it as the `token_ref` of that host's `auth`"
                ));
            }
            let is_all = entry.key == "registry";
            if is_all || entry.key.ends_with(":registry") {
                let value = entry.value.trim_matches(['"', '\'']);
                let is_url = findings.fetched(value, label);
                is_named |= is_all && is_url;
                if is_all && is_url && is_persons {
                    set(findings, "NPM_CONFIG_REGISTRY", value, label);
                }
            }
        }
    }
    if let Some(url) = sources.environment.get("NPM_CONFIG_REGISTRY") {
        is_named |= findings.fetched(url, "NPM_CONFIG_REGISTRY");
        set(findings, "NPM_CONFIG_REGISTRY", url, "your environment");
    }
    is_named
}

/// A variable of the agent, since it does not see the person's own configuration; a URL with a credential is left out.
pub(super) fn set(findings: &mut Findings, name: &'static str, url: &str, source: &str) {
    let is_known = findings.environment.iter().any(|(known, ..)| *known == name);
    if !is_known && !url.contains('@') && url.len() < 300 && url.chars().all(|c| c.is_ascii_graphic()) {
        findings.environment.push((name, url.to_owned(), source.to_owned()));
    }
}

/// Where npm and pnpm fetch from when nobody says so: npm's own definition of the setting.
pub(super) fn default_registry(sources: &Sources, findings: &mut Findings) {
    let defined = Regex::new(r#"['"]registry['"],\s*\{\s*default:\s*['"](https://[^'"\s]+)['"]"#);
    for file in sources.of(Tool::Npm) {
        let found = defined.iter().find_map(|it| it.captures(&file.text));
        if found.is_some_and(|it| findings.fetched(&it[1], &file.label)) {
            return;
        }
    }
    findings.missing("where npm fetches packages from: neither a lock file nor .npmrc says so, and npm is not on this machine");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_node_becomes_one_version() {
        for (range, wanted) in [
            ("20", Some(20)),
            ("^20.9.0", Some(20)),
            ("~18.2", Some(18)),
            (">=18", Some(24)),
            (">=18 <21", Some(20)),
            (">=18.0.0 <=22", Some(22)),
            (">=26", Some(26)),
            ("^18 || ^20 || >=22", Some(24)),
            ("18.x", Some(18)),
            ("*", None),
        ] {
            assert_eq!(major(range), wanted, "{range}");
        }
    }
}
