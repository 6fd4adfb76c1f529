//! What a request means to git over HTTP.
//!
//! A push is recognised in every plausible reading of the request, since the gate can't know how often the forge's
//! front server decodes: path and query as they came and decoded again and again, in any case of letters, with
//! doubled and trailing slashes, with matrix parameters. Sources: git's `http-backend.c` (the services and how it
//! decodes a query: `+` is a space, the last duplicate wins, HEAD counts as GET), `http-push.c` (WebDAV), the LFS
//! batch API. Where several readings disagree, any one that is a push makes it a push.

use super::{
    decoding::{any_decoding, bare_segment, folded},
    method::Method,
};
use serde::{Deserialize, Serialize, de};
use std::fmt;

/// What git would do with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GitOperation {
    /// Nothing of git's.
    #[default]
    None,
    /// Clone, fetch, archive, LFS download.
    Fetch,
    /// Push, by the smart protocol or by WebDAV.
    Push,
    /// The upload of large files that precedes a push.
    LfsUpload,
}

/// The methods by which `git http-push` writes (RFC 4918 and PUT, DELETE).
const DUMB_PUSH: &[&str] = &["PUT", "MKCOL", "LOCK", "UNLOCK", "MOVE", "PROPPATCH", "DELETE"];

/// The body of an LFS batch request does not say what it wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LfsError {
    /// Not one JSON object.
    #[error("the body of the LFS batch request is not a JSON object: {0}")]
    NotJson(String),
    /// No `operation`, or none that the LFS batch API knows.
    #[error("the body of the LFS batch request has no `operation` that is `upload` or `download`")]
    NoOperation,
}

impl GitOperation {
    /// Reads the operation from the request's head. Path and query are those that the client sent.
    ///
    /// An LFS batch says what it is in its body: where [`GitOperation::is_lfs_batch`] is true,
    /// [`GitOperation::lfs_operation`] must be asked as well.
    #[must_use]
    pub fn read(
        method: &Method,
        path: &[u8],
        query: Option<&[u8]>,
        content_type: Option<&[u8]>,
    ) -> GitOperation {
        let kind = content_type.map_or("", media_type);
        let path = PathReading::from_path(path);
        let writes = DUMB_PUSH.iter().any(|m| m.eq_ignore_ascii_case(method.as_str()));
        let service = if path.info_refs {
            Services::from_query(query.unwrap_or_default())
        } else {
            Services::default()
        };
        if path.receive_pack
            || kind.eq_ignore_ascii_case("application/x-git-receive-pack-request")
            || (path.info_refs && (service.receive_pack || path.hidden.receive_pack))
            || (writes && path.in_repository)
        {
            GitOperation::Push
        } else if path.upload_pack || path.info_refs {
            GitOperation::Fetch
        } else {
            GitOperation::None
        }
    }

    /// Whether the path is that of the LFS batch API, in any reading.
    #[must_use]
    pub fn is_lfs_batch(path: &[u8]) -> bool {
        PathReading::from_path(path).lfs_batch
    }

    /// Reads the operation from the body of an LFS batch request, content codings removed. Of several `operation`
    /// members, in any case of letters (Go's JSON reader does not mind), one `upload` suffices.
    pub fn lfs_operation(body: &[u8]) -> Result<GitOperation, LfsError> {
        let batch: LfsBatch = serde_json::from_slice(body).map_err(|e| LfsError::NotJson(e.to_string()))?;
        match batch {
            LfsBatch { upload: true, .. } => Ok(GitOperation::LfsUpload),
            LfsBatch { download: true, other: false, .. } => Ok(GitOperation::Fetch),
            LfsBatch { .. } => Err(LfsError::NoOperation),
        }
    }

    /// Whether it writes to a repository, which no rule can allow.
    #[must_use]
    pub fn is_push(self) -> bool {
        matches!(self, GitOperation::Push | GitOperation::LfsUpload)
    }

    /// The stable name in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GitOperation::None => "none",
            GitOperation::Fetch => "fetch",
            GitOperation::Push => "push",
            GitOperation::LfsUpload => "lfs_upload",
        }
    }
}

impl fmt::Display for GitOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `application/json` of `Application/JSON; charset=utf-8`.
fn media_type(field: &[u8]) -> &str {
    let end = field.iter().position(|b| matches!(b, b';' | b',')).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).unwrap_or_default().trim()
}

/// What a path is in any of its readings.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each reading of a path may be something else")]
struct PathReading {
    receive_pack: bool,
    upload_pack: bool,
    info_refs: bool,
    lfs_batch: bool,
    /// The path is, or lies below, something named `….git`.
    in_repository: bool,
    /// What a query that is hidden behind `%3F` asks for.
    hidden: Services,
}

