//! A route's credential.

use super::super::findings::{Findings, quoted};
use super::super::raw::{self, Scheme};
use super::super::variable::{is_a_setting, is_variable_name};
use crate::policy::Auth;

/// Fields that frame a message or steer a connection (RFC 9110, RFC 9112): no credential lives there.
const NOT_A_CREDENTIAL: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The field of credentials for an origin (RFC 9110, section 11.6.2).
const AUTHORIZATION: &str = "authorization";

pub(super) fn auth(raw: raw::Auth, pointer: &str, findings: &mut Findings<'_>) -> Option<Auth> {
    let raw::Auth { scheme, token_ref, username, name } = raw;
    let token_ref = token_ref.and_then(|text| self::token_ref(text, pointer, findings));
    let scheme = scheme?;
    let username = belongs(username, "username", scheme, Scheme::Basic, pointer, findings);
    let name = belongs(name, "name", scheme, Scheme::Header, pointer, findings);
    let (header, prefix, username) = match scheme {
        Scheme::Bearer => (AUTHORIZATION, "Bearer ", None), // RFC 6750
        Scheme::Token => (AUTHORIZATION, "token ", None),
        Scheme::Basic => {
            (AUTHORIZATION, "Basic ", Some(self::username(username?, pointer, findings)?)) // RFC 7617
        }
        Scheme::Header => (&*field(&name?, pointer, findings)?, "", None),
    };
    Some(Auth { header: header.to_owned(), prefix: prefix.to_owned(), username, token_ref: token_ref? })
}

/// A key that one scheme needs and the others don't know.
fn belongs(
    value: Option<String>,
    key: &str,
    scheme: Scheme,
    owner: Scheme,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let owner_name = if owner == Scheme::Basic { "Basic" } else { "header" };
    match (&value, scheme == owner) {
        (None, true) => {
            let example = if owner == Scheme::Basic { "username: x-access-token" } else { "name: x-api-key" };
            let message = format!("`scheme: {owner_name}` needs `{key}`");
            let problem = findings.value("auth", &format!("{pointer}.scheme"), message);
            findings.push(problem.hint(format!("for example: {example}")));
            None
        }
        (Some(_), false) => {
            let message = format!("`{key}` belongs to `scheme: {owner_name}` only");
            let problem = findings.key("auth", &format!("{pointer}.{key}"), message);
            findings.push(problem.hint("remove it, or change the scheme"));
            None
        }
        _ => value,
    }
}

fn token_ref(text: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    let at = format!("{pointer}.token_ref");
    if !is_variable_name(&text) {
        let problem =
            findings.value("token-ref", &at, "`token_ref` is not the name of an environment variable");
        findings.push(problem.hint(
            "it names the variable that holds the secret, never the secret: letters, digits and `_`, such as GITHUB_TOKEN",
        ));
        return None;
    }
    if is_a_setting(&text) {
        let message =
            format!("{} is a setting of Docker, of bottle, or of the programs that they run", quoted(&text));
        let problem = findings.value("token-ref", &at, message);
        findings.push(problem.hint("choose a name of your own, such as GITHUB_TOKEN"));
        return None;
    }
    Some(text)
}

/// RFC 7617, section 2: no colon, no control characters.
fn username(text: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    if !text.is_empty() && !text.contains(':') && !text.chars().any(char::is_control) {
        return Some(text);
    }
    let message = format!("{} can't be a user name", quoted(&text));
    let problem = findings.value("auth", &format!("{pointer}.username"), message);
    findings.push(problem.hint("it is not empty and holds no colon and no control characters"));
    None
}

/// RFC 9110, section 5.1: a token; in lower case, since case says nothing.
fn field(text: &str, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let problem = if http::HeaderName::from_bytes(text.as_bytes()).is_err() {
        let message = format!("{} can't be the name of a field", quoted(text));
        findings.value("auth", &format!("{pointer}.name"), message).hint("for example: x-api-key")
    } else if NOT_A_CREDENTIAL.contains(&lower.as_str()) {
        let message = format!("the field {} carries no credential", quoted(text));
        findings.value("auth", &format!("{pointer}.name"), message).hint("for example: x-api-key")
    } else {
        return Some(lower);
    };
    findings.push(problem);
    None
}
