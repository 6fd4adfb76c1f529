//! Each reason code, with the whole of what the client gets.

use super::harness::{Answer, Stack, names, route};
use super::pipelock::{Manner, text};
use bottle::clock::Clock;
use bottle::config::routes::RouteEntry;

/// Status line, fields (but for the date) and body.
fn whole(answer: &Answer) -> String {
    let mut lines: Vec<&str> = answer.head.lines().filter(|line| !line.is_empty()).collect();
    lines.retain(|line| !line.to_lowercase().starts_with("date:"));
    format!("{}\n\n{}", lines.join("\n"), answer.body)
}

async fn get(stack: &Stack, host: &str, path: &str) -> String {
    whole(&stack.get(host, path).await)
}

#[tokio::test]
async fn host_not_allowed() {
    insta::assert_snapshot!(get(&Stack::start().await, "evil.example", "/").await);
}

#[tokio::test]
async fn port_not_allowed() {
    let stack = Stack::start().await;
    let answer = stack.raw("CONNECT api.test:22 HTTP/1.1\r\nHost: api.test:22\r\n\r\n").await;
    insta::assert_snapshot!(whole(&answer));
}

#[tokio::test]
async fn method_not_allowed() {
    let stack = Stack::start().await;
    let head = "POST /a HTTP/1.1\r\nHost: read.test\r\nContent-Length: 0";
    insta::assert_snapshot!(whole(&stack.request("read.test:443", head, "").await));
}

#[tokio::test]
async fn path_not_allowed() {
    insta::assert_snapshot!(get(&Stack::start().await, "paths.test", "/v1/models").await);
}

#[tokio::test]
async fn path_denied() {
    insta::assert_snapshot!(get(&Stack::start().await, "paths.test", "/repos/acme/app/Hooks/1").await);
}

#[tokio::test]
async fn query_not_allowed() {
    let stack = Stack::with(|config| {
        let query = [("action".to_owned(), names(&["query", "parse"]))].into();
        config.routes = vec![RouteEntry { query, ..route("wiki.test") }];
    })
    .await;
    insta::assert_snapshot!(get(&stack, "wiki.test", "/api.php?action=query&action=edit").await);
    // What is matched is what is sent, byte for byte.
    let good = "/api.php?x=1&action=%71uery&y=%2525";
    assert_eq!(stack.get("wiki.test", good).await.status, 200);
    assert_eq!(stack.pipelock.only().uri, format!("https://wiki.test{good}"));
    for bad in
        ["", "?", "?action=edit", "?Action=query", "?action=query;action=edit", "?action=query&%61ction=edit"]
    {
        stack.get("wiki.test", &format!("/api.php{bad}")).await.assert_refused(403, "query_not_allowed");
    }
}

#[tokio::test]
async fn rule_expired() {
    let clock = Clock::fixed(Clock::system().now());
    let yesterday = clock.today().yesterday().unwrap();
    let stack = Stack::build(&["h2"], clock, |config| {
        config.routes = vec![RouteEntry { until: Some(yesterday), ..route("old.test") }];
    })
    .await;
    let answer = get(&stack, "old.test", "/").await.replace(&yesterday.to_string(), "YESTERDAY");
    insta::assert_snapshot!(answer);
}

#[tokio::test]
async fn authority_mismatch() {
    let stack = Stack::start().await;
    insta::assert_snapshot!(whole(
        &stack.request("api.test:443", "GET / HTTP/1.1\r\nHost: open.test", "").await
    ));
}

#[tokio::test]
async fn malformed_authority() {
    let stack = Stack::start().await;
    let answer = stack.raw("CONNECT 169.254.169.254:443 HTTP/1.1\r\nHost: 169.254.169.254:443\r\n\r\n").await;
    insta::assert_snapshot!(whole(&answer));
}

#[tokio::test]
async fn malformed_target() {
    insta::assert_snapshot!(get(&Stack::start().await, "open.test", "/a/%2e%2e/b").await);
}

#[tokio::test]
async fn malformed_request() {
    let stack = Stack::start().await;
    let head = "GET / HTTP/1.1\r\nHost: open.test\r\nX-A: 1\r\n folded";
    insta::assert_snapshot!(whole(&stack.request("open.test:443", head, "").await));
}

#[tokio::test]
async fn upgrade_not_supported() {
    let stack = Stack::start().await;
    let head = "GET /socket HTTP/1.1\r\nHost: open.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13";
    insta::assert_snapshot!(whole(&stack.request("open.test:443", head, "").await));
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn credential_in_request() {
    let stack = Stack::start().await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: open.test\r\nX-Api-Key: sk-ant-{}",
        "api03-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8"
    );
    insta::assert_snapshot!(whole(&stack.request("open.test:443", &head, "").await));
}

