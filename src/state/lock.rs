//! One render at a time for a bottle. The lock lies in the state, where no agent can hold it.

use crate::tree::{Folder, TreeError};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The lock's file.
pub(crate) const NAME: &str = "lock";

/// Held until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: OwnedFd,
}

impl Lock {
    pub(crate) fn take(folder: &Folder, waiting: impl FnOnce()) -> Result<Self, TreeError> {
        let failed = |error: Errno| TreeError::Io {
            doing: "lock",
            path: folder.path().join(NAME),
            source: error.into(),
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle =
            rustix::fs::openat(folder.handle(), NAME, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                waiting();
                wait(&handle).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(Self { _held: handle })
    }
}

fn wait(handle: &OwnedFd) -> Result<(), Errno> {
    loop {
        match rustix::fs::flock(handle, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}
