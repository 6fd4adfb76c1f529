//! What a change of a manifest lets the agent newly do, line by line.

use bottle::capability::{Capabilities, widened};
use bottle::manifest::Manifest;
use bottle::plan::{Plan, Surroundings};
use bottle::render::{Tree, tree};

fn rendered(manifest: &str) -> Tree {
    let text = format!("version: 1\nname: dev\n{manifest}");
    let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap_or_else(|report| panic!("{report}"));
    let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev"))
        .unwrap_or_else(|report| panic!("{report}"));
    tree(&plan).unwrap()
}

fn capabilities(manifest: &str) -> Capabilities {
    Capabilities::of_tree(&rendered(manifest), ".bottle/dev".into()).unwrap()
}

fn newly(old: &str, new: &str) -> Vec<String> {
    widened(&capabilities(old), &capabilities(new))
}

const AGENT: &str = "agent: {image: x}\n";

/// Two manifests that differ in the options of one route.
fn of_route(old: &str, new: &str) -> Vec<String> {
    let route =
        |options: &str| format!("{AGENT}egress_proxy: {{routes: [{{host: api.example{options}}}]}}\n");
    newly(&route(old), &route(new))
}

#[test]
fn the_same_manifest_allows_nothing_new() {
    assert_eq!(of_route(", path_allowlist: [/a]", ", path_allowlist: [/a]"), [""; 0]);
}

#[test]
fn a_host_comes_with_its_methods_paths_and_credential() {
    let old = format!("{AGENT}egress_proxy: {{routes: [{{host: a.example}}]}}\n");
    let new = format!(
        "{AGENT}egress_proxy: {{routes: [{{host: a.example}}, {{host: b.example, methods: [GET, POST], \
         path_allowlist: [/x, /y], auth: {{scheme: Bearer, token_ref: B_TOKEN}}}}]}}\n"
    );
    assert_eq!(
        newly(&old, &new),
        ["GET, POST https://b.example/x/** with B_TOKEN", "GET, POST https://b.example/y/** with B_TOKEN",]
    );
    assert_eq!(newly(&new, &old), [""; 0], "less is not more");
}

#[test]
fn a_path_below_an_allowed_one_is_not_new() {
    assert_eq!(of_route(", path_allowlist: [/a]", ", path_allowlist: [/a/b]"), [""; 0]);
    assert_eq!(
        of_route(", path_allowlist: [/a]", ", path_allowlist: [/a, /ab]"),
        ["any method https://api.example/ab/**"]
    );
    assert_eq!(of_route(", path_allowlist: [/a]", ""), ["any method https://api.example/**"]);
}

#[test]
fn a_method_and_a_port_are_new_on_every_path() {
    assert_eq!(
        of_route(", methods: [GET], path_allowlist: [/a]", ", methods: [GET, PUT], path_allowlist: [/a]"),
        ["PUT https://api.example/a/**"]
    );
    assert_eq!(of_route(", methods: [GET]", ""), ["any method https://api.example/**"]);
    assert_eq!(of_route("", ", ports: [443, 8443]"), ["any method https://api.example:8443/**"]);
}

#[test]
fn a_credential_is_new_by_its_name_and_by_where_it_is_put() {
    let auth = |scheme: &str, name: &str| format!(", auth: {{scheme: {scheme}, token_ref: {name}}}");
    assert_eq!(
        of_route("", &auth("Bearer", "A_TOKEN")),
        ["api.example is sent the credential A_TOKEN in `authorization: Bearer …`"]
    );
    assert_eq!(
        of_route(&auth("Bearer", "A_TOKEN"), &auth("token", "B_TOKEN")),
        ["api.example is sent the credential B_TOKEN in `authorization: token …`"]
    );
}

#[test]
fn options_that_open_a_host_are_said() {
    assert_eq!(
        of_route("", ", inspect: false"),
        ["api.example passes pipelock without inspection: no scan for secrets"]
    );
    assert_eq!(
        of_route(", path_allowlist: [/a]", ", path_allowlist: [/a], encoded_slash: true"),
        ["paths of api.example with an encoded slash (%2F) inside a segment"]
    );
    assert_eq!(
        of_route(", addresses: [10.1.0.0/16]", ", addresses: [10.1.2.0/24, 10.2.0.0/16]"),
        ["api.example may be at private addresses in 10.2.0.0/16"]
    );
    assert_eq!(
        of_route(", until: 2027-01-01", ", until: 2027-02-01"),
        ["api.example until 2027-02-01, not 2027-01-01"]
    );
    assert_eq!(of_route(", until: 2027-01-01", ""), ["api.example without end, not until 2027-01-01"]);
    assert_eq!(of_route(", until: 2027-02-01", ", until: 2027-01-01"), [""; 0]);
}

#[test]
fn a_bottle_that_loses_its_routes_loses_the_push_refusal() {
    let old = format!("{AGENT}egress_proxy: {{routes: [{{host: a.example, path_allowlist: [/x]}}]}}\n");
    let new = format!("{AGENT}egress: {{allowlist: [a.example]}}\n");
    let lines = newly(&old, &new);
    assert!(lines.contains(&"any method https://a.example/**".to_owned()), "{lines:?}");
    assert!(lines.contains(&"git push to a.example: no egress-proxy refuses it".to_owned()), "{lines:?}");
}

#[test]
fn what_the_agent_sees_of_the_machine_is_said_as_the_manifest_says_it() {
    let agent = |mounts: &str| {
        format!("agent: {{image: x, mounts: [{mounts}]}}\negress: {{allowlist: [a.example]}}\n")
    };
    assert_eq!(
        newly(&agent(""), &agent("{source: ., target: /work}")),
        ["the agent reads and writes `.` of this machine, as /work"]
    );
    assert_eq!(
        newly(&agent("{source: ./a, target: /a, read_only: true}"), &agent("{source: ./a, target: /a}")),
        ["the agent reads and writes `a` of this machine, as /a"]
    );
}

#[test]
fn the_stack_as_a_whole_can_widen() {
    let with = |rest: &str| format!("{AGENT}egress: {{allowlist: [a.example]{rest}}}\n");
    assert_eq!(
        newly(&with(""), &with(", dlp_action: warn")),
        ["a request that carries a secret passes and is only logged (dlp_action: warn)"]
    );
    assert_eq!(newly(&with(""), &with(", network: lab")), ["pipelock leaves by the Docker network lab"]);
    assert_eq!(
        newly(&with(", network: lab"), &with("")),
        ["pipelock leaves by a bridge of its own, not by lab"]
    );
}

#[test]
fn a_tree_that_cannot_be_read_is_an_error_and_never_an_empty_set() {
    let whole = rendered(&format!("{AGENT}egress: {{allowlist: [a.example]}}\n"));
    for file in ["docker-compose.yml", "pipelock/pipelock.yaml", "pipelock/embedded.yaml"] {
        let mut tree = whole.clone();
        tree.remove(camino::Utf8Path::new(file));
        let error = Capabilities::of_tree(&tree, ".bottle/dev".into()).unwrap_err().to_string();
        assert_eq!(error, format!("{file}: the file is missing"));
        tree.insert(file.into(), b"x: [".to_vec());
        let error = Capabilities::of_tree(&tree, ".bottle/dev".into()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{file}: ")), "{error}");
    }
}
