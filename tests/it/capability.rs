//! What a change of a manifest lets the agent newly do and no longer do, line by line.

use bottle::capability::{Capabilities, Change, GitPart, Machine, Risk, changes};
use bottle::manifest::Manifest;
use bottle::plan::{Plan, Surroundings};

fn capabilities(manifest: &str) -> Capabilities {
    let text = format!("version: 1\nname: dev\n{manifest}");
    let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap_or_else(|report| panic!("{report}"));
    let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev"))
        .unwrap_or_else(|report| panic!("{report}"));
    Capabilities::from_plan(
        &plan,
        &Machine { project: "/p".into(), memory: Some(4 << 30), ..Machine::default() },
    )
}

fn lines(old: Option<&str>, new: &str) -> Vec<Change> {
    changes(old.map(capabilities).as_ref(), &capabilities(new))
}

/// The lines of what is new; then, after a `-`, of what is no longer allowed.
fn both(old: &str, new: &str) -> Vec<String> {
    let sign = |change: &Change| if change.risk().is_some() { "" } else { "- " };
    lines(Some(old), new).iter().map(|change| format!("{}{change}", sign(change))).collect()
}

fn newly(old: &str, new: &str) -> Vec<String> {
    both(old, new).into_iter().filter(|line| !line.starts_with("- ")).collect()
}

/// The same as seen from the other side.
fn mirrored(change: Change) -> Change {
    match change {
        Change::Added { new } => Change::Removed { old: new },
        Change::Removed { old } => Change::Added { new: old },
        Change::Changed { old, new } => Change::Changed { old: new, new: old },
    }
}

fn is_grave(change: &Change) -> bool {
    change.risk().is_some_and(Risk::is_grave)
}

/// Whether each side sees the other's changes the other way round.
fn is_mirrored(old: &Capabilities, new: &Capabilities) -> bool {
    let there = changes(Some(old), new);
    let mut back: Vec<Change> = changes(Some(new), old).into_iter().map(mirrored).collect();
    there
        .iter()
        .all(|change| back.iter().position(|other| other == change).map(|at| back.swap_remove(at)).is_some())
        && back.is_empty()
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
        [
            "b.example is sent B_TOKEN in `authorization: Bearer …` (new to this bottle)",
            "GET, POST https://b.example/x/** with B_TOKEN",
            "GET, POST https://b.example/y/** with B_TOKEN",
        ]
    );
    assert_eq!(newly(&new, &old), [""; 0], "less is not more");
}

#[test]
fn a_path_below_an_allowed_one_is_not_new() {
    assert_eq!(of_route(", path_allowlist: [/a]", ", path_allowlist: [/a/b]"), [""; 0]);
    assert_eq!(
        of_route(", path_allowlist: [/a]", ", path_allowlist: [/a, /ab]"),
        ["usual methods https://api.example/ab/**"]
    );
    assert_eq!(
        of_route(", path_allowlist: [/a]", ""),
        ["usual methods https://api.example/** (before: only /a/**)"]
    );
}

/// Two manifests that differ in their routes.
fn of_routes(old: &str, new: &str) -> Vec<String> {
    let manifest = |routes: &str| format!("{AGENT}egress_proxy: {{routes: [{routes}]}}\n");
    both(&manifest(old), &manifest(new))
}

#[test]
fn a_wildcard_is_a_widening_that_no_exact_host_covers() {
    let lines = of_routes("{host: a.cdn.example}, {host: b.cdn.example}", "{host: '*.cdn.example'}");
    assert_eq!(lines, ["usual methods https://*.cdn.example/** on every host one label below cdn.example"]);
    // What a wildcard of before allowed is not new under a name.
    assert!(
        of_routes("{host: '*.cdn.example'}", "{host: '*.cdn.example'}, {host: a.cdn.example}").is_empty()
    );
    assert_eq!(
        of_routes("{host: '*.cdn.example'}", "{host: a.cdn.example}"),
        ["- usual methods https://*.cdn.example/** on every host one label below cdn.example"]
    );
    // Deeper, shallower and other hosts are.
    for host in ["a.b.cdn.example", "cdn.example", "acdn.example"] {
        let lines =
            of_routes("{host: '*.cdn.example'}", &format!("{{host: '*.cdn.example'}}, {{host: {host}}}"));
        assert_eq!(lines, [format!("usual methods https://{host}/**")]);
    }
}

#[test]
fn what_graphql_and_json_rpc_may_ask_for_is_part_of_what_is_allowed() {
    let of = of_route;
    let (one, two) = (", graphql: {operations: [query]}", ", graphql: {operations: [query, mutation]}");
    assert_eq!(
        of(one, two),
        [
            "api.example takes GraphQL only: query or mutation of every field (before: takes GraphQL only: query of every field)"
        ]
    );
    assert_eq!(of(two, one), Vec::<String>::new());
    assert_eq!(of("", one), Vec::<String>::new(), "a narrowing");
    assert_eq!(
        of(one, ""),
        ["api.example takes any GraphQL (before: takes GraphQL only: query of every field)"]
    );
    let (few, more) = (", rpc: {methods: [a]}", ", rpc: {methods: [a, b]}");
    assert_eq!(of(few, more), ["api.example takes JSON-RPC only: a or b (before: takes JSON-RPC only: a)"]);
    let lines = of_routes("{host: b.example}", &format!("{{host: b.example}}, {{host: api.example{few}}}"));
    assert!(lines[0].contains("(JSON-RPC only: a)"), "{lines:?}");
}

