//! A rule as the manifest writes it: the route that decides, and what else is to be done with the host.

use super::{
    fields::{ClientCredentials, ClientFields},
    route::Route,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What becomes of a request to one host in which a secret is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSecret {
    /// It is refused.
    Block,
    /// The secret is removed from the body, and the request goes on; where that can't be, it is refused.
    Redact,
}

/// A rule for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// What may be requested.
    pub route: Route,
    /// The credential that is set on every request.
    pub auth: Option<Auth>,
    /// What the client's own fields and query may say.
    pub client: ClientFields,
    /// pipelock looks inside TLS.
    pub inspect: bool,
    /// What becomes of a request in which a secret is found; nothing for what the bottle says of all hosts.
    pub on_secret: Option<OnSecret>,
    /// Ranges of a private origin; public addresses only when empty.
    pub addresses: Vec<IpNet>,
}

impl From<Route> for HostRule {
    /// Without a credential, inspected, at public addresses.
    fn from(route: Route) -> Self {
        Self {
            route,
            auth: None,
            client: ClientFields::default(),
            inspect: true,
            on_secret: None,
            addresses: Vec::new(),
        }
    }
}

impl HostRule {
    /// Whether only known classes of the client's fields pass: beside a credential, or where a rule says so.
    #[must_use]
    pub fn guards_fields(&self) -> bool {
        self.auth.is_some() || self.client.credentials == ClientCredentials::Strip
    }
}

impl AsRef<HostRule> for HostRule {
    fn as_ref(&self) -> &HostRule {
        self
    }
}

/// A credential by the name of what holds it, and how it is put on a request: `header: prefix + token`, or, with a
/// user name, `header: prefix + base64(username ":" token)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Auth {
    /// The field's name, in lower case.
    pub header: String,
    /// What stands before the token, its space included: `Bearer `.
    pub prefix: String,
    /// The user name of a Basic credential (RFC 7617); without a colon.
    pub username: Option<String>,
    /// The name of the host's environment variable that holds the token; never the token.
    pub token_ref: String,
}
