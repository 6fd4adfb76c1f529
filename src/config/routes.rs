//! `egress-proxy/routes.yaml`: what egress-proxy enforces, and with which files.

use crate::config::{Limits, Listen};
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::net::SocketAddr;

/// The whole file. Paths are those of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutesFile {
    /// The format: 1.
    pub version: u32,
    /// The bottle's name, for logs and audit records.
    pub bottle: String,
    /// Where the agent's requests arrive.
    pub listen: Listen,
    /// `/healthz`, `/readyz`, `/metrics`; never where the agent can reach it.
    pub admin: SocketAddr,
    /// The only way out.
    pub upstream: Upstream,
    /// The CA that the agent trusts.
    pub ca: CaFiles,
    /// What bounds this proxy.
    pub limits: Limits,
    /// One entry for each host, in the manifest's order.
    pub routes: Vec<RouteEntry>,
}

/// The next hop, and whom it may be believed to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// `HOST:PORT` of pipelock. There is no form of this file without it.
    pub proxy: String,
    /// The CA that inspected hosts are verified against, and nothing else; `null`: the public roots.
    #[serde(deserialize_with = "present")]
    pub ca_file: Option<String>,
    /// Trusted besides the public roots on hosts that pipelock passes through; `null`: none.
    #[serde(deserialize_with = "present")]
    pub extra_ca_file: Option<String>,
}

/// A certificate authority as two PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaFiles {
    /// The certificate.
    pub cert_file: String,
    /// Its private key.
    pub key_file: String,
}

/// A rule for one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// Stable name of the rule in denials and audit records: the host.
    pub id: String,
    /// Where the rule stands in the manifest: `egress_proxy.routes[1]`. A pointer and not a line, because an
    /// edited comment must not change this file.
    pub source: String,
    /// The exact host, in canonical form.
    pub host: String,
    /// The ports; 80 is plain http, every other one https.
    pub ports: Vec<u16>,
    /// The methods; `any` is every one but CONNECT and TRACE.
    pub methods: AnyOr,
    /// The paths, each with what lies below it on whole segments.
    pub paths: AnyOr,
    /// The credential that is set on every request; `null`: none.
    #[serde(deserialize_with = "present")]
    pub auth: Option<Auth>,
    /// Whether `%2F` may stand inside a segment.
    pub encoded_slash: bool,
    /// Whether pipelock looks inside TLS; if not, the host is verified against the public roots.
    pub inspect: bool,
    /// The last day (UTC) on which the rule allows anything; `null`: no end.
    #[serde(deserialize_with = "present")]
    pub until: Option<Date>,
    /// Shown in denials; `null`: none.
    #[serde(deserialize_with = "present")]
    pub reason: Option<String>,
}

/// How a credential is put on a request: `header: prefix + secret`, or, with a user name,
/// `header: prefix + base64(username ":" secret)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The field's name, in lower case.
    pub header: String,
    /// What stands before the secret, its space included: `Bearer `.
    pub prefix: String,
    /// The user name of a Basic credential; `null` for every other kind.
    #[serde(deserialize_with = "present")]
    pub username: Option<String>,
    /// The file that holds the secret. A file and not a slot, so that a reload can't pair it with another host.
    pub secret_file: String,
    /// The name that people know the secret by; it is what logs say.
    pub token_ref: String,
}

/// `any`, or an explicit list. An empty list allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyOr {
    /// Everything.
    Any,
    /// These only.
    Only(Vec<String>),
}

impl Serialize for AnyOr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::Only(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AnyOr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = AnyOr;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`any` or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AnyOr, E> {
                if text == "any" {
                    Ok(AnyOr::Any)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<AnyOr, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(AnyOr::Only(list))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Reads an optional value whose key must be there: what is not said is not guessed.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}
