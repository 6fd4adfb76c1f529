//! Ways around a policy proxy, one test for each, on the path that the proxy and `explain` share: bytes of a request
//! → authority → intent → decision. Each test is named after the trick, and after the public case where there is one.

use bottle::policy::{
    Authority, DenyPath, Host, Intent, MatchedRule, Method, PathPattern, Policy, PushRules, Reason,
    RefPattern, Refusal, Route, Scheme,
};
use jiff::civil::{Date, date};
use proptest::prelude::*;

const TODAY: Date = date(2026, 11, 24);

fn route(host: &str) -> Route {
    Route::open(Host::parse(host).unwrap(), "egress_proxy.routes[0]")
}

fn entries(paths: &[&str], encoded_slash: bool) -> Vec<PathPattern> {
    paths.iter().map(|path| PathPattern::parse(path, encoded_slash).unwrap()).collect()
}

/// Four hosts: one with a `path_allowlist`, one that denies a part of it, one that admits `%2F`, one without path rules.
fn policy() -> Policy {
    let api = Route {
        path_allowlist: Some(entries(&["/repos/acme", "/public"], false)),
        ..route("api.example.test")
    };
    let scoped = Route {
        path_allowlist: Some(entries(&["/@acme%2Fapp"], true)),
        encoded_slash: true,
        ..route("scoped.example.test")
    };
    let denying = Route {
        path_allowlist: Some(entries(&["/repos/acme", "/public"], false)),
        deny_paths: ["/repos/acme/secret", "/public/@ops"].map(|path| DenyPath::parse(path).unwrap()).into(),
        ..route("denying.example.test")
    };
    Policy::new(vec![api, denying, scoped, route("open.example.test")]).unwrap()
}

/// What the proxy does with `METHOD target` after a CONNECT to the authority.
fn ask(policy: &Policy, connect: &str, method: &str, target: &[u8]) -> Result<String, Reason> {
    let authority = Authority::parse(connect, None).map_err(|_| Reason::MalformedAuthority)?;
    let reason = |refusal: Refusal| refusal.reason;
    policy.decide_connect(&authority).map_err(reason)?;
    let method = Method::parse(method).map_err(|_| Reason::MalformedRequest)?;
    let route = policy.route(&authority.host);
    let intent = Intent::read(Scheme::Https, &authority, &method, target, None, route).map_err(reason)?;
    let MatchedRule { .. } = policy.decide(&intent, TODAY).map_err(reason)?;
    Ok(intent.target.to_string())
}

#[track_caller]
fn hosts(names: &[&str], expected: Result<(), Reason>) {
    for name in names {
        assert_eq!(ask(&policy(), name, "GET", b"/repos/acme").map(|_| ()), expected, "{name:?}");
    }
}

#[track_caller]
fn get(host: &str, target: impl AsRef<[u8]>) -> Result<String, Reason> {
    ask(&policy(), &format!("{host}.example.test:443"), "GET", target.as_ref())
}

/// The same answer for every target on the host with path rules and, if `everywhere`, on the open one as well.
#[track_caller]
fn malformed(targets: &[&str], everywhere: bool) {
    for target in targets {
        assert_eq!(get("api", target), Err(Reason::MalformedTarget), "{target:?} with path rules");
        if everywhere {
            assert_eq!(get("open", target), Err(Reason::MalformedTarget), "{target:?} without path rules");
        } else {
            assert_eq!(
                get("open", target).as_deref(),
                Ok(*target),
                "nothing is rewritten without path rules"
            );
        }
    }
}

// Host and authority.

#[test]
fn trailing_dot_cve_2022_24825() {
    hosts(&["api.example.test.:443"], Ok(()));
    hosts(&["api.example.test..:443", ".api.example.test:443"], Err(Reason::MalformedAuthority));
    hosts(&["evil.example.:443", "evil.example:443"], Err(Reason::HostNotAllowed));
}

#[test]
fn brackets_cve_2022_29188() {
    hosts(&["[api.example.test]:443", "[evil.example]:443", "[::1]:443"], Err(Reason::MalformedAuthority));
}

