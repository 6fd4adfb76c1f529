//! The kernel: what a filter of system calls, limits and a bare `/dev` keep away from the agent.
//!
//! A refusal by the filter is told from one by the kernel: the filter says `EPERM` before the kernel looks at a
//! call, so calls are made in a way that the kernel itself would answer with something else.

use super::{
    Check, Outcome, describe,
    syscalls::{self, all_refused},
};
use fs_err as fs;
use socket2::{Domain, Socket, Type};
use std::{
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "kernel/filter", tried: "run without a filter of system calls", attempt: || filter() },
    Check {
        name: "kernel/sockets",
        tried: "open a socket of a family that no namespace confines",
        attempt: || sockets(),
    },
    Check { name: "kernel/io-uring", tried: "queue requests past the filter", attempt: || io_uring() },
    Check { name: "kernel/namespaces", tried: "be root in a namespace of its own", attempt: || namespaces() },
    Check { name: "kernel/mounts", tried: "mount and unmount", attempt: || mounts() },
    Check {
        name: "kernel/calls",
        tried: "use bpf, perf, keyrings, userfaultfd",
        attempt: || syscalls::attempt(),
    },
    Check { name: "kernel/core", tried: "leave memory in a core file", attempt: || core() },
    Check {
        name: "kernel/resources",
        tried: "use all memory and processes of the host",
        attempt: || resources(Path::new("/sys/fs/cgroup")),
    },
    Check { name: "kernel/devices", tried: "find a device of the host", attempt: || devices() },
];

/// `/proc/self/status` (proc(5)): mode 2 is a filter. Containers of Docker run without one on a kernel that lacks
/// it, in a privileged container and with `seccomp=unconfined`.
fn filter() -> Outcome {
    match fs::read_to_string("/proc/self/status") {
        Ok(status) => seccomp_mode(&status),
        Err(error) => Outcome::NotTried(error.to_string()),
    }
}

fn seccomp_mode(status: &str) -> Outcome {
    match status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim) {
        Some("2") => Outcome::Held("seccomp filters".into()),
        Some(mode) => Outcome::Broken(format!("seccomp mode {mode} filters nothing")),
        None => Outcome::Broken("this kernel has no seccomp".into()),
    }
}

/// The families of the kernel's `include/linux/socket.h`, up to the last one of Linux 6.18.
const FAMILIES: std::ops::RangeInclusive<i32> = 0..=45;
/// `AF_UNIX`, `AF_INET`, `AF_INET6`, `AF_NETLINK`.
const ALLOWED: [i32; 4] = [1, 2, 10, 16];

/// The families that matter most, tried first: to the hypervisor, past interfaces, into modules of the kernel.
const WORST: [(i32, &str); 3] = [(40, "AF_VSOCK"), (17, "AF_PACKET"), (38, "AF_ALG")];

/// Every family but those four, with every type of socket that any of them has.
fn sockets() -> Outcome {
    let types = [Type::STREAM, Type::DGRAM, Type::RAW, Type::SEQPACKET];
    let others = FAMILIES.filter(|it| !ALLOWED.contains(it) && WORST.iter().all(|(worst, _)| worst != it));
    let named = WORST.into_iter().map(|(family, name)| (family, format!("a socket of family {name}")));
    let all = named.chain(others.map(|family| (family, format!("a socket of family {family}"))));
    all_refused(all.flat_map(|(family, what)| {
        types.map(|kind| (what.clone(), Socket::new_raw(Domain::from(family), kind, None)))
    }))
}

fn io_uring() -> Outcome {
    all_refused([("io_uring_setup".to_owned(), io_uring::IoUring::new(2))])
}

/// In a process of several threads the kernel refuses a new user namespace with `EINVAL` (unshare(2)); the second
/// thread is there for that, so that nothing of this process changes where no filter refuses first.
fn namespaces() -> Outcome {
    let tried = std::thread::spawn(|| {
        use rustix::thread::UnshareFlags;
        #[allow(deprecated)] // its replacement is unsafe for the sake of `FILES`, which is not used here
        let unshare = rustix::thread::unshare;
        [("user", UnshareFlags::NEWUSER), ("user and network", UnshareFlags::NEWUSER | UnshareFlags::NEWNET)]
            .map(|(what, flags)| (format!("a new {what} namespace"), unshare(flags).map_err(io::Error::from)))
    });
    tried.join().map_or_else(|_| Outcome::NotTried("the thread that tried it ended".into()), all_refused)
}

/// At a path that does not exist: the kernel looks the path up (`ENOENT`) before it asks for privileges.
/// `open_tree` without `OPEN_TREE_CLONE` needs none at all.
fn mounts() -> Outcome {
    use rustix::mount::{self, MountFlags, OpenTreeFlags, UnmountFlags};
    let nowhere = "/bottle-attack/is/not/here";
    let attempts = [
        ("mount", mount::mount("none", nowhere, "tmpfs", MountFlags::empty(), None)),
        ("umount", mount::unmount(nowhere, UnmountFlags::empty())),
        ("open_tree", mount::open_tree(rustix::fs::CWD, "/", OpenTreeFlags::OPEN_TREE_CLOEXEC).map(drop)),
    ];
    all_refused(attempts.map(|(what, result)| (what.to_owned(), result.map_err(io::Error::from))))
}

