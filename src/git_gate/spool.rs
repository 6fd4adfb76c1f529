//! Where a pack is held while it is looked at: memory of this process that no file system shows (`memfd_create(2)`), so that
//! the agent reaches nothing of it. What all pushes hold together is bounded.

use crate::policy::LARGEST_MAX_PACK;
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    fs::File,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What all pushes of a proxy may hold together.
#[derive(Debug)]
pub struct Room {
    free: AtomicU64,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(LARGEST_MAX_PACK)
    }
}

impl Room {
    /// With so many bytes.
    #[must_use]
    pub fn of(bytes: u64) -> Self {
        Self { free: AtomicU64::new(bytes) }
    }

    fn take(&self, bytes: u64) -> bool {
        let take = |free: u64| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Why more does not fit.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    /// Other pushes have the room.
    #[error("too many pushes are looked at at the same time: push again later")]
    Full,
    /// The system gives no memory.
    #[error("there is no memory for the pack: push again later")]
    System(#[from] io::Error),
}

/// A pack that is held. Dropping it gives its room back.
#[derive(Debug)]
pub struct Spool {
    file: File,
    length: u64,
    room: Arc<Room>,
}

impl Spool {
    pub(super) fn new(room: Arc<Room>) -> Result<Self, SpoolError> {
        let file = memfd_create("push", MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
        Ok(Self { file: file.into(), length: 0, room })
    }

    pub(super) fn push(&mut self, data: &[u8]) -> Result<(), SpoolError> {
        let bytes = data.len() as u64;
        if !self.room.take(bytes) {
            return Err(SpoolError::Full);
        }
        self.length += bytes;
        Ok(self.file.write_all(data)?)
    }

    /// The pack.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.room.free.fetch_add(self.length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn all_spools_share_the_room_and_give_it_back() {
        let room = Arc::new(Room::of(10));
        let mut first = Spool::new(Arc::clone(&room)).unwrap();
        first.push(b"123456").unwrap();
        let mut second = Spool::new(Arc::clone(&room)).unwrap();
        second.push(b"1234").unwrap();
        assert!(matches!(second.push(b"5"), Err(SpoolError::Full)));
        drop(first);
        second.push(b"5").unwrap();
        assert_eq!(second.length(), 5);
        let mut held = [0; 5];
        second.file().read_exact_at(&mut held, 0).unwrap();
        assert_eq!(&held, b"12345");
        drop(second);
        assert_eq!(room.free.load(Ordering::Relaxed), 10);
    }
}
