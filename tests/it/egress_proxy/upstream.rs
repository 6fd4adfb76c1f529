//! The way out: always through pipelock, verified for each host, streamed, and retried only when that is safe.

use super::both::Both;
use super::harness::{Stack, exchange, route};

use super::pipelock::{Answer, Manner, text};
use crate::origin::Origin;
use bottle::clock::Clock;
use bottle::config::routes::RouteEntry;
use bottle::intercept::Protocol;
use bottle::pki::LEAF_VALIDITY;
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use std::sync::{Arc, Mutex};

fn named(name: &'static str, value: &'static str) -> impl Fn(&super::pipelock::Seen) -> Answer {
    move |_| {
        let mut response = text(200, "ok");
        response.headers_mut().insert(name, value.parse().unwrap());
        response
    }
}

#[tokio::test]
async fn http2_is_preferred_and_one_tunnel_serves_many_requests() {
    let stack = Stack::start().await;
    for _ in 0..5 {
        assert_eq!(stack.get("open.test", "/").await.status, 200);
    }
    let seen = stack.pipelock.seen();
    assert!(seen.iter().all(|s| s.version == http::Version::HTTP_2), "{seen:#?}");
    assert_eq!(stack.pipelock.connects(), ["open.test:443"]);
    stack.get("api.test", "/").await;
    assert_eq!(stack.pipelock.connects(), ["open.test:443", "api.test:443"], "hosts share nothing");
}

#[tokio::test]
async fn http11_works_where_that_is_all_there_is() {
    for alpn in [["http/1.1"].as_slice(), &[]] {
        let stack = Stack::build(alpn, Clock::system(), |_| {}).await;
        assert_eq!(stack.get("api.test", "/a?b").await.body, "ok");
        let seen = stack.pipelock.only();
        assert_eq!(
            (seen.version, seen.header("host")),
            (http::Version::HTTP_11, vec!["api.test".to_owned()])
        );
        assert_eq!(seen.uri, "https://api.test/a?b");
    }
}

#[tokio::test]
async fn an_inspected_host_is_believed_to_pipelock_only() {
    let stack = Stack::start().await;
    // Another CA of the same shape, which the public roots don't hold either.
    fs_err::write(stack.files.path("pipelock-ca.pem"), &stack.files.agent_ca).unwrap();
    stack.proxy.reload().await.unwrap();
    let answer = stack.get("open.test", "/").await;
    answer.assert_refused(502, "upstream_invalid");
    assert!(answer.message().contains("open.test can't be verified"), "{answer:?}");
    assert!(stack.pipelock.seen().is_empty());
}

#[tokio::test]
async fn a_host_that_is_passed_through_is_not_believed_to_pipelock() {
    let passed = |config: &mut bottle::config::routes::RoutesFile| {
        config.routes = vec![RouteEntry { inspect: false, ..route("bulk.test") }];
    };
    let stack = Stack::with(passed).await;
    stack.get("bulk.test", "/").await.assert_refused(502, "upstream_invalid");
    assert!(stack.pipelock.seen().is_empty());

    let stack = Stack::with(|config| {
        passed(config);
        config.upstream.extra_ca_file = config.upstream.ca_file.clone();
    })
    .await;
    assert_eq!(stack.get("bulk.test", "/").await.status, 200, "the extra CA is believed there");
}

#[tokio::test]
async fn a_certificate_is_verified_at_the_time_of_the_injected_clock() {
    let now = Clock::system().now();
    let within = Clock::fixed(now + LEAF_VALIDITY / 2);
    let stack = Stack::build(&["h2"], within, |_| {}).await;
    assert_eq!(stack.get("open.test", "/").await.status, 200);

    let past = Clock::fixed(now + LEAF_VALIDITY * 2);
    let stack = Stack::build(&["h2"], past, |_| {}).await;
    let answer = stack.get("open.test", "/").await;
    answer.assert_refused(502, "upstream_invalid");
    assert!(answer.message().contains("certificate expired"), "{answer:?}");
    assert!(stack.pipelock.seen().is_empty());
}

