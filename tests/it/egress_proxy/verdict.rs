//! The running chain and the function that `explain` asks say the same of every request: generated heads go to both
//! proxies, with a real origin behind them, and to [`Chain::verdict`].

use super::both::{Both, pipelock_for};
use super::harness::{auth, names, only, read_answer, route, tunnel};
use super::replay;
use crate::origin::Origin;
use crate::wire::Wire;
use bottle::{
    clock::Clock,
    config::routes::RouteEntry,
    intercept::{Protocol, ServerLimits, body, head::read_head as read},
    pipelock::scan_body,
    policy::{Authority, ClientCredentials},
    verdict::{Chain, Verdict, WireRequest, egress_proxy, pipelock},
};
use http::{HeaderValue, Method, Response, header};
use jiff::civil::date;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Heads that are tried.
const HEADS: usize = 5000;
/// Heads on one connection, as long as it stays open.
const PER_CONNECTION: usize = 25;

/// Splitmix64: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll().is_multiple_of(n)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.roll() % from.len() as u64).unwrap()]
    }
}

const HOSTS: &[&str] = &[
    "api.test",
    "paths.test",
    "read.test",
    "ports.test",
    "plain.test",
    "blind.test",
    "old.test",
    "open.test",
    "a.wild.test",
    "b.wild.test",
    // More often, so that each reason is tried often enough.
    "paths.test",
    "blind.test",
    "paths.test",
];

fn routes() -> Vec<RouteEntry> {
    vec![
        RouteEntry {
            auth: Some(auth("authorization", "Bearer ", None)),
            client_credentials: ClientCredentials::Strip,
            ..route("api.test")
        },
        RouteEntry {
            path_allowlist: only(&["/v1/messages", "/repos/*/app"]),
            deny_paths: vec!["/repos/*/app/issues".to_owned(), "/v1/messages/a".to_owned()],
            ..route("paths.test")
        },
        RouteEntry {
            methods: names(&["GET", "HEAD"]),
            auth: Some(auth("x-own-key", "", None)),
            client_credentials: ClientCredentials::Strip,
            ..route("read.test")
        },
        RouteEntry { ports: vec![443, 8443], encoded_slash: true, ..route("ports.test") },
        RouteEntry { ports: vec![80, 443], path_allowlist: only(&["/a"]), ..route("plain.test") },
        RouteEntry {
            inspect: false,
            path_allowlist: only(&["/"]),
            deny_paths: ["/v1", "/*/acme", "/A", "/lfs"].map(str::to_owned).into(),
            ..route("blind.test")
        },
        RouteEntry { until: Some(date(2020, 1, 1)), ..route("old.test") },
        route("open.test"),
        RouteEntry {
            path_allowlist: only(&["/a", "/v1"]),
            query: [("b".to_owned(), names(&["", "c", "1"]))].into(),
            ..route("*.wild.test")
        },
        RouteEntry { methods: names(&["GET"]), ..route("b.wild.test") },
    ]
}

/// pipelock's files; it does not know `open.test`, as after half a render.
fn files() -> crate::pipelock::Setup {
    let known: Vec<_> = routes().into_iter().filter(|route| route.host != "open.test").collect();
    pipelock_for(&known)
}

fn secret() -> String {
    ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat()
}

/// A CONNECT's target, most often of a host that has a rule.
fn connect(dice: &mut Dice) -> String {
    let host = dice.pick(HOSTS);
    match dice.roll() % 24 {
        0 => format!("{}:443", host.to_uppercase()),
        1 => format!("{host}.:443"),
        2 => format!("{host}:8443"),
        3 => format!("{host}:80"),
        4 => dice
            .pick(&["nobody.test:443", "api.test.evil.test:443", "xapi.test:443", "bottle.internal:443"])
            .to_owned(),
        5 => dice
            .pick(&["127.0.0.1:443", "[::1]:443", "0x7f.1:443", "api.test", "a..test:443", "u@api.test:443"])
            .to_owned(),
        6 => "xq7k9v2m4z8w1r5t.api.test:443".to_owned(),
        _ => format!("{host}:443"),
    }
}

