//! `bottle lock`: which digest the name of each image stands for, written down beside the manifests.

use super::docker::docker;
use super::folders::{beside, folder_of, registry};
use super::project::Project;
use super::{Format, Globals, Outcome, candidate, lock_file, print_as, say, source};
use crate::diagnostic::{Diagnostic, Report};
use crate::dockerfile::{Why, unlocked};
use crate::lock::{FILE, Lock, is_digest, is_pinned};
use crate::manifest::Image;
use crate::plan::AgentImage;
use crate::tree::Folder;
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Write down which digest each image stands for
///
/// One `bottle.lock` for all manifests of a folder. `bottle render` names the images by these digests; commit the file.
/// The registry is asked, through `docker buildx`, and where that can't be the copy on this machine; nothing is pulled.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle lock && git add bottle.lock")]
pub(crate) struct Args {
    /// Manifests, or folders of them; every manifest beside them is locked as well
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<Utf8PathBuf>,
    /// Look up the digest of images that are in the lock already
    #[arg(long)]
    upgrade: bool,
}

/// What became of one image.
struct Locked {
    image: String,
    digest: String,
    event: &'static str,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let files = source::find(&args.manifests)?;
    let folders: BTreeSet<Utf8PathBuf> = files.iter().map(|file| beside(file)).collect();
    let mut locks = Vec::new();
    for folder in folders {
        let locked = lock(&folder, &args.manifests, args.upgrade)?;
        locks.push((if folder == "." { FILE.into() } else { folder.join(FILE) }, locked));
    }
    print_as(
        globals.format,
        &match globals.format {
            Format::Text => text(&locks),
            Format::Json => {
                let image = |it: &Locked| json!({"image": it.image, "digest": it.digest, "event": it.event});
                let lock = |(file, locked): &(Utf8PathBuf, Vec<Locked>)| json!({"file": file, "images": locked.iter().map(image).collect::<Vec<_>>()});
                format!("{:#}\n", json!(locks.iter().map(lock).collect::<Vec<_>>()))
            }
        },
    )?;
    Ok(Outcome::Done)
}

fn text(locks: &[(Utf8PathBuf, Vec<Locked>)]) -> String {
    let mut out = String::new();
    for (file, locked) in locks {
        let _ = writeln!(out, "{file}"); // writing to a String can't fail
        for Locked { image, digest, event } in locked {
            let _ = writeln!(out, "  {image}  {digest}  {event}"); // writing to a String can't fail
        }
        if locked.is_empty() {
            out.push_str("  no manifest here names an image without its digest\n");
        }
    }
    out + "Next: bottle render\n"
}

/// Whether two paths of files name the same entry of one folder, however that is written.
fn is_same(one: &Utf8Path, other: &Utf8Path) -> bool {
    let entry = |path: &Utf8Path| Some((folder_of(path).ok()?, path.file_name()?.to_owned()));
    entry(one).is_some_and(|one| entry(other) == Some(one))
}

/// Writes the lock of one folder, when all is known that goes into it. A folder that is named names none of its files.
fn lock(folder: &Utf8Path, asked_for: &[Utf8PathBuf], upgrade: bool) -> anyhow::Result<Vec<Locked>> {
    let registry = registry();
    let mut files = Vec::new();
    for file in source::find(&[folder.to_owned()])? {
        // Names of images go to registries: those of a manifest that an agent put here would carry out what it knows.
        match registry.as_ref().map_or(Ok(()), |registry| source::require_own(registry, &file)) {
            Err(why) if !asked_for.iter().any(|asked| is_same(asked, &file)) => {
                say(&format!("note: {why:#}\n"));
            }
            _ => files.push(file),
        }
    }
    let manifests = source::load_all(&files)?;
    let names: BTreeSet<&str> = manifests
        .iter()
        .flat_map(|loaded| {
            let of_agent = match &loaded.manifest.agent.image {
                Image::Named(name) => Some(name.as_str()),
                Image::Build(_) => None,
            };
            let services = loaded.manifest.services.iter().map(|service| service.image.as_str());
            of_agent.into_iter().chain(services).chain(loaded.manifest.pipelock.engine.image())
        })
        .filter(|name| !is_pinned(name))
        .collect();
    let place = folder_of(&folder.join(FILE))?;
    let before = lock_file::find(&place)?.map(|lock| lock.images).unwrap_or_default();
    let mut locked = Vec::new();
    for name in names {
        let known = before.get(name);
        let (digest, event) = if let Some(digest) = known.filter(|_| !upgrade) {
            (digest.clone(), "kept")
        } else {
            let (digest, from) = digest_of(name)?;
            let event = if known == Some(&digest) { "unchanged" } else { from };
            (digest, event)
        };
        locked.push(Locked { image: name.to_owned(), digest, event });
    }
    let images: BTreeMap<String, String> =
        locked.iter().map(|it| (it.image.clone(), it.digest.clone())).collect();
    Folder::open(&place)?.stage(FILE, Lock::new(images).text()?.as_bytes(), 0o644)?.commit()?;
    Ok(locked)
}

