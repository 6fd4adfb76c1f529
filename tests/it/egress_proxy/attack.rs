//! The attack suite that ships in the binary, on both proxies with an origin behind them that says what it received, and on
//! one that lets everything through.

use super::{
    both::Both,
    harness::{auth, names, only, route},
};
use crate::{origin::Origin, wire::Wire};
use bottle::{
    attack::{AgentEnvironment, Finding, Outcome, Witness, through_the_proxy},
    config::routes::{AnyOr, GitPush, Graphql, RouteEntry, Rpc},
    intercept::Protocol,
    policy::GraphqlOperation,
};
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::net::{TcpListener, TcpStream};

const PONG: &[u8] = b"\x8a\x0dare you there";

/// Something to attack in every room.
fn routes() -> Vec<RouteEntry> {
    let credential = || Some(auth("authorization", "Bearer ", None));
    vec![
        RouteEntry {
            path_allowlist: only(&["/v1/messages", "/repos/*/app"]),
            deny_paths: vec!["/repos/*/app/hooks".to_owned()],
            ..route("paths.test")
        },
        RouteEntry { auth: credential(), ..route("key.test") },
        RouteEntry {
            query: BTreeMap::from([("list".to_owned(), names(&["all"]))]),
            path_allowlist: only(&["/items"]),
            ..route("query.test")
        },
        RouteEntry { websocket: true, path_allowlist: only(&["/chat"]), ..route("chat.test") },
        RouteEntry {
            path_allowlist: only(&["/graphql"]),
            graphql: Some(Graphql {
                paths: AnyOr::Any,
                operations: vec![GraphqlOperation::Query],
                fields: only(&["viewer"]),
            }),
            ..route("graphql.test")
        },
        RouteEntry {
            path_allowlist: only(&["/mcp"]),
            rpc: Some(Rpc { paths: AnyOr::Any, methods: names(&["tools/list"]) }),
            ..route("rpc.test")
        },
        RouteEntry {
            path_allowlist: only(&["/acme/app.git"]),
            git_push: Some(GitPush {
                refs: names(&["refs/heads/agent/*"]),
                create: false,
                delete: false,
                force: false,
                max_pack: 1 << 20,
                rules: None,
            }),
            ..route("forge.test")
        },
        RouteEntry { methods: names(&["GET"]), path_allowlist: only(&["/pub"]), ..route("*.cdn.test") },
    ]
}

/// Answers whatever it understands, requests that are behind another one as well. Its own records say what came.
async fn origin(protocols: &[Protocol]) -> Origin {
    Origin::scripted(protocols, |mut wire, _| async move {
        let mut text = String::new();
        while !text.contains("\r\n\r\n") && !text.contains("\n\n") && !text.starts_with("PRI *") {
            match wire.more().await {
                Ok(1..) => text = String::from_utf8_lossy(wire.unread()).into_owned(),
                Ok(0) | Err(_) => break,
            }
        }
        if text.starts_with("PRI *") {
            return over_http2(wire).await;
        }
        let opens = text.contains("Sec-WebSocket-Version: 13") || text.contains("sec-websocket-version: 13");
        if opens && !text.contains("User-Agent: bottle-attack-") {
            return in_websocket(wire, &text).await;
        }
        let requests = text.matches(" HTTP/1.1\r\n").count().max(1);
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".repeat(requests);
        let _ = wire.try_send(answer).await;
        wire.shutdown().await;
    })
    .await
}

/// Answers the first stream and every ping, whatever is sent.
async fn over_http2(mut wire: Wire) {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let head = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
    let ping = [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &[0; 8]].concat();
    while wire.unread().len() < 40 {
        if !matches!(wire.more().await, Ok(1..)) {
            return;
        }
    }
    let _ = wire.try_send([&settings[..], &head, &ping].concat()).await;
    let _ = wire.rest().await;
}

async fn in_websocket(mut wire: Wire, head: &str) {
    let key = head
        .lines()
        .find_map(|line| line.split_once(": ").filter(|it| it.0.eq_ignore_ascii_case("sec-websocket-key")))
        .map_or("", |(_, key)| key.trim());
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    let accept = data_encoding::BASE64.encode(digest.as_ref());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let asked = wire.unread().len();
    let _ = wire.try_send(answer).await;
    while wire.unread().len() == asked {
        if !matches!(wire.more().await, Ok(1..)) {
            return;
        }
    }
    let _ = wire.try_send(PONG).await;
    let _ = wire.rest().await;
}

