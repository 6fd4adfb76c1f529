//! How much memory an encoded body will make its decoder take, read from its headers before the decoder sees them.

use super::{Coding, aws_chunked};

/// zstd's window may be no larger (RFC 8878 §3.1.1.1.2 recommends that decoders support 8 MiB).
pub(super) const ZSTD_LOG: u32 = 23;
/// Beside the window: blocks that come in and go out, tables, and the writer's buffer.
const ZSTD_BESIDE: usize = 640 << 10;
/// Beside the window: up to 256 prefix codes each for literals, commands and distances (RFC 7932 §7).
const BROTLI_BESIDE: usize = 4 << 20;
/// The largest window that is not one of its extensions (RFC 7932 §9.1).
const BROTLI_WINDOW: usize = 16 << 20;
/// Before its first byte.
const BROTLI_EMPTY: usize = 64 << 10;
/// The window of 32 KiB (RFC 1951 §2), tables, and the writer's buffer.
const DEFLATE: usize = 160 << 10;

/// What a decoder takes at most, before anything is known of a body.
pub(super) const fn most(coding: Coding) -> usize {
    match coding {
        Coding::Gzip | Coding::Deflate => DEFLATE,
        Coding::Brotli => BROTLI_WINDOW + BROTLI_BESIDE,
        Coding::Zstd => (1 << ZSTD_LOG) + ZSTD_BESIDE,
        Coding::AwsChunked => aws_chunked::MEMORY,
    }
}

/// What is known of a body's decoder so far.
pub(super) enum MemoryForecast {
    /// gzip and zlib.
    Deflate,
    /// brotli: its first byte.
    Brotli(Option<u8>),
    /// zstd.
    Zstd(Frames),
    /// aws-chunked.
    AwsChunked,
}

/// What is no sound encoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsound;

impl MemoryForecast {
    /// Takes note of encoded bytes that the decoder will get next.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Unsound> {
        match self {
            MemoryForecast::Deflate | MemoryForecast::AwsChunked => Ok(()),
            MemoryForecast::Brotli(first) => {
                *first = first.or(bytes.first().copied());
                // "Large window brotli", which is no part of `br`: windows up to 1 GiB.
                if first.is_some_and(|byte| byte & 0x7f == 0x11) { Err(Unsound) } else { Ok(()) }
            }
            MemoryForecast::Zstd(frames) => frames.read(bytes),
        }
    }

    /// What the decoder takes at most.
    pub(super) fn memory(&self) -> usize {
        match self {
            MemoryForecast::Deflate => DEFLATE,
            MemoryForecast::AwsChunked => aws_chunked::MEMORY,
            MemoryForecast::Brotli(None) => BROTLI_EMPTY,
            MemoryForecast::Brotli(Some(first)) => (1 << brotli_log(*first)) + BROTLI_BESIDE,
            MemoryForecast::Zstd(frames) => ZSTD_BESIDE + frames.largest,
        }
    }
}

/// WBITS (RFC 7932 §9.1).
fn brotli_log(first: u8) -> u32 {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        (_, 0, high) => 8 + u32::from(high),
        (_, low, _) => 17 + u32::from(low),
    }
}

/// Walks through zstd frames without decoding them (RFC 8878 §3.1).
pub(super) struct Frames {
    at: At,
    /// What is missing of a header.
    header: Vec<u8>,
    largest: usize,
}

