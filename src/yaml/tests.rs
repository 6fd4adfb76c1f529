use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// What a hostile text may take on the slowest machine without optimisation: beyond it lies a hang, not slowness.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time that this thread has run, which other programs on the machine don't add to.
fn cpu_time() -> Duration {
    let spent = fs_err::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(spent.split(' ').next().unwrap().parse().unwrap())
}

fn value(text: &str) -> Value {
    parse(text.as_bytes(), Limits::default()).unwrap_or_else(|problems| panic!("{problems:?}")).value
}

fn problems(text: impl AsRef<[u8]>) -> Vec<Problem> {
    let before = cpu_time();
    let problems = read(text.as_ref(), Limits::default()).problems;
    let spent = cpu_time().checked_sub(before).unwrap();
    assert!(spent < PATIENCE, "took {spent:?}");
    problems
}

/// The first problem: its message, and the text that it points at.
fn first(text: &str) -> (String, String) {
    let problem = problems(text).into_iter().next().expect("a problem");
    (problem.message, text[problem.span].to_owned())
}

#[test]
fn values_keep_their_order_and_their_types() {
    let read = value("b: 1\na: [x, 'y', \"z\"]\nc: {d: true, e: ~}\nf: no\ng: 22:22\nh: |\n  text\n");
    assert_eq!(
        read,
        json!({"b": 1, "a": ["x", "y", "z"], "c": {"d": true, "e": null}, "f": "no", "g": "22:22", "h": "text\n"})
    );
    assert_eq!(read.as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "a", "c", "f", "g", "h"]);
}

#[test]
fn every_value_and_key_has_its_place() {
    let text = "# é\nname: dév   # c\nroutes:\n  - host: a.test\n    ports: [443, 80]\n  - {host: \"b.test\"}\nempty:\nlast: {}\n";
    let document = parse(text.as_bytes(), Limits::default()).unwrap();
    let at = |pointer: &str| &text[document.span_of(pointer)];
    let key = |pointer: &str| &text[document.key_span_of(pointer)];
    assert_eq!(at("name"), "dév");
    assert_eq!(at("routes[0].host"), "a.test");
    assert_eq!(at("/routes/0/ports"), "[443, 80]");
    assert_eq!(at("routes[0].ports[1]"), "80");
    assert_eq!(at("routes[1]"), "{host: \"b.test\"}");
    assert_eq!(at("routes[1].host"), "\"b.test\"");
    assert_eq!(key("routes[1].host"), "host");
    assert_eq!(key("routes"), "routes");
    assert_eq!(at("routes[0]"), "host: a.test\n    ports: [443, 80]");
    assert_eq!(at("empty"), "empty");
    assert_eq!(at("routes[1].nothing"), "{host: \"b.test\"}");
    assert_eq!(document.line_of("routes[1]"), 6);
    assert_eq!(document.line_of("routes[0].ports"), 5);
    assert_eq!(document.line_of("last"), 8);
    assert_eq!(document.readable("/routes/1/host"), "routes[1].host");
}

#[test]
fn what_means_two_things_is_refused_with_its_place() {
    let cases = [
        ("a: 1\nb: 2\na: 3\n", "the key `a` is listed twice", "a"),
        ("a: 1\n---\nb: 2\n", "a second document begins here", "---"),
        ("a: !!str 1\n", "tags (`!…`) are not supported", "!!str"),
        ("a: !local {b: 1}\n", "tags (`!…`) are not supported", "!local"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "merge keys (`<<`) are not supported", "<<"),
        ("%YAML 1.1\n---\na: 1\n", "directives are not supported", "%YAML 1.1"),
        ("\u{feff}a: é\n", "the file begins with a byte order mark", "\u{feff}"),
        ("a: 1\r\nb: 2\r\n", "the line ends with CRLF", "\r"),
        ("a: 1\rb: 2\n", "a carriage return is in the text", "\r"),
        ("a: \u{0}\n", "a control character (U+0000) is in the text", "\u{0}"),
        ("a: x\u{1b}[2J\n", "a control character (U+001B) is in the text", "\u{1b}"),
        ("a: x\u{2028}y\n", "a Unicode line separator (U+2028) is in the text", "\u{2028}"),
        ("a:\n\tb: 1\n", "a tab is in the indentation", "\t"),
        ("[a, b]: 1\n", "a key must be text", "["),
        ("?\n-", "a key must be text", ""),
        ("a: &x [*x]\n", "this alias is inside what it repeats", "*x"),
        ("a: .nan\n", "infinity and not-a-number can't be used here", ".nan"),
        ("a: 99999999999999999999\n", "this number is too large", "99999999999999999999"),
        ("", "the file is empty", ""),
        ("# nothing\n", "the file is empty", ""),
    ];
    for (text, message, place) in cases {
        assert_eq!(first(text), (message.to_owned(), place.to_owned()), "{text:?}");
    }
}

