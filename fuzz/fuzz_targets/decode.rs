//! An encoded body takes no more memory than was foreseen, grows within its bound, and decodes alike however it is split.
//! The first byte chooses the coding and the split.
#![no_main]

use bottle::content_coding::{Coding, DecodedReader, Decoder};
use libfuzzer_sys::fuzz_target;

/// Keeps the beginning, and counts the rest.
#[derive(Default)]
struct Kept {
    text: Vec<u8>,
    length: usize,
    largest: usize,
}

impl DecodedReader for Kept {
    type Stop = ();

    fn read(&mut self, text: &[u8]) -> Result<(), ()> {
        let room = 4096_usize.saturating_sub(self.text.len());
        self.text.extend_from_slice(&text[..text.len().min(room)]);
        self.length += text.len();
        self.largest = self.largest.max(text.len());
        Ok(())
    }
}

/// The text, its length, and whether it came to its end.
fn decode(coding: Coding, bytes: &[u8], piece: usize) -> (Vec<u8>, usize, bool) {
    let mut decoder = Decoder::new(coding, Kept::default()).unwrap();
    let mut sound = true;
    for piece in bytes.chunks(piece) {
        sound = sound && decoder.foresee(piece).is_ok() && decoder.push(piece).is_ok();
        assert!(decoder.memory() <= 64 << 20);
    }
    sound = sound && decoder.finish().is_ok();
    let kept = std::mem::take(decoder.reader());
    assert!(kept.largest <= 128 << 10, "a piece of {} bytes", kept.largest);
    assert!(kept.length <= (16 << 20) + 101 * bytes.len() + (128 << 10), "{} bytes", kept.length);
    (kept.text, kept.length, sound)
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let codings = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd, Coding::AwsChunked];
    let coding = codings[usize::from(choice % 5)];
    let (whole, split) =
        (decode(coding, bytes, usize::MAX), decode(coding, bytes, usize::from(choice / 5) + 1));
    assert_eq!(whole.2, split.2, "one is sound and the other is not");
    if whole.2 {
        assert_eq!(whole, split);
    }
});
