use super::*;
use proptest::prelude::*;
use serde_json::json;

fn edited(text: &str, edits: &[Edit]) -> String {
    edit(text, edits, Limits::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str, one: Edit) -> String {
    edit(text, &[one], Limits::default()).expect_err("an edit that is refused").to_string()
}

#[track_caller]
fn becomes(before: &str, one: Edit, after: &str) {
    assert_eq!(edited(before, &[one]), after);
}

const ROUTES: &str = "\
# head
egress_proxy:   # the proxy
  routes:
    # the forge
    - host: 'api.example' # quoted
      path_allowlist:
        - /a   # why a
        # why b
        - /b
        # the end
      methods: [GET, HEAD]

    - host: files.example
      path_allowlist: [ /x,/y ]
egress:
  allowlist: []
";

#[test]
fn an_item_is_added_behind_the_last_and_the_comment_at_the_end_stays_there() {
    becomes(
        ROUTES,
        Edit::add("/egress_proxy/routes/0/path_allowlist/-", "/c"),
        &ROUTES.replace("        - /b\n", "        - /b\n        - /c\n"),
    );
    becomes(
        ROUTES,
        Edit::add("/egress_proxy/routes/0/path_allowlist/1", "/c"),
        &ROUTES.replace("        # why b\n", "        - /c\n        # why b\n"),
    );
    becomes(
        ROUTES,
        Edit::add("/egress_proxy/routes/1/path_allowlist/-", "/c"),
        &ROUTES.replace(",/y ]", ",/y, /c ]"),
    );
    becomes(ROUTES, Edit::add("/egress/allowlist/-", "a.example"), &ROUTES.replace("[]", "[a.example]"));
}

#[test]
fn a_new_route_is_a_block_apart_like_its_neighbours() {
    becomes(
        ROUTES,
        Edit::add(
            "/egress_proxy/routes/-",
            json!({"host": "new.example", "path_allowlist": ["/v1"], "auth": {"scheme": "Bearer", "token_ref": "T"}}),
        ),
        &ROUTES.replace(
            "egress:\n",
            "\n    - host: new.example\n      path_allowlist: [/v1]\n      auth: {scheme: Bearer, token_ref: T}\negress:\n",
        ),
    );
    becomes(
        ROUTES,
        Edit::add("/egress/allowlist/-", json!({"host": "a.example", "inspect": false})),
        &ROUTES.replace(" []\n", "\n    - host: a.example\n      inspect: false\n"),
    );
}

#[test]
fn parents_that_are_missing_are_made() {
    becomes(
        "version: 1\nname: dev # it",
        Edit::add("/egress_proxy/routes/-", json!({"host": "a.example"})),
        "version: 1\nname: dev # it\negress_proxy:\n  routes:\n    - host: a.example",
    );
    becomes(
        ROUTES,
        Edit::add("/egress_proxy/routes/1/methods/-", "GET"),
        &ROUTES.replace("[ /x,/y ]\n", "[ /x,/y ]\n      methods: [GET]\n"),
    );
    let error = refused(ROUTES, Edit::add("/egress_proxy/routes/0/host/-", "x"));
    assert_eq!(
        error,
        "/egress_proxy/routes/0/host/- can't be edited in place: what should hold it is neither a list nor a map"
    );
}

#[test]
fn an_item_goes_with_the_comment_above_it() {
    becomes(
        ROUTES,
        Edit::remove("/egress_proxy/routes/0/path_allowlist/1"),
        &ROUTES.replace("        # why b\n        - /b\n", ""),
    );
    becomes(
        ROUTES,
        Edit::remove("/egress_proxy/routes/0/path_allowlist/0"),
        &ROUTES.replace("        - /a   # why a\n", ""),
    );
    becomes(ROUTES, Edit::remove("/egress_proxy/routes/0/methods/0"), &ROUTES.replace("GET, ", ""));
    becomes(ROUTES, Edit::remove("/egress_proxy/routes/1/path_allowlist/1"), &ROUTES.replace(",/y", ""));
    let start = ROUTES.find("    # the forge").unwrap();
    let end = ROUTES.find("    - host: files").unwrap();
    let without = format!("{}{}", &ROUTES[..start], &ROUTES[end..]);
    // The blank line between the two is left at the top of the list.
    becomes(ROUTES, Edit::remove("/egress_proxy/routes/0"), &without.replace("routes:\n", "routes:\n\n"));
    becomes(
        ROUTES,
        Edit::remove("/egress_proxy/routes/1"),
        &ROUTES.replace("    - host: files.example\n      path_allowlist: [ /x,/y ]\n", ""),
    );
}

#[test]
fn the_last_one_leaves_an_empty_list() {
    becomes(
        "a: # why\n  # b\n  - b # c\n  # end\nz: 1\n",
        Edit::remove("/a/0"),
        "a: [] # why\n  # end\nz: 1\n",
    );
    becomes("a:\n  b: 1", Edit::remove("/a/b"), "a: {}\n");
    becomes("- a: 1\n- c\n", Edit::remove("/0/a"), "- {}\n- c\n");
    becomes("a: [ b, ] # c\n", Edit::remove("/a/0"), "a: [] # c\n");
}

#[test]
fn the_first_entry_on_the_line_of_its_dash() {
    let text = "- a: 1 # one\n  b: 2\n- c: 3\n  # about d\n  d: 4\n";
    becomes(text, Edit::remove("/0/a"), &text.replace("- a: 1 # one\n  b: 2", "- b: 2"));
    becomes(
        text,
        Edit::Remove { at: "/0/a".to_owned(), comments: Comments::Keep },
        &text.replace("a: 1 # one", "# one"),
    );
    becomes(text, Edit::remove("/1/c"), &text.replace("- c: 3\n", "-\n"));
    becomes(text, Edit::remove("/1/d"), &text.replace("  # about d\n  d: 4\n", ""));
    becomes(
        text,
        Edit::Remove { at: "/1/d".to_owned(), comments: Comments::Keep },
        &text.replace("  d: 4\n", ""),
    );
    becomes(text, Edit::Rename { at: "/0/a".to_owned(), key: "z".to_owned() }, &text.replace("a: 1", "z: 1"));
}

#[test]
fn brackets_over_several_lines_keep_their_form() {
    let text = "a: [\n  /a, # one\n  # two\n  /b\n]\n";
    becomes(text, Edit::add("/a/-", "/c"), "a: [\n  /a, # one\n  # two\n  /b,\n  /c\n]\n");
    becomes(text, Edit::remove("/a/1"), "a: [\n  /a, # one\n]\n");
    becomes(text, Edit::remove("/a/0"), "a: [\n  # two\n  /b\n]\n");
    becomes("a: [\n  /a,\n]\n", Edit::add("/a/-", "/c"), "a: [\n  /a,\n  /c,\n]\n");
    becomes("a: {b: 1, c: {d: x}}\n", Edit::add("/a/c/e", json!([1])), "a: {b: 1, c: {d: x, e: [1]}}\n");
    becomes("a: {b: 1, c: {d: x}}\n", Edit::remove("/a/c"), "a: {b: 1}\n");
}

#[test]
fn a_value_is_replaced_in_its_place() {
    becomes("a: 'x' # c\nb: 1\n", Edit::replace("/a", "y"), "a: 'y' # c\nb: 1\n");
    becomes("a: # c\nb: 1\n", Edit::replace("/a", json!(["q"])), "a: [q] # c\nb: 1\n");
    becomes("a:\n  - x\n  - y # c\nb: 1\n", Edit::replace("/a", json!(["z"])), "a: [z] # c\nb: 1\n");
    becomes("a: |\n  x\n  y\n\nb: 1\n", Edit::replace("/a", "z"), "a: z\n\nb: 1\n");
    becomes("a: [x] # c\nb: 1\n", Edit::replace("/a", json!([{"k": 1}])), "a: # c\n  - k: 1\nb: 1\n");
    becomes(
        "- a.example # c\n",
        Edit::replace("/0", json!({"host": "a", "ports": [1]})),
        "- host: a # c\n  ports: [1]\n",
    );
    becomes("a: [\"x\", y]\n", Edit::add("/a/0", "z"), "a: [z, \"x\", y]\n");
    becomes("a: [\"x\"]\n", Edit::add("/a/-", "z"), "a: [\"x\", \"z\"]\n");
}

#[test]
fn an_item_moves_as_it_is_written() {
    let text = "old:\n- # why\n  x: 1\n# two\n- y: 'q' # c\n\n  z: |\n    text\nnew:\n  routes: []\n";
    let shift = |from: &str| Edit::Move { from: from.to_owned(), to: "/new/routes".to_owned() };
    assert_eq!(
        edited(text, &[shift("/old/1"), shift("/old/0")]),
        "old: []\nnew:\n  routes:\n    # two\n    - y: 'q' # c\n\n      z: |\n        text\n    - # why\n      x: 1\n"
    );
}

#[test]
fn anchors_and_aliases_are_refused() {
    let text = "a: &l [x]\nb: *l\nc:\n  - &s y\n  - z\n";
    for one in [
        Edit::add("/a/-", "y"),
        Edit::add("/b/-", "y"),
        Edit::remove("/a"),
        Edit::remove("/b"),
        Edit::remove("/c/0"),
        Edit::replace("/c/0", "q"),
        Edit::remove("/c"),
    ] {
        let error = refused(text, one);
        assert!(
            error.contains("anchor or a") && error.contains("another place would change with it"),
            "{error}"
        );
    }
    becomes(text, Edit::remove("/c/1"), &text.replace("  - z\n", ""));
}

#[test]
fn what_is_not_there_is_said() {
    let error = refused(ROUTES, Edit::remove("/egress_proxy/routes/7"));
    assert_eq!(error, "/egress_proxy/routes/7 can't be edited in place: it is not there");
    assert!(refused(ROUTES, Edit::add("/egress", 1)).contains("the key `egress` is there already"));
    assert!(refused("? a\n: [x]\n", Edit::remove("/a/0")).contains("can't be edited in place"));
    assert!(refused("a: [", Edit::remove("/a/0")).contains("not YAML"));
}

/// A value, and the text that a person might have written it as.
#[derive(Clone, Debug)]
enum Written {
    Scalar(&'static str),
    Flow(Vec<Written>),
    FlowMap(Vec<(usize, Written)>),
    List(Vec<(Around, Written)>),
    Map(Vec<(Around, usize, Written)>),
}

/// What stands around an entry: a comment above, one behind, a blank line above.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, on its own")]
struct Around {
    above: bool,
    behind: bool,
    blank: bool,
    inside: bool,
}

const KEYS: [&str; 5] = ["host", "'a b'", "methods", "\"x\"", "paths"];
const SCALARS: [&str; 9] =
    ["/v1", "'it''s'", "\"a\\\"#b\"", "12", "~", "true", "a plain text", "http://x.example/#y", "-1"];

fn written() -> impl Strategy<Value = Written> {
    let around = || {
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(above, behind, blank, inside)| Around { above, behind, blank, inside })
    };
    let leaf = prop::sample::select(&SCALARS[..]).prop_map(Written::Scalar);
    let leaf = leaf.boxed();
    let flow = leaf.clone().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Written::Flow),
            prop::collection::vec(inner, 0..4)
                .prop_map(|items| Written::FlowMap(items.into_iter().enumerate().collect())),
        ]
    });
    let nested = flow.prop_recursive(4, 24, 4, move |inner| {
        let entry = (around(), inner);
        let list = prop::collection::vec(entry.clone(), 1..4).prop_map(Written::List);
        let map = prop::collection::vec(entry, 1..5).prop_map(|entries| {
            let entries = entries.into_iter().enumerate();
            Written::Map(entries.map(|(key, (around, value))| (around, key, value)).collect())
        });
        prop_oneof![list, map]
    });
    (prop::collection::vec((around(), nested), 1..5)).prop_map(|entries| {
        let entries = entries.into_iter().enumerate();
        Written::Map(entries.map(|(key, (around, value))| (around, key, value)).collect())
    })
}

