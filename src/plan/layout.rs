//! Where the rendered tree lies, seen from the manifest, and back: relative paths only, so that no path of a
//! machine gets into a committed file. Lexical; nothing here asks the file system.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// The two relative paths between the manifest's folder and OUT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// OUT, seen from the manifest's folder: `.bottle/dev`.
    out: Utf8PathBuf,
    /// The manifest's folder, seen from OUT: `../..`.
    back: Utf8PathBuf,
}

impl Layout {
    /// The default: `.bottle/NAME` beside the manifest.
    #[must_use]
    pub fn beside(name: &str) -> Self {
        Self { out: Utf8Path::new(".bottle").join(name), back: "../..".into() }
    }

    /// The layout of two absolute folders. Links have to be resolved by the caller: `a/../b` is `b` here.
    #[must_use]
    pub fn between(manifest_folder: &Utf8Path, out: &Utf8Path) -> Self {
        Self { out: relative(manifest_folder, out), back: relative(out, manifest_folder) }
    }

    /// OUT, seen from the manifest's folder.
    #[must_use]
    pub fn out(&self) -> &Utf8Path {
        &self.out
    }

    /// The folder that must not be written by an agent: the nearest `.bottle` around OUT, or OUT itself.
    #[must_use]
    pub fn guarded(&self) -> Utf8PathBuf {
        let outermost = self.out.ancestors().filter(|path| path.file_name() == Some(".bottle")).last();
        outermost.unwrap_or(&self.out).to_owned()
    }

    /// A path of the manifest as OUT's files must write it. Absolute paths stay; all others begin with a dot,
    /// so that Compose never takes one for a volume's name.
    #[must_use]
    pub fn from_out(&self, path: &Utf8Path) -> Utf8PathBuf {
        if path.is_absolute() {
            return path.to_owned();
        }
        let joined = normal(&self.back.join(path));
        if joined.starts_with("..") || joined == "." { joined } else { Utf8Path::new(".").join(joined) }
    }
}

/// `path` without `.` and without `x/..`; `.` if nothing is left.
pub(crate) fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut parts: Vec<Utf8Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Utf8Component::CurDir, _) | (Utf8Component::ParentDir, Some(Utf8Component::RootDir)) => {}
            (Utf8Component::ParentDir, Some(Utf8Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    if parts.is_empty() { ".".into() } else { parts.into_iter().collect() }
}

/// `path` seen from `folder`, if it is that folder or lies below it; both relative to the same place.
pub(crate) fn below(path: &Utf8Path, folder: &Utf8Path) -> Option<Utf8PathBuf> {
    let (path, folder) = (normal(path), normal(folder));
    if folder == "." {
        let inside = !path.is_absolute() && !path.starts_with("..");
        return inside.then(|| if path == "." { Utf8PathBuf::new() } else { path });
    }
    path.strip_prefix(&folder).ok().map(Utf8Path::to_owned)
}

fn relative(from: &Utf8Path, to: &Utf8Path) -> Utf8PathBuf {
    let (from, to) = (normal(from), normal(to));
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Utf8Component::ParentDir);
    let path: Utf8PathBuf = up.chain(to.components().skip(shared)).collect();
    if path.as_str().is_empty() { ".".into() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(manifest: &str, out: &str) -> Layout {
        Layout::between(Utf8Path::new(manifest), Utf8Path::new(out))
    }

    #[test]
    fn the_default_is_what_two_absolute_folders_give() {
        assert_eq!(between("/home/me/app", "/home/me/app/.bottle/dev"), Layout::beside("dev"));
    }

    #[test]
    fn paths_of_the_manifest_are_rebased_to_out() {
        let cases = [
            (Layout::beside("dev"), ".", "../.."),
            (Layout::beside("dev"), "./agent", "../../agent"),
            (Layout::beside("dev"), "../sibling", "../../../sibling"),
            (Layout::beside("dev"), ".bottle/dev/x", "../../.bottle/dev/x"),
            (Layout::beside("dev"), "/data", "/data"),
            (between("/a/app", "/a/app"), "src", "./src"),
            (between("/a/app", "/a/app"), ".", "."),
            (between("/a/app", "/a/out"), "src", "../app/src"),
            (between("/a/app/deep", "/a/app"), "src", "./deep/src"),
        ];
        for (layout, path, expected) in cases {
            assert_eq!(layout.from_out(Utf8Path::new(path)), expected, "{path} from {}", layout.out());
        }
    }

    #[test]
    fn what_is_guarded_is_the_whole_folder_of_bottles() {
        assert_eq!(Layout::beside("dev").guarded(), ".bottle");
        assert_eq!(between("/a", "/a/ci/tree").guarded(), "ci/tree");
        assert_eq!(between("/a", "/a/.bottle/x/y").guarded(), ".bottle");
    }

    #[test]
    fn below_compares_whole_components() {
        let below =
            |path: &str, folder: &str| below(Utf8Path::new(path), Utf8Path::new(folder)).map(String::from);
        assert_eq!(below("agent", "."), Some("agent".into()));
        assert_eq!(below("./agent/x", "agent"), Some("x".into()));
        assert_eq!(below("agent", "agent/"), Some(String::new()));
        assert_eq!(below("agents", "agent"), None);
        assert_eq!(below("../agent", "."), None);
        assert_eq!(below("a/../../b", "."), None);
    }
}