#[tokio::test]
async fn git_push_as_git_sees_it() {
    let stack = Stack::start().await;
    let head =
        "GET /a.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: open.test\r\nUser-Agent: git/2.39.5";
    insta::assert_snapshot!(whole(&stack.request("open.test:443", head, "").await));
    stack.pipelock.assert_untouched();
    let record = stack.record().await;
    assert_eq!((record.git.as_deref(), record.reason.as_deref()), (Some("push"), Some("git_push")));
}

#[tokio::test]
async fn git_push_of_large_files_as_git_lfs_sees_it() {
    let stack = Stack::start().await;
    let body = r#"{"operation":"upload","transfers":["basic"],"objects":[]}"#;
    let head = format!(
        "POST /a.git/info/lfs/objects/batch HTTP/1.1\r\nHost: open.test\r\nUser-Agent: git-lfs/3.3.0\r\n\
         Content-Type: application/vnd.git-lfs+json\r\nContent-Length: {}",
        body.len()
    );
    insta::assert_snapshot!(whole(&stack.request("open.test:443", &head, body).await));
    stack.pipelock.assert_untouched();

    let body = body.replace("upload", "download");
    let head = head.replace("Content-Length: 57", &format!("Content-Length: {}", body.len()));
    assert_eq!(stack.request("open.test:443", &head, &body).await.status, 200);
    assert_eq!(stack.pipelock.only().body, body, "a download goes on with its body");
}

#[tokio::test]
async fn body_too_large() {
    let stack = Stack::with(|config| config.limits.body_bytes = 10).await;
    let head = "POST /a HTTP/1.1\r\nHost: open.test\r\nContent-Length: 11";
    insta::assert_snapshot!(whole(&stack.request("open.test:443", head, "12345678901").await));
    stack.pipelock.assert_untouched();
    let head = "POST /a HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked";
    let chunks = "6\r\n123456\r\n5\r\n78901\r\n0\r\n\r\n";
    stack.request("open.test:443", head, chunks).await.assert_refused(413, "body_too_large");
    assert!(stack.pipelock.seen().is_empty(), "a cut body is no request");
    let head = "POST /a HTTP/1.1\r\nHost: open.test\r\nContent-Length: 10";
    assert_eq!(stack.request("open.test:443", head, "1234567890").await.status, 200);
}

#[tokio::test]
async fn an_lfs_batch_is_read_to_one_mebibyte() {
    let stack = Stack::start().await;
    let head = |length: usize| {
        format!("POST /a.git/info/lfs/objects/batch HTTP/1.1\r\nHost: open.test\r\nContent-Length: {length}")
    };
    let large = format!("{{\"operation\":\"download\",\"x\":\"{}\"}}", "a".repeat(1024 * 1024));
    stack
        .request("open.test:443", &head(large.len()), &large)
        .await
        .assert_lfs_refused(413, "body_too_large");
    for body in ["{}", "[]", "not json", "{\"operation\":\"other\"}"] {
        let answer = stack.request("open.test:443", &head(body.len()), body).await;
        answer.assert_lfs_refused(400, "malformed_request");
    }
    stack.pipelock.assert_untouched();
}

impl Answer {
    fn assert_lfs_refused(&self, status: u16, reason: &str) {
        assert_eq!((self.status, self.header("x-bottle-reason")), (status, Some(reason)), "{self:#?}");
        assert!(self.json()["message"].as_str().unwrap().starts_with("bottle: "), "{self:#?}");
    }
}

fn block(status: u16, reason: &'static str, retry: &'static str, body: &'static str) -> Manner {
    Manner::Serve(std::sync::Arc::new(move |_| {
        let mut response = text(status, body);
        let headers = response.headers_mut();
        headers.insert("content-type", "text/plain".parse().unwrap());
        if !reason.is_empty() {
            headers.insert("x-pipelock-block-reason", reason.parse().unwrap());
            headers.insert("x-pipelock-retry", retry.parse().unwrap());
        }
        response
    }))
}

#[tokio::test]
async fn blocked_by_pipelock_for_a_secret() {
    let stack = Stack::start().await;
    let body = "blocked: request body contains secret: GitHub Token at /messages/0/content";
    stack.pipelock.behave(block(403, "dlp_match", "none", body));
    insta::assert_snapshot!(get(&stack, "api.test", "/").await);
    let record = stack.record().await;
    assert_eq!(
        (record.decided_by.as_str(), record.reason.as_deref()),
        ("pipelock", Some("blocked_by_pipelock"))
    );
    assert_eq!(record.finding.as_deref(), Some(&body["blocked: ".len()..]));
    assert_eq!(record.credential, None, "nothing with it left");
}

