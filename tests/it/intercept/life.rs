//! Limits, idleness, and the end in good order.

use super::relay::{BOTH, H1, Proxy, until};
use crate::{
    origin::Origin,
    wire::{field, status},
};
use bottle::intercept::{Body, Drained, Event, ServerLimits, body};
use http::{Request, Response};
use hyper::body::Incoming;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

async fn hello(_: Request<Incoming>) -> Response<Body> {
    Response::new(body::full("hello\n"))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// An origin that answers when it is told to.
async fn held() -> (Origin, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let origin = Origin::serving(H1, move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            Response::new(body::full("at last\n"))
        }
    })
    .await;
    (origin, go)
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let origin = Origin::serving(H1, hello).await;
    let proxy = Proxy::with(&origin, H1, ServerLimits { connections: 2, ..ServerLimits::default() }).await;
    let mut first = proxy.tunnel("a.test").await;
    let second = proxy.tunnel("a.test").await;
    let mut third = proxy.wire().await;
    let (head, text) = third.message().await;
    assert_eq!((status(&head), field(&head, "connection")), (503, Some("close")));
    assert_eq!(
        text,
        "bottle: there are 2 connections already, which is the limit; close some and try again\n"
    );
    assert_eq!(proxy.log.count(Event::ConnectionRefused), 1);

    first.send(GET).await;
    assert_eq!(first.message().await.1, "hello\n");
    drop(second);
    until("the place", || proxy.server.connections() == 1).await;
    proxy.tunnel("a.test").await;
    assert_eq!(proxy.log.count(Event::ConnectionOpened), 3);
}

#[tokio::test]
async fn a_connection_ends_with_its_last_request() {
    let origin = Origin::serving(H1, hello).await;
    let proxy =
        Proxy::with(&origin, H1, ServerLimits { requests_per_connection: 2, ..ServerLimits::default() })
            .await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    assert_eq!(field(&wire.message().await.0, "connection"), None);
    wire.send(GET).await;
    assert_eq!(field(&wire.message().await.0, "connection"), Some("close"));
    assert!(wire.rest().await.0.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_a_waiting_one_is_not() {
    let (origin, go) = held().await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    let answered = tokio::spawn(async move {
        let begun = tokio::time::Instant::now();
        assert_eq!(wire.wait_for(Duration::from_secs(1000)).message().await.1, "at last\n");
        assert!(begun.elapsed() >= Duration::from_mins(15));
        let begun = tokio::time::Instant::now();
        assert!(wire.rest().await.0.is_empty());
        begun.elapsed()
    });
    tokio::time::sleep(Duration::from_mins(15)).await;
    go.notify_one();
    let idle = answered.await.unwrap();
    let expected = ServerLimits::default().idle;
    assert!(idle >= expected && idle < expected + Duration::from_secs(5), "{idle:?}");
    assert_eq!(proxy.log.count(Event::IdleClosed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_has_a_last_moment() {
    let origin = Origin::serving(H1, hello).await;
    let limits = ServerLimits { total: Duration::from_secs(100), ..ServerLimits::default() };
    let proxy = Proxy::with(&origin, H1, limits).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send("GET /local/hang HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let begun = tokio::time::Instant::now();
    assert!(wire.wait_for(Duration::from_secs(200)).rest().await.0.is_empty());
    assert!(begun.elapsed() >= Duration::from_secs(100));
    assert_eq!(proxy.log.count(Event::Stalled), 1);
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_closes_the_rest() {
    let (origin, go) = held().await;
    let proxy = Proxy::start(&origin).await;
    let mut idle = proxy.tunnel("a.test").await;
    let mut busy = proxy.tunnel("a.test").await;
    let mut waiting = proxy.granted("a.test").await;
    busy.send(GET).await;
    until("the request", || !origin.seen().is_empty()).await;
    proxy.drain.start();
    assert!(idle.rest().await.0.is_empty());
    assert!(waiting.rest().await.0.is_empty());
    until("the listener's end", || std::net::TcpStream::connect(proxy.address).is_err()).await;
    assert!(!proxy.task.is_finished());
    go.notify_one();
    let (head, text) = busy.message().await;
    assert_eq!((status(&head), text.as_str(), field(&head, "connection")), (200, "at last\n", Some("close")));
    assert!(busy.rest().await.0.is_empty());
    drop(busy);
    assert_eq!(proxy.task.await.unwrap(), Drained { aborted: 0 });
}

#[tokio::test(start_paused = true)]
async fn draining_does_not_wait_for_ever() {
    let (origin, _) = held().await;
    let proxy = Proxy::start(&origin).await;
    let mut wire = proxy.tunnel("a.test").await;
    wire.send(GET).await;
    until("the request", || !origin.seen().is_empty()).await;
    let begun = tokio::time::Instant::now();
    proxy.drain.start();
    assert_eq!(proxy.task.await.unwrap(), Drained { aborted: 1 });
    assert!(begun.elapsed() >= ServerLimits::default().grace);
    assert!(wire.rest().await.0.is_empty());
}

#[tokio::test]
async fn a_new_ca_serves_new_tunnels() {
    let origin = Origin::serving(H1, hello).await;
    let (old, new) = (Proxy::start(&origin).await, Proxy::start(&origin).await);
    let mut before = old.tunnel("a.test").await;
    old.server.swap(new.interception(BOTH));
    let wire = old.granted("a.test").await;
    let mut after = super::relay::secure(wire, "a.test", new.trust(&[])).await.unwrap();
    for wire in [&mut before, &mut after] {
        wire.send(GET).await;
        assert_eq!(wire.message().await.1, "hello\n");
    }
}
