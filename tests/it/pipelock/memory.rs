//! The memory of request bodies in flight: one budget, and whoever holds it in vain gives way.

use super::{Running, setup};
use crate::{origin::Origin, wire::Wire};
use bottle::intercept::{Protocol, body};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A zstd frame with a window of 8 MiB and 128 KiB of `a`, and no end.
const HELD: [u8; 10] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 0x02, 0x00, 0x10, b'a'];
/// So many of them would take 2.6 GB.
const MANY: usize = 300;

async fn origin() -> Origin {
    Origin::serving(&[Protocol::Http1], |request: Request<Incoming>| async {
        let read = request.into_body().collect().await.map_or(0, |all| all.to_bytes().len());
        Response::new(body::full(format!("read {read}")))
    })
    .await
}

/// Begins a body and leaves it open.
async fn hold(running: &Running) -> Wire {
    let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
    let head =
        "POST /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Encoding: zstd\r\nContent-Length: 5000\r\n\r\n";
    wire.send([head.as_bytes(), &HELD].concat()).await;
    wire
}

/// Waits until the budget is as it should be.
async fn until(running: &Running, wanted: impl Fn(usize, usize) -> bool) {
    let began = Instant::now();
    loop {
        let (used, total) = running.pipelock.body_memory();
        if wanted(used, total) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{used} of {total} bytes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_decoded_bodies_that_are_held_open_give_way() {
    let origin = origin().await;
    let running = setup().before(&origin).await;
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(hold(&running).await);
    }
    let answers: Vec<_> = held
        .into_iter()
        .map(|mut wire| {
            tokio::spawn(async move {
                // A few are the last to come in, and nobody needs what they hold.
                tokio::time::timeout(Duration::from_secs(20), wire.message()).await.ok()
            })
        })
        .collect();
    until(&running, |used, total| used > total / 2).await;

    // While they are there: a plain body at once, and an encoded one after some of them gave way.
    let began = Instant::now();
    let plain = running.ask("POST /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(plain.1, "read 5", "{}", plain.0);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let zstd = zstd::encode_all(&b"some text "[..], 3).unwrap();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n",
        zstd.len()
    );
    let encoded = running.ask([head.as_bytes(), &zstd].concat()).await;
    assert_eq!(encoded.1, format!("read {}", zstd.len()), "{}", encoded.0);

    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for answer in answers {
        let (used, total) = running.pipelock.body_memory();
        assert!(used <= total, "{used} of {total} bytes");
        let Some((head, body)) = answer.await.unwrap() else { continue };
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        assert!(head.contains("x-pipelock-retry: transient"), "{head}");
        *reasons.entry(body).or_default() += 1;
    }
    let memory = "blocked: other requests take all memory for scanning request bodies; try again later\n";
    let stalled =
        "blocked: request body made no progress while other requests needed its memory; send it again\n";
    assert_eq!(reasons.keys().map(String::as_str).collect::<Vec<_>>(), [memory, stalled]);
    let refused: usize = reasons.values().sum();
    assert!(refused >= MANY - 30, "{reasons:?}");
    // They are said in the log, with their code.
    assert_eq!(running.log.event("blocked").await["status_code"], 503);
    assert!(running.log.text().contains("\"body_stalled\""), "the code is in the log");

    // Everything comes back when the last ones end, whichever way.
    until(&running, |used, _| used == 0).await;
}

/// Many parts of one byte take a hundred times their length: that is what counts.
#[tokio::test]
async fn parts_of_one_byte_are_held_by_what_they_take() {
    let origin = origin().await;
    let running = setup().before(&origin).await;
    let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
    wire.send("POST /v1 HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let count = 100_000;
    let mut most = 0;
    for _ in 0..count / 1000 {
        wire.send("1\r\nx\r\n".repeat(1000)).await;
        most = most.max(running.pipelock.body_memory().0);
    }
    wire.send("0\r\n\r\n").await;
    let answer = wire.message().await;
    assert_eq!(answer.1, format!("read {count}"), "{}", answer.0);
    assert!(most < 2 << 20, "{most} bytes were held for a body of {count}");
    until(&running, |used, _| used == 0).await;
}

/// What `bottle healthcheck --url tcp://…` relies on: who ends without a request is let go at once.
#[tokio::test]
async fn a_client_that_ends_without_a_request_sees_the_end() {
    let origin = origin().await;
    let running = setup().before(&origin).await;
    let mut stream = tokio::net::TcpStream::connect(running.address).await.unwrap();
    stream.shutdown().await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(3), stream.read(&mut [0; 16])).await;
    assert_eq!(end.expect("the proxy ends its side").unwrap(), 0);
}
