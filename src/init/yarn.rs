//! Yarn, the first and the later ones.

use super::findings::Findings;
use super::npm;
use super::sources::{Sources, Tool};
use regex::Regex;

const LOCK: &str = "yarn.lock";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    let Some(lock) = sources.text(LOCK) else { return };
    let is_first = !lock.contains("\n__metadata:") && !lock.starts_with("__metadata:");
    let mut is_named = npm::configured(sources, findings) && is_first;
    for line in lock.lines() {
        let line = line.trim_start();
        if let Some(url) = line.strip_prefix("resolved ") {
            is_named |= findings.fetched(url.trim_matches('"'), LOCK);
        } else if let Some(place) = line.strip_prefix("resolution: ")
            // NAME@PROTOCOL:…, and a scope begins with an `@` of its own
            && let Some((_, place)) = place.trim_matches('"').get(1..).unwrap_or_default().split_once('@')
        {
            // Of a repository, or an archive; `npm:` says nothing.
            if place.contains("#commit=") {
                findings.cloned(place, LOCK);
            } else {
                findings.fetched(place, LOCK);
            }
        }
    }
    is_named |= settings(sources, findings);
    if let Some(version) = npm::manager(sources, "yarn") {
        let package = if version.starts_with("1.") { "yarn" } else { "@yarnpkg/cli-dist" };
        findings.toolchains.by_npm.push(format!("{package}@{version}"));
    } else {
        let package = if is_first { "yarn@1" } else { "@yarnpkg/cli-dist" };
        findings.toolchains.by_npm.push(package.to_owned());
    }
    if !is_named {
        default_registry(sources, findings);
    }
}

/// `.yarnrc.yml` and `.yarnrc`, whose lines have one setting each.
fn settings(sources: &Sources, findings: &mut Findings) -> bool {
    let mut is_named = false;
    let persons = sources.person.get("~/.yarnrc.yml").map(|text| ("~/.yarnrc.yml", text.as_str()));
    let own = sources.text(".yarnrc.yml").map(|text| (".yarnrc.yml", text));
    for (label, text) in own.into_iter().chain(persons) {
        for line in text.lines() {
            let Some((key, value)) = line.split_once(": ") else { continue };
            let value = value.trim().trim_matches(['"', '\'']);
            match key.trim_start_matches([' ', '-']) {
                "npmRegistryServer" => {
                    // Indented, it is that of a scope.
                    is_named |= findings.fetched(value, label) && !line.starts_with(' ');
                }
                "npmAuthToken" | "npmAuthIdent" => findings.note(format!(
                    "{label} has a token, which is not copied; name it as the `token_ref` of that host's `auth`"
                )),
                _ => {}
            }
        }
    }
    for line in sources.text(".yarnrc").unwrap_or_default().lines() {
        if let Some((key, value)) = line.trim().split_once(' ')
            && key.trim_matches('"').ends_with("registry")
        {
            is_named |= findings.fetched(value.trim().trim_matches(['"', '\'']), ".yarnrc");
        }
    }
    is_named
}

/// Yarn has a default of its own, inside its program; the project may hold the program.
fn default_registry(sources: &Sources, findings: &mut Findings) {
    let patterns = [
        r#"npmRegistryServer:\s*\{[^}]{0,400}?default:\s*["'](https://[^"'\s]+)["']"#,
        r#"YARN_REGISTRY\s*=[^"'\n]{0,60}["'](https://[^"'\s]+)["']"#,
    ];
    for file in sources.of(Tool::Yarn) {
        let mut found = patterns
            .iter()
            .filter_map(|it| Regex::new(it).ok()?.captures(&file.text).map(|it| it[1].to_owned()));
        if found.next().is_some_and(|url| findings.fetched(&url, &file.label)) {
            return;
        }
    }
    findings.missing("where yarn fetches packages from: yarn.lock and .yarnrc.yml do not say so, and yarn is not on this machine");
}
