//! Decodes on the fly, within a bound on the growth of a body.
//!
//! What comes out goes to the reader in the pieces in which the library has it, 32 KiB at most: a few bytes that
//! stand for many megabytes take no more memory than others.

use super::{
    Coding,
    aws_chunked::AwsChunked,
    decoder_memory::{Frames, MemoryForecast, ZSTD_LOG},
};
use std::io::{self, Write};

/// A body may grow this many times over before it counts as a bomb …
const MOST_EXPANSION: u64 = 100;
/// … once it is this large. A small body may be all zeros.
const FREE: u64 = 16 << 20;
/// How much is decoded at once.
const PIECE: usize = 4096;

/// Reads what was decoded.
pub trait DecodedReader {
    /// Why it reads no further.
    type Stop;

    /// Takes the next piece, at most 32 KiB.
    fn read(&mut self, text: &[u8]) -> Result<(), Self::Stop>;
}

/// Why a body is not decoded any further.
#[derive(Debug, PartialEq, Eq)]
pub enum DecodeError<S> {
    /// It is not what its coding says.
    Malformed(Coding),
    /// It grows more than so many times.
    Expansion(u64),
    /// The reader has had enough.
    Reader(S),
}

/// The decoder for one body, and the reader of what comes of it.
pub struct Decoder<R: DecodedReader> {
    inner: Inner<R>,
    coding: Coding,
    forecast: MemoryForecast,
}

enum Inner<R: DecodedReader> {
    Gzip(flate2::write::MultiGzDecoder<Out<R>>),
    Deflate(flate2::write::ZlibDecoder<Out<R>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Out<R>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Out<R>>>),
    AwsChunked(AwsChunked<Out<R>>),
}

impl<R: DecodedReader> Decoder<R> {
    /// A decoder that has read nothing.
    pub fn new(coding: Coding, reader: R) -> Result<Self, DecodeError<R::Stop>> {
        let out = Out { reader, encoded: 0, decoded: 0, stopped: None };
        let (forecast, inner) = match coding {
            Coding::Gzip => (MemoryForecast::Deflate, Inner::Gzip(flate2::write::MultiGzDecoder::new(out))),
            Coding::Deflate => {
                (MemoryForecast::Deflate, Inner::Deflate(flate2::write::ZlibDecoder::new(out)))
            }
            Coding::Brotli => {
                let writer = brotli_decompressor::DecompressorWriter::new(out, PIECE);
                (MemoryForecast::Brotli(None), Inner::Brotli(Box::new(writer)))
            }
            Coding::Zstd => {
                let decoder = zstd::stream::write::Decoder::new(out).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_LOG)?;
                    Ok(decoder)
                });
                let decoder = decoder.map_err(|_| DecodeError::Malformed(coding))?;
                (MemoryForecast::Zstd(Frames::new()), Inner::Zstd(Box::new(decoder)))
            }
            Coding::AwsChunked => (MemoryForecast::AwsChunked, Inner::AwsChunked(AwsChunked::new(out))),
        };
        Ok(Self { inner, coding, forecast })
    }

    /// Takes note of bytes that will be pushed next. Each is to be foreseen once.
    pub fn foresee(&mut self, bytes: &[u8]) -> Result<(), DecodeError<R::Stop>> {
        self.forecast.read(bytes).map_err(|_| DecodeError::Malformed(self.coding))
    }

    /// What decoding the bytes that were foreseen takes at most.
    pub fn memory(&self) -> usize {
        self.forecast.memory()
    }

    /// Who reads.
    pub fn reader(&mut self) -> &mut R {
        &mut self.inner.output().reader
    }

    /// Decodes the next bytes; the reader gets what comes of them.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError<R::Stop>> {
        for piece in bytes.chunks(PIECE) {
            self.inner.output().encoded += piece.len() as u64;
            let written = self.inner.write(piece);
            self.check(&written)?;
        }
        Ok(())
    }

    /// The body is over.
    pub fn finish(&mut self) -> Result<(), DecodeError<R::Stop>> {
        if self.inner.output().encoded == 0 {
            return Ok(());
        }
        let finished = self.inner.finish();
        self.check(&finished)
    }

    fn check(&mut self, outcome: &io::Result<()>) -> Result<(), DecodeError<R::Stop>> {
        match (self.inner.output().stopped.take(), outcome) {
            (Some(why), _) => Err(why),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(DecodeError::Malformed(self.coding)),
        }
    }
}

/// Where decoders write to.
struct Out<R: DecodedReader> {
    reader: R,
    encoded: u64,
    decoded: u64,
    /// Why nothing more is read.
    stopped: Option<DecodeError<R::Stop>>,
}