fn inline(value: &Written) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Written::Scalar(text) => (*text).to_owned(),
        Written::Flow(items) => format!("[{}]", joined(items.iter().map(inline).collect())),
        Written::FlowMap(entries) => {
            let entry = |(key, value): &(usize, Written)| format!("{}: {}", KEYS[*key], inline(value));
            format!("{{{}}}", joined(entries.iter().map(entry).collect()))
        }
        Written::List(_) | Written::Map(_) => String::new(),
    }
}

fn write(value: &Written, column: usize, step: usize, out: &mut String) {
    let pad = " ".repeat(column);
    let mut entry = |around: &Around, head: String, value: &Written| {
        if around.blank {
            out.push('\n');
        }
        if around.above {
            out.extend([format!("{pad}# above\n")]);
        }
        out.extend([format!("{pad}{head}")]);
        let head_is_key = head != "-";
        let behind = if around.behind { " # behind" } else { "" };
        match value {
            Written::List(_) | Written::Map(_) => {
                out.extend([format!("{behind}\n")]);
                // A list may stand at the column of its key.
                let deeper = if head_is_key && matches!(value, Written::List(_)) { step } else { 2 };
                write(value, column + deeper, step, out);
                if around.inside {
                    out.extend([format!("{pad}   # inside\n")]);
                }
            }
            value => out.extend([format!(" {}{behind}\n", inline(value))]),
        }
    };
    match value {
        Written::List(items) => items.iter().for_each(|(around, item)| entry(around, "-".to_owned(), item)),
        Written::Map(entries) => {
            for (around, key, item) in entries {
                entry(around, format!("{}:", KEYS[*key]), item);
            }
        }
        _ => {}
    }
}