#[test]
fn each_part_of_what_a_push_may_change_is_a_widening_where_it_grows() {
    let push = |keys: &str| format!(", path_allowlist: [/a], git: {{push: {{{keys}}}}}");
    let of = |old: &str, new: &str| of_route(&push(old), &push(new));
    let base = "refs: [refs/heads/agent/*], create: false, max_pack: 1MiB";
    let shown = "refs/heads/agent/*: no create, no delete, no force, packs up to 1 MiB";
    assert_eq!(
        of_route(", path_allowlist: [/a]", &push(base)),
        [format!("git push to api.example: {shown}")]
    );
    let cases = [
        (
            "refs: [refs/heads/*], create: false, max_pack: 1MiB",
            "refs/heads/*: no create, no delete, no force, packs up to 1 MiB",
        ),
        (
            "refs: [refs/heads/agent/*], max_pack: 1MiB",
            "refs/heads/agent/*: create, no delete, no force, packs up to 1 MiB",
        ),
        (
            "refs: [refs/heads/agent/*], create: false, delete: true, max_pack: 1MiB",
            "refs/heads/agent/*: no create, delete, no force, packs up to 1 MiB",
        ),
        (
            "refs: [refs/heads/agent/*], create: false, force: true, max_pack: 1MiB",
            "refs/heads/agent/*: no create, no delete, force, packs up to 1 MiB",
        ),
        (
            "refs: [refs/heads/agent/*], create: false, max_pack: 2MiB",
            "refs/heads/agent/*: no create, no delete, no force, packs up to 2 MiB",
        ),
    ];
    for (new, line) in cases {
        assert_eq!(of(base, new), [format!("git push to api.example: {line} (before: {shown})")]);
        assert!(of(new, base).is_empty(), "{base} is narrower than {new}");
    }
    assert!(of(base, "refs: [refs/heads/agent/x], create: false, max_pack: 1MiB").is_empty());
    assert!(of_route(&push(base), ", path_allowlist: [/a]").is_empty());
}

#[test]
fn what_the_query_must_say_is_part_of_what_is_allowed() {
    let of =
        |old: &str, new: &str| of_route(&format!(", methods: [GET]{old}"), &format!(", methods: [GET]{new}"));
    let (one, two) = (", query: {a: [x]}", ", query: {a: [x, y]}");
    assert_eq!(
        of(one, two),
        ["api.example asks for a=x or y in the query (before: asks for a=x in the query)"]
    );
    assert_eq!(of(one, ""), ["api.example takes any `a` in the query (before: asks for a=x in the query)"]);
    for (old, new) in [(two, one), ("", one)] {
        assert!(of(old, new).is_empty(), "{new} is narrower than {old}");
    }
    assert!(of(one, one).is_empty());
    let lines = of_routes("{host: b.example}", "{host: b.example}, {host: a.example, query: {a: [x, y]}}");
    assert_eq!(lines, ["usual methods https://a.example/** where `a` is x or y"]);
}

#[test]
fn a_narrow_rule_that_goes_leaves_its_host_to_the_wildcard() {
    let narrow = "{host: a.cdn.example, methods: [GET], path_allowlist: [/x]}";
    assert_eq!(
        of_routes(&format!("{{host: '*.cdn.example'}}, {narrow}"), "{host: '*.cdn.example'}"),
        ["usual methods https://a.cdn.example/**"]
    );
}

