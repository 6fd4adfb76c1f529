//! Hosts where a secret in a body is removed and the request goes on.

use super::{Running, Setup, setup, token};
use crate::{
    origin::Origin,
    wire::{Wire, field, status},
};
use bottle::{
    dlp::mark,
    intercept::{Body, Protocol, body},
    policy::OnSecret,
};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The announced length and the body of a request.
type Request_ = (Option<String>, String);

/// What an origin got of each request, and how many bytes of them all.
#[derive(Clone, Default)]
struct Got(Arc<Mutex<Vec<Request_>>>, Arc<AtomicUsize>);

impl Got {
    async fn read(self, request: Request<Incoming>) -> Response<Body> {
        let length = request.headers().get(header::CONTENT_LENGTH).map(|it| it.to_str().unwrap().to_owned());
        let mut body = request.into_body();
        let mut all = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                all.extend_from_slice(&data);
                self.1.fetch_add(data.len(), Ordering::Relaxed);
            }
        }
        let all = String::from_utf8(all).unwrap();
        let answer = format!("read {}", all.len());
        self.0.lock().unwrap().push((length, all));
        let mut response = Response::new(body::full(answer));
        // Nobody but the engine says what it removed.
        response.headers_mut().insert("x-pipelock-removed", "\"nothing\"".parse().unwrap());
        response
    }

    fn all(&self) -> Vec<Request_> {
        self.0.lock().unwrap().clone()
    }
}

fn redacting() -> Setup {
    let mut setup = setup();
    setup.embedded.hosts[0].dlp_action = Some(OnSecret::Redact);
    setup
}

async fn started(protocol: Protocol) -> (Origin, Got, Running) {
    let got = Got::default();
    let service = got.clone();
    let origin = Origin::serving(&[protocol], move |request| service.clone().read(request)).await;
    let running = redacting().before(&origin).await;
    (origin, got, running)
}

fn head(framing: &str, fields: &str) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\n{fields}{framing}\r\n\r\n"
    )
}

fn chunked(parts: &[&str]) -> Vec<String> {
    let chunk =
        |part: &&str| if part.is_empty() { String::new() } else { format!("{:x}\r\n{part}\r\n", part.len()) };
    parts.iter().map(chunk).chain(["0\r\n\r\n".to_owned()]).collect()
}

/// Split at every byte around the token, with the parts sent apart, over one connection and both protocols.
#[tokio::test]
async fn a_token_is_removed_however_an_upload_is_split() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (_origin, got, running) = started(protocol).await;
        let text = format!("{{\"messages\":[{{\"content\":\"key:\\n{}\\nand \\\"so\\\" on\"}}]}}", token());
        let expected = text.replace(&token(), &mark("GitHub Token"));
        let begins = text.find(&token()).unwrap();
        let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
        for split in begins - 3..begins + token().len() + 4 {
            wire.send(head("Transfer-Encoding: chunked", "")).await;
            for part in chunked(&[&text[..split], &text[split..]]) {
                wire.send(part).await;
            }
            let (head, _) = wire.message().await;
            assert_eq!(status(&head), 200, "{split}: {head}");
            assert_eq!(field(&head, "x-pipelock-removed"), Some("\"GitHub Token\";count=1"), "{head}");
            let (_, body) = got.all().pop().unwrap();
            assert_eq!(body, expected, "{split}");
        }
    }
}

/// The length of a body that is there as a whole is known again; a longer one has none.
#[tokio::test]
async fn the_length_is_that_of_what_goes_on() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (origin, got, running) = started(protocol).await;
        let small = format!("{{\"a\": \"{}\"}}", token());
        let large = format!("{{\"a\": \"{}{}\"}}", "some text, ".repeat(200_000), token());
        let clean = r#"{"a": "b"}"#.to_owned();
        for text in [&small, &large, &clean] {
            let expected = text.replace(&token(), &mark("GitHub Token"));
            let answer = running.ask(head(&format!("Content-Length: {}", text.len()), "") + text).await;
            assert_eq!(answer.1, format!("read {}", expected.len()), "{}", answer.0);
            let (length, body) = got.all().pop().unwrap();
            assert!(body == expected, "{protocol:?}");
            let announced = (text.len() < 1 << 20).then(|| expected.len().to_string());
            assert_eq!(length, announced, "{protocol:?}");
            assert_eq!(field(&answer.0, "x-pipelock-removed").is_some(), *text != clean, "{}", answer.0);
        }
        assert!(!origin.seen().iter().any(|it| it.text().contains(&token())));
    }
}

/// A key that a tool printed is sent again with every turn. The conversation goes on, and the origin never sees it.
#[tokio::test]
async fn a_conversation_goes_on_without_its_secret() {
    let (origin, got, running) = started(Protocol::Http2).await;
    let env = format!("PORT=8080\nGITHUB_TOKEN={}\nDEBUG=1\n", token());
    let mut messages = vec![serde_json::json!({"role": "user", "content": "read .env"})];
    for turn in 0..4 {
        let text = serde_json::json!({"model": "m", "messages": messages}).to_string();
        let answer = running.ask(head(&format!("Content-Length: {}", text.len()), "") + &text).await;
        assert_eq!(status(&answer.0), 200, "{turn}: {}", answer.0);
        messages.push(serde_json::json!({"role": "assistant", "content": format!("turn {turn}")}));
        messages
            .push(serde_json::json!({"role": "user", "content": [{"type": "tool_result", "content": env}]}));
    }
    let bodies = got.all();
    assert_eq!(bodies.len(), 4);
    for (turn, (_, body)) in bodies.iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["messages"].as_array().unwrap().len(), 1 + 2 * turn);
        assert!(!body.contains(&token()[4..20]));
        assert_eq!(body.matches("[secret removed by bottle: GitHub Token]").count(), turn, "{body}");
    }
    assert!(
        bodies[3].1.contains("PORT=8080\\nGITHUB_TOKEN=[secret removed by bottle: GitHub Token]\\nDEBUG=1")
    );
    assert!(!origin.seen().iter().any(|it| it.text().contains(&token())));
    let line = running.event("body_dlp").await;
    assert_eq!((&line["action"], &line["removed"]["GitHub Token"]), (&"redact".into(), &1.into()), "{line}");
    let line = running.event("allowed").await;
    assert_eq!(line["status_code"], 200);
    assert!(!running.log.text().contains(&token()));
}

