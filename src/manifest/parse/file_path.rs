//! Paths on this machine and in the agent.

use super::super::findings::{Findings, quoted};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// A path on this machine, relative to the manifest or absolute.
pub(in super::super) fn host_path(
    text: &str,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Option<Utf8PathBuf> {
    let (message, hint) = if text.is_empty() {
        ("the path is empty".to_owned(), "`.` is the manifest's own folder")
    } else if text.chars().any(char::is_control) {
        (format!("{} holds a control character", quoted(text)), "name the file or folder plainly")
    } else if text.starts_with('~') {
        (format!("{}: `~` is not expanded", quoted(text)), "write a path relative to this file")
    } else if text.contains("://") {
        (format!("{} is a URL, not a path", quoted(text)), "write a path relative to this file")
    } else if text.starts_with('$') {
        (format!("{}: variables are not expanded", quoted(text)), "write a path relative to this file")
    } else if text.starts_with('/')
        && Utf8Path::new(text).components().any(|part| part == Utf8Component::ParentDir)
    {
        (format!("{} is not in canonical form", quoted(text)), "write it without `..`")
    } else {
        return Some(normalised(text));
    };
    let problem = findings.value("path", pointer, message);
    findings.push(problem.hint(hint));
    None
}

/// A path that stays the same for everyone who clones the project.
pub(super) fn project_path(text: &str, pointer: &str, findings: &mut Findings<'_>) -> Option<Utf8PathBuf> {
    let path = host_path(text, pointer, findings)?;
    if path.is_absolute() {
        let problem = findings.value("path", pointer, format!("{} is an absolute path", quoted(text)));
        findings.push(problem.hint("the rendered files are the same on every machine: write it relative"));
        return None;
    }
    Some(path)
}

/// The path of a file that lies inside a folder, relative to it. `folder` is how a message names it.
pub(super) fn path_inside(
    text: &str,
    pointer: &str,
    folder: &str,
    findings: &mut Findings<'_>,
) -> Option<Utf8PathBuf> {
    let path = host_path(text, pointer, findings)?;
    let parents = path.components().any(|part| part == Utf8Component::ParentDir);
    let (message, hint) = if path.is_absolute() || path.starts_with("..") {
        (format!("{} is outside of {folder}", quoted(text)), format!("move it into {folder}"))
    } else if parents {
        // A symlink may stand before `..`, and then it leads anywhere.
        (format!("{} is not in canonical form", quoted(text)), "write it without `..`".to_owned())
    } else if path == "." {
        (format!("{} is a folder, not a file", quoted(text)), format!("name a file in {folder}"))
    } else {
        return Some(path);
    };
    let problem = findings.value("path", pointer, message);
    findings.push(problem.hint(hint));
    None
}

/// An absolute path in the agent, in canonical form.
pub(super) fn agent_path(text: &str, pointer: &str, findings: &mut Findings<'_>) -> Option<Utf8PathBuf> {
    let (message, hint) = if !text.starts_with('/') {
        (format!("{} is not an absolute path", quoted(text)), "begin it with `/`".to_owned())
    } else if text.contains(':') {
        (
            format!("{} holds a colon", quoted(text)),
            "a path in a container can't; options have keys of their own".to_owned(),
        )
    } else if text.chars().any(char::is_control) {
        (format!("{} holds a control character", quoted(text)), "name the folder plainly".to_owned())
    } else {
        let path = Utf8Path::new(text);
        let parents = path.components().any(|part| part == Utf8Component::ParentDir);
        let canonical = normalised(text);
        if !parents && canonical.as_str() == text {
            return Some(canonical);
        }
        let meant = if parents { "write it without `..`".to_owned() } else { format!("write `{canonical}`") };
        (format!("{} is not in canonical form", quoted(text)), meant)
    };
    let problem = findings.value("path", pointer, message);
    findings.push(problem.hint(hint));
    None
}

/// Without `.` in the middle, doubled slashes and a slash at the end; `..` stays, since a symlink may stand before it.
fn normalised(text: &str) -> Utf8PathBuf {
    let path: Utf8PathBuf =
        Utf8Path::new(text).components().filter(|part| *part != Utf8Component::CurDir).collect();
    if path.as_str().is_empty() { Utf8PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised() {
        for (text, expected) in [
            (".", "."),
            ("./a", "a"),
            ("a//b/", "a/b"),
            ("../a", "../a"),
            ("/a/./b/", "/a/b"),
            ("a/../b", "a/../b"),
        ] {
            assert_eq!(normalised(text), expected, "{text}");
        }
    }
}