#[test]
fn a_wildcards_credential_is_said_for_the_hosts_that_get_it() {
    let auth = "auth: {scheme: Bearer, token_ref: TOKEN}";
    let before = "{host: '*.api.example', client_credentials: strip}";
    let lines =
        of_routes(before, &format!("{{host: '*.api.example', {auth}, credential_hosts: [eu.api.example]}}"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("TOKEN") && lines[0].contains("eu.api.example") && !lines[0].contains('*'),
        "{lines:?}"
    );
}

#[test]
fn a_denied_path_less_is_new_and_one_more_is_not() {
    let with = |denied: &str| format!(", methods: [GET], path_allowlist: [/a, /b]{denied}");
    let of = |old: &str, new: &str| of_route(&with(old), &with(new));
    assert_eq!(of("", ", deny_paths: [/a/x]"), [""; 0]);
    assert_eq!(of(", deny_paths: [/a/x]", ", deny_paths: [/a/x, /b/y]"), [""; 0]);
    assert_eq!(
        of(", deny_paths: [/a/x]", ", deny_paths: [/A/X.git]"),
        [""; 0],
        "the same in another spelling"
    );
    assert_eq!(of(", deny_paths: [/a/x]", ""), ["GET https://api.example/a/x/**"]);
    assert_eq!(
        of(", deny_paths: [/*/x]", ", deny_paths: [/a/x]"),
        ["GET https://api.example/b/x/**"],
        "what is still denied is not new"
    );
    assert_eq!(
        of(", deny_paths: [/a/x]", ", deny_paths: [/a/x/y]"),
        ["GET https://api.example/a/x/**, but not /a/x/y/**"]
    );
    assert_eq!(
        of_route(
            "",
            ", ports: [443, 8443], path_allowlist: [/a], deny_paths: [/a/1, /a/2, /a/3, /a/4, /a/5, /a/6, /a/7]"
        ),
        [
            "usual methods https://api.example:8443/a/**, but not /a/1/**, /a/2/**, /a/3/**, /a/4/**, /a/5/** and 2 more"
        ]
    );
}

#[test]
fn a_method_and_a_port_are_new_on_every_path() {
    assert_eq!(
        of_route(", methods: [GET], path_allowlist: [/a]", ", methods: [GET, PUT], path_allowlist: [/a]"),
        ["PUT https://api.example/a/**"]
    );
    assert_eq!(of_route(", methods: [GET]", ""), ["usual methods https://api.example/** (before: only GET)"]);
    assert_eq!(of_route("", ", ports: [443, 8443]"), ["usual methods https://api.example:8443/**"]);
}

#[test]
fn a_credential_is_new_by_its_name_and_by_where_it_is_put() {
    let auth = |scheme: &str, name: &str| format!(", auth: {{scheme: {scheme}, token_ref: {name}}}");
    assert_eq!(
        of_route("", &auth("Bearer", "A_TOKEN")),
        ["api.example is sent A_TOKEN in `authorization: Bearer …` (before: what the agent sends)"]
    );
    assert_eq!(
        of_route(&auth("Bearer", "A_TOKEN"), &auth("token", "B_TOKEN")),
        ["api.example is sent B_TOKEN in `authorization: token …` (before: A_TOKEN)"]
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
        ["api.example until 2027-02-01 (before: until 2027-01-01)"]
    );
    assert_eq!(of_route(", until: 2027-01-01", ""), ["api.example without end (before: until 2027-01-01)"]);
    assert_eq!(of_route(", until: 2027-02-01", ", until: 2027-01-01"), [""; 0]);
}

#[test]
fn a_bottle_that_loses_its_routes_loses_the_push_refusal() {
    let old = format!("{AGENT}egress_proxy: {{routes: [{{host: a.example, path_allowlist: [/x]}}]}}\n");
    let new = format!("{AGENT}egress: {{allowlist: [a.example]}}\n");
    let lines = newly(&old, &new);
    assert!(
        lines.contains(&"usual methods https://a.example/** (before: only /x/**)".to_owned()),
        "{lines:?}"
    );
    assert!(lines.contains(&"git push to a.example: no egress-proxy refuses it".to_owned()), "{lines:?}");
}

#[test]
fn what_the_agent_sees_of_the_machine_is_said_as_the_manifest_says_it() {
    let agent = |mounts: &str| {
        format!("agent: {{image: x, mounts: [{mounts}]}}\negress: {{allowlist: [a.example]}}\n")
    };
    assert_eq!(
        newly(&agent(""), &agent("{source: ., target: /work}")),
        [
            "the agent reads and writes `.`, as /work",
            "the agent runs as the owner of /work (before: as the image's user)"
        ]
    );
    assert_eq!(
        newly(&agent("{source: ./a, target: /a, read_only: true}"), &agent("{source: ./a, target: /a}")),
        [
            "the agent reads and writes `a`, as /a (before: `a`, read-only)",
            "the agent runs as the owner of /a (before: as the image's user)"
        ]
    );
}

#[test]
fn the_stack_as_a_whole_can_widen() {
    let with = |rest: &str| format!("{AGENT}egress: {{allowlist: [a.example]{rest}}}\n");
    assert_eq!(
        newly(&with(""), &with(", dlp_action: warn")),
        ["a request that carries a secret passes and is only logged (dlp_action: warn)"]
    );
    let removed = "a request to a.example that carries a secret goes on without it (dlp_action: redact)";
    assert_eq!(newly(&with(""), &with(", dlp_action: redact")), [removed]);
    assert_eq!(newly(&with(", dlp_action: warn"), &with(", dlp_action: block")), [""; 0]);
    assert_eq!(newly(&with(", dlp_action: redact"), &with("")), [""; 0]);
    // What a manifest that says nothing gives is not said.
    let model = |rest: &str| format!("{AGENT}egress: {{allowlist: [api.openai.com]{rest}}}\n");
    assert!(newly(&with(""), &model("")).iter().all(|line| !line.contains("secret")));
    assert_eq!(newly(&model(", dlp_action: block"), &model("")).len(), 1);
    assert_eq!(
        newly(&with(""), &with(", network: lab")),
        ["pipelock leaves by the Docker network lab (before: by a bridge of its own)"]
    );
    assert_eq!(
        newly(&with(", network: lab"), &with("")),
        ["pipelock leaves by a bridge of its own (before: by the Docker network lab)"]
    );
}

/// A first render asks about everything, and what deserves a second look stands first.
#[test]
fn without_an_old_side_everything_is_new_and_the_dangerous_comes_first() {
    let manifest = "agent: {build: {context: ./agent}, user: \"0\", env: {EDITOR: vi}, mounts: [{source: ., target: /work}, \
                    {source: /etc/ssl, target: /ssl, read_only: true}]}\n\
                    egress_proxy: {routes: [{host: a.example, path_allowlist: [/x], auth: {scheme: Bearer, \
                    token_ref: A_TOKEN}, inspect: false}]}\n";
    let all: Vec<(Risk, String)> =
        lines(None, manifest).iter().map(|it| (it.risk().unwrap(), it.to_string())).collect();
    let expected = [
        (Risk::Machine, "the agent reads /etc/ssl of this machine, outside of the project, as /ssl"),
        (Risk::Machine, "the agent runs as root: it writes as root wherever it can write"),
        (Risk::Guard, "a.example passes pipelock without inspection: no scan for secrets"),
        (Risk::Project, "the agent reads and writes `.`, as /work"),
        (Risk::Reach, "usual methods https://a.example/x/** with A_TOKEN"),
        (Risk::Code, "the agent's image is built from `agent`, with an open network"),
        (Risk::Minor, "the agent uses up to 4096 MiB of memory"),
        (Risk::Minor, "the agent's environment has EDITOR=vi"),
    ];
    let expected: Vec<(Risk, String)> =
        expected.iter().map(|(risk, text)| (*risk, (*text).to_owned())).collect();
    assert_eq!(all, expected);
    assert_eq!(newly(manifest, manifest), [""; 0]);
}

/// The most serious line there is.
#[test]
fn a_known_credential_that_goes_to_one_host_more_is_said_first() {
    let auth = "auth: {scheme: Bearer, token_ref: A_TOKEN}";
    let old = format!("{AGENT}egress_proxy: {{routes: [{{host: a.example, {auth}}}]}}\n");
    let new = format!(
        "{AGENT}egress_proxy: {{routes: [{{host: a.example, {auth}}}, {{host: b.example, path_allowlist: [/x], {auth}}}]}}\n"
    );
    assert_eq!(
        newly(&old, &new),
        [
            "b.example is sent A_TOKEN in `authorization: Bearer …` (before: sent to a.example)",
            "usual methods https://b.example/x/** with A_TOKEN"
        ]
    );
    assert!(is_grave(&lines(Some(&old), &new)[0]));
}

#[test]
fn what_the_image_is_made_of_is_asked_about() {
    let agent = |text: &str| format!("agent: {{{text}}}\negress: {{allowlist: [a.example]}}\n");
    let built = agent("build: {context: ./a}");
    for (old, new, line) in [
        (
            agent("image: x"),
            agent("image: y"),
            "the agent runs in the image y, pulled where it is missing (before: in the image x)",
        ),
        (
            agent("image: x"),
            built.clone(),
            "the agent's image is built from `a`, with an open network (before: in the image x)",
        ),
        (
            built.clone(),
            agent("build: {context: ./a, dockerfile: D}"),
            "the agent's image is built from `a` by D, with an open network (before: in one built from `a`)",
        ),
        (
            built.clone(),
            agent("build: {context: ./a, target: t}"),
            "the agent's image is built from `a`, target t, with an open network (before: in one built from `a`)",
        ),
        (
            built.clone(),
            agent("build: {context: ./a, args: {A: b}}"),
            "the agent's image is built from `a`, A=b, with an open network (before: in one built from `a`)",
        ),
    ] {
        assert_eq!(newly(&old, &new), [line]);
    }
    let plan = |digest: &str| {
        let loaded =
            Manifest::load("bottle.yaml", format!("version: 1\nname: dev\n{built}").as_bytes()).unwrap();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        let machine = Machine { context: Some(digest.to_owned()), ..Machine::default() };
        Capabilities::from_plan(&plan, &machine)
    };
    let changed = changes(Some(&plan("sha256:1")), &plan("sha256:2"));
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(
        changed[0].to_string(),
        "the agent's image is built from other files in `a`, with an open network"
    );
}

/// What is seen at a place, not what is mounted there, is compared: a mount inside another one covers or protects.
#[test]
fn a_mount_that_covered_or_protected_something_is_missed() {
    let agent = |mounts: &str| {
        format!("agent: {{image: x, mounts: [{mounts}]}}\negress: {{allowlist: [a.example]}}\n")
    };
    let work = "{source: ., target: /work}";
    let with = |more: &str| agent(&format!("{work}, {more}"));
    let guarded = with("{source: ./ci, target: /work/ci, read_only: true}");
    let masked = with("{source: /tmp/empty, target: /work/secrets, read_only: true}");
    for (old, new, line) in [
        (
            &guarded,
            with("{source: ./ci, target: /work/ci}"),
            "the agent reads and writes `ci`, as /work/ci (before: `ci`, read-only)",
        ),
        (
            &guarded,
            with(
                "{source: ./ci, target: /work/ci, read_only: true}, {source: ./ci/sub, target: /work/ci/sub}",
            ),
            "the agent reads and writes `ci/sub`, as /work/ci/sub (before: /p/ci/sub, read-only)",
        ),
        (
            &masked,
            with("{source: ./secrets, target: /work/secrets}"),
            "the agent reads and writes `secrets`, as /work/secrets (before: `/tmp/empty`, read-only)",
        ),
        (
            &masked,
            agent(work),
            "the agent reads and writes /p/secrets, at /work/secrets (before: `/tmp/empty`, read-only)",
        ),
        (
            &agent(&format!("{work}, {{source: /tmp/empty, target: /work/secrets}}")),
            agent(work),
            "the agent reads and writes /p/secrets, at /work/secrets (before: `/tmp/empty`, writable)",
        ),
        (
            &agent(
                "{source: ., target: /work, read_only: true}, {source: /tmp/empty, target: /work/s, read_only: true}",
            ),
            agent("{source: ., target: /work, read_only: true}"),
            "the agent reads /p/s, at /work/s (before: `/tmp/empty`, read-only)",
        ),
    ] {
        assert!(newly(old, &new).contains(&line.to_owned()), "{line:?} is not in {:?}", newly(old, &new));
    }
    // More of what is seen anyway is nothing new.
    assert_eq!(newly(&agent(work), &with("{source: ./src, target: /work/src}")), [""; 0]);
    assert_eq!(newly(&agent(work), &guarded), [""; 0]);
}

/// The owner of the project can write where another user can't.
#[test]
fn a_user_that_is_no_longer_named_is_asked_about() {
    let with = |user: &str| {
        format!(
            "agent: {{image: x, mounts: [{{source: ., target: /work}}]{user}}}\negress: {{allowlist: [a.example]}}\n"
        )
    };
    let line = "the agent runs as the owner of /work (before: as user 65534)";
    let reads = "agent: {image: x, mounts: [{source: ., target: /work, read_only: true}]}\negress: {allowlist: [a.example]}\n";
    assert!(
        newly(reads, &with(""))
            .contains(&"the agent runs as the owner of /work (before: as the image's user)".to_owned())
    );
    assert_eq!(newly(&with(", user: '65534'"), &with("")), [line]);
    assert_eq!(newly(&with(", user: '0'"), &with("")), [""; 0], "root writes everywhere");
    assert_eq!(
        newly(&with(""), &with(", user: '65534'")),
        ["the agent runs as user 65534 (before: as the owner of /work)"]
    );
}

/// Whose files the agent writes follows from the first writable mount.
#[test]
fn another_first_mount_is_another_user() {
    let agent = |mounts: &str| {
        format!("agent: {{image: x, mounts: [{mounts}]}}\negress: {{allowlist: [a.example]}}\n")
    };
    let (one, two) = ("{source: ./a, target: /a}", "{source: ./b, target: /b}");
    assert_eq!(
        newly(&agent(&format!("{one}, {two}")), &agent(&format!("{two}, {one}"))),
        ["the agent runs as the owner of /b (before: as the owner of /a)"]
    );
}

/// bottle sets these beside a credential only; elsewhere they are the manifest's.
#[test]
fn a_variable_that_bottle_sets_elsewhere_is_asked_about() {
    let with = |env: &str| format!("agent: {{image: x{env}}}\negress: {{allowlist: [a.example]}}\n");
    for name in ["OPENAI_API_KEY", "DISABLE_TELEMETRY"] {
        let line = format!("the agent's environment has {name}=mine");
        assert_eq!(newly(&with(""), &with(&format!(", env: {{{name}: mine}}"))), [line]);
    }
}

#[test]
fn a_working_folder_is_asked_about() {
    let with = |workdir: &str| format!("agent: {{image: x{workdir}}}\negress: {{allowlist: [a.example]}}\n");
    let line = "the agent starts in /a (before: the image's own folder)";
    assert_eq!(newly(&with(""), &with(", workdir: /a")), [line]);
    assert_eq!(newly(&with(", workdir: /a"), &with("")), [""; 0]);
}

#[test]
fn a_route_that_loses_its_credential_lets_the_agents_own_through() {
    assert_eq!(
        of_route(", auth: {scheme: Bearer, token_ref: A_TOKEN}", ""),
        ["api.example is sent what credential the agent sends (before: A_TOKEN)"]
    );
}

#[test]
fn a_credential_that_was_not_used_before_is_marked() {
    let old = format!("{AGENT}egress_proxy: {{routes: [{{host: a.example}}]}}\n");
    let new = format!(
        "{AGENT}egress_proxy: {{routes: [{{host: a.example}}, {{host: b.example, auth: {{scheme: Bearer, token_ref: B_TOKEN}}}}]}}\n"
    );
    let first = &lines(Some(&old), &new)[0];
    assert_eq!(
        first.to_string(),
        "b.example is sent B_TOKEN in `authorization: Bearer …` (new to this bottle)"
    );
    assert!(is_grave(first));
}

#[test]
fn a_command_a_runtime_and_a_context_outside_of_the_project_are_said() {
    let agent = |text: &str| format!("agent: {{{text}}}\negress: {{allowlist: [a.example]}}\n");
    let plain = agent("image: x");
    assert_eq!(
        newly(&plain, &agent("image: x, command: [sh, -c, evil]")),
        ["the agent's command is `sh -c evil` (before: the image's own)"]
    );
    assert_eq!(newly(&agent("image: x, command: [sh]"), &plain), [""; 0]);
    let all: Vec<String> = lines(None, &agent("image: x, runtime: odd, resources: {pids: 9000}"))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(all.contains(&"the agent's container is run by odd".to_owned()), "{all:?}");
    assert!(all.contains(&"the agent has up to 9000 processes".to_owned()), "{all:?}");
    let built = &lines(Some(&plain), &agent("build: {context: .., dockerfile: x/Dockerfile}"))[0];
    assert_eq!(
        built.to_string(),
        "the agent's image is built from `..` by x/Dockerfile, with an open network, outside of the project (before: in the image x)"
    );
    assert!(is_grave(built));
}

#[test]
fn a_limit_where_there_was_none_is_no_widening() {
    let agent = |more: &str| format!("agent: {{image: x{more}}}\negress: {{allowlist: [a.example]}}\n");
    let limited = agent(", resources: {memory: 256m, cpus: 0.5, pids: 20}");
    let of = |text: &str, memory: u64| {
        let text = format!("version: 1\nname: dev\n{text}");
        let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        Capabilities::from_plan(&plan, &Machine { memory: Some(memory), ..Machine::default() })
    };
    let (open, narrow) = (of(&agent(""), 8 << 30), of(&limited, 8 << 30));
    let narrower = changes(Some(&open), &narrow);
    assert!(narrower.iter().all(|change| change.risk().is_none()), "{narrower:?}");
    let text = |changes: Vec<Change>| changes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        text(narrower),
        [
            "the agent uses up to 8192 MiB of memory (now: 256 MiB)",
            "the agent uses up to all processors (now: 0.500)",
            "the agent has up to 4096 processes (now: 20)"
        ]
    );
    assert_eq!(
        text(changes(Some(&narrow), &open)),
        [
            "the agent uses up to 8192 MiB of memory (before: 256 MiB)",
            "the agent uses up to all processors (before: 0.500)",
            "the agent has up to 4096 processes (before: 20)"
        ]
    );
}

