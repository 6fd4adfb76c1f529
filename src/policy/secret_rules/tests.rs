use super::*;

const FILE: &str = r#"
title = "ours"
minVersion = "v8.25.0"

[extend]
useDefault = false

[[rules]]
id = "acme-token"
description = "a token of acme"
regex = '''acme_([a-z0-9]{20})\b'''
secretGroup = 1
entropy = 3.25
keywords = ["ACME_"]
tags = ["acme"]
[[rules.allowlists]]
condition = "AND"
regexTarget = "line"
regexes = ["example"]
paths = ['^docs/']

[[rules]]
id = "keys"
path = '\.p12$'

[[allowlists]]
stopwords = ["Dummy"]
commits = ["1111111111111111111111111111111111111111"]

[[allowlists]]
targetRules = ["keys"]
paths = ["^testdata/"]
"#;

fn read(text: &str) -> SecretRules {
    SecretRules::parse(".gitleaks.toml", text).unwrap()
}

fn error(text: &str) -> String {
    SecretRules::parse(".gitleaks.toml", text).unwrap_err().to_string()
}

#[test]
fn a_file_is_read_as_gitleaks_reads_it() {
    let rules = read(FILE);
    assert_eq!(rules.rules.len(), 2);
    let acme = &rules.rules[0];
    assert_eq!((acme.entropy, acme.group, acme.keywords.as_slice()), (3250, 1, &["acme_".to_owned()][..]));
    assert!(acme.allow[0].all && acme.allow[0].target == SecretTarget::Line);
    assert_eq!(rules.rules[1].regex, None);
    assert_eq!(rules.rules[1].allow[0].paths, ["^testdata/"], "an allowlist for some rules");
    assert_eq!(rules.allow.len(), 1);
    assert_eq!(rules.allow[0].stopwords, ["dummy"]);
    assert_eq!(
        rules.to_string(),
        ".gitleaks.toml (acme-token, keys), passing over commits `1111111111111111111111111111111111111111`, words `dummy`; \
         paths `^docs/` and texts `example`; paths `^testdata/`"
    );
    let old = read(
        "[allowlist]\npaths = ['a']\n[[rules]]\nid = 'x'\nregex = 'x'\n[rules.allowlist]\nstopwords = ['y']",
    );
    assert_eq!((old.allow.len(), old.rules[0].allow.len()), (1, 1));
    let data: SecretRules = serde_json::from_value(serde_json::to_value(&rules).unwrap()).unwrap();
    assert_eq!(data, rules);
    assert_eq!(data.check(), Ok(()));
}

