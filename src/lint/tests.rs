//! Each lint is said where it should be, and not where something only looks like it.

use super::*;
use crate::manifest::Manifest;
use crate::plan::Surroundings;

const IMAGE: &str = "node:24@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn facts() -> Facts {
    let today = jiff::civil::date(2026, 11, 27);
    Facts { today, secrets: Vec::new(), writable_git: BTreeSet::new() }
}

fn report(agent: &str, rest: &str, facts: &Facts) -> Report {
    let text = format!("version: 1\nname: dev\nagent: {{{agent}}}\n{rest}\n");
    let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap_or_else(|it| panic!("{text}\n{it}"));
    let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
    lints(&loaded, &plan, facts)
}

fn codes(agent: &str, rest: &str) -> Vec<&'static str> {
    report(agent, rest, &facts()).0.iter().map(|it| it.code).collect()
}

/// Of a bottle with an image that is pinned.
fn of(rest: &str) -> Vec<&'static str> {
    codes(&format!("image: \"{IMAGE}\""), rest)
}

/// Of one route.
fn of_route(route: &str) -> Vec<&'static str> {
    of(&format!("egress_proxy: {{routes: [{{{route}}}]}}"))
}

/// Of one agent, in a bottle that is fine.
fn of_agent(agent: &str) -> Vec<&'static str> {
    codes(agent, "egress_proxy: {routes: [{host: a.example}]}")
}

const AUTH: &str = "auth: {scheme: Bearer, token_ref: A_TOKEN}";

#[test]
fn a_manifest_without_anything_to_look_at_has_none() {
    assert_eq!(of_route("host: a.example"), [""; 0]);
    assert_eq!(of_route(&format!("host: a.example, path_allowlist: [/v1], {AUTH}")), [""; 0]);
}

#[test]
fn the_stack_as_a_whole() {
    assert_eq!(of(""), ["no-routes", "no-hosts"]);
    assert_eq!(of("egress: {allowlist: [a.example]}"), ["no-routes"]);
    let routed = "egress_proxy: {routes: [{host: a.example}]}\n";
    assert_eq!(of(&format!("{routed}egress: {{dlp_action: warn}}")), ["dlp-warns"]);
    assert_eq!(of(&format!("{routed}egress: {{dlp_action: block}}")), [""; 0]);
    assert_eq!(of(&format!("{routed}egress: {{dlp_action: redact}}")), ["redact-alters-uploads"]);
}

#[test]
fn an_image_floats_unless_a_digest_pins_it() {
    let digest = "0".repeat(64);
    for name in ["debian", "debian:12", "localhost:5000/agent", "localhost:5000/a/b:1", "a.example/b:latest"]
    {
        assert_eq!(of_agent(&format!("image: \"{name}\"")), ["floating-image"], "{name}");
        assert_eq!(of_agent(&format!("image: \"{name}@sha256:{digest}\"")), [""; 0], "{name}");
    }
    assert_eq!(of_agent(&format!("image: \"debian@sha512:{digest}{digest}\"")), [""; 0]);
    assert_eq!(of_agent("build: {context: ./agent}"), [""; 0]);
    let message = |image: &str| {
        let report = report(&format!("image: \"{image}\""), "egress: {allowlist: [a.example]}", &facts());
        report.0.into_iter().find(|it| it.code == "floating-image").unwrap().message
    };
    // A port is not a tag.
    assert_eq!(
        message("localhost:5000/agent"),
        "the image `localhost:5000/agent` is whatever is newest when it is pulled"
    );
    assert_eq!(message("r:5000/a:1"), "the image `r:5000/a:1` can change: the tag `1` is not a digest");
}

#[test]
fn a_build_context_in_a_mount_that_the_agent_writes() {
    let of = |context: &str, mount: &str| {
        of_agent(&format!("build: {{context: {context}}}, mounts: [{{target: /work, {mount}}}]"))
    };
    assert_eq!(of("./agent", "source: ."), ["build-context-in-mount"]);
    assert_eq!(of("./a/b", "source: ./a"), ["build-context-in-mount"]);
    assert_eq!(of("./agent", "source: ., read_only: true"), [""; 0]);
    assert_eq!(of("./agent", "source: ./agents"), [""; 0], "a name that begins alike");
    assert_eq!(of("./agent", "source: ../other"), [""; 0]);
}

#[test]
fn what_the_machine_shows() {
    let agent =
        format!("image: \"{IMAGE}\", mounts: [{{source: ., target: /work}}, {{source: ./o, target: /o}}]");
    let rest = "egress_proxy: {routes: [{host: a.example}]}";
    let mut facts = facts();
    facts.secrets = ["a", "b", "c", "d", "e"].map(|name| ("/o".into(), format!("/o/{name}").into())).to_vec();
    facts.writable_git = ["/work".into()].into();
    let report = report(&agent, rest, &facts);
    let said: Vec<_> = report.0.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "the mount of `.` lets the agent change the repository's `.git`",
            "the mount of `o` shows the agent `/o/a`, `/o/b`, `/o/c` and 2 more"
        ]
    );
}