/// What the name of an image stands for, and who says so.
fn digest_of(name: &str) -> anyhow::Result<(String, &'static str)> {
    let asked = docker()
        .args(["buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", name])
        .output()
        .context("docker is not there, and it knows the registries")?;
    let said = String::from_utf8_lossy(&asked.stdout);
    if asked.status.success() && is_digest(said.trim()) {
        return Ok((said.trim().to_owned(), "from the registry"));
    }
    let why = String::from_utf8_lossy(&asked.stderr);
    let why = why.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
    // A docker without the plugin takes its name for a command, or its flags for docker's own.
    let lacks_plugin = why.contains("unknown command")
        || why.contains("unknown flag")
        || why.contains("is not a docker command");
    let why = if lacks_plugin { "this docker has no buildx" } else { why }.to_owned();
    let copy = docker().args(["image", "inspect", "--format", "{{json .RepoDigests}}", name]).output()?;
    let digests: Vec<String> = serde_json::from_slice(&copy.stdout).unwrap_or_default();
    // The engine leaves out what every name has that says no registry.
    let repository = repository_of(name);
    let of_this = digests.iter().filter_map(|digest| digest.split_once('@'));
    let is_its_own = |found: &str| found == repository || repository.ends_with(&format!("/{found}"));
    let own = of_this.filter(|(found, digest)| is_digest(digest) && is_its_own(found));
    if let Some((_, digest)) = own.max_by_key(|(found, _)| found.len()) {
        return Ok((digest.to_owned(), "from the copy on this machine"));
    }
    if copy.status.success() {
        bail!(
            "`{name}` was built on this machine, and no registry has a digest for it: push it and name it as it is \
             there, or use `build` in the manifest; nothing was written"
        );
    }
    bail!(
        "the digest of `{name}` is not known: the registry could not be asked (docker says: {why}), and there is no \
         copy on this machine; `docker pull {name}` gets one; nothing was written"
    )
}

/// The name of an image without tag and digest (reference grammar of the distribution project).
fn repository_of(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let start = name.rfind('/').map_or(0, |at| at + 1); // a port stands before it
    name[start..].find(':').map_or(name, |colon| &name[..start + colon])
}

/// What `render --locked` refuses.
pub(crate) fn require(project: &Project) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    let loaded = &project.loaded;
    let problem = |pointer: &str, message: String| {
        Diagnostic::error("not-locked", message).source(&loaded.source).label(loaded.span_of(pointer), "")
    };
    let lock = lock_file::find(&project.folder)?;
    let version = env!("CARGO_PKG_VERSION");
    match &lock {
        None => problems.push(
            problem("name", format!("there is no {FILE} beside the manifest"))
                .hint("`bottle lock` writes it"),
        ),
        Some(lock) if lock.bottle != version => problems.push(
            problem("name", format!("{FILE} was written by bottle {}, and this is {version}", lock.bottle))
                .hint(format!("use bottle {}, or let this one write it: `bottle lock`", lock.bottle)),
        ),
        Some(_) => {}
    }
    let unknown = |pointer: &str, name: &str| {
        problem(pointer, format!("the image `{name}` is not in {FILE}"))
            .hint("`bottle lock` looks its digest up")
    };
    for sidecar in project.plan.sidecars.iter().filter(|it| !is_pinned(&it.image)) {
        problems.push(unknown(&format!("services.{}.image", sidecar.name), &sidecar.image));
    }
    if let Some(name) = project.plan.engine.image().filter(|name| !is_pinned(name)) {
        problems.push(unknown("pipelock.image", name));
    }
    match &project.plan.agent.image {
        AgentImage::Named(name) if !is_pinned(name) => problems.push(unknown("agent.image", name)),
        AgentImage::Named(_) => {}
        AgentImage::Built(build) => {
            // BuildKit takes the program that reads the Dockerfile from it.
            if build.args.iter().any(|(name, _)| name == "BUILDKIT_SYNTAX") {
                let message = "`BUILDKIT_SYNTAX` names an image that reads the Dockerfile in its own way";
                problems.push(problem("agent.build.args", message.to_owned()).hint("remove it"));
            }
            let context = candidate::context_folder(&project.plan, &project.folder)?;
            let text = context.map(|it| it.text()).transpose()?.flatten();
            let Some(text) = text else {
                problems.push(
                    problem(
                        "agent.build",
                        "the Dockerfile is not there, so what it begins with is not known".to_owned(),
                    )
                    .hint("check out the build context as well"),
                );
                return Err(Report(problems).into());
            };
            problems.extend(unlocked(&text).iter().map(|found| {
                let hint = match &found.why {
                    Why::Floating(image) => format!("write {image}@sha256:…"),
                    Why::Unclear(_) => "write the line plainly, or render without --locked".to_owned(),
                };
                problem("agent.build", found.to_string()).hint(hint)
            }));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Report(problems).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_name_without_tag_and_digest() {
        for (name, repository) in [
            ("node", "node"),
            ("node:24", "node"),
            ("acme/agent:1@sha256:ab", "acme/agent"),
            ("127.0.0.1:5000/agent:1", "127.0.0.1:5000/agent"),
            ("127.0.0.1:5000/agent", "127.0.0.1:5000/agent"),
            ("registry.example/team/agent:1", "registry.example/team/agent"),
        ] {
            assert_eq!(repository_of(name), repository, "{name}");
        }
    }
}
