//! GraphQL and JSON-RPC: what is read of a request is what decides, and what is sent is what was read.

use super::harness::{Answer, Stack, names, only, route};
use bottle::config::routes::{AnyOr, Graphql, RouteEntry, Rpc};
use bottle::policy::GraphqlOperation;
use std::io::Write as _;

async fn stack() -> Stack {
    Stack::with(|config| {
        config.routes = vec![
            RouteEntry {
                path_allowlist: only(&["/graphql", "/mcp", "/repos"]),
                graphql: Some(Graphql {
                    paths: only(&["/graphql"]),
                    operations: vec![GraphqlOperation::Query],
                    fields: only(&["viewer", "repository"]),
                }),
                rpc: Some(Rpc { paths: only(&["/mcp"]), methods: names(&["tools/list"]) }),
                ..route("api.test")
            },
            RouteEntry {
                graphql: Some(Graphql {
                    paths: AnyOr::Any,
                    operations: vec![GraphqlOperation::Query],
                    fields: AnyOr::Any,
                }),
                ..route("all.test")
            },
        ];
    })
    .await
}

async fn post(stack: &Stack, path: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nContent-Length: {length}"
    );
    stack.request("api.test:443", &head, body).await
}

#[tokio::test]
async fn graphql_not_allowed() {
    let stack = stack().await;
    let good = r#"{"query":"query { viewer { login } }"}"#;
    assert_eq!(post(&stack, "/graphql", good).await.status, 200);
    assert_eq!(stack.pipelock.only().body, good.as_bytes(), "what was read is what is sent");
    let answer = post(&stack, "/graphql", r#"{"query":"mutation { createIssue { id } }"}"#).await;
    insta::assert_snapshot!(answer.message());
    for body in [
        r#"{"query":"mutation { x }"}"#,
        r#"{"query":"{ viewer }","\u0071uery":"mutation { x }"}"#,
        r#"[{"query":"{ viewer }"},{"query":"mutation { x }"}]"#,
        r#"{"query":"{ ...F } fragment F on Query { organization { x } }"}"#,
        r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}"#,
    ] {
        post(&stack, "/graphql", body).await.assert_refused(403, "graphql_not_allowed");
        post(&stack, "/GraphQL", body).await.assert_refused(403, "path_not_allowed");
    }
    assert_eq!(post(&stack, "/repos", "{\"anything\":1}").await.status, 200);
    assert_eq!(stack.pipelock.seen().len(), 2, "nothing of what is refused was sent");
}

#[tokio::test]
async fn rpc_not_allowed() {
    let stack = stack().await;
    assert_eq!(post(&stack, "/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await.status, 200);
    assert_eq!(stack.get("api.test", "/mcp").await.status, 200);
    let answer = post(&stack, "/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#).await;
    insta::assert_snapshot!(answer.message());
    for body in [
        r#"[{"method":"tools/list"},{"method":"tools/call"}]"#,
        r#"{"method":"tools/list","\u006dethod":"tools/call"}"#,
        r#"{"method":"tools/list","METHOD":"tools/call"}"#,
    ] {
        post(&stack, "/mcp", body).await.assert_refused(403, "rpc_not_allowed");
    }
    stack.get("api.test", "/mcp?method=tools/call").await.assert_refused(403, "rpc_not_allowed");
    assert_eq!(stack.pipelock.seen().len(), 2);
}

/// In a stream that does not say its length, behind a content coding, too large, cut off, on any path of the host.
#[tokio::test]
async fn a_body_does_not_hide() {
    let stack = stack().await;
    let request = |fields: &str| {
        format!("POST /any HTTP/1.1\r\nHost: all.test\r\nContent-Type: application/json\r\n{fields}")
    };
    let mutation = r#"{"query":"mutation{dropAll}"}"#;
    let chunks: String =
        mutation.chars().fold(String::new(), |sent, c| sent + "1\r\n" + &c.to_string() + "\r\n")
            + "0\r\n\r\n";
    let chunked = request("Transfer-Encoding: chunked");
    stack.request("all.test:443", &chunked, &chunks).await.assert_refused(403, "graphql_not_allowed");
    let large = format!(r#"{{"query":"{{a}}","variables":{{"a":"{}"}}}}"#, "a".repeat(1024 * 1024));
    let head = request(&format!("Content-Length: {}", large.len()));
    stack.request("all.test:443", &head, &large).await.assert_refused(413, "body_too_large");
    let coded = request(&format!("Content-Encoding: br\r\nContent-Length: {}", mutation.len()));
    stack.request("all.test:443", &coded, mutation).await.assert_refused(400, "malformed_request");
    for (body, status) in [(mutation, 403), (r#"{"query":"{a}"}"#, 200)] {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(body.as_bytes()).unwrap();
        let zipped = writer.finish().unwrap();
        let mut wire = stack.tunnel("all.test:443").await;
        let head = request(&format!("Content-Encoding: gzip\r\nContent-Length: {}", zipped.len()));
        let answer =
            super::harness::exchange(&mut wire, [head.as_bytes(), b"\r\n\r\n", &zipped].concat()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(stack.pipelock.seen().len(), 1);
    let record = stack.audit.text();
    assert!(!record.contains("dropAll"), "no record repeats a body: {record}");
}
