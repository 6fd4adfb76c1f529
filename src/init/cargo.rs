//! Cargo: `Cargo.lock`, its configuration, and what it keeps of registries on this machine.

use super::findings::Findings;
use super::sources::{Sources, Tool, ToolFile};
use super::toml_file::{self, tables, text};
use super::toolchain::Version;
use super::url::Url;
use super::words::{first_line, version};
use crate::policy::Host;
use std::collections::BTreeSet;
use toml::Table;

/// Where the toolchain is not pinned: the newest one.
const RUST: &str = "stable";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    if !["Cargo.toml", "Cargo.lock"].iter().any(|file| sources.has(file)) {
        return;
    }
    toolchain(sources, findings);
    let mut registries = BTreeSet::new();
    let mut is_replaced = false;
    for path in [".cargo/config.toml", ".cargo/config"] {
        if let Some(config) = toml_file::read(sources, path, findings) {
            is_replaced |= configured(&config, path, &mut registries, findings);
        }
    }
    let persons = sources.person.get("$CARGO_HOME/config.toml");
    let mut others = registries.clone();
    if let Some(config) = persons.and_then(|text| text.parse::<Table>().ok()) {
        // What a person's other projects use is not this one's, but for what stands in the place of the default.
        let mut ignored = Findings::default();
        if configured(&config, "", &mut others, &mut ignored) {
            is_replaced = true;
            configured(&config, "$CARGO_HOME/config.toml", &mut registries, findings);
            findings.note(
                "$CARGO_HOME/config.toml replaces a source, and the agent does not see that file; copy its [source] \
                 tables to .cargo/config.toml"
                    .to_owned(),
            );
        }
    }
    let mut is_default_used = !sources.has("Cargo.lock");
    for source in locked(sources, findings) {
        if let Some(url) = source.strip_prefix("sparse+") {
            registry(sources, url, "Cargo.lock", findings);
        } else if let Some(url) = source.strip_prefix("registry+") {
            if is_among(url, &registries) {
                findings.cloned(url, "Cargo.lock");
            } else {
                // A git index that nobody configured is the default registry, whose sparse index is asked.
                is_default_used = true;
            }
        } else {
            findings.cloned(&source, "Cargo.lock");
        }
    }
    if is_default_used && !is_replaced {
        default_registry(sources, &others, findings);
    }
}

fn toolchain(sources: &Sources, findings: &mut Findings) {
    let mut found = None;
    if let Some(table) = toml_file::read(sources, "rust-toolchain.toml", findings) {
        found =
            text(&table, &["toolchain", "channel"]).and_then(|it| Version::new(it, "rust-toolchain.toml"));
        for key in ["components", "targets"] {
            let listed = toml_file::at(&table, &["toolchain", key]).and_then(toml::Value::as_array);
            for part in listed.into_iter().flatten().take(20).filter_map(|part| version(part.as_str()?)) {
                findings.toolchains.rust_parts.push(format!("--{} {part}", key.trim_end_matches('s')));
            }
        }
    } else if let Some(line) = sources.text("rust-toolchain").and_then(first_line) {
        found = Version::new(line, "rust-toolchain");
    }
    findings.toolchains.rust = Some(found.unwrap_or_else(|| Version::default_of(RUST)));
}

/// The distinct sources of a lock.
fn locked(sources: &Sources, findings: &mut Findings) -> BTreeSet<String> {
    let lock = toml_file::read(sources, "Cargo.lock", findings).unwrap_or_default();
    let sources =
        tables(&lock, &["package"]).into_iter().filter_map(|package| package.get("source")?.as_str());
    sources.map(str::to_owned).collect()
}

fn is_among(url: &str, registries: &BTreeSet<String>) -> bool {
    registries.iter().any(|known| known.trim_end_matches('/') == url.trim_end_matches('/'))
}

/// Registries of a configuration. Whether something stands in the place of the default one.
fn configured(
    config: &Table,
    label: &str,
    registries: &mut BTreeSet<String>,
    findings: &mut Findings,
) -> bool {
    let mut is_replaced = false;
    for one in tables(config, &["source"]) {
        is_replaced |= one.contains_key("replace-with");
        for key in ["registry", "git"] {
            if let Some(url) = one.get(key).and_then(|it| it.as_str()) {
                named(url, label, registries, findings);
            }
        }
    }
    for one in tables(config, &["registries"]) {
        if let Some(url) = one.get("index").and_then(|it| it.as_str()) {
            named(url, label, registries, findings);
        }
        if one.contains_key("token") {
            findings.note(format!(
                "{label} has a token, which is not copied; name it as the `token_ref` of that host's `auth`"
            ));
        }
    }
    is_replaced
}

fn named(url: &str, label: &str, registries: &mut BTreeSet<String>, findings: &mut Findings) {
    match url.strip_prefix("sparse+") {
        Some(sparse) => drop(findings.fetched(sparse, label)),
        None => drop(findings.cloned(url, label)),
    }
    registries.insert(url.trim_start_matches("sparse+").to_owned());
}

/// A sparse registry: its index, and where that says that archives are.
fn registry(sources: &Sources, url: &str, label: &str, findings: &mut Findings) {
    findings.fetched(url, label);
    let Some((host, _)) = Url::parse(url).and_then(|url| url.host().ok()) else { return };
    let kept: Vec<&ToolFile> =
        sources.of(Tool::Cargo).filter(|file| index_host(file).as_ref() == Some(&host)).collect();
    if kept.is_empty() {
        findings.missing(&format!(
            "where the archives of the cargo registry at {host} are: cargo has not used it on this machine"
        ));
    }
    for file in kept {
        downloads(file, findings);
    }
}

/// The registries that this machine's cargo has used and that nobody configured: there is one, the default.
fn default_registry(sources: &Sources, others: &BTreeSet<String>, findings: &mut Findings) {
    let others: BTreeSet<Host> =
        others.iter().filter_map(|url| Url::parse(url)?.host().ok()).map(|(host, _)| host).collect();
    let mut is_known = false;
    for file in sources.of(Tool::Cargo) {
        let Some(host) = index_host(file).filter(|host| !others.contains(host)) else { continue };
        is_known |= findings.fetched(&format!("https://{host}/"), &file.label);
        downloads(file, findings);
    }
    if !is_known {
        findings.missing("where cargo fetches crates from: it has used no registry on this machine");
    }
}

/// `HOST-HASH`, as cargo names the folder of an index.
fn index_host(file: &ToolFile) -> Option<Host> {
    let folder = file.label.split('/').rev().nth(1)?;
    Host::parse(folder.rsplit_once('-')?.0).ok()
}

/// `dl` of an index's own `config.json`; markers in braces stand in its path.
fn downloads(file: &ToolFile, findings: &mut Findings) {
    let config: Option<serde_json::Value> = serde_json::from_str(&file.text).ok();
    if let Some(url) = config.as_ref().and_then(|it| it.get("dl")?.as_str()) {
        findings.fetched(url, &file.label);
    }
}
