//! HTTP/2 towards the agent: the same verdicts, trailers end to end, and what one connection may hold.

use super::both::Both;
use super::harness::{SOON, Stack, only, route, tunnel_speaking};
use super::pipelock::{Seen, text};
use crate::origin::Origin;
use crate::wire::Wire;
use bottle::config::routes::{AnyOr, Graphql, RouteEntry};
use bottle::intercept::{Protocol, body};
use bottle::policy::GraphqlOperation;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{body::Frame, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

type Client = SendRequest<Full<Bytes>>;

async fn client(stack: &Stack, authority: &str) -> Client {
    connected(stack.tunnel_in_http2(authority).await).await
}

async fn connected<B>(wire: Wire) -> SendRequest<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let io = TokioIo::new(wire.into_stream());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A request that both versions can say.
struct Asked {
    host: &'static str,
    /// What `Host` and `:authority` say.
    named: &'static str,
    method: &'static str,
    target: String,
    fields: Vec<(&'static str, String)>,
    body: &'static str,
}

fn ask(host: &'static str, method: &'static str, target: &str) -> Asked {
    Asked { host, named: host, method, target: target.to_owned(), fields: Vec::new(), body: "" }
}

impl Asked {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn json(self, body: &'static str) -> Self {
        Self { body, ..self.with("content-type", "application/json") }
    }

    async fn over_http1(&self, stack: &Stack) -> (u16, String) {
        let Self { host, named, method, target, fields, body } = self;
        let fields =
            fields.iter().fold(String::new(), |all, (name, value)| all + "\r\n" + name + ": " + value);
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {named}{fields}\r\nContent-Length: {length}");
        let answer = stack.request(&format!("{host}:443"), &head, body).await;
        let reason = answer.header("x-bottle-reason").unwrap_or_default().to_owned();
        (answer.status, reason)
    }

    async fn over_http2(&self, stack: &Stack) -> (u16, String) {
        let Self { host, named, method, target, fields, body } = self;
        let mut request = Request::new(Full::new(Bytes::from(*body)));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = http::Uri::builder()
            .scheme("https")
            .authority(*named)
            .path_and_query(target.as_str())
            .build()
            .unwrap();
        *request.version_mut() = Version::HTTP_2;
        for (name, value) in fields {
            request
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        request.headers_mut().insert("content-length", body.len().into());
        let mut client = client(stack, &format!("{host}:443")).await;
        let response = timeout(SOON, client.send_request(request)).await.unwrap().unwrap();
        let reason = response.headers().get("x-bottle-reason").map(|it| it.to_str().unwrap().to_owned());
        (response.status().as_u16(), reason.unwrap_or_default())
    }
}

fn left(seen: &Seen) -> (String, String, Vec<(String, String)>, Bytes) {
    let fields = seen.headers.iter().map(|(name, value)| (name.to_string(), format!("{value:?}")));
    let mut fields: Vec<_> = fields.collect();
    fields.sort();
    (seen.method.clone(), seen.uri.clone(), fields, seen.body.clone())
}

fn table() -> Vec<Asked> {
    let secret = ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat();
    vec![
        ask("open.test", "GET", "/"),
        ask("open.test", "GET", "/a?b=%2f&c=;"),
        ask("open.test", "POST", "/a").json("{\"a\":1}"),
        ask("open.test", "GET", "/").with("cookie", "a=1").with("cookie", "b=2"),
        ask("open.test", "GET", "/").with("te", "trailers"),
        ask("open.test", "GET", "/")
            .with("x-http-method-override", "DELETE")
            .with("x-forwarded-host", "evil.test"),
        ask("api.test", "GET", "/").with("authorization", "Bearer mine").with("x-forwarded-user", "root"),
        ask("api.test", "GET", "/?access_token=1"),
        ask("unknown.test", "GET", "/"),
        Asked { named: "unknown.test", ..ask("open.test", "GET", "/") },
        Asked { named: "open.test:444", ..ask("open.test", "GET", "/") },
        Asked { named: "OPEN.test.", ..ask("open.test", "GET", "/") },
        Asked { named: "open.test@evil.test", ..ask("open.test", "GET", "/") },
        ask("paths.test", "GET", "/v1/messages"),
        ask("paths.test", "GET", "/v1/models"),
        ask("paths.test", "GET", "/repos/acme/app/Hooks"),
        ask("paths.test", "GET", "/v1/messages/../models"),
        ask("paths.test", "GET", "/v1/messages/%2e%2e/models"),
        ask("paths.test", "GET", "/v1%2fmessages"),
        ask("paths.test", "GET", "//v1/messages"),
        ask("open.test", "GET", "/%2e%2e/a"),
        ask("read.test", "POST", "/").json("{}"),
        ask("open.test", "BREW", "/"),
        ask("open.test", "TRACE", "/"),
        ask("open.test", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/"),
        ask("open.test", "GET", "/a.git/info/refs?service=git-receive-pack"),
        ask("open.test", "POST", "/a.git/git-receive-pack"),
        ask("open.test", "POST", "/a").with("content-type", "application/x-git-receive-pack-request"),
        ask("open.test", "POST", "/a.git/info/lfs/objects/batch").json("{\"operation\":\"upload\"}"),
        ask("open.test", "POST", "/a.git/info/lfs/objects/batch").json("{\"operation\":\"download\"}"),
        ask("open.test", "POST", "/a").with("content-type", "a/b").with("content-type", "c/d"),
        ask("graph.test", "POST", "/").json("{\"query\":\"{a}\"}"),
        ask("graph.test", "POST", "/").json("{\"query\":\"mutation{a}\"}"),
        ask("open.test", "GET", "/").with("authorization", format!("token {secret}")),
        ask("open.test", "GET", "/").with("x-any", super::harness::PLANTED),
        (0..200).fold(ask("open.test", "GET", "/"), |it, n| it.with("x-many", n.to_string())),
    ]
}

#[tokio::test]
async fn one_verdict_for_the_same_request_in_both_versions() {
    let stack = Stack::with(|config| {
        config.routes.push(RouteEntry {
            graphql: Some(Graphql {
                paths: AnyOr::Any,
                operations: vec![GraphqlOperation::Query],
                fields: AnyOr::Any,
            }),
            ..route("graph.test")
        });
    })
    .await;
    let (mut refused, mut sent) = (0, 0);
    for asked in table() {
        let said = format!("{} {} {} {:?}", asked.method, asked.named, asked.target, asked.fields.first());
        let before = stack.pipelock.seen().len();
        let one = asked.over_http1(&stack).await;
        let after_one = stack.pipelock.seen();
        let two = asked.over_http2(&stack).await;
        let after_two = stack.pipelock.seen();
        assert_eq!(one, two, "{said}");
        let (by_one, by_two) = (&after_one[before..], &after_two[after_one.len()..]);
        let [by_one, by_two] = [by_one, by_two].map(|seen| seen.iter().map(left).collect::<Vec<_>>());
        assert_eq!(by_one, by_two, "{said}");
        assert_eq!(by_one.len(), usize::from(one.0 == 200), "{said}");
        if one.0 == 200 { sent += 1 } else { refused += 1 }
    }
    assert!(sent >= 10 && refused >= 20, "{sent} {refused}");
}

#[tokio::test]
async fn http2_is_offered_and_preferred_by_those_that_speak_it() {
    let stack = Stack::start().await;
    let mut client = client(&stack, "open.test:443").await;
    let request =
        |path: &str| Request::get(format!("https://open.test{path}")).body(Full::new(Bytes::new())).unwrap();
    let many: Vec<_> = (0..20).map(|n| client.send_request(request(&format!("/{n}")))).collect();
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert_eq!(stack.pipelock.seen().len(), 20);
    let records = stack.records(20).await;
    assert!(records.iter().all(|record| record.connection == 1), "one connection: {records:#?}");
}

#[tokio::test]
async fn a_path_that_is_none_and_a_host_beside_another_authority_are_refused() {
    let stack = Stack::start().await;
    for (path, host, status) in [
        // The library takes it for no message at all (RFC 9113 §8.1.1).
        ("https://evil.test/x", "", None),
        ("*", "", Some(400)),
        ("/", "evil.test", Some(403)),
        ("/", "open.test", Some(200)),
        ("/", "open.test, evil.test", Some(400)),
        ("/", "", Some(200)),
    ] {
        let mut wire = stack.tunnel_in_http2("open.test:443").await;
        let mut fields =
            vec![(":method", "GET"), (":scheme", "https"), (":authority", "open.test"), (":path", path)];
        if !host.is_empty() {
            fields.push(("host", host));
        }
        wire.send([PREFACE, &settings(), &headers(1, &fields)].concat()).await;
        assert_eq!(answered(&mut wire, 1).await, status, "{path} {host}");
    }
    assert!(stack.pipelock.seen().iter().all(|seen| seen.uri == "https://open.test/"));
}

#[tokio::test]
async fn grpc_works_end_to_end_through_both_proxies() {
    let origin = Origin::serving(&[Protocol::Http2], |request: Request<hyper::body::Incoming>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let collected = request.into_body().collect().await.unwrap();
        let trailer = collected.trailers().and_then(|it| it.get("x-client")).cloned();
        let bytes = collected.to_bytes();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.extend(trailer.map(|value| (HeaderName::from_static("x-echo"), value)));
        let frames = [Ok(Frame::data(bytes)), Ok(Frame::trailers(trailers))];
        let mut response = Response::new(body::boxed(StreamBody::new(futures_util::stream::iter(frames))));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response
    })
    .await;
    let routes = vec![RouteEntry { path_allowlist: only(&["/pkg.Service"]), ..route("grpc.test") }];
    let both = Both::start(&origin, routes).await;
    let wire = tunnel_speaking(&both.address, &both.files.agent_ca, "grpc.test:443", Protocol::Http2).await;
    let mut client = connected(wire).await;
    let call = |path: &str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-client", HeaderValue::from_static("1"));
        let frames = [Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi"))), Ok(Frame::trailers(trailers))];
        Request::post(format!("https://grpc.test{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(body::boxed(StreamBody::new(futures_util::stream::iter(frames))))
            .unwrap()
    };
    let answer = client.send_request(call("/pkg.Service/Call")).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].as_bytes()),
        (200, &b"application/grpc"[..])
    );
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.trailers().unwrap()["x-echo"], "1");
    assert_eq!(collected.to_bytes(), &b"\0\0\0\0\x02hi"[..]);
    assert_eq!(client.send_request(call("/other.Service/Call")).await.unwrap().status(), 403);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

/// Literal fields, never indexed (RFC 7541 §6.2.3).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let mut out = Vec::new();
        if let Some(mut rest) = text.len().checked_sub(127) {
            out.push(127);
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        } else {
            out.push(u8::try_from(text.len()).unwrap());
        }
        out.extend(text.as_bytes());
        out
    };
    fields.iter().flat_map(|(name, value)| [vec![0x10], text(name), text(value)].concat()).collect()
}

