//! `bottle.internal`: a host that this proxy answers itself, so that an agent can ask what it is allowed, and why
//! something is refused. No request for it ever leaves, and no page has the value of a credential.

mod allowlist;
mod explain;
mod mcp;

use super::rules::Rules;
use crate::intercept::{Body, body};
use crate::policy::{HostRule, INTERNAL_HOST as HOST, WrittenRequest};
use crate::verdict::egress_proxy::Ruleset;
use allowlist::Allowlist;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::civil::Date;
use serde::Serialize;

/// What is allowed, as JSON whatever a client accepts.
const ALLOWLIST: &str = "/allowlist";
/// What would become of a request.
const EXPLAIN: &str = "/explain";
/// Where an agent asks a person for more.
const MCP: &str = "/mcp";

pub(super) use mcp::Carrier as McpCarrier;

/// An answer in both its forms.
trait Page: Serialize {
    /// For a terminal.
    fn text(&self) -> String;
}

/// The page of `/allowlist`, as JSON, for who has rules without a proxy.
pub(crate) fn allowlist<'r, R: AsRef<HostRule>>(bottle: &'r str, rules: &'r Ruleset<R>) -> impl Serialize {
    Allowlist::new(bottle, &rules.policy)
}

/// The page of `/explain`, likewise.
pub(crate) fn explained<R: AsRef<HostRule>>(
    asked: &WrittenRequest,
    rules: &Ruleset<R>,
    today: Date,
) -> impl Serialize {
    explain::answer(asked, rules, today)
}

/// The answer, whatever was asked.
pub(super) async fn answer(
    request: Request<Body>,
    target: &[u8],
    rules: &Rules,
    carrier: &McpCarrier,
) -> Response<Body> {
    match (&rules.file.supervise, target) {
        (Some(socket), target) if target == MCP.as_bytes() => carrier.carry(request, socket).await,
        _ => local_page(request.method(), request.headers(), target, rules),
    }
}

fn local_page(method: &Method, headers: &HeaderMap, target: &[u8], rules: &Rules) -> Response<Body> {
    let target = String::from_utf8_lossy(target);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if !["/", ALLOWLIST, EXPLAIN].contains(&path) {
        return text(StatusCode::NOT_FOUND, format!("{HOST} has no such page\n\n{}", pages()));
    }
    if *method != Method::GET && *method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n".into());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let as_json = path == ALLOWLIST || wants_json(headers);
    if path == EXPLAIN {
        return match explain::asked(query) {
            Ok(asked) => page(&explain::answer(&asked, &rules.ruleset, rules.clock.today()), as_json),
            Err(problem) => text(StatusCode::BAD_REQUEST, format!("{problem}\n\n{}", pages())),
        };
    }
    page(&Allowlist::new(&rules.file.bottle, &rules.ruleset.policy), as_json)
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    String::from_utf8_lossy(accepted).to_ascii_lowercase().contains("json")
}

fn pages() -> String {
    format!(
        "https://{HOST}/ says what is allowed, as text, or as JSON to who accepts that\n\
         https://{HOST}{EXPLAIN}?method=GET&url=https%3A%2F%2FHOST%2FPATH says what would become of a request; \
         in a bottle, /run/bottle/bottle explain GET https://HOST/PATH asks it\n"
    )
}

fn page(what: &impl Page, as_json: bool) -> Response<Body> {
    if !as_json {
        return text(StatusCode::OK, what.text());
    }
    match serde_json::to_string_pretty(what) {
        Ok(json) => respond(StatusCode::OK, "application/json", json + "\n"),
        Err(error) => {
            tracing::error!(%error, "a page could not be written as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "no answer\n".into())
        }
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
