//! `docs/clients.md` against the tests that it names.

use std::{collections::BTreeSet, path::Path};

/// The names of the tests in a file of the served stack: `tools::npm`.
fn tests_of(module: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stack/served");
    let text = fs_err::read_to_string(folder.join(format!("{module}.rs"))).unwrap();
    let function = regex::Regex::new(r"#\[test\]\s+fn (\w+)\(").unwrap();
    function.captures_iter(&text).map(|found| format!("{module}::{}", &found[1])).collect()
}

#[test]
fn every_client_in_the_table_has_a_test_and_every_test_of_a_tool_is_in_it() {
    let page = fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md")).unwrap();
    let named = regex::Regex::new(r"`((?:tools|clients|claude)::\w+)`").unwrap();
    let named: BTreeSet<String> = named.captures_iter(&page).map(|found| found[1].to_owned()).collect();
    let there: BTreeSet<String> = ["tools", "clients", "claude"].into_iter().flat_map(tests_of).collect();
    let missing: Vec<_> = named.difference(&there).collect();
    assert!(missing.is_empty(), "docs/clients.md names tests that are not there: {missing:?}");
    let untold: Vec<_> = tests_of("tools").into_iter().filter(|test| !named.contains(test)).collect();
    assert!(untold.is_empty(), "docs/clients.md has no row for {untold:?}");

    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 5 && cells[4].contains("::"), "a row wants five cells and a test: {row}");
    }
}
