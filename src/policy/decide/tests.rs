use super::super::host_pattern::HostPattern;
use super::super::testing::{route, route_with_paths};
use super::*;
use jiff::civil::date;
use std::{cell::Cell, rc::Rc};

const TODAY: Date = date(2026, 11, 24);

fn ask(policy: &Policy, method: &str, url: &str) -> Result<String, Refusal> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let at = rest.find('/').unwrap();
    let authority = Authority::parse(&rest[..at], Some(scheme.default_port())).unwrap();
    let method = Method::parse(method).unwrap();
    let route = policy.route(&authority.host);
    let intent = Intent::read(scheme, &authority, &method, &rest.as_bytes()[at..], None, route)?;
    policy.decide(&intent, TODAY).map(|matched| matched.rule.route.host.to_string())
}

#[track_caller]
fn denied(policy: &Policy, method: &str, url: &str) -> Refusal {
    ask(policy, method, url).unwrap_err()
}

fn forge() -> Policy {
    let mut api = route_with_paths("api.example.test", &["/repos/acme/app", "/user"]);
    api.methods = Some(vec![Method::GET, Method::HEAD]);
    Policy::new(vec![api, route("raw.example.test")]).unwrap()
}

#[test]
fn what_a_rule_allows_is_allowed() {
    let forge = forge();
    assert_eq!(ask(&forge, "GET", "https://api.example.test/repos/acme/app").unwrap(), "api.example.test");
    assert_eq!(
        ask(&forge, "HEAD", "https://api.example.test/repos/acme/app/issues?x=1").unwrap(),
        "api.example.test"
    );
    assert_eq!(ask(&forge, "POST", "https://raw.example.test/a//b;c%2Fd").unwrap(), "raw.example.test");
}

#[test]
fn an_unknown_host_is_told_the_known_ones_and_what_was_probably_meant() {
    let refusal = denied(&forge(), "GET", "https://api.exmaple.test/");
    assert_eq!(refusal.reason, Reason::HostNotAllowed);
    assert_eq!(
        refusal.message,
        "api.exmaple.test is not an allowed host (did you mean api.example.test?); the allowed hosts are \
         api.example.test, raw.example.test; retrying does not help"
    );
    assert_eq!((refusal.rule.as_deref(), refusal.retry), (None, false));
    assert_eq!(refusal.allowed(), "api.example.test, raw.example.test");
}

#[test]
fn a_denial_names_twenty_hosts_and_counts_the_rest() {
    let routes: Vec<Route> = (0..23).map(|n| route(&format!("h{n}.example.test"))).collect();
    let refusal = denied(&Policy::new(routes).unwrap(), "GET", "https://other.invalid/");
    assert_eq!(refusal.allowed.len(), 21);
    assert!(refusal.message.contains("h19.example.test, … and 3 more; retrying"), "{}", refusal.message);
}

#[test]
fn a_path_outside_is_told_the_entries() {
    let refusal = denied(&forge(), "GET", "https://api.example.test/repos/acme-evil/app");
    assert_eq!(refusal.reason, Reason::PathNotAllowed);
    assert_eq!(
        refusal.message,
        "/repos/acme-evil/app is not an allowed path on api.example.test (did you mean /repos/acme/app?); allowed \
         there: GET, HEAD /repos/acme/app and below; GET, HEAD /user and below; retrying does not help"
    );
    assert_eq!(refusal.source.as_deref(), Some("routes[api.example.test]"));
}

#[test]
fn a_method_is_listed_or_denied_and_head_is_not_implied_by_get() {
    let mut only_get = route("example.test");
    only_get.methods = Some(vec![Method::GET]);
    let policy = Policy::new(vec![only_get]).unwrap();
    assert!(ask(&policy, "GET", "https://example.test/").is_ok());
    for method in ["HEAD", "POST", "get", "QUERY"] {
        let refusal = denied(&policy, method, "https://example.test/");
        assert_eq!(refusal.reason, Reason::MethodNotAllowed);
        assert_eq!(
            refusal.message,
            format!(
                "{method} is not an allowed method on example.test; allowed there: GET on every path; retrying does \
                 not help"
            )
        );
    }
}

