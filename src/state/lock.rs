//! One render, and one decision, at a time for a bottle. The lock lies in the state, where no agent can hold it.

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
        if let Some(lock) = Self::try_take(folder)? {
            return Ok(lock);
        }
        waiting();
        let handle = open(folder)?;
        wait(&handle).map_err(failed(folder))?;
        Ok(Self { _held: handle })
    }

    /// Nothing where another process holds it.
    pub(crate) fn try_take(folder: &Folder) -> Result<Option<Self>, TreeError> {
        let handle = open(folder)?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _held: handle })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed(folder)(error)),
        }
    }
}

fn open(folder: &Folder) -> Result<OwnedFd, TreeError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder.handle(), NAME, flags, Mode::from_raw_mode(0o600)).map_err(failed(folder))
}

fn failed(folder: &Folder) -> impl FnOnce(Errno) -> TreeError {
    let path = folder.path().join(NAME);
    move |error| TreeError::Io { doing: "lock", path, source: error.into() }
}

fn wait(handle: &OwnedFd) -> Result<(), Errno> {
    loop {
        match rustix::fs::flock(handle, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}
