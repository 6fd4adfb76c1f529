//! Which program does pipelock's work, and what the upstream one can't do.

use super::super::findings::Findings;
use super::super::raw;
use super::agent;
use crate::manifest::{DlpAction, Engine, Pipelock};
use crate::policy::HostRule;

const KEY: &str = "pipelock.engine";
const IMAGE: &str = "pipelock.image";

/// Both keys are for one thing: a program that has no image, or an image that nothing runs, is a mistake.
pub(super) fn engine(
    engine: Option<raw::Engine>,
    image: Option<String>,
    findings: &mut Findings<'_>,
) -> Engine {
    match (engine, image) {
        (Some(raw::Engine::Image), Some(name)) => {
            agent::image_name(name, IMAGE, findings).map(Engine::Image).unwrap_or_default()
        }
        (Some(raw::Engine::Image), None) => {
            let message = "`engine: image` needs the name of the image";
            let problem = findings.value("pipelock-engine", KEY, message);
            findings.push(problem.hint("add `image: NAME@sha256:DIGEST`, or write `engine: embedded`"));
            Engine::Embedded
        }
        (Some(raw::Engine::Embedded) | None, Some(_)) => {
            let message = "`image` has no effect with the embedded engine";
            let problem = findings.key("pipelock-engine", IMAGE, message);
            findings.push(problem.hint("add `engine: image`, or remove the key"));
            Engine::Embedded
        }
        (Some(raw::Engine::Embedded) | None, None) => Engine::Embedded,
    }
}

/// What the upstream program has no key for is refused: it would be silently ignored.
/// `chained`: egress-proxy stands before it.
pub(super) fn check_rules(
    pipelock: &Pipelock,
    dlp_action: Option<DlpAction>,
    rules: &[&HostRule],
    chained: bool,
    findings: &mut Findings<'_>,
) {
    if pipelock.engine == Engine::Embedded {
        return;
    }
    if !pipelock.dlp.exceptions.is_empty() {
        let message = "`except` can't be kept with `engine: image`: the program has no exception for a host";
        let problem = findings.key("pipelock-engine", "pipelock.except", message);
        findings.push(problem.hint("remove the exceptions, or write `engine: embedded`"));
    }
    let all = (dlp_action == Some(DlpAction::Redact)).then(|| "egress.dlp_action".to_owned());
    let of_hosts = rules.iter().filter(|rule| rule.on_secret.is_some());
    for pointer in all.into_iter().chain(of_hosts.map(|rule| format!("{}.dlp_action", rule.route.source))) {
        let message = format!(
            "`{pointer}` can't be kept with `engine: image`: its program removes nothing for one host"
        );
        let problem = findings.value("pipelock-engine", &pointer, message);
        findings.push(problem.hint("remove the key, or write `engine: embedded`"));
    }
    for rule in rules.iter().filter(|rule| rule.route.ports.contains(&80)) {
        let message = "port 80 can't be reached with `engine: image`: its tunnels carry no plain http";
        let problem = findings.value("pipelock-engine", &format!("{}.ports", rule.route.source), message);
        findings.push(problem.hint("remove port 80, or write `engine: embedded`"));
    }
    for rule in rules.iter().filter(|rule| rule.route.websocket && rule.inspect) {
        let message = "no WebSocket gets through `engine: image`, unless the host is passed through";
        let problem = findings.key("pipelock-engine", &format!("{}.websocket", rule.route.source), message);
        findings.push(problem.hint(
            "add `inspect: false`: egress-proxy searches its messages, and nobody its other requests; or write \
             `engine: embedded`",
        ));
    }
    for wildcard in rules.iter().filter(|rule| rule.route.host.is_wildcard()) {
        let HostRule { route, inspect, .. } = wildcard;
        let problem = if !chained {
            let message =
                format!("{} can't be kept with `engine: image` in a bottle without routes", route.host);
            let problem = findings.value("pipelock-engine", &route.source, message);
            problem.hint(
                "the program would allow every host below it, however deep: write a route, or name each host",
            )
        } else if let Some(exact) = rules.iter().find(|rule| {
            rule.inspect && !inspect && rule.route.host.exact().is_some_and(|host| route.host.matches(host))
        }) {
            let message = format!(
                "{} can't be inspected with `engine: image`: {} is not",
                exact.route.host, route.host
            );
            let problem = findings.value("pipelock-engine", &format!("{}.inspect", route.source), message);
            problem.hint("the program passes every host below the wildcard through; say the same of both, or write `engine: embedded`")
        } else {
            continue;
        };
        findings.push(problem);
    }
}