/// HEADERS that end their block and their stream.
fn headers(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, 0x5, stream, &block(fields))
}

fn get(stream: u32) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "open.test"), (":path", "/")];
    headers(stream, &fields)
}

/// The next frame: kind, flags, stream and payload. Nothing at the end of the connection.
async fn next(wire: &mut Wire) -> Option<(u8, u8, u32, Vec<u8>)> {
    let head = wire.try_exactly(9).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, wire.try_exactly(length as usize).await?))
}

/// The status of a stream; nothing if it, or the connection, is ended without one.
async fn answered(wire: &mut Wire, of: u32) -> Option<u16> {
    loop {
        match next(wire).await? {
            (1, _, stream, block) if stream == of => {
                let read = h2_status(&block);
                return Some(read);
            }
            (3, _, stream, _) if stream == of => return None,
            (7, ..) => return None,
            _ => {}
        }
    }
}

/// `:status` stands first: indexed (RFC 7541 appendix A: 8 to 14), or digits behind its indexed name.
fn h2_status(block: &[u8]) -> u16 {
    match block {
        [first @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)],
        [_, length, digits @ ..] if length & 0x80 != 0 => huffman(&digits[..usize::from(length & 0x7f)]),
        [_, _, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        other => panic!("{}", other.escape_ascii()),
    }
}

