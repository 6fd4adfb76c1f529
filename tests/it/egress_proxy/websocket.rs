//! A WebSocket through both proxies: only where a route says so, every message searched, and real peers at both ends.

use super::{
    both::Both,
    harness::{PLANTED, auth, names, only, read_answer, route},
};
use crate::{
    origin::Origin,
    wire::{Wire, field, status},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bottle::{
    config::routes::RouteEntry,
    intercept::Protocol,
    telemetry::audit::{Event, Record},
};
use std::time::Duration;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

fn open(host: &str) -> RouteEntry {
    RouteEntry { websocket: true, ..route(host) }
}

fn secret() -> String {
    ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat()
}

/// One whole frame, masked as a client's or not.
fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => out.push(bit | short),
        (_, Ok(length)) => {
            out.push(bit | 0x7e);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(bit | 0x7f);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let key = mask.unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn sent(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(opcode, payload.as_ref(), Some([7, 1, 9, 3]))
}

/// The next message or control frame. A message may come in several frames.
async fn next(wire: &mut Wire) -> Option<(u8, Vec<u8>)> {
    let (mut kind, mut whole) = (0, Vec::new());
    loop {
        let head = wire.try_exactly(2).await?;
        assert_eq!(head[0] & 0x70, 0, "a reserved bit is set");
        let length = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(wire.try_exactly(2).await?.try_into().unwrap())),
            127 => u64::from_be_bytes(wire.try_exactly(8).await?.try_into().unwrap()),
            short => u64::from(short),
        };
        let key = if head[1] & 0x80 == 0 { vec![0; 4] } else { wire.try_exactly(4).await? };
        let payload = wire.try_exactly(usize::try_from(length).unwrap()).await?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        match head[0] & 0x0f {
            0 => {}
            control @ 8.. => return Some((control, payload.collect())),
            begun => kind = begun,
        }
        whole.extend(payload);
        if head[0] & 0x80 != 0 {
            return Some((kind, whole));
        }
    }
}

/// An origin that says back what it is told, and `hello` first if it is asked to.
async fn echo() -> Origin {
    Origin::scripted(&[Protocol::Http1], |mut wire, _| async move {
        let head = wire.head().await;
        let asked = field(&head, "sec-websocket-key").unwrap().to_owned();
        assert_eq!(asked, KEY, "the key that the agent made reaches the origin: {head}");
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\
             X-Echoed: {PLANTED}\r\n\r\n"
        ))
        .await;
        while let Some((kind, payload)) = next(&mut wire).await {
            let kind = if kind == PING { PONG } else { kind };
            if wire.try_send(frame(kind, &payload, None)).await.is_err() || kind == CLOSE {
                break;
            }
        }
    })
    .await
}

