//! What this machine gives an agent where the manifest leaves it open.

use super::SERVICE_USER;
use camino::Utf8Path;

/// Without an answer of the kernel's.
const MEMORY: u64 = 4 << 30;

/// Bytes of memory for an agent: three quarters of what the machine has, so that the rest stays alive.
#[must_use]
pub fn agent_memory() -> u64 {
    let table = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
    total(&table).map_or(MEMORY, |total| (total / 4 * 3) >> 20 << 20)
}

/// `MemTotal` (`proc_meminfo(5)`), in bytes.
fn total(table: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `UID:GID` for an agent that writes into `place`: the owner's, so that what the agent makes is the owner's. Never
/// root: in a folder of root's the agent can't write, unless the manifest says `user: root`.
#[must_use]
pub fn agent_user(place: &Utf8Path) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    let known = place.ancestors().find_map(|place| fs_err::metadata(place).ok());
    match known {
        Some(found) if found.uid() != 0 => (found.uid(), found.gid()),
        _ => (SERVICE_USER, SERVICE_USER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_machine_is_read_from_its_table() {
        assert_eq!(total("MemTotal:       16303428 kB\nMemFree:  1 kB\n"), Some(16_303_428 * 1024));
        assert_eq!(total("MemFree:  1 kB\n"), None);
        assert!(agent_memory() > 0);
    }

    #[test]
    fn the_agent_is_never_root() {
        let (uid, _) = agent_user(Utf8Path::new("/"));
        assert_eq!(uid, SERVICE_USER, "the root folder is root's");
        let dir = tempfile::tempdir().unwrap();
        let (uid, _) = agent_user(Utf8Path::from_path(&dir.path().join("not/there")).unwrap());
        assert_ne!(uid, 0);
    }
}
