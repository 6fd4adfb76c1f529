//! The certificates that `pipelock.extra_ca` names. What is read lands in the rendered tree, and an agent can write
//! both the manifest that names the file and, in the project, the file.

use super::named_file;
use anyhow::Context as _;
use camino::Utf8Path;

/// A file of certificates has at most this many bytes; all that a system trusts are 300 kB.
const LARGEST: u64 = 1024 * 1024;

/// The text of `file`, which is relative to the folder `project` (absolute, without links).
pub(crate) fn read(project: &Utf8Path, file: &Utf8Path) -> anyhow::Result<String> {
    let place = || format!("`pipelock.extra_ca`: {file}");
    let bytes = named_file::read(project, file, LARGEST).with_context(place)?;
    String::from_utf8(bytes).with_context(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use fs_err::os::unix::fs::symlink;

    fn project() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        fs_err::create_dir(root.join("project")).unwrap();
        (dir, root.join("project"))
    }

    fn refused(project: &Utf8Path, file: &str) -> String {
        format!("{:#}", read(project, file.into()).unwrap_err())
    }

    #[test]
    fn in_the_project_no_link_is_followed_and_outside_they_are() {
        let (_dir, project) = project();
        fs_err::write(project.join("../own.pem"), "own").unwrap();
        symlink("own.pem", project.join("../linked.pem")).unwrap();
        assert_eq!(read(&project, "../linked.pem".into()).unwrap(), "own");
        symlink("../own.pem", project.join("ca.pem")).unwrap();
        symlink("..", project.join("up")).unwrap();
        let link =
            "is a symbolic link, which bottle does not follow: an agent could have put it there; remove it";
        assert_eq!(
            refused(&project, "ca.pem"),
            format!("`pipelock.extra_ca`: ca.pem: {project}/ca.pem {link}")
        );
        assert_eq!(
            refused(&project, "up/own.pem"),
            format!("`pipelock.extra_ca`: up/own.pem: {project}/up {link}")
        );
        // Out of the project and back into it.
        symlink("project/ca.pem", project.join("../back.pem")).unwrap();
        symlink("project/plain.pem", project.join("../plain.pem")).unwrap();
        fs_err::write(project.join("plain.pem"), "plain").unwrap();
        assert_eq!(read(&project, "../plain.pem".into()).unwrap(), "plain");
        assert_eq!(refused(&project, "none/x.pem"), "`pipelock.extra_ca`: none/x.pem: there is no such file");
    }

    #[test]
    fn a_file_without_an_end_is_not_read() {
        let (_dir, project) = project();
        for place in ["ca.pem", "../ca.pem"] {
            fs_err::File::create(project.join(place)).unwrap().set_len(2 << 30).unwrap();
            let refused = refused(&project, place);
            assert!(refused.ends_with("ca.pem is larger than 1 MiB"), "{refused}");
        }
        assert!(refused(&project, "/dev/zero").ends_with(
            "/dev/zero is a device and no file: an agent could have put it there; remove it, or name a file"
        ));
    }
}
