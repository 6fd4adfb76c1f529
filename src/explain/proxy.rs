//! The two proxies by their names.

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// The first one.
    EgressProxy,
    /// The second, or only one.
    Pipelock,
}

impl Proxy {
    /// Its name, as it stands in audit records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Proxy::EgressProxy => "egress-proxy",
            Proxy::Pipelock => "pipelock",
        }
    }
}
