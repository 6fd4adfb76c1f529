//! What the body of a request is encoded with: only what can be looked through is let through.

use super::block::{Block, printable};
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
}

impl Coding {
    /// What the fields ask for; `None` for a body that stands as it is.
    pub fn of(fields: &HeaderMap) -> Result<Option<Self>, Block> {
        let values = fields.get_all(header::CONTENT_ENCODING).iter();
        let text = values.map(|v| String::from_utf8_lossy(v.as_bytes())).collect::<Vec<_>>().join(",");
        let codings = text.split(',').map(|c| c.trim().to_ascii_lowercase());
        let mut codings = codings.filter(|c| !c.is_empty() && c != "identity");
        let Some(coding) = codings.next() else { return Ok(None) };
        if codings.next().is_some() {
            return Err(Block::Encoding(printable(&text)));
        }
        Ok(Some(match coding.as_str() {
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            "br" => Coding::Brotli,
            "zstd" => Coding::Zstd,
            _ => return Err(Block::Encoding(printable(&text))),
        }))
    }
}
