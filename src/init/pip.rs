//! pip: requirement files, `pip.conf`, and the index that pip itself names. poetry and uv share what is here.

use super::findings::Findings;
use super::sources::{Sources, Tool};
use super::toml_file::{self, text};
use super::toolchain::Version;
use super::words::{first_line, numbers};
use super::{ini, npm::set};
use regex::Regex;

/// Taken where a project says nothing.
const PYTHON: &str = "3.13";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    let requirements: Vec<&String> =
        sources.project.keys().filter(|name| Sources::is_requirements(name)).collect();
    let is_used = !requirements.is_empty()
        || ["pyproject.toml", "setup.py", "poetry.lock", "uv.lock", "pip.conf"]
            .iter()
            .any(|file| sources.has(file));
    if !is_used {
        return;
    }
    findings.toolchains.python = Some(python(sources, findings));
    let mut is_named = configured(sources, findings);
    for name in requirements {
        is_named |= of_requirements(sources.text(name).unwrap_or_default(), name, findings);
    }
    let by_other = ["poetry.lock", "uv.lock"].iter().any(|lock| sources.has(lock));
    if !is_named && !by_other {
        default_index(sources, findings);
    }
}

fn python(sources: &Sources, findings: &mut Findings) -> Version {
    let asked = sources.text(".python-version").and_then(first_line);
    if let Some(version) = asked
        .filter(|it| it.starts_with(|c: char| c.is_ascii_digit()))
        .and_then(|it| Version::new(it, ".python-version"))
    {
        return version;
    }
    let project = toml_file::read(sources, "pyproject.toml", findings).unwrap_or_default();
    let range = text(&project, &["project", "requires-python"])
        .or_else(|| text(&project, &["tool", "poetry", "dependencies", "python"]));
    let found = range.and_then(minor).and_then(|number| Version::new(&number, "pyproject.toml"));
    found.unwrap_or_else(|| Version::default_of(PYTHON))
}

/// The newest minor version of a range of Python 3, up to the default.
fn minor(range: &str) -> Option<String> {
    let newest = *numbers(PYTHON).get(1)?;
    let mut found = newest;
    for part in range.split(',').map(str::trim) {
        let numbers = numbers(part);
        let (3, Some(&minor)) = (numbers.first().copied().unwrap_or_default(), numbers.get(1)) else {
            continue;
        };
        let rest = &numbers[2..];
        let exact = ["==", "~="].iter().any(|it| part.starts_with(it))
            && (part.starts_with("==") || !rest.is_empty());
        let bare = part.starts_with(|c: char| c.is_ascii_digit() || c == '~') && !part.starts_with("~=");
        if exact || bare {
            return Some(format!("3.{minor}"));
        }
        if part.starts_with("<=") {
            found = found.min(minor);
        } else if part.starts_with('<') {
            found = found.min(if rest.first().is_some_and(|patch| *patch > 0) {
                minor
            } else {
                minor.saturating_sub(1)
            });
        } else if part.starts_with(">=") || part.starts_with('^') {
            found = found.max(minor);
        }
    }
    Some(format!("3.{found}"))
}

/// What requirement files say beside names. Whether they say which index is asked.
fn of_requirements(text: &str, label: &str, findings: &mut Findings) -> bool {
    let mut is_named = false;
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let option =
            ["--index-url", "-i", "--extra-index-url", "--find-links", "-f"].iter().find_map(|option| {
                let rest = line.strip_prefix(option)?;
                rest.starts_with([' ', '=', '\t'])
                    .then(|| (*option, rest.trim_start_matches([' ', '=', '\t'])))
            });
        match option {
            Some((option, url)) => {
                let is_url = findings.fetched(url.trim_matches(['"', '\'']), label);
                is_named |= is_url && matches!(option, "--index-url" | "-i");
            }
            // `NAME @ URL`, `-e URL`, or a URL alone.
            None => {
                for word in line.split_whitespace().filter(|word| word.contains("://")) {
                    let url = word.rsplit_once("@git+").map_or(word, |(_, url)| url);
                    let is_git = word.contains("git+");
                    if is_git {
                        findings.cloned(without_revision(url), label)
                    } else {
                        findings.fetched(url, label)
                    };
                }
            }
        }
    }
    is_named
}

