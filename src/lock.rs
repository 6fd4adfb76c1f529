//! `bottle.lock`, beside the manifests of a folder: the digest that the name of each image stands for, and the program
//! that wrote it. `bottle lock` writes it, `bottle render` uses it, and `bottle render --locked` insists on it.
//!
//! It is committed, and an agent may have written it: what it changes is asked about like any other image.

use crate::manifest::{Engine, Image, Manifest};
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

    /// Puts the digest to the name of each image that has none.
    pub fn pin(&self, manifest: &mut Manifest) {
        if let Image::Named(name) = &mut manifest.agent.image {
            self.pin_name(name);
        }
        manifest.services.iter_mut().for_each(|service| self.pin_name(&mut service.image));
        if let Engine::Image(name) = &mut manifest.pipelock.engine {
            self.pin_name(name);
        }
    }

    fn pin_name(&self, name: &mut String) {
        if !is_pinned(name)
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
            let mut name = name.to_owned();
            lock.pin_name(&mut name);
            name
        };
        assert_eq!(pinned("debian:12"), format!("debian:12@{DIGEST}"));
        assert_eq!(pinned("debian"), "debian");
        let own = format!("debian:12@sha256:{}", "f".repeat(64));
        assert_eq!(pinned(&own), own);
        assert!(is_pinned(&own) && !is_pinned("debian:12") && !is_pinned("debian@sha256:abc"));
    }
}