#[test]
fn without_a_list_the_usual_methods_are_allowed_and_no_other() {
    let policy = Policy::new(vec![route("example.test")]).unwrap();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert!(ask(&policy, method, "https://example.test/").is_ok());
    }
    for method in ["CONNECT", "TRACE", "trace", "BREW", "PROPFIND", "QUERY", "get"] {
        assert_eq!(denied(&policy, method, "https://example.test/").reason, Reason::MethodNotAllowed);
    }
    assert_eq!(
        denied(&policy, "MKCOL", "https://example.test/").message,
        "MKCOL is not an allowed method on example.test, whose rule lists none; usual are GET, HEAD, POST, PUT, PATCH, \
         DELETE, OPTIONS; allowed there: usual methods on every path; retrying does not help"
    );
    let listed = Route { methods: Some(vec![Method::parse("MKCOL").unwrap()]), ..route("example.test") };
    let policy = Policy::new(vec![listed]).unwrap();
    assert!(ask(&policy, "MKCOL", "https://example.test/").is_ok());
    assert!(ask(&policy, "GET", "https://example.test/").is_err());
}

#[test]
fn empty_allowlist_denies_cve_2025_66479() {
    let none = denied(&Policy::default(), "GET", "https://example.test/");
    assert_eq!(none.reason, Reason::HostNotAllowed);
    assert_eq!(
        none.message,
        "example.test is not an allowed host; no host is allowed; retrying does not help"
    );
    let no_paths = Policy::new(vec![route_with_paths("example.test", &[])]).unwrap();
    assert_eq!(denied(&no_paths, "GET", "https://example.test/").reason, Reason::PathNotAllowed);
    let no_methods = Policy::new(vec![Route { methods: Some(vec![]), ..route("example.test") }]).unwrap();
    assert_eq!(denied(&no_methods, "GET", "https://example.test/").reason, Reason::MethodNotAllowed);
    let no_ports = Policy::new(vec![Route { ports: vec![], ..route("example.test") }]).unwrap();
    assert_eq!(denied(&no_ports, "GET", "https://example.test/").reason, Reason::PortNotAllowed);
    assert_eq!(Policy::<HostRule>::default().rules().len(), 0);
}

#[test]
fn until_is_inclusive_and_the_denial_names_the_date() {
    let on = |until| Policy::new(vec![Route { until: Some(until), ..route("example.test") }]).unwrap();
    assert!(ask(&on(date(2026, 11, 25)), "GET", "https://example.test/").is_ok());
    assert!(ask(&on(TODAY), "GET", "https://example.test/").is_ok());
    let refusal = denied(&on(date(2026, 11, 23)), "GET", "https://example.test/");
    assert_eq!(refusal.reason, Reason::RuleExpired);
    assert_eq!(
        refusal.message,
        "the rule for example.test expired on 2026-11-23, so nothing is allowed there; retrying does not help until a \
         person renews the rule"
    );
}

#[test]
fn another_port_on_an_allowed_host() {
    let policy = Policy::new(vec![Route { ports: vec![443, 80], ..route("example.test") }]).unwrap();
    assert!(ask(&policy, "GET", "https://example.test/").is_ok());
    assert!(ask(&policy, "GET", "http://example.test/").is_ok());
    for url in ["https://example.test:8443/", "http://example.test:443/", "https://example.test:80/"] {
        let refusal = denied(&policy, "GET", url);
        assert_eq!(refusal.reason, Reason::PortNotAllowed, "{url}");
        assert!(
            refusal
                .message
                .ends_with("allowed there: port 443, port 80 (plain http); retrying does not help")
        );
    }
}

#[test]
fn connect_opens_a_tunnel_to_an_unknown_host_on_443_only() {
    let policy = forge();
    let connect = |text| {
        let refusal = policy.decide_connect(&Authority::parse(text, None).unwrap());
        refusal.map(|route| route.map(|r| r.host.to_string())).map_err(|r| r.reason)
    };
    assert_eq!(connect("api.example.test:443"), Ok(Some("api.example.test".into())));
    assert_eq!(connect("other.test:443"), Ok(None));
    assert_eq!(connect("other.test:22"), Err(Reason::HostNotAllowed));
    assert_eq!(connect("api.example.test:9100"), Err(Reason::PortNotAllowed));
}

#[test]
fn a_push_is_refused_before_anything_else() {
    let policy = forge();
    for host in ["raw.example.test", "api.example.test", "unknown.invalid"] {
        let refusal = denied(&policy, "POST", &format!("https://{host}/acme/app.git/git-receive-pack"));
        assert_eq!(refusal.reason, Reason::GitPush);
        assert_eq!(
            refusal.message,
            format!(
                "git push to {host} is refused, as on every host whose rule has no git.push: a person pushes from the host, outside the bottle; \
                 clone and fetch work where a rule allows them; retrying does not help"
            )
        );
    }
}