impl<R: DecodedReader> Write for Out<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.decoded += bytes.len() as u64;
        let read = if self.decoded > FREE && self.decoded / MOST_EXPANSION > self.encoded {
            Err(DecodeError::Expansion(MOST_EXPANSION))
        } else {
            self.reader.read(bytes).map_err(DecodeError::Reader)
        };
        read.map(|()| bytes.len()).map_err(|why| {
            self.stopped = Some(why);
            io::ErrorKind::InvalidData.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: DecodedReader> Inner<R> {
    /// What can't be taken in, after the end of the encoded data, is an error: it would go on without a look.
    fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            let taken = match self {
                Inner::Gzip(decoder) => decoder.write(piece)?,
                Inner::Deflate(decoder) => decoder.write(piece)?,
                // By the byte: where it has several at once, this library takes shortcuts that accept streams which the
                // reference decoder refuses.
                Inner::Brotli(decoder) => decoder.write(&piece[..1])?,
                Inner::Zstd(decoder) => decoder.write(piece)?,
                Inner::AwsChunked(decoder) => decoder.write(piece)?,
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
            Inner::AwsChunked(decoder) => decoder.flush(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Inner::Gzip(decoder) => decoder.try_finish(),
            Inner::Deflate(decoder) => decoder.try_finish(),
            Inner::Brotli(decoder) => decoder.close(),
            Inner::Zstd(decoder) => decoder.flush(),
            Inner::AwsChunked(decoder) => decoder.finish(),
        }
    }

    fn output(&mut self) -> &mut Out<R> {
        match self {
            Inner::Gzip(decoder) => decoder.get_mut(),
            Inner::Deflate(decoder) => decoder.get_mut(),
            Inner::Brotli(decoder) => decoder.get_mut(),
            Inner::Zstd(decoder) => decoder.get_mut(),
            Inner::AwsChunked(decoder) => decoder.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Unsupported, *};
    use http::{HeaderMap, header};

    /// Keeps what it reads, and the length of the longest piece.
    #[derive(Default)]
    struct Kept(Vec<u8>, usize);

    impl DecodedReader for Kept {
        type Stop = &'static str;

        fn read(&mut self, text: &[u8]) -> Result<(), &'static str> {
            if text.starts_with(b"stop") {
                return Err("stopped");
            }
            self.0.extend_from_slice(text);
            self.1 = self.1.max(text.len());
            Ok(())
        }
    }

    fn of(coding: &str) -> Result<Option<Coding>, Unsupported> {
        let mut fields = HeaderMap::new();
        fields.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        Coding::from_fields(&fields)
    }

    fn decoded(coding: &str, body: &[u8], split: usize) -> Result<Vec<u8>, DecodeError<&'static str>> {
        let mut decoder = Decoder::new(of(coding).unwrap().unwrap(), Kept::default())?;
        for piece in body.chunks(split) {
            decoder.foresee(piece)?;
            decoder.push(piece)?;
        }
        decoder.finish()?;
        let kept = std::mem::take(decoder.reader());
        assert!(kept.1 <= 32 << 10, "{coding}: {} bytes came out at once", kept.1);
        Ok(kept.0)
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
            for coding in ["aws-chunked", "gzip,aws-chunked", "AWS-Chunked, gzip"] {
                assert_eq!(decoded(coding, b"3\r\none\r\n0\r\n\r\n", split).unwrap(), b"one");
            }
        }
    }

    #[test]
    fn what_cannot_be_looked_through_is_refused() {
        for coding in ["compress", "gzip, br", "aws-chunked, br", "aws-chunked, aws-chunked"] {
            assert_eq!(of(coding), Err(Unsupported(coding.to_owned())));
        }
        assert_eq!(
            decoded("gzip", b"no gzip at all, but long enough", 9),
            Err(DecodeError::Malformed(Coding::Gzip))
        );
        assert_eq!(
            decoded("zstd", b"no zstd at all, but long enough", 9),
            Err(DecodeError::Malformed(Coding::Zstd))
        );
        // A stream that the reference decoder refuses at its 15th byte, and this library only in small pieces.
        let stream = [0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0x41, 0x60, 0x86, 0x20, 0x27, 0xff, 1, 0x60, 0xed];
        for split in [1, 4, 9, usize::MAX] {
            assert_eq!(decoded("br", &stream, split), Err(DecodeError::Malformed(Coding::Brotli)), "{split}");
        }
        let hidden = [zlib(b"text"), b"hidden behind".to_vec()].concat();
        assert_eq!(decoded("deflate", &hidden, 9), Err(DecodeError::Malformed(Coding::Deflate)));
        let hidden = [gzip(b"text"), b"hidden behind it".to_vec()].concat();
        assert_eq!(decoded("gzip", &hidden, 9), Err(DecodeError::Malformed(Coding::Gzip)));
    }

    #[test]
    fn a_reader_can_stop_it() {
        assert_eq!(decoded("gzip", &gzip(b"stop here"), 9), Err(DecodeError::Reader("stopped")));
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert_eq!(decoded("gzip", &bomb, 16 << 10), Err(DecodeError::Expansion(100)));
        // The smallest block that says "this byte, 128 KiB of it", again and again.
        let zeros = zstd::encode_all(&vec![0; 64 << 20][..], 19).unwrap();
        assert!(zeros.len() < 64 << 10);
        assert_eq!(decoded("zstd", &zeros, 16 << 10), Err(DecodeError::Expansion(100)));
        assert!(decoded("gzip", &gzip(&vec![0; 1 << 20]), 16 << 10).is_ok());
        // 514 bytes that stand for almost 16 MiB: free, and read in small pieces.
        let runs = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x68][..], &[2, 0, 0x10, b'a'].repeat(127)].concat();
        assert_eq!(decoded("zstd", &runs, 4096).unwrap().len(), 127 << 17);
        // Large window brotli: a decoder that takes it would take 1 GiB.
        assert_eq!(decoded("br", &[0x11, 0x3e, 0, 0], 9), Err(DecodeError::Malformed(Coding::Brotli)));
    }
}
