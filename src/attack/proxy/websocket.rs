//! WebSocket: connections that must not go on as something else, and frames that two ends could read differently.

use super::super::client::{TlsStream, secure};
use super::{Allowed, Finding, Outcome, Proxy, Row, row};

/// 16 bytes in base64, as every handshake has them.
const KEY: &str = "Ym90dGxlLWF0dGFjay4uLg==";
const MASK: [u8; 4] = [0x62, 0x6f, 0x74, 0x74];
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// Upgrades where no rule allows one.
const UPGRADES: &[Row] = &[
    row(
        "websocket",
        "open a WebSocket where no rule allows one",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: Ym90dGxlLWF0dGFjay4uLg==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    row(
        "cased",
        "write `WebSocket` in another case",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: UPGRADE\r\nUpgrade: WEBSOCKET\r\nSec-WebSocket-Key: Ym90dGxlLWF0dGFjay4uLg==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    row(
        "list",
        "ask for one of two protocols",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\nConnection: close\r\n\r\n",
    ),
    row(
        "twice",
        "ask for a protocol twice",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n\r\n",
    ),
    row(
        "tls",
        "go on in TLS",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n",
    ),
    row(
        "tcp",
        "go on in bytes",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    ),
    row(
        "spdy",
        "go on in SPDY, as containers are attached to",
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n",
    ),
    row(
        "connect-udp",
        "go on in UDP (RFC 9298)",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: Upgrade\r\nUpgrade: connect-udp\r\n\r\n",
    ),
    row(
        "hidden",
        "ask to upgrade and hide a request behind",
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n\r\nGET /{mark} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
];

/// Handshakes that are none, where a rule allows one.
const HANDSHAKES: &[(&str, &str, &str)] = &[
    ("no-key", "leave the key away", "Sec-WebSocket-Version: 13\r\n"),
    ("short-key", "send a short key", "Sec-WebSocket-Key: Ym90\r\nSec-WebSocket-Version: 13\r\n"),
    (
        "two-keys",
        "send two keys",
        "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
    ),
    ("no-version", "leave the version away", "Sec-WebSocket-Key: {key}\r\n"),
    (
        "version",
        "send another version (upgrade smuggling)",
        "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 1337\r\n",
    ),
    (
        "versions",
        "send two versions",
        "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n",
    ),
    (
        "protocols",
        "ask for a second protocol",
        "Upgrade: h2c\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
    ),
];

type Frames = fn(&[u8]) -> Vec<u8>;

/// What is said in a WebSocket, each with a mark inside.
const FRAMES: &[(&str, &str, Frames)] = &[
    ("unmasked", "send a frame without a mask", |mark| plain(FIN | TEXT, mark)),
    ("reserved-1", "set the first reserved bit (compression that nobody agreed on)", |mark| {
        masked(FIN | 0x40 | TEXT, mark)
    }),
    ("reserved-2", "set the second reserved bit", |mark| masked(FIN | 0x20 | TEXT, mark)),
    ("reserved-3", "set the third reserved bit", |mark| masked(FIN | 0x10 | TEXT, mark)),
    ("kind-3", "send a kind of message that nobody knows", |mark| masked(FIN | 3, mark)),
    ("kind-7", "send the last kind of message that nobody knows", |mark| masked(FIN | 7, mark)),
    ("kind-11", "send a kind of control that nobody knows", |mark| masked(FIN | 0x0b, mark)),
    ("kind-15", "send the last kind of control that nobody knows", |mark| masked(FIN | 0x0f, mark)),
    ("control-fragmented", "send a control in pieces", |mark| masked(PING, mark)),
    ("control-long", "send a control that is longer than one may be", |mark| {
        masked(FIN | PING, &[mark, &[b'a'; 200]].concat())
    }),
    ("continuation-alone", "go on with no message", |mark| masked(FIN, mark)),
    ("text-inside", "begin a message inside of another", |mark| {
        [masked(TEXT, b"a"), masked(FIN | TEXT, mark)].concat()
    }),
    ("binary-inside", "begin bytes inside of a text", |mark| {
        [masked(TEXT, b"a"), masked(FIN | BINARY, mark)].concat()
    }),
    ("length-longer", "write a short length in two bytes", |mark| long(mark, 2)),
    ("length-longest", "write a short length in eight bytes", |mark| long(mark, 8)),
    ("length-negative", "send a length with its first bit set", |_| {
        [&[FIN | TEXT, MASKED | 0x7f][..], &[0xff; 8], &MASK].concat()
    }),
    ("not-text", "send text that is not UTF-8", |mark| masked(FIN | TEXT, &[mark, b"\xff"].concat())),
    ("close-short", "close with one byte", |_| masked(FIN | CLOSE, b"\x03")),
    ("close-code", "close with a code that no one may send", |mark| {
        masked(FIN | CLOSE, &[b"\x03\xed", mark].concat())
    }),
    ("http", "send a request instead of a frame", |mark| {
        [b"GET /", mark, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat()
    }),
    ("token", "send a token in a message", |_| masked(FIN | TEXT, token().as_bytes())),
    ("token-pieces", "send a token in pieces of a message", |_| {
        let text = token();
        let (first, rest) = text.split_at(12);
        [masked(TEXT, first.as_bytes()), masked(FIN, rest.as_bytes())].concat()
    }),
    ("token-around-ping", "send a token around a ping", |_| {
        let text = token();
        let (first, rest) = text.split_at(12);
        [masked(TEXT, first.as_bytes()), masked(FIN | PING, b""), masked(FIN, rest.as_bytes())].concat()
    }),
    ("token-bytes", "send a token in a message of bytes", |_| masked(FIN | BINARY, token().as_bytes())),
    ("token-ping", "send a token in a ping", |_| masked(FIN | PING, token().as_bytes())),
    ("token-close", "send a token in the reason of a close", |_| {
        masked(FIN | CLOSE, &[&[0x03, 0xe8][..], token().as_bytes()].concat())
    }),
];

/// Shaped like a token and valid nowhere; put together here so that it is not one in the binary.
fn token() -> String {
    format!("ghp{}{}", "_", "b0ttl3Att4ck".repeat(3))
}

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let closed =
        proxy.subject("is without `websocket: true`", |host| !host.websocket && !host.reads_content());
    proxy.rows("websocket/closed", UPGRADES, &closed, findings);

    let subject = proxy.subject("has `websocket: true`", |host| host.websocket && !host.reads_content());
    let mut way = None;
    findings.push(proxy.finding("websocket/control", "open a WebSocket where a rule allows it", |_| {
        let allowed = subject.as_ref().map_err(Clone::clone)?;
        let opened = open(proxy, allowed);
        way = opened.as_ref().err().cloned();
        opened.map(|_| Outcome::Held("it opens".into()))
    }));
    findings.extend(HANDSHAKES.iter().map(|(name, tried, fields)| {
        proxy.finding(format!("websocket/handshake/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let request =
                handshake(allowed, &format!("User-Agent: {mark}\r\n{}", fields.replace("{key}", KEY)));
            Ok(super::must_refuse(&proxy.ask(&allowed.host, request.as_bytes())?))
        })
    }));
    findings.extend(FRAMES.iter().map(|(name, tried, frames)| {
        proxy.finding(format!("websocket/frames/{name}"), tried, |mark| {
            way.clone().map_or(Ok(()), Err)?;
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let mut stream = open(proxy, allowed)?;
            // What is behind the end of a connection reaches nobody.
            let _ = stream.write(&[frames(mark.as_bytes()), masked(FIN | PING, b"are you there")].concat());
            Ok(ended(&mut stream))
        })
    }));
}

fn handshake(allowed: &Allowed<'_>, fields: &str) -> String {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n",
        allowed.target, allowed.host
    )
}

fn open(proxy: &Proxy<'_>, allowed: &Allowed<'_>) -> Result<TlsStream, Outcome> {
    let (address, config) = proxy.reach()?;
    let mut stream = secure(address, &allowed.host, config, &[])?;
    let fields = format!("Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n");
    let sent = stream.write(handshake(allowed, &fields).as_bytes());
    sent.map_err(|error| Outcome::NotTried(error.to_string()))?;
    let answer = stream.head().ok_or_else(|| Outcome::NotTried("no answer to the handshake".into()))?;
    match answer.status {
        101 => Ok(stream),
        status
            if answer.is_ours() && !answer.reason().is_some_and(|reason| reason.starts_with("upstream_")) =>
        {
            Err(Outcome::NotTried(format!("what is allowed was refused: {status}")))
        }
        status => Err(Outcome::NotApplicable(format!("its origin opens no WebSocket: {status}"))),
    }
}

/// The connection must end, whatever is said before.
fn ended(stream: &mut TlsStream) -> Outcome {
    for _ in 0..64 {
        let Some((kind, payload)) = next(stream) else {
            return if stream.is_silent() {
                Outcome::NotTried("nothing came of it".into())
            } else {
                Outcome::Held("the connection was closed".into())
            };
        };
        match kind & 0x0f {
            CLOSE => return Outcome::Held(format!("it was closed: {}", reason(&payload))),
            10 if payload == b"are you there" => {
                return Outcome::Broken("the connection goes on behind it".into());
            }
            _ => {}
        }
    }
    Outcome::Broken("the connection goes on".into())
}

fn reason(payload: &[u8]) -> String {
    let code = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
    format!("{code} {}", String::from_utf8_lossy(payload.get(2..).unwrap_or_default()))
}

/// One frame from a server, which masks nothing (RFC 6455 §5.1).
fn next(stream: &mut TlsStream) -> Option<(u8, Vec<u8>)> {
    let head = stream.read(2)?;
    let length = match head[1] & 0x7f {
        126 => u64::from(u16::from_be_bytes(stream.read(2)?.try_into().ok()?)),
        127 => u64::from_be_bytes(stream.read(8)?.try_into().ok()?),
        short => short.into(),
    };
    let length = usize::try_from(length).ok().filter(|length| *length < 1 << 20)?;
    Some((head[0], stream.read(length)?))
}

fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap_or(125)][..], payload].concat()
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match u16::try_from(payload.len()).unwrap_or(u16::MAX) {
        short @ 0..126 => vec![MASKED | u8::try_from(short).unwrap_or_default()],
        long => [&[MASKED | 0x7e][..], &long.to_be_bytes()].concat(),
    };
    [&[first][..], &length, &MASK, &under_mask(payload)].concat()
}

/// A short payload whose length is written in two bytes, or in eight.
fn long(payload: &[u8], bytes: usize) -> Vec<u8> {
    let length = (payload.len() as u64).to_be_bytes();
    let form = if bytes == 2 { 126 } else { 127 };
    [&[FIN | TEXT, MASKED | form][..], &length[8 - bytes..], &MASK, &under_mask(payload)].concat()
}

fn under_mask(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}
