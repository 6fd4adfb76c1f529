//! Looks through `Content-Encoding`: decodes on the fly what is forwarded as it was, within a bound on its growth.

use super::block::Block;
use http::{HeaderMap, header};
use std::io::{self, Write};

/// A body may grow this many times over before it counts as a bomb …
const MOST_EXPANSION: u64 = 100;
/// … once it is this large. A small body may be all zeros.
const FREE: u64 = 16 << 20;
/// How much is decoded at once.
const PIECE: usize = 4096;
/// What one of them may grow to: a few bytes of brotli or zstd can stand for a block of many megabytes.
const MOST_AT_ONCE: usize = 32 << 20;
/// zstd's window may take 2 to this power bytes of memory.
const ZSTD_WINDOW: u32 = 23;

/// The decoder for one body.
pub(super) struct Decoder {
    inner: Inner,
    name: &'static str,
    encoded: u64,
    decoded: u64,
}

enum Inner {
    Gzip(flate2::write::MultiGzDecoder<Out>),
    Deflate(flate2::write::ZlibDecoder<Out>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Out>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Out>>),
}

impl Decoder {
    /// What the fields ask for; `None` for a body that stands as it is.
    pub(super) fn of(fields: &HeaderMap) -> Result<Option<Self>, Block> {
        let values = fields.get_all(header::CONTENT_ENCODING).iter();
        let text = values.map(|v| String::from_utf8_lossy(v.as_bytes())).collect::<Vec<_>>().join(",");
        let codings = text.split(',').map(|c| c.trim().to_ascii_lowercase());
        let mut codings = codings.filter(|c| !c.is_empty() && c != "identity");
        let Some(coding) = codings.next() else { return Ok(None) };
        if codings.next().is_some() {
            return Err(Block::Encoding(printable(&text)));
        }
        let (name, inner) = match coding.as_str() {
            "gzip" | "x-gzip" => ("gzip", Inner::Gzip(flate2::write::MultiGzDecoder::new(Out::default()))),
            "deflate" => ("deflate", Inner::Deflate(flate2::write::ZlibDecoder::new(Out::default()))),
            "br" => {
                let writer = brotli_decompressor::DecompressorWriter::new(Out::default(), PIECE);
                ("br", Inner::Brotli(Box::new(writer)))
            }
            "zstd" => {
                let decoder = zstd::stream::write::Decoder::new(Out::default()).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW)?;
                    Ok(decoder)
                });
                ("zstd", Inner::Zstd(Box::new(decoder.map_err(|_| Block::Malformed("zstd"))?)))
            }
            _ => return Err(Block::Encoding(printable(&text))),
        };
        Ok(Some(Self { inner, name, encoded: 0, decoded: 0 }))
    }

    /// Decodes the next bytes; `sink` gets what comes of them.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), Block>,
    ) -> Result<(), Block> {
        for piece in bytes.chunks(PIECE) {
            let written = self.inner.write(piece);
            self.check(&written)?;
            self.encoded += piece.len() as u64;
            self.drain(&mut sink)?;
        }
        Ok(())
    }

    /// The body is over.
    pub(super) fn finish(&mut self, mut sink: impl FnMut(&[u8]) -> Result<(), Block>) -> Result<(), Block> {
        if self.encoded > 0 {
            let finished = self.inner.finish();
            self.check(&finished)?;
        }
        self.drain(&mut sink)
    }

    fn check(&mut self, outcome: &io::Result<()>) -> Result<(), Block> {
        match outcome {
            Ok(()) => Ok(()),
            Err(_) if self.inner.output().full => Err(Block::Expansion(MOST_EXPANSION)),
            Err(_) => Err(Block::Malformed(self.name)),
        }
    }

    fn drain(&mut self, sink: &mut impl FnMut(&[u8]) -> Result<(), Block>) -> Result<(), Block> {
        let out = &mut self.inner.output().bytes;
        self.decoded += out.len() as u64;
        if self.decoded > FREE && self.decoded / MOST_EXPANSION > self.encoded {
            return Err(Block::Expansion(MOST_EXPANSION));
        }
        sink(out)?;
        out.clear();
        Ok(())
    }
}

