//! `bottle.lock`, beside the manifests of a folder: the digest that the name of each image stands for, and the program
//! that wrote it. `bottle lock` writes it, `bottle render` uses it, and `bottle render --locked` insists on it.
//!
//! It is committed, and an agent may have written it: what it changes is asked about like any other image.

use crate::manifest::Image;
use crate::yaml;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Its name, in the folder of the manifests.
pub const FILE: &str = "bottle.lock";

/// It is read up to this size, in bytes.
pub const LARGEST: u64 = 1024 * 1024;

const HEADING: &str =
    "# The digest of each image that a manifest of this folder names. `bottle lock` writes it; commit it.\n";

/// What a lock says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of this format.
    pub version: u64,
    /// The version of the program that wrote it.
    pub bottle: String,
    /// The version of the manifest's format that it knew.
    pub manifest: u64,
    /// The name of an image, as a manifest writes it, and its digest: `sha256:` and 64 hexadecimal digits.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
}

/// Why a lock can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It is not what `bottle lock` writes.
    #[error("{file} is not a lock: {problem}; run `bottle lock` to write it anew")]
    Malformed {
        /// As a person names it.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A later version wrote it.
    #[error(
        "{file} is of version {version}, and this bottle reads version 1; use the bottle that wrote it: {bottle}"
    )]
    Later {
        /// As a person names it.
        file: String,
        /// Of its format.
        version: u64,
        /// The program that wrote it.
        bottle: String,
    },
}

impl Lock {
    /// Of this program, with these images.
    #[must_use]
    pub fn new(images: BTreeMap<String, String>) -> Self {
        Self {
            version: 1,
            bottle: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: crate::manifest::VERSION,
            images,
        }
    }

    /// Reads one; `file` is how people name it.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, LockError> {
        let malformed = |problem: String| LockError::Malformed { file: file.to_owned(), problem };
        let document = yaml::parse(text, yaml::Limits::default())
            .map_err(|problems| malformed(problems.first().map(ToString::to_string).unwrap_or_default()))?;
        let version = document.value["version"].as_u64();
        if let Some(version) = version.filter(|version| *version > 1) {
            let bottle = document.value["bottle"].as_str().unwrap_or("a newer one").to_owned();
            return Err(LockError::Later { file: file.to_owned(), version, bottle });
        }
        let lock: Self =
            serde_json::from_value(document.value).map_err(|error| malformed(error.to_string()))?;
        match lock.images.iter().find(|(_, digest)| !is_digest(digest)) {
            Some((name, digest)) => {
                Err(malformed(format!("{digest} is not the digest of an image ({name})")))
            }
            None => Ok(lock),
        }
    }

    /// Its text.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        Ok(HEADING.to_owned() + &yaml::emit_value(&serde_json::to_value(self)?))
    }

    /// Puts the digest to the name of an image that has none.
    pub fn pin(&self, image: &mut Image) {
        if let Image::Named(name) = image
            && !is_pinned(name)
            && let Some(digest) = self.images.get(name)
        {
            *name = format!("{name}@{digest}");
        }
    }
}

/// Whether the name of an image says its digest, so that it always stands for the same.
#[must_use]
pub fn is_pinned(name: &str) -> bool {
    name.split_once('@').is_some_and(|(_, digest)| is_digest(digest))
}

/// `sha256:` and 64 hexadecimal digits (OCI image specification, "Digests").
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|rest| rest.len() == 64 && rest.bytes().all(hex))
}

/// The images that a Dockerfile begins its stages with and does not name by digest, each with its line, from 1. What
/// holds a variable is one of them, since it can stand for anything.
#[must_use]
pub fn floating_bases(dockerfile: &str) -> Vec<(usize, String)> {
    let mut stages: Vec<String> = Vec::new();
    let mut found = Vec::new();
    // Directives stand before everything else: another frontend is an image, and another escape character is not read here.
    for (at, line) in
        dockerfile.lines().enumerate().take_while(|(_, line)| line.trim_start().starts_with('#'))
    {
        let directive = line.trim_start().trim_start_matches('#').split_once('=');
        let Some((key, value)) =
            directive.map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim()))
        else {
            continue;
        };
        if key == "syntax" && !is_pinned(value) || key == "escape" && value != "\\" {
            found.push((at + 1, format!("# {key}={value}")));
        }
    }
    for (line, text) in instructions(dockerfile) {
        let is_stage = |name: &str, stages: &[String]| {
            name.parse::<usize>().is_ok() || stages.iter().any(|stage| stage.eq_ignore_ascii_case(name))
        };
        // `COPY --from=IMAGE`, `RUN --mount=type=bind,from=IMAGE`.
        let options = text.split_whitespace().skip(1).take_while(|word| word.starts_with("--"));
        let froms = options.flat_map(|option| option.split([',', ' '])).filter_map(|part| {
            part.strip_prefix("--from=")
                .or_else(|| part.strip_prefix("from="))
                .or_else(|| part.strip_prefix("--mount=from="))
        });
        found.extend(
            froms
                .filter(|name| !is_stage(name, &stages) && !is_pinned(name))
                .map(|name| (line, name.to_owned())),
        );
        let mut words = text.split_whitespace();
        if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("FROM")) {
            continue;
        }
        let mut words = words.skip_while(|word| word.starts_with("--"));
        let Some(name) = words.next() else { continue };
        if !is_stage(name, &stages) && name != "scratch" && !is_pinned(name) {
            found.push((line, name.to_owned()));
        }
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("AS")) {
            stages.extend(words.next().map(str::to_owned));
        }
    }
    found
}