/// A target in origin-form, in the encodings that proxies and servers read differently.
fn target(dice: &mut Dice) -> String {
    let segments = [
        "a",
        "v1",
        "messages",
        "repos",
        "acme",
        "app",
        "..",
        ".",
        "%2e%2e",
        "%2E",
        "%2f",
        "%5c",
        "\\",
        ";x=1",
        "%00",
        "%61",
        "%zz",
        "%25",
        "%252e%252e",
        "",
        "app.git",
        "info",
        "refs",
        "git-receive-pack",
        "git-upload-pack",
        "caf%c3%a9",
        "%c0%ae",
        "{x}",
        "~user",
        "@acme%2Fapp",
        "git%2dreceive-pack",
        "lfs",
        "objects",
        "batch",
    ];
    let fixed = [
        "/v1/messages",
        "/repos/acme/app",
        "/repos/acme/app/issues?page=2",
        "/repos/acme/app/%49ssues.git/info/refs",
        "/v1/messages/%61/b",
        "/a",
        "/",
        "*",
        "//v1/messages",
        "/acme/app.git/info/refs?service=git-receive-pack",
        "/acme/app.git/info/refs?service=git-upload-pack",
        "/acme/app.git/git-receive-pack",
        "/a?service=git%2Dreceive%2Dpack",
        "/a#b",
        "https://api.test/a",
        "/a%20b",
    ];
    let mut target = match dice.roll() % 3 {
        0 => dice.pick(&fixed).to_owned(),
        _ => (0..=dice.roll() % 5).flat_map(|_| ["/", dice.pick(&segments)]).collect(),
    };
    match dice.roll() % 16 {
        0 => target = target + "?token=" + &secret(),
        1 => target += "?q=Zx9Kq2Lm7Wp4Rt8Yv1Bn6Hc3Jd5Fg0",
        2 => target = target + "/" + &"k".repeat(3000),
        3 => target += "/qX7zK2mW9pL4vT8rY1nB6hC3jD5fG0sA",
        4 => target += "?a=1&b=c%20d",
        _ => {}
    }
    target
}

fn fields(dice: &mut Dice) -> String {
    let secret = secret();
    let all = [
        "Accept: */*".to_owned(),
        format!("Authorization: token {secret}"),
        format!("X-Own-Key: {secret}"),
        format!("X_Own_Key: {secret}"),
        format!("Cookie: session={secret}"),
        format!("User-Agent: {secret}"),
        format!("X-Note: {secret}"),
        "X-Note: two words".to_owned(),
        "Content-Type: application/json".to_owned(),
        "Content-Type: application/x-git-receive-pack-request".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Upgrade: h2c".to_owned(),
        "Connection: x-note, authorization".to_owned(),
        "Connection: keep-alive".to_owned(),
        "X-HTTP-Method-Override: DELETE".to_owned(),
        "X-Original-URL: /admin".to_owned(),
        "X-Forwarded-Host: evil.test".to_owned(),
        "X-Bottle-Verdict: allow".to_owned(),
        "X-Pipelock-Agent: other".to_owned(),
        "TE: trailers".to_owned(),
        "TE: gzip".to_owned(),
        "Proxy-Authorization: Basic YTpi".to_owned(),
        " folded: 1".to_owned(),
        "bad name: 1".to_owned(),
        "X-Empty:".to_owned(),
        "Content-Encoding: gzip".to_owned(),
        "Content-Encoding: zip".to_owned(),
    ];
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    let count = dice.roll() % 4;
    (0..count).flat_map(|_| [dice.pick(&names), "\r\n"]).collect()
}

