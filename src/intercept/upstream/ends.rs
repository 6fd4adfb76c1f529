//! Which streams of an HTTP/2 connection the peer has ended.
//!
//! An upstream that wants no more of a request answers in full, then resets the stream with `NO_ERROR` (RFC 9113 §8.1). The
//! library forgets by the reset that the response was whole, and the same reset in the middle of a response would
//! make it look whole. So the end is read off the frames themselves.

use crate::intercept::write_through::write_through;
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many ends are remembered. One that is asked for is a few frames old.
const REMEMBERED: usize = 1024;
/// The head of a frame (RFC 9113 §4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// The streams that ended last.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Arc<Mutex<VecDeque<u32>>>);

impl Ends {
    /// Whether the peer ended this stream.
    pub(super) fn contains(&self, stream: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&stream)
    }

    fn push(&self, stream: u32) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() == REMEMBERED {
            ends.pop_front();
        }
        ends.push_back(stream);
    }
}

/// A connection whose frames are looked at as they come.
pub(super) struct Watched<S> {
    inner: S,
    ends: Ends,
    head: [u8; HEAD],
    /// Bytes of `head` that have come.
    known: usize,
    /// Bytes of the frame's payload that are still to come.
    payload: usize,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S) -> (Self, Ends) {
        let ends = Ends::default();
        (Self { inner, ends: ends.clone(), head: [0; HEAD], known: 0, payload: 0 }, ends)
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let more = (HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + more].copy_from_slice(&bytes[..more]);
            self.known += more;
            bytes = &bytes[more..];
            if self.known == HEAD {
                let [l0, l1, l2, kind, flags, stream @ ..] = self.head;
                self.known = 0;
                self.payload = u32::from_be_bytes([0, l0, l1, l2]) as usize;
                if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                    self.ends.push(u32::from_be_bytes(stream) & (u32::MAX >> 1));
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.look(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    write_through!();

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    #[test]
    fn ends_are_seen_however_the_bytes_are_split() {
        // A payload that looks like the head of a frame that ends stream 7.
        let decoy = frame(DATA, END_STREAM, 7, b"");
        let bytes = [
            frame(4, 1, 0, b""),
            frame(HEADERS, 4, 1, b"abc"),
            frame(DATA, 0, 1, &decoy),
            frame(6, 1, 0, b"12345678"),
            frame(HEADERS, 5, 3, b""),
            frame(DATA, END_STREAM | 8, 1 | 1 << 31, b"x"),
        ]
        .concat();
        for piece in 1..bytes.len() {
            let (mut watched, ends) = Watched::new(());
            bytes.chunks(piece).for_each(|piece| watched.look(piece));
            let seen: Vec<_> = (0..9).filter(|stream| ends.contains(*stream)).collect();
            assert_eq!(seen, [1, 3], "in pieces of {piece}");
        }
    }

    #[test]
    fn no_more_is_remembered_than_can_be_asked_for() {
        let (mut watched, ends) = Watched::new(());
        for stream in 0..5000 {
            watched.look(&frame(DATA, END_STREAM, stream, b""));
        }
        assert_eq!(ends.0.lock().unwrap().len(), REMEMBERED);
        assert!(ends.contains(4999) && !ends.contains(0));
    }
}
