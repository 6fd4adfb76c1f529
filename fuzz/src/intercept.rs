//! The ClientHello, and the check of heads and of body framing with the HTTP library behind it as in `src/intercept/server/`.

#[path = "../../src/intercept/activity.rs"]
mod activity;
#[path = "../../src/intercept/alarm.rs"]
mod alarm;
#[path = "../../src/intercept/head/mod.rs"]
pub mod head;
#[path = "../../src/intercept/hello.rs"]
mod hello;
#[path = "../../src/intercept/limits.rs"]
mod limits;
#[path = "../../src/intercept/websocket/mod.rs"]
pub mod websocket;
#[path = "../../src/intercept/write_through.rs"]
mod write_through;

pub use limits::ServerLimits;

use bytes::BytesMut;
use head::{CheckedIo, ConnectionKind, FramingFault, Verdict, Verdicts};
use hello::NoHello;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    error::Error as _,
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
    /// Whether it closes its sending side after them.
    closes: bool,
}

impl AsyncRead for Client<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() && !self.closes {
            return Poll::Pending;
        }
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

/// One request as the library reads it: the line, the fields and the body, `None` for one that is not whole.
pub type Read = (String, Vec<(String, Vec<u8>)>, Option<Vec<u8>>);

/// What the library reads of a client's bytes in a tunnel, when these come in pieces of that size.
///
/// # Panics
/// When the check and the library disagree about a head that the check let through.
pub fn serve(bytes: &[u8], piece: usize) -> Vec<Read> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let read = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let limits = ServerLimits::default();
        let verdicts = Verdicts::new(activity::Activity::new());
        let io = CheckedIo::new(
            Client { bytes, piece, closes: false },
            ConnectionKind::Tunnel,
            &limits,
            verdicts.clone(),
            || {},
        );
        let service = service_fn(|request: Request<Incoming>| {
            let (verdict, _in_flight) = verdicts.next().expect("a verdict for each head");
            let read = Arc::clone(&read);
            async move {
                if let Verdict::Sound { method, target } = verdict {
                    assert_eq!(request.method(), method);
                    assert_eq!(request.uri(), &http::Uri::try_from(target.as_ref()).unwrap());
                    let line = format!("{method} {}", target.escape_ascii());
                    let fields = request.headers().iter();
                    let fields =
                        fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
                    let number = {
                        let mut read = read.lock().unwrap();
                        read.push((line, fields, None));
                        read.len() - 1
                    };
                    match request.into_body().collect().await {
                        Ok(body) => read.lock().unwrap()[number].2 = Some(body.to_bytes().to_vec()),
                        Err(error) => {
                            assert!(broke_off(&error), "refused after the check passed it: {error:?}")
                        }
                    }
                }
                Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(None);
        builder.max_headers(limits.head_fields).max_buf_size(limits.head_bytes * 2);
        // Time is virtual: it passes when nothing else happens.
        let connection = builder.serve_connection(TokioIo::new(io), service);
        let _ = tokio::time::timeout(limits.total, connection).await;
    });
    Arc::try_unwrap(read).unwrap().into_inner().unwrap()
}

/// Whether a body ended because the check or the client ended it.
fn broke_off(error: &hyper::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    error.is_incomplete_message()
        || causes.any(|error| {
            error.is::<FramingFault>()
                || error.downcast_ref::<io::Error>().is_some_and(|error| {
                    error.kind() == io::ErrorKind::UnexpectedEof
                        || error.get_ref().is_some_and(|inner| inner.is::<FramingFault>())
                })
        })
}

/// The server name of a client's first bytes, when these come in pieces of that size, and what was read of them; or
/// which kind of failure it was.
pub fn hello(bytes: &[u8], piece: usize) -> Result<(Option<String>, Vec<u8>), &'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hello =
        runtime.block_on(hello::read_hello(&mut Client { bytes, piece, closes: true }, BytesMut::new()));
    match hello {
        Ok(hello) => Ok((hello.sni.map(String::from), hello.bytes.to_vec())),
        Err(NoHello::NotTls) => Err("not TLS"),
        Err(NoHello::Closed) => Err("closed"),
        Err(NoHello::Malformed(_)) => Err("malformed"),
    }
}