impl PathReading {
    fn from_path(path: &[u8]) -> PathReading {
        let mut reading = PathReading::default();
        let deep = any_decoding(path, |decoded| {
            reading.add(&folded(decoded));
            false
        });
        // No server decodes that often; what it would be in the end is not for us to guess.
        reading.receive_pack |= deep.is_err();
        reading
    }

    /// A `?` that was encoded belongs to the name for one server and begins a query for another.
    fn add(&mut self, decoded: &str) {
        self.add_path(decoded);
        if let Some(at) = decoded.find(['?', '#']) {
            self.add_path(&decoded[..at]);
            self.hidden.merge(Services::from_query(&decoded.as_bytes()[at + 1..]));
        }
    }

    fn add_path(&mut self, path: &str) {
        self.receive_pack |= ends_with(path, &["git-receive-pack"]);
        self.upload_pack |= ends_with(path, &["git-upload-pack"]) || ends_with(path, &["git-upload-archive"]);
        self.info_refs |= ends_with(path, &["info", "refs"]);
        self.lfs_batch |= ends_with(path, &["info", "lfs", "objects", "batch"]);
        self.in_repository |= segments_from_the_end(path).any(is_repository);
    }
}

/// `app.git`, `.git`, in any case.
fn is_repository(segment: &str) -> bool {
    let suffix = segment.len().checked_sub(4).and_then(|at| segment.get(at..));
    suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(".git"))
}

/// Segments, last one first, without empty ones and `.`, and without matrix parameters.
fn segments_from_the_end(path: &str) -> impl Iterator<Item = &str> {
    path.rsplit('/').map(bare_segment).filter(|s| !s.is_empty() && *s != ".")
}

fn ends_with(path: &str, tail: &[&str]) -> bool {
    let mut segments = segments_from_the_end(path);
    tail.iter().rev().all(|want| segments.next().is_some_and(|s| s.eq_ignore_ascii_case(want)))
}

/// The services that a query asks `info/refs` for, in any reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Services {
    receive_pack: bool,
}

impl Services {
    fn from_query(query: &[u8]) -> Services {
        let mut services = Services::default();
        let deep = any_decoding(query, |decoded| {
            services.receive_pack |= decoded.split(|byte| b"&;?#".contains(byte)).any(asks_for_receive_pack);
            services.receive_pack
        });
        services.receive_pack |= deep.is_err();
        services
    }

    fn merge(&mut self, other: Services) {
        self.receive_pack |= other.receive_pack;
    }
}

/// `service=git-receive-pack`, with blanks (`+` is one), as an array (`service[]=`) or cut by a NUL. Name and value are
/// each looked at in every decoding: most servers split first and decode then, so that `%26` is part of a name.
fn asks_for_receive_pack(parameter: &[u8]) -> bool {
    let Some(equals) = parameter.iter().position(|byte| *byte == b'=') else { return false };
    let is = |text: &[u8], end: char, wanted: &str| {
        let blank = |c: char| c == '+' || c.is_whitespace() || c.is_control();
        let found = any_decoding(text, |decoded| {
            let text = String::from_utf8_lossy(decoded);
            let text = text.split(end).next().unwrap_or_default().trim_matches(blank);
            text.eq_ignore_ascii_case(wanted)
        });
        found.unwrap_or(true)
    };
    is(&parameter[..equals], '[', "service") && is(&parameter[equals + 1..], '\0', "git-receive-pack")
}

/// Every `operation` member of a batch request.
#[derive(Debug, Default)]
struct LfsBatch {
    upload: bool,
    download: bool,
    other: bool,
}

impl<'de> Deserialize<'de> for LfsBatch {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<LfsBatch, D::Error> {
        deserializer.deserialize_map(LfsBatchVisitor)
    }
}

struct LfsBatchVisitor;

impl<'de> de::Visitor<'de> for LfsBatchVisitor {
    type Value = LfsBatch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<LfsBatch, A::Error> {
        let mut batch = LfsBatch::default();
        while let Some(key) = map.next_key::<String>()? {
            if !key.trim().eq_ignore_ascii_case("operation") {
                map.next_value::<de::IgnoredAny>()?;
                continue;
            }
            match map.next_value::<serde_json::Value>()?.as_str().map(str::trim) {
                Some(value) if value.eq_ignore_ascii_case("upload") => batch.upload = true,
                Some(value) if value.eq_ignore_ascii_case("download") => batch.download = true,
                _ => batch.other = true,
            }
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests;
