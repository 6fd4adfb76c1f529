use super::super::{
    content::Below,
    deny_path::DenyPath,
    graphql::GraphqlOperation,
    path::PathRules,
    query::QueryRule,
    testing::{route, route_with_paths},
};
use super::*;

const FORM: PathRules = PathRules { allowlisted: true, encoded_slash: false };

fn entries(paths: &[&str]) -> Option<Vec<DenyPath>> {
    (!paths.is_empty()).then(|| paths.iter().map(|path| DenyPath::parse(path).unwrap()).collect())
}

fn graphql(paths: &[&str]) -> Below<GraphqlRule> {
    let rule =
        GraphqlRule { operations: vec![GraphqlOperation::Query], fields: Some(vec!["viewer".to_owned()]) };
    Below { paths: entries(paths), rule }
}

fn rpc(paths: &[&str]) -> Below<RpcRule> {
    Below { paths: entries(paths), rule: RpcRule { methods: vec!["tools/list".to_owned()] } }
}

fn ask(route: &Route, method: &str, target: &str, kind: &str, body: &str) -> Result<(), (Reason, String)> {
    let target = Target::parse(target.as_bytes(), FORM).unwrap();
    let method = Method::parse(method).unwrap();
    let content_type = (!kind.is_empty()).then_some(kind.as_bytes());
    let content = Content { method: &method, content_type, body: body.as_bytes() };
    route.check_content(&target, content).map_err(|refusal| (refusal.reason, refusal.message))
}

fn of_graphql() -> Route {
    Route { content: ContentRules { graphql: Some(graphql(&[])), rpc: None }, ..route("api.test") }
}

fn of_rpc() -> Route {
    Route { content: ContentRules { graphql: None, rpc: Some(rpc(&[])) }, ..route("api.test") }
}

fn refused(route: &Route, method: &str, target: &str, kind: &str, body: &str, why: &str) {
    let (_, message) = ask(route, method, target, kind, body).unwrap_err();
    assert!(message.contains(why), "{method} {target} {kind} {body}: {message}");
}

const JSON: &str = "application/json";