#[test]
fn a_syntax_error_says_what_to_do() {
    let cases = [
        ("a: *\n", "`*`"),
        ("a: @x\n", "quotes"),
        ("a: b: c\n", "quotes"),
        ("a: [1, 2\nb: 3\n", "closed"),
        ("a: {b: c: d}\n", "quotes"),
        ("a: [b}\n", "bracket"),
        ("a:\n  b: 1\n c: 2\n", "indented"),
        ("a: \"x\n", "close the quote"),
    ];
    for (text, hint) in cases {
        let problem = problems(text).remove(0);
        assert!(problem.message.starts_with("this is not YAML: "), "{text:?}: {problem:?}");
        assert!(problem.hint.as_deref().unwrap_or_default().contains(hint), "{text:?}: {problem:?}");
    }
}

#[test]
fn several_problems_are_all_said_and_the_rest_is_read() {
    let reading = read(b"\xef\xbb\xbfa: !x 1\r\na: 2\nb: 3\n", Limits::default());
    assert_eq!(reading.problems.len(), 4, "{:?}", reading.problems);
    assert_eq!(reading.document.unwrap().value["b"], 3);
    let related = reading.problems[3].related.clone().unwrap();
    assert_eq!(related.0, 3..4);
}

#[test]
fn bytes_that_are_not_utf_8_have_a_place() {
    let problem = problems(b"a: 1\nb: \xff\n").remove(0);
    assert_eq!((problem.span.start, problem.message.as_str()), (8, "byte 0xff is not UTF-8"));
    assert_eq!(problems(b"\xff\xfea\0").remove(0).message, "the file is UTF-16, not UTF-8");
}

#[test]
fn nesting_is_bounded() {
    for open in ["[", "{a: ", "- ", "? ", "[{a: "] {
        let text = open.repeat(900_000 / open.len());
        assert_eq!(first(&text).0, "lists and maps are nested more than 32 deep here", "{open:?}");
    }
    let ten_megabytes = "[".repeat(10_000_000);
    assert_eq!(first(&ten_megabytes).0, "the file is larger than 1048576 bytes");
    let exact = format!("{}{}", "[".repeat(32), "]".repeat(32));
    assert!(problems(&exact).is_empty());
}

#[test]
fn a_deep_block_is_bounded() {
    let mut text = String::new();
    for depth in 0..1000 {
        text.push_str(&" ".repeat(depth));
        text.push_str("a:\n");
    }
    assert_eq!(first(&text).0, "lists and maps are nested more than 32 deep here");
}

#[test]
fn anchors_that_explode_are_bounded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let item = format!("*a{}", n - 1);
        writeln!(text, "a{n}: &a{n} [{}]", vec![item; 10].join(", ")).unwrap();
    }
    let message = first(&text).0;
    assert_eq!(message, "the file holds more than 50000 values, with all that its aliases repeat");
}

#[test]
fn anchors_that_repeat_a_long_text_are_bounded() {
    let text = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 10_000].join(", "));
    assert_eq!(first(&text).0, "the aliases of this file repeat more than 1048576 bytes");
}

#[test]
fn anchors_that_nest_are_bounded() {
    let mut text = "a0: &a0 [[[[[[[[x]]]]]]]]\n".to_owned();
    for n in 1..8 {
        writeln!(text, "a{n}: &a{n} [[[[[[[*a{}]]]]]]]", n - 1).unwrap();
    }
    assert_eq!(first(&text).0, "lists and maps are nested more than 32 deep here");
}

#[test]
fn many_values_are_bounded() {
    let text = format!("[{}]", vec!["1"; 300_000].join(","));
    assert_eq!(first(&text).0, "the file holds more than 50000 values");
    let text = "- 1\n".repeat(200_000);
    assert_eq!(first(&text).0, "the file holds more than 50000 values");
    let text = "a: 1\n".repeat(20_000);
    assert_eq!(problems(&text).len(), 19_999);
}