/// The same words in the manifest can mean another place of the machine.
#[test]
fn a_source_that_really_is_another_one_is_new() {
    let manifest = "version: 1\nname: dev\nagent: {image: x, mounts: [{source: ./data, target: /d}]}\n\
                    egress: {allowlist: [a.example]}\n";
    let loaded = Manifest::load("bottle.yaml", manifest.as_bytes()).unwrap();
    let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
    let at = |real: &str| {
        let sources = [("/d".into(), real.into())].into_iter().collect();
        let machine = Machine { project: "/p".into(), sources, ..Machine::default() };
        Capabilities::from_plan(&plan, &machine)
    };
    let moved = changes(Some(&at("/p/data")), &at("/etc"));
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(
        moved[0].to_string(),
        "the agent reads and writes /etc of this machine, outside of the project, as /d (before: `data`, writable)"
    );
}

/// Whoever can write a hook or `core.fsmonitor` runs code where somebody else uses git.
#[test]
fn a_repository_that_the_agent_can_write_is_marked_unless_its_git_folder_is_protected() {
    let with = |mounts: &str, part: GitPart| {
        let text = format!(
            "version: 1\nname: dev\nagent: {{image: x, mounts: [{mounts}]}}\negress: {{allowlist: [a.example]}}\n"
        );
        let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        let repositories = [("/work".into(), part)].into();
        Capabilities::from_plan(&plan, &Machine { project: "/p".into(), repositories, ..Machine::default() })
    };
    let of = |mounts: &str| with(mounts, GitPart::WorkTree);
    let said = |capabilities: &Capabilities| {
        let all = changes(None, capabilities);
        let change = all.iter().find(|change| change.to_string().contains(", as /work")).unwrap();
        (change.to_string(), is_grave(change))
    };
    let first = |mounts: &str| said(&of(mounts));
    let work = "{source: ., target: /work}";
    let protected = format!("{work}, {{source: ./.git, target: /work/.git, read_only: true}}");
    let line = "the agent reads and writes `.`, as /work";
    let marked = format!("{line}, with its .git: hooks and settings that your own git runs");
    assert_eq!(first(work), (marked.clone(), true));
    assert_eq!(first(&protected), (line.to_owned(), false));
    // Where the source is a `.git` itself, or takes its hooks from elsewhere, nothing at that place closes it.
    assert_eq!(said(&with(&protected, GitPart::Settings)), (marked.clone(), true));
    let lost: Vec<String> =
        changes(Some(&of(&protected)), &of(work)).iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["the agent reads and writes /p/.git, at /work/.git (before: `.git`, read-only)"]);
    assert!(is_mirrored(&of(&protected), &of(work)));
}