/// Three digits (RFC 7541 appendix B): `0`, `1` and `2` have 5 bits, the others 6, from 0x19.
fn huffman(bytes: &[u8]) -> u16 {
    let bits: Vec<u16> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1))).collect();
    let take = |at: usize, count: usize| bits[at..at + count].iter().fold(0, |sum, bit| sum << 1 | bit);
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let (digit, length) = match take(at, 5) {
            digit @ 0..=2 => (digit, 5),
            _ => (take(at, 6) - 0x19 + 3, 6),
        };
        (at, number) = (at + length, number * 10 + digit);
    }
    number
}

async fn serves_others(stack: &Stack) {
    assert_eq!(stack.get("open.test", "/").await.status, 200);
}

/// CVE-2023-44487.
#[tokio::test]
async fn a_rapid_reset_ends_its_connection() {
    let stack = Stack::start().await;
    let mut wire = stack.tunnel_in_http2("open.test:443").await;
    wire.send([PREFACE, &settings()].concat()).await;
    let resets: Vec<u8> = (0..5000)
        .flat_map(|n| [get(2 * n + 1), frame(3, 0, 2 * n + 1, &8u32.to_be_bytes())].concat())
        .collect();
    let _ = wire.try_send(&resets).await;
    assert_eq!(goaway(&mut wire).await, Some(11), "ENHANCE_YOUR_CALM");
    let seen = stack.pipelock.seen().len();
    assert!(seen < 1000, "{seen} of 5000 went on");
    serves_others(&stack).await;
}

