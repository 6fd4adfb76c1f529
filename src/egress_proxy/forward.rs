//! Stage 10: through pipelock, always. Nothing is sent twice unless surely nothing of it was processed (the pool
//! knows), and what goes out is the target that was decided on.

use super::{
    block,
    connect::{ConnectError, ThroughPipelock, Way},
    failure::Failure,
    record::Open,
    rules::{LoadedRule, Rules},
};
use crate::intercept::{Body, Pool, PoolLimits, SendError};
use crate::policy::{HostRule, Reason, Refusal, Route};
use crate::verdict::egress_proxy::Permit;
use http::{Request, Response};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::counter::ConstCounter,
};
use std::sync::Arc;

/// The way out.
pub(super) struct Forward(Pool<ThroughPipelock>);

impl Forward {
    pub(super) fn new() -> Self {
        Self(Pool::new(ThroughPipelock, PoolLimits::default()))
    }

    /// What the connections did, for the metrics.
    pub(super) fn collector(&self) -> Box<dyn Collector> {
        Box::new(Connections(self.0.clone()))
    }

    /// Connections of older generations are not used again.
    pub(super) fn forget(&self) {
        self.0.clear();
    }

    /// Sends the request; its fields are those that leave. What can't be recorded is not sent.
    pub(super) async fn send(
        &self,
        rules: &Rules,
        permit: &Permit<'_, LoadedRule>,
        request: Request<Body>,
        record: &mut Open,
    ) -> Result<Response<Body>, Failure> {
        let HostRule { route, auth: _, inspect, addresses: _ } = permit.grant.rule.as_ref();
        let way = Way {
            scheme: permit.intent.scheme,
            authority: permit.intent.authority.clone(),
            inspected: *inspect,
            trust: Arc::clone(&rules.trust),
        };
        if !record.dispatch().await {
            return Err(super::shutting_down());
        }
        let response = self.0.send(&way, request).await.map_err(|error| failure(error, route))?;
        block::of_response(response, route, *inspect).await
    }
}

/// Reads the pool's own counts whenever somebody asks.
struct Connections(Pool<ThroughPipelock>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connections").field(&self.0.stats()).finish()
    }
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let counters = [
            ("upstream_connections", "Connections through pipelock that were made", stats.opened),
            ("upstream_reused", "Requests on a connection that was used before", stats.reused),
            ("upstream_retried", "Requests that were sent again since nothing was processed", stats.retried),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

fn failure(error: SendError<ConnectError>, route: &Route) -> Failure {
    let (reason, message) = match error {
        SendError::Connect(error) => return block::of_connect(&error, route),
        SendError::RequestBody(error) => return Failure::of_body(&error),
        SendError::Handshake(_) | SendError::Send(_) => (Reason::UpstreamUnreachable, error.to_string()),
        SendError::Response(_) | SendError::Upgrade | SendError::NotAbsolute => {
            (Reason::UpstreamInvalid, error.to_string())
        }
    };
    let refusal =
        Refusal::new(reason, format!("{}: {message}; try again later", route.host)).retryable().under(route);
    refusal.into()
}
