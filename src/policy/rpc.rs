//! What a JSON-RPC request may call (JSON-RPC 2.0, and MCP, which speaks it): methods by their exact names.
//!
//! A server reads a message by its members, and servers differ in which of two it takes, and in whether `Method` is
//! `method`: a message has the members of JSON-RPC, each once, and nothing else.

use super::{json::Members, listed::shorten};
use serde::Serialize;
use std::fmt;

/// Messages of one batch.
pub(super) const MOST_MESSAGES: usize = 50;

/// What a JSON-RPC request may call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RpcRule {
    /// Methods, those of notifications among them; none allows nothing but answers to the server.
    pub methods: Vec<String>,
}

/// `tools/list or tools/call`.
impl fmt::Display for RpcRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shorten(self.methods.iter().cloned()).join(" or "))
    }
}

/// Why a message is not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcFault {
    /// A member that JSON-RPC does not have.
    #[error("its member `{0}` is none of JSON-RPC")]
    Member(String),
    /// Neither a call nor an answer, or both.
    #[error("it is neither a call, with a `method`, nor an answer, with a `result` or an `error`")]
    Neither,
    /// A method that is no text.
    #[error("its `method` is not a string")]
    NotAMethod,
    /// A method that the rule does not list.
    #[error("the method `{0}` is not allowed")]
    Method(String),
}

impl RpcRule {
    /// Whether a text can be listed: what is compared must be what a person reads.
    #[must_use]
    pub fn is_method(text: &str) -> bool {
        !text.is_empty() && text.len() <= 100 && text.bytes().all(|b| b.is_ascii_graphic())
    }

    /// Whether all that this rule allows is allowed by `other`, too.
    #[must_use]
    pub fn is_within(&self, other: &RpcRule) -> bool {
        self.methods.iter().all(|method| other.methods.contains(method))
    }

    /// Looks at one message, of a batch perhaps: a call, a notification, or an answer to what the server asked.
    pub(super) fn check(&self, message: &Members<'_>) -> Result<(), RpcFault> {
        let known = ["jsonrpc", "id", "method", "params", "result", "error"];
        if let Some(name) = message.names().find(|name| !known.contains(name)) {
            return Err(RpcFault::Member(name.chars().take(100).collect()));
        }
        let answer = message.get("result").is_some() || message.get("error").is_some();
        match message.get("method") {
            None if answer => Ok(()),
            Some(method) if !answer => {
                let method = method.text().ok_or(RpcFault::NotAMethod)?;
                let allowed = self.methods.contains(&method);
                if allowed { Ok(()) } else { Err(RpcFault::Method(method.chars().take(100).collect())) }
            }
            _ => Err(RpcFault::Neither),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Messages;
    use super::*;

    fn check(body: &str) -> Result<(), RpcFault> {
        let rule = RpcRule { methods: vec!["tools/list".to_owned(), "notifications/initialized".to_owned()] };
        Messages::read(body.as_bytes(), MOST_MESSAGES).unwrap().each().try_for_each(|one| rule.check(one))
    }

    #[test]
    fn calls_notifications_and_answers_pass() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"method":"x","method":"y"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":"a","result":{"method":"tools/call"}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":""}}"#,
            r#"[{"method":"tools/list","id":1},{"id":2,"result":null}]"#,
            r#"{"\u006dethod":"tools\/list"}"#,
        ] {
            assert_eq!(check(body), Ok(()), "{body}");
        }
    }

    #[test]
    fn a_method_does_not_hide() {
        let method = |name: &str| RpcFault::Method(name.to_owned());
        for (body, fault) in [
            (r#"{"method":"tools/call"}"#, method("tools/call")),
            (r#"[{"method":"tools/list"},{"method":"tools/call"}]"#, method("tools/call")),
            (r#"{"method":"Tools/List"}"#, method("Tools/List")),
            (r#"{"method":"tools/list\u0000"}"#, method("tools/list\0")),
            (r#"{"method":" tools/list"}"#, method(" tools/list")),
            (r#"{"method":"tools/list","Method":"tools/call"}"#, RpcFault::Member("Method".to_owned())),
            (r#"{"method":"tools/list","method ":"x"}"#, RpcFault::Member("method ".to_owned())),
            (r#"{"method":["tools/list"]}"#, RpcFault::NotAMethod),
            (r#"{"method":null}"#, RpcFault::NotAMethod),
            (r#"{"method":"tools/list","result":1}"#, RpcFault::Neither),
            (r#"{"method":"tools/call","error":{}}"#, RpcFault::Neither),
            (r#"{"id":1}"#, RpcFault::Neither),
            ("{}", RpcFault::Neither),
        ] {
            assert_eq!(check(body), Err(fault), "{body}");
        }
    }
}