#[test]
fn nul_or_control_byte_in_a_host() {
    let names = ["evil.example\0.api.example.test:443", "api.example.test\0:443", "api.example.test\r\n:443"];
    hosts(&names, Err(Reason::MalformedAuthority));
    hosts(
        &["api.example.test :443", "\tapi.example.test:443", "api%00.example.test:443"],
        Err(Reason::MalformedAuthority),
    );
}

#[test]
fn empty_allowlist_read_as_allow_all_cve_2025_66479() {
    let ask_empty = |policy: &Policy| ask(policy, "api.example.test:443", "GET", b"/");
    assert_eq!(ask_empty(&Policy::default()), Err(Reason::HostNotAllowed));
    let with = |route| Policy::new(vec![route]).unwrap();
    let base = || route("api.example.test");
    assert_eq!(
        ask_empty(&with(Route { path_allowlist: Some(vec![]), ..base() })),
        Err(Reason::PathNotAllowed)
    );
    assert_eq!(ask_empty(&with(Route { methods: Some(vec![]), ..base() })), Err(Reason::MethodNotAllowed));
    assert_eq!(ask_empty(&with(Route { ports: vec![], ..base() })), Err(Reason::PortNotAllowed));
}

#[test]
fn allowed_name_as_a_label_of_another_host() {
    let names = [
        "api.example.test.evil.example:443",
        "evil-api.example.test:443",
        "sub.api.example.test:443",
        "example.test:443",
    ];
    hosts(&names, Err(Reason::HostNotAllowed));
}

#[test]
fn allowed_name_as_userinfo() {
    let names = [
        "api.example.test@evil.example:443",
        "api.example.test:443@evil.example:443",
        "u:p@api.example.test:443",
    ];
    hosts(&names, Err(Reason::MalformedAuthority));
}

#[test]
fn ip_literals_in_every_notation() {
    let names = [
        "127.0.0.1:443",
        "169.254.169.254:443",
        "127.1:443",
        "2130706433:443",
        "0177.0.0.1:443",
        "017700000001:443",
        "0x7f.0.0.1:443",
        "0x7F000001:443",
        "[::ffff:127.0.0.1]:443",
        "[::1]:443",
        "127.0.0.1.:443",
        "1.2.3.4.5:443",
    ];
    hosts(&names, Err(Reason::MalformedAuthority));
}

#[test]
fn another_port_on_an_allowed_host() {
    hosts(
        &["api.example.test:8443", "api.example.test:80", "api.example.test:22"],
        Err(Reason::PortNotAllowed),
    );
    hosts(
        &["api.example.test:0", "api.example.test:65979", "api.example.test:0443", "api.example.test:"],
        Err(Reason::MalformedAuthority),
    );
}

#[test]
fn control_or_metrics_port_through_the_proxy() {
    hosts(&["localhost:9100", "pipelock:8888", "egress-proxy:9100"], Err(Reason::HostNotAllowed));
    hosts(&["127.0.0.1:9100"], Err(Reason::MalformedAuthority));
}

#[test]
fn idn_full_width_dot_and_upper_case() {
    hosts(&["API.EXAMPLE.TEST:443"], Ok(()));
    hosts(
        &["api．example．test:443", "api。example.test:443", "ａpi.example.test:443", "аpi.example.test:443"],
        Err(Reason::MalformedAuthority),
    );
    hosts(&["xn--pi-7iy.example.test:443"], Err(Reason::HostNotAllowed));
    hosts(&["xn--api.example.test:443"], Err(Reason::MalformedAuthority));
}

// Path.

#[test]
fn dot_segments_cve_2019_9901() {
    malformed(
        &[
            "/repos/acme/../evil",
            "/repos/acme/%2e%2e/evil",
            "/repos/acme/.%2e/evil",
            "/repos/acme/%2E./evil",
            "/repos/acme/..",
        ],
        true,
    );
}

#[test]
fn matrix_parameters_cve_2026_73551() {
    malformed(&["/repos/acme/..;x=1/evil", "/repos/acme/..%3bx/evil"], true);
    malformed(&["/repos/acme;x=1/app", "/repos/acme/;/x"], false);
}

