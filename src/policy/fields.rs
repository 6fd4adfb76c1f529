//! Fields that the proxy takes off every request, or off those that it puts a credential on. Lower-case names.

/// Fields by which some servers let a request change its method after the gate has read it.
pub const METHOD_OVERRIDES: &[&str] =
    &["x-http-method-override", "x-http-method", "x-method-override", "x-original-method"];

/// Fields by which some servers take another path than the request line's (`Destination` is where WebDAV's MOVE
/// and COPY write, RFC 4918 §10.3).
pub const PATH_OVERRIDES: &[&str] = &[
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-uri",
    "destination",
];

/// Fields by which some servers take another host than `Host`.
pub const HOST_OVERRIDES: &[&str] = &[
    "x-forwarded-host",
    "x-forwarded-server",
    "x-http-host-override",
    "x-original-host",
    "x-host",
    "forwarded",
];

/// Whether CGI, WSGI and PHP read two field names as one variable: `X_Api_Key` is `X-Api-Key` there (RFC 3875 §4.1.18).
#[must_use]
pub fn same_variable(a: &str, b: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

/// Fields that reach the upstream and that pipelock never reads; the first proxy looks for secrets in them.
pub const UNREAD_BY_PIPELOCK: &[&str] =
    &["accept", "accept-encoding", "content-type", "te", "trailer", "user-agent"];

/// Fields in which a client could send a credential of its own. On a rule with a credential they are taken off, besides
/// the field that is injected; on other rules the proxy looks for secrets in them.
pub const CREDENTIAL_FIELDS: &[&str] = &[
    "authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "private-token",
    "job-token",
    "x-auth-token",
    "x-access-token",
    "proxy-authorization",
];