/// A revision stands behind an `@` in the path: `git+https://forge.test/a/b.git@v1`.
fn without_revision(url: &str) -> &str {
    let path_at = url.find("://").and_then(|at| url[at + 3..].find('/').map(|slash| at + 3 + slash));
    match path_at.and_then(|from| url[from..].find('@').map(|at| from + at)) {
        Some(at) => &url[..at],
        None => url,
    }
}

/// `pip.conf` and the environment. Whether they say which index is asked.
pub(super) fn configured(sources: &Sources, findings: &mut Findings) -> bool {
    let own = sources.text("pip.conf").map(|text| ("pip.conf", text));
    let persons = sources.person.iter().filter(|(name, _)| name.ends_with("pip.conf"));
    let files: Vec<(&str, &str)> =
        own.into_iter().chain(persons.map(|(name, text)| (&**name, &**text))).collect();
    let mut is_named = false;
    for (label, text) in files {
        for entry in ini::entries(text, true) {
            let key = entry.key.replace('_', "-");
            if !["index-url", "extra-index-url", "find-links"].contains(&key.as_str()) {
                continue;
            }
            for url in entry.value.split_whitespace() {
                let is_url = findings.fetched(url, label);
                is_named |= is_url && key == "index-url";
                // The agent sees no file of the person's, and pip reads none in a project.
                match key.as_str() {
                    "index-url" => set(findings, "PIP_INDEX_URL", url, label),
                    "extra-index-url" => set(findings, "PIP_EXTRA_INDEX_URL", url, label),
                    _ => {}
                }
            }
        }
    }
    for (name, url) in &sources.environment {
        let known = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"].into_iter().find(|it| it == name);
        if let Some(known) = known {
            for url in url.split_whitespace() {
                is_named |= findings.fetched(url, known) && known == "PIP_INDEX_URL";
                set(findings, known, url, "your environment");
            }
        }
    }
    is_named
}

/// The index that pip names in its own code, and where the index keeps its files.
pub(super) fn default_index(sources: &Sources, findings: &mut Findings) {
    let defined = Regex::new(
        r#"(?m)^\w+ = PackageIndex\(\s*["'](https://[^"'\s]+)["'],\s*file_storage_domain=["']([^"'\s]+)["']"#,
    );
    for file in sources.of(Tool::Pip) {
        let found = defined.iter().find_map(|it| it.captures(&file.text));
        if let Some(found) = found
            && findings.fetched(&found[1], &file.label)
        {
            findings.fetched(&format!("https://{}/", &found[2]), &file.label);
            return;
        }
    }
    findings.missing(
        "where pip fetches packages from: no file of the project says so, and pip is not on this machine",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_python_becomes_one_version() {
        for (range, wanted) in [
            (">=3.9", Some("3.13")),
            (">=3.9,<3.12", Some("3.11")),
            (">=3.9,<4", Some("3.13")),
            ("^3.10", Some("3.13")),
            ("~3.10", Some("3.10")),
            ("==3.11.*", Some("3.11")),
            ("3.12", Some("3.12")),
            (">=3.14", Some("3.14")),
            ("<=3.10", Some("3.10")),
            ("~=3.11.2", Some("3.11")),
            ("~=3.9", Some("3.13")),
        ] {
            assert_eq!(minor(range).as_deref(), wanted, "{range}");
        }
    }

    #[test]
    fn a_revision_is_no_part_of_the_repository() {
        assert_eq!(without_revision("https://forge.test/a/b.git@v1#egg=b"), "https://forge.test/a/b.git");
        assert_eq!(without_revision("ssh://git@forge.test/a/b.git"), "ssh://git@forge.test/a/b.git");
    }
}
