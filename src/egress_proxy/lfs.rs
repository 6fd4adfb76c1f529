//! Stage 7, for the one request whose body says what it is: an LFS batch is a download or an upload by its
//! `operation`, so that small body is read before the decision.

use super::failure::Failure;
use crate::intercept::{Body, body};
use crate::policy::{GitOperation, Reason, Refusal};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;
use std::io::Read as _;

/// Larger batches are refused; git-lfs asks for 100 objects at a time, some 20 KiB.
const MAX_BODY: u64 = 1024 * 1024;

/// Reads the operation, and gives the body back as it was.
pub(super) async fn operation(headers: &HeaderMap, inner: Body) -> Result<(GitOperation, Body), Failure> {
    let collected = body::limited(inner, MAX_BODY).collect().await.map_err(|e| Failure::of_body(&e))?;
    let bytes = collected.to_bytes();
    let operation = GitOperation::lfs_operation(&decoded(headers, &bytes)?)
        .map_err(|error| malformed(&error.to_string()))?;
    Ok((operation, body::full(bytes)))
}

/// The body without its content coding; a coding that is not understood hides what is asked.
fn decoded(headers: &HeaderMap, bytes: &Bytes) -> Result<Bytes, Failure> {
    let codings: Vec<&[u8]> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value: &HeaderValue| value.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .collect();
    match codings.as_slice() {
        [] => Ok(bytes.clone()),
        [one] if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") => {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_ref())
                .take(MAX_BODY + 1)
                .read_to_end(&mut plain)
                .map_err(|_| malformed("the body of the LFS batch request is no valid gzip"))?;
            if plain.len() as u64 > MAX_BODY {
                return Err(Failure::of_body(&crate::intercept::BodyError::TooLarge { limit: MAX_BODY }));
            }
            Ok(plain.into())
        }
        _ => Err(malformed("an LFS batch request is understood plain or in gzip only")),
    }
}

fn malformed(what: &str) -> Failure {
    Refusal::new(Reason::MalformedRequest, format!("{what}; retrying does not help")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    async fn read(coding: &'static str, sent: &[u8]) -> Result<(GitOperation, Bytes), String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        let (operation, rest) = operation(&headers, body::full(sent.to_vec()))
            .await
            .map_err(|failure| format!("{} {}", failure.status().as_u16(), failure.refusal.message))?;
        Ok((operation, rest.collect().await.unwrap().to_bytes()))
    }

    #[tokio::test]
    async fn an_upload_does_not_hide_in_a_content_coding() {
        let upload = gzip(br#"{"operation":"upload"}"#);
        for coding in ["gzip", "GZIP", "x-gzip", "identity, gzip"] {
            let (operation, rest) = read(coding, &upload).await.unwrap();
            assert_eq!((operation, rest.as_ref()), (GitOperation::LfsUpload, upload.as_slice()));
        }
        for coding in ["br", "gzip, gzip", "deflate"] {
            let error = read(coding, &upload).await.unwrap_err();
            assert!(
                error.starts_with("400 an LFS batch request is understood plain or in gzip only"),
                "{error}"
            );
        }
        assert!(read("gzip", b"no gzip").await.unwrap_err().starts_with("400 "));
    }

    #[tokio::test]
    async fn what_unfolds_to_more_than_the_limit_is_refused() {
        let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        assert!(read("gzip", &bomb).await.unwrap_err().starts_with("413 "));
    }
}
