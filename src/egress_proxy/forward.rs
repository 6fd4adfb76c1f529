//! Stage 10: through pipelock, always. Nothing is sent twice unless surely nothing of it was processed (the pool
//! knows), and what goes out is the target that was decided on.

use super::{
    connect::{ConnectError, ThroughPipelock, UpstreamKey},
    failure::Failure,
    pipelock_refusal,
    record::RequestRecord,
    respond,
    rules::{LoadedRule, Rules},
};
use crate::intercept::{
    Body, Pool, PoolLimits, SendError, Switched,
    budget::{Budget, BudgetLimits},
    unread::ResponseRoom,
};
use crate::policy::{HostRule, Reason, Refusal, Route};
use crate::verdict::egress_proxy::{Handshake, Permit};
use http::{Request, Response, header};
use prometheus_client::collector::Collector;
use std::sync::Arc;

/// Bytes of responses that far origins may send ahead of what is read of them (routes with `inspect: false`). The rendered
/// stack gives egress-proxy 768 MiB; 512 connections that stall take up to 450 MiB in other buffers.
const AHEAD: usize = 128 << 20;

/// Sends requests on through pipelock, over connections that are kept for the next ones.
pub(super) struct Forward {
    pool: Pool<ThroughPipelock>,
    budget: Arc<Budget>,
}

impl Forward {
    pub(super) fn new() -> Self {
        let budget = Budget::new(BudgetLimits { total: AHEAD, ..BudgetLimits::default() });
        Self { pool: Pool::new(ThroughPipelock, PoolLimits::default()), budget }
    }

    /// What the connections did, for the metrics.
    pub(super) fn collector(&self) -> Box<dyn Collector> {
        self.pool.collector()
    }

    /// Connections of older generations are not used again.
    pub(super) fn forget(&self) {
        self.pool.clear();
    }

    /// Sends the request; its fields are those that leave. What can't be recorded is not sent.
    pub(super) async fn send(
        &self,
        rules: &Rules,
        permit: &Permit<'_, LoadedRule>,
        request: Request<Body>,
        record: &mut RequestRecord,
    ) -> Result<Response<Body>, Failure> {
        let HostRule { route, auth: _, client: _, inspect, on_secret: _, addresses: _ } =
            permit.matched.rule.as_ref();
        let inspected = *inspect;
        let way = way(rules, permit, false);
        let room = if inspected {
            None
        } else {
            Some(ResponseRoom::find(&self.budget).await.map_err(|_| no_memory(route))?)
        };
        if !record.dispatch().await {
            return Err(super::shutting_down());
        }
        let response = self.pool.send(&way, request).await.map_err(|error| failure(error, route))?;
        let response = pipelock_refusal::of_response(response, route, inspected).await?;
        let response = respond::note_removed(response, inspected);
        let Some(room) = room else { return Ok(response) };
        let host = route.host.to_string();
        let cut = move || tracing::warn!(%host, "a response was cut off: its client did not read it while others needed its memory");
        room.hold(response, cut).map_err(|_| no_memory(route))
    }
}

/// Where a request goes, and how.
fn way(rules: &Rules, permit: &Permit<'_, LoadedRule>, upgrade: bool) -> UpstreamKey {
    let rule: &HostRule = permit.matched.rule.as_ref();
    UpstreamKey {
        scheme: permit.intent.scheme,
        authority: permit.intent.authority.clone(),
        inspected: rule.inspect,
        upgrade,
        trust: Arc::clone(&rules.trust),
    }
}

impl Forward {
    /// Sends a request for a WebSocket, and checks what is answered.
    pub(super) async fn websocket(
        &self,
        rules: &Rules,
        permit: &Permit<'_, LoadedRule>,
        handshake: &Handshake,
        request: Request<Body>,
        record: &mut RequestRecord,
    ) -> Result<Switched, Failure> {
        let rule: &HostRule = permit.matched.rule.as_ref();
        let (route, inspected) = (&rule.route, rule.inspect);
        let way = way(rules, permit, true);
        let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().cloned();
        let offered: Vec<_> = offered.collect();
        if !record.dispatch().await {
            return Err(super::shutting_down());
        }
        let sent = self.pool.upgrade(&way, "websocket", request).await;
        match sent.map_err(|error| failure(error, route))? {
            Switched::Response(response) => {
                let response = pipelock_refusal::of_response(response, route, inspected).await?;
                Ok(Switched::Response(respond::note_removed(response, inspected)))
            }
            Switched::Protocol { headers, stream } => match handshake.check(&headers, &offered) {
                Ok(()) => Ok(Switched::Protocol { headers, stream }),
                Err(why) => {
                    let message = format!(
                        "{}: the answer to the handshake of a WebSocket is wrong: {why}; retrying does not help",
                        route.host
                    );
                    Err(Refusal::new(Reason::UpstreamInvalid, message).under(route).into())
                }
            },
        }
    }
}

fn no_memory(route: &Route) -> Failure {
    let message = "too many responses are in flight for the memory of egress-proxy; nothing is wrong with the request: \
                   send it again later, or fewer at a time";
    Refusal::new(Reason::LimitReached, message).retryable().under(route).into()
}

fn failure(error: SendError<ConnectError>, route: &Route) -> Failure {
    let (reason, message) = match error {
        SendError::Connect(error) => return pipelock_refusal::of_connect(&error, route),
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