#[test]
fn what_is_kept_in_the_record_is_read_back() {
    let manifest = include_str!("../manifests/good/full.yaml");
    let loaded = Manifest::load("full.yaml", manifest.as_bytes()).unwrap();
    let around = Surroundings {
        extra_ca: Some("-----BEGIN CERTIFICATE-----\n".to_owned()),
        ..Surroundings::beside("dev")
    };
    let plan = Plan::resolve(&loaded.manifest, &around).unwrap();
    let all = Capabilities::from_plan(&plan, &Machine::default());
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Capabilities>(&text).unwrap(), all);
    let bad = text.replace("\"/user\"", "\"/us%65r\"");
    assert_ne!(bad, text);
    assert!(serde_json::from_str::<Capabilities>(&bad).is_err(), "a path that no rule can have");
}

/// A rule of a small universe, in the words of the manifest.
#[derive(Clone, Debug)]
struct Rule {
    ports: Vec<u16>,
    methods: Option<Vec<&'static str>>,
    paths: Option<Vec<&'static str>>,
    denied: Vec<&'static str>,
}

const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const PORTS: [u16; 2] = [443, 8443];
const PATTERNS: [&str; 6] = ["/a", "/a/b", "/*", "/*/b", "/b", "/a/*"];
const DENIED: [&str; 8] = ["/a/b", "/a/B", "/A", "/*/c", "/a/*", "/b/b.git", "/*/*/c", "/a/b/c"];

