//! Which expectations a command is about: the `tests` of manifests, and the files beside them.

use crate::cli::folders::{absolute, beside, folder_of, real};
use crate::cli::{named_file, source};
use crate::diagnostic::{Diagnostic, Report};
use crate::expectations::Suite;
use crate::manifest::{LARGEST, Loaded, Manifest, TestFile};
use crate::plan::layout::normal;
use crate::tree::read_plain;
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How the name of a file of expectations ends.
const TEST_FILE: &str = ".bottle-test.yaml";

/// The body of a request has at most this many bytes.
const LARGEST_BODY: u64 = 16 << 20;

/// All bodies that one command reads have at most this many bytes: each is scanned, and a small file can name one body
/// thousands of times.
const LARGEST_BODIES: u64 = 256 << 20;
static READ: AtomicU64 = AtomicU64::new(0);

/// A manifest, and the expectations for it.
pub(super) struct Tests {
    /// The manifest's path, as a person named it.
    pub(super) file: Utf8PathBuf,
    pub(super) loaded: Loaded,
    /// Its own, then those of the files beside it.
    pub(super) suites: Vec<Suite>,
}

/// What arguments name: manifests with the files beside them, folders of them, or single files of expectations.
/// Everything that is wrong in any of them is reported at once.
pub(super) fn find(arguments: &[Utf8PathBuf]) -> anyhow::Result<Vec<Tests>> {
    let (mut manifests, mut files) = (Vec::new(), Vec::new());
    if arguments.is_empty() {
        manifests = source::find(&[])?;
    }
    for argument in arguments {
        if is_test_file(argument) {
            files.push(argument.clone());
            continue;
        }
        let own = if argument.is_dir() { test_files(argument)? } else { Vec::new() };
        match source::find(std::slice::from_ref(argument)) {
            Ok(found) => manifests.extend(found),
            // Expectations may lie apart from their manifest.
            Err(_) if !own.is_empty() => {}
            Err(error) => return Err(error),
        }
        files.extend(own);
    }
    let mut found = Found::default();
    let mut beside_them = Vec::new();
    for file in &manifests {
        found.manifest(file, true)?;
        beside_them.extend(test_files(&beside(file))?);
    }
    for (file, is_named) in
        files.iter().map(|file| (file, true)).chain(beside_them.iter().map(|file| (file, false)))
    {
        found.test_file(file, is_named)?;
    }
    if found.problems.is_empty() {
        Ok(found.tests.into_iter().map(|(_, tests)| tests).collect())
    } else {
        Err(Report(found.problems).into())
    }
}

/// What was read so far. A file is known by its path without links, whatever it was called.
#[derive(Default)]
struct Found {
    tests: Vec<(Utf8PathBuf, Tests)>,
    seen: Vec<Utf8PathBuf>,
    problems: Vec<Diagnostic>,
}

impl Found {
    /// Reads a manifest, unless it was read; its own expectations count if it is asked for as a whole. `None`: it
    /// has problems, which are noted.
    fn manifest(&mut self, file: &Utf8Path, whole: bool) -> anyhow::Result<Option<usize>> {
        let path = identity(file)?;
        if let Some(at) = self.tests.iter().position(|(known, _)| *known == path) {
            return Ok(Some(at));
        }
        let loaded = match Manifest::load(file.as_str(), &read_plain(file, LARGEST as u64)?) {
            Ok(loaded) => loaded,
            Err(report) => {
                self.problems.extend(report.0);
                return Ok(None);
            }
        };
        let suites = if whole { vec![Suite::of_manifest(&loaded)] } else { Vec::new() };
        self.tests.push((path, Tests { file: file.to_owned(), loaded, suites }));
        Ok(Some(self.tests.len() - 1))
    }

