//! Which manifests a command is about, and reading them.
//!
//! No argument: `bottle.yaml` in the current folder or the nearest parent that has one. A folder: every manifest in
//! it, which are `bottle.yaml` and `*.bottle.yaml`. Paths are shown as a person would type them from here.

use super::docker::quoted;
use super::failure::{Failure, fail};
use super::folders::{folder_of, registry};
use crate::consent::Registry;
use crate::diagnostic::Report;
use crate::manifest::{LARGEST, Loaded, Manifest};
use crate::printable::printable_name;
use crate::tree::read_plain;
use anyhow::{Context as _, bail};
use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};
use std::collections::BTreeSet;

/// The name that is looked for.
pub(crate) const FILE_NAME: &str = "bottle.yaml";

/// What is said where there is none.
pub(crate) const NOT_THERE: Failure = Failure::fixed(
    "no-manifest",
    "there is no bottle.yaml in this folder or in one above it; name a manifest, or let `bottle init` write one",
);

/// The files that some arguments name, in the order of the arguments; those of a folder by name.
pub(crate) fn find(arguments: &[Utf8PathBuf]) -> anyhow::Result<Vec<Utf8PathBuf>> {
    if arguments.is_empty() {
        let file = nearest()?.context(NOT_THERE)?;
        // Whoever needs the registry says what is wrong with it.
        registry().map_or(Ok(()), |registry| require_own(&registry, &file))?;
        return Ok(vec![file]);
    }
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for argument in arguments {
        let found = if argument == "-" {
            bail!(
                "a manifest can't be read from stdin: its paths are relative to the folder that it lies in"
            );
        } else if argument.is_dir() {
            let found = in_folder(argument)?;
            found.iter().try_for_each(|file| require_one_line(file))?;
            found
        } else {
            require_one_line(argument)?;
            vec![argument.clone()]
        };
        files.extend(found.into_iter().filter(|file| seen.insert(file.clone())));
    }
    Ok(files)
}

/// A name is part of many sentences and commands, and a line break would end them.
fn require_one_line(file: &Utf8Path) -> anyhow::Result<()> {
    if file.as_str().contains(char::is_control) {
        bail!("the name {} holds a control character; rename it", printable_name(file.as_str()));
    }
    Ok(())
}

/// The one file that an optional argument names.
pub(crate) fn find_one(argument: Option<&Utf8Path>) -> anyhow::Result<Utf8PathBuf> {
    let arguments: Vec<Utf8PathBuf> = argument.map(Utf8Path::to_owned).into_iter().collect();
    match find(&arguments)?.as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let folder = printable_name(arguments[0].as_str());
            fail!(
                "several-manifests",
                "this command takes one manifest; {folder} has several: {}",
                names(several)
            )
        }
    }
}

/// Refuses a manifest that was found, not named, in a folder where the agent of a known bottle can write, unless it
/// is a known bottle's own.
pub(crate) fn require_own(registry: &Registry, file: &Utf8Path) -> anyhow::Result<()> {
    let folder = folder_of(file)?;
    let Some(writer) = registry.writer_of(&folder) else { return Ok(()) };
    // By its path: a new folder can have the number of one that is gone.
    let path = folder.join(file.file_name().unwrap_or_default());
    if registry.of_manifest(&path).next().is_some() {
        return Ok(());
    }
    bail!(
        "{file} is not picked up: the agent of {} can write there, and you never rendered it; \
         if you mean it, name it: bottle render {file}",
        writer.manifest
    );
}

fn names(files: &[Utf8PathBuf]) -> String {
    files.iter().map(|file| file.file_name().unwrap_or_default()).collect::<Vec<_>>().join(", ")
}

/// A command about that manifest, as a person types it from here.
pub(crate) fn command(verb: &str, file: &Utf8Path) -> String {
    match nearest() {
        Ok(Some(nearest)) if nearest == file => format!("bottle {verb}"),
        _ => format!("bottle {verb} {file}"),
    }
}

/// Upwards from the current folder.
pub(crate) fn nearest() -> anyhow::Result<Option<Utf8PathBuf>> {
    let here = std::env::current_dir().context("the current folder can't be read")?;
    let mut shown = Utf8PathBuf::new();
    for folder in here.ancestors() {
        // Whatever has the name: what is not a plain file is refused when it is read, and not passed over.
        if fs_err::symlink_metadata(folder.join(FILE_NAME)).is_ok() {
            return Ok(Some(shown.join(FILE_NAME)));
        }
        shown.push("..");
    }
    Ok(None)
}

/// Whether a path has the name of a manifest.
pub(crate) fn is_manifest(path: &Utf8Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE_NAME || name.ends_with(".bottle.yaml"))
}

fn in_folder(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().with_context(|| format!("{folder} can't be read"))? {
        let entry = entry.with_context(|| format!("{folder} can't be read"))?;
        // Whatever has the name: what is not a plain file is refused when it is read, and not passed over.
        if is_manifest(entry.path()) {
            files.push(entry.into_path());
        }
    }
    if files.is_empty() {
        let below = directly_below(folder);
        let below = if below.is_empty() {
            String::new()
        } else {
            format!("; name those that you mean: {}", below.join(" "))
        };
        let folder = printable_name(folder.as_str());
        fail!("no-manifest", "{folder} has no manifest: no {FILE_NAME} and no NAME.bottle.yaml{below}");
    }
    files.sort();
    Ok(files)
}

/// Whether a folder has a manifest, of what is looked at of it.
pub(crate) fn has_manifest(folder: &std::path::Path) -> bool {
    const ENTRIES: usize = 1000;
    let Some(folder) = Utf8Path::from_path(folder) else { return false };
    let entries = folder.read_dir_utf8().into_iter().flatten().take(ENTRIES).flatten();
    { entries }.any(|entry| is_manifest(entry.path()))
}

