//! What the proxy says of itself at `http://bottle.internal/allowlist`.

use super::super::client::{ProxyAnswer, ProxyAt, plain};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
pub(super) struct Allowlist {
    pub(super) hosts: Vec<AllowedHost>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AllowedHost {
    pub(super) host: String,
    pub(super) ports: Vec<u16>,
    pub(super) methods: Rule,
    pub(super) path_allowlist: Rule,
    #[serde(default)]
    pub(super) deny_paths: Vec<String>,
    #[serde(default)]
    pub(super) query: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) encoded_slash: bool,
    #[serde(default)]
    pub(super) websocket: bool,
    pub(super) credential: Option<String>,
    pub(super) graphql: Option<Graphql>,
    pub(super) rpc: Option<Rpc>,
    pub(super) git_push: Option<GitPush>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Graphql {
    pub(super) paths: Rule,
    pub(super) operations: Vec<String>,
    pub(super) fields: Rule,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rpc {
    pub(super) paths: Rule,
    pub(super) methods: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GitPush {
    pub(super) refs: Vec<String>,
    pub(super) create: bool,
    pub(super) delete: bool,
}

/// `"any"`, or the list of what is allowed.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Rule {
    Only(Vec<String>),
    Any(Any),
}

#[derive(Debug, Deserialize)]
pub(super) enum Any {
    #[serde(rename = "any")]
    Any,
}

impl Rule {
    pub(super) fn only(&self) -> Option<&[String]> {
        match self {
            Self::Only(list) => Some(list),
            Self::Any(Any::Any) => None,
        }
    }

    /// The first entry of a list of paths, which stands for everything below it.
    pub(super) fn first_path(&self) -> String {
        self.only().and_then(<[_]>::first).map_or("/", String::as_str).replace('*', "x")
    }
}

impl Allowlist {
    pub(super) fn ask(proxy: &ProxyAt) -> Option<Self> {
        let request = "GET http://bottle.internal/allowlist HTTP/1.1\r\nHost: bottle.internal\r\nConnection: close\r\n\r\n";
        let answer = plain(proxy, request.as_bytes()).ok().filter(|a| a.status == 200)?;
        serde_json::from_str(&dechunk(&answer)).ok()
    }
}

impl AllowedHost {
    /// The domain behind `*.`, where the rule names no single host.
    pub(super) fn wildcard(&self) -> Option<&str> {
        self.host.strip_prefix("*.")
    }

    /// One host over https.
    pub(super) fn is_askable(&self) -> bool {
        self.ports.contains(&443) && self.wildcard().is_none()
    }

    /// Whether the rule is about this host.
    pub(super) fn names(&self, host: &str) -> bool {
        let below = |base| host.split_once('.').is_some_and(|(_, parent)| parent == base);
        self.host == host || self.wildcard().is_some_and(below)
    }

    /// Whether requests must be more than HTTP.
    pub(super) fn reads_content(&self) -> bool {
        self.graphql.is_some() || self.rpc.is_some()
    }

    /// A method that is allowed, GET where it may be.
    pub(super) fn method(&self) -> &str {
        match self.methods.only() {
            Some(methods) if !methods.iter().any(|it| it == "GET") => {
                methods.first().map_or("GET", String::as_str)
            }
            _ => "GET",
        }
    }

    /// A method with a body that is allowed, POST where it may be.
    pub(super) fn method_with_body(&self) -> &str {
        match self.methods.only() {
            Some(methods) if !methods.iter().any(|it| it == "POST") => self.method(),
            _ => "POST",
        }
    }

    /// A path that is allowed.
    pub(super) fn path(&self) -> String {
        self.path_allowlist.first_path()
    }

    /// Whether some rule may allow a path: what a `*` stands for is not looked at.
    pub(super) fn allows_path(&self, path: &str) -> bool {
        let Some(allowed) = self.path_allowlist.only() else { return true };
        allowed.iter().any(|entry| {
            let mut segments = path.split('/').skip(1);
            entry
                .trim_end_matches('/')
                .split('/')
                .skip(1)
                .all(|own| segments.next().is_some_and(|asked| own.contains('*') || own == asked))
        })
    }

    /// A path with the query that the rule asks for.
    pub(super) fn target(&self, path: &str) -> String {
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = |(name, values): (&String, &Vec<String>)| {
            Some(format!("{}={}", escaped(name), escaped(values.first()?)))
        };
        let pairs: Vec<String> = self.query.iter().filter_map(pair).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{path}{mark}{}", pairs.join("&"))
    }
}

/// The body without its chunk sizes, where the answer has them.
pub(super) fn dechunk(answer: &ProxyAnswer) -> String {
    if answer.field("transfer-encoding").is_none() {
        return answer.body.clone();
    }
    let mut rest = answer.body.as_str();
    let mut body = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = tail.get(..size).filter(|_| size > 0) else { break };
        body.push_str(chunk);
        rest = tail.get(size + 2..).unwrap_or("");
    }
    body
}