#[tokio::test]
async fn blocked_by_a_pipelock_that_does_not_mark_its_refusals() {
    let stack = Stack::start().await;
    stack.pipelock.behave(block(403, "", "", "blocked: request header contains secret"));
    stack.get("open.test", "/").await.assert_refused(403, "blocked_by_pipelock");
    stack.pipelock.behave(block(403, "", "", "Forbidden by the origin"));
    let origin = stack.get("open.test", "/").await;
    assert_eq!((origin.status, origin.body.as_str()), (403, "Forbidden by the origin"));
    assert_eq!(origin.header("x-bottle-verdict"), None);
}

#[tokio::test]
async fn refused_by_pipelock_at_connect() {
    let stack = Stack::start().await;
    stack.pipelock.behave(Manner::Connect(
        "HTTP/1.1 403 Forbidden\r\nX-Pipelock-Block-Reason: ssrf_private_ip\r\nContent-Length: 54\r\n\r\n\
         CONNECT blocked: SSRF: open.test resolves to 10.0.0.1\n",
    ));
    insta::assert_snapshot!(get(&stack, "open.test", "/").await);
    for (status, reason) in [
        (429, "limit_reached"),
        (503, "limit_reached"),
        (502, "upstream_unreachable"),
        (504, "upstream_timeout"),
    ] {
        let answer: &'static str = format!("HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\nno: ").leak();
        stack.pipelock.behave(Manner::Connect(answer));
        let answer = stack.get("open.test", "/").await;
        assert_eq!((answer.status, answer.header("x-bottle-reason")), (status, Some(reason)), "{answer:#?}");
        assert_eq!(answer.json()["bottle"]["retry"], true);
        assert_eq!(answer.json()["bottle"]["source"], "pipelock");
    }
    for status in [401, 407, 405] {
        let answer: &'static str = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").leak();
        stack.pipelock.behave(Manner::Connect(answer));
        stack.get("open.test", "/").await.assert_refused(403, "blocked_by_pipelock");
    }
}

/// The same from every machine: pipelock's address, and with it the length, differ.
fn anywhere(answer: &str, address: &str) -> String {
    let line =
        |line: &str| if line.starts_with("content-length: ") { "content-length: …" } else { line }.to_owned();
    answer.replace(address, "PIPELOCK").lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn upstream_unreachable() {
    // A port that nobody listens on any more, and a socket that nobody has bound.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unbound = format!("unix:{}", folder.path().join("pipelock.sock").display());
    for (address, why) in [
        (unbound, "No such file or directory (os error 2)"),
        (free.to_string(), "Connection refused (os error 111)"),
    ] {
        let stack = Stack::with(|config| config.upstream.proxy = address.parse().unwrap()).await;
        let answer = get(&stack, "open.test", "/").await;
        insta::assert_snapshot!("upstream_unreachable", anywhere(&answer, &address).replace(why, "WHY"));
        let record = stack.record().await;
        assert_eq!(record.verdict, bottle::telemetry::audit::Verdict::Error, "no rule denied it");
        assert_eq!((record.status, record.reason.as_deref()), (Some(502), Some("upstream_unreachable")));
    }
}

#[tokio::test]
async fn upstream_timeout() {
    let stack = Stack::with(|config| config.limits.connect_seconds = 1).await;
    stack.pipelock.behave(Manner::Silent);
    let answer = get(&stack, "open.test", "/").await;
    insta::assert_snapshot!(anywhere(&answer, &stack.pipelock.address));
}

#[tokio::test]
async fn upstream_invalid() {
    let stack = Stack::start().await;
    stack.pipelock.behave(Manner::Connect("SSH-2.0-OpenSSH\r\n\r\n"));
    insta::assert_snapshot!(get(&stack, "open.test", "/").await);
    for manner in [
        Manner::NotTls("HTTP/1.1 200 OK\r\n\r\n"),
        Manner::NotTls(""),
        Manner::Connect(""),
        Manner::Connect("HTTP/1.1 200 OK\r\nbad\r\n\r\n"),
    ] {
        stack.pipelock.behave(manner);
        stack.get("open.test", "/").await.assert_refused(502, "upstream_invalid");
    }
}

#[tokio::test]
async fn shutting_down() {
    let stack = Stack::start().await;
    let mut tunnel = stack.tunnel("open.test:443").await;
    // No record can be written any more, so nothing is done any more.
    assert!(stack.log.clone().finish(super::harness::SOON).await);
    let answer = super::harness::exchange(&mut tunnel, b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
    insta::assert_snapshot!(whole(&answer));
    stack.pipelock.assert_untouched();
}
