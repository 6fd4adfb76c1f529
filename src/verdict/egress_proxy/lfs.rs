//! The one request whose body says what it is: an LFS batch is a download or an upload by its `operation`.

use crate::policy::{GitOperation, Reason, Refusal};
use http::{HeaderMap, header};
use std::{borrow::Cow, io::Read as _};

/// Bytes of the largest batch that is read, also without its content coding; git-lfs asks for 100 objects at a time,
/// some 20 KiB.
pub const LFS_BODY: u64 = 1024 * 1024;

/// What the body of an LFS batch asks for. A content coding that is not understood would hide it.
pub fn lfs_operation(headers: &HeaderMap, body: &[u8]) -> Result<GitOperation, Refusal> {
    GitOperation::lfs_operation(&decoded(headers, body)?).map_err(|error| malformed(&error.to_string()))
}

fn decoded<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Refusal> {
    let codings: Vec<&[u8]> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .collect();
    match codings.as_slice() {
        [] => Ok(body.into()),
        [one] if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") => {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(body)
                .take(LFS_BODY + 1)
                .read_to_end(&mut plain)
                .map_err(|_| malformed("the body of the LFS batch request is not valid gzip"))?;
            if plain.len() as u64 > LFS_BODY {
                return Err(body_too_large(LFS_BODY));
            }
            Ok(plain.into())
        }
        _ => Err(malformed("an LFS batch request is understood plain or in gzip only")),
    }
}

/// The body is larger than `limit` bytes.
#[must_use]
pub fn body_too_large(limit: u64) -> Refusal {
    let message = format!(
        "the request's body is larger than {limit} bytes, which is the limit; retrying does not help"
    );
    Refusal::new(Reason::BodyTooLarge, message)
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::MalformedRequest, format!("{what}; retrying does not help"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::io::Write as _;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn read(coding: &'static str, sent: &[u8]) -> Result<GitOperation, (Reason, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        lfs_operation(&headers, sent).map_err(|refusal| (refusal.reason, refusal.message))
    }

    #[test]
    fn an_upload_does_not_hide_in_a_content_coding() {
        let upload = gzip(br#"{"operation":"upload"}"#);
        for coding in ["gzip", "GZIP", "x-gzip", "identity, gzip"] {
            assert_eq!(read(coding, &upload), Ok(GitOperation::LfsUpload));
        }
        for coding in ["br", "gzip, gzip", "deflate"] {
            let (reason, message) = read(coding, &upload).unwrap_err();
            assert_eq!(reason, Reason::MalformedRequest);
            assert!(
                message.starts_with("an LFS batch request is understood plain or in gzip only"),
                "{message}"
            );
        }
        assert_eq!(read("gzip", b"no gzip").unwrap_err().0, Reason::MalformedRequest);
    }

    #[test]
    fn what_unfolds_to_more_than_the_limit_is_refused() {
        let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        assert_eq!(read("gzip", &bomb).unwrap_err().0, Reason::BodyTooLarge);
    }
}
