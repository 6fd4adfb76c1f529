use super::allowlist::{Any, Rule, dechunk};
use super::*;
use std::collections::BTreeMap;

fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> ProxyAnswer {
    let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    ProxyAnswer { status, fields, body: body.to_owned() }
}

fn host(name: &str, paths: &[&str], query: &[(&str, &[&str])]) -> AllowedHost {
    let text = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    let path_allowlist = if paths.is_empty() { Rule::Any(Any::Any) } else { Rule::Only(text(paths)) };
    AllowedHost {
        host: name.to_owned(),
        ports: vec![443],
        methods: Rule::Any(Any::Any),
        path_allowlist,
        deny_paths: Vec::new(),
        query: query
            .iter()
            .map(|(name, values)| ((*name).to_owned(), text(values)))
            .collect::<BTreeMap<_, _>>(),
        encoded_slash: false,
        websocket: false,
        credential: None,
        graphql: None,
        rpc: None,
        git_push: None,
    }
}

#[test]
fn an_origin_that_is_out_of_reach_has_refused_nothing() {
    for reason in ["upstream_unreachable", "upstream_timeout", "upstream_invalid"] {
        let outcome = refused(&answer(502, &[("X-Bottle-Reason", reason)], ""));
        assert!(matches!(outcome, Outcome::NotTried(_)), "{outcome:?}");
    }
}

#[test]
fn a_refusal_without_our_reason_is_the_origins_and_counts_as_broken() {
    assert!(matches!(refused(&answer(403, &[], "Forbidden")), Outcome::Broken(_)));
    assert!(matches!(refused(&answer(200, &[("X-Bottle-Reason", "x")], "")), Outcome::Broken(_)));
    assert_eq!(
        refused(&answer(403, &[("X-Bottle-Reason", "git_push")], "")),
        Outcome::Held("403 git_push".into())
    );
}

#[test]
fn what_is_asked_for_is_what_a_rule_allows() {
    assert!(!host("*.cdn.test", &[], &[]).is_askable() && host("cdn.test", &[], &[]).is_askable());
    assert_eq!(host("a.test", &["/repos/*/app"], &[]).path(), "/repos/x/app");
    let asks = host("a.test", &[], &[("a", &["list all", "x"]), ("b", &["1"])]);
    assert_eq!(asks.target("/"), "/?a=list%20all&b=1");
    let some = host("a.test", &["/repos/*/app", "/v1"], &[]);
    for path in ["/repos/x/app", "/repos/y/app/z", "/v1", "/v1/x"] {
        assert!(some.allows_path(path), "{path}");
    }
    for path in ["/repos/x", "/v1x", "/", "/x/v1"] {
        assert!(!some.allows_path(path), "{path}");
    }
    assert!(host("a.test", &["/"], &[]).allows_path("/x") && host("a.test", &[], &[]).allows_path("/x"));
}

#[test]
fn chunked_bodies_are_joined() {
    let chunked = answer(200, &[("Transfer-Encoding", "chunked")], "2\r\n{\"\r\n1\r\na\r\n0\r\n\r\n");
    assert_eq!(dechunk(&chunked), "{\"a");
}

#[test]
fn without_a_proxy_nothing_counts_as_held() {
    let findings = run(&AgentEnvironment { proxy: None, ca_bundle: None }, None);
    assert!(findings.len() >= 400, "{}", findings.len());
    for finding in &findings {
        assert!(!matches!(finding.outcome, Outcome::Held(_)), "{finding:?}");
    }
    let names: std::collections::BTreeSet<_> = findings.iter().map(|finding| &finding.name).collect();
    assert_eq!(names.len(), findings.len(), "each has a name of its own");
}

#[test]
fn what_an_origin_received_stands_above_an_answer() {
    let received = |mark: &str| (mark == "bottle-attack-0001").then(|| "GET /x".to_owned());
    let proxy = Proxy::meet(&AgentEnvironment { proxy: None, ca_bundle: None }, Some(&received));
    let held = |_: &str| Ok(Outcome::Held("403 path_not_allowed".into()));
    assert_eq!(
        proxy.finding("a", "try", held).outcome,
        Outcome::Broken("the origin received it: GET /x".into())
    );
    assert_eq!(proxy.finding("b", "try", held).outcome, Outcome::Held("403 path_not_allowed".into()));
}