#[test]
fn encoded_slash_and_backslash_cve_2021_29492() {
    malformed(&["/repos%2Facme", "/repos/acme%2f", "/repos/acme%5Cx"], false);
    malformed(
        &["/repos\\acme", "/repos/acme/..%2Fevil", "/repos/acme/..%5cevil", "/repos/acme%2f..%2fevil"],
        true,
    );
}

#[test]
fn encoded_slash_where_the_route_opts_in() {
    assert_eq!(get("scoped", "/@acme%2fapp/-/app.tgz").as_deref(), Ok("/@acme%2Fapp/-/app.tgz"));
    assert_eq!(get("scoped", "/@acme/app"), Err(Reason::PathNotAllowed));
    assert_eq!(get("scoped", "/@acme%2Fapp-evil"), Err(Reason::PathNotAllowed));
    for target in [
        "/@acme%2Fapp/..%2F..%2Fevil",
        "/@acme%2fapp%2f..",
        "/@acme%5Capp",
        "/@acme%252Fapp",
        "/@acme%2F%2Fapp",
    ] {
        assert_eq!(get("scoped", target), Err(Reason::MalformedTarget), "{target}");
    }
}

#[test]
fn double_encoding() {
    malformed(&["/repos/acme/%252e%252e/evil", "/repos/acme/%25252e./evil"], true);
    malformed(&["/repos/acme%252Fapp", "/repos/acme/%2561"], false);
}

#[test]
fn double_slash_and_single_dot() {
    malformed(
        &["//repos/acme", "/repos//acme", "/repos/./acme", "/repos/acme/%2e/x", "/repos/acme//"],
        false,
    );
}

#[test]
fn hash_in_the_target_cve_2021_32779() {
    malformed(&["/repos/acme#/../evil", "/evil#/repos/acme", "/repos/acme?a#b"], true);
}

#[test]
fn unreserved_characters_encoded_are_matched_and_sent_decoded() {
    assert_eq!(
        get("api", "/%72epos/%61cme/a%7eb/caf%c3%a9?q=%61").as_deref(),
        Ok("/repos/acme/a~b/caf%C3%A9?q=%61")
    );
    assert_eq!(get("open", "/%72epos/caf%c3%a9").as_deref(), Ok("/%72epos/caf%c3%a9"));
}

#[test]
fn prefix_without_a_boundary() {
    for target in
        ["/repos/acme-evil", "/repos/acme.git", "/repos/acmeevil/x", "/publi", "/publicity", "/repos", "/"]
    {
        assert_eq!(get("api", target), Err(Reason::PathNotAllowed), "{target}");
    }
    for target in ["/repos/acme", "/repos/acme/", "/repos/acme/app/issues?page=2", "/public"] {
        assert_eq!(get("api", target).as_deref(), Ok(target));
    }
}

#[test]
fn control_bytes_tab_and_invalid_utf8() {
    let targets = [
        "/repos/acme/\0",
        "/repos/acme/\t",
        "/repos/acme/a b",
        "/repos/acme/%00",
        "/repos/acme/%0d%0aX:%20y",
        "/repos/acme/%7f",
        "/repos/acme/%c0%ae%c0%ae/evil",
        "/repos/acme/%ff",
        "/repos/acme/é",
        "/repos/acme?q=é",
        "/repos/acme?q=a b",
        "/repos/acme?\r\n",
    ];
    malformed(&targets, true);
    for host in ["api", "open"] {
        assert_eq!(get(host, b"/repos/acme/\xc0\xae"), Err(Reason::MalformedTarget));
        assert_eq!(get(host, b"/repos/acme?\xff"), Err(Reason::MalformedTarget));
    }
}

#[test]
fn path_in_another_case_cve_2026_27587() {
    for target in ["/Repos/ACME", "/repos/Acme/app", "/PUBLIC"] {
        assert_eq!(get("api", target), Err(Reason::PathNotAllowed), "{target}");
    }
}

