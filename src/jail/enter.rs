//! From the pod's network into one of its own, in the order that the kernel asks for.

use super::refusal::{Evidence, Refusal, io_step};
use super::{filter, loopback, privileges};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getpid, getuid};
use rustix::thread::UnshareFlags;
use std::os::unix::fs::FileTypeExt as _;
use std::{io, path::PathBuf};

/// Puts the calling process, which must have one thread, into the jail. It has no way back, and whatever it starts
/// afterwards is there too.
///
/// # Errors
/// [`Refusal`], with what is in the way. The process is then of no use: it may be in one of the namespaces already.
pub fn enter() -> Result<(), Refusal> {
    if !getpid().is_init() {
        return Err(Refusal::NotFirst(getpid().as_raw_nonzero().get()));
    }
    let (user, group) = (geteuid(), getegid());
    if (getuid(), getgid()) != (user, group) {
        return Err(Refusal::TwoUsers);
    }
    if user.is_root() {
        return Err(Refusal::Root);
    }
    only_plain_descriptors()?;

    let before = namespaces()?;
    let made = |what, kind, flags| {
        unshare(flags).map_err(|errno| {
            Evidence::read(unshare(UnshareFlags::empty()).is_ok()).explain(what, kind, errno.into())
        })
    };
    made("make a user namespace", "user", UnshareFlags::NEWUSER)?;
    // One user and one group, themselves; other groups stay in force and are shown as nobody (user_namespaces(7)). The
    // kernel takes no map of groups before it is agreed that none is given up.
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw())),
        ("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw())),
    ];
    for (file, text) in maps {
        write(file, &text).map_err(|error| Evidence::read(true).explain("map the user", "user", error))?;
    }
    made("make a network namespace", "net", UnshareFlags::NEWNET)?;
    let after = namespaces()?;
    for (what, before, after) in before
        .iter()
        .zip(&after)
        .zip(["user", "network"])
        .map(|((before, after), what)| (what, before, after))
    {
        if before == after {
            return Err(Refusal::NotHeld(format!(
                "the {what} namespace is the same as before a new one was made"
            )));
        }
    }
    loopback::bring_up().map_err(io_step("bring loopback up"))?;

    privileges::drop_all()?;
    filter::install()?;
    privileges::look(
        &fs_err::read_to_string("/proc/self/status").map_err(io_step("read /proc/self/status"))?,
    )?;
    // The last word is the kernel's own: what would undo it fails.
    match unshare(UnshareFlags::empty()) {
        Err(Errno::PERM) => Ok(()),
        other => Err(Refusal::NotHeld(format!("`unshare` says {other:?} behind the filter"))),
    }
}

#[allow(deprecated)] // its replacement is unsafe for the sake of `FILES`, which is not used here
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    rustix::thread::unshare(flags)
}

/// One write, as the kernel asks for; the error is the kernel's own, with its number.
fn write(file: &str, text: &str) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let file = open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, text.as_bytes())?;
    Ok(())
}

/// What identifies the user and the network namespace of this process.
fn namespaces() -> Result<[PathBuf; 2], Refusal> {
    let read = |file: &str| fs_err::read_link(file).map_err(io_step("read which namespaces this is in"));
    Ok([read("/proc/self/ns/user")?, read("/proc/self/ns/net")?])
}

/// A socket belongs to the network in which it was made, and a folder or a device may lie outside of the container. So
/// there are three descriptors, and each of them is a pipe, a file or a terminal (or another character device).
fn only_plain_descriptors() -> Result<(), Refusal> {
    let cause = "look at the open descriptors";
    let open = fs_err::read_dir("/proc/self/fd").map_err(io_step(cause))?;
    let numbers: Vec<u32> = open
        .filter_map(|entry| entry.map(|it| it.file_name().to_str()?.parse().ok()).transpose())
        .collect::<io::Result<_>>()
        .map_err(io_step(cause))?;
    for descriptor in numbers {
        let link = format!("/proc/self/fd/{descriptor}");
        // The one through which they were listed is closed by now.
        let Ok(target) = fs_err::read_link(&link) else { continue };
        let kind = fs_err::metadata(&link).map_err(io_step(cause))?.file_type();
        let plain = kind.is_file() || kind.is_fifo() || kind.is_char_device();
        if descriptor > 2 || !plain {
            return Err(Refusal::Open { descriptor, what: target.display().to_string() });
        }
    }
    Ok(())
}
