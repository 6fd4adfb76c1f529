//! What is listed against what the proxies decide: whole manifests, every request of a small universe.

use bottle::capability::{Capabilities, Capability, Change, Machine, Requests, changes, excess};
use bottle::manifest::{Manifest, Unbounded};
use bottle::plan::{Plan, Surroundings, Topology};
use bottle::policy::{CanonicalPath, PathRules};
use bottle::render;
use bottle::verdict::{Chain, WireRequest, egress_proxy, pipelock};
use http::{HeaderMap, Request};
use proptest::prelude::*;
use proptest::sample::subsequence;
use std::sync::{Arc, LazyLock};

const HOSTS: [&str; 3] = ["a.example", "b.example", "c.example"];
const PORTS: [u16; 2] = [443, 8443];
const METHODS: [&str; 4] = ["GET", "POST", "DELETE", "PATCH"];
/// One way to ask a host.
#[derive(Clone, Copy, Debug)]
struct Asking {
    host: &'static str,
    port: u16,
    method: &'static str,
    path: &'static str,
}

/// Every path of up to two segments, and one below each; no pattern names `x`.
fn paths() -> &'static [String] {
    static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let segments = ["a", "b", "c", "x"];
        let one = segments.map(|one| format!("/{one}"));
        let two = one.iter().flat_map(|one| segments.map(|two| format!("{one}/{two}")));
        let two: Vec<String> = two.flat_map(|two| [format!("{two}/x"), two]).collect();
        ["/".to_owned()].into_iter().chain(one.clone()).chain(two).collect()
    });
    &PATHS
}

fn universe() -> impl Iterator<Item = Asking> {
    HOSTS.into_iter().flat_map(|host| {
        PORTS.into_iter().flat_map(move |port| {
            METHODS
                .into_iter()
                .flat_map(move |method| paths().iter().map(move |path| Asking { host, port, method, path }))
        })
    })
}

/// What a manifest says about a host: nothing, an entry of the allowlist, or a route.
fn host(name: &'static str) -> impl Strategy<Value = (Option<String>, Option<String>)> {
    let list = |key: &'static str, from: &'static [&'static str]| {
        proptest::option::of(subsequence(from, 1..=from.len()))
            .prop_map(move |some| some.map(|it| format!(", {key}: [{}]", it.join(", "))).unwrap_or_default())
    };
    let paths = list("path_allowlist", &["/a", "/a/b", "/*/b", "/b", "/c"]);
    let parts = (
        list("methods", &["GET", "POST", "DELETE"]),
        paths,
        list("ports", &["443", "8443"]),
        proptest::option::of(Just("/*/c")),
        proptest::option::of(Just("TOKEN")),
    );
    let route = parts.prop_map(move |(methods, paths, ports, denied, token)| {
        let denied = denied.filter(|_| paths.contains("/a,") || paths.contains("/a]"));
        let denied = denied.map(|path| format!(", deny_paths: [\"{path}\"]")).unwrap_or_default();
        let auth = token.map(|it| format!(", auth: {{scheme: Bearer, token_ref: {it}}}")).unwrap_or_default();
        let paths = paths.replace("/*/b", "\"/*/b\"");
        (Some(format!("{{host: {name}{methods}{paths}{ports}{denied}{auth}}}")), None)
    });
    prop_oneof![1 => Just((None, None)), 1 => Just((None, Some(name.to_owned()))), 4 => route]
}

fn manifest() -> impl Strategy<Value = String> {
    (host(HOSTS[0]), host(HOSTS[1]), host(HOSTS[2])).prop_map(|(a, b, c)| {
        let hosts = [a, b, c];
        // With a route, so that egress-proxy decides.
        let mut routes = vec!["{host: always.example}".to_owned()];
        routes.extend(hosts.iter().filter_map(|(route, _)| route.clone()));
        let allowed: Vec<String> = hosts.iter().filter_map(|(_, allowed)| allowed.clone()).collect();
        format!(
            "version: 1\nname: dev\nagent: {{image: x}}\negress_proxy: {{routes: [{}]}}\negress: {{allowlist: [{}]}}\n",
            routes.join(", "),
            allowed.join(", ")
        )
    })
}

