//! Fields that the proxy takes off every request, and those that a client may send beside a credential that is not its
//! own. Lower-case names.

use super::decoding::any_decoding;
use serde::{Deserialize, Serialize};

/// Fields by which some servers let a request change its method after the gate has read it.
pub const METHOD_OVERRIDES: &[&str] =
    &["x-http-method-override", "x-http-method", "x-http-verb", "x-method-override", "x-original-method"];

/// Fields by which some servers take another path than the request line's (`Destination` is where WebDAV's MOVE
/// and COPY write, RFC 4918 §10.3).
pub const PATH_OVERRIDES: &[&str] = &[
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-envoy-original-path",
    "x-middleware-subrequest",
    "x-waws-unencoded-url",
    "x-request-uri",
    "x-script-name",
    "script-name",
    "path-info",
    "request-uri",
    "x-forwarded-url",
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

/// Fields in which a client could send a credential of its own, besides those that are injected: the proxy looks for
/// secrets in them. What passes beside a credential is not decided by these, but by [`passes_beside_a_credential`].
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

/// What becomes of credentials of the client's own on a rule without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCredentials {
    /// They are taken off, as beside a credential.
    Strip,
    /// They are passed on.
    #[default]
    Pass,
}

/// What a client's own fields and query may say to a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFields {
    /// Beside a credential it is always [`ClientCredentials::Strip`].
    pub credentials: ClientCredentials,
    /// Fields that pass although their class goes off, in lower case.
    pub pass_headers: Vec<String>,
    /// Parameters of the query that pass although they are a credential's, in lower case.
    pub pass_query: Vec<String>,
}

impl ClientFields {
    /// Whether a field of the client's goes on to a host that is guarded.
    #[must_use]
    pub fn passes(&self, name: &str) -> bool {
        passes_beside_a_credential(name) || self.pass_headers.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The first parameter of a query that could carry a credential, and may not.
    #[must_use]
    pub fn refused_parameter(&self, query: &str) -> Option<String> {
        let names = query.split(['&', ';']).map(|parameter| parameter.split('=').next().unwrap_or_default());
        names.flat_map(readings).find(|name| {
            is_credential_parameter(name) && !self.pass_query.iter().any(|own| own.eq_ignore_ascii_case(name))
        })
    }
}

/// The name of a parameter as it came and as servers may decode it, without the index of an array.
fn readings(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    // What is encoded over and over is none of a server's names.
    let _ = any_decoding(name.as_bytes(), |decoded| {
        let text = String::from_utf8_lossy(decoded).to_ascii_lowercase();
        let text = text.split(['[', '\0']).next().unwrap_or_default();
        found.push(text.trim_matches(|c: char| c.is_whitespace() || c == '+').to_owned());
        false
    });
    found
}

/// Whether a parameter of a query is one in which servers take a credential; `-`, `_` and `.` are the same.
#[must_use]
pub fn is_credential_parameter(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).collect();
    CREDENTIAL_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(&plain))
}

/// Without `-`, `_` and `.`.
const CREDENTIAL_PARAMETERS: &[&str] = &[
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "appkey",
    "auth",
    "authkey",
    "authorization",
    "authtoken",
    "awsaccesskeyid",
    "bearer",
    "clientsecret",
    "feedtoken",
    "idtoken",
    "jobtoken",
    "jwt",
    "key",
    "oauthtoken",
    "passwd",
    "password",
    "privatekey",
    "privatetoken",
    "rsstoken",
    "secret",
    "secretkey",
    "sessiontoken",
    "subscriptionkey",
    "xamzcredential",
    "xamzsecuritytoken",
    "xamzsignature",
    "xgoogcredential",
    "xgoogsignature",
];

/// A class of fields: why they pass beside a credential, the names, and how names begin.
struct FieldClass {
    /// What it is called.
    name: &'static str,
    /// Whole names.
    fields: &'static [&'static str],
    /// Beginnings of names.
    prefixes: &'static [&'static str],
}

