//! `egress-proxy/routes.yaml`: what egress-proxy enforces, and with which files.

use crate::config::parse::Parsed;
use crate::config::{ConfigError, Limits, Listen, ProxyAddress};
use crate::dlp::{CustomPattern, Exception};
use crate::policy::{
    self, Below, ClientCredentials, ClientFields, ContentRules, DenyPath, GraphqlOperation, GraphqlRule,
    HostPattern, HostRule, LARGEST_MAX_PACK, Method, PathPattern, Policy, PolicyError, PushRules, QueryRule,
    RefPattern, Route, RpcRule, SecretRules, size,
};
use camino::Utf8PathBuf;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, net::SocketAddr};

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
    /// The bottle's own patterns of secrets, for the fields that pipelock does not read.
    pub patterns: Vec<CustomPattern>,
    /// What passes to some hosts in these fields, too.
    pub exceptions: Vec<Exception>,
    /// The socket of the service that takes the agent's proposals. No key: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervise: Option<Utf8PathBuf>,
}

impl RoutesFile {
    /// Reads a file strictly: every key there, none unknown, every value possible.
    pub fn read(text: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let (file, parsed) = Parsed::read::<Self>(text.as_ref())?;
        if file.version != 1 {
            return Err(parsed.error("version", format!("this bottle reads version 1, not {}", file.version)));
        }
        if file.supervise.as_ref().is_some_and(|socket| !socket.is_absolute()) {
            return Err(parsed.error("supervise", "must be an absolute path"));
        }
        if let Some(key) = file.limits.zero() {
            return Err(parsed.error(&format!("limits.{key}"), "0 would refuse everything"));
        }
        file.check_routes(&parsed)?;
        file.to_policy().map_err(|error| parsed.error(&error.key, error.message))?;
        Ok(file)
    }

    /// The rules, in the order of the file; an error names the key in the file.
    pub fn rules(&self) -> Result<Vec<HostRule>, RuleError> {
        let rule = |(index, entry): (usize, &RouteEntry)| {
            entry.rule().map_err(|error| error.below(&format!("routes[{index}]")))
        };
        self.routes.iter().enumerate().map(rule).collect()
    }

    /// The rules as what decides about requests. A file that [`RoutesFile::read`] gave has one.
    pub fn to_policy(&self) -> Result<Policy, RuleError> {
        let error = |error: PolicyError| RuleError { key: "routes".to_owned(), message: error.to_string() };
        Policy::new(self.rules()?).map_err(error)
    }

    fn check_routes(&self, parsed: &Parsed<'_>) -> Result<(), ConfigError> {
        let mut seen = BTreeMap::new();
        for (index, route) in self.routes.iter().enumerate() {
            let at = |key: &str| format!("routes[{index}].{key}");
            if let Some(first) = seen.insert(route.host.as_str(), index) {
                return Err(parsed
                    .error(&at("host"), format!("`{}` has a rule already, routes[{first}]", route.host)));
            }
            if route.ports.is_empty() || route.ports.contains(&0) {
                return Err(parsed.error(&at("ports"), "a list of ports from 1 to 65535, not empty"));
            }
            if route.auth.is_some() && route.ports.contains(&80) {
                return Err(parsed
                    .error(&at("auth"), "a credential never goes over plain http: no port 80 beside it"));
            }
            if let Some(push) = &route.git_push {
                if route.host.starts_with('*') {
                    return Err(parsed
                        .error(&at("git_push"), "a push goes to a host that is named, not to a wildcard"));
                }
                push.check().map_err(|(key, text)| parsed.error(&at(&format!("git_push.{key}")), text))?;
            }
            if let Some(auth) = &route.auth {
                if route.client_credentials == ClientCredentials::Pass {
                    return Err(parsed.error(&at("client_credentials"), "beside a credential it is `strip`"));
                }
                auth.check().map_err(|(key, text)| parsed.error(&at(&format!("auth.{key}")), text))?;
            }
        }
        Ok(())
    }
}

