//! Every reason for which the engine refuses, with its whole answer.

use super::{Running, Setup, marks, refusal, setup, shown, token};
use crate::origin::Origin;
use bottle::intercept::{Protocol, body};
use http::Response;

async fn origin() -> Origin {
    Origin::serving(&[Protocol::Http1], |_| async { Response::new(body::full("hello")) }).await
}

async fn running(setup: Setup) -> (Origin, Running) {
    let origin = origin().await;
    let running = setup.before(&origin).await;
    (origin, running)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")
}

fn post(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /v1 HTTP/1.1\r\nHost: api.test\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_connect_is_refused_with_its_reason() {
    let (origin, running) = running(setup()).await;
    let policy = |code, layer| marks(code, "medium", "policy", layer);
    let malformed = marks("malformed_target", "high", "none", "protocol");
    let cases = [
        (
            "evil.test:443",
            "403 Forbidden",
            policy("domain_not_allowed", "allowlist"),
            "CONNECT blocked: evil.test is not in the allowlist\n",
        ),
        (
            "api.test.evil.test:443",
            "403 Forbidden",
            policy("domain_not_allowed", "allowlist"),
            "CONNECT blocked: api.test.evil.test is not in the allowlist\n",
        ),
        (
            "api.test:22",
            "403 Forbidden",
            policy("port_not_allowed", "allowlist"),
            "CONNECT blocked: port 22 of api.test is not allowed; allowed: 443, 8443\n",
        ),
        (
            "web.test:80",
            "403 Forbidden",
            policy("port_not_allowed", "allowlist"),
            "CONNECT blocked: port 80 of web.test is not allowed; allowed: 443\n",
        ),
    ];
    for (target, status, fields, text) in cases {
        let (head, body, _) = running.connect(target).await;
        assert_eq!(shown(&(head, body)), refusal(status, &fields, text), "{target}");
    }
    for target in ["127.0.0.1:443", "[::1]:443", "user@api.test:443", "api.test", "api_x.test:443"] {
        let (head, body, _) = running.connect(target).await;
        let expected = refusal("400 Bad Request", &malformed, &body);
        assert_eq!(shown(&(head, body.clone())), expected, "{target}");
        assert!(body.starts_with("CONNECT blocked: the target is not a host and port: "), "{target}: {body}");
    }
    assert!(origin.seen().is_empty() && running.dialled.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_private_address_is_refused_and_never_dialled() {
    let addresses = ["10.0.0.7", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.7", "64:ff9b::7f00:1"];
    for address in addresses {
        let mut setup = setup();
        setup.names = vec![vec!["93.184.216.34".parse().unwrap(), address.parse().unwrap()]];
        let (_origin, running) = running(setup).await;
        let (head, body, _) = running.connect("api.test:443").await;
        let fields = marks("ssrf_private_ip", "critical", "policy", "ssrf");
        let text = format!(
            "CONNECT blocked: api.test resolves to {address}, which is a private or reserved address\n"
        );
        assert_eq!(shown(&(head, body)), refusal("403 Forbidden", &fields, &text));
        assert!(running.dialled.lock().unwrap().is_empty(), "{address}");
    }
}

/// The permission of one host is not that of another one.
#[tokio::test]
async fn a_hosts_own_range_is_open_to_it_alone() {
    let mut setup = setup();
    setup.names = vec![vec!["10.20.0.5".parse().unwrap()]];
    setup.embedded.hosts[0].addresses = vec!["10.20.0.0/16".parse().unwrap()];
    setup.file.ssrf.ip_allowlist = vec!["10.20.0.0/16".parse().unwrap()];
    let (_origin, running) = running(setup).await;
    let answer = running.ask(get("/")).await;
    assert!(answer.0.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert_eq!(*running.dialled.lock().unwrap(), ["10.20.0.5:443".parse().unwrap()]);
    let (head, ..) = running.connect("web.test:443").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
}

/// A name server that answers the check with a public address and the dial with a private one.
#[tokio::test]
async fn a_rebound_name_is_refused() {
    let mut setup = setup();
    setup.names = vec![vec!["93.184.216.34".parse().unwrap()], vec!["169.254.169.254".parse().unwrap()]];
    let (origin, running) = running(setup).await;
    let answer = running.ask(get("/latest/meta-data/")).await;
    let fields = marks("ssrf_private_ip", "critical", "policy", "ssrf");
    let text = "blocked: api.test resolves to 169.254.169.254, which is a private or reserved address\n";
    assert_eq!(shown(&answer), refusal("403 Forbidden", &fields, text));
    assert!(running.dialled.lock().unwrap().is_empty() && origin.seen().is_empty());
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection() {
    let mut setup = setup();
    let first: std::net::IpAddr = "93.184.216.34".parse().unwrap();
    setup.names = vec![vec![first], vec![first], vec!["10.0.0.1".parse().unwrap()]];
    let (_origin, running) = running(setup).await;
    let answer = running.ask(get("/")).await;
    assert!(answer.0.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert_eq!(*running.dialled.lock().unwrap(), ["93.184.216.34:443".parse().unwrap()]);
}

#[tokio::test]
async fn a_credential_is_refused_wherever_it_is_and_never_logged() {
    let (origin, running) = running(setup()).await;
    let secret = token();
    let encoded = secret.bytes().fold(String::new(), |text, b| text + &format!("%{b:02x}"));
    let pattern = [("x-pipelock-pattern", "GitHub Token")];
    let dlp = |layer, location: Option<&'static str>| {
        let mut fields = marks("dlp_match", "critical", "none", layer);
        fields.extend(pattern);
        fields.extend(location.map(|l| ("x-pipelock-location", l)));
        fields
    };
    let json = format!(r#"{{"messages":[{{"content":"hi"}},{{"content":"key: {secret}"}}]}}"#);
    // Field names lose their case, which this token does not survive.
    let aws = format!("{}{}", "AKIA", "Q3EGRIGF5WKUYV7Z");
    let in_name = |name: &str| post(&format!("{name}: 1\r\n"), "");
    let of_aws = |layer, location| {
        let mut fields = dlp(layer, location);
        fields
            .iter_mut()
            .filter(|(name, _)| *name == "x-pipelock-pattern")
            .for_each(|it| it.1 = "AWS Access ID");
        fields
    };
    let aws_text = "header contains secret: AWS Access ID at a field's name";
    let cases = [
        (in_name(&aws), of_aws("header_dlp", Some("a field's name")), aws_text),
        (
            in_name(&format!("x-{}", aws.replace("KIA", "%4bIA"))),
            of_aws("header_dlp", Some("a field's name")),
            aws_text,
        ),
        // A longer one is no method.
        (
            get("/x").replacen("GET", &aws, 1),
            of_aws("method_dlp", None),
            "method contains secret: AWS Access ID",
        ),
        (get(&format!("/x/{secret}/y?a=b")), dlp("url_dlp", None), "url contains secret: GitHub Token"),
        (get(&format!("/x?q=1&k={encoded}")), dlp("url_dlp", None), "url contains secret: GitHub Token"),
        (
            post(&format!("X-Note: {secret}\r\n"), ""),
            dlp("header_dlp", Some("x-note")),
            "header contains secret: GitHub Token at x-note",
        ),
        (
            post(&format!("Authorization: Bearer {secret}\r\n"), ""),
            dlp("header_dlp", Some("authorization")),
            "header contains secret: GitHub Token at authorization",
        ),
        (
            post("Content-Type: application/json\r\n", &json),
            dlp("body_dlp", Some("/messages/1/content")),
            "body contains secret: GitHub Token at /messages/1/content",
        ),
        (post("", &format!("k={secret}")), dlp("body_dlp", None), "body contains secret: GitHub Token"),
    ];
    for (request, fields, text) in cases {
        let answer = running.ask(&request).await;
        let text = format!("blocked: request {text}\n");
        assert_eq!(shown(&answer), refusal("403 Forbidden", &fields, &text), "{request}");
    }
    assert!(origin.seen().is_empty(), "the origin saw {:?}", origin.seen());
    running.event("blocked").await;
    let log = running.log.text();
    assert!(!log.contains(&secret) && !log.contains(&encoded), "{log}");
    assert!(!log.to_lowercase().contains(&aws.to_lowercase()), "{log}");
}

/// Hosts lose their case, too.
#[tokio::test]
async fn a_credential_in_the_name_of_a_host_is_refused_unless_the_manifest_names_that_host() {
    let id = ["AKIA", "Q3EGRIGF5WKUYV7Z"].concat();
    let mut setup = setup();
    setup.file.api_allowlist.extend(["*.open.test".to_owned(), format!("{}.named.test", id.to_lowercase())]);
    let (origin, running) = running(setup).await;
    let mut fields = marks("dlp_match", "critical", "none", "url_dlp");
    fields.push(("x-pipelock-pattern", "AWS Access ID"));
    for target in [format!("{id}.open.test:443"), format!("x-{id}-y.open.test:443")] {
        let (head, body, _) = running.connect(&target).await;
        let text = "CONNECT blocked: request url contains secret: AWS Access ID\n";
        assert_eq!(shown(&(head, body)), refusal("403 Forbidden", &fields, text), "{target}");
    }
    let log = running.log.text();
    assert!(!log.to_lowercase().contains(&id.to_lowercase()), "{log}");
    let (head, ..) = running.connect(&format!("{id}.named.test:443")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(origin.seen().is_empty());
}

/// The fields that egress-proxy injects are its own to fill.
#[tokio::test]
async fn an_injected_field_passes() {
    let (origin, running) = running(setup()).await;
    let answer = running.ask(post(&format!("X-Injected: {}\r\n", token()), "")).await;
    assert!(answer.0.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert!(origin.only().text().contains(&token()));
}

#[tokio::test]
async fn a_request_for_another_host_than_its_tunnels_is_refused() {
    let (origin, running) = running(setup()).await;
    let fields = marks("authority_mismatch", "critical", "none", "protocol");
    let cases = [
        ("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n", "web.test"),
        ("GET / HTTP/1.1\r\nHost: api.test:8443\r\n\r\n", "api.test:8443"),
        ("GET https://web.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "web.test"),
        ("GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "a plain http URL"),
    ];
    for (request, asked) in cases {
        let answer = running.ask(request).await;
        let text = format!(
            "blocked: authority mismatch: blocked; the request is for {asked}, its tunnel for api.test:443\n"
        );
        assert_eq!(shown(&answer), refusal("403 Forbidden", &fields, &text), "{request}");
    }
    let mut wire = running.tunnel_as("api.test:443", "web.test", Protocol::Http1).await;
    wire.send(get("/")).await;
    let text = "blocked: authority mismatch: blocked; the request is for web.test, its tunnel for api.test\n";
    assert_eq!(shown(&wire.message().await), refusal("403 Forbidden", &fields, text));
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn the_bounds_of_a_url_are_those_of_the_file() {
    let mut bounded = setup();
    bounded.file.fetch_proxy.monitoring.max_url_length = 100;
    bounded.file.fetch_proxy.monitoring.entropy_threshold = 4.5;
    bounded.file.fetch_proxy.monitoring.subdomain_entropy_threshold = 3.0;
    bounded.file.api_allowlist.push("*.files.test".to_owned());
    let (origin, running) = running(bounded).await;
    let high =
        |code| marks(code, "high", "none", if code == "url_length" { "url_length" } else { "entropy" });
    let long = format!("/{}", "a/".repeat(60));
    let random = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xY";
    let cases = [
        (long, high("url_length"), "URL is 137 bytes long, more than max_url_length 100"),
        (
            format!("/x/{random}"),
            high("path_entropy"),
            "a path segment has high entropy (5.00 bits per character, the threshold is 4.50)",
        ),
        (
            format!("/x?a=1&b={random}"),
            high("query_entropy"),
            "a query value has high entropy (5.00 bits per character, the threshold is 4.50)",
        ),
    ];
    for (path, fields, text) in cases {
        let answer = running.ask(get(&path)).await;
        assert_eq!(
            shown(&answer),
            refusal("403 Forbidden", &fields, &format!("blocked: {text}\n")),
            "{path}"
        );
    }
    let (head, body, _) = running.connect("a8f3k2j9x7q1.files.test:443").await;
    let text = "CONNECT blocked: a label of the host has high entropy (3.58 bits per character, the threshold is 3.00)\n";
    assert_eq!(shown(&(head, body)), refusal("403 Forbidden", &high("subdomain_entropy"), text));
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn the_rate_counts_the_connect_and_each_request() {
    let mut limited = setup();
    limited.file.fetch_proxy.monitoring.max_requests_per_minute = 3;
    let (_origin, running) = running(limited).await;
    let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
    for _ in 0..2 {
        wire.send(get("/")).await;
        assert!(wire.message().await.0.starts_with("HTTP/1.1 200"));
    }
    wire.send(get("/")).await;
    let fields = marks("rate_limit", "low", "transient", "rate_limit");
    let text = "rate limit exceeded: more than 3 requests to api.test in a minute\n";
    let expected = refusal("429 Too Many Requests", &fields, &format!("blocked: {text}"));
    assert_eq!(shown(&wire.message().await), expected);
    let (head, body, _) = running.connect("api.test:443").await;
    let expected = refusal("429 Too Many Requests", &fields, &format!("CONNECT blocked: {text}"));
    assert_eq!(shown(&(head, body)), expected);
}

#[tokio::test]
async fn what_cannot_be_looked_through_is_refused() {
    let (origin, running) = running(setup()).await;
    let high = |code| marks(code, "high", "none", "body_dlp");
    let cases = [
        (
            post("Content-Encoding: compress\r\n", "text"),
            high("unsupported_encoding"),
            "request body has the content encoding \"compress\", which cannot be scanned; send gzip, deflate, br, zstd or none",
        ),
        (
            post("Content-Encoding: gzip, br\r\n", "text"),
            high("unsupported_encoding"),
            "request body has the content encoding \"gzip, br\", which cannot be scanned; send gzip, deflate, br, zstd or none",
        ),
        (
            post("Content-Encoding: gzip\r\n", "this is plain text, whatever the field says"),
            high("malformed_encoding"),
            "request body is not valid gzip, so it cannot be scanned",
        ),
        (
            "GET /chat HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                .to_owned(),
            marks("upgrade_not_supported", "high", "none", "protocol"),
            "this upgrade is not allowed: `websocket: true` on the host lets a WebSocket through, and nothing lets another protocol",
        ),
        (
            get("/a#b"),
            marks("malformed_request", "high", "none", "protocol"),
            "malformed request: the target holds a fragment",
        ),
    ];
    for (request, fields, text) in cases {
        let answer = running.ask(&request).await;
        let status = if request.contains('#') { "400 Bad Request" } else { "403 Forbidden" };
        assert_eq!(shown(&answer), refusal(status, &fields, &format!("blocked: {text}\n")), "{request}");
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn an_origin_that_cannot_be_reached_or_verified_is_said_to_be() {
    let unreachable = setup().start("127.0.0.1:1".parse().unwrap(), None).await;
    let (head, body) = unreachable.ask(get("/")).await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway"), "{head}");
    assert!(head.contains("x-pipelock-block-reason: upstream_unreachable\r\n"), "{head}");
    assert!(head.contains("x-pipelock-retry: transient\r\n"), "{head}");
    assert_eq!(
        body,
        "blocked: no connection to api.test (93.184.216.34:443): Connection refused (os error 111)\n"
    );
    let origin = origin().await;
    let untrusted = setup().start(origin.address, None).await;
    let (head, body) = untrusted.ask(get("/")).await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway"), "{head}");
    assert!(body.starts_with("blocked: TLS with api.test failed: invalid peer certificate: "), "{body}");
}
