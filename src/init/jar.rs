//! One file of a jar: the central directory and two ways to store it (APPNOTE.TXT, 4.3 and 4.4.5), bounded.

use std::io::Read as _;

/// As large as the file may be when it is unpacked.
const LARGEST: u64 = 1 << 20;

/// Entries that are looked at.
const ENTRIES: usize = 100_000;

/// The bytes of a file in the archive, or nothing where it is not there or the archive is broken.
#[must_use]
pub fn entry(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    // The end record stands last, before a comment of at most 64 KiB.
    let tail = archive.len().saturating_sub(22 + 0xffff);
    let end = tail + archive[tail..].windows(4).rposition(|four| four == b"PK\x05\x06")?;
    let mut at = long(archive, end + 16)?;
    for _ in 0..ENTRIES {
        if archive.get(at..at.checked_add(4)?)? != b"PK\x01\x02" {
            return None;
        }
        let (length, extra, comment) =
            (short(archive, at + 28)?, short(archive, at + 30)?, short(archive, at + 32)?);
        if archive.get(at + 46..at + 46 + length)? == name.as_bytes() {
            return unpacked(
                archive,
                short(archive, at + 10)?,
                long(archive, at + 20)?,
                long(archive, at + 42)?,
            );
        }
        at = at.checked_add(46 + length + extra + comment)?;
    }
    None
}

/// What stands behind a local header, by its method: 0 is stored, 8 is deflated.
fn unpacked(archive: &[u8], method: usize, size: usize, header: usize) -> Option<Vec<u8>> {
    let start =
        header.checked_add(30)? + short(archive, header.checked_add(26)?)? + short(archive, header + 28)?;
    let packed = archive.get(start..start.checked_add(size)?)?;
    let mut out = Vec::new();
    match method {
        0 => packed.take(LARGEST).read_to_end(&mut out).ok()?,
        8 => flate2::read::DeflateDecoder::new(packed).take(LARGEST).read_to_end(&mut out).ok()?,
        _ => return None,
    };
    Some(out)
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let two = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(usize::from(u16::from_le_bytes(two)))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write as _;

    /// An archive of these files, every second one deflated.
    pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        let u16s = |values: &[usize]| -> Vec<u8> {
            values.iter().flat_map(|it| u16::try_from(*it).unwrap().to_le_bytes()).collect()
        };
        let u32s = |values: &[usize]| -> Vec<u8> {
            values.iter().flat_map(|it| u32::try_from(*it).unwrap().to_le_bytes()).collect()
        };
        for (at, (name, text)) in files.iter().enumerate() {
            let method = if at % 2 == 1 { 8 } else { 0 };
            let packed = if method == 0 {
                text.as_bytes().to_vec()
            } else {
                let mut writer =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                writer.write_all(text.as_bytes()).unwrap();
                writer.finish().unwrap()
            };
            let header = out.len();
            let sizes = u32s(&[0, packed.len(), text.len()]);
            out.extend([b"PK\x03\x04".to_vec(), u16s(&[20, 0, method, 0, 0]), sizes.clone()].concat());
            out.extend([u16s(&[name.len(), 3]), name.as_bytes().to_vec(), b"xyz".to_vec(), packed].concat());
            directory.extend([b"PK\x01\x02".to_vec(), u16s(&[20, 20, 0, method, 0, 0]), sizes].concat());
            directory.extend([u16s(&[name.len(), 0, 2, 0, 0]), u32s(&[0, header])].concat());
            directory.extend([name.as_bytes(), b"cc"].concat());
        }
        let (start, size, count) = (out.len(), directory.len(), files.len());
        out.extend(directory);
        out.extend(
            [b"PK\x05\x06".to_vec(), u16s(&[0, 0, count, count]), u32s(&[size, start]), u16s(&[0])].concat(),
        );
        out
    }

    #[test]
    fn a_file_is_found_stored_and_deflated() {
        let jar = archive(&[("a", "first"), ("b/c.xml", &"<x/>".repeat(99)), ("d", "")]);
        assert_eq!(entry(&jar, "a").unwrap(), b"first");
        assert_eq!(entry(&jar, "b/c.xml").unwrap(), "<x/>".repeat(99).as_bytes());
        assert_eq!(entry(&jar, "d").unwrap(), b"");
        assert_eq!(entry(&jar, "e"), None);
    }

    #[test]
    fn a_bomb_is_cut_and_what_is_broken_is_nothing() {
        let jar = archive(&[("a", ""), ("b", &"0".repeat(3 << 20))]);
        assert_eq!(entry(&jar, "b").unwrap().len(), 1 << 20);
        let jar = archive(&[("a", "first"), ("b", "second")]);
        for at in 0..jar.len() {
            let _ = entry(&jar[..at], "b");
            let mut broken = jar.clone();
            broken[at] = 0xff;
            let _ = entry(&broken, "b");
        }
    }
}
