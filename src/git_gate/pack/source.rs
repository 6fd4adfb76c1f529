//! The bytes of a pack, a part at a time, and what is inflated from them.

use super::Refused;
use flate2::{Decompress, FlushDecompress, Status};
use sha1_checked::{Digest as _, Sha1};
use std::{fs::File, os::unix::fs::FileExt as _};

/// So much is read and inflated at once.
const BLOCK: usize = 64 << 10;

/// Bytes of the hash at the end.
pub(super) const TRAILER: u64 = 20;

/// A place in a pack.
pub(super) struct Source<'f> {
    file: &'f File,
    /// Where the trailer begins.
    end: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins, what is read of it, and how much it holds.
    at: u64,
    read: usize,
    held: usize,
    inflater: Decompress,
    out: Vec<u8>,
}

impl<'f> Source<'f> {
    pub(super) fn new(file: &'f File, length: u64) -> Self {
        Self {
            file,
            end: length.saturating_sub(TRAILER),
            buffer: vec![0; BLOCK],
            at: 0,
            read: 0,
            held: 0,
            inflater: Decompress::new(true),
            out: vec![0; BLOCK],
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.at + self.read as u64
    }

    pub(super) fn seek(&mut self, at: u64) {
        (self.at, self.read, self.held) = (at, 0, 0);
    }

    /// What follows; nothing before the trailer.
    fn fill(&mut self) -> Result<&[u8], Refused> {
        if self.read == self.held {
            self.seek(self.position());
            let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(BLOCK);
            let buffer = &mut self.buffer[..left.min(BLOCK)];
            self.file.read_exact_at(buffer, self.at).map_err(|error| Refused::unreadable(&error))?;
            self.held = buffer.len();
        }
        Ok(&self.buffer[self.read..self.held])
    }

    pub(super) fn byte(&mut self) -> Result<u8, Refused> {
        let byte = self.fill()?.first().copied();
        self.read += usize::from(byte.is_some());
        byte.ok_or_else(|| Refused::malformed("it ends before its last object"))
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// Inflates a zlib stream (RFC 1950) that holds exactly `size` bytes, and stops behind it.
    pub(super) fn inflate(
        &mut self,
        size: u64,
        mut into: impl FnMut(&[u8]) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let begin = self.position();
        let bad = |what| Refused::malformed(format_args!("the object at byte {begin} {what}"));
        self.inflater.reset(true);
        loop {
            let input = self.fill()?.len();
            let (before_in, before_out) = (self.inflater.total_in(), self.inflater.total_out());
            let compressed = &self.buffer[self.read..self.held];
            let status = self
                .inflater
                .decompress(compressed, &mut self.out, FlushDecompress::None)
                .map_err(|_| bad("is not compressed as zlib does"))?;
            let taken = usize::try_from(self.inflater.total_in() - before_in).unwrap_or(input);
            let made = usize::try_from(self.inflater.total_out() - before_out).unwrap_or(BLOCK);
            self.read += taken;
            if self.inflater.total_out() > size {
                return Err(bad("is longer than it says"));
            }
            into(&self.out[..made])?;
            match status {
                Status::StreamEnd if self.inflater.total_out() == size => return Ok(()),
                Status::StreamEnd => return Err(bad("is shorter than it says")),
                Status::Ok | Status::BufError if taken > 0 || made > 0 => {}
                Status::Ok | Status::BufError if input == 0 => return Err(bad("is cut off")),
                Status::Ok | Status::BufError => return Err(bad("is not compressed as zlib does")),
            }
        }
    }

    /// Whether the trailer is the hash of all before it.
    pub(super) fn check_trailer(&mut self) -> Result<(), Refused> {
        let mut hash = Sha1::new();
        self.seek(0);
        loop {
            let part = self.fill()?;
            if part.is_empty() {
                break;
            }
            hash.update(part);
            self.read = self.held;
        }
        let mut trailer = [0; 20];
        self.file.read_exact_at(&mut trailer, self.end).map_err(|error| Refused::unreadable(&error))?;
        if hash.try_finalize().hash().as_slice() != trailer.as_slice() {
            return Err(Refused::malformed("its last 20 bytes are not the hash of it"));
        }
        self.seek(0);
        Ok(())
    }
}