/// A rule that can't be decided by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct RuleError {
    /// The key as people write it: `routes[3].host`.
    pub key: String,
    /// What is wrong there.
    pub message: String,
}

impl RuleError {
    /// The same, of an entry that stands at `parent`.
    #[must_use]
    pub fn below(self, parent: &str) -> Self {
        Self { key: format!("{parent}.{}", self.key), ..self }
    }
}

/// Where Docker puts a secret in a container.
const SECRETS: &str = "/run/secrets";

impl From<&HostRule> for RouteEntry {
    fn from(rule: &HostRule) -> Self {
        let HostRule {
            route,
            auth,
            client,
            inspect,
            on_secret: _, // these two are pipelock's
            addresses: _,
        } = rule;
        let credentials =
            if rule.guards_fields() { ClientCredentials::Strip } else { ClientCredentials::Pass };
        let Route {
            source,
            host,
            ports,
            methods: _,
            path_allowlist,
            deny_paths,
            query: _,
            content: ContentRules { graphql, rpc },
            websocket,
            push,
            encoded_slash,
            until,
            reason,
        } = route;
        Self {
            source: source.clone(),
            host: host.to_string(),
            ports: ports.clone(),
            methods: route.methods().iter().map(ToString::to_string).collect(),
            path_allowlist: AnyOr::from(path_allowlist.as_deref()),
            deny_paths: deny_paths.iter().map(ToString::to_string).collect(),
            query: route.query_values(),
            graphql: graphql.as_ref().map(Graphql::from),
            rpc: rpc.as_ref().map(Rpc::from),
            git_push: push.as_ref().map(GitPush::from),
            auth: auth.as_ref().map(Auth::from),
            client_credentials: credentials,
            pass_headers: client.pass_headers.clone(),
            pass_query: client.pass_query.clone(),
            websocket: *websocket,
            encoded_slash: *encoded_slash,
            inspect: *inspect,
            until: *until,
            reason: reason.clone(),
        }
    }
}

impl RouteEntry {
    /// The rule, at public addresses; an error names a key of the entry.
    pub fn rule(&self) -> Result<HostRule, RuleError> {
        let Self {
            source,
            host,
            ports,
            methods,
            path_allowlist,
            deny_paths,
            query,
            graphql,
            rpc,
            git_push,
            auth,
            client_credentials,
            pass_headers,
            pass_query,
            websocket,
            encoded_slash,
            inspect,
            until,
            reason,
        } = self;
        let methods = parse_all(methods, "methods", Method::parse)?;
        Ok(HostRule {
            route: Route {
                source: source.clone(),
                host: canonical(host)?,
                ports: ports.clone(),
                methods: (methods != Method::USUAL).then_some(methods),
                path_allowlist: path_allowlist
                    .parse("path_allowlist", |text| PathPattern::parse(text, *encoded_slash))?,
                deny_paths: parse_all(deny_paths, "deny_paths", DenyPath::parse)?,
                query: query_rules(query),
                content: ContentRules {
                    graphql: graphql.as_ref().map(Graphql::rule).transpose()?,
                    rpc: rpc.as_ref().map(Rpc::rule).transpose()?,
                },
                websocket: *websocket,
                push: git_push.as_ref().map(GitPush::rules).transpose()?,
                encoded_slash: *encoded_slash,
                until: *until,
                reason: reason.clone(),
            },
            auth: auth.as_ref().map(Auth::credential),
            client: ClientFields {
                credentials: *client_credentials,
                pass_headers: pass_headers.clone(),
                pass_query: pass_query.clone(),
            },
            inspect: *inspect,
            on_secret: None,
            addresses: Vec::new(),
        })
    }
}

impl From<&Below<GraphqlRule>> for Graphql {
    fn from(it: &Below<GraphqlRule>) -> Self {
        let Below { paths, rule: GraphqlRule { operations, fields } } = it;
        Self {
            paths: AnyOr::from(paths.as_deref()),
            operations: operations.clone(),
            fields: AnyOr::from(fields.as_deref()),
        }
    }
}

