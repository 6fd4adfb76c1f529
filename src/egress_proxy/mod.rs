//! The first proxy: it ends the agent's TLS, decides by the manifest's rules, sets the real credential, and
//! forwards through pipelock.
//!
//! `Proxy::exchange` is one request from the agent's bytes to the upstream's answer. Each of its lines is a stage
//! in a file of its own, and their order is the security argument: the host is settled before any rule is read,
//! the target has one form before anything is matched, the decision is made before a credential is touched, the
//! agent's own credentials are off before ours is on, and every request, refused or not, leaves an audit record,
//! and one more before anything of it is sent on.
//!
//! What must hold: there is no way out but pipelock; the bytes that were matched are the bytes that are sent; a
//! credential that is unavailable is an error and never a request without it; a config that can't be used never
//! replaces one that can.

mod connect;
mod denial;
mod failure;
mod forward;
mod identity;
mod instance;
mod internal;
mod metrics;
mod own_secrets;
mod pipelock_refusal;
mod push;
mod read_body;
mod record;
mod respond;
mod rules;
mod secret;
mod trust;
mod tunnel;
mod websocket;

pub use instance::EgressProxy;
pub(crate) use internal::{allowlist, explained};
pub use rules::{Rules, RulesError};
pub use secret::{SecretError, require_token};

use crate::intercept::{
    Answer, Body, BodyError, Connect, ConnectRequest, Event, Exchange, Fault, Handler, Stream, Switched,
    Tunnel, TunnelFailure, Upgrade, body,
};
use crate::policy::{GitOperation, HostRule, Intent, Reason, Refusal, SmartPush};
use crate::telemetry::audit::{self, AuditSlot};
use crate::verdict::{
    Head,
    egress_proxy::{Destination, Permit, server_name_differs, strip_trailers},
};
use arc_swap::ArcSwap;
use denial::{DenialReader, denial};
use failure::Failure;
use forward::Forward;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response};
use metrics::Metrics;
use push::PushGate;
use record::{RequestNames, RequestRecord};
use rules::LoadedRule;
use std::sync::Arc;
use tunnel::{PendingAudit, TunnelState};

/// What every connection shares.
pub struct Proxy {
    rules: Arc<ArcSwap<Rules>>,
    forward: Forward,
    audit: audit::Log,
    names: RequestNames,
    metrics: Arc<Metrics>,
    push_gate: PushGate,
    decoders: own_secrets::Decoders,
    mcp: internal::McpCarrier,
}

impl Proxy {
    /// One request, from the agent's bytes to the upstream's answer. The order is the security argument.
    async fn exchange(
        &self,
        rules: &Rules,
        request: Request<Body>,
        exchange: &Exchange<TunnelState>,
        record: &mut RequestRecord,
    ) -> Result<Answered, Failure> {
        refuse_fault(exchange)?;
        let tunnel = exchange.tunnel.as_ref().map(|tunnel| &tunnel.state.authority);
        let head = Head::from_request(&request, &exchange.target, tunnel);
        let destination = Destination::from_head(head)?;
        record.at(&destination);
        if destination.authority.host.is_internal() {
            record.answers_itself();
            let answer = internal::answer(request, &destination.target, rules, &self.mcp).await;
            return Ok(Answered::Response(answer));
        }
        let mut intent = rules.ruleset.intent(&destination, head)?;
        let mut request = bound_body(request, rules, &destination.target, &mut intent, record).await?;
        record.meant(&intent);
        let permit = rules.ruleset.permit(intent, request.headers_mut(), rules.clock.today())?;
        record.under(permit.matched.rule);
        let push = permit.intent.smart_push();
        let request = match push {
            Some(kind) => {
                let checked = self.push_gate.checked(kind, request, rules, &permit, record).await?;
                // A push is read for as long as its client likes, and nothing of it has been sent.
                if !std::ptr::eq(rules, Arc::as_ptr(&self.rules.load())) {
                    return Err(push::outdated(&permit.matched.rule.as_ref().route));
                }
                checked
            }
            None => read_body::checked(request, &permit).await?,
        };
        let request = outgoing(request, rules, &permit, &self.decoders).await?;
        let request = with_credential(request, permit.matched.rule).await?;
        let response = match &permit.handshake {
            None => self.forward.send(rules, &permit, request, record).await?,
            Some(handshake) => {
                match self.forward.websocket(rules, &permit, handshake, request, record).await? {
                    Switched::Response(response) => response,
                    Switched::Protocol { headers, stream } => {
                        let mut answer = Response::new(body::empty());
                        *answer.headers_mut() = headers;
                        let answer = own_secrets::scrubbed(respond::strip(answer), rules.ruleset.own());
                        let search = Box::new(search(rules, permit.matched.rule));
                        return Ok(Answered::WebSocket {
                            headers: answer.into_parts().0.headers,
                            stream,
                            search,
                        });
                    }
                }
            }
        };
        let response = match push {
            Some(SmartPush::Advertisement) => {
                push::advertised(response, &permit.matched.rule.as_ref().route).await?
            }
            Some(SmartPush::Pack) => push::answered(response, record),
            None => response,
        };
        Ok(Answered::Response(own_secrets::scrubbed(respond::strip(response), rules.ruleset.own())))
    }