/// A body that is signed, encoded or of another kind, and every other place, is refused as elsewhere.
#[tokio::test]
async fn what_can_not_be_rewritten_is_refused() {
    let (origin, got, running) = started(Protocol::Http1).await;
    let text = format!("{{\"a\": \"{}\"}}", token());
    let length = format!("Content-Length: {}", text.len());
    let json = "Content-Type: application/json\r\n";
    let kind = |kind: &str| head(&length, "").replace(json, &format!("Content-Type: {kind}\r\n"));
    let whole = |text: String| head(&format!("Content-Length: {}", text.len()), "") + &text;
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(token())
    };
    let mut requests = vec![
        head(&length, "").replace(json, "") + &text,
        kind("application/octet-stream") + &text,
        kind("multipart/form-data; boundary=x") + &text,
        kind("application/x-www-form-urlencoded") + &text,
        whole(format!("{{\"a\": \"{base64}\"}}")),
        whole(format!("{{\"a\": \"{}\"}}", token().replace('_', "\\u005f"))),
        whole(format!("{{\"a\": \"{}\"}}", token().replace('_', "%5F"))),
        whole(format!("{{{}: 1}}", token())),
        head(&length, "").replace("/v1/messages", &format!("/v1/messages?k={}", token())) + &text,
        head(&length, &format!("X-Note: {}\r\n", token())) + &text,
    ];
    for signed in [
        "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/b/c/aws4_request, Signature=d",
        "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
        "Digest: sha-256=x",
        "Content-Digest: sha-256=:x:",
        "Repr-Digest: sha-256=:x:",
    ] {
        requests.push(head(&length, &format!("{signed}\r\n")) + &text);
    }
    for request in requests {
        let answer = running.ask(&request).await;
        assert_eq!(status(&answer.0), 403, "{request}\n{}", answer.0);
        assert!(!answer.1.contains(&token()[4..]));
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let zipped = encoder.finish().unwrap();
    let request = head(&format!("Content-Length: {}", zipped.len()), "Content-Encoding: gzip\r\n");
    assert_eq!(status(&running.ask([request.as_bytes(), &zipped].concat()).await.0), 403);
    // Another host is not told to remove anything.
    let mut wire = running.tunnel("web.test:443", Protocol::Http1).await;
    wire.send(head(&length, "").replace("Host: api.test", "Host: web.test") + &text).await;
    assert_eq!(status(&wire.message().await.0), 403);
    assert!(got.all().is_empty() && origin.seen().is_empty());
}

/// A trailer comes when the body has gone on: what signs it ends the request before it is complete.
#[tokio::test]
async fn a_trailer_that_signs_what_was_changed_ends_the_request() {
    let (_origin, got, running) = started(Protocol::Http2).await;
    let text = format!("{{\"a\": \"{}\"}}", token());
    let parts = chunked(&[&text]);
    let trailed = |name: &str| {
        head("Transfer-Encoding: chunked", "") + &parts[0] + "0\r\n" + name + ": sha-256=:x:\r\n\r\n"
    };
    let answer = running.ask(trailed("Content-Digest")).await;
    assert_eq!(status(&answer.0), 403, "{}", answer.0);
    assert!(answer.1.contains("its trailers sign what it was"), "{}", answer.1);
    assert!(got.all().is_empty());
    assert_eq!(status(&running.ask(trailed("X-Time")).await.0), 200);
}

/// In the middle of a long upload, after a pause in the middle of a token.
#[tokio::test]
async fn nothing_of_a_secret_leaves_in_a_pause() {
    let (origin, got, running) = started(Protocol::Http1).await;
    let before = format!("{{\"a\": \"{}", "some text, ".repeat(120_000));
    for cut in [1, 3, 4, 20, token().len() - 1] {
        let mut wire: Wire = running.tunnel("api.test:443", Protocol::Http1).await;
        wire.send(head("Transfer-Encoding: chunked", "")).await;
        let arrived = got.1.load(Ordering::Relaxed);
        wire.send(&chunked(&[&before, &token()[..cut]])[..2].concat()).await;
        // All that stands before it goes on, and then the upload stands still.
        for _ in 0..1000 {
            if got.1.load(Ordering::Relaxed) >= arrived + before.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(got.1.load(Ordering::Relaxed), arrived + before.len(), "{cut}");
        wire.send(chunked(&[&token()[cut..], "\"}"]).concat()).await;
        let answer = wire.message().await;
        assert_eq!(status(&answer.0), 200, "{}", answer.0);
        let (_, body) = got.all().pop().unwrap();
        assert!(body.ends_with(&format!("{}\"}}", mark("GitHub Token"))), "{cut}");
    }
    assert!(!origin.seen().iter().any(|it| it.text().contains(&token()[..8])));
}
