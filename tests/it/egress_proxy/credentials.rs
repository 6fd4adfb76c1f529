//! Credentials: the real one is set once, on its own route, and is seen nowhere else; the agent's own never leave
//! on a route that has one.

use super::harness::{PLANTED, Stack, auth, route};
use super::pipelock::text;
use bottle::config::routes::RouteEntry;
use bottle::policy::ClientCredentials;
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;

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
    assert_eq!(seen.header("accept-encoding"), ["identity"]);
    assert_eq!(seen.headers.len(), 3, "{:?}", seen.headers);
}

/// Every name of the catalogue at once, on a route with a credential: what is of a class that passes arrives, and nothing
/// else does.
#[tokio::test]
async fn beside_a_credential_only_known_classes_of_fields_pass() {
    let catalogue = include_str!("../../data/client_fields.txt");
    let names = |class: &str| -> Vec<&str> {
        let lines = catalogue.lines().filter_map(|line| line.strip_prefix(class)?.strip_prefix(' '));
        lines.flat_map(|line| line.split(' ')).collect()
    };
    // What frames the message, or belongs to its connection, has a meaning of its own on the way.
    let own = [
        "content-length",
        "transfer-encoding",
        "content-encoding",
        "content-type",
        "te",
        "trailer",
        "host",
        "connection",
        "upgrade",
        "http2-settings",
        "expect",
        "keep-alive",
    ];
    let (pass, off) = (names("pass"), names("off"));
    let sent = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| !own.contains(name)).map(|name| (*name).to_owned()).collect()
    };
    let (pass, off) = (sent(&pass), sent(&off));
    assert!(off.len() > 200, "{}", off.len());
    for chunk in pass.chunks(60).chain(off.chunks(60)) {
        let stack = Stack::start().await;
        let fields = chunk.iter().map(|name| format!("\r\n{name}: mine")).collect::<Vec<_>>().concat();
        let head = format!("GET / HTTP/1.1\r\nHost: api.test{fields}");
        assert_eq!(stack.request("api.test:443", &head, "").await.status, 200);
        let seen = stack.pipelock.only();
        assert_eq!(seen.header("authorization"), [format!("Bearer {PLANTED}")]);
        for name in chunk.iter().filter(|name| *name != "authorization") {
            assert_eq!(seen.header(name).len(), usize::from(pass.contains(name)), "{name}");
        }
    }
}

#[tokio::test]
async fn pass_headers_names_exceptions_and_strip_does_the_same_without_a_credential() {
    let stack = Stack::with(|config| {
        config.routes[0].pass_headers = vec!["x-org-id".to_owned(), "cookie".to_owned()];
        config
            .routes
            .push(RouteEntry { client_credentials: ClientCredentials::Strip, ..route("strip.test") });
    })
    .await;
    let fields =
        "X-Org-Id: 7\r\nX_Org_Id: 8\r\nCookie: a=b\r\nX-Tenant: 7\r\nAuthorization: mine\r\nAccept: */*";
    for (host, arrives) in [
        ("api.test", &["accept", "accept-encoding", "authorization", "cookie", "x-org-id"][..]),
        ("strip.test", &["accept"]),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}");
        assert_eq!(stack.request(&format!("{host}:443"), &head, "").await.status, 200);
        let seen = stack.pipelock.seen().pop().unwrap();
        let mut names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, arrives, "{host}");
    }
}

#[tokio::test]
async fn trailers_are_of_the_same_classes() {
    let stack = Stack::start().await;
    let head = "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked";
    let body = "1\r\nx\r\n0\r\nX-Vault-Token: mine\r\nSudo: root\r\nContent-Digest: sha-256=:x:\r\n\r\n";
    assert_eq!(stack.request("api.test:443", head, body).await.status, 200);
    let trailers = stack.pipelock.only().trailers.unwrap();
    assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["content-digest"]);
}

#[tokio::test]
async fn a_credential_in_the_query_is_refused_where_the_fields_are_guarded() {
    let stack = Stack::with(|config| {
        config.routes.push(RouteEntry {
            client_credentials: ClientCredentials::Strip,
            pass_query: vec!["key".to_owned()],
            ..route("strip.test")
        });
    })
    .await;
    for query in ["access_token=x", "a=1&private_token=x", "key=AIza", "Access%5FToken=x", "api-key=1"] {
        let answer = stack.get("api.test", &format!("/a?{query}")).await;
        answer.assert_refused(403, "credential_in_request");
        let why =
            "is one for a credential, and the proxy sets TOKEN there; take it out; retrying does not help";
        assert!(answer.message().contains(why), "{answer:?}");
    }
    let answer = stack.get("strip.test", "/a?access_token=x").await;
    answer.assert_refused(403, "credential_in_request");
    assert!(answer.message().contains("its rule lets no credential of the agent's pass"), "{answer:?}");
    stack.pipelock.assert_untouched();
    for (host, query) in
        [("strip.test", "key=x"), ("open.test", "access_token=x"), ("api.test", "page_token=x&q=key")]
    {
        assert_eq!(stack.get(host, &format!("/a?{query}")).await.status, 200, "{host} {query}");
    }
}