#[test]
fn denied_path_in_another_spelling() {
    for target in [
        "/repos/acme/secret",
        "/repos/acme/secret/",
        "/repos/acme/secret?x=1",
        "/repos/acme/secret/a/b",
        "/repos/acme/SECRET",
        "/repos/acme/%73ecret",
        "/repos/acme/%53ECRE%54/x",
        "/repos/acme/secret.",
        "/repos/acme/secret%20",
        "/repos/acme/secret.git",
        "/repos/acme/secret%2egit/info/refs?service=git-upload-pack",
        "/public/@ops",
        "/public/%40ops/x",
    ] {
        assert_eq!(get("denying", target), Err(Reason::PathDenied), "{target}");
    }
    for target in
        ["/repos/acme", "/repos/acme/", "/repos/acme/secrets", "/repos/acme/app/secret", "/public/ops"]
    {
        assert_eq!(get("denying", target).as_deref(), Ok(target));
    }
    for target in [
        "/repos/acme/app/../secret",
        "/repos/acme/%2e/secret",
        "/repos/acme//secret",
        "/repos/acme/secret;x=1",
        "/repos/acme%2Fsecret",
        "/repos/acme\\secret",
        "/repos/acme/%2573ecret",
        "/repos/acme/secret%00",
    ] {
        assert_eq!(get("denying", target), Err(Reason::MalformedTarget), "{target}");
    }
}

#[test]
fn methods_are_case_sensitive_tokens() {
    let api = Route { methods: Some(vec![Method::GET]), ..route("api.example.test") };
    let policy = Policy::new(vec![api]).unwrap();
    let ask = |method| ask(&policy, "api.example.test:443", method, b"/").map(|_| ());
    assert_eq!(ask("GET"), Ok(()));
    for method in ["get", "Get", "HEAD", "POST", "GETX"] {
        assert_eq!(ask(method), Err(Reason::MethodNotAllowed), "{method}");
    }
    for method in ["GET ", "GET\0", "", "G(T"] {
        assert_eq!(ask(method), Err(Reason::MalformedRequest), "{method:?}");
    }
}

#[test]
fn trace_and_connect_are_refused_without_a_method_list() {
    for method in ["TRACE", "CONNECT", "trace"] {
        let answer = ask(&policy(), "open.example.test:443", method, b"/");
        assert_eq!(answer, Err(Reason::MethodNotAllowed), "{method}");
    }
}

#[test]
fn absolute_form_asterisk_and_authority_form_are_no_target() {
    malformed(&["https://evil.example/repos/acme", "*", "evil.example:443", ""], true);
}

#[test]
fn git_push_on_every_host_whatever_its_rule_says() {
    for host in ["open.example.test:443", "api.example.test:443", "evil.example:443"] {
        for target in
            ["/a.git/git-receive-pack", "/a.git/info/refs?service=git-upload-pack&service=git%2dreceive-pack"]
        {
            assert_eq!(
                ask(&policy(), host, "POST", target.as_bytes()),
                Err(Reason::GitPush),
                "{host}{target}"
            );
        }
    }
}