struct Bottle {
    capabilities: Capabilities,
    chain: Chain,
}

fn bottle(text: &str) -> Bottle {
    let loaded =
        Manifest::load("bottle.yaml", text.as_bytes()).unwrap_or_else(|report| panic!("{text}{report}"));
    let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
    assert_eq!(plan.topology, Topology::Chain);
    let (pipelock, embedded) = (render::pipelock_file(&plan), render::embedded_file(&plan));
    Bottle {
        capabilities: Capabilities::from_plan(&plan, &Machine::default()),
        chain: Chain {
            egress_proxy: Some(egress_proxy::Ruleset::from_file(&render::routes_file(&plan)).unwrap()),
            pipelock: Arc::new(pipelock::Ruleset::from_file(&pipelock, Some(&embedded)).unwrap()),
        },
    }
}

impl Bottle {
    fn allows(&self, Asking { host, port, method, path }: Asking) -> bool {
        let authority = format!("{host}:{port}");
        let request =
            Request::builder().method(method).uri(path).header("host", &authority).body(()).unwrap();
        let asked = WireRequest {
            connect: Some((authority, HeaderMap::new())),
            request,
            target: path.as_bytes().to_vec().into(),
            body: None,
        };
        let verdict = self.chain.verdict(&asked, jiff::civil::date(2026, 11, 27));
        verdict.refusal.is_none() && verdict.block.is_none()
    }
}

fn covers(line: &Requests, Asking { host, port, method, path }: Asking) -> bool {
    let path =
        CanonicalPath::parse(path.as_bytes(), PathRules { allowlisted: true, encoded_slash: false }).unwrap();
    line.host == host
        && line.port == port
        && line.methods.as_ref().is_none_or(|methods| methods.iter().any(|it| it.to_string() == method))
        && line.path.as_ref().is_none_or(|pattern| pattern.matches(&path))
        && !line.except.iter().any(|pattern| pattern.matches(&path))
}

fn newly(changes: &[Change]) -> Vec<&Requests> {
    let requests = changes.iter().filter_map(|change| match change {
        Change::Added { new: Capability::Requests(requests) } => Some(requests),
        _ => None,
    });
    requests.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_request_that_is_newly_allowed_has_a_line_and_every_line_a_request(old in manifest(), new in manifest()) {
        let (before, after) = (bottle(&old), bottle(&new));
        let changes = changes(Some(&before.capabilities), &after.capabilities);
        let lines = newly(&changes);
        let fresh: Vec<Asking> =
            universe().filter(|asking| after.allows(*asking) && !before.allows(*asking)).collect();
        for asking in &fresh {
            prop_assert!(lines.iter().any(|line| covers(line, *asking)), "{asking:?} is not listed\n{old}{new}");
        }
        for line in lines {
            prop_assert!(fresh.iter().any(|asking| covers(line, *asking)), "{line} allows nothing new\n{old}{new}");
        }
    }

    /// A baseline bounds exactly the requests that it allows itself.
    #[test]
    fn a_manifest_lies_within_exactly_when_every_request_of_it_does(most in manifest(), new in manifest()) {
        let (most, new) = (bottle(&most), bottle(&new));
        let beyond = excess(&most.capabilities, Unbounded::default(), &new.capabilities);
        let requests = beyond.iter().any(|it| matches!(it, Change::Added { new: Capability::Requests(_) }));
        prop_assert_eq!(requests, universe().any(|asking| new.allows(asking) && !most.allows(asking)));
        // The rest of what these manifests say is with which credential.
        let credentials = |it: &&Change| !matches!(it, Change::Added { new: Capability::Requests(_) });
        for change in beyond.iter().filter(credentials) {
            let (_, new) = change.sides();
            let known = matches!(new, Some(Capability::Credential { .. } | Capability::OwnCredential { .. }));
            prop_assert!(known, "{}", change);
        }
        prop_assert!(excess(&new.capabilities, Unbounded::default(), &new.capabilities).is_empty());
    }
}
