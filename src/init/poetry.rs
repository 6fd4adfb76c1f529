//! Poetry: its lock names a place for each package that does not come from the default index.

use super::findings::Findings;
use super::pip;
use super::sources::Sources;
use super::toml_file::{self, tables, text};

const LOCK: &str = "poetry.lock";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    let project = toml_file::read(sources, "pyproject.toml", findings).unwrap_or_default();
    let is_used = sources.has(LOCK) || toml_file::at(&project, &["tool", "poetry"]).is_some();
    if !is_used {
        return;
    }
    findings.toolchains.by_pip.push("poetry");
    let mut is_replaced = false;
    for source in tables(&project, &["tool", "poetry", "source"]) {
        if let Some(url) = source.get("url").and_then(|it| it.as_str()) {
            let is_url = findings.fetched(url, "pyproject.toml");
            let priority = source.get("priority").and_then(|it| it.as_str()).unwrap_or("primary");
            is_replaced |= is_url && matches!(priority, "primary" | "default");
        }
    }
    let lock = toml_file::read(sources, LOCK, findings).unwrap_or_default();
    let packages = tables(&lock, &["package"]);
    // A package without a source comes from the default index.
    let is_default_used =
        packages.is_empty() || packages.iter().any(|package| !package.contains_key("source"));
    for package in packages {
        let Some(url) = text(package, &["source", "url"]) else { continue };
        if text(package, &["source", "type"]) == Some("git") {
            findings.cloned(url, LOCK);
        } else {
            findings.fetched(url, LOCK);
        }
    }
    if is_default_used && !is_replaced && !pip::configured(sources, findings) {
        pip::default_index(sources, findings);
    }
}