/// Every path of up to three of these segments; no pattern names `f`.
fn requests() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..3 {
        let below = |text: &String| {
            ["a", "A", "b", "B", "b.git", "c", "f"].map(|segment| format!("{text}/{segment}"))
        };
        last = last.iter().flat_map(below).collect();
        all.extend(last.iter().cloned());
    }
    all
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Whether the path begins with the pattern, where segments are compared as `same` says.
fn begins(pattern: &str, path: &str, same: impl Fn(&str, &str) -> bool) -> bool {
    let mut path = segments(path);
    segments(pattern).all(|want| path.next().is_some_and(|have| want == "*" || same(want, have)))
}

fn same_spelling(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.to_lowercase().trim_end_matches(".git").to_owned();
    bare(one) == bare(other)
}

impl Rule {
    fn allows(&self, port: u16, method: &str, path: &str) -> bool {
        let exactly = |one: &str, other: &str| one == other;
        self.ports.contains(&port)
            && self.methods.as_ref().is_none_or(|list| list.contains(&method))
            && self.paths.as_ref().is_none_or(|list| list.iter().any(|it| begins(it, path, exactly)))
            && !self.denied.iter().any(|it| begins(it, path, same_spelling))
    }

    /// A denied path that closes nothing or a whole entry is no manifest.
    fn without_slips(mut self) -> Self {
        let paths = self.paths.clone().unwrap_or_default();
        let overlaps = |one: &str, other: &str| {
            segments(one).zip(segments(other)).all(|(a, b)| a == "*" || b == "*" || same_spelling(a, b))
        };
        self.denied.retain(|denied| {
            paths.iter().any(|path| overlaps(denied, path))
                && !paths.iter().any(|path| begins(denied, path, |a, b| b != "*" && same_spelling(a, b)))
        });
        self
    }

    fn manifest(&self) -> String {
        let mut route = format!("host: a.example, ports: {:?}", self.ports);
        if let Some(methods) = &self.methods {
            route.extend([", methods: [", &methods.join(", "), "]"]);
        }
        for (key, paths) in
            [("path_allowlist", self.paths.as_deref()), ("deny_paths", Some(&self.denied[..]))]
        {
            if let Some(paths) = paths.filter(|paths| !paths.is_empty()) {
                let quoted: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
                route.extend([", ", key, ": [", &quoted.join(", "), "]"]);
            }
        }
        format!("{AGENT}egress_proxy: {{routes: [{{{route}}}]}}\n")
    }
}

fn rule() -> impl proptest::strategy::Strategy<Value = Rule> {
    use proptest::prelude::*;
    let some = |from: &'static [&'static str]| {
        proptest::option::of(proptest::sample::subsequence(from, 1..=from.len()))
    };
    let denied = proptest::sample::subsequence(&DENIED[..], 0..=3);
    (proptest::sample::subsequence(&PORTS[..], 1..=2), some(&METHODS), some(&PATTERNS), denied)
        .prop_map(|(ports, methods, paths, denied)| Rule { ports, methods, paths, denied }.without_slips())
}

#[test]
fn what_is_no_longer_allowed_is_said_too() {
    let old = "agent: {image: x, command: [sh], env: {A: a}, mounts: [{source: ., target: /work}]}\n\
               egress_proxy: {routes: [{host: a.example, path_allowlist: [/x], methods: [GET, PUT], auth: {scheme: Bearer, \
               token_ref: A_TOKEN}}, {host: b.example, path_allowlist: [/y]}]}\n";
    let new = "agent: {image: x, mounts: [{source: ., target: /work}, {source: ./ci, target: /work/ci, read_only: true}]}\n\
               egress_proxy: {routes: [{host: a.example, path_allowlist: [/x], methods: [GET], auth: {scheme: Bearer, \
               token_ref: A_TOKEN}}]}\n";
    assert_eq!(
        both(old, new),
        [
            "- PUT https://a.example/x/** with A_TOKEN",
            "- usual methods https://b.example/y/**",
            "- the agent reads and writes /p/ci, at /work/ci (now: `ci`, read-only)",
            "- the agent's command is `sh` (now: the image's own)",
            "- the agent's environment has A=a",
        ]
    );
}

/// A program reads the parts and need not take a line apart.
#[test]
fn a_change_is_typed() {
    let route = |paths: &str| {
        format!(
            "{AGENT}egress_proxy: {{routes: [{{host: a.example, path_allowlist: {paths}, deny_paths: [/x/y]}}]}}\n"
        )
    };
    let change = &lines(Some(&route("[/x]")), &route("[/x, /z]"))[0];
    assert_eq!(
        serde_json::to_value(change).unwrap(),
        serde_json::json!({"change": "added", "new": {
            "capability": "requests", "host": "a.example", "port": 443, "methods": null, "path": "/z", "except": [], "part": [], "part_methods": [],
            "credential": null, "query": {}, "content": [], "until": null,
        }})
    );
    let mount = |options: &str| {
        format!(
            "agent: {{image: x, mounts: [{{source: ./a, target: /a{options}}}]}}\negress: {{allowlist: [a.example]}}\n"
        )
    };
    let change = &lines(Some(&mount(", read_only: true")), &mount(""))[0];
    let side = |writable: bool| {
        serde_json::json!({"capability": "mount", "target": "/a", "source": "a", "real": "/p/a",
                           "writable": writable, "outside": false})
    };
    assert_eq!(
        serde_json::to_value(change).unwrap(),
        serde_json::json!({"change": "changed", "old": side(false), "new": side(true)})
    );
}