#[test]
fn an_lfs_upload_is_refused_once_its_body_was_read() {
    let policy = forge();
    let authority = Authority::parse("raw.example.test:443", None).unwrap();
    let target = b"/a.git/info/lfs/objects/batch";
    let method = Method::POST;
    let route = policy.route(&authority.host);
    let mut intent = Intent::read(Scheme::Https, &authority, &method, target, None, route).unwrap();
    assert!(policy.decide(&intent, TODAY).is_ok());
    intent.git =
        GitOperation::lfs_operation(b"/a/info/lfs/objects/batch", br#"{"operation": "upload"}"#).unwrap();
    assert_eq!(policy.decide(&intent, TODAY).unwrap_err().reason, Reason::GitPush);
}

#[test]
fn a_malformed_target_says_what_and_where() {
    let refusal = denied(&forge(), "GET", "https://api.example.test/repos/acme/app/../../x");
    assert_eq!(refusal.reason, Reason::MalformedTarget);
    assert_eq!(
        refusal.message,
        "the target of this request to api.example.test is malformed: the path holds a `.` or `..` segment, literally \
         or encoded; retrying does not help"
    );
    assert_eq!(refusal.rule.as_deref(), Some("api.example.test"));
}

#[test]
fn a_target_that_was_read_under_other_rules_is_not_allowed() {
    let policy = forge();
    let authority = Authority::parse("api.example.test:443", None).unwrap();
    let intent = Intent::read(Scheme::Https, &authority, &Method::GET, b"/user", None, None).unwrap();
    let refusal = policy.decide(&intent, TODAY).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry), (Reason::PathNotAllowed, true));
}

fn with_denied(paths: &[&str], deny_paths: &[&str]) -> Policy {
    let deny_paths = deny_paths.iter().map(|path| DenyPath::parse(path).unwrap()).collect();
    Policy::new([Route { deny_paths, ..route_with_paths("api.example.test", paths) }]).unwrap()
}

#[test]
fn a_denied_path_is_refused_although_an_allowed_one_matches() {
    let policy = with_denied(&["/repos/acme", "/user"], &["/repos/acme/secret", "/repos/*/hooks"]);
    for path in ["/repos/acme", "/repos/acme/app", "/repos/acme/secrets", "/user/hooks"] {
        assert!(ask(&policy, "GET", &format!("https://api.example.test{path}")).is_ok(), "{path}");
    }
    let refusal = denied(&policy, "POST", "https://api.example.test/repos/acme/SECRET/x");
    assert_eq!((refusal.reason, refusal.retry), (Reason::PathDenied, false));
    assert_eq!(refusal.source.as_deref(), Some("routes[api.example.test]"));
    assert_eq!(
        refusal.message,
        "/repos/acme/SECRET/x on api.example.test is closed on purpose: the rule denies /repos/acme/secret and below, in \
         every spelling; work without it, or ask the person who wrote the rule; allowed there: usual methods /repos/acme and \
         below; usual methods /user and below; but not /repos/acme/secret, /repos/*/hooks and below; retrying does not help"
    );
    let outside = denied(&policy, "GET", "https://api.example.test/orgs/acme/secret");
    assert_eq!(outside.reason, Reason::PathNotAllowed);
    assert_eq!(outside.allowed.last().unwrap(), "but not /repos/acme/secret, /repos/*/hooks and below");
}

/// A push is refused before any path is looked at; a clone is decided on by its path as every request is.
#[test]
fn a_denied_repository_is_closed_to_git_with_and_without_its_suffix() {
    let policy = with_denied(&["/acme"], &["/acme/secret"]);
    let of =
        |path: &str| ask(&policy, "GET", &format!("https://api.example.test{path}")).map_err(|it| it.reason);
    for repository in ["/acme/secret", "/acme/secret.git", "/ACME/Secret.GIT", "/acme/%73ecret%2egit"] {
        let refs = format!("{repository}/info/refs?service=git-upload-pack");
        let expected =
            if repository.starts_with("/ACME") { Reason::PathNotAllowed } else { Reason::PathDenied };
        assert_eq!(of(&refs), Err(expected), "{refs}");
        let batch = format!("{repository}/info/lfs/objects/batch");
        assert_eq!(of(&batch), Err(expected), "{batch}");
        assert_eq!(of(&format!("{repository}/git-receive-pack")), Err(Reason::GitPush));
    }
    assert!(of("/acme/app.git/info/refs?service=git-upload-pack").is_ok());
}

