//! Host and authority: every place that names a host names the same one, in one form.

use crate::origin::trusting_at;
use bottle::{clock::Clock, intercept::Protocol};
use rustls::pki_types::ServerName;

use super::harness::{Stack, exchange};

async fn connect(stack: &Stack, target: &str) -> super::harness::Answer {
    stack.raw(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await
}

#[tokio::test]
async fn connect_sni_and_host_that_agree_pass() {
    let stack = Stack::start().await;
    let answer = stack.get("api.test", "/user").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(stack.pipelock.connects(), ["api.test:443"]);
    assert_eq!(stack.pipelock.only().uri, "https://api.test/user");
    let record = stack.record().await;
    assert_eq!(record.credential.as_deref(), Some("TOKEN"));
    assert_eq!((record.status, record.response_bytes, record.complete), (Some(200), 2, true));
}

#[tokio::test]
async fn another_server_name_than_connect_is_refused_inside_tls() {
    let stack = Stack::start().await;
    for (connected, sni) in [("open.test:443", "api.test"), ("api.test:443", "evil.example")] {
        let mut tunnel = stack.tunnel_with_sni(connected, sni).await;
        let host = connected.trim_end_matches(":443");
        let answer =
            exchange(&mut tunnel, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
        answer.assert_refused(403, "authority_mismatch");
        assert!(answer.message().contains(&format!("TLS asks for `{sni}`")), "{answer:?}");
    }
    stack.pipelock.assert_untouched();
    let records = stack.records(2).await;
    assert_eq!(records[0].reason.as_deref(), Some("authority_mismatch"));
    assert_eq!(records[0].host.as_deref(), Some("open.test"));
}

#[tokio::test]
async fn another_host_than_connect_is_refused() {
    let stack = Stack::start().await;
    for head in [
        "GET / HTTP/1.1\r\nHost: open.test",
        "GET / HTTP/1.1\r\nHost: api.test:8443",
        "GET / HTTP/1.1\r\nHost: api.test.evil.example",
        "GET https://open.test/ HTTP/1.1\r\nHost: api.test",
        "GET https://api.test/ HTTP/1.1\r\nHost: open.test",
        "GET https://open.test/ HTTP/1.1\r\nHost: open.test",
    ] {
        let answer = stack.request("api.test:443", head, "").await;
        answer.assert_refused(403, "authority_mismatch");
    }
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn every_spelling_of_the_same_host_is_the_same_host() {
    let stack = Stack::start().await;
    for (authority, head) in [
        ("API.Test:443", "GET / HTTP/1.1\r\nHost: aPi.tEst"),
        ("api.test.:443", "GET / HTTP/1.1\r\nHost: api.test.:443"),
        ("api.test:443", "GET https://API.test:443/ HTTP/1.1\r\nHost: api.test"),
    ] {
        let mut tunnel = stack.tunnel_with_sni(authority, "api.test").await;
        let answer = exchange(&mut tunnel, format!("{head}\r\n\r\n").as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for seen in stack.pipelock.seen() {
        assert_eq!(seen.uri, "https://api.test/");
    }
}

#[tokio::test]
async fn a_host_without_a_canonical_form_is_refused_at_connect() {
    let stack = Stack::start().await;
    let targets = [
        // Addresses in every notation that some resolver takes for one.
        "127.0.0.1:443",
        "2130706433:443",
        "0x7f000001:443",
        "0177.0.0.1:443",
        "127.1:443",
        "1.2.3.0x4:443",
        "[::1]:443",
        "[::ffff:127.0.0.1]:443",
        "[api.test]:443",
        // More than one trailing dot, empty labels, things before an `@`.
        "api.test..:443",
        ".api.test:443",
        "api..test:443",
        "api.test@evil.example:443",
        "user:pw@api.test:443",
        // No A-label: full-width dot, IDN in UTF-8, underscores, hyphens at the end.
        "api。test:443",
        "bücher.test:443",
        "api_x.test:443",
        "-api.test:443",
        "xn--a.test:443",
        // No port, no number.
        "api.test",
        "api.test:",
        "api.test:0",
        "api.test:0443",
        "api.test:+443",
        "api.test:99999",
    ];
    for target in targets {
        let answer = connect(&stack, target).await;
        assert!(
            matches!(answer.header("x-bottle-reason"), Some("malformed_authority" | "malformed_request")),
            "{target}: {answer:#?}"
        );
        assert_eq!(answer.status, 400, "{target}: {answer:#?}");
        assert!(answer.message().starts_with("bottle: "), "{target}: {answer:#?}");
    }
    stack.pipelock.assert_untouched();
    stack.records(targets.len()).await;
}

#[tokio::test]
async fn control_bytes_in_a_host_are_refused() {
    let stack = Stack::start().await;
    for target in ["api.test\0.evil.example:443", "api.test\t:443", "api.test\u{1}:443"] {
        connect(&stack, target).await.assert_refused(400, "malformed_request");
    }
    let head = "GET / HTTP/1.1\r\nHost: api.test\0.evil.example";
    stack.request("api.test:443", head, "").await.assert_refused(400, "malformed_request");
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn a_name_that_only_begins_or_ends_like_an_allowed_one_is_another_host() {
    let stack = Stack::start().await;
    for host in ["api.test.evil.example", "evil-api.test", "api.test-evil.example", "sub.api.test"] {
        stack.get(host, "/").await.assert_refused(403, "host_not_allowed");
    }
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn a_port_that_the_route_does_not_list_is_refused_at_connect() {
    let stack = Stack::start().await;
    for target in ["api.test:8443", "api.test:22", "api.test:80", "plain.test:80"] {
        connect(&stack, target).await.assert_refused(403, "port_not_allowed");
    }
    for target in ["evil.example:8443", "evil.example:80", "localhost:9100"] {
        connect(&stack, target).await.assert_refused(403, "host_not_allowed");
    }
    stack.pipelock.assert_untouched();
    let answer = stack.request("ports.test:8443", "GET /a HTTP/1.1\r\nHost: ports.test:8443", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(stack.pipelock.connects(), ["ports.test:8443"]);
}

#[tokio::test]
async fn an_unknown_host_on_443_is_denied_inside_tls_where_clients_show_it() {
    let stack = Stack::start().await;
    let answer = stack.get("evil.example", "/x?token=1").await;
    answer.assert_refused(403, "host_not_allowed");
    stack.pipelock.assert_untouched();
    let record = stack.record().await;
    assert_eq!((record.host.as_deref(), record.path.as_deref()), (Some("evil.example"), Some("/x")));
    assert!(!stack.audit.text().contains("token=1"), "no query value in the audit log");
}

#[tokio::test]
async fn the_proxy_and_its_control_port_are_no_targets() {
    let stack = Stack::start().await;
    for url in ["http://127.0.0.1:9100/metrics", "http://[::1]:9100/metrics"] {
        let answer = stack.raw(&format!("GET {url} HTTP/1.1\r\nHost: {}\r\n\r\n", &url[7..21])).await;
        assert_eq!((answer.status, answer.header("x-bottle-verdict")), (400, Some("deny")), "{answer:#?}");
    }
    let answer =
        stack.raw("GET http://localhost:9100/metrics HTTP/1.1\r\nHost: localhost:9100\r\n\r\n").await;
    answer.assert_refused(403, "host_not_allowed");
    let answer = stack.raw("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9099\r\n\r\n").await;
    answer.assert_refused(400, "malformed_request");
    assert!(answer.message().contains("this is a proxy, not a server"), "{answer:?}");
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn plain_http_needs_port_80_of_a_route_and_a_host_field_that_agrees() {
    let stack = Stack::start().await;
    let get = |url: &str, host: &str| format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answer = stack.raw(&get("http://plain.test/a?b", "plain.test")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stack.pipelock.only().uri, "http://plain.test/a?b");
    assert_eq!(stack.pipelock.connects(), Vec::<String>::new(), "plain http is no tunnel");
    assert_eq!(stack.pipelock.only().header("host"), ["plain.test"]);

    stack.raw(&get("http://plain.test/", "open.test")).await.assert_refused(403, "authority_mismatch");
    stack
        .raw(&get("http://plain.test:8080/", "plain.test:8080"))
        .await
        .assert_refused(403, "port_not_allowed");
    stack.raw(&get("http://plain.test:443/", "plain.test:443")).await.assert_refused(403, "port_not_allowed");
    stack.raw(&get("http://api.test/", "api.test")).await.assert_refused(403, "port_not_allowed");
    stack.raw(&get("http://user@plain.test/", "plain.test")).await.assert_refused(400, "malformed_authority");
    stack.raw(&get("https://api.test/", "api.test")).await.assert_refused(400, "malformed_request");
    stack.raw(&get("ftp://plain.test/", "plain.test")).await.assert_refused(400, "malformed_request");
    assert_eq!(stack.pipelock.seen().len(), 1);
}

/// The target of a CONNECT decides, and what is asked inside is held to it.
#[tokio::test]
async fn the_host_field_of_a_connect_decides_nothing() {
    let stack = Stack::start().await;
    for host in ["Host: open.test\r\n", "Host: 127.0.0.1:9099\r\n", "Host: [::1]\r\n", "Host: a_b\r\n", ""] {
        let mut wire = stack.dial().await;
        wire.send(format!("CONNECT api.test:443 HTTP/1.1\r\n{host}\r\n")).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"), "{host}");
    }
    stack
        .raw("CONNECT evil.example:8443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
        .await
        .assert_refused(403, "host_not_allowed");
    let several = "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\nHost: open.test:443\r\n\r\n";
    stack.raw(several).await.assert_refused(400, "malformed_request");
    let answer = stack.request("api.test:443", "GET / HTTP/1.1\r\nHost: open.test", "").await;
    answer.assert_refused(403, "authority_mismatch");
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn no_routes_allow_nothing() {
    let stack = Stack::with(|config| config.routes.clear()).await;
    stack.get("api.test", "/").await.assert_refused(403, "host_not_allowed");
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn what_is_not_tls_is_not_tunnelled() {
    let stack = Stack::start().await;
    let mut stream = stack.dial().await;
    stream.send(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n").await;
    assert!(stream.head().await.starts_with("HTTP/1.1 200"));
    stream.send(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    let (rest, end) = stream.rest().await;
    assert!(rest.is_empty(), "{end:?} {rest:?}");
    stack.pipelock.assert_untouched();
    let record = stack.record().await;
    assert_eq!(record.reason.as_deref(), Some("tls_required"));
    assert_eq!((record.method.as_deref(), record.host.as_deref()), (Some("CONNECT"), Some("api.test")));
}

/// A client that speaks nothing that is offered, or trusts another CA, is told by TLS alone: the record says it.
#[tokio::test]
async fn a_handshake_that_fails_is_recorded() {
    let stack = Stack::start().await;
    let other = super::harness::Files::new("").agent_ca;
    let mut unknown = (*trusting_at(&stack.files.agent_ca, &[], &Clock::system())).clone();
    unknown.alpn_protocols = vec![b"h3".to_vec()];
    let trusts = [std::sync::Arc::new(unknown), trusting_at(&other, &[Protocol::Http1], &Clock::system())];
    for trust in trusts {
        let mut wire = stack.dial().await;
        wire.send(b"CONNECT api.test:443 HTTP/1.1\r\n\r\n").await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"));
        let name = ServerName::try_from("api.test").unwrap();
        let failed = tokio_rustls::TlsConnector::from(trust).connect(name, wire.into_stream()).await;
        assert!(failed.is_err());
    }
    for record in stack.records(2).await {
        assert_eq!(record.reason.as_deref(), Some("tls_failed"));
        assert_eq!((record.method.as_deref(), record.host.as_deref()), (Some("CONNECT"), Some("api.test")));
        assert!(record.message.unwrap().contains("carried no request: the TLS handshake failed: "));
    }
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn http2_without_tls_and_tunnels_in_tunnels_are_refused() {
    let stack = Stack::start().await;
    let answer = stack.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(matches!(answer.status, 400 | 505), "{answer:?}");
    let head = "CONNECT open.test:443 HTTP/1.1\r\nHost: open.test:443";
    let answer = stack.request("api.test:443", head, "").await;
    assert!(matches!(answer.status, 400 | 403), "{answer:?}");
    stack.pipelock.assert_untouched();
}
