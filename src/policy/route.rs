//! What may be requested of one host.

use super::{
    content::ContentRules,
    deny_path::DenyPath,
    host_pattern::HostPattern,
    method::Method,
    path::{CanonicalPath, PathRules},
    pattern::PathPattern,
    push::PushRules,
    query::QueryRule,
};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// The port of plain http; every other port is TLS.
pub(super) const PLAIN_HTTP: u16 = 80;

/// What may be requested of one host.
///
/// Every list is closed: `Some` of an empty list allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it stands in the manifest, as a pointer: `egress_proxy.routes[1]`, `egress.allowlist[0]`.
    pub source: String,
    /// The host, or the hosts one label below another; it names the route in logs and denials.
    pub host: HostPattern,
    /// 80 is plain http, every other one TLS.
    pub ports: Vec<u16>,
    /// `None` is [`Method::USUAL`].
    pub methods: Option<Vec<Method>>,
    /// The paths, each with what lies below it; `None` is every path.
    pub path_allowlist: Option<Vec<PathPattern>>,
    /// What stays refused of them, each with what lies below it; only beside a `path_allowlist`.
    pub deny_paths: Vec<DenyPath>,
    /// What the query must say; no entry asks for nothing.
    pub query: Vec<QueryRule>,
    /// What its requests must be beside HTTP.
    pub content: ContentRules,
    /// Its connections may go on as WebSocket.
    pub websocket: bool,
    /// What a git push may change; `None` refuses every push.
    pub push: Option<PushRules>,
    /// `%2F` may stand inside a segment of an allowed path.
    pub encoded_slash: bool,
    /// The last day (UTC) on which anything is allowed.
    pub until: Option<Date>,
    /// Why it is there, in the words of who wrote it.
    pub reason: Option<String>,
}

impl Route {
    /// Every request to a host over https, on port 443.
    #[must_use]
    pub fn open(host: impl Into<HostPattern>, source: impl Into<String>) -> Route {
        Route {
            source: source.into(),
            host: host.into(),
            ports: vec![443],
            methods: None,
            path_allowlist: None,
            deny_paths: Vec::new(),
            query: Vec::new(),
            content: ContentRules::default(),
            websocket: false,
            push: None,
            encoded_slash: false,
            until: None,
            reason: None,
        }
    }

    /// What the rule says about the form of its paths.
    #[must_use]
    pub fn path_rules(&self) -> PathRules {
        PathRules { allowlisted: self.path_allowlist.is_some(), encoded_slash: self.encoded_slash }
    }

    /// The entry of `deny_paths` that refuses the path.
    #[must_use]
    pub fn denied(&self, path: &CanonicalPath) -> Option<&DenyPath> {
        self.deny_paths.iter().find(|entry| entry.matches(path))
    }

    /// What the query must say: names of parameters and their values.
    #[must_use]
    pub fn query_values(&self) -> BTreeMap<String, Vec<String>> {
        self.query.iter().map(|rule| (rule.name.clone(), rule.values.clone())).collect()
    }

    /// The methods that the rule allows.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        self.methods.as_deref().unwrap_or(Method::USUAL)
    }

    /// Whether the rule allows the method.
    #[must_use]
    pub fn allows_method(&self, method: &Method) -> bool {
        !method.is_never_allowed() && self.methods().contains(method)
    }

    /// Whether the rule still holds on the day.
    #[must_use]
    pub fn holds_on(&self, today: Date) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}
