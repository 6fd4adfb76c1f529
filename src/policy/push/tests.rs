use super::*;
use proptest::prelude::*;

fn pattern(text: &str) -> RefPattern {
    RefPattern::parse(text).unwrap()
}

fn name(text: &str) -> RefName {
    RefName::parse(text).unwrap()
}

#[test]
fn a_ref_has_one_spelling() {
    for good in [
        "refs/heads/main",
        "refs/x",
        "refs/heads/agent/a/b",
        "refs/heads/a.b",
        "refs/heads/@",
        "refs/heads/é",
    ] {
        assert_eq!(RefName::parse(good).unwrap().as_str(), good);
    }
    let bad = [
        ("", RefNameError::NotFull),
        ("HEAD", RefNameError::NotFull),
        ("main", RefNameError::NotFull),
        ("@", RefNameError::NotFull),
        ("Refs/heads/x", RefNameError::NotFull),
        ("/refs/heads/x", RefNameError::NotFull),
        ("refs", RefNameError::NotFull),
        ("refs/", RefNameError::EmptyPart),
        ("refs/heads//x", RefNameError::EmptyPart),
        ("refs/heads/x/", RefNameError::EmptyPart),
        ("refs/heads/agent/../main", RefNameError::Dots),
        ("refs/heads/./x", RefNameError::Dots),
        ("refs/heads/.x", RefNameError::Dots),
        ("refs/heads/a..b", RefNameError::Dots),
        ("refs/heads/x.lock", RefNameError::End),
        ("refs/heads/x.lock/y", RefNameError::End),
        ("refs/heads/x.", RefNameError::End),
        ("refs/heads/a b", RefNameError::Character),
        ("refs/heads/a\0b", RefNameError::Character),
        ("refs/heads/a\nb", RefNameError::Character),
        ("refs/heads/a\x7fb", RefNameError::Character),
        ("refs/heads/a\u{9b}b", RefNameError::Character),
        ("refs/heads/a~1", RefNameError::Character),
        ("refs/heads/a^", RefNameError::Character),
        ("refs/heads/a:b", RefNameError::Character),
        ("refs/heads/a?", RefNameError::Character),
        ("refs/heads/a*", RefNameError::Character),
        ("refs/heads/a[", RefNameError::Character),
        ("refs/heads/a\\b", RefNameError::Character),
        ("refs/heads/@{1}", RefNameError::Character),
    ];
    for (text, error) in bad {
        assert_eq!(RefName::parse(text), Err(error), "{text:?}");
    }
    assert_eq!(RefName::parse(&format!("refs/{}", "x".repeat(LONGEST))), Err(RefNameError::Long));
}

/// git itself is asked about names made of the letters that matter.
#[test]
fn what_git_refuses_is_refused() {
    let letters = ["a", "/", ".", "..", "@{", "@", ".lock", "*", "~", " ", "\u{1}", "\\", "x/y", "-"];
    let mut asked = 0;
    for first in letters {
        for second in letters {
            for third in ["", "b", "/"] {
                let text = format!("refs/heads/{first}{second}{third}");
                let git =
                    std::process::Command::new("git").args(["check-ref-format", &text]).status().unwrap();
                assert_eq!(git.success(), RefName::parse(&text).is_ok(), "{text:?}");
                asked += 1;
            }
        }
    }
    assert!(asked > 500, "{asked}");
}

#[test]
fn a_star_stands_for_one_character_or_more() {
    let agent = pattern("refs/heads/agent/*");
    for yes in ["refs/heads/agent/x", "refs/heads/agent/a/b"] {
        assert!(agent.matches(&name(yes)), "{yes}");
    }
    for no in [
        "refs/heads/agent",
        "refs/heads/agents/x",
        "refs/heads/Agent/x",
        "refs/tags/agent/x",
        "refs/heads/main",
    ] {
        assert!(!agent.matches(&name(no)), "{no}");
    }
    let inner = pattern("refs/heads/*-agent");
    assert!(inner.matches(&name("refs/heads/x-agent")));
    assert!(!inner.matches(&name("refs/heads/-agent")));
    assert!(!inner.matches(&name("refs/heads/x-agent2")));
    assert!(
        !pattern("refs/heads/aba*aba").matches(&name("refs/heads/ababa")),
        "the ends don't share letters"
    );
    assert!(pattern("refs/heads/main").matches(&name("refs/heads/main")));
    for (bad, error) in [
        ("*", RefNameError::NotFull.into()),
        ("r*", RefNameError::NotFull.into()),
        ("agent/*", RefNameError::NotFull.into()),
        ("*refs/x", RefNameError::NotFull.into()),
        ("refs/heads/*/*", RefPatternError::Stars),
        ("refs/heads/**", RefPatternError::Stars),
        ("refs/heads/.*", RefNameError::Dots.into()),
        ("refs/heads/*.lock", RefNameError::End.into()),
        ("refs/heads/a b*", RefNameError::Character.into()),
    ] {
        assert_eq!(RefPattern::parse(bad), Err(error), "{bad}");
    }
}

