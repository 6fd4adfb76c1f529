//! Raw bytes on a stream, for either end: what HTTP libraries would tidy up before sending must arrive as it is.

use bytes::{Buf, BytesMut};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// A test that waits longer than this for bytes has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Anything that carries bytes both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One end of a connection.
pub(crate) struct Wire {
    stream: Box<dyn Io>,
    buffer: BytesMut,
    patience: Duration,
}

impl Wire {
    pub(crate) fn new(stream: impl Io + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new(), patience: PATIENCE }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Reads to the end of the next head and gives it as text, without its empty line.
    pub(crate) async fn head(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            assert!(
                self.more().await.unwrap() > 0,
                "the stream ended in a head: {}",
                self.buffer.escape_ascii()
            );
        };
        let head = String::from_utf8(self.buffer.split_to(end).to_vec()).unwrap();
        self.buffer.advance(4);
        head
    }

    /// So many bytes; nothing if the stream ends before.
    pub(crate) async fn try_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if self.more().await.unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(self.buffer.split_to(count).to_vec())
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.more().await.unwrap() > 0, "the stream ended early: {}", self.buffer.escape_ascii());
        }
        self.buffer.split_to(count).to_vec()
    }

    /// For tests in which time is paused and a peer takes its time.
    pub(crate) fn wait_for(&mut self, patience: Duration) -> &mut Self {
        self.patience = patience;
        self
    }

    /// The next head and the body that its `Content-Length` announces.
    pub(crate) async fn message(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.exactly(length).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// The data of the next chunk; empty for the last one, whose trailers are left.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                break at;
            }
            assert!(self.more().await.unwrap() > 0, "the stream ended in a chunk size");
        };
        let line = String::from_utf8(self.exactly(end + 2).await).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        if size == 0 {
            return Vec::new();
        }
        let data = self.exactly(size).await;
        assert_eq!(self.exactly(2).await, b"\r\n");
        data
    }

    /// The data of all chunks to the last one.
    pub(crate) async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            match self.chunk().await {
                data if data.is_empty() => return body,
                data => body.extend(data),
            }
        }
    }

    /// Everything to the end of the stream, and whether that end was in order.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let end = loop {
            match self.more().await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        (self.buffer.split().to_vec(), end)
    }

    /// What has come and was not taken yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads whatever comes next into the buffer.
    pub(crate) async fn more(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 * 1024);
        let read = self.stream.read_buf(&mut self.buffer);
        timeout(self.patience, read).await.map_err(|_| io::Error::other("nothing came in time"))?
    }

    /// Takes `count` bytes without keeping them.
    pub(crate) async fn skip(&mut self, mut count: u64) {
        while count > 0 {
            if self.buffer.is_empty() {
                assert!(self.more().await.unwrap() > 0, "the stream ended {count} bytes early");
            }
            let part = self.buffer.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            self.buffer.advance(part);
            count -= part as u64;
        }
    }

    pub(crate) async fn shutdown(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) fn into_stream(self) -> Box<dyn Io> {
        assert!(self.buffer.is_empty(), "bytes were left: {}", self.buffer.escape_ascii());
        self.stream
    }
}

/// The value of a field in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The status of a response head.
pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