/// A whole head for a request to `authority`, in a tunnel or outside of one, with its body.
fn head(dice: &mut Dice, authority: &str, tunnelled: bool) -> (String, String) {
    let methods = [
        "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE",
        "PROPFIND", "get", "TRACE", "CONNECT", "G@T",
    ];
    let method = dice.pick(&methods);
    let target = target(dice);
    let target = if tunnelled { target } else { format!("http://{authority}{target}") };
    let host = match dice.roll() % 20 {
        0 => String::new(),
        1 => format!("Host: {authority}\r\nHost: {authority}\r\n"),
        2 => "Host: evil.test\r\n".to_owned(),
        3 => format!("Host: {}\r\n", authority.to_uppercase()),
        4 => format!("Host: {}\r\n", authority.split(':').next().unwrap()),
        5 => "Host: a b\r\n".to_owned(),
        _ => format!("Host: {authority}\r\n"),
    };
    let (length, body) = match dice.roll() % 6 {
        0 => ("Content-Length: 5\r\n".to_owned(), "hello".to_owned()),
        1 if dice.one_in(4) => ("Content-Length: 5\r\nContent-Length: 6\r\n".to_owned(), "hello".to_owned()),
        _ => (String::new(), String::new()),
    };
    let version = if dice.one_in(30) { "HTTP/1.2" } else { "HTTP/1.1" };
    (format!("{method} {target} {version}\r\n{host}{}{length}\r\n", fields(dice)), body)
}

/// What is compared.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// `None`: let through.
    reason: Option<String>,
    /// Of a refusal, where its form has room for it.
    rule: Option<String>,
    /// Host, method and target as the origin saw them, where the answer has a body.
    sent: Option<String>,
}

/// What the function says of a request. `shown`: what the client got has a body to read the rest in.
fn expected(chain: &Chain, connect: Option<&str>, head: &str, body: &str) -> (Said, Option<Authority>) {
    let refused =
        |reason: &str, rule: Option<String>| Said { reason: Some(reason.to_owned()), rule, sent: None };
    let connect = connect.map(|target| {
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let (_, target) = read(head.as_bytes(), false, &ServerLimits::default())?;
        let target = String::from_utf8(target.to_vec()).unwrap();
        let host = HeaderValue::from_str(&target).unwrap();
        Ok::<_, bottle::intercept::HeadFault>((target, [(header::HOST, host)].into_iter().collect()))
    });
    let Ok(connect) = connect.transpose() else {
        return (refused("malformed_request", None), None);
    };
    let first = chain.egress_proxy.as_ref().unwrap();
    let opened = connect.as_ref().map(|(target, _)| first.connect(target)).transpose();
    let tunnel = match opened {
        Ok(tunnel) => tunnel,
        Err(refusal) => return (refused(refusal.reason.code(), refusal.rule), None),
    };
    let Ok((request, target)) = read(head.as_bytes(), connect.is_some(), &ServerLimits::default()) else {
        return (refused("malformed_request", None), tunnel);
    };
    let method = request.method().clone();
    let body: Option<bytes::Bytes> = (!body.is_empty()).then(|| body.to_owned().into());
    let asked = WireRequest { connect, request, target, body: body.clone() };
    let verdict = chain.verdict(&asked, Clock::system().today());
    let Verdict { intent, matched, refusal, inspected, sent, .. } = verdict;
    let refusal = refusal.or_else(|| {
        let host = matched.as_ref()?.rule.route.host.as_str();
        let block = scan_body(&chain.pipelock, host, &sent, body.filter(|_| inspected)?).err()?;
        Some(egress_proxy::pipelock_refusal(&block, &matched.as_ref()?.rule.route).refusal)
    });
    let sent = intent.zip(matched);
    let sent = sent.map(|(intent, _)| format!("{} {method} {}", intent.authority.host, intent.target));
    let allowed = Said { reason: None, rule: None, sent };
    let said = refusal.map_or(allowed, |refusal| refused(refusal.reason.code(), refusal.rule));
    (said, tunnel)
}