#[test]
fn long_texts_are_read_in_linear_time() {
    for text in [
        format!("a: {}\n", "x ".repeat(500_000)),
        format!("a: \"{}\"\n", "\\n".repeat(500_000)),
        format!("a: |\n{}", "  x\n".repeat(250_000)),
        format!("{}: 1\n", "x".repeat(1_000_000)),
        format!("#{}\na: 1\n", "#".repeat(1_000_000)),
        "#\n".repeat(500_000),
        "\n".repeat(1_000_000),
        format!("a: [{}]", " \n".repeat(500_000)),
        "x\n".repeat(500_000),
        ":".repeat(1_000_000),
        "'".repeat(1_000_000),
        "&a ".repeat(300_000),
        "!a ".repeat(300_000),
        "-\n".repeat(500_000),
    ] {
        problems(text);
    }
}

#[test]
fn floats_are_floats_for_every_reader() {
    let text = emit_value(&json!([1e30, 1.5, -2e-9, 3]));
    let again: Vec<f64> = serde_yaml::from_str(&text).unwrap();
    assert_eq!(again, [1e30, 1.5, -2e-9, 3.0], "{text}");
}

#[test]
fn the_layout_is_fixed() {
    let text = emit_value(&json!({
        "a": {"b": [1, {"c": "x", "d": []}, [2, 3]], "e": {}},
        "on": "no", "port": "22:22", "image": "-x", "url": "https://a.test/x", "${X}": "$$", "": " ",
    }));
    insta::assert_snapshot!(text, @r#"
    a:
      b:
        - 1
        - c: x
          d: []
        - - 2
          - 3
      e: {}
    "on": "no"
    port: "22:22"
    image: "-x"
    url: https://a.test/x
    "${X}": "$$"
    "": " "
    "#);
}

/// Texts that have bitten generators before, and any others.
fn hostile() -> impl Strategy<Value = String> {
    let known = [
        "",
        " ",
        "a\nb",
        "a\r\nb",
        "\"",
        "'",
        "#",
        " #x",
        "a #b",
        "a: b",
        "a:",
        ":a",
        "${X}",
        "$$",
        "no",
        "No",
        "NO",
        "on",
        "On",
        "y",
        "Y",
        "n",
        "off",
        "yes",
        "true",
        "TRUE",
        "null",
        "Null",
        "~",
        "22:22",
        "1:2:3",
        "-",
        "- a",
        "--- a",
        "---",
        "...",
        "? a",
        "*a",
        "&a",
        "!a",
        "!!str",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "[a]",
        "{a}",
        "a,b",
        "=",
        "<<",
        "0x1f",
        "0o7",
        "010",
        "1e3",
        "1_000",
        ".5",
        ".inf",
        ".nan",
        "+1",
        "-1",
        "2026-01-01",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{0}",
        "\u{7}",
        "\u{1b}[2J",
        "\u{7f}",
        "\u{9f}",
        "\u{a0}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{1f600}",
        "\u{1fffe}",
        "\u{202e}",
        "\t",
        "\ta",
        "a\t",
        "é",
        "\\",
        "\\n",
        "a\\",
        "0",
        "1.",
        "e3",
        "Infinity",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        "[ -~\n\t]{0,40}",
        (prop::sample::select(known.to_vec()), prop::sample::select(known.to_vec()))
            .prop_map(|(a, b)| format!("{a}{b}")),
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        hostile().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((hostile(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_emitted_is_read_back_by_us_and_by_an_independent_reader(value in tree()) {
        let text = emit_value(&value);
        prop_assert_eq!(&parse(text.as_bytes(), Limits::default()).unwrap().value, &value, "{}", text);
        prop_assert_eq!(&serde_yaml::from_str::<Value>(&text).unwrap(), &value, "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]{}:,&*!|>'\"%@`#?\n\t a-c<~-]{0,60}") {
        let reading = read(text.as_bytes(), Limits::default());
        for problem in &reading.problems {
            prop_assert!(text.get(problem.span.clone()).is_some(), "{:?}", problem);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, Limits::default());
    }
}

#[test]
fn a_long_key_is_read_back() {
    let value = json!({"é\"".repeat(2000): {"a": [1]}, "x": 1});
    let text = emit_value(&value);
    assert_eq!(self::value(&text), value);
    assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), value);
}
