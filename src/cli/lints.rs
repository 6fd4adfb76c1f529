//! What a manifest's lints need to know of this machine.

use super::candidate;
use super::folders::real;
use super::project::Project;
use super::{Globals, say_report};
use crate::capability::Capabilities;
use crate::diagnostic::{Diagnostic, Report};
use crate::lint::{self, Facts};
use crate::plan::layout::normal;
use crate::printable::printable_name;
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use jiff::civil::Date;
use rustix::fs::Dir;

/// How deep a mount is looked into: `services/api/.env`.
const DEPTH: usize = 3;

/// Files and folders of a mount that are looked at, at most.
const ENTRIES: usize = 20_000;

/// Folders of a project that hold files of others, or of bottle.
pub(super) const OTHERS: [&str; 7] = [".bottle", ".git", "node_modules", "target", "vendor", ".venv", "venv"];

/// Names that say that a secret is inside: of files, and of folders.
const SECRETS: [&str; 17] = [
    ".env",
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".pgpass",
    ".pypirc",
    ".htpasswd",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".ssh",
    ".aws",
    ".gnupg",
    ".kube",
    ".azure",
    ".vault-token",
];

/// Endings of `.env.NAME` that say that it is a pattern for one.
const PATTERNS: [&str; 5] = ["example", "sample", "template", "dist", "defaults"];

/// What is to be said of the manifest on this machine.
pub(crate) fn find(project: &Project, today: Date) -> Report {
    let Project { plan, folder, loaded, .. } = project;
    let capabilities = Capabilities::from_plan(plan, &candidate::machine(plan, folder, None));
    let mut secrets = Vec::new();
    for mount in &loaded.manifest.agent.mounts {
        let source = real(&normal(&folder.join(&mount.source)));
        let found = secrets_in(&source);
        // Another mount may lie over it.
        let is_seen = |inside: &Utf8PathBuf| {
            let seen = capabilities.seen_at(&mount.target.join(inside));
            seen.is_some_and(|(place, _)| place == source.join(inside))
        };
        let seen = found.into_iter().filter(is_seen);
        secrets.extend(seen.map(|inside| (mount.target.clone(), joined(&mount.target, &inside))));
    }
    let writable_git = capabilities.writable_git().map(Utf8Path::to_owned).collect();
    lint::lints(loaded, plan, &Facts { today, secrets, writable_git })
}

/// A line each: what stands in the manifest is asked about next, and must not scroll away.
pub(crate) fn say(lints: &Report, globals: &Globals) {
    if globals.quiet || lints.0.is_empty() {
        return;
    }
    if globals.verbose > 0 {
        return say_report(lints, globals);
    }
    let line = |lint: &Diagnostic| {
        let place = lint.source.as_ref().zip(lint.position());
        let place =
            place.map(|(source, (line, _))| format!("{}:{line}: ", source.name())).unwrap_or_default();
        format!("lint: {}\n", printable_name(&format!("{place}{} [{}]", lint.message, lint.code)))
    };
    let listed: String = lints.0.iter().map(line).collect();
    super::say(&format!(
        "{listed}`bottle plan` says what to do about each; `lints.allow` takes a code and your reason\n\n"
    ));
}

/// A file that is mounted alone has no path inside.
fn joined(target: &Utf8Path, inside: &Utf8Path) -> Utf8PathBuf {
    if inside.as_str().is_empty() { target.to_owned() } else { target.join(inside) }
}

/// The paths below a folder whose names say that a secret is inside; the empty path for the source itself.
fn secrets_in(source: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    if source.components().any(|part| is_secret(part.as_str())) {
        found.push(Utf8PathBuf::new());
        return found;
    }
    // What can't be read is not this check's to report.
    let Ok(folder) = Folder::open(source) else { return found };
    let mut left = ENTRIES;
    walk(&folder, Utf8Path::new(""), DEPTH, &mut left, &mut found);
    found.sort();
    found
}

fn walk(folder: &Folder, at: &Utf8Path, depth: usize, left: &mut usize, found: &mut Vec<Utf8PathBuf>) {
    let Ok(entries) = Dir::read_from(folder.handle()) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        if *left == 0 {
            return;
        }
        *left -= 1;
        let path = at.join(name);
        if is_secret(name) {
            found.push(path);
        } else if depth > 1
            && !matches!(name, "." | "..")
            && !OTHERS.contains(&name)
            && let Ok(below) = folder.child(name)
        {
            walk(&below, &path, depth - 1, left, found);
        }
    }
}

fn is_secret(name: &str) -> bool {
    let of_env = name.strip_prefix(".env.").is_some_and(|kind| !PATTERNS.iter().any(|it| kind.ends_with(it)));
    SECRETS.contains(&name) || of_env
}
