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