/// Where `git.push` lets pushes pass, the two requests of git's own client do, and no other reading of a push.
#[test]
fn git_push_in_disguise_on_a_host_that_allows_pushes() {
    let push = PushRules {
        refs: vec![RefPattern::parse("refs/*").unwrap()],
        create: true,
        delete: true,
        force: true,
        max_pack: 1 << 20,
        rules: None,
    };
    let policy = |push: Option<PushRules>| {
        let open = Route { push: push.clone(), ..route("open.example.test") };
        let path_allowlist = Some(entries(&["/acme"], false));
        let listed = Route { push, path_allowlist, ..route("listed.example.test") };
        Policy::new(vec![open, listed]).unwrap()
    };
    let (with, without) = (policy(Some(push)), policy(None));
    for host in ["open.example.test:443", "listed.example.test:443"] {
        let ask = |policy: &Policy, method: &str, target: &str| {
            ask(policy, host, method, target.as_bytes()).map(|_| ())
        };
        let mut refused = 0;
        for (method, target) in [
            ("GET", "/acme/a.git/info/refs?service=git-receive-pack"),
            ("POST", "/acme/a.git/git-receive-pack"),
        ] {
            assert_eq!(ask(&with, method, target), Ok(()));
            assert_eq!(ask(&without, method, target), Err(Reason::GitPush));
        }
        for (method, target) in [
            ("GET", "/acme/a.git/git-receive-pack"),
            ("PUT", "/acme/a.git/git-receive-pack"),
            ("post", "/acme/a.git/git-receive-pack"),
            ("POST", "/acme/a.git/git-receive-pack?"),
            ("POST", "/acme/a.git/git-receive-pack?x"),
            ("POST", "/acme/a.git/git-receive-pack/"),
            ("POST", "/acme/a.git/git-receive-pack/x"),
            ("POST", "/acme/a.git/GIT-RECEIVE-PACK"),
            ("POST", "/acme/a.git/git-receive-pack.git"),
            ("POST", "/acme/a.git/info/refs?service=git-receive-pack"),
            ("HEAD", "/acme/a.git/info/refs?service=git-receive-pack"),
            ("GET", "/acme/a.git/info/refs?service=git-upload-pack&service=git%2dreceive-pack"),
            ("GET", "/acme/a.git/info/refs?service=git-receive-pack&x=1"),
            ("GET", "/acme/a.git/info/refs?service=git%2Dreceive-pack"),
            ("GET", "/acme/a.git/info/refs?%73ervice=git-receive-pack"),
            ("GET", "/acme/a.git/info/refs?SERVICE=git-receive-pack"),
            ("GET", "/acme/a.git/INFO/REFS?service=git-receive-pack"),
            ("PUT", "/acme/a.git/refs/heads/agent/x"),
            ("PUT", "/acme/a.git/packed-refs"),
            ("MOVE", "/acme/a.git/refs/heads/main"),
            ("PUT", "/acme/a.git/objects/pack/pack-x.pack"),
            ("POST", "/acme/a.git/info/lfs/locks"),
        ] {
            let answer = ask(&without, method, target);
            refused += usize::from(answer == Err(Reason::GitPush));
            assert_eq!(ask(&with, method, target), answer, "{host}: {method} {target}");
        }
        assert!(refused > 15, "{refused}");
    }
}

proptest! {
    /// However a path is spelled: if two spellings have one canonical form, they have one verdict, and it is that form
    /// which is sent.
    #[test]
    fn equal_canonical_forms_have_equal_verdicts(
        parts in proptest::collection::vec(proptest::sample::select(vec!["repos", "acme", "evil", "public", "a~b"]), 1..5),
        mask in any::<u64>(),
    ) {
        let plain = format!("/{}", parts.join("/"));
        let spelled: String = plain.bytes().enumerate().map(|(at, b)| {
            if b != b'/' && mask >> (at % 64) & 1 == 1 { format!("%{b:02x}") } else { char::from(b).to_string() }
        }).collect();
        prop_assert_eq!(get("api", &spelled), get("api", &plain));
        if let Ok(sent) = get("api", &spelled) {
            prop_assert_eq!(sent, plain);
        }
    }

    /// However a denied path is spelled, no spelling is let through.
    #[test]
    fn nothing_below_a_denied_path_leaves(
        below in "(/[a-z]{1,3}){0,2}", mask in any::<u64>(), cases in any::<u64>(), suffix in proptest::sample::select(vec!["", ".git", ".", "%20"]),
    ) {
        let spelled: String = "secret".bytes().enumerate().map(|(at, b)| {
            let b = if cases >> at & 1 == 1 { b.to_ascii_uppercase() } else { b };
            if mask >> at & 1 == 1 { format!("%{b:02x}") } else { char::from(b).to_string() }
        }).collect();
        let target = format!("/repos/acme/{spelled}{suffix}{below}");
        prop_assert_eq!(get("denying", &target), Err(Reason::PathDenied), "{}", target);
    }

    /// What is let through to a host with path rules lies below an entry in every decoding.
    #[test]
    fn nothing_leaves_the_allowed_paths(
        parts in proptest::collection::vec(
            proptest::sample::select(vec!["/", "..", ".", "%2e", "%2f", "%5c", "%25", "2e", ";", "x", "%3b", "\\", "%EF%BC%8E", "evil"]), 0..10),
    ) {
        if let Ok(sent) = get("api", format!("/repos/acme{}", parts.concat())) {
            prop_assert!(sent == "/repos/acme" || sent.starts_with("/repos/acme/"), "{}", sent);
            prop_assert!(sent.split('/').all(|s| s != ".." && s != "."), "{}", sent);
        }
    }
}
