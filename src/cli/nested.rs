//! Manifests in folders below one that was named: a folder means its own manifests, and the rest is said.

use super::lints::OTHERS;
use super::source::is_manifest;
use crate::printable::printable_name;
use crate::tree::{Entry, Folder};
use camino::{Utf8Path, Utf8PathBuf};

/// How deep is looked: `teams/web/services/api/bottle.yaml`.
const DEPTH: usize = 4;

/// Files and folders that are looked at, at most.
const ENTRIES: usize = 50_000;

/// A line that says how many manifests lie below the folders that were named, where there are any. Links are not
/// followed, and what can't be read is not looked into.
pub(crate) fn note(arguments: &[Utf8PathBuf]) -> Option<String> {
    let mut left = ENTRIES;
    let mut found = Vec::new();
    for argument in arguments.iter().filter(|argument| argument.is_dir()) {
        if let Ok(folder) = Folder::open(argument) {
            walk(&folder, argument, DEPTH, &mut left, &mut found);
        }
    }
    found.retain(|file| {
        !arguments.iter().any(|named| named == file || Some(named.as_path()) == file.parent())
    });
    found.sort();
    found.dedup();
    let first = printable_name(found.first()?.as_str()).into_owned();
    let least = if left == 0 { "at least " } else { "" };
    Some(match found.len() {
        1 => format!("note: {least}1 manifest below is not looked at: {first}; name it or its folder, too\n"),
        more => format!(
            "note: {least}{more} manifests below are not looked at, such as {first}; name them or their folders, too\n"
        ),
    })
}

/// What lies below a folder, and not in it.
fn walk(folder: &Folder, at: &Utf8Path, depth: usize, left: &mut usize, found: &mut Vec<Utf8PathBuf>) {
    let Ok(entries) = folder.entries() else { return };
    for (name, entry) in entries {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let path = at.join(&name);
        if depth < DEPTH && matches!(entry, Entry::File) && is_manifest(&path) {
            found.push(path);
        } else if depth > 0
            && matches!(entry, Entry::Folder)
            && !OTHERS.contains(&name.as_str())
            && let Ok(below) = folder.child(&name)
        {
            walk(&below, &path, depth - 1, left, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_named_folder_is_counted_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let write = |path: &str| {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        };
        write("agents/bottle.yaml");
        let named = root.join("agents");
        assert_eq!(note(std::slice::from_ref(&named)), None);
        write("agents/web/bottle.yaml");
        let said =
            |arguments: &[Utf8PathBuf]| note(arguments).map(|text| text.replace(root.as_str(), "ROOT"));
        assert_eq!(
            said(std::slice::from_ref(&named)).unwrap(),
            "note: 1 manifest below is not looked at: ROOT/agents/web/bottle.yaml; name it or its folder, too\n"
        );
        write("agents/a/b/c/ci.bottle.yaml");
        write("agents/node_modules/x/bottle.yaml");
        write("agents/.bottle/dev/bottle.yaml");
        write("agents/1/2/3/4/5/bottle.yaml");
        write("elsewhere/bottle.yaml");
        fs_err::os::unix::fs::symlink(root.join("elsewhere"), root.join("agents/link")).unwrap();
        fs_err::os::unix::fs::symlink(root.join("agents"), root.join("agents/round")).unwrap();
        assert_eq!(
            said(std::slice::from_ref(&named)).unwrap(),
            "note: 2 manifests below are not looked at, such as ROOT/agents/a/b/c/ci.bottle.yaml; name them or their \
             folders, too\n"
        );
        // What is named as well is looked at.
        let all = [named.clone(), root.join("agents/web"), root.join("agents/a/b/c/ci.bottle.yaml")];
        assert_eq!(said(&all), None);
        assert_eq!(note(&[root.join("agents/bottle.yaml")]), None);
    }
}
