//! A chunked body that passes ends where the grammar says and holds what it says, however it is split; the request behind
//! it is read as such. The first byte chooses the split.
#![no_main]

use bottle::intercept::serve;
use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// The line up to its CRLF, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// The data of a chunked body and what follows the body, read by the grammar of RFC 9112 §7.1 and nothing else.
fn by_grammar(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut data = Vec::new();
    loop {
        let (size, rest) = line(bytes)?;
        let digits = size.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes = rest;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(..size)?);
        bytes = bytes[size..].strip_prefix(b"\r\n")?;
    }
    loop {
        let (field, rest) = line(bytes)?;
        bytes = rest;
        if field.is_empty() {
            return Some((data, bytes));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let bytes = [HEAD, body, NEXT].concat();
    let read = serve(&bytes, usize::MAX);
    assert_eq!(serve(&bytes, usize::from(*choice) + 1), read);
    let Some(passed) = &read[0].2 else { return };
    let (data, after) = by_grammar(&bytes[HEAD.len()..]).expect("the grammar has no such body");
    assert_eq!(passed, &data);
    if after == NEXT {
        assert_eq!(read.len(), 2, "{read:?}");
        assert_eq!(read[1].0, "GET /next");
    }
});
