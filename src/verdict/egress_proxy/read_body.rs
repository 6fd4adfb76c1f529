//! Requests whose body says what they are: an LFS batch is a download or an upload by its `operation`, and GraphQL and
//! JSON-RPC ask for what stands in it.

use super::authority::content_type;
use crate::content_coding::{Coding, DecodeError, DecodedReader, Decoder};
use crate::policy::{Content, GitOperation, Intent, Reason, Refusal, Route};
use http::HeaderMap;
use std::borrow::Cow;

/// Bytes of the largest body that is read, also without its content coding; git-lfs asks for 100 objects at a time,
/// some 20 KiB.
pub const READ_BODY: u64 = 1024 * 1024;

/// What the body of an LFS batch asks for. A content coding that is not understood would hide it.
pub fn lfs_operation(path: &[u8], headers: &HeaderMap, body: &[u8]) -> Result<GitOperation, Refusal> {
    GitOperation::lfs_operation(path, &decoded(headers, body)?).map_err(|error| malformed(&error.to_string()))
}

/// Decides on what a request says in its body, or in its query in place of one, where its rule reads it.
pub fn check_content(
    route: &Route,
    intent: &Intent,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Refusal> {
    let body = decoded(headers, body)?;
    let content = Content { method: &intent.method, content_type: content_type(headers)?, body: &body };
    route.check_content(&intent.target, content)
}

fn decoded<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Refusal> {
    match Coding::from_fields(headers) {
        Ok(None) => Ok(body.into()),
        Ok(Some(Coding::Gzip)) => gunzipped(body).map(Cow::Owned).map_err(|error| match error {
            DecodeError::Reader(TooLarge) => Refusal::body_too_large(READ_BODY),
            DecodeError::Malformed(_) | DecodeError::Expansion(_) => {
                malformed("the body, which is read here, is not valid gzip")
            }
        }),
        Ok(Some(_)) | Err(_) => {
            Err(malformed("this body is read here, and understood plain or in gzip only"))
        }
    }
}

fn gunzipped(body: &[u8]) -> Result<Vec<u8>, DecodeError<TooLarge>> {
    let mut decoder = Decoder::new(Coding::Gzip, Decoded(Vec::new()))?;
    decoder.push(body)?;
    decoder.finish()?;
    Ok(std::mem::take(&mut decoder.reader().0))
}

/// A body as far as it was decoded.
struct Decoded(Vec<u8>);

struct TooLarge;

impl DecodedReader for Decoded {
    type Stop = TooLarge;

    fn read(&mut self, text: &[u8]) -> Result<(), TooLarge> {
        self.0.extend_from_slice(text);
        if self.0.len() as u64 > READ_BODY { Err(TooLarge) } else { Ok(()) }
    }
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::MalformedRequest, format!("{what}; retrying does not help"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};
    use std::io::Write as _;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn read(coding: &'static str, sent: &[u8]) -> Result<GitOperation, (Reason, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        lfs_operation(b"/a.git/info/lfs/objects/batch", &headers, sent)
            .map_err(|refusal| (refusal.reason, refusal.message))
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
                message.starts_with("this body is read here, and understood plain or in gzip only"),
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
