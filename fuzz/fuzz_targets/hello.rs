//! A ClientHello is read alike however it is split, no byte of it is lost, and another reader of the same bytes finds the
//! same server name. The first byte chooses the split.
#![no_main]

use bottle::{intercept::hello, policy::Host};
use libfuzzer_sys::fuzz_target;

/// Takes the first bytes, as many as a big-endian number of `width` bytes says.
fn vector<'a>(bytes: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (taken, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// The host names that the first handshake message asks for (RFC 8446 §4.1.2, RFC 6066 §3); `None` where it is no
/// ClientHello. Nobody knows how long a name of another type is.
fn server_names(mut records: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut message = Vec::new();
    while let [0x16, _, _, rest @ ..] = records {
        records = rest;
        let Some(fragment) = vector(&mut records, 2) else { break };
        message.extend_from_slice(fragment);
    }
    let mut message = message.strip_prefix(&[1])?;
    let mut hello = vector(&mut message, 3)?.get(34..)?;
    for width in [1, 2, 1] {
        vector(&mut hello, width)?;
    }
    let mut extensions = if hello.is_empty() { hello } else { vector(&mut hello, 2)? };
    let mut names = Vec::new();
    while let [high, low, rest @ ..] = extensions {
        extensions = rest;
        let mut content = vector(&mut extensions, 2)?;
        if (high, low) == (&0, &0) {
            let mut list = vector(&mut content, 2)?;
            while let [0, rest @ ..] = list {
                list = rest;
                names.push(vector(&mut list, 2)?.to_ascii_lowercase());
            }
        }
    }
    Some(names)
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let whole = hello(bytes, usize::MAX);
    let split = hello(bytes, usize::from(*choice) + 1);
    assert_eq!(whole.as_ref().map(|(name, _)| name), split.as_ref().map(|(name, _)| name));
    let (Ok((name, read)), Ok((_, part))) = (whole, split) else { return };
    assert!(bytes.starts_with(&read) && bytes.starts_with(&part));
    let names = server_names(&part).expect("no other reader takes it for a ClientHello");
    match name {
        Some(name) => {
            assert_eq!(names.len(), 1, "several names");
            assert_eq!(names[0].strip_suffix(b".").unwrap_or(&names[0]), name.as_bytes());
        }
        None => {
            let host = |name: &Vec<u8>| std::str::from_utf8(name).is_ok_and(|name| Host::parse(name).is_ok());
            assert!(!names.iter().any(host), "{names:?}");
        }
    }
});
