//! The memory of request bodies in flight: one budget, and whoever holds it without using it gives way.

use super::{Running, setup};
use crate::wire::Wire;
use bottle::intercept::body;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A zstd frame with a window of 8 MiB and 1 KiB of `a`, and no end.
const HELD: [u8; 10] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 0x02, 0x20, 0x00, b'a'];
/// So many of them would take 2.6 GB.
const MANY: usize = 300;
/// So many unread responses take all of the budget.
const UNREAD: usize = 520;
/// Other tests take the processor too.
const PATIENCE: Duration = Duration::from_mins(1);

/// An origin without TLS, since hundreds of handshakes would take the test's time. It reads every body to its end;
/// what it answers to GET has none.
async fn plain_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request: Request<Incoming>| async {
                if *request.method() == Method::GET {
                    let chunk = Bytes::from_static(&[0; 16 << 10]);
                    let frames = std::iter::repeat(chunk).map(|chunk| Ok(Frame::data(chunk)));
                    let endless = StreamBody::new(futures_util::stream::iter(frames));
                    return Ok(Response::new(body::boxed(endless)));
                }
                let read = request.into_body().collect().await.map_or(0, |all| all.to_bytes().len());
                Ok::<_, Infallible>(Response::new(body::full(format!("read {read}"))))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

fn head(length: &str, fields: &str) -> String {
    format!("POST http://web.test/v1 HTTP/1.1\r\nHost: web.test\r\n{fields}{length}\r\n\r\n")
}

async fn ask(running: &Running, request: Vec<u8>) -> (String, String) {
    let mut wire = running.client().await;
    wire.send(request).await;
    wire.wait_for(PATIENCE).message().await
}

/// Begins a body and leaves it open.
async fn hold(running: &Running) -> Wire {
    let mut wire = running.client().await;
    let head = head("Content-Length: 5000", "Content-Encoding: zstd\r\n");
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
    let running = setup().start(plain_origin().await, None).await;
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(hold(&running).await);
    }
    let mut answers = tokio::task::JoinSet::new();
    for mut wire in held {
        answers.spawn(async move { wire.wait_for(PATIENCE).message().await });
    }
    until(&running, |used, total| used > total / 2).await;

    // While they are there: a plain body at once, and an encoded one after some of them gave way.
    let plain = ask(&running, (head("Content-Length: 5", "") + "hello").into_bytes()).await;
    assert_eq!(plain.1, "read 5", "{}", plain.0);
    let (used, total) = running.pipelock.body_memory();
    assert!(used > total / 2, "it waited until they gave way: {used} of {total} bytes");
    let zstd = zstd::encode_all(&b"some text "[..], 3).unwrap();
    let fields = head(&format!("Content-Length: {}", zstd.len()), "Content-Encoding: zstd\r\n");
    let encoded = ask(&running, [fields.as_bytes(), &zstd].concat()).await;
    assert_eq!(encoded.1, format!("read {}", zstd.len()), "{}", encoded.0);

    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    // A few are the last to come in, and nobody needs what they hold.
    while reasons.values().sum::<usize>() < MANY - 30 {
        let (used, total) = running.pipelock.body_memory();
        assert!(used <= total, "{used} of {total} bytes");
        let (fields, body) = answers.join_next().await.unwrap().unwrap();
        assert!(fields.starts_with("HTTP/1.1 503"), "{fields}");
        assert!(fields.contains("x-pipelock-retry: transient"), "{fields}");
        *reasons.entry(body).or_default() += 1;
    }
    let memory = "blocked: other requests take all memory for bodies in flight; try again later\n";
    let stalled =
        "blocked: request body made no progress while other requests needed its memory; send it again\n";
    assert_eq!(reasons.keys().map(String::as_str).collect::<Vec<_>>(), [memory, stalled]);
    // They are said in the log, with their code.
    assert_eq!(running.event("blocked").await["status_code"], 503);
    assert!(running.log.text().contains("\"body_stalled\""), "the code is in the log");

    // Everything comes back when the last ones end, whichever way.
    answers.shutdown().await;
    until(&running, |used, _| used == 0).await;
}

/// A response whose client does not read it fills the window of its stream, and no more than the budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_nobody_reads_give_way() {
    let running = setup().start(plain_origin().await, None).await;
    let get = "GET http://web.test/v1 HTTP/1.1\r\nHost: web.test\r\n\r\n";
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let mut wire = running.client().await;
        wire.send(get).await;
        unread.push(wire);
    }
    until(&running, |used, total| used > total - (1 << 20)).await;

    let began = Instant::now();
    let mut asked = 0;
    loop {
        let (head, text) = ask(&running, (head("Content-Length: 5", "") + "hello").into_bytes()).await;
        let (used, total) = running.pipelock.body_memory();
        assert!(used <= total, "{used} of {total} bytes");
        asked += 1;
        if text == "read 5" {
            break;
        }
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        assert!(began.elapsed() < PATIENCE, "{asked} requests were refused");
    }
    let line = running.event("response_stalled").await;
    assert_eq!(line["reason"], "the client did not read it while other requests needed its memory");
    drop(unread);
    until(&running, |used, _| used == 0).await;
}

/// Many parts of one byte take a hundred times their length: that is what counts.
#[tokio::test]
async fn parts_of_one_byte_are_held_by_what_they_take() {
    let running = setup().start(plain_origin().await, None).await;
    let mut wire = running.client().await;
    wire.send(head("Transfer-Encoding: chunked", "")).await;
    let count = 20_000;
    let mut most = 0;
    for _ in 0..count / 1000 {
        wire.send("1\r\nx\r\n".repeat(1000)).await;
        most = most.max(running.pipelock.body_memory().0);
    }
    wire.send("0\r\n\r\n").await;
    let answer = wire.wait_for(PATIENCE).message().await;
    assert_eq!(answer.1, format!("read {count}"), "{}", answer.0);
    assert!(most < 2 << 20, "{most} bytes were held for a body of {count}");
    until(&running, |used, _| used == 0).await;
}

/// What `bottle healthcheck --url tcp://…` relies on: who ends without a request is let go at once.
#[tokio::test]
async fn a_client_that_ends_without_a_request_sees_the_end() {
    let running = setup().start(plain_origin().await, None).await;
    let mut stream = tokio::net::TcpStream::connect(running.address).await.unwrap();
    stream.shutdown().await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(3), stream.read(&mut [0; 16])).await;
    assert_eq!(end.expect("the proxy ends its side").unwrap(), 0);
}
