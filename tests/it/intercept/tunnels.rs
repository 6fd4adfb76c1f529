//! From CONNECT to TLS: whose name it is, what is refused, and how often a leaf is made.

use super::relay::{BOTH, H1, Proxy, secure, until};
use crate::{
    origin::{Origin, trusting},
    wire::{field, status},
};
use bottle::intercept::{Body, Event, Listener, Protocol, ServerLimits, body};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use std::{io::ErrorKind, sync::atomic::Ordering, time::Duration};

async fn hello(_: Request<Incoming>) -> Response<Body> {
    Response::new(body::full("hello\n"))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test]
async fn a_tunnel_serves_requests_one_after_another() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    for _ in 0..3 {
        wire.send(GET).await;
        let (head, text) = wire.message().await;
        assert_eq!((status(&head), text.as_str()), (200, "hello\n"));
    }
    let seen = origin.only();
    assert_eq!((seen.sni.as_deref(), seen.alpn.as_deref()), (Some("a.test"), Some("http/1.1")));
    assert_eq!(proxy.pool.stats().reused, 2);
}

#[tokio::test]
async fn an_old_connect_without_a_host_is_served() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.wire().await;
    wire.send("CONNECT a.test:443 HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 200);
    let mut wire = secure(wire, "a.test", proxy.trust(&[])).await.unwrap();
    wire.send(GET).await;
    assert_eq!(wire.message().await.1, "hello\n");
}

