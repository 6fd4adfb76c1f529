//! Old keys to their successors, in the text itself: comments, order and style of all else stay.
//!
//! What has no successor that is certain stays as it is, and the report on the result says so, as `render` would.

use super::super::findings::{self, Findings};
use super::super::{LARGEST, Manifest, secrets};
use super::cred_proxy;
use super::recipe::Replacement;
use crate::diagnostic::{Report, Source};
use crate::yaml::{self, Comments, Edit, Limits};
use serde_json::{Value, json};

/// A manifest whose old keys were replaced.
#[derive(Debug)]
pub struct Migrated {
    /// Its text; as it was, where there is nothing to replace.
    pub text: String,
    /// What is wrong with the result: what could not be migrated, first of all. Empty when it is a manifest.
    pub left: Report,
    /// What is worth a look, a sentence each.
    pub notes: Vec<String>,
}

/// Replaces every retired key that has a certain successor. What is not YAML, or holds a secret, is refused.
pub fn migrate(name: &str, text: &str) -> Result<Migrated, Report> {
    let limits = Limits { bytes: LARGEST, ..Limits::default() };
    let source = Source::new(name, secrets::masked(text));
    let read = yaml::read(text.as_bytes(), limits);
    let (Some(document), true) = (read.document, read.problems.is_empty()) else {
        let problems = read.problems.into_iter().map(|problem| findings::of_yaml(problem, &source));
        return Err(Report(problems.collect()));
    };
    if !secrets::find(text, Some(&document)).is_empty() {
        return Err(Manifest::load(name, text.as_bytes()).err().unwrap_or_default());
    }
    let mut migration = Migration { text: text.to_owned(), limits, notes: Vec::new() };
    let mut rest = document.value.clone();
    let old = rest.as_object_mut().and_then(|map| map.shift_remove("cred_proxy"));
    if let Some(old) = old {
        let mut said = Findings::new(&document, &source);
        let successors = cred_proxy::successors(&old, &rest, &mut said);
        migration.cred_proxy(&old, &rest, &successors.done);
        migration.notes.extend(successors.roles);
    }
    let Migration { text, notes, .. } = migration;
    let left = Manifest::load(name, text.as_bytes()).err().unwrap_or_default();
    Ok(Migrated { text, left, notes })
}

struct Migration {
    text: String,
    limits: Limits,
    notes: Vec<String>,
}

impl Migration {
    fn cred_proxy(&mut self, old: &Value, rest: &Value, done: &[Replacement]) {
        let base = pointer_of(cred_proxy::base(old));
        let routes = old.get("routes").unwrap_or(old);
        // The routes that are still there, by the index that they had.
        let mut indices: Vec<usize> = (0..routes.as_array().map_or(0, Vec::len)).collect();
        let mut moving = Vec::new();
        for one in done {
            let Some(index) = index_of(&one.pointer) else { continue };
            let Some(place) = indices.iter().position(|own| *own == index) else { continue };
            let at = format!("{base}/{place}");
            let before = self.text.clone();
            if !self.try_edits(&one.pointer, &rewritten(one, &at, &routes[index])) {
                continue;
            }
            // Those that are merged into it say nothing more. They go, or the route stays as it was.
            let merged: Vec<usize> = one.merged.iter().filter_map(|pointer| index_of(pointer)).collect();
            let mut removed = indices.clone();
            let gone = merged.iter().all(|index| {
                let place = removed.iter().position(|own| own == index);
                place.is_some_and(|place| {
                    removed.remove(place);
                    let at = format!("{base}/{place}");
                    self.try_edits(&one.pointer, &[Edit::Remove { at, comments: Comments::Keep }])
                })
            });
            if gone {
                indices = removed;
                moving.push(index);
            } else {
                self.text = before;
            }
            if one.paths.is_none() {
                self.notes.push(format!(
                    "{} has no `path_allowlist`, which is new: every path is allowed, as it was; name those that are needed",
                    one.host
                ));
            }
        }
        if moving.is_empty() {
            return;
        }
        let only_routes = old.as_object().is_some_and(|map| map.len() == 1);
        if moving.len() == indices.len() && only_routes && rest.get("egress_proxy").is_none() {
            let rename = Edit::Rename { at: "/cred_proxy".to_owned(), key: "egress_proxy".to_owned() };
            self.try_edits("cred_proxy", &[rename]);
            return;
        }
        self.shift(&base, &mut indices, &moving, rest);
        if indices.is_empty() && (only_routes || old.is_array()) {
            let at = "/cred_proxy".to_owned();
            self.try_edits("cred_proxy", &[Edit::Remove { at, comments: Comments::Keep }]);
        }
    }

