//! `bottle dashboard --web`: the same as a page on loopback, for the person who was given its address.
//!
//! Any page in the same browser, and any process of this machine, can send requests here. So a request counts if it names
//! this very host and port, comes from no other origin, and has the cookie that the one-time token was changed for; what
//! changes something is a POST with the token of its dashboard in the body. There is no script, and no other asset.

use super::{Args, View, views};
use crate::cli::{Format, Globals, Outcome, approve, print, proposals, reject};
use crate::printable::printable_text;
use crate::supervise::ProposalId;
use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value, escape_formatter};
use serde_json::json;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const TEMPLATE: &str = include_str!("../../../templates/dashboard.html.j2");
const STYLE: &str = "\
body { font: 16px/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 60rem; padding: 0 1rem }
pre, textarea, code { font: 14px/1.4 ui-monospace, monospace }
pre, p, td, li, h1, h3 { overflow-wrap: anywhere; white-space: pre-wrap }
article, section { border-top: 1px solid; margin: 1rem 0 }
td { padding-right: 1rem; vertical-align: top }
.beyond { border-left: 4px solid; padding-left: .5rem; font-weight: bold }
.said { border: 1px solid; padding: .5rem }
textarea { width: 100% }
";
const COOKIE: &str = "bottle-dashboard";
/// A manifest, and each of its bytes as three.
const LARGEST_FORM: usize = 3 * crate::manifest::LARGEST + 4096;
const HEAD: usize = 16 * 1024;
const HEAD_TIME: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 32;

/// Serves until a signal.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let listener = TcpListener::bind(("127.0.0.1", args.port.unwrap_or_default())).await;
        let listener = listener.context("the page can't be served: choose another --port")?;
        let authority = listener.local_addr()?.to_string();
        let site = Arc::new(Site::new(authority.clone(), args.clone(), globals)?);
        print(&format!("http://{authority}/?token={}\n", site.once()))?;
        tokio::select! {
            () = serve(listener, site) => {}
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        Ok(Outcome::Done)
    })
}

async fn serve(listener: TcpListener, site: Arc<Site>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(answer(site, request).await) }
            });
            // Who closes early has no use for the error.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(slot);
        });
    }
}

async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    if let Err((status, why)) = site.admits(&parts.method, &parts.headers) {
        return plain(status, why);
    }
    // Anybody on this machine may connect: who sends slowly keeps no place.
    let body = match timeout(HEAD_TIME, Limited::new(body, LARGEST_FORM).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long"),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the form did not come in time"),
    };
    let asked = tokio::task::spawn_blocking(move || {
        let query = form(parts.uri.query().unwrap_or_default().as_bytes());
        site.answer(&parts.method, parts.uri.path(), &query, &parts.headers, &form(&body))
    });
    asked.await.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "it failed"))
}

type Form = HashMap<String, String>;

/// `application/x-www-form-urlencoded`; of what stands twice, the first.
fn form(bytes: &[u8]) -> Form {
    let decoded = |text: &[u8]| {
        let spaces: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        percent_encoding::percent_decode(&spaces).decode_utf8_lossy().into_owned()
    };
    let mut form = Form::new();
    for pair in bytes.split(|byte| *byte == b'&') {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        form.entry(decoded(name)).or_insert_with(|| decoded(value));
    }
    form
}

struct Site {
    authority: String,
    args: Args,
    globals: Globals,
    /// What the address holds, until it was used.
    once: Mutex<Option<String>>,
    session: String,
    csrf: String,
}

fn secret() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

fn same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

impl Site {
    fn new(authority: String, args: Args, globals: &Globals) -> anyhow::Result<Self> {
        let globals = Globals { quiet: true, format: Format::Text, ..globals.clone() };
        let once = Mutex::new(Some(secret()?));
        Ok(Self { authority, args, globals, once, session: secret()?, csrf: secret()? })
    }

