//! The project's own idea of its environment: a devcontainer or a Dockerfile. Neither is run; the image is taken that
//! they begin with.

use super::findings::{Base, Findings};
use super::json;
use super::sources::Sources;
use super::words::comment;
use serde_json::Value;
use std::collections::BTreeMap;

const DEVCONTAINERS: [&str; 2] = [".devcontainer/devcontainer.json", ".devcontainer.json"];

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    for file in DEVCONTAINERS {
        let Some(text) = sources.text(file) else { continue };
        match serde_json::from_str::<Value>(&json::without_comments(text)) {
            Ok(value) => of_devcontainer(&value, file, sources, findings),
            Err(error) => findings.note(format!("{file} is not read: {}", comment(&error.to_string()))),
        }
    }
    if findings.base.is_none() {
        of_dockerfile("Dockerfile", "Dockerfile", None, sources, findings);
    }
}

fn of_devcontainer(value: &Value, file: &str, sources: &Sources, findings: &mut Findings) {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    if value.get("features").and_then(Value::as_object).is_some_and(|map| !map.is_empty()) {
        findings.note(format!(
            "{file}: its features are not installed; add what they bring to the agent's Dockerfile"
        ));
    }
    if value.get("dockerComposeFile").is_some() {
        findings
            .note(format!("{file}: its Compose file is not read; what runs beside the agent is not started"));
    }
    if let Some(image) = text("/image") {
        return take(image, file, findings);
    }
    if let Some(dockerfile) = text("/build/dockerfile").or_else(|| text("/dockerFile")) {
        let folder = if file.starts_with(".devcontainer/") { ".devcontainer" } else { "" };
        match joined(folder, dockerfile).filter(|path| sources.text(path).is_some()) {
            Some(path) => of_dockerfile(&path, &path, text("/build/target"), sources, findings),
            None => findings.note(format!(
                "{file}: `{}` is not read; only ./Dockerfile and .devcontainer/Dockerfile are",
                comment(dockerfile)
            )),
        }
    }
}

/// A path relative to a folder of the project, if it stays in the project.
fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn of_dockerfile(path: &str, label: &str, target: Option<&str>, sources: &Sources, findings: &mut Findings) {
    let Some(text) = sources.text(path) else { return };
    match image(text, target) {
        Some(image) => take(&image, label, findings),
        None => findings.note(format!(
            "{label}: the image that it begins with can't be read; the agent's image does without"
        )),
    }
}

fn take(image: &str, source: &str, findings: &mut Findings) {
    if is_image(image) {
        findings.base = Some(Base { image: image.to_owned(), source: source.to_owned() });
    } else {
        findings.note(format!("{source}: `{}` is not the name of an image; it is not used", comment(image)));
    }
}

/// What a name of an image consists of; nothing that a Dockerfile or a shell reads.
fn is_image(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    text.len() <= 255
        && text != "scratch"
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(fits)
}

/// The image that a stage begins with: the one that is asked for, else the first, which is where programs are built.
fn image(dockerfile: &str, target: Option<&str>) -> Option<String> {
    let mut arguments: BTreeMap<&str, &str> = BTreeMap::new();
    let mut stages: Vec<(String, Option<&str>)> = Vec::new();
    for line in dockerfile.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("ARG") if stages.is_empty() => {
                if let Some((name, value)) = words.next().and_then(|word| word.split_once('=')) {
                    arguments.insert(name, value.trim_matches(['"', '\'']));
                }
            }
            Some("FROM") => {
                let mut words = words.skip_while(|word| word.starts_with("--"));
                let image = substituted(words.next()?, &arguments);
                let name =
                    words.next().filter(|word| word.eq_ignore_ascii_case("as")).and_then(|_| words.next());
                stages.push((image, name));
            }
            _ => {}
        }
    }
    let named = |wanted: &str| {
        stages.iter().position(|(_, name)| name.is_some_and(|name| name.eq_ignore_ascii_case(wanted)))
    };
    let mut at = match target {
        Some(target) => named(target)?,
        None => stages.iter().position(|(image, _)| is_image(image) && named(image).is_none())?,
    };
    // A stage can begin with one before it.
    while let Some(before) = named(&stages[at].0).filter(|before| *before < at) {
        at = before;
    }
    Some(stages[at].0.clone()).filter(|image| is_image(image))
}

/// `$NAME`, `${NAME}` and `${NAME:-default}`.
fn substituted(text: &str, arguments: &BTreeMap<&str, &str>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, default, tail) = if let Some((inner, tail)) = braced {
            let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
            (name, default, tail)
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (&after[..end], "", &after[end..])
        };
        out.push_str(arguments.get(name).copied().unwrap_or(default));
        rest = tail;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_image_of_a_dockerfile_is_what_it_builds_with() {
        let text = "ARG V=20\nFROM --platform=linux/amd64 node:${V}-slim AS build\nRUN x\nFROM build AS more\nFROM nginx AS end\n";
        assert_eq!(image(text, None).as_deref(), Some("node:20-slim"));
        assert_eq!(image(text, Some("more")).as_deref(), Some("node:20-slim"));
        assert_eq!(image(text, Some("end")).as_deref(), Some("nginx"));
        assert_eq!(image(text, Some("none")), None);
        assert_eq!(image("FROM scratch\nCOPY x /\n", None), None);
        assert_eq!(image("FROM ${X:-alpine:3}\n", None).as_deref(), Some("alpine:3"));
        assert_eq!(image("FROM a AS a\n", None), None, "a stage that begins with itself");
        for hostile in ["FROM $(id)", "FROM a;b", "FROM `id`", "FROM \"x\"", "FROM", "FROM $"] {
            assert_eq!(image(hostile, None), None, "{hostile}");
        }
    }

    #[test]
    fn a_path_stays_in_the_project() {
        assert_eq!(joined(".devcontainer", "../Dockerfile").as_deref(), Some("Dockerfile"));
        assert_eq!(joined(".devcontainer", "Dockerfile").as_deref(), Some(".devcontainer/Dockerfile"));
        assert_eq!(joined(".devcontainer", "../../x"), None);
    }
}
