//! Passes bytes through, both ways.

use super::SpliceEnd;
use bytes::Bytes;
use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional},
    time::timeout,
};

/// Sends `hello` to `upstream`, then copies until both sides have closed; a side that closes its half closes that
/// half of the other.
pub async fn splice<A, B>(mut client: A, upstream: B, hello: Bytes, total: Duration) -> SpliceEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut upstream = Counted { inner: upstream, sent: &sent, received: &received };
    let copy = timeout(total, async {
        upstream.write_all(&hello).await?;
        upstream.flush().await?;
        copy_bidirectional(&mut client, &mut upstream).await
    });
    let error = match copy.await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the time for one tunnel is over".to_owned()),
    };
    SpliceEnd { sent: sent.load(Ordering::Relaxed), received: received.load(Ordering::Relaxed), error }
}

/// Counts what passes, since an error keeps no count.
struct Counted<'a, S> {
    inner: S,
    sent: &'a AtomicU64,
    received: &'a AtomicU64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
