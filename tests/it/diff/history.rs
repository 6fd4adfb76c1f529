//! A history of ten changes as its reviewer sees it: each with its comment, which is judged line by line.

use super::{MANIFEST, Repository};

type Edit = fn(&Repository);

const CHANGES: [(&str, Edit); 10] = [
    ("a method more", |it| it.edit("methods: [GET]", "methods: [GET, POST]")),
    ("the token goes to another host", |it| {
        it.edit(
            "egress:\n",
            "    - host: mirror.example\n      path_allowlist: [/v1]\n      auth: {scheme: Bearer, token_ref: API_TOKEN}\negress:\n",
        );
    }),
    ("a comment, an order and a reason", |it| {
        it.edit(
            "      methods: [GET, POST]\n",
            "      # the tracker\n      methods: [POST, GET]\n      reason: issues\n",
        );
    }),
    ("every path, less two", |it| {
        it.edit(
            "path_allowlist: [/v1]\n      # the tracker",
            "path_allowlist: [/v1, /v2]\n      deny_paths: [/v1/admin, /v2/keys]\n      # the tracker",
        );
    }),
    ("a denied path less", |it| it.edit("[/v1/admin, /v2/keys]", "[/v2/keys]")),
    ("an allowlist entry becomes a route, and a path of it is closed", |it| {
        it.edit("  allowlist: [docs.example]\n", "  allowlist: []\n");
        it.edit(
            "  routes:\n",
            "  routes:\n    - host: docs.example\n      path_allowlist: [/guide, /reference]\n",
        );
    }),
    ("a second bottle", |it| {
        it.write(
            "ci/bottle.yaml",
            "version: 1\nname: ci\nagent:\n  build: {context: ./image}\n  user: '0'\n  mounts: [{source: .., target: /src, \
             read_only: true}, {source: /var/cache, target: /cache}]\negress: {allowlist: [b.example]}\n",
        );
        it.write("ci/image/Dockerfile", "FROM scratch\n");
    }),
    ("its image, and the scanner", |it| {
        it.write("ci/image/Dockerfile", "FROM scratch\nCOPY x /\n");
        it.write("ci/image/x", "x");
        it.edit("  allowlist: []\n", "  dlp_action: warn\n");
    }),
    ("dates, ports, addresses and inspection", |it| {
        it.edit(
            "    - host: mirror.example\n",
            "    - host: mirror.example\n      until: 2027-06-30\n      ports: [443, 8443]\n      addresses: [10.0.0.0/8]\n      \
             inspect: false\n",
        );
    }),
    ("the second bottle goes", |it| {
        it.git(&["rm", "--quiet", "-r", "ci"]);
    }),
];

#[test]
fn ten_changes_are_shown_as_what_the_agent_can_do() {
    let repository = Repository::with(MANIFEST);
    let folded = regex::Regex::new("(?s)\n<details>.*?</details>\n").unwrap();
    for (at, (what, change)) in CHANGES.iter().enumerate() {
        change(&repository);
        repository.commit(what);
        let said = repository.diff(&["HEAD~1..HEAD", "--format", "markdown"]);
        assert!(said.code < 2, "{what}: {}", said.err);
        let shown = folded.replace_all(&said.out, "");
        insta::assert_snapshot!(format!("{:02}", at + 1), format!("{what}\n\n{shown}"));
    }
}