/// Every part of a manifest against none of it, and the mounts in every combination.
#[test]
fn both_sides_see_the_same_changes() {
    let full = include_str!("../manifests/good/full.yaml");
    let of = |text: &str| {
        let loaded = Manifest::load("full.yaml", text.as_bytes()).unwrap_or_else(|report| panic!("{report}"));
        let around = Surroundings {
            extra_ca: Some("-----BEGIN CERTIFICATE-----\n".to_owned()),
            ..Surroundings::beside("dev")
        };
        let plan = Plan::resolve(&loaded.manifest, &around).unwrap();
        Capabilities::from_plan(&plan, &Machine { project: "/p".into(), ..Machine::default() })
    };
    let bare = capabilities(&format!("{AGENT}egress: {{allowlist: [a.example]}}\n"));
    assert!(changes(Some(&bare), &of(full)).len() > 15);
    assert!(is_mirrored(&bare, &of(full)));
    let mounts = [
        "{source: ., target: /work}",
        "{source: ./ci, target: /work/ci, read_only: true}",
        "{source: ./ci/sub, target: /work/ci/sub}",
        "{source: /tmp/empty, target: /work/secrets, read_only: true}",
        "{source: ., target: /again, read_only: true}",
    ];
    let subsets: Vec<Capabilities> = (0..1_u32 << mounts.len())
        .map(|bits| {
            let some = mounts.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, it)| *it);
            let some = some.collect::<Vec<_>>().join(", ");
            capabilities(&format!(
                "agent: {{image: x, mounts: [{some}]}}\negress: {{allowlist: [a.example]}}\n"
            ))
        })
        .collect();
    for old in &subsets {
        assert!(subsets.iter().all(|new| is_mirrored(old, new)));
    }
}

proptest::proptest! {
    #[test]
    fn both_sides_see_the_same_changes_of_a_rule(old in rule(), new in rule()) {
        proptest::prop_assert!(is_mirrored(&capabilities(&old.manifest()), &capabilities(&new.manifest())));
    }

    /// Brute force: a line is said exactly when there is a request that the new rule allows and the old one does not.
    #[test]
    fn a_rule_widens_exactly_when_a_request_more_is_allowed(old in rule(), new in rule()) {
        let requests = requests();
        let more = PORTS.iter().any(|port| METHODS.iter().chain(&["PATCH"]).any(|method| {
            requests.iter().any(|path| new.allows(*port, method, path) && !old.allows(*port, method, path))
        }));
        let said = newly(&old.manifest(), &new.manifest());
        proptest::prop_assert_eq!(more, !said.is_empty(), "{:?}", said);
    }

    /// The same of one rule and what is denied of it, where most changes are small.
    #[test]
    fn what_is_denied_widens_exactly_when_a_request_more_is_allowed(
        rule in rule(), denied in proptest::sample::subsequence(&DENIED[..], 0..=3),
    ) {
        let new = Rule { denied, ..rule.clone() }.without_slips();
        let requests = requests();
        let allowed = |rule: &Rule, path: &String| rule.allows(rule.ports[0], rule.methods.as_ref().map_or("GET", |it| it[0]), path);
        let more = requests.iter().any(|path| allowed(&new, path) && !allowed(&rule, path));
        let said = newly(&rule.manifest(), &new.manifest());
        proptest::prop_assert_eq!(more, !said.is_empty(), "{:?}", said);
    }
}

#[test]
fn patterns_and_exceptions_of_the_scan_for_secrets() {
    let of = |pipelock: &str| {
        format!(
            "{AGENT}egress: {{allowlist: [a.example, b.example]}}\npipelock: {{engine: embedded{pipelock}}}\n"
        )
    };
    let change = |old: &str, new: &str| {
        let (old, new) = (of(old), of(new));
        assert!(is_mirrored(&capabilities(&old), &capabilities(&new)), "{old}{new}");
        assert!(lines(Some(&old), &new).iter().all(|change| change.risk().is_none_or(Risk::is_grave)));
        both(&old, &new)
    };
    let badge = ", patterns: [{name: Badge, regex: \"B-[0-9]{8}\"}]";
    let renamed = ", patterns: [{name: Card, regex: \"B-[0-9]{8}\"}]";
    let other = ", patterns: [{name: Badge, regex: \"B-[0-9]{9}\"}]";
    let except = |pattern: &str, host: &str| {
        format!(", except: [{{pattern: \"{pattern}\", host: \"{host}\", reason: r}}]")
    };
    let passes = |digits: u8| {
        format!("requests may carry what the pattern Badge finds, `B-[0-9]{{{digits}}}` (pipelock.patterns)")
    };
    let to_a = "requests to a.example may carry what the pattern IBAN finds (pipelock.except)";
    // A pattern more is less that passes, and another name is nothing.
    assert_eq!(change("", badge), [format!("- {}", passes(8))]);
    assert_eq!(change(badge, ""), [passes(8)]);
    assert_eq!(change(badge, renamed), [""; 0]);
    assert_eq!(change(badge, other), [passes(8), format!("- {}", passes(9))]);
    // An exception is more that passes.
    assert_eq!(change("", &except("IBAN", "a.example")), [to_a]);
    assert_eq!(change(&except("IBAN", "a.example"), ""), [format!("- {to_a}")]);
    assert_eq!(
        change(&except("IBAN", "a.example"), &except("IBAN", "*")),
        ["requests to any host may carry what the pattern IBAN finds (pipelock.except)"]
    );
    assert_eq!(
        change(&except("*", "a.example"), &except("IBAN", "a.example")),
        ["- requests to a.example may carry every secret that no core pattern finds (pipelock.except)"]
    );
    // What was not searched for passes no more than before.
    let excepted = format!("{badge}{}", except("Badge", "a.example"));
    assert_eq!(change("", &excepted), [format!("- {}", passes(8))]);
    assert_eq!(
        change(badge, &excepted),
        ["requests to a.example may carry what the pattern Badge finds (pipelock.except)"]
    );
    let everywhere = format!("{badge}{}", except("Badge", "*"));
    assert_eq!(change("", &everywhere), [""; 0]);
    assert_eq!(change(&everywhere, ""), [""; 0]);
    // On a first look an exception is said, and a pattern is no question.
    let first: Vec<String> =
        lines(None, &of(&except("IBAN", "a.example"))).iter().map(ToString::to_string).collect();
    assert!(first.contains(&to_a.to_owned()), "{first:?}");
    assert!(lines(None, &of(badge)).iter().all(|change| !change.to_string().contains("Badge")));
}

