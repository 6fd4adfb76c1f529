//! What is behind every proxy: TLS, HTTP/1.1 and HTTP/2.
//!
//! `/v1/small` answers 1 KiB, `/v1/down/MIB` so much, `/v1/up` counts what came, `/v1/events/COUNT/MS` sends events.
//! Without the credential each is a 401: a proxy that forgets it fails.

use crate::bodies::{Boxed, Events, Long, empty};
use crate::place::{COUNTS, NEXT_HOP, ORIGIN, Place, TOKEN};
use crate::relay::read_connect;
use crate::tls;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// The size of a small answer.
pub(crate) const SMALL: usize = 1024;
pub(crate) const MIB: u64 = 1024 * 1024;

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
}

pub(crate) async fn run(place: &Place) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(tls::server(place, "origin")?);
    let counts = Arc::new(Counts::default());
    let plain = TcpListener::bind(ORIGIN).await?;
    let connect = TcpListener::bind(NEXT_HOP).await?;
    let said = TcpListener::bind(COUNTS).await?;
    loop {
        tokio::select! {
            accepted = plain.accept() => {
                tokio::spawn(serve(accepted?.0, acceptor.clone(), Arc::clone(&counts), false));
            }
            accepted = connect.accept() => {
                tokio::spawn(serve(accepted?.0, acceptor.clone(), Arc::clone(&counts), true));
            }
            accepted = said.accept() => {
                let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
                let text = format!("{} {}\n", read(&counts.connections), read(&counts.requests));
                // Who asked may have gone.
                let _ = accepted?.0.write_all(text.as_bytes()).await;
            }
        }
    }
}

/// One connection; whatever goes wrong on it is the peer's to notice.
async fn serve(mut stream: TcpStream, acceptor: TlsAcceptor, counts: Arc<Counts>, connect: bool) {
    counts.connections.fetch_add(1, Ordering::Relaxed);
    let _ = stream.set_nodelay(true);
    if connect {
        if read_connect(&mut stream).await.is_err() {
            return;
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_err() {
            return;
        }
    }
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
    let service = service_fn(move |request| {
        counts.requests.fetch_add(1, Ordering::Relaxed);
        answer(request)
    });
    let io = TokioIo::new(stream);
    if is_http2 {
        let mut server = conn::http2::Builder::new(TokioExecutor::new());
        server
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let _ = server.serve_connection(io, service).await;
    } else {
        let _ = conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service).await;
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Boxed>, Infallible> {
    let credential = request.headers().get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    if credential.and_then(|it| it.strip_prefix(b"Bearer ")) != Some(TOKEN.as_bytes())
        && !request.uri().path().starts_with("/many")
    {
        return Ok(status(StatusCode::UNAUTHORIZED));
    }
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let number = |index: usize| parts.get(index).and_then(|it| it.parse::<u32>().ok());
    let response = match (request.method(), parts.as_slice()) {
        (&Method::GET, ["v1", "small"] | ["many"]) => small(),
        (&Method::GET, ["v1", "down", _]) => {
            let bytes = u64::from(number(2).unwrap_or(1)) * MIB;
            of_type("text/plain", Long::boxed_of(bytes))
        }
        (&Method::GET, ["v1", "events", _, _]) => {
            let every = Duration::from_millis(u64::from(number(3).unwrap_or(10).max(1)));
            of_type("text/event-stream", Events::boxed_of(number(2).unwrap_or(1), every))
        }
        (&Method::POST, ["v1", "up"]) => up(request.into_body()).await,
        _ => status(StatusCode::NOT_FOUND),
    };
    Ok(response)
}

async fn up(mut body: Incoming) -> Response<Boxed> {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return status(StatusCode::BAD_REQUEST) };
        count += frame.data_ref().map_or(0, Bytes::len);
    }
    of_type("text/plain", Full::from(count.to_string()).boxed())
}

fn small() -> Response<Boxed> {
    static TEXT: [u8; SMALL] = [b'a'; SMALL];
    of_type("text/plain", Full::from(&TEXT[..]).boxed())
}

fn of_type(kind: &'static str, body: Boxed) -> Response<Boxed> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

fn status(status: StatusCode) -> Response<Boxed> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}
