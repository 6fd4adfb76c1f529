//! The list of codes is the program's own: whatever it says has a page, and every page is about something that it says.

mod failures;
mod fixtures;
mod pages;

use bottle::codes::{CODES, Code, CodeKind};
use bottle::policy::Reason;
use fs_err as fs;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn names(kind: impl Fn(CodeKind) -> bool) -> BTreeSet<String> {
    CODES.iter().filter(|code| kind(code.kind)).map(|code| code.name.to_owned()).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Every call that makes a diagnostic begins with its code.
fn said_in_source() -> BTreeSet<String> {
    let call = r#"(?:Diagnostic::(?:error|warning)|findings\s*\.\s*(?:value|key|place)|\.start)\(\s*"([a-z][a-z-]*)""#;
    let call = regex::Regex::new(call).unwrap();
    let failure = r#"(?:fail!|Failure::(?:new|fixed))\(\s*"([a-z][a-z-]*)""#;
    let failure = regex::Regex::new(failure).unwrap();
    let typed = regex::Regex::new(r#"Some\("([a-z][a-z-]*)"\)"#).unwrap();
    let mut sources = Vec::new();
    files(&root().join("src"), &mut sources);
    let mut found = BTreeSet::new();
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let codes_of_errors = if source.ends_with("cli/failure.rs") { text } else { "" };
        let calls = call.captures_iter(text).chain(failure.captures_iter(text));
        let all = calls.chain(typed.captures_iter(codes_of_errors));
        found.extend(all.map(|captures| captures[1].to_owned()));
    }
    found
}

/// The codes of `Block::code`, and those that a check hands to it.
fn said_by_pipelock() -> BTreeSet<String> {
    let read = |name: &str| fs::read_to_string(root().join("src/verdict/pipelock").join(name)).unwrap();
    let blocks = read("block.rs");
    let (_, rest) = blocks.split_once("pub fn code(").unwrap();
    let (body, _) = rest.split_once("pub fn layer(").unwrap();
    let code = regex::Regex::new(r#""([a-z]+(?:_[a-z]+)+)""#).unwrap();
    let entropy = regex::Regex::new(r#""([a-z]+_entropy)""#).unwrap();
    let checks = read("url.rs");
    let found = code.captures_iter(body).chain(entropy.captures_iter(&checks));
    let constant = std::iter::once(bottle::verdict::pipelock::PRIVATE_ADDRESS.to_owned());
    let found: BTreeSet<String> = found.map(|captures| captures[1].to_owned()).chain(constant).collect();
    assert!(found.len() > 20, "{found:?}");
    found
}

#[test]
fn what_is_said_is_listed_and_what_is_listed_is_said() {
    assert_eq!(said_in_source(), names(|kind| kind != CodeKind::Refusal));
    let reasons = Reason::ALL.iter().map(|reason| reason.code().to_owned());
    let reasons: BTreeSet<String> = reasons.chain(said_by_pipelock()).collect();
    assert_eq!(reasons, names(|kind| kind == CodeKind::Refusal));
}

#[test]
fn every_page_has_a_title_a_reason_and_a_way_out() {
    for Code { name, page, .. } in CODES {
        assert!(
            page.starts_with(&format!("# {name}: ")),
            "{name}: {}",
            page.lines().next().unwrap_or_default()
        );
        assert!(page.contains("\n## What to do\n"), "{name}: what is a reader to do?");
        assert!(page.lines().all(|line| line.chars().count() <= 120), "{name}: a long line");
        assert!(page.lines().count() > 8 && page.ends_with('\n') && !page.contains("\n\n\n"), "{name}");
    }
    let mut pages = Vec::new();
    files(&root().join("docs/codes"), &mut pages);
    let known: BTreeSet<&str> = CODES.iter().map(|code| code.name).collect();
    for page in pages {
        let stem = page.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(stem == "README" || known.contains(stem.as_str()), "{} is about nothing", page.display());
    }
}

/// The page that lists them; `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_index_lists_every_page() {
    let mut index = String::from(
        "# Codes\n\nWhat `bottle` says in brackets, and the reasons of refused requests. `bottle explain-code CODE` \
         prints the page of one.\n",
    );
    for (kind, heading) in [
        (CodeKind::Error, "Errors: a manifest that is refused"),
        (CodeKind::Lint, "Lints: a manifest that is rendered, and worth a look"),
        (CodeKind::Failure, "Failures: what a command could not do"),
        (CodeKind::Refusal, "Refusals: a request that was not let through"),
    ] {
        write!(index, "\n## {heading}\n\n").unwrap();
        for code in CODES.iter().filter(|code| code.kind == kind) {
            writeln!(index, "- [{name}]({name}.md): {}", code.title(), name = code.name).unwrap();
        }
    }
    let path = root().join("docs/codes/README.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &index).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        index,
        "UPDATE_GOLDEN=1 writes docs/codes/README.md"
    );
}

fn explain(arguments: &[&str]) -> (i32, String, String) {
    let ran =
        Command::new(env!("CARGO_BIN_EXE_bottle")).arg("explain-code").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
}

#[test]
fn explain_code_prints_the_page() {
    let (code, page, _) = explain(&["path_not_allowed"]);
    assert_eq!((code, page), (0, fs::read_to_string(root().join("docs/codes/path_not_allowed.md")).unwrap()));
    let (code, json, _) = explain(&["[floating-image]", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["kind"], &json["code"]), (0, &"lint".into(), &"floating-image".into()));
    let (code, list, _) = explain(&[]);
    assert_eq!((code, list.lines().count()), (0, CODES.len()));
    let (code, nothing, error) = explain(&["floating-imag"]);
    assert_eq!((code, nothing.as_str()), (2, ""));
    assert_eq!(error, "error: `floating-imag` is not a code; did you mean floating-image?\n");
    let (code, _, error) = explain(&["E0308"]);
    assert_eq!(
        (code, error.as_str()),
        (2, "error: `E0308` is not a code; `bottle explain-code` lists them\n")
    );
}
