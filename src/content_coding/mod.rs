//! `Content-Encoding` (RFC 9110 §8.4): what a body is encoded with, and decoding it on the fly within bounds.

mod aws_chunked;
mod decode;
mod decoder_memory;

pub use decode::{DecodeError, DecodedReader, Decoder};

use http::{HeaderMap, header};

/// What a body is encoded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, as RFC 9110 §8.4.1.2 has it.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// What SDKs of AWS put around an upload to S3; no coding of the registry's.
    AwsChunked,
}

/// The fields ask for a coding that is not known here, or for several; they say this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content coding {0:?} can't be decoded")]
pub struct Unsupported(pub String);

impl Coding {
    /// What the fields ask for; `None` for a body that stands as it is. gzip inside of `aws-chunked` is what the upload is, and no
    /// coding of the request: the scanner knows gzip where it meets it.
    pub fn from_fields(fields: &HeaderMap) -> Result<Option<Self>, Unsupported> {
        let values = fields.get_all(header::CONTENT_ENCODING).iter();
        let text = values.map(|v| String::from_utf8_lossy(v.as_bytes())).collect::<Vec<_>>().join(",");
        let codings = text.split(',').map(|c| c.trim().to_ascii_lowercase());
        let codings: Vec<_> = codings.filter(|c| !c.is_empty() && c != "identity").collect();
        let codings: Vec<_> = codings.iter().map(String::as_str).collect();
        Ok(Some(match codings[..] {
            [] => return Ok(None),
            ["gzip" | "x-gzip"] => Coding::Gzip,
            ["deflate"] => Coding::Deflate,
            ["br"] => Coding::Brotli,
            ["zstd"] => Coding::Zstd,
            ["aws-chunked"] | ["aws-chunked", "gzip"] | ["gzip", "aws-chunked"] => Coding::AwsChunked,
            _ => return Err(Unsupported(text)),
        }))
    }

    /// Bytes of memory that decoding one body takes at most.
    #[must_use]
    pub const fn most_memory(self) -> usize {
        decoder_memory::most(self)
    }

    /// Whether a list of codings names one that is known here.
    #[must_use]
    pub fn is_in(list: &str) -> bool {
        let known = ["gzip", "x-gzip", "deflate", "br", "zstd"];
        list.split(',').any(|coding| known.iter().any(|own| coding.trim().eq_ignore_ascii_case(own)))
    }

    /// Its name in the registry of content codings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::AwsChunked => "aws-chunked",
        }
    }
}