/// The folders directly below that have manifests, as far as a message has room for them.
fn directly_below(folder: &Utf8Path) -> Vec<String> {
    const ENTRIES: usize = 1000;
    const SHOWN: usize = 5;
    let entries = folder.read_dir_utf8().into_iter().flatten().take(ENTRIES).flatten();
    let is_plain = |path: &Utf8Path| path.symlink_metadata().is_ok_and(|it| it.is_dir());
    let has_manifest = |path: &Utf8PathBuf| is_plain(path) && has_manifest(path.as_std_path());
    let mut found: Vec<String> = entries
        .map(Utf8DirEntry::into_path)
        .filter(has_manifest)
        .map(|path| quoted(&printable_name(path.as_str())))
        .collect();
    found.sort();
    if found.len() > SHOWN {
        found.truncate(SHOWN);
        found.push("…".to_owned());
    }
    found
}

/// Reads one manifest.
pub(crate) fn load(file: &Utf8Path) -> anyhow::Result<Loaded> {
    Ok(Manifest::load(file.as_str(), &read(file)?)?)
}

/// Reads several manifests, and reports what is wrong in any of them at once.
pub(crate) fn load_all(files: &[Utf8PathBuf]) -> anyhow::Result<Vec<Loaded>> {
    let mut problems = Vec::new();
    let mut loaded = Vec::new();
    for file in files {
        match Manifest::load(file.as_str(), &read(file)?) {
            Ok(one) => loaded.push(one),
            Err(report) => problems.extend(report.0),
        }
    }
    if problems.is_empty() { Ok(loaded) } else { Err(Report(problems).into()) }
}

fn read(file: &Utf8Path) -> anyhow::Result<Vec<u8>> {
    Ok(read_plain(file, LARGEST as u64)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn a_folder_means_every_manifest_in_it() {
        let (_dir, folder) = folder();
        for name in ["b.bottle.yaml", "bottle.yaml", "a.bottle.yaml", "compose.yaml", "a.bottle-test.yaml"] {
            fs_err::write(folder.join(name), "").unwrap();
        }
        let found = find(&[folder.clone(), folder.join("bottle.yaml")]).unwrap();
        let names: Vec<_> = found.iter().map(|file| file.file_name().unwrap()).collect();
        assert_eq!(names, ["a.bottle.yaml", "b.bottle.yaml", "bottle.yaml"]);
        assert!(find_one(Some(&folder)).unwrap_err().to_string().contains("takes one manifest"));
    }

    #[test]
    fn what_is_not_there_is_said() {
        let (_dir, folder) = folder();
        let error = find(std::slice::from_ref(&folder)).unwrap_err().to_string();
        assert!(error.ends_with("has no manifest: no bottle.yaml and no NAME.bottle.yaml"), "{error}");
        fs_err::create_dir_all(folder.join("b/c")).unwrap();
        for file in ["b/dev.bottle.yaml", "b/c/bottle.yaml"] {
            fs_err::write(folder.join(file), "").unwrap();
        }
        fs_err::os::unix::fs::symlink("b", folder.join("link")).unwrap();
        let error = find(std::slice::from_ref(&folder)).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("NAME.bottle.yaml; name those that you mean: {folder}/b")),
            "{error}"
        );
        assert!(find(&["-".into()]).unwrap_err().to_string().contains("stdin"));
        let error = load(&folder.join("bottle.yaml")).unwrap_err().to_string();
        assert!(error.contains("bottle.yaml"), "{error}");
        let error = find(&["a\nnote: all is well.bottle.yaml".into()]).unwrap_err().to_string();
        assert_eq!(
            error,
            r"the name a\u{a}note: all is well.bottle.yaml holds a control character; rename it"
        );
    }

    #[test]
    fn what_has_the_name_of_a_manifest_and_is_no_file_is_named() {
        let (_dir, folder) = folder();
        let secret = folder.join("secret");
        fs_err::write(&secret, "the-secret\n").unwrap();
        fs_err::os::unix::fs::symlink(&secret, folder.join("a.bottle.yaml")).unwrap();
        fs_err::create_dir(folder.join("b.bottle.yaml")).unwrap();
        let found = find(std::slice::from_ref(&folder)).unwrap();
        assert_eq!(found.len(), 2);
        let error = load_all(&found).unwrap_err().to_string();
        let link = "a.bottle.yaml is a symbolic link, which bottle does not follow: an agent could have put it \
                    there; remove it, or name the file that it leads to";
        assert!(error.ends_with(link), "{error}");
        let error = load(&found[1]).unwrap_err().to_string();
        assert!(error.ends_with("b.bottle.yaml is a folder and no file; name a file"), "{error}");
    }

    #[test]
    fn a_manifest_without_an_end_is_not_read() {
        let (_dir, folder) = folder();
        let file = folder.join("bottle.yaml");
        fs_err::File::create(&file).unwrap().set_len(2 << 30).unwrap();
        assert_eq!(load(&file).unwrap_err().to_string(), format!("{file} is larger than 1 MiB"));
    }

    #[test]
    fn all_manifests_are_reported_at_once() {
        let (_dir, folder) = folder();
        for name in ["a.bottle.yaml", "b.bottle.yaml"] {
            fs_err::write(folder.join(name), "version: 2\nname: x\nagent: {image: y}\n").unwrap();
        }
        let error = load_all(&find(&[folder]).unwrap()).unwrap_err();
        let report = error.downcast::<Report>().unwrap();
        assert_eq!(report.0.len(), 2);
    }
}