    async fn new_record(&self, rules: &Rules, connection: u64) -> Result<RequestRecord, Failure> {
        let slot = self.audit.reserve().await.ok_or_else(shutting_down)?;
        Ok(RequestRecord::new(slot, &self.metrics, rules, connection, &self.names))
    }

    /// Decides on a CONNECT, and keeps what is due to the audit trail if no request comes of it.
    async fn open_tunnel(&self, request: &ConnectRequest) -> Result<TunnelState, Response<Body>> {
        let rules = self.rules.load_full();
        let reader = DenialReader::from_request(&request.headers, b"");
        let slot = self.audit.reserve().await.ok_or_else(|| denial(&shutting_down(), reader))?;
        match rules.ruleset.connect(&request.target) {
            Ok(authority)
                if authority.host.is_internal() || rules.ruleset.policy.route(&authority.host).is_some() =>
            {
                Ok(TunnelState::new(authority, PendingAudit::Slot(slot)))
            }
            Ok(authority) => {
                let message = format!("{} is not an allowed host; retrying does not help", authority.host);
                let refused = Refusal::new(Reason::HostNotAllowed, message).into();
                let mut record = self.record_of_connect(slot, &rules, request.client.id, &refused);
                record.at_authority(&authority);
                Ok(TunnelState::new(authority, PendingAudit::Refusal(Box::new(record))))
            }
            Err(refusal) => {
                let failure = Failure::from(refusal);
                let mut record = self.record_of_connect(slot, &rules, request.client.id, &failure);
                match crate::policy::Authority::parse(&request.target, None) {
                    Ok(authority) => record.at_authority(&authority),
                    Err(_) => record.asked_target(request.target.as_bytes()),
                }
                Err(record.answered(denial(&failure, reader)))
            }
        }
    }

    fn record_of_connect(
        &self,
        slot: AuditSlot,
        rules: &Rules,
        connection: u64,
        failure: &Failure,
    ) -> RequestRecord {
        let mut record = RequestRecord::new(slot, &self.metrics, rules, connection, &self.names);
        record.asked_method("CONNECT");
        record.failed(failure);
        record
    }
}

/// What comes of a request that is not refused.
enum Answered {
    Response(Response<Body>),
    WebSocket { headers: HeaderMap, stream: Stream, search: Box<websocket::Search> },
}

fn search(rules: &Rules, rule: &LoadedRule) -> websocket::Search {
    let rule: &HostRule = rule.as_ref();
    websocket::Search {
        scanner: rules.ruleset.scanner(rule.route.host.as_str()).clone(),
        own: rules.ruleset.own().clone(),
        route: rule.route.clone(),
        message_bytes: rules.file.limits.body_bytes,
    }
}

/// What was malformed on the wire, or names another server at TLS than at CONNECT.
fn refuse_fault(exchange: &Exchange<TunnelState>) -> Result<(), Failure> {
    match (&exchange.fault, &exchange.tunnel) {
        (None, _) => Ok(()),
        (Some(Fault::TooManyRequests { limit }), _) => {
            let message = format!(
                "there are {limit} requests in flight, which is the limit; nothing is wrong with the request: send it again later"
            );
            Err(Refusal::new(Reason::LimitReached, message).retryable().into())
        }
        (Some(Fault::Head(fault)), _) => Err(Failure::malformed(fault)),
        (Some(Fault::Sni), Some(tunnel)) => {
            Err(server_name_differs(&tunnel.state.authority, tunnel.sni.as_deref()).into())
        }
        (Some(Fault::Sni), None) => {
            Err(Refusal::new(Reason::AuthorityMismatch, "TLS names another server; retrying does not help")
                .into())
        }
    }
}

/// Counts and bounds the body, and reads it where only it says what is asked.
async fn bound_body(
    request: Request<Body>,
    rules: &Rules,
    target: &[u8],
    intent: &mut Intent,
    record: &RequestRecord,
) -> Result<Request<Body>, Failure> {
    let limit = rules.file.limits.body_bytes;
    let announced = http_body::Body::size_hint(request.body()).exact();
    if limit != 0 && announced.is_some_and(|length| length > limit) {
        return Err(Failure::of_body(&BodyError::TooLarge { limit }));
    }
    let mut request = request.map(|inner| {
        let counted = body::metered(inner, &record.sent);
        if limit == 0 { counted } else { body::limited(counted, limit) }
    });
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    let has_body = !http_body::Body::is_end_stream(request.body());
    if has_body && !intent.git.is_push() && GitOperation::is_lfs_batch(path) {
        let (parts, inner) = request.into_parts();
        let (operation, inner) = read_body::operation(path, &parts.headers, inner).await?;
        intent.git = operation;
        request = Request::from_parts(parts, inner);
    }
    Ok(request)
}

