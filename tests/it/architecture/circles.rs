//! Circles of imports between files.
//!
//! An edge runs from a file to the file that a name it uses is defined in: a name that a module only re-exports leads
//! on to its own file. A parent and what is below it may import each other, so such an edge does not count. Tests do
//! not count, and neither do methods, which no path names.

use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// The segments of a module's path: `["dlp", "view"]`; of an item's too.
type Path = Vec<String>;

static USE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^\s*(?:pub )?use ([^;]+);").unwrap());
static PATH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w+(?:::\w+)+").unwrap());
static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)//.*$").unwrap());
static VISIBILITY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"pub\([^)]*\)").unwrap());
static TESTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"#\[cfg\(test\)\]\s*(?:pub )?mod \w+ \{").unwrap());

/// The source of a module, without its comments and tests.
struct Module {
    /// What it says beside its imports.
    body: String,
    /// What each imported name stands for.
    imports: BTreeMap<String, Path>,
    /// Modules of which it imports everything.
    globs: Vec<Path>,
}

/// All modules of a crate, by path.
pub(super) struct Modules(BTreeMap<Path, Module>);

fn path(text: &str) -> Path {
    text.split("::").map(str::to_owned).collect()
}

impl Modules {
    /// From the files of a crate: the path below `src` without `.rs`, with `/`, and the text.
    pub(super) fn new<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let mut texts = BTreeMap::new();
        for (file, text) in files {
            let mut module: Path = file.split('/').map(str::to_owned).collect();
            match module.last().map(String::as_str) {
                Some("tests") => continue,
                Some("mod" | "lib") => drop(module.pop()),
                _ => {}
            }
            let text = VISIBILITY.replace_all(&COMMENT.replace_all(text, ""), "pub").into_owned();
            let end = TESTS.find(&text).map_or(text.len(), |tests| tests.start());
            texts.insert(module, text[..end].to_owned());
        }
        let known: BTreeSet<Path> = texts.keys().cloned().collect();
        let module = |(name, text): (Path, String)| {
            let (mut imports, mut globs) = (BTreeMap::new(), Vec::new());
            for found in USE.captures_iter(&text) {
                let mut leaves = Vec::new();
                flatten(&found[1].split_whitespace().collect::<Vec<_>>().join(" "), "", &mut leaves);
                for (segments, alias) in leaves {
                    let Some(mut target) = absolute(&known, &name, segments) else { continue };
                    if target.last().is_some_and(|last| last == "*") {
                        target.pop();
                        globs.push(target);
                    } else {
                        imports.insert(alias, target);
                    }
                }
            }
            (name, Module { body: USE.replace_all(&text, "").into_owned(), imports, globs })
        };
        Self(texts.into_iter().map(module).collect())
    }

    /// The module that defines what a path names; `None` outside of this crate.
    fn defining(&self, target: &[String], depth: usize) -> Option<Path> {
        let count = (0..=target.len()).rev().find(|count| self.0.contains_key(&target[..*count]))?;
        let (module, rest) = (target[..count].to_vec(), &target[count..]);
        let Some((name, rest)) = rest.split_first().filter(|_| depth < 12) else { return Some(module) };
        let source = &self.0[&module];
        if let Some(import) = source.imports.get(name).filter(|import| import[..] != target[..=count]) {
            return self.defining(&[import, rest].concat(), depth + 1);
        }
        let word = format!(r"\b(?:fn|struct|enum|trait|type|const|static) {name}\b");
        let defines = Regex::new(&word).unwrap();
        let by_glob =
            source.globs.iter().find(|glob| self.0.get(*glob).is_some_and(|it| defines.is_match(&it.body)));
        Some(by_glob.cloned().unwrap_or(module))
    }

    fn edges(&self) -> BTreeMap<&Path, BTreeSet<Path>> {
        let known: BTreeSet<Path> = self.0.keys().cloned().collect();
        let edges = self.0.iter().filter(|(name, _)| !name.is_empty()).map(|(name, module)| {
            // A module that is imported counts by what is used of it.
            let imported = module.imports.values().filter(|target| !known.contains(*target)).cloned();
            let named = PATH.find_iter(&module.body).filter_map(|found| {
                let segments = path(found.as_str());
                match module.imports.get(&segments[0]) {
                    Some(import) => Some([import, &segments[1..]].concat()),
                    None => absolute(&known, name, segments),
                }
            });
            let targets = imported.chain(named).chain(module.globs.iter().cloned());
            let found = targets.filter_map(|target| self.defining(&target, 0));
            (name, found.filter(|to| !to.starts_with(name) && !name.starts_with(to)).collect())
        });
        edges.collect()
    }

    /// The circles: files that reach each other, each group as its modules' paths.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let reach: BTreeMap<&Path, BTreeSet<&Path>> = edges
            .keys()
            .map(|start| {
                let (mut seen, mut next) = (BTreeSet::new(), vec![*start]);
                while let Some(at) = next.pop() {
                    next.extend(edges[at].iter().filter(|to| seen.insert(*to)));
                }
                (*start, seen)
            })
            .collect();
        let mut circles = BTreeSet::new();
        for (module, reached) in &reach {
            if reached.contains(module) {
                let group = reached.iter().filter(|other| reach[**other].contains(*module));
                circles.insert(group.map(|other| other.join("::")).collect::<Vec<_>>());
            }
        }
        circles.into_iter().collect()
    }
}