fn handshake(host: &str, more: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

async fn join(both: &Both, host: &str) -> (Wire, String) {
    let mut wire = both.tunnel(host).await;
    wire.send(handshake(host, "Sec-WebSocket-Extensions: permessage-deflate\r\n")).await;
    let head = wire.head().await;
    assert_eq!(status(&head), 101, "{head}");
    assert_eq!(field(&head, "sec-websocket-accept"), Some(ACCEPT));
    (wire, head)
}

/// The record of the WebSocket once it is over.
async fn ended(both: &Both) -> Record {
    for _ in 0..600 {
        let text = both.audit.text();
        let mut records = text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap());
        if let Some(record) = records.rfind(|record| record.event != Event::Dispatch) {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no record: {}", both.audit.text());
}

#[tokio::test]
async fn messages_pass_both_ways_and_are_counted() {
    let origin = echo().await;
    for inspect in [true, false] {
        let with =
            RouteEntry { inspect, auth: Some(auth("authorization", "Bearer ", None)), ..open("api.test") };
        let both = Both::start(&origin, vec![with]).await;
        let (mut wire, head) = join(&both, "api.test").await;
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        assert_eq!(field(&head, "sec-websocket-extensions"), None);
        assert!(!head.contains(PLANTED), "the credential comes back in no field: {head}");
        for text in ["hello".to_owned(), String::new(), "x".repeat(300), "y".repeat(70_000)] {
            wire.send(sent(TEXT, &text)).await;
            assert_eq!(next(&mut wire).await.unwrap(), (TEXT, text.into_bytes()));
        }
        wire.send(sent(PING, "are you there")).await;
        assert_eq!(next(&mut wire).await.unwrap(), (PONG, b"are you there".to_vec()));
        wire.send(sent(CLOSE, [3, 232])).await;
        assert_eq!(next(&mut wire).await.unwrap(), (CLOSE, vec![3, 232]));
        assert!(wire.rest().await.0.is_empty());
        let seen = origin.seen();
        let asked = seen.last().unwrap().text();
        assert!(asked.contains(&format!("authorization: Bearer {PLANTED}")), "{asked}");
        assert!(!asked.to_lowercase().contains("sec-websocket-extensions"), "{asked}");
        let record = ended(&both).await;
        assert_eq!((record.status, record.complete), (Some(101), true));
        assert_eq!((record.messages_sent, record.messages_received), (Some(4), Some(4)));
        assert_eq!((record.request_bytes, record.response_bytes), (70_320, 70_320));
    }
}

#[tokio::test]
async fn a_secret_ends_it_before_the_origin_has_it() {
    let cases = [
        (vec![sent(TEXT, secret())], "credential_in_request"),
        (vec![sent(2, format!("{{\"token\":\"{}\"}}", secret()))], "credential_in_request"),
        (vec![sent(TEXT, STANDARD.encode(format!("token {}", secret())))], "credential_in_request"),
        (vec![sent(PING, secret())], "credential_in_request"),
        // In two fragments of one message.
        (
            vec![
                [&[0x01][..], &sent(TEXT, &secret()[..9])[1..]].concat(),
                [&[0x80][..], &sent(TEXT, &secret()[9..])[1..]].concat(),
            ],
            "credential_in_request",
        ),
        (vec![sent(TEXT, PLANTED)], "own_secret"),
        (vec![sent(CLOSE, [&[3, 232], PLANTED.as_bytes()].concat())], "own_secret"),
        // Unmasked, with a reserved bit, of an unknown kind, a continuation of nothing.
        (vec![frame(TEXT, b"hello", None)], "malformed_request"),
        (vec![[&[0xc1][..], &sent(TEXT, "hello")[1..]].concat()], "malformed_request"),
        (vec![sent(5, "hello")], "malformed_request"),
        (vec![sent(0, "hello")], "malformed_request"),
        (vec![sent(PING, "x".repeat(126))], "malformed_request"),
    ];
    let origin = echo().await;
    for (frames, reason) in cases {
        let with = RouteEntry { auth: Some(auth("authorization", "Bearer ", None)), ..open("api.test") };
        let both = Both::start(&origin, vec![with]).await;
        let (mut wire, _) = join(&both, "api.test").await;
        for frame in &frames {
            let _ = wire.try_send(frame).await;
        }
        let (kind, payload) = next(&mut wire).await.unwrap();
        let said = String::from_utf8_lossy(&payload[2..]).into_owned();
        assert_eq!(kind, CLOSE, "{reason}: {said}");
        assert!(said.starts_with("bottle: "), "{said}");
        assert!(wire.rest().await.0.is_empty());
        let record = ended(&both).await;
        assert_eq!((record.reason.as_deref(), record.complete), (Some(reason), false), "{record:?}");
        let reached = origin.seen().last().unwrap().text();
        let (head, after) = reached.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(PLANTED), "the injected credential: {head}");
        for what in [secret().as_str(), &secret()[..9], PLANTED, "hello"] {
            assert!(!after.contains(what), "{reason}: {after:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_back_is_scrubbed() {
    let origin = Origin::scripted(&[Protocol::Http1], |mut wire, _| async move {
        let _ = wire.head().await;
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        ))
        .await;
        wire.send(frame(TEXT, format!("you are {PLANTED}!").as_bytes(), None)).await;
        let _ = next(&mut wire).await;
    })
    .await;
    let with = RouteEntry { auth: Some(auth("authorization", "Bearer ", None)), ..open("api.test") };
    let both = Both::start(&origin, vec![with]).await;
    let (mut wire, _) = join(&both, "api.test").await;
    let (_, text) = next(&mut wire).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("you are ") && text.ends_with('!') && !text.contains(PLANTED), "{text}");
    assert_eq!(text.len(), "you are !".len() + PLANTED.len());
}

#[tokio::test]
async fn only_a_route_that_says_so_and_only_a_whole_handshake() {
    let origin = echo().await;
    let paths = RouteEntry { path_allowlist: only(&["/chat"]), methods: names(&["GET"]), ..open("api.test") };
    let both = Both::start(&origin, vec![paths, route("web.test")]).await;
    let mut wire = both.tunnel("web.test").await;
    wire.send(handshake("web.test", "")).await;
    let refused = read_answer(&mut wire).await;
    refused.assert_refused(403, "upgrade_not_supported");
    assert!(refused.message().contains("`websocket: true`"), "{}", refused.message());
    let good = handshake("api.test", "");
    for (from, to, status, reason) in [
        ("GET /chat", "GET /other", 403, "path_not_allowed"),
        ("GET /chat", "POST /chat", 403, "method_not_allowed"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket", 403, "upgrade_not_supported"),
        ("Upgrade: websocket", "Upgrade: tls/1.0", 403, "upgrade_not_supported"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 400, "malformed_request"),
        ("Sec-WebSocket-Version: 13\r\n", "", 400, "malformed_request"),
        (KEY, "short", 400, "malformed_request"),
    ] {
        let mut wire = both.tunnel("api.test").await;
        wire.send(good.replace(from, to)).await;
        let answer = read_answer(&mut wire).await;
        assert_eq!(answer.status, status, "{to}: {}", answer.body);
        answer.assert_refused(status, reason);
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_does_not_match_the_handshake_is_refused() {
    let good = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    for (from, to) in [
        (ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: unasked\r\n\r\n"),
    ] {
        let answer = good.replace(from, to);
        let origin = Origin::scripted(&[Protocol::Http1], move |mut wire, _| {
            let answer = answer.clone();
            async move {
                let _ = wire.head().await;
                wire.send(answer).await;
                let _ = wire.rest().await;
            }
        })
        .await;
        let both = Both::start(&origin, vec![open("api.test")]).await;
        let mut wire = both.tunnel("api.test").await;
        wire.send(handshake("api.test", "")).await;
        read_answer(&mut wire).await.assert_refused(502, "upstream_invalid");
    }
    // What is no upgrade is passed on as the response that it is.
    let origin = Origin::scripted(&[Protocol::Http1], |mut wire, _| async move {
        let _ = wire.head().await;
        wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nlogin").await;
        let _ = wire.rest().await;
    })
    .await;
    let both = Both::start(&origin, vec![open("api.test")]).await;
    let mut wire = both.tunnel("api.test").await;
    wire.send(handshake("api.test", "")).await;
    let answer = read_answer(&mut wire).await;
    assert_eq!((answer.status, answer.body.as_str()), (401, "login"));
}

#[tokio::test]
async fn a_reload_ends_what_began_under_other_rules() {
    let origin = echo().await;
    let both = Both::start(&origin, vec![open("api.test")]).await;
    let (mut wire, _) = join(&both, "api.test").await;
    wire.send(sent(TEXT, "before")).await;
    assert_eq!(next(&mut wire).await.unwrap(), (TEXT, b"before".to_vec()));
    let mut config = both.config.clone();
    config.routes = vec![route("web.test")];
    both.files.write(&config);
    both.proxy.reload().await.unwrap();
    let (kind, payload) = next(&mut wire).await.unwrap();
    assert_eq!((kind, &payload[..2]), (CLOSE, &1012u16.to_be_bytes()[..]));
    assert_eq!(&payload[2..], b"bottle: the rules have changed; connect again");
    assert_eq!((ended(&both).await.complete, ended(&both).await.reason), (false, None));
}

#[tokio::test]
async fn a_malformed_frame_of_the_origin_reaches_no_agent() {
    let origin = Origin::scripted(&[Protocol::Http1], |mut wire, _| async move {
        let _ = wire.head().await;
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        ))
        .await;
        wire.send([&[0xc1][..], &frame(TEXT, b"compressed", None)[1..]].concat()).await;
        let _ = wire.rest().await;
    })
    .await;
    let both = Both::start(&origin, vec![open("api.test")]).await;
    let (mut wire, _) = join(&both, "api.test").await;
    let (kind, payload) = next(&mut wire).await.unwrap();
    assert_eq!((kind, &payload[..2]), (CLOSE, &1002u16.to_be_bytes()[..]));
    assert_eq!(ended(&both).await.reason.as_deref(), Some("upstream_invalid"));
}

/// With the library that `scripts/setup --tests` fetches.
fn python() -> tokio::process::Command {
    let mut python = tokio::process::Command::new("python3");
    python.env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools"));
    python
}

/// The client and the server of Python's `websockets`, which negotiate compression where they can.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_speaks_with_a_real_server() {
    const SERVER: &str = r#"
import asyncio, websockets
async def serve(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())
"#;
    const CLIENT: &str = r#"
import asyncio, ssl, sys, websockets
async def main():
    context = ssl.create_default_context(cafile=sys.argv[1])
    async with websockets.connect("wss://api.test/chat", ssl=context, max_size=None) as ws:
        assert not ws.protocol.extensions, ws.protocol.extensions
        for message in ["hello", "ü" * 1000, b"\x00\x01" * 100_000, "", "z" * 1_000_000]:
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(["in ", "three ", "fragments"])
        assert await ws.recv() == "in three fragments"
        await (await ws.ping(b"there?"))
        try:
            await ws.send(sys.argv[2])
            await ws.recv()
        except websockets.ConnectionClosed as closed:
            print(closed.rcvd.code, closed.rcvd.reason)
asyncio.run(main())
"#;
    let mut server = python()
        .args(["-c", SERVER])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(server.stdout.take().unwrap()));
    let port: u16 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    let origin = Origin::scripted(&[Protocol::Http1], move |wire, _| async move {
        let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut wire.into_stream(), &mut server).await;
    })
    .await;
    let both = Both::start(&origin, vec![open("api.test")]).await;
    let ca = both.files.path("agent.pem");
    fs_err::write(&ca, &both.files.agent_ca).unwrap();
    let mut client = python();
    client.args(["-c", CLIENT]).arg(&ca).arg(secret()).env("https_proxy", format!("http://{}", both.address));
    let ran = client.output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "1008 bottle: the message carries a secret; take it out; retrying does not help\n"
    );
}
