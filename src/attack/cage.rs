//! The container: privileges, the engine's socket, and the rendered files that the agent must not change.

use super::{Check, Outcome, describe};
use crate::stack::{AGENT_BINARY, ENGINE_SOCKETS, TRUST};
use fs_err as fs;
use std::path::{Path, PathBuf};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "cage/capabilities", tried: "hold or gain privileges", attempt: || capabilities() },
    Check { name: "cage/engine", tried: "talk to the container engine", attempt: || engine() },
    Check { name: "cage/rendered", tried: "change the rendered files", attempt: || rendered() },
    Check { name: "cage/trust", tried: "change the trust bundle or the binary", attempt: || trust() },
];

/// `/proc/self/status` (proc(5)): an empty effective and bounding set, and no new privileges by exec.
fn capabilities() -> Outcome {
    match fs::read_to_string("/proc/self/status") {
        Ok(status) => privileges(&status),
        Err(error) => Outcome::NotTried(error.to_string()),
    }
}

fn privileges(status: &str) -> Outcome {
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map_or("absent", str::trim);
    let (effective, bounding) = (field("CapEff:"), field("CapBnd:"));
    let none = |set: &str| set.bytes().all(|b| b == b'0');
    if !none(effective) || !none(bounding) {
        return Outcome::Broken(format!("capabilities: effective {effective}, bounding {bounding}"));
    }
    if field("NoNewPrivs:") != "1" {
        return Outcome::Broken("a set-uid program would gain privileges".into());
    }
    Outcome::Held("no capability, no new privileges".into())
}

fn engine() -> Outcome {
    match ENGINE_SOCKETS.into_iter().find(|path| Path::new(path).exists()) {
        None => Outcome::Held("no engine socket".into()),
        Some(path) => Outcome::Broken(format!("{path} is here")),
    }
}

/// The folders named `.bottle` in the agent's mounts.
pub(super) fn rendered_folders() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<_> = mount_points(&mounts)
        .into_iter()
        .map(|point| if point.ends_with(".bottle") { point } else { point.join(".bottle") })
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The mount points in the text of `/proc/self/mountinfo` (proc(5): the fifth column, spaces as `\040`).
fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|p| PathBuf::from(p.replace("\\040", " ")))
        .collect()
}

fn rendered() -> Outcome {
    let folders = rendered_folders();
    if folders.is_empty() {
        return Outcome::Held("they are in no mount".into());
    }
    let mut last = String::new();
    for folder in &folders {
        match change(folder) {
            Ok(what) => return Outcome::Broken(format!("{}: {what}", folder.display())),
            Err(why) => last = why,
        }
    }
    Outcome::Held(format!("{} folders: {last}", folders.len()))
}

fn trust() -> Outcome {
    let (bundle, binary) = (Path::new(TRUST), Path::new(AGENT_BINARY));
    if !bundle.exists() && !binary.exists() {
        return Outcome::NotApplicable("neither is mounted here".into());
    }
    if let Ok(what) = change(bundle) {
        return Outcome::Broken(format!("{}: {what}", bundle.display()));
    }
    // To open a running program for writing fails wherever it lies, so the mount is asked.
    match rustix::fs::statvfs(binary) {
        Ok(stat) if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) => {
            Outcome::Held("read-only".into())
        }
        Ok(_) => Outcome::Broken(format!("{} lies on a writable mount", binary.display())),
        Err(error) => Outcome::NotTried(format!("{}: {error}", binary.display())),
    }
}

/// Tries to add, overwrite and rename in a folder; undoes what works. `Ok` says what worked.
fn change(folder: &Path) -> Result<&'static str, String> {
    let new = folder.join("bottle-attack");
    if fs::write(&new, "attack").is_ok() {
        let _ = fs::remove_file(&new);
        return Ok("a file could be added");
    }
    let moved = folder.with_extension("moved-by-attack");
    if fs::rename(folder, &moved).is_ok() {
        let _ = fs::rename(&moved, folder);
        return Ok("the folder could be moved away");
    }
    let mut last = String::from("read-only");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if let Ok(what) = change(&path) {
                return Ok(what);
            }
        } else if let Err(error) = fs::OpenOptions::new().append(true).open(&path) {
            last = describe(&error);
        } else {
            return Ok("a file could be opened for writing");
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_read_from_status() {
        let status =
            |eff, bnd, nnp| format!("Name:\tx\nCapEff:\t{eff}\nCapBnd:\t{bnd}\nNoNewPrivs:\t{nnp}\n");
        assert!(matches!(privileges(&status("0000000000000000", "0000000000000000", 1)), Outcome::Held(_)));
        assert!(matches!(privileges(&status("0000000000000001", "0000000000000000", 1)), Outcome::Broken(_)));
        assert!(matches!(privileges(&status("0000000000000000", "00000000a80425fb", 1)), Outcome::Broken(_)));
        assert!(matches!(privileges(&status("0000000000000000", "0000000000000000", 0)), Outcome::Broken(_)));
        assert!(
            matches!(privileges("Name:\tx\n"), Outcome::Broken(_)),
            "an unreadable status proves nothing"
        );
    }

    #[test]
    fn mount_points_are_read_with_their_spaces() {
        let info = "36 35 98:0 / /work rw - ext4 /dev/x rw\n37 35 98:0 / /my\\040work rw - ext4 /dev/x rw\n";
        assert_eq!(mount_points(info), [PathBuf::from("/work"), PathBuf::from("/my work")]);
    }

    #[test]
    fn a_folder_that_can_be_changed_is_found_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(".bottle");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("docker-compose.yml"), "x").unwrap();
        assert_eq!(change(&folder), Ok("a file could be added"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
