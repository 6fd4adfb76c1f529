//! What the author of a manifest should know and a render does not stop for.

use super::{Plan, Problems, Topology};
use crate::diagnostic::Diagnostic;
use crate::policy::{HostRule, Method, PathPattern, Route};

/// Every warning, in the order of the manifest.
pub(super) fn collect(plan: &Plan) -> Problems {
    let mut warnings = Problems::new();
    let mut warn = |pointer: &str, warning: Diagnostic| warnings.push((pointer.to_owned(), warning));
    if plan.topology == Topology::Direct {
        warn(
            "egress",
            Diagnostic::warning(
                "no-routes",
                "this bottle has no routes: the agent speaks to pipelock directly",
            )
            .hint("there is no path rule, no method rule, no credential, and git push is not refused")
            .hint("a rule under `egress_proxy.routes` brings egress-proxy and all of these"),
        );
    }
    if plan.hosts.is_empty() {
        warn(
            "egress",
            Diagnostic::warning("no-hosts", "this bottle allows no host: every request is refused")
                .hint("add hosts under `egress_proxy.routes` or `egress.allowlist`"),
        );
    }
    if plan.dlp_warns() {
        warn(
            "egress.dlp_action",
            Diagnostic::warning(
                "dlp-warns",
                "`egress.dlp_action: warn`: a secret in a request is logged and sent",
            )
            .hint("use it to find out what would be refused, then go back to `block`"),
        );
    }
    for rule in &plan.hosts {
        let (source, host) = (&rule.route.source, &rule.route.host);
        if writes_to_a_forge(rule) {
            warn(
                source,
                Diagnostic::warning(
                    "forge-api-writes",
                    format!("{source}: {host} takes writes with a credential"),
                )
                .hint(
                    "refusing git push is not \"no writes\": contents, blobs and refs can be written by API",
                )
                .hint("`methods: [GET, HEAD]` makes it read-only"),
            );
        }
        if !rule.inspect {
            warn(
                source,
                Diagnostic::warning(
                    "not-inspected",
                    format!("{source}: pipelock does not look inside TLS to {host}"),
                )
                .hint("requests to it are not scanned for secrets"),
            );
        }
    }
    warnings
}

/// A credential, a method that writes, and a REST API of a forge below the allowed paths.
fn writes_to_a_forge(rule: &HostRule) -> bool {
    let writes = |method: &Method| !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    let any_write = rule.route.methods.as_ref().is_none_or(|list| list.iter().any(writes));
    rule.auth.is_some() && any_write && reaches_forge_api(&rule.route)
}

/// REST roots of forges.
const FORGE_API: [&str; 4] = ["/repos", "/api/v3/repos", "/api/v1/repos", "/api/v4/projects"];

/// Labels that say that a host is a forge, where no path does.
const FORGES: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "git"];

fn reaches_forge_api(route: &Route) -> bool {
    let Some(allowed) = &route.path_allowlist else {
        let host = route.host.as_str();
        return host.starts_with("api.github.") || host.split('.').any(|label| FORGES.contains(&label));
    };
    let mut roots = FORGE_API.iter().filter_map(|root| PathPattern::parse(root, route.encoded_slash).ok());
    let denied = |root: &PathPattern| route.deny_paths.iter().any(|entry| entry.covers(root));
    roots.any(|root| !denied(&root) && allowed.iter().any(|entry| entry.overlaps(&root)))
}