/// Both limits of `RLIMIT_CORE` (getrlimit(2)): the soft one can be raised to the hard one.
fn core() -> Outcome {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    match limit.maximum {
        Some(0) => Outcome::Held("no core file".into()),
        Some(bytes) => Outcome::Broken(format!("a core file may have {bytes} bytes")),
        None => Outcome::Broken("a core file may have any size".into()),
    }
}

/// Where cgroup v2 and v1 say a limit, below `/sys/fs/cgroup` (the kernel's
/// `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`).
const LIMITS: [(&str, [&str; 2]); 2] = [
    ("processes", ["pids.max", "pids/pids.max"]),
    ("bytes of memory", ["memory.max", "memory/memory.limit_in_bytes"]),
];

/// Where v1 has no limit it says the largest number of pages that fits, in bytes.
const NO_LIMIT: u64 = 1 << 60;

fn resources(cgroup: &Path) -> Outcome {
    let mut found = Vec::new();
    for (what, files) in LIMITS {
        let Some(text) = files.iter().find_map(|file| fs::read_to_string(cgroup.join(file)).ok()) else {
            let [new, old] = files;
            return Outcome::NotTried(format!("{} has neither {new} nor {old}", cgroup.display()));
        };
        match text.trim().parse::<u64>() {
            Ok(limit) if limit < NO_LIMIT => found.push(format!("{limit} {what}")),
            _ => return Outcome::Broken(format!("no limit: {what}")),
        }
    }
    Outcome::Held(format!("at most {}", found.join(", ")))
}

fn devices() -> Outcome {
    let (mut count, mut folders) = (0, vec![PathBuf::from("/dev")]);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => return Outcome::NotTried(format!("{}: {}", folder.display(), describe(&error))),
        };
        for entry in entries.flatten() {
            let Ok(data) = entry.metadata() else { continue }; // of the entry itself, not of what a link names
            let kind = data.file_type();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_block_device() || kind.is_char_device() {
                count += 1;
                let number = (rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
                if kind.is_block_device() || !is_standard(number) {
                    let (major, minor) = number;
                    return Outcome::Broken(format!("{} is device {major}:{minor}", entry.path().display()));
                }
            }
        }
    }
    Outcome::Held(format!("{count} nodes, all of them standard"))
}

/// The character devices that every container has, by number, because a name can say anything (the kernel's
/// `Documentation/admin-guide/devices.txt`): null, zero, full, random, urandom; tty, ptmx; pseudo terminals.
fn is_standard(number: (u32, u32)) -> bool {
    matches!(number, (1, 3 | 5 | 7 | 8 | 9) | (5, 0 | 2) | (136..=143, _))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_mode_two() {
        assert!(matches!(
            seccomp_mode("NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
            Outcome::Held(_)
        ));
        for status in ["Seccomp:\t0\nSeccomp_filters:\t2\n", "Seccomp:\t1\n", "Name:\tx\n"] {
            assert!(matches!(seccomp_mode(status), Outcome::Broken(_)), "{status}");
        }
    }

    #[test]
    fn limits_are_read_from_both_versions_of_cgroups() {
        let with = |files: &[(&str, &str)]| {
            let dir = tempfile::tempdir().unwrap();
            for (path, text) in files {
                fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
                fs::write(dir.path().join(path), text).unwrap();
            }
            resources(dir.path())
        };
        let held = Outcome::Held("at most 64 processes, 1024 bytes of memory".into());
        assert_eq!(with(&[("pids.max", "64\n"), ("memory.max", "1024\n")]), held);
        assert_eq!(with(&[("pids/pids.max", "64\n"), ("memory/memory.limit_in_bytes", "1024\n")]), held);
        for (pids, memory) in [("max\n", "1024\n"), ("64\n", "max\n"), ("64\n", "9223372036854771712\n")] {
            let outcome = with(&[("pids.max", pids), ("memory.max", memory)]);
            assert!(matches!(outcome, Outcome::Broken(_)), "{pids} {memory}: {outcome:?}");
        }
        assert!(matches!(with(&[("pids.max", "64\n")]), Outcome::NotTried(_)));
    }

    #[test]
    fn a_device_is_known_by_its_number() {
        let null = fs::metadata("/dev/null").unwrap().rdev();
        assert!(is_standard((rustix::fs::major(null), rustix::fs::minor(null))));
        // mem, console, a disk, fuse, kvm, a network tunnel
        for number in [(1, 1), (5, 1), (8, 0), (10, 229), (10, 232), (10, 200)] {
            assert!(!is_standard(number), "{number:?}");
        }
    }
}
