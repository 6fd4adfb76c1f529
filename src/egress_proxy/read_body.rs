//! Requests whose body says what they are are read before they are decided on, and sent as they came.

use super::{failure::Failure, rules::LoadedRule};
use crate::intercept::{Body, body};
use crate::policy::{GitOperation, HostRule};
use crate::verdict::egress_proxy::{Permit, READ_BODY, check_content, lfs_operation};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;

/// What an LFS batch asks for, and its body as it was.
pub(super) async fn operation(
    path: &[u8],
    headers: &HeaderMap,
    inner: Body,
) -> Result<(GitOperation, Body), Failure> {
    let bytes = whole(inner).await?;
    Ok((lfs_operation(path, headers, &bytes)?, body::full(bytes)))
}

/// The request, which says nothing in its body that its rule does not allow.
pub(super) async fn checked(
    request: Request<Body>,
    permit: &Permit<'_, LoadedRule>,
) -> Result<Request<Body>, Failure> {
    let rule: &HostRule = permit.matched.rule.as_ref();
    if !rule.route.content.hold(&permit.intent.target.path) {
        return Ok(request);
    }
    let (parts, inner) = request.into_parts();
    let bytes = whole(inner).await?;
    check_content(&rule.route, &permit.intent, &parts.headers, &bytes)?;
    Ok(Request::from_parts(parts, body::full(bytes)))
}

async fn whole(inner: Body) -> Result<Bytes, Failure> {
    let collected = body::limited(inner, READ_BODY).collect().await.map_err(|e| Failure::of_body(&e))?;
    Ok(collected.to_bytes())
}