#[tokio::test]
async fn what_the_upstream_says_about_itself_stays_here() {
    let stack = Stack::start().await;
    for (name, value) in [
        ("alt-svc", "h3=\":443\""),
        ("x-bottle-verdict", "deny"),
        ("x-bottle-reason", "git_push"),
        ("x-pipelock-severity", "high"),
        ("proxy-authenticate", "Basic"),
    ] {
        stack.pipelock.answer(named(name, value));
        let answer = stack.get("open.test", "/").await;
        assert_eq!((answer.status, answer.header(name)), (200, None), "{name}");
    }
    stack.pipelock.answer(named("set-cookie", "a=b"));
    assert_eq!(stack.get("open.test", "/").await.header("set-cookie"), Some("a=b"));
}

#[tokio::test]
async fn events_are_passed_on_one_by_one() {
    let stack = Stack::start().await;
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let receive = Arc::new(Mutex::new(Some(receive)));
    stack.pipelock.answer(move |_| {
        let mut receive = receive.lock().unwrap().take().unwrap();
        let frames = futures_util::stream::poll_fn(move |cx| {
            receive.poll_recv(cx).map(|event| event.map(|text| Ok(Frame::data(Bytes::from(text)))))
        });
        let mut response =
            http::Response::new(StreamBody::new(SyncStream(Mutex::new(Box::pin(frames)))).boxed());
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    });
    let mut tunnel = stack.tunnel("api.test:443").await;
    tunnel.send(b"POST /v1/messages HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n").await;
    let head = tunnel.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "the head comes before the first event: {head}");
    for event in ["data: one\n\n", "data: two\n\n"] {
        send.send(event).unwrap();
        let chunk = tunnel.chunk().await;
        assert_eq!(chunk, event.as_bytes(), "each event comes before the next is sent");
    }
    let text = stack.audit.text();
    assert!(text.lines().all(|line| line.contains("\"dispatch\"")), "the end waits for the end: {text}");
    drop(send);
    assert!(tunnel.chunk().await.is_empty());
    let record = stack.record().await;
    assert_eq!((record.response_bytes, record.complete), (22, true));
}