#[test]
fn what_is_not_done_here_is_refused_by_name() {
    let rule = |more: &str| format!("[[rules]]\nid = 'x'\nregex = 'a(b)'\n{more}");
    for (text, said) in [
        (rule("unknown = 1"), "line 4: unknown field `unknown`"),
        (format!("verify = true\n{}", rule("")), "line 1: unknown field `verify`"),
        (rule("[[rules.allowlists]]\nregexTargets = 'line'"), "unknown field `regexTargets`"),
        (
            format!("[extend]\nuseDefault = true\n{}", rule("")),
            "`extend` is not followed: the built-in patterns look beside",
        ),
        (format!("[extend]\npath = 'x.toml'\n{}", rule("")), "`extend` is not followed"),
        (format!("[extend]\nother = 1\n{}", rule("")), "unknown field `other`"),
        (rule("[[rules.required]]\nid = 'y'"), "the rule `x` is made of several"),
        (rule("skipReport = true"), "the rule `x` is made of several"),
        (rule("secretGroup = 2"), "the rule `x`: `secretGroup` is 2, and the expression has 1 groups"),
        (rule("entropy = 9.5"), "the rule `x`: `entropy` is from 0 to 8"),
        (rule("keywords = ['']"), "the rule `x`: a keyword is empty"),
        ("[[rules]]\nid = 'x'".to_owned(), "the rule `x`: it has neither `regex` nor `path`"),
        ("[[rules]]\nid = ' '\nregex = 'a'".to_owned(), "an `id` is made of"),
        ("[[rules]]\nregex = 'a'".to_owned(), "missing field `id`"),
        (format!("{0}{0}", rule("")), "the rule `x`: there are two of this `id`"),
        (
            "[[rules]]\nid = 'x'\nregex = 'a(?=b)'".to_owned(),
            "the rule `x`: `a(?=b)` is no regular expression here",
        ),
        ("[[rules]]\nid = 'x'\nregex = '{{a'".to_owned(), "is no regular expression here"),
        ("[[rules]]\nid = 'x'\nregex = '(a{1000}){1000}'".to_owned(), "is no regular expression here"),
        ("title = 'x'".to_owned(), "from 1 to 500 rules, and these are 0"),
        (rule("[[rules.allowlists]]\ndescription = 'x'"), "the rule `x`, `allowlists`: one has none of"),
        (rule("[[rules.allowlists]]\nstopwords = ['']"), "a stopword is empty"),
        (rule("[[rules.allowlists]]\ncommits = ['1234567']"), "`1234567` is not the full name of a commit"),
        (rule("[[rules.allowlists]]\npaths = ['(']"), "`(` is no regular expression here"),
        (
            rule("[[rules.allowlists]]\ncondition = 'xor'\npaths = ['a']"),
            "`condition` is `and` or `or`, not `xor`",
        ),
        (
            rule("[[rules.allowlists]]\nregexTarget = 'file'\npaths = ['a']"),
            "`regexTarget` is `secret`, `match` or `line`",
        ),
        (
            rule("[[rules.allowlists]]\ntargetRules = ['x']\npaths = ['a']"),
            "`targetRules` stands in allowlists of the file only",
        ),
        (
            format!("[[allowlists]]\ntargetRules = ['y']\npaths = ['a']\n{}", rule("")),
            "`targetRules` names `y`, which is no rule",
        ),
        (
            format!("[allowlist]\npaths = ['a']\n[[allowlists]]\npaths = ['a']\n{}", rule("")),
            "`allowlist` does not stand beside",
        ),
        ("x".to_owned(), "it is not read: line 1"),
    ] {
        let error = error(&text);
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn fewer_rules_and_more_that_passes_are_less() {
    let whole = read(FILE);
    assert!(whole.covers(&whole) && whole.covers(&SecretRules::named("other")));
    let changed = |change: &dyn Fn(&mut SecretRules)| {
        let mut rules = whole.clone();
        change(&mut rules);
        rules
    };
    let less = [
        changed(&|it| drop(it.rules.remove(0))),
        changed(&|it| it.rules[0].entropy += 1),
        changed(&|it| it.rules[0].keywords.push("x".into())),
        changed(&|it| it.allow.push(SecretAllow { paths: vec!["x".into()], ..SecretAllow::default() })),
        changed(&|it| it.rules[1].allow[0].paths.push("x".into())),
        changed(&|it| it.rules[0].allow[0].all = false),
    ];
    assert!(less.iter().all(|it| !it.covers(&whole)));
    let more = [
        changed(&|it| it.allow.clear()),
        changed(&|it| it.rules[0].allow.clear()),
        changed(&|it| it.rules.push(SecretRule { id: "new".into(), ..it.rules[1].clone() })),
    ];
    assert!(more.iter().all(|it| it.covers(&whole)));
}

/// An allowlist stands at each rule that it is for: a small file may not come to gigabytes.
#[test]
fn what_an_allowlist_comes_to_is_bounded() {
    let rule = |n: usize| format!("[[rules]]\nid = \"r{n}\"\nregex = \"x{n}\"\n");
    let rules: String = (0..100).map(rule).collect::<Vec<_>>().concat();
    let names = (0..100).map(|n| format!("\"r{n}\"")).collect::<Vec<_>>().join(", ");
    let with = |targets: &str, word: usize| {
        let word = "a".repeat(word);
        format!("{rules}[[allowlists]]\ntargetRules = [{targets}]\nstopwords = [\"{word}\"]\n")
    };
    assert_eq!(read(&with(&names, 100)).rules[99].allow.len(), 1);
    assert_eq!(
        error(&with(&names, 20_000)),
        "allowlists[0]: with an allowlist at each rule that it is for, the file has more than 1048576 bytes"
    );
    assert_eq!(error(&with("\"r1\", \"r1\"", 9)), "allowlists[0]: `targetRules` names `r1` twice");
}