    fn once(&self) -> String {
        self.once.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Whether a request is meant for this page and comes from it: names resolve to loopback, too (DNS rebinding).
    fn admits(&self, method: &Method, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let one = |name| {
            let mut all = headers.get_all(name).iter();
            match (all.next(), all.next()) {
                (Some(value), None) => Some(value.as_bytes()),
                _ => None,
            }
        };
        if one(header::HOST) != Some(self.authority.as_bytes()) {
            return Err((StatusCode::MISDIRECTED_REQUEST, "this page has another address"));
        }
        let own = format!("http://{}", self.authority);
        let is_own = headers.get_all(header::ORIGIN).iter().all(|it| it.as_bytes() == own.as_bytes());
        if !is_own || (*method == Method::POST && one(header::ORIGIN).is_none()) {
            return Err((StatusCode::FORBIDDEN, "a page of another origin does not speak here"));
        }
        if ![Method::GET, Method::POST].contains(method) {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "GET and POST"));
        }
        Ok(())
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let texts = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == COOKIE && same(value, &self.session))
    }

    fn answer(
        &self,
        method: &Method,
        path: &str,
        query: &Form,
        headers: &HeaderMap,
        form: &Form,
    ) -> Response<Full<Bytes>> {
        if let (&Method::GET, "/", Some(token)) = (method, path, query.get("token")) {
            return self.begin(token);
        }
        if !self.has_cookie(headers) {
            return plain(
                StatusCode::FORBIDDEN,
                "open the address that `bottle dashboard --web` printed; it is good for one browser, once",
            );
        }
        if *method == Method::POST && !form.get("csrf").is_some_and(|it| same(it, &self.csrf)) {
            return plain(StatusCode::FORBIDDEN, "this form is of another dashboard: open the page again");
        }
        match (method.as_str(), path) {
            ("GET", "/") => self.page(None, None),
            ("GET", "/style.css") => with_type(StatusCode::OK, "text/css; charset=utf-8", STYLE.to_owned()),
            ("GET", "/proposal") => self.review(query, None),
            ("POST", "/modify") => self.review(form, Some(edited(form))),
            ("POST", "/approve") => self.approve(form),
            ("POST", "/reject") => self.reject(form),
            _ => plain(StatusCode::NOT_FOUND, "there is no such page"),
        }
    }

    fn begin(&self, token: &str) -> Response<Full<Bytes>> {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        if !once.as_ref().is_some_and(|own| same(own, token)) {
            return plain(
                StatusCode::FORBIDDEN,
                "this address was used: end `bottle dashboard --web` and start it again",
            );
        }
        *once = None;
        let mut response = plain(StatusCode::SEE_OTHER, "");
        let cookie = format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", self.session);
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
        response.headers_mut().extend(HeaderValue::from_str(&cookie).ok().map(|it| (header::SET_COOKIE, it)));
        response
    }

    fn approving(&self, form: &Form) -> anyhow::Result<approve::Args> {
        let (project, id) = chosen(form)?;
        Ok(approve::Args::of(&project, id, false, self.args.image_binary.clone()))
    }

    fn review(&self, form: &Form, text: Option<String>) -> Response<Full<Bytes>> {
        let shown =
            self.approving(form).and_then(|args| approve::review(&args.with_text(text), &self.globals));
        match shown {
            Ok(review) => self.page(None, Some(&review)),
            Err(error) => self.page(Some(&format!("{error:#}")), None),
        }
    }

    fn approve(&self, form: &Form) -> Response<Full<Bytes>> {
        let text = form.contains_key("text").then(|| edited(form));
        let digest = form.get("digest").cloned().unwrap_or_default();
        let done = self
            .approving(form)
            .and_then(|args| approve::run(&args.with_text(text).accepting(digest), &self.globals));
        self.page(
            Some(&match done {
                Ok(Outcome::Done) => "done: the rules say so, and the agent is told".to_owned(),
                Ok(_) => {
                    "nothing was written: it comes to something else by now; look at it again".to_owned()
                }
                Err(error) => format!("{error:#}"),
            }),
            None,
        )
    }

    fn reject(&self, form: &Form) -> Response<Full<Bytes>> {
        let reason = form.get("reason").cloned().unwrap_or_default();
        let done = chosen(form)
            .and_then(|(project, id)| reject::run(&reject::Args::of(&project, id, reason), &self.globals));
        self.page(Some(&done.map_or_else(|error| format!("{error:#}"), |_| "rejected".to_owned())), None)
    }

    fn page(&self, said: Option<&str>, review: Option<&serde_json::Value>) -> Response<Full<Bytes>> {
        let bottles = if review.is_some() { Ok(Vec::new()) } else { views(&self.args, &self.globals) };
        let page = bottles.and_then(|bottles| {
            let bottles: Vec<_> = bottles.iter().map(shown).collect::<Result<_, _>>()?;
            rendered(&json!({"said": said, "review": review, "bottles": bottles, "csrf": self.csrf}))
        });
        match page {
            Ok(page) => with_type(StatusCode::OK, "text/html; charset=utf-8", page),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &printable_text(&format!("{error:#}"))),
        }
    }
}

fn chosen(form: &Form) -> anyhow::Result<(String, ProposalId)> {
    let part = |name| form.get(name).with_context(|| format!("the form has no {name}"));
    Ok((part("project")?.clone(), part("id")?.parse()?))
}

/// A form's lines end with CR LF.
fn edited(form: &Form) -> String {
    form.get("text").map(|text| text.replace("\r\n", "\n")).unwrap_or_default()
}

/// A view with its history in words.
fn shown(view: &View) -> anyhow::Result<serde_json::Value> {
    let mut value = serde_json::to_value(view)?;
    for (decided, of) in value["history"].as_array_mut().into_iter().flatten().zip(&view.history) {
        decided["asks"] = proposals::described(&of.ask).into();
    }
    Ok(value)
}

fn rendered(value: &serde_json::Value) -> anyhow::Result<String> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Lenient);
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    engine.set_formatter(write_value);
    engine.remove_filter("safe");
    engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    engine.add_template("dashboard.html", TEMPLATE)?;
    Ok(engine.get_template("dashboard.html")?.render(Value::from(Serde(value)))?)
}

/// Writes a value, whatever it holds, as text of the page.
fn write_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => {
            escape_formatter(out, state, &Value::from(printable_text(text).into_owned()))
        }
        _ => escape_formatter(out, state, value),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn with_type(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let fields = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // With less, a browser would send its own forms with `Origin: null`.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    response.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
