//! From a request as the HTTP library gives it to the handler's answer.

use super::{
    Server, request_body,
    response::{Ending, finish, plain},
};
use crate::intercept::{
    Answer, Body, Client, Connect, ConnectRequest, Event, Exchange, Fault, FaultKind, Handler, HeadFault,
    Protocol, Stream, Tunnel, Upgrade,
    activity::{Activity, InFlight},
    body,
    head::{Verdict, Verdicts},
};
use crate::policy::LONGEST_METHOD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery,
};
use hyper::{
    body::Incoming,
    upgrade::{self, OnUpgrade},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Of so many requests on one connection that are refused since others are in flight, the handler is told. A client that goes
/// on has the same answer from here, which takes no memory that others need, and fills no trail.
const REFUSALS_TOLD: u64 = 8;

/// The requests of one connection.
pub(super) struct Conversation<H: Handler> {
    pub(super) server: Arc<Server<H>>,
    pub(super) client: Arc<Client>,
    pub(super) tunnel: Option<Arc<Tunnel<H::Tunnel>>>,
    pub(super) activity: Activity,
    pub(super) verdicts: Verdicts,
    /// Told when as many requests have come as there may be on one connection.
    pub(super) spent: Notify,
    count: AtomicU64,
    /// Requests that were refused since others are in flight.
    refused: AtomicU64,
}

/// What is sent, and what the connection goes on as after it if that is not HTTP.
type Answered<H> = (Response<Body>, Option<Exit<<H as Handler>::Tunnel>>);

/// What a connection goes on as.
pub(super) enum Exit<T> {
    Tunnel(Granted<T>),
    Upgrade(Switched),
}

/// A request that was answered 101.
pub(super) struct Switched {
    pub(super) serve: Box<dyn FnOnce(Stream) -> BoxFuture<'static, ()> + Send>,
    pub(super) upgrade: OnUpgrade,
}

/// A CONNECT that was answered 200.
pub(super) struct Granted<T> {
    pub(super) host: String,
    pub(super) state: T,
    pub(super) upstream: Option<Stream>,
    pub(super) upgrade: OnUpgrade,
}

/// The exchange can't be finished: the connection is cut off.
#[derive(Debug, thiserror::Error)]
#[error("the time for one exchange is over")]
pub(super) struct Abandoned;

/// What is known before the handler is asked.
struct Arrival {
    target: Bytes,
    fault: Option<Fault>,
    protocol: Protocol,
    in_flight: InFlight,
}

impl<H: Handler> Conversation<H> {
    pub(super) fn new(
        server: Arc<Server<H>>,
        client: Arc<Client>,
        tunnel: Option<Arc<Tunnel<H::Tunnel>>>,
    ) -> Arc<Self> {
        let activity = Activity::new();
        let verdicts = Verdicts::new(activity.clone());
        let (spent, [count, refused]) = (Notify::new(), [const { AtomicU64::new(0) }; 2]);
        Arc::new(Self { server, client, tunnel, activity, verdicts, spent, count, refused })
    }

    pub(super) async fn http1(self: Arc<Self>, request: Request<Incoming>) -> Result<Answered<H>, Abandoned> {
        let (target, fault, in_flight) = match self.verdicts.next() {
            Some((Verdict::Fault(fault), in_flight)) => {
                (fault.target.clone().unwrap_or_default().into(), Some(fault), in_flight)
            }
            Some((Verdict::Sound { method, target }, in_flight)) => {
                let fault = (!same(&request, &method, &target)).then(|| disagreement(&method, &target));
                (target, fault, in_flight)
            }
            None => {
                let target = Bytes::from(request.uri().to_string());
                let fault = disagreement(request.method(), &target);
                (target, Some(fault), self.activity.begin())
            }
        };
        let arrival = Arrival { target, fault: fault.map(Fault::Head), protocol: Protocol::Http1, in_flight };
        if request.method() == Method::CONNECT && arrival.fault.is_none() {
            self.connect(request, arrival).await
        } else {
            self.exchange(request, arrival).await
        }
    }

    pub(super) async fn http2(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Abandoned> {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned().into();
        let Ok(permit) = Arc::clone(&self.server.exchanges).try_acquire_owned() else {
            self.server.handler.observe(Event::StreamRefused);
            if self.refused.fetch_add(1, Ordering::Relaxed) < REFUSALS_TOLD {
                let fault = Some(Fault::TooManyRequests { limit: self.server.limits.exchanges });
                let in_flight = self.activity.begin();
                let arrival = Arrival { target, fault, protocol: Protocol::Http2, in_flight };
                return self.exchange(request, arrival).await.map(|(response, _)| response);
            }
            return Ok(plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "bottle: too many requests at the same time; try again\n",
            ));
        };
        let fault = http2_fault(&request, self.server.limits.head_fields).map(Fault::Head);
        let in_flight = self.activity.begin().holding(permit);
        let arrival = Arrival { target, fault, protocol: Protocol::Http2, in_flight };
        self.exchange(request, arrival).await.map(|(response, _)| response)
    }

    async fn exchange(
        &self,
        mut request: Request<Incoming>,
        arrival: Arrival,
    ) -> Result<Answered<H>, Abandoned> {
        let Arrival { target, fault, protocol, in_flight } = arrival;
        let started = Instant::now();
        let deadline = started + self.server.limits.total;
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = fault.or_else(|| self.tunnel.as_deref().and_then(other_name));
        let upgrade = (fault.is_none() && asks_for_an_upgrade(&request)).then(|| upgrade::on(&mut request));
        let spent = number >= self.server.limits.requests_per_connection;
        if spent {
            self.spent.notify_one();
        }
        let last = fault.is_some() || spent;
        let exchange = Exchange {
            client: Arc::clone(&self.client),
            tunnel: self.tunnel.clone(),
            number,
            target,
            fault,
            protocol,
            started,
        };
        one_cookie(request.headers_mut());
        let expects = request.headers().contains_key(header::EXPECT);
        let (parts, incoming) = request.into_parts();
        let (body, leftover) = request_body::wrap(incoming, expects);
        let answer = self.server.handler.exchange(Request::from_parts(parts, body), exchange);
        let Ok(answer) = timeout_at(deadline, answer).await else {
            self.server.handler.observe(Event::Stalled);
            return Err(Abandoned);
        };
        let (response, close) = match (answer, upgrade) {
            (Answer::Response(response), _) => {
                let close = protocol == Protocol::Http1 && (last || !leftover.drain().await);
                (response, close)
            }
            (Answer::Upgrade(Upgrade { headers, serve }), upgrade) => {
                let whole = leftover.drain().await;
                if let Some(upgrade) = upgrade.filter(|_| whole) {
                    self.verdicts.hand_over();
                    return Ok((switching(headers), Some(Exit::Upgrade(Switched { serve, upgrade }))));
                }
                tracing::error!("the handler upgraded a request that can't be");
                let response = plain(StatusCode::BAD_GATEWAY, "bottle: the connection can't be upgraded\n");
                (response, protocol == Protocol::Http1)
            }
        };
        Ok((finish(response, Ending { close, in_flight, deadline }), None))
    }

    async fn connect(
        &self,
        mut request: Request<Incoming>,
        arrival: Arrival,
    ) -> Result<Answered<H>, Abandoned> {
        let deadline = Instant::now() + self.server.limits.total;
        let upgrade = upgrade::on(&mut request);
        let connect = ConnectRequest {
            client: Arc::clone(&self.client),
            target: String::from_utf8_lossy(&arrival.target).into_owned(),
            version: request.version(),
            headers: std::mem::take(request.headers_mut()),
        };
        let Ok(answer) = timeout_at(deadline, self.server.handler.connect(connect)).await else {
            self.server.handler.observe(Event::Stalled);
            return Err(Abandoned);
        };
        let (host, state, upstream) = match answer {
            Connect::Intercept { host, state } => (host, state, None),
            Connect::Splice { host, state, upstream } => (host, state, Some(upstream)),
            Connect::Refuse(mut response) => {
                if response.status().is_success() {
                    tracing::error!("the handler refused a CONNECT with a success");
                    response = plain(StatusCode::BAD_GATEWAY, "bottle: the tunnel was refused\n");
                }
                let ending = Ending { close: true, in_flight: arrival.in_flight, deadline };
                return Ok((finish(response, ending), None));
            }
        };
        let ending = Ending { close: false, in_flight: arrival.in_flight, deadline };
        let exit = Exit::Tunnel(Granted { host, state, upstream, upgrade });
        Ok((finish(Response::new(body::empty()), ending), Some(exit)))
    }
}

/// Whether an upgrade can come of the request (RFC 9110 §7.8).
fn asks_for_an_upgrade(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().contains_key(header::UPGRADE)
}

/// The answer 101 (RFC 9110 §15.2.2).
fn switching(headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

/// The library and the check must have read the same request line.
fn same(request: &Request<Incoming>, method: &Method, target: &[u8]) -> bool {
    request.method() == method && Uri::try_from(target).is_ok_and(|uri| uri == *request.uri())
}

fn disagreement(method: &Method, target: &[u8]) -> HeadFault {
    tracing::error!(%method, target = %target.escape_ascii(), "the HTTP library read a head differently");
    HeadFault {
        kind: FaultKind::Disagreement,
        method: Some(method.to_string()),
        target: Some(target.escape_ascii().to_string()),
    }
}

/// The tunnel's two names must be one.
fn other_name<T>(tunnel: &Tunnel<T>) -> Option<Fault> {
    (tunnel.sni.as_deref() != Some(&*tunnel.host)).then_some(Fault::Sni)
}

/// A client may cut `Cookie` in pieces, for its table of fields of HTTP/2; they are one field (RFC 9113 §8.2.3), of which
/// some servers would read the first or the last.
fn one_cookie(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

/// What the HTTP/2 library leaves to its user (RFC 9113 §8.3.1), and what a head of HTTP/1 is held to as well: who the
/// request is for must be said once, and its target is a path.
fn http2_fault(request: &Request<Incoming>, most_fields: usize) -> Option<HeadFault> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let target = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    let host =
        |unwelcome: &[u8], host: &HeaderValue| host.as_bytes().iter().any(|byte| unwelcome.contains(byte));
    let kind = match (request.uri().authority(), hosts.next(), hosts.next()) {
        _ if request.method() == Method::CONNECT => FaultKind::Connect,
        _ if request.method().as_str().len() > LONGEST_METHOD => FaultKind::Method,
        _ if !target.starts_with('/') && (target != "*" || request.method() != Method::OPTIONS) => {
            FaultKind::Target
        }
        _ if request.headers().len() > most_fields => FaultKind::TooManyFields,
        (_, Some(_), Some(_)) => FaultKind::HostSeveral,
        (_, Some(one), None) if host(b",", one) => FaultKind::HostSeveral,
        (None, None, None) => FaultKind::HostMissing,
        (_, Some(one), None) if one.is_empty() || host(b" \t", one) => FaultKind::HostMalformed,
        _ if request.headers().get_all(header::CONTENT_LENGTH).iter().count() > 1 => FaultKind::ContentLength,
        _ => return None,
    };
    let target = request.uri().path_and_query().map(ToString::to_string);
    Some(HeadFault { kind, method: Some(request.method().to_string()), target })
}