    /// Takes the rewritten routes to `egress_proxy.routes`.
    fn shift(&mut self, base: &str, indices: &mut Vec<usize>, moving: &[usize], rest: &Value) {
        const TO: &str = "/egress_proxy/routes";
        if rest.pointer(TO).is_none() && !self.try_edits("egress_proxy", &[Edit::add(TO, json!([]))]) {
            return;
        }
        let mut moving = moving.to_vec();
        moving.sort_unstable();
        for index in moving {
            let Some(place) = indices.iter().position(|own| *own == index) else { continue };
            let from = format!("{base}/{place}");
            let value = self.value().pointer(&from).cloned().unwrap_or_default();
            let as_written = Edit::Move { from: from.clone(), to: TO.to_owned() };
            let by_value = [Edit::add(format!("{TO}/-"), value), Edit::remove(from)];
            let edited = yaml::edit(&self.text, &[as_written], self.limits)
                .or_else(|_| yaml::edit(&self.text, &by_value, self.limits));
            match edited {
                Ok(text) => {
                    self.text = text;
                    indices.remove(place);
                }
                Err(error) => self.notes.push(error.to_string()),
            }
        }
    }

    fn value(&self) -> Value {
        yaml::parse(self.text.as_bytes(), self.limits).map(|document| document.value).unwrap_or_default()
    }

    /// Makes all of the edits or none; false, and a note, where one is refused.
    fn try_edits(&mut self, what: &str, edits: &[Edit]) -> bool {
        match yaml::edit(&self.text, edits, self.limits) {
            Ok(text) => {
                self.text = text;
                true
            }
            Err(error) => {
                self.notes.push(format!("{what} stays as it is: {error}"));
                false
            }
        }
    }
}

/// The edits that make a new route of an old one. The host takes the line of what comes first of `path` and `upstream`.
fn rewritten(one: &Replacement, at: &str, old: &Value) -> Vec<Edit> {
    let key = |name: &str| format!("{at}/{name}");
    let drop = |name: &str| Edit::Remove { at: key(name), comments: Comments::Keep };
    let rename = |from: &str, to: &str| Edit::Rename { at: key(from), key: to.to_owned() };
    let has = |name: &str| old.get(name).is_some();
    let names = old.as_object().into_iter().flat_map(|map| map.keys());
    let first = names.into_iter().find(|name| matches!(name.as_str(), "path" | "upstream"));
    let (kept, gone) =
        if first.is_some_and(|first| first == "path") { ("path", "upstream") } else { ("upstream", "path") };
    let mut edits = vec![rename(kept, "host"), Edit::replace(key("host"), one.host.as_str())];
    edits.extend(has(gone).then(|| drop(gone)));
    if let Some(auth) = &one.auth {
        let first = old.as_object().into_iter().flat_map(|map| map.keys());
        let first = first.into_iter().find(|name| matches!(name.as_str(), "auth_scheme" | "token_ref"));
        let (kept, gone) = match first.map(String::as_str) {
            Some("token_ref") => ("token_ref", "auth_scheme"),
            _ => ("auth_scheme", "token_ref"),
        };
        let value = json!({"scheme": auth.scheme, "token_ref": auth.token_ref});
        edits.extend([rename(kept, "auth"), Edit::replace(key("auth"), value), drop(gone)]);
    } else {
        edits.extend(["auth_scheme", "token_ref"].into_iter().filter(|name| has(name)).map(drop));
    }
    edits.extend(has("role").then(|| drop("role")));
    if let Some(paths) = &one.paths {
        edits.push(Edit::add(key("path_allowlist"), json!(paths)));
    }
    if one.ports != [443] {
        edits.push(Edit::add(key("ports"), json!(one.ports)));
    }
    edits
}

/// `cred_proxy.routes[1]` as a JSON pointer.
fn pointer_of(readable: &str) -> String {
    let steps = readable.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    steps.flat_map(|step| ["/", step]).collect()
}

fn index_of(readable: &str) -> Option<usize> {
    readable.rsplit('[').next()?.trim_end_matches(']').parse().ok()
}
