//! The head of a request.

use crate::policy::Authority;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};

/// The head of a request whose syntax was checked, and the way on which it came.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method; case is kept.
    pub method: &'a Method,
    /// The target as the HTTP library reads it.
    pub uri: &'a Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The fields, as the HTTP library reads them.
    pub headers: &'a HeaderMap,
    /// The target as it was received; in HTTP/2 `:path`.
    pub target: &'a Bytes,
    /// What the tunnel's CONNECT names; `None` outside of a tunnel.
    pub tunnel: Option<&'a Authority>,
}

impl<'a> Head<'a> {
    /// The head of this request.
    pub fn from_request<B>(
        request: &'a Request<B>,
        target: &'a Bytes,
        tunnel: Option<&'a Authority>,
    ) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            target,
            tunnel,
        }
    }
}
