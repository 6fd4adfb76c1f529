//! One request through the engine. The order is the security argument.

use super::{
    block::Block,
    body::{self, OnFinding, Stop},
    budget::Budget,
    connect::{ConnectError, Key, WayOut},
    events::{Events, Trail},
    fields, injection,
    lines::{Line, printable, shown, warn},
    metrics::Metrics,
    response::Room,
    rules::Rules,
    url,
};
use crate::intercept::{
    Body, BodyError, Connect, ConnectRequest, Event, Exchange, Fault, Handler, Pool, SendError, SpliceEnd,
    Tunnel, TunnelFailure, body as bodies,
};
use crate::policy::Authority;
use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// The handler of [`crate::intercept`].
pub(super) struct Engine {
    pub(super) rules: Arc<ArcSwap<Rules>>,
    pub(super) pool: Pool<WayOut>,
    pub(super) events: Events,
    pub(super) metrics: Arc<Metrics>,
    pub(super) budget: Arc<Budget>,
}

/// What was decided at CONNECT.
pub(super) struct Opened {
    host: Arc<str>,
    port: u16,
}

/// Where a request goes, decided.
struct Destination {
    rules: Arc<Rules>,
    secure: bool,
    host: Arc<str>,
    port: u16,
}

impl Destination {
    fn origin(&self) -> String {
        let (scheme, default) = if self.secure { ("https", 443) } else { ("http", 80) };
        if self.port == default {
            format!("{scheme}://{}", self.host)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// An end without a response from the origin.
enum End {
    Block(Block),
    /// The client's body broke off or is malformed.
    Client(BodyError),
    /// The request itself is malformed, with its own status.
    Malformed(StatusCode, String),
}

impl From<Block> for End {
    fn from(block: Block) -> Self {
        End::Block(block)
    }
}

impl Handler for Engine {
    type Tunnel = Opened;

    async fn connect(&self, request: ConnectRequest) -> Connect<Opened> {
        let started = Instant::now();
        let rules = self.rules.load_full();
        let Some(mut trail) = self.events.reserve().await else {
            return Connect::Refuse(stopping().answer_connect());
        };
        let mut line = Line {
            method: Some("CONNECT".to_owned()),
            target: Some(shown(&request.target, &rules)),
            ..Line::of(&request.client, &self.events)
        };
        let outcome = self.open(&rules, &request, &mut line, &mut trail).await;
        match outcome {
            Ok(connect) => connect,
            Err(block) => {
                line.duration_ms = Some(millis(started));
                self.blocked(&rules, line, &block, &mut trail);
                Connect::Refuse(block.answer_connect())
            }
        }
    }

    async fn exchange(&self, request: Request<Body>, exchange: Exchange<Opened>) -> Response<Body> {
        // The live rules, also in a tunnel that was opened under others: a host that a reload took away is gone.
        let rules = self.rules.load_full();
        if exchange.tunnel.is_none() && exchange.fault.is_none() && is_health(&request) {
            return health();
        }
        let Some(mut trail) = self.events.reserve().await else { return stopping().answer() };
        let mut line = Line {
            method: Some(shown(request.method().as_str(), &rules)),
            request_id: Some(self.events.id(exchange.client.id, Some(exchange.number))),
            ..Line::of(&exchange.client, &self.events)
        };
        let outcome = self.answer(&rules, request, &exchange, &mut line, &trail).await;
        line.duration_ms = Some(millis(exchange.started));
        match outcome {
            Ok(response) => {
                line.status_code = Some(response.status().as_u16());
                self.allowed(&rules, line, &mut trail);
                response
            }
            Err(End::Block(block)) => {
                self.blocked(&rules, line, &block, &mut trail);
                block.answer()
            }
            Err(End::Malformed(status, text)) => {
                let block = Block::Request(text);
                self.blocked(&rules, line, &block, &mut trail);
                let mut response = block.answer();
                *response.status_mut() = status;
                response
            }
            Err(End::Client(error)) => {
                let block = Block::Request(error.to_string());
                self.blocked(&rules, line, &block, &mut trail);
                let mut response = block.answer();
                if matches!(error, BodyError::TooLarge { .. }) {
                    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                }
                response
            }
        }
    }

    fn tunnel_failed(&self, tunnel: &Tunnel<Opened>, failure: &TunnelFailure) {
        let rules = self.rules.load();
        let event = if matches!(failure, TunnelFailure::Sni) { "sni_mismatch" } else { "error" };
        let line = Line {
            event,
            target: Some(shown(&format!("{}:{}", tunnel.host, tunnel.state.port), &rules)),
            reason: Some(shown(&failure.to_string(), &rules)),
            ..Line::of(&tunnel.client, &self.events)
        };
        self.metrics.count("failed", event);
        self.events.write("warn", &line);
    }

    fn spliced(&self, tunnel: &Tunnel<Opened>, end: &SpliceEnd) {
        let line = Line {
            event: "tunnel_close",
            target: Some(shown(&format!("{}:{}", tunnel.host, tunnel.state.port), &self.rules.load())),
            size_bytes: Some(end.sent + end.received),
            carried: (end.sent, end.received),
            reason: end.error.clone(),
            sent_on: true,
            ..Line::of(&tunnel.client, &self.events)
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
    ) -> Result<Connect<Opened>, Block> {
        let authority =
            Authority::parse(&request.target, None).map_err(|error| Block::Target(error.to_string()))?;
        let host = authority.host.as_str();
        allow_tunnel(rules, host, authority.port)?;
        url::scan_host(rules, host)?;
        fields::scan(rules, &request.headers)?;
        if !rules.rate.admit(host) {
            return Err(Block::Rate { host: host.to_owned(), limit: rules.rate.limit });
        }
        let state = Opened { host: host.into(), port: authority.port };
        let way = self.pool.connector();
        if !rules.passed_through.contains(host) {
            way.vetted(rules, host).await.map_err(|error| Block::from(&error))?;
            return Ok(Connect::Intercept { host: host.to_owned(), state });
        }
        if !self.events.dispatch(trail, line).await {
            return Err(stopping());
        }
        let upstream = way.dial(rules, host, authority.port).await.map_err(|error| Block::from(&error))?;
        self.metrics.count("allowed", "passthrough");
        let opened = Line { event: "tunnel_open", method: None, ..line.clone() };
        self.events.decided(trail, "info", &opened, rules.log_allowed);
        Ok(Connect::Splice { host: host.to_owned(), state, upstream: Box::new(upstream) })
    }

    /// Decides on a request, and passes it on.
    async fn answer(
        &self,
        rules: &Arc<Rules>,
        request: Request<Body>,
        exchange: &Exchange<Opened>,
        line: &mut Line,
        trail: &Trail,
    ) -> Result<Response<Body>, End> {
        match &exchange.fault {
            Some(Fault::Head(fault)) => {
                return Err(End::Malformed(fault.kind.status(), fault.kind.to_string()));
            }
            Some(Fault::Sni) => {
                let sni = exchange.tunnel.as_ref().and_then(|t| t.sni.as_deref()).unwrap_or("no server name");
                let tunnel = exchange.tunnel.as_ref().map(|t| t.host.to_string()).unwrap_or_default();
                return Err(Block::Authority { asked: printable(sni), tunnel }.into());
            }
            None => {}
        }
        let destination = match &exchange.tunnel {
            Some(tunnel) => in_tunnel(rules, &request, &tunnel.state)?,
            None => in_the_open(rules, &request)?,
        };
        let origin = destination.origin();
        line.url = Some(shown(&(origin.clone() + "/"), rules));
        let target = checked_target(&request, exchange)?;
        line.query_bytes = target.split_once('?').map(|(_, query)| query.len() as u64);
        self.judge(url::scan_target(rules, &origin, &target), rules, line)?;
        line.url = Some(shown(&(origin.clone() + target.split('?').next().unwrap_or_default()), rules));
        if is_upgrade(&request) {
            return Err(Block::Upgrade.into());
        }
        self.judge(fields::scan(rules, request.headers()), rules, line)?;
        if !rules.rate.admit(&destination.host) {
            let limit = rules.rate.limit;
            return Err(Block::Rate { host: destination.host.to_string(), limit }.into());
        }
        let request = self.dress(rules, request, &origin, &target, line).await?;
        self.forward(&destination, request, line, trail).await
    }

    /// A finding that is only logged does not end the request.
    fn judge(&self, outcome: Result<(), Block>, rules: &Rules, line: &Line) -> Result<(), Block> {
        match outcome {
            Err(block @ Block::Dlp { .. }) if rules.only_warn => {
                warn(&self.events, line.clone(), &block, rules);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The request as it goes out: its body under scan, its fields without what is not passed on.
    async fn dress(
        &self,
        rules: &Arc<Rules>,
        request: Request<Body>,
        origin: &str,
        target: &str,
        line: &Line,
    ) -> Result<Request<Body>, End> {
        let (mut parts, mut inner) = request.into_parts();
        if rules.limits.body_bytes > 0 {
            inner = bodies::limited(inner, rules.limits.body_bytes);
        }
        let (events, line, under) = (self.events.clone(), line.clone(), Arc::clone(rules));
        let on_finding: OnFinding = Arc::new(move |block: &Block| warn(&events, line.clone(), block, &under));
        let scanned = body::inspect(rules, &self.budget, &parts.headers, inner, on_finding).await;
        let body = scanned.map_err(|stop| match stop {
            Stop::Block(block) => End::Block(block),
            Stop::Client(error) => End::Client(error),
        })?;
        fields::strip_request(&mut parts.headers);
        let uri = format!("{origin}{target}");
        parts.uri = uri.parse().map_err(|_| Block::Request("the target is no URI".to_owned()))?;
        Ok(Request::from_parts(parts, body))
    }

    async fn forward(
        &self,
        destination: &Destination,
        request: Request<Body>,
        line: &mut Line,
        trail: &Trail,
    ) -> Result<Response<Body>, End> {
        let rules = &destination.rules;
        let key = Key {
            secure: destination.secure,
            host: Arc::clone(&destination.host),
            port: destination.port,
            generation: rules.generation,
        };
        let room = Room::find(&self.budget).await.map_err(Block::from)?;
        if !self.events.dispatch(trail, line).await {
            return Err(stopping().into());
        }
        let seconds = rules.plain_http_timeout;
        let limit = if destination.secure { Duration::MAX } else { Duration::from_secs(seconds.into()) };
        let sent = timeout(limit, self.pool.send(&key, request)).await;
        let host = || destination.host.to_string();
        let sent = sent.map_err(|_| Block::Timeout { host: host(), seconds })?;
        let mut response = sent.map_err(|error| failure(error, &destination.host))?;
        fields::strip_response(response.headers_mut());
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

    fn allowed(&self, rules: &Rules, line: Line, trail: &mut Trail) {
        self.metrics.count("allowed", "");
        self.events.decided(trail, "info", &Line { event: "allowed", ..line }, rules.log_allowed);
    }

    fn blocked(&self, rules: &Rules, line: Line, block: &Block, trail: &mut Trail) {
        self.metrics.count("blocked", block.code());
        let status_code = Some(block.status().as_u16());
        let line = Line { event: "blocked", status_code, action: Some("block"), ..line.found(block, rules) };
        self.events.decided(trail, "warn", &line, rules.log_blocked);
    }
}

/// What can't be recorded any more is not done.
fn stopping() -> Block {
    Block::Upstream("the proxy is stopping; try again later".to_owned())
}

/// Tunnels are for allowed hosts, on every port of theirs but that of plain http.
fn allow_tunnel(rules: &Rules, host: &str, port: u16) -> Result<(), Block> {
    if !rules.allowed.contains(host) {
        return Err(Block::Host { host: host.to_owned() });
    }
    let ports = rules.ports(host);
    if port == 80 || !ports.contains(&port) {
        let allowed = ports.iter().copied().filter(|port| *port != 80).collect();
        return Err(Block::Port { host: host.to_owned(), port, allowed });
    }
    Ok(())
}

/// A request in a tunnel is for the tunnel's host, whatever it says and however often.
fn in_tunnel(rules: &Arc<Rules>, request: &Request<Body>, tunnel: &Opened) -> Result<Destination, Block> {
    allow_tunnel(rules, &tunnel.host, tunnel.port)?;
    let tunnel_name = format!("{}:{}", tunnel.host, tunnel.port);
    if request.uri().scheme().is_some_and(|scheme| scheme.as_str() != "https") {
        return Err(Block::Authority { asked: "a plain http URL".to_owned(), tunnel: tunnel_name });
    }
    for name in names(request) {
        let same = Authority::parse(&name, Some(443))
            .is_ok_and(|asked| asked.host.as_str() == &*tunnel.host && asked.port == tunnel.port);
        if !same {
            return Err(Block::Authority { asked: printable(&name), tunnel: tunnel_name });
        }
    }
    let (rules, host) = (Arc::clone(rules), Arc::clone(&tunnel.host));
    Ok(Destination { rules, secure: true, host, port: tunnel.port })
}

/// A request outside of a tunnel is plain http in absolute-form.
fn in_the_open(rules: &Arc<Rules>, request: &Request<Body>) -> Result<Destination, Block> {
    let Some(authority) = request.uri().authority() else {
        return Err(Block::Request(
            "this is a forward proxy: use CONNECT, or http:// in absolute-form".to_owned(),
        ));
    };
    let plain = request.uri().scheme_str() == Some("http");
    let authority = Authority::parse(authority.as_str(), Some(if plain { 80 } else { 443 }))
        .map_err(|error| Block::Target(error.to_string()))?;
    let host = authority.host.as_str();
    if !rules.allowed.contains(host) {
        return Err(Block::Host { host: host.to_owned() });
    }
    if !plain || !rules.plain_http(host) || authority.port != 80 {
        return Err(Block::PlainHttp { host: host.to_owned() });
    }
    for name in names(request) {
        if Authority::parse(&name, Some(80)).ok().as_ref() != Some(&authority) {
            return Err(Block::Authority { asked: printable(&name), tunnel: authority.to_string() });
        }
    }
    url::scan_host(rules, host)?;
    Ok(Destination { rules: Arc::clone(rules), secure: false, host: host.into(), port: authority.port })
}

/// Every name that a request gives to its host.
fn names(request: &Request<Body>) -> impl Iterator<Item = String> {
    let fields = request.headers().get_all(header::HOST).iter();
    let fields = fields.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    authority.into_iter().chain(fields)
}

/// Path and query as they were received.
fn checked_target(request: &Request<Body>, exchange: &Exchange<Opened>) -> Result<String, Block> {
    if exchange.target.contains(&b'#') {
        return Err(Block::Request("the target holds a fragment".to_owned()));
    }
    if *request.method() == Method::CONNECT || *request.method() == Method::TRACE {
        return Err(Block::Request(format!("{} is not served here", request.method())));
    }
    match request.uri().path_and_query().map(http::uri::PathAndQuery::as_str) {
        None | Some("") => Ok("/".to_owned()),
        Some(target) if target.starts_with('/') => Ok(target.to_owned()),
        Some(target) if target.starts_with('?') => Ok(format!("/{target}")),
        Some(_) => Err(Block::Request("the target is neither a path nor a URL".to_owned())),
    }
}

/// A WebSocket, or whatever else is no longer HTTP. An offer of h2c is declined by not passing it on.
fn is_upgrade(request: &Request<Body>) -> bool {
    let value = request.headers().get(header::UPGRADE).map(HeaderValue::as_bytes);
    value.is_some_and(|value| !value.trim_ascii().eq_ignore_ascii_case(b"h2c"))
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