/// What the chain answered, in the same form.
async fn answered(stream: &mut Wire, head: &str, body: &str) -> (Said, bool) {
    let _ = stream.try_send(format!("{head}{body}")).await;
    let (head, body) = if head.starts_with("HEAD ") {
        (stream.head().await, String::new())
    } else {
        let answer = read_answer(stream).await;
        (answer.head, answer.body)
    };
    let field = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let said = Said {
        reason: field("x-bottle-reason"),
        rule: json["bottle"]["rule"].as_str().map(str::to_owned),
        sent: body.strip_prefix("origin: ").map(str::to_owned),
    };
    (said, closes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_and_the_running_chain_say_the_same_of_every_request() {
    let origin = Origin::serving(&[Protocol::Http2, Protocol::Http1], |request| async move {
        let host = request.uri().host().map(str::to_owned);
        let host = host
            .or_else(|| Some(request.headers().get("host")?.to_str().ok()?.to_owned()))
            .unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let text = format!("origin: {host} {} {target}", request.method());
        Response::new(if *request.method() == Method::HEAD { body::empty() } else { body::full(text) })
    })
    .await;
    let pipelock_files = files();
    let rules =
        Arc::new(pipelock::Ruleset::from_file(&pipelock_files.file, Some(&pipelock_files.embedded)).unwrap());
    let (pipelock, embedded) = (pipelock_files.file.clone(), pipelock_files.embedded.clone());
    let Both { address, files, config, audit, drain, second: _second, proxy: _proxy } =
        Both::with(&origin, routes(), pipelock_files).await;
    let chain =
        Chain { egress_proxy: Some(egress_proxy::Ruleset::from_file(&config).unwrap()), pipelock: rules };

    let mut dice = Dice(1);
    let (mut tried, mut wrong, mut reasons) =
        (0, Vec::new(), std::collections::BTreeMap::<String, usize>::new());
    while tried < HEADS {
        let tunnelled = !dice.one_in(8);
        let target = connect(&mut dice);
        let (mut inside, mut outside) = (None, None);
        for _ in 0..PER_CONNECTION {
            let authority = if tunnelled { target.clone() } else { target.replace(":443", "") };
            let (head, body) = head(&mut dice, &authority, tunnelled);
            let (expected, tunnel_to) = expected(&chain, tunnelled.then_some(target.as_str()), &head, &body);
            tried += 1;
            *reasons.entry(expected.reason.clone().unwrap_or_else(|| "allowed".to_owned())).or_default() += 1;
            let (said, closes) = if !tunnelled {
                let stream = match &mut outside {
                    Some(stream) => stream,
                    None => outside.insert(Wire::new(TcpStream::connect(&address).await.unwrap())),
                };
                answered(stream, &head, &body).await
            } else if let Some(opened) = &tunnel_to {
                let stream = match &mut inside {
                    Some(stream) => stream,
                    None => {
                        inside.insert(tunnel(&address, &files.agent_ca, &target, opened.host.as_str()).await)
                    }
                };
                answered(stream, &head, &body).await
            } else {
                let mut stream = Wire::new(TcpStream::connect(&address).await.unwrap());
                let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
                answered(&mut stream, &connect, "").await
            };
            if closes {
                (inside, outside) = (None, None);
            }
            let hidden = said.rule.is_none() && said.sent.is_none();
            // The origin has no plain http: that the request was sent to it is all that can be seen.
            let left = !tunnelled && said.reason.as_deref() == Some("upstream_unreachable");
            let reason = said.reason.as_deref().filter(|_| !left);
            let same = reason == expected.reason.as_deref() && (hidden || left || said == expected);
            if !same {
                wrong.push(format!("{target} {head:?}\n  function: {expected:?}\n  chain:    {said:?}"));
            }
            if tunnel_to.is_none() && tunnelled {
                break;
            }
        }
    }
    drain.start();
    assert!(
        wrong.is_empty(),
        "{} of {tried} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
    for reason in [
        "allowed",
        "blocked_by_pipelock",
        "git_push",
        "path_not_allowed",
        "path_denied",
        "malformed_target",
        "credential_in_request",
    ] {
        assert!(reasons.get(reason).is_some_and(|count| *count >= 50), "too few {reason}: {reasons:?}");
    }
    replay::assert_replay(&audit, config, pipelock, embedded).await;
}