/// The credential of one route, wherever the agent has it from, on its way to another host or to its own.
#[tokio::test]
async fn a_credential_of_ours_leaves_nowhere_else_in_any_form() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let stack = Stack::start().await;
    let hex = PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let escaped = PLANTED.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let forms = [
        PLANTED.to_owned(),
        PLANTED.to_uppercase(),
        PLANTED.chars().rev().collect(),
        hex,
        escaped,
        PLANTED.replace('p', "%70").replace('-', "%2d"),
        STANDARD.encode(PLANTED).replace('=', ""),
        STANDARD.encode(format!("u:{PLANTED}:x")).replace('=', ""),
        STANDARD.encode(format!("us:{PLANTED}:x")).replace('=', ""),
    ];
    let mut count = 0;
    for host in ["open.test", "api.test"] {
        for form in &forms {
            let chunked = |body: &str| {
                let chunk = |c: &[u8]| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c));
                body.as_bytes().chunks(7).map(chunk).collect::<Vec<_>>().concat() + "0\r\n\r\n"
            };
            let requests = [
                (format!("GET /a/{form} HTTP/1.1\r\nHost: {host}"), String::new()),
                (format!("GET /a?q={form} HTTP/1.1\r\nHost: {host}"), String::new()),
                (format!("GET /a HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {form}"), String::new()),
                (format!("GET /a HTTP/1.1\r\nHost: {host}\r\nUser-Agent: a {form} b"), String::new()),
                (
                    format!("POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}", form.len() + 12),
                    format!("before{form} after"),
                ),
                (
                    format!("POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked"),
                    chunked(&format!("{{\"before\": \"{form}\"}}")),
                ),
            ];
            for (head, body) in requests {
                let answer = stack.request(&format!("{host}:443"), &head, &body).await;
                answer.assert_refused(403, "own_secret");
                assert!(
                    answer.message().contains("it carries the credential TOKEN, which leaves only"),
                    "{answer:?}"
                );
                count += 1;
            }
        }
    }
    assert!(stack.pipelock.seen().is_empty(), "{:?}", stack.pipelock.seen());
    stack.records(count).await;
    let audit = stack.audit.text();
    for form in &forms {
        assert!(!audit.to_lowercase().contains(&form.to_lowercase()), "{form}");
    }
    let head = "POST /a HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked";
    let body = format!("1\r\nx\r\n0\r\nX-Note: {PLANTED}\r\n\r\n");
    stack.request("open.test:443", head, &body).await.assert_refused(403, "own_secret");
}

#[tokio::test]
async fn a_credential_of_ours_that_comes_back_is_replaced_by_as_many_bytes() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let stack = Stack::start().await;
    stack.pipelock.answer(|seen| {
        let sent = seen.header("authorization").pop().unwrap_or_else(|| format!("Bearer {PLANTED}"));
        let hex = PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let body = format!(
            "{{\"sent\": \"{sent}\", \"hex\": \"{hex}\", \"basic\": \"{}\"}}",
            STANDARD.encode(&sent)
        );
        let mut response = text(200, &body);
        response.headers_mut().insert("x-echo", sent.parse().unwrap());
        response
    });
    let placeholder = "X".repeat(PLANTED.len());
    for host in ["api.test", "open.test"] {
        let answer = stack.get(host, "/echo").await;
        assert_eq!(answer.header("x-echo"), Some(format!("Bearer {placeholder}").as_str()));
        assert!(
            answer.body.starts_with(&format!("{{\"sent\": \"Bearer {placeholder}\", \"hex\": \"XXX")),
            "{answer:?}"
        );
        let basic = STANDARD.encode(format!("Bearer {PLANTED}"));
        assert!(!answer.body.contains(&basic[12..36]) && !answer.body.contains(PLANTED), "{answer:?}");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    }
    let seen = stack.pipelock.seen();
    assert_eq!(seen[0].header("accept-encoding"), ["identity"], "what comes back can be searched");
}

/// Across the borders of chunks, in trailers, and without waiting where nothing begins.
#[tokio::test]
async fn a_streamed_answer_is_searched_as_it_comes() {
    let stack = Stack::start().await;
    stack.pipelock.answer(|_| {
        let chunks = PLANTED.as_bytes().chunks(3).map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk))));
        let mut frames: Vec<Result<Frame<Bytes>, std::convert::Infallible>> =
            vec![Ok(Frame::data("data: ".into()))];
        frames.extend(chunks);
        frames.push(Ok(Frame::data(" end\n\n".into())));
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", PLANTED.parse().unwrap());
        frames.push(Ok(Frame::trailers(trailers)));
        http::Response::new(http_body_util::BodyExt::boxed(StreamBody::new(futures_util::stream::iter(
            frames,
        ))))
    });
    let mut tunnel = stack.tunnel("api.test:443").await;
    tunnel.send(b"GET /events HTTP/1.1\r\nHost: api.test\r\nTE: trailers\r\n\r\n").await;
    tunnel.head().await;
    let body = String::from_utf8(tunnel.chunks().await).unwrap();
    assert_eq!(body, format!("data: {} end\n\n", "X".repeat(PLANTED.len())));
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
        let mut response = text(302, "");
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
        serde_json::json!({"host": "api.test", "ports": [443], "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "path_allowlist": "any", "deny_paths": [], "query": {},
            "graphql": null, "rpc": null, "git_push": null, "websocket": false, "encoded_slash": false,
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
        let names = "X-Api-Key, Cookie, User-Agent, X_HTTP_Method_Override, Content-Digest";
        let head =
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: {names}");
        let body = format!(
            "1\r\na\r\n0\r\nX-Api-Key: {token}\r\nCookie: {token}\r\nUser-Agent: {token}\r\n\
             X_HTTP_Method_Override: DELETE\r\nContent-Digest: kept\r\n\r\n"
        );
        assert_eq!(stack.request(&format!("{host}:443"), &head, &body).await.status, 200);
    }
    for seen in stack.pipelock.seen() {
        let trailers = seen.trailers.as_ref().unwrap();
        assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["content-digest"]);
    }
}