/// Where decoders write to.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MOST_AT_ONCE {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    /// What can't be taken in, after the end of the encoded data, is an error: it would go on without a look.
    fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            let taken = match self {
                Inner::Gzip(decoder) => decoder.write(piece)?,
                Inner::Deflate(decoder) => decoder.write(piece)?,
                Inner::Brotli(decoder) => decoder.write(piece)?,
                Inner::Zstd(decoder) => decoder.write(piece)?,
            };
            if taken == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            piece = &piece[taken..];
        }
        match self {
            Inner::Gzip(decoder) => decoder.flush(),
            Inner::Deflate(decoder) => decoder.flush(),
            Inner::Brotli(decoder) => decoder.flush(),
            Inner::Zstd(decoder) => decoder.flush(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Inner::Gzip(decoder) => decoder.try_finish(),
            Inner::Deflate(decoder) => decoder.try_finish(),
            Inner::Brotli(decoder) => decoder.close(),
            Inner::Zstd(decoder) => decoder.flush(),
        }
    }

    fn output(&mut self) -> &mut Out {
        match self {
            Inner::Gzip(decoder) => decoder.get_mut(),
            Inner::Deflate(decoder) => decoder.get_mut(),
            Inner::Brotli(decoder) => decoder.get_mut(),
            Inner::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coding: &str, body: &[u8], split: usize) -> Result<Vec<u8>, Block> {
        let mut fields = HeaderMap::new();
        fields.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        let mut decoder = Decoder::of(&fields)?.unwrap();
        let mut all = Vec::new();
        for piece in body.chunks(split) {
            decoder.push(piece, |out| {
                all.extend_from_slice(out);
                Ok(())
            })?;
        }
        decoder.finish(|out| {
            all.extend_from_slice(out);
            Ok(())
        })?;
        Ok(all)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_coding_is_looked_through_at_any_split() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        // The brotli form of "hello world" and a newline, from the reference encoder at quality 11.
        let brotli =
            [0x8b, 0x05, 0x80, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x77, 0x6f, 0x72, 0x6c, 0x64, 0x0a, 0x03];
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        for split in [1, 7, 5000, usize::MAX] {
            assert!(decoded("gzip", &gzip(&text), split).unwrap() == text);
            assert!(decoded("deflate", &zlib(&text), split).unwrap() == text);
            assert!(decoded("zstd", &zstd, split).unwrap() == text);
            let two = [gzip(b"one "), gzip(b"two")].concat();
            assert_eq!(decoded("x-gzip", &two, split).unwrap(), b"one two");
            assert_eq!(decoded("br", &brotli, split).unwrap(), b"hello world\n");
        }
    }

    #[test]
    fn what_cannot_be_looked_through_is_refused() {
        for coding in ["compress", "gzip, br", "aws-chunked"] {
            assert_eq!(decoded(coding, b"", 1), Err(Block::Encoding(coding.to_owned())));
        }
        assert_eq!(decoded("gzip", b"no gzip at all, but long enough", 9), Err(Block::Malformed("gzip")));
        assert_eq!(decoded("zstd", b"no zstd at all, but long enough", 9), Err(Block::Malformed("zstd")));
        let hidden = [zlib(b"text"), b"hidden behind".to_vec()].concat();
        assert_eq!(decoded("deflate", &hidden, 9), Err(Block::Malformed("deflate")));
        let hidden = [gzip(b"text"), b"hidden behind it".to_vec()].concat();
        assert_eq!(decoded("gzip", &hidden, 9), Err(Block::Malformed("gzip")));
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert_eq!(decoded("gzip", &bomb, 16 << 10), Err(Block::Expansion(100)));
        // The smallest block that says "this byte, 128 KiB of it", again and again.
        let zeros = zstd::encode_all(&vec![0; 64 << 20][..], 19).unwrap();
        assert!(zeros.len() < 64 << 10);
        assert_eq!(decoded("zstd", &zeros, 16 << 10), Err(Block::Expansion(100)));
        assert!(decoded("gzip", &gzip(&vec![0; 1 << 20]), 16 << 10).is_ok());
    }
}
