//! The first line of every rendered file: a checksum over all that follows, so that a hand edit is seen.
//!
//! It is a comment, or in JSON, which has none, the first member of the object.
//!
//! It guards against accidents, not against an adversary: whoever edits a file can also compute the line.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

const NOTE: &str = "; made by bottle render, edit the manifest instead";

/// What stands around digest and note in the first line.
struct Line {
    mark: &'static str,
    end: &'static str,
}

const COMMENT: Line = Line { mark: "# bottle:sha256:", end: "" };
const MEMBER: Line = Line { mark: "{\"//\": \"bottle:sha256:", end: "\"," };
const LINES: [Line; 2] = [COMMENT, MEMBER];

impl Line {
    fn seal(&self, body: &str) -> String {
        format!("{}{}\n{body}", self.mark, self.after_mark(body.as_bytes()))
    }

    fn after_mark(&self, body: &[u8]) -> String {
        format!("{}{NOTE}{}", hex_digest(body), self.end)
    }
}

/// What a file on disk is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Ours, as written.
    Intact,
    /// Ours, and changed by somebody since.
    Edited,
    /// Ours, left by git in the middle of a merge: rendering again is the way to resolve it.
    Conflicted,
    /// Not ours.
    Foreign,
}

/// `body` with its checksum line in front.
#[must_use]
pub fn seal(body: &str) -> String {
    COMMENT.seal(body)
}

/// The JSON object that `members` (its members and its closing brace) makes, with the checksum line in front.
/// `sha256sum` of what follows the first line gives the digest, as in other files.
#[must_use]
pub fn seal_json(members: &str) -> String {
    MEMBER.seal(members)
}

/// What `text` is.
#[must_use]
pub fn verify(text: &[u8]) -> Sealed {
    if is_conflicted(text) {
        return Sealed::Conflicted;
    }
    let Some((line, rest)) =
        LINES.iter().find_map(|line| Some((line, text.strip_prefix(line.mark.as_bytes())?)))
    else {
        return Sealed::Foreign;
    };
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let body = rest.get(end + 1..).unwrap_or_default();
    if rest[..end] == *line.after_mark(body).as_bytes() { Sealed::Intact } else { Sealed::Edited }
}

/// What follows the checksum line; everything, where there is none.
#[must_use]
pub fn body(text: &[u8]) -> &[u8] {
    let is_ours = LINES.iter().any(|line| text.starts_with(line.mark.as_bytes()));
    let end = text.iter().position(|&byte| byte == b'\n').filter(|_| is_ours);
    end.map_or(text, |end| &text[end + 1..])
}

/// The SHA-256 of `bytes` in hexadecimal: also the config hash of labels and audit records.
#[must_use]
pub fn hex_digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Whether git left both sides of one of our files in it.
fn is_conflicted(text: &[u8]) -> bool {
    let mut ours = false;
    let mut markers = 0;
    for line in text.split(|&byte| byte == b'\n') {
        ours |= LINES.iter().any(|known| line.starts_with(known.mark.as_bytes()));
        markers += usize::from(match markers {
            0 => line.starts_with(b"<<<<<<< "),
            1 => line == b"=======",
            _ => line.starts_with(b">>>>>>> "),
        });
    }
    ours && markers >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_intact_until_a_byte_changes() {
        for (sealed, mark) in
            [(seal("a: 1\nb: 2\n"), COMMENT.mark), (seal_json("  \"a\": 1\n}\n"), MEMBER.mark)]
        {
            assert_eq!(verify(sealed.as_bytes()), Sealed::Intact);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone().into_bytes();
                changed[at] ^= 1;
                let expected = if at < mark.len() { Sealed::Foreign } else { Sealed::Edited };
                assert_eq!(verify(&changed), expected, "byte {at} of {sealed}");
            }
            assert_eq!(verify(format!("{sealed}c: 3\n").as_bytes()), Sealed::Edited);
            assert_eq!(verify(sealed.replace('\n', "\r\n").as_bytes()), Sealed::Edited);
        }
    }

    #[test]
    fn sealed_json_is_json_whose_first_member_is_the_checksum() {
        let sealed = seal_json("  \"a\": 1\n}\n");
        let read: serde_json::Value = serde_json::from_str(&sealed).unwrap();
        let digest = hex_digest(b"  \"a\": 1\n}\n");
        let note = format!("bottle:sha256:{digest}; made by bottle render, edit the manifest instead");
        assert_eq!(read, serde_json::json!({"//": note, "a": 1}));
    }

    #[test]
    fn the_line_names_the_digest_that_sha256sum_prints() {
        let first = "# bottle:sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855; \
                     made by bottle render, edit the manifest instead\n";
        assert_eq!(seal(""), first);
    }

    #[test]
    fn a_file_of_somebody_else_is_foreign() {
        for text in
            ["", "\n", "services: {}\n", " # bottle:sha256:00\n", "{}\n", "<<<<<<< a\n=======\n>>>>>>> b\n"]
        {
            assert_eq!(verify(text.as_bytes()), Sealed::Foreign, "{text:?}");
        }
    }

    #[test]
    fn a_merge_in_progress_is_ours() {
        for seal in [seal, seal_json] {
            let text =
                format!("<<<<<<< HEAD\n{}=======\n{}>>>>>>> topic\n", seal("a: 1\n}\n"), seal("a: 2\n}\n"));
            assert_eq!(verify(text.as_bytes()), Sealed::Conflicted);
        }
    }
}
