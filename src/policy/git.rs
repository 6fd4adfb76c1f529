//! What a request means to git over HTTP.
//!
//! A push is recognised in every plausible reading of the request, since the gate can't know how often the forge's
//! front server decodes: path and query as they came and decoded again and again, in any case of letters, with
//! doubled and trailing slashes, with matrix parameters. Sources: git's `http-backend.c` (the services and how it
//! decodes a query: `+` is a space, the last duplicate wins, HEAD counts as GET), `http-push.c` (WebDAV) and the layout
//! of a repository (gitrepository-layout(5)), the LFS server API. Where several readings disagree, any one that is a
//! push makes it a push. What a repository is called says nothing: a store may lie at any path, so that a write is
//! known by what is written, in [`store`].

mod store;

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
    /// Every write of LFS: the upload of large files that precedes a push, its verification, locks.
    LfsUpload,
}

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
        let service = if path.info_refs {
            Services::from_query(query.unwrap_or_default())
        } else {
            Services::default()
        };
        let lfs = path.lfs || kind.eq_ignore_ascii_case("application/vnd.git-lfs+json");
        if path.receive_pack
            || kind.eq_ignore_ascii_case("application/x-git-receive-pack-request")
            || (path.info_refs && (service.receive_pack || path.hidden.receive_pack))
            || path.store.writes(method, kind)
        {
            GitOperation::Push
        } else if writes_lfs(method, lfs, &path) {
            GitOperation::LfsUpload
        } else if path.upload_pack || path.info_refs || lfs {
            GitOperation::Fetch
        } else {
            GitOperation::None
        }
    }

    /// Whether the path is that of the LFS batch API, in any reading: below `info/lfs`, or below a URL of the server's
    /// own (`lfs.url`).
    #[must_use]
    pub fn is_lfs_batch(path: &[u8]) -> bool {
        PathReading::from_path(path).lfs_batch
    }

    /// Reads the operation from the body of an LFS batch request, content codings removed. Of several `operation`
    /// members, in any case of letters (Go's JSON reader does not mind), one `upload` suffices. What has none is no batch
    /// where the path is not LFS's own.
    pub fn lfs_operation(path: &[u8], body: &[u8]) -> Result<GitOperation, LfsError> {
        let batch: LfsBatch = serde_json::from_slice(body).map_err(|e| LfsError::NotJson(e.to_string()))?;
        match batch {
            LfsBatch { upload: true, .. } => Ok(GitOperation::LfsUpload),
            LfsBatch { download: true, other: false, .. } => Ok(GitOperation::Fetch),
            LfsBatch { download: false, other: false, .. } if !PathReading::from_path(path).lfs => {
                Ok(GitOperation::None)
            }
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
    /// It lies below `info/lfs`.
    lfs: bool,
    lfs_batch: bool,
    /// It ends in `objects/OID`, where an LFS server takes a file.
    lfs_object: bool,
    /// What of a repository's files it is.
    store: store::Place,
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
        self.lfs_batch |= ends_with(path, &["objects", "batch"]);
        let segments: Vec<&str> = segments_from_the_end(path).collect();
        self.lfs |= segments.windows(2).any(|two| is(two[0], "lfs") && is(two[1], "info"));
        self.lfs_object |= matches!(segments.as_slice(), [oid, above @ ..] if is_oid(oid)
            && above.iter().take(3).any(|name| is(name, "objects")));
        self.store.add(&segments);
    }
}

fn is(segment: &str, wanted: &str) -> bool {
    segment.eq_ignore_ascii_case(wanted)
}

/// The SHA-256 by which LFS knows a file.
fn is_oid(segment: &str) -> bool {
    segment.len() == 64 && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Below `info/lfs` all that does not read is a write, but for a batch, whose body says what it is: files with a batch and
/// without one, the older `POST …/objects`, `verify`, locks and their end. An object is known by its name wherever a
/// server of its own has it.
fn writes_lfs(method: &Method, lfs: bool, path: &PathReading) -> bool {
    let name = method.as_str();
    let reads = ["GET", "HEAD", "OPTIONS"].iter().any(|read| is(read, name));
    let batch = path.lfs_batch && is("POST", name);
    if lfs { !reads && !batch } else { path.lfs_object && is("PUT", name) }
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
