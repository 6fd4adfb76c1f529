//! Go: `go.mod`, and the proxies that the environment and Go's own defaults name.

use super::findings::Findings;
use super::ini;
use super::npm::set;
use super::sources::{Sources, Tool};
use super::toolchain::Version;
use super::words::numbers;

/// What the file of Go's own defaults is called.
const DEFAULTS: &str = "$GOROOT/go.env";

/// The newest one: `go.mod` names the oldest that will do.
const GO: &str = "1";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    let Some(module) = sources.text("go.mod") else { return };
    findings.toolchains.go = Some(go(module));
    if sources.has("vendor") {
        return; // all that is built from is there
    }
    let proxies = setting(sources, "GOPROXY");
    let Some((proxies, source)) = proxies else {
        return findings
            .missing("where go fetches modules from: GOPROXY is not set, and go is not on this machine");
    };
    let mut is_direct = false;
    let mut is_proxied = false;
    for proxy in proxies.split([',', '|']).map(str::trim) {
        match proxy {
            "direct" => is_direct = true,
            "off" | "" => {}
            url => is_proxied |= findings.fetched(url, &source),
        }
    }
    // Go in the bottle has the same defaults, and not what the person set.
    if is_proxied && source != DEFAULTS {
        set(findings, "GOPROXY", &proxies, &source);
    }
    if let Some((database, source)) = setting(sources, "GOSUMDB")
        && database != "off"
    {
        // NAME, NAME+KEY, or NAME+KEY URL.
        let url = database.split_whitespace().nth(1).map(str::to_owned);
        let name = database.split(['+', ' ']).next().unwrap_or_default();
        findings.fetched(&url.unwrap_or_else(|| format!("https://{name}/")), &source);
    }
    if is_direct && !is_proxied {
        direct(module, findings);
    }
}

/// The environment, then the person's file, then Go's own.
fn setting(sources: &Sources, name: &str) -> Option<(String, String)> {
    let environment = sources.environment.get(name).map(|value| (value.clone(), name.to_owned()));
    let in_text = |text: &str, label: &str| {
        let found = ini::entries(text, false).into_iter().find(|entry| entry.key == name);
        found.map(|entry| (entry.value.trim_matches('"').to_owned(), label.to_owned()))
    };
    let persons = || in_text(sources.person.get("~/.config/go/env")?, "~/.config/go/env");
    let default = || sources.of(Tool::Go).find_map(|file| in_text(&file.text, &file.label));
    environment.or_else(persons).or_else(default)
}

/// `toolchain go1.22.3` is exact; `go 1.22` is the least.
fn go(module: &str) -> Version {
    let line = |start: &str| module.lines().find_map(|line| line.trim().strip_prefix(start));
    let exact = line("toolchain go").and_then(|text| Version::new(text.trim(), "go.mod, toolchain"));
    // Images of older ones have no such base, and a newer one builds what an older one did.
    let least = line("go ").filter(|text| matches!(numbers(text)[..], [1, minor, ..] if minor >= 21));
    let least = least.and_then(|text| Version::new(text.split_whitespace().next()?, "go.mod"));
    exact.or(least).unwrap_or_else(|| Version::default_of(GO))
}

/// Without a proxy, a module's path begins with the host of its repository.
fn direct(module: &str, findings: &mut Findings) {
    let mut inside = false;
    for line in module.lines().map(|line| line.split("//").next().unwrap_or_default().trim()) {
        inside = match line {
            "require (" => true,
            ")" => false,
            _ => inside,
        };
        let path = line.strip_prefix("require ").or_else(|| inside.then_some(line));
        let path = path.and_then(|rest| rest.split_whitespace().next()).filter(|path| path.contains('/'));
        if let Some(path) = path {
            let place: Vec<&str> = path.split('/').take(3).collect();
            findings.cloned(&format!("https://{}", place.join("/")), "go.mod");
        }
    }
}
