//! The registry for a command that renders many bottles: read once, unless another process writes it, and written so
//! seldom that the time for each bottle does not grow with their number.

use super::ConsentError;
use super::registry::{Bottle, Registry, Stamp, open, stamp};
use camino::{Utf8Path, Utf8PathBuf};

/// A write costs as much as there are bottles, so that many are held back for one.
const SHARE: usize = 4;

/// The registry, with what this command has rendered. What was not saved is not known to other commands, which refuse
/// to start it: rendering it again puts that right.
#[derive(Debug)]
pub struct RegistryWriter {
    home: Utf8PathBuf,
    registry: Registry,
    read: Option<Stamp>,
    unsaved: Vec<Bottle>,
}

impl RegistryWriter {
    /// Reads the registry below `home`.
    pub fn open(home: &Utf8Path) -> Result<Self, ConsentError> {
        let registry = Registry::default();
        let mut new = Self { home: home.to_owned(), registry, read: None, unsaved: Vec::new() };
        new.current()?;
        Ok(new)
    }

    /// Every bottle by now, those of other processes too.
    pub fn current(&mut self) -> Result<&Registry, ConsentError> {
        if self.home.is_dir() {
            let folder = open(&self.home)?;
            // Before the text: what is written in between is read the next time.
            let now = stamp(&folder)?;
            if now != self.read {
                self.registry = Registry::read(&folder)?;
                self.unsaved.iter().for_each(|bottle| self.registry.insert(bottle.clone()));
                self.read = now;
            }
        }
        Ok(&self.registry)
    }

    /// Puts a bottle in, in place of the one with the same output folder.
    pub fn remember(&mut self, bottle: Bottle) -> Result<(), ConsentError> {
        if self.current()?.of_out(&bottle.out) == Some(&bottle) {
            return Ok(());
        }
        self.registry.insert(bottle.clone());
        self.unsaved.push(bottle);
        if self.unsaved.len() * SHARE > self.registry.count() { self.save() } else { Ok(()) }
    }

    /// Writes what is not written yet.
    pub fn save(&mut self) -> Result<(), ConsentError> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        (self.registry, self.read) = Registry::remember(&self.home, &self.unsaved)?;
        self.unsaved.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{FolderId, Seal};

    fn bottle(n: usize) -> Bottle {
        Bottle {
            out: format!("/p/{n}/.bottle/dev").into(),
            manifest: format!("/p/{n}/bottle.yaml").into(),
            folder: FolderId::at("/".into()).unwrap(),
            name: "dev".into(),
            project: format!("bottle-dev-{n}"),
            state: format!("/s/{n}").into(),
            writable: vec![format!("/p/{n}").into()],
            writable_folders: Vec::new(),
            mounted: Some(vec![format!("/p/{n}").into()]),
            seal: Seal::default(),
        }
    }

    /// A count of writes, and not a time: each one reads and writes every bottle.
    #[test]
    fn many_bottles_are_written_a_few_times_and_all_of_them_are_known_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8PathBuf::from_path_buf(dir.path().join("bottle")).unwrap();
        let mut writer = RegistryWriter::open(&home).unwrap();
        let (mut count, mut last) = (0, None);
        for n in 0..1000 {
            writer.remember(bottle(n)).unwrap();
            let place = format!("/p/{n}/src");
            assert!(writer.current().unwrap().mounted_at(place.as_str().into()).count() == 1, "{n}");
            if writer.read != last {
                (count, last) = (count + 1, writer.read);
            }
        }
        assert!(count < 40, "{count}");
        assert!(Registry::load(&home).unwrap().count() < 1000);
        writer.save().unwrap();
        assert_eq!(Registry::load(&home).unwrap().count(), 1000);
    }

    #[test]
    fn what_another_process_writes_is_kept_and_seen() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8PathBuf::from_path_buf(dir.path().join("bottle")).unwrap();
        let mut one = RegistryWriter::open(&home).unwrap();
        for n in 0..10 {
            one.remember(bottle(n)).unwrap();
        }
        one.save().unwrap();
        one.remember(bottle(10)).unwrap();
        assert_eq!(one.unsaved.len(), 1);
        let mut other = RegistryWriter::open(&home).unwrap();
        other.remember(bottle(11)).unwrap();
        other.save().unwrap();
        assert!(one.current().unwrap().of_out("/p/11/.bottle/dev".into()).is_some());
        assert!(one.current().unwrap().of_out("/p/10/.bottle/dev".into()).is_some());
        // Written between the look and the save.
        Registry::forget(&home, "/p/3/.bottle/dev".into()).unwrap();
        one.save().unwrap();
        let saved = Registry::load(&home).unwrap();
        assert_eq!(saved.count(), 11);
        assert!(saved.of_out("/p/10/.bottle/dev".into()).is_some());
        assert!(one.current().unwrap().of_out("/p/3/.bottle/dev".into()).is_none());
    }
}
