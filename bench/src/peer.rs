//! hudsucker with a handler that does what the manifest says: hosts, ports, methods, paths, one credential.

use crate::place::{HOST, Place, TOKEN};
use crate::tls;
use fs_err as fs;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hudsucker::{
    Body, HttpContext, HttpHandler, Proxy, RequestOrResponse,
    certificate_authority::RcgenAuthority,
    rcgen::{Issuer, KeyPair},
    rustls::crypto::aws_lc_rs,
};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::net::sockopt::set_tcp_nodelay;
use std::{collections::HashMap, net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// What a host is allowed.
struct Rule {
    port: u16,
    methods: Vec<Method>,
    prefix: &'static str,
    credential: HeaderValue,
}

#[derive(Clone)]
struct Handler {
    rules: Arc<HashMap<&'static str, Rule>>,
}

impl Handler {
    fn judge(&self, request: &mut Request<Body>) -> Result<(), StatusCode> {
        let authority = request.uri().authority().ok_or(StatusCode::BAD_REQUEST)?;
        let rule = self.rules.get(authority.host()).ok_or(StatusCode::FORBIDDEN)?;
        if authority.port_u16().unwrap_or(443) != rule.port {
            return Err(StatusCode::FORBIDDEN);
        }
        if request.method() == Method::CONNECT {
            return Ok(());
        }
        let path = request.uri().path();
        let below =
            path.strip_prefix(rule.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !rule.methods.contains(request.method()) || !below || !is_plain(path) {
            return Err(StatusCode::FORBIDDEN);
        }
        let fields = request.headers_mut();
        strip(fields);
        fields.insert(header::AUTHORIZATION, rule.credential.clone());
        Ok(())
    }
}

/// A path that every server reads alike.
fn is_plain(path: &str) -> bool {
    !path.contains(['%', ';', '\\']) && path.split('/').all(|segment| segment != "." && segment != "..")
}

/// What carries the agent's own identity.
fn strip(fields: &mut HeaderMap) {
    for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, header::FORWARDED] {
        fields.remove(name);
    }
}

impl HttpHandler for Handler {
    async fn handle_request(&mut self, _: &HttpContext, mut request: Request<Body>) -> RequestOrResponse {
        match self.judge(&mut request) {
            Ok(()) => request.into(),
            Err(status) => {
                let mut refused = Response::new(Body::empty());
                *refused.status_mut() = status;
                RequestOrResponse::Response(refused)
            }
        }
    }
}

pub(crate) async fn run(place: &Place, listen: SocketAddr) -> anyhow::Result<()> {
    let key = KeyPair::from_pem(&fs::read_to_string(place.peer_ca_key())?)?;
    let issuer = Issuer::from_ca_cert_pem(&fs::read_to_string(place.peer_ca())?, key)?;
    let rule = Rule {
        port: 443,
        methods: vec![Method::GET, Method::POST],
        prefix: "/v1",
        credential: HeaderValue::from_str(&format!("Bearer {TOKEN}"))?,
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls::client(&place.origin_ca(), None)?)
        .https_only()
        .enable_http1()
        .enable_http2()
        .wrap_connector(http);
    let listener = TcpListener::bind(listen).await?;
    // It does not switch Nagle off; connections inherit it.
    set_tcp_nodelay(&listener, true)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let proxy = Proxy::builder()
        .with_listener(listener)
        .with_ca(RcgenAuthority::new(issuer, 1000, aws_lc_rs::default_provider()))
        .with_http_connector(connector)
        .with_http_handler(Handler { rules: Arc::new(HashMap::from([(HOST, rule)])) })
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .build()?;
    Ok(proxy.start().await?)
}
