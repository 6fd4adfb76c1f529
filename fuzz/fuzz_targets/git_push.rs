//! The matcher reads anything, and a plain push stays one however it is encoded over.
//! The first byte chooses the method and which bytes are escaped; the rest is `path?query` and, after a newline,
//! the content type or the body of an LFS batch.
#![no_main]

use bottle::policy::{GitOperation, Method};
use libfuzzer_sys::fuzz_target;

/// One more layer of encoding: decoded once, it is the text again.
fn encode(text: &[u8], mask: u8) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'%' || (mask & (1 << (at % 8)) != 0 && *byte != b'/') {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let (line, tail) = match rest.iter().position(|b| *b == b'\n') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let (path, query) = match line.iter().position(|b| *b == b'?') {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    };
    let method = [Method::GET, Method::HEAD, Method::POST, Method::PUT][usize::from(choice & 3)].clone();
    let _ = GitOperation::lfs_operation(path, tail.unwrap_or_default());
    let _ = GitOperation::is_lfs_batch(path);
    if GitOperation::read(&method, path, query, tail).is_push() {
        // One more layer of encoding, and noise that servers drop, must not hide it.
        let path = [b"/", &encode(path, *choice)[..]].concat();
        let query = query.map(|q| [b"a=b&", &encode(q, *choice)[..]].concat());
        assert!(GitOperation::read(&method, &path, query.as_deref(), tail).is_push());
    }
    let prefix: Vec<u8> = path.iter().copied().filter(|b| !matches!(b, b'?' | b'#')).collect();
    let push = [&b"/"[..], &prefix, b"/", &encode(b"git-receive-pack", *choice)].concat();
    assert!(GitOperation::read(&method, &push, query, None).is_push() || prefix.contains(&b'%'));
});
