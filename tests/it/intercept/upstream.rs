//! Connections to the upstream: shared, kept, given up, and when a request is sent again.

use super::relay::{BOTH, H1, H2, Proxy, secure, until};
use crate::{
    origin::{Origin, Shows},
    wire::{Wire, field, status},
};
use bottle::intercept::{Body, Protocol, ServerLimits, body};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{Barrier, Notify};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

async fn hello(_: Request<Incoming>) -> Response<Body> {
    Response::new(body::full("hello\n"))
}

/// Sends one request in a tunnel of its own.
async fn ask(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(request).await;
    let (head, text) = wire.message().await;
    (status(&head), text)
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    for protocols in [H1, H2] {
        let origin = Origin::serving(protocols, hello).await;
        let proxy = Proxy::start(&origin).await;
        for count in 1..=5 {
            assert_eq!(ask(&proxy, GET).await, (200, "hello\n".into()));
            if protocols == H1 {
                until("the return", || proxy.pool.stats().idle == 1).await;
            }
            assert_eq!(proxy.pool.stats().reused, count - 1);
        }
        assert_eq!(origin.seen().len(), 1);
        proxy.pool.clear();
        assert_eq!(ask(&proxy, GET).await.0, 200);
        assert_eq!(origin.seen().len(), 2, "a pool that was cleared starts anew");
    }
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_http2_connection() {
    let together = Arc::new(Barrier::new(20));
    let origin = Origin::serving(H2, move |_| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            Response::new(body::full("hello\n"))
        }
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let answers = futures_util::future::join_all((0..20).map(|_| ask(&proxy, GET))).await;
    assert!(answers.iter().all(|answer| answer.0 == 200));
    assert_eq!(origin.seen().len(), 1);
    assert_eq!(proxy.pool.connector().dialled.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn http2_is_preferred_where_both_are_offered() {
    let origin = Origin::serving(BOTH, hello).await;
    let proxy = Proxy::start(&origin).await;
    assert_eq!(ask(&proxy, GET).await.0, 200);
    assert_eq!(origin.only().alpn.as_deref(), Some("h2"));
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_not_used() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send(OK).await;
        wire.shutdown().await;
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    for _ in 0..10 {
        assert_eq!(ask(&proxy, GET).await, (200, "ok\n".into()));
    }
    assert!(origin.seen().iter().all(|seen| seen.text().matches("GET").count() == 1));
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    // The second request on the first connection is read, and answered by closing.
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send(OK).await;
        wire.head().await;
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    assert_eq!(ask(&proxy, GET).await.0, 200);
    until("the return", || proxy.pool.stats().idle == 1).await;
    let (status, text) = ask(&proxy, "POST /pay HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(status, 502);
    assert!(text.contains("closed the connection without a response"), "{text}");
    assert_eq!(origin.only().text().matches("POST /pay").count(), 1);
    assert_eq!(proxy.pool.stats().retried, 0);
}

/// An HTTP/2 server that refuses the first stream of its first connection.
async fn refusing() -> Origin {
    Origin::scripted(H2, |wire, number| async move {
        let mut connection = h2::server::handshake(wire.into_stream()).await.unwrap();
        let mut refuse = number == 0;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if std::mem::take(&mut refuse) {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                continue;
            }
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut bytes = 0;
                while let Some(Ok(data)) = body.data().await {
                    bytes += data.len();
                }
                let mut send = respond.send_response(Response::new(()), false).unwrap();
                send.send_data(format!("{bytes} bytes").into(), true).unwrap();
            });
        }
    })
    .await
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_while_its_body_is_whole() {
    let origin = refusing().await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    let head = wire.head().await;
    assert_eq!(status(&head), 200);
    assert_eq!(wire.chunk().await, b"0 bytes");
    assert_eq!(proxy.pool.stats().retried, 1);

    let origin = refusing().await;
    let proxy = Proxy::start(&origin).await;
    let (status, text) = ask(&proxy, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!((status, proxy.pool.stats().retried), (502, 0), "{text}");
}

#[tokio::test]
async fn a_goaway_moves_to_another_connection() {
    let origin = Origin::scripted(H2, |wire, _| async move {
        let mut connection = h2::server::handshake(wire.into_stream()).await.unwrap();
        if let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            send.send_data("once".into(), true).unwrap();
            connection.graceful_shutdown();
        }
        while connection.accept().await.is_some() {}
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    for _ in 0..5 {
        let mut wire = proxy.tunnel("a.test").await;
        wire.send(GET).await;
        let head = wire.head().await;
        assert_eq!(status(&head), 200);
        assert_eq!(wire.chunk().await, b"once");
        assert!(wire.chunk().await.is_empty());
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_no_connection() {
    for (shows, what) in [(Shows::Expired, "xpired"), (Shows::OtherName, "not valid for name")] {
        let origin = Origin::showing(H1, shows, hello).await;
        let proxy = Proxy::start(&origin).await;
        let (status, text) = ask(&proxy, GET).await;
        assert_eq!(status, 502);
        assert!(text.contains("no connection to the upstream") && text.contains(what), "{text}");
        assert!(origin.seen().is_empty());
    }
}

#[tokio::test]
async fn a_switch_of_protocols_is_refused() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\nraw")
            .await;
        wire.rest().await.0.clear();
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (status, text) = ask(&proxy, request).await;
    assert_eq!((status, text.contains("101 Switching Protocols")), (502, true), "{text}");
    assert!(!origin.only().text().to_lowercase().contains("upgrade"), "{}", origin.only().text());

    let (status, text) = ask(&proxy, "GET /local/switch HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!((status, text.as_str()), (502, "bottle: there was no final answer\n"));
}

#[tokio::test]
async fn interim_answers_are_taken_off() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await;
        wire.send(OK).await;
        wire.rest().await.0.clear();
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    assert_eq!(ask(&proxy, GET).await, (200, "ok\n".into()));
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_the_upstreams_fault() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send("SSH-2.0-OpenSSH\r\n").await;
        wire.rest().await.0.clear();
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let (status, text) = ask(&proxy, GET).await;
    assert_eq!((status, text.contains("the upstream's response is malformed")), (502, true), "{text}");
}

#[tokio::test]
async fn a_length_that_is_said_twice_is_said_once() {
    for said in ["Content-Length: 3, 3", "Content-Length: 3\r\nContent-Length: 3", "Content-Length: 03"] {
        let origin = saying(format!("HTTP/1.1 200 OK\r\n{said}\r\n\r\nok\n")).await;
        let proxy = Proxy::start(&origin).await;
        assert_eq!(ask(&proxy, GET).await, (200, "ok\n".into()), "{said}");
        let mut wire = proxy.tunnel("a.test").await;
        wire.send("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(field(&wire.head().await, "content-length"), Some("3"), "{said}");
    }
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_said_to() {
    for said in [
        "Content-Length: 3, 4",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3,",
        "Content-Length: +3",
    ] {
        for status_line in ["200 OK", "304 Not Modified"] {
            for method in ["GET", "HEAD"] {
                let origin = saying(format!("HTTP/1.1 {status_line}\r\n{said}\r\n\r\nok\n")).await;
                let proxy = Proxy::start(&origin).await;
                let mut wire = proxy.tunnel("a.test").await;
                wire.send(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
                let head = wire.head().await;
                assert_eq!(status(&head), 502, "{method} {status_line} {said}");
                if method == "GET" {
                    let length = field(&head, "content-length").unwrap().parse().unwrap();
                    let text = String::from_utf8(wire.exactly(length).await).unwrap();
                    assert!(text.contains("its Content-Length fields contradict each other"), "{text}");
                }
                assert_eq!(proxy.pool.stats().retried, 0);
            }
        }
    }
}

#[tokio::test]
async fn beside_chunks_no_length_counts() {
    let origin = saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 90\r\n\r\n3\r\nok\n\r\n0\r\n\r\n"
            .into(),
    )
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    let head = wire.head().await;
    assert_eq!((status(&head), field(&head, "content-length")), (200, None), "{head}");
    assert_eq!(wire.chunks().await, b"ok\n");
}

/// Answers each request with these bytes, and reads on.
async fn saying(answer: String) -> Origin {
    Origin::scripted(H1, move |mut wire, _| {
        let answer = answer.clone();
        async move {
            loop {
                wire.head().await;
                wire.send(&answer).await;
            }
        }
    })
    .await
}

/// An upload that can't be in any buffer on the way while the origin reads none of it.
const UPLOAD: usize = 32 << 20;

#[tokio::test]
async fn an_answer_that_comes_early_is_given_although_the_connection_is_reset() {
    for answer in [
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large",
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\ntoo large",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ntoo large\r\n0\r\n\r\n",
    ] {
        // An answer that ends with its connection ends in good order, or is not whole.
        let delimited = answer.contains("Length") || answer.contains("chunked");
        for in_order in if delimited { [true, false] } else { [true; 2] } {
            // What is unread when the socket is closed makes of the close a reset.
            let origin = Origin::scripted(H1, move |mut wire, _| async move {
                wire.head().await;
                wire.send(answer).await;
                if in_order {
                    wire.shutdown().await;
                }
            })
            .await;
            let proxy = Proxy::start(&origin).await;
            let mut wire = proxy.tunnel("a.test").await;
            wire.send(format!("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {UPLOAD}\r\n\r\n")).await;
            let body = vec![b'x'; UPLOAD];
            let _ = wire.try_send(&body).await;
            let head = wire.head().await;
            assert_eq!(status(&head), status(answer), "{answer} {in_order}: {head}");
            let text = match field(&head, "content-length") {
                Some(length) => wire.exactly(length.parse().unwrap()).await,
                None => wire.chunks().await,
            };
            assert_eq!(text, b"too large", "{answer} {in_order}");
            assert_eq!(origin.seen().len(), 1, "{answer} {in_order}: it was sent again");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_become_whole_by_an_upload() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 90\r\n\r\ntoo").await;
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(format!("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {UPLOAD}\r\n\r\n")).await;
    let _ = wire.try_send(vec![b'x'; UPLOAD]).await;
    assert_eq!(status(&wire.head().await), 413);
    let (text, _) = wire.rest().await;
    assert_eq!(String::from_utf8_lossy(&text), "too");
}

#[tokio::test]
async fn a_close_without_an_answer_is_told_apart_while_an_upload_runs() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(format!("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {UPLOAD}\r\n\r\n")).await;
    let _ = wire.try_send(vec![b'x'; UPLOAD]).await;
    let (head, text) = wire.message().await;
    assert_eq!(status(&head), 502, "{text}");
    assert!(text.contains("closed the connection without a response"), "{text}");
    assert_eq!((origin.seen().len(), proxy.pool.stats().retried), (1, 0));
}

#[tokio::test]
async fn fields_of_one_connection_do_not_reach_the_next() {
    let origin = Origin::scripted(H1, |mut wire, _| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\n",
        )
        .await;
        wire.rest().await.0.clear();
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    let fields = "Connection: X-Mine\r\nX-Mine: 1\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\n";
    wire.send(format!("GET /p?q HTTP/1.1\r\nHost: a.test\r\n{fields}Accept: */*\r\n\r\n")).await;
    let head = wire.head().await;
    assert_eq!(
        (field(&head, "x-hop"), field(&head, "keep-alive"), field(&head, "connection")),
        (None, None, None)
    );
    assert_eq!(origin.only().text(), "GET /p?q HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\n\r\n");
}

#[tokio::test]
async fn two_requests_at_once_over_http1_use_two_connections() {
    let together = Arc::new(Barrier::new(2));
    let origin = Origin::serving(&[Protocol::Http1], move |request: Request<Incoming>| {
        let together = Arc::clone(&together);
        async move {
            request.into_body().collect().await.unwrap();
            together.wait().await;
            Response::new(body::full("hello\n"))
        }
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let (one, two) = tokio::join!(ask(&proxy, GET), ask(&proxy, GET));
    assert_eq!((one.0, two.0, origin.seen().len()), (200, 200, 2));
}

/// An HTTP/2 server that answers at once and reads of a body only what its first window lets through, unless the target
/// is `/read`. `whole` says whether it ends its early answers.
async fn unread(whole: bool) -> Origin {
    Origin::scripted(H2, move |wire, _| async move {
        let mut connection = h2::server::handshake(wire.into_stream()).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let read = request.uri().path() == "/read";
                let mut body = request.into_body();
                let early = (!read).then(|| {
                    let mut answer = respond.send_response(Response::new(()), false).unwrap();
                    answer.send_data("early".into(), whole).unwrap();
                    answer
                });
                let mut bytes = 0;
                while let Some(Ok(data)) = body.data().await {
                    bytes += data.len();
                    if read {
                        body.flow_control().release_capacity(data.len()).unwrap();
                    }
                }
                if read {
                    let mut answer = respond.send_response(Response::new(()), false).unwrap();
                    answer.send_data(bytes.to_string().into(), true).unwrap();
                }
                drop(early);
            });
        }
    })
    .await
}

/// What the upstream does not read of a body takes nothing from the connection's window once the exchange is over.
#[tokio::test]
async fn an_upload_that_stalls_ends_with_its_exchange() {
    const LENGTH: usize = 200 << 10;
    for whole in [true, false] {
        let origin = unread(whole).await;
        let limits = ServerLimits { total: Duration::from_secs(2), ..ServerLimits::default() };
        let proxy = Proxy::with(&origin, H1, if whole { ServerLimits::default() } else { limits }).await;
        let mut stalled = Vec::new();
        for _ in 0..3 {
            let mut wire = proxy.tunnel("a.test").await;
            wire.send(format!("POST /stalls HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LENGTH}\r\n\r\n"))
                .await;
            wire.send(vec![b'x'; 96 << 10]).await;
            assert_eq!(status(&wire.head().await), 200);
            stalled.push(wire);
        }
        until("the end of the stalled requests", || proxy.log.requests.lock().unwrap().len() == 3).await;
        let mut wire = proxy.tunnel("a.test").await;
        wire.send(format!("POST /read HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
        wire.send(vec![b'x'; LENGTH]).await;
        assert_eq!(status(&wire.head().await), 200);
        assert_eq!(wire.chunk().await, LENGTH.to_string().as_bytes());
        assert_eq!(origin.seen().len(), 1, "all of them on one connection");
    }
}

/// A client that is gone is noticed although nothing is read from it: the upstream takes no more of its body.
#[tokio::test]
async fn an_upload_that_stalls_ends_with_its_client() {
    let origin = Origin::scripted(H2, |wire, _| async move {
        let mut connection = h2::server::handshake(wire.into_stream()).await.unwrap();
        let mut held = Vec::new();
        while let Some(Ok(request)) = connection.accept().await {
            held.push(request);
        }
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    stream.set_zero_linger().unwrap();
    let mut wire = Wire::new(stream);
    wire.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 200);
    let mut wire = secure(wire, "a.test", proxy.trust(&[])).await.unwrap();
    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n").await;
    let block = vec![b'x'; 64 << 10];
    while tokio::time::timeout(Duration::from_millis(300), wire.send(&block)).await.is_ok() {}
    assert!(proxy.log.requests.lock().unwrap().is_empty());
    drop(wire);
    until("the end of the request", || proxy.log.requests.lock().unwrap().len() == 1).await;
}

/// An HTTP/2 server that sends a part of a body, ends the stream or does not, and resets it without an error once that
/// has arrived: a reset takes what waits to be sent.
async fn resetting(whole: bool, arrived: Arc<Notify>) -> Origin {
    Origin::scripted(H2, move |wire, _| {
        let arrived = Arc::clone(&arrived);
        async move {
            let mut connection = h2::server::handshake(wire.into_stream()).await.unwrap();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                let mut answer = respond.send_response(Response::new(()), false).unwrap();
                answer.send_data("12345".into(), whole).unwrap();
                let arrived = Arc::clone(&arrived);
                tokio::spawn(async move {
                    arrived.notified().await;
                    respond.send_reset(h2::Reason::NO_ERROR);
                });
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_reset_without_an_error_makes_no_response_whole() {
    for whole in [true, false] {
        let arrived = Arc::new(Notify::new());
        let origin = resetting(whole, Arc::clone(&arrived)).await;
        let proxy = Proxy::start(&origin).await;
        for request in [GET, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nabc"] {
            let mut wire = proxy.tunnel("a.test").await;
            wire.send(request).await;
            assert_eq!(status(&wire.head().await), 200);
            assert_eq!(wire.chunk().await, b"12345");
            arrived.notify_one();
            if whole {
                assert!(wire.chunk().await.is_empty(), "{request}");
            } else {
                assert_eq!(wire.rest().await.0, b"", "{request}");
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_that_takes_one_request_at_a_time_gets_more_connections() {
    let origin = Origin::scripted(H2, |wire, number| async move {
        let mut builder = h2::server::Builder::new();
        let mut connection =
            builder.max_concurrent_streams(1).handshake::<_, Bytes>(wire.into_stream()).await.unwrap();
        let mut held = Vec::new();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            if number == 0 && held.is_empty() {
                held.push(answer);
                continue;
            }
            answer.send_data("served".into(), true).unwrap();
        }
    })
    .await;
    let proxy = Proxy::start(&origin).await;
    let mut unfinished = proxy.tunnel("a.test").await;
    unfinished.send(GET).await;
    // The limit has arrived too: it came before.
    assert_eq!(status(&unfinished.head().await), 200);
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    assert_eq!(status(&wire.head().await), 200);
    assert_eq!(wire.chunk().await, b"served");
    assert_eq!(origin.seen().len(), 2);
}
