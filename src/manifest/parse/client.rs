//! What the agent's own fields and query may say to a host.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::super::raw;
use crate::fields::is_never_passed;
use crate::policy::{
    Auth, ClientCredentials, ClientFields, is_credential_parameter, passes_beside_a_credential, same_variable,
};

/// Entries of a list; a person has to read what passes.
const MOST: usize = 50;

/// The keys as they are written.
pub(super) struct Written {
    pub(super) credentials: Option<raw::ClientCredentials>,
    pub(super) pass_headers: Option<Vec<Item<String>>>,
    pub(super) pass_query: Option<Vec<Item<String>>>,
}

/// Whether a credential is set on the route; its field where that could be read.
#[derive(Clone, Copy)]
pub(super) enum Beside<'a> {
    Auth(Option<&'a Auth>),
    Nothing,
}

pub(super) fn fields(
    written: Written,
    beside: Beside<'_>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> ClientFields {
    let Written { credentials, pass_headers, pass_query } = written;
    if let (Beside::Auth(_), Some(_)) = (beside, credentials) {
        let message = "`client_credentials` has no effect beside `auth`";
        let problem = findings.key("client-fields", &format!("{pointer}.client_credentials"), message);
        findings.push(problem.hint(
            "the agent's own credentials never pass beside one of yours; remove the key, and name exceptions in `pass_headers`",
        ));
    }
    let credentials = match (beside, credentials) {
        (Beside::Auth(_), _) | (Beside::Nothing, Some(raw::ClientCredentials::Strip)) => {
            ClientCredentials::Strip
        }
        (Beside::Nothing, None | Some(raw::ClientCredentials::Pass)) => ClientCredentials::Pass,
    };
    for (key, is_set) in [("pass_headers", pass_headers.is_some()), ("pass_query", pass_query.is_some())] {
        if is_set && credentials == ClientCredentials::Pass {
            let message = format!("`{key}` has no effect here: all that the agent sends passes");
            let problem = findings.key("client-fields", &format!("{pointer}.{key}"), message);
            findings.push(problem.hint("remove it, or add `auth` or `client_credentials: strip`"));
        }
    }
    let auth = if let Beside::Auth(auth) = beside { auth } else { None };
    let header = |name: &str| header_problem(name, auth);
    ClientFields {
        credentials,
        pass_headers: names(pass_headers, "pass_headers", header, pointer, findings),
        pass_query: names(pass_query, "pass_query", parameter_problem, pointer, findings),
    }
}

/// What is wrong with a name, and what to do.
type Problem = (String, &'static str);

fn header_problem(name: &str, auth: Option<&Auth>) -> Option<Problem> {
    let shown = quoted(name);
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some((format!("{shown} is not the name of a field"), "such as x-goog-user-project"));
    }
    if is_never_passed(name) {
        let what = format!(
            "{shown} never passes: it belongs to a connection, or could make the request another one"
        );
        return Some((what, "remove it"));
    }
    if auth.is_some_and(|auth| same_variable(&auth.header, name)) {
        return Some((format!("{shown} is the field of the route's own credential"), "remove it"));
    }
    passes_beside_a_credential(name).then(|| (format!("{shown} passes anyway"), "remove it"))
}

fn parameter_problem(name: &str) -> Option<Problem> {
    (!is_credential_parameter(name)).then(|| {
        let what =
            format!("{} passes anyway: it is no parameter that servers take credentials in", quoted(name));
        (what, "remove it; of the whole query nothing else is refused")
    })
}

/// The names of a list, in lower case.
fn names(
    items: Option<Vec<Item<String>>>,
    key: &str,
    problem: impl Fn(&str) -> Option<Problem>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Vec<String> {
    let items = items.unwrap_or_default();
    if items.len() > MOST {
        let message = format!("{} entries, and a route has {MOST} at most", items.len());
        let found = findings.value("too-many", &format!("{pointer}.{key}"), message);
        findings.push(found.hint("nobody can review as many"));
    }
    let mut names: Vec<String> = Vec::new();
    for (index, text) in items.into_iter().take(MOST).enumerate() {
        let Some(text) = text.0 else { continue };
        let at = format!("{pointer}.{key}[{index}]");
        let name = text.to_ascii_lowercase();
        if let Some((message, hint)) = problem(&name) {
            let found = findings.value("client-fields", &at, message);
            findings.push(found.hint(hint));
        } else if names.contains(&name) {
            let found =
                findings.value("duplicate", &at, format!("the name {} is listed twice", quoted(&text)));
            findings.push(found.hint("remove one of the two"));
        } else {
            names.push(name);
        }
    }
    names
}
