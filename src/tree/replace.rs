//! One file of a person's, with new bytes: all of them or none, and only if it is what was read before.

use super::{Folder, TreeError};
use camino::Utf8Path;
use rustix::fs::AtFlags;

/// Gives the plain file at `path` new bytes, in one step; its mode and owner stay. Refused when it no longer has the
/// bytes `old`, or is a link or anything else but a plain file.
pub fn replace_plain(path: &Utf8Path, old: &[u8], new: &[u8]) -> Result<(), TreeError> {
    let name = path.file_name().unwrap_or_default();
    let folder = Folder::open(path.parent().unwrap_or(Utf8Path::new("")))?;
    let changed = || TreeError::Changed { path: path.to_owned() };
    if folder.read_at_most(name, old.len() as u64).map_err(|error| match error {
        TreeError::TooLarge { .. } => changed(),
        other => other,
    })? != Some(old.to_vec())
    {
        return Err(changed());
    }
    let failed = |source: rustix::io::Errno| TreeError::Io {
        doing: "look at",
        path: path.to_owned(),
        source: source.into(),
    };
    let stat = rustix::fs::statat(folder.handle(), name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let others = stat.st_uid != rustix::process::geteuid().as_raw();
    let staged = folder.stage_for(name, new, stat.st_mode & 0o7777, others.then_some(stat.st_uid))?;
    staged.commit()?;
    folder.sync()
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_replaced_with_its_mode_and_only_if_it_is_what_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let file = folder.join("bottle.yaml");
        fs_err::write(&file, "old").unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        replace_plain(&file, b"old", b"new").unwrap();
        assert_eq!(fs_err::read(&file).unwrap(), b"new");
        assert_eq!(fs_err::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
        for before in ["old", "ne", "newer"] {
            let error = replace_plain(&file, before.as_bytes(), b"x").unwrap_err().to_string();
            assert_eq!(error, format!("{file} was changed meanwhile; nothing was written"));
        }
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 1, "nothing is left behind");
        fs_err::os::unix::fs::symlink(&file, folder.join("link")).unwrap();
        let error = replace_plain(&folder.join("link"), b"new", b"x").unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
        assert_eq!(fs_err::read(&file).unwrap(), b"new");
    }
}
