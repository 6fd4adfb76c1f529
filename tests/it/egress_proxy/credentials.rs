//! Credentials: the real one is set once, on its own route, and is seen nowhere else; the agent's own never leave
//! on a route that has one.

use super::harness::{PLANTED, Stack, auth, route};
use bottle::config::routes::RouteEntry;

/// A token of the shape of a GitHub one, put together so that no scanner of repositories takes it for real.
fn github_token() -> String {
    format!("ghp_{}", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8")
}

#[tokio::test]
async fn each_scheme_sets_its_field_once() {
    let cases = [
        (auth("authorization", "Bearer ", None), "authorization", format!("Bearer {PLANTED}")),
        (auth("authorization", "token ", None), "authorization", format!("token {PLANTED}")),
        (auth("x-api-key", "", None), "x-api-key", PLANTED.to_owned()),
        (
            auth("authorization", "Basic ", Some("x-access-token")),
            "authorization",
            "Basic eC1hY2Nlc3MtdG9rZW46cGxhbnRlZC00ZjFkOWMtdG9rZW4=".to_owned(),
        ),
    ];
    for (auth, field, value) in cases {
        let stack = Stack::with(|config| {
            let file = config.routes[0].auth.as_ref().unwrap().secret_file.clone();
            let auth = bottle::config::routes::Auth { secret_file: file, ..auth };
            config.routes = vec![RouteEntry { auth: Some(auth), ..route("api.test") }];
        })
        .await;
        let head = "GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer mine\r\nauthorization: again\r\n\
                    X-Api-Key: mine";
        assert_eq!(stack.request("api.test:443", head, "").await.status, 200);
        assert_eq!(stack.pipelock.only().header(field), [value]);
    }
}

#[tokio::test]
async fn every_credential_of_the_agents_own_is_stripped_where_one_is_set() {
    let stack = Stack::start().await;
    let head = "GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer mine\r\nCookie: a=mine\r\nCookie: b=mine\r\n\
                X-Api-Key: mine\r\nApi-Key: mine\r\nX-Goog-Api-Key: mine\r\nPrivate-Token: mine\r\nJob-Token: mine\r\n\
                Proxy-Authorization: mine\r\nX-Pipelock-Agent: mine\r\nX-Bottle-Anything: mine\r\nAccept: */*";
    assert_eq!(stack.request("api.test:443", head, "").await.status, 200);
    let seen = stack.pipelock.only();
    assert_eq!(seen.header("authorization"), [format!("Bearer {PLANTED}")]);
    assert!(!format!("{:?}", seen.headers).contains("mine"), "{:?}", seen.headers);
    assert_eq!(seen.headers.len(), 2, "{:?}", seen.headers);
}

#[tokio::test]
async fn elsewhere_they_pass_unless_they_carry_a_secret() {
    let stack = Stack::start().await;
    let head = "GET / HTTP/1.1\r\nHost: open.test\r\nAuthorization: Bearer short\r\nCookie: theme=dark";
    assert_eq!(stack.request("open.test:443", head, "").await.status, 200);
    let seen = stack.pipelock.only();
    assert_eq!(
        (seen.header("authorization"), seen.header("cookie")),
        (vec!["Bearer short".into()], vec!["theme=dark".into()])
    );

    let token = github_token();
    for field in ["Authorization: Bearer", "Cookie: a=b; t=", "X-Api-Key:", "Private-Token:", "User-Agent: x"]
    {
        let head = format!("GET / HTTP/1.1\r\nHost: open.test\r\n{field} {token}");
        let answer = stack.request("open.test:443", &head, "").await;
        answer.assert_refused(403, "credential_in_request");
        assert!(answer.message().contains("(GitHub Token)"), "{answer:?}");
        assert!(!format!("{answer:?}").contains(&token), "{answer:?}");
    }
    assert_eq!(stack.pipelock.seen().len(), 1);
    stack.records(6).await;
    assert!(!stack.audit.text().contains(&token));
}

#[tokio::test]
async fn a_field_that_another_route_injects_is_searched_too() {
    let stack = Stack::with(|config| {
        let file = config.routes[0].auth.as_ref().unwrap().secret_file.clone();
        let own = bottle::config::routes::Auth { secret_file: file, ..auth("x-own-key", "", None) };
        config.routes.push(RouteEntry { auth: Some(own), ..route("own.test") });
    })
    .await;
    let head = format!("GET / HTTP/1.1\r\nHost: open.test\r\nX-Own-Key: {}", github_token());
    stack.request("open.test:443", &head, "").await.assert_refused(403, "credential_in_request");
    stack.pipelock.assert_untouched();
}

#[tokio::test]
async fn a_redirect_goes_back_to_the_agent_and_is_not_followed() {
    let stack = Stack::start().await;
    stack.pipelock.answer(|_| {
        let mut response = super::pipelock::text(302, "");
        response.headers_mut().insert("location", "https://evil.example/".parse().unwrap());
        response
    });
    let answer = stack.get("api.test", "/").await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://evil.example/")));
    assert_eq!(stack.pipelock.seen().len(), 1);
}

#[tokio::test]
async fn the_planted_token_is_in_no_output() {
    let stack = Stack::start().await;
    let mut said = Vec::new();
    for (host, path) in [
        ("api.test", "/"),
        ("api.test", "/a/../b"),
        ("api.test", "/x.git/info/refs?service=git-receive-pack"),
        ("evil.example", "/"),
    ] {
        said.push(stack.get(host, path).await);
    }
    stack
        .pipelock
        .behave(super::pipelock::Manner::Connect("HTTP/1.1 403 Forbidden\r\n\r\nCONNECT blocked: no"));
    said.push(stack.get("api.test", "/").await);
    let seen = format!("{:?}", stack.pipelock.seen());
    assert!(seen.contains("Sensitive") || seen.contains(PLANTED), "it did leave: {seen}");
    let mut metrics = String::new();
    let admin = stack.proxy.admin();
    prometheus_client::encoding::text::encode(&mut metrics, &admin.metrics).unwrap();
    let rules = bottle::egress_proxy::Rules::load(
        &stack.files.path("routes.yaml"),
        1,
        &bottle::clock::Clock::system(),
    )
    .unwrap();
    let debug = format!("{:?} {:?} {}", rules.rules, stack.proxy.live(), rules.summary());
    stack.records(5).await;
    for (name, text) in [
        ("answers", format!("{said:?}")),
        ("audit", stack.audit.text()),
        ("metrics", metrics),
        ("debug", debug),
    ] {
        assert!(!text.contains(PLANTED), "{name}: {text}");
        assert!(text.contains("test"), "{name} says something: {text}");
    }
}

#[tokio::test]
async fn the_agent_may_ask_what_it_is_allowed_and_sees_names_only() {
    let stack = Stack::start().await;
    let ask = "GET http://bottle.internal/allowlist HTTP/1.1\r\nHost: bottle.internal\r\n\r\n";
    let answer = stack.raw(ask).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert!(!answer.body.contains(PLANTED) && !answer.body.contains("/TOKEN"), "{}", answer.body);
    let json = answer.json();
    assert_eq!(json["bottle"], "test");
    assert_eq!(
        json["hosts"][0],
        serde_json::json!({"host": "api.test", "ports": [443], "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "path_allowlist": "any", "deny_paths": [],
            "credential": "TOKEN", "reason": null})
    );
    assert_eq!(json["hosts"][1]["path_allowlist"], serde_json::json!(["/v1/messages", "/repos/*/app"]));
    assert_eq!(json["hosts"][1]["deny_paths"], serde_json::json!(["/repos/*/app/hooks"]));

    assert_eq!(stack.get("bottle.internal", "/allowlist").await.json(), json, "over https as well");
    let other = stack.get("bottle.internal", "/etc/passwd").await;
    assert_eq!(other.status, 404);
    assert!(
        other.body.starts_with("bottle.internal has no such page\n\nhttps://bottle.internal/ says"),
        "{}",
        other.body
    );
    let post = stack.raw(&ask.replace("GET", "POST")).await;
    assert_eq!(post.status, 405);
    stack.pipelock.assert_untouched();
    stack.records(4).await;
}

#[tokio::test]
async fn the_first_page_is_text_for_a_terminal_and_json_for_a_program() {
    let stack = Stack::start().await;
    let page = stack.get("bottle.internal", "/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert!(page.body.starts_with("What the agent of bottle test may request; all else is refused.\n"));
    assert!(
        page.body.contains("\napi.test, the proxy adds TOKEN\n  usual methods on every path\n"),
        "{}",
        page.body
    );
    let denied = "  usual methods /repos/*/app and below\n  but not /repos/*/app/hooks and below\n";
    assert!(page.body.contains(denied), "{}", page.body);
    assert!(!page.body.contains(PLANTED), "{}", page.body);
    let ask =
        "GET http://bottle.internal/ HTTP/1.1\r\nHost: bottle.internal\r\nAccept: application/json\r\n\r\n";
    let json = stack.raw(ask).await.json();
    assert_eq!(json, stack.get("bottle.internal", "/allowlist").await.json());
    stack.pipelock.assert_untouched();
}

/// What it answers is what becomes of the request itself.
#[tokio::test]
async fn the_proxy_explains_what_it_would_do() {
    let stack = Stack::start().await;
    let explain = async |query: &str| {
        let target = format!("/explain?{query}");
        let ask = format!(
            "GET http://bottle.internal{target} HTTP/1.1\r\nHost: bottle.internal\r\nAccept: application/json\r\n\r\n"
        );
        stack.raw(&ask).await
    };
    for (method, host, path, encoded) in [
        ("GET", "api.test", "/x?a=b", "https%3A%2F%2Fapi.test%2Fx%3Fa%3Db"),
        ("GET", "paths.test", "/v1/models", "https%3a%2f%2fpaths.test%2Fv1%2Fmodels"),
        ("POST", "read.test", "/", "https://read.test/"),
        ("GET", "evil.example", "/", "https://evil.example"),
        ("GET", "open.test", "/a/../b", "https://open.test/a/../b"),
        (
            "GET",
            "open.test",
            "/a.git/info/refs?service=git-receive-pack",
            "https://open.test/a.git/info/refs?service=git-receive-pack",
        ),
    ] {
        let answer = explain(&format!("method={method}&url={encoded}")).await.json();
        let asked = answer["request"].as_str().unwrap();
        assert!(asked.starts_with(&format!("{method} https://{host}")), "{asked}");
        let real = stack
            .request(&format!("{host}:443"), &format!("{method} {path} HTTP/1.1\r\nHost: {host}"), "")
            .await;
        match real.header("x-bottle-reason") {
            None => assert_eq!(
                (&answer["verdict"], &answer["reason"]),
                (&"allow".into(), &serde_json::Value::Null),
                "{path}"
            ),
            Some(reason) => {
                assert_eq!(
                    (&answer["verdict"], &answer["reason"]),
                    (&"deny".into(), &reason.into()),
                    "{path}"
                );
                assert!(real.body.contains(answer["message"].as_str().unwrap()), "{}", real.body);
            }
        }
    }
    let text = stack.get("bottle.internal", "/explain?url=https://api.test/").await;
    assert_eq!(
        text.body,
        "allowed: GET https://api.test/\n  = note: the rules of api.test allow it; the proxy adds TOKEN; pipelock searches \
         it for secrets and looks at the host's address\n  = rule: egress_proxy.routes[api.test] of the manifest\n"
    );
    for (query, problem) in [
        ("", "`` is not a whole URL: write https://HOST/PATH"),
        ("url=x", "`x` is not a whole URL"),
        ("method=G%20T&url=https://a.test", "`G T` is not a method"),
        ("url=https://a.test/%ff", "`url` is not UTF-8"),
        ("url=ftp://a.test/", "`ftp` can't pass the proxies"),
    ] {
        let answer = explain(query).await;
        assert!(answer.status == 400 && answer.body.starts_with(problem), "{query}: {}", answer.body);
    }
    let address = explain("url=https://10.0.0.1/").await.json();
    assert_eq!((&address["verdict"], &address["reason"]), (&"deny".into(), &"malformed_authority".into()));
}

/// RFC 9110 §6.5.1: no trailer routes, authenticates or frames; some servers merge them into the head.
#[tokio::test]
async fn trailers_carry_no_credential_and_no_other_request() {
    let stack = Stack::start().await;
    let token = github_token();
    for host in ["api.test", "open.test"] {
        let names = "X-Api-Key, Cookie, User-Agent, X_HTTP_Method_Override, X-Sum";
        let head =
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: {names}");
        let body = format!(
            "1\r\na\r\n0\r\nX-Api-Key: {token}\r\nCookie: {token}\r\nUser-Agent: {token}\r\n\
             X_HTTP_Method_Override: DELETE\r\nX-Sum: kept\r\n\r\n"
        );
        assert_eq!(stack.request(&format!("{host}:443"), &head, &body).await.status, 200);
    }
    for seen in stack.pipelock.seen() {
        let trailers = seen.trailers.as_ref().unwrap();
        assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
    }
}
