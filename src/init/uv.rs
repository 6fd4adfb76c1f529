//! uv: its lock names index and file of each package.

use super::findings::Findings;
use super::npm::set;
use super::pip;
use super::sources::Sources;
use super::toml_file::{self, tables, text};
use toml::Value;

const LOCK: &str = "uv.lock";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    let project = toml_file::read(sources, "pyproject.toml", findings).unwrap_or_default();
    let is_used = ["uv.lock", "uv.toml"].iter().any(|file| sources.has(file))
        || toml_file::at(&project, &["tool", "uv"]).is_some();
    if !is_used {
        return;
    }
    findings.toolchains.by_pip.push("uv");
    let own = toml_file::read(sources, "uv.toml", findings).unwrap_or_default();
    let mut is_named = false;
    for (table, label, above) in [(&project, "pyproject.toml", &["tool", "uv"][..]), (&own, "uv.toml", &[])] {
        let at = |key| [above, &[key]].concat();
        for index in tables(table, &at("index")) {
            if let Some(url) = index.get("url").and_then(Value::as_str) {
                is_named |= findings.fetched(url, label)
                    && index.get("default").and_then(Value::as_bool) == Some(true);
            }
        }
        if let Some(url) = text(table, &at("index-url")) {
            is_named |= findings.fetched(url, label);
        }
        let more = toml_file::at(table, &at("extra-index-url")).and_then(Value::as_array);
        for url in more.into_iter().flatten().filter_map(Value::as_str) {
            findings.fetched(url, label);
        }
    }
    if let Some(url) = sources.environment.get("UV_INDEX_URL") {
        is_named |= findings.fetched(url, "UV_INDEX_URL");
        set(findings, "UV_INDEX_URL", url, "your environment");
    }
    let lock = toml_file::read(sources, LOCK, findings).unwrap_or_default();
    for package in tables(&lock, &["package"]) {
        is_named |= text(package, &["source", "registry"]).is_some_and(|url| findings.fetched(url, LOCK));
        if let Some(url) = text(package, &["source", "git"]) {
            findings.cloned(url, LOCK);
        }
        let wheels = tables(package, &["wheels"]);
        let files = wheels.into_iter().chain(package.get("sdist").and_then(Value::as_table));
        let direct = text(package, &["source", "url"]);
        for url in files.filter_map(|file| file.get("url")?.as_str()).chain(direct) {
            findings.fetched(url, LOCK);
        }
    }
    if !is_named {
        pip::default_index(sources, findings);
    }
}
