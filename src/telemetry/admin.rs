//! The listener that shows a runtime to its operator: `/healthz`, `/readyz`, `/status`, `/metrics`.
//!
//! It listens on the container's own loopback, where the agent has no way to; it changes nothing.

use super::status::LiveStatus;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// More than that many readers at once is no operator.
const MAX_CONNECTIONS: usize = 32;

/// What the listener shows.
#[derive(Clone)]
pub struct Admin {
    /// The runtime's status.
    pub status: LiveStatus,
    /// Every metric of the process.
    pub metrics: Arc<Registry>,
    /// What stands in the way of being ready, beside the runtime itself.
    pub obstacle: Arc<dyn Fn() -> Option<&'static str> + Send + Sync>,
}

impl Admin {
    /// Binds the address.
    pub async fn bind(address: &str) -> io::Result<TcpListener> {
        TcpListener::bind(address).await.map_err(|e| {
            io::Error::new(e.kind(), format!("can't listen on the admin address {address}: {e}"))
        })
    }

    /// Serves until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let admin = self.clone();
            tokio::spawn(async move {
                admin.connection(stream, peer).await;
                drop(slot);
            });
        }
    }

    async fn connection(self, stream: tokio::net::TcpStream, peer: SocketAddr) {
        let service = service_fn(move |request| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(5))
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "a connection to the admin listener broke");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/status" => self.status(),
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "here are /healthz, /readyz, /status and /metrics\n"),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        if let Some(obstacle) = (self.obstacle)() {
            return text(StatusCode::SERVICE_UNAVAILABLE, obstacle);
        }
        if self.status.get().ready {
            text(StatusCode::OK, "ready\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n")
        }
    }

    fn status(&self) -> Response<Full<Bytes>> {
        match serde_json::to_string_pretty(&self.status.get()) {
            Ok(json) => typed(StatusCode::OK, "application/json", json + "\n"),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the status could not be written as JSON\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut page = String::new();
        match prometheus_client::encoding::text::encode(&mut page, &self.metrics) {
            Ok(()) => typed(StatusCode::OK, OPENMETRICS, page),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
        }
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
