//! Wildcard hosts: one label, no credential, and a label that carries nothing out.

use super::both::Both;
use super::harness::{PLANTED, auth, names, route};
use crate::origin::Origin;
use bottle::{
    config::routes::RouteEntry,
    intercept::{Protocol, body},
    policy::{ClientCredentials, Host},
};
use http::Response;

/// Says which host it was asked for, and with which credential.
async fn origin() -> Origin {
    Origin::serving(&[Protocol::Http1], |request| async move {
        let field = |name: &str| {
            request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        Response::new(body::full(format!("{} [{}]", field("host"), field("authorization").len())))
    })
    .await
}

fn routes() -> Vec<RouteEntry> {
    vec![
        route("*.cdn.test"),
        RouteEntry { methods: names(&["GET"]), ..route("exact.cdn.test") },
        RouteEntry { auth: Some(auth("authorization", "Bearer ", None)), ..route("key.api.test") },
        RouteEntry { client_credentials: ClientCredentials::Strip, ..route("*.api.test") },
        RouteEntry { inspect: false, ..route("bulk.test") },
        route("*.bulk.test"),
    ]
}

#[tokio::test]
async fn a_wildcard_is_exactly_one_label_to_both_proxies() {
    let origin = origin().await;
    let both = Both::start(&origin, routes()).await;
    for host in ["a.cdn.test", "eu-1.cdn.test", "xn--bcher-kva.cdn.test"] {
        let answer = both.get(host, "/").await;
        assert_eq!((answer.status, answer.body), (200, format!("{host} [0]")), "{host}");
    }
    for host in ["cdn.test", "a.b.cdn.test", "acdn.test", "a.cdn.test.evil.test", "a.xcdn.test", "test.cdn"] {
        both.get(host, "/").await.assert_refused(403, "host_not_allowed");
        // The second proxy would not have let it through either, were the first one wrong.
        let (head, _, _) = both.second.connect(&format!("{host}:443")).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{host}: {head}");
    }
}

#[tokio::test]
async fn a_rule_that_names_a_host_stands_above_the_wildcard() {
    let origin = origin().await;
    let both = Both::start(&origin, routes()).await;
    let post = |host: &'static str| both.ask(host, "POST / HTTP/1.1\r\nContent-Length: 1", "x");
    let refused = post("exact.cdn.test").await;
    refused.assert_refused(403, "method_not_allowed");
    assert_eq!(refused.json()["bottle"]["rule"], "exact.cdn.test");
    assert_eq!(post("other.cdn.test").await.status, 200);
}

#[tokio::test]
async fn a_credential_goes_to_the_hosts_that_are_named_and_no_other() {
    let origin = origin().await;
    let both = Both::start(&origin, routes()).await;
    let own = format!("GET / HTTP/1.1\r\nAuthorization: Bearer {}", "agents-own-key");
    let expected = "Bearer ".len() + PLANTED.len();
    assert_eq!(both.ask("key.api.test", &own, "").await.body, format!("key.api.test [{expected}]"));
    assert_eq!(both.ask("other.api.test", &own, "").await.body, "other.api.test [0]");
    both.get("a.key.api.test", "/").await.assert_refused(403, "host_not_allowed");
}

#[tokio::test]
async fn a_label_carries_nothing_out() {
    let origin = origin().await;
    let both = Both::start(&origin, routes()).await;
    let hex = PLANTED.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let own = both.get(&format!("{hex}.cdn.test"), "/").await;
    own.assert_refused(403, "own_secret");
    assert!(own.message().contains("the host of this request"), "{own:?}");
    for label in [
        "a7f3c9e1b5d2486f0a9c3e7b1d5f2846",
        "x-a7f3c9e1b5d2486f0a9c3e7b-y",
        "mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpi2dknrxha4tami",
    ] {
        both.get(&format!("{label}.cdn.test"), "/").await.assert_refused(403, "blocked_by_pipelock");
    }
    assert!(both.second.dialled.lock().unwrap().is_empty(), "no name was looked up");
}

/// The list of what is passed through has `*.bulk.test` for the sake of `bulk.test`.
#[tokio::test]
async fn a_wildcard_below_a_host_that_is_not_inspected_is_inspected() {
    let origin = origin().await;
    let both = Both::start(&origin, routes()).await;
    assert_eq!(both.get("bulk.test", "/").await.status, 200);
    let secret = ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat();
    both.get("x.bulk.test", &format!("/?k={secret}")).await.assert_refused(403, "blocked_by_pipelock");
    assert_eq!(both.get("x.bulk.test", "/").await.status, 200);
}

#[tokio::test]
async fn a_wildcard_with_a_credential_is_no_config() {
    let files = super::harness::Files::new("");
    let bad = RouteEntry { auth: Some(auth("authorization", "Bearer ", None)), ..route("*.api.test") };
    let text = fs_err::read_to_string(files.write(&files.config("127.0.0.1:1", vec![bad]))).unwrap();
    let error = bottle::config::routes::RoutesFile::read(&text).unwrap_err().to_string();
    assert!(error.contains("TOKEN would be sent to every host that *.api.test matches"), "{error}");
    assert!(Host::parse("*.api.test").is_err(), "no request is for a wildcard");
}