#[test]
fn graphql_comes_in_json_or_in_a_query() {
    let route = of_graphql();
    for (method, target, kind, body) in [
        ("POST", "/graphql", JSON, r#"{"query":"{viewer{a}}"}"#),
        (
            "POST",
            "/graphql",
            "Application/JSON; charset=UTF-8",
            r#"{"query":"{viewer}","variables":{"a":{"a":1,"a":2}}}"#,
        ),
        (
            "POST",
            "/",
            JSON,
            r#"{"query":"query A{viewer}","operationName":"A","variables":null,"extensions":{}}"#,
        ),
        (
            "POST",
            "/",
            JSON,
            r#"{"query":"{viewer}","operationName":"","extensions":{"clientLibrary":{"name":"x"}}}"#,
        ),
        ("POST", "/", JSON, r#"[{"query":"{viewer}"},{"query":"{a:viewer}"}]"#),
        ("GET", "/graphql?query=%7Bviewer+%7Ba%7D%7D&variables=%7B%7D&operationName=", "", ""),
        ("HEAD", "/graphql?query={viewer}", "", ""),
    ] {
        assert_eq!(ask(&route, method, target, kind, body), Ok(()), "{method} {target} {body}");
    }
}

#[test]
fn what_else_a_graphql_server_may_read_is_refused() {
    let route = of_graphql();
    let body = r#"{"query":"{viewer}"}"#;
    for (method, target, kind, body, why) in [
        ("POST", "/", JSON, r#"{"query":"mutation{a}"}"#, "a mutation is not allowed"),
        ("POST", "/", JSON, r#"[{"query":"{viewer}"},{"query":"mutation{a}"}]"#, "a mutation is not allowed"),
        ("POST", "/", JSON, r#"{"query":"{viewer}","query":"mutation{a}"}"#, "a member is there twice"),
        ("POST", "/", JSON, r#"{"query":"{viewer}","\u0071uery":"mutation{a}"}"#, "a member is there twice"),
        ("POST", "/", JSON, r#"{"query":"{viewer}","Query":"mutation{a}"}"#, "its member `Query` is none of"),
        ("POST", "/", JSON, r#"{"id":"abc"}"#, "a persisted query is not understood"),
        (
            "POST",
            "/",
            JSON,
            r#"{"query":"{viewer}","documentId":"abc"}"#,
            "a persisted query is not understood",
        ),
        ("POST", "/", JSON, r#"{"extensions":{"persistedQuery":{}}}"#, "it has no `query`"),
        (
            "POST",
            "/",
            JSON,
            r#"{"query":"{viewer}","extensions":{"persistedQuery":{}}}"#,
            "a persisted query",
        ),
        ("POST", "/", JSON, r#"{"query":["mutation{a}"]}"#, "it has no `query`"),
        (
            "POST",
            "/",
            JSON,
            r#"{"query":"{viewer}","operationName":["B"]}"#,
            "its `operationName` is not a string",
        ),
        ("POST", "/", JSON, r#"{"query":"{viewer}","operationName":"B"}"#, "has no such operation"),
        ("POST", "/", JSON, r#"{"query":"{viewer}","variables":"{}"}"#, "its `variables` are not an object"),
        ("POST", "/", JSON, "", "its body is not as it must be"),
        ("POST", "/", JSON, "\"{viewer}\"", "its body is not as it must be"),
        ("POST", "/", "application/graphql", "{viewer}", "its content type is not application/json"),
        ("POST", "/", "application/x-www-form-urlencoded", "query={viewer}", "its content type"),
        ("POST", "/", "multipart/form-data; boundary=a", body, "its content type"),
        ("POST", "/", "text/plain", body, "its content type"),
        ("POST", "/", "", body, "its content type"),
        ("POST", "/", "application/json; charset=utf-16", body, "its content type"),
        ("POST", "/", "application/json, text/plain", body, "its content type"),
        ("POST", "/", "application/json; charset=utf-8; charset=utf-7", body, "its content type"),
        ("POST", "/?query=mutation{a}", JSON, body, "the parameter `query` of its query is not read"),
        ("POST", "/?operationName=B", JSON, body, "the parameter `operationName`"),
        ("POST", "/?x", JSON, body, "the parameter `x`"),
        ("GET", "/", "", "", "it has no `query`"),
        ("GET", "/?query=mutation{a}", "", "", "a mutation is not allowed"),
        ("GET", "/?query={viewer}&query=mutation{a}", "", "", "the parameter `query` is there twice"),
        ("GET", "/?query={viewer}&Query=mutation{a}", "", "", "the parameter `Query`"),
        ("GET", "/?query={viewer}%23;query=mutation{a}", "", "", "its query holds a `;`"),
        ("GET", "/?query={viewer(a:\"%2522){a}}\")}", "", "", "percent-encoded twice"),
        ("GET", "/?query={viewer}&extensions={\"persistedQuery\":{}}", "", "", "the parameter `extensions`"),
        ("GET", "/?id=1", "", "", "the parameter `id`"),
        ("GET", "/?query={viewer}", JSON, r#"{"query":"mutation{a}"}"#, "a GET with a body"),
        ("PUT", "/", JSON, body, "PUT is none of its methods, POST and GET"),
        ("DELETE", "/", "", "", "DELETE is none"),
    ] {
        refused(&route, method, target, kind, body, why);
    }
    let deep =
        format!(r#"{{"query":"{{viewer}}","variables":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    refused(&route, "POST", "/", JSON, &deep, "its `variables` are not an object");
}

#[test]
fn parameters_that_the_route_names_pass() {
    let query = vec![QueryRule { name: "api-version".to_owned(), values: vec!["1".to_owned()] }];
    let route = Route { query, ..of_graphql() };
    assert_eq!(ask(&route, "POST", "/?api-version=1", JSON, r#"{"query":"{viewer}"}"#), Ok(()));
    refused(
        &route,
        "POST",
        "/?api-version=1&query={a}",
        JSON,
        r#"{"query":"{viewer}"}"#,
        "the parameter `query`",
    );
}

#[test]
fn json_rpc_is_posted_and_its_stream_is_opened_and_ended() {
    let route = of_rpc();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (method, body) in [("POST", call), ("GET", ""), ("DELETE", ""), ("POST", r#"{"id":1,"result":{}}"#)] {
        let kind = if body.is_empty() { "" } else { JSON };
        assert_eq!(ask(&route, method, "/mcp", kind, body), Ok(()), "{method} {body}");
    }
    for (method, target, kind, body, why) in [
        ("POST", "/", JSON, r#"{"method":"tools/call"}"#, "the method `tools/call` is not allowed"),
        (
            "POST",
            "/",
            JSON,
            r#"{"method":"tools/list","\u006dethod":"tools/call"}"#,
            "a member is there twice",
        ),
        ("POST", "/", "text/plain", call, "its content type is not application/json"),
        ("POST", "/?method=tools/call", JSON, call, "the parameter `method` of its query is not read"),
        ("GET", "/?method=tools/call&params={}", "", "", "the parameter `method` of its query is not read"),
        ("GET", "/", JSON, r#"{"method":"tools/call"}"#, "a GET with a body"),
        ("DELETE", "/", JSON, call, "a DELETE with a body"),
        ("PUT", "/", JSON, call, "PUT is none of its methods, POST, GET and DELETE"),
    ] {
        refused(&route, method, target, kind, body, why);
    }
    let batch = |n: usize| format!("[{}]", vec![call; n].join(","));
    assert_eq!(ask(&route, "POST", "/", JSON, &batch(MOST_MESSAGES)), Ok(()));
    refused(&route, "POST", "/", JSON, &batch(MOST_MESSAGES + 1), "a batch of more than 50");
}

#[test]
fn a_rule_holds_below_its_paths_in_every_spelling_and_nowhere_else() {
    let content = ContentRules { graphql: Some(graphql(&["/graphql"])), rpc: Some(rpc(&["/mcp"])) };
    let route = Route { content, ..route_with_paths("api.test", &["/"]) };
    for held in ["/graphql", "/graphql/", "/GraphQL", "/graphql/x", "/graphql.", "/graphql.git"] {
        let (reason, _) = ask(&route, "POST", held, JSON, "{}").unwrap_err();
        assert_eq!(reason, Reason::GraphqlNotAllowed, "{held}");
    }
    assert_eq!(ask(&route, "POST", "/mcp", JSON, "{}").unwrap_err().0, Reason::RpcNotAllowed);
    assert_eq!(ask(&route, "POST", "/repos", "text/plain", "anything"), Ok(()));
}

#[test]
fn a_refusal_says_what_is_allowed() {
    let content = ContentRules { graphql: Some(graphql(&["/graphql"])), rpc: None };
    let route = Route { content, ..route_with_paths("api.test", &["/"]) };
    let (_, message) = ask(&route, "POST", "/graphql", JSON, r#"{"query":"{secrets}"}"#).unwrap_err();
    assert_eq!(
        message,
        "the GraphQL of this request to api.test is not allowed: the field `secrets` of a query is not allowed; allowed \
         there: usual methods / and below; GraphQL only on /graphql and below: query of viewer; retrying does not help"
    );
}

#[test]
fn more_operations_fields_or_a_smaller_place_are_more() {
    let wider = |new: &Below<GraphqlRule>, old: &Below<GraphqlRule>| new.exceeds(old, GraphqlRule::is_within);
    let (one, every) = (graphql(&["/graphql"]), graphql(&[]));
    assert!(!wider(&one, &one));
    assert!(wider(&one, &every), "elsewhere anything goes");
    assert!(!wider(&every, &one));
    assert!(!wider(&graphql(&["/"]), &one));
    let fields = |fields: Option<&[&str]>| {
        let mut it = graphql(&[]);
        it.rule.fields = fields.map(|list| list.iter().map(ToString::to_string).collect());
        it
    };
    assert!(wider(&fields(None), &every));
    assert!(wider(&fields(Some(&["viewer", "node"])), &every));
    assert!(!wider(&fields(Some(&[])), &every));
    let mut writes = graphql(&[]);
    writes.rule.operations.push(GraphqlOperation::Mutation);
    assert!(wider(&writes, &every));
}
