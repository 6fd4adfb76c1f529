//! Ends a connection on which no byte moves.

use super::alarm::Alarm;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Fails with `TimedOut` when neither reading nor writing has moved a byte for a time.
#[derive(Debug)]
pub(super) struct Watch<S> {
    inner: S,
    patience: Duration,
    moved: Instant,
    alarm: Alarm,
}

impl<S> Watch<S> {
    pub(super) fn new(inner: S, patience: Duration) -> Self {
        Self { inner, patience, moved: Instant::now(), alarm: Alarm::default() }
    }

    fn watched<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.moved = Instant::now();
            return result;
        }
        match self.alarm.poll(self.moved + self.patience, cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no byte moved for {} s", self.patience.as_secs()),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watch<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.watched(result, cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watch<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watched(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watched(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            // A flush that has nothing to do moves nothing.
            ready @ Poll::Ready(_) => ready,
            Poll::Pending => self.watched(Poll::Pending, cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watched(result, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_bytes_in_either_direction_put_that_off() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut near = Watch::new(near, Duration::from_secs(10));
        let begun = Instant::now();
        let writer = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                far.write_all(b"x").await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let reader = async {
            let mut buffer = Vec::new();
            let error = near.read_to_end(&mut buffer).await.unwrap_err();
            assert_eq!((error.kind(), buffer.len()), (io::ErrorKind::TimedOut, 5));
            assert_eq!(error.to_string(), "no byte moved for 10 s");
        };
        tokio::select! { () = writer => {}, () = reader => {} }
        assert_eq!(begun.elapsed().as_secs(), 5 * 9 + 10);
    }
}
