//! The reader of packs never panics, and the same bytes in front of an object that carries a credential never pass.
//! The input is what stands between the head of a pack and its hash; its first byte is how many objects it says to hold.
#![no_main]

use bottle::dlp::{OwnSecrets, Scanner, Settings};
use bottle::git_gate::pack::{Limits, Scanners, inspect};
use libfuzzer_sys::fuzz_target;
use sha1_checked::{Digest as _, Sha1};
use std::io::Write as _;
use std::sync::LazyLock;

const OWN: &[u8] = b"correct-horse-battery-staple";

static SCANNERS: LazyLock<Scanners> = LazyLock::new(|| Scanners {
    dlp: Scanner::new(Settings::default()).unwrap(),
    own: OwnSecrets::new([("OWN", OWN)]),
    allow_comments: true,
    effort: std::sync::Arc::default(),
    rules: None,
});

fn passes(count: u32, objects: &[u8]) -> bool {
    let mut pack = [b"PACK\0\0\0\x02", &count.to_be_bytes()[..], objects].concat();
    let hash = Sha1::digest(&pack);
    pack.extend_from_slice(&hash);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&pack).unwrap();
    let limits = Limits { inflated: 1 << 20, object: 1 << 20, resident: 1 << 16, ..Limits::default() };
    let result = inspect(&file, &[], &[], false, &limits, &*SCANNERS);
    if let Ok(inspected) = &result {
        assert_eq!(inspected.objects, count);
    }
    result.is_ok()
}

fuzz_target!(|data: &[u8]| {
    let Some((count, objects)) = data.split_first() else { return };
    let count = u32::from(*count);
    passes(count, objects);
    // A blob whose deflate stream is stored as it is.
    let length = u8::try_from(OWN.len()).unwrap();
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in OWN {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let head = [0x30 | 0x80 | length & 0x0f, length >> 4, 0x78, 0x01, 1, length, 0, !length, 0xff];
    let planted = [objects, &head, OWN, &(b << 16 | a).to_be_bytes()].concat();
    assert!(!passes(count + 1, &planted));
});
