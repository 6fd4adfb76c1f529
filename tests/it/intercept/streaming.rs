//! Bodies stream both ways, and one that breaks off on one side breaks off on the other.

use super::relay::{BOTH, H1, H2, Proxy, secure, until};
use crate::{
    origin::Origin,
    wire::{field, status},
};
use bottle::intercept::{Body, BodyError, BodyOutcome, Party, Protocol, ServerLimits, body};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

type Sender = mpsc::Sender<Result<Frame<Bytes>, BodyError>>;

/// A body that a test feeds.
fn fed() -> (Sender, Body) {
    let (sender, mut receiver) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, body::boxed(StreamBody::new(stream)))
}

/// An origin whose answers a test feeds.
async fn fed_origin(protocols: &[Protocol]) -> (Origin, Arc<Mutex<Option<Sender>>>) {
    let slot = Arc::new(Mutex::new(None));
    let into = Arc::clone(&slot);
    let origin = Origin::serving(protocols, move |_| {
        let (sender, body) = fed();
        *into.lock().unwrap() = Some(sender);
        async move { Response::new(body) }
    })
    .await;
    (origin, slot)
}

fn frame(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

const GET: &str = "GET /events HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n";

#[tokio::test]
async fn events_arrive_one_by_one_and_the_head_before_them() {
    for protocols in [H1, H2] {
        let (origin, slot) = fed_origin(protocols).await;
        let proxy = Proxy::start(&origin).await;
        let mut wire = proxy.tunnel("a.test").await;
        wire.send(GET).await;
        let head = wire.head().await;
        assert_eq!((status(&head), field(&head, "transfer-encoding")), (200, Some("chunked")));
        let sender = slot.lock().unwrap().take().unwrap();
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            sender.send(Ok(frame(event))).await.unwrap();
            assert_eq!(wire.chunk().await, event.as_bytes());
            assert!(wire.unread().is_empty());
        }
        drop(sender);
        assert!(wire.chunk().await.is_empty());
        until("the end", || !proxy.log.responses.lock().unwrap().is_empty()).await;
        let end = proxy.log.responses.lock().unwrap()[0].clone();
        assert_eq!((end.bytes, end.outcome), (18, BodyOutcome::Complete));
    }
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let slot = Arc::new(Mutex::new(None));
    let into = Arc::clone(&slot);
    let origin = Origin::serving(H2, move |request: Request<Incoming>| {
        let into = Arc::clone(&into);
        async move {
            let collected = request.into_body().collect().await.unwrap();
            *into.lock().unwrap() = collected.trailers().cloned();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [Ok(frame("body")), Ok(Frame::trailers(trailers))];
            let mut response =
                Response::new(body::boxed(StreamBody::new(futures_util::stream::iter(frames))));
            response.headers_mut().insert("trailer", "grpc-status".parse().unwrap());
            response
        }
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send("POST /t HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    wire.send("3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 200);
    assert_eq!(wire.chunk().await, b"body");
    assert!(wire.chunk().await.is_empty());
    assert_eq!(wire.head().await, "grpc-status: 0");
    assert_eq!(slot.lock().unwrap().as_ref().unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn the_upload_begins_when_it_is_asked_for() {
    let origin = Origin::serving(BOTH, |request: Request<Incoming>| async {
        assert_eq!(request.headers().get("expect"), None, "what was promised here is not asked for again");
        let collected = request.into_body().collect().await.unwrap();
        Response::new(body::full(collected.to_bytes()))
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    let head = "HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    wire.send(format!("POST /up {head}")).await;
    assert_eq!(status(&wire.head().await), 100);
    wire.send("abc").await;
    assert_eq!(wire.message().await.1, "abc");

    // A refusal comes instead of the 100, and the body is not waited for.
    wire.send(format!("POST /local/deny {head}")).await;
    let (head, _) = wire.message().await;
    assert_eq!((status(&head), field(&head, "connection")), (403, Some("close")));
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_whole() {
    for protocols in [H1, H2] {
        let origin = Origin::serving(protocols, |request: Request<Incoming>| async {
            Response::new(body::boxed(
                request.into_body().map_err(|error| BodyError::Client(Box::new(error))),
            ))
        })
        .await;
        let proxy = Proxy::start(&origin).await;
        let mut wire = proxy.tunnel("a.test").await;
        wire.send("POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for text in ["one", "two"] {
            wire.send(format!("3\r\n{text}\r\n")).await;
            if text == "one" {
                assert_eq!(status(&wire.head().await), 200);
            }
            assert_eq!(wire.chunk().await, text.as_bytes());
        }
        wire.send("0\r\n\r\n").await;
        assert!(wire.chunk().await.is_empty());
    }
}

#[tokio::test]
async fn an_upstream_that_answers_and_leaves_in_mid_upload_is_heard() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n")
            .await;
        wire.shutdown().await;
        wire.rest().await.0.clear();
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    let length = 8 * 1024 * 1024;
    wire.send(format!("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")).await;
    let block = vec![b'x'; 65_536];
    for _ in 0..length / 65_536 {
        wire.send(&block).await;
    }
    let (head, text) = wire.message().await;
    assert_eq!((status(&head), text.as_str()), (413, "big\n"));
}

#[tokio::test]
async fn a_big_upload_that_is_refused_reads_its_refusal() {
    let origin = Origin::serving(H1, |_| async { Response::new(body::empty()) }).await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    let length = 8 * 1024 * 1024;
    wire.send(format!("POST /local/deny HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")).await;
    // A client that writes all before it reads anything.
    let block = vec![b'x'; 65_536];
    for _ in 0..length / 65_536 {
        wire.send(&block).await;
    }
    let (head, text) = wire.message().await;
    assert_eq!((status(&head), text.as_str(), field(&head, "connection")), (403, "denied\n", Some("close")));
    assert!(wire.rest().await.0.is_empty());
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_does_not_cost_the_connection() {
    let origin = Origin::serving(H1, |_| async { Response::new(body::full("hello\n")) }).await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(format!(
        "POST /local/deny HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000\r\n\r\n{:50000}",
        "x"
    ))
    .await;
    let (head, _) = wire.message().await;
    assert_eq!((status(&head), field(&head, "connection")), (403, None));
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(wire.message().await.1, "hello\n");
}

#[tokio::test]
async fn a_truncated_answer_never_ends_cleanly() {
    // Announced by length, by chunks, and by nothing but the end of a connection that just ends.
    let heads = ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n", ""];
    for (announced, clean) in heads.into_iter().flat_map(|head| [(head, true), (head, false)]) {
        let body = if announced.starts_with('T') { "5\r\nfirst\r\n" } else { "first" };
        let answer = format!("HTTP/1.1 200 OK\r\n{announced}\r\n{body}");
        let origin = Origin::scripted(H1, move |mut wire, _| {
            let answer = answer.clone();
            async move {
                wire.head().await;
                wire.send(answer).await;
                if clean {
                    wire.shutdown().await;
                }
            }
        })
        .await;
        let proxy = Proxy::start(&origin).await;
        let mut wire = proxy.tunnel("a.test").await;
        wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        let head = wire.head().await;
        let (got, _) = wire.rest().await;
        let whole = match field(&head, "content-length") {
            Some(length) => got.len().to_string() == length,
            None => got.ends_with(b"0\r\n\r\n"),
        };
        // Only an answer that may end with its connection, and whose connection was closed in order, is whole.
        assert_eq!(whole, announced.is_empty() && clean, "{announced:?} {clean} {}", got.escape_ascii());
    }
}

#[tokio::test]
async fn an_http2_answer_that_is_reset_is_cut_off_for_the_client() {
    let (origin, slot) = fed_origin(H2).await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    wire.head().await;
    let sender = slot.lock().unwrap().take().unwrap();
    sender.send(Ok(frame("first"))).await.unwrap();
    assert_eq!(wire.chunk().await, b"first");
    sender.send(Err(BodyError::Upstream("broken".into()))).await.unwrap();
    let (rest, _) = wire.rest().await;
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
    let end = proxy.log.responses.lock().unwrap()[0].clone();
    assert!(matches!(end.outcome, BodyOutcome::Failed { party: Party::Upstream, .. }), "{end:?}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_upstreams_work() {
    for protocols in [H1, H2] {
        // While it waits for an answer's head.
        let (sender, mut gone) = mpsc::channel::<()>(1);
        let origin = Origin::serving(protocols, move |_| {
            let held = sender.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Response::new(body::empty())
            }
        })
        .await;
        let proxy = Proxy::start(&origin).await;
        let mut wire = proxy.tunnel("a.test").await;
        wire.send(GET).await;
        until("the request", || !origin.seen().is_empty()).await;
        until("the exchange", || !proxy.log.exchanges().is_empty()).await;
        drop(wire);
        if protocols == H1 {
            until("the end of the connection", || origin.only().ended.is_some()).await;
        }
        until("the last of it", || matches!(gone.try_recv(), Err(mpsc::error::TryRecvError::Empty))).await;

        // While it reads an answer's body.
        let (origin, slot) = fed_origin(protocols).await;
        let proxy = Proxy::start(&origin).await;
        let mut wire = proxy.tunnel("a.test").await;
        wire.send(GET).await;
        wire.head().await;
        let sender = slot.lock().unwrap().take().unwrap();
        drop(wire);
        sender.closed().await;
        until("the end", || !proxy.log.responses.lock().unwrap().is_empty()).await;
        assert_eq!(proxy.log.responses.lock().unwrap()[0].outcome, BodyOutcome::Dropped);
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_upload_cuts_it_off() {
    for protocols in [H1, H2] {
        let (sender, mut outcome) = mpsc::channel(1);
        let origin = Origin::serving(protocols, move |request: Request<Incoming>| {
            let sender = sender.clone();
            async move {
                let whole = request.into_body().collect().await.is_ok();
                sender.send(whole).await.unwrap();
                Response::new(body::empty())
            }
        })
        .await;
        let proxy = Proxy::start(&origin).await;
        let mut wire = proxy.tunnel("a.test").await;
        wire.send("POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await;
        until("the body", || origin.seen().first().is_some_and(|seen| seen.text().contains("abc"))).await;
        drop(wire);
        assert_eq!(outcome.recv().await, Some(false), "{protocols:?}");
    }
}

const BIG: u64 = 192 * 1024 * 1024;

/// The resident memory of this process in bytes.
fn resident() -> u64 {
    let status = fs_err::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// A body of `length` bytes that is made as it is read.
fn zeros(length: u64) -> Body {
    static BLOCK: [u8; 65_536] = [0; 65_536];
    let blocks = (0..length / 65_536).map(|_| Ok(Frame::data(Bytes::from_static(&BLOCK))));
    body::boxed(StreamBody::new(futures_util::stream::iter(blocks)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_bodies_pass_in_flat_memory() {
    let origin = Origin::serving(BOTH, |request: Request<Incoming>| async {
        let mut upload = request.into_body();
        let mut bytes = 0;
        while let Some(frame) = upload.frame().await {
            bytes += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        if bytes > 0 { Response::new(body::full(bytes.to_string())) } else { Response::new(zeros(BIG)) }
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    let before = resident();
    wire.send(GET).await;
    wire.head().await;
    wire.skip(BIG).await;
    drop(wire);

    let mut wire = proxy.tunnel("a.test").await;
    wire.send(format!("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BIG}\r\n\r\n")).await;
    let block = vec![b'x'; 65_536];
    for _ in 0..BIG / 65_536 {
        wire.send(&block).await;
    }
    assert_eq!(wire.message().await.1, BIG.to_string());
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes more for {BIG} that passed");
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_upstream() {
    let meter = bottle::intercept::Meter::default();
    let counted = meter.clone();
    let origin = Origin::serving(BOTH, move |_| {
        let body = body::metered(zeros(BIG), &counted);
        async move { Response::new(body) }
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    wire.head().await;
    let mut last = u64::MAX;
    // It goes on until every buffer between is full, and no further.
    while last != meter.bytes() {
        last = meter.bytes();
        for _ in 0..2000 {
            tokio::task::yield_now().await;
        }
    }
    assert!(last < 32 * 1024 * 1024, "{last} bytes were taken from the origin");
    wire.skip(BIG).await;
}

#[tokio::test]
async fn over_http2_clients_are_served_the_same() {
    let (origin, slot) = fed_origin(H2).await;
    let proxy = Proxy::with(&origin, BOTH, ServerLimits::default()).await;
    let wire = proxy.granted("a.test").await;
    let stream = secure(wire, "a.test", proxy.trust(BOTH)).await.unwrap().into_stream();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("https://a.test/events").body(body::empty()).unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let feed = slot.lock().unwrap().take().unwrap();
    feed.send(Ok(frame("event"))).await.unwrap();
    assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), "event");
    feed.send(Err(BodyError::Upstream("broken".into()))).await.unwrap();
    assert!(response.frame().await.unwrap().is_err());
    driver.abort();
}
