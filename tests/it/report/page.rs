//! The page: no record can change it, it loads nothing, and everyone can read it.

use super::{record, reported, trail};
use bottle::report;
use html5gum::{Token, Tokenizer, emitters::default::DefaultEmitter};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Its name, and its attributes with their values.
type Element = (String, Vec<(String, String)>);

/// The elements of a page, each with its attributes, and the texts between them.
fn parsed(page: &str) -> (Vec<Element>, Vec<String>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut elements, mut texts) = (Vec::new(), Vec::new());
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for Ok(token) in Tokenizer::new_with_emitter(page, emitter) {
        match token {
            Token::StartTag(tag) => {
                let attributes =
                    tag.attributes.iter().map(|(name, value)| (text(name), text(value))).collect();
                elements.push((text(&tag.name), attributes));
            }
            Token::String(string) => texts.push(text(&string)),
            Token::Comment(comment) => assert_eq!(text(&comment), " bottle report "),
            Token::Error(error) => panic!("{error:?}"),
            Token::EndTag(_) | Token::Doctype(_) => {}
        }
    }
    (elements, texts)
}

/// A trail in which these texts stand wherever an agent or a server can put one.
pub(super) fn written_by(texts: &[String]) -> Vec<Value> {
    let at = |n: usize| texts[n % texts.len()].as_str();
    let mut records = Vec::new();
    for n in 0..3 {
        let host = format!("{n}{}", at(n));
        records.push(record(&json!({
            "host": host, "method": at(n + 1), "path": format!("/1/{}", at(n + 2)), "reason": format!("r{}", at(0)),
            "message": at(n + 3), "decided_by": at(n + 4), "bottle": format!("b{}", at(0)), "config": format!("c{}", at(1)),
            "scheme": at(n), "event": "end", "credential": format!("n{}", at(2)), "request": n.to_string(),
        })));
        records.push(json!({"level": "warn", "time": "2026-11-24T12:30:02Z", "component": "pipelock",
            "event": "dlp_warn", "url": format!("{n}{}", at(n)), "scanner": at(n + 1), "pattern": at(n + 2),
            "action": at(n + 3), "reason": at(n + 4)}));
        records.push(record(
            &json!({"host": host, "event": "error", "verdict": "error", "path": format!("/1/{}", at(n)),
            "target": at(n + 1), "reason": format!("e{}", at(0)), "message": at(n)}),
        ));
    }
    records
}

fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg onload=alert(1)>",
        "</code></td></table><td>",
        "</style><b>",
        "</title><b>",
        "<!--",
        "-->",
        "]]>",
        "javascript:alert(1)",
        "{{ 7 * 7 }}{% raw %}",
        "&lt;b&gt;&#60;",
        "\u{202e}\u{2066}\u{200b}\u{1b}[2J\r\n\t\u{0}",
        "`=/ onmouseover=x",
    ]);
    prop_oneof![known.prop_map(str::to_owned), any::<String>(), "[<>&\"'/= a-z]{1,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The page has the elements and attributes that it would have if every text were harmless, and shows the texts.
    #[test]
    fn no_text_of_a_record_becomes_a_part_of_the_page(
        texts in prop::collection::vec(hostile(), 5..6),
    ) {
        // Rows stand in the order of their texts.
        let names = |page: &str| {
            let mut elements = parsed(page).0;
            elements.sort();
            elements
        };
        let harmless: Vec<String> = (0..5).map(|n| format!("harmless{n}")).collect();
        let page = report::html(&reported(&written_by(&texts))).unwrap();
        let expected = report::html(&reported(&written_by(&harmless))).unwrap();
        prop_assert!(names(&page) == names(&expected), "{}", page);
        for text in parsed(&page).1 {
            let steers = |c: char| c != '\n' && bottle::printable::is_unprintable(c);
            prop_assert!(!text.contains(steers), "{:?}", text);
        }
        // What was written stands there as text.
        let shown = parsed(&page).1.concat();
        for text in &texts {
            let text = bottle::printable::printable_name(text).into_owned();
            prop_assert!(shown.contains(&text), "{:?} is not shown", text);
        }
    }
}

#[test]
fn the_page_loads_nothing_and_can_be_read_by_everyone() {
    let page = report::html(&reported(&trail())).unwrap();
    let (elements, _) = parsed(&page);
    let csp = ("content".to_owned(), "default-src 'none'; style-src 'unsafe-inline'".to_owned());
    assert!(elements.iter().any(|(tag, attributes)| tag == "meta" && attributes.contains(&csp)));
    for (tag, attributes) in &elements {
        let loads =
            ["script", "link", "img", "iframe", "object", "embed", "a", "form", "base", "image", "use"];
        assert!(!loads.contains(&tag.as_str()), "{tag}");
        for (key, value) in attributes {
            let active =
                key.starts_with("on") || ["src", "href", "srcset", "action", "style"].contains(&key.as_str());
            assert!(!active, "{tag} {key}={value}");
        }
        let needs = |key: &str| assert!(attributes.iter().any(|(name, _)| name == key), "{tag} has no {key}");
        match tag.as_str() {
            "th" => needs("scope"),
            "svg" => needs("aria-label"),
            "html" => needs("lang"),
            _ => {}
        }
    }
    assert!(!page.contains("url(") && !page.contains("@import"));
    let headings: Vec<u32> = elements
        .iter()
        .filter_map(|(tag, _)| tag.strip_prefix('h').and_then(|level| level.parse().ok()))
        .collect();
    assert_eq!(headings.iter().filter(|level| **level == 1).count(), 1);
    assert!(headings.windows(2).all(|two| two[1] <= two[0] + 1), "{headings:?}");
}

/// WCAG 2.2, 1.4.3: text has a contrast of 4.5 to 1 with what it stands on.
#[test]
fn text_has_contrast_in_light_and_dark_and_on_paper() {
    let page = report::html(&reported(&trail())).unwrap();
    let palettes: Vec<&str> =
        page.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert_eq!(palettes.len(), 3);
    for palette in palettes {
        let colour = |name: &str| {
            let (_, rest) =
                palette.split_once(&format!("--{name}: #")).unwrap_or_else(|| panic!("{name}: {palette}"));
            let hex = rest.split(';').next().unwrap();
            if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() }
        };
        for text in ["ink", "soft", "allowed", "denied", "failed"] {
            for ground in ["paper", "card", "code"] {
                let contrast = contrast(&colour(text), &colour(ground));
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}\n{palette}");
            }
        }
    }
}

fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |hex: &str| {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    };
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}