/// A stream that may be shared because it is never polled by two.
struct SyncStream<S>(Mutex<S>);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        std::pin::Pin::new(&mut *self.0.lock().unwrap()).poll_next(cx)
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_recorded_as_incomplete() {
    let stack = Stack::start().await;
    stack.pipelock.answer(|_| {
        let frames = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"first"))) });
        let never = futures_util::stream::pending();
        let all = futures_util::StreamExt::chain(frames, never);
        http::Response::new(StreamBody::new(SyncStream(Mutex::new(Box::pin(all)))).boxed())
    });
    let mut tunnel = stack.tunnel("open.test:443").await;
    tunnel.send(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
    tunnel.head().await;
    tunnel.chunk().await;
    drop(tunnel);
    let record = stack.record().await;
    assert_eq!((record.status, record.response_bytes, record.complete), (Some(200), 5, false));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_the_client_nothing() {
    let stack = Stack::build(&["http/1.1"], Clock::system(), |_| {}).await;
    // As the upstream program does: the connection ends after one request, and nothing says so.
    for n in 0..3 {
        stack.pipelock.behave(Manner::Raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        let answer = stack.get("open.test", "/").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "request {n}");
    }
    let on: Vec<usize> = stack.pipelock.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(on, [0, 1, 2], "none was sent twice, each on a connection of its own");
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    let stack = Stack::build(&["http/1.1"], Clock::system(), |_| {}).await;
    stack.pipelock.behave(Manner::Raw(""));
    let head = "POST /charge HTTP/1.1\r\nHost: open.test\r\nContent-Length: 0";
    stack.request("open.test:443", head, "").await.assert_refused(502, "upstream_unreachable");
    assert_eq!(stack.pipelock.seen().len(), 1);
    stack
        .pipelock
        .behave(Manner::Raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"));
    stack.request("open.test:443", head, "").await.assert_refused(502, "upstream_invalid");
}

/// With both proxies on the way: what one of them passes on the other must take.
#[tokio::test]
async fn odd_answers_of_an_origin_pass_both_proxies() {
    const UPLOAD: usize = 32 << 20;
    let origin = Origin::scripted(&[Protocol::Http1], |mut wire, _| async move {
        loop {
            let head = wire.head().await;
            if head.starts_with("POST /early") {
                // What is unread makes of the close a reset.
                return wire
                    .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large")
                    .await;
            }
            let lengths = if head.starts_with("GET /same") { "3, 3\r\nContent-Length: 3" } else { "3, 4" };
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\nok\n")).await;
        }
    })
    .await;
    let both = Both::start(&origin, vec![route("open.test")]).await;
    let same = both.get("open.test", "/same").await;
    assert_eq!((same.status, same.header("content-length"), same.body.as_str()), (200, Some("3"), "ok\n"));
    let other = both.get("open.test", "/other").await;
    assert_eq!(other.status, 502, "{other:?}");
    assert!(other.message().contains("its Content-Length fields contradict each other"), "{other:?}");
    let mut wire = both.tunnel("open.test").await;
    let head = format!("POST /early HTTP/1.1\r\nHost: open.test\r\nContent-Length: {UPLOAD}\r\n\r\n");
    let answer = exchange(&mut wire, [head.as_bytes(), &vec![b'x'; UPLOAD]].concat()).await;
    assert_eq!((answer.status, answer.body.as_str()), (413, "too large"), "{answer:?}");
    let posts = origin.seen().iter().filter(|seen| seen.text().contains("POST /early")).count();
    assert_eq!(posts, 1, "it is sent once");
}

#[tokio::test]
async fn a_truncated_answer_is_no_whole_answer() {
    let stack = Stack::build(&["http/1.1"], Clock::system(), |_| {}).await;
    stack.pipelock.behave(Manner::Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"));
    let mut tunnel = stack.tunnel("open.test:443").await;
    tunnel.send(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
    let (all, end) = tunnel.rest().await;
    assert!(end.is_err() || !all.ends_with(b"\r\n0\r\n\r\n"), "{end:?} {}", String::from_utf8_lossy(&all));
    let record = stack.record().await;
    assert_eq!((record.complete, record.response_bytes), (false, 9));
}

/// Its first bytes are read to tell whose it is; that must not hide how it ends.
#[tokio::test]
async fn a_short_refusal_of_an_origin_that_breaks_off_breaks_off_for_the_client() {
    for (status, body) in [(403, "Forbidden by"), (403, ""), (429, "Too"), (429, "blocke")] {
        let stack = Stack::build(&["http/1.1"], Clock::system(), |_| {}).await;
        let head = format!("HTTP/1.1 {status} No\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n");
        stack.pipelock.behave(Manner::Raw((head + body).leak()));
        let mut tunnel = stack.tunnel("open.test:443").await;
        tunnel.send(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
        // Whether TLS ends in good order does not matter: the body is shorter than its head says.
        let (all, _) = tunnel.rest().await;
        let all = String::from_utf8(all).unwrap().to_ascii_lowercase();
        assert!(all.starts_with(&format!("http/1.1 {status}")), "{all}");
        assert!(all.contains("\r\ncontent-length: 100\r\n"), "{all}");
        assert!(all.ends_with(&format!("\r\n\r\n{}", body.to_ascii_lowercase())), "{all}");
        let record = stack.record().await;
        assert_eq!((record.complete, record.response_bytes), (false, body.len() as u64), "{status} {body}");
    }
}

#[tokio::test]
async fn a_large_upload_and_its_100_continue_pass() {
    let stack = Stack::start().await;
    stack.pipelock.answer(|seen| text(200, &seen.body.len().to_string()));
    let mut tunnel = stack.tunnel("open.test:443").await;
    let body = vec![b'x'; 5_000_000];
    let head = format!(
        "POST /up HTTP/1.1\r\nHost: open.test\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    tunnel.send(head.as_bytes()).await;
    assert!(tunnel.head().await.starts_with("HTTP/1.1 100"));
    let answer = exchange(&mut tunnel, &body).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "5000000"));
    assert_eq!(stack.pipelock.only().header("expect"), Vec::<String>::new());
    assert_eq!(stack.record().await.request_bytes, 5_000_000);
}

#[tokio::test]
async fn git_clones_with_compressed_requests() {
    let stack = Stack::start().await;
    let head = "POST /a.git/git-upload-pack HTTP/1.1\r\nHost: open.test\r\nUser-Agent: git/2.39.5\r\nContent-Encoding: gzip\r\n\
                Content-Type: application/x-git-upload-pack-request\r\nContent-Length: 4";
    assert_eq!(stack.request("open.test:443", head, "\u{1f}ab\u{1}").await.status, 200);
    assert_eq!(stack.pipelock.only().header("content-encoding"), ["gzip"]);
    assert_eq!(stack.record().await.git.as_deref(), Some("fetch"));
}

/// The upstream project's program refuses every content coding and every part of a response.
#[tokio::test]
async fn a_pipelock_that_takes_identity_only_is_sent_nothing_else() {
    let stack = Stack::with(|config| config.upstream.identity_only = true).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, b"0032want 1234").unwrap();
    let body = encoder.finish().unwrap();
    let head = format!(
        "POST /a HTTP/1.1\r\nHost: open.test\r\nContent-Encoding: gzip\r\nAccept-Encoding: gzip, br\r\nRange: bytes=0-1\r\n\
         If-None-Match: \"x\"\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut tunnel = stack.tunnel("open.test:443").await;
    let answer = exchange(&mut tunnel, [head.as_bytes(), &body].concat()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = stack.pipelock.only();
    assert_eq!(seen.body, "0032want 1234");
    for name in ["content-encoding", "range", "if-none-match"] {
        assert!(seen.header(name).is_empty(), "{seen:?}");
    }
    assert_eq!(seen.header("accept-encoding"), ["identity"]);

    // What it can't be given decoded, it is not given.
    let brotli = "POST /b HTTP/1.1\r\nHost: open.test\r\nContent-Encoding: br\r\nContent-Length: 2";
    let refused = stack.request("open.test:443", brotli, "ab").await;
    refused.assert_refused(400, "malformed_request");
    assert!(refused.message().contains("send it plain or in gzip"), "{refused:?}");
    let broken = "POST /c HTTP/1.1\r\nHost: open.test\r\nContent-Encoding: gzip\r\nContent-Length: 7";
    stack.request("open.test:443", broken, "no gzip").await.assert_refused(400, "malformed_request");
    assert_eq!(stack.pipelock.seen().iter().filter(|seen| seen.uri.ends_with("/b")).count(), 0);
}

/// A host that it does not look into is sent everything as it came.
#[tokio::test]
async fn a_host_that_is_passed_through_keeps_its_codings() {
    let stack = Stack::with(|config| {
        config.upstream.identity_only = true;
        config.upstream.extra_ca_file = config.upstream.ca_file.clone();
        config.routes.iter_mut().for_each(|route| route.inspect = false);
    })
    .await;
    let head = "GET /a HTTP/1.1\r\nHost: open.test\r\nAccept-Encoding: gzip\r\nRange: bytes=0-1";
    assert_eq!(stack.request("open.test:443", head, "").await.status, 200);
    let seen = stack.pipelock.only();
    assert_eq!(
        (seen.header("accept-encoding"), seen.header("range")),
        (vec!["gzip".to_owned()], vec!["bytes=0-1".into()])
    );
}