#[test]
fn a_service_comes_with_all_that_it_is() {
    let with = |services: &str| format!("{AGENT}{services}");
    let db = "services: {db: {image: 'postgres:17', env: {A_B: c}, volumes: [/data]}}\n";
    let first = both(AGENT, &with(db));
    assert_eq!(
        first,
        [
            "the service db runs beside the agent in the image postgres:17, pulled where it is missing",
            "the command of the service db is the image's own",
            "the service db runs as the image's user, which may be root, with the capabilities CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID",
            "the environment of the service db has A_B=c",
            "what the service db keeps in /data is there for the next one",
            "the service db uses up to 1024 MiB of memory",
            "the service db uses up to all processors",
            "the service db has up to 1024 processes",
        ]
    );
    assert_eq!(lines(None, &with(db)).iter().filter(|it| it.to_string().contains("db")).count(), first.len());
    assert!(both(&with(db), AGENT).iter().all(|line| line.starts_with("- ")));
    for (old, new, said) in [
        (
            "image: x",
            "image: y",
            "the service db runs beside the agent in the image y, pulled where it is missing (before: in the image x)",
        ),
        (
            "image: x",
            "image: x, command: [sh, -c]",
            "the command of the service db is `sh -c` (before: the image's own)",
        ),
        (
            "image: x",
            "image: x, user: root",
            "the service db runs as user root, with no capability (before: as the image's user, which may be root)",
        ),
        (
            "image: x, env: {A: b}",
            "image: x, env: {A: c}",
            "the environment of the service db has A=c (before: A=b)",
        ),
        ("image: x", "image: x, volumes: [/d]", "what the service db keeps in /d is there for the next one"),
        (
            "image: x",
            "image: x, resources: {memory: 2g}",
            "the service db uses up to 2048 MiB of memory (before: 1024 MiB)",
        ),
        (
            "image: x",
            "image: x, resources: {cpus: 1}",
            "- the service db uses up to all processors (now: 1.000)",
        ),
        (
            "image: x",
            "image: x, resources: {pids: 2000}",
            "the service db has up to 2000 processes (before: 1024)",
        ),
        (
            "image: x",
            "image: x, resources: {pids: 10}",
            "- the service db has up to 1024 processes (now: 10)",
        ),
    ] {
        let [old, new] = [old, new].map(|it| with(&format!("services: {{db: {{{it}}}}}\n")));
        assert_eq!(both(&old, &new), [said]);
        assert!(is_mirrored(&capabilities(&old), &capabilities(&new)));
    }
    let added = lines(Some(AGENT), &with(db));
    assert_eq!(added[0].risk(), Some(Risk::Code));
    // A record of before there were services is read as one without.
    let mut record = serde_json::to_value(capabilities(AGENT)).unwrap();
    record.as_object_mut().unwrap().remove("services").unwrap();
    assert_eq!(serde_json::from_value::<Capabilities>(record).unwrap(), capabilities(AGENT));
}

#[test]
fn a_published_port_is_asked_about_and_marked() {
    let with = |ports: &str| AGENT.replacen("agent: {", &format!("agent: {{publish: [{ports}], "), 1);
    let said = |port: u16, agent: u16| {
        format!(
            "port {agent} of the agent is shown on this machine at 127.0.0.1:{port}: a page from there can send anything \
             anywhere from your browser"
        )
    };
    let one = with("3000");
    assert_eq!(both(AGENT, &one), [said(3000, 3000)]);
    assert_eq!(both(&one, &with("'3000:3000'")), [""; 0]);
    assert_eq!(both(&one, AGENT), [format!("- {}", said(3000, 3000))]);
    assert_eq!(both(&one, &with("3000, '8080:3000'")), [said(8080, 3000)]);
    assert_eq!(both(&with("3000, 4000"), &with("4000, 3000")), [""; 0]);
    let other = with("'3000:5432'");
    assert_eq!(both(&one, &other), [format!("{} (before: port 3000 of the agent)", said(3000, 5432))]);
    assert!(is_mirrored(&capabilities(&one), &capabilities(&other)));
    for old in [None, Some(AGENT)] {
        let added = lines(old, &one);
        let shown = added.iter().find(|it| it.to_string() == said(3000, 3000)).unwrap();
        assert!(shown.risk().unwrap().is_grave());
    }
    // A record of before ports were published is read as one without.
    let mut record = serde_json::to_value(capabilities(AGENT)).unwrap();
    record.as_object_mut().unwrap().remove("published").unwrap();
    assert_eq!(serde_json::from_value::<Capabilities>(record).unwrap(), capabilities(AGENT));
}

#[test]
fn the_program_that_is_pipelock_is_asked_about() {
    let routes =
        "egress_proxy: {routes: [{host: api.example}, {host: forge.example, addresses: [10.1.0.0/16]}]}\n";
    let with = |pipelock: &str| format!("{AGENT}{routes}pipelock: {pipelock}\n");
    let (embedded, image) = (with("{engine: embedded}"), with("{engine: image, image: \"pl:2\"}"));
    let program = "pipelock is the program in the image pl:2, which sees in plain text what leaves, credentials included";
    let wider = "api.example may be at private addresses in 10.1.0.0/16";
    assert_eq!(
        both(&embedded, &image),
        [wider.to_owned(), format!("{program} (before: bottle's own program)")]
    );
    assert!(lines(Some(&embedded), &image).iter().all(is_grave));
    assert_eq!(
        both(&image, &embedded),
        ["pipelock is bottle's own program (before: the program in pl:2)".to_owned(), format!("- {wider}")]
    );
    let other = with("{engine: image, image: \"pl:3\"}");
    assert_eq!(
        both(&image, &other),
        [
            "pipelock is the program in the image pl:3, which sees in plain text what leaves, credentials included \
          (before: the program in pl:2)"
        ]
    );
    assert_eq!(both(&image, &image), [""; 0]);
    assert!(lines(None, &image).iter().any(|change| change.to_string() == program));
}

#[test]
fn without_routes_the_upstream_program_opens_every_port() {
    let allowlist = "egress: {allowlist: [api.example]}\n";
    let pipelock = "pipelock: {engine: image, image: \"pl:2\"}\n";
    let direct = format!("{AGENT}{allowlist}{pipelock}");
    let chain = format!("{AGENT}egress_proxy: {{routes: [{{host: api.example}}]}}\n{pipelock}");
    let every_port = "pipelock is the program in the image pl:2, which sees in plain text what leaves, and reaches every port of \
                      an allowed host, as no egress-proxy is before it (before: the program in pl:2)";
    assert!(newly(&chain, &direct).contains(&every_port.to_owned()), "{:?}", newly(&chain, &direct));
    let back = both(&direct, &chain);
    assert!(back.iter().all(|line| line.starts_with("- ")), "{back:?}");
    assert!(is_mirrored(&capabilities(&chain), &capabilities(&direct)));
}