/// CVE-2024-27983 and its like: a block of fields that never ends.
#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection() {
    let stack = Stack::start().await;
    let mut wire = stack.tunnel_in_http2("open.test:443").await;
    wire.send([PREFACE, &settings(), &frame(1, 0x1, 1, &block(&[(":method", "GET")]))].concat()).await;
    let more = frame(9, 0, 1, &block(&[("x-any", &"a".repeat(100))]).repeat(100));
    for _ in 0..10_000 {
        if wire.try_send(&more).await.is_err() {
            break;
        }
    }
    assert!(goaway(&mut wire).await.is_none_or(|code| code == 11 || code == 1));
    stack.pipelock.assert_untouched();
    serves_others(&stack).await;
}

#[tokio::test]
async fn fields_that_unfold_to_more_than_a_head_may_have_are_refused() {
    let stack = Stack::start().await;
    let mut wire = stack.tunnel_in_http2("open.test:443").await;
    // One entry of the dynamic table, and then one byte for each time it is used again.
    let large = block(&[("x", &"a".repeat(3000))]);
    let stored = [&[0x40], &large[1..]].concat();
    let usual =
        block(&[(":method", "GET"), (":scheme", "https"), (":authority", "open.test"), (":path", "/")]);
    let bomb = [usual, stored, vec![0xbe; 10_000]].concat();
    wire.send([PREFACE, &settings(), &frame(1, 0x5, 1, &bomb)].concat()).await;
    let mut refused = false;
    while let Some((kind, _, _, payload)) = next(&mut wire).await {
        refused |= matches!(kind, 3 | 7) || kind == 1 && payload.first() != Some(&0x88);
        if refused {
            break;
        }
    }
    assert!(refused);
    stack.pipelock.assert_untouched();
    serves_others(&stack).await;
}

/// The code of GOAWAY; nothing if the connection ends without one.
async fn goaway(wire: &mut Wire) -> Option<u32> {
    loop {
        let (kind, _, _, payload) = next(wire).await?;
        if kind == 7 {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
}

#[tokio::test]
async fn streams_of_one_connection_are_bounded() {
    let stack = Stack::start().await;
    stack.pipelock.behave(super::pipelock::Manner::Silent);
    let mut wire = stack.tunnel_in_http2("open.test:443").await;
    wire.send([PREFACE, &settings()].concat()).await;
    let announced = loop {
        if let Some((4, 0, 0, payload)) = next(&mut wire).await {
            break payload
                .chunks(6)
                .find(|it| it[..2] == [0, 3])
                .map(|it| u32::from_be_bytes(it[2..].try_into().unwrap()));
        }
    };
    let most = announced.expect("SETTINGS_MAX_CONCURRENT_STREAMS");
    assert!(most <= 256, "{most}");
    let all: Vec<u8> = (0..=most).flat_map(|n| get(2 * n + 1)).collect();
    wire.send(&all).await;
    loop {
        if let (3, _, stream, code) = next(&mut wire).await.unwrap() {
            assert_eq!((stream, &code[..]), (2 * most + 1, &7u32.to_be_bytes()[..]), "REFUSED_STREAM");
            break;
        }
    }
}

#[tokio::test]
async fn a_cookie_that_came_in_pieces_is_one() {
    let stack = Stack::build(&["http/1.1"], bottle::clock::Clock::system(), |_| {}).await;
    stack.pipelock.answer(|seen| text(200, &seen.header("cookie").join("|")));
    let mut client = client(&stack, "open.test:443").await;
    let mut request = Request::get("https://open.test/").body(Full::new(Bytes::new())).unwrap();
    for crumb in ["a=1", "b=2; c=3", "d=4"] {
        request.headers_mut().append("cookie", HeaderValue::from_static(crumb));
    }
    let answer = client.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "a=1; b=2; c=3; d=4");
}

/// By hand: `go install github.com/summerwind/h2spec/cmd/h2spec@latest`, then this with `--ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the program h2spec"]
async fn h2spec() {
    let origin = Origin::serving(
        &[Protocol::Http2, Protocol::Http1],
        |request: Request<hyper::body::Incoming>| async move {
            let _ = request.into_body().collect().await;
            Response::new(body::full("a".repeat(2000)))
        },
    )
    .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let both = Both::start(&origin, vec![RouteEntry { ports: vec![port], ..route("localhost") }]).await;
    let proxy = both.address.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut wire = Wire::new(tokio::net::TcpStream::connect(&proxy).await.unwrap());
            tokio::spawn(async move {
                wire.send(format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n")).await;
                assert!(wire.head().await.starts_with("HTTP/1.1 200"));
                let _ = tokio::io::copy_bidirectional(&mut client, &mut wire.into_stream()).await;
            });
        }
    });
    let ran = tokio::process::Command::new("h2spec")
        .args(["-h", "localhost", "-p", &port.to_string(), "-t", "-k", "-o", "5"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("145 tests, 145 passed, 0 skipped, 0 failed"), "{said}");
}
