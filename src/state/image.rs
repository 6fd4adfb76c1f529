//! The build context: a copy of a bottle binary that runs in an empty image, and the Dockerfile.

use super::StateError;
use camino::{Utf8Path, Utf8PathBuf};

/// `Dockerfile.egress-proxy`, as it is in the repository.
pub const DOCKERFILE: &str = include_str!("../../Dockerfile.egress-proxy");

/// A program that was looked at and runs in an empty Linux image.
pub struct ImageBinary {
    bytes: Vec<u8>,
}

impl ImageBinary {
    /// Reads the program at `chosen`, or the running one, and refuses one that can't run in the image.
    #[expect(clippy::disallowed_methods, reason = "the error names the file")]
    pub fn read(chosen: Option<&Utf8Path>) -> Result<Self, StateError> {
        let path = match chosen {
            Some(path) => path.to_owned(),
            None => running()?,
        };
        let bytes = std::fs::read(&path).map_err(|source| crate::tree::TreeError::Io {
            doing: "read",
            path: path.clone(),
            source,
        })?;
        match why_not(&bytes) {
            None => Ok(Self { bytes }),
            Some(why) => Err(StateError::NotForTheImage { path, why }),
        }
    }

    /// The first half of its SHA-256, in hexadecimal: another program is another one, and what runs the old one is
    /// made again.
    #[must_use]
    pub fn digest(&self) -> String {
        use sha2::{Digest as _, Sha256};
        data_encoding::HEXLOWER.encode(&Sha256::digest(&self.bytes)[..16])
    }

    /// The whole program.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for ImageBinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImageBinary({} bytes)", self.bytes.len())
    }
}

fn running() -> Result<Utf8PathBuf, StateError> {
    // The link names the running program even where its file was replaced by an upgrade.
    let link = Utf8Path::new("/proc/self/exe");
    if link.exists() {
        return Ok(link.to_owned());
    }
    let failed = |source| crate::tree::TreeError::Io { doing: "find", path: "bottle itself".into(), source };
    let path = std::env::current_exe().map_err(failed)?;
    Utf8PathBuf::from_path_buf(path)
        .map_err(|_| StateError::Unquotable("the path of bottle itself".to_owned()))
}

/// Reads the ELF header (64 bit, little endian) as far as the question needs: who loads this program?
fn why_not(elf: &[u8]) -> Option<&'static str> {
    const PROGRAM_INTERPRETER: u32 = 3;
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        bytes
            .iter()
            .rev()
            .try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))
    };
    if elf.get(..4) != Some(b"\x7fELF") {
        return Some("it is not a Linux program");
    }
    if elf.get(4..6) != Some(&[2, 1]) || !matches!(number(18, 2), Some(0x3e | 0xb7)) {
        return Some("it is not built for x86-64 or 64-bit Arm");
    }
    let broken = Some("its header is broken");
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return broken;
    };
    for entry in 0..count {
        match entry.checked_mul(size).and_then(|at| at.checked_add(table)).and_then(|at| number(at, 4)) {
            Some(kind) if u32::try_from(kind) == Ok(PROGRAM_INTERPRETER) => {
                return Some("it is linked dynamically, and the image holds no libraries");
            }
            Some(_) => {}
            None => return broken,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one program header of the given kind.
    fn elf(machine: u8, kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (bytes[18], bytes[32], bytes[54], bytes[56], bytes[64]) = (machine, 64, 56, 1, kind);
        bytes
    }

    #[test]
    fn a_static_program_for_linux_is_taken() {
        assert_eq!(why_not(&elf(0x3e, 1)), None);
        assert_eq!(why_not(&elf(0xb7, 1)), None);
    }

    #[test]
    fn what_cannot_run_in_an_empty_image_is_refused_with_why() {
        assert_eq!(why_not(b"#!/bin/sh\n"), Some("it is not a Linux program"));
        assert_eq!(why_not(b"\xcf\xfa\xed\xfe"), Some("it is not a Linux program"));
        assert_eq!(why_not(&elf(0x28, 1)), Some("it is not built for x86-64 or 64-bit Arm"));
        assert_eq!(
            why_not(&elf(0x3e, 3)),
            Some("it is linked dynamically, and the image holds no libraries")
        );
        assert_eq!(why_not(&elf(0x3e, 1)[..64]), Some("its header is broken"));
        assert_eq!(why_not(b"\x7fELF\x02\x01"), Some("it is not built for x86-64 or 64-bit Arm"));
    }

    #[test]
    fn this_very_program_runs_in_the_image() {
        ImageBinary::read(None).unwrap();
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let error = ImageBinary::read(Some(Utf8Path::new("/bin/ls"))).unwrap_err().to_string();
        assert_eq!(
            error,
            "/bin/ls can't run in the image: it is linked dynamically, and the image holds no libraries; give a \
             static Linux build of bottle with --image-binary FILE"
        );
    }
}