#[test]
fn what_pipelock_does_not_look_into() {
    assert_eq!(of_route("host: a.example, inspect: false"), ["not-inspected"]);
    assert_eq!(
        of_route(&format!("host: a.example, path_allowlist: [/v1], {AUTH}, inspect: false")),
        ["credential-not-inspected"]
    );
    assert_eq!(of_route("host: a.example, inspect: true"), [""; 0]);
    assert_eq!(of_route("host: a.example, dlp_action: redact"), ["redact-alters-uploads"]);
    assert_eq!(of_route("host: api.openai.com, dlp_action: redact"), [""; 0]);
}

#[test]
fn a_credential_without_paths() {
    assert_eq!(of_route(&format!("host: a.example, {AUTH}")), ["credential-without-paths"]);
    let hints = |route: &str| {
        let routes = format!("egress_proxy: {{routes: [{{{route}}}]}}");
        let report = report(&format!("image: \"{IMAGE}\""), &routes, &facts());
        report.0.into_iter().find(|it| it.code == "credential-without-paths").unwrap().hints.len() - 1 // how to allow it
    };
    assert_eq!(hints(&format!("host: gitlab.com, {AUTH}")), 2);
    assert_eq!(hints(&format!("host: gitlab.com, methods: [GET], {AUTH}")), 1, "nothing is written there");
    assert_eq!(hints(&format!("host: a.example, {AUTH}")), 1);
}

fn shared(host: &str, path: &str) -> bool {
    let route = format!("host: {host}, path_allowlist: [\"{path}\"], {AUTH}");
    of_route(&route).contains(&"credential-on-shared-host")
}

#[test]
fn a_path_that_names_no_tenant_of_a_shared_host() {
    for (host, open, own) in [
        ("api.github.com", "/repos", "/repos/acme"),
        ("api.github.com", "/repos/*/app", "/repos/acme/*"),
        ("api.github.com", "/graphql", "/user"),
        ("github.com", "/*/app.git", "/acme/app.git"),
        ("gitlab.com", "/api/v4/projects", "/api/v4/projects/17"),
        ("codeberg.org", "/api/v1/repos/*", "/api/v1/repos/acme"),
        ("s3.amazonaws.com", "/", "/bucket"),
        ("s3.eu-west-1.amazonaws.com", "/*", "/bucket"),
        ("s3-eu-west-1.amazonaws.com", "/", "/bucket"),
        ("fra1.digitaloceanspaces.com", "/", "/bucket"),
        ("storage.googleapis.com", "/storage/v1/b", "/storage/v1/b/bucket"),
    ] {
        assert!(shared(host, open), "{host}{open}");
        assert!(!shared(host, own), "{host}{own}");
    }
}

#[test]
fn a_host_that_is_not_shared_is_not_taken_for_one() {
    for host in [
        "bucket.s3.amazonaws.com",
        "bucket.s3.eu-west-1.amazonaws.com",
        "bucket.s3-eu-west-1.amazonaws.com",
        "abc123.execute-api.eu-west-1.amazonaws.com",
        "bucket.fra1.digitaloceanspaces.com",
        "bucket.storage.googleapis.com",
        "account.r2.cloudflarestorage.com",
        "notgitlab.com",
        "gitlab.com.example",
        "gitlab.example.com",
        "xapi.github.com.example",
    ] {
        assert!(!shared(host, "/"), "{host}");
    }
    let read = format!("host: gitlab.com, path_allowlist: [/], methods: [GET, HEAD], {AUTH}");
    assert_eq!(of_route(&read), [""; 0], "nothing is written");
    assert_eq!(
        of_route("host: github.com, path_allowlist: [/]"),
        ["client-credentials"],
        "no credential of ours"
    );
}

