//! `bottle mounts`, inside the agent's container: whether folders that must be read-only mounts still are. The
//! kernel drops a mount whose folder is renamed away or removed on the host.

use super::{Outcome, print};
use anyhow::Context as _;

/// Check that read-only mounts are still there, from inside a container
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Args {
    /// Places that must be mounts of their own, read-only
    #[arg(value_name = "PATH")]
    places: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("can't read /proc/self/mountinfo")?;
    let lost: Vec<&String> = args.places.iter().filter(|place| !is_read_only(&table, place)).collect();
    for place in &lost {
        print(&format!("{place} is no read-only mount any more\n"))?;
    }
    Ok(if lost.is_empty() { Outcome::Done } else { Outcome::Differs })
}

/// Whether the last mount at `place` in a mount table (`proc_pid_mountinfo(5)`) is read-only.
fn is_read_only(table: &str, place: &str) -> bool {
    let fields = |line: &str| -> Option<(String, bool)> {
        let mut fields = line.split(' ').skip(4);
        let target = unescaped(fields.next()?);
        Some((target, fields.next()?.split(',').any(|option| option == "ro")))
    };
    table.lines().rev().filter_map(fields).find(|(target, _)| target == place).is_some_and(|(_, ro)| ro)
}

/// Spaces, tabs, line breaks and backslashes are octal in the table.
fn unescaped(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
21 20 0:19 / / rw,relatime - overlay overlay rw
22 21 8:1 /src /work rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 8:1 /src/.bottle /work/.bottle ro,relatime - ext4 /dev/sda1 rw
24 22 8:1 /src/a\\040b /work/a\\040b ro,relatime - ext4 /dev/sda1 rw
25 22 8:1 /x /work/twice ro,relatime - ext4 /dev/sda1 rw
26 25 8:1 /y /work/twice rw,relatime - ext4 /dev/sda1 rw
";

    #[test]
    fn a_place_counts_only_as_a_read_only_mount_of_its_own() {
        assert!(is_read_only(TABLE, "/work/.bottle"));
        assert!(is_read_only(TABLE, "/work/a b"));
        assert!(!is_read_only(TABLE, "/work"), "writable");
        assert!(!is_read_only(TABLE, "/work/.bottle/dev"), "a folder in a mount");
        assert!(!is_read_only(TABLE, "/gone"));
        assert!(!is_read_only(TABLE, "/work/twice"), "the last one counts");
    }
}