#[test]
fn nearest_names_the_one_thing_that_differs() {
    let mut api = route_with_paths("api.example.test", &["/repos/acme/app", "/user"]);
    api.methods = Some(vec![Method::GET]);
    api.until = Some(date(2026, 1, 1));
    let policy = Policy::new(vec![api]).unwrap();
    let near = |method: &str, url: &str| {
        let (host, path) = url.split_once('/').unwrap();
        let authority = Authority::parse(host, Some(443)).unwrap();
        let route = policy.route(&authority.host);
        let method = Method::parse(method).unwrap();
        let target = format!("/{path}");
        let intent =
            Intent::read(Scheme::Https, &authority, &method, target.as_bytes(), None, route).unwrap();
        policy.nearest(&intent).map(|nearest| nearest.to_string())
    };
    let cases = [
        ("GET", "api.example.test/repos/acme/other", "the rule for api.example.test below /repos/acme/app"),
        ("GET", "api.example.test/users", "the rule for api.example.test below /user"),
        ("POST", "api.example.test/user", "the rule for api.example.test with GET"),
        ("GET", "api.example.test:8443/user", "the rule for api.example.test on port 443"),
        ("GET", "api.example.test/user", "the rule for api.example.test, which held until 2026-01-01"),
        ("GET", "www.api.example.test/user", "the rule for api.example.test, a similar name"),
    ];
    for (method, url, expected) in cases {
        assert_eq!(near(method, url).as_deref(), Some(expected), "{method} {url}");
    }
    assert_eq!(near("GET", "somewhere-else.invalid/"), None);
    assert_eq!(near("POST", "api.example.test/a.git/git-receive-pack"), None);
}

/// A rule that counts how often it is looked at.
struct Looked(HostRule, Rc<Cell<usize>>);

impl AsRef<HostRule> for Looked {
    fn as_ref(&self) -> &HostRule {
        self.1.set(self.1.get() + 1);
        &self.0
    }
}

/// How many looks at rules each of some decisions takes, beside `more` rules that have nothing to do with them.
fn looks_at_rules(more: usize) -> Vec<usize> {
    let looks = Rc::new(Cell::new(0));
    let others = (0..more).map(|n| route(&format!("api.service-{n:06}.of-many.test")));
    let wildcard = Route::open(HostPattern::parse("*.cdn.test").unwrap(), "wide");
    let mut rules: Vec<Route> = others.collect();
    rules.insert(more / 2, route_with_paths("paths.test", &["/a"]));
    rules.push(wildcard);
    let looked = rules.into_iter().map(|route| Looked(route.into(), Rc::clone(&looks)));
    let policy = Policy::from_rules(looked).unwrap();
    let asked = [
        "paths.test/a",
        "paths.test/b",
        "x.cdn.test/",
        "x.y.cdn.test/",
        "patsh.test/a",
        "www.paths.test/",
        "nothing-like-any-of-them.invalid/",
        "api.service-x.of-many.test/",
        "of-many.test/",
        "api.service-1.of-many.test:22/",
    ];
    let count = |url: &&str| {
        let (host, path) = url.split_once('/').unwrap();
        let authority = Authority::parse(host, Some(443)).unwrap();
        looks.set(0);
        let route = policy.route(&authority.host);
        let target = format!("/{path}");
        let intent =
            Intent::read(Scheme::Https, &authority, &Method::GET, target.as_bytes(), None, route).unwrap();
        let _ = policy.decide(&intent, date(2026, 1, 1));
        let _ = policy.decide_connect(&authority);
        looks.get()
    };
    asked.iter().map(count).collect()
}

#[test]
fn a_decision_takes_as_long_with_few_rules_as_with_many() {
    let few = looks_at_rules(200);
    assert_eq!(few, looks_at_rules(20_000));
    assert!(few.iter().all(|looks| *looks <= 120), "{few:?}");
}

#[test]
fn a_similar_name_is_found_among_many() {
    // Of names about as long as the one that is asked for some are compared, which these are not.
    let others = (0..5_000).map(|n| route(&format!("one-of-very-many-services-{n:05}.test")));
    let policy = Policy::new(others.chain([route("api.example.test"), route("*.cdn.example.org")])).unwrap();
    let near = |host: &str| {
        let authority = Authority::parse(host, Some(443)).unwrap();
        let intent = Intent::read(Scheme::Https, &authority, &Method::GET, b"/", None, None).unwrap();
        policy.nearest(&intent).map(|nearest| nearest.route.host.to_string())
    };
    for (host, expected) in [
        ("www.api.example.test", "api.example.test"),
        ("a.b.c.api.example.test", "api.example.test"),
        ("example.test", "api.example.test"),
        ("apj.example.test", "api.example.test"),
        ("cdn.example.org", "*.cdn.example.org"),
    ] {
        assert_eq!(near(host).as_deref(), Some(expected), "{host}");
    }
    assert_eq!(near("somewhere-else.invalid"), None);
}
