//! What the author of a manifest should know and a render does not stop for.

use super::{Plan, Problems, Shape};
use crate::config::routes::{AnyOr, RouteEntry};
use crate::diagnostic::Diagnostic;

/// Every warning, in the order of the manifest.
pub(super) fn of(plan: &Plan) -> Problems {
    let mut warnings = Problems::new();
    let mut warn = |pointer: &str, warning: Diagnostic| warnings.push((pointer.to_owned(), warning));
    if plan.shape == Shape::Direct {
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
    for host in &plan.hosts {
        let rule = &host.rule;
        if writes_to_a_forge(rule) {
            warn(
                &rule.source,
                Diagnostic::warning(
                    "forge-api-writes",
                    format!("{}: {} takes writes with a credential", rule.source, rule.host),
                )
                .hint(
                    "refusing git push is not \"no writes\": contents, blobs and refs can be written by API",
                )
                .hint("`methods: [GET, HEAD]` makes it read-only"),
            );
        }
        if !rule.inspect {
            warn(
                &rule.source,
                Diagnostic::warning(
                    "not-inspected",
                    format!("{}: pipelock does not look inside TLS to {}", rule.source, rule.host),
                )
                .hint("requests to it are not scanned for secrets"),
            );
        }
    }
    warnings
}

/// A credential, a method that writes, and a REST API of a forge below the allowed paths.
fn writes_to_a_forge(rule: &RouteEntry) -> bool {
    let writes = |method: &String| !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    let any_write = match &rule.methods {
        AnyOr::Any => true,
        AnyOr::Only(list) => list.iter().any(writes),
    };
    rule.auth.is_some() && any_write && reaches_forge_api(rule)
}

/// REST roots of forges. A pattern reaches one if either lies below the other, `*` standing for any segment.
const FORGE_API: [&str; 4] = ["/repos", "/api/v3/repos", "/api/v1/repos", "/api/v4/projects"];

fn reaches_forge_api(rule: &RouteEntry) -> bool {
    match &rule.paths {
        AnyOr::Any => {
            rule.host.starts_with("api.github.") || rule.host.split('.').any(|label| FORGES.contains(&label))
        }
        AnyOr::Only(list) => list.iter().any(|path| FORGE_API.iter().any(|root| overlaps(path, root))),
    }
}

/// Labels that say that a host is a forge, where no path does.
const FORGES: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "git"];

fn overlaps(path: &str, root: &str) -> bool {
    let segments = |text: &'_ str| {
        text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (path, root) = (segments(path), segments(root));
    path.iter().zip(&root).all(|(a, b)| a == b || a == "*")
}

#[cfg(test)]
mod tests {
    use super::overlaps;

    #[test]
    fn a_path_reaches_the_api_from_above_and_below() {
        assert!(overlaps("/repos/acme/app", "/repos"));
        assert!(overlaps("/api", "/api/v4/projects"));
        assert!(overlaps("/", "/repos"));
        assert!(overlaps("/*/acme", "/repos"));
        assert!(!overlaps("/v1/messages", "/repos"));
        assert!(!overlaps("/repository", "/repos"));
    }
}
