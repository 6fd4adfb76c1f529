//! What of a git repository a folder of this machine has: whoever can change its hooks and settings runs programs as
//! the person who uses git there.

use crate::capability::GitPart;
use crate::plan::layout::normal;
use crate::tree::read_plain;
use camino::{Utf8Path, Utf8PathBuf};

/// The files of git that are read have at most this many bytes.
const LARGEST: u64 = 1024 * 1024;

/// What a folder (absolute, without links) has, if anything.
pub(crate) fn of(source: &Utf8Path) -> Option<GitPart> {
    let is_there = |path: Utf8PathBuf| path.symlink_metadata().is_ok();
    let is_bare =
        |folder: &Utf8Path| ["HEAD", "objects", "refs"].iter().all(|name| is_there(folder.join(name)));
    if source.components().any(|part| part.as_str() == ".git") || source.ancestors().any(is_bare) {
        return Some(GitPart::Settings);
    }
    let git = source.join(".git");
    let kind = git.symlink_metadata().ok()?;
    let folder = if kind.is_dir() { Some(git) } else { linked(&git, source) };
    let is_open = match &folder {
        // The folder that the file leads to lies in what the agent can write.
        Some(folder) if !kind.is_dir() && folder.starts_with(source) => true,
        Some(folder) => leads_into(folder, source),
        None => false,
    };
    Some(if is_open { GitPart::Settings } else { GitPart::WorkTree })
}

/// Where the `.git` of a linked work tree leads (`gitrepository-layout(5)`).
fn linked(git: &Utf8Path, source: &Utf8Path) -> Option<Utf8PathBuf> {
    let text = String::from_utf8(read_plain(git, LARGEST).ok()?).ok()?;
    Some(normal(&source.join(text.lines().next()?.strip_prefix("gitdir:")?.trim())))
}

/// Whether the repository's configuration takes hooks or more configuration from the work tree (`git-config(1)`,
/// `core.hooksPath`, `include.path`).
fn leads_into(git: &Utf8Path, source: &Utf8Path) -> bool {
    let config = read_plain(&git.join("config"), LARGEST).unwrap_or_default();
    let config = String::from_utf8_lossy(&config).into_owned();
    let values = config.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let key = key.rsplit(']').next()?.trim().to_ascii_lowercase();
        Some((key, value.trim().trim_matches('"').to_owned()))
    });
    // Hooks are relative to the work tree, an included file to the one that names it.
    let mut places = values.filter_map(|(key, value)| match key.as_str() {
        "hookspath" => Some(normal(&source.join(value))),
        "path" => Some(normal(&git.join(value))),
        _ => None,
    });
    places.any(|place| place.starts_with(source) && !place.starts_with(git))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_a_repository_a_folder_has() {
        let dir = tempfile::tempdir().unwrap();
        let top = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let write = |path: &str, text: &str| {
            let path = top.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        for name in ["HEAD", "objects/x", "refs/x", "hooks/x"] {
            write(&format!("bare.git/{name}"), "");
            write(&format!("plain/.git/{name}"), "");
        }
        write("plain/.git/config", "[core]\n\tbare = false\n");
        write("husky/.git/config", "[core]\n\thooksPath = .husky\n");
        write("inline/.git/config", "[core] HooksPath=\"hooks\"\n");
        write("included/.git/config", "[include]\n\tpath = ../settings\n");
        write("own/.git/config", "[core]\n\thooksPath = .git/more\n");
        write("far/.git/config", "[core]\n\thooksPath = /usr/share/hooks\n");
        write("separate/.git", "gitdir: meta\n");
        write("linked/.git", "gitdir: ../plain/.git/worktrees/linked\n");
        write("nothing/file", "");
        for (path, part) in [
            ("plain", Some(GitPart::WorkTree)),
            ("far", Some(GitPart::WorkTree)),
            ("own", Some(GitPart::WorkTree)),
            ("linked", Some(GitPart::WorkTree)),
            ("nothing", None),
            ("plain/.git", Some(GitPart::Settings)),
            ("plain/.git/hooks", Some(GitPart::Settings)),
            ("bare.git", Some(GitPart::Settings)),
            ("bare.git/hooks", Some(GitPart::Settings)),
            ("husky", Some(GitPart::Settings)),
            ("inline", Some(GitPart::Settings)),
            ("included", Some(GitPart::Settings)),
            ("separate", Some(GitPart::Settings)),
        ] {
            assert_eq!(of(&top.join(path)), part, "{path}");
        }
    }
}
