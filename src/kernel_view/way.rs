//! Which folder entries a path depends on, and whether a container could move one of them.

use super::source::{Source, SourceError, own_table};
use super::{Device, Mount, MountTable};
use camino::Utf8Path;
use std::path::PathBuf;

/// The entries that lead to a path, as the kernel names them: whoever can rename or replace one of them decides what
/// the path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way(Vec<(Device, PathBuf)>);

impl Way {
    /// The entries that lead to an absolute path, none of which is a link.
    pub fn to(path: &Utf8Path) -> Result<Self, SourceError> {
        let table = own_table()?;
        Source::in_table(path, &table)?;
        let steps = path.ancestors().filter_map(|step| Some((step.parent()?, step.file_name()?)));
        let entries = steps.map(|(folder, name)| {
            // By the folder that it is in: what is mounted over an entry does not say what the entry is.
            let folder = Source::in_table(folder, &table)?;
            Ok((folder.device, folder.root.join(name)))
        });
        Ok(Self(entries.collect::<Result<_, SourceError>>()?))
    }

    /// The entries that lead to a place below the folder that a mount shows.
    #[must_use]
    pub fn below(mount: &Mount, rest: &Utf8Path) -> Self {
        let steps = rest.ancestors().filter(|step| !step.as_str().is_empty());
        Self(steps.map(|step| (mount.device, mount.root.join(step))).collect())
    }

    /// The same by the names of paths alone, for a [`MountTable::of_binds`].
    #[must_use]
    pub fn by_name(path: &Utf8Path) -> Self {
        let entries = path.ancestors().filter(|step| step.parent().is_some());
        Self(entries.map(|step| (Device::UNKNOWN, step.as_std_path().to_owned())).collect())
    }
}

impl MountTable {
    /// Whether a process that sees these mounts could rename or replace an entry of the way: it lies in what a
    /// writable mount shows, and nothing is mounted on it, which would make it busy.
    #[must_use]
    pub fn could_move(&self, way: &Way) -> bool {
        let writable = || self.iter().filter(|mount| !mount.read_only && !mount.deleted);
        way.0.iter().any(|(device, entry)| {
            writable().filter(|mount| mount.device == *device).any(|mount| {
                let Ok(below) = entry.strip_prefix(&mount.root) else { return false };
                // The mount's own folder is an entry of a folder that this mount does not show.
                !below.as_os_str().is_empty()
                    && self.seen(&mount.target.join(below)).is_some_and(|seen| seen.id == mount.id)
            })
        })
    }

    /// The mounts that show a folder or something in it.
    pub fn showing(&self, folder: &Source) -> impl Iterator<Item = &Mount> + use<'_> {
        let Source { device, root, .. } = folder.clone();
        self.iter().filter(move |mount| {
            mount.device == device && (root.starts_with(&mount.root) || mount.root.starts_with(&root))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    const WORK: (&str, &str, bool) = ("/p", "/w", true);

    fn table(binds: &[(&str, &str, bool)]) -> MountTable {
        MountTable::of_binds(
            binds.iter().map(|(source, target, writable)| (source.into(), target.into(), *writable)),
        )
    }

    fn could_move(more: &[(&str, &str, bool)], place: &str) -> bool {
        table(&[&[WORK], more].concat()).could_move(&Way::by_name(Utf8Path::new(place)))
    }

    /// A pin on the place alone is not enough: the folder on the way could be renamed with it.
    #[test]
    fn what_is_not_pinned_with_all_on_the_way_can_be_moved() {
        let (a, ab) = (("/p/a", "/w/a", true), ("/p/a/b", "/w/a/b", true));
        for (more, expected) in [(&[][..], true), (&[ab], true), (&[a], true), (&[a, ab], false)] {
            assert_eq!(could_move(more, "/p/a/b"), expected, "{more:?}");
        }
        assert!(!could_move(&[], "/p"), "the mount's own folder is out of its reach");
        assert!(!could_move(&[], "/q/a"));
        let sealed = ("/p/a", "/w/a", false);
        assert!(!could_move(&[sealed], "/p/a/b"), "a read-only mount of its own around it");
        let other = ("/q", "/w/a", true);
        assert!(!could_move(&[other], "/p/a/b"), "it is covered, and what has a mount on it is busy");
        assert!(could_move(&[other, ("/p", "/again", true)], "/p/a/b"), "it is seen elsewhere");
        assert!(!could_move(&[("/q", "/w", true)], "/p/a"), "a mount over the mount hides it");
    }

    /// `mv p p2` on the host while the agent runs: its mount has the folder's new name, whatever the engine noted.
    #[test]
    fn a_renamed_folder_is_known_by_its_name_of_now() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        fs_err::create_dir_all(dir.join("p/new")).unwrap();
        let shown = |name: &str| {
            let Source { device, root, .. } = Source::at(&dir.join(name)).unwrap();
            let line = |id: u32, parent: u32, root: &str, target: &str| {
                format!("{id} {parent} {device} {root} {target} rw - ext4 d rw\n")
            };
            let lines = line(1, 0, "/image", "/") + &line(2, 1, root.to_str().unwrap(), "/w");
            MountTable::parse(lines.as_bytes()).unwrap()
        };
        assert!(shown("p").could_move(&Way::to(&dir.join("p/new")).unwrap()));
        let before = shown("p");
        fs_err::rename(dir.join("p"), dir.join("p2")).unwrap();
        let way = Way::to(&dir.join("p2/new")).unwrap();
        assert!(!before.could_move(&way), "that is what the engine's word comes to");
        assert!(shown("p2").could_move(&way));
        for (place, shows) in [("", true), ("p2", true), ("p2/new", true), ("p", false)] {
            fs_err::create_dir_all(dir.join(place)).unwrap();
            let folder = dir.join(place);
            let folder = Source::at(Utf8Path::new(folder.as_str().trim_end_matches('/'))).unwrap();
            assert_eq!(shown("p2").showing(&folder).next().is_some(), shows, "{place}");
        }
        fs_err::os::unix::fs::symlink("new", dir.join("p2/link")).unwrap();
        assert!(matches!(Way::to(&dir.join("p2/link")), Err(SourceError::Link { .. })));
        assert!(Way::to(&dir.join("p2/none")).unwrap_err().is_absence());
        assert!(Way::to(&dir.join("p2/none/below")).unwrap_err().is_absence());
    }

    /// What the host mounted on an entry is not mounted in a container that was there before, where the entry is free.
    #[test]
    fn an_entry_that_the_host_has_mounted_over_counts_by_its_own_file_system() {
        let way = Way::to(Utf8Path::new("/proc/self")).map(|way| way.0);
        assert!(matches!(way, Err(SourceError::Link { .. })), "{way:?}");
        let Way(entries) = Way::to(Utf8Path::new("/proc/sys")).unwrap();
        let root = Source::at(Utf8Path::new("/")).unwrap();
        assert_eq!(entries[1], (root.device, root.root.join("proc")));
        assert_ne!(entries[0].0, root.device);
    }
}