impl Graphql {
    fn rule(&self) -> Result<Below<GraphqlRule>, RuleError> {
        let fields = self.fields.parse("graphql.fields", |name| {
            let read = GraphqlRule::is_name(name).then(|| name.to_owned());
            read.ok_or_else(|| format!("`{}` is not the name of a field", name.escape_debug()))
        })?;
        Ok(Below {
            paths: self.paths.parse("graphql.paths", DenyPath::parse)?,
            rule: GraphqlRule { operations: self.operations.clone(), fields },
        })
    }
}

impl From<&Below<RpcRule>> for Rpc {
    fn from(it: &Below<RpcRule>) -> Self {
        let Below { paths, rule: RpcRule { methods } } = it;
        Self { paths: AnyOr::from(paths.as_deref()), methods: methods.clone() }
    }
}

impl Rpc {
    fn rule(&self) -> Result<Below<RpcRule>, RuleError> {
        let methods = parse_all(&self.methods, "rpc.methods", |name| {
            let read = RpcRule::is_method(name).then(|| name.to_owned());
            read.ok_or_else(|| format!("`{}` is not the name of a method", name.escape_debug()))
        })?;
        Ok(Below { paths: self.paths.parse("rpc.paths", DenyPath::parse)?, rule: RpcRule { methods } })
    }
}

impl From<&PushRules> for GitPush {
    fn from(rules: &PushRules) -> Self {
        let PushRules { refs, create, delete, force, max_pack, rules } = rules;
        Self {
            refs: refs.iter().map(ToString::to_string).collect(),
            create: *create,
            delete: *delete,
            force: *force,
            max_pack: *max_pack,
            rules: rules.clone(),
        }
    }
}

impl GitPush {
    fn rules(&self) -> Result<PushRules, RuleError> {
        let Self { refs, create, delete, force, max_pack, rules } = self;
        Ok(PushRules {
            refs: parse_all(refs, "git_push.refs", RefPattern::parse)?,
            create: *create,
            delete: *delete,
            force: *force,
            max_pack: *max_pack,
            rules: rules.clone(),
        })
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.refs.is_empty() {
            return Err(("refs", "name at least one ref, or write `git_push: null`".to_owned()));
        }
        if !(1..=LARGEST_MAX_PACK).contains(&self.max_pack) {
            return Err((
                "max_pack",
                format!("from 1 to {LARGEST_MAX_PACK} bytes ({})", size(LARGEST_MAX_PACK)),
            ));
        }
        if let Some(rules) = &self.rules {
            rules.check().map_err(|error| ("rules", error.to_string()))?;
        }
        Ok(())
    }
}

fn query_rules(query: &BTreeMap<String, Vec<String>>) -> Vec<QueryRule> {
    let rule =
        |(name, values): (&String, &Vec<String>)| QueryRule { name: name.clone(), values: values.clone() };
    query.iter().map(rule).collect()
}

/// A host or wildcard that is written in its canonical form.
pub(super) fn canonical(text: &str) -> Result<HostPattern, RuleError> {
    let error = |message| RuleError { key: "host".to_owned(), message };
    let host = HostPattern::parse(text).map_err(|cause| error(cause.to_string()))?;
    if host.as_str() != text {
        return Err(error(format!("must be written in its canonical form, `{host}`")));
    }
    Ok(host)
}

impl From<&policy::Auth> for Auth {
    fn from(auth: &policy::Auth) -> Self {
        let policy::Auth { header, prefix, username, token_ref } = auth;
        Self {
            header: header.clone(),
            prefix: prefix.clone(),
            username: username.clone(),
            secret_file: format!("{SECRETS}/{token_ref}"),
            token_ref: token_ref.clone(),
        }
    }
}

