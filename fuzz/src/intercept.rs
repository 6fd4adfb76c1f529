//! The check of heads and of body framing, with the HTTP library behind it as in `src/intercept/server/`.

#[path = "../../src/intercept/activity.rs"]
mod activity;
#[path = "../../src/intercept/alarm.rs"]
mod alarm;
#[path = "../../src/intercept/head/mod.rs"]
pub mod head;
#[path = "../../src/intercept/limits.rs"]
mod limits;

pub use limits::Limits;

use head::{CheckedIo, Place, Verdict, Verdicts};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client that sends these bytes, so many at a time, and reads whatever is answered.
struct Client<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl AsyncRead for Client<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (now, later) = self.bytes.split_at(self.piece.min(buf.remaining()).min(self.bytes.len()));
        buf.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One request as the library reads it: the line, the fields and the body, `None` for one that breaks off.
pub type Read = (String, Vec<(String, Vec<u8>)>, Option<Vec<u8>>);

/// What the library reads of a client's bytes in a tunnel, when these come in pieces of that size.
///
/// # Panics
/// When the check and the library disagree about a head that the check let through.
pub fn serve(bytes: &[u8], piece: usize) -> Vec<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let read = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let limits = Limits::default();
        let verdicts = Verdicts::new(activity::Activity::new());
        let io = CheckedIo::new(Client { bytes, piece }, Place::Tunnel, &limits, verdicts.clone(), || {});
        let service = service_fn(|request: Request<Incoming>| {
            let (verdict, _in_flight) = verdicts.next().expect("a verdict for each head");
            let read = Arc::clone(&read);
            async move {
                if let Verdict::Sound { method, target } = verdict {
                    assert_eq!(request.method(), method);
                    assert_eq!(request.uri(), &http::Uri::try_from(target.as_ref()).unwrap());
                    let line = format!("{method} {}", target.escape_ascii());
                    let fields = request.headers().iter();
                    let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
                    let body = request.into_body().collect().await.ok();
                    let body = body.map(|body| body.to_bytes().to_vec());
                    read.lock().unwrap().push((line, fields, body));
                }
                Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(None);
        builder.max_headers(limits.head_fields).max_buf_size(limits.head_bytes * 2);
        let _ = builder.serve_connection(TokioIo::new(io), service).await;
    });
    Arc::try_unwrap(read).unwrap().into_inner().unwrap()
}
