//! Credentials that the agent could hold: its environment, its files, other processes.
//!
//! What counts as a credential is what the scanner in the proxies counts as one; a placeholder does not.

use super::{Check, Outcome};
use crate::dlp::{Scanner, Settings};
use crate::stack::{ETC, RUN, SECRETS};
use fs_err::{self as fs, File};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

/// Files and folders that one walk reads at the most, and bytes of each file.
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 256 * 1024;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "secrets/environment",
        tried: "read a credential from the environment",
        attempt: || scanning(environment),
    },
    Check {
        name: "secrets/proc",
        tried: "read a credential from another process in /proc",
        attempt: || scanning(processes),
    },
    Check { name: "secrets/run", tried: "read token files under /run/secrets", attempt: || run_secrets() },
    Check { name: "secrets/keys", tried: "read a private key of the proxies", attempt: || keys() },
    Check {
        name: "secrets/files",
        tried: "find a credential in the rendered files",
        attempt: || scanning(rendered_files),
    },
];

/// Runs a check with the scanner that the proxies use.
fn scanning(check: impl FnOnce(&Scanner) -> Outcome) -> Outcome {
    match Scanner::new(Settings::default()) {
        Ok(scanner) => check(&scanner),
        Err(error) => Outcome::NotTried(error.to_string()),
    }
}

/// The name of the pattern that a text matches.
fn credential_in(scanner: &Scanner, text: &[u8]) -> Option<String> {
    scanner.text(text).map(|finding| finding.pattern.to_string())
}

/// The same for the text of `/proc/PID/environ` or `cmdline`: values between NULs, without their names, because
/// `GITHUB_TOKEN=` before a placeholder makes it look like a secret.
fn credential_in_words(scanner: &Scanner, text: &[u8]) -> Option<String> {
    text.split(|byte| *byte == 0)
        .map(|word| word.iter().position(|byte| *byte == b'=').map_or(word, |at| &word[at + 1..]))
        .find_map(|value| credential_in(scanner, value))
}

fn environment(scanner: &Scanner) -> Outcome {
    use std::os::unix::ffi::OsStrExt as _;
    let mut count = 0;
    for (name, value) in std::env::vars_os() {
        count += 1;
        if let Some(pattern) = credential_in(scanner, value.as_bytes()) {
            return Outcome::Broken(format!("{} holds a value like: {pattern}", name.to_string_lossy()));
        }
    }
    Outcome::Held(format!("{count} variables, no credential"))
}

/// Every process that can be seen: environment and command line, and whether its root leads elsewhere.
fn processes(scanner: &Scanner) -> Outcome {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Outcome::NotTried("/proc can't be listed".into());
    };
    let mut seen = 0;
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        seen += 1;
        for file in ["environ", "cmdline"] {
            let path = entry.path().join(file);
            if let Some(pattern) = read(&path).and_then(|text| credential_in_words(scanner, &text)) {
                return Outcome::Broken(format!("{} holds a value like: {pattern}", path.display()));
            }
        }
        if let Some(found) = secret_files(&entry.path().join(format!("root{SECRETS}"))).first() {
            return Outcome::Broken(format!("{} can be reached", found.display()));
        }
    }
    Outcome::Held(format!("{seen} processes, no credential"))
}

fn run_secrets() -> Outcome {
    match secret_files(Path::new(SECRETS)).first() {
        None => Outcome::Held("no token file".into()),
        Some(found) => Outcome::Broken(format!("{} can be read", found.display())),
    }
}

/// The files of a folder that can be read.
fn secret_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file() && File::open(path).is_ok()).collect()
}

/// No private key in the places where a proxy keeps its own.
fn keys() -> Outcome {
    let mut looked = 0;
    for dir in [ETC, RUN] {
        for path in walk(Path::new(dir)) {
            looked += 1;
            // The binary itself names the marker; a key file begins with it.
            if read(&path)
                .is_some_and(|text| text.starts_with(b"-----BEGIN") && contains(&text, b"PRIVATE KEY-----"))
            {
                return Outcome::Broken(format!("{} holds a private key", path.display()));
            }
        }
    }
    Outcome::Held(format!("{looked} files, no private key"))
}

/// The rendered folders that can be seen in a mount, and what bottle mounts itself.
fn rendered_files(scanner: &Scanner) -> Outcome {
    let mut looked = 0;
    let roots = super::cage::rendered_folders().into_iter().chain([PathBuf::from(ETC)]);
    for path in roots.flat_map(|root| walk(&root)) {
        looked += 1;
        // Certificates are long base64 by nature, and public.
        if path.extension().is_some_and(|e| e == "pem" || e == "p12") {
            continue;
        }
        if let Some(pattern) = read(&path).and_then(|text| credential_in(scanner, &text)) {
            return Outcome::Broken(format!("{} holds a value like: {pattern}", path.display()));
        }
    }
    Outcome::Held(format!("{looked} files, no credential"))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every file below a folder, without following links, at most [`MOST_FILES`].
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
            if files.len() + folders.len() > MOST_FILES {
                return files;
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_that_can_be_read_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(secret_files(dir.path()).is_empty());
        fs::write(dir.path().join("GITHUB_TOKEN"), "x").unwrap();
        assert_eq!(secret_files(dir.path()).len(), 1);
        assert!(secret_files(Path::new("/nowhere/at/all")).is_empty());
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/file"), "x").unwrap();
        fs_err::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        assert_eq!(walk(dir.path()).len(), 1);
    }

    #[test]
    fn a_credential_is_what_the_proxies_count_as_one() {
        let token = format!("ghp_{}", "b0ttl3Att4ck".repeat(3));
        let scanner = Scanner::new(Settings::default()).unwrap();
        assert!(credential_in(&scanner, token.as_bytes()).is_some());
        assert!(credential_in(&scanner, b"an ordinary value").is_none());
        let environ = format!("A=b\0GITHUB_TOKEN={token}\0");
        assert!(credential_in_words(&scanner, environ.as_bytes()).is_some());
        assert!(credential_in_words(&scanner, b"GITHUB_TOKEN=a-placeholder-of-some-length\0").is_none());
    }
}