impl Auth {
    fn credential(&self) -> policy::Auth {
        let Self { header, prefix, username, secret_file: _, token_ref } = self;
        policy::Auth {
            header: header.clone(),
            prefix: prefix.clone(),
            username: username.clone(),
            token_ref: token_ref.clone(),
        }
    }
}

impl<T: ToString> From<Option<&[T]>> for AnyOr {
    fn from(list: Option<&[T]>) -> Self {
        list.map_or(Self::Any, |list| Self::Only(list.iter().map(T::to_string).collect()))
    }
}

impl AnyOr {
    /// Every item through a parser; an error names the item of `key`.
    fn parse<T, E: ToString>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, RuleError> {
        match self {
            Self::Any => Ok(None),
            Self::Only(list) => parse_all(list, key, parse).map(Some),
        }
    }
}

/// Every item through a parser; an error names the item of `key`.
fn parse_all<T, E: ToString>(
    list: &[String],
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, RuleError> {
    let item = |(at, text): (usize, &String)| {
        parse(text).map_err(|error| RuleError { key: format!("{key}[{at}]"), message: error.to_string() })
    };
    list.iter().enumerate().map(item).collect()
}

impl Auth {
    /// The first key whose value can't be put on a request, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let name = http::HeaderName::from_bytes(self.header.as_bytes());
        if !name.is_ok_and(|name| name.as_str() == self.header) {
            return Err(("header", format!("`{}` is not a field name in lower case", self.header)));
        }
        if http::HeaderValue::from_str(&self.prefix).is_err() {
            return Err(("prefix", "holds characters that no field value can".to_owned()));
        }
        if self.username.as_ref().is_some_and(|name| name.contains(':') || name.chars().any(char::is_control))
        {
            return Err((
                "username",
                "a user name holds neither `:` nor control characters (RFC 7617)".to_owned(),
            ));
        }
        if !self.secret_file.starts_with('/') {
            return Err(("secret_file", "must be an absolute path".to_owned()));
        }
        Ok(())
    }
}

/// The next hop, and whom it may be believed to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where pipelock listens. There is no form of this file without it.
    pub proxy: ProxyAddress,
    /// The CA that inspected hosts are verified against, and nothing else; `null`: the public roots.
    #[serde(deserialize_with = "present")]
    pub ca_file: Option<String>,
    /// Trusted besides the public roots on hosts that pipelock passes through; `null`: none.
    #[serde(deserialize_with = "present")]
    pub extra_ca_file: Option<String>,
    /// Whether pipelock takes only bodies without a content coding, and whole responses: the upstream program. Requests to
    /// inspected hosts then leave decoded, and ask for such responses.
    pub identity_only: bool,
}

/// A certificate authority as two PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaFiles {
    /// Path of the certificate, in the proxy's container.
    pub cert_file: String,
    /// Path of its private key, there too.
    pub key_file: String,
}

/// A rule for one host or wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// Where the rule stands in the manifest: `egress_proxy.routes[1]`. A pointer and not a line, because an
    /// edited comment must not change this file.
    pub source: String,
    /// The exact host, or `*.` and the host that it is one label below, in canonical form; it names the rule in denials
    /// and audit records.
    pub host: String,
    /// The ports; 80 is plain http, every other one https.
    pub ports: Vec<u16>,
    /// The methods; none but these.
    pub methods: Vec<String>,
    /// The paths, each with what lies below it on whole segments.
    pub path_allowlist: AnyOr,
    /// What stays refused of them, each with what lies below it.
    pub deny_paths: Vec<String>,
    /// Parameters that the query must have, each once and with one of these values.
    pub query: BTreeMap<String, Vec<String>>,
    /// What GraphQL may ask for; `null`: requests need not be GraphQL.
    #[serde(deserialize_with = "present")]
    pub graphql: Option<Graphql>,
    /// What JSON-RPC may call; `null`: requests need not be JSON-RPC.
    #[serde(deserialize_with = "present")]
    pub rpc: Option<Rpc>,
    /// What a git push may change; `null`: every push is refused.
    #[serde(deserialize_with = "present")]
    pub git_push: Option<GitPush>,
    /// The credential that is set on every request; `null`: none.
    #[serde(deserialize_with = "present")]
    pub auth: Option<Auth>,
    /// What becomes of the agent's own credentials; `strip` beside `auth`.
    pub client_credentials: ClientCredentials,
    /// Fields of the agent that pass although their class goes off.
    pub pass_headers: Vec<String>,
    /// Parameters of the query that pass although they are a credential's.
    pub pass_query: Vec<String>,
    /// Whether connections may go on as WebSocket.
    pub websocket: bool,
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