enum At {
    Magic,
    FrameHeader,
    SkippableSize,
    BlockHeader {
        checksum: bool,
    },
    /// So many bytes that mean nothing here, and what comes after them.
    Skip {
        left: usize,
        last: bool,
        checksum: bool,
    },
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { at: At::Magic, header: Vec::new(), largest: 0 }
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Unsound> {
        loop {
            if let At::Skip { left, last, checksum } = &mut self.at {
                let now = bytes.len().min(*left);
                bytes = &bytes[now..];
                *left -= now;
                if *left > 0 {
                    return Ok(());
                }
                self.at = match (*last, *checksum) {
                    (false, checksum) => At::BlockHeader { checksum },
                    (true, true) => At::Skip { left: 4, last: true, checksum: false },
                    (true, false) => At::Magic,
                };
                continue;
            }
            let Some((&first, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.header.push(first);
            if let Some(next) = self.next()? {
                (self.at, self.header) = (next, Vec::new());
            }
        }
    }

    /// What comes after the header that is complete now.
    fn next(&mut self) -> Result<Option<At>, Unsound> {
        let header = self.header.as_slice();
        Ok(match (&self.at, header) {
            (At::Magic, [0x28, 0xb5, 0x2f, 0xfd]) => Some(At::FrameHeader),
            (At::Magic, [low, 0x2a, 0x4d, 0x18]) if low >> 4 == 5 => Some(At::SkippableSize),
            (At::Magic, [_, _, _, _]) => return Err(Unsound),
            (At::SkippableSize, &[a, b, c, d]) => {
                let left = u32::from_le_bytes([a, b, c, d]) as usize;
                Some(At::Skip { left, last: true, checksum: false })
            }
            (At::FrameHeader, &[descriptor, ..]) => {
                let single = descriptor & 0x20 != 0;
                let size = match (descriptor >> 6, single) {
                    (0, single) => usize::from(single),
                    (flag, _) => 1 << flag,
                };
                let id = [0, 1, 2, 4][usize::from(descriptor & 3)];
                if header.len() < 1 + usize::from(!single) + id + size {
                    return Ok(None);
                }
                let window = if single { content_size(&header[1 + id..]) } else { window(header[1]) };
                if window > 1 << ZSTD_LOG {
                    return Err(Unsound);
                }
                self.largest = self.largest.max(usize::try_from(window).map_err(|_| Unsound)?);
                Some(At::BlockHeader { checksum: descriptor & 4 != 0 })
            }
            (At::BlockHeader { checksum }, &[a, b, c]) => {
                let value = u32::from_le_bytes([a, b, c, 0]);
                let left = match value >> 1 & 3 {
                    1 => 1,
                    3 => return Err(Unsound),
                    _ => (value >> 3) as usize,
                };
                Some(At::Skip { left, last: value & 1 == 1, checksum: *checksum })
            }
            _ => None,
        })
    }
}

fn window(descriptor: u8) -> u64 {
    let base = 1_u64 << (10 + (descriptor >> 3));
    base + (base / 8) * u64::from(descriptor & 7)
}

fn content_size(field: &[u8]) -> u64 {
    let little_endian = field.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if field.len() == 2 { little_endian + 256 } else { little_endian }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn zstd(text: &[u8], log: u32, sized: bool) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(log).unwrap();
        encoder.include_checksum(log.is_multiple_of(2)).unwrap();
        if sized {
            encoder.set_pledged_src_size(Some(text.len() as u64)).unwrap();
        }
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn largest(bytes: &[u8], split: usize) -> Result<usize, Unsound> {
        let mut frames = Frames::new();
        for piece in bytes.chunks(split) {
            frames.read(piece)?;
        }
        Ok(frames.largest)
    }

    #[test]
    fn the_largest_window_of_several_frames_is_found_at_any_split() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let skippable = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let body =
            [zstd(&text, 17, false), skippable.to_vec(), zstd(&text, 20, false), zstd(b"end", 12, true)]
                .concat();
        for split in [1, 3, 4096, usize::MAX] {
            assert_eq!(largest(&body, split), Ok(1 << 20), "{split}");
        }
        // One segment: the window is the content.
        assert_eq!(largest(&zstd(&text[..300], 20, true), 1), Ok(300));
        assert_eq!(largest(&zstd(&text, 23, true), 7), Ok(800_000));
        assert_eq!(largest(&zstd(&text, 23, false), 7), Ok(8 << 20));
    }

    #[test]
    fn what_the_decoder_refuses_is_refused() {
        assert_eq!(largest(b"no zstd at all", 5), Err(Unsound));
        // A window of 16 MiB, and a block of the reserved type.
        assert_eq!(largest(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x70], 9), Err(Unsound));
        assert_eq!(largest(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x68, 6, 0, 0], 9), Err(Unsound));
    }

    #[test]
    fn brotlis_first_byte_says_the_window() {
        let memory = |first| {
            let mut forecast = MemoryForecast::Brotli(None);
            forecast.read(&[first, 1]).map(|()| forecast.memory() - BROTLI_BESIDE)
        };
        assert_eq!(memory(0x8b), Ok(1 << 22), "the reference encoder's default");
        assert_eq!(memory(0x00), Ok(1 << 16));
        assert_eq!(memory(0x01), Ok(1 << 17));
        assert_eq!(memory(0x21), Ok(1 << 10));
        assert_eq!(memory(0x0f), Ok(1 << 24));
        assert_eq!(memory(0x11), Err(Unsound), "large window");
        assert_eq!(MemoryForecast::Brotli(None).memory(), BROTLI_EMPTY, "nothing was read");
    }
}
