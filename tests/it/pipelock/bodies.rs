//! Bodies: of any length, encoded or not, refused before or in the middle.

use super::{marks, refusal, setup, shown, token};
use crate::{origin::Origin, wire::Wire};
use bottle::intercept::{Body, Protocol, body};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// All of a body, or how much came before it broke off.
type End = Result<Vec<u8>, u64>;

/// How the bodies of an origin's requests ended, and how much came so far.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<End>>>, Arc<AtomicU64>);

impl Ends {
    async fn read(self, request: Request<Incoming>) -> Response<Body> {
        let mut body = request.into_body();
        let mut all = Vec::new();
        let mut count = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                self.0.lock().unwrap().push(Err(count));
                return Response::new(body::empty());
            };
            if let Ok(data) = frame.into_data() {
                count += data.len() as u64;
                self.1.fetch_add(data.len() as u64, Ordering::Relaxed);
                if all.len() < 1 << 20 {
                    all.extend_from_slice(&data);
                }
            }
        }
        self.0.lock().unwrap().push(Ok(all));
        Response::new(body::full(format!("read {count}")))
    }

    async fn wait(&self) -> Vec<End> {
        for _ in 0..1000 {
            let ends = self.0.lock().unwrap().clone();
            if !ends.is_empty() {
                return ends;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no body came to an end");
    }
}

async fn reading(protocol: Protocol) -> (Origin, Ends) {
    let ends = Ends::default();
    let service = ends.clone();
    (Origin::serving(&[protocol], move |request| service.clone().read(request)).await, ends)
}

fn head(length: usize, fields: &str) -> String {
    format!("POST /v1 HTTP/1.1\r\nHost: api.test\r\n{fields}Content-Length: {length}\r\n\r\n")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Writes in the background, since a refused body is not read to its end.
fn upload(bytes: Vec<u8>, mut stream: impl tokio::io::AsyncWrite + Send + Unpin + 'static) {
    tokio::spawn(async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await;
        let _ = tokio::io::AsyncWriteExt::flush(&mut stream).await;
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_small_body_that_is_refused_never_reaches_the_origin() {
    let (origin, _ends) = reading(Protocol::Http1).await;
    let running = setup().before(&origin).await;
    let body = format!("{}{}{}", "x ".repeat(200_000), token(), " y".repeat(100_000));
    let answer = running.ask(head(body.len(), "") + &body).await;
    let mut fields = marks("dlp_match", "critical", "none", "body_dlp");
    fields.push(("x-pipelock-pattern", "GitHub Token"));
    let text = "blocked: request body contains secret: GitHub Token\n";
    assert_eq!(shown(&answer), refusal("403 Forbidden", &fields, text));
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let (origin, _ends) = reading(Protocol::Http1).await;
    let mut setup = setup();
    setup.embedded.limits.body_bytes = 10;
    let running = setup.before(&origin).await;
    let (refused, text) = running.ask(head(11, "") + "12345678901").await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    assert_eq!(running.event("blocked").await["status_code"], 413, "what is logged is what was answered");
    assert_eq!(text, "blocked: malformed request: the body is longer than 10 bytes\n");
    assert!(origin.seen().is_empty());
    assert_eq!(running.ask(head(10, "") + "1234567890").await.1, "read 10");
}

/// In the middle of 5 MB: the origin sees a request that breaks off, the client the refusal.
#[tokio::test]
async fn a_finding_in_the_middle_ends_the_request_before_it_is_complete() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (origin, ends) = reading(protocol).await;
        let running = setup().before(&origin).await;
        let mut body = "some text, ".repeat(250_000).into_bytes();
        body.extend_from_slice(token().as_bytes());
        body.extend_from_slice(&b" and more".repeat(250_000));
        assert!(body.len() > 4_900_000);
        let wire = running.tunnel("api.test:443", Protocol::Http1).await;
        let (read, write) = tokio::io::split(wire.into_stream());
        upload([head(body.len(), "").into_bytes(), body].concat(), write);
        let mut wire = Wire::new(tokio::io::join(read, tokio::io::sink()));
        let answer = wire.message().await;
        let mut fields = marks("dlp_match", "critical", "none", "body_dlp");
        fields.push(("x-pipelock-pattern", "GitHub Token"));
        let text = "blocked: request body contains secret: GitHub Token\n";
        assert_eq!(shown(&answer), refusal("403 Forbidden", &fields, text), "{protocol:?}");
        let ends = ends.wait().await;
        assert!(matches!(ends[..], [Err(count)] if count <= 2_750_000), "{:?}", ends[0].as_ref().err());
        assert!(!origin.only().text().contains(&token()));
    }
}

/// What was sent and did not arrive at the origin yet is all that can be in memory.
#[tokio::test]
async fn a_large_upload_passes_and_is_never_far_behind() {
    for (protocol, length) in [(Protocol::Http1, 24 << 20), (Protocol::Http2, 24 << 20)] {
        let (origin, ends) = reading(protocol).await;
        let running = setup().before(&origin).await;
        let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
        wire.send(head(length, "")).await;
        let piece = [b"a line of a large file\n".repeat(2849).as_slice(), &[b'\n'; 9]].concat();
        assert_eq!(piece.len(), 64 << 10);
        let mut behind = 0;
        for sent in 1..=(length / piece.len()) as u64 {
            wire.send(&piece).await;
            let arrived = ends.1.load(Ordering::Relaxed);
            behind = behind.max(sent * piece.len() as u64 - arrived);
        }
        let answer = wire.message().await;
        assert_eq!(answer.1, format!("read {length}"), "{}", answer.0);
        assert!(behind < 8 << 20, "{behind} bytes were on their way with {protocol:?}");
    }
}

/// git compresses its fetch request; it passes as it was.
#[tokio::test]
async fn an_encoded_body_is_looked_through_and_passes_as_it_was() {
    let (origin, ends) = reading(Protocol::Http2).await;
    let running = setup().before(&origin).await;
    let wants: String = (0..200).fold(String::new(), |text, n| text + &format!("0032want {n:040x}\n"));
    let body = gzip(format!("{wants}00000009done\n").as_bytes());
    let fields = "Content-Type: application/x-git-upload-pack-request\r\nContent-Encoding: gzip\r\n";
    let request = [head(body.len(), fields).into_bytes(), body.clone()].concat();
    let answer = running.ask(request).await;
    assert_eq!(answer.1, format!("read {}", body.len()), "{}", answer.0);
    assert_eq!(ends.wait().await, [Ok(body)]);
}

#[tokio::test]
async fn a_credential_in_an_encoded_body_is_found() {
    let (origin, _ends) = reading(Protocol::Http1).await;
    let running = setup().before(&origin).await;
    let text = format!("{{\"k\": \"{}\"}}", token());
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    for (coding, body) in [("gzip", gzip(text.as_bytes())), ("deflate", zlib), ("zstd", zstd)] {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = running.ask([head(body.len(), &fields).into_bytes(), body].concat()).await;
        assert_eq!(
            answer.1, "blocked: request body contains secret: GitHub Token\n",
            "{coding}: {}",
            answer.0
        );
    }
    assert!(origin.seen().is_empty());
}

/// As SDKs of AWS send a body to S3, with so many bytes in each chunk and a checksum behind.
fn aws_chunked(text: &[u8], chunk: usize) -> Vec<u8> {
    let chunks =
        text.chunks(chunk).map(|data| [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat());
    let end = b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n".to_vec();
    chunks.chain([end]).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn an_upload_to_s3_is_looked_through_and_passes_as_it_came() {
    let (origin, ends) = reading(Protocol::Http1).await;
    let running = setup().before(&origin).await;
    let ordinary = aws_chunked(&b"an ordinary line\n".repeat(20_000), 65536);
    let zipped = aws_chunked(&gzip(b"an ordinary line"), 9);
    for (coding, body) in [("aws-chunked", &ordinary), ("gzip,aws-chunked", &zipped)] {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = running.ask([head(body.len(), &fields).as_bytes(), body].concat()).await;
        assert!(answer.0.starts_with("HTTP/1.1 200"), "{coding}: {} {}", answer.0, answer.1);
        assert!(ends.0.lock().unwrap().pop() == Some(Ok(body.clone())), "{coding}");
    }
    // A token that no chunk holds as a whole, and one that is compressed in the chunks.
    let text = format!("{{\"k\": \"{}\"}}", token());
    for (coding, body) in [
        ("aws-chunked", aws_chunked(text.as_bytes(), 13)),
        ("aws-chunked,gzip", aws_chunked(&gzip(text.as_bytes()), 13)),
    ] {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = running.ask([head(body.len(), &fields).into_bytes(), body].concat()).await;
        assert_eq!(
            answer.1, "blocked: request body contains secret: GitHub Token\n",
            "{coding}: {}",
            answer.0
        );
    }
    let broken = b"5\nhello\n0\n\n";
    let request = [head(broken.len(), "Content-Encoding: aws-chunked\r\n").as_bytes(), broken].concat();
    let answer = running.ask(request).await;
    assert_eq!(answer.1, "blocked: request body is not valid aws-chunked, so it cannot be scanned\n");
}

/// A coding has room for text that decoding passes over.
#[tokio::test]
async fn a_credential_beside_the_encoded_text_is_found() {
    let (origin, ends) = reading(Protocol::Http1).await;
    let running = setup().before(&origin).await;
    let header = |build: fn(flate2::GzBuilder, String) -> flate2::GzBuilder, note: String| {
        let builder = build(flate2::GzBuilder::new(), note);
        let mut encoder = builder.write(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"text").unwrap();
        encoder.finish().unwrap()
    };
    let skippable = |note: &str| {
        let length = u32::try_from(note.len()).unwrap();
        [&0x184D_2A50_u32.to_le_bytes(), &length.to_le_bytes(), note.as_bytes()].concat()
    };
    let zstd = zstd::encode_all(&b"text"[..], 3).unwrap();
    // WBITS 16, a meta-block without data that skips so many bytes (RFC 7932 §9.2), then the last and empty one.
    let brotli = |note: &str| {
        let more = u8::try_from(note.len() - 1).unwrap();
        [&[0b0010_1100 | more << 7, more >> 1], note.as_bytes(), &[3]].concat()
    };
    let forms = |note: &str| {
        let name = |builder: flate2::GzBuilder, note: String| builder.filename(note);
        vec![
            ("gzip", header(name, note.to_owned())),
            ("gzip", header(flate2::GzBuilder::comment, note.to_owned())),
            ("gzip", header(flate2::GzBuilder::extra, note.to_owned())),
            ("zstd", [skippable(note), zstd.clone()].concat()),
            ("zstd", [zstd.clone(), skippable(note)].concat()),
            ("br", brotli(note)),
        ]
    };
    for (coding, body) in forms("a note of nobody") {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = running.ask([head(body.len(), &fields).into_bytes(), body.clone()].concat()).await;
        assert_eq!(answer.1, format!("read {}", body.len()), "{coding}: {}", answer.0);
    }
    let seen = origin.seen().len();
    for (coding, body) in forms(&format!("a note: {}", token())) {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = running.ask([head(body.len(), &fields).into_bytes(), body].concat()).await;
        assert_eq!(
            answer.1, "blocked: request body contains secret: GitHub Token\n",
            "{coding}: {}",
            answer.0
        );
    }
    assert_eq!(origin.seen().len(), seen);
    assert!(ends.wait().await.len() >= seen);
}

#[tokio::test]
async fn a_decompression_bomb_is_refused() {
    let (origin, _ends) = reading(Protocol::Http1).await;
    let running = setup().before(&origin).await;
    let body = gzip(&vec![b'0'; 40 << 20]);
    let request = [head(body.len(), "Content-Encoding: gzip\r\n").into_bytes(), body].concat();
    let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
    wire.send(request).await;
    // What it may grow to is looked through first, which takes a while without optimisation.
    let answer = wire.wait_for(Duration::from_mins(5)).message().await;
    let fields = marks("expansion_limit", "high", "none", "body_dlp");
    let text = "blocked: request body expands more than 100 times, so it cannot be scanned\n";
    assert_eq!(shown(&answer), refusal("403 Forbidden", &fields, text));
    assert!(origin.seen().is_empty());
}

/// A peer that waits for an answer before it sends more is not kept waiting.
#[tokio::test]
async fn a_body_that_pauses_goes_on() {
    let origin = Origin::serving(&[Protocol::Http2], |request: Request<Incoming>| async {
        let frames = futures_util::stream::unfold(request.into_body(), |mut body| async {
            let data = body.frame().await?.ok()?.into_data().ok()?;
            Some((Ok(Frame::data(Bytes::from(data.to_ascii_uppercase()))), body))
        });
        Response::new(body::boxed(StreamBody::new(frames)))
    })
    .await;
    let running = setup().before(&origin).await;
    let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
    wire.send("POST /echo HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
        .await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(wire.chunk().await, b"PING");
    wire.send("4\r\npong\r\n0\r\n\r\n").await;
    assert_eq!(wire.chunk().await, b"PONG");
    assert_eq!(wire.chunk().await, b"");
}

#[tokio::test]
async fn with_warn_a_finding_is_logged_and_passes() {
    let (origin, ends) = reading(Protocol::Http1).await;
    let mut warned = setup();
    warned.file.request_body_scanning.action = bottle::config::pipelock::Action::Warn;
    let running = warned.before(&origin).await;
    let body = format!("k={}", token());
    let request = head(body.len(), &format!("X-Note: {}\r\n", token())) + &body;
    let answer = running.ask(request).await;
    assert_eq!(answer.1, format!("read {}", body.len()), "{}", answer.0);
    assert_eq!(ends.wait().await, [Ok(body.into_bytes())]);
    for event in ["header_dlp", "body_dlp"] {
        let line = running.event(event).await;
        assert_eq!((line["action"].as_str(), line["pattern"].as_str()), (Some("warn"), Some("GitHub Token")));
    }
    assert!(!running.log.text().contains(&token()));
}
