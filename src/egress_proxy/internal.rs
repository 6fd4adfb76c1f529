//! `bottle.internal`: a host that this proxy answers itself, so that an agent can ask what it is allowed.
//! No request for it ever leaves.

use super::rules::Rules;
use crate::config::routes::AnyOr;
use crate::intercept::{Body, body};
use crate::policy::{DenyPath, HostRule, INTERNAL_HOST as HOST, Method, Route};
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// The one page that it has.
const ALLOWLIST: &str = "/allowlist";

/// What an agent may do, with names of credentials and no values.
#[derive(Serialize)]
struct Allowlist<'r> {
    bottle: &'r str,
    hosts: Vec<Entry<'r>>,
}

#[derive(Serialize)]
struct Entry<'r> {
    host: &'r str,
    ports: &'r [u16],
    methods: AnyOr,
    path_allowlist: AnyOr,
    deny_paths: Vec<&'r str>,
    credential: Option<&'r str>,
    reason: Option<&'r str>,
}

impl<'r, R: AsRef<HostRule>> From<&'r R> for Entry<'r> {
    fn from(rule: &'r R) -> Self {
        let HostRule { route, auth, inspect: _, addresses: _ } = rule.as_ref();
        let Route {
            source: _,
            host,
            ports,
            methods,
            path_allowlist,
            deny_paths,
            encoded_slash: _,
            until: _,
            reason,
        } = route;
        Self {
            host: host.as_str(),
            ports,
            methods: AnyOr::from(methods.as_deref()),
            path_allowlist: AnyOr::from(path_allowlist.as_deref()),
            deny_paths: deny_paths.iter().map(DenyPath::as_str).collect(),
            credential: auth.as_ref().map(|auth| auth.token_ref.as_str()),
            reason: reason.as_deref(),
        }
    }
}

/// The answer, whatever was asked.
pub(super) fn answer(method: &Method, target: &[u8], rules: &Rules) -> Response<Body> {
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    if path != ALLOWLIST.as_bytes() {
        let text = format!("{HOST} has one page: http://{HOST}{ALLOWLIST}\n");
        return page(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text);
    }
    if *method != Method::GET && *method != Method::HEAD {
        let mut response = page(
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain; charset=utf-8",
            "only GET is answered here\n".into(),
        );
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let hosts = rules.ruleset.policy.rules().iter().map(Entry::from).collect();
    let allowlist = Allowlist { bottle: &rules.file.bottle, hosts };
    match serde_json::to_string_pretty(&allowlist) {
        Ok(json) => page(StatusCode::OK, "application/json", json + "\n"),
        Err(error) => {
            tracing::error!(%error, "the allowlist could not be written as JSON");
            page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "no answer\n".into())
        }
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
