//! Credentials of the proxy's in bodies with a content coding, and in lines.

use super::both::Both;
use super::harness::{PLANTED, Stack, auth, exchange, read_answer, route};
use crate::origin::Origin;
use bottle::config::routes::RouteEntry;
use bottle::intercept::{Protocol, body};
use http::{Request, Response};
use std::{io::Write as _, time::Duration};

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

/// An uncompressed metablock, one that is empty and last (RFC 7932 §9.2).
fn brotli(text: &[u8]) -> Vec<u8> {
    assert!(text.len() <= 1 << 16);
    // A window of 16 bits, not the last, 16 bits of length, uncompressed.
    let head = (u32::try_from(text.len()).unwrap() - 1) << 4 | 1 << 20;
    [&head.to_le_bytes()[..3], text, &[0x03]].concat()
}

/// Chunks of nine bytes, as a client of S3 signs them.
fn aws_chunked(text: &[u8]) -> Vec<u8> {
    let chunk = |data: &[u8]| {
        let size = format!("{:x};chunk-signature={}\r\n", data.len(), "0".repeat(64));
        [size.as_bytes(), data, b"\r\n"].concat()
    };
    text.chunks(9).chain([&[][..]]).flat_map(chunk).collect()
}

type Encode = fn(&[u8]) -> Vec<u8>;

fn all() -> [(&'static str, Encode); 5] {
    [("gzip", gzip), ("deflate", zlib), ("zstd", zstd), ("br", brotli), ("aws-chunked", aws_chunked)]
}

/// A POST with a coding, in chunks of so many bytes.
async fn post(stack: &Stack, coding: &str, body: &[u8], chunk: usize) -> super::harness::Answer {
    let mut tunnel = stack.tunnel("open.test:443").await;
    let mut request = format!(
        "POST /a HTTP/1.1\r\nHost: open.test\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in body.chunks(chunk) {
        request.extend(format!("{:x}\r\n", piece.len()).bytes());
        request.extend(piece);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    exchange(&mut tunnel, request).await
}

#[tokio::test]
async fn a_credential_of_ours_leaves_in_no_coding() {
    let stack = Stack::start().await;
    let base64 = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let encoded = STANDARD.encode(format!("user:{PLANTED}:and more"));
        encoded.as_bytes().chunks(16).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\r\n")
    };
    for text in [format!("{{\"a\": \"{PLANTED}\"}}"), base64] {
        for (coding, encode) in all() {
            let body = encode(text.as_bytes());
            for chunk in [1, 20, body.len()] {
                let answer = post(&stack, coding, &body, chunk).await;
                answer.assert_refused(403, "own_secret");
                assert!(answer.message().contains("it carries the credential TOKEN"), "{coding}: {answer:?}");
            }
        }
        post(&stack, "identity", text.as_bytes(), 20).await.assert_refused(403, "own_secret");
    }
    assert!(stack.pipelock.seen().is_empty(), "{:?}", stack.pipelock.seen());
}

#[tokio::test]
async fn what_carries_none_passes_as_it_came() {
    let stack = Stack::start().await;
    let text = (0..5000).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
    let mut sent = Vec::new();
    for (coding, encode) in all() {
        for chunk in [97, usize::MAX] {
            let body = encode(text.as_bytes());
            assert_eq!(post(&stack, coding, &body, chunk).await.status, 200, "{coding}");
            sent.push(body);
        }
    }
    // A coding that nobody knows is pipelock's to refuse.
    assert_eq!(post(&stack, "x-other", text.as_bytes(), 97).await.status, 200);
    sent.push(text.into_bytes());
    let seen: Vec<_> = stack.pipelock.seen().into_iter().map(|seen| seen.body.to_vec()).collect();
    assert!(seen == sent, "{:?}", seen.iter().map(Vec::len).collect::<Vec<_>>());
}

/// Where pipelock looks into a host, it refuses such a body itself.
#[tokio::test]
async fn what_can_not_be_decoded_does_not_pass() {
    let origin =
        Origin::serving(&[Protocol::Http1], |_: Request<_>| async { Response::new(body::empty()) }).await;
    let guarded = RouteEntry { auth: Some(auth("authorization", "Bearer ", None)), ..route("key.test") };
    let routes = vec![RouteEntry { inspect: false, ..route("far.test") }, route("near.test"), guarded];
    let both = Both::start(&origin, routes).await;
    for (coding, body, said) in [
        ("gzip", b"no gzip, but long enough for one".to_vec(), "is not valid gzip"),
        ("zstd", b"no zstd, but long enough for one".to_vec(), "is not valid zstd"),
        ("gzip, gzip", gzip(&gzip(b"a")), "content codings gzip, gzip can't be searched"),
        ("gzip", gzip(&vec![0; 40 << 20]), "grows more than 100 times"),
    ] {
        let head = |host: &str| {
            format!(
                "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
        };
        let mut wire = both.tunnel("far.test").await;
        let answer = exchange(&mut wire, [head("far.test").as_bytes(), &body].concat()).await;
        answer.assert_refused(400, "malformed_request");
        assert!(answer.message().contains(said), "{coding}: {answer:?}");
        let mut wire = both.tunnel("near.test").await;
        let answer = exchange(&mut wire, [head("near.test").as_bytes(), &body].concat()).await;
        answer.assert_refused(403, "blocked_by_pipelock");
    }
}

/// A few bytes of zstd stand for a window of 8 MiB. Who holds many such bodies open takes no memory from others.
#[tokio::test]
async fn a_coded_body_that_does_not_move_makes_room() {
    let stack = Stack::start().await;
    let head =
        b"POST /a HTTP/1.1\r\nHost: open.test\r\nContent-Encoding: zstd\r\nContent-Length: 99999\r\n\r\n";
    let begun = [&head[..], b"\x28\xb5\x2f\xfd\x00\x68", b"\x02\x00\x10\x61"].concat();
    let mut open = Vec::new();
    for _ in 0..40 {
        let mut tunnel = stack.tunnel("open.test:443").await;
        tunnel.send(&begun).await;
        open.push(tunnel);
    }
    assert_eq!(post(&stack, "zstd", &zstd(b"hello"), 3).await.status, 200);
    let mut refused = 0;
    for mut tunnel in open {
        let answer = tokio::time::timeout(Duration::from_millis(200), read_answer(&mut tunnel)).await;
        let Ok(answer) = answer else { continue };
        answer.assert_refused(503, "limit_reached");
        assert!(answer.message().contains("send it again, the whole body without a pause"), "{answer:?}");
        refused += 1;
    }
    assert!(refused > 0, "those who hold are told");
}