/// The fields that pass beside a credential that is not the client's. What says who asks, for whom, from where or by what
/// other way is in none of them.
const PASSING: &[FieldClass] = &[
    FieldClass {
        name: "content",
        fields: &[
            "content-digest",
            "content-disposition",
            "content-encoding",
            "content-language",
            "content-length",
            "content-md5",
            "content-range",
            "content-type",
            "digest",
            "mime-version",
            "repr-digest",
            "trailer",
            "transfer-encoding",
            "upload-checksum",
            "upload-complete",
            "upload-concat",
            "upload-defer-length",
            "upload-incomplete",
            "upload-length",
            "upload-metadata",
            "upload-offset",
            "tus-resumable",
            "x-checksum-md5",
            "x-checksum-sha1",
            "x-checksum-sha256",
            "x-content-type-options",
        ],
        prefixes: &[],
    },
    FieldClass {
        name: "negotiation",
        fields: &[
            "accept",
            "accept-charset",
            "accept-datetime",
            "accept-encoding",
            "accept-language",
            "prefer",
            "te",
            "want-content-digest",
            "want-digest",
            "want-repr-digest",
        ],
        prefixes: &[],
    },
    FieldClass {
        name: "conditions and ranges",
        fields: &[
            "depth",
            "if",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-schedule-tag-match",
            "if-unmodified-since",
            "lock-token",
            "overwrite",
            "range",
            "timeout",
        ],
        prefixes: &[],
    },
    FieldClass { name: "caches", fields: &["cache-control", "date", "pragma"], prefixes: &[] },
    FieldClass {
        name: "tracing and retries",
        fields: &[
            "amz-sdk-invocation-id",
            "amz-sdk-request",
            "b3",
            "baggage",
            "client-request-id",
            "correlation-id",
            "idempotency-key",
            "request-id",
            "sentry-trace",
            "traceparent",
            "tracestate",
            "uber-trace-id",
            "x-amzn-trace-id",
            "x-client-request-id",
            "x-cloud-trace-context",
            "x-correlation-id",
            "x-datadog-origin",
            "x-datadog-parent-id",
            "x-datadog-sampling-priority",
            "x-datadog-tags",
            "x-datadog-trace-id",
            "x-idempotency-key",
            "x-ms-client-request-id",
            "x-opaque-id",
            "x-request-id",
            "x-trace-id",
        ],
        prefixes: &["x-b3-"],
    },
    FieldClass {
        name: "client hints",
        fields: &[
            "device-memory",
            "dnt",
            "downlink",
            "dpr",
            "ect",
            "priority",
            "rtt",
            "save-data",
            "sec-gpc",
            "upgrade-insecure-requests",
            "user-agent",
            "viewport-width",
            "width",
            "x-requested-with",
        ],
        prefixes: &["sec-ch-", "sec-fetch-"],
    },
    FieldClass {
        name: "protocols and SDKs",
        fields: &[
            "anthropic-beta",
            "anthropic-dangerous-direct-browser-access",
            "anthropic-version",
            "api-version",
            "docker-content-digest",
            "docker-distribution-api-version",
            "docker-upload-uuid",
            "git-protocol",
            "graphql-features",
            "grpc-accept-encoding",
            "grpc-encoding",
            "grpc-timeout",
            "last-event-id",
            "linkedin-version",
            "mcp-protocol-version",
            "mcp-session-id",
            "notion-version",
            "npm-auth-type",
            "npm-command",
            "npm-in-ci",
            "npm-scope",
            "npm-session",
            "openai-beta",
            "paypal-request-id",
            "soapaction",
            "square-version",
            "stripe-version",
            "time-zone",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-decoded-content-length",
            "x-amz-sdk-checksum-algorithm",
            "x-amz-target",
            "x-amz-trailer",
            "x-amz-user-agent",
            "x-api-version",
            "x-app",
            "x-elastic-client-meta",
            "x-github-api-version",
            "x-github-next-global-id",
            "x-goog-api-client",
            "x-goog-fieldmask",
            "x-goog-hash",
            "x-ms-blob-type",
            "x-ms-date",
            "x-ms-return-client-request-id",
            "x-ms-version",
            "x-restli-protocol-version",
            "x-upload-content-length",
            "x-upload-content-type",
        ],
        prefixes: &[
            "pacote-",
            "x-amz-checksum-",
            "x-amz-meta-",
            "x-claude-code-",
            "x-goog-meta-",
            "x-goog-upload-",
            "x-ms-meta-",
            "x-stainless-",
        ],
    },
];