#[tokio::test]
async fn tls_sent_ahead_of_the_answer_is_taken_up() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    // The client's TLS speaks into a pipe first, so that CONNECT and ClientHello go out in one write.
    let (near, far) = tokio::io::duplex(1 << 16);
    let mut far = crate::wire::Wire::new(far);
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let connecting = tokio::spawn(tokio_rustls::TlsConnector::from(proxy.trust(&[])).connect(name, near));
    far.more().await.unwrap();
    let hello_bytes = far.unread().to_vec();
    let mut wire = proxy.wire().await;
    wire.send([b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".as_slice(), &hello_bytes].concat())
        .await;
    assert_eq!(status(&wire.head().await), 200);
    wire.more().await.unwrap();
    assert_eq!(wire.unread()[0], 0x16, "a ServerHello comes without more from the client");
    connecting.abort();
}

#[tokio::test]
async fn a_refused_connect_is_closed() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.wire().await;
    wire.send("CONNECT refused.test:443 HTTP/1.1\r\nHost: refused.test:443\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        .await;
    let (head, text) = wire.message().await;
    assert_eq!((status(&head), text.as_str(), field(&head, "connection")), (403, "no\n", Some("close")));
    assert!(wire.rest().await.0.is_empty());
}

#[tokio::test]
async fn what_is_not_tls_is_never_passed_on() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    for (host, bytes) in [("a.test", "GET / HTTP/1.1\r\n\r\n"), ("spliced.test", "SSH-2.0-x\r\n")] {
        let mut wire = proxy.granted(host).await;
        wire.send(bytes).await;
        assert!(wire.rest().await.0.is_empty());
        until("the report", || !proxy.log.failures.lock().unwrap().is_empty()).await;
        let failure = proxy.log.failures.lock().unwrap().pop().unwrap();
        assert_eq!(
            failure,
            format!("{host}:443: the tunnel does not begin with TLS: only TLS is served on CONNECT")
        );
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn another_server_name_is_refused_in_a_way_that_the_client_can_read() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let wire = proxy.granted("a.test").await;
    let mut wire = secure(wire, "evil.test", proxy.trust(&[])).await.unwrap();
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let (head, text) = wire.message().await;
    assert_eq!((status(&head), text.as_str()), (403, "sni\n"));
    assert!(wire.rest().await.0.is_empty());
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn no_server_name_is_refused() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let mut tls = (*proxy.trust(&[])).clone();
    tls.enable_sni = false;
    let wire = proxy.granted("a.test").await;
    let mut wire = secure(wire, "a.test", tls.into()).await.unwrap();
    wire.send(GET).await;
    assert_eq!(status(&wire.message().await.0), 403);
    assert_eq!(proxy.log.exchanges(), ["sni"]);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_ca_is_reported() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let wire = proxy.granted("a.test").await;
    let stranger = trusting(origin.ca_pem(), &[]);
    assert_eq!(secure(wire, "a.test", stranger).await.err().unwrap().kind(), ErrorKind::InvalidData);
    until("the report", || !proxy.log.failures.lock().unwrap().is_empty()).await;
    let failure = proxy.log.failures.lock().unwrap()[0].clone();
    assert!(failure.starts_with("a.test:443: the TLS handshake failed: "), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_reported() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.granted("a.test").await;
    let begun = tokio::time::Instant::now();
    assert!(wire.rest().await.0.is_empty());
    assert!(
        begun.elapsed() >= ServerLimits::default().handshake && begun.elapsed() < Duration::from_secs(20)
    );
    assert_eq!(
        *proxy.log.failures.lock().unwrap(),
        ["a.test:443: the TLS handshake was not complete in time"]
    );
}

#[tokio::test]
async fn a_hundred_clients_at_once_get_one_leaf() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::with(&origin, H1, ServerLimits { handshakes: 10, ..ServerLimits::default() }).await;
    let clients = (0..100).map(|_| async {
        let mut wire = proxy.tunnel("a.test").await;
        wire.send("GET /local/deny HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(status(&wire.head().await), 403);
    });
    futures_util::future::join_all(clients).await;
    assert_eq!(proxy.leaves.issued.load(Ordering::Relaxed), 1);
    assert_eq!(proxy.log.count(Event::LeafIssued), 1);
    assert_eq!(proxy.log.count(Event::Handshake { protocol: Protocol::Http1 }), 100);
}

#[tokio::test]
async fn a_client_may_speak_http2_where_it_is_offered() {
    let origin = Origin::serving(BOTH, hello).await;
    let proxy = Proxy::with(&origin, BOTH, ServerLimits::default()).await;
    let wire = proxy.granted("a.test").await;
    let stream = secure(wire, "a.test", proxy.trust(BOTH)).await.unwrap().into_stream();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let driver = tokio::spawn(connection);
    for (host, status) in [("a.test", 200), ("b.test", 400)] {
        let mut request =
            Request::get("https://a.test/").version(Version::HTTP_2).body(body::empty()).unwrap();
        if host == "b.test" {
            request.headers_mut().append("host", "a.test".parse().unwrap());
            request.headers_mut().append("host", "b.test".parse().unwrap());
        }
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(proxy.log.exchanges(), ["GET /", "GET / host_several"]);
    assert_eq!(proxy.log.count(Event::Handshake { protocol: Protocol::Http2 }), 1);
    driver.abort();
}

/// A client in a tunnel of its own, and what drives it.
async fn over_http2(proxy: &Proxy) -> hyper::client::conn::http2::SendRequest<Body> {
    let wire = proxy.granted("a.test").await;
    let stream = secure(wire, "a.test", proxy.trust(BOTH)).await.unwrap().into_stream();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn requests_in_flight_over_http2_are_bounded_on_all_connections_together() {
    let origin = Origin::serving(BOTH, |request: Request<Incoming>| async move {
        let _ = http_body_util::BodyExt::collect(request.into_body()).await;
        Response::new(body::full("hello\n"))
    })
    .await;
    let limits = ServerLimits { exchanges: 1, ..ServerLimits::default() };
    let proxy = Proxy::with(&origin, BOTH, limits).await;
    let (mut one, mut other) = (over_http2(&proxy).await, over_http2(&proxy).await);
    let (open, mut coming) = tokio::sync::mpsc::unbounded_channel::<bytes::Bytes>();
    let frames = futures_util::stream::poll_fn(move |cx| {
        coming.poll_recv(cx).map(|data| data.map(|data| Ok(hyper::body::Frame::data(data))))
    });
    let slow =
        Request::post("https://a.test/slow").body(body::boxed(http_body_util::StreamBody::new(frames)));
    let held = tokio::spawn(one.send_request(slow.unwrap()));
    until("the first request", || proxy.log.exchanges().len() == 1).await;
    let ask = || Request::get("https://a.test/").body(body::empty()).unwrap();
    assert_eq!(other.send_request(ask()).await.unwrap().status(), 503);
    assert_eq!(proxy.log.count(Event::StreamRefused), 1);
    for _ in 0..20 {
        assert_eq!(other.send_request(ask()).await.unwrap().status(), 503);
    }
    // The handler is told of some only: a client that goes on fills no trail.
    let told = proxy.log.exchanges().iter().filter(|it| *it == "too many").count();
    assert_eq!((proxy.log.count(Event::StreamRefused), told), (21, 8));
    drop(open);
    let answer = held.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    loop {
        // The room is there when the answer has left.
        if other.send_request(ask()).await.unwrap().status() == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_of_http2_ends_after_its_last_request() {
    let origin = Origin::serving(BOTH, hello).await;
    let limits = ServerLimits { requests_per_connection: 3, ..ServerLimits::default() };
    let proxy = Proxy::with(&origin, BOTH, limits).await;
    let mut client = over_http2(&proxy).await;
    let ask = || Request::get("https://a.test/").body(body::empty()).unwrap();
    for _ in 0..3 {
        assert_eq!(client.send_request(ask()).await.unwrap().status(), 200);
    }
    while client.ready().await.is_ok() {
        // Whether one more is still taken is a race; that the connection ends is none.
        let _ = client.send_request(ask()).await;
    }
}

#[tokio::test]
async fn a_spliced_tunnel_passes_the_clients_own_tls() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    let wire = proxy.granted("spliced.test").await;
    let mut wire = secure(wire, "spliced.test", trusting(origin.ca_pem(), &[])).await.unwrap();
    wire.send("GET / HTTP/1.1\r\nHost: spliced.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire.message().await.1, "hello\n");
    // The origin closes first. Whatever is sent to it then, a farewell of TLS too, may be answered with a reset.
    assert!(wire.rest().await.0.is_empty());
    drop(wire);
    until("the end", || !proxy.log.splices.lock().unwrap().is_empty()).await;
    let end = proxy.log.splices.lock().unwrap()[0].clone();
    assert_eq!(end.error, None);
    assert!(end.sent > 200 && end.received > 500, "{end:?}");
    assert_eq!(proxy.leaves.issued.load(Ordering::Relaxed), 0);

    let wire = proxy.granted("spliced.test").await;
    assert!(secure(wire, "evil.test", trusting(origin.ca_pem(), &[])).await.is_err());
    until("the report", || !proxy.log.failures.lock().unwrap().is_empty()).await;
    let failure = proxy.log.failures.lock().unwrap()[0].clone();
    assert_eq!(failure, "spliced.test:443: the TLS server name is not the host of the CONNECT");
}

#[tokio::test]
async fn it_listens_on_a_unix_socket() {
    let origin = Origin::serving(H1, hello).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egress.sock");
    let proxy = Proxy::on(Listener::unix(&path, 0o666).unwrap(), &origin, H1, ServerLimits::default());
    let mut wire = crate::wire::Wire::new(tokio::net::UnixStream::connect(&path).await.unwrap());
    wire.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
    assert_eq!(status(&wire.head().await), 200);
    let mut wire = secure(wire, "a.test", proxy.trust(&[])).await.unwrap();
    wire.send(GET).await;
    assert_eq!(wire.message().await.1, "hello\n");
    assert_eq!(proxy.log.clients.lock().unwrap()[0].peer.to_string(), "unix");
}

const UPGRADE: &str =
    "GET /local/upgrade HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

#[tokio::test]
async fn an_upgraded_connection_goes_on_in_another_protocol() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    for mut wire in [proxy.tunnel("a.test").await, proxy.wire().await] {
        // Not the first exchange of its connection, and after one whose upgrade was not granted.
        wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
        assert_eq!(status(&wire.message().await.0), 200);
        wire.send(UPGRADE).await;
        let head = wire.head().await;
        assert_eq!((status(&head), field(&head, "upgrade")), (101, Some("echo")));
        assert_eq!(field(&head, "connection"), Some("upgrade"));
        for text in ["GET / HTTP/9\r\n\r\n", "\0\x01 and whatever else"] {
            wire.send(text).await;
            assert_eq!(wire.exactly(text.len()).await, text.as_bytes());
        }
        wire.shutdown().await;
        assert!(wire.rest().await.0.is_empty());
    }
}

#[tokio::test]
async fn what_is_sent_ahead_of_a_granted_upgrade_is_never_passed_on() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    for ahead in ["\x01\x05hello", GET] {
        let mut wire = proxy.tunnel("a.test").await;
        wire.send([UPGRADE, ahead].concat()).await;
        assert_eq!(status(&wire.head().await), 101);
        assert_eq!(wire.rest().await.0.escape_ascii().to_string(), "", "after {ahead:?}");
    }
}

#[tokio::test]
async fn only_a_request_that_asks_for_an_upgrade_in_http_1_1_gets_one() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::start(&origin).await;
    for request in [
        "GET /local/upgrade HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /local/upgrade HTTP/1.0\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    ] {
        let mut wire = proxy.tunnel("a.test").await;
        wire.send(request).await;
        let (head, text) = wire.message().await;
        assert_eq!((status(&head), text.as_str()), (502, "bottle: the connection can't be upgraded\n"));
        assert!(wire.rest().await.0.is_empty());
    }
}