/// Each instruction with the line that it begins on: comments are left out, and a line that ends in `\\` goes on in the
/// next one (Dockerfile reference, "Format").
fn instructions(dockerfile: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (at, line) in dockerfile.lines().enumerate() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let part = line.trim_end().strip_suffix('\\');
        match found.last_mut().filter(|_| goes_on) {
            Some((_, text)) => text.push_str(part.unwrap_or(line)),
            None => found.push((at + 1, part.unwrap_or(line).to_owned())),
        }
        goes_on = part.is_some();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn what_is_written_is_read() {
        let lock = Lock::new([("debian:12".to_owned(), DIGEST.to_owned())].into());
        let text = lock.text().unwrap();
        assert_eq!(Lock::parse("bottle.lock", text.as_bytes()), Ok(lock));
        assert!(text.starts_with("# The digest"), "{text}");
    }

    #[test]
    fn what_is_not_a_lock_is_refused() {
        let said = |text: &str| Lock::parse("bottle.lock", text.as_bytes()).unwrap_err().to_string();
        let with = |images: &str| format!("version: 1\nbottle: 0.1.0\nmanifest: 1\nimages: {images}\n");
        assert_eq!(
            said(&with("{a: latest}")),
            "bottle.lock is not a lock: latest is not the digest of an image (a); run `bottle lock` to write it anew"
        );
        assert!(said("[").starts_with("bottle.lock is not a lock: "));
        assert!(said(&(with("{}") + "zebra: 1\n")).contains("unknown field `zebra`"));
        assert_eq!(
            said("version: 7\nbottle: 9.9.9\n"),
            "bottle.lock is of version 7, and this bottle reads version 1; use the bottle that wrote it: 9.9.9"
        );
    }

    #[test]
    fn a_name_is_pinned_by_its_digest_alone() {
        let lock = Lock::new([("debian:12".to_owned(), DIGEST.to_owned())].into());
        let pinned = |name: &str| {
            let mut image = Image::Named(name.to_owned());
            lock.pin(&mut image);
            let Image::Named(name) = image else { unreachable!() };
            name
        };
        assert_eq!(pinned("debian:12"), format!("debian:12@{DIGEST}"));
        assert_eq!(pinned("debian"), "debian");
        let own = format!("debian:12@sha256:{}", "f".repeat(64));
        assert_eq!(pinned(&own), own);
        assert!(is_pinned(&own) && !is_pinned("debian:12") && !is_pinned("debian@sha256:abc"));
    }

    #[test]
    fn the_bases_of_a_dockerfile_are_found() {
        let text = format!(
            "# FROM none\nARG V=1\nFROM --platform=linux/amd64 node:24 AS build\nRUN true\nfrom debian@{DIGEST} as base\n\
             FROM build\nFROM scratch\nFROM ${{V}}\nFROM\nRUN sql 'SELECT a \\\n# why\nFROM b'\nFROM \\\n  rust\n"
        );
        let expected =
            [(3, "node:24"), (8, "${V}"), (13, "rust")].map(|(line, name)| (line, name.to_owned()));
        assert_eq!(floating_bases(&text), expected);
        let text = format!(
            "# syntax=evil/frontend:latest\n# escape=`\nFROM debian@{DIGEST} AS a\nCOPY --from=a x y\nCOPY --from=0 x y\n\
             COPY --chown=1 --from=evil/img:latest x y\nRUN --mount=type=bind,from=other,target=/x true\n"
        );
        let found: Vec<usize> = floating_bases(&text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(found, [1, 2, 6, 7]);
    }
}
