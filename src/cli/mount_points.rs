//! The places that a mount lies on where its target is in another mount. The engine would make what is missing, as root,
//! wherever a link leads; so it is made here before, by no link, for the owner of the folder that it is in.

use super::agreed_stack::Stack;
use crate::capability::MountPoint;
use crate::tree::Folder;
use anyhow::Context as _;
use camino::Utf8Path;

/// Makes what is missing of them, in sources that are there.
pub(super) fn make(stack: &Stack) -> anyhow::Result<()> {
    for point in stack.agreed.record.capabilities.mount_points() {
        let what = || format!("{}, where {} mounts at {}", point.place, stack.file, point.target);
        make_one(&point).with_context(what)?;
    }
    Ok(())
}

fn make_one(point: &MountPoint<'_>) -> anyhow::Result<()> {
    // What is not there is said with the other places.
    if !point.around.is_dir() || !point.source.exists() {
        return Ok(());
    }
    let around = Folder::open_for_output(point.around)?;
    let rest = point.place.strip_prefix(point.around)?;
    if point.source.is_dir() {
        around.make_alike(rest)?;
    } else if let Some(name) = rest.file_name() {
        around.make_alike(rest.parent().unwrap_or(Utf8Path::new("")))?.make_file_alike(name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    #[test]
    fn what_is_missing_is_made_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        for folder in ["work", "data", "else"] {
            fs_err::create_dir(root.join(folder)).unwrap();
        }
        fs_err::write(root.join("file"), "x").unwrap();
        let (around, data, file) = (root.join("work"), root.join("data"), root.join("file"));
        let point = |place: &str, source| MountPoint {
            target: Utf8Path::new("/t"),
            place: around.join(place),
            around: &around,
            source,
        };
        for _ in 0..2 {
            make_one(&point("a/b", &data)).unwrap();
            make_one(&point("a/c/file", &file)).unwrap();
        }
        assert!(around.join("a/b").is_dir() && around.join("a/c/file").is_file());
        assert_eq!(fs_err::read(&file).unwrap(), b"x");
        fs_err::os::unix::fs::symlink(root.join("else"), around.join("link")).unwrap();
        for source in [&data, &file] {
            let said = make_one(&point("link/x", source)).unwrap_err().to_string();
            assert!(said.contains("link") && said.contains("symbolic link"), "{said}");
        }
        assert_eq!(fs_err::read_dir(root.join("else")).unwrap().count(), 0);
        let gone = MountPoint { around: Utf8Path::new("/nowhere"), ..point("x", &data) };
        make_one(&gone).unwrap();
    }
}
