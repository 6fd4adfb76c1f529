//! What a state holds and a start believes, by digest, kept apart from the state: in the registry.

use super::{ConsentError, Sha256Sum};
use crate::tree::{TreeError, open_plain};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::BufRead as _;

/// The record stands for the agreed tree and the build context, whose digests it holds.
const SEALED: [&str; 4] = [super::record::FILE, crate::state::ENV_FILE, "image/Dockerfile", "image/bottle"];

/// The files of a state by their digests. A state may lie anywhere (`--state DIR`), and what is in it is found by
/// the registry; a state that somebody else could write is told from what `render` left by what the registry has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seal(BTreeMap<Utf8PathBuf, Sha256Sum>);

impl Seal {
    /// Of the state as it is.
    pub fn of(state: &Utf8Path) -> Result<Self, ConsentError> {
        let sealed = SEALED.iter().map(|file| Ok(((*file).into(), sum(&state.join(file))?)));
        Ok(Self(sealed.collect::<Result<_, ConsentError>>()?))
    }

    /// The files that the image of bottle's own services is built from.
    pub(super) fn of_image(&self) -> BTreeMap<Utf8PathBuf, Sha256Sum> {
        let of_image = self.0.iter().filter(|(file, _)| file.starts_with("image"));
        of_image.map(|(file, sum)| (file.clone(), *sum)).collect()
    }

    /// Refuses a state of which one file is not what it was.
    pub fn require_whole(&self, state: &Utf8Path) -> Result<(), ConsentError> {
        for file in SEALED {
            let path = state.join(file);
            if self.0.get(Utf8Path::new(file)) != Some(&sum(&path)?) {
                return Err(ConsentError::BrokenSeal(path));
            }
        }
        Ok(())
    }
}

fn sum(path: &Utf8Path) -> Result<Sha256Sum, ConsentError> {
    let mut file = std::io::BufReader::with_capacity(1 << 20, open_plain(path)?);
    let mut hash = Sha256::new();
    loop {
        let failed = |source| TreeError::Io { doing: "read", path: path.to_owned(), source };
        let read = file.fill_buf().map_err(failed)?;
        if read.is_empty() {
            return Ok(Sha256Sum(hash.finalize().into()));
        }
        hash.update(read);
        let length = read.len();
        file.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_replaced_or_removed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let state = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        fs_err::create_dir(state.join("image")).unwrap();
        let write = |file: &str, text: &str| fs_err::write(state.join(file), text).unwrap();
        for file in SEALED {
            write(file, file);
        }
        let seal = Seal::of(&state).unwrap();
        seal.require_whole(&state).unwrap();
        for file in SEALED {
            write(file, "other");
            let said = seal.require_whole(&state).unwrap_err().to_string();
            assert_eq!(
                said,
                format!(
                    "{state}/{file} is not what `bottle render` left there; find out who changed it, then run \
                     `bottle render`"
                )
            );
            write(file, file);
        }
        fs_err::remove_file(state.join("image/bottle")).unwrap();
        assert!(seal.require_whole(&state).is_err());
        fs_err::os::unix::fs::symlink("Dockerfile", state.join("image/bottle")).unwrap();
        assert!(seal.require_whole(&state).unwrap_err().to_string().contains("image/bottle"));
        fs_err::remove_file(state.join("image/bottle")).unwrap();
        write("image/bottle", "image/bottle");
        seal.require_whole(&state).unwrap();
        assert!(Seal::default().require_whole(&state).is_err(), "what was never sealed is not whole");
    }
}
