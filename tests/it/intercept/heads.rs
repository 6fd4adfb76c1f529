//! What is malformed is answered by the handler, in its turn, and then the connection is closed.

use super::relay::{H1, Proxy};
use crate::{
    origin::Origin,
    wire::{field, status},
};
use bottle::intercept::{Body, ServerLimits, body};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;

/// Answers with what it was sent: `METHOD target body`.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let line = format!("{} {} ", request.method(), request.uri());
    match request.into_body().collect().await {
        Ok(collected) => {
            let mut text = line.into_bytes();
            text.extend_from_slice(&collected.to_bytes());
            Response::new(body::full(text))
        }
        Err(error) => Response::new(body::full(error.to_string())),
    }
}

async fn origin() -> Origin {
    Origin::serving(H1, echo).await
}

#[tokio::test]
async fn every_bad_form_is_answered_recorded_and_closes_the_connection() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin).await;
    let line = "POST /x?y HTTP/1.1\r\n";
    let host = "Host: a.test\r\n";
    let cases = [
        (format!("{line}\r\n"), 400, "host_missing"),
        (format!("{line}{host}{host}\r\n"), 400, "host_several"),
        (format!("{line}Host: a.test, b.test\r\n\r\n"), 400, "host_several"),
        (format!("{line}{host}A: b\r\n c\r\n\r\n"), 400, "obs_fold"),
        (format!("{line}{host}A: b\0c\r\n\r\n"), 400, "control_byte"),
        (format!("{line}{host}A: b\rc\r\n\r\n"), 400, "bare_cr"),
        (format!("{line}{host}A: b\nC: d\r\n\r\n"), 400, "bare_lf"),
        (format!("{line}{host}A : b\r\n\r\n"), 400, "field_name"),
        (format!("{line}{host}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"), 400, "content_length"),
        (
            format!("{line}{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400,
            "length_and_encoding",
        ),
        (format!("{line}{host}Transfer-Encoding: gzip, chunked\r\n\r\n"), 400, "transfer_encoding"),
        (format!("POST /x?y HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), 400, "transfer_encoding"),
        (format!("POST /x?y HTTP/2.0\r\n{host}\r\n"), 505, "version"),
        (format!("{line}{host}A: {}\r\n\r\n", "b".repeat(70_000)), 431, "head_too_large"),
    ];
    for place in ["tunnel", "proxy"] {
        for (input, expected, code) in &cases {
            let mut wire = if place == "tunnel" { proxy.tunnel("a.test").await } else { proxy.wire().await };
            wire.send(format!("{input}GET /smuggled HTTP/1.1\r\n{host}\r\n")).await;
            let (head, text) = wire.message().await;
            assert_eq!((status(&head), text), (*expected, format!("{code}\n")), "{place} {input:?}");
            assert_eq!(field(&head, "connection"), Some("close"), "{input:?}");
            assert!(wire.rest().await.0.is_empty(), "{place} {input:?}");
            assert_eq!(proxy.log.exchanges().last().unwrap(), &format!("POST /x?y {code}"));
        }
    }
    assert_eq!(proxy.log.exchanges().len(), 2 * cases.len());
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_bad_head_behind_good_ones_is_answered_in_its_turn() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(
        "POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc\
         POST /2 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\ndef\r\n0\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n\
         GET /4 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    )
    .await;
    assert_eq!(wire.message().await.1, "POST /1 abc");
    assert_eq!(wire.message().await.1, "POST /2 def");
    assert_eq!(wire.message().await.1, "host_several\n");
    assert!(wire.rest().await.0.is_empty());
    assert_eq!(proxy.log.exchanges(), ["POST /1", "POST /2", "GET /3 host_several"]);
}

#[tokio::test]
async fn a_request_in_single_bytes_is_the_same_request() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    for byte in
        b"POST /slow HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    {
        wire.send([*byte]).await;
    }
    assert_eq!(wire.message().await.1, "POST /slow ok");
}

#[tokio::test]
async fn a_chunked_body_that_breaks_is_answered_400_and_the_upstream_never_sees_it_whole() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin).await;
    for broken in ["zz\r\n", "3\r\nabcd\r\n", "3\nabc\r\n", " 3\r\nabc\r\n", "0\r\nA : b\r\n\r\n"] {
        let mut wire = proxy.tunnel("a.test").await;
        let head = "POST /b HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.send(format!("{head}2\r\nok\r\n{broken}")).await;
        let (head, text) = wire.message().await;
        assert_eq!(status(&head), 400, "{broken:?} {text}");
        assert!(text.contains("malformed"), "{text}");
        assert!(wire.rest().await.0.is_empty());
    }
    for seen in origin.seen() {
        assert!(!seen.text().contains("0\r\n\r\n"), "{}", seen.text());
    }
}

#[tokio::test]
async fn the_target_is_seen_as_it_was_sent() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send("GET /a%2Fb/../c?d#e HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    wire.message().await;
    assert_eq!(proxy.log.exchanges(), ["GET /a%2Fb/../c?d#e"]);

    let mut wire = proxy.wire().await;
    wire.send("GET http://plain.test/p?q#r HTTP/1.1\r\nHost: plain.test\r\n\r\n").await;
    wire.message().await;
    assert_eq!(proxy.log.exchanges()[1], "GET http://plain.test/p?q#r");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_answered_in_time() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.wire().await;
    let begun = tokio::time::Instant::now();
    // Each byte comes well before any idle time.
    let slow = async {
        for byte in b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
            if wire.try_send([*byte]).await.is_err() || begun.elapsed() > Duration::from_secs(40) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    slow.await;
    let (head, text) = wire.message().await;
    assert_eq!((status(&head), text.as_str()), (408, "head_timeout\n"));
    assert!(wire.rest().await.0.is_empty());
    assert!(begun.elapsed() >= ServerLimits::default().head);
}
