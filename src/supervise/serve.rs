//! The MCP server on its unix socket: Streamable HTTP without sessions, one answer to one message.

use super::rules::RulesFile;
use super::tools::Tools;
use super::{Limits, Store};
use crate::clock::Clock;
use crate::policy::INTERNAL_HOST;
use crate::tree::TreeError;
use camino::Utf8Path;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// One of them for each message that egress-proxy carries, and a few more.
const CONNECTIONS: usize = 48;
/// Bytes of a message, as egress-proxy bounds it.
const LARGEST_MESSAGE: usize = 64 * 1024;
const HEAD: usize = 16 * 1024;
/// How long a head may take.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// The server, ready to serve.
#[derive(Clone)]
pub struct Service {
    mcp: StreamableHttpService<Tools, NeverSessionManager>,
    bottle: String,
    config: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A folder of the state can't be used.
    #[error(transparent)]
    Folder(#[from] TreeError),
    /// The rules can't be read.
    #[error("the rules can't be read: {0:#}")]
    Rules(anyhow::Error),
}

impl Service {
    /// Opens the folders below `state`, and reads the rules once. A call waits for a decision as long as `patience`.
    pub fn open(
        state: &Utf8Path,
        rules: PathBuf,
        limits: Limits,
        patience: Duration,
        clock: &Clock,
    ) -> Result<Self, ServiceError> {
        let rules = RulesFile::new(rules);
        let first = rules.load().map_err(ServiceError::Rules)?;
        let store = Store::open(state, limits, clock)?;
        let tools = Tools::new(store, rules, clock.clone(), patience);
        // No Origin is ever carried here: egress-proxy looks at it.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_sse_keep_alive(None)
            .with_max_request_body_bytes(LARGEST_MESSAGE)
            .with_allowed_hosts([INTERNAL_HOST])
            .enforce_origin_validation();
        let mcp = StreamableHttpService::new(move || Ok(tools.clone()), Arc::default(), config);
        Ok(Self { mcp, bottle: first.bottle().to_owned(), config: first.hash.clone() })
    }

    /// The bottle's name.
    #[must_use]
    pub fn bottle(&self) -> &str {
        &self.bottle
    }

    /// SHA-256 of the rules that it began with, in hex.
    #[must_use]
    pub fn config(&self) -> &str {
        &self.config
    }

    /// Serves until it is dropped.
    pub async fn serve(self, listener: UnixListener) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let service = self.clone();
                    tokio::spawn(async move {
                        service.connection(stream).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(self, stream: UnixStream) {
        let mcp = self.mcp;
        let service = service_fn(move |request| {
            let mcp = mcp.clone();
            async move { Ok::<_, Infallible>(mcp.handle(request).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection broke");
        }
    }
}