    /// Reads a file of expectations. One that was not named counts if its manifest was asked for.
    fn test_file(&mut self, file: &Utf8Path, is_named: bool) -> anyhow::Result<()> {
        let path = identity(file)?;
        if self.seen.contains(&path) {
            return Ok(());
        }
        self.seen.push(path);
        let tests = match TestFile::load(file.as_str(), &read_plain(file, LARGEST as u64)?) {
            Ok(tests) => tests,
            Err(report) => {
                self.problems.extend(report.0);
                return Ok(());
            }
        };
        let manifest = match manifest_of(file, &tests) {
            Ok(manifest) => manifest,
            Err(problem) => {
                self.problems.push(*problem);
                return Ok(());
            }
        };
        let path = identity(&manifest)?;
        if !is_named && !self.tests.iter().any(|(known, _)| *known == path) {
            return Ok(());
        }
        if let Some(at) = self.manifest(&manifest, false)? {
            self.tests[at].1.suites.push(Suite::of_file(&tests));
        }
        Ok(())
    }
}

/// Whether a path has the name of a file of expectations.
fn is_test_file(path: &Utf8Path) -> bool {
    path.file_name().is_some_and(|name| name.ends_with(TEST_FILE) || name == &TEST_FILE[1..])
}

/// Those of a folder, by name. Whatever has the name: what is not a plain file is refused when it is read.
fn test_files(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let unreadable = || format!("{folder} can't be read");
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().with_context(unreadable)? {
        let name = entry.with_context(unreadable)?.file_name().to_owned();
        if is_test_file(Utf8Path::new(&name)) {
            files.push(if folder == "." { name.into() } else { folder.join(name) });
        }
    }
    files.sort();
    Ok(files)
}

/// The manifest that a file of expectations is about.
fn manifest_of(file: &Utf8Path, tests: &TestFile) -> Result<Utf8PathBuf, Box<Diagnostic>> {
    let is_there = |path: &Utf8PathBuf| path.symlink_metadata().is_ok();
    if let Some(named) = &tests.manifest {
        let path = file.with_file_name("").join(named);
        let problem = if !source::is_manifest(&path) {
            "is not the name of a manifest: bottle.yaml or NAME.bottle.yaml"
        } else if !is_there(&path) {
            "is not there"
        } else {
            return Ok(path);
        };
        let problem = Diagnostic::error("test-manifest", format!("`{named}` {problem}"));
        let problem = problem.source(&tests.source).label(tests.manifest_span(), "");
        return Err(Box::new(problem.hint("name a manifest, relative to this file")));
    }
    let name = file.file_name().unwrap_or_default().strip_suffix(TEST_FILE);
    let own = name.map(|name| file.with_file_name(format!("{name}.bottle.yaml")));
    let usual = file.with_file_name(source::FILE_NAME);
    own.into_iter().chain([usual]).find(is_there).ok_or_else(|| {
        let beside = name.map_or_else(String::new, |name| format!(" and no {name}.bottle.yaml"));
        let message = format!("there is no bottle.yaml{beside} beside this file");
        let problem = Diagnostic::error("test-manifest", message).source(&tests.source).label(0..0, "");
        Box::new(problem.hint("name the manifest, relative to this file: manifest: ../bottle.yaml"))
    })
}

fn identity(file: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    Ok(real(&absolute(file)?))
}

/// The bytes of a body, which lies in the folder of the file that names it, or below. Nothing else is read: whoever
/// wrote that file would learn from the verdicts what is in the person's own files.
pub(crate) fn read_body(named_in: &Utf8Path, body: &Utf8Path) -> anyhow::Result<Vec<u8>> {
    let folder = folder_of(named_in)?;
    let place = || format!("`body_file` in {named_in}: {body}");
    if !normal(&folder.join(body)).starts_with(&folder) {
        bail!("{}: it lies outside of the folder of this file; put a copy beside it", place());
    }
    let bytes = named_file::read(&folder, body, LARGEST_BODY).with_context(place)?;
    let length = bytes.len() as u64;
    if READ.fetch_add(length, Ordering::Relaxed) + length > LARGEST_BODIES {
        bail!(
            "{}: the bodies of these tests have more than {} MiB; test fewer at once",
            place(),
            LARGEST_BODIES >> 20
        );
    }
    Ok(bytes)
}
