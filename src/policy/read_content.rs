//! Whether a request is what [`ContentRules`] want.

use super::{
    content::ContentRules,
    decide::by_rule,
    decoding::decode_once,
    graphql::{GraphqlCount, GraphqlRule, MOST_OPERATIONS},
    json::{Member, Members, Messages},
    method::Method,
    refusal::{Reason, Refusal},
    route::Route,
    rpc::{MOST_MESSAGES, RpcRule},
    target::Target,
};

/// What is read of a request beside its target.
#[derive(Clone, Copy, Debug)]
pub struct Content<'c> {
    /// Its method.
    pub method: &'c Method,
    /// Its only content type.
    pub content_type: Option<&'c [u8]>,
    /// Its whole body, without a content coding; empty where there is none.
    pub body: &'c [u8],
}

impl Route {
    /// Decides on what a request says beside its head. Only for one that [`super::Policy::decide`] has allowed.
    pub fn check_content(&self, target: &Target, content: Content<'_>) -> Result<(), Refusal> {
        let ContentRules { graphql, rpc } = &self.content;
        if let Some(it) = graphql.as_ref().filter(|it| it.holds(&target.path)) {
            check_graphql(self, &it.rule, target.query.as_deref(), content)
                .map_err(|fault| refused(Reason::GraphqlNotAllowed, "GraphQL", &fault, self))?;
        }
        if let Some(it) = rpc.as_ref().filter(|it| it.holds(&target.path)) {
            check_rpc(self, &it.rule, target.query.as_deref(), content)
                .map_err(|fault| refused(Reason::RpcNotAllowed, "JSON-RPC", &fault, self))?;
        }
        Ok(())
    }
}

fn refused(reason: Reason, what: &str, fault: &str, route: &Route) -> Refusal {
    by_rule(reason, &format!("the {what} of this request to {} is not allowed: {fault}", route.host), route)
}

/// GraphQL over HTTP: POST with JSON, or GET with the query in the URL.
fn check_graphql(
    route: &Route,
    rule: &GraphqlRule,
    query: Option<&str>,
    content: Content<'_>,
) -> Result<(), String> {
    let mut count = GraphqlCount::default();
    match content.method.as_str() {
        "GET" | "HEAD" => {
            no_body(content)?;
            let parameters = parameters(route, query, &["query", "operationName", "variables"])?;
            let value =
                |name: &str| parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
            let document = value("query").ok_or(NO_DOCUMENT)?;
            let name = value("operationName").filter(|name| !name.is_empty());
            rule.check(document, name, &mut count).map_err(|fault| fault.to_string())
        }
        "POST" => {
            parameters(route, query, &[])?;
            let messages = messages(content, MOST_OPERATIONS)?;
            messages.each().try_for_each(|message| check_graphql_message(rule, message, &mut count))
        }
        other => Err(format!("{other} is none of its methods, POST and GET")),
    }
}

const NO_DOCUMENT: &str = "it has no `query`; a persisted query is not understood, send the document itself";

fn check_graphql_message(
    rule: &GraphqlRule,
    message: &Members<'_>,
    count: &mut GraphqlCount,
) -> Result<(), String> {
    let known = ["query", "operationName", "variables", "extensions"];
    if let Some(name) = message.names().find(|name| !known.contains(name)) {
        let name: String = name.chars().take(100).collect();
        return Err(format!(
            "its member `{}` is none of {}; a persisted query is not understood, send the document itself",
            name.escape_debug(),
            known.join(", ")
        ));
    }
    let document = message.get("query").and_then(Member::text).ok_or(NO_DOCUMENT)?;
    let name = match message.get("operationName") {
        Some(name) if !name.is_null() => Some(name.text().ok_or("its `operationName` is not a string")?),
        _ => None,
    }
    .filter(|name| !name.is_empty());
    if message.get("variables").is_some_and(|it| !it.is_null() && !it.is_object()) {
        return Err("its `variables` are not an object".to_owned());
    }
    if let Some(extensions) = message.get("extensions").filter(|it| !it.is_null()) {
        // What a server does with others is its own; Apollo's names a document by its hash.
        let members = extensions.members().ok_or("its `extensions` are not an object")?;
        if members.names().any(|name| name != "clientLibrary") {
            return Err(
                "its `extensions` hold more than `clientLibrary`; a persisted query is not understood, send \
                        the document itself"
                    .to_owned(),
            );
        }
    }
    rule.check(&document, name.as_deref(), count).map_err(|fault| fault.to_string())
}

/// JSON-RPC over HTTP as MCP has it: POST with messages; GET opens a stream of the server's, DELETE ends a session.
fn check_rpc(route: &Route, rule: &RpcRule, query: Option<&str>, content: Content<'_>) -> Result<(), String> {
    parameters(route, query, &[])?;
    match content.method.as_str() {
        "GET" | "HEAD" | "DELETE" => no_body(content),
        "POST" => {
            let messages = messages(content, MOST_MESSAGES)?;
            messages.each().try_for_each(|message| rule.check(message).map_err(|fault| fault.to_string()))
        }
        other => Err(format!("{other} is none of its methods, POST, GET and DELETE")),
    }
}

fn no_body(content: Content<'_>) -> Result<(), String> {
    if content.body.is_empty() { Ok(()) } else { Err(format!("a {} with a body", content.method)) }
}

fn messages(content: Content<'_>, most: usize) -> Result<Messages<'_>, String> {
    if !is_json(content.content_type.unwrap_or_default()) {
        return Err("its content type is not application/json".to_owned());
    }
    Messages::read(content.body, most).map_err(|error| format!("its body is not as it must be: {error}"))
}

/// `application/json`, in UTF-8 if it says so.
fn is_json(content_type: &[u8]) -> bool {
    let text = content_type.to_ascii_lowercase();
    let mut parts = text.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    parts.next() == Some(b"application/json")
        && match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some(only), None) => matches!(only, b"charset=utf-8" | b"charset=\"utf-8\""),
            _ => false,
        }
}

/// The parameters of a query, decoded, each once: those in `read`, and those that the route's own `query` names.
/// Some servers take a document or a method from the query, whatever the body says.
fn parameters(route: &Route, query: Option<&str>, read: &[&str]) -> Result<Vec<(String, String)>, String> {
    let query = query.unwrap_or_default();
    if query.contains(';') {
        return Err("its query holds a `;`, at which some servers split; write %3B".to_owned());
    }
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name)?;
        let of_route = route.query.iter().any(|rule| rule.name == name);
        if !of_route && !read.contains(&name.as_str()) {
            let name: String = name.chars().take(100).collect();
            return Err(format!("the parameter `{}` of its query is not read", name.escape_debug()));
        }
        if parameters.iter().any(|(other, _)| *other == name) {
            return Err(format!("the parameter `{name}` is there twice"));
        }
        parameters.push((name, decoded(value)?));
    }
    Ok(parameters)
}

/// As a form is read. What a server could decode once more is refused.
fn decoded(text: &str) -> Result<String, String> {
    let spaced = text.replace('+', " ");
    let bytes = decode_once(spaced.as_bytes()).unwrap_or_else(|| spaced.into_bytes());
    if decode_once(&bytes).is_some() {
        return Err("its query is percent-encoded twice".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "its query is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
