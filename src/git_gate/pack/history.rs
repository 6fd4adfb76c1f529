//! Whether an update keeps what its ref held: proven from the commits of the pack alone.

use super::{Refused, RefusedKind, Update, object::Kind, objects::Objects, shown};
use crate::git_gate::object_id::ObjectId;
use std::collections::HashSet;

/// Parents that are looked at for all updates of a push: many refs over one long history ask for them again and again.
const STEPS: usize = 4_000_000;

/// What is new comes with all of its parents: a clone that ends among it would have the server end there as well.
pub(super) fn is_whole(shallow: &[ObjectId], objects: &Objects) -> Result<(), Refused> {
    match shallow.iter().find(|id| objects.commits.contains_key(id)) {
        None => Ok(()),
        Some(id) => Err(Refused::shallow(id)),
    }
}

/// Each ref becomes something that it can be, and without `force` what it held is an ancestor of what it shall hold.
pub(super) fn prove(updates: &[Update<'_>], force: bool, objects: &Objects) -> Result<(), Refused> {
    let mut steps = STEPS;
    for update in updates {
        let Some(new) = update.new else { continue };
        let kind = objects.kind(&new);
        if update.refname.starts_with("refs/heads/")
            && let Some(kind) = kind.filter(|kind| *kind != Kind::Commit)
        {
            let reason = format!("a branch holds a commit, and {new} is a {}", kind.name());
            return Err(Refused::update(update.refname, RefusedKind::Malformed, reason));
        }
        match update.old {
            Some(old) if !force && old != new => {
                let refused = |why: String| {
                    let reason = format!("it is not proven that this only adds to what the ref holds: {why}");
                    Refused::update(update.refname, RefusedKind::NotFastForward, reason)
                };
                if update.refname.starts_with("refs/tags/") {
                    return Err(refused("a tag stays where it is; give the new one another name".into()));
                }
                let mend = mend(update.refname);
                if kind.is_none() {
                    return Err(refused(format!("{new} is not in the pack; {mend}")));
                }
                match reaches(new, old, objects, &mut steps) {
                    Some(true) => {}
                    Some(false) => {
                        return Err(refused(format!(
                            "no commit of this push comes from {old}, which the ref holds; {mend}"
                        )));
                    }
                    None => {
                        return Err(refused(
                            "the histories of this push are too long for it; push fewer refs".into(),
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn mend(refname: &str) -> String {
    match refname.strip_prefix("refs/heads/") {
        Some(branch) => {
            let branch = shown(branch.as_bytes());
            format!("run `git fetch origin` and `git rebase origin/{branch}`, and push again")
        }
        None => format!("fetch {}, add to what it holds, and push again", shown(refname.as_bytes())),
    }
}

/// Whether one line of commits of the pack goes back to `old`; nothing where that takes too long.
fn reaches(new: ObjectId, old: ObjectId, objects: &Objects, steps: &mut usize) -> Option<bool> {
    let (mut seen, mut next) = (HashSet::from([new]), vec![new]);
    while let Some(id) = next.pop() {
        let parents = objects.commits.get(&id).map(|commit| &*commit.parents).unwrap_or_default();
        *steps = steps.checked_sub(parents.len())?;
        if parents.contains(&old) {
            return Some(true);
        }
        next.extend(parents.iter().filter(|parent| seen.insert(**parent)));
    }
    Some(false)
}
