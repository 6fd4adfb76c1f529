//! Very many hosts, and very many requests at the same time.

use super::{
    both::{Both, pipelock_for},
    harness::{SOON, route, tunnel_speaking},
};
use crate::{origin::Origin, wire::Wire};
use bottle::{
    intercept::{Protocol, body},
    telemetry::audit::{Event, Record, Verdict},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

/// One metric of a registry.
fn metric(registry: &prometheus_client::registry::Registry, name: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
}

/// What is kept for hosts that may be asked again must not keep others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_more_hosts_are_reached_than_connections_are_kept() {
    const HOSTS: usize = 1_200;
    const KEPT: u64 = 512;
    let origin = Origin::serving(&[Protocol::Http2, Protocol::Http1], |request: Request<_>| async move {
        Response::new(body::full(request.uri().host().unwrap_or_default().to_owned()))
    })
    .await;
    let name = |n: usize| format!("h{n}.many.test");
    let routes: Vec<_> = (0..HOSTS).map(|n| route(&name(n))).collect();
    let pipelock = pipelock_for(&routes);
    let both = Both::with(&origin, routes, pipelock).await;
    let open = || {
        [
            metric(&both.proxy.admin().metrics, "bottle_egress_proxy_upstream_open"),
            metric(&both.second.pipelock.admin().metrics, "pipelock_upstream_open"),
        ]
    };
    let asked = stream::iter(0..HOSTS).map(|n| {
        let (both, name, open) = (&both, name(n), &open);
        async move {
            let answer = both.get(&name, "/").await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.body);
            // Those in use may come on top of those that are kept.
            assert!(open().into_iter().all(|open| open <= KEPT + 16), "{:?}", open());
        }
    });
    asked.buffer_unordered(16).collect::<Vec<()>>().await;
    for (registry, prefix) in [
        (both.proxy.admin().metrics, "bottle_egress_proxy"),
        (both.second.pipelock.admin().metrics, "pipelock"),
    ] {
        let count = |name: &str| metric(&registry, &format!("{prefix}_{name}"));
        let (made, evicted) = (count("upstream_connections_total"), count("upstream_evicted_total"));
        assert!(made >= HOSTS as u64 && evicted >= made - KEPT - 16, "{prefix}: {made} {evicted}");
        assert!(count("upstream_open") <= KEPT, "{prefix}");
    }
    // What was used last is still there.
    let made = || metric(&both.proxy.admin().metrics, "bottle_egress_proxy_upstream_connections_total");
    let before = made();
    assert_eq!(both.get(&name(HOSTS - 1), "/").await.status, 200);
    assert_eq!(made(), before);
}

async fn over_http2(wire: Wire) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(wire.into_stream());
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    client
}

fn asking() -> Request<Full<Bytes>> {
    Request::get("https://open.test/").body(Full::default()).unwrap()
}

/// As many requests as one connection may have, sent.
async fn filled(mut client: SendRequest<Full<Bytes>>) -> Vec<JoinHandle<()>> {
    let mut held = Vec::new();
    for _ in 0..256 {
        client.ready().await.unwrap();
        let answer = client.send_request(asking());
        held.push(tokio::spawn(async { drop(answer.await) }));
    }
    held
}

/// The field `reason` of 20 answers to one connection, each 503; empty where there is none.
async fn refusals(mut client: SendRequest<Full<Bytes>>, reason: &str, limit: usize) -> Vec<String> {
    let mut reasons = Vec::new();
    for _ in 0..20 {
        let answer = timeout(SOON, client.send_request(asking())).await.unwrap().unwrap();
        assert_eq!(answer.status(), 503);
        reasons.push(answer.headers().get(reason).map_or("", |it| it.to_str().unwrap()).to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let said = if reasons.last().unwrap().is_empty() {
            "bottle: too many requests at the same time; try again".to_owned()
        } else {
            format!("there are {limit} requests in flight, which is the limit")
        };
        assert!(text.contains(&said), "{text}");
    }
    reasons
}

/// 512 requests are as many as there may be in flight in egress-proxy, 4,096 in the engine, and 256 those of one connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_refused_since_others_are_in_flight_is_recorded() {
    let arrived = Arc::new((AtomicUsize::new(0), Notify::new()));
    let counted = Arc::clone(&arrived);
    let origin = Origin::serving(&[Protocol::Http2], move |_: Request<_>| {
        let counted = Arc::clone(&counted);
        async move {
            counted.0.fetch_add(1, Ordering::Relaxed);
            counted.1.notify_one();
            std::future::pending().await
        }
    })
    .await;
    let routes = vec![route("open.test")];
    let mut pipelock = pipelock_for(&routes);
    pipelock.file.logging.include_blocked = true;
    let both = Both::with(&origin, routes, pipelock).await;
    let tunnel = || tunnel_speaking(&both.address, &both.files.agent_ca, "open.test:443", Protocol::Http2);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.extend(filled(over_http2(tunnel().await).await).await);
    }
    while arrived.0.load(Ordering::Relaxed) < 512 {
        arrived.1.notified().await;
    }
    let reasons = refusals(over_http2(tunnel().await).await, "x-bottle-reason", 512).await;
    let told: Vec<_> = reasons.iter().map(|reason| reason == "limit_reached").collect();
    // A client that goes on fills no trail.
    let expected: Vec<_> = (0..20).map(|n| n < 8).collect();
    assert_eq!(told, expected, "{reasons:?}");
    let refused = |text: &str| {
        let records = text.lines().filter(|line| line.contains("limit_reached"));
        let records: Vec<Record> = records.map(|line| serde_json::from_str(line).unwrap()).collect();
        (records.len() == 8).then_some(records)
    };
    for record in both.audit.wait("8 records", refused).await {
        assert_eq!((record.event, record.verdict), (Event::Error, Verdict::Error));
        assert_eq!((record.reason.as_deref(), record.status), (Some("limit_reached"), Some(503)));
        assert_eq!((record.host.as_deref(), record.method.as_deref()), (Some("open.test"), Some("GET")));
    }

    let second = || both.second.tunnel("open.test:443", Protocol::Http2);
    for _ in 2..16 {
        held.extend(filled(over_http2(second().await).await).await);
    }
    while arrived.0.load(Ordering::Relaxed) < 4096 {
        arrived.1.notified().await;
    }
    let reasons = refusals(over_http2(second().await).await, "x-pipelock-block-reason", 4096).await;
    assert_eq!(reasons.iter().filter(|reason| *reason == "request_limit").count(), 8, "{reasons:?}");
    let lines = |text: &str| {
        let blocked = |line: &&str| line.contains("\"blocked\"") && line.contains("4096 requests in flight");
        (text.lines().filter(blocked).count() == 8).then_some(())
    };
    both.second.log.wait("8 lines", lines).await;
    held.iter().for_each(JoinHandle::abort);
}