/// What the classes that pass are called.
pub fn passing_classes() -> impl Iterator<Item = &'static str> {
    PASSING.iter().map(|class| class.name)
}

/// Whether a field of the client's passes beside a credential that is not its own. A name with an underscore is another
/// field's for some servers, and is no known one.
#[must_use]
pub fn passes_beside_a_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PASSING.iter().any(|class| {
        class.fields.contains(&name.as_str())
            || (!name.contains('_') && class.prefixes.iter().any(|start| name.starts_with(start)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pass NAME` and `off NAME`, of forges, clouds, frameworks and SDKs.
    const CATALOGUE: &str = include_str!("../../tests/data/client_fields.txt");

    #[test]
    fn each_field_of_the_catalogue_is_of_its_class() {
        let lines: Vec<&str> =
            CATALOGUE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let mut counts = [0, 0];
        for line in &lines {
            let (class, names) = line.split_once(' ').unwrap();
            assert!(["pass", "off"].contains(&class), "{line}");
            for name in names.split(' ') {
                counts[usize::from(class == "pass")] += 1;
                assert_eq!(passes_beside_a_credential(name), class == "pass", "{name}");
            }
        }
        assert!(counts[0] >= 150 && counts[1] >= 60, "{counts:?}");
    }

    #[test]
    fn no_passing_field_is_one_that_is_taken_off_or_searched_as_a_credential() {
        let lists = [METHOD_OVERRIDES, PATH_OVERRIDES, HOST_OVERRIDES, CREDENTIAL_FIELDS];
        for name in lists.into_iter().flatten() {
            assert!(!passes_beside_a_credential(name), "{name}");
        }
        for class in PASSING {
            for name in class.fields.iter().chain(class.prefixes) {
                assert_eq!(*name, name.to_ascii_lowercase(), "{name}");
                assert!(!name.contains('_'), "{name}");
            }
        }
    }

    #[test]
    fn the_documentation_lists_what_passes() {
        let page = include_str!("../../docs/agent-fields.md");
        for class in PASSING {
            let row = page.lines().find(|line| line.starts_with(&format!("| {} |", class.name)));
            let row = row.unwrap_or_else(|| panic!("{} is not in docs/agent-fields.md", class.name));
            let starts = class.prefixes.iter().map(|start| format!("`{start}*`"));
            let names: Vec<String> =
                class.fields.iter().map(|name| format!("`{name}`")).chain(starts).collect();
            assert_eq!(row, format!("| {} | {} |", class.name, names.join(", ")), "docs/agent-fields.md");
        }
    }

    #[test]
    fn a_parameter_is_a_credentials_in_every_spelling() {
        let none = ClientFields::default();
        for query in [
            "access_token=x",
            "a=b&private_token=x",
            "ACCESS-TOKEN=x",
            "a;api_key=x",
            "apiKey=x",
            "access%5Ftoken=x",
            "%2561ccess_token=x",
            "key=x",
            "key[]=x",
            "key%5B%5D=x",
            "+key+=x",
            "X-Amz-Security-Token=x",
            "access_token",
        ] {
            assert!(none.refused_parameter(query).is_some(), "{query}");
        }
        for query in
            ["", "page_token=x", "keys=x", "q=key", "monkey=x", "a=key%3Dx", "keyword=x", "sort_key=x"]
        {
            assert_eq!(none.refused_parameter(query), None, "{query}");
        }
        let key = ClientFields { pass_query: vec!["key".to_owned()], ..none };
        assert_eq!(key.refused_parameter("key=x"), None);
        assert_eq!(key.refused_parameter("key=x&api_key=y").as_deref(), Some("api_key"));
    }
}