/// What GraphQL may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graphql {
    /// Where requests must be GraphQL, in every spelling and with what lies below.
    pub paths: AnyOr,
    /// The kinds of operations; none but these.
    pub operations: Vec<GraphqlOperation>,
    /// The fields that an operation may begin with.
    pub fields: AnyOr,
}

/// What JSON-RPC may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rpc {
    /// Where requests must be JSON-RPC, in every spelling and with what lies below.
    pub paths: AnyOr,
    /// The methods of calls and notifications; none but these.
    pub methods: Vec<String>,
}

/// What a git push may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitPush {
    /// Full names of refs, each with one `*` at most, which stands for one character or more; none but these.
    pub refs: Vec<String>,
    /// Whether refs may be made.
    pub create: bool,
    /// Whether refs may be deleted.
    pub delete: bool,
    /// Whether a ref may be moved to what does not descend from its old tip.
    pub force: bool,
    /// The most bytes of a pack.
    pub max_pack: u64,
    /// Rules in gitleaks' format, as data; no key: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<SecretRules>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    pub(crate) fn sample() -> RoutesFile {
        let route = |host: &str| RouteEntry {
            source: "egress_proxy.routes[0]".into(),
            host: host.into(),
            ports: vec![443],
            methods: vec!["GET".into()],
            path_allowlist: AnyOr::Any,
            deny_paths: Vec::new(),
            query: BTreeMap::new(),
            graphql: None,
            rpc: None,
            git_push: Some(GitPush {
                refs: vec!["refs/heads/agent/*".into()],
                create: true,
                delete: false,
                force: false,
                max_pack: 1 << 20,
                rules: None,
            }),
            auth: Some(Auth {
                header: "authorization".into(),
                prefix: "Bearer ".into(),
                username: None,
                secret_file: "/run/secrets/TOKEN".into(),
                token_ref: "TOKEN".into(),
            }),
            client_credentials: ClientCredentials::Strip,
            pass_headers: Vec::new(),
            pass_query: Vec::new(),
            websocket: false,
            encoded_slash: false,
            inspect: true,
            until: Some(jiff::civil::date(2027, 1, 31)),
            reason: None,
        };
        RoutesFile {
            version: 1,
            bottle: "dev".into(),
            listen: "unix:/run/bottle/egress.sock".parse().unwrap(),
            admin: "127.0.0.1:9100".parse().unwrap(),
            upstream: Upstream {
                proxy: "pipelock:8888".parse().unwrap(),
                ca_file: None,
                extra_ca_file: None,
                identity_only: false,
            },
            ca: CaFiles { cert_file: "/ca.pem".into(), key_file: "/key.pem".into() },
            limits: Limits::default(),
            routes: vec![route("a.example"), route("b.example")],
            patterns: Vec::new(),
            exceptions: Vec::new(),
            supervise: None,
        }
    }

    fn refusal(change: impl FnOnce(String) -> String) -> String {
        let text = yaml::emit(&sample()).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "the case changes nothing");
        RoutesFile::read(changed).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_is_written() {
        assert_eq!(RoutesFile::read(yaml::emit(&sample()).unwrap()).unwrap(), sample());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_place() {
        let error = refusal(|text| text.replace("  connections: 1024", "  conections: 1024"));
        assert!(error.starts_with("line 14, column 3: limits.conections: unknown field"), "{error}");
        let error = refusal(|text| text + "extra: 1\n");
        assert!(error.contains("extra: unknown field `extra`"), "{error}");
        let error =
            refusal(|text| text.replacen("    encoded_slash", "    websockets: true\n    encoded_slash", 1));
        assert!(error.contains("routes[0].websockets: unknown field"), "{error}");
    }

    /// What is not said is not guessed: no key has a default, not even an optional one.
    #[test]
    fn every_key_must_be_there() {
        let text = yaml::emit(&sample()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let mut tried = 0;
        for (index, line) in lines.iter().enumerate() {
            let is_leaf = line.contains(": ") && !line.trim_start().starts_with("- ");
            if is_leaf {
                let without: Vec<&str> = [&lines[..index], &lines[index + 1..]].concat();
                let error = RoutesFile::read(without.join("\n") + "\n").unwrap_err().to_string();
                let key = line.trim().split(':').next().unwrap();
                assert!(error.contains(&format!("missing field `{key}`")), "{line}: {error}");
                tried += 1;
            }
        }
        assert!(tried > 30, "{tried}");
    }

    #[test]
    fn values_that_would_fail_later_fail_now() {
        let cases: [(&str, &str, &str); 19] = [
            ("version: 1", "version: 2", "version: this bottle reads version 1, not 2"),
            ("idle_seconds: 900", "idle_seconds: 0", "limits.idle_seconds: 0 would refuse everything"),
            (
                "host: b.example",
                "host: a.example",
                "routes[1].host: `a.example` has a rule already, routes[0]",
            ),
            (
                "proxy: pipelock:8888",
                "proxy: pipelock",
                "upstream.proxy: `pipelock` is not an address of pipelock",
            ),
            (
                "header: authorization",
                "header: Authorization",
                "routes[0].auth.header: `Authorization` is not a field name",
            ),
            ("username: null", "username: \"a:b\"", "routes[0].auth.username: a user name holds neither"),
            (
                "secret_file: /run/secrets/TOKEN",
                "secret_file: TOKEN",
                "routes[0].auth.secret_file: must be an absolute path",
            ),
            ("      - 443", "      - 80", "routes[0].auth: a credential never goes over plain http"),
            (
                "host: b.example",
                "host: B.example",
                "routes[1].host: must be written in its canonical form, `b.example`",
            ),
            ("host: b.example", "host: bad_host", "routes[1].host: "),
            ("      - GET", "      - TRACE", "routes: egress_proxy.routes[0]: TRACE can't be allowed"),
            ("path_allowlist: any", "path_allowlist: [\"/a/../b\"]", "routes[0].path_allowlist[0]: "),
            ("deny_paths: []", "deny_paths: [/a/]", "routes[0].deny_paths[0]: the path ends in `/`"),
            (
                "deny_paths: []",
                "deny_paths: [/a]",
                "routes: egress_proxy.routes[0]: deny_paths can't hold without",
            ),
            (
                "- \"refs/heads/agent/*\"",
                "- \"heads/agent/*\"",
                "routes[0].git_push.refs[0]: a full name begins with `refs/`",
            ),
            (
                "max_pack: 1048576",
                "max_pack: 0",
                "routes[0].git_push.max_pack: from 1 to 134217728 bytes (128 MiB)",
            ),
            ("max_pack: 1048576", "max_pack: 134217729", "routes[0].git_push.max_pack: from 1 to"),
            (
                "host: a.example",
                "host: \"*.a.example\"",
                "routes[0].git_push: a push goes to a host that is named",
            ),
            (
                "path_allowlist: any",
                "path_allowlist: all",
                "routes[0].path_allowlist: invalid value: string \"all\", expected `any` or a list",
            ),
        ];
        for (from, to, expected) in cases {
            let error = refusal(|text| text.replacen(from, to, if to == "host: a.example" { 2 } else { 1 }));
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