/// Every pointer of a value, the root's aside.
fn pointers(value: &Value, base: &str, out: &mut Vec<(String, bool)>) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| {
            out.push((format!("{base}/{at}"), true));
            pointers(item, &format!("{base}/{at}"), out);
        }),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            out.push((format!("{base}/{key}"), false));
            pointers(item, &format!("{base}/{key}"), out);
        }),
        _ => {}
    }
}

/// Whether `short` comes out of `long` when lines are taken out.
fn is_within<'a>(short: impl Iterator<Item = &'a str>, mut long: impl Iterator<Item = &'a str>) -> bool {
    short.into_iter().all(|line| long.any(|other| other == line))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// What an edit makes has the value that was meant, and every line outside of it is as it was.
    #[test]
    fn an_edit_changes_its_entry_and_nothing_else(
        document in written(), pick in any::<prop::sample::Index>(), kind in 0..5, last_line in any::<bool>(), step in prop::sample::select(vec![0_usize, 2, 4]),
    ) {
        let mut text = String::new();
        write(&document, 0, step, &mut text);
        if !last_line {
            text.pop();
        }
        let before = parse(text.as_bytes(), Limits::default()).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        let mut all = Vec::new();
        pointers(&before.value, "", &mut all);
        let (at, is_item) = pick.get(&all).clone();
        let parent = at.rsplit_once('/').unwrap().0;
        let one = match kind {
            0 => Edit::remove(at.clone()),
            1 => Edit::replace(at.clone(), "new: value"),
            2 if is_item => Edit::add(at.clone(), json!({"new": ["v"]})),
            3 if is_item => Edit::add(format!("{parent}/-"), "new"),
            2 | 3 => Edit::add(format!("{parent}/new key"), json!({"list": [{"k": 1}]})),
            _ => Edit::Remove { at: at.clone(), comments: Comments::Keep },
        };
        let mut meant = before.value.clone();
        operation::apply(&mut meant, &one).unwrap();
        let after = edit(&text, std::slice::from_ref(&one), Limits::default());
        let after = after.unwrap_or_else(|error| panic!("{error}\n{one:?}\n{text}"));
        prop_assert_eq!(&parse(after.as_bytes(), Limits::default()).unwrap().value, &meant);
        // The lines before and behind the change are the same, and what it took away it took as a whole.
        let (old, new): (Vec<&str>, Vec<&str>) = (text.lines().collect(), after.lines().collect());
        let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let behind = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(o, n)| o == n).count();
        let (gone, came) = (&old[same..old.len() - behind], &new[same..new.len() - behind]);
        if let Edit::Add { .. } = one {
            prop_assert!(gone.len() <= 1, "{:?}\n{:?}\n{}", one, gone, text);
        }
        let comments = |lines: &[&str]| lines.iter().filter(|line| line.contains("# above") || line.contains("# behind")).count();
        if let Edit::Remove { comments: Comments::Keep, .. } = one
            && let Some(value) = before.value.pointer(&at) && !value.is_array() && !value.is_object()
        {
            prop_assert!(comments(gone) <= comments(came) + 1, "{:?}\n{}\n{}", one, text, after);
        }
        let span = before.span_of(&at);
        let lines = text[span].lines().count();
        prop_assert!(gone.len() <= lines + 8 && is_within(new[..same].iter().copied(), old.iter().copied()), "{:?}\n{}\n{}", one, text, after);
    }

    /// Additions that are made at once come to the same text as one after the other.
    #[test]
    fn many_additions_are_what_each_of_them_is(
        document in written(), picks in prop::collection::vec((any::<prop::sample::Index>(), 0..3), 1..8),
        last_line in any::<bool>(),
    ) {
        let mut text = String::new();
        write(&document, 0, 2, &mut text);
        if !last_line {
            text.pop();
        }
        let before = parse(text.as_bytes(), Limits::default()).unwrap();
        let mut all = Vec::new();
        pointers(&before.value, "", &mut all);
        let edits: Vec<Edit> = picks.iter().enumerate().map(|(n, (pick, kind))| {
            let (at, is_item) = pick.get(&all);
            let parent = at.rsplit_once('/').unwrap().0;
            match (kind, is_item) {
                (0, true) => Edit::add(format!("{parent}/-"), format!("new {n}")),
                (1, true) => Edit::add(at.clone(), json!({"new": ["v", n]})),
                (2, _) => Edit::add(format!("{parent}/more/-"), n),
                _ => Edit::add(format!("{parent}/new {n}"), json!({"list": [n]})),
            }
        }).collect();
        let one_by_one = edits.iter().try_fold(text.clone(), |text, one| {
            edit(&text, std::slice::from_ref(one), Limits::default())
        });
        let at_once = edit(&text, &edits, Limits::default());
        // Blank lines between entries depend on what stood there first, where they are not added at the end.
        if edits.iter().all(|edit| edit.at().ends_with("/-")) {
            prop_assert_eq!(&at_once, &one_by_one, "{:?}\n{}", edits, text);
        }
        let value = |text: String| parse(text.as_bytes(), Limits::default()).unwrap().value;
        prop_assert_eq!(at_once.map(value).map_err(drop), one_by_one.map(value).map_err(drop), "{:?}\n{}", edits, text);
    }

    /// Edits of texts that nobody would write make what was meant, or are refused.
    #[test]
    fn a_strange_text_is_edited_rightly_or_not_at_all(text in "[a-c:#&*'\"\\-\\[\\]{},|>\n ]{0,40}", at in "/[a-c0-1](/[a-c0-1])?", kind in 0..4) {
        let one = match kind {
            0 => Edit::remove(at),
            1 => Edit::replace(at, "n"),
            2 => Edit::add(at, json!({"k": ["v"]})),
            _ => Edit::Rename { at, key: "n".to_owned() },
        };
        if let (Ok(before), Ok(after)) =
            (parse(text.as_bytes(), Limits::default()), edit(&text, std::slice::from_ref(&one), Limits::default()))
        {
            let mut meant = before.value.clone();
        operation::apply(&mut meant, &one).unwrap();
            prop_assert_eq!(parse(after.as_bytes(), Limits::default()).unwrap().value, meant);
        }
    }
}
