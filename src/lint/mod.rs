//! Lints: what a manifest may say, and what its author should look at all the same. Each has a code, a reason, and a
//! way out; `lints.allow` takes a code and a reason in the author's own words.
//!
//! Pure: what the machine knows (the day, what lies in the mounts) is told in [`Facts`].

mod agent;
mod hosts;

use crate::diagnostic::{Diagnostic, Report};
use crate::dlp::{EVERY, Exception};
use crate::manifest::Loaded;
use crate::plan::{Plan, Topology};
use camino::Utf8PathBuf;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// What is said, each with a pointer into the manifest.
type Found = Vec<(String, Diagnostic)>;

/// The lint of `lints.allow` itself.
const UNUSED: &str = "unused-allow";

/// What the manifest does not say.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The day (UTC) on which the rules are looked at.
    pub today: Date,
    /// Files in the mounts whose names say that they hold secrets, as the agent sees them, by the mount's target.
    pub secrets: Vec<(Utf8PathBuf, Utf8PathBuf)>,
    /// The targets of mounts whose `.git` the agent can change.
    pub writable_git: BTreeSet<Utf8PathBuf>,
}

/// Every lint that `lints.allow` does not name, in the order of the manifest.
#[must_use]
pub fn lints(loaded: &Loaded, plan: &Plan, facts: &Facts) -> Report {
    let mut found = of_the_bottle(plan);
    found.extend(plan.dlp.exceptions.iter().filter_map(broad_exception));
    found.extend(hosts::lints(&plan.hosts, facts.today));
    found.extend(agent::lints(loaded, plan, facts));
    let allow = &loaded.manifest.lints.allow;
    let (of_unused, others): (Vec<_>, Vec<_>) = allow.iter().partition(|allow| allow.code == UNUSED);
    let unused = others.iter().filter(|allow| !found.iter().any(|(_, it)| it.code == allow.code));
    let mut unused: Found = unused.map(|allow| (allow.pointer.clone(), unused_allow(&allow.code))).collect();
    if let [allowed, ..] = of_unused.as_slice() {
        // Allowed as every other lint, and as every other of no use where nothing raises it.
        let useless = unused.is_empty().then(|| (allowed.pointer.clone(), unused_allow(UNUSED)));
        unused = useless.into_iter().collect();
    }
    found.retain(|(_, it)| !allow.iter().any(|allow| allow.code == it.code));
    let said = found.into_iter().chain(unused);
    let placed = said.map(|(pointer, it)| it.source(&loaded.source).label(loaded.span_of(&pointer), ""));
    let mut placed: Vec<Diagnostic> = placed.collect();
    placed.sort_by_key(|it| it.labels.first().map_or(0, |label| label.span.start));
    let mut codes = BTreeSet::from([UNUSED]);
    for first in placed.iter_mut().filter(|it| codes.insert(it.code)) {
        first
            .hints
            .push(format!("if it is meant: `lints: {{allow: [{{code: {}, reason: …}}]}}`", first.code));
    }
    Report(placed)
}

fn unused_allow(code: &str) -> Diagnostic {
    Diagnostic::warning("unused-allow", format!("`lints.allow` names {code}, which nothing here raises"))
        .hint("remove the entry, so that it hides nothing later")
}

fn of_the_bottle(plan: &Plan) -> Found {
    let mut found = Found::new();
    let mut warn = |pointer: &str, warning: Diagnostic| found.push((pointer.to_owned(), warning));
    if plan.topology == Topology::Direct {
        let message = "this bottle has no routes: the agent speaks to pipelock directly";
        let warning = Diagnostic::warning("no-routes", message)
            .hint("there is no path rule, no method rule, no credential, and git push is not refused")
            .hint("a rule under `egress_proxy.routes` brings egress-proxy and all of these");
        warn("egress", warning);
    }
    if plan.hosts.is_empty() {
        let message = "this bottle allows no host: every request is refused";
        let hint = "add hosts under `egress_proxy.routes` or `egress.allowlist`";
        warn("egress", Diagnostic::warning("no-hosts", message).hint(hint));
    }
    if let Some(ranges) = plan.addresses_of_all() {
        let message = format!(
            "every allowed host may be at {ranges}: the program of `pipelock.image` knows no host's own"
        );
        let hint = "the embedded engine opens each of the `addresses` for its own host alone";
        warn("pipelock.engine", Diagnostic::warning("wider-addresses", message).hint(hint));
    }
    if plan.dlp_warns() {
        let message = "`egress.dlp_action: warn`: a secret in a request is logged and sent";
        let hint = "use it to find out what would be refused, then go back to `block`";
        warn("egress.dlp_action", Diagnostic::warning("dlp-warns", message).hint(hint));
    }
    found
}

/// An exception that is not for one pattern and one host.
fn broad_exception(exception: &Exception) -> Option<(String, Diagnostic)> {
    let Exception { source, pattern, host, reason: _ } = exception;
    let what = match (pattern == EVERY, host == EVERY) {
        (true, true) => "every secret that no core pattern finds passes to every host".to_owned(),
        (true, false) => format!("every secret that no core pattern finds passes to {host}"),
        (false, true) => format!("what the pattern {pattern} finds passes to every host"),
        (false, false) => return None,
    };
    let warning = Diagnostic::warning("broad-dlp-exception", format!("{source}: {what}"))
        .hint("name the one pattern that stands in the way, and the host that it stands in the way of");
    Some((source.clone(), warning))
}

#[cfg(test)]
mod tests;