#[test]
fn writes_to_the_api_of_a_forge() {
    let writes = |route: &str| of_route(&format!("{route}, {AUTH}")).contains(&"forge-api-writes");
    for route in [
        "host: api.github.com, path_allowlist: [/repos/acme/app]",
        "host: api.github.com, path_allowlist: [/]",
        "host: api.github.com",
        "host: api.acme.ghe.com, path_allowlist: [/repos/acme]",
        "host: gitlab.com, path_allowlist: [\"/*\"]",
        "host: github.corp.example, path_allowlist: [/api/v3/repos/acme]",
        "host: git.corp.example, path_allowlist: [/api/v1/repos/acme]",
        "host: code.corp.example, path_allowlist: [/api/v4/projects/17]",
        "host: api.github.com, path_allowlist: [/repos/acme/app], methods: [GET, PATCH]",
    ] {
        assert!(writes(route), "{route}");
    }
    for route in [
        "host: api.github.com, path_allowlist: [/repos/acme/app], methods: [GET, HEAD, OPTIONS]",
        "host: api.github.com, path_allowlist: [/user]",
        "host: api.github.com, path_allowlist: [/], deny_paths: [/repos, /api]",
        // An API of something else, however wide.
        "host: api.anthropic.com, path_allowlist: [/]",
        "host: api.example.com, path_allowlist: [\"/*\"]",
        "host: packages.example.com, path_allowlist: [/repos/main]",
        "host: api.example.com",
        "host: acme.github.io",
        "host: github.com",
        "host: github.com, path_allowlist: [\"/*/app.git\"]",
        "host: gitlab.com, path_allowlist: [\"/*/app.git\"]",
        "host: github-mirror.example",
    ] {
        assert!(!writes(route), "{route}");
    }
    let without = of_route("host: api.github.com, path_allowlist: [/repos]");
    assert!(!without.contains(&"forge-api-writes"), "no credential");
}

#[test]
fn the_days_around_the_end_of_a_rule() {
    for (until, said) in [
        ("2026-11-26", Some("rule-expired")),
        ("2026-11-27", Some("rule-expires-soon")),
        ("2026-12-11", Some("rule-expires-soon")),
        ("2026-12-12", None),
        ("9999-12-30", None),
    ] {
        let found = of_route(&format!("host: a.example, until: {until}"));
        assert_eq!(found, Vec::from_iter(said), "{until}");
    }
    let mut facts = facts();
    facts.today = Date::MAX;
    let rest = "egress_proxy: {routes: [{host: a.example, until: 9999-12-31}]}";
    let found = report(&format!("image: \"{IMAGE}\""), rest, &facts);
    assert_eq!(found.0.iter().map(|it| it.code).collect::<Vec<_>>(), ["rule-expires-soon"]);
}

#[test]
fn an_entry_that_another_one_allows_anyway() {
    let shadowed = |paths: &str| {
        let rest = format!("egress_proxy: {{routes: [{{host: a.example, path_allowlist: [{paths}]}}]}}");
        let report = report(&format!("image: \"{IMAGE}\""), &rest, &facts());
        report.0.into_iter().map(|it| it.message).collect::<Vec<_>>()
    };
    assert_eq!(
        shadowed("/a, /a/b"),
        ["egress_proxy.routes[0]: `/a/b` allows nothing that `/a` does not allow already"]
    );
    assert_eq!(shadowed("\"/*/b\", /a/b/c").len(), 1);
    assert_eq!(shadowed("/a, /b, /").len(), 2);
    for apart in ["/a, /ab", "/a/b, \"/*/c\"", "/a/b, /a/c", "/a, /A"] {
        assert_eq!(shadowed(apart), [""; 0], "{apart}");
    }
    let slashes =
        |paths: &str| of_route(&format!("host: a.example, encoded_slash: true, path_allowlist: [{paths}]"));
    assert_eq!(slashes("/a, \"/a/b%2Fc\""), ["shadowed-path"]);
    assert_eq!(slashes("/a/b, \"/a%2Fb\""), [""; 0], "an encoded slash does not part segments");
}

#[test]
fn an_allowed_lint_is_not_said_and_one_that_is_not_raised_is() {
    let lints = |codes: &[&str]| {
        let allow: Vec<String> = codes.iter().map(|code| format!("{{code: {code}, reason: so}}")).collect();
        of(&format!("egress: {{allowlist: [a.example]}}\nlints: {{allow: [{}]}}", allow.join(", ")))
    };
    assert_eq!(lints(&["no-routes"]), [""; 0]);
    assert_eq!(lints(&["no-hosts"]), ["no-routes", "unused-allow"]);
    assert_eq!(lints(&["no-routes", "no-hosts", "unused-allow"]), [""; 0]);
    assert_eq!(lints(&["no-routes", "unused-allow"]), ["unused-allow"], "it is of no use itself");
}

#[test]
fn a_host_of_many_tenants_that_takes_the_agents_own_credentials() {
    for route in [
        "host: huggingface.co",
        "host: github.com, path_allowlist: [\"/*/app.git\"]",
        "host: storage.googleapis.com, client_credentials: pass",
        "host: api.telegram.org, methods: [POST]",
    ] {
        assert!(of_route(route).contains(&"client-credentials"), "{route}");
    }
    for route in [
        "host: a.example",
        "host: huggingface.co, client_credentials: strip",
        "host: huggingface.co, methods: [GET, HEAD]",
        "host: github.com, path_allowlist: [/acme/app.git]",
        &format!("host: huggingface.co, {AUTH}"),
    ] {
        assert!(!of_route(route).contains(&"client-credentials"), "{route}");
    }
}
