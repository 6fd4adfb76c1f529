//! Framing: a message that two readers could read differently is refused and its connection closed.

use super::harness::{Stack, exchange, read_answer};

/// Sends a request in a tunnel: 400 or its like, closed, recorded, and nothing of it left.
async fn assert_malformed(request: &str) {
    let stack = Stack::start().await;
    let mut tunnel = stack.tunnel("open.test:443").await;
    let answer = exchange(&mut tunnel, request.as_bytes()).await;
    answer.assert_refused(400, "malformed_request");
    // However the connection ends, no second answer comes on it.
    let (rest, _) = tunnel.rest().await;
    assert!(rest.is_empty(), "{request:?} {rest:?}");
    assert!(stack.pipelock.seen().is_empty(), "{request:?} {:?}", stack.pipelock.seen());
    let record = stack.record().await;
    assert_eq!(record.reason.as_deref(), Some("malformed_request"));
    assert_eq!(record.host.as_deref(), Some("open.test"));
}

#[tokio::test]
async fn content_length_with_transfer_encoding() {
    let head = "POST / HTTP/1.1\r\nHost: open.test\r\n";
    assert_malformed(&format!("{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
        .await;
    assert_malformed(&format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"))
        .await;
}

#[tokio::test]
async fn several_content_lengths() {
    let head = "POST / HTTP/1.1\r\nHost: open.test\r\n";
    assert_malformed(&format!("{head}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx")).await;
    assert_malformed(&format!("{head}Content-Length: 1, 1\r\n\r\nx")).await;
    assert_malformed(&format!("{head}Content-Length: +1\r\n\r\nx")).await;
}

#[tokio::test]
async fn a_transfer_encoding_that_is_not_chunked_alone() {
    let head = "POST / HTTP/1.1\r\nHost: open.test\r\n";
    for coding in ["gzip, chunked", "chunked, identity", "xchunked", "chunked\r\nTransfer-Encoding: chunked"]
    {
        assert_malformed(&format!("{head}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn folded_lines_bare_line_feeds_and_names_with_spaces() {
    assert_malformed("GET / HTTP/1.1\r\nHost: open.test\r\nX-A: 1\r\n 2\r\n\r\n").await;
    assert_malformed("GET / HTTP/1.1\nHost: open.test\n\n").await;
    assert_malformed("GET / HTTP/1.1\r\nHost: open.test\r\nX-A : 1\r\n\r\n").await;
    assert_malformed("GET / HTTP/1.1\r\nHost: open.test\r\nX A: 1\r\n\r\n").await;
    assert_malformed("GET / HTTP/1.1\r\nHost: open.test\r\nX-A: \0\r\n\r\n").await;
    assert_malformed("GET / HTTP/1.1\r\nHost: open.test\r\nX-A: a\rb\r\n\r\n").await;
}

#[tokio::test]
async fn no_host_several_hosts_and_a_list_of_hosts() {
    assert_malformed("GET / HTTP/1.1\r\n\r\n").await;
    assert_malformed("GET / HTTP/1.1\r\nHost: open.test\r\nHost: open.test\r\n\r\n").await;
    assert_malformed("GET / HTTP/1.1\r\nHost: open.test, api.test\r\n\r\n").await;
}

#[tokio::test]
async fn several_content_types() {
    let stack = Stack::start().await;
    let head = "POST /a HTTP/1.1\r\nHost: open.test\r\nContent-Type: text/plain\r\nContent-Type: \
                application/x-git-receive-pack-request\r\nContent-Length: 0";
    stack.request("open.test:443", head, "").await.assert_refused(400, "malformed_request");
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn a_bad_chunk_ends_the_request() {
    let stack = Stack::start().await;
    let head = "POST /a HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked";
    for body in
        ["zz\r\nx\r\n0\r\n\r\n", "-1\r\nx\r\n0\r\n\r\n", "1;\0\r\nx\r\n0\r\n\r\n", "ffffffffffffffff\r\nx"]
    {
        let answer = stack.request("open.test:443", head, body).await;
        answer.assert_refused(400, "malformed_request");
    }
    assert!(stack.pipelock.seen().is_empty(), "a whole request arrived: {:?}", stack.pipelock.seen());
}

#[tokio::test]
async fn a_fragment_in_the_target_is_refused_and_not_dropped() {
    let stack = Stack::start().await;
    for path in ["/a#/../admin", "/a?b#c"] {
        stack.get("open.test", path).await.assert_refused(400, "malformed_target");
    }
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn the_path_that_was_matched_is_the_path_that_is_sent() {
    let stack = Stack::start().await;
    for (path, sent) in [
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/v1/%6dessages/x", "/v1/messages/x"),
        ("/repos/me/app?q=%2e%2e/", "/repos/me/app?q=%2e%2e/"),
    ] {
        assert_eq!(stack.get("paths.test", path).await.status, 200, "{path}");
        assert_eq!(stack.pipelock.seen().last().unwrap().uri, format!("https://paths.test{sent}"));
    }
    let before = stack.pipelock.seen().len();
    for path in [
        "/v1/messages/../../admin",
        "/v1/messages/%2e%2e/x",
        "/v1/messages/..;a=1/x",
        "/v1//messages",
        "/v1%2Fmessages",
    ] {
        stack.get("paths.test", path).await.assert_refused(400, "malformed_target");
    }
    for path in ["/v1/messages-evil", "/V1/messages", "/repos/a/b/app", "/"] {
        stack.get("paths.test", path).await.assert_refused(403, "path_not_allowed");
    }
    assert_eq!(stack.pipelock.seen().len(), before);
}

#[tokio::test]
async fn fields_of_one_connection_end_at_this_proxy() {
    let stack = Stack::start().await;
    let head = "GET /a HTTP/1.1\r\nHost: api.test\r\nConnection: keep-alive, authorization, x-hop, te\r\nX-Hop: 1\r\n\
                Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\
                Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nTE: trailers\r\ntraceparent: 2";
    assert_eq!(stack.request("api.test:443", head, "").await.status, 200);
    let seen = stack.pipelock.only();
    let mut names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["accept-encoding", "authorization", "te", "traceparent"],
        "what Connection names can't take ours away"
    );
}

#[tokio::test]
async fn trace_other_cases_and_overrides_of_a_method() {
    let stack = Stack::start().await;
    for method in ["TRACE", "trace", "get", "POST"] {
        let head = format!("{method} /a HTTP/1.1\r\nHost: read.test\r\nContent-Length: 0");
        stack.request("read.test:443", &head, "").await.assert_refused(403, "method_not_allowed");
    }
    stack.pipelock.assert_untouched();
    let head = "GET /a HTTP/1.1\r\nHost: read.test\r\nX-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: PUT\r\n\
                X-Method-Override: PUT\r\nX-Original-URL: /admin\r\nX-Rewrite-Url: /admin\r\nX-Forwarded-Host: evil.example";
    assert_eq!(stack.request("read.test:443", head, "").await.status, 200);
    assert_eq!(stack.pipelock.only().headers.len(), 0, "{:?}", stack.pipelock.only().headers);
}

#[tokio::test]
async fn a_method_that_nobody_listed_never_leaves_and_can_carry_nothing() {
    let stack = Stack::start().await;
    for method in ["MKCOL", "PROPFIND", "QUERY", "PURGE", "M-SEARCH", "PRI", "gh_p"] {
        let head = format!("{method} /a HTTP/1.1\r\nHost: open.test\r\nContent-Length: 0");
        let answer = stack.request("open.test:443", &head, "").await;
        answer.assert_refused(403, "method_not_allowed");
        let why = "whose rule lists none; usual are GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert!(answer.message().contains(why), "{answer:?}");
    }
    let token = format!("ghp_{}", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8");
    for method in [token.clone(), "M".repeat(33), "M".repeat(8000)] {
        let head = format!("{method} /a HTTP/1.1\r\nHost: open.test\r\nContent-Length: 0");
        let answer = stack.request("open.test:443", &head, "").await;
        answer.assert_refused(400, "malformed_request");
        assert!(answer.message().contains("the method is not a token of 32 bytes at most"), "{answer:?}");
    }
    stack.pipelock.assert_untouched();
    stack.records(10).await;
    assert!(!stack.audit.text().contains(&token[..32]), "{}", stack.audit.text());
    // An answer to HEAD has a length and no body, which this client does not know.
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let head =
            format!("{method} /a HTTP/1.1\r\nHost: open.test\r\nContent-Length: 0\r\nConnection: close");
        assert_eq!(stack.request("open.test:443", &head, "").await.status, 200, "{method}");
    }
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let stack = Stack::start().await;
    let mut tunnel = stack.tunnel("open.test:443").await;
    let two = "POST /1 HTTP/1.1\r\nHost: open.test\r\nContent-Length: 3\r\n\r\nabc\
               POST /2 HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n";
    tunnel.send(two.as_bytes()).await;
    for _ in 0..2 {
        assert_eq!(read_answer(&mut tunnel).await.status, 200);
    }
    let answer = exchange(&mut tunnel, b"GET /3 HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    let seen = stack.pipelock.seen();
    assert_eq!(seen.iter().map(|s| s.method.as_str()).collect::<Vec<_>>(), ["POST", "POST", "GET"]);
    let asked: Vec<_> = seen.iter().map(|s| (s.uri.as_str(), s.body.as_ref())).collect();
    assert_eq!(
        asked,
        [
            ("https://open.test/1", b"abc".as_slice()),
            ("https://open.test/2", b"de"),
            ("https://open.test/3", b""),
        ]
    );
    let records = stack.records(3).await;
    assert_eq!(records.iter().map(|r| r.request_bytes).collect::<Vec<_>>(), [3, 2, 0]);
    assert!(records.iter().all(|r| r.connection == records[0].connection));
}
