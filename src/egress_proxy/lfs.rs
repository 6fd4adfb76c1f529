//! Stage 7, for an LFS batch: its small body is read before the decision, since it says what is asked.

use super::failure::Failure;
use crate::intercept::{Body, body};
use crate::policy::GitOperation;
use crate::verdict::egress_proxy::{LFS_BODY, lfs_operation};
use http::HeaderMap;
use http_body_util::BodyExt as _;

/// Reads the operation, and gives the body back as it was.
pub(super) async fn operation(
    path: &[u8],
    headers: &HeaderMap,
    inner: Body,
) -> Result<(GitOperation, Body), Failure> {
    let collected = body::limited(inner, LFS_BODY).collect().await.map_err(|e| Failure::of_body(&e))?;
    let bytes = collected.to_bytes();
    Ok((lfs_operation(path, headers, &bytes)?, body::full(bytes)))
}