/// The request as it leaves but for its credential: with no field in its trailers that was taken off its head.
async fn outgoing(
    mut request: Request<Body>,
    rules: &Rules,
    permit: &Permit<'_, LoadedRule>,
    decoders: &own_secrets::Decoders,
) -> Result<Request<Body>, Failure> {
    *request.uri_mut() = permit.uri.clone();
    let fields = Arc::clone(rules.ruleset.credential_fields());
    let rule: &HostRule = permit.matched.rule.as_ref();
    let guarded = rule.guards_fields();
    let request = request
        .map(|inner| body::on_trailers(inner, move |trailers| strip_trailers(trailers, &fields, guarded)));
    let HostRule { route, inspect, auth: _, client: _, on_secret: _, addresses: _ } = rule;
    let request = own_secrets::searched(request, rules.ruleset.own(), *inspect, decoders)
        .await
        .map_err(|refusal| refusal.under(route))?;
    if rules.file.upstream.identity_only && *inspect {
        identity::request(request, route)
    } else {
        Ok(request)
    }
}

/// The last stage before sending: our credential, or an error and never a request without it.
async fn with_credential(mut request: Request<Body>, rule: &LoadedRule) -> Result<Request<Body>, Failure> {
    let HostRule { route, auth, client: _, inspect: _, on_secret: _, addresses: _ } = rule.as_ref();
    match (auth, &rule.credential) {
        (None, _) => Ok(request),
        (Some(_), Some(credential)) => {
            let value = credential.value().await;
            request.headers_mut().insert(credential.field.clone(), value);
            Ok(request)
        }
        (Some(auth), None) => {
            let (name, host) = (&auth.token_ref, &route.host);
            let message = format!("the credential {name} of {host} is unavailable; nothing was sent");
            Err(Refusal::new(Reason::CredentialUnavailable, message).under(route).into())
        }
    }
}

fn shutting_down() -> Failure {
    Refusal::new(Reason::ShuttingDown, "the proxy is stopping; try again later").retryable().into()
}

impl Handler for Proxy {
    type Tunnel = TunnelState;

    async fn connect(&self, request: ConnectRequest) -> Connect<TunnelState> {
        match self.open_tunnel(&request).await {
            Ok(opened) => Connect::Intercept { host: opened.authority.host.to_string(), state: opened },
            Err(answer) => Connect::Refuse(answer),
        }
    }

    /// A request is decided by the rules that are live when its head has come, and ends under them.
    async fn exchange(&self, request: Request<Body>, exchange: Exchange<TunnelState>) -> Answer {
        let rules = self.rules.load_full();
        let reader = DenialReader::from_request(request.headers(), &exchange.target);
        if let Some(pending) = exchange.tunnel.as_ref().and_then(|tunnel| tunnel.state.take_pending_audit()) {
            pending.withdraw();
        }
        let mut record = match self.new_record(&rules, exchange.client.id).await {
            Ok(record) => record,
            Err(failure) => return denial(&failure, reader).into(),
        };
        record.received(&request, &exchange);
        match self.exchange(&rules, request, &exchange, &mut record).await {
            Ok(Answered::Response(response)) => record.allowed(response).into(),
            Ok(Answered::WebSocket { headers, stream, search }) => {
                record.switching();
                let under = websocket::Under { rules, live: Arc::clone(&self.rules) };
                let serve = move |agent| websocket::relay(agent, stream, *search, under, record).boxed();
                Answer::Upgrade(Upgrade { headers, serve: Box::new(serve) })
            }
            Err(failure) => {
                record.failed(&failure);
                record.answered(denial(&failure, reader)).into()
            }
        }
    }

    fn tunnel_failed(&self, tunnel: &Tunnel<TunnelState>, failure: &TunnelFailure) {
        let host = &tunnel.state.authority;
        let refused = match failure {
            TunnelFailure::NotTls => {
                let message = format!("the tunnel to {host} does not carry TLS; retrying does not help");
                Refusal::new(Reason::TlsRequired, message)
            }
            // Nothing was asked for.
            TunnelFailure::Closed => {
                return tracing::debug!(%host, "a tunnel was closed before its TLS handshake");
            }
            TunnelFailure::Sni
            | TunnelFailure::Handshake(_)
            | TunnelFailure::Timeout
            | TunnelFailure::Leaf(_) => {
                tracing::warn!(%host, %failure, "a tunnel carried no request");
                let what = format!(
                    "the tunnel to {host} carried no request: {failure}; the client must trust the agent CA and speak \
                     HTTP/2 or HTTP/1.1"
                );
                Refusal::new(Reason::TlsFailed, what)
            }
        };
        let Some(pending) = tunnel.state.take_pending_audit() else { return };
        let refused = Failure::from(refused);
        match pending {
            // That no rule allows the host says more than that its client did not come that far.
            PendingAudit::Refusal(record) if refused.refusal.reason == Reason::TlsFailed => drop(record),
            PendingAudit::Refusal(mut record) => record.failed(&refused),
            PendingAudit::Slot(slot) => self
                .record_of_connect(slot, &self.rules.load(), tunnel.client.id, &refused)
                .at_authority(host),
        }
    }

    fn observe(&self, event: Event) {
        self.metrics.event(event);
    }
}
