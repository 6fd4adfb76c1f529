//! One request through the engine. The order is the security argument.

use super::{
    answer,
    body::{self, Stop},
    connect::{ConnectError, Dialer, Key},
    events::{Events, Trail},
    injection,
    lines::{Line, shown},
    metrics::Metrics,
    rules::Rules,
    scan::{RemovedSoFar, Told},
};
use crate::dlp::Removed;
use crate::intercept::{
    Answer, Body, BodyError, Connect, ConnectRequest, Event, Exchange, Fault, Handler, Pool, SendError,
    SpliceEnd, Stream, Switched, Tunnel, TunnelFailure, Upgrade, body as bodies, budget::Budget, splice,
    unread::ResponseRoom,
};
use crate::policy::Authority;
use crate::verdict::{
    Head,
    pipelock::{Block, Destination, Part, RequestSoFar, printable, strip_request, strip_response},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// The handler of [`crate::intercept`].
pub struct Engine {
    pub(super) rules: Arc<ArcSwap<Rules>>,
    pub(super) pool: Pool<Dialer>,
    pub(super) events: Events,
    pub(super) metrics: Arc<Metrics>,
    pub(super) budget: Arc<Budget>,
}

/// An end without a response from the origin.
enum End {
    Block(Block),
    /// The client's body broke off or is malformed.
    Client(BodyError),
    /// The request itself is malformed, with its own status.
    Malformed(StatusCode, String),
}

impl End {
    /// The status of the answer, and why.
    fn told(self) -> (StatusCode, Block) {
        match self {
            End::Block(block) => (block.status(), block),
            End::Malformed(status, text) => (status, Block::Request(text)),
            End::Client(error) => {
                let too_large = matches!(error, BodyError::TooLarge { .. });
                let block = Block::Request(error.to_string());
                (if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { block.status() }, block)
            }
        }
    }
}

impl From<Block> for End {
    fn from(block: Block) -> Self {
        End::Block(block)
    }
}

impl Handler for Engine {
    type Tunnel = Authority;

    async fn connect(&self, request: ConnectRequest) -> Connect<Authority> {
        let started = Instant::now();
        let rules = self.rules.load_full();
        let Some(mut trail) = self.events.reserve().await else {
            return Connect::Refuse(answer::to_connect(&stopping()));
        };
        let mut line = Line {
            method: Some("CONNECT".to_owned()),
            target: Some(shown(&request.target, &rules)),
            ..self.events.line(&request.client, &rules)
        };
        let outcome = self.open(&rules, &request, &mut line, &mut trail).await;
        match outcome {
            Ok(connect) => connect,
            Err(block) => {
                line.duration_ms = Some(millis(started));
                self.blocked(&rules, line, &block, block.status(), &mut trail);
                Connect::Refuse(answer::to_connect(&block))
            }
        }
    }

    async fn exchange(&self, request: Request<Body>, exchange: Exchange<Authority>) -> Answer {
        // The live rules, also in a tunnel that was opened under others: a host that a reload took away is gone.
        let rules = self.rules.load_full();
        if exchange.tunnel.is_none() && exchange.fault.is_none() && is_health(&request) {
            return health().into();
        }
        let Some(mut trail) = self.events.reserve().await else {
            return answer::to_request(&stopping()).into();
        };
        let mut line = Line {
            method: Some(shown(request.method().as_str(), &rules)),
            request_id: Some(self.events.id(exchange.client.id, Some(exchange.number))),
            ..self.events.line(&exchange.client, &rules)
        };
        let outcome = self.answer(&rules, request, &exchange, &mut line, &trail).await;
        line.duration_ms = Some(millis(exchange.started));
        match outcome {
            Ok(Switched::Response(response)) => {
                line.status_code = Some(response.status().as_u16());
                self.allowed(&rules, line, &mut trail);
                response.into()
            }
            Ok(Switched::Protocol { headers, stream }) => {
                line.status_code = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
                self.allowed(&rules, line.clone(), &mut trail);
                let events = self.events.clone();
                Answer::Upgrade(Upgrade {
                    headers,
                    serve: Box::new(move |client| carry(client, stream, events, line).boxed()),
                })
            }
            Err(end) => {
                let (status, block) = end.told();
                let mut response = answer::to_request(&block);
                *response.status_mut() = status;
                self.blocked(&rules, line, &block, status, &mut trail);
                response.into()
            }
        }
    }

    fn tunnel_failed(&self, tunnel: &Tunnel<Authority>, failure: &TunnelFailure) {
        let rules = self.rules.load();
        let event = if matches!(failure, TunnelFailure::Sni) { "sni_mismatch" } else { "error" };
        let line = Line {
            event,
            target: Some(shown(&tunnel.state.to_string(), &rules)),
            reason: Some(shown(&failure.to_string(), &rules)),
            ..self.events.line(&tunnel.client, &rules)
        };
        self.metrics.count("failed", event);
        self.events.write("warn", &line);
    }

    fn spliced(&self, tunnel: &Tunnel<Authority>, end: &SpliceEnd) {
        let rules = self.rules.load();
        let line = Line {
            event: "tunnel_close",
            target: Some(shown(&tunnel.state.to_string(), &rules)),
            size_bytes: Some(end.sent + end.received),
            carried: (end.sent, end.received),
            reason: end.error.clone(),
            sent_on: true,
            ..self.events.line(&tunnel.client, &rules)
        };
        self.events.write("info", &line);
    }

    fn observe(&self, event: Event) {
        self.metrics.observe(event);
    }
}

impl Engine {
    /// Decides on a CONNECT.
    async fn open(
        &self,
        rules: &Arc<Rules>,
        request: &ConnectRequest,
        line: &mut Line,
        trail: &mut Trail,
    ) -> Result<Connect<Authority>, Block> {
        let state = rules.ruleset.connect(&request.target, &request.headers).inspect_err(|block| {
            // What lost its case is not found again where the target is masked.
            if let Block::Dlp { part: Part::Url, finding, .. } = block {
                line.target = Some(format!("***[{}]", finding.pattern));
            }
        })?;
        let host = state.host.as_str();
        if !rules.rate.admit(host) {
            return Err(Block::Rate { host: host.to_owned(), limit: rules.rate.limit });
        }
        let way = self.pool.connector();
        if !rules.ruleset.passes_through(host) {
            way.vetted(rules, host).await.map_err(|error| Block::from(&error))?;
            return Ok(Connect::Intercept { host: host.to_owned(), state });
        }
        if !self.events.dispatch(trail, line).await {
            return Err(stopping());
        }
        let upstream = way.tunnel(rules, host, state.port).await.map_err(|error| Block::from(&error))?;
        self.metrics.count("allowed", "passthrough");
        let opened = Line { event: "tunnel_open", method: None, ..line.clone() };
        self.events.decided(trail, "info", &opened, rules.log_allowed);
        let host = host.to_owned();
        Ok(Connect::Splice { host, state, upstream: Box::new(upstream) })
    }

    /// Decides on a request, and passes it on.
    async fn answer(
        &self,
        rules: &Arc<Rules>,
        request: Request<Body>,
        exchange: &Exchange<Authority>,
        line: &mut Line,
        trail: &Trail,
    ) -> Result<Switched, End> {
        match &exchange.fault {
            Some(Fault::Head(fault)) => {
                return Err(End::Malformed(fault.kind.status(), fault.kind.to_string()));
            }
            Some(Fault::TooManyRequests { limit }) => return Err(Block::TooManyRequests(*limit).into()),
            Some(Fault::Sni) => {
                let sni = exchange.tunnel.as_ref().and_then(|t| t.sni.as_deref()).unwrap_or("no server name");
                let tunnel = exchange.tunnel.as_ref().map(|t| t.host.to_string()).unwrap_or_default();
                return Err(Block::Authority { asked: printable(sni), tunnel }.into());
            }
            None => {}
        }
        let mut so_far = RequestSoFar::default();
        let tunnel = exchange.tunnel.as_ref().map(|tunnel| &tunnel.state);
        let decided =
            rules.ruleset.request(Head::from_request(&request, &exchange.target, tunnel), &mut so_far);
        let RequestSoFar { destination, target, findings, websocket } = so_far;
        let url = destination.as_ref().map(|destination| {
            let path = target.as_deref().unwrap_or("/");
            destination.origin() + path.split('?').next().unwrap_or_default()
        });
        line.url = url.map(|url| shown(&url, rules));
        let query = exchange.target.iter().position(|byte| *byte == b'?');
        line.query_bytes = query.map(|at| (exchange.target.len() - at - 1) as u64);
        for finding in findings {
            self.events.warn(line.clone(), &finding, rules);
        }
        decided?;
        let (Some(destination), Some(target)) = (destination, target) else {
            return Err(Block::Request("it has no target".to_owned()).into());
        };
        let host = destination.authority.host.as_str();
        if !rules.rate.admit(host) {
            return Err(Block::Rate { host: host.to_owned(), limit: rules.rate.limit }.into());
        }
        let removed = RemovedSoFar::default();
        let request = self.prepare(rules, request, &destination, &target, line, &removed).await?;
        line.removed = removed.get();
        if websocket {
            return self.upgrade(rules, &destination, request, line, trail).await;
        }
        let mut response = self.forward(rules, &destination, request, line, trail).await?;
        // Of a long body more may be removed yet: what it is then, the line of its end says.
        line.removed = removed.get();
        answer::tell_removed(response.headers_mut(), &line.removed);
        Ok(Switched::Response(response))
    }

    /// The request as it goes out: its body under scan, its fields without what is not passed on.
    async fn prepare(
        &self,
        rules: &Arc<Rules>,
        request: Request<Body>,
        destination: &Destination,
        target: &str,
        line: &Line,
        removed: &RemovedSoFar,
    ) -> Result<Request<Body>, End> {
        let (mut parts, mut inner) = request.into_parts();
        if rules.body_bytes > 0 {
            inner = bodies::limited(inner, rules.body_bytes);
        }
        let (events, of_finding, under) = (self.events.clone(), line.clone(), Arc::clone(rules));
        let (events_too, of_removal) = (self.events.clone(), line.clone());
        let told = Told {
            on_finding: Arc::new(move |block: &Block| events.warn(of_finding.clone(), block, &under)),
            on_removed: Arc::new(move |removed: &Removed| events_too.removed(of_removal.clone(), removed)),
            removed: removed.clone(),
        };
        let host = destination.authority.host.as_str();
        let scanned = body::inspect(rules, &self.budget, host, &parts.headers, inner, told).await;
        let body = scanned.map_err(|stop| match stop {
            Stop::Block(block) => End::Block(block),
            Stop::Client(error) => End::Client(error),
        })?;
        if parts.headers.contains_key(header::CONTENT_LENGTH) {
            // A body from which something may be removed has another length, or none that is known.
            match http_body::Body::size_hint(&body).exact() {
                Some(length) => parts.headers.insert(header::CONTENT_LENGTH, length.into()),
                None => parts.headers.remove(header::CONTENT_LENGTH),
            };
        }
        strip_request(&mut parts.headers);
        let uri = format!("{}{target}", destination.origin());
        parts.uri = uri.parse().map_err(|_| Block::Request("the target is no URI".to_owned()))?;
        Ok(Request::from_parts(parts, body))
    }

    async fn forward(
        &self,
        rules: &Arc<Rules>,
        destination: &Destination,
        request: Request<Body>,
        line: &mut Line,
        trail: &Trail,
    ) -> Result<Response<Body>, End> {
        let key = key(rules, destination, false);
        let Destination { secure, authority: Authority { host, .. } } = destination;
        let room = ResponseRoom::find(&self.budget).await.map_err(Block::from)?;
        if !self.events.dispatch(trail, line).await {
            return Err(stopping().into());
        }
        let seconds = rules.plain_http_timeout;
        let limit = if *secure { Duration::MAX } else { Duration::from_secs(seconds.into()) };
        let sent = timeout(limit, self.pool.send(&key, request)).await;
        let sent = sent.map_err(|_| Block::Timeout { host: host.to_string(), seconds })?;
        let mut response = sent.map_err(|error| failure(error, host.as_str()))?;
        strip_response(response.headers_mut());
        let (events, cut) = (self.events.clone(), line.clone());
        let held = room.hold(response, move || {
            let reason = Some("the client did not read it while other requests needed its memory".to_owned());
            let line = cut.clone();
            events.write("warn", &Line { event: "response_stalled", reason, action: Some("cut"), ..line });
        });
        response = held.map_err(Block::from)?;
        if rules.scan_responses && injection::is_readable(response.headers(), rules.scan_events) {
            let (events, line) = (self.events.clone(), line.clone());
            response = response.map(|inner| {
                injection::watched(inner, move |pattern| {
                    let pattern = Some(pattern.to_owned());
                    let line = line.clone();
                    events.write(
                        "warn",
                        &Line { event: "response_scan", pattern, action: Some("warn"), ..line },
                    );
                })
            });
        }
        Ok(response)
    }

    /// Asks for a WebSocket. What is said in it was read in egress-proxy, which alone speaks to this engine where a host
    /// may be spoken to so.
    async fn upgrade(
        &self,
        rules: &Arc<Rules>,
        destination: &Destination,
        request: Request<Body>,
        line: &mut Line,
        trail: &Trail,
    ) -> Result<Switched, End> {
        let key = key(rules, destination, true);
        if !self.events.dispatch(trail, line).await {
            return Err(stopping().into());
        }
        let mut switched =
            self.pool.upgrade(&key, "websocket", request).await.map_err(|error| failure(error, &key.host))?;
        match &mut switched {
            Switched::Response(response) => strip_response(response.headers_mut()),
            Switched::Protocol { headers, .. } => strip_response(headers),
        }
        Ok(switched)
    }

    fn allowed(&self, rules: &Rules, line: Line, trail: &mut Trail) {
        self.metrics.count("allowed", "");
        self.events.decided(trail, "info", &Line { event: "allowed", ..line }, rules.log_allowed);
    }

    fn blocked(&self, rules: &Rules, line: Line, block: &Block, status: StatusCode, trail: &mut Trail) {
        self.metrics.count("blocked", block.code());
        let status_code = Some(status.as_u16());
        let line = Line { event: "blocked", status_code, action: Some("block"), ..line.found(block, rules) };
        self.events.decided(trail, "warn", &line, rules.log_blocked);
    }
}

fn key(rules: &Rules, destination: &Destination, upgrade: bool) -> Key {
    let Destination { secure, authority: Authority { host, port } } = destination;
    Key { secure: *secure, host: host.as_str().into(), port: *port, upgrade, generation: rules.generation }
}

/// Carries a WebSocket until both sides are done with it.
async fn carry(client: Stream, origin: Stream, events: Events, line: Line) {
    let end = splice(client, origin, Bytes::new(), Duration::MAX).await;
    let line = Line {
        event: "websocket_close",
        size_bytes: Some(end.sent + end.received),
        carried: (end.sent, end.received),
        reason: end.error,
        ..line
    };
    events.write("info", &line);
}

/// What can't be recorded any more is not done.
fn stopping() -> Block {
    Block::Upstream("the proxy is stopping; try again later".to_owned())
}

fn failure(error: SendError<ConnectError>, host: &str) -> End {
    match error {
        SendError::Connect(error) => Block::from(&error).into(),
        SendError::RequestBody(BodyError::Refused(error)) => match error.downcast::<Block>() {
            Ok(block) => (*block).into(),
            Err(error) => Block::Upstream(error.to_string()).into(),
        },
        SendError::RequestBody(error) => End::Client(error),
        other => Block::Upstream(format!("{host}: {other}")).into(),
    }
}

fn is_health(request: &Request<Body>) -> bool {
    let uri: &Uri = request.uri();
    uri.authority().is_none() && uri.path() == "/health" && *request.method() == Method::GET
}

fn health() -> Response<Body> {
    let status =
        serde_json::json!({"status": "healthy", "version": env!("CARGO_PKG_VERSION"), "mode": "strict"});
    let mut response = Response::new(bodies::full(format!("{status}\n")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
