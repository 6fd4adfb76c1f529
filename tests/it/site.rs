//! The pages as a site: every page is in it, it builds without a warning, and no link of it leads nowhere. The blocks of the
//! pages for beginners and of the tasks are played.

use crate::golden::{assert_golden, root};
use bottle::codes::CODES;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use html5gum::{Token, Tokenizer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::{Command, Stdio};

const SUMMARY: &str = "docs/SUMMARY.md";

/// Every page below a folder, relative to `docs`.
fn pages(folder: &Utf8Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in folder.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(pages(entry.path()));
        } else if entry.path().extension() == Some("md") {
            found.insert(entry.path().strip_prefix(docs()).unwrap().to_string());
        }
    }
    found
}

fn docs() -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(root().join("docs")).unwrap()
}

/// The codes are those of `bottle explain-code`; `UPDATE_GOLDEN=1` writes what follows the parts that people write.
#[test]
fn the_summary_has_every_page() {
    let summary = fs::read_to_string(root().join(SUMMARY)).unwrap();
    let by_hand = summary.split("\n# Codes and decisions\n").next().unwrap().trim_end();
    let mut expected =
        format!("{by_hand}\n\n# Codes and decisions\n\n- [Troubleshooting by error code](codes/README.md)\n");
    let codes: BTreeSet<&str> = CODES.iter().map(|code| code.name).collect();
    for code in codes {
        writeln!(expected, "  - [{code}](codes/{code}.md)").unwrap();
    }
    expected.push_str("- [Decisions]()\n");
    for page in pages(&docs().join("decisions")) {
        let text = fs::read_to_string(docs().join(&page)).unwrap();
        let number = page.trim_start_matches("decisions/").split('-').next().unwrap();
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        let title = title.strip_prefix(&format!("{number}: ")).unwrap_or(title);
        writeln!(expected, "  - [{number}: {title}]({page})").unwrap();
    }
    assert_golden(&root().join(SUMMARY), &expected);
    let named = regex::Regex::new(r"\]\(([^)]+)\)").unwrap();
    let named: BTreeSet<String> = named.captures_iter(&expected).map(|found| found[1].to_owned()).collect();
    let mut there = pages(&docs());
    there.remove("SUMMARY.md");
    assert_eq!(named, there);
}

/// The places that a page has, and those that it points to.
#[derive(Default)]
struct Anchors {
    ids: BTreeSet<String>,
    links: Vec<String>,
}

fn anchors(html: &str) -> Anchors {
    let mut found = Anchors::default();
    for token in Tokenizer::new(html) {
        let Ok(Token::StartTag(tag)) = token else { continue };
        for (name, value) in &tag.attributes {
            let value = String::from_utf8(value.value.to_vec()).unwrap();
            match name.as_slice() {
                b"id" => drop(found.ids.insert(value)),
                b"href" | b"src" => found.links.push(value),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn the_site_builds_and_no_link_of_it_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let site = Utf8PathBuf::from_path_buf(folder.path().join("site")).unwrap();
    let tool = root().join("target/tools/bin/mdbook");
    let ran = Command::new(&tool).args(["build", "--dest-dir", site.as_str()]).arg(root()).output();
    let ran = ran.unwrap_or_else(|why| panic!("{}: {why}; run scripts/setup --tests", tool.display()));
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "{said}");

    let mut all = BTreeMap::new();
    for page in pages(&docs()).into_iter().filter(|page| page != "SUMMARY.md") {
        let page = site.join(page).with_extension("html");
        let html = fs::read_to_string(&page).unwrap();
        all.insert(page, anchors(&html));
    }
    let (mut followed, mut wrong) = (0, Vec::new());
    for (page, anchors) in &all {
        for link in &anchors.links {
            if link.starts_with("https://") || link.starts_with("data:") {
                continue;
            }
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            let is_there = match target.canonicalize_utf8() {
                Err(_) => false,
                Ok(target) if place.is_empty() => target.is_file() && target.starts_with(&site),
                Ok(target) => all.get(&target).is_some_and(|page| page.ids.contains(place)),
            };
            followed += 1;
            if !is_there {
                wrong.push(format!("{}: {link}", page.strip_prefix(&site).unwrap()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} links lead nowhere:\n{}", wrong.len(), wrong.join("\n"));
    assert!(followed > 1000, "{followed}");
}

/// A block of YAML is a file, named by its first line, and a manifest without a lint; one of `console` has commands and what they
/// print. Those of `sh` need Docker or a terminal: `readme::every_command_that_is_shown_is_one` reads them.
fn play(page: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    fs::create_dir_all(project.join("agent")).unwrap();
    fs::write(project.join("agent/Dockerfile"), "FROM scratch\n").unwrap();
    fs::copy(root().join("examples/intranet/company-ca.pem"), project.join("company-ca.pem")).unwrap();
    let bottle = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command.args(arguments).current_dir(&project).env("XDG_STATE_HOME", folder.path().join("state"));
        let ran = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap()
    };
    let text = fs::read_to_string(docs().join(page)).unwrap();
    let mut played = 0;
    for block in text.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        match language {
            "yaml" => {
                let name = text.lines().next().unwrap().strip_prefix("# ").unwrap();
                fs::write(project.join(name), text).unwrap();
                let plan = bottle(&["plan", name]);
                assert!(!plan.contains("error") && !plan.contains("lint"), "{page}: {plan}");
                played += 1;
            }
            "console" => {
                let mut seen = String::new();
                for command in text.lines().filter(|line| line.starts_with("$ ")) {
                    let arguments: Vec<&str> =
                        command.strip_prefix("$ bottle ").unwrap().split_whitespace().collect();
                    write!(seen, "{command}\n{}", bottle(&arguments)).unwrap();
                    played += 1;
                }
                assert_eq!(seen, text, "{page}");
            }
            "sh" => {}
            other => panic!("{page}: a block of {other}"),
        }
    }
    played
}

#[test]
fn what_the_pages_of_tasks_show_is_what_happens() {
    assert!(play("getting-started.md") > 2);
    for page in pages(&docs().join("tasks")) {
        let played = play(&page);
        assert!(played > 0 || page == "tasks/rotate-a-token.md", "{page}: nothing in it is played");
    }
}
