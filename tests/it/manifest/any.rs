//! Manifests of any shape: no panic, a place for everything that is wrong, and one truth in schema and types.

use bottle::manifest::Manifest;
use proptest::prelude::*;
use serde_json::Value;

/// Maps of known and unknown keys over values of every kind, good and bad.
fn any_manifest() -> impl Strategy<Value = Value> {
    let keys = [
        "version",
        "name",
        "agent",
        "egress_proxy",
        "egress",
        "pipelock",
        "image",
        "build",
        "context",
        "args",
        "command",
        "user",
        "workdir",
        "mounts",
        "source",
        "target",
        "env",
        "read_only",
        "routes",
        "host",
        "path_allowlist",
        "deny_paths",
        "methods",
        "auth",
        "scheme",
        "token_ref",
        "username",
        "ports",
        "encoded_slash",
        "inspect",
        "addresses",
        "reason",
        "until",
        "allowlist",
        "dlp_action",
        "network",
        "extra_ca",
        "seed_phrases",
        "supervise",
        "patterns",
        "except",
        "cred_proxy",
        "path",
        "upstream",
        "auth_scheme",
        "tokens",
        "a/b~c.d[0]",
        "",
        "x\ny",
    ];
    let texts = [
        "",
        "dev",
        "/a",
        "/a/../b",
        "a.example",
        "https://a.example/b",
        "*",
        "GET",
        "Bearer",
        "TOKEN",
        "10.0.0.0/8",
        "::/0",
        "2027-01-01",
        "block",
        "x\ny",
        "${X}",
        "-",
        "/",
        ".",
        "~",
        "/dev",
        "https://a:b@c.example:1/",
        "://",
        "@",
        "[",
        "é",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1i64..70_000).prop_map(Value::from),
        prop::sample::select(texts.to_vec()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let map_of = move |inner: BoxedStrategy<Value>| {
        prop::collection::vec((prop::sample::select(keys.to_vec()), inner), 0..8).prop_map(|entries| {
            Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        })
    };
    let inner = leaf.prop_recursive(5, 80, 6, {
        move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                map_of(inner.boxed())
            ]
        }
    });
    map_of(inner.boxed())
}

/// A good manifest with one value replaced by another, anywhere.
fn almost_good() -> impl Strategy<Value = Value> {
    let good: Value = serde_yaml::from_str(include_str!("../../manifests/good/full.yaml")).unwrap();
    let mut pointers = Vec::new();
    pointers_of(&good, String::new(), &mut pointers);
    (prop::sample::select(pointers), any_manifest(), any::<prop::sample::Index>()).prop_map(
        move |(pointer, other, pick)| {
            let mut inside = Vec::new();
            pointers_of(&other, String::new(), &mut inside);
            let replacement =
                inside.get(pick.index(inside.len().max(1))).and_then(|at| other.pointer(at)).cloned();
            let mut manifest = good.clone();
            *manifest.pointer_mut(&pointer).unwrap() = replacement.unwrap_or(Value::Null);
            manifest
        },
    )
}

fn pointers_of(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| pointers_of(item, format!("{at}/{index}"), into));
        }
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            pointers_of(item, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), into);
        }),
        _ => {}
    }
    if !at.is_empty() {
        into.push(at);
    }
}

proptest! {
    /// No panic, a place for everything that is wrong, and no difference between the schema and the types.
    #[test]
    fn whatever_a_manifest_holds_the_report_has_a_place_for_it(value in prop_oneof![any_manifest(), almost_good()]) {
        let text = bottle::yaml::emit_value(&value);
        let Err(report) = Manifest::load("bottle.yaml", text.as_bytes()) else { return Ok(()) };
        prop_assert!(!report.0.is_empty(), "refused without a reason:\n{}", text);
        for problem in &report.0 {
            prop_assert!(problem.position().is_some() && problem.code != "schema", "{:?}\n{}", problem, text);
        }
        prop_assert!(!report.to_string().is_empty());
    }
}