/// The path from the crate's root; `None` outside of this crate.
fn absolute(known: &BTreeSet<Path>, module: &[String], mut segments: Path) -> Option<Path> {
    let mut base = module.to_vec();
    match segments[0].as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop();
            while segments.get(1).is_some_and(|next| next == "super") {
                base.pop();
                segments.remove(0);
            }
        }
        // A module's own child.
        child => {
            let below = [module, &[child.to_owned()]].concat();
            return known.contains(&below).then(|| [module, &segments].concat());
        }
    }
    segments.remove(0);
    base.append(&mut segments);
    Some(base)
}

/// Every path of a `use`, with the name that it has in the file.
fn flatten(tree: &str, prefix: &str, into: &mut Vec<(Path, String)>) {
    let tree = tree.trim();
    if let Some((head, list)) = tree.split_once('{') {
        let (mut depth, mut start) = (0, 0);
        let list = &list[..list.rfind('}').unwrap_or(list.len())];
        for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    flatten(&list[start..at], &format!("{prefix}{head}"), into);
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else if !tree.is_empty() {
        let (target, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut segments = path(&format!("{prefix}{target}"));
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let alias =
            if alias.is_empty() { segments.last().cloned().unwrap_or_default() } else { alias.to_owned() };
        into.push((segments, alias));
    }
}

#[test]
fn circles_are_found_through_re_exports_and_not_between_a_parent_and_its_child() {
    let circles = |files: &[(&str, &str)]| Modules::new(files.iter().copied()).circles();
    let through = [
        ("a/mod", "mod one;\nmod two;\npub use one::One;"),
        ("a/one", "use super::two;\npub struct One(two::Two);"),
        ("a/two", "pub struct Two;\nfn f(_: super::One) {}"),
    ];
    assert_eq!(circles(&through), [["a::one", "a::two"]]);
    let three = [
        ("a", "use crate::{b::{self, B}};\npub struct A(b::X);"),
        ("b", "use crate::c::*;\npub struct B(C);"),
        ("c", "pub struct C(crate::a::A);"),
    ];
    assert_eq!(circles(&three), [["a", "b", "c"]]);
    let family = [
        ("a/mod", "mod one;\nuse one::One;\npub struct A(One);"),
        ("a/one", "use super::A;\npub struct One;"),
    ];
    assert!(circles(&family).is_empty());
    let tests = [
        ("a", "// use crate::b::B;\npub struct A;\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}"),
        ("b", "use crate::a::A;\npub struct B(A);"),
    ];
    assert!(circles(&tests).is_empty());
}