fn rules() -> PushRules {
    PushRules {
        refs: vec![pattern("refs/heads/agent/*")],
        create: true,
        delete: false,
        force: false,
        max_pack: DEFAULT_MAX_PACK,
        rules: None,
    }
}

#[test]
fn refs_are_decided_on_and_refused_in_words() {
    let inside = name("refs/heads/agent/x");
    assert_eq!(rules().check(&inside, RefChange::Create), Ok(()));
    assert_eq!(rules().check(&inside, RefChange::Update), Ok(()));
    let refused = |rules: PushRules, name: &RefName, change| rules.check(name, change).unwrap_err();
    assert_eq!(
        refused(rules(), &name("refs/heads/main"), RefChange::Update),
        "the ref is outside of what git.push allows here: refs/heads/agent/*"
    );
    assert_eq!(
        refused(rules(), &inside, RefChange::Delete),
        "deleting a ref is not allowed here: git.push.delete is false"
    );
    assert_eq!(
        refused(PushRules { create: false, ..rules() }, &inside, RefChange::Create),
        "the ref is not there yet, and git.push.create is false here"
    );
    let nothing = PushRules { refs: Vec::new(), ..rules() };
    assert!(nothing.check(&inside, RefChange::Update).is_err());
    assert_eq!(rules().to_string(), "refs/heads/agent/*: create, no delete, no force, packs up to 50 MiB");
    assert_eq!((size(1 << 10), size(1000)), ("1 KiB".to_owned(), "1000 bytes".to_owned()));
}

#[test]
fn each_part_that_grows_is_more() {
    let old = PushRules { create: false, ..rules() };
    let more = [
        PushRules { create: true, ..old.clone() },
        PushRules { delete: true, ..old.clone() },
        PushRules { force: true, ..old.clone() },
        PushRules { max_pack: old.max_pack + 1, ..old.clone() },
        PushRules { refs: vec![pattern("refs/heads/*")], ..old.clone() },
        PushRules { refs: vec![old.refs[0].clone(), pattern("refs/tags/v1")], ..old.clone() },
    ];
    for new in more {
        assert!(new.exceeds(&old) && !old.exceeds(&new), "{new}");
    }
    assert!(!old.exceeds(&old));
    let rules = |more: &str| {
        let text = format!("{more}\n[[rules]]\nid = 'a'\nregex = 'a'");
        Some(SecretRules::parse("x.toml", &text).unwrap())
    };
    let searched = PushRules { rules: rules(""), ..old.clone() };
    let passing = PushRules { rules: rules("[allowlist]\npaths = ['^docs/']"), ..old.clone() };
    assert!(old.exceeds(&searched) && !searched.exceeds(&old), "a file of rules that is gone is more");
    assert!(passing.exceeds(&searched) && !searched.exceeds(&passing), "so is an allowlist");
    assert!(
        passing.to_string().ends_with(", searched by x.toml (a), passing over paths `^docs/`"),
        "{passing}"
    );
    let narrow = PushRules {
        refs: vec![pattern("refs/heads/agent/a*"), pattern("refs/heads/agent/b")],
        ..old.clone()
    };
    assert!(!narrow.exceeds(&old));
}

fn some_name() -> impl Strategy<Value = String> {
    "refs/[ab/]{1,6}"
}

proptest! {
    #[test]
    fn covers_agrees_with_matches(own in "refs/[ab/]{0,3}\\*?[ab/]{0,3}", theirs in "refs/[ab/]{0,3}\\*?[ab/]{0,3}", names in prop::collection::vec(some_name(), 40)) {
        let (Ok(own), Ok(theirs)) = (RefPattern::parse(&own), RefPattern::parse(&theirs)) else { return Ok(()) };
        if own.covers(&theirs) {
            for name in names.iter().filter_map(|name| RefName::parse(name).ok()) {
                prop_assert!(!theirs.matches(&name) || own.matches(&name), "{own} {theirs} {name}");
            }
        }
    }

    /// A name that a pattern makes is one that it matches, and what covers it matches it as well.
    #[test]
    fn what_covers_a_pattern_matches_what_it_makes(before in "refs/[ab]{0,3}", after in "[ab]{0,3}", star in "[ab]{1,3}(/[ab])?", cut in 5_usize..8) {
        let theirs = pattern(&format!("{before}*{after}"));
        let made = name(&format!("{before}{star}{after}"));
        prop_assert!(theirs.matches(&made));
        let own = pattern(&format!("{}*", before.get(..cut).unwrap_or(&before)));
        prop_assert!(own.covers(&theirs));
        prop_assert!(own.matches(&made));
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read(text in "refs/[ab/*]{1,8}") {
        if let Ok(read) = RefPattern::parse(&text) {
            prop_assert_eq!(read.to_string(), text);
        }
    }
}
