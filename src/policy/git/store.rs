//! The files of a repository, as a web server that knows nothing of git keeps them (gitrepository-layout(5)): loose
//! objects, packs, references, `HEAD`, `info/`. A write to one of them is a push, wherever the repository lies.

use super::super::method::Method;
use super::is;

/// The methods by which a store of files is written: RFC 4918 and what is built on it (RFC 3253, 3648, 4437, 5842), PUT,
/// DELETE.
const WRITES: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPPATCH",
    "PUT",
    "REBIND",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// A PATCH that writes into a file, as some servers of files understand it; every other PATCH is an API's.
const PARTIAL_UPDATE: &str = "application/x-sabredav-partialupdate";

/// What a path can be of a repository, in any of its readings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// It is, or lies below, something named `….git`.
    named: bool,
    /// It is one of the files or folders that git reads.
    known: bool,
    /// It may be the folder of loose objects with one first byte. An API may number its objects so.
    fan_out: bool,
}

impl Place {
    /// Adds a reading: its segments, the last one first.
    pub(super) fn add(&mut self, segments: &[&str]) {
        self.named |= segments.iter().any(|segment| is_repository(segment));
        self.known |= (0..segments.len()).any(|at| is_known(segments[at], &segments[..at]));
        self.fan_out |= matches!(segments, [byte, objects, ..] if is(objects, "objects") && is_hex(byte, 2));
    }

    /// Whether the method writes there.
    pub(super) fn writes(self, method: &Method, media_type: &str) -> bool {
        let name = method.as_str();
        let writes = WRITES.iter().any(|write| is(write, name))
            || (is(name, "PATCH") && media_type.eq_ignore_ascii_case(PARTIAL_UPDATE));
        let of_an_api = ["PUT", "DELETE"].iter().any(|method| is(method, name));
        writes && (self.named || self.known || (self.fan_out && !of_an_api))
    }
}

/// Whether git reads what `segment` begins; `below` is what follows, the last one first.
fn is_known(segment: &str, below: &[&str]) -> bool {
    let next = below.last().copied();
    match segment.to_ascii_lowercase().as_str() {
        // `refs/heads/x`, and its log below `logs`.
        "refs" => next.is_some(),
        "head" | "packed-refs" => below.is_empty(),
        "reftable" => next.is_none_or(|file| is(file, "tables.list") || file.contains("-0x")),
        "info" => next.is_some_and(|file| begins(file, "refs") || begins(file, "grafts")),
        "objects" => match (next, below.len()) {
            (Some(folder), _) if is(folder, "pack") || is(folder, "info") => true,
            // The file is sent under its name and a token, then moved.
            (Some(byte), 2..) if is_hex(byte, 2) => is_loose(below[below.len() - 2]),
            _ => false,
        },
        _ => false,
    }
}

/// `refs`, `refs.lock`, `refs_opaquelocktoken…`.
fn begins(file: &str, name: &str) -> bool {
    file.get(..name.len()).is_some_and(|start| is(start, name))
        && file[name.len()..].bytes().next().is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'-')
}

/// The rest of an object's name after its first byte, in SHA-1 or SHA-256, and what may follow it.
fn is_loose(file: &str) -> bool {
    file.bytes().take_while(u8::is_ascii_hexdigit).count() >= 38
}

fn is_hex(segment: &str, digits: usize) -> bool {
    segment.len() == digits && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `app.git`, `.git`, in any case.
fn is_repository(segment: &str) -> bool {
    let suffix = segment.len().checked_sub(4).and_then(|at| segment.get(at..));
    suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(".git"))
}