/// Runs the suite against a proxy.
async fn attack(
    proxy: String,
    bundle: &std::path::Path,
    witness: impl Fn(&str) -> Option<String> + Send + 'static,
) -> Vec<Finding> {
    let environment =
        AgentEnvironment { proxy: Some(proxy), ca_bundle: Some(bundle.to_str().unwrap().to_owned()) };
    let run = move || through_the_proxy(&environment, Some(&witness as Witness<'_>));
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Where a mark came, in what an origin received.
fn received(seen: &[crate::origin::Recorded], mark: &str) -> Option<String> {
    let found = seen.iter().find(|one| one.bytes.windows(mark.len()).any(|bytes| bytes == mark.as_bytes()));
    found.map(|one| one.text().chars().take(300).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_of_the_suite_gets_through_both_proxies() {
    let origin = std::sync::Arc::new(origin(&[Protocol::Http1]).await);
    let both = Both::start(&origin, routes()).await;
    let bundle = both.files.path("agent-ca.pem");
    fs_err::write(&bundle, &both.files.agent_ca).unwrap();
    let asked = std::sync::Arc::clone(&origin);
    let findings = attack(both.address.clone(), &bundle, move |mark| received(&asked.seen(), mark)).await;
    let bad: Vec<String> = findings
        .iter()
        .filter(|it| !matches!(it.outcome, Outcome::Held(_)))
        .map(|it| format!("{} ({}): {} {}", it.name, it.tried, it.outcome.word(), it.outcome.detail()))
        .collect();
    assert!(bad.is_empty(), "{} of {}:\n{}", bad.len(), findings.len(), bad.join("\n"));
    assert!(findings.len() >= 400, "{}", findings.len());
    // What arrives late has arrived.
    assert_eq!(received(&origin.seen(), "bottle-attack-0"), None);
}

/// Grants every tunnel, to one address, and answers everything else.
async fn open_proxy(to: SocketAddr, allowlist: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let allowlist = allowlist.clone();
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                while !wire.unread().windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    if !matches!(wire.more().await, Ok(1..)) {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(wire.unread()).into_owned();
                if head.starts_with("CONNECT ") {
                    wire.send("HTTP/1.1 200 OK\r\n\r\n").await;
                    if !head.contains(" HTTP/1.1\r\n") {
                        return;
                    }
                    let end = head.find("\r\n\r\n").unwrap_or_default() + 4;
                    let mut upstream = TcpStream::connect(to).await.unwrap();
                    wire.skip(end as u64).await;
                    let ahead = wire.unread().to_vec();
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut upstream, &ahead).await;
                    wire.skip(ahead.len() as u64).await;
                    let _ = tokio::io::copy_bidirectional(&mut wire.into_stream(), &mut upstream).await;
                    return;
                }
                let body = if head.contains("bottle.internal/allowlist ") { &*allowlist } else { "hello" };
                let length = body.len();
                let _ =
                    wire.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")).await;
                wire.shutdown().await;
            });
        }
    });
    address
}

/// Each attempt must be able to fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_proxy_that_lets_everything_through_is_seen_through() {
    let origin = std::sync::Arc::new(origin(&[Protocol::Http2, Protocol::Http1]).await);
    let both = Both::start(&origin, routes()).await;
    let mut wire = Wire::new(TcpStream::connect(&both.address).await.unwrap());
    wire.send("GET http://bottle.internal/allowlist HTTP/1.1\r\nHost: bottle.internal\r\n\r\n").await;
    let (_, allowlist) = wire.message().await;
    let bundle = both.files.path("origin-ca.pem");
    let proxy = open_proxy(origin.address, allowlist).await;
    let asked = std::sync::Arc::clone(&origin);
    // Only what can be judged by nothing else is judged by what the origin received.
    let findings = attack(proxy.clone(), &bundle, |_| None).await;
    let witnessed = attack(proxy, &bundle, move |mark| received(&asked.seen(), mark)).await;
    assert_eq!(findings.len(), witnessed.len());
    let blind: Vec<String> = findings
        .iter()
        .zip(&witnessed)
        .filter(|(it, _)| !it.name.ends_with("/control"))
        .filter(|(it, seen)| ![it, seen].iter().any(|it| matches!(it.outcome, Outcome::Broken(_))))
        .map(|(it, _)| format!("{}: {} {}", it.name, it.outcome.word(), it.outcome.detail()))
        .collect();
    assert!(blind.is_empty(), "{} of {} can't fail:\n{}", blind.len(), findings.len(), blind.join("\n"));
}
