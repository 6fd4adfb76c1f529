//! What has to change in the rules for them to allow a request.

use super::Asked;
use crate::policy::{DenyPath, HostRule, Method, PathPattern, Policy, Reason, Route};
use jiff::civil::Date;

/// One change of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A rule for a host that has none.
    Route(Box<Route>),
    /// One more port.
    Port(u16),
    /// One more method.
    Method {
        /// It.
        method: Method,
        /// The rule lists its methods; if not, it now lists the usual ones and this.
        listed: bool,
    },
    /// One more entry of the `path_allowlist`.
    Path(PathPattern),
    /// These entries of `deny_paths` are in the way.
    Undeny(Vec<DenyPath>),
    /// The rule's last day is over.
    Later,
}

/// Changes `rules` until they allow the request, and says how. Of a path on a host without a rule the first `segments`
/// count. Nothing where no rule could allow it; then `rules` is as it was.
pub fn changes(
    asked: &Asked,
    rules: &mut Vec<HostRule>,
    today: Date,
    segments: usize,
) -> Option<Vec<Change>> {
    if asked.authority.host.is_loopback() {
        return None; // no manifest can name it
    }
    let mut changed = rules.clone();
    let mut done = Vec::new();
    loop {
        let policy = Policy::new(changed.clone()).ok()?;
        let Err(refusal) = asked.decide(&policy, today) else {
            *rules = changed;
            return Some(done);
        };
        let mut routes = changed.iter_mut().map(|rule| &mut rule.route);
        let change =
            if let Some(route) = routes.find(|route| route.host.exact() == Some(&asked.authority.host)) {
                widen(route, refusal.reason, asked)?
            } else {
                let route = new_route(asked, segments)?;
                changed.push(route.clone().into());
                Change::Route(Box::new(route))
            };
        // The same change again would change nothing.
        if done.contains(&change) {
            return None;
        }
        done.push(change);
    }
}

fn widen(route: &mut Route, reason: Reason, asked: &Asked) -> Option<Change> {
    Some(match reason {
        Reason::PortNotAllowed => {
            route.ports.push(asked.authority.port);
            Change::Port(asked.authority.port)
        }
        Reason::RuleExpired => {
            route.until = None;
            Change::Later
        }
        Reason::MethodNotAllowed => {
            let method = asked.methods().into_iter().find(|method| !route.allows_method(method))?;
            let listed = route.methods.is_some();
            route.methods.get_or_insert_with(|| Method::USUAL.to_vec()).push(method.clone());
            Change::Method { method, listed }
        }
        Reason::PathNotAllowed => {
            let pattern = asked.pattern(route.encoded_slash, usize::MAX)?;
            route.path_allowlist.get_or_insert_default().push(pattern.clone());
            Change::Path(pattern)
        }
        Reason::PathDenied => {
            let path = asked.canonical(route.encoded_slash)?;
            let (removed, kept) = route.deny_paths.drain(..).partition(|entry| entry.matches(&path));
            route.deny_paths = kept;
            Change::Undeny(removed)
        }
        _ => return None,
    })
}

/// As narrow as the request.
fn new_route(asked: &Asked, segments: usize) -> Option<Route> {
    Some(Route {
        ports: vec![asked.authority.port],
        methods: Some(asked.methods()).filter(|methods| !methods.is_empty()),
        path_allowlist: Some(vec![asked.pattern(false, segments)?]),
        ..Route::open(asked.authority.host.clone(), "")
    })
}

/// What failed where no rule refused the request.
#[must_use]
pub fn no_rule_refused(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "credential_unavailable" => {
            "no rule refused it: the token is missing; set it and run `bottle up --rotate`"
        }
        "upstream_unreachable" | "upstream_invalid" | "upstream_timeout" => {
            "no rule refused it: the host did not answer"
        }
        "limit_reached" | "body_too_large" | "shutting_down" => {
            "no rule refused it: a limit of the proxy did"
        }
        _ => return None,
    })
}
